//! The pattern index: which of many patterns match a topic, without trying each.
//!
//! Quick patterns stand in a trie of segments: a topic walks down it and meets only those whose literals it has. Those that are slow
//! ([`Pattern::is_quick`]) stand under one of their grams ([`crate::grams`]): those that a topic meets are tried one by one, perhaps
//! in several goes, and what a topic came to there is remembered, within a bound. Either way each distinct pattern is tried at most
//! once a topic, however many want it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use slab::Slab;
use tidewire_core::{Gram, Pattern, Segment, Shape, Space, TopicRef};

use crate::grams::GramTable;
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
    /// Of quick ones, one for each space that a pattern is in; nearly always one or two.
    tries: Vec<Trie>,
    /// Slow ones by a gram that their topics hold; for each space as well.
    grams: Vec<(Space, GramTable<Slow>)>,
    /// Slow ones without a gram, in the order in which they came.
    general: BTreeMap<Birth, u32>,
    /// How many slow ones ever came, and how many are here.
    births: Birth,
    slow: usize,
    memory: RefCell<Memory>,
}

/// Says of two slow patterns which one came first; never used twice.
type Birth = u64;

/// A slow pattern: when it came, and its slot.
type Slow = (Birth, u32);

struct Known {
    pattern: Pattern,
    value: u32,
    /// Of a slow one.
    birth: Option<Birth>,
    /// Under which it stands.
    gram: Option<Gram>,
}

/// What earlier lookups came to, and room for the next.
struct Memory {
    seed: u64,
    /// The last topic asked for and what it found: a delivery asks more than once.
    last: Option<(Box<[u8]>, Vec<u32>)>,
    /// Topics that are being tried, in goes: one for each cohort that waits for one. Never forgotten before they are tried, or
    /// cohorts that take turns would begin anew for ever.
    begun: Table<Box<[u8]>, Remembered>,
    begun_bytes: usize,
    /// The last topic that had too many to be remembered.
    large: Option<(Box<[u8]>, Remembered)>,
    young: Table<Box<[u8]>, Remembered>,
    old: Table<Box<[u8]>, Remembered>,
    young_bytes: usize,
    walk: Walk,
}

/// Which slow patterns match a topic.
#[derive(Default)]
struct Remembered {
    /// Of those who came before this.
    before: Birth,
    matching: Vec<Slow>,
}

/// Where a topic has come to in a trie.
#[derive(Default)]
struct Walk {
    nodes: Vec<u32>,
    next: Vec<u32>,
    /// The slots of quick patterns that it met.
    met: Vec<u32>,
    /// The slow patterns that the topic `of` met by their grams, in the order in which they came; of no topic, none are known.
    slow: Vec<Slow>,
    of: Vec<u8>,
}

