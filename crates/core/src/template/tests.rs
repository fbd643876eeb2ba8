use super::*;

/// Each row was answered by the reference hub's library (uritemplate 3.0.2 for Go), as were half a million random ones.
#[test]
fn templates_match_as_the_reference_library_does() {
    #[rustfmt::skip]
    let table: [(&str, &[&str], &[&str]); 21] = [
        // template                 matches                                         does not match
        ("/b/{id}",                 &["/b/1", "/b/", "/b/a,b", "/b/%41", "/b/~-._"], &["/b", "/b/1/2", "/b/a=b", "/b/%4", "/b/%zz", "/b/é", "/b/a b", "x/b/1"]),
        ("/b/{id:3}",               &["/b/1234567"],                                 &["/b/1/2"]),
        ("/b/{ids*}",               &["/b/1,2,3", "/b/a=1"],                         &["/b/1;2"]),
        ("{a,b}",                   &["1,2,3", "x", ""],                             &["1/2", "a=b"]),
        ("{+path}",                 &["a/b?c=d#e", "", "!$&'()*+,;=:@[]"],           &["a b", "é", "%"]),
        ("x{+a,b}",                 &["x", "x/1,2"],                                 &["y"]),
        ("x{#f}",                   &["x", "x#", "x#a/b"],                           &["xa", "x/a"]),
        ("x{.a,b}",                 &["x", "x.", "x.1.2.3"],                         &["xa", "x/1"]),
        ("/a{/b}",                  &["/a", "/a/", "/a/1"],                          &["/a/1/2", "/ab"]),
        ("/a{/b,c}",                &["/a/1/2", "/a/1"],                             &["/a/1/2/3"]),
        ("/a{/rest*}",              &["/a", "/a/1/2/3", "/a//", "/a/x=1"],           &["/ab", "/a?"]),
        ("x{;a,b}",                 &["x", "x;a=1", "x;a=1;b=2", "x;a"],             &["x;a=1;b=2;c=3", "xa"]),
        ("x{?a,b}",                 &["x", "x?a=1", "x?a=1&b=2"],                    &["x?a=1&b=2&c=3", "x&a=1"]),
        ("x{?a*}",                  &["x?a=1&b=2&c=3"],                              &["x?a=1/2"]),
        ("x?y=1{&a}",               &["x?y=1", "x?y=1&a=2"],                         &["x?y=1&a=2&b=3", "xy=1"]),
        ("{a,b*}",                  &["1,b=2"],                                      &["a=1,2", "a=1"]),
        ("{a}x{b}x{c}",             &["xx", "axbxc", "xxx", "axxa"],                 &["x", "ax"]),
        ("é%41{a}",                 &["é%41", "é%41a"],                              &["éA", "é"]),
        ("{a}{+b}",                 &["a/b", ""],                                    &["a b"]),
        ("{%41.b_c}",               &["x"],                                          &["/"]),
        ("{a}'",                    &["x'"],                                         &["x"]),
    ];
    for (text, yes, no) in table {
        let template = Template::parse(text).unwrap();
        for topic in yes {
            assert!(
                template.matches(&TopicRef::new(topic.as_bytes())),
                "{text} matches {topic}"
            );
        }
        for topic in no {
            assert!(
                !template.matches(&TopicRef::new(topic.as_bytes())),
                "{text} does not match {topic}"
            );
        }
    }
}

#[test]
fn what_is_no_template() {
    #[rustfmt::skip]
    let table = [
        "", "a", "{", "}", "{}", "a}{b}", "{a", "{a}}", "{{a}}", "{a b}", "{a,}", "{,a}", "{+}", "{=a}", "{!a}", "{@a}", "{|a}", "{a..b}",
        "{.a.}", "{a.}", "{a:0}", "{a:}", "{a:03}", "{a:10000}", "{a:99999999999}", "{a*:3}", "{a:3*}", "{a**}", "{é}", "{a-b}", "{%4}", " {a}",
        "\"{a}", "<{a}", "%{a}", "%4{a}", "\\{a}", "^{a}", "`{a}", "|{a}", "\u{fdd0}{a}", "\u{fffd}{a}", "\u{1fffe}{a}",
    ];
    for text in table {
        assert_eq!(Template::parse(text), Err(TemplateError::Plain), "{text}");
    }
    for text in ["{a:9999}", "\u{a0}{a}", "\u{ffef}{a}", "😀{a}"] {
        assert!(Template::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn expressions_are_limited() {
    let text = |count: usize| "{a}/".repeat(count);
    assert!(Template::parse(&text(TEMPLATE_EXPRESSIONS_MAX)).is_ok());
    assert_eq!(
        Template::parse(&text(TEMPLATE_EXPRESSIONS_MAX + 1)),
        Err(TemplateError::Expressions)
    );
}

/// What would take a backtracking matcher longer than the world has existed. With one look at each place for each element the
/// whole test takes a fraction of a second.
#[test]
fn hostile_templates_cost_no_more_than_places_times_elements() {
    let many = |one: &str| one.repeat(TEMPLATE_EXPRESSIONS_MAX);
    let names: Vec<_> = (0..1300).map(|n| format!("v{n}")).collect();
    let templates = [
        many("{+a}x"),
        many("{a}"),
        many("{a*}a"),
        many("{/a*}"),
        many("{;a*}{?b*}").replace("{?b*}", ""),
        format!("{{{}}}", names.join(",")),
        format!("{{;{}}}!", names.join(",")),
        format!("{{/{}}}!", names.join(",")),
    ];
    let topics = ["x", "a", ",", "/", ";", "=", "%41", ";a=1", "/a", "xa,"].map(|one| {
        let mut topic = one.repeat(PLACES_MAX / one.len() - 1);
        topic.push('\u{e9}');
        topic
    });
    for text in &templates {
        let template = Template::parse(text).unwrap();
        for topic in &topics {
            assert!(
                !template.matches(&TopicRef::new(topic.as_bytes())),
                "{text} {topic}"
            );
        }
    }
    let longest = "x".repeat(PLACES_MAX);
    assert!(
        Template::parse("{a}")
            .unwrap()
            .matches(&TopicRef::new(longest.as_bytes()))
    );
    assert!(
        !Template::parse("{a}")
            .unwrap()
            .matches(&TopicRef::new(&[b'x'; PLACES_MAX + 1]))
    );
}
