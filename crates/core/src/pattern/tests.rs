use super::*;

fn pattern(matcher: Matcher) -> Pattern {
    match matcher {
        Matcher::Pattern(pattern) => pattern,
        other => panic!("{other:?} is no pattern"),
    }
}

fn accepts(matcher: &Matcher, topic: &str) -> bool {
    matcher.accepts(topic.as_bytes())
}

/// mercure.md, 1.2.
#[test]
fn selectors() {
    let patterns = Patterns::default();
    #[rustfmt::skip]
    let table: [(&str, &[&str], &[&str]); 7] = [
        // selector     matches                     does not match
        ("*",           &["a", "{x}"],              &[]),
        ("a",           &["a"],                     &["b", "A"]),
        ("/b/{id}",     &["/b/1", "/b/{id}"],       &["/b/{ie}", "/b/1/2"]),
        ("/b{/r*}",     &["/b", "/b/1", "/b{/r*}"], &["/b{/r}"]),
        ("a{",          &["a{"],                    &["a"]),
        ("a b{x}",      &["a b{x}"],                &["a b1"]),
        ("{a:0}",       &["{a:0}"],                 &["x"]),
    ];
    for (text, yes, no) in table {
        let matcher = patterns.selector(text).unwrap();
        assert!(yes.iter().all(|topic| accepts(&matcher, topic)), "{text}");
        assert!(!no.iter().any(|topic| accepts(&matcher, topic)), "{text}");
    }
}

#[test]
fn what_is_refused_and_why() {
    let limits = PatternLimits {
        pattern_bytes_max: 8,
        ..PatternLimits::default()
    };
    let patterns = Patterns::new(limits);
    let many = "{a}".repeat(TEMPLATE_EXPRESSIONS_MAX + 1);
    #[rustfmt::skip]
    let table = [
        ("",            PatternError::Topic(TopicError::Empty)),
        ("a\n{b}",      PatternError::Topic(TopicError::Character('\n'))),
        ("abcde{b}",    PatternError::Full { bytes_max: 0 }),
        ("abcdef{b}",   PatternError::TooLong { bytes: 9, bytes_max: 8 }),
        (&many,         PatternError::Expressions),
    ];
    for (text, why) in table {
        if why == (PatternError::Full { bytes_max: 0 }) {
            assert!(patterns.selector(text).is_ok(), "{text}");
        } else {
            assert_eq!(patterns.selector(text), Err(why), "{text}");
        }
    }
    // A plain topic is no pattern and is measured as a topic.
    assert!(patterns.selector("a-long-topic").is_ok());
}

#[test]
fn one_text_is_one_pattern_and_goes_with_its_last_user() {
    let patterns = Patterns::default();
    let first = pattern(patterns.selector("/b/{id}").unwrap());
    let bytes = patterns.bytes();
    let second = pattern(patterns.selector("/b/{id}").unwrap());
    assert!(Arc::ptr_eq(&first.0, &second.0));
    assert_eq!((patterns.count(), patterns.bytes()), (1, bytes));
    let other = pattern(patterns.selector("/c/{id}").unwrap());
    assert_eq!(patterns.count(), 2);
    assert!(first < other && first == second && first != other);
    drop((first, other));
    assert_eq!((patterns.count(), patterns.bytes()), (1, bytes));
    drop(second);
    assert_eq!((patterns.count(), patterns.bytes()), (0, 0));
    // Of another hub's patterns they are equal, but not the same.
    let here = pattern(patterns.selector("{a}").unwrap());
    let there = pattern(Patterns::default().selector("{a}").unwrap());
    assert!(here == there && !Arc::ptr_eq(&here.0, &there.0));
}

#[test]
fn all_together_are_capped_in_bytes() {
    let one = Patterns::default();
    let _first = one.selector("/a/{x}").unwrap();
    let limits = PatternLimits {
        patterns_bytes_max: one.bytes() * 2,
        ..PatternLimits::default()
    };
    let bytes_max = limits.patterns_bytes_max;
    let patterns = Patterns::new(limits);
    let a = patterns.selector("/a/{x}").unwrap();
    let _b = patterns.selector("/b/{x}").unwrap();
    assert_eq!(patterns.bytes(), bytes_max);
    let refused = patterns.selector("/c/{x}").unwrap_err();
    assert_eq!(refused, PatternError::Full { bytes_max });
    assert!(refused.is_temporary() && refused.to_string().contains("patterns_bytes_max"));
    // What is in use already, and what is no pattern, costs nothing.
    assert_eq!(patterns.selector("/a/{x}"), Ok(a.clone()));
    assert!(patterns.selector("/c").is_ok());
    drop(a);
    assert!(patterns.selector("/c/{x}").is_ok());
}

fn spelled(shape: &Shape) -> String {
    let segment = |segment: &crate::Segment| match segment {
        crate::Segment::Literal(text) => String::from_utf8_lossy(text).into_owned(),
        crate::Segment::Any => ":".to_owned(),
    };
    let mut segments: Vec<_> = shape.segments.iter().map(segment).collect();
    if shape.rest {
        segments.push("**".to_owned());
    }
    segments.join("/")
}