impl PatternIndex {
    /// The seed keeps publishers and subscribers from choosing segments that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            slots: table(seed),
            known: Slab::new(),
            tries: Vec::new(),
            grams: Vec::new(),
            general: BTreeMap::new(),
            births: 0,
            slow: 0,
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
        let slot = id(self.known.vacant_key());
        let (mut birth, mut gram) = (None, None);
        if pattern.is_quick() {
            self.insert_quick(pattern, slot);
        } else {
            gram = self.insert_slow(pattern, (self.births, slot));
            birth = Some(self.births);
            self.births += 1;
            self.slow += 1;
        }
        self.known.insert(Known {
            pattern: pattern.clone(),
            value,
            birth,
            gram,
        });
        self.slots.insert(pattern.clone(), slot);
        self.memory.get_mut().forget_last();
    }

    fn insert_quick(&mut self, pattern: &Pattern, slot: u32) {
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

    /// Adds a slow one; under which gram.
    fn insert_slow(&mut self, pattern: &Pattern, (birth, slot): Slow) -> Option<Gram> {
        if pattern.grams().is_empty() {
            self.general.insert(birth, slot);
            return None;
        }
        let table = table_of(&mut self.grams, pattern, self.seed);
        let gram = table.choose(pattern.grams())?;
        table.grow(gram).push((birth, slot));
        Some(gram)
    }

    /// Takes a pattern out.
    pub(crate) fn remove(&mut self, pattern: &Pattern) {
        let Some(slot) = self.slots.remove(pattern) else {
            return;
        };
        let known = self.known.remove(slot as usize);
        self.memory.get_mut().forget_last();
        let Some(birth) = known.birth else {
            return self.remove_quick(pattern, slot);
        };
        self.slow -= 1;
        match known.gram {
            Some(gram) => {
                let table = table_of(&mut self.grams, pattern, self.seed);
                table.shrink(gram, |(known, _)| *known != birth);
            }
            None => drop(self.general.remove(&birth)),
        }
        self.grams.retain(|(_, table)| !table.is_empty());
    }

    fn remove_quick(&mut self, pattern: &Pattern, slot: u32) {
        let space = pattern.space();
        if let Some(trie) = self.tries.iter().position(|trie| trie.space == space) {
            for shape in pattern.shapes() {
                self.tries[trie].remove(shape, slot);
            }
            if self.tries[trie].is_empty() {
                self.tries.swap_remove(trie);
            }
        }
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
        // As much as it takes: whoever must not wait has had it prepared.
        let found = self.found(&looked, &mut memory, &mut usize::MAX.clone());
        found.unwrap_or_default()
    }

    /// Tries slow patterns on a topic until they were all tried or the effort is spent; whether all were. Then [`PatternIndex::matching`]
    /// costs little. What was tried before is not tried again.
    pub(crate) fn prepare(&self, topic: &[u8], effort: &mut usize) -> bool {
        if self.slow == 0 {
            return true;
        }
        let mut memory = self.memory.borrow_mut();
        if memory.knows(topic, self.births) {
            return true;
        }
        self.found(&TopicRef::new(topic), &mut memory, effort)
            .is_some()
    }

    /// The values of all patterns that match a topic, and remembers them; `None` if the effort was spent before.
    fn found(
        &self,
        topic: &TopicRef<'_>,
        memory: &mut Memory,
        effort: &mut usize,
    ) -> Option<Vec<u32>> {
        let mut found = Vec::new();
        if self.slow > 0 {
            if !memory.knows(topic.as_bytes(), self.births) {
                self.meet(topic, &mut memory.walk);
            }
            let matching = self.tried(topic, memory, effort)?;
            found.extend(matching.iter().map(|(_, slot)| self.value(*slot)));
        }
        self.quick(topic, &mut memory.walk, &mut found);
        memory.last = Some((topic.as_bytes().into(), found.clone()));
        Some(found)
    }

    /// The values of all quick patterns that match a topic.
    pub(crate) fn quick_matching(&self, topic: &TopicRef<'_>) -> Vec<u32> {
        let mut found = Vec::new();
        self.quick(topic, &mut self.memory.borrow_mut().walk, &mut found);
        found
    }

    fn value(&self, slot: u32) -> u32 {
        self.known[slot as usize].value
    }

    /// Those that the tries lead to, which say who may match: adds the values of those that do.
    fn quick(&self, topic: &TopicRef<'_>, walk: &mut Walk, found: &mut Vec<u32>) {
        walk.met.clear();
        for trie in &self.tries {
            trie.walk(topic, walk);
        }
        walk.met.sort_unstable();
        // By two shapes, or by two ways of one.
        walk.met.dedup();
        let met = walk.met.iter().map(|slot| &self.known[*slot as usize]);
        let matching = met.filter(|known| known.pattern.matches(topic));
        found.extend(matching.map(|known| known.value));
    }

    /// Notes the slow ones whose gram a topic holds.
    fn meet(&self, topic: &TopicRef<'_>, walk: &mut Walk) {
        // Most often the go before was the same topic's.
        if !walk.of.is_empty() && walk.of == topic.as_bytes() {
            return;
        }
        walk.of.clear();
        walk.of.extend_from_slice(topic.as_bytes());
        walk.slow.clear();
        for (space, table) in &self.grams {
            space.text(topic, |text| {
                table.each(text, |met| walk.slow.extend_from_slice(met));
            });
        }
        walk.slow.sort_unstable();
    }

    /// The slow ones that match, of those whom the topic has met and those without a gram. `None` if the effort was spent before they
    /// were all tried; then the next go goes on.
    fn tried(
        &self,
        topic: &TopicRef<'_>,
        memory: &mut Memory,
        effort: &mut usize,
    ) -> Option<Vec<Slow>> {
        let bytes = topic.as_bytes();
        let mut known = memory.take(bytes).unwrap_or_default();
        let is_here = |birth, slot: u32| {
            let known = self.known.get(slot as usize);
            known.is_some_and(|known| known.birth == Some(birth))
        };
        known
            .matching
            .retain(|(birth, slot)| is_here(*birth, *slot));
        if known.before < self.births {
            let found = &mut known.matching;
            let met = &memory.walk.slow;
            let left = self.try_from(known.before, topic, met, found, effort);
            if let Some(left) = left {
                known.before = left;
                known = memory.begin(bytes, known)?;
                // There is no room to remember how far it came: then it is tried to the end.
                let found = &mut known.matching;
                let met = &memory.walk.slow;
                self.try_from(left, topic, met, found, &mut usize::MAX.clone());
            }
            known.before = self.births;
        }
        let matching = known.matching.clone();
        memory.keep(bytes, known);
        Some(matching)
    }

    /// Tries those who came at `first` or later, in that order; with whom to go on, if the effort was spent before.
    fn try_from(
        &self,
        first: Birth,
        topic: &TopicRef<'_>,
        met: &[Slow],
        found: &mut Vec<Slow>,
        effort: &mut usize,
    ) -> Option<Birth> {
        let met = &met[met.partition_point(|(birth, _)| *birth < first)..];
        // However many it meets, there is something left to try some of them.
        let at_least = effort.div_ceil(2);
        let search = self
            .grams
            .iter()
            .map(|(_, table)| table.effort(topic.as_bytes().len()));
        *effort = effort
            .saturating_sub(search.sum::<usize>() + MEETING_EFFORT * met.len())
            .max(at_least);
        let mut met = met.iter().copied().peekable();
        let general = self.general.range(first..);
        let mut general = general.map(|(birth, slot)| (*birth, *slot)).peekable();
        loop {
            let next = match (met.peek(), general.peek()) {
                (Some(a), Some(b)) if a < b => met.next(),
                (Some(_), None) => met.next(),
                _ => general.next(),
            };
            let (birth, slot) = next?;
            if *effort == 0 {
                return Some(birth);
            }
            let pattern = &self.known[slot as usize].pattern;
            *effort = effort.saturating_sub(pattern.effort(topic.as_bytes().len()));
            if pattern.matches(topic) {
                found.push((birth, slot));
            }
        }
    }
}

