use std::collections::BTreeSet;

use super::*;
use crate::{PatternLimits, Patterns, TopicRef};

/// mercure.md, 2.11.
#[test]
fn urls_match() {
    const HUB: &str = "https://hub.example/.well-known/mercure";
    let pinned = Patterns::with_base(PatternLimits::default(), HUB).unwrap();
    let books = "https://example.com/books/:id";
    #[rustfmt::skip]
    let table = [
        // pattern                              topic                                       matches
        (books,                                 "https://example.com/books/123",            true),
        (books,                                 "https://example.com/authors/123",          false),
        (books,                                 "https://example.com/BOOKS/123",            false),
        (books,                                 "https://EXAMPLE.com/books/123",            true),
        (books,                                 "HTTPS://example.com:443/x/../books/123",   true),
        (books,                                 "https://example.com/books/123?a=b#c",      true),
        (books,                                 "https://me:pw@example.com/books/1",        true),
        (books,                                 "https://example.com:8443/books/123",       false),
        (books,                                 "http://example.com/books/123",             false),
        (books,                                 "https://example.com/books/",               false),
        (books,                                 "https://example.com/books",                false),
        (books,                                 "https://example.com/books/1/2",            false),
        ("https://EXAMPLE.com/books/:id",       "https://example.com/books/123",            true),
        ("https://example.com/*",               "https://example.com/a/b/c",                true),
        ("https://example.com/*",               "https://example.com/",                     true),
        ("https://example.com/*",               "https://example.org/",                     false),
        ("https://example.com/a/*",             "https://example.com/a/",                   true),
        ("https://example.com/a/*",             "https://example.com/a",                    false),
        ("https://example.com/:a/b/:c",         "https://example.com/1/b/2",                true),
        ("https://example.com/:a/b/:c",         "https://example.com//b/2",                 false),
        ("https://example.com/:a/b/:c",         "https://example.com/1/b/2/",               false),
        ("https://example.com/:a/b/:c",         "https://example.com/1/b",                  false),
        ("https://example.com/:a/*",            "https://example.com/1/2/3",                true),
        ("https://example.com/:a/*",            "https://example.com/1",                    false),
        ("https://example.com/a.b",             "https://example.com/aXb",                  false),
        ("https://*.example.com/a",             "https://b.c.example.com/a",                true),
        ("https://*.example.com/a",             "https://example.com/a",                    false),
        ("https://:sub.example.com/a",          "https://b.c.example.com/a",                false),
        ("http{s}?://example.com/a",            "http://example.com/a",                     true),
        ("http{s}?://example.com/a",            "ftp://example.com/a",                      false),
        ("https://example.com/:id(\\d+)",       "https://example.com/12",                   true),
        ("https://example.com/:id(\\d+)",       "https://example.com/1a",                   false),
        ("https://example.com/a{/:b}?",         "https://example.com/a",                    true),
        ("https://example.com/a{/:b}?",         "https://example.com/a/1",                  true),
        ("https://example.com/a{/:b}?",         "https://example.com/a/1/2",                false),
        ("https://example.com/a/:b+",           "https://example.com/a/1/2",                true),
        ("https://example.com/:a.html",         "https://example.com/x.html",               true),
        ("https://example.com/:a.html",         "https://example.com/x/y.html",             false),
        ("https://example.com/a?q=:q",          "https://example.com/a?q=1",                true),
        ("https://example.com/a?q=:q",          "https://example.com/a",                    false),
        ("https://example.com/\u{e9}/:x",       "https://example.com/%C3%A9/1",             true),
        ("https://ex\u{e4}mple.com/",           "https://xn--exmple-cua.com/",              true),
        // Relative ones are the hub's.
        ("/books/:id",                          "/books/123",                               true),
        ("/books/:id",                          "https://hub.example/books/123",            true),
        ("https://hub.example/books/:id",       "/books/123",                               true),
        ("/books/:id",                          "https://other.example/books/123",          false),
        ("books/:id",                           "/.well-known/books/1",                     true),
        ("books/:id",                           "/books/1",                                 false),
        ("/*",                                  "anything",                                 true),
        ("/*",                                  "urn:a:b",                                  false),
        ("urn\\:a\\:*",                         "urn:a:b",                                  true),
        ("urn\\:a\\:*",                         "urn:b:b",                                  false),
        ("data\\:*",                            "data:x",                                   true),
        // No URL reference.
        ("*://*/*",                             "http://",                                  false),
        ("/*",                                  "http://[",                                 false),
    ];
    for (text, topic, want) in table {
        let matcher = pinned.url_pattern(text).unwrap();
        assert_eq!(matcher.accepts(topic.as_bytes()), want, "{text} ~ {topic}");
    }
}

