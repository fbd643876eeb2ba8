//! Delivery: from a batch to the sinks of everyone it was read for. There is no other way from the log to a sink.

use slab::Slab;
use tidewire_core::{Form, Frame, Position};
use tidewire_log::{Batch, BatchRecord};

use crate::feed::ShardFeed;
use crate::kept::Subscriber;
use crate::{Shard, Sink};

/// For whom a batch was read.
#[derive(Clone, Copy)]
pub(crate) enum Readers<'a> {
    /// Everyone at the tail of a feed.
    Tail,
    /// These, who are marked as served.
    Behind(&'a [u32]),
}

impl Readers<'_> {
    /// Whether the batch was read for this subscriber, and it wants what stands at this position.
    fn have<S>(self, subscriber: &Subscriber<S>, position: Position) -> bool {
        let reads = match self {
            Self::Tail => subscriber.is_at_tail(),
            Self::Behind(_) => subscriber.is_served(),
        };
        reads && subscriber.next <= position
    }

    fn direct_cost<S>(self, subscribers: &Slab<Subscriber<S>>, feed: &ShardFeed) -> usize {
        match self {
            Self::Tail => usize::MAX,
            Self::Behind(served) => {
                let cost = |index: &u32| feed.wants(&subscribers[*index as usize]).cost();
                served.iter().map(cost).sum()
            }
        }
    }
}

/// What deliveries need room for; kept, so that a delivery allocates nothing for a subscriber.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Who gets the same run of frames as all others here.
    same: Vec<u32>,
    /// Who gets which record, as (subscriber << 32 | index of the record).
    matches: Vec<u64>,
}

/// Those who want slow patterns let everyone else go first, also in the midst of a delivery to many of them: nobody of theirs is served
/// by that, so that what is being handed out stays as it is.
struct Courtesy {
    served: Option<usize>,
}

/// How many are served before others are looked after: a tenth of a millisecond's worth.
const SERVED_MAX: usize = 16;

impl Courtesy {
    fn of(feed: &ShardFeed) -> Self {
        Self {
            served: feed.is_slow.then_some(0),
        }
    }

    /// Before each who is served: whether others are to be looked after now.
    fn is_due(&mut self) -> bool {
        let Some(served) = &mut self.served else {
            return false;
        };
        *served += 1;
        *served % SERVED_MAX == 0
    }
}

/// The frames of a batch, in each form that somebody reads.
struct Frames<'r, 'a> {
    records: &'r [BatchRecord<'a>],
    forms: [Vec<Frame<'a>>; 1 + Form::DERIVED.len()],
}

impl<'a> Frames<'_, 'a> {
    fn in_form(&mut self, form: Form) -> &[Frame<'a>] {
        let slot = match form {
            Form::EventStream => 0,
            Form::Labelled => 1,
            Form::Ndjson => 2,
            Form::Legacy => 3,
        };
        let frames = &mut self.forms[slot];
        if frames.is_empty() {
            frames.extend(self.records.iter().map(|item| item.frame(form)));
        }
        frames
    }
}

