//! Shards: where subscribers live, who joins and who leaves. What a shard does with them is in [`crate::step`].

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use foldhash::fast::FixedState;
use slab::Slab;
use tidewire_core::Position;
use tidewire_log::GapReason;

use crate::cohort::Cohorts;
use crate::counters::Counting;
use crate::deliver::Scratch;
use crate::feed::{ShardFeed, is_slow};
use crate::index::id;
use crate::interest::ShardWaker;
use crate::kept::{Joining, Pace, Place, Subscriber};
use crate::tell::{Tell, Tells};
use crate::ticks::{Tick, TickClock, Ticks};
use crate::wheel::Wheel;
use crate::{Checkpoint, Counters, EndReason, Ended, Feed, Sink, SubscriberKey, Subscription};

/// Names streams by their subscribers' keys.
pub type Names = Arc<dyn Fn(SubscriberKey) -> String + Send + Sync>;

/// What a shard is told at its making; times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// A stream that was silent for this long gets a heartbeat, or a little earlier (80 to 100 %); 0: never.
    pub heartbeat_ms: u64,
    /// A stream's greatest life; it gets 80 to 100 % of this; 0: no limit.
    pub stream_life_ms: u64,
    /// A sink that is full for this long is ended.
    pub stall_deadline_ms: u64,
    /// How long before its end a grant's end is told.
    pub expiring_ms: u64,
    /// Records that a step reads for the tail of each feed, and again for all those behind; at least 1.
    pub step_records_max: usize,
    /// Bytes of records that a step reads for the tail of each feed, and again for all those behind; at least one record
    /// is read.
    pub step_bytes_max: usize,
    /// Frames that a step delivers to the tail of each feed, and again to all those behind; at least one record is
    /// delivered to whoever is served.
    pub step_matches_max: usize,
    /// Records that a step delivers to the tail of a feed, if there are so many and all want the same, however many
    /// subscribers that is: the write costs most, and a longer one little more. At least 1.
    pub step_run_min: usize,
    /// What a step spends at most on trying slow patterns for the tail of each feed, and again for all those behind, in units of about a
    /// nanosecond ([`tidewire_core::Pattern::effort`]); at least one pattern is tried.
    pub step_effort_max: usize,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            heartbeat_ms: 15_000,
            stream_life_ms: 3_600_000,
            stall_deadline_ms: 60_000,
            expiring_ms: 30_000,
            step_records_max: 256,
            step_bytes_max: 256 * 1024,
            step_matches_max: 256 * 1024,
            step_run_min: 64,
            step_effort_max: 50_000,
        }
    }
}

/// Where subscribers live: one thread, one connection or one stream drives it. Each subscriber has one shard for life;
/// shards share only their logs (invariant 10).
///
/// After [`Shard::join`], [`Shard::handle_writable`] and the methods that end somebody, take a [`Shard::step`]: the waker
/// tells only of what others did.
pub struct Shard<S> {
    pub(crate) config: ShardConfig,
    /// What follows from it for its streams; its clock starts when the first one joins.
    pub(crate) pace: Pace,
    /// When the present step was taken.
    pub(crate) now: Tick,
    pub(crate) now_ms: u64,
    pub(crate) waker: Arc<ShardWaker>,
    names: Option<Names>,
    pub(crate) subscribers: Slab<Subscriber<S>>,
    joins: u32,
    pub(crate) feeds: Slab<ShardFeed>,
    /// By the address of the feed, which its entry in `feeds` keeps alive, and whether it is the side of slow patterns.
    feed_ids: HashMap<(usize, bool), u32, FixedState>,
    /// Some feed may have lost its last subscriber.
    pub(crate) feeds_idle: bool,
    pub(crate) cohorts: Cohorts,
    pub(crate) wheel: Wheel,
    /// Who has to be told something in this step.
    pub(crate) due: Vec<SubscriberKey>,
    /// Whom the next step ends.
    pub(crate) ends: Vec<(SubscriberKey, EndReason)>,
    pub(crate) ended: Vec<Ended<S>>,
    pub(crate) counters: Counting,
    pub(crate) scratch: Scratch,
}

/// Tokens of loads that concern a feed's tail, not a cohort behind, have this bit.
pub(crate) const TAIL_TOKEN: u32 = 1 << 31;

