//! The one clock of every shard in this process: monotonic, in milliseconds. Not the time of day.

use std::sync::OnceLock;
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
