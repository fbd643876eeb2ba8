//! The topic index: which subscribers of a shard want which topics of one feed. Nobody is searched for, neither to be found
//! nor to be taken out: a million topics of one subscriber each and one topic of a million cost the same a subscriber.
//!
//! A subscriber that wants one thing alone (nearly all do) keeps itself where it stands; only of those that want several
//! things is anything more kept here.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;
use tidewire_core::{Matcher, MatcherSet};

use crate::lists::Entries;
use crate::patterns::PatternIndex;

/// A slab's index as it is stored: there are never four billion of anything here.
pub(crate) fn id(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than four billion entries")
}

/// One subscriber in one list: its own index, or that of its [`Edge`] if it stands in several lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(u32);

impl Entry {
    const OF_EDGE: u32 = 1 << 31;

    fn of_subscriber(subscriber: u32) -> Self {
        assert!(subscriber < Self::OF_EDGE, "fewer than two billion");
        Self(subscriber)
    }

    fn of_edge(edge: u32) -> Self {
        assert!(edge < Self::OF_EDGE, "fewer than two billion");
        Self(edge | Self::OF_EDGE)
    }

    /// The edge, or else the subscriber.
    fn edge(self) -> Result<u32, u32> {
        match self.0 & Self::OF_EDGE {
            0 => Err(self.0),
            _ => Ok(self.0 & !Self::OF_EDGE),
        }
    }
}

/// All subscribers that want one thing; at least one.
struct List {
    matcher: Matcher,
    /// By what the feed's interest is taken back.
    interest: u32,
    entries: Entries<Entry>,
}

/// Where a subscriber of several lists stands in one of them.
struct Edge {
    list: u32,
    slot: u32,
    subscriber: u32,
}

/// Where a subscriber is in a [`TopicIndex`], in eight bytes: the list and its slot there. Of several lists it names the
/// bundle of edges; of none, nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edges {
    list: u32,
    slot: u32,
}

impl Edges {
    /// Nowhere: its filter routes nothing, or it has not been added yet.
    pub(crate) const NONE: Self = Self {
        list: u32::MAX,
        slot: 0,
    };

    /// Stands for the list of those who are in several.
    const MANY: u32 = u32::MAX - 1;

    /// Another subscriber's leaving has moved this one within its list.
    pub(crate) fn move_to(&mut self, slot: u32) {
        self.slot = slot;
    }
}

/// Which subscribers of a shard want which topics of one feed.
pub(crate) struct TopicIndex {
    hasher: FixedState,
    lists: Slab<List>,
    /// The lists of single topics.
    topics: HashTable<u32>,
    /// The list of those who want every topic.
    every: Option<u32>,
    /// The lists of patterns, if there are any.
    patterns: Option<Box<PatternIndex>>,
    seed: u64,
    edges: Slab<Edge>,
    /// The edges of each subscriber that is in several lists.
    bundles: Slab<Box<[u32]>>,
}

/// What a shard has to tell its feed of its interests.
pub(crate) trait Interest {
    /// Somebody wants this and nobody did before; answers by what it is taken back.
    fn begin(&mut self, matcher: &Matcher) -> u32;
    /// Nobody wants it any more.
    fn end(&mut self, matcher: &Matcher, interest: u32);
}

