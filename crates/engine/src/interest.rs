//! Interests: which shards want which topics of a log, so that a commit wakes only those. The log's watcher.
//!
//! A shard that a commit does not concern need not read it either: its tail moves on to what was committed, or to the first
//! record that concerns it. So the cursor of a rare topic's readers never ages into a gap, and an idle shard is never woken
//! to keep up.
//!
//! No wake is lost: a shard adds its interest before it reads up to the tail, so a record is either visible to that read or
//! marked afterwards. And nothing is skipped: [`Interests::committed`] marks first and moves the tail after, and a shard
//! looks at the tail first and takes the mark after.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use foldhash::fast::FixedState;
use slab::Slab;
use tidewire_core::{Gram, Matcher, Pattern, Position, Space, TopicRef};
use tidewire_log::{Batch, Watcher};

use crate::grams::GramTable;
use crate::index::id;
use crate::lists::{Entry, Lists};
use crate::patterns::PatternIndex;

/// How a shard is woken: once, until it takes a step.
pub(crate) struct ShardWaker {
    woken: AtomicBool,
    /// What reads found `Loading` and may ask again, by their tokens. Held for a push or a swap.
    loaded: Mutex<Vec<u32>>,
    waker: Waker,
}

impl ShardWaker {
    pub(crate) fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self {
            woken: AtomicBool::new(false),
            loaded: Mutex::default(),
            waker,
        })
    }

    fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.waker.wake_by_ref();
        }
    }

    /// A step begins: whatever happens from now on wakes again.
    pub(crate) fn begin_step(&self) {
        self.woken.swap(false, Ordering::AcqRel);
    }

    /// The tokens whose reads may be tried again.
    pub(crate) fn take_loaded(&self) -> Vec<u32> {
        std::mem::take(&mut lock(&self.loaded))
    }

    /// A waker for reads that may find their records `Loading`.
    pub(crate) fn load_waker(self: &Arc<Self>, token: u32) -> Waker {
        Waker::from(Arc::new(LoadWaker {
            shard: Arc::clone(self),
            token,
        }))
    }
}

struct LoadWaker {
    shard: Arc<ShardWaker>,
    token: u32,
}

impl std::task::Wake for LoadWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        lock(&self.shard.loaded).push(self.token);
        self.shard.wake();
    }
}

/// What commits left for one shard.
pub(crate) struct Mark {
    /// The first position that the shard wants and has not taken notice of; `u64::MAX`: none.
    wanted: AtomicU64,
    /// The last position that it ever wanted.
    last: AtomicU64,
    waker: Arc<ShardWaker>,
}

impl Mark {
    /// Notes a wanted position; whether the shard has to be woken for it.
    fn want(&self, position: Position) -> bool {
        // First, so that whoever takes the mark also sees how far it goes.
        self.last.fetch_max(position.0, Ordering::AcqRel);
        self.wanted.fetch_min(position.0, Ordering::AcqRel) == u64::MAX
    }
}

/// What a shard takes of its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// It wants nothing below this that it has not taken before.
    pub(crate) next: Position,
    /// It wants something from `next` on, and all of that lies below this.
    pub(crate) until: Option<Position>,
}

/// Which shards want which topics. Made by a feed; its log's watcher.
pub(crate) struct Interests {
    /// Every commit below this has been marked.
    seen: AtomicU64,
    /// Held by commits to look topics up, and by shards whenever their first subscriber of a topic joins or the last
    /// leaves. Wakers are called outside. `None` until the first shard brings a seed.
    wanted: Mutex<Option<Wanted>>,
}

struct Wanted {
    hasher: FixedState,
    /// By the topic's hash: a collision wakes a shard in vain, no more.
    topics: Lists<u64>,
    every: Lists<()>,
    /// Shards that want slow patterns, by a gram that the topics hold, in each space; and how many interests under that gram they
    /// have told.
    grams: Vec<(Space, GramTable<(u32, u32)>)>,
    /// Shards that have to look at every record for slow patterns without a gram, and how many interests of that kind they have told.
    slow: BTreeMap<u32, u32>,
    seed: u64,
    /// Which quick patterns match, as keys of the next.
    patterns: PatternIndex,
    by_pattern: Lists<u32>,
    pattern_keys: Slab<()>,
    marks: Slab<Arc<Mark>>,
}

/// Stands for an interest of [`Wanted::slow`]; no gram has this number.
const SLOW: u32 = u32::MAX;

