//! Subscribers that do not read until they are told to: whether they then have everything, or were told what they have not.

use memchr::memmem;

use super::super::payload::{Carry, Run, Scanner};
use super::super::wire::{StalledTally, Task, TopicShare};

/// How our own hub tells a gap; other servers never do.
const GAP: &[u8] = b"event: tidewire.gap";

/// The books of those that did not read.
#[derive(Debug)]
pub(super) struct Late {
    /// Whether they read now.
    pub(super) is_reading: bool,
    /// What they have read together.
    pub(super) bytes: u64,
    scanner: Scanner,
    records: Vec<Record>,
    topics: TopicShare,
    publishers: usize,
    cut_first_ns: Option<u64>,
}

/// One of them.
#[derive(Clone, Debug, Default)]
struct Record {
    events: u32,
    is_cut: bool,
    is_told: bool,
    /// What the last bytes ended with: the words that tell a gap may be cut in two.
    tail: Vec<u8>,
}

impl Late {
    pub(super) fn new(task: &Task, run: Run) -> Self {
        Self {
            is_reading: false,
            bytes: 0,
            scanner: Scanner::new(run, task.payload),
            records: vec![Record::default(); task.stalled],
            topics: task.topics.clone(),
            publishers: task.publishers,
            cut_first_ns: None,
        }
    }

    /// The server ended its stream.
    pub(super) fn cut(&mut self, number: usize, now_ns: u64) {
        self.records[number].is_cut = true;
        self.cut_first_ns.get_or_insert(now_ns);
    }

    /// Bytes of a stream's body arrived.
    pub(super) fn data(&mut self, number: usize, carry: &mut Carry, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let record = &mut self.records[number];
        self.scanner.scan(carry, bytes, |_| record.events += 1);
        if !record.is_told {
            record.look_for_gap(bytes);
        }
    }

    /// Closes the books, given how many events there were by [`super::super::wire::TopicNames::counter`].
    pub(super) fn close(&self, published: &[u32]) -> StalledTally {
        let mut tally = StalledTally {
            cut_first_ns: self.cut_first_ns,
            ..StalledTally::default()
        };
        for (number, record) in self.records.iter().enumerate() {
            let count = match (record.is_cut, self.has_all(number, published)) {
                (true, _) => &mut tally.cut,
                (false, true) => &mut tally.whole,
                (false, false) if record.is_told => &mut tally.told,
                (false, false) => &mut tally.untold,
            };
            *count += u64::from(record.is_cut || self.is_reading);
        }
        tally
    }

    fn has_all(&self, number: usize, published: &[u32]) -> bool {
        let names = &self.topics.names;
        let topic = self.topics.topic(number);
        let of_slot = |slot| published.get(names.counter(topic, slot)).copied();
        let expected: u32 = (0..names.slots(self.publishers)).filter_map(of_slot).sum();
        self.records[number].events >= expected
    }
}

impl Record {
    fn look_for_gap(&mut self, bytes: &[u8]) {
        const KEPT: usize = GAP.len() - 1;
        let seam = bytes.len().min(KEPT);
        self.tail.extend_from_slice(&bytes[..seam]);
        self.is_told =
            memmem::find(&self.tail, GAP).is_some() || memmem::find(bytes, GAP).is_some();
        if seam == KEPT {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - KEPT..]);
        } else {
            let surplus = self.tail.len().saturating_sub(KEPT);
            self.tail.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_seen_however_it_is_cut() {
        for (stream, expected) in [
            ("data: x\n\nevent: tidewire.gap\ndata: {}\n\n", true),
            ("event: tidewire.gap", true),
            ("event: tidewire.open\n\ndata: tidewire.gap\n\n", false),
        ] {
            for step in 1..=stream.len() {
                let mut record = Record::default();
                for part in stream.as_bytes().chunks(step) {
                    if !record.is_told {
                        record.look_for_gap(part);
                    }
                }
                assert_eq!(record.is_told, expected, "{stream:?} {step}");
            }
        }
    }
}
