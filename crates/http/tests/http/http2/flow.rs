//! Flow control: who has no window stands still, alone.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use h2::Reason;
use tidewire_log::Retention;

use super::client::{Windows, connect, connect_with, patiently};
use super::raw;
use super::{quiet, quiet_with};
use crate::server::{PATIENCE, Server, memory_log, start_on, until};

const TARGET: &str = "/topics/a?checkpoint=off";

/// Publishes so many events, and gives what a subscriber gets of them.
fn publish(server: &Server, events: std::ops::RangeInclusive<usize>, bytes: usize) -> String {
    let mut frames = String::new();
    for event in events {
        let data = format!("{event} {}", "x".repeat(bytes));
        server.publish("a", &data);
        let _ = write!(frames, "id: #5-{event}\ndata: {data}\n\n");
    }
    frames
}

/// The last frame, which no other one is like.
fn last(frames: &str) -> &str {
    &frames[frames.rfind("id: ").unwrap()..]
}

/// One stream has no window after 1,000 bytes, the others read on.
const NARROW: Windows = Windows {
    stream: 1000,
    connection: 1 << 20,
};

#[test]
fn a_slow_reader_misses_nothing_beside_fast_ones() {
    let server = quiet();
    let mut client = connect_with(&server, &NARROW);
    let mut slow = client.subscribe(TARGET);
    let mut fast = client.subscribe(TARGET);
    let mut want = String::new();
    for round in 0..10 {
        let frames = publish(&server, round * 20 + 1..=round * 20 + 20, 100);
        let text = client.read_until(&mut fast, last(&frames));
        assert_eq!(text, frames, "round {round}");
        want += &frames;
    }
    assert_eq!(client.read_until(&mut slow, last(&want)), want);
    // It is one of them again.
    let frames = publish(&server, 201..=201, 100);
    assert_eq!(client.read_until(&mut slow, "x\n\n"), frames);
    assert_eq!(client.read_until(&mut fast, "x\n\n"), frames);
}

#[test]
fn who_stood_still_beyond_retention_is_told_of_the_gap() {
    let retention = Retention {
        count: Some(5),
        ..Retention::default()
    };
    let server = start_on(memory_log(retention), |settings| {
        settings.streams.heartbeat_ms = 0;
    });
    let mut client = connect_with(&server, &NARROW);
    let mut slow = client.subscribe(TARGET);
    let mut fast = client.subscribe(TARGET);
    let mut frames = String::new();
    for event in 1..=40 {
        frames = publish(&server, event..=event, 100);
        assert_eq!(client.read_until(&mut fast, "x\n\n"), frames);
    }
    let text = client.read_until(&mut slow, &frames);
    let (before, after) = text.split_once("event: tidewire.gap\n").expect(&text);
    assert!(!after.contains("tidewire.gap"), "{text}");
    let events = |text: &str| -> Vec<usize> {
        let ids = text.lines().filter_map(|line| line.strip_prefix("data: "));
        ids.filter_map(|data| data.split(' ').next()?.parse().ok())
            .collect()
    };
    // Every one until it stood still, and every one that is kept.
    let (before, after) = (events(before), events(after));
    assert!(before.len() > 3 && before.len() < 20, "{before:?}");
    assert_eq!(before, (1..=before.len()).collect::<Vec<_>>());
    assert_eq!(after, (36..=40).collect::<Vec<_>>());
}

/// Each event is more than the connection's window for all of its streams together: they take turns, and nobody goes without.
#[test]
fn streams_take_turns_in_a_small_connection_window() {
    const STREAMS: usize = 200;
    let server = quiet();
    let windows = Windows {
        stream: 65_535,
        connection: 65_535,
    };
    let mut client = connect_with(&server, &windows);
    let bodies: Vec<_> = (0..STREAMS).map(|_| client.subscribe(TARGET)).collect();
    let want = publish(&server, 1..=20, 1000);
    let readers = bodies.into_iter().map(|mut body| {
        let bytes = want.len();
        async move {
            let mut got = Vec::with_capacity(bytes);
            while got.len() < bytes {
                let data = body.data().await.expect("it goes on").unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                got.extend_from_slice(&data);
            }
            // With its body: who drops it leaves.
            (got, body)
        }
    });
    let all = patiently("their turns", join_all(readers));
    let all = client.runtime.block_on(all);
    for (got, _) in &all {
        assert!(got == want.as_bytes(), "{} bytes", got.len());
    }
    assert_eq!(server.front.subscribers(), STREAMS);
}

#[test]
fn a_stalled_stream_is_reset_alone() {
    let server = quiet_with(|settings| settings.streams.stall_deadline_ms = 400);
    let mut client = connect_with(&server, &NARROW);
    let mut stalled = client.subscribe(TARGET);
    let mut fast: Vec<_> = (0..5).map(|_| client.subscribe(TARGET)).collect();
    let begun = Instant::now();
    let mut next = 1;
    while server.front.subscribers() > 5 {
        let frames = publish(&server, next..=next + 4, 100);
        next += 5;
        for body in &mut fast {
            assert_eq!(client.read_until(body, last(&frames)), frames);
        }
        assert!(begun.elapsed() < PATIENCE, "it is never reset");
    }
    assert!(begun.elapsed() >= Duration::from_millis(400), "too early");
    let (text, reason) = client.read_all(&mut stalled);
    assert_eq!(reason, Some(Reason::CANCEL));
    // The window, less the comment that it began with.
    assert_eq!(text.len(), 1000 - 2);
    let frames = publish(&server, next..=next, 100);
    for body in &mut fast {
        assert_eq!(client.read_until(body, "x\n\n"), frames);
    }
}