impl<S: Sink> Shard<S> {
    /// An empty shard. The seed jitters deadlines and keeps hashes from being guessed; the waker is woken when a step is
    /// worth taking.
    #[must_use]
    pub fn new(config: ShardConfig, seed: u64, waker: Waker) -> Self {
        Self {
            config,
            pace: Pace {
                clock: TickClock::new(0, 0),
                seed,
                quiet: Ticks::limit(config.heartbeat_ms),
                life: Ticks::limit(config.stream_life_ms),
                stall: Ticks::at_least(config.stall_deadline_ms),
                expiring_ms: config.expiring_ms,
            },
            now: Tick::NEVER,
            now_ms: 0,
            waker: ShardWaker::new(waker),
            names: None,
            // A shard is often one stream of one log.
            subscribers: Slab::with_capacity(1),
            joins: 0,
            feeds: Slab::with_capacity(1),
            feed_ids: HashMap::with_hasher(FixedState::with_seed(seed)),
            feeds_idle: false,
            cohorts: Cohorts::new(seed),
            wheel: Wheel::default(),
            due: Vec::new(),
            ends: Vec::new(),
            ended: Vec::new(),
            counters: Counting::default(),
            scratch: Scratch::default(),
        }
    }

    /// Says how it names those streams that come without a name. A name is made when it is told, and not kept.
    pub fn name_with(&mut self, names: Names) {
        self.names = Some(names);
    }

    /// A stream's name.
    pub(crate) fn name(&self, key: SubscriberKey) -> String {
        self.names
            .as_ref()
            .map_or_else(String::new, |names| names(key))
    }

    /// Adds a subscriber. Its opening is offered in the next step, whatever it is: perhaps no frame at all.
    ///
    /// # Panics
    /// In debug builds, if `from` is beyond the log's tail: it is not from [`tidewire_log::Log::locate`].
    pub fn join(&mut self, now_ms: u64, subscription: Subscription, sink: S) -> SubscriberKey {
        debug_assert!(subscription.from <= subscription.feed.log().bounds().tail);
        if self.joins == 0 {
            self.pace.clock = TickClock::new(now_ms, self.config.heartbeat_ms);
        }
        self.sweep_feeds();
        let is_slow = is_slow(&subscription.filter);
        let feed = self.feed_id(&subscription.feed, is_slow);
        let index = id(self.subscribers.vacant_key());
        self.joins = self.joins.wrapping_add(1);
        let subscriber = self.subscriber(now_ms, index, feed, subscription, sink);
        self.subscribers.insert(subscriber);
        self.counters.subscribers += 1;
        self.counters.joined += 1;
        self.place_behind(index);
        self.list(index);
        self.arm(index);
        SubscriberKey::new(index, self.joins)
    }

    fn subscriber(
        &mut self,
        now_ms: u64,
        index: u32,
        feed: u32,
        subscription: Subscription,
        sink: S,
    ) -> Subscriber<S> {
        let tells = opening(&subscription);
        let floor_told = match &subscription.gap {
            // Goes on from the tail: nothing that a floor hides from there on was told.
            Some((_, gap)) => gap.reason != GapReason::Unknown,
            None => false,
        };
        // Before anything is read for it, so that no commit is lost: see `interest`.
        let (filter, edges) = self.feeds[feed as usize].add(subscription.filter, index);
        let joining = Joining {
            sink,
            next: subscription.from,
            now: self.pace.clock.tick(now_ms),
            join: self.joins,
            feed,
            form: subscription.form,
            checkpoint: subscription.checkpoint,
            tells,
            grant_at_ms: subscription.ends_ms,
            marks: subscription.marks,
            seen_as: subscription.seen_as,
            floor_told,
            filter,
            edges,
        };
        Subscriber::new(joining, &self.pace)
    }

    /// Takes a subscriber out, without a word to it; `None` if it is gone already.
    pub fn leave(&mut self, key: SubscriberKey) -> Option<S> {
        let index = self.index_of(key)?;
        let subscriber = self.remove(index);
        self.counters.left += 1;
        self.sweep_feeds();
        Some(subscriber.sink)
    }

