//! The pull driver: polled as an HTTP body would be.
#![cfg(feature = "driver")]

mod stream;

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use stream::{config, decode, feed, publish, subscription};
use tidewire_core::Position;
use tidewire_engine::driver::pull::{POLL_BYTES_MAX, PullStream};
use tidewire_engine::{EndReason, ShardConfig};

async fn next(stream: &mut PullStream) -> Option<Vec<u8>> {
    let late = tokio::time::sleep(Duration::from_secs(60));
    tokio::select! {
        // The timer first: a look at its hour would find what nobody was woken for.
        biased;
        () = late => panic!("nothing comes"),
        bytes = poll_fn(|cx| stream.poll_next(cx)) => bytes,
    }
}

#[tokio::test]
async fn replay_and_live_come_in_order_and_in_bounds() {
    const EVENTS: usize = 500;
    let feed = feed();
    publish(&feed, 0..300, 1000);
    let mut stream = PullStream::new(&config(), 1, subscription(&feed, Position(1)));
    let mut body = Vec::new();
    let publisher = tokio::spawn({
        let feed = feed.clone();
        async move {
            for at in (300..EVENTS).step_by(5) {
                publish(&feed, at..at + 5, 1000);
                tokio::task::yield_now().await;
            }
        }
    });
    while decode(&body).numbers.len() < EVENTS {
        let bytes = next(&mut stream).await.unwrap();
        assert!(bytes.len() <= POLL_BYTES_MAX);
        assert!(bytes.ends_with(b"\n\n"), "whole frames");
        body.extend(bytes);
    }
    publisher.await.unwrap();
    assert_eq!(decode(&body).numbers, Vec::from_iter(0..EVENTS));
    stream.ender().end(EndReason::Drain);
    while let Some(bytes) = next(&mut stream).await {
        body.extend(bytes);
    }
    let seen = decode(&body);
    assert_eq!(seen.controls.last().unwrap(), "tidewire.closing");
    let end = stream.end().unwrap();
    assert_eq!(
        (end.reason, end.bytes),
        (EndReason::Drain, body.len() as u64)
    );
    assert_eq!(end.events, EVENTS as u64);
    assert!(next(&mut stream).await.is_none());
}

#[tokio::test]
async fn a_frame_larger_than_a_poll_comes_alone_and_whole() {
    let feed = feed();
    publish(&feed, 0..3, 3 * POLL_BYTES_MAX);
    let mut stream = PullStream::new(&config(), 1, subscription(&feed, Position(1)));
    let mut body = Vec::new();
    while decode(&body).numbers.len() < 3 {
        let bytes = next(&mut stream).await.unwrap();
        assert!(decode(&bytes).numbers.len() <= 1);
        assert!(!decode(&bytes).torn);
        body.extend(bytes);
    }
}

/// Whoever does not poll stands still: nothing is gathered for it.
#[tokio::test]
async fn an_unpolled_stream_takes_nothing() {
    let feed = feed();
    let mut stream = PullStream::new(&config(), 1, subscription(&feed, Position(1)));
    next(&mut stream).await.unwrap();
    publish(&feed, 0..1000, 1000);
    let bytes = next(&mut stream).await.unwrap();
    assert!(bytes.len() <= POLL_BYTES_MAX);
    assert!(stream.end_with(EndReason::Closed).events < 1000);
}

#[tokio::test]
async fn heartbeats_come_by_the_timer_and_a_life_ends() {
    let config = ShardConfig {
        heartbeat_ms: 30,
        stream_life_ms: 200,
        ..config()
    };
    let feed = feed();
    let mut stream = PullStream::new(&config, 1, subscription(&feed, Position(1)));
    let mut pieces = Vec::new();
    while let Some(bytes) = next(&mut stream).await {
        pieces.push(bytes);
    }
    assert!(
        pieces.len() >= 3,
        "an opening, heartbeats, an end: {pieces:?}"
    );
    assert_eq!(stream.end().unwrap().reason, EndReason::Life);
}

#[tokio::test]
async fn a_publish_wakes_the_poller() {
    let feed = feed();
    let mut stream = PullStream::new(&config(), 1, subscription(&feed, Position(1)));
    next(&mut stream).await.unwrap();
    let waiting = stream.poll_next(&mut Context::from_waker(Waker::noop()));
    assert_eq!(waiting, Poll::Pending);
    let task = tokio::spawn(async move { next(&mut stream).await.unwrap() });
    tokio::task::yield_now().await;
    publish(&feed, 0..1, 10);
    assert_eq!(decode(&task.await.unwrap()).numbers, [0]);
}

/// Run by hand: `cargo test -p tidewire-engine --release --test driver_pull -- --ignored --nocapture`.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "prints a figure; asserts only what is far beyond it"]
async fn idle_memory() {
    const STREAMS: usize = 20_000;
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    };
    let feed = feed();
    let config = ShardConfig::default();
    let before = resident();
    let mut streams = Vec::new();
    for seed in 0..STREAMS {
        let subscription = subscription(&feed, Position(1));
        let mut stream = PullStream::new(&config, seed as u64, subscription);
        next(&mut stream).await.unwrap();
        let waiting = stream.poll_next(&mut Context::from_waker(Waker::noop()));
        assert_eq!(waiting, Poll::Pending);
        streams.push(stream);
    }
    let each = (resident() - before) / STREAMS;
    #[allow(clippy::print_stderr, reason = "the figure is what it is run for")]
    {
        eprintln!("an idle PullStream takes {each} bytes");
    }
    assert!(each < 10_000);
}
