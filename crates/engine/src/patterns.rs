//! The pattern index: which of many patterns match a topic, without trying each.
//!
//! Patterns with a shape stand in a trie of segments: a topic walks down it and meets only those whose literals it has. The few
//! others are tried one by one, and what a topic came to there is remembered, within a bound. Either way each distinct pattern is
//! tried at most once a topic, however many want it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use slab::Slab;
use tidewire_core::{Pattern, Segment, Shape, Space, TopicRef};

use crate::index::id;

/// How many bytes of results may be remembered in each of two generations.
const REMEMBERED_BYTES_MAX: usize = 128 << 10;

type Table<K, V> = HashMap<K, V, FixedState>;

fn table<K, V>(seed: u64) -> Table<K, V> {
    HashMap::with_hasher(FixedState::with_seed(seed))
}

/// Patterns, each with a value.
pub(crate) struct PatternIndex {
    seed: u64,
    slots: Table<Pattern, u32>,
    known: Slab<Known>,
    /// One for each space that a pattern is in; nearly always one or two.
    tries: Vec<Trie>,
    /// Those without a shape, in the order in which they came.
    general: BTreeMap<Birth, u32>,
    births: Birth,
    memory: RefCell<Memory>,
}

/// Says of two patterns without a shape which one came first; never used twice.
type Birth = u64;

struct Known {
    pattern: Pattern,
    value: u32,
    birth: Birth,
}

/// What earlier lookups came to, and room for the next.
struct Memory {
    seed: u64,
    /// The last topic asked for and what it found: a delivery asks more than once.
    last: Option<(Box<[u8]>, Vec<u32>)>,
    young: Table<Box<[u8]>, Remembered>,
    old: Table<Box<[u8]>, Remembered>,
    young_bytes: usize,
    walk: Walk,
}

/// Which general patterns match a topic.
struct Remembered {
    /// Of those who came before this.
    before: Birth,
    matching: Box<[(Birth, u32)]>,
}

/// Where a topic has come to in a trie.
#[derive(Default)]
struct Walk {
    nodes: Vec<u32>,
    next: Vec<u32>,
    /// The slots of patterns that it met.
    met: Vec<u32>,
}

