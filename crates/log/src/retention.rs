//! How long records are kept: the settings, and the arithmetic that every log shares.
//!
//! Nothing is dropped here. A log asks whether its oldest piece (a record, or a segment of them) has to go, and drops it.

use crate::Rule;

/// What a log keeps. A limit that is `None` is off; without any, everything is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// At most so many bytes, as [`crate::Bounds::bytes`] counts them.
    pub bytes: Option<u64>,
    /// At most so many records.
    pub count: Option<u64>,
    /// Records no older than this, in milliseconds. A record ends when its time and this are no longer in the future.
    pub age_ms: Option<u64>,
    /// Shorter limits for topics by prefix.
    pub rules: Vec<Rule>,
}

impl Retention {
    /// Whether a log that keeps so many records of so many bytes keeps too much.
    #[must_use]
    pub fn is_exceeded(&self, records: u64, bytes: u64) -> bool {
        self.count.is_some_and(|most| records > most) || self.bytes.is_some_and(|most| bytes > most)
    }

    /// Whether a record of this time has ended by age.
    #[must_use]
    pub fn has_ended(&self, time_ms: u64, now_ms: u64) -> bool {
        self.age_ms
            .is_some_and(|age_ms| ended(time_ms, age_ms, now_ms))
    }
}

/// Whether something of this time that lasts so long is over.
pub(crate) fn ended(time_ms: u64, lasts_ms: u64, now_ms: u64) -> bool {
    time_ms.saturating_add(lasts_ms) <= now_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_exact_at_their_edge() {
        let retention = Retention {
            bytes: Some(100),
            count: Some(3),
            age_ms: Some(10),
            rules: Vec::new(),
        };
        #[rustfmt::skip]
        let table = [(3, 100, false), (4, 100, true), (3, 101, true), (0, 0, false)];
        for (records, bytes, exceeded) in table {
            assert_eq!(retention.is_exceeded(records, bytes), exceeded);
        }
        for (time_ms, now_ms, over) in [(5, 14, false), (5, 15, true), (u64::MAX, 20, false)] {
            assert_eq!(retention.has_ended(time_ms, now_ms), over);
        }
        assert!(!Retention::default().is_exceeded(u64::MAX, u64::MAX));
        assert!(!Retention::default().has_ended(0, u64::MAX));
    }
}
