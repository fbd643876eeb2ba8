//! Feeds: a log and who is interested in what; and a shard's side of one.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use tidewire_core::{Filter, Matcher, Position};
use tidewire_log::{Batch, BatchRecord, Log};

use crate::filters::{FilterId, Filters, Wants};
use crate::index::{Edges, Interest, TopicIndex};
use crate::interest::{Interests, Mark, ShardWaker};
use crate::kept::Subscriber;

/// One log, and which shards are interested in which of its topics. Made once a log and shared by all its subscribers.
pub struct Feed {
    log: Arc<dyn Log>,
    interests: Arc<Interests>,
}

impl Feed {
    /// The feed of a log; registers itself as a watcher of its commits.
    #[must_use]
    pub fn new(log: Arc<dyn Log>) -> Arc<Self> {
        // Not the feed itself is registered: it owns the log, and the two would keep each other alive.
        let interests = Interests::new();
        log.watch(Arc::clone(&interests) as _);
        interests.see(log.bounds().tail);
        Arc::new(Self { log, interests })
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

/// A shard's side of a feed: who of its subscribers wants which topics, and the cohort at the tail.
///
/// A shard has up to two sides of one feed. Whoever wants a pattern that is slow to try stands in the second, with an index, a mark
/// and a tail of its own, so that nobody else's delivery waits for trying it.
pub(crate) struct ShardFeed {
    pub(crate) feed: Arc<Feed>,
    /// Its subscribers' patterns are slow: they are tried in goes, and a tail that comes late is late alone.
    pub(crate) is_slow: bool,
    shard: u32,
    mark: Arc<Mark>,
    pub(crate) index: TopicIndex,
    filters: Filters,
    pub(crate) tail: Tail,
    pub(crate) subscribers: usize,
    /// Of reads at the tail that find `Loading`.
    pub(crate) waker: Waker,
}

/// The cohort at the tail. Its members share one cursor and are not listed: the index finds them.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// What its members want next, unless their own cursor is further.
    pub(crate) next: Position,
    /// How many they are; while there is none, `next` says nothing.
    pub(crate) members: usize,
    /// Below this there may be something for them; beyond every position while only `AtTail` can tell.
    pub(crate) until: Position,
    /// What it wants is `Loading`.
    pub(crate) asleep: bool,
}

impl Tail {
    /// Whether it is worth reading for.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_hot() && !self.asleep
    }

    fn is_hot(&self) -> bool {
        self.members > 0 && self.next < self.until
    }
}

impl ShardFeed {
    pub(crate) fn new(
        feed: Arc<Feed>,
        is_slow: bool,
        seed: u64,
        waker: &Arc<ShardWaker>,
        token: u32,
    ) -> Self {
        let (shard, mark) = feed.interests.register(seed, waker);
        Self {
            feed,
            is_slow,
            shard,
            mark,
            index: TopicIndex::new(seed),
            filters: Filters::new(seed),
            tail: Tail::default(),
            subscribers: 0,
            waker: waker.load_waker(token),
        }
    }

    /// Adds a subscriber to the index, and to the feed's interests what is new in it.
    pub(crate) fn add(&mut self, filter: Filter, subscriber: u32) -> (FilterId, Edges) {
        self.subscribers += 1;
        let mut interest = ShardInterest(&self.feed.interests, self.shard);
        let edges = self.index.add(&filter.routing, subscriber, &mut interest);
        (self.filters.add(filter), edges)
    }

    /// Takes a subscriber out. `moved` is told which other one has another slot in its list of the index now.
    pub(crate) fn remove(&mut self, filter: FilterId, edges: Edges, moved: impl FnMut(u32, u32)) {
        self.subscribers -= 1;
        let mut interest = ShardInterest(&self.feed.interests, self.shard);
        self.index.remove(edges, &mut interest, moved);
        self.filters.remove(filter);
    }

    /// What a subscriber wants.
    pub(crate) fn wants<S>(&self, subscriber: &Subscriber<S>) -> Wants<'_> {
        let only = self.index.only(subscriber.edges);
        self.filters.wants(subscriber.filter, only)
    }

    /// Moves the tail past commits that concern nobody here (their filters refused them: invariant 4).
    ///
    /// While nobody is at the tail the mark is left alone, and so the shard is not woken: whoever is first there takes it.
    pub(crate) fn take_mark(&mut self) {
        let tail = &mut self.tail;
        if tail.members == 0 {
            return;
        }
        let taken = self.feed.interests.take(&self.mark);
        // While it is hot it must not jump: an older mark, or somebody who came up from behind, wants what lies between.
        if !tail.is_hot() {
            tail.next = tail.next.max(taken.next);
        }
        if let Some(until) = taken.until {
            tail.until = tail.until.max(until);
        }
    }

    /// Tries slow patterns on the topics of these records, in order, until the effort is spent; of how many it is known who wants
    /// them.
    pub(crate) fn prepare(&self, batch: &Batch, effort: &mut usize) -> usize {
        if !self.is_slow {
            return usize::MAX;
        }
        let is_ready = |item: &BatchRecord<'_>| {
            let mut topics = item.record().topics();
            topics.all(|topic| self.index.prepare(topic, effort))
        };
        batch.records().take_while(is_ready).count()
    }

    /// Up to where commits have been marked.
    pub(crate) fn seen(&self) -> Position {
        self.feed.interests.seen()
    }
}

/// Also when the shard goes with all its subscribers: nobody is left to be woken.
impl Drop for ShardFeed {
    fn drop(&mut self) {
        let interests = &self.feed.interests;
        let mut interest = ShardInterest(interests, self.shard);
        self.index.end_all(&mut interest);
        interests.unregister(self.shard);
    }
}

struct ShardInterest<'a>(&'a Interests, u32);

impl Interest for ShardInterest<'_> {
    fn begin(&mut self, matcher: &Matcher) -> u32 {
        self.0.add(self.1, matcher)
    }

    fn end(&mut self, matcher: &Matcher, interest: u32) {
        self.0.remove(self.1, matcher, interest);
    }
}

/// Whether a subscriber of this filter stands in the slow side of its feed.
pub(crate) fn is_slow(filter: &Filter) -> bool {
    let matchers = filter.routing.iter().chain(filter.private.iter());
    let mut patterns = matchers.filter_map(|matcher| match matcher {
        Matcher::Pattern(pattern) => Some(pattern),
        _ => None,
    });
    patterns.any(|pattern| !pattern.is_quick())
}
