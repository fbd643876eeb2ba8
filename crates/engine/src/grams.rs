//! Values under grams: which of many patterns a text may match, without a look at the others. A pattern stands under one gram of
//! those that its topics hold, the one that the fewest others stand under; a text is searched for all grams at once.

use std::cell::Cell;
use std::collections::HashMap;

use foldhash::fast::FixedState;
use tidewire_core::Gram;

/// What stands under grams.
pub(crate) struct GramTable<V> {
    lists: HashMap<Gram, List<V>, FixedState>,
    /// How many lists there are of grams of one byte, of two, and so on.
    lengths: [usize; Gram::BYTES_MAX],
    sieve: Sieve,
    /// Counts searches, so that a list is met once in each.
    searches: Cell<u64>,
}

struct List<V> {
    values: Vec<V>,
    /// In which search it was met last.
    met: Cell<u64>,
}

impl<V> GramTable<V> {
    /// The seed keeps publishers and subscribers from choosing grams that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            lists: HashMap::with_hasher(FixedState::with_seed(seed)),
            lengths: [0; Gram::BYTES_MAX],
            sieve: Sieve::new(seed),
            searches: Cell::new(0),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Of these grams the one under which a value costs least: that of the shortest list, and short grams are in many texts.
    pub(crate) fn choose(&self, grams: &[Gram]) -> Option<Gram> {
        let cost = |gram: &&Gram| {
            let others = self.lists.get(*gram).map_or(0, |list| list.values.len());
            (others + 1) << (3 * (Gram::BYTES_MAX - gram.len()))
        };
        grams.iter().min_by_key(cost).copied()
    }

    /// The values under a gram, to be added to.
    pub(crate) fn grow(&mut self, gram: Gram) -> &mut Vec<V> {
        if !self.lists.contains_key(&gram) {
            self.lengths[gram.len() - 1] += 1;
            self.sieve.add(gram, self.lists.keys());
        }
        let new = || List {
            values: Vec::with_capacity(1),
            met: Cell::new(0),
        };
        &mut self.lists.entry(gram).or_insert_with(new).values
    }

    /// Takes values out from under a gram: those that are not to be kept.
    pub(crate) fn shrink(&mut self, gram: Gram, keep: impl FnMut(&mut V) -> bool) {
        let Some(list) = self.lists.get_mut(&gram) else {
            return;
        };
        list.values.retain_mut(keep);
        if list.values.is_empty() {
            self.lists.remove(&gram);
            self.lengths[gram.len() - 1] -= 1;
            if self.lists.capacity() > 64 && self.lists.len() < self.lists.capacity() / 8 {
                self.lists.shrink_to(self.lists.len() * 2);
                self.sieve.fit(self.lists.keys());
            }
        } else if list.values.capacity() > 16 && list.values.len() < list.values.capacity() / 4 {
            list.values.shrink_to(list.values.len() * 2);
        }
    }

    /// The values under each gram that a text holds, those under one gram together and once.
    pub(crate) fn each(&self, text: &[u8], mut with: impl FnMut(&[V])) {
        if self.lists.is_empty() {
            return;
        }
        let search = self.searches.get() + 1;
        self.searches.set(search);
        for at in 0..text.len() {
            let Some(longest) = Gram::first_of(&text[at..]) else {
                break;
            };
            for (below, lists) in self.lengths.iter().enumerate() {
                if *lists == 0 {
                    continue;
                }
                let gram = longest.cut(below + 1);
                if self.sieve.lets(gram)
                    && let Some(list) = self.lists.get(&gram)
                    && list.met.replace(search) != search
                {
                    with(&list.values);
                }
            }
        }
    }

    /// What a search of a text costs at most, in units of about a nanosecond.
    pub(crate) fn effort(&self, text_bytes: usize) -> usize {
        let lengths = self.lengths.iter().filter(|lists| **lists > 0).count();
        text_bytes * (1 + 3 * lengths)
    }
}

/// Says of nearly all grams that nothing is under them, from the processor's nearest memory.
struct Sieve {
    bits: Box<[u64]>,
    factor: u64,
}

/// How many bits it has for a gram, at the least.
const SIEVE_BITS: usize = 16;