impl<S: Sink> Shard<S> {
    /// Delivers a batch to those it was read for: all of it, or as far as `matches_max` allows but at least one record, and no more
    /// than so many. Answers how far.
    pub(crate) fn deliver(
        &mut self,
        feed: u32,
        readers: Readers<'_>,
        batch: &Batch,
        most: usize,
    ) -> Position {
        let all: Vec<_> = batch.records().collect();
        let records = &all[..all.len().min(most)];
        if records.is_empty() {
            return all.first().map_or(batch.next(), BatchRecord::position);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let found = Found {
            subscribers: &self.subscribers,
            feed: &self.feeds[feed as usize],
            readers,
            direct_cost: readers.direct_cost(&self.subscribers, &self.feeds[feed as usize]),
            matches_max: self.config.step_matches_max,
            run_min: self.config.step_run_min.max(1),
        };
        let same = is_same_topic(records);
        let covered = if same {
            found.by_topic(records, &mut scratch.same)
        } else {
            found.by_record(records, &mut scratch.matches)
        };
        let end = match all.get(covered) {
            Some(first_left) => first_left.position(),
            None => batch.next(),
        };
        let mut frames = Frames {
            records: &records[..covered],
            forms: Default::default(),
        };
        let courtesy = Courtesy::of(&self.feeds[feed as usize]);
        if same {
            self.hand_same(&scratch.same, &mut frames, end, courtesy);
        } else {
            scratch.matches.sort_unstable();
            // A record that matched by two topics is delivered once: invariant 8.
            scratch.matches.dedup();
            self.hand_matches(&scratch.matches, &mut frames, end, courtesy);
        }
        scratch.same.clear();
        scratch.matches.clear();
        self.scratch = scratch;
        end
    }

    /// Everyone gets the same run of frames, from their own cursor on.
    fn hand_same(
        &mut self,
        same: &[u32],
        frames: &mut Frames<'_, '_>,
        end: Position,
        mut courtesy: Courtesy,
    ) {
        let records = frames.records;
        for &index in same {
            if courtesy.is_due() {
                self.serve_tails(false);
            }
            let subscriber = &self.subscribers[index as usize];
            let next = subscriber.next;
            let first = if next <= records[0].position() {
                0
            } else {
                records.partition_point(|item| item.position() < next)
            };
            if first == records.len() {
                continue;
            }
            let run = &frames.in_form(subscriber.form())[first..];
            let position = |at: usize| records[first + at].position();
            self.hand_over(index, run, position, end);
        }
    }

    /// Everyone gets what they matched, in order.
    fn hand_matches(
        &mut self,
        matches: &[u64],
        frames: &mut Frames<'_, '_>,
        end: Position,
        mut courtesy: Courtesy,
    ) {
        let records = frames.records;
        let mut run = Vec::new();
        for group in matches.chunk_by(|a, b| a >> 32 == b >> 32) {
            if courtesy.is_due() {
                self.serve_tails(false);
            }
            let (index, _) = unpack(group[0]);
            let form = self.subscribers[index as usize].form();
            let all = frames.in_form(form);
            run.clear();
            run.extend(group.iter().map(|&packed| all[unpack(packed).1]));
            let position = |at: usize| records[unpack(group[at]).1].position();
            self.hand_over(index, &run, position, end);
        }
    }

    /// Offers a subscriber its frames in one write. Its cursor is then `end`, or it stands still before the first frame
    /// that was not taken.
    fn hand_over(
        &mut self,
        index: u32,
        frames: &[Frame<'_>],
        position: impl Fn(usize) -> Position,
        end: Position,
    ) {
        let Some(outcome) = self.offer(index, frames) else {
            return;
        };
        self.counters.deliveries += outcome.taken as u64;
        let subscriber = &mut self.subscribers[index as usize];
        subscriber.delivered.add(outcome.taken as u64);
        if let Some(last) = outcome.taken.checked_sub(1) {
            let last = position(last);
            assert!(subscriber.next <= last, "invariants 4 and 8: onwards only");
            subscriber.give_id(last.next());
        }
        if outcome.full {
            let next = if outcome.taken < frames.len() {
                position(outcome.taken)
            } else {
                end
            };
            self.stand(index, next);
        }
    }
}

/// Looks up who gets what.
struct Found<'a, S> {
    subscribers: &'a Slab<Subscriber<S>>,
    feed: &'a ShardFeed,
    readers: Readers<'a>,
    /// What asking each reader's filter costs a record.
    direct_cost: usize,
    matches_max: usize,
    /// Records that the tail gets at least where they go to all alike.
    run_min: usize,
}

impl<S> Found<'_, S> {
    /// For records of one and the same topic, all public: everyone who gets them gets all of them. How many records fit
    /// the budget.
    fn by_topic(&self, records: &[BatchRecord<'_>], same: &mut Vec<u32>) -> usize {
        let last = records[records.len() - 1].position();
        let topic = records[0].record().topics().next().unwrap_or_default();
        match self.readers {
            Readers::Behind(served) if self.is_direct(self.listed(topic)) => {
                let wants = |index: &&u32| {
                    let subscriber = &self.subscribers[**index as usize];
                    subscriber.next <= last && self.feed.wants(subscriber).routes(topic)
                };
                same.extend(served.iter().filter(wants));
            }
            _ => {
                let reads = |index: &u32| {
                    let subscriber = &self.subscribers[*index as usize];
                    self.readers.have(subscriber, last)
                };
                same.extend(self.candidates(topic).filter(reads));
                if self.feed.index.has_patterns_of(topic) {
                    // Who matched in two ways gets it once: invariant 8.
                    same.sort_unstable();
                    same.dedup();
                }
            }
        }
        match self.readers {
            // The tail moves as one: what does not fit waits for the next step.
            Readers::Tail => {
                let fit = self.matches_max / same.len().max(1);
                fit.max(self.run_min).min(records.len())
            }
            Readers::Behind(_) => records.len(),
        }
    }

    /// For any records. How many fit the budget.
    fn by_record(&self, records: &[BatchRecord<'_>], matches: &mut Vec<u64>) -> usize {
        for (at, item) in records.iter().enumerate() {
            if matches!(self.readers, Readers::Tail) && matches.len() >= self.matches_max {
                return at;
            }
            let record = item.record();
            let listed = || record.topics().map(|topic| self.listed(topic)).sum();
            match self.readers {
                Readers::Behind(served) if self.is_direct(listed()) => {
                    let wants = |subscriber: &Subscriber<S>| {
                        let wants = self.feed.wants(subscriber);
                        wants.accepts(record.topics(), record.private())
                    };
                    self.push(served.iter().copied(), at, item, wants, matches);
                }
                _ => {
                    // The index has answered for the routing; the grant may hit another topic.
                    let granted = |subscriber: &Subscriber<S>| {
                        !record.private() || self.feed.wants(subscriber).may_read(record.topics())
                    };
                    let candidates = record.topics().flat_map(|topic| self.candidates(topic));
                    self.push(candidates, at, item, granted, matches);
                }
            }
        }
        records.len()
    }

    fn push(
        &self,
        candidates: impl Iterator<Item = u32>,
        at: usize,
        item: &BatchRecord<'_>,
        wants: impl Fn(&Subscriber<S>) -> bool,
        matches: &mut Vec<u64>,
    ) {
        let position = item.position();
        for index in candidates {
            let subscriber = &self.subscribers[index as usize];
            if self.readers.have(subscriber, position) && wants(subscriber) {
                matches.push(u64::from(index) << 32 | at as u64);
            }
        }
    }

    /// Whether it is cheaper to ask each filter than to go through the index's lists, in which others stand as well.
    fn is_direct(&self, listed: usize) -> bool {
        // Of slow patterns the index alone knows what was tried already.
        !self.feed.is_slow && self.direct_cost <= listed
    }

    /// Who wants a topic, as the index lists them.
    fn candidates(&self, topic: &[u8]) -> impl Iterator<Item = u32> {
        let index = &self.feed.index;
        let entries = index.lists(topic).flatten();
        entries.map(|entry| index.subscriber(*entry))
    }

    /// How many they are.
    fn listed(&self, topic: &[u8]) -> usize {
        self.feed.index.lists(topic).map(<[_]>::len).sum()
    }
}

fn unpack(packed: u64) -> (u32, usize) {
    (
        (packed >> 32) as u32,
        (packed & u64::from(u32::MAX)) as usize,
    )
}

/// Whether all records are public and have one and the same topic alone.
fn is_same_topic(records: &[BatchRecord<'_>]) -> bool {
    let mut first = None;
    records.iter().all(|item| {
        let record = item.record();
        let mut topics = record.topics();
        let topic = topics.next();
        let single = topics.next().is_none() && !record.private();
        single && *first.get_or_insert(topic) == topic
    })
}
