//! What the bench and its subscriber processes tell each other: JSON, one message a line, over the child's standard input and
//! output.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::latency::Counts;
use super::ledger::Findings;
use super::options::Check;
use super::target::{Header, Place};
use super::tls::Trust;

/// What one subscriber process is to do: its first line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Task {
    pub(super) place: Place,
    pub(super) headers: Vec<Header>,
    pub(super) topics: TopicShare,
    /// Subscribers that read and are checked.
    pub(super) readers: usize,
    /// Subscribers that never read, or not before they are told to, and where they subscribe.
    pub(super) stalled: usize,
    pub(super) stalled_place: Place,
    /// Subscribers of patterns, which read and are not checked.
    pub(super) patterns: Option<Patterns>,
    pub(super) run: String,
    /// Readers on one HTTP/2 connection; 0 is HTTP/1.1.
    pub(super) streams: usize,
    pub(super) trust: Trust,
    /// Bytes of an event's data.
    pub(super) payload: usize,
    pub(super) publishers: usize,
    pub(super) check: Check,
    /// Whether the last event id of each reader is kept, for a reconnect.
    pub(super) keeps_ids: bool,
    /// The run's origin on the monotonic clock; all other times are since then.
    pub(super) origin_ns: u64,
    /// Connections in the making at a time.
    pub(super) connecting: usize,
    /// The address to connect from: a second one gives as many ports again.
    pub(super) source: Option<IpAddr>,
    /// Pause between two reports of progress.
    pub(super) report_ns: u64,
}

/// Subscribers of patterns.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Patterns {
    pub(super) place: Place,
    /// The number of the first one.
    pub(super) first: usize,
    pub(super) count: usize,
}

/// The topics of one process: every `step`th from `first`. Its subscribers take them in turn.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct TopicShare {
    pub(super) names: TopicNames,
    pub(super) first: usize,
    pub(super) step: usize,
}

/// All topics of a run, and which publisher sends to which: with more topics than publishers each topic has one publisher,
/// else each publisher has one topic.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct TopicNames {
    pub(super) prefix: String,
    pub(super) count: usize,
}

impl TopicNames {
    pub(super) fn name(&self, topic: usize) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// How many publishers a topic has at most.
    pub(super) fn slots(&self, publishers: usize) -> usize {
        publishers.div_ceil(self.count)
    }

    /// Which of a topic's publishers this is; `None` if it is none of them.
    #[inline]
    pub(super) fn slot(&self, topic: usize, publisher: usize, publishers: usize) -> Option<usize> {
        if self.count >= publishers {
            (topic % publishers == publisher).then_some(0)
        } else {
            (publisher % self.count == topic).then_some(publisher / self.count)
        }
    }

    /// How many topics a publisher has.
    pub(super) fn own(&self, publisher: usize, publishers: usize) -> usize {
        match self.count.checked_sub(publisher) {
            Some(rest) if self.count >= publishers => rest.div_ceil(publishers),
            _ => 1,
        }
    }

    /// The topic that a publisher sends its `turn`th event to.
    pub(super) fn topic(&self, publisher: usize, turn: usize, publishers: usize) -> usize {
        if self.count >= publishers {
            publisher + publishers * (turn % self.own(publisher, publishers))
        } else {
            publisher % self.count
        }
    }

    /// How many counters of events there are.
    pub(super) fn counters(&self, publishers: usize) -> usize {
        self.count.max(publishers)
    }

    /// The counter of a topic's slot.
    pub(super) fn counter(&self, topic: usize, slot: usize) -> usize {
        topic + slot * self.count
    }
}

impl TopicShare {
    pub(super) fn count(&self) -> usize {
        (self.names.count - self.first).div_ceil(self.step)
    }

    /// The topic of a process's nth subscriber.
    #[inline]
    pub(super) fn topic(&self, subscriber: usize) -> usize {
        self.first + self.step * (subscriber % self.count())
    }
}

/// What a subscriber process is told, after its task.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Order {
    /// Count what is sent, and what arrives, from then until then.
    Measure { from_ns: u64, to_ns: u64 },
    /// Close the books: so many events were published, by [`TopicNames::counter`].
    Finish { published: Vec<u32> },
    /// Close every connection.
    Leave,
    /// Those that never read are to begin.
    ReadAgain,
    /// Connect again, each with the id it saw last.
    Return(Return),
}

