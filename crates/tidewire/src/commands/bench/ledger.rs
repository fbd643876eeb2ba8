//! Which events each subscriber has had: what is lost, out of order or there twice.
//!
//! The numbers of one publisher on one topic count up from 0, and every subscriber of the topic must see each of them once and in
//! order. A number that is jumped over is missing; if it still comes, it was out of order; a number that was there before is a
//! duplicate.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Runs of missing numbers that are remembered; beyond that, late events count as duplicates. Either way the run fails.
const HOLES_MAX: usize = 1_000_000;

/// What the checks found, together for all subscribers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Findings {
    pub(super) lost: u64,
    pub(super) out_of_order: u64,
    pub(super) duplicates: u64,
    /// Payloads that were changed on their way.
    pub(super) damaged: u64,
}

impl Findings {
    pub(super) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.out_of_order += other.out_of_order;
        self.duplicates += other.duplicates;
        self.damaged += other.damaged;
    }

    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The next number of each subscriber and publisher.
#[derive(Debug)]
pub(super) struct Ledger {
    /// `slots` numbers for each subscriber, one for each publisher of its topic.
    next: Vec<u32>,
    slots: usize,
    holes: HashMap<usize, Vec<Range<u32>>>,
    holes_count: usize,
    findings: Findings,
}

impl Ledger {
    pub(super) fn new(subscribers: usize, slots: usize) -> Self {
        Self {
            next: vec![0; subscribers * slots],
            slots,
            holes: HashMap::new(),
            holes_count: 0,
            findings: Findings::default(),
        }
    }

    /// Takes note of an event; gives how far the subscriber has come by it. Numbers that were jumped over count as passed:
    /// who waits for a slow subscriber must not wait for what is lost.
    #[inline]
    pub(super) fn note(&mut self, subscriber: usize, slot: usize, seq: u32) -> u32 {
        let at = subscriber * self.slots + slot;
        let Some(next) = self.next.get_mut(at).filter(|_| slot < self.slots) else {
            self.findings.damaged += 1;
            return 0;
        };
        if seq == *next {
            *next += 1;
            return 1;
        }
        self.note_surprise(at, seq)
    }

    #[cold]
    fn note_surprise(&mut self, at: usize, seq: u32) -> u32 {
        let next = self.next[at];
        if seq < next {
            self.note_late(at, seq);
            return 0;
        }
        self.findings.lost += u64::from(seq - next);
        if self.holes_count < HOLES_MAX {
            self.holes.entry(at).or_default().push(next..seq);
            self.holes_count += 1;
        }
        self.next[at] = seq + 1;
        seq + 1 - next
    }

    fn note_late(&mut self, at: usize, seq: u32) {
        let holes = self.holes.entry(at).or_default();
        let Some(found) = holes.iter().position(|hole| hole.contains(&seq)) else {
            self.findings.duplicates += 1;
            return;
        };
        let hole = holes.swap_remove(found);
        let parts = [hole.start..seq, seq + 1..hole.end];
        holes.extend(parts.into_iter().filter(|part| !part.is_empty()));
        self.findings.out_of_order += 1;
        self.findings.lost -= 1;
    }

    /// Closes the books on a subscriber: `published` gives how many events there were in each slot.
    pub(super) fn close(&mut self, subscriber: usize, published: impl Fn(usize) -> u32) {
        for slot in 0..self.slots {
            let next = self.next[subscriber * self.slots + slot];
            self.findings.lost += u64::from(published(slot).saturating_sub(next));
        }
    }

    pub(super) fn findings(&self) -> Findings {
        self.findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named() {
        type Case = (&'static str, u32, &'static [u32], [u64; 3]);
        let cases: [Case; 9] = [
            ("all", 4, &[0, 1, 2, 3], [0, 0, 0]),
            ("the last is lost", 4, &[0, 1, 2], [1, 0, 0]),
            ("all are lost", 4, &[], [4, 0, 0]),
            ("one in the middle is lost", 4, &[0, 2, 3], [1, 0, 0]),
            ("two are swapped", 4, &[0, 2, 1, 3], [0, 1, 0]),
            ("one is there twice", 4, &[0, 1, 1, 2, 3], [0, 0, 1]),
            ("one comes late, and twice", 4, &[1, 2, 3, 0, 0], [0, 1, 1]),
            ("a hole is filled from within", 6, &[0, 5, 3, 2], [2, 2, 0]),
            ("all again", 2, &[0, 1, 0, 1], [0, 0, 2]),
        ];
        for (case, published, seen, [lost, out_of_order, duplicates]) in cases {
            let mut ledger = Ledger::new(3, 2);
            for &seq in seen {
                ledger.note(1, 1, seq);
            }
            ledger.close(1, |slot| if slot == 1 { published } else { 0 });
            let expected = Findings {
                lost,
                out_of_order,
                duplicates,
                damaged: 0,
            };
            assert_eq!(ledger.findings(), expected, "{case}");
        }
    }

    #[test]
    fn what_is_lost_holds_nobody_up() {
        let mut ledger = Ledger::new(1, 1);
        let passed: u32 = [0, 3, 1, 4].map(|seq| ledger.note(0, 0, seq)).iter().sum();
        assert_eq!(passed, 5);
    }

    #[test]
    fn a_publisher_that_is_not_there_is_damage() {
        let mut ledger = Ledger::new(2, 1);
        ledger.note(0, 1, 0);
        assert_eq!(ledger.findings().damaged, 1);
    }
}