impl Sieve {
    fn new(seed: u64) -> Self {
        Self {
            bits: [0].into(),
            factor: (seed ^ 0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    fn place(&self, gram: Gram) -> (usize, u64) {
        let hash = u64::from(gram.to_number()).wrapping_mul(self.factor) >> 24;
        let bit = hash as usize & (self.bits.len() * 64 - 1);
        (bit / 64, 1 << (bit % 64))
    }

    fn lets(&self, gram: Gram) -> bool {
        let (word, bit) = self.place(gram);
        self.bits[word] & bit != 0
    }

    /// Adds one to those that it knows.
    fn add<'a>(&mut self, gram: Gram, known: impl ExactSizeIterator<Item = &'a Gram>) {
        if (known.len() + 1) * SIEVE_BITS > self.bits.len() * 64 {
            self.fit(known);
        }
        let (word, bit) = self.place(gram);
        self.bits[word] |= bit;
    }

    /// As large as it has to be for these and as many again, and knows no others.
    fn fit<'a>(&mut self, known: impl ExactSizeIterator<Item = &'a Gram>) {
        let words = (2 * known.len() * SIEVE_BITS / 64).next_power_of_two();
        self.bits = vec![0; words].into();
        for gram in known {
            let (word, bit) = self.place(*gram);
            self.bits[word] |= bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn gram(text: &str) -> Gram {
        Gram::first_of(text.as_bytes()).unwrap()
    }

    /// Against a model that looks every text through, while grams come and go.
    #[test]
    fn a_text_meets_what_stands_under_its_grams_once() {
        let mut random = 1_u64;
        let mut below = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let mut text = |longest: u64, letters: u64| -> String {
            let length = 1 + below(longest);
            let letter = |_| char::from(b'a' + below(letters) as u8);
            (0..length).map(letter).collect()
        };
        let mut table = GramTable::new(11);
        let mut model: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut hits = 0;
        for value in 0..6000 {
            let key = text(4, 6);
            if value % 5 < 3 {
                table.grow(gram(&key)).push(value);
                model.entry(key).or_default().push(value);
            } else if let Some(values) = model.remove(&key) {
                table.shrink(gram(&key), |value| *value == values[0]);
                table.shrink(gram(&key), |value| *value != values[0]);
            }
            let looked = text(12, 6);
            let mut found = Vec::new();
            table.each(looked.as_bytes(), |values| found.extend_from_slice(values));
            found.sort_unstable();
            let held = model.iter().filter(|(key, _)| looked.contains(&**key));
            let mut want: Vec<_> = held.flat_map(|(_, values)| values.clone()).collect();
            want.sort_unstable();
            assert_eq!(found, want, "{looked}");
            hits += want.len();
        }
        assert!(hits > 1000, "{hits}");
        for key in model.keys() {
            table.shrink(gram(key), |_| false);
        }
        assert!(table.is_empty() && table.lengths == [0; 4]);
    }

    #[test]
    fn a_value_goes_where_the_fewest_are_and_under_a_long_gram_if_it_can() {
        let mut table = GramTable::new(3);
        let [http, user, short] = ["http", "/use", "/x"].map(gram);
        assert_eq!(table.choose(&[]), None);
        assert_eq!(table.choose(&[short, http, user]), Some(http));
        table.grow(http).push(1);
        assert_eq!(table.choose(&[short, http, user]), Some(user));
        table.grow(user).push(2);
        assert_eq!(table.choose(&[short, http, user]), Some(http));
        for _ in 0..200 {
            table.grow(http).push(1);
            table.grow(user).push(1);
        }
        assert_eq!(table.choose(&[short, http, user]), Some(short));
    }

    /// Many patterns with one literal in common and one of their own do not crowd under the one in common.
    #[test]
    fn what_many_have_in_common_is_not_where_they_are() {
        let mut table = GramTable::new(3);
        for n in 0..1000 {
            let own = format!("q{n:03}");
            let grams = ["http", "/api", &own].map(gram);
            let chosen = table.choose(&grams).unwrap();
            table.grow(chosen).push(n);
        }
        let mut met = 0;
        table.each(b"http://host/api/q007", |values| met += values.len());
        assert!(met <= 5, "{met}");
    }
}
