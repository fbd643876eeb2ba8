//! How fast subscription events are told. Whoever may subscribe writes them, without a right to publish: unbounded, those who come
//! and go all day would push everybody else's events out of the retention.

use std::time::Duration;

/// How many events are told in a second, and how many at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(super) per_s: f64,
    pub(super) burst: f64,
}

/// What may be told at once is what the rate allows in this time: a hub's own start, with everybody coming back, is no flood.
const BURST_S: f64 = 10.0;
/// Nothing is told more often than this while it comes too fast: a few at a time rather than one by one.
const WAIT_MIN: Duration = Duration::from_millis(50);

impl Rate {
    pub(crate) fn per_second(events: u32) -> Self {
        let per_s = f64::from(events);
        Self {
            per_s,
            burst: per_s * BURST_S,
        }
    }
}

/// A bucket that fills at the rate.
#[derive(Debug)]
pub(super) struct Pace {
    /// `None`: as fast as they come.
    rate: Option<Rate>,
    have: f64,
    filled: Duration,
}

impl Pace {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            have: rate.map_or(0.0, |rate| rate.burst),
            filled: Duration::ZERO,
        }
    }

    /// Of so many, how many may be told now; they are taken. `now`: since the bucket was made.
    pub(super) fn take(&mut self, now: Duration, wanted: usize) -> usize {
        let Some(rate) = self.rate else {
            return wanted;
        };
        let past_s = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = now;
        self.have = (self.have + past_s * rate.per_s).min(rate.burst);
        // A hair's breadth is rounding.
        let whole = (self.have + 1e-9).floor().max(0.0) as usize;
        let taken = wanted.min(whole);
        self.have -= taken as f64;
        taken
    }

    /// How long until one more may be.
    pub(super) fn wait(&self) -> Duration {
        let wait_s = self.rate.map_or(0.0, |rate| (1.0 - self.have) / rate.per_s);
        Duration::from_secs_f64(wait_s.clamp(0.0, 3600.0)).max(WAIT_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_and_not_one_more() {
        let mut pace = Pace::new(Some(Rate::per_second(10)));
        #[rustfmt::skip]
        let table = [
            // at, wanted, got
            (0.0, 99,  99),
            (0.0, 2,   1),
            (0.0, 1,   0),
            (0.05, 1,  0),
            (0.1, 5,   1),
            (0.1, 1,   0),
            (1.1, 50,  10),
            (1_000.0, 1_000, 100),
            // A clock that goes back gives nothing.
            (999.0, 1, 0),
        ];
        for (at_s, wanted, got) in table {
            let now = Duration::from_secs_f64(at_s);
            assert_eq!(pace.take(now, wanted), got, "{wanted} at {at_s}");
        }
        assert_eq!(pace.wait(), Duration::from_millis(100));
        assert_eq!(Pace::new(None).take(Duration::ZERO, 1 << 40), 1 << 40);
    }
}