impl TopicIndex {
    /// The seed keeps publishers and subscribers from choosing topics that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            lists: Slab::new(),
            topics: HashTable::new(),
            every: None,
            patterns: None,
            seed,
            edges: Slab::new(),
            bundles: Slab::new(),
        }
    }

    /// Adds a subscriber under all that it routes.
    pub(crate) fn add(
        &mut self,
        routing: &MatcherSet,
        subscriber: u32,
        interest: &mut impl Interest,
    ) -> Edges {
        // Every topic has all others in it.
        let every = || routing.iter().find(|matcher| **matcher == Matcher::Any);
        let mut matchers = routing.iter();
        let single = match (matchers.next(), matchers.next()) {
            (None, _) => return Edges::NONE,
            (Some(single), None) => Some(single),
            _ => every(),
        };
        if let Some(matcher) = single {
            let entry = Entry::of_subscriber(subscriber);
            let (list, slot) = self.add_entry(matcher, entry, interest);
            return Edges { list, slot };
        }
        let edges = routing
            .iter()
            .map(|matcher| self.add_edge(matcher, subscriber, interest))
            .collect();
        Edges {
            list: Edges::MANY,
            slot: id(self.bundles.insert(edges)),
        }
    }

    fn add_edge(
        &mut self,
        matcher: &Matcher,
        subscriber: u32,
        interest: &mut impl Interest,
    ) -> u32 {
        let edge = id(self.edges.vacant_key());
        let (list, slot) = self.add_entry(matcher, Entry::of_edge(edge), interest);
        self.edges.insert(Edge {
            list,
            slot,
            subscriber,
        });
        edge
    }

    /// Adds an entry to the list of a matcher; the list, and the slot in it.
    fn add_entry(
        &mut self,
        matcher: &Matcher,
        entry: Entry,
        interest: &mut impl Interest,
    ) -> (u32, u32) {
        if let Some(list) = self.find(matcher) {
            return (list, self.lists[list as usize].entries.push(entry));
        }
        let list = id(self.lists.insert(List {
            matcher: matcher.clone(),
            interest: interest.begin(matcher),
            entries: Entries::One(entry),
        }));
        self.link(list);
        (list, 0)
    }

    fn find(&self, matcher: &Matcher) -> Option<u32> {
        match matcher {
            Matcher::Exact(topic) => self.find_topic(topic.as_bytes()),
            Matcher::Pattern(pattern) => self.patterns.as_ref()?.get(pattern),
            _ => self.every,
        }
    }

    fn find_topic(&self, topic: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(topic);
        let same = |list: &u32| topic_of(&self.lists, *list) == topic;
        self.topics.find(hash, same).copied()
    }

    /// Sees to it that a new list is found.
    fn link(&mut self, list: u32) {
        let Self { lists, hasher, .. } = self;
        match &lists[list as usize].matcher {
            Matcher::Exact(topic) => {
                let hash = hasher.hash_one(topic.as_bytes());
                let rehash = |list: &u32| hasher.hash_one(topic_of(lists, *list));
                self.topics.insert_unique(hash, list, rehash);
            }
            Matcher::Pattern(pattern) => {
                let new = || Box::new(PatternIndex::new(self.seed));
                self.patterns.get_or_insert_with(new).insert(pattern, list);
            }
            _ => self.every = Some(list),
        }
    }

    /// Sees to it that a list that is about to go is not found any more.
    fn unlink(&mut self, list: u32) {
        match &self.lists[list as usize].matcher {
            Matcher::Exact(topic) => {
                let hash = self.hasher.hash_one(topic.as_bytes());
                if let Ok(found) = self.topics.find_entry(hash, |known| *known == list) {
                    found.remove();
                }
            }
            Matcher::Pattern(pattern) => {
                if let Some(patterns) = &mut self.patterns {
                    patterns.remove(pattern);
                    if patterns.is_empty() {
                        self.patterns = None;
                    }
                }
            }
            _ => self.every = None,
        }
    }

    /// Takes a subscriber out. `moved` is told which other one has another slot in its list now.
    pub(crate) fn remove(
        &mut self,
        edges: Edges,
        interest: &mut impl Interest,
        mut moved: impl FnMut(u32, u32),
    ) {
        match edges.list {
            _ if edges == Edges::NONE => {}
            Edges::MANY => {
                for edge in self.bundles.remove(edges.slot as usize) {
                    let Edge { list, slot, .. } = self.edges.remove(edge as usize);
                    self.remove_entry(list, slot, interest, &mut moved);
                }
            }
            list => self.remove_entry(list, edges.slot, interest, &mut moved),
        }
    }

    fn remove_entry(
        &mut self,
        list: u32,
        slot: u32,
        interest: &mut impl Interest,
        moved: &mut impl FnMut(u32, u32),
    ) {
        let known = &mut self.lists[list as usize];
        if known.entries.as_slice().len() == 1 {
            interest.end(&known.matcher, known.interest);
            self.unlink(list);
            self.lists.remove(list as usize);
            return self.shrink();
        }
        match known.entries.swap_remove(slot).map(Entry::edge) {
            Some(Ok(edge)) => self.edges[edge as usize].slot = slot,
            Some(Err(subscriber)) => moved(subscriber, slot),
            None => {}
        }
    }

    /// Gives memory back after many have left, at a cost that their leaving has paid for.
    fn shrink(&mut self) {
        if self.topics.capacity() > 256 && self.topics.len() < self.topics.capacity() / 8 {
            let Self { lists, hasher, .. } = self;
            let rehash = |list: &u32| hasher.hash_one(topic_of(lists, *list));
            self.topics.shrink_to(self.topics.len() * 2, rehash);
            self.lists.shrink_to_fit();
            self.edges.shrink_to_fit();
            self.bundles.shrink_to_fit();
        }
    }

    /// Takes back every interest that was told and still stands.
    pub(crate) fn end_all(&self, interest: &mut impl Interest) {
        for (_, list) in &self.lists {
            interest.end(&list.matcher, list.interest);
        }
    }

    /// The lists in which a topic's readers stand. Who wants several things may stand in more than one of them.
    pub(crate) fn lists(&self, topic: &[u8]) -> impl Iterator<Item = &[Entry]> {
        let lists = self.find_topic(topic).into_iter().chain(self.every);
        let lists = lists.chain(self.patterns_of(topic));
        lists.map(|list| self.lists[list as usize].entries.as_slice())
    }

    /// Tries slow patterns on a topic until the effort is spent; whether all were tried.
    pub(crate) fn prepare(&self, topic: &[u8], effort: &mut usize) -> bool {
        let patterns = self.patterns.as_ref();
        patterns.is_none_or(|patterns| patterns.prepare(topic, effort))
    }

    /// Whether patterns match a topic: then one subscriber may stand in several of its lists.
    pub(crate) fn has_patterns_of(&self, topic: &[u8]) -> bool {
        !self.patterns_of(topic).is_empty()
    }

    /// The lists of the patterns that match a topic.
    fn patterns_of(&self, topic: &[u8]) -> Vec<u32> {
        let patterns = self.patterns.as_ref();
        patterns.map_or_else(Vec::new, |patterns| patterns.matching(topic))
    }

    /// Whose entry it is.
    pub(crate) fn subscriber(&self, entry: Entry) -> u32 {
        match entry.edge() {
            Ok(edge) => self.edges[edge as usize].subscriber,
            Err(subscriber) => subscriber,
        }
    }

    /// The one thing that a subscriber wants, if it wants one alone, or every topic.
    pub(crate) fn only(&self, edges: Edges) -> Option<&Matcher> {
        let list = self.lists.get(edges.list as usize)?;
        Some(&list.matcher)
    }
}

