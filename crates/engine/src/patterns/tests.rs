use std::collections::BTreeMap;

use tidewire_core::{Matcher, Patterns};

use super::*;

fn pattern(matcher: Matcher) -> Pattern {
    match matcher {
        Matcher::Pattern(pattern) => pattern,
        other => panic!("{other:?} is no pattern"),
    }
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % below
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// Up to `most` of them in a row.
    fn row(&mut self, of: &[&str], most: usize) -> String {
        (0..1 + self.below(most)).map(|_| self.pick(of)).collect()
    }
}

#[rustfmt::skip]
const TEMPLATE_PIECES: [&str; 18] = ["/", "/", "/a/", "/b/", "a", "b", "{x}", "{x}", "{y}", "{+r}", "{/r*}", "{/s}", "{?q}", "{#f}", "{.d}", "https:/", "/e.x", "{x,y}"];
#[rustfmt::skip]
const URL_PIECES: [&str; 18] = ["https://e.x", "https://e.x", "/", "/", "/a/", "/b/", ":x", ":y", "/*", "*", "a", "b", "?q", "(\\d+)", "{/:z}?", "1", "+", "#"];
#[rustfmt::skip]
const TOPIC_PIECES: [&str; 16] = ["https://e.x", "https://e.x/", "https://h.x", "/", "/", "/a/", "/b/", "a", "b", "1", "2", "{x}", "?q", "#f", ".d", "//"];

/// What the index answers is what trying each pattern comes to, while patterns come and go and topics repeat.
#[test]
fn the_index_answers_as_each_pattern_does() {
    let patterns = Patterns::with_base(Default::default(), "https://h.x/hub").unwrap();
    let mut chance = Chance(42);
    let mut index = PatternIndex::new(9);
    let mut model: BTreeMap<u32, Pattern> = BTreeMap::new();
    let (mut quick_ones, mut slow, mut general, mut hits) = (0, 0, 0, 0);
    let topics: Vec<_> = (0..60).map(|_| chance.row(&TOPIC_PIECES, 6)).collect();
    for value in 0..6000 {
        if chance.below(5) < 3 {
            let made = if chance.below(2) == 0 {
                patterns.selector(&chance.row(&TEMPLATE_PIECES, 6))
            } else {
                patterns.url_pattern(&chance.row(&URL_PIECES, 5))
            };
            if let Ok(Matcher::Pattern(pattern)) = made
                && index.get(&pattern).is_none()
            {
                match pattern.is_quick() {
                    true => quick_ones += 1,
                    false if pattern.grams().is_empty() => general += 1,
                    false => slow += 1,
                }
                index.insert(&pattern, value);
                assert_eq!(index.get(&pattern), Some(value));
                model.insert(value, pattern);
            }
        } else if let Some(&gone) = model.keys().nth(chance.below(model.len().max(1))) {
            let pattern = model.remove(&gone).unwrap();
            index.remove(&pattern);
            assert_eq!(index.get(&pattern), None);
        }
        let topic = if chance.below(2) == 0 {
            topics[chance.below(topics.len())].clone()
        } else {
            chance.row(&TOPIC_PIECES, 6)
        };
        // In goes of any size, some of them not finished.
        for _ in 0..chance.below(4) {
            index.prepare(topic.as_bytes(), &mut chance.below(400));
        }
        let quick = index.quick_matching(&TopicRef::new(topic.as_bytes()));
        let mut found = index.matching(topic.as_bytes());
        found.sort_unstable();
        let looked = TopicRef::new(topic.as_bytes());
        let matching = model.iter().filter(|(_, pattern)| pattern.matches(&looked));
        let want: Vec<_> = matching.map(|(value, _)| *value).collect();
        assert_eq!(found, want, "{topic}");
        for value in &want {
            assert_eq!(quick.contains(value), model[value].is_quick(), "{topic}");
        }
        hits += want.len();
    }
    assert!(
        quick_ones > 100 && slow > 300 && general > 20 && hits > 3000,
        "{quick_ones} {slow} {general} {hits}"
    );
    for (_, pattern) in model {
        index.remove(&pattern);
    }
    assert!(index.is_empty() && index.tries.is_empty() && index.general.is_empty());
    assert!(index.grams.is_empty());
    assert_eq!(patterns.count(), 0);
}

