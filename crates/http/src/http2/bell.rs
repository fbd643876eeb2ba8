//! How a connection's task is woken, and by what: whoever rings is told apart, so that nothing is looked at in vain.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

/// Wakes the task, whichever it is at the moment.
#[derive(Default)]
pub(super) struct Task(AtomicWaker);

impl Task {
    pub(super) fn register(&self, waker: &Waker) {
        self.0.register(waker);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

/// Wakes the task and is remembered.
pub(super) struct Bell {
    task: Arc<Task>,
    rung: AtomicBool,
}

thread_local! {
    static MUTED: Cell<bool> = const { Cell::new(false) };
}

impl Bell {
    pub(super) fn new(task: &Arc<Task>) -> Arc<Self> {
        Arc::new(Self {
            task: Arc::clone(task),
            rung: AtomicBool::new(false),
        })
    }

    /// Whether it has rung since it was asked last.
    pub(super) fn take(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }

    pub(super) fn ring(&self) {
        if !MUTED.get() && !self.rung.swap(true, Ordering::AcqRel) {
            self.task.0.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// Does what rings a bell on this thread, without the bell: h2 wakes whoever waits for a stream's capacity or reset also when
/// it is he who asks for the capacity.
pub(super) fn muted<T>(act: impl FnOnce() -> T) -> T {
    /// Also when what was done panics: the thread goes on with other connections.
    struct Unmute;
    impl Drop for Unmute {
        fn drop(&mut self) {
            MUTED.set(false);
        }
    }
    let _unmute = Unmute;
    MUTED.set(true);
    act()
}