    /// The sink of a subscriber that was full has written all it held, and can take more.
    pub fn handle_writable(&mut self, now_ms: u64, key: SubscriberKey) {
        let Some(index) = self.index_of(key) else {
            return;
        };
        let subscriber = &mut self.subscribers[index as usize];
        if !subscriber.is_standing() {
            return;
        }
        subscriber.since = self.pace.clock.tick(now_ms);
        let untold = !subscriber.tells().is_empty();
        self.place_behind(index);
        if untold {
            self.list(index);
        }
        self.arm(index);
    }

    /// The sink of a subscriber that is full has written some of what it holds, and not yet all: it does not stall, however
    /// long a large frame takes it.
    pub fn handle_progress(&mut self, now_ms: u64, key: SubscriberKey) {
        if let Some(index) = self.index_of(key) {
            let subscriber = &mut self.subscribers[index as usize];
            if subscriber.is_standing() {
                subscriber.since = self.pace.clock.tick(now_ms);
            }
        }
    }

    /// Ends a subscriber in the next step, between frames, with a last word if its sink can take one.
    pub fn end(&mut self, key: SubscriberKey, reason: EndReason) {
        self.ends.push((key, reason));
    }

    /// Ends every subscriber in the next step, as [`Shard::end`] does.
    pub fn end_all(&mut self, reason: EndReason) {
        let all: Vec<_> = self.keys().map(|key| (key, reason)).collect();
        self.ends.extend(all);
    }

    /// Takes every subscriber out, without a word to it: its sink, and how many events' frames that took.
    pub fn drain(&mut self) -> impl Iterator<Item = (S, u64)> {
        let keys: Vec<_> = self.keys().collect();
        let taken: Vec<_> = keys
            .into_iter()
            .map(|key| self.remove(key.index()))
            .map(|subscriber| (subscriber.sink, subscriber.delivered.total()))
            .collect();
        self.counters.left += taken.len() as u64;
        self.sweep_feeds();
        taken.into_iter()
    }

    /// Everyone who is there.
    pub fn keys(&self) -> impl Iterator<Item = SubscriberKey> {
        self.subscribers
            .iter()
            .map(|(index, subscriber)| SubscriberKey::new(id(index), subscriber.join))
    }

    /// The sink of a subscriber, for whoever drives it; `None` if it is gone.
    pub fn sink_mut(&mut self, key: SubscriberKey) -> Option<&mut S> {
        let index = self.index_of(key)?;
        Some(&mut self.subscribers[index as usize].sink)
    }

    /// Every subscriber's sink, for whoever drives them all.
    pub fn sinks_mut(&mut self) -> impl Iterator<Item = (SubscriberKey, &mut S)> {
        self.subscribers.iter_mut().map(|(index, subscriber)| {
            let key = SubscriberKey::new(id(index), subscriber.join);
            (key, &mut subscriber.sink)
        })
    }

    /// How many events' frames a subscriber's sink took; 0 if it is gone.
    #[must_use]
    pub fn delivered(&self, key: SubscriberKey) -> u64 {
        self.index_of(key).map_or(0, |index| {
            self.subscribers[index as usize].delivered.total()
        })
    }

    /// When a subscriber joined, in milliseconds of the shard's clock or up to 50 before; 0 if it is gone.
    #[must_use]
    pub fn joined_ms(&self, key: SubscriberKey) -> u64 {
        self.index_of(key).map_or(0, |index| {
            self.subscribers[index as usize].joined_ms(&self.pace)
        })
    }

    /// How many subscribers it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// Whether it has no subscriber.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// What it did.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Where a subscriber is, if it is not gone.
    pub(crate) fn index_of(&self, key: SubscriberKey) -> Option<u32> {
        let subscriber = self.subscribers.get(key.index() as usize)?;
        (subscriber.join == key.join()).then_some(key.index())
    }

    /// Takes a subscriber out of everything.
    pub(crate) fn remove(&mut self, index: u32) -> Subscriber<S> {
        self.displace(index);
        let subscriber = self.subscribers.remove(index as usize);
        let feed = &mut self.feeds[subscriber.feed as usize];
        let others = &mut self.subscribers;
        feed.remove(subscriber.filter, subscriber.edges, |moved, slot| {
            others[moved as usize].edges.move_to(slot);
        });
        // Not at once: a step may be reading it.
        self.feeds_idle |= feed.subscribers == 0;
        self.counters.subscribers -= 1;
        subscriber
    }

