//! Commits on their way to the watchers: in order, and outside of every other lock, so that a watcher may use the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Batch, Watcher};

/// What watchers have not been told yet. Holds little: whoever put something in empties it, or finds another at it.
#[derive(Default)]
pub(super) struct Outbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    watchers: Arc<Vec<Arc<dyn Watcher>>>,
    /// Somebody is telling the watchers, and will go on until nothing waits.
    delivering: bool,
}

impl Outbox {
    pub(super) fn watch(&self, watcher: Arc<dyn Watcher>) {
        let mut waiting = self.lock();
        Arc::make_mut(&mut waiting.watchers).push(watcher);
    }

    pub(super) fn put(&self, batch: Batch) {
        self.lock().batches.push_back(batch);
    }

    /// Tells the watchers all that waits, unless another thread (or a caller of ours) is at it.
    pub(super) fn deliver(&self) {
        let mut waiting = self.lock();
        if std::mem::replace(&mut waiting.delivering, true) {
            return;
        }
        let end = Delivering(self);
        while let Some(batch) = waiting.batches.pop_front() {
            let watchers = waiting.watchers.clone();
            drop(waiting);
            for watcher in &*watchers {
                watcher.committed(&batch);
            }
            waiting = self.lock();
        }
        // Under the lock that found nothing left: who puts something in later sees that nobody is at it.
        waiting.delivering = false;
        drop(waiting);
        std::mem::forget(end);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watcher that panics must not silence the others for good.
struct Delivering<'a>(&'a Outbox);

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        self.0.lock().delivering = false;
    }
}
