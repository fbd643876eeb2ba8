//! The timer wheel: one for all deadlines of a shard.
//!
//! Deadlines are hashed into ticks. Ticks that nobody waits for take no memory, for a shard may be one stream. A deadline is
//! never taken back: whoever is told looks whether it still stands.

use std::collections::BTreeMap;

/// How exact a deadline is, in milliseconds; none comes early.
pub(crate) const TICK_MS: u64 = 100;

/// Somebody's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due<T> {
    pub(crate) key: T,
    pub(crate) at_ms: u64,
}

/// Deadlines by tick.
pub(crate) struct Wheel<T> {
    ticks: BTreeMap<u64, Vec<Due<T>>>,
}

impl<T> Wheel<T> {
    pub(crate) fn new() -> Self {
        Self {
            ticks: BTreeMap::new(),
        }
    }

    /// Adds a deadline.
    pub(crate) fn arm(&mut self, key: T, at_ms: u64) {
        let tick = at_ms.div_ceil(TICK_MS);
        self.ticks.entry(tick).or_default().push(Due { key, at_ms });
    }

    /// The earliest tick that has come, with all its deadlines.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Option<Vec<Due<T>>> {
        let first = self.ticks.first_entry()?;
        (*first.key() <= now_ms / TICK_MS).then(|| first.remove())
    }

    /// When the earliest tick comes.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let (tick, _) = self.ticks.first_key_value()?;
        Some(tick.saturating_mul(TICK_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_never_early() {
        let mut wheel = Wheel::new();
        for (key, at_ms) in [
            (1, 250),
            (2, 100),
            (3, 0),
            (4, 101),
            (5, 3_600_000),
            (6, 200),
        ] {
            wheel.arm(key, at_ms);
        }
        let mut told = Vec::new();
        for now_ms in 0..=400 {
            while let Some(due) = wheel.take_due(now_ms) {
                told.extend(due.into_iter().map(|due| (now_ms, due.key, due.at_ms)));
            }
        }
        assert_eq!(
            told,
            [
                (0, 3, 0),
                (100, 2, 100),
                (200, 4, 101),
                (200, 6, 200),
                (300, 1, 250)
            ]
        );
        assert_eq!(wheel.next_ms(), Some(3_600_000));
        assert!(wheel.take_due(3_599_999).is_none());
        assert_eq!(wheel.take_due(u64::MAX).unwrap().len(), 1);
        assert_eq!(wheel.next_ms(), None);
    }
}
