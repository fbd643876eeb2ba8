//! Commits on their way to the watchers: in order, and outside of every other lock, so that a watcher may use the log.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Batch, Watcher};

/// How many commits may wait to be told before whoever appends waits with them.
const WAITING_MAX: usize = 1024;

/// What watchers have not been told yet. Whoever put something in empties it, or finds another at it.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// The queue is short again, or nobody is telling.
    moved: Condvar,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    watchers: Arc<Vec<Arc<dyn Watcher>>>,
    /// Somebody is telling the watchers, and will go on until nothing waits or another takes over.
    telling: bool,
    /// How many stand at the full queue.
    standing: usize,
}

impl Outbox {
    pub(super) fn watch(&self, watcher: Arc<dyn Watcher>) {
        let mut waiting = self.lock();
        Arc::make_mut(&mut waiting.watchers).push(watcher);
    }

    pub(super) fn put(&self, batch: Batch) {
        self.lock().batches.push_back(batch);
    }

    /// Tells the watchers all that waits, unless another thread (or a caller of ours) is at it. Waits for it only while
    /// more than [`WAITING_MAX`] commits are behind: publishers that outrun their watchers go at the watchers' pace.
    pub(super) fn deliver(&self) {
        let mut waiting = self.lock();
        while waiting.telling {
            if waiting.batches.len() <= WAITING_MAX {
                return;
            }
            waiting.standing += 1;
            waiting = self
                .moved
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
            waiting.standing -= 1;
        }
        waiting.telling = true;
        let mut turn = Turn {
            outbox: self,
            is_over: false,
            is_awaited: true,
        };
        let mut told = 0;
        while let Some(batch) = waiting.batches.pop_front() {
            let watchers = waiting.watchers.clone();
            drop(waiting);
            for watcher in &*watchers {
                watcher.committed(&batch);
            }
            told += 1;
            waiting = self.lock();
            if waiting.standing > 0 && told >= WAITING_MAX {
                // One publisher must not work for all the others for good.
                break;
            }
        }
        // Under the lock that found nothing left: who puts something in later sees that nobody is at it.
        waiting.telling = false;
        turn.is_over = true;
        turn.is_awaited = waiting.standing > 0;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a turn at telling, also when a watcher panics: that must not silence the others for good.
struct Turn<'a> {
    outbox: &'a Outbox,
    is_over: bool,
    /// Somebody stands at the full queue; waking nobody would still be a system call.
    is_awaited: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.outbox.lock().telling = false;
        }
        if self.is_awaited {
            self.outbox.moved.notify_all();
        }
    }
}
