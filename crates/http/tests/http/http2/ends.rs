//! How connections end.

use std::time::{Duration, Instant};

use super::client::{Windows, connect, connect_with};
use super::raw;
use super::{quiet, quiet_with};
use crate::server::{Server, until};

/// Whether somebody had no room for all that they were offered.
fn is_full(server: &Server) -> bool {
    server.front.stream_counters().offers_full > 0
}

#[test]
fn an_ending_hub_ends_streams_between_frames() {
    let mut server = quiet();
    let mut client = connect(&server);
    let mut bodies: Vec<_> = (0..20).map(|_| client.subscribe("/topics/a")).collect();
    server.publish("a", "last");
    for body in &mut bodies {
        client.read_until(body, "data: last\n\n");
    }
    server.begin_shutdown();
    for body in &mut bodies {
        let end = "event: tidewire.closing\ndata: {\"reason\":\"drain\"}\n\n";
        assert!(client.read_to_end(body).ends_with(end));
    }
    client
        .runtime
        .block_on(&mut client.connection)
        .unwrap()
        .unwrap();
    server.wait_for_end();
    assert_eq!(server.front.subscribers(), 0);
}

#[test]
fn a_goaway_comes_first() {
    let mut server = quiet();
    let mut raw = raw::connect(&server, 65_535);
    raw.get(1, "/topics/a?checkpoint=off");
    raw.next_of(raw::DATA);
    server.begin_shutdown();
    let goaway = raw.next_of(raw::GOAWAY);
    assert_eq!(goaway.payload[..8], [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let ping = raw.next_of(raw::PING);
    let last = raw.next_of(raw::DATA);
    assert_eq!(last.payload, b": closing: drain\n");
    let end = if last.flags & raw::END_STREAM != 0 {
        last
    } else {
        raw.next_of(raw::DATA)
    };
    assert_eq!(
        (end.stream, end.flags & raw::END_STREAM),
        (1, raw::END_STREAM)
    );
    raw.send(raw::PING, raw::ACK, 0, &ping.payload);
    let goaway = raw.next_of(raw::GOAWAY);
    assert_eq!(goaway.payload[..8], [0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(raw.next(), None);
    server.wait_for_end();
}

/// A frame that the client has had room for in part is finished while the hub ends, if the client makes room.
#[test]
fn a_frame_begun_is_finished_while_the_hub_ends() {
    let mut server = quiet();
    let windows = Windows {
        stream: 1000,
        connection: 65_535,
    };
    let mut client = connect_with(&server, &windows);
    let mut body = client.subscribe("/topics/a?checkpoint=off");
    server.publish("a", &"x".repeat(3000));
    server.publish("a", "never begun");
    until("its window is full", || is_full(&server));
    server.begin_shutdown();
    std::thread::sleep(Duration::from_millis(100));
    let text = client.read_to_end(&mut body);
    assert_eq!(text, format!("id: #5-1\ndata: {}\n\n", "x".repeat(3000)));
    server.wait_for_end();
}

/// Who does not read is not waited for longer than the drain.
#[test]
fn an_ending_hub_waits_for_nobody_for_ever() {
    let mut server = quiet_with(|settings| settings.drain = Duration::from_millis(500));
    let windows = Windows {
        stream: 1000,
        connection: 65_535,
    };
    let mut client = connect_with(&server, &windows);
    let body = client.subscribe("/topics/a?checkpoint=off");
    server.publish("a", &"x".repeat(3000));
    until("its window is full", || is_full(&server));
    let begun = Instant::now();
    server.begin_shutdown();
    server.wait_for_end();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(450), "{took:?}");
    client.await_that("it is cut", || server.front.subscribers() == 0);
    drop(body);
}

#[test]
fn a_connection_that_breaks_takes_its_streams_along() {
    let server = quiet();
    let mut raw = raw::connect(&server, 65_535);
    for stream in 0..10 {
        raw.get(2 * stream + 1, "/topics/a");
        raw.next_of(raw::HEADERS);
    }
    assert_eq!(server.front.subscribers(), 10);
    drop(raw);
    let client = connect(&server);
    client.await_that("all leave", || server.front.subscribers() == 0);
}

#[test]
fn nonsense_ends_a_connection_with_its_reason() {
    let server = quiet();
    let mut raw = raw::connect(&server, 65_535);
    raw.get(1, "/topics/a");
    raw.next_of(raw::HEADERS);
    // RFC 9113, section 6.1: DATA of stream 0 is an error of the connection.
    raw.send(raw::DATA, 0, 0, b"x");
    let goaway = raw.next_of(raw::GOAWAY);
    assert_eq!(goaway.payload[4..8], [0, 0, 0, 1]);
    while raw.next().is_some() {}
    let client = connect(&server);
    client.await_that("its stream leaves", || server.front.subscribers() == 0);
}