#[test]
fn without_a_url_of_its_own_relative_ones_match_relative_ones_alone() {
    let patterns = Patterns::default();
    let matcher = patterns.url_pattern("/books/:id").unwrap();
    let accepts = |topic: &str| matcher.accepts(topic.as_bytes());
    assert!(accepts("/books/1") && !accepts("https://hub.example/books/1"));
    for base in ["", "/hub", "urn:x", "hub.example"] {
        assert!(
            Patterns::with_base(PatternLimits::default(), base).is_err(),
            "{base}"
        );
    }
}

/// As a topic is looked at for several patterns, also of other hubs.
#[test]
fn one_look_at_a_topic_serves_any_base() {
    let [one, two] = ["https://one.example/hub", "https://two.example/hub"]
        .map(|base| Patterns::with_base(PatternLimits::default(), base).unwrap());
    let topic = TopicRef::new(b"/a/1");
    let matches = |patterns: &Patterns, text| patterns.url_pattern(text).unwrap().matches(&topic);
    assert!(matches(&one, "https://one.example/a/:x"));
    assert!(matches(&two, "https://two.example/a/:x"));
    assert!(!matches(&two, "https://one.example/a/:x"));
    assert_ne!(
        one.url_pattern("/a").unwrap(),
        two.url_pattern("/a").unwrap()
    );
}

fn spelled(gram: Gram) -> String {
    let bytes = &gram.to_number().to_le_bytes()[..gram.len()];
    std::str::from_utf8(bytes).unwrap().to_owned()
}

#[test]
fn what_a_url_has_to_hold_is_read_from_every_part() {
    let base = Base::parse("https://h.x/hub").unwrap();
    #[rustfmt::skip]
    let table: [(&str, &[&str]); 11] = [
        ("*://*/ab*cd",             &["/ab", "cd"]),
        ("*://*/(abc|def)x",        &["/", "x"]),
        ("*://*/:a-bcde-:b",        &["-bcd", "bcde", "cde-", "/"]),
        ("*://*/x{/abc}?",          &["/x"]),
        ("*://*/x{/abc}+",          &["/abc", "/x"]),
        ("*://*/x{/abc}*",          &["/x"]),
        ("*://*/([a])bc(d{2}e)",    &["/abc", "d", "e"]),
        ("*://*/((?i)abc)",         &["/"]),
        ("*://*/a?q=*#f",           &["/a", "q=", "f"]),
        ("https://*.e.x/*",         &[".e.x", "http", "ttps"]),
        ("*://*:*/*",               &[]),
    ];
    for (text, want) in table {
        let (_, grams) = UrlPattern::parse(text, &base).unwrap();
        let have: BTreeSet<_> = grams.iter().map(|gram| spelled(*gram)).collect();
        let want: BTreeSet<_> = want.iter().map(|gram| (*gram).to_owned()).collect();
        assert_eq!(have, want, "{text}");
    }
}