impl Wanted {
    /// Who wants a slow pattern looks for itself, so that commits do not wait for that; it is woken where the topic has a gram that the
    /// pattern's topics hold, or for everything.
    fn add_slow(&mut self, pattern: &Pattern, shard: u32) -> u32 {
        if pattern.grams().is_empty() {
            *self.slow.entry(shard).or_default() += 1;
            return SLOW;
        }
        let space = pattern.space();
        let known = self.grams.iter().position(|(known, _)| *known == space);
        let at = known.unwrap_or_else(|| {
            self.grams.push((space, GramTable::new(self.seed)));
            self.grams.len() - 1
        });
        let table = &mut self.grams[at].1;
        let gram = table.choose(pattern.grams()).expect("it has some");
        let shards = table.grow(gram);
        match shards.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, told)) => *told += 1,
            None => shards.push((shard, 1)),
        }
        gram.to_number()
    }

    fn remove_slow(&mut self, pattern: &Pattern, shard: u32, interest: u32) {
        if interest == SLOW {
            if let Some(told) = self.slow.get_mut(&shard) {
                *told -= 1;
            }
            return self.slow.retain(|_, told| *told > 0);
        }
        let space = pattern.space();
        for (_, table) in self.grams.iter_mut().filter(|(known, _)| *known == space) {
            table.shrink(Gram::from_number(interest), |(known, told)| {
                *told -= u32::from(*known == shard);
                *told > 0
            });
        }
        self.grams.retain(|(_, table)| !table.is_empty());
    }

    fn add_pattern(&mut self, pattern: &Pattern, shard: u32) -> u32 {
        let key = self.patterns.get(pattern).unwrap_or_else(|| {
            let key = id(self.pattern_keys.insert(()));
            self.patterns.insert(pattern, key);
            key
        });
        self.by_pattern.add(key, shard)
    }

    fn remove_pattern(&mut self, pattern: &Pattern, interest: u32) {
        self.by_pattern.remove(interest);
        if let Some(key) = self.patterns.get(pattern)
            && self.by_pattern.entries(&key).is_empty()
        {
            self.patterns.remove(pattern);
            self.pattern_keys.remove(key as usize);
        }
    }

    /// The shards that want a topic, by its name and by patterns, and those that have to look; one may come several times.
    fn each_shard(&self, topic: &[u8], mut with: impl FnMut(u32)) {
        let hash = self.hasher.hash_one(topic);
        let mut each = |entries: &[Entry]| entries.iter().for_each(|entry| with(entry.value));
        each(self.topics.entries(&hash));
        if self.patterns.is_empty() && self.grams.is_empty() {
            return;
        }
        let looked = TopicRef::new(topic);
        for key in self.patterns.quick_matching(&looked) {
            each(self.by_pattern.entries(&key));
        }
        for (space, table) in &self.grams {
            space.text(&looked, |text| {
                table.each(text, |shards| {
                    shards.iter().for_each(|(shard, _)| with(*shard));
                });
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that may panic runs while one of these is held half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Interests {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            seen: AtomicU64::new(0),
            wanted: Mutex::default(),
        })
    }

    /// Everything below this is committed.
    pub(crate) fn see(&self, tail: Position) {
        self.seen.fetch_max(tail.0, Ordering::AcqRel);
    }

    /// Adds a shard; it wants nothing yet.
    pub(crate) fn register(&self, seed: u64, waker: &Arc<ShardWaker>) -> (u32, Arc<Mark>) {
        let mark = Arc::new(Mark {
            wanted: AtomicU64::new(u64::MAX),
            last: AtomicU64::new(0),
            waker: Arc::clone(waker),
        });
        let mut wanted = lock(&self.wanted);
        let wanted = wanted.get_or_insert_with(|| Wanted {
            hasher: FixedState::with_seed(seed),
            topics: Lists::new(seed),
            every: Lists::new(seed),
            grams: Vec::new(),
            slow: BTreeMap::new(),
            seed,
            patterns: PatternIndex::new(seed),
            by_pattern: Lists::new(seed),
            pattern_keys: Slab::new(),
            marks: Slab::new(),
        });
        (id(wanted.marks.insert(Arc::clone(&mark))), mark)
    }

    /// Takes a shard out that wants nothing any more.
    pub(crate) fn unregister(&self, shard: u32) {
        if let Some(wanted) = &mut *lock(&self.wanted) {
            wanted.marks.remove(shard as usize);
        }
    }

    /// A shard wants a topic, or those of a pattern, or every one; answers by what it is taken back.
    pub(crate) fn add(&self, shard: u32, matcher: &Matcher) -> u32 {
        let mut wanted = lock(&self.wanted);
        let wanted = wanted.as_mut().expect("the shard is registered");
        match matcher {
            Matcher::Exact(topic) => {
                let hash = wanted.hasher.hash_one(topic.as_bytes());
                wanted.topics.add(hash, shard)
            }
            Matcher::Pattern(pattern) if !pattern.is_quick() => wanted.add_slow(pattern, shard),
            Matcher::Pattern(pattern) => wanted.add_pattern(pattern, shard),
            _ => wanted.every.add((), shard),
        }
    }

    /// It does not want it any more.
    pub(crate) fn remove(&self, shard: u32, matcher: &Matcher, interest: u32) {
        if let Some(wanted) = &mut *lock(&self.wanted) {
            match matcher {
                Matcher::Exact(_) => wanted.topics.remove(interest),
                Matcher::Pattern(pattern) if !pattern.is_quick() => {
                    wanted.remove_slow(pattern, shard, interest);
                }
                Matcher::Pattern(pattern) => wanted.remove_pattern(pattern, interest),
                _ => wanted.every.remove(interest),
            }
        }
    }

    /// Takes the mark: what the shard may skip, and what it has to read.
    pub(crate) fn take(&self, mark: &Mark) -> Taken {
        let seen = Position(self.seen.load(Ordering::Acquire));
        match mark.wanted.swap(u64::MAX, Ordering::AcqRel) {
            u64::MAX => Taken {
                next: seen,
                until: None,
            },
            wanted => Taken {
                next: Position(wanted),
                until: Some(Position(mark.last.load(Ordering::Acquire)).next()),
            },
        }
    }

    /// Up to where commits have been marked.
    pub(crate) fn seen(&self) -> Position {
        Position(self.seen.load(Ordering::Acquire))
    }
}

impl Watcher for Interests {
    fn committed(&self, batch: &Batch) {
        let mut wake = Vec::new();
        if let Some(wanted) = &*lock(&self.wanted) {
            let mut mark = |shard: u32, position| {
                let mark = &wanted.marks[shard as usize];
                if mark.want(position) {
                    wake.push(Arc::clone(&mark.waker));
                }
            };
            for item in batch.all_records() {
                for topic in item.record().topics() {
                    wanted.each_shard(topic, |shard| mark(shard, item.position()));
                }
            }
            let (first, last) = (batch.all_records().next(), batch.all_records().last());
            for item in first.into_iter().chain(last) {
                let entries = wanted.every.entries(&());
                let entries = entries.iter().map(|entry| entry.value);
                entries
                    .chain(wanted.slow.keys().copied())
                    .for_each(|shard| mark(shard, item.position()));
            }
        }
        self.see(batch.next());
        wake.iter().for_each(|waker| waker.wake());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tidewire_core::{Cursor, Epoch, Topic};
    use tidewire_log::{Block, Event, Floors, Slice, encode_record};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn commit(position: u64, topic: &str) -> Batch {
        let event = Event::new(Topic::parse(topic).unwrap(), "x", 0);
        let mut bytes = Vec::new();
        let cursor = Cursor::new(Epoch(1), Position(position));
        let entry = encode_record(&event, cursor, 0, &mut bytes);
        let block = Arc::new(Block::new(bytes, vec![entry]));
        let slice = Slice { block, range: 0..1 };
        Batch::new(
            vec![slice],
            Arc::new(Floors::default()),
            Position(position + 1),
        )
    }

    #[test]
    fn a_commit_wakes_only_who_wants_it_and_once_a_step() {
        let interests = Interests::new();
        let counts: Vec<_> = (0..3).map(|_| Arc::new(Count::default())).collect();
        let shards: Vec<_> = counts
            .iter()
            .map(|count| ShardWaker::new(Waker::from(Arc::clone(count))))
            .collect();
        let marks: Vec<_> = shards.iter().map(|s| interests.register(9, s)).collect();
        let named = |name| Matcher::Exact(Topic::parse(name).unwrap());
        let a = interests.add(marks[0].0, &named("a"));
        interests.add(marks[1].0, &named("b"));
        interests.add(marks[2].0, &Matcher::Any);
        let woken = || {
            counts
                .iter()
                .map(|c| c.0.load(Ordering::Relaxed))
                .collect::<Vec<_>>()
        };
        let take = |shard: usize| {
            shards[shard].begin_step();
            let taken = interests.take(&marks[shard].1);
            (taken.next.0, taken.until.map(|until| until.0))
        };

        interests.committed(&commit(1, "a"));
        interests.committed(&commit(2, "a"));
        interests.committed(&commit(3, "b"));
        assert_eq!(woken(), [1, 1, 1]);
        assert_eq!(take(0), (1, Some(3)));
        assert_eq!(take(0), (4, None));
        assert_eq!(take(1), (3, Some(4)));
        assert_eq!(take(2), (1, Some(4)));

        interests.committed(&commit(4, "c"));
        assert_eq!(woken(), [1, 1, 2]);
        assert_eq!(take(0), (5, None));
        interests.remove(marks[0].0, &named("a"), a);
        interests.committed(&commit(5, "a"));
        assert_eq!(woken(), [1, 1, 2], "the third was not stepped since");
        assert_eq!(interests.seen(), Position(6));
    }
}
