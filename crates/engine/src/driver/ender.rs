//! Telling a stream that is somebody's task what to do, from outside, and waking that task.

use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use crate::{EndReason, Order, Shard, Sink};

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
    /// What is left to do; almost never anything.
    orders: Vec<Order>,
    /// Nobody does anything any more.
    over: bool,
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

    /// Does what is to be done, in the stream's shard.
    pub(super) fn obey<S: Sink>(&self, shard: &mut Shard<S>) {
        let orders = std::mem::take(&mut self.state.lock().expect("held for a copy only").orders);
        for order in orders {
            shard.obey(order);
        }
    }

    /// The stream is over: whoever waits for an answer is told by its absence.
    pub(super) fn close(&self) {
        let mut state = self.state.lock().expect("held for a copy only");
        state.over = true;
        let orders = std::mem::take(&mut state.orders);
        drop(state);
        drop(orders);
    }

    /// Why the stream is to end, if somebody has said so.
    pub(super) fn end(&self) -> Option<EndReason> {
        self.state.lock().expect("held for a copy only").end
    }

    fn tell(&self, end: Option<EndReason>) {
        self.change(|state| state.end = state.end.or(end));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let poller = {
            let mut state = self.state.lock().expect("held for a copy only");
            change(&mut state);
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

/// Ends a stream that is polled by a task, or changes it, from outside.
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

    /// Has the stream's shard do something. Dropped, and so never answered, if the stream is over.
    pub fn order(&self, order: Order) {
        let mut order = Some(order);
        self.0.change(|state| {
            if !state.over {
                state.orders.extend(order.take());
            }
        });
    }
}
