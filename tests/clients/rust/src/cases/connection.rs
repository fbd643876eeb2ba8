//! WHATWG HTML 9.2.2 and 9.2.3, and fetch: what a connection becomes.

use super::{
    CHUNKED, asking, at_request, case, data, ended, id_of, open, raw, status, there, with,
};
use crate::Client;
use crate::judge::{Case, Outcome};
use crate::server::Reply;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = requests();
    cases.extend(reconnects());
    cases.extend(refusals());
    cases.extend(redirects());
    cases
}

fn requests() -> Vec<Case> {
    vec![
        case(
            "`Accept: text/event-stream` is sent",
            vec![open("")],
            |outcome| at_request(outcome, 1, |o| sent(o, "accept", b"text/event-stream")),
        ),
        case(
            "`Cache-Control: no-cache` is sent",
            vec![open("")],
            |outcome| at_request(outcome, 1, |o| sent(o, "cache-control", b"no-cache")),
        ),
        case(
            "`text/event-stream; charset=utf-8` is taken",
            vec![raw(
                "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\ndata: a\n\n",
                true,
            )],
            |outcome| data(outcome, &["a"]),
        ),
    ]
}

fn reconnects() -> Vec<Case> {
    vec![
        case(
            "Reconnects when the stream ends",
            vec![ended("data: a\n\n"), open("data: b\n\n")],
            |outcome| data(outcome, &["a", "b"]),
        ),
        case(
            "Reconnects when the connection breaks in the stream",
            vec![
                raw(&[CHUNKED, "9\r\ndata: a\n\n\r\n"].concat(), false),
                open("data: b\n\n"),
            ],
            |outcome| data(outcome, &["a", "b"]),
        ),
        case(
            "Tries again when no answer comes, also the first time",
            vec![raw("", false), open("data: a\n\n")],
            |outcome| data(outcome, &["a"]),
        ),
        case(
            "The last event id is sent at each reconnect",
            vec![
                ended("id: 1\ndata: a\n\ndata: b\n\n"),
                raw("", false),
                ended(""),
            ],
            |outcome| {
                at_request(outcome, 3, |o| {
                    id_of(o, 0).as_deref() == Some(b"")
                        && id_of(o, 1).as_deref() == Some(b"1")
                        && id_of(o, 2).as_deref() == Some(b"1")
                })
            },
        ),
        case(
            "... as UTF-8",
            vec![ended("id: é\ndata: a\n\n")],
            |outcome| {
                at_request(outcome, 2, |o| {
                    id_of(o, 1).as_deref() == Some("é".as_bytes())
                })
            },
        ),
        case(
            "... and not after an empty id",
            vec![ended("id: 1\ndata: a\n\nid\ndata: b\n\n")],
            |outcome| {
                at_request(outcome, 2, |o| {
                    o.requests[1].header("last-event-id").is_empty()
                })
            },
        ),
        asking(
            case(
                "`retry` sets the delay",
                vec![ended("retry: 20\ndata: a\n\n")],
                |outcome| at_request(outcome, 2, |_| true),
            ),
            // Longer than anything is waited for.
            |ask| ask.delay = Some(std::time::Duration::from_secs(100)),
        ),
    ]
}

fn refusals() -> Vec<Case> {
    vec![
        case(
            "204 ends it for good",
            vec![ended("data: a\n\n"), status("204 No Content", "")],
            |outcome| ends_after(outcome, 2),
        ),
        case(
            "Another status at a reconnect, 404, ends it for good",
            vec![ended("data: a\n\n"), status("404 Not Found", "")],
            |outcome| ends_after(outcome, 2),
        ),
        case(
            "Another content type ends it for good",
            vec![raw(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\ndata: a\n\n",
                false,
            )],
            |outcome| match outcome.data().is_empty() {
                true => ends_after(outcome, 1),
                false => Some(false),
            },
        ),
        case(
            "503 at the first request is tried again",
            vec![
                status("503 Service Unavailable", "Retry-After: 0\r\n"),
                open("data: a\n\n"),
            ],
            |outcome| data(outcome, &["a"]),
        ),
        case(
            "... and at a reconnect",
            vec![
                ended("data: a\n\n"),
                status("503 Service Unavailable", ""),
                open("data: b\n\n"),
            ],
            |outcome| data(outcome, &["a", "b"]),
        ),
        case(
            "`Retry-After` of a 429 is honoured",
            vec![
                ended("data: a\n\n"),
                status("429 Too Many Requests", "Retry-After: 60\r\n"),
                open("data: b\n\n"),
            ],
            // Who honours it is still waiting; who does not has come, or has given up.
            |outcome| match outcome.requests.len() {
                3.. => Some(false),
                _ if outcome.has_ended => Some(false),
                2 => outcome.is_late.then_some(true),
                _ => None,
            },
        ),
        with(
            asking(
                case(
                    "A refusal's body can be read",
                    vec![raw(
                        "HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\nConnection: close\r\n\r\nno topic",
                        false,
                    )],
                    |outcome| {
                        let told = outcome
                            .errors()
                            .iter()
                            .any(|error| error.contains("no topic"));
                        (told || outcome.is_over()).then_some(told)
                    },
                ),
                |ask| ask.finite = true,
            ),
            |client| match client {
                Client::Tidewire => "in the error",
                Client::EventsourceClient | Client::ReqwestEventsource => {
                    "the error has the answer"
                }
                Client::EventsourceStream => "with reqwest",
            },
        ),
    ]
}

