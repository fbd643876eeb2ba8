//! Shards: where subscribers live, who joins and who leaves. What a shard does with them is in [`crate::step`].

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use foldhash::fast::FixedState;
use slab::Slab;
use tidewire_core::Position;
use tidewire_log::GapReason;

use crate::cohort::Cohorts;
use crate::deliver::Scratch;
use crate::feed::ShardFeed;
use crate::index::{Edges, id};
use crate::interest::ShardWaker;
use crate::subscriber::{NEVER_MS, Place, Subscriber, UNTOLD_FLOOR};
use crate::tell::{Tell, Tells};
use crate::wheel::{TICK_MS, Wheel};
use crate::{Checkpoint, Counters, EndReason, Ended, Feed, Sink, SubscriberKey, Subscription};

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
    seed: u64,
    random: Random,
    pub(crate) waker: Arc<ShardWaker>,
    pub(crate) subscribers: Slab<Subscriber<S>>,
    joins: u32,
    pub(crate) feeds: Slab<ShardFeed>,
    /// By the address of the feed, which its entry in `feeds` keeps alive.
    feed_ids: HashMap<usize, u32, FixedState>,
    /// Some feed may have lost its last subscriber.
    feeds_idle: bool,
    pub(crate) cohorts: Cohorts,
    pub(crate) wheel: Wheel<SubscriberKey>,
    /// Who has to be told something in this step.
    pub(crate) due: Vec<SubscriberKey>,
    /// Whom the next step ends.
    pub(crate) ends: Vec<(SubscriberKey, EndReason)>,
    pub(crate) ended: Vec<Ended<S>>,
    pub(crate) counters: Counters,
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
            seed,
            random: Random(seed),
            waker: ShardWaker::new(waker),
            // A shard is often one stream of one log.
            subscribers: Slab::with_capacity(1),
            joins: 0,
            feeds: Slab::with_capacity(1),
            feed_ids: HashMap::with_hasher(FixedState::with_seed(seed)),
            feeds_idle: false,
            cohorts: Cohorts::new(seed),
            wheel: Wheel::new(),
            due: Vec::new(),
            ends: Vec::new(),
            ended: Vec::new(),
            counters: Counters::default(),
            scratch: Scratch::default(),
        }
    }

    /// Adds a subscriber. Its opening is offered in the next step, whatever it is: perhaps no frame at all.
    ///
    /// # Panics
    /// In debug builds, if `from` is beyond the log's tail: it is not from [`tidewire_log::Log::locate`].
    pub fn join(&mut self, now_ms: u64, subscription: Subscription, sink: S) -> SubscriberKey {
        debug_assert!(subscription.from <= subscription.feed.log().bounds().tail);
        self.sweep_feeds();
        let feed = self.feed_id(&subscription.feed);
        let index = id(self.subscribers.vacant_key());
        self.joins = self.joins.wrapping_add(1);
        let subscriber = self.subscriber(now_ms, feed, subscription, sink);
        self.subscribers.insert(subscriber);
        self.counters.subscribers += 1;
        self.counters.joined += 1;
        let subscriber = &mut self.subscribers[index as usize];
        // Before anything is read for it, so that no commit is lost: see `interest`.
        subscriber.edges = self.feeds[feed as usize].add(&subscriber.filter, index);
        self.place_behind(index);
        self.list(index);
        self.arm(index);
        SubscriberKey::new(index, self.joins)
    }

    fn subscriber(
        &mut self,
        now_ms: u64,
        feed: u32,
        subscription: Subscription,
        sink: S,
    ) -> Subscriber<S> {
        let config = self.config;
        let random = &mut self.random;
        let off = |ms: u64| if ms == 0 { NEVER_MS } else { ms };
        let life_ms = random.most_of(off(config.stream_life_ms));
        let quiet_ms = random.most_of(off(config.heartbeat_ms));
        // The first heartbeat comes anywhere within its time: joined together is not beating together.
        let phase_ms = random.below(quiet_ms.min(now_ms.saturating_add(1)));
        let floor = match &subscription.gap {
            // Goes on from the tail: nothing that a floor hides from there on was told.
            None => Position::default(),
            Some((_, gap)) if gap.reason == GapReason::Unknown => Position::default(),
            Some(_) => UNTOLD_FLOOR,
        };
        Subscriber {
            sink,
            edges: Edges::None,
            next: subscription.from,
            told: subscription.from,
            floor,
            delivered: 0,
            since_ms: now_ms - phase_ms,
            armed_ms: NEVER_MS,
            life_at_ms: now_ms.saturating_add(life_ms),
            // A deadline comes up to a tick late; a grant's end must not.
            grant_at_ms: subscription
                .ends_ms
                .map_or(NEVER_MS, |ends_ms| ends_ms.saturating_sub(TICK_MS)),
            quiet_ms,
            join: self.joins,
            feed,
            place: Place::Standing,
            form: subscription.form,
            checkpoint: subscription.checkpoint,
            opened: false,
            listed: false,
            served: false,
            expiring_told: subscription.ends_ms.is_none()
                || subscription.checkpoint != Checkpoint::Event,
            tells: opening(&subscription),
            filter: subscription.filter,
        }
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
        if subscriber.place != Place::Standing {
            return;
        }
        subscriber.since_ms = now_ms;
        let untold = !subscriber.tells.is_empty();
        self.place_behind(index);
        if untold {
            self.list(index);
        }
        self.arm(index);
    }

    /// Ends a subscriber in the next step, between frames, with a last word if its sink can take one.
    pub fn end(&mut self, key: SubscriberKey, reason: EndReason) {
        self.ends.push((key, reason));
    }

    /// Ends every subscriber in the next step, as [`Shard::end`] does.
    pub fn end_all(&mut self, reason: EndReason) {
        let end = |(index, subscriber): (usize, &Subscriber<S>)| {
            (SubscriberKey::new(id(index), subscriber.join), reason)
        };
        self.ends.extend(self.subscribers.iter().map(end));
    }

    /// Takes every subscriber out, without a word to it: its sink, and how many events' frames that took.
    pub fn drain(&mut self) -> impl Iterator<Item = (S, u64)> {
        let indexes: Vec<_> = self
            .subscribers
            .iter()
            .map(|(index, _)| id(index))
            .collect();
        let taken: Vec<_> = indexes
            .into_iter()
            .map(|index| self.remove(index))
            .map(|subscriber| (subscriber.sink, subscriber.delivered))
            .collect();
        self.counters.left += taken.len() as u64;
        self.sweep_feeds();
        taken.into_iter()
    }

    /// The sink of a subscriber, for whoever drives it; `None` if it is gone.
    pub fn sink_mut(&mut self, key: SubscriberKey) -> Option<&mut S> {
        let index = self.index_of(key)?;
        Some(&mut self.subscribers[index as usize].sink)
    }

    /// How many events' frames a subscriber's sink took; 0 if it is gone.
    #[must_use]
    pub fn delivered(&self, key: SubscriberKey) -> u64 {
        self.index_of(key)
            .map_or(0, |index| self.subscribers[index as usize].delivered)
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
        let mut subscriber = self.subscribers.remove(index as usize);
        let feed = &mut self.feeds[subscriber.feed as usize];
        feed.remove(std::mem::take(&mut subscriber.edges));
        // Not at once: a step may be reading it.
        self.feeds_idle |= feed.subscribers == 0;
        self.counters.subscribers -= 1;
        subscriber
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

    fn feed_id(&mut self, feed: &Arc<Feed>) -> u32 {
        let address = Arc::as_ptr(feed).addr();
        if let Some(&known) = self.feed_ids.get(&address) {
            return known;
        }
        let new = id(self.feeds.vacant_key());
        let token = new | TAIL_TOKEN;
        let feed = ShardFeed::new(Arc::clone(feed), self.seed, &self.waker, token);
        self.feeds.insert(feed);
        self.feed_ids.insert(address, new);
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
        match std::mem::replace(&mut subscriber.place, Place::Standing) {
            Place::Standing => {}
            Place::Tail => self.feeds[subscriber.feed as usize].tail.members -= 1,
            Place::Behind { cohort, slot } => {
                if let Some(moved) = self.cohorts.leave(cohort, slot) {
                    self.subscribers[moved as usize].place = Place::Behind { cohort, slot };
                }
            }
        }
    }

    /// Puts a subscriber that is nowhere into the cohort of the block that it wants.
    pub(crate) fn place_behind(&mut self, index: u32) {
        let subscriber = &mut self.subscribers[index as usize];
        debug_assert_eq!(subscriber.place, Place::Standing);
        let (cohort, slot) = self.cohorts.join(subscriber.feed, subscriber.next, index);
        subscriber.place = Place::Behind { cohort, slot };
    }

    /// A sink is full: its subscriber stands still, and wants `next` when it is writable again.
    pub(crate) fn stand(&mut self, index: u32, next: Position, now_ms: u64) {
        self.displace(index);
        let subscriber = &mut self.subscribers[index as usize];
        assert!(next >= subscriber.next, "invariant 4: a cursor moves on");
        subscriber.next = next;
        subscriber.served = false;
        subscriber.since_ms = now_ms;
        self.arm(index);
    }

    /// Sees to it that the wheel holds a subscriber's next deadline, or an earlier one.
    pub(crate) fn arm(&mut self, index: u32) {
        let subscriber = &mut self.subscribers[index as usize];
        let config = &self.config;
        let at_ms = subscriber.deadline_ms(config.stall_deadline_ms, config.expiring_ms);
        if at_ms < subscriber.armed_ms {
            subscriber.armed_ms = at_ms;
            let key = SubscriberKey::new(index, subscriber.join);
            self.wheel.arm(key, at_ms);
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

/// Jitter from a seed: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// 80 to 100 % of a time; all of it if that is never.
    fn most_of(&mut self, ms: u64) -> u64 {
        if ms == NEVER_MS {
            ms
        } else {
            ms - self.below(ms / 5 + 1)
        }
    }
}
