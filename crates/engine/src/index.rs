//! Indexes: from a key to all who want it. Nobody is searched for, neither to be found nor to be taken out: a million keys
//! with one value each and one key with a million values cost the same an entry.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use foldhash::fast::FixedState;
use slab::Slab;
use tidewire_core::{Filter, Matcher, Topic};

/// A slab's index as it is stored: there are never four billion of anything here.
pub(crate) fn id(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than four billion entries")
}

/// Values under keys. An entry is taken out by the edge that adding it gave.
pub(crate) struct Index<K> {
    ids: HashMap<K, u32, FixedState>,
    lists: Slab<List<K>>,
    edges: Slab<Edge>,
}

/// All values of one key; at least one.
struct List<K> {
    key: K,
    /// What its owner keeps beside it.
    note: u32,
    entries: Entries,
}

/// Where an entry is, so that it can be taken out without a search.
struct Edge {
    list: u32,
    slot: u32,
}

/// One value under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: u32,
    edge: u32,
}

/// Most keys have one value: no allocation for those.
enum Entries {
    One(Entry),
    Many(Vec<Entry>),
}

impl Entries {
    fn as_slice(&self) -> &[Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    fn push(&mut self, entry: Entry) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, entry]),
            Self::Many(entries) => entries.push(entry),
        }
    }

    /// Takes one of several out; the last comes into its place.
    fn swap_remove(&mut self, slot: usize) {
        if let Self::Many(entries) = self {
            entries.swap_remove(slot);
            match entries[..] {
                [last] => *self = Self::One(last),
                _ if entries.capacity() > 64 && entries.len() < entries.capacity() / 4 => {
                    entries.shrink_to(entries.len() * 2);
                }
                _ => {}
            }
        }
    }
}

impl<K: Hash + Eq + Clone> Index<K> {
    /// The seed keeps publishers and subscribers from choosing keys that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            ids: HashMap::with_hasher(FixedState::with_seed(seed)),
            lists: Slab::new(),
            edges: Slab::new(),
        }
    }

    /// Adds a value under a key; the edge, and the list if the key is new.
    pub(crate) fn add(&mut self, key: K, value: u32) -> (u32, Option<u32>) {
        let edge = id(self.edges.vacant_key());
        let entry = Entry { value, edge };
        let (list, new) = match self.ids.get(&key) {
            Some(&list) => {
                self.lists[list as usize].entries.push(entry);
                (list, None)
            }
            None => {
                let list = id(self.lists.insert(List {
                    key: key.clone(),
                    note: 0,
                    entries: Entries::One(entry),
                }));
                self.ids.insert(key, list);
                (list, Some(list))
            }
        };
        let slot = id(self.lists[list as usize].entries.as_slice().len() - 1);
        self.edges.insert(Edge { list, slot });
        (edge, new)
    }

    /// Keeps a note beside a list.
    pub(crate) fn set_note(&mut self, list: u32, note: u32) {
        self.lists[list as usize].note = note;
    }

    /// Takes an entry out; the note of its list, if it was the last there.
    pub(crate) fn remove(&mut self, edge: u32) -> Option<u32> {
        let Edge { list, slot } = self.edges.remove(edge as usize);
        let entries = &mut self.lists[list as usize].entries;
        if entries.as_slice().len() == 1 {
            let list = self.lists.remove(list as usize);
            self.ids.remove(&list.key);
            self.shrink();
            return Some(list.note);
        }
        entries.swap_remove(slot as usize);
        if let Some(moved) = entries.as_slice().get(slot as usize) {
            self.edges[moved.edge as usize].slot = slot;
        }
        None
    }

    /// Gives memory back after many have left, at a cost that their leaving has paid for.
    fn shrink(&mut self) {
        if self.ids.capacity() > 256 && self.ids.len() < self.ids.capacity() / 8 {
            self.ids.shrink_to(self.ids.len() * 2);
            self.lists.shrink_to_fit();
            self.edges.shrink_to_fit();
        }
    }

    /// The notes of all lists.
    fn notes(&self) -> impl Iterator<Item = u32> {
        self.lists.iter().map(|(_, list)| list.note)
    }

    /// All values under a key.
    pub(crate) fn entries<Q>(&self, key: &Q) -> &[Entry]
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.ids
            .get(key)
            .map_or(&[], |&list| self.lists[list as usize].entries.as_slice())
    }
}

