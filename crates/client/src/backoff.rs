//! How long to wait before the next attempt. Not here: what counts as a failure.

use std::time::Duration;

use crate::Options;

/// Failures double from at least this, so that a reconnection time of zero does not become a hot loop.
const STEP_MIN: Duration = Duration::from_millis(100);

/// A delay is the reconnection time plus a random share of a window that doubles with each failure in a row.
///
/// WHATWG HTML 9.2.3, "reestablish the connection": "Wait a delay equal to the reconnection time of the event source.
/// Optionally, wait some more." So `retry` is a floor. The window after a good stream is the reconnection time itself, for
/// all clients of a restarted server lose theirs in the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    pub(crate) retry: Duration,
    failures: u32,
    random: u64,
}

impl Backoff {
    pub(crate) fn new(retry: Duration, seed: u64) -> Self {
        Self {
            retry,
            failures: 0,
            random: seed,
        }
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn handle_success(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn handle_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// `floor` is what the server asked for besides, by `Retry-After`.
    pub(crate) fn delay(&mut self, floor: Duration, options: &Options) -> Duration {
        let base = self.retry.max(floor);
        if !options.jitter {
            let doublings = self.failures.saturating_sub(1);
            return if doublings == 0 {
                base
            } else {
                base.max(self.window(doublings, options.backoff_max))
            };
        }
        let window = match self.failures.saturating_sub(1) {
            0 => self.retry.min(options.backoff_max),
            doublings => self.window(doublings, options.backoff_max),
        };
        base + window.mul_f64(self.share())
    }

    fn window(&self, doublings: u32, max: Duration) -> Duration {
        self.retry
            .max(STEP_MIN)
            .saturating_mul(1 << doublings.min(20))
            .min(max)
    }

    /// A random number in 0..1, by SplitMix64: spread, not secrecy, is what is needed.
    fn share(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_within_their_window_and_never_fall_below_retry() {
        let options = Options::new("http://x/").unwrap();
        let ms = Duration::from_millis;
        // failures in a row, retry, floor; least, greatest
        let table = [
            (1, ms(1000), ms(0), ms(1000), ms(2000)),
            (2, ms(1000), ms(0), ms(1000), ms(3000)),
            (3, ms(1000), ms(0), ms(1000), ms(5000)),
            (40, ms(1000), ms(0), ms(1000), ms(31_000)),
            (1, ms(0), ms(0), ms(0), ms(0)),
            (2, ms(0), ms(0), ms(0), ms(200)),
            (1, ms(1000), ms(5000), ms(5000), ms(6000)),
            (1, ms(60_000), ms(0), ms(60_000), ms(90_000)),
        ];
        for (failures, retry, floor, least, greatest) in table {
            let mut seen = Vec::new();
            for seed in 0..200 {
                let mut backoff = Backoff::new(retry, seed);
                (0..failures).for_each(|_| backoff.handle_failure());
                seen.push(backoff.delay(floor, &options));
            }
            let (low, high) = (*seen.iter().min().unwrap(), *seen.iter().max().unwrap());
            assert!(
                low >= least && high <= greatest,
                "{failures} {retry:?}: {low:?}..{high:?}"
            );
            let spread = (greatest - least).mul_f64(0.9);
            assert!(
                high - low >= spread,
                "{failures} {retry:?}: {low:?}..{high:?} is not spread over the window"
            );
        }
    }

    #[test]
    fn one_success_forgets_the_failures() {
        let options = Options {
            jitter: false,
            ..Options::new("http://x/").unwrap()
        };
        let mut backoff = Backoff::new(Duration::from_millis(10), 1);
        let mut delays = Vec::new();
        for _ in 0..4 {
            backoff.handle_failure();
            delays.push(backoff.delay(Duration::ZERO, &options).as_millis());
        }
        assert_eq!(delays, [10, 200, 400, 800]);
        backoff.handle_success();
        backoff.handle_failure();
        assert_eq!(backoff.delay(Duration::ZERO, &options).as_millis(), 10);
    }
}
