//! Steps: what a shard does when it is driven. Live, replay, catch-up and gap are the same few lines: read at a cohort's
//! cursor, do what the answer says.

use tidewire_core::Position;
use tidewire_log::{Batch, Floors, Gap, Read, ReadAsk};

use crate::cohort::Cohort;
use crate::deliver::{Readers, Scratch};
use crate::index::id;
use crate::kept::{Place, Subscriber};
use crate::shard::TAIL_TOKEN;
use crate::tell::Tell;
use crate::ticks::Tick;
use crate::{EndReason, Ended, Shard, Sink};

/// What a step came to.
#[derive(Debug)]
#[must_use]
pub struct Step<S> {
    /// There is more to do at once: the budget was spent. Look after the sockets, then take another step.
    pub again: bool,
    /// When the next deadline is, in the shard's clock: take a step then, if nothing wakes it before.
    pub wake_at_ms: Option<u64>,
    /// Who ended since the step before.
    pub ended: Vec<Ended<S>>,
}

/// Cohorts behind that want no more topics than this in all tell the log, so that it can skip ahead.
const ASK_TOPICS_MAX: usize = 64;

/// A shard of no more than this many subscribers keeps no room for its next delivery: there may be thousands of such shards.
const SMALL_SHARD: usize = 16;

/// What a step may still do for those behind.
struct Budget {
    records: usize,
    bytes: usize,
    matches: usize,
    /// For slow patterns.
    effort: usize,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.records == 0 || self.bytes == 0 || self.matches == 0
    }

    /// A read costs something even if it finds nothing.
    fn spend(&mut self, records: usize, bytes: usize, matches: usize) {
        self.records = self.records.saturating_sub(records.max(1));
        self.bytes = self.bytes.saturating_sub(bytes);
        self.matches = self.matches.saturating_sub(matches);
    }
}

impl<S: Sink> Shard<S> {
    /// Does what is due, within the budget: deadlines, then the tail, then those behind in turn and the tail of slow patterns, then what
    /// has to be told.
    pub fn step(&mut self, now_ms: u64) -> Step<S> {
        self.now_ms = now_ms;
        self.now = self.pace.clock.tick(now_ms);
        self.waker.begin_step();
        self.counters.steps += 1;
        for (key, reason) in std::mem::take(&mut self.ends) {
            if let Some(index) = self.index_of(key) {
                self.finish(index, reason);
            }
        }
        self.handle_loaded();
        self.handle_deadlines();
        self.serve_tails(false);
        self.serve_behind();
        self.serve_tails(true);
        self.tell_listed();
        self.sweep_feeds();
        if self.subscribers.len() <= SMALL_SHARD {
            self.scratch = Scratch::default();
        }
        self.counters.tell();
        Step {
            again: self.cohorts.wait() || self.feeds.iter().any(|(_, feed)| feed.tail.is_ready()),
            wake_at_ms: self.wheel.next().and_then(|tick| self.pace.clock.ms(tick)),
            ended: std::mem::take(&mut self.ended),
        }
    }

    /// What was `Loading` may be asked for again.
    fn handle_loaded(&mut self) {
        for token in self.waker.take_loaded() {
            if token & TAIL_TOKEN == 0 {
                self.cohorts.line_up(token);
            } else if let Some(feed) = self.feeds.get_mut((token & !TAIL_TOKEN) as usize) {
                feed.tail.asleep = false;
            }
        }
    }

    fn handle_deadlines(&mut self) {
        while let Some((tick, due)) = self.wheel.take_due(self.now) {
            for index in due {
                // It may be another subscriber's index by now: then a look at its deadlines does no harm.
                if let Some(subscriber) = self.subscribers.get_mut(index as usize)
                    && subscriber.armed == tick
                {
                    subscriber.armed = Tick::NEVER;
                    self.handle_deadline(index);
                }
            }
        }
    }

    /// One of a subscriber's deadlines may have come. Those that end it come before any delivery: invariant 9.
    fn handle_deadline(&mut self, index: u32) {
        let (now, pace) = (self.now, &self.pace);
        let subscriber = &mut self.subscribers[index as usize];
        let stands = subscriber.is_standing();
        if now >= subscriber.grant_ends_at(pace) {
            return self.finish(index, EndReason::Grant);
        }
        if now >= subscriber.dies_at(pace) {
            return self.finish(index, EndReason::Life);
        }
        if stands && now >= subscriber.stalls_at(pace) {
            return self.finish(index, EndReason::Stalled);
        }
        if now >= subscriber.expires_at(pace) {
            subscriber.tell_expiring();
            subscriber.tells_mut(|tells| tells.push(Tell::Expiring));
            self.list(index);
        } else if !stands && now >= subscriber.quiet_until(pace) {
            // Armed again when it was told, for a delivery of this step may do instead.
            return self.list(index);
        }
        self.arm(index);
    }