/// How subscribers come back.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Return {
    /// The query parameter for the last id; the Last-Event-ID field if there is none.
    pub(super) id_query: Option<String>,
    pub(super) source: Option<IpAddr>,
}

/// What a subscriber process tells.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum News {
    /// How far everything is.
    Progress(Progress),
    /// It cannot go on.
    Failed(String),
    /// All is over.
    Tally(Box<Tally>),
}

/// How far a process is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Progress {
    /// Connections that are open (or, of those who never read, have asked).
    pub(super) connected: usize,
    /// For each topic the events that its slowest healthy subscriber has had, summed over the topics.
    pub(super) least: u64,
    /// Events that arrived.
    pub(super) events: u64,
    /// When the last of them did.
    pub(super) last_ns: u64,
    /// Bytes that those read who did not read before.
    pub(super) late_bytes: u64,
    /// Subscribers that have seen an id.
    pub(super) with_id: usize,
}

/// What a process has seen.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Tally {
    pub(super) findings: Findings,
    /// Events that arrived, and bytes of all kinds.
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// Reads that brought something: few events a read mean that the server sends each alone.
    pub(super) reads: u64,
    /// Events that arrived while it was measured.
    pub(super) deliveries: u64,
    /// Events that were checked for order and loss.
    pub(super) checked: u64,
    /// Readers whose stream the server ended.
    pub(super) disconnected: u64,
    pub(super) stalled: StalledTally,
    pub(super) latency: Counts,
}

impl Tally {
    /// Adds what another process has seen, but for the latencies.
    pub(super) fn add(&mut self, other: &Self) {
        self.findings.add(other.findings);
        self.events += other.events;
        self.bytes += other.bytes;
        self.reads += other.reads;
        self.deliveries += other.deliveries;
        self.checked += other.checked;
        self.disconnected += other.disconnected;
        self.stalled.add(&other.stalled);
    }
}

/// What became of those that did not read.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct StalledTally {
    /// How many the server cut, and when the first.
    pub(super) cut: u64,
    pub(super) cut_first_ns: Option<u64>,
    /// Of those who read in the end: how many missed nothing,
    pub(super) whole: u64,
    /// missed something and were told,
    pub(super) told: u64,
    /// missed something and were not told.
    pub(super) untold: u64,
}

impl StalledTally {
    fn add(&mut self, other: &Self) {
        self.cut += other.cut;
        let firsts = [self.cut_first_ns, other.cut_first_ns];
        self.cut_first_ns = firsts.into_iter().flatten().min();
        self.whole += other.whole;
        self.told += other.told;
        self.untold += other.untold;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_of_a_topic_has_its_own_counter() {
        for (topics, publishers) in [
            (1, 1),
            (1, 32),
            (3, 32),
            (32, 32),
            (33, 32),
            (100, 7),
            (100, 1),
        ] {
            let names = TopicNames {
                prefix: String::new(),
                count: topics,
            };
            let mut used = vec![0; names.counters(publishers)];
            for publisher in 0..publishers {
                let mut own = Vec::new();
                for turn in 0.. {
                    let topic = names.topic(publisher, turn, publishers);
                    if own.contains(&topic) {
                        break;
                    }
                    own.push(topic);
                    let slot = names.slot(topic, publisher, publishers).unwrap();
                    assert!(slot < names.slots(publishers));
                    used[names.counter(topic, slot)] += 1;
                }
            }
            assert!(
                used.iter().all(|&used| used == 1),
                "{topics} {publishers} {used:?}"
            );
        }
    }

    #[test]
    fn the_processes_share_out_all_topics() {
        let names = TopicNames {
            prefix: "t".to_owned(),
            count: 10,
        };
        let mut seen: Vec<_> = (0..3)
            .flat_map(|first| {
                let names = names.clone();
                let share = TopicShare {
                    names,
                    first,
                    step: 3,
                };
                (0..share.count()).map(move |subscriber| share.topic(subscriber))
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }
}