/// A topic meets those whose literals it has, however many others there are.
#[test]
fn a_topic_meets_no_pattern_of_other_literals() {
    let patterns = Patterns::default();
    let mut index = PatternIndex::new(9);
    let mut kept = Vec::new();
    for n in 0..1000 {
        for text in [
            format!("/t{n}/{{id}}"),
            format!("/{{id}}/t{n}"),
            format!("/t{n}/{{+rest}}"),
        ] {
            let pattern = pattern(patterns.selector(&text).unwrap());
            index.insert(&pattern, kept.len() as u32);
            kept.push(pattern);
        }
    }
    #[rustfmt::skip]
    let table = [("/t7/1", 2, 2), ("/t7/1/2", 1, 1), ("/1/t9", 1, 1), ("/t7/t8", 3, 3), ("/1/2", 0, 0), ("x", 0, 0), ("/t7", 1, 0)];
    for (topic, met, matching) in table {
        assert_eq!(index.matching(topic.as_bytes()).len(), matching, "{topic}");
        assert_eq!(index.memory.borrow().walk.met.len(), met, "{topic}");
    }
}

/// However many there are, a go costs what it may, and no pattern is tried twice for a topic.
#[test]
fn slow_patterns_are_tried_in_goes() {
    let patterns = Patterns::default();
    let mut index = PatternIndex::new(9);
    let mut kept = Vec::new();
    // More than are remembered at once.
    for n in 0..20_000 {
        let (general, shaped) = (format!("x-{{id}}{{n{n}}}"), format!("/a/{{id}}{{+n{n}}}/b"));
        let text = if n % 2 == 0 { general } else { shaped };
        let pattern = pattern(patterns.selector(&text).unwrap());
        assert!(!pattern.is_quick());
        index.insert(&pattern, n);
        kept.push(pattern);
    }
    for topic in ["x-1", "/a/1/b"] {
        let effort: usize = kept.iter().map(|one| one.effort(topic.len())).sum();
        let mut goes = 0;
        while !index.prepare(topic.as_bytes(), &mut 50_000_usize.clone()) {
            goes += 1;
        }
        assert!(
            (effort / 200_000..effort / 10_000).contains(&goes),
            "{goes}"
        );
        assert!(index.prepare(topic.as_bytes(), &mut 0), "it is done");
        assert_eq!(index.matching(topic.as_bytes()).len(), 10_000);
    }
}

/// Cohorts take turns: what one's topic came to is not lost while another's is tried, or neither would ever be done. However many
/// wait, that is bounded.
#[test]
fn topics_in_turn_are_all_tried() {
    let patterns = Patterns::default();
    let mut index = PatternIndex::new(9);
    let mut kept = Vec::new();
    for n in 0..100 {
        let pattern = pattern(patterns.selector(&format!("x-{{id}}{{n{n}}}")).unwrap());
        index.insert(&pattern, n);
        kept.push(pattern);
    }
    let topics = ["x-1", "x-2", "x-3"].map(str::as_bytes);
    // A go that tries one pattern.
    let rounds = (1..=200).find(|_| {
        let done = topics.map(|topic| index.prepare(topic, &mut 1_usize.clone()));
        done == [true; 3]
    });
    assert!(rounds.is_some_and(|rounds| rounds >= 100), "{rounds:?}");
    assert_eq!(index.memory.borrow().begun_bytes, 0);

    let done =
        (0..10_000).filter(|n| index.prepare(format!("x-y{n}").as_bytes(), &mut 1_usize.clone()));
    let (done, memory) = (done.count(), index.memory.borrow());
    let bytes = memory
        .begun
        .iter()
        .map(|(topic, known)| known.bytes(topic))
        .sum::<usize>();
    assert_eq!(bytes, memory.begun_bytes);
    assert!(
        (1..100).contains(&done) && bytes <= REMEMBERED_BYTES_MAX,
        "{done}"
    );
}

#[test]
fn what_is_remembered_is_bounded() {
    let patterns = Patterns::default();
    let general = pattern(patterns.selector("x-{id}").unwrap());
    let mut index = PatternIndex::new(9);
    index.insert(&general, 1);
    let topic = |n: usize| format!("x-{n:0100}");
    for n in 0..20_000 {
        assert_eq!(index.matching(topic(n).as_bytes()), [1]);
        // Asked for again and again, so it stays.
        assert_eq!(index.matching(b"x-1"), [1]);
    }
    let memory = index.memory.borrow();
    let bytes = |of: &Table<Box<[u8]>, Remembered>| {
        of.iter()
            .map(|(topic, known)| known.bytes(topic))
            .sum::<usize>()
    };
    assert_eq!(bytes(&memory.young), memory.young_bytes);
    assert!(
        memory.young_bytes <= REMEMBERED_BYTES_MAX && bytes(&memory.old) <= REMEMBERED_BYTES_MAX
    );
    assert!(memory.young.contains_key(&b"x-1"[..]));
    assert!(memory.young.len() > 100 && !memory.old.contains_key(topic(0).as_bytes()));
}