impl PatternIndex {
    /// The seed keeps publishers and subscribers from choosing segments that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            slots: table(seed),
            known: Slab::new(),
            tries: Vec::new(),
            general: BTreeMap::new(),
            births: 0,
            memory: RefCell::new(Memory::new(seed)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The value of a pattern.
    pub(crate) fn get(&self, pattern: &Pattern) -> Option<u32> {
        let slot = *self.slots.get(pattern)?;
        Some(self.known[slot as usize].value)
    }

    /// Adds a pattern that is not there yet.
    pub(crate) fn insert(&mut self, pattern: &Pattern, value: u32) {
        let birth = self.births;
        let slot = id(self.known.insert(Known {
            pattern: pattern.clone(),
            value,
            birth,
        }));
        self.slots.insert(pattern.clone(), slot);
        if pattern.shapes().is_empty() {
            self.general.insert(birth, slot);
            self.births += 1;
        } else {
            let space = pattern.space();
            let trie = match self.tries.iter().position(|trie| trie.space == space) {
                Some(trie) => trie,
                None => {
                    self.tries.push(Trie::new(space, self.seed));
                    self.tries.len() - 1
                }
            };
            for shape in pattern.shapes() {
                self.tries[trie].insert(shape, slot);
            }
        }
        self.memory.get_mut().last = None;
    }

    /// Takes a pattern out.
    pub(crate) fn remove(&mut self, pattern: &Pattern) {
        let Some(slot) = self.slots.remove(pattern) else {
            return;
        };
        let known = self.known.remove(slot as usize);
        if pattern.shapes().is_empty() {
            self.general.remove(&known.birth);
        }
        let space = pattern.space();
        if let Some(trie) = self.tries.iter().position(|trie| trie.space == space) {
            for shape in pattern.shapes() {
                self.tries[trie].remove(shape, slot);
            }
            if self.tries[trie].is_empty() {
                self.tries.swap_remove(trie);
            }
        }
        self.memory.get_mut().last = None;
    }

    /// The values of all patterns that match a topic, each once.
    pub(crate) fn matching(&self, topic: &[u8]) -> Vec<u32> {
        let mut memory = self.memory.borrow_mut();
        if let Some((last, found)) = &memory.last
            && **last == *topic
        {
            return found.clone();
        }
        let looked = TopicRef::new(topic);
        let found: Vec<_> = self
            .shaped(&looked, &mut memory.walk)
            .chain(self.tried(&looked, &mut memory))
            .map(|slot| self.known[slot as usize].value)
            .collect();
        memory.last = Some((topic.into(), found.clone()));
        found
    }

    /// Those that the tries lead to. A trie says which may match.
    fn shaped(&self, topic: &TopicRef<'_>, walk: &mut Walk) -> impl Iterator<Item = u32> + use<> {
        walk.met.clear();
        for trie in &self.tries {
            trie.walk(topic, walk);
        }
        walk.met.sort_unstable();
        // By two shapes, or by two ways of one.
        walk.met.dedup();
        let matches = |slot: &u32| self.known[*slot as usize].pattern.matches(topic);
        let met: Vec<_> = walk.met.iter().copied().filter(matches).collect();
        met.into_iter()
    }

    /// Those that have to be tried.
    fn tried(
        &self,
        topic: &TopicRef<'_>,
        memory: &mut Memory,
    ) -> impl Iterator<Item = u32> + use<> {
        let found = if self.general.is_empty() {
            Vec::new()
        } else if let Some(known) = memory.young.get(topic.as_bytes())
            && known.before == self.births
        {
            self.still_here(&known.matching).collect()
        } else {
            self.try_newer(topic, memory)
        };
        found.into_iter().map(|(_, slot)| slot)
    }

    fn still_here(&self, known: &[(Birth, u32)]) -> impl Iterator<Item = (Birth, u32)> {
        let is_here = |(birth, _): &&(Birth, u32)| self.general.contains_key(birth);
        known.iter().filter(is_here).copied()
    }

    /// Tries those that have come since the topic was last asked for.
    fn try_newer(&self, topic: &TopicRef<'_>, memory: &mut Memory) -> Vec<(Birth, u32)> {
        let mut found = Vec::new();
        let mut tried_before = 0;
        if let Some(known) = memory.take(topic.as_bytes()) {
            found.extend(self.still_here(&known.matching));
            tried_before = known.before;
        }
        for (birth, slot) in self.general.range(tried_before..) {
            if self.known[*slot as usize].pattern.matches(topic) {
                found.push((*birth, *slot));
            }
        }
        memory.keep(topic.as_bytes(), self.births, &found);
        found
    }
}

impl Memory {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            last: None,
            young: table(seed),
            old: table(seed),
            young_bytes: 0,
            walk: Walk::default(),
        }
    }

    /// What is remembered of a topic; it is given back by [`Memory::keep`].
    fn take(&mut self, topic: &[u8]) -> Option<Remembered> {
        if let Some(known) = self.young.remove(topic) {
            self.young_bytes -= known.bytes(topic);
            return Some(known);
        }
        self.old.remove(topic)
    }

    fn keep(&mut self, topic: &[u8], before: Birth, matching: &[(Birth, u32)]) {
        let remembered = Remembered {
            before,
            matching: matching.into(),
        };
        let bytes = remembered.bytes(topic);
        if bytes > REMEMBERED_BYTES_MAX {
            return;
        }
        // What nobody asked for while a generation was filled is forgotten.
        if self.young_bytes + bytes > REMEMBERED_BYTES_MAX {
            self.old = std::mem::replace(&mut self.young, table(self.seed));
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(topic.into(), remembered);
    }
}

impl Remembered {
    fn bytes(&self, topic: &[u8]) -> usize {
        // The table's own entry is about twice the two boxes and the number in it.
        topic.len() + size_of_val(&*self.matching) + 96
    }
}

/// The shapes of the patterns of one space.
struct Trie {
    space: Space,
    hasher: FixedState,
    nodes: Slab<Node>,
    /// From a node by a literal's hash to the next one. Where two literals collide, a pattern is tried in vain.
    literals: Table<(u32, u64), u32>,
}