/// A topic as a key that is looked up by a record's bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TopicKey(Topic);

impl Borrow<[u8]> for TopicKey {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Hash for TopicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

/// Which subscribers of a shard want which topics of one feed.
pub(crate) struct TopicIndex {
    exact: Index<TopicKey>,
    any: Index<()>,
}

/// Where a subscriber is in a [`TopicIndex`].
#[derive(Debug, Default)]
pub(crate) enum Edges {
    /// Nowhere: its filter routes nothing.
    #[default]
    None,
    /// Under `*`, which has every topic in it.
    Any(u32),
    /// Under one topic.
    One(u32),
    /// Under several.
    Many(Box<[u32]>),
}

/// What a shard has to know of the interests that it tells its feed.
pub(crate) trait Interest {
    /// Somebody wants this topic (`None`: every one) and nobody did before; answers by what it is taken back.
    fn begin(&mut self, topic: Option<&[u8]>) -> u32;
    /// Nobody wants it any more.
    fn end(&mut self, every: bool, edge: u32);
}

impl TopicIndex {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            exact: Index::new(seed),
            any: Index::new(seed),
        }
    }

    /// Adds a subscriber under all that its filter routes.
    pub(crate) fn add(
        &mut self,
        filter: &Filter,
        value: u32,
        interest: &mut impl Interest,
    ) -> Edges {
        let topics = match filter.routing.exact_topics() {
            Some(topics) => topics,
            None => {
                let (edge, new) = self.any.add((), value);
                if let Some(list) = new {
                    self.any.set_note(list, interest.begin(None));
                }
                return Edges::Any(edge);
            }
        };
        let mut add = |topic: &Topic| {
            let (edge, new) = self.exact.add(TopicKey(topic.clone()), value);
            if let Some(list) = new {
                self.exact
                    .set_note(list, interest.begin(Some(topic.as_bytes())));
            }
            edge
        };
        match topics[..] {
            [] => Edges::None,
            [topic] => Edges::One(add(topic)),
            _ => Edges::Many(topics.into_iter().map(add).collect()),
        }
    }

    /// Takes a subscriber out.
    pub(crate) fn remove(&mut self, edges: Edges, interest: &mut impl Interest) {
        let mut remove = |edge| {
            if let Some(note) = self.exact.remove(edge) {
                interest.end(false, note);
            }
        };
        match edges {
            Edges::None => {}
            Edges::One(edge) => remove(edge),
            Edges::Many(edges) => edges.into_iter().for_each(remove),
            Edges::Any(edge) => {
                if let Some(note) = self.any.remove(edge) {
                    interest.end(true, note);
                }
            }
        }
    }

    /// Takes back every interest that was told and still stands.
    pub(crate) fn end_all(&self, interest: &mut impl Interest) {
        self.exact
            .notes()
            .for_each(|edge| interest.end(false, edge));
        self.any.notes().for_each(|edge| interest.end(true, edge));
    }

    /// Who wants this topic by name.
    pub(crate) fn exact(&self, topic: &[u8]) -> &[Entry] {
        self.exact.entries(topic)
    }

    /// Who wants every topic.
    pub(crate) fn any(&self) -> &[Entry] {
        self.any.entries(&())
    }
}

/// How many matchers a direct look at a filter goes through.
pub(crate) fn filter_cost(filter: &Filter) -> usize {
    filter.routing.iter().count().max(1)
}

