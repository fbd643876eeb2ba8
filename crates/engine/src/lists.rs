//! Lists: from a key to all values under it. Nobody is searched for, neither to be found nor to be taken out: a million keys
//! with one value each and one key with a million values cost the same an entry.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use crate::index::id;

/// Values under keys. An entry is taken out by the edge that adding it gave.
pub(crate) struct Lists<K> {
    hasher: FixedState,
    ids: HashTable<u32>,
    lists: Slab<List<K>>,
    edges: Slab<Edge>,
}

/// All values of one key; at least one.
struct List<K> {
    key: K,
    entries: Entries<Entry>,
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

/// What stands under one key. Most keys have one value: no allocation for those.
pub(crate) enum Entries<E> {
    One(E),
    /// Boxed again, so that the many keys of one value are not wider for the few of several.
    #[expect(
        clippy::box_collection,
        reason = "the width of the few must not be the width of all"
    )]
    Many(Box<Vec<E>>),
}

impl<E: Copy> Entries<E> {
    pub(crate) fn as_slice(&self) -> &[E] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    /// Adds an entry; its slot.
    pub(crate) fn push(&mut self, entry: E) -> u32 {
        match self {
            Self::One(first) => *self = Self::Many(Box::new(vec![*first, entry])),
            Self::Many(entries) => entries.push(entry),
        }
        id(self.as_slice().len() - 1)
    }

    /// Takes one of several out; the last, which it answers, comes into its place.
    pub(crate) fn swap_remove(&mut self, slot: u32) -> Option<E> {
        let Self::Many(entries) = self else {
            return None;
        };
        entries.swap_remove(slot as usize);
        let moved = entries.get(slot as usize).copied();
        match entries[..] {
            [last] => *self = Self::One(last),
            _ if entries.capacity() > 64 && entries.len() < entries.capacity() / 4 => {
                entries.shrink_to(entries.len() * 2);
            }
            _ => {}
        }
        moved
    }
}

impl<K: Hash + Eq> Lists<K> {
    /// The seed keeps publishers and subscribers from choosing keys that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            ids: HashTable::new(),
            lists: Slab::new(),
            edges: Slab::new(),
        }
    }

    fn find<Q>(&self, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let same = |list: &u32| self.lists[*list as usize].key.borrow() == key;
        self.ids.find(hash, same).copied()
    }

    /// Adds a value under a key; its edge.
    pub(crate) fn add(&mut self, key: K, value: u32) -> u32 {
        let edge = id(self.edges.vacant_key());
        let entry = Entry { value, edge };
        let (list, slot) = match self.find(&key) {
            Some(list) => (list, self.lists[list as usize].entries.push(entry)),
            None => (self.add_list(key, entry), 0),
        };
        self.edges.insert(Edge { list, slot });
        edge
    }

    fn add_list(&mut self, key: K, first: Entry) -> u32 {
        let hash = self.hasher.hash_one(&key);
        let entries = Entries::One(first);
        let list = id(self.lists.insert(List { key, entries }));
        let Self { lists, hasher, .. } = self;
        self.ids.insert_unique(hash, list, |list| {
            hasher.hash_one(&lists[*list as usize].key)
        });
        list
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, edge: u32) {
        let Edge { list, slot } = self.edges.remove(edge as usize);
        let entries = &mut self.lists[list as usize].entries;
        if entries.as_slice().len() == 1 {
            let hash = self.hasher.hash_one(&self.lists[list as usize].key);
            if let Ok(found) = self.ids.find_entry(hash, |known| *known == list) {
                found.remove();
            }
            self.lists.remove(list as usize);
            self.shrink();
        } else if let Some(moved) = entries.swap_remove(slot) {
            self.edges[moved.edge as usize].slot = slot;
        }
    }

    /// Gives memory back after many have left, at a cost that their leaving has paid for.
    fn shrink(&mut self) {
        if self.ids.capacity() > 256 && self.ids.len() < self.ids.capacity() / 8 {
            let Self { lists, hasher, .. } = self;
            let hash = |list: &u32| hasher.hash_one(&lists[*list as usize].key);
            self.ids.shrink_to(self.ids.len() * 2, hash);
            self.lists.shrink_to_fit();
            self.edges.shrink_to_fit();
        }
    }

    /// All values under a key.
    pub(crate) fn entries<Q>(&self, key: &Q) -> &[Entry]
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(key)
            .map_or(&[], |list| self.lists[list as usize].entries.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn values<K: Hash + Eq>(lists: &Lists<K>, key: &K) -> Vec<u32> {
        let mut values: Vec<_> = lists.entries(key).iter().map(|e| e.value).collect();
        values.sort_unstable();
        values
    }

    #[test]
    fn entries_come_and_go_in_any_order() {
        let mut lists = Lists::new(7);
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
                let edge = lists.add(key, value);
                assert_eq!(model.insert(edge, (key, value)), None);
            } else if let Some(&edge) = model.keys().nth(next() as usize % model.len().max(1)) {
                model.remove(&edge).unwrap();
                lists.remove(edge);
            }
            if value % 500 == 0 {
                for key in 0..7 {
                    let mut want: Vec<_> = model.values().filter(|(k, _)| *k == key).collect();
                    want.sort_unstable();
                    let want: Vec<_> = want.into_iter().map(|(_, value)| *value).collect();
                    assert_eq!(values(&lists, &key), want);
                }
            }
        }
        for edge in model.into_keys() {
            lists.remove(edge);
        }
        assert!(lists.ids.is_empty() && lists.lists.is_empty() && lists.edges.is_empty());
    }
}