const ROOT: u32 = 0;

/// Where a row of segments leads to.
#[derive(Default)]
struct Node {
    any: Option<u32>,
    literals: u32,
    /// The patterns whose shape ends here.
    ends: Vec<u32>,
    /// The patterns whose shape takes anything from here on.
    rests: Vec<u32>,
}

impl Node {
    fn leads_nowhere(&self) -> bool {
        self.any.is_none() && self.literals == 0 && self.ends.is_empty() && self.rests.is_empty()
    }
}

impl Trie {
    fn new(space: Space, seed: u64) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Self {
            space,
            hasher: FixedState::with_seed(seed),
            nodes,
            literals: table(seed),
        }
    }

    fn is_empty(&self) -> bool {
        self.nodes[ROOT as usize].leads_nowhere()
    }

    fn insert(&mut self, shape: &Shape, slot: u32) {
        let mut at = ROOT;
        for segment in &shape.segments {
            at = self.grow(at, segment);
        }
        self.nodes[at as usize].list(shape).push(slot);
    }

    fn grow(&mut self, at: u32, segment: &Segment) -> u32 {
        if let Some(next) = self.next(at, segment) {
            return next;
        }
        let next = id(self.nodes.insert(Node::default()));
        match segment {
            Segment::Any => self.nodes[at as usize].any = Some(next),
            Segment::Literal(text) => {
                self.literals.insert((at, self.hash(text)), next);
                self.nodes[at as usize].literals += 1;
            }
        }
        next
    }

    fn next(&self, at: u32, segment: &Segment) -> Option<u32> {
        match segment {
            Segment::Any => self.nodes[at as usize].any,
            Segment::Literal(text) => self.literals.get(&(at, self.hash(text))).copied(),
        }
    }

    fn hash(&self, text: &[u8]) -> u64 {
        self.hasher.hash_one(text)
    }

    fn remove(&mut self, shape: &Shape, slot: u32) {
        let mut way = vec![ROOT];
        for segment in &shape.segments {
            match self.next(way[way.len() - 1], segment) {
                Some(next) => way.push(next),
                None => return,
            }
        }
        let list = self.nodes[way[way.len() - 1] as usize].list(shape);
        list.retain(|known| *known != slot);
        for (segment, step) in shape.segments.iter().zip(way.windows(2)).rev() {
            let [from, to] = [step[0], step[1]];
            if !self.nodes[to as usize].leads_nowhere() {
                return;
            }
            self.nodes.remove(to as usize);
            match segment {
                Segment::Any => self.nodes[from as usize].any = None,
                Segment::Literal(text) => {
                    self.literals.remove(&(from, self.hash(text)));
                    self.nodes[from as usize].literals -= 1;
                }
            }
        }
        if self.literals.capacity() > 256 && self.literals.len() < self.literals.capacity() / 8 {
            self.literals.shrink_to(self.literals.len() * 2);
            self.nodes.shrink_to_fit();
        }
    }

    /// Notes whom a topic meets.
    fn walk(&self, topic: &TopicRef<'_>, walk: &mut Walk) {
        let Walk { nodes, next, met } = walk;
        nodes.clear();
        nodes.push(ROOT);
        self.space.segments(topic, |segment| {
            if nodes.is_empty() {
                return;
            }
            let hash = self.hash(segment);
            next.clear();
            for &at in &*nodes {
                let node = &self.nodes[at as usize];
                next.extend(node.any);
                if node.literals > 0 {
                    next.extend(self.literals.get(&(at, hash)));
                }
            }
            for &at in &*next {
                met.extend_from_slice(&self.nodes[at as usize].rests);
            }
            std::mem::swap(nodes, next);
        });
        for &at in &*nodes {
            met.extend_from_slice(&self.nodes[at as usize].ends);
        }
    }
}

impl Node {
    /// Where a shape that ends here is listed.
    fn list(&mut self, shape: &Shape) -> &mut Vec<u32> {
        if shape.rest {
            &mut self.rests
        } else {
            &mut self.ends
        }
    }
}

#[cfg(test)]
mod tests;