/// The same answers as those of the crate that reads the patterns, with its own matcher.
#[test]
fn matching_agrees_with_the_crate_that_reads_patterns() {
    let base = Base::parse("https://a.b/c/d").unwrap();
    #[rustfmt::skip]
    let pieces = ["https://", "http", "s", "{s}?", "://", "a.b", "*", ":x", ":y", "/", "/", "/", "a", "b", ".", "(\\d+)", "?", "+", "{/a}", "{/:z}*", "#", "1", "\\:", "é", "%41"];
    #[rustfmt::skip]
    let parts = ["https://a.b", "http://a.b", "/", "/", "/a", "a", "b", "1", "12", ".", "?", "#", "x", "é", "%41", ":", "//", ".."];
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    let (mut patterns, mut hits) = (0, 0);
    for _ in 0..400 {
        let text: String = (0..1 + next(7))
            .map(|_| pieces[next(pieces.len())])
            .collect();
        let Ok((ours, grams)) = UrlPattern::parse(&text, &base) else {
            continue;
        };
        patterns += 1;
        let (shape, is_whole) = ours.shape();
        let init = read(&text, None).or_else(|_| read(&text, Some(base.0.clone())));
        let theirs = <urlpattern::UrlPattern>::parse(init.unwrap(), Default::default()).unwrap();
        for _ in 0..12 {
            let topic: String = (0..1 + next(6)).map(|_| parts[next(parts.len())]).collect();
            let Some(url) = base.resolve(topic.as_bytes()) else {
                continue;
            };
            let want = theirs
                .test(urlpattern::UrlPatternMatchInput::Url(url.clone()))
                .unwrap();
            assert_eq!(ours.matches(&url), want, "{text} ~ {topic} ({url:?})");
            hits += usize::from(want);
            let holds = |gram: &Gram| url.as_str().contains(&spelled(*gram));
            assert!(
                !want || grams.iter().all(holds),
                "{text} ~ {url:?} {grams:?}"
            );
            if let Some(shape) = &shape {
                let mut have = Vec::new();
                segments(&url, |segment| have.push(segment.to_vec()));
                let fits = shape.fits(have.iter().map(Vec::as_slice));
                assert!(fits || !want, "{text} ~ {topic} {shape:?}");
                // But for wild segments, which are not empty, and a rest, which is one segment at least, a whole shape says all.
                let is_short = have.iter().skip(3).any(Vec::is_empty)
                    || shape.rest && have.len() == shape.segments.len();
                assert!(want || !fits || !is_whole || is_short, "{text} ~ {topic}");
            }
        }
    }
    assert!(
        patterns > 100 && hits > 50,
        "{patterns} patterns, {hits} hits"
    );
}

/// Every part takes at most its automaton's share, and what reads a topic reads it once.
#[test]
fn hostile_patterns_are_refused_or_small() {
    let base = Base::default();
    for text in [
        "/((?:a|b)*a(?:a|b){20})".to_owned(),
        "/(a{1000}b{1000}c{1000})".to_owned(),
        format!("/{}", "{:a}?".repeat(500)),
        format!("/{}", "*a".repeat(1000)),
        format!("/({})", "(".repeat(1000)),
    ] {
        match UrlPattern::parse(&text, &base) {
            Ok((pattern, _)) => assert!(pattern.bytes() < 128 << 10, "{text}"),
            Err(error) => assert!(matches!(error, PatternError::Url { .. }), "{text}"),
        }
    }
}

/// The crate that reads patterns counts them below zero: with overflow checks a panic, found by the fuzz target `patterns`.
#[test]
fn brackets_that_close_unopened_are_refused() {
    let base = Base::default();
    let table = [
        ("]", Some(0)),
        ("https://]/", Some(8)),
        ("https://[::1]]/", Some(13)),
        ("https://[\\:\\:1]/:a", None),
    ];
    for (text, at) in table {
        let refused = match UrlPattern::parse(text, &base) {
            Ok(_) => None,
            Err(PatternError::Url { at, .. }) => at,
            Err(error) => panic!("{text}: {error}"),
        };
        assert_eq!(refused, at, "{text}");
    }
}
