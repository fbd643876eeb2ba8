//! The timer wheel: one for all deadlines of a shard.
//!
//! Deadlines are hashed into ticks. Ticks that nobody waits for take no memory, for a shard may be one stream. A deadline is
//! never taken back and names its subscriber by no more than its index: whoever is told looks whether it still stands.

use std::collections::BTreeMap;

use crate::ticks::Tick;

/// Deadlines by tick, four bytes each.
#[derive(Default)]
pub(crate) struct Wheel {
    ticks: BTreeMap<Tick, Vec<u32>>,
}

impl Wheel {
    /// Adds a deadline.
    pub(crate) fn arm(&mut self, index: u32, at: Tick) {
        if at != Tick::NEVER {
            self.ticks.entry(at).or_default().push(index);
        }
    }

    /// The earliest tick that has come, with all its deadlines.
    pub(crate) fn take_due(&mut self, now: Tick) -> Option<(Tick, Vec<u32>)> {
        let first = self.ticks.first_entry()?;
        (*first.key() <= now).then(|| first.remove_entry())
    }

    /// The earliest tick.
    pub(crate) fn next(&self) -> Option<Tick> {
        let (tick, _) = self.ticks.first_key_value()?;
        Some(*tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticks::TickClock;

    #[test]
    fn deadlines_come_in_order_and_never_early() {
        let clock = TickClock::new(0, 0);
        let mut wheel = Wheel::default();
        let deadlines = [
            (1, 300),
            (2, 100),
            (3, 0),
            (5, 3_600_000),
            (6, 200),
            (4, 200),
        ];
        for (index, at_ms) in deadlines {
            wheel.arm(index, clock.tick(at_ms));
        }
        wheel.arm(7, Tick::NEVER);
        let mut told = Vec::new();
        for now_ms in 0..=400 {
            while let Some((tick, due)) = wheel.take_due(clock.tick(now_ms)) {
                assert_eq!(clock.ms(tick), Some(now_ms));
                told.extend(due.into_iter().map(|index| (now_ms, index)));
            }
        }
        assert_eq!(told, [(0, 3), (100, 2), (200, 6), (200, 4), (300, 1)]);
        assert_eq!(wheel.next(), Some(clock.tick(3_600_000)));
        assert!(wheel.take_due(clock.tick(3_599_999)).is_none());
        assert!(wheel.take_due(Tick::NEVER).is_some());
        assert_eq!(wheel.next(), None, "never is not waited for");
    }
}
