//! The machine's contract: what it does next, told only what happened and when.

mod finite;
mod properties;
mod redirects;
mod renewal;
mod repeats;

use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tidewire_client::machine::{Attempt, Machine, Step};
use tidewire_client::{CloseReason, Error, Item, Limits, Options, RedirectError, State};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn exact(url: &str) -> Options {
    let mut options = Options::new(url).unwrap();
    options.jitter = false;
    options
}

fn machine() -> Machine {
    Machine::new(exact("http://a/s"), 1)
}

fn machine_with(change: impl FnOnce(&mut Options)) -> Machine {
    let mut options = exact("http://a/s");
    change(&mut options);
    Machine::new(options, 1)
}

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn attempt(machine: &mut Machine, now: Duration) -> Attempt {
    match machine.poll_step(now) {
        Step::Connect(attempt) => *attempt,
        step => panic!("no attempt, but {step:?}"),
    }
}

fn answer(machine: &mut Machine, now: Duration, status: u16, list: &[(&'static str, &str)]) {
    machine.handle_head(now, StatusCode::from_u16(status).unwrap(), &headers(list));
}

fn open(machine: &mut Machine, now: Duration) -> Attempt {
    let attempt = attempt(machine, now);
    answer(machine, now, 200, &[("content-type", "text/event-stream")]);
    assert!(matches!(machine.poll_item(), Some(Item::Open(_))));
    attempt
}

fn items(machine: &mut Machine) -> Vec<Item> {
    std::iter::from_fn(|| machine.poll_item()).collect()
}

fn id_sent(attempt: &Attempt) -> Option<&[u8]> {
    attempt
        .headers
        .get("last-event-id")
        .map(HeaderValue::as_bytes)
}

fn reconnecting(error: Error, delay: Duration) -> Vec<Item> {
    vec![Item::Reconnecting { error, delay }]
}

#[test]
fn a_request_says_what_it_wants_and_options_may_say_more() {
    let attempt_of = |change: fn(&mut Options)| {
        let mut options = exact("http://a/s");
        change(&mut options);
        attempt(&mut Machine::new(options, 1), ms(0))
    };
    let plain = attempt_of(|_| {});
    assert_eq!(plain.method, Method::GET);
    assert_eq!(plain.headers["accept"], "text/event-stream");
    assert_eq!(plain.headers["cache-control"], "no-cache");
    assert_eq!(
        id_sent(&plain),
        None,
        "9.2.2: only where it is not the empty string"
    );

    let own = attempt_of(|options| {
        options.header("Accept", "application/x-ndjson").unwrap();
        options.header("X-A", "ä").unwrap();
        options.bearer_token("t").unwrap();
        options.header("Last-Event-ID", "é").unwrap();
        options
            .headers
            .insert("last-event-id", HeaderValue::from_static("not this"));
    });
    assert_eq!(own.headers["accept"], "application/x-ndjson");
    assert_eq!(own.headers["x-a"].as_bytes(), "ä".as_bytes());
    assert_eq!(own.headers["authorization"], "Bearer t");
    assert!(
        !format!("{own:?}").contains("Bearer"),
        "a token is not shown"
    );
    assert_eq!(id_sent(&own), Some("é".as_bytes()), "as UTF-8");

    let raw = attempt_of(|options| {
        options.headers.insert(
            "last-event-id",
            HeaderValue::from_static("would never move"),
        );
    });
    assert_eq!(id_sent(&raw), None);
    let control = attempt_of(|options| options.last_event_id = "a\u{1}".parse().unwrap());
    assert_eq!(id_sent(&control), None, "fits in no header");
}

#[test]
fn a_stream_is_read_and_gone_on_with_where_it_broke() {
    let mut machine = machine_with(|options| options.comments = true);
    assert_eq!(machine.state(), State::Connecting);
    assert_eq!(id_sent(&open(&mut machine, ms(0))), None);
    assert_eq!(machine.state(), State::Open);
    machine.handle_bytes(
        ms(5),
        b"retry: 70\n: hi\nid: 1\ndata: a\n\nid: 2\ndata: cut here\n",
    );
    let seen = items(&mut machine);
    assert_eq!(seen.len(), 3);
    assert_eq!(
        seen[..2],
        [Item::Retry(ms(70)), Item::Comment("hi".to_owned())]
    );
    assert!(
        matches!(&seen[2], Item::Event(event) if event.data == "a" && event.last_event_id == "1")
    );

    machine.handle_end(ms(10));
    assert_eq!(items(&mut machine), reconnecting(Error::Ended, ms(70)));
    assert_eq!(machine.state(), State::Connecting);
    assert_eq!(machine.poll_timeout(), Some(ms(80)));
    assert!(matches!(machine.poll_step(ms(79)), Step::Wait));
    assert_eq!(
        id_sent(&open(&mut machine, ms(80))),
        Some(&b"1"[..]),
        "an id without its blank line is not taken"
    );
    machine.handle_bytes(ms(81), b"data: b\n\nid\n\n");
    assert!(
        matches!(&items(&mut machine)[..], [Item::Event(event)] if event.data == "b" && event.last_event_id == "1")
    );

    machine.handle_failure(ms(90), Error::Cut("reset".to_owned()));
    items(&mut machine);
    assert_eq!(
        id_sent(&open(&mut machine, ms(160))),
        None,
        "an empty id resets"
    );
}

#[test]
fn what_came_before_a_break_is_given_before_it() {
    let mut machine = machine();
    open(&mut machine, ms(0));
    machine.handle_bytes(ms(1), b"data: a\n\ndata: b\n\n");
    machine.handle_end(ms(1));
    let seen = items(&mut machine);
    assert!(
        matches!(&seen[..], [Item::Event(a), Item::Event(b), Item::Reconnecting { .. }] if a.data == "a" && b.data == "b"),
        "{seen:?}"
    );
}

#[test]
fn what_was_not_taken_is_not_behind_the_id() {
    let mut machine = machine();
    open(&mut machine, ms(0));
    machine.handle_bytes(ms(1), b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n");
    machine.handle_end(ms(1));
    assert_eq!(machine.last_event_id(), "");
    assert!(!machine.needs_connection());
    for id in ["1", "2"] {
        assert!(
            matches!(machine.poll_item(), Some(Item::Event(event)) if event.last_event_id == id)
        );
        assert_eq!(
            machine.last_event_id(),
            id,
            "a program may keep it and be killed"
        );
    }
    assert!(matches!(
        machine.poll_item(),
        Some(Item::Reconnecting { .. })
    ));
    assert_eq!(id_sent(&open(&mut machine, ms(1001))), Some(&b"2"[..]));
}

#[test]
fn an_id_with_nul_is_ignored_and_a_bare_id_moves_silently() {
    let mut machine = machine();
    open(&mut machine, ms(0));
    machine.handle_bytes(ms(0), b"id: 1\ndata: a\n\nid: a\0b\ndata: b\n\n");
    let ids: Vec<_> = items(&mut machine)
        .into_iter()
        .map(|item| match item {
            Item::Event(event) => event.last_event_id,
            item => panic!("{item:?}"),
        })
        .collect();
    assert_eq!(ids, ["1", "1"]);
    machine.handle_bytes(ms(0), b"id: 7\n\n");
    assert_eq!(items(&mut machine), []);
    machine.handle_end(ms(0));
    items(&mut machine);
    assert_eq!(id_sent(&attempt(&mut machine, ms(9999))), Some(&b"7"[..]));
}

#[test]
fn comments_are_given_to_who_asks() {
    for asked in [false, true] {
        let mut machine = machine_with(|options| options.comments = asked);
        open(&mut machine, ms(0));
        machine.handle_bytes(ms(0), b":a\n: b\n:\ndata: x\n:c\n\n");
        let comments: Vec<_> = items(&mut machine)
            .into_iter()
            .filter_map(|item| match item {
                Item::Comment(text) => Some(text),
                _ => None,
            })
            .collect();
        let expected: &[&str] = if asked { &["a", "b", "", "c"] } else { &[] };
        assert_eq!(comments, expected);
    }
}

#[test]
fn retry_is_clamped() {
    for (sent, used) in [
        ("0", ms(10)),
        ("9", ms(10)),
        ("1500", ms(1500)),
        ("99999999999999999999", ms(3_600_000)),
    ] {
        let mut machine = machine();
        open(&mut machine, ms(0));
        machine.handle_bytes(ms(0), format!("retry: {sent}\n\n").as_bytes());
        assert_eq!(items(&mut machine), [Item::Retry(used)], "{sent}");
        machine.handle_end(ms(0));
        assert_eq!(
            items(&mut machine),
            reconnecting(Error::Ended, used),
            "{sent}"
        );
    }
}

#[test]
fn refusals_end_it_or_are_tried_again() {
    let busy = |status, retry_after| Error::Busy {
        status,
        retry_after,
        detail: "why".to_owned(),
    };
    let status = |status| Error::Status {
        status,
        detail: "why".to_owned(),
    };
    let table = [
        (
            503,
            None,
            Ok((busy(StatusCode::SERVICE_UNAVAILABLE, None), ms(1000))),
        ),
        (
            429,
            Some("7"),
            Ok((
                busy(StatusCode::TOO_MANY_REQUESTS, Some(ms(7000))),
                ms(7000),
            )),
        ),
        (
            502,
            Some("0"),
            Ok((busy(StatusCode::BAD_GATEWAY, Some(ms(0))), ms(1000))),
        ),
        (
            504,
            Some("999999"),
            Ok((
                busy(StatusCode::GATEWAY_TIMEOUT, Some(ms(999_999_000))),
                ms(3_600_000),
            )),
        ),
        (
            500,
            Some("1"),
            Err(status(StatusCode::INTERNAL_SERVER_ERROR)),
        ),
        (401, None, Err(status(StatusCode::UNAUTHORIZED))),
        (404, None, Err(status(StatusCode::NOT_FOUND))),
    ];
    for (code, retry_after, expected) in table {
        let mut machine = machine();
        attempt(&mut machine, ms(0));
        let list: Vec<_> = retry_after
            .map(|value| ("retry-after", value))
            .into_iter()
            .collect();
        answer(&mut machine, ms(0), code, &list);
        machine.handle_bytes(ms(0), b"why");
        assert_eq!(
            items(&mut machine),
            [],
            "{code}: not before its reason is read"
        );
        machine.handle_end(ms(0));
        match expected {
            Ok((error, delay)) => {
                assert!(error.is_temporary());
                assert_eq!(items(&mut machine), reconnecting(error, delay), "{code}");
            }
            Err(error) => {
                assert!(!error.is_temporary());
                assert_eq!(
                    items(&mut machine),
                    [Item::Closed(CloseReason::Failed(error))],
                    "{code}"
                );
                assert!(matches!(machine.poll_step(ms(99_999)), Step::Stop));
                assert_eq!(machine.state(), State::Closed);
            }
        }
    }
}

#[test]
fn a_refusals_reason_is_bounded_in_bytes_and_time() {
    let refused = |machine: &mut Machine| match items(machine).pop() {
        Some(Item::Closed(CloseReason::Failed(Error::Status { detail, .. }))) => Some(detail.len()),
        None => None,
        item => panic!("{item:?}"),
    };
    let mut long = machine();
    attempt(&mut long, ms(0));
    answer(&mut long, ms(0), 403, &[]);
    long.handle_bytes(ms(0), &[b'x'; 8191]);
    assert_eq!(refused(&mut long), None);
    long.handle_bytes(ms(0), b"xyz");
    assert_eq!(refused(&mut long), Some(8192));

    let mut slow = machine();
    attempt(&mut slow, ms(0));
    answer(&mut slow, ms(100), 403, &[]);
    slow.handle_bytes(ms(100), b"x");
    assert_eq!(slow.poll_timeout(), Some(ms(2100)));
    slow.handle_timeout(ms(2099));
    assert_eq!(refused(&mut slow), None);
    slow.handle_timeout(ms(2100));
    assert_eq!(refused(&mut slow), Some(1));
}

#[test]
fn no_content_ends_it_and_another_type_fails_it() {
    let closed = |status, list: &[(&'static str, &str)]| {
        let mut machine = machine();
        attempt(&mut machine, ms(0));
        answer(&mut machine, ms(0), status, list);
        machine.handle_bytes(ms(0), b"<p>Log in");
        machine.handle_end(ms(0));
        assert!(matches!(machine.poll_step(ms(0)), Step::Stop));
        items(&mut machine)
    };
    assert_eq!(closed(204, &[]), [Item::Closed(CloseReason::Ended)]);
    let refused = |found: Option<&str>| {
        let error = Error::ContentType {
            found: found.map(str::to_owned),
            detail: "<p>Log in".to_owned(),
        };
        [Item::Closed(CloseReason::Failed(error))]
    };
    assert_eq!(
        closed(200, &[("content-type", "text/html")]),
        refused(Some("text/html"))
    );
    assert_eq!(closed(200, &[]), refused(None));
}

#[test]
fn only_permanent_redirects_are_remembered() {
    // The statuses and Locations of one attempt; where it ends, where the next one starts.
    let table: [(&[(u16, &str)], &str, &str); 5] = [
        (&[(307, "/t")], "http://a/t", "http://a/s"),
        (&[(302, "/t")], "http://a/t", "http://a/s"),
        (&[(301, "/t")], "http://a/t", "http://a/t"),
        (&[(308, "/t"), (307, "/u")], "http://a/u", "http://a/t"),
        (&[(307, "/t"), (308, "/u")], "http://a/u", "http://a/s"),
    ];
    for (answers, reached, next) in table {
        let mut machine = machine();
        for (status, location) in answers {
            attempt(&mut machine, ms(0));
            answer(&mut machine, ms(0), *status, &[("location", location)]);
        }
        assert_eq!(
            open(&mut machine, ms(0)).url.as_str(),
            reached,
            "{answers:?}"
        );
        machine.handle_end(ms(0));
        items(&mut machine);
        assert_eq!(
            attempt(&mut machine, ms(5000)).url.as_str(),
            next,
            "{answers:?}"
        );
    }
}

#[test]
fn redirects_are_bounded() {
    let mut machine = machine_with(|options| options.redirects_max = 2);
    for turn in 0..3 {
        assert_eq!(items(&mut machine), [], "redirect {turn}");
        attempt(&mut machine, ms(0));
        answer(&mut machine, ms(0), 307, &[("location", "/s")]);
    }
    let error = Error::Redirect(RedirectError::TooMany(2));
    assert_eq!(
        items(&mut machine),
        [Item::Closed(CloseReason::Failed(error))]
    );

    let mut machine = machine_with(|options| options.redirects_max = 1);
    for turn in 0..5 {
        attempt(&mut machine, ms(turn * 10_000));
        answer(&mut machine, ms(turn * 10_000), 307, &[("location", "/t")]);
        open(&mut machine, ms(turn * 10_000));
        machine.handle_end(ms(turn * 10_000));
        assert!(
            matches!(&items(&mut machine)[..], [Item::Reconnecting { .. }]),
            "counted in a row, not for ever"
        );
    }

    let mut machine = machine_with(|options| options.redirects_max = 1);
    for turn in 0..3 {
        attempt(&mut machine, ms(turn * 100_000));
        answer(&mut machine, ms(turn * 100_000), 308, &[("location", "/t")]);
        open(&mut machine, ms(turn * 100_000));
        machine.handle_end(ms(turn * 100_000));
        items(&mut machine);
    }
}

#[test]
fn a_token_stays_with_its_origin_also_after_a_permanent_move() {
    let table = [
        ("/t", true),
        ("http://a/t", true),
        ("http://b/t", false),
        ("http://a:81/t", false),
        ("https://a/t", false),
    ];
    for (location, kept) in table {
        for status in [307, 308] {
            let mut options = exact("http://a/s");
            options.bearer_token("t").unwrap();
            options.header("cookie", "c").unwrap();
            options.header("x-other", "o").unwrap();
            let mut machine = Machine::new(options, 1);
            assert!(
                attempt(&mut machine, ms(0))
                    .headers
                    .contains_key(AUTHORIZATION)
            );
            answer(&mut machine, ms(0), status, &[("location", location)]);
            let mut next = vec![open(&mut machine, ms(0))];
            machine.handle_end(ms(0));
            items(&mut machine);
            if status == 308 {
                next.push(attempt(&mut machine, ms(9999)));
            }
            for attempt in next {
                assert_eq!(
                    attempt.headers.contains_key(AUTHORIZATION),
                    kept,
                    "{status} {location}"
                );
                assert_eq!(
                    attempt.headers.contains_key("cookie"),
                    kept,
                    "{status} {location}"
                );
                assert!(attempt.headers.contains_key("x-other"));
            }
        }
    }
}

#[test]
fn silence_is_noticed_and_any_byte_breaks_it() {
    let mut machine = machine_with(|options| options.silence_max = Some(ms(100)));
    open(&mut machine, ms(0));
    machine.handle_bytes(ms(60), b":\n");
    items(&mut machine);
    assert_eq!(machine.poll_timeout(), Some(ms(160)));
    machine.handle_timeout(ms(159));
    assert_eq!(machine.state(), State::Open);
    machine.handle_timeout(ms(160));
    assert_eq!(
        items(&mut machine),
        reconnecting(Error::Silent(ms(100)), ms(1000))
    );

    assert!(matches!(machine.poll_step(ms(1160)), Step::Connect(_)));
    assert_eq!(
        machine.poll_timeout(),
        Some(ms(1260)),
        "an answer that does not come is silence too"
    );
}

#[test]
fn failures_in_a_row_wait_longer_and_an_event_forgets_them() {
    let mut machine = machine();
    let mut now = ms(0);
    let fail = |machine: &mut Machine, now: &mut Duration| {
        machine.handle_failure(*now, Error::Connect("refused".to_owned()));
        let [Item::Reconnecting { delay, .. }] = items(machine)[..] else {
            panic!("tries again")
        };
        *now += delay;
        delay.as_secs()
    };
    let mut delays = Vec::new();
    for _ in 0..7 {
        attempt(&mut machine, now);
        delays.push(fail(&mut machine, &mut now));
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
    open(&mut machine, now);
    machine.handle_bytes(now, b": only a comment\n");
    items(&mut machine);
    assert_eq!(
        fail(&mut machine, &mut now),
        30,
        "a stream that ends before its first event is a failure"
    );
    open(&mut machine, now);
    machine.handle_bytes(now, b"data\n\n");
    items(&mut machine);
    assert_eq!(fail(&mut machine, &mut now), 1);
    attempt(&mut machine, now);
    assert_eq!(fail(&mut machine, &mut now), 2);
    open(&mut machine, now);
    now += ms(30_000);
    assert_eq!(
        fail(&mut machine, &mut now),
        1,
        "so is one that has lived, even without an event, no failure"
    );
}

#[test]
fn failures_may_be_bounded() {
    let mut machine = machine_with(|options| options.failures_max = Some(2));
    let error = || Error::Connect("refused".to_owned());
    attempt(&mut machine, ms(0));
    machine.handle_failure(ms(0), error());
    assert_eq!(items(&mut machine), reconnecting(error(), ms(1000)));
    attempt(&mut machine, ms(1000));
    machine.handle_failure(ms(1000), error());
    assert_eq!(
        items(&mut machine),
        [Item::Closed(CloseReason::Failed(error()))]
    );
}

#[test]
fn a_limit_closes_it_after_what_came_before() {
    let limits = Limits {
        line_bytes_max: 10,
        event_bytes_max: 10,
    };
    let mut machine = machine_with(|options| options.limits = limits);
    open(&mut machine, ms(0));
    machine.handle_bytes(ms(0), b"data: a\n\ndata: too long\n\ndata: b\n\n");
    let seen = items(&mut machine);
    assert!(
        matches!(
            &seen[..],
            [
                Item::Event(_),
                Item::Closed(CloseReason::Failed(Error::Decode(_)))
            ]
        ),
        "the same would come again: {seen:?}"
    );
}

#[test]
fn limits_hold_to_the_byte() {
    use tidewire_codec::DecodeError;
    let limits = Limits {
        line_bytes_max: 12,
        event_bytes_max: 11,
    };
    // stream; the error, if any
    let table = [
        ("data: 123456\n\n", None),
        ("data: 1234567\n\n", Some(DecodeError::LineTooLong(12))),
        (":12345678901\ndata\n\n", None),
        (
            ":123456789012\ndata\n\n",
            Some(DecodeError::LineTooLong(12)),
        ),
        ("data: 12345\ndata: 12345\n\n", None),
        (
            "data: 12345\ndata: 123456\n\n",
            Some(DecodeError::EventTooLong(11)),
        ),
    ];
    for (stream, error) in table {
        for chunk in [1, 2, 1000] {
            let mut machine = machine_with(|options| options.limits = limits);
            open(&mut machine, ms(0));
            let mut seen = Vec::new();
            for bytes in stream.as_bytes().chunks(chunk) {
                machine.handle_bytes(ms(0), bytes);
                seen.extend(items(&mut machine));
            }
            let last = seen.pop().unwrap();
            match error {
                Some(error) => {
                    let error = Error::Decode(error);
                    assert!(!error.is_temporary());
                    assert_eq!(last, Item::Closed(CloseReason::Failed(error)), "{stream:?}");
                }
                None => assert!(matches!(last, Item::Event(_)), "{stream:?} {last:?}"),
            }
        }
    }
}

#[test]
fn nothing_comes_after_a_close() {
    // What there is to be dropped: an open and unread items; a lost connection's rest; a wait; a refusal.
    let ways: [fn(&mut Machine); 5] = [
        |machine| {
            attempt(machine, ms(0));
            answer(
                machine,
                ms(0),
                200,
                &[("content-type", "text/event-stream")],
            );
            machine.handle_bytes(ms(0), b"retry: 5\ndata: a\n\ndata: b\n\n");
        },
        |machine| {
            open(machine, ms(0));
            machine.handle_bytes(ms(0), b"data: a\n\ndata: b\n\n");
            machine.handle_end(ms(0));
            assert!(matches!(machine.poll_item(), Some(Item::Event(_))));
        },
        |machine| {
            open(machine, ms(0));
            machine.handle_end(ms(0));
        },
        |machine| {
            attempt(machine, ms(0));
            answer(machine, ms(0), 503, &[]);
        },
        |_| {},
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let mut machine = machine();
        way(&mut machine);
        machine.close();
        assert!(!machine.needs_connection() && !machine.needs_renewal());
        assert_eq!(machine.poll_timeout(), None);
        machine.handle_bytes(ms(1), b"data: late\n\n");
        machine.handle_failure(ms(1), Error::Ended);
        machine.restart(ms(1));
        assert_eq!(
            items(&mut machine),
            [Item::Closed(CloseReason::Asked)],
            "{number}"
        );
        assert_eq!(machine.state(), State::Closed);
    }
}

#[test]
fn restart_and_close_are_the_programs() {
    let mut machine = machine();
    open(&mut machine, ms(0));
    machine.handle_bytes(ms(0), b"id: 4\ndata: a\n\n");
    machine.restart(ms(10));
    assert!(
        matches!(&items(&mut machine)[..], [Item::Event(_)]),
        "no item tells of a restart"
    );
    machine.restart(ms(20));
    assert_eq!(
        machine.poll_timeout(),
        Some(ms(1010)),
        "one is under way already"
    );
    assert_eq!(id_sent(&open(&mut machine, ms(1010))), Some(&b"4"[..]));
    machine.close();
    machine.close();
    machine.handle_bytes(ms(1010), b"data: late\n\n");
    machine.handle_end(ms(1010));
    machine.handle_timeout(ms(99_999));
    assert_eq!(items(&mut machine), [Item::Closed(CloseReason::Asked)]);
    assert!(matches!(machine.poll_step(ms(99_999)), Step::Stop));
}

#[test]
fn options_are_checked() {
    for (url, fine) in [
        ("http://a", true),
        ("https://a/b?c#d", true),
        ("http://[::1]:80/", true),
        ("ftp://a/", false),
        ("/a", false),
        ("http://u@a/", false),
        ("http://u:p@a/", false),
        ("", false),
    ] {
        assert_eq!(Options::new(url).is_ok(), fine, "{url}");
    }
    let mut options = exact("http://a/");
    assert!(options.header("a b", "x").is_err());
    assert!(options.header("x", "a\nb").is_err());
    assert!(options.bearer_token("a\nb").is_err());
}
