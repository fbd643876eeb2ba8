//! No text makes reading or matching a pattern panic or hang, and what a shape or a gram leaves out the pattern does not match.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidewire_core::{Gram, Matcher, Patterns, Segment, TopicRef};

fuzz_target!(|input: (&str, &str)| {
    let (text, topic) = input;
    let patterns = Patterns::default();
    for made in [patterns.selector(text), patterns.url_pattern(text)] {
        let Ok(Matcher::Pattern(pattern)) = made else {
            continue;
        };
        let topic = TopicRef::new(topic.as_bytes());
        if !pattern.matches(&topic) {
            continue;
        }
        pattern.space().text(&topic, |text| {
            for gram in pattern.grams() {
                let have = text.windows(gram.len());
                let mut have = have.filter_map(Gram::first_of);
                assert!(have.any(|have| have == *gram), "{pattern:?} {gram:?}");
            }
        });
        if pattern.shapes().is_empty() {
            continue;
        }
        let mut have = Vec::new();
        pattern.space().segments(&topic, |segment| have.push(segment.to_vec()));
        let fits = pattern.shapes().iter().any(|shape| {
            let count = shape.segments.len();
            let mut pairs = shape.segments.iter().zip(&have);
            (have.len() == count || shape.rest && have.len() > count)
                && pairs.all(|(segment, have)| match segment {
                    Segment::Any => true,
                    Segment::Literal(text) => **text == **have,
                })
        });
        assert!(fits, "{pattern:?} {:?}", pattern.shapes());
    }
    assert_eq!(patterns.bytes(), 0);
});
