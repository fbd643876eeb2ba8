//! What arrives at one process's subscribers, counted, checked and timed. No sockets here.

use std::ops::Range;

use super::super::latency::Latency;
use super::super::ledger::Ledger;
use super::super::options::Check;
use super::super::payload::{self, Carry, Mark, Run, Scanner};
use super::super::wire::{Tally, Task, TopicShare};

/// Of subscribers whose events are only counted, every so many events are timed.
const TIMED_EVERY: u64 = 16;

/// The books of one process.
#[derive(Debug)]
pub(super) struct Books {
    scanner: Scanner,
    page: Page,
}

/// All but what finds the events.
#[derive(Debug)]
struct Page {
    ledger: Ledger,
    /// How many events each reader has had.
    progress: Vec<u32>,
    /// Readers whose stream has ended: nobody waits for them.
    gone: Vec<bool>,
    /// The topic of each reader.
    topic_of: Vec<usize>,
    topics: TopicShare,
    publishers: usize,
    check: Check,
    latency: Latency,
    measured: Range<u64>,
    /// Whether the present time is measured.
    is_measuring: bool,
    tally: Tally,
}

impl Books {
    pub(super) fn new(task: &Task, run: Run) -> Self {
        let slots = task.topics.names.slots(task.publishers);
        Self {
            scanner: Scanner::new(run, task.payload),
            page: Page {
                ledger: Ledger::new(task.readers, slots),
                progress: vec![0; task.readers],
                gone: vec![false; task.readers],
                topic_of: (0..task.readers)
                    .map(|reader| task.topics.topic(reader))
                    .collect(),
                topics: task.topics.clone(),
                publishers: task.publishers,
                check: task.check,
                latency: Latency::default(),
                measured: 0..0,
                is_measuring: false,
                tally: Tally::default(),
            },
        }
    }

    /// Measures what is sent and arrives in this time.
    pub(super) fn measure(&mut self, time: Range<u64>) {
        self.page.measured = time;
        self.page.latency = Latency::default();
        self.page.tally.deliveries = 0;
    }

    /// So many bytes were read at once.
    #[inline]
    pub(super) fn read(&mut self, bytes: usize, now_ns: u64) {
        self.page.tally.reads += 1;
        self.page.tally.bytes += bytes as u64;
        self.page.is_measuring = self.page.measured.contains(&now_ns);
    }

    /// Bytes of a stream's body arrived.
    #[inline]
    pub(super) fn data(&mut self, reader: usize, carry: &mut Carry, bytes: &[u8], now_ns: u64) {
        let page = &mut self.page;
        self.scanner
            .scan(carry, bytes, |mark| page.event(reader, mark, now_ns));
    }

    /// A reader's stream has ended, though it should not.
    pub(super) fn lose(&mut self, reader: usize) {
        self.page.gone[reader] = true;
        self.page.tally.disconnected += 1;
    }

    pub(super) fn events(&self) -> u64 {
        self.page.tally.events
    }

    /// See [`super::super::wire::Progress::least`].
    pub(super) fn least(&self) -> u64 {
        let page = &self.page;
        if page.progress.is_empty() {
            return 0;
        }
        let of_topic = |topic: usize| {
            let readers = (topic..page.progress.len()).step_by(page.topics.count());
            let healthy = readers.clone().filter(|&reader| !page.gone[reader]);
            let least = healthy.map(|reader| page.progress[reader]).min();
            least.unwrap_or_else(|| {
                readers
                    .map(|reader| page.progress[reader])
                    .max()
                    .unwrap_or(0)
            })
        };
        (0..page.topics.count())
            .map(|topic| u64::from(of_topic(topic)))
            .sum()
    }

    /// Closes the books, given how many events there were by [`super::super::wire::TopicNames::counter`].
    pub(super) fn close(&mut self, published: &[u32]) -> Tally {
        let page = &mut self.page;
        for reader in 0..page.progress.len() {
            page.close(reader, published);
        }
        let mut tally = std::mem::take(&mut page.tally);
        tally.findings.add(page.ledger.findings());
        tally.findings.damaged += self.scanner.damaged;
        tally.latency = page.latency.counts();
        tally
    }
}

impl Page {
    #[inline]
    fn event(&mut self, reader: usize, mark: &Mark, now_ns: u64) {
        self.tally.events += 1;
        self.tally.deliveries += u64::from(self.is_measuring);
        if self.check.covers(reader) {
            self.check(reader, mark, now_ns);
        } else {
            self.count(reader, mark, now_ns);
        }
    }

    #[inline]
    fn check(&mut self, reader: usize, mark: &Mark, now_ns: u64) {
        self.tally.checked += 1;
        let stamp = payload::read(mark);
        let place = stamp.and_then(|stamp| {
            let topic = self.topic_of[reader];
            let names = &self.topics.names;
            Some((stamp, names.slot(topic, stamp.publisher, self.publishers)?))
        });
        let Some((stamp, slot)) = place else {
            // Of a publisher that sends nothing to this topic, or no numbers at all.
            self.tally.findings.damaged += 1;
            return;
        };
        self.progress[reader] += self.ledger.note(reader, slot, stamp.seq);
        self.time(stamp.sent_ns, now_ns);
    }

    #[inline]
    fn count(&mut self, reader: usize, mark: &Mark, now_ns: u64) {
        self.progress[reader] += 1;
        if self.tally.events.is_multiple_of(TIMED_EVERY)
            && let Some(stamp) = payload::read(mark)
        {
            self.time(stamp.sent_ns, now_ns);
        }
    }

    #[inline]
    fn time(&mut self, sent_ns: u64, now_ns: u64) {
        if self.measured.contains(&sent_ns) {
            self.latency.record_ns(now_ns.saturating_sub(sent_ns));
        }
    }

    fn close(&mut self, reader: usize, published: &[u32]) {
        let topic = self.topic_of[reader];
        let names = &self.topics.names;
        let of_slot = |slot| {
            published
                .get(names.counter(topic, slot))
                .copied()
                .unwrap_or(0)
        };
        if self.check.covers(reader) {
            self.ledger.close(reader, of_slot);
            return;
        }
        let expected: u32 = (0..names.slots(self.publishers)).map(of_slot).sum();
        let had = self.progress[reader];
        let findings = &mut self.tally.findings;
        findings.lost += u64::from(expected.saturating_sub(had));
        findings.duplicates += u64::from(had.saturating_sub(expected));
    }
}