/// The grams of a pattern's space.
fn table_of<'a>(
    grams: &'a mut Vec<(Space, GramTable<Slow>)>,
    pattern: &Pattern,
    seed: u64,
) -> &'a mut GramTable<Slow> {
    let space = pattern.space();
    let known = grams.iter().position(|(known, _)| *known == space);
    let at = known.unwrap_or_else(|| {
        grams.push((space, GramTable::new(seed)));
        grams.len() - 1
    });
    &mut grams[at].1
}

/// What it costs to meet a pattern and put it into its place, as [`Pattern::effort`] has it.
const MEETING_EFFORT: usize = 10;

impl Memory {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            last: None,
            begun: table(seed),
            begun_bytes: 0,
            large: None,
            young: table(seed),
            old: table(seed),
            young_bytes: 0,
            walk: Walk::default(),
        }
    }

    /// Other patterns are here now.
    fn forget_last(&mut self) {
        self.last = None;
        self.walk.of.clear();
    }

    /// Whether a topic was tried on all slow patterns there are.
    fn knows(&self, topic: &[u8], births: Birth) -> bool {
        let known = self.young.get(topic);
        known.is_some_and(|known| known.before == births)
    }

    /// What is remembered of a topic; it is given back by [`Memory::keep`].
    fn take(&mut self, topic: &[u8]) -> Option<Remembered> {
        if let Some((_, known)) = self.large.take_if(|(large, _)| **large == *topic) {
            return Some(known);
        }
        if let Some(known) = self.begun.remove(topic) {
            self.begun_bytes -= known.bytes(topic);
            return Some(known);
        }
        if let Some(known) = self.young.remove(topic) {
            self.young_bytes -= known.bytes(topic);
            return Some(known);
        }
        self.old.remove(topic)
    }

    /// Remembers how far a topic came. Gives it back if there is no room; then there is some for the next.
    fn begin(&mut self, topic: &[u8], known: Remembered) -> Option<Remembered> {
        let bytes = known.bytes(topic);
        if self.begun_bytes + bytes > REMEMBERED_BYTES_MAX {
            self.begun = table(self.seed);
            self.begun_bytes = 0;
            return Some(known);
        }
        self.begun_bytes += bytes;
        self.begun.insert(topic.into(), known);
        None
    }

    fn keep(&mut self, topic: &[u8], mut known: Remembered) {
        known.matching.shrink_to_fit();
        let bytes = known.bytes(topic);
        if bytes > REMEMBERED_BYTES_MAX {
            self.large = Some((topic.into(), known));
            return;
        }
        // What nobody asked for while a generation was filled is forgotten.
        if self.young_bytes + bytes > REMEMBERED_BYTES_MAX {
            self.old = std::mem::replace(&mut self.young, table(self.seed));
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(topic.into(), known);
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
        let Walk {
            nodes, next, met, ..
        } = walk;
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
