//! Where a request goes when it is sent elsewhere, and what it takes along.

use super::*;

#[test]
fn only_a_post_becomes_a_get_after_301_and_302_and_all_do_after_303() {
    // method, status; the method after it (none: unchanged, with its body)
    let table = [
        ("POST", 301, Some("GET")),
        ("POST", 302, Some("GET")),
        ("POST", 303, Some("GET")),
        ("POST", 307, None),
        ("POST", 308, None),
        ("REPORT", 301, None),
        ("REPORT", 302, None),
        ("REPORT", 303, Some("GET")),
        ("REPORT", 307, None),
        ("HEAD", 303, None),
        ("GET", 303, None),
    ];
    for (method, status, becomes) in table {
        let mut machine = machine_with(|options| {
            options.method = method.parse().unwrap();
            options.body = "body".into();
            for (name, value) in [
                ("content-type", "text/plain"),
                ("content-encoding", "identity"),
                ("content-language", "en"),
                ("content-location", "/b"),
                ("x-other", "o"),
            ] {
                options.header(name, value).unwrap();
            }
        });
        attempt(&mut machine, ms(0));
        answer(&mut machine, ms(0), status, &[("location", "/t")]);
        let attempt = attempt(&mut machine, ms(0));
        assert_eq!(
            attempt.method.as_str(),
            becomes.unwrap_or(method),
            "{method} {status}"
        );
        assert_eq!(
            attempt.body.is_empty(),
            becomes.is_some(),
            "{method} {status}"
        );
        for name in [
            "content-type",
            "content-encoding",
            "content-language",
            "content-location",
        ] {
            assert_eq!(
                attempt.headers.contains_key(name),
                becomes.is_none(),
                "{method} {status} {name}"
            );
        }
        assert!(attempt.headers.contains_key("x-other"));
    }
}

#[test]
fn another_origin_is_told_no_secret_and_no_wrong_host() {
    let mut machine = machine_with(|options| {
        for name in ["authorization", "cookie", "proxy-authorization", "host"] {
            options.header(name, "x").unwrap();
        }
        let mut secret = HeaderValue::from_static("k");
        secret.set_sensitive(true);
        options.headers.insert("x-api-key", secret);
        options.header("x-other", "o").unwrap();
    });
    let names = |attempt: &Attempt| {
        let own = ["accept", "cache-control", "user-agent"];
        let names = attempt.headers.keys().map(HeaderName::as_str);
        names
            .filter(|name| !own.contains(name))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&attempt(&mut machine, ms(0))).len(), 6);
    answer(&mut machine, ms(0), 307, &[("location", "/same")]);
    assert_eq!(names(&attempt(&mut machine, ms(0))).len(), 6);
    answer(&mut machine, ms(0), 307, &[("location", "//b/")]);
    assert_eq!(names(&attempt(&mut machine, ms(0))), ["x-other"]);
    answer(&mut machine, ms(0), 307, &[("location", "/more")]);
    assert_eq!(
        names(&attempt(&mut machine, ms(0))),
        ["x-other"],
        "nor on its second page"
    );
    answer(&mut machine, ms(0), 307, &[("location", "http://a/")]);
    assert_eq!(
        names(&attempt(&mut machine, ms(0))),
        ["x-other"],
        "what was left behind does not come back on the way"
    );
    answer(&mut machine, ms(0), 503, &[]);
    machine.handle_end(ms(0));
    items(&mut machine);
    assert_eq!(
        names(&attempt(&mut machine, ms(60_000))).len(),
        6,
        "the next attempt starts at home"
    );
}

#[test]
fn a_redirect_that_leads_nowhere_is_final() {
    for status in [301, 302, 303, 307, 308] {
        for (location, error) in [
            (None, RedirectError::NoLocation),
            (Some(""), RedirectError::UnusableLocation(String::new())),
            (
                Some("mailto:a@b"),
                RedirectError::UnusableLocation("mailto:a@b".to_owned()),
            ),
        ] {
            let mut machine = machine();
            attempt(&mut machine, ms(0));
            let list: Vec<_> = location.map(|to| ("location", to)).into_iter().collect();
            answer(&mut machine, ms(0), status, &list);
            assert_eq!(
                items(&mut machine),
                [Item::Closed(CloseReason::Failed(Error::Redirect(error)))],
                "{status} {location:?}"
            );
            assert!(!machine.needs_connection());
        }
    }
}

#[test]
fn a_fragment_is_inherited_and_the_id_goes_along() {
    let mut machine = Machine::new(exact("http://a/s#f"), 1);
    open(&mut machine, ms(0));
    machine.handle_bytes(ms(0), "id: é\ndata\n\n".as_bytes());
    machine.handle_end(ms(0));
    items(&mut machine);
    attempt(&mut machine, ms(1000));
    answer(&mut machine, ms(1000), 302, &[("location", "/t")]);
    let attempt = attempt(&mut machine, ms(1000));
    assert_eq!(attempt.url.as_str(), "http://a/t#f");
    assert_eq!(
        id_sent(&attempt),
        Some("é".as_bytes()),
        "as UTF-8, along the redirect"
    );
    answer(&mut machine, ms(1000), 302, &[("location", "/u#g")]);
    assert_eq!(
        super::attempt(&mut machine, ms(1000)).url.as_str(),
        "http://a/u#g"
    );
}