    /// What is told of a subscriber that was taken out.
    pub(crate) fn ended_of(
        &self,
        index: u32,
        subscriber: Subscriber<S>,
        reason: EndReason,
    ) -> Ended<S> {
        Ended {
            key: SubscriberKey::new(index, subscriber.join),
            reason,
            delivered: subscriber.delivered.total(),
            joined_ms: subscriber.joined_ms(&self.pace),
            sink: subscriber.sink,
        }
    }

    /// Drops feeds that nobody here reads.
    pub(crate) fn sweep_feeds(&mut self) {
        if std::mem::take(&mut self.feeds_idle) {
            self.feeds.retain(|_, feed| feed.subscribers > 0);
            let feeds = &self.feeds;
            self.feed_ids
                .retain(|_, feed| feeds.contains(*feed as usize));
        }
    }

    pub(crate) fn feed_id(&mut self, feed: &Arc<Feed>, is_slow: bool) -> u32 {
        let side = (Arc::as_ptr(feed).addr(), is_slow);
        if let Some(&known) = self.feed_ids.get(&side) {
            return known;
        }
        let new = id(self.feeds.vacant_key());
        let token = new | TAIL_TOKEN;
        let seed = self.pace.seed;
        let feed = ShardFeed::new(Arc::clone(feed), is_slow, seed, &self.waker, token);
        self.feeds.insert(feed);
        self.feed_ids.insert(side, new);
        new
    }

    /// A subscriber's cursor.
    pub(crate) fn cursor_of(&self, index: u32) -> Position {
        let subscriber = &self.subscribers[index as usize];
        subscriber.cursor(self.feeds[subscriber.feed as usize].tail.next)
    }

    /// Takes a subscriber out of its cohort.
    pub(crate) fn displace(&mut self, index: u32) {
        let subscriber = &mut self.subscribers[index as usize];
        match subscriber.place() {
            Place::Standing => {}
            Place::Tail => self.feeds[subscriber.feed as usize].tail.members -= 1,
            Place::Behind { cohort, slot } => {
                if let Some(moved) = self.cohorts.leave(cohort, slot) {
                    let moved = &mut self.subscribers[moved as usize];
                    moved.set_place(Place::Behind { cohort, slot });
                }
            }
        }
        self.subscribers[index as usize].set_place(Place::Standing);
    }

    /// Puts a subscriber that is nowhere into the cohort of the block that it wants.
    pub(crate) fn place_behind(&mut self, index: u32) {
        let subscriber = &mut self.subscribers[index as usize];
        debug_assert!(subscriber.is_standing());
        let (cohort, slot) = self.cohorts.join(subscriber.feed, subscriber.next, index);
        subscriber.set_place(Place::Behind { cohort, slot });
    }

    /// A sink is full: its subscriber stands still, and wants `next` when it is writable again.
    pub(crate) fn stand(&mut self, index: u32, next: Position) {
        self.displace(index);
        let subscriber = &mut self.subscribers[index as usize];
        assert!(next >= subscriber.next, "invariant 4: a cursor moves on");
        subscriber.advance(next);
        subscriber.set_served(false);
        subscriber.since = self.now;
        self.arm(index);
    }

    /// Sees to it that the wheel holds a subscriber's next deadline, or an earlier one.
    pub(crate) fn arm(&mut self, index: u32) {
        let subscriber = &mut self.subscribers[index as usize];
        let at = subscriber.deadline(&self.pace);
        if at < subscriber.armed {
            subscriber.armed = at;
            self.wheel.arm(index, at);
        }
    }
}

/// What a subscriber is told first. The head and its first comment are the response's, not the stream's.
fn opening(subscription: &Subscription) -> Tells {
    let mut tells = Tells::default();
    match subscription.checkpoint {
        Checkpoint::Event => tells.push(Tell::Open(subscription.stream.as_str().into())),
        Checkpoint::Id => tells.push(Tell::At),
        Checkpoint::Off => {}
    }
    if let Some(gap) = &subscription.gap {
        tells.push_gap(gap.clone(), subscription.checkpoint);
    }
    tells
}