fn redirects() -> Vec<Case> {
    let moved = |line: &str| status(line, "Location: {here}/x\r\n");
    let follows = |name, before: Vec<Reply>, last: &str| {
        let here = before
            .into_iter()
            .chain([status(last, "Location: {there}/t\r\n")]);
        let case = case(name, here.collect(), |outcome| data(outcome, &["there"]));
        with(there(case, vec![open("data: there\n\n")]), by_reqwest)
    };
    vec![
        follows(
            "301 and 307 are followed",
            vec![moved("301 Moved Permanently")],
            "307 Temporary Redirect",
        ),
        follows(
            "302, 303 and 308 are followed",
            vec![moved("302 Found"), moved("303 See Other")],
            "308 Permanent Redirect",
        ),
        with(
            case(
                "A relative `Location` is followed",
                vec![
                    status("307 Temporary Redirect", "Location: t\r\n"),
                    open("data: a\n\n"),
                ],
                |outcome| data(outcome, &["a"]),
            ),
            by_reqwest,
        ),
        with(
            asking(
                there(
                    case(
                        "Another origin is not told the token",
                        vec![status("307 Temporary Redirect", "Location: {there}/t\r\n")],
                        |outcome| {
                            at_request(outcome, 2, |o| {
                                let [here, there] = &o.requests[..] else {
                                    return false;
                                };
                                !here.header("authorization").is_empty()
                                    && there.is_there
                                    && there.header("authorization").is_empty()
                            })
                        },
                    ),
                    vec![open("")],
                ),
                |ask| ask.headers = vec![("authorization", "Bearer t".to_owned())],
            ),
            by_reqwest,
        ),
        asking(
            there(
                case(
                    "... nor a key in a header of another name",
                    vec![status("307 Temporary Redirect", "Location: {there}/t\r\n")],
                    |outcome| {
                        at_request(outcome, 2, |o| {
                            let [_, there] = &o.requests[..] else {
                                return false;
                            };
                            there.is_there && there.header("x-api-key").is_empty()
                        })
                    },
                ),
                vec![open("")],
            ),
            |ask| ask.secret = Some(("x-api-key", "k")),
        ),
        case(
            "Redirects in a circle end, with an error",
            vec![status("307 Temporary Redirect", "Location: {here}/s\r\n"); 100],
            |outcome| match outcome.requests.len() {
                60.. => Some(false),
                _ => outcome
                    .is_over()
                    .then(|| outcome.has_ended && !outcome.errors().is_empty()),
            },
        ),
        case(
            "A redirect without a `Location` is one error, and the end",
            vec![status("307 Temporary Redirect", "")],
            |outcome| {
                let is_told = outcome.errors().len() == 1;
                ends_after(outcome, 1).map(|ends| ends && is_told)
            },
        ),
    ]
}

fn by_reqwest(client: Client) -> &'static str {
    match client {
        Client::Tidewire | Client::EventsourceClient => "",
        Client::ReqwestEventsource | Client::EventsourceStream => "by reqwest",
    }
}

fn sent(outcome: &Outcome, name: &str, value: &[u8]) -> bool {
    outcome.requests[0].header(name) == [value]
}

/// The client stops for good after so many requests; one more says that it does not.
fn ends_after(outcome: &Outcome, count: usize) -> Option<bool> {
    if outcome.requests.len() > count {
        return Some(false);
    }
    let ends = outcome.has_ended && outcome.requests.len() == count;
    outcome.is_over().then_some(ends)
}
