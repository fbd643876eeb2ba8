//! Times in four bytes: a shard of a million subscribers keeps three for each.

/// How exact a time is, in milliseconds. A deadline that is counted from one comes up to two of them late, and never early.
pub(crate) const TICK_MS: u64 = 50;

/// A moment, in ticks of [`TICK_MS`] since a shard began; good for six years of them. What is later is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

impl Tick {
    /// No moment: later than all.
    pub(crate) const NEVER: Self = Self(u32::MAX);

    /// So many ticks later.
    pub(crate) fn after(self, ticks: Ticks) -> Self {
        Self(self.0.saturating_add(ticks.0))
    }

    /// So many ticks earlier, but not before the beginning.
    pub(crate) fn before(self, ticks: Ticks) -> Self {
        Self(self.0.saturating_sub(ticks.0))
    }
}

/// A stretch of time, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticks(u32);

impl Ticks {
    /// Without end.
    pub(crate) const FOREVER: Self = Self(u32::MAX);
    pub(crate) const ONE: Self = Self(1);

    /// At least as long as this.
    pub(crate) fn at_least(ms: u64) -> Self {
        Self(u32::try_from(ms.div_ceil(TICK_MS)).unwrap_or(u32::MAX))
    }

    /// At most as long as this, and at least a tick; zero milliseconds stand for no limit.
    pub(crate) fn limit(ms: u64) -> Self {
        match ms {
            0 => Self::FOREVER,
            _ => Self(u32::try_from(ms / TICK_MS).unwrap_or(u32::MAX).max(1)),
        }
    }

    /// 80 to 100 % of it, by chance, and no less of the time that it was a limit of; all of it if it has no end.
    pub(crate) fn most(self, chance: u32) -> Self {
        match self {
            Self::FOREVER => self,
            // Up to a tick was lost when the limit was made: 0.8 * (ticks + 1) must remain.
            Self(ticks) => Self(ticks - part((ticks + 1) / 5, chance)),
        }
    }

    /// Less than it, by chance.
    pub(crate) fn some(self, chance: u32) -> Self {
        Self(part(self.0, chance))
    }
}

/// Below a bound, by chance; zero if the bound is.
fn part(bound: u32, chance: u32) -> u32 {
    let scaled = (u64::from(bound) * u64::from(chance)) >> 32;
    u32::try_from(scaled).unwrap_or_default()
}

/// Translates between milliseconds and ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickClock {
    start_ms: u64,
}

impl TickClock {
    /// That of a shard to which nothing happened more than `past` before now.
    pub(crate) fn new(now_ms: u64, past_ms: u64) -> Self {
        Self {
            start_ms: now_ms.saturating_sub(past_ms),
        }
    }

    /// The tick that has come by then.
    pub(crate) fn tick(self, ms: u64) -> Tick {
        let ticks = ms.saturating_sub(self.start_ms) / TICK_MS;
        Tick(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// When a tick comes; `None`: never.
    pub(crate) fn ms(self, tick: Tick) -> Option<u64> {
        let ms = self.start_ms.saturating_add(u64::from(tick.0) * TICK_MS);
        (tick != Tick::NEVER).then_some(ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_at_their_edges() {
        let clock = TickClock::new(1_000_000, 15_000);
        let table = [
            (0, Tick(0), 985_000),
            (985_000, Tick(0), 985_000),
            (985_049, Tick(0), 985_000),
            (985_050, Tick(1), 985_050),
            (1_000_000, Tick(300), 1_000_000),
            (1_000_049, Tick(300), 1_000_000),
        ];
        for (ms, tick, at_ms) in table {
            assert_eq!((clock.tick(ms), clock.ms(tick)), (tick, Some(at_ms)));
        }
        let last_ms = 985_000 + u64::from(u32::MAX - 1) * TICK_MS;
        assert_eq!(clock.ms(clock.tick(last_ms)), Some(last_ms));
        for ms in [last_ms + TICK_MS, last_ms + 10 * TICK_MS, u64::MAX] {
            assert_eq!(clock.tick(ms), Tick::NEVER);
        }
        assert_eq!(clock.ms(Tick::NEVER), None);
        assert_eq!(TickClock::new(5, 15_000).tick(5), Tick(0));
    }

    #[test]
    fn never_is_not_come_by_nor_left() {
        let late = Tick(u32::MAX - 2);
        assert_eq!(late.after(Ticks::ONE), Tick(u32::MAX - 1));
        assert_eq!(late.after(Ticks(2)), Tick::NEVER);
        assert_eq!(late.after(Ticks::FOREVER), Tick::NEVER);
        assert_eq!(Tick::NEVER.after(Ticks::ONE), Tick::NEVER);
        assert_eq!(Tick(0).after(Ticks::FOREVER), Tick::NEVER);
        assert_eq!(Tick(3).before(Ticks(5)), Tick(0));
    }

    #[test]
    fn limits_are_kept_and_jittered() {
        let table = [
            (0, Ticks::FOREVER, Ticks(0)),
            (1, Ticks(1), Ticks(1)),
            (50, Ticks(1), Ticks(1)),
            (99, Ticks(1), Ticks(2)),
            (15_000, Ticks(300), Ticks(300)),
            (u64::MAX, Ticks::FOREVER, Ticks::FOREVER),
        ];
        for (ms, limit, at_least) in table {
            assert_eq!((Ticks::limit(ms), Ticks::at_least(ms)), (limit, at_least));
        }
        for ms in 4 * TICK_MS..20_000 {
            let Ticks(least) = Ticks::limit(ms).most(u32::MAX);
            assert!(u64::from(least) * TICK_MS * 10 >= ms * 8, "{ms}");
        }
        for (ticks, least) in [(1, 1), (8, 8), (9, 8), (300, 241), (72_000, 57_601)] {
            assert_eq!(Ticks(ticks).most(0), Ticks(ticks));
            assert_eq!(Ticks(ticks).most(u32::MAX), Ticks(least));
            assert_eq!(Ticks(ticks).some(0), Ticks(0));
            assert_eq!(Ticks(ticks).some(u32::MAX), Ticks(ticks - 1));
        }
        assert_eq!(Ticks::FOREVER.most(u32::MAX), Ticks::FOREVER);
        assert_eq!(Ticks(0).some(u32::MAX), Ticks(0));
    }
}