/// Adds a filter's topics to a small set of them; `false` once it has become too large, or holds more than single topics.
pub(crate) fn unite<'a>(topics: &mut Vec<&'a [u8]>, filter: &'a Filter, max: usize) -> bool {
    filter.routing.iter().all(|matcher| match matcher {
        Matcher::Exact(topic) => {
            if !topics.contains(&topic.as_bytes()) {
                topics.push(topic.as_bytes());
            }
            topics.len() <= max
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn values<K: Hash + Eq + Clone>(index: &Index<K>, key: &K) -> Vec<u32> {
        let mut values: Vec<_> = index.entries(key).iter().map(|e| e.value).collect();
        values.sort_unstable();
        values
    }

    #[test]
    fn entries_come_and_go_in_any_order() {
        let mut index = Index::new(7);
        let mut model: BTreeMap<u32, (u8, u32)> = BTreeMap::new();
        let mut random = 1_u64;
        let mut next = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            random >> 33
        };
        for value in 0..20_000 {
            if next() % 5 < 3 {
                let key = u8::try_from(next() % 7).unwrap();
                let new = !model.values().any(|(known, _)| *known == key);
                let (edge, list) = index.add(key, value);
                assert_eq!(list.is_some(), new);
                if let Some(list) = list {
                    index.set_note(list, u32::from(key) + 100);
                }
                assert_eq!(model.insert(edge, (key, value)), None);
            } else if let Some(&edge) = model.keys().nth(next() as usize % model.len().max(1)) {
                let (key, _) = model.remove(&edge).unwrap();
                let last = !model.values().any(|(known, _)| *known == key);
                assert_eq!(index.remove(edge), last.then_some(u32::from(key) + 100));
            }
            if value % 500 == 0 {
                for key in 0..7 {
                    let mut want: Vec<_> = model.values().filter(|(k, _)| *k == key).collect();
                    want.sort_unstable();
                    let want: Vec<_> = want.into_iter().map(|(_, value)| *value).collect();
                    assert_eq!(values(&index, &key), want);
                }
            }
        }
        for edge in model.into_keys() {
            index.remove(edge);
        }
        assert!(index.ids.is_empty() && index.lists.is_empty() && index.edges.is_empty());
    }

    #[test]
    fn a_filter_is_indexed_once_a_topic_and_under_star_alone() {
        struct Told(Vec<String>);
        impl Interest for Told {
            fn begin(&mut self, topic: Option<&[u8]>) -> u32 {
                let name = topic.map_or("*".into(), |t| String::from_utf8_lossy(t).into_owned());
                self.0.push(name);
                id(self.0.len() - 1)
            }
            fn end(&mut self, every: bool, edge: u32) {
                assert_eq!(every, self.0[edge as usize] == "*");
                self.0[edge as usize].insert(0, '-');
            }
        }
        let filter = |names: &[&str]| Filter {
            routing: names
                .iter()
                .map(|name| match *name {
                    "*" => Matcher::Any,
                    name => Matcher::Exact(Topic::parse(name).unwrap()),
                })
                .collect(),
            private: Default::default(),
        };
        let mut told = Told(Vec::new());
        let mut index = TopicIndex::new(1);
        let one = index.add(&filter(&["a"]), 1, &mut told);
        let two = index.add(&filter(&["b", "a"]), 2, &mut told);
        let all = index.add(&filter(&["*", "a"]), 3, &mut told);
        let none = index.add(&filter(&[]), 4, &mut told);
        let found = |index: &TopicIndex, topic: &str| {
            let entries = index.exact(topic.as_bytes()).iter().chain(index.any());
            entries.map(|entry| entry.value).collect::<Vec<_>>()
        };
        assert_eq!(found(&index, "a"), [1, 2, 3]);
        assert_eq!(found(&index, "b"), [2, 3]);
        assert_eq!(found(&index, "c"), [3]);
        assert_eq!(told.0, ["a", "b", "*"]);
        for edges in [one, all, none, two] {
            index.remove(edges, &mut told);
        }
        assert_eq!(told.0, ["-a", "-b", "-*"]);
        assert!(found(&index, "a").is_empty());
    }
}