    /// Reads once for each feed's tail, on the side of slow patterns or the other.
    pub(crate) fn serve_tails(&mut self, slow: bool) {
        for feed in 0..self.feeds.capacity() {
            if let Some(known) = self.feeds.get_mut(feed)
                && known.is_slow == slow
            {
                known.take_mark();
                if known.tail.is_ready() {
                    self.serve_tail(id(feed));
                }
            }
        }
    }

    fn serve_tail(&mut self, feed: u32) {
        let known = &mut self.feeds[feed as usize];
        let from = known.tail.next;
        let ask = ReadAsk {
            from,
            topics: None,
            bytes_max: self.config.step_bytes_max,
            records_max: self.config.step_records_max,
        };
        let read = known.feed.log().read(&ask, &known.waker);
        self.counters.count_read(&read);
        match read {
            Read::Batch(batch) => {
                assert!(batch.next() > from, "invariant 4: a read moves on");
                if is_below(from, batch.floors()) {
                    for index in self.tail_members(feed) {
                        self.tell_floor(index, batch.floors(), batch.next());
                    }
                }
                let known = &self.feeds[feed as usize];
                let ready = known.prepare(&batch, &mut self.config.step_effort_max.clone());
                let end = self.deliver(feed, Readers::Tail, &batch, ready);
                self.feeds[feed as usize].tail.next = end;
            }
            Read::AtTail => known.tail.until = Position::default(),
            Read::Loading => known.tail.asleep = true,
            Read::Gap(gap) => self.pass_tail_gap(feed, gap),
        }
    }

    fn tail_members(&self, feed: u32) -> Vec<u32> {
        let at_tail = |(_, subscriber): &(usize, &Subscriber<S>)| {
            subscriber.is_at_tail() && subscriber.feed == feed
        };
        let members = self.subscribers.iter().filter(at_tail);
        members.map(|(index, _)| id(index)).collect()
    }

    /// The tail itself was passed by retention, or the log is not what it was.
    fn pass_tail_gap(&mut self, feed: u32, gap: Gap) {
        let from = self.feeds[feed as usize].tail.next;
        for index in self.tail_members(feed) {
            if self.cursor_of(index) < gap.resume || gap.resume <= from {
                self.pass_gap(index, gap);
            }
        }
        let tail = &mut self.feeds[feed as usize].tail;
        tail.next = gap.resume;
        tail.until = Position(u64::MAX);
    }

    /// Moves a subscriber to where a gap goes on, and tells it; unless it wants only what lies after the gap. This alone
    /// may move a cursor back, when what it points to never was: the client is told so.
    fn pass_gap(&mut self, index: u32, gap: Gap) {
        let cursor = self.cursor_of(index);
        let subscriber = &mut self.subscribers[index as usize];
        subscriber.advance(gap.resume);
        let feed = subscriber.feed;
        let asked = self.asked(feed, cursor);
        self.tell_gap(index, asked, gap);
    }

    /// Serves cohorts in turn until the budget is spent.
    fn serve_behind(&mut self) {
        let mut budget = Budget {
            records: self.config.step_records_max,
            bytes: self.config.step_bytes_max,
            matches: self.config.step_matches_max,
            effort: self.config.step_effort_max,
        };
        let mut out_of_effort = Vec::new();
        while !budget.is_spent() {
            let Some(cohort) = self.cohorts.take_next() else {
                break;
            };
            if budget.effort == 0 && self.is_slow(cohort) {
                out_of_effort.push(cohort);
            } else {
                self.serve_cohort(cohort, &mut budget);
            }
        }
        out_of_effort
            .into_iter()
            .for_each(|cohort| self.cohorts.line_up(cohort));
    }

    /// Whether a cohort wants slow patterns.
    fn is_slow(&self, cohort: u32) -> bool {
        let feed = self.cohorts.find(cohort).map(Cohort::feed);
        feed.is_some_and(|feed| self.feeds[feed as usize].is_slow)
    }

    /// Reads once for a cohort, at its lowest cursor.
    fn serve_cohort(&mut self, cohort: u32, budget: &mut Budget) {
        let (from, read) = self.read_behind(cohort, budget);
        self.counters.count_read(&read);
        match read {
            Read::Batch(batch) => {
                assert!(batch.next() > from, "invariant 4: a read moves on");
                self.serve_batch(cohort, &batch, budget);
            }
            Read::AtTail => {
                budget.spend(1, 0, 0);
                for index in self.members(cohort) {
                    self.enter_tail(index);
                }
            }
            // It waits outside the line until its waker has been told.
            Read::Loading => return budget.spend(1, 0, 0),
            Read::Gap(gap) => {
                budget.spend(1, 0, 0);
                self.pass_cohort_gap(cohort, from, gap);
            }
        }
        self.cohorts.line_up(cohort);
    }

