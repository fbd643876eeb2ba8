//! Templates against the regular expressions that mercure.md, 1.3 describes, on random templates and topics, also long ones.

use std::fmt::Write;

use regex::bytes::Regex;
use tidewire_core::{Matcher, Patterns};

/// One expression's operator, exploded variables and number of variables, as the regular expression of 1.3.
fn expression(operator: &str, exploded: &[bool]) -> String {
    let (prefix, separator) = match operator {
        "" | "+" => ("", ","),
        "#" => ("#", ","),
        "?" => ("\\?", "&"),
        "." => ("\\.", "\\."),
        operator => (operator, operator),
    };
    let class = |any_exploded: bool| match operator {
        "+" | "#" => r"(?:[-.0-9A-Z_a-z~!#$&'()*+,/:;=?@\[\]]|%[0-9A-Fa-f]{2})*",
        ";" | "?" | "&" => r"(?:[-.0-9A-Z_a-z~,=]|%[0-9A-Fa-f]{2})*",
        _ if any_exploded => r"(?:[-.0-9A-Z_a-z~,=]|%[0-9A-Fa-f]{2})*",
        _ => r"(?:[-.0-9A-Z_a-z~,]|%[0-9A-Fa-f]{2})*",
    };
    let any = exploded.contains(&true);
    let more = match exploded.len() - 1 {
        _ if any => "*".to_owned(),
        more => format!("{{0,{more}}}"),
    };
    let (first, rest) = (class(exploded[0]), class(any));
    format!("(?:{prefix}{first}(?:{separator}{rest}){more})?")
}

#[test]
fn templates_match_what_their_regular_expressions_match() {
    let operators = ["", "+", "#", ".", "/", ";", "?", "&"];
    let literals = ["a", "/", "aa", "x", ".", "%41", "aba", ";", "ab/ab"];
    let pieces = [
        "a", "b", "/", "%41", "%4", "%", ",", ".", ";", "=", "?", "&", "#", "aa", "aba", "4", "1",
        "x", "\u{e9}", "!", "ab/ab", "//", "a/a", "%41%41",
    ];
    let mut seed = 11_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    let patterns = Patterns::default();
    let mut hits = 0;
    for round in 0..1500 {
        let (mut text, mut regex) = (String::new(), String::from("(?s-u)^"));
        for _ in 0..1 + next(5) {
            if next(2) == 0 {
                let literal = literals[next(literals.len())];
                text.push_str(literal);
                regex.push_str(&regex::escape(literal));
            }
            let operator = operators[next(operators.len())];
            let exploded: Vec<_> = (0..1 + next(4)).map(|_| next(4) == 0).collect();
            let _ = write!(text, "{{{operator}");
            for (at, exploded) in exploded.iter().enumerate() {
                let comma = if at > 0 { "," } else { "" };
                let star = if *exploded { "*" } else { "" };
                let _ = write!(text, "{comma}v{at}{star}");
            }
            text.push('}');
            regex.push_str(&expression(operator, &exploded));
        }
        regex.push('$');
        let regex = Regex::new(&regex).unwrap();
        let Ok(Matcher::Pattern(pattern)) = patterns.selector(&text) else {
            panic!("{text} is a template");
        };
        for _ in 0..40 {
            // Short ones, and such as end about a multiple of 64.
            let pad = if round % 3 == 0 { 56 + next(16) } else { 0 };
            let mut topic = pieces[next(pieces.len())].repeat(pad);
            (0..next(9)).for_each(|_| topic.push_str(pieces[next(pieces.len())]));
            let want = regex.is_match(topic.as_bytes()) || topic == text;
            let have = Matcher::Pattern(pattern.clone()).accepts(topic.as_bytes());
            assert_eq!(have, want, "{text} ~ {topic} {regex}");
            hits += usize::from(want);
            for gram in pattern.grams() {
                let bytes = &gram.to_number().to_le_bytes()[..gram.len()];
                let held = topic
                    .as_bytes()
                    .windows(gram.len())
                    .any(|have| have == bytes);
                assert!(held || !want, "{text} ~ {topic} {gram:?}");
            }
            if want && !pattern.shapes().is_empty() {
                let segments: Vec<_> = topic.split('/').map(str::as_bytes).collect();
                let fits = |shape: &tidewire_core::Shape| {
                    let fit = |(at, segment): (usize, &tidewire_core::Segment)| match segment {
                        tidewire_core::Segment::Any => segments.len() > at,
                        tidewire_core::Segment::Literal(text) => {
                            segments.get(at).is_some_and(|have| **have == **text)
                        }
                    };
                    let length = shape.segments.len();
                    shape.segments.iter().enumerate().all(fit)
                        && (segments.len() == length || shape.rest)
                };
                assert!(pattern.shapes().iter().any(fits), "{text} ~ {topic}");
            }
        }
    }
    assert!(hits > 2000, "{hits}");
}
