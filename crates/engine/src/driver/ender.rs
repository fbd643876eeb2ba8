//! Ending a stream that is somebody's task, from outside, and waking that task.

use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use crate::EndReason;

/// What the shard, the poller and whoever ends the stream share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Held to copy either field in or out; a waker is called outside.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    poller: Option<Waker>,
    end: Option<EndReason>,
}

impl Shared {
    /// Notes who polls, and says whether the stream is to end. Before the step, so that no wake is lost.
    pub(super) fn register(&self, poller: &Waker) -> Option<EndReason> {
        let mut state = self.state.lock().expect("held for a copy only");
        match &mut state.poller {
            Some(known) => known.clone_from(poller),
            none => *none = Some(poller.clone()),
        }
        state.end
    }

    /// Why the stream is to end, if somebody has said so.
    pub(super) fn end(&self) -> Option<EndReason> {
        self.state.lock().expect("held for a copy only").end
    }

    fn tell(&self, end: Option<EndReason>) {
        let poller = {
            let mut state = self.state.lock().expect("held for a copy only");
            state.end = state.end.or(end);
            state.poller.take()
        };
        if let Some(poller) = poller {
            poller.wake();
        }
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.tell(None);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.tell(None);
    }
}

/// Ends a stream that is polled by a task, from outside.
#[derive(Clone, Debug)]
pub struct Ender(Arc<Shared>);

impl Ender {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// The stream says why it ends, and ends between frames. The first reason stands.
    pub fn end(&self, reason: EndReason) {
        self.0.tell(Some(reason));
    }
}