/// Who takes a large frame slowly does not stall, however long it takes.
#[test]
fn a_large_frame_may_take_longer_than_the_stall_deadline() {
    let deadline = Duration::from_secs(1);
    let server = quiet_with(|settings| settings.streams.stall_deadline_ms = 1000);
    let mut client = connect_with(&server, &NARROW);
    let mut body = client.subscribe(TARGET);
    let begun = Instant::now();
    let want = publish(&server, 1..=1, 15_000);
    let mut text = String::new();
    while text.len() < want.len() {
        std::thread::sleep(Duration::from_millis(150));
        let piece = client.piece(&mut body).expect("it goes on");
        text += &piece.unwrap();
    }
    assert_eq!(text, want);
    assert!(begun.elapsed() > 2 * deadline, "{:?}", begun.elapsed());
}

#[test]
fn a_frame_larger_than_every_window_arrives_whole() {
    let server = quiet();
    for (stream, connection) in [(100, 1 << 20), (1 << 20, 65_535)] {
        let mut client = connect_with(&server, &Windows { stream, connection });
        let mut body = client.subscribe(TARGET);
        let tail = usize::try_from(server.front.log().bounds().tail.0).unwrap();
        let frames = publish(&server, tail..=tail, 300_000);
        assert_eq!(client.read_until(&mut body, "x\n\n"), frames, "{stream}");
    }
}

#[test]
fn a_stream_without_any_window_waits_for_one() {
    let server = quiet();
    let mut raw = raw::connect(&server, 0);
    raw.get(1, TARGET);
    raw.next_of(raw::HEADERS);
    let frames = publish(&server, 1..=3, 10);
    raw.send(raw::PING, 0, 0, b"no data?");
    loop {
        let frame = raw.next().unwrap();
        assert_ne!(frame.kind, raw::DATA);
        if frame.kind == raw::PING {
            break;
        }
    }
    // RFC 9113, section 6.9.2: windows of streams that are open grow with the setting.
    let one = [0, 4, 0, 0, 0, 1];
    raw.send(raw::SETTINGS, 0, 0, &one);
    assert_eq!(raw.next_of(raw::DATA).payload, b":");
    let mut text = Vec::new();
    while text.len() < frames.len() + 1 {
        raw.send(raw::WINDOW_UPDATE, 0, 1, &7_u32.to_be_bytes());
        text.extend_from_slice(&raw.next_of(raw::DATA).payload);
    }
    assert_eq!(String::from_utf8(text).unwrap(), format!("\n{frames}"));
}

/// Who lets unread streams fill the window of the whole connection starves itself; the deadline of the first that stands heals it.
#[test]
fn a_connection_window_full_of_unread_data_is_freed_at_the_deadline() {
    let server = quiet_with(|settings| settings.streams.stall_deadline_ms = 1000);
    let windows = Windows {
        stream: 1 << 20,
        connection: 65_535,
    };
    let mut client = connect_with(&server, &windows);
    let mut unread = client.subscribe(TARGET);
    let mut starved = client.subscribe("/topics/b?checkpoint=off");
    publish(&server, 1..=1, 100_000);
    until("the window is full", || {
        server.front.stream_counters().offers_full > 0
    });
    // So that its own deadline is later than the other's.
    std::thread::sleep(Duration::from_millis(500));
    server.publish("b", "late");
    client.await_that("the unread one is reset", || {
        server.front.subscribers() == 1
    });
    let (text, reason) = client.read_all(&mut unread);
    assert_eq!(reason, Some(Reason::CANCEL));
    assert!(text.len() > 65_500, "{}", text.len());
    let text = client.read_until(&mut starved, "\n\n");
    assert_eq!(text, "id: #5-2\ndata: late\n\n");
}

/// A client with endless windows that reads nothing: the socket is what is full, and all streams stand still.
#[test]
fn a_full_socket_holds_nothing_but_cursors() {
    const EVENTS: usize = 300;
    const STREAMS: u32 = 4;
    let server = quiet();
    let mut raw = raw::connect(&server, (1 << 31) - 1);
    for stream in 0..STREAMS {
        raw.get(2 * stream + 1, TARGET);
    }
    until("all are there", || {
        server.front.subscribers() == STREAMS as usize
    });
    let want = format!(":\n{}", publish(&server, 1..=EVENTS, 64_000));
    std::thread::sleep(Duration::from_millis(300));
    let mut got = vec![Vec::new(); STREAMS as usize];
    while got.iter().any(|bytes| bytes.len() < want.len()) {
        let frame = raw.next_of(raw::DATA);
        got[frame.stream as usize / 2].extend_from_slice(&frame.payload);
    }
    for bytes in got {
        assert!(bytes == want.as_bytes(), "{} bytes", bytes.len());
    }
}

#[test]
fn an_answer_that_nobody_reads_is_reset() {
    let server =
        quiet_with(|settings| settings.limits.publish_stall_max = Duration::from_millis(300));
    let mut client = connect_with(
        &server,
        &Windows {
            stream: 10,
            connection: 65_535,
        },
    );
    let answer = client.get("/openapi.json");
    std::thread::sleep(Duration::from_millis(500));
    let (text, reason) = client.read_all(&mut answer.into_body());
    assert_eq!((text.len(), reason), (10, Some(Reason::CANCEL)));
    let mut client = connect(&server);
    assert_eq!(client.get("/openapi.json").status(), 200);
}