fn topic_of(lists: &Slab<List>, list: u32) -> &[u8] {
    match &lists[list as usize].matcher {
        Matcher::Exact(topic) => topic.as_bytes(),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidewire_core::Topic;

    use super::*;

    /// Every interest begun, with a minus once it has ended.
    #[derive(Default)]
    struct Told(Vec<String>);

    impl Interest for Told {
        fn begin(&mut self, matcher: &Matcher) -> u32 {
            self.0.push(name(matcher));
            id(self.0.len() - 1)
        }

        fn end(&mut self, matcher: &Matcher, interest: u32) {
            assert_eq!(name(matcher), self.0[interest as usize]);
            self.0[interest as usize].insert(0, '-');
        }
    }

    fn name(matcher: &Matcher) -> String {
        match matcher {
            Matcher::Exact(topic) => topic.to_string(),
            _ => "*".to_owned(),
        }
    }

    fn set(names: &[&str]) -> MatcherSet {
        let matcher = |name: &&str| match *name {
            "*" => Matcher::Any,
            name => Matcher::Exact(Topic::parse(name).unwrap()),
        };
        names.iter().map(matcher).collect()
    }

    fn found(index: &TopicIndex, topic: &str) -> Vec<u32> {
        let entries = index.lists(topic.as_bytes()).flatten();
        entries.map(|entry| index.subscriber(*entry)).collect()
    }

    #[test]
    fn a_subscriber_is_indexed_once_a_topic_and_under_star_alone() {
        let mut told = Told::default();
        let mut index = TopicIndex::new(1);
        let one = index.add(&set(&["a"]), 1, &mut told);
        let two = index.add(&set(&["b", "a"]), 2, &mut told);
        let all = index.add(&set(&["*", "a"]), 3, &mut told);
        let none = index.add(&set(&[]), 4, &mut told);
        assert_eq!(found(&index, "a"), [1, 2, 3]);
        assert_eq!(found(&index, "b"), [2, 3]);
        assert_eq!(found(&index, "c"), [3]);
        assert_eq!(told.0, ["a", "b", "*"]);
        let only = [one, two, all, none].map(|edges| index.only(edges).map(name));
        let only = only.each_ref().map(Option::as_deref);
        assert_eq!(only, [Some("a"), None, Some("*"), None]);
        for edges in [one, all, none, two] {
            index.remove(edges, &mut told, |_, _| {});
        }
        assert_eq!(told.0, ["-a", "-b", "-*"]);
        assert!(found(&index, "a").is_empty());
    }

    /// Against a model that looks everybody over.
    #[test]
    fn subscribers_come_and_go_in_any_order() {
        const TOPICS: [&str; 5] = ["a", "b", "c", "d", "*"];
        let mut told = Told::default();
        let mut index = TopicIndex::new(7);
        let mut model: BTreeMap<u32, (Vec<&str>, Edges)> = BTreeMap::new();
        let mut random = 1_u64;
        let mut next = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            random >> 33
        };
        for subscriber in 0..20_000 {
            if next() % 5 < 3 {
                let wanted = next();
                let names: Vec<_> = (0..5)
                    .filter(|bit| wanted >> bit & 1 == 1)
                    .map(|bit| TOPICS[bit])
                    .take(1 + (wanted >> 8) as usize % 3)
                    .collect();
                let edges = index.add(&set(&names), subscriber, &mut told);
                model.insert(subscriber, (names, edges));
            } else if let Some(&gone) = model.keys().nth(next() as usize % model.len().max(1)) {
                let (_, edges) = model.remove(&gone).unwrap();
                index.remove(edges, &mut told, |moved, slot| {
                    model.get_mut(&moved).unwrap().1.move_to(slot);
                });
            }
            if subscriber % 500 == 0 {
                for topic in &TOPICS[..4] {
                    let wants = |(names, _): &&(Vec<&str>, _)| {
                        names.iter().any(|name| name == topic || *name == "*")
                    };
                    let want = model.values().filter(wants).count();
                    let mut found = found(&index, topic);
                    found.sort_unstable();
                    found.dedup();
                    assert_eq!(found.len(), want);
                }
            }
        }
        let mut left: Vec<_> = model.keys().copied().collect();
        left.reverse();
        for gone in left {
            let (_, edges) = model.remove(&gone).unwrap();
            index.remove(edges, &mut told, |moved, slot| {
                model.get_mut(&moved).unwrap().1.move_to(slot);
            });
        }
        assert!(index.lists.is_empty() && index.edges.is_empty() && index.bundles.is_empty());
        assert!(index.topics.is_empty() && index.every.is_none());
        assert!(told.0.iter().all(|told| told.starts_with('-')));
    }

    #[test]
    fn a_place_in_the_index_is_small() {
        assert_eq!(size_of::<Edges>(), 8);
        assert_eq!(size_of::<Entry>(), 4);
        assert!(size_of::<List>() <= 48, "{}", size_of::<List>());
    }
}
