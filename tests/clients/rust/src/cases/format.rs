//! WHATWG HTML 9.2.5 and 9.2.6: bytes to events.

use super::{STREAM, at_request, case, data, ended, id_of, open};
use crate::Seen;
use crate::judge::Case;
use crate::server::Reply;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "A byte order mark at the start is dropped",
            vec![open("\u{feff}data: a\n\ndata: b\n\n")],
            |outcome| data(outcome, &["a", "b"]),
        ),
        case(
            "Lines end with LF, CR LF or CR, mixed",
            vec![open("data: a\r\ndata: b\r\rdata: c\n\r\ndata: d\n\n")],
            |outcome| data(outcome, &["a\nb", "c", "d"]),
        ),
        case(
            "An event that ends with CR is given before the next byte comes",
            vec![open("data: a\r\r")],
            |outcome| data(outcome, &["a"]),
        ),
        case(
            "Chunks cut anywhere, also in a character",
            vec![bytes(
                "id: 1\r\nevent: é\r\ndata: €豆腐\r\n\r\n"
                    .as_bytes()
                    .chunks(1)
                    .map(<[u8]>::to_vec)
                    .collect(),
            )],
            |outcome| data(outcome, &["€豆腐"]),
        ),
        case(
            "Bytes that are no UTF-8 are replaced, and the stream goes on",
            vec![bytes(vec![b"data: a\xffb\n\ndata: c\n\n".to_vec()])],
            |outcome| data(outcome, &["a\u{fffd}b", "c"]),
        ),
        case(
            "One space after the colon goes, more stay; a field without colon is empty",
            vec![open("data:  a\n\ndata\n\nnonsense: x\ndata:b\n\n")],
            |outcome| data(outcome, &[" a", "", "b"]),
        ),
        case(
            "The type is `message` where none is given",
            vec![open("data: a\n\nevent: t\ndata: b\n\ndata: c\n\n")],
            |outcome| {
                let kinds = outcome.seen.iter().filter_map(|seen| match seen {
                    Seen::Event { kind, .. } => Some(kind.as_str()),
                    _ => None,
                });
                let kinds: Vec<_> = kinds.collect();
                (kinds.len() == 3 || outcome.is_over())
                    .then_some(kinds == ["message", "t", "message"])
            },
        ),
        case(
            "An id stays for events without one",
            vec![open("id: 1\ndata: a\n\ndata: b\n\n")],
            |outcome| ids(outcome, &["1", "1"]),
        ),
        case(
            "An id with NUL is ignored",
            vec![open("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")],
            |outcome| ids(outcome, &["1", "1"]),
        ),
        case(
            "A `retry` that is no number is ignored",
            vec![open("retry: 1x\ndata: a\n\nretry: -1\nretry:\ndata: b\n\n")],
            |outcome| data(outcome, &["a", "b"]),
        ),
        case(
            "A block without data is no event",
            vec![open("event: x\n\nid: 1\n\n: c\n\ndata: a\n\n")],
            |outcome| data(outcome, &["a"]),
        ),
        case(
            "... but its id is taken, and sent at the reconnect",
            vec![ended("id: 1\ndata: a\n\nid: 2\n\n")],
            |outcome| {
                at_request(outcome, 2, |outcome| {
                    id_of(outcome, 1).as_deref() == Some(b"2")
                })
            },
        ),
        case(
            "An event that is cut at the end is not given, its id not taken",
            vec![
                ended("id: 1\ndata: a\n\nid: 2\ndata: b\n"),
                open("data: c\n\n"),
            ],
            |outcome| {
                let second = at_request(outcome, 2, |outcome| {
                    id_of(outcome, 1).as_deref() == Some(b"1")
                });
                match second {
                    Some(true) => data(outcome, &["a", "c"]),
                    other => other,
                }
            },
        ),
        case("Comments can be had", vec![open(": hello\n")], |outcome| {
            let comments = outcome
                .seen
                .iter()
                .any(|seen| matches!(seen, Seen::Comment(comment) if comment.trim() == "hello"));
            (comments || outcome.is_over()).then_some(comments)
        }),
    ]
}

fn ids(outcome: &crate::judge::Outcome, expected: &[&str]) -> Option<bool> {
    let ids = outcome.ids();
    (ids.len() == expected.len() || outcome.is_over()).then_some(ids == expected)
}

/// An event stream in these chunks, held open.
fn bytes(mut chunks: Vec<Vec<u8>>) -> Reply {
    chunks.insert(0, STREAM.as_bytes().to_vec());
    Reply { chunks, hold: true }
}
