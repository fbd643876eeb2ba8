//! What happened, counted: a simulation in which something never happens proves nothing about it.

use std::collections::BTreeMap;

/// How often each thing happened.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<&'static str, u64>);

/// What must have happened at least once in a run of many seeds.
pub const REQUIRED: [&str; 29] = [
    "read Batch",
    "read AtTail",
    "read Loading",
    "read Gap",
    "offer Taken",
    "offer Full",
    "offer Full inside a frame",
    "offer Closed",
    "event delivered",
    "event private",
    "checkpoint",
    "gap told, expired",
    "gap told, beyond",
    "gap told, epoch",
    "gap told, unknown",
    "gap told, by rule",
    "heartbeat",
    "resumed",
    "joined late",
    "ended, closed",
    "ended, stalled",
    "ended, life",
    "ended, grant",
    "ended, drain",
    "ended, revoked",
    "left",
    "revised",
    "revised, other topics",
    "revision refused",
];

impl Tally {
    /// Counts one.
    pub fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// Counts some.
    pub fn add(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    /// How often it happened.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add(what, *times);
        }
    }

    /// What of [`REQUIRED`] never happened.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        REQUIRED.into_iter().filter(|what| self.of(what) == 0)
    }

    /// Everything that happened, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(what, times)| (*what, *times))
    }
}
