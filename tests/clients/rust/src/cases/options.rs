//! What EventSource in a browser does not have, and programs want.

use std::time::Duration;

use super::{
    CHUNKED, STREAM, asking, at_request, case, data, ended, id_of, open, raw, status, with,
};
use crate::judge::{Case, Outcome};
use crate::server::Reply;
use crate::{Ask, Client};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = requests();
    cases.extend(watching());
    cases.extend(ending());
    cases.extend(finite());
    cases
}

fn requests() -> Vec<Case> {
    vec![
        asking(
            case(
                "A header and a POST's body, also at the reconnect",
                vec![ended("data: a\n\n")],
                |outcome| {
                    at_request(outcome, 2, |o| {
                        o.requests.iter().all(|request| {
                            request.method() == "POST"
                                && request.body == "{}"
                                && request.header("x-a") == [b"b"]
                        })
                    })
                },
            ),
            |ask| {
                ask.method = "POST";
                ask.body = Some("{}".to_owned());
                ask.headers = vec![("x-a", "b".to_owned())];
            },
        ),
        asking(
            case(
                "An initial last event id, which the stream's then replaces",
                vec![ended("id: 8\ndata: a\n\n")],
                |outcome| {
                    at_request(outcome, 2, |o| {
                        id_of(o, 0).as_deref() == Some(b"7") && id_of(o, 1).as_deref() == Some(b"8")
                    })
                },
            ),
            |ask| ask.last_event_id = Some("7".to_owned()),
        ),
        asking(
            case(
                "Headers asked for anew before each connection",
                vec![ended("data: a\n\n")],
                |outcome| {
                    at_request(outcome, 2, |o| {
                        o.requests[0].header("authorization") == [b"Bearer 1"]
                            && o.requests[1].header("authorization") == [b"Bearer 2"]
                    })
                },
            ),
            |ask| ask.renew = true,
        ),
        asking(
            case(
                "... and again after a 401",
                vec![status("401 Unauthorized", ""), open("data: a\n\n")],
                |outcome| {
                    at_request(outcome, 2, |o| {
                        o.requests[1].header("authorization") == [b"Bearer 2"]
                    })
                },
            ),
            |ask| ask.renew = true,
        ),
    ]
}

fn watching() -> Vec<Case> {
    vec![
        with(
            asking(
                case(
                    "A silent connection is given up and made again",
                    vec![open("data: a\n\n"), open("data: b\n\n")],
                    |outcome| data(outcome, &["a", "b"]),
                ),
                |ask| ask.silence_max = Some(Duration::from_secs(1)),
            ),
            |client| match client {
                Client::ReqwestEventsource => "reqwest's `read_timeout`",
                _ => "",
            },
        ),
        asking(
            case(
                "A line without end is refused at a limit",
                vec![long_line()],
                |outcome| match outcome.data().is_empty() {
                    true => (!outcome.errors().is_empty() || outcome.is_over())
                        .then(|| !outcome.errors().is_empty()),
                    false => Some(false),
                },
            ),
            |ask| ask.bytes_max = Some(32 << 10),
        ),
        asking(
            case(
                "What a server repeats after a reconnect can be dropped",
                vec![
                    ended("id: 1\ndata: a\n\nid: 2\ndata: b\n\n"),
                    open("id: 2\ndata: b\n\nid: 3\ndata: c\n\n"),
                ],
                |outcome| data(outcome, &["a", "b", "c"]),
            ),
            |ask| ask.dedup = true,
        ),
    ]
}

fn ending() -> Vec<Case> {
    vec![
        asking(
            case(
                "Dropping it closes the connection",
                vec![open("data: a\n\n")],
                |outcome| (outcome.dropped > 0 || outcome.is_late).then_some(outcome.dropped > 0),
            ),
            |ask| ask.drop_after_first = true,
        ),
        asking(
            case(
                "`close` closes the connection, and nothing comes after it",
                vec![open("data: a\n\ndata: b\n\n")],
                |outcome| {
                    (outcome.dropped > 0 || outcome.is_late)
                        .then(|| outcome.dropped > 0 && outcome.data() == ["a"])
                },
            ),
            |ask| ask.close_after_first = true,
        ),
    ]
}

fn finite() -> Vec<Case> {
    let finite = |ask: &mut Ask| {
        ask.finite = true;
        ask.method = "POST";
        ask.body = Some("{}".to_owned());
    };
    vec![
        with(
            asking(
                case(
                    "A finite stream: the end is an end, and nothing is asked for again",
                    vec![raw(
                        &[CHUNKED, "9\r\ndata: a\n\n\r\n0\r\n\r\n"].concat(),
                        false,
                    )],
                    |outcome| over(outcome, &["a"], false),
                ),
                finite,
            ),
            once,
        ),
        with(
            asking(
                case(
                    "... a break is told from an end",
                    vec![raw(&[CHUNKED, "9\r\ndata: a\n\n\r\n"].concat(), false)],
                    |outcome| over(outcome, &["a"], true),
                ),
                finite,
            ),
            |client| match client {
                Client::ReqwestEventsource => "`retry::Never`",
                _ => "",
            },
        ),
        asking(
            case(
                "... `data: [DONE]` is its end, not an event",
                vec![open("data: a\n\ndata: [DONE]\n\n")],
                |outcome| over(outcome, &["a"], false),
            ),
            finite,
        ),
        with(
            asking(
                case(
                    "... an `error` event within is given",
                    vec![ended("event: error\ndata: {\"error\":{}}\n\n")],
                    |outcome| data(outcome, &["{\"error\":{}}"]),
                ),
                finite,
            ),
            |_| "",
        ),
    ]
}

/// What keeps the others from asking again.
fn once(client: Client) -> &'static str {
    match client {
        Client::Tidewire => "`FiniteStream`",
        Client::EventsourceClient => "`reconnect(false)`",
        Client::ReqwestEventsource => "`retry::Never`, and `StreamEnded` is no error",
        Client::EventsourceStream => "",
    }
}

/// It ended for good after one request, with these events; with an error or without.
fn over(outcome: &Outcome, events: &[&str], is_failed: bool) -> Option<bool> {
    if outcome.requests.len() > 1 {
        return Some(false);
    }
    outcome.is_over().then(|| {
        outcome.has_ended && outcome.data() == events && outcome.errors().is_empty() != is_failed
    })
}

/// 256 KiB of data in one line.
fn long_line() -> Reply {
    let mut chunks = vec![STREAM.as_bytes().to_vec(), b"data: ".to_vec()];
    chunks.extend(vec![vec![b'x'; 32 << 10]; 8]);
    chunks.push(b"\n\n".to_vec());
    Reply { chunks, hold: true }
}