    fn read_behind(&mut self, cohort: u32, budget: &Budget) -> (Position, Read) {
        let waker = self.cohorts.waker(cohort, &self.waker);
        let known = self.cohorts.find(cohort).expect("it was in the line");
        let members = || {
            known
                .members
                .iter()
                .map(|index| &self.subscribers[*index as usize])
        };
        let lowest = members().map(|subscriber| subscriber.next).min();
        let from = lowest.expect("a cohort has a member");
        let feed = &self.feeds[known.feed() as usize];
        let mut topics = Vec::new();
        let few = members().all(|s| feed.wants(s).unite(&mut topics, ASK_TOPICS_MAX));
        let ask = ReadAsk {
            from,
            topics: few.then_some(&topics[..]),
            bytes_max: budget.bytes,
            records_max: budget.records,
        };
        (from, feed.feed.log().read(&ask, &waker))
    }

    fn members(&self, cohort: u32) -> Vec<u32> {
        let known = self.cohorts.find(cohort);
        known.map_or_else(Vec::new, |known| known.members.clone())
    }

    /// Delivers a batch to those of a cohort whom it concerns, as many as the budget allows and at least one; the others
    /// keep their cursors and are read for again.
    fn serve_batch(&mut self, cohort: u32, batch: &Batch, budget: &mut Budget) {
        let (mut records, mut bytes) = (0, 0);
        let feed = self.cohorts.find(cohort).map(Cohort::feed);
        let ready = feed.map_or(0, |feed| {
            self.feeds[feed as usize].prepare(batch, &mut budget.effort)
        });
        for item in batch.records().take(ready) {
            records += 1;
            bytes += item.record().as_bytes().len();
        }
        let most = (budget.matches / records.max(1)).max(1);
        let mut served = self.members(cohort);
        let end = batch.next();
        served.retain(|index| self.subscribers[*index as usize].next < end);
        served.truncate(most);
        let feed = self.subscribers[served[0] as usize].feed;
        for &index in &served {
            let subscriber = &mut self.subscribers[index as usize];
            subscriber.set_served(true);
            if is_below(subscriber.next, batch.floors()) {
                self.tell_floor(index, batch.floors(), batch.next());
            } else if subscriber.floor().is_none() {
                subscriber.set_floor(Position::default());
            }
        }
        let before = self.counters.deliveries;
        let end = self.deliver(feed, Readers::Behind(&served), batch, ready);
        let matches = usize::try_from(self.counters.deliveries - before).unwrap_or(usize::MAX);
        budget.spend(records, bytes, matches);
        for index in served {
            if let Some(subscriber) = self.subscribers.get_mut(index as usize)
                && subscriber.set_served(false)
            {
                subscriber.advance(end.max(subscriber.next));
                self.settle(index);
            }
        }
    }

    fn pass_cohort_gap(&mut self, cohort: u32, from: Position, gap: Gap) {
        for index in self.members(cohort) {
            let next = self.subscribers[index as usize].next;
            if next < gap.resume || gap.resume <= from {
                self.pass_gap(index, gap);
                self.settle(index);
            }
        }
    }

    /// Puts a subscriber where its cursor belongs, after it has moved.
    fn settle(&mut self, index: u32) {
        let subscriber = &self.subscribers[index as usize];
        let (feed, next) = (&mut self.feeds[subscriber.feed as usize], subscriber.next);
        let tail = match feed.tail.members {
            0 => feed.seen(),
            _ => feed.tail.next,
        };
        if next >= tail {
            // What lies between may have been committed before its interest was known: the tail reads on to the end.
            self.enter_tail(index);
            let feed = self.subscribers[index as usize].feed;
            self.feeds[feed as usize].tail.until = Position(u64::MAX);
            return;
        }
        if let Place::Behind { cohort, .. } = subscriber.place()
            && self.cohorts.find(cohort).is_some_and(|c| c.covers(next))
        {
            return;
        }
        self.displace(index);
        self.place_behind(index);
    }

    /// A subscriber has come up with the log.
    fn enter_tail(&mut self, index: u32) {
        self.displace(index);
        let subscriber = &mut self.subscribers[index as usize];
        subscriber.set_place(Place::Tail);
        if subscriber.floor().is_none() {
            subscriber.set_floor(Position::default());
        }
        let feed = &mut self.feeds[subscriber.feed as usize];
        feed.tail.members += 1;
        if feed.tail.members == 1 {
            feed.tail.next = subscriber.next;
            feed.tail.until = Position::default();
            feed.tail.asleep = false;
            feed.take_mark();
        }
    }
}

/// Whether any floor is above a cursor at all.
fn is_below(next: Position, floors: &Floors) -> bool {
    floors.as_slice().iter().any(|floor| floor.floor > next)
}
