//! What one connection may do, at the edges.

use std::time::Duration;

use super::{client, raw};
use super::{quiet, quiet_with};

const REFUSED_STREAM: [u8; 4] = 7_u32.to_be_bytes();

#[test]
fn the_next_stream_beyond_the_limit_is_refused() {
    const STREAMS: u32 = 1000;
    let server = quiet();
    let mut raw = raw::connect(&server, 65_535);
    for stream in 0..=STREAMS {
        raw.get(2 * stream + 1, "/topics/a");
    }
    let mut opened = 0;
    let mut refused = Vec::new();
    while opened < STREAMS || refused.is_empty() {
        let frame = raw.next().unwrap();
        match frame.kind {
            raw::HEADERS => opened += 1,
            raw::RST_STREAM => refused.push((frame.stream, frame.payload)),
            _ => {}
        }
    }
    assert_eq!(refused, [(2 * STREAMS + 1, REFUSED_STREAM.to_vec())]);
    assert_eq!(server.front.subscribers(), 1000);
    // One that ends makes room for another.
    raw.send(raw::RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    raw.get(2 * STREAMS + 3, "/topics/a");
    assert_eq!(raw.next_of(raw::HEADERS).stream, 2 * STREAMS + 3);
}

#[test]
fn the_limit_is_announced() {
    let server = quiet_with(|settings| settings.limits.http2_streams_max = 7);
    let mut raw = raw::connect(&server, 65_535);
    let settings = raw.next_of(raw::SETTINGS).payload;
    // RFC 9113, section 6.5.2: 3 is SETTINGS_MAX_CONCURRENT_STREAMS.
    assert!(settings.chunks(6).any(|one| one == [0, 3, 0, 0, 0, 7]));
}

/// Rapid reset: requests that are taken back before they are begun count.
#[test]
fn who_takes_back_too_many_requests_is_told_to_go() {
    let server = quiet();
    let mut raw = raw::connect(&server, 65_535);
    let mut bytes = Vec::new();
    for stream in 0..2000 {
        let id = 2 * stream + 1;
        bytes.extend_from_slice(&raw::get(id, "/topics/a"));
        bytes.extend_from_slice(&raw::frame(raw::RST_STREAM, 0, id, &[0, 0, 0, 8]));
    }
    let _ = std::io::Write::write_all(&mut raw.socket, &bytes);
    let goaway = raw.next_of(raw::GOAWAY);
    // ENHANCE_YOUR_CALM.
    assert_eq!(goaway.payload[4..8], [0, 0, 0, 11]);
}

#[test]
fn an_idle_connection_is_closed_and_one_with_a_stream_is_not() {
    let server = quiet_with(|settings| settings.limits.http2_idle_max = Duration::from_millis(300));
    let mut busy = client::connect(&server);
    let mut stream = busy.subscribe("/topics/a?checkpoint=off");
    let mut idle = client::connect(&server);
    assert_eq!(idle.get("/healthz").status(), 200);
    let ended = client::patiently("the idle one's end", &mut idle.connection);
    idle.runtime.block_on(ended).unwrap().unwrap();
    assert!(!busy.connection.is_finished());
    server.publish("a", "here");
    busy.read_until(&mut stream, "here\n\n");
    drop(stream);
    let ended = client::patiently("its end", &mut busy.connection);
    busy.runtime.block_on(ended).unwrap().unwrap();
}

/// They share its descriptor.
#[test]
fn a_connection_is_one_subscriber_to_the_limit() {
    let server = quiet_with(|settings| settings.limits.subscribers_max = 1);
    let mut first = client::connect(&server);
    let streams: Vec<_> = (0..3).map(|_| first.subscribe("/topics/a")).collect();
    assert_eq!(server.front.subscribers(), 3);
    let mut second = client::connect(&server);
    assert_eq!(second.get("/topics/a").status(), 503);
    drop(streams);
    drop(first);
    second.await_that("the place is free", || server.front.subscribers() == 0);
    assert_eq!(second.get("/topics/a").status(), 200);
}
