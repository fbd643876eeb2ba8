//! Lines of the log that strangers can cause: few, however many times there is something to say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Says at most one line a second.
#[derive(Debug, Default)]
pub(crate) struct Said {
    last: Mutex<Option<Instant>>,
    unsaid: AtomicU64,
}

impl Said {
    /// Whether one may be said now; with how many were not since the last.
    pub(crate) fn may_say(&self) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < Duration::from_secs(1)) {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *last = Some(Instant::now());
        Some(self.unsaid.swap(0, Ordering::Relaxed))
    }
}
