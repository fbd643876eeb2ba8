//! Requests that two readers could cut at different places, or take for different hosts': behind a proxy, what one of them takes for
//! a body may be the other's next request. Tried on a connection that the plain door serves and on one that is hyper's.

use std::io::{Read, Write};

use crate::server::{Server, start, start_with};

/// What is to stay inside of what is sent before it.
const HIDDEN: &str =
    "POST /topics/hidden HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";

/// Ends a connection that goes on.
const LAST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The statuses that come, and how many events are stored after a first request that is good.
fn outcome(server: &Server, door: &str, sent: &str) -> (Vec<u16>, u64) {
    let before = server.front.counters().events;
    let mut client = server.connect();
    client.send(&format!(
        "POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n{door}\r\nx"
    ));
    assert_eq!(client.answer().status, 200);
    // A server that has said no may have closed already.
    let _ = client.socket.write_all(sent.as_bytes());
    let _ = client.socket.write_all(LAST.as_bytes());
    let mut text = Vec::new();
    let _ = client.socket.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let statuses = text
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| answer[..3].parse().unwrap())
        .collect();
    (statuses, server.front.counters().events - before - 1)
}

#[test]
fn where_a_request_ends_is_said_once_or_refused() {
    let server = start();
    let post = "POST /topics/a HTTP/1.1\r\nHost: localhost\r\n";
    let hidden = HIDDEN.len();
    #[rustfmt::skip]
    let table: Vec<(String, &[u16], u64)> = vec![
        // As it should be.
        (format!("{post}Content-Length: 1\r\n\r\nx{HIDDEN}"), &[200, 200, 200], 2),
        (format!("{post}Content-Length: {hidden}\r\n\r\n{HIDDEN}"), &[200, 200], 1),
        // RFC 9112, section 6.3: lengths that differ. Those that agree are one.
        (format!("{post}Content-Length: 0\r\nContent-Length: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Content-Length: {hidden}\r\nContent-Length: 0\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Content-Length: {hidden}\r\nContent-Length: {hidden}\r\n\r\n{HIDDEN}"), &[200, 200], 1),
        (format!("{post}Content-Length: 0, {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Content-Length: +{hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Content-Length: -1\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Content-Length: 0x10\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Content-Length: 18446744073709551617\r\n\r\n{HIDDEN}"), &[400], 0),
        // Names that are none, and lines that go on (section 5.2).
        (format!("{post}Content-Length : {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Content-Length\t: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post} Content-Length: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}X: y\r\n Content-Length: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}X: y\rContent-Length: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}X: y\0z\r\nContent-Length: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}\0: y\r\nContent-Length: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        // Section 6.1: chunks count, not a length beside them, in whatever order; and then the connection ends.
        (format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n{hidden:x}\r\n{HIDDEN}\r\n0\r\n\r\n"), &[200], 1),
        (format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{hidden:x}\r\n{HIDDEN}\r\n0\r\n\r\n"), &[200], 1),
        // Chunks that are not the last coding, or not spelled so.
        (format!("{post}Transfer-Encoding: identity\r\nContent-Length: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Transfer-Encoding: xchunked\r\nContent-Length: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Transfer-Encoding : chunked\r\nContent-Length: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Transfer-Encoding:\u{b}chunked\r\nContent-Length: {hidden}\r\n\r\n{HIDDEN}"), &[400], 0),
        // Sizes of chunks: section 7.1.
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n{HIDDEN}"), &[400], 0),
        // HTTP/1.0 has no chunks.
        (format!("POST /topics/a HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"), &[400], 0),
        // A GET with a body, which is none of the next request's.
        (format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: {hidden}\r\n\r\n{HIDDEN}"), &[200, 200], 0),
        // Lines that are none.
        (format!("POST /topics/a\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("POST /topics/a b HTTP/1.1\r\n\r\n{HIDDEN}"), &[400], 0),
        (format!("POST /topics/a HTTP/1.2\r\n\r\n{HIDDEN}"), &[400], 0),
    ];
    let mut wrong = String::new();
    for (sent, statuses, events) in table {
        for door in ["", "TE: trailers\r\n"] {
            let got = outcome(&server, door, &sent);
            if got != (statuses.to_vec(), events) {
                let shown = &sent[..sent.len().min(160)];
                wrong += &format!("{got:?}, not {statuses:?} {events}: {door:?} {shown:?}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// RFC 9112, section 3.2: one Host, and a target in absolute form goes before it. A hub without keys answers for loopback names alone.
#[test]
fn whom_a_request_is_for_is_said_once() {
    let server = start();
    #[rustfmt::skip]
    let table = [
        ("/topics/a", "Host: localhost\r\n", 200),
        ("/topics/a", "", 400),
        ("/topics/a", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("/topics/a", "Host: evil.example\r\nHost: localhost\r\n", 400),
        ("/topics/a", "Host: localhost, evil.example\r\n", 400),
        ("/topics/a", "Host: localhost@evil.example\r\n", 403),
        ("/topics/a", "Host: evil.example#localhost\r\n", 400),
        ("/topics/a", "Host: localhost.evil.example\r\n", 403),
        ("http://evil.example/topics/a", "Host: localhost\r\n", 403),
        ("http://localhost/topics/a", "Host: evil.example\r\n", 200),
        ("http://localhost@evil.example/topics/a", "Host: localhost\r\n", 403),
        ("//evil.example/topics/a", "Host: localhost\r\n", 404),
    ];
    let mut wrong = String::new();
    for (target, lines, status) in table {
        for door in ["", "TE: trailers\r\n"] {
            let head = format!("POST {target} HTTP/1.1\r\n{lines}{door}Content-Length: 1\r\n\r\nx");
            let mut client = server.connect();
            client.send(&head);
            let got = client.answer().status;
            if got != status {
                wrong += &format!("{got}, not {status}: {head:?}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Whatever of it has come at once, and whoever reads it.
#[test]
fn a_head_has_its_limit_at_both_doors() {
    let server = start_with(|settings| settings.limits.head_bytes_max = 8_000);
    for door in ["", "TE: trailers\r\n"] {
        for (bytes, status) in [
            (7_900, 200),
            (7_999, 200),
            (8_000, 200),
            (8_001, 431),
            (15_000, 431),
        ] {
            let head = |x: &str| {
                format!(
                    "POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n{door}X: {x}\r\n\r\n"
                )
            };
            let head = head(&"x".repeat(bytes - head("").len()));
            assert_eq!(head.len(), bytes);
            let mut client = server.connect();
            client.send(&format!("{head}x"));
            let answer = client.answer();
            assert_eq!(answer.status, status, "{door:?} {bytes} {}", answer.body);
        }
    }
}
