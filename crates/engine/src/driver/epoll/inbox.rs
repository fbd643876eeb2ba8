//! What other threads leave for a shard's thread, and how they wake it.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Wake;

use rustix::event::{EventfdFlags, eventfd};

use tidewire_core::Form;

use super::{AtEnd, Framing, OnEnd, held};
use crate::driver::StreamEnd;
use crate::{Counters, EndReason, Order, Subscription};

/// A socket on its way to a shard.
pub(super) struct Adopted {
    pub(super) socket: TcpStream,
    pub(super) head: Vec<u8>,
    pub(super) framing: Framing,
    pub(super) subscription: Subscription,
    pub(super) on_end: Option<OnEnd>,
}

pub(super) enum Command {
    Adopt(Box<Adopted>),
    /// Something to be done to streams that are there, or on their way.
    Order(Order),
    /// End every stream between frames, and stop; cut what is not written by then.
    Drain {
        reason: EndReason,
        until_ms: u64,
    },
}

/// Shared by a shard's thread and everyone who talks to it. Also the shard's waker.
pub(super) struct Inbox {
    /// Held for a push or a swap only. `None` once the thread has stopped.
    commands: Mutex<Option<Vec<Command>>>,
    /// Whether the thread has been told already: spares a write a commit while it is busy.
    told: AtomicBool,
    eventfd: OwnedFd,
    subscribers: AtomicUsize,
    at_end: AtEnd,
    /// A copy that the thread leaves after each step; held for a copy only.
    counters: Mutex<Counters>,
}

impl Inbox {
    pub(super) fn new(at_end: AtEnd) -> io::Result<Self> {
        Ok(Self {
            commands: Mutex::new(Some(Vec::new())),
            told: AtomicBool::new(false),
            eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            subscribers: AtomicUsize::new(0),
            at_end,
            counters: Mutex::default(),
        })
    }

    pub(super) fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    pub(super) fn push(&self, command: Command) {
        if matches!(command, Command::Adopt(_)) {
            self.subscribers.fetch_add(1, Ordering::Relaxed);
        }
        let refused = match &mut *self.commands.lock().expect("held for a push only") {
            Some(commands) => {
                commands.push(command);
                None
            }
            None => Some(command),
        };
        match refused {
            None => self.tell(),
            Some(Command::Adopt(adopted)) => self.refuse(*adopted),
            Some(Command::Order(_) | Command::Drain { .. }) => {}
        }
    }

    /// Ends a stream that came too late.
    pub(super) fn refuse(&self, adopted: Adopted) {
        drop(adopted.socket);
        let end = StreamEnd {
            reason: EndReason::Drain,
            bytes: 0,
            events: 0,
            life_ms: 0,
        };
        self.tell_end(adopted.subscription.form, adopted.on_end, end);
    }

    /// A stream is over and its socket closed.
    pub(super) fn tell_end(&self, form: Form, on_end: Option<OnEnd>, end: StreamEnd) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
        (self.at_end)(form, &end);
        if let Some(on_end) = on_end {
            on_end(end);
        }
    }

    fn tell(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            self.ring();
        }
    }

    /// Wakes the thread. Whoever else tells it something from [`Inbox::told`] on relies on this to happen.
    pub(super) fn ring(&self) {
        // Full (it never is) or not: the thread is woken.
        let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
    }

    /// To be called by the thread before it looks at anything that a wake may be about.
    pub(super) fn hear(&self) {
        let _ = rustix::io::read(&self.eventfd, &mut [0_u8; 8]);
        self.told.store(false, Ordering::Release);
    }

    pub(super) fn take(&self) -> Vec<Command> {
        let mut commands = self.commands.lock().expect("held for a swap only");
        commands.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes what is left, and takes no more from now on.
    pub(super) fn close(&self) -> Vec<Command> {
        let mut commands = self.commands.lock().expect("held for a swap only");
        commands.take().unwrap_or_default()
    }

    /// Whether the thread still takes sockets.
    pub(super) fn is_open(&self) -> bool {
        self.commands
            .lock()
            .expect("held for a look only")
            .is_some()
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    pub(super) fn counters(&self) -> Counters {
        *self.counters.lock().expect("held for a copy only")
    }

    pub(super) fn leave_counters(&self, counters: &Counters) {
        *self.counters.lock().expect("held for a copy only") = *counters;
    }
}

impl Wake for Inbox {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        if !self.told.swap(true, Ordering::AcqRel) && !held::keep(self) {
            self.ring();
        }
    }
}
