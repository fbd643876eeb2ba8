//! The one clock of every shard in this process: monotonic, in milliseconds. Not the time of day.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Where the clock starts: above zero, so that a moment shortly before the first look can still be named.
const START_MS: u64 = 3_600_000;

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Now, in milliseconds of the shards' clock.
#[must_use]
pub fn now_ms() -> u64 {
    let since = start().elapsed().as_millis();
    START_MS + u64::try_from(since).expect("milliseconds since the start fit 64 bits")
}

/// The instant at which the clock shows `ms`. A moment before the clock's start is its start; one that no `Instant` can
/// name is a year away.
#[must_use]
pub fn instant_at(ms: u64) -> Instant {
    let start = start();
    let after = Duration::from_millis(ms.saturating_sub(START_MS));
    start
        .checked_add(after)
        .unwrap_or_else(|| start + Duration::from_secs(365 * 86_400))
}

/// Wakes a task at a moment of this clock, again and again.
pub(super) struct Alarm(Pin<Box<tokio::time::Sleep>>);

impl Alarm {
    /// # Panics
    /// Outside a tokio runtime with time.
    pub(super) fn new(at_ms: u64) -> Self {
        Self(Box::pin(tokio::time::sleep_until(instant_at(at_ms).into())))
    }

    /// Ready when the moment has come; else the task is woken then.
    pub(super) fn poll_at(&mut self, at_ms: u64, cx: &mut Context<'_>) -> Poll<()> {
        let at = instant_at(at_ms).into();
        if self.0.deadline() != at {
            self.0.as_mut().reset(at);
        }
        self.0.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_and_instants_agree() {
        let now = now_ms();
        assert!(now >= START_MS);
        assert!(instant_at(now) <= Instant::now());
        assert!(instant_at(now + 60_000) > Instant::now());
        assert!(instant_at(u64::MAX) > Instant::now());
        assert_eq!(instant_at(0), instant_at(START_MS));
    }
}
