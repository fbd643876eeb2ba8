//! The solo driver: a stream on a connection of its own, as one over TLS. Pipes here; sockets and TLS are tidewire-http's.
#![cfg(feature = "driver")]

mod stream;

use std::sync::mpsc;
use std::time::Duration;

use stream::{config, decode, feed, publish, subscription};
use tidewire_core::Position;
use tidewire_engine::driver::solo::Solo;
use tidewire_engine::driver::{Ender, Framing, StreamEnd};
use tidewire_engine::{EndReason, Feed, ShardConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const HEAD: &[u8] = b"HTTP/1.0 200 OK\r\n\r\n";

struct Running {
    client: DuplexStream,
    ender: Ender,
    end: mpsc::Receiver<StreamEnd>,
    task: tokio::task::JoinHandle<()>,
}

/// A stream over a pipe of so many bytes.
fn run(config: &ShardConfig, feed: &std::sync::Arc<Feed>, from: u64, pipe_bytes: usize) -> Running {
    let (client, server) = duplex(pipe_bytes);
    let (told, end) = mpsc::channel();
    let solo = Solo::new(
        config,
        1,
        server,
        HEAD.to_vec(),
        Framing::Bare,
        subscription(feed, Position(from)),
        Box::new(move |end| told.send(end).unwrap()),
    );
    Running {
        client,
        ender: solo.ender(),
        end,
        task: tokio::spawn(solo),
    }
}

/// Reads on until the body, without its head, satisfies.
async fn read_until(client: &mut DuplexStream, all: &mut Vec<u8>, enough: impl Fn(&[u8]) -> bool) {
    let mut piece = [0; 700];
    while all.len() < HEAD.len() || !enough(&all[HEAD.len()..]) {
        let read = tokio::time::timeout(Duration::from_secs(20), client.read(&mut piece));
        let count = read.await.expect("something comes").unwrap();
        assert!(count > 0, "it ended");
        all.extend_from_slice(&piece[..count]);
    }
}

#[tokio::test]
async fn replay_and_live_come_in_order_through_a_narrow_pipe() {
    const EVENTS: usize = 400;
    let feed = feed();
    publish(&feed, 0..200, 1000);
    // Narrower than a frame: each is finished before the next.
    let mut running = run(&config(), &feed, 1, 300);
    let publisher = tokio::spawn({
        let feed = feed.clone();
        async move {
            for at in (200..EVENTS).step_by(5) {
                publish(&feed, at..at + 5, 1000);
                tokio::task::yield_now().await;
            }
        }
    });
    let mut all = Vec::new();
    let all_came = |body: &[u8]| decode(body).numbers.len() == EVENTS;
    read_until(&mut running.client, &mut all, all_came).await;
    publisher.await.unwrap();
    assert!(all.starts_with(HEAD));
    assert_eq!(
        decode(&all[HEAD.len()..]).numbers,
        Vec::from_iter(0..EVENTS)
    );
    running.ender.end(EndReason::Drain);
    running.client.read_to_end(&mut all).await.unwrap();
    let seen = decode(&all[HEAD.len()..]);
    assert_eq!(seen.controls.last().unwrap(), "tidewire.closing");
    running.task.await.unwrap();
    let end = running.end.recv().unwrap();
    assert_eq!(
        (end.reason, end.bytes, end.events),
        (EndReason::Drain, all.len() as u64, EVENTS as u64)
    );
}

#[tokio::test]
async fn the_head_does_not_wait_for_an_event() {
    let feed = feed();
    let mut running = run(&config(), &feed, 1, 64);
    let mut head = [0; HEAD.len()];
    let read = tokio::time::timeout(Duration::from_secs(5), running.client.read_exact(&mut head));
    read.await.expect("at once").unwrap();
    assert_eq!(head, *HEAD);
}

#[tokio::test]
async fn a_client_that_closes_its_side_is_gone() {
    let feed = feed();
    for half in [true, false] {
        let mut running = run(&config(), &feed, 1, 4096);
        if half {
            running.client.shutdown().await.unwrap();
        } else {
            drop(running.client);
        }
        running.task.await.unwrap();
        assert_eq!(running.end.recv().unwrap().reason, EndReason::Closed);
    }
}

#[tokio::test]
async fn what_a_client_sends_is_thrown_away_up_to_a_limit() {
    let feed = feed();
    let mut running = run(&config(), &feed, 1, 4096);
    running.client.write_all(&[b'x'; 200_000]).await.unwrap();
    publish(&feed, 0..1, 10);
    let mut all = Vec::new();
    read_until(&mut running.client, &mut all, |body| {
        !decode(body).numbers.is_empty()
    })
    .await;
    // It may be cut in the middle of this.
    let _ = running.client.write_all(&[b'x'; 200_000]).await;
    running.task.await.unwrap();
    assert_eq!(running.end.recv().unwrap().reason, EndReason::Closed);
}

#[tokio::test]
async fn one_that_does_not_read_is_cut_without_a_last_word_and_one_that_reads_slowly_is_not() {
    let feed = feed();
    let config = ShardConfig {
        stall_deadline_ms: 300,
        ..config()
    };
    publish(&feed, 0..1, 100_000);
    let stalled = run(&config, &feed, 1, 1000);
    let mut slow = run(&config, &feed, 1, 1000);
    let mut all = Vec::new();
    let mut piece = [0; 5000];
    // Longer than the deadline in all; the one frame is never written as a whole meanwhile.
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let count = slow.client.read(&mut piece).await.unwrap();
        all.extend_from_slice(&piece[..count]);
    }
    assert!(slow.end.try_recv().is_err());
    read_until(&mut slow.client, &mut all, |body| {
        !decode(body).numbers.is_empty()
    })
    .await;
    stalled.task.await.unwrap();
    let end = stalled.end.recv().unwrap();
    assert_eq!(end.reason, EndReason::Stalled);
    assert!(end.bytes <= 1000);
}

#[tokio::test]
async fn a_last_word_that_nobody_reads_does_not_hold_the_connection_for_ever() {
    let feed = feed();
    let config = ShardConfig {
        stall_deadline_ms: 300,
        ..config()
    };
    publish(&feed, 0..10, 1000);
    let running = run(&config, &feed, 1, 500);
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.ender.end(EndReason::Drain);
    let over = tokio::time::timeout(Duration::from_secs(10), running.task);
    over.await.expect("it gives up").unwrap();
    assert_eq!(running.end.recv().unwrap().reason, EndReason::Drain);
}

#[tokio::test]
async fn a_task_that_is_dropped_tells_its_end() {
    let feed = feed();
    let running = run(&config(), &feed, 1, 500);
    tokio::task::yield_now().await;
    running.task.abort();
    assert!(running.task.await.unwrap_err().is_cancelled());
    assert_eq!(running.end.recv().unwrap().reason, EndReason::Closed);
    assert_eq!(feed.log().bounds().records, 0);
}