#[test]
fn templates_are_found_by_their_shapes() {
    let patterns = Patterns::default();
    #[rustfmt::skip]
    let table: [(&str, &[&str]); 23] = [
        ("/b/{id}",                 &["/b/:"]),
        ("https://e.x/{a}/c/{b}",   &["https://e.x/:/c/:"]),
        ("{a}/b",                   &[":/b"]),
        ("/b/{id}{?page}",          &["/b/:"]),
        ("/b/{a}{.b}",              &["/b/:"]),
        ("/b/{+rest}",              &["/b/**"]),
        ("/b/{#rest}",              &["/b/**"]),
        ("/b{/rest*}",              &["/b/**", "/b{/rest*}"]),
        ("/b{/c}",                  &["/b/**", "/b{/c}"]),
        ("/b/{c}{/d}",              &["/b/:/**"]),
        ("{a}/b",                   &[":/b"]),
        // Those that are slow besides.
        ("/b/{id}.json",            &["/b/:"]),
        ("/b/c-{id}{.x}/d",         &["/b/:/d"]),
        ("/b/c{+rest}",             &["/b/**"]),
        ("/b/c{+rest}/d",           &["/b/**"]),
        ("/b/c{/d}e",               &["/b/**"]),
        ("/b{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}/c", &["/:/c"]),
        ("{a}",                     &[]),
        ("{+a}",                    &[]),
        ("/b-{id}",                 &[]),
        ("/b{?page}",               &[]),
        ("/{+a}/b",                 &[]),
        ("/b{+rest}",               &[]),
    ];
    for (at, (text, shapes)) in table.into_iter().enumerate() {
        let pattern = pattern(patterns.selector(text).unwrap());
        let have: Vec<_> = pattern.shapes().iter().map(spelled).collect();
        assert_eq!(have, shapes, "{text}");
        assert_eq!(pattern.is_quick(), at < 11, "{text}");
    }
    let deep = |segments: usize| format!("{}{{a}}", "x/".repeat(segments - 1));
    let found = |segments| {
        !pattern(patterns.selector(&deep(segments)).unwrap())
            .shapes()
            .is_empty()
    };
    assert_eq!((found(32), found(33)), (true, false));
}

#[cfg(feature = "url-patterns")]
#[test]
fn url_patterns_are_found_by_their_shapes() {
    let patterns = Patterns::with_base(PatternLimits::default(), "https://e.x:8443/hub").unwrap();
    #[rustfmt::skip]
    let table: [(&str, &[&str]); 25] = [
        ("https://e.x/books/:id",       &["https/e.x//books/:"]),
        ("/books/:id",                  &["https/e.x/8443/books/:"]),
        ("books/:id/x",                 &["https/e.x/8443/books/:/x"]),
        ("https://e.x/*",               &["https/e.x//**"]),
        ("https://e.x/a/:b/*",          &["https/e.x//a/:/**"]),
        ("https://e.x/a",               &["https/e.x//a"]),
        ("https://e.x/a\\:b",           &["https/e.x//a:b"]),
        ("https://e.x:443/\u{e9}/:\u{e9}", &["https/e.x//%C3%A9/:"]),
        ("*://*/a",                     &[":/://a"]),
        // Those that are slow besides.
        ("https://e.x/a?b=:c",          &["https/e.x//a"]),
        ("https://*.e.x/a",             &["https/://a"]),
        ("http{s}?://e.x/a",            &[":/e.x//a"]),
        ("https://e.x/:a.html",         &["https/e.x//**"]),
        ("https://e.x/a*",              &["https/e.x//**"]),
        ("https://e.x/b/*/a",           &["https/e.x//**"]),
        ("https://e.x/b/:a(\\d+)",      &["https/e.x//b/**"]),
        ("https://e.x/b/a{/:b}?",       &["https/e.x//b/**"]),
        ("https://e.x/b/c/:a?/c",       &["https/e.x//b/**"]),
        ("https://e.x/b/c/{:a/c}?",     &["https/e.x//b/**"]),
        ("https://e.x/b/c{/:a}*:d",     &["https/e.x//b/**"]),
        ("https://e.x/b/(x/y)",         &["https/e.x//b/**"]),
        ("https://e.x/:a/b/:c+",        &["https/e.x//:/b/**"]),
        ("*://e.x/:a+",                 &[]),
        ("*://*/(a|b)",                 &[]),
        ("data\\:*",                    &[]),
    ];
    for (at, (text, shapes)) in table.into_iter().enumerate() {
        let pattern = pattern(patterns.url_pattern(text).unwrap());
        let have: Vec<_> = pattern.shapes().iter().map(spelled).collect();
        assert_eq!(have, shapes, "{text}");
        assert_eq!(pattern.is_quick(), at < 9, "{text}");
    }
}

#[cfg(feature = "url-patterns")]
#[test]
fn url_patterns_are_checked_and_told_where_they_are_wrong() {
    let patterns = Patterns::default();
    assert_eq!(patterns.url_pattern("*"), Ok(Matcher::Any));
    let long = "x".repeat(4097);
    #[rustfmt::skip]
    let table = [
        ("",                "must not be empty"),
        ("a\u{200b}",       "U+200B"),
        (&long,             "pattern_bytes_max"),
        ("/a/(",            "at byte 3"),
        ("/a/:", "no URL pattern"),
        ("/{a",             "braces do not pair"),
        ("/:a/:a",          "a name stands twice"),
        ("/([)",            "no regular expression"),
        ("/(?=a)b",         "at byte"),
        ("https://e x/", "cannot stand in a URL"),
        ("/((?:a|b)*a(?:a|b){20})", "too many"),
    ];
    for (text, want) in table {
        let error = patterns.url_pattern(text).unwrap_err();
        assert!(error.to_string().contains(want), "{text}: {error}");
        assert!(!error.is_temporary());
    }
}
