//! The epoll driver on real sockets, over loopback.
#![cfg(all(target_os = "linux", feature = "driver"))]

mod stream;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use stream::{Seen, config, dechunk, decode, feed, publish, subscription};
use tidewire_core::Position;
use tidewire_engine::driver::StreamEnd;
use tidewire_engine::driver::epoll::{Framing, Shards};
use tidewire_engine::{EndReason, Feed, ShardConfig};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
/// For what is awaited but not timed.
const SOON: Duration = Duration::from_secs(60);

/// A client and its server's end. A small window makes a client that does not read felt soon.
fn pair(window_bytes: Option<usize>) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    if let Some(bytes) = window_bytes {
        client.set_recv_buffer_size(bytes).unwrap();
    }
    client
        .connect(&listener.local_addr().unwrap().into())
        .unwrap();
    let (server, _) = listener.accept().unwrap();
    if let Some(bytes) = window_bytes {
        socket2::SockRef::from(&server)
            .set_send_buffer_size(bytes)
            .unwrap();
    }
    let client = TcpStream::from(client);
    client.set_read_timeout(Some(SOON)).unwrap();
    (client, server)
}

fn adopt(
    shards: &Shards,
    feed: &Arc<Feed>,
    from: u64,
    framing: Framing,
    server: TcpStream,
) -> Receiver<StreamEnd> {
    let (tell, told) = channel();
    let on_end = Box::new(move |end| tell.send(end).unwrap_or_default());
    let subscription = subscription(feed, Position(from));
    shards.adopt(server, HEAD.to_vec(), framing, subscription, Some(on_end));
    told
}

fn join(shards: &Shards, feed: &Arc<Feed>, from: u64) -> (TcpStream, Receiver<StreamEnd>) {
    let (client, server) = pair(None);
    let told = adopt(shards, feed, from, Framing::Chunked, server);
    (client, told)
}

/// Reads to the end; the body without framing, and whether the end was a proper one.
fn read_all(client: &mut TcpStream, framing: Framing) -> (Seen, bool) {
    let mut bytes = Vec::new();
    let end = client.read_to_end(&mut bytes);
    let body = bytes.strip_prefix(HEAD).expect("the head comes first");
    match framing {
        Framing::Chunked => {
            let (body, whole) = dechunk(body);
            (decode(&body), whole && end.is_ok())
        }
        Framing::Bare => (decode(body), end.is_ok()),
    }
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn drain(shards: &Shards) {
    shards.drain(EndReason::Drain, SOON);
}

#[test]
fn everyone_gets_every_event_in_order() {
    const SUBSCRIBERS: usize = 200;
    const EVENTS: usize = 300;
    let feed = feed();
    let shards = Shards::start(2, &config(), 1, Arc::new(|_, _| {})).unwrap();
    publish(&feed, 0..100, 10);
    let mut clients: Vec<_> = (0..SUBSCRIBERS).map(|_| join(&shards, &feed, 1)).collect();
    for at in (100..EVENTS).step_by(10) {
        publish(&feed, at..at + 10, 10);
    }
    assert_eq!(shards.subscribers(), SUBSCRIBERS);
    await_that("deliveries", || {
        shards.counters().deliveries == (SUBSCRIBERS * EVENTS) as u64
    });
    assert_eq!(shards.counters().subscribers, SUBSCRIBERS as u64);
    drain(&shards);
    for (client, told) in &mut clients {
        let (seen, whole) = read_all(client, Framing::Chunked);
        assert!(whole && !seen.torn);
        assert_eq!(seen.numbers, Vec::from_iter(0..EVENTS));
        assert_eq!(seen.controls.first().unwrap(), "tidewire.open");
        let end = told.recv().unwrap();
        assert_eq!(end.reason, EndReason::Drain);
        assert_eq!(end.events, EVENTS as u64);
    }
    assert_eq!(shards.subscribers(), 0);
}

/// One that reads nothing stands still, while another gets all; then it reads on to the last event.
#[test]
fn a_stalled_client_stands_still_and_misses_nothing() {
    for framing in [Framing::Chunked, Framing::Bare] {
        let feed = feed();
        let shards = Shards::start(1, &config(), 2, Arc::new(|_, _| {})).unwrap();
        let (mut slow, server) = pair(Some(4096));
        let _told = adopt(&shards, &feed, 1, framing, server);
        let (mut fast, _fast_told) = join(&shards, &feed, 1);
        let fast = std::thread::spawn(move || read_all(&mut fast, Framing::Chunked).0.numbers);
        // Frames larger than the slow one's buffers, so that most writes are partial.
        const EVENTS: usize = 200;
        for at in 0..EVENTS {
            publish(&feed, at..at + 1, 20_000);
        }
        await_that("a stall", || shards.counters().offers_full > 0);
        await_that("the fast one", || {
            shards.counters().deliveries >= EVENTS as u64
        });
        assert!(shards.counters().deliveries < 2 * EVENTS as u64);
        // Reading in small pieces lets the writer fall into every kind of partial write.
        slow.set_nonblocking(false).unwrap();
        let slow = std::thread::spawn(move || read_all(&mut slow, framing));
        await_that("the slow one", || {
            shards.counters().deliveries == 2 * EVENTS as u64
        });
        drain(&shards);
        let (seen, whole) = slow.join().unwrap();
        assert!(whole && !seen.torn, "{framing:?}");
        assert_eq!(seen.numbers, Vec::from_iter(0..EVENTS), "{framing:?}");
        assert_eq!(fast.join().unwrap(), seen.numbers);
    }
}

/// A drain ends every stream between frames; one that does not read is cut when the deadline passes.
#[test]
fn a_drain_ends_between_frames() {
    let feed = feed();
    let shards = Shards::start(1, &config(), 3, Arc::new(|_, _| {})).unwrap();
    let (mut reading, told) = join(&shards, &feed, 1);
    let (mut stuck, server) = pair(Some(4096));
    let stuck_told = adopt(&shards, &feed, 1, Framing::Chunked, server);
    publish(&feed, 0..50, 100_000);
    let reader = std::thread::spawn(move || read_all(&mut reading, Framing::Chunked));
    await_that("the reader", || shards.counters().deliveries >= 50);
    let shards_of_drain = Arc::clone(&shards);
    shards_of_drain.drain(EndReason::Drain, Duration::from_millis(100));
    let (seen, whole) = reader.join().unwrap();
    assert!(whole && !seen.torn);
    assert_eq!(seen.numbers, Vec::from_iter(0..50));
    assert_eq!(seen.controls.last().unwrap(), "tidewire.closing");
    assert_eq!(told.recv().unwrap().reason, EndReason::Drain);
    assert_eq!(stuck_told.recv().unwrap().reason, EndReason::Drain);
    let (seen, whole) = read_all(&mut stuck, Framing::Chunked);
    assert!(!whole, "no last chunk inside a frame");
    assert_eq!(seen.numbers, Vec::from_iter(0..seen.numbers.len()));
    // Too late to join.
    let (mut late, told) = join(&shards, &feed, 1);
    assert_eq!(told.recv().unwrap().reason, EndReason::Drain);
    assert_eq!(late.read(&mut [0; 8]).unwrap_or(0), 0);
}

/// The stall deadline covers the first write, however large.
#[test]
fn a_client_that_never_reads_is_cut() {
    let feed = feed();
    publish(&feed, 0..4, 1_000_000);
    let config = ShardConfig {
        stall_deadline_ms: 200,
        ..config()
    };
    let shards = Shards::start(1, &config, 4, Arc::new(|_, _| {})).unwrap();
    let (client, server) = pair(Some(4096));
    let told = adopt(&shards, &feed, 1, Framing::Chunked, server);
    let end = told.recv_timeout(SOON).unwrap();
    // Either watch may be the first to bark: ours, or the kernel's (TCP_USER_TIMEOUT), which makes a closed socket.
    assert!(
        matches!(end.reason, EndReason::Stalled | EndReason::Closed),
        "{end:?}"
    );
    assert!(end.bytes < 4_000_000, "{end:?}");
    assert_eq!(shards.subscribers(), 0);
    drop(client);
}

#[test]
fn a_client_that_closes_or_half_closes_is_gone_at_once() {
    let feed = feed();
    let shards = Shards::start(1, &config(), 5, Arc::new(|_, _| {})).unwrap();
    for half in [false, true] {
        let (mut client, told) = join(&shards, &feed, 1);
        let mut head = [0; HEAD.len()];
        client.read_exact(&mut head).unwrap();
        if half {
            client.shutdown(Shutdown::Write).unwrap();
        } else {
            drop(client);
        }
        assert_eq!(
            told.recv_timeout(SOON).unwrap().reason,
            EndReason::Closed,
            "half: {half}"
        );
        await_that("its place is free", || shards.subscribers() == 0);
    }
}

/// Bytes after the request cost nothing, and do not turn the end into a reset.
#[test]
fn what_a_client_sends_is_thrown_away() {
    let feed = feed();
    let shards = Shards::start(1, &config(), 6, Arc::new(|_, _| {})).unwrap();
    let (mut client, _told) = join(&shards, &feed, 1);
    client.write_all(&[b'x'; 50_000]).unwrap();
    publish(&feed, 0..10, 10);
    await_that("deliveries", || shards.counters().deliveries == 10);
    drain(&shards);
    let (seen, whole) = read_all(&mut client, Framing::Chunked);
    assert!(whole);
    assert_eq!(seen.numbers, Vec::from_iter(0..10));
    // Linux lets what came before a reset be read; others do not.
    assert!(client.take_error().unwrap().is_none(), "no reset followed");
}

/// Dropping the shards closes every socket and tells everyone who waits.
#[test]
fn dropped_shards_leave_nothing_open() {
    let feed = feed();
    let (tell_all, all) = channel();
    let at_end = Arc::new(move |_, end: &StreamEnd| tell_all.send(*end).unwrap_or_default());
    let shards = Shards::start(2, &config(), 7, at_end).unwrap();
    let (mut client, told) = join(&shards, &feed, 1);
    drop(shards);
    let end = told.recv().unwrap();
    assert_eq!(end.reason, EndReason::Drain);
    assert_eq!(
        all.iter().collect::<Vec<_>>(),
        [end],
        "told of every stream's end"
    );
    let mut bytes = Vec::new();
    // Cut or ended: nothing may keep it open.
    let _ = client.read_to_end(&mut bytes);
}

/// Run by hand: `cargo test -p tidewire-engine --release --test driver_epoll -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures; asserts only what is far beyond them"]
fn idle_memory_and_cost_of_a_delivery() {
    const SUBSCRIBERS: usize = 2_000;
    const EVENTS: usize = 200;
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    };
    let feed = feed();
    let shards = Shards::start(1, &ShardConfig::default(), 8, Arc::new(|_, _| {})).unwrap();
    let mut clients = Vec::with_capacity(SUBSCRIBERS);
    let before = resident();
    for _ in 0..SUBSCRIBERS {
        let (client, server) = pair(None);
        let subscription = subscription(&feed, Position(1));
        shards.adopt(server, HEAD.to_vec(), Framing::Chunked, subscription, None);
        clients.push(client);
    }
    await_that("openings", || {
        shards.counters().checkpoints == SUBSCRIBERS as u64
    });
    let each = (resident() - before) / SUBSCRIBERS;
    let start = Instant::now();
    for at in 0..EVENTS {
        publish(&feed, at..at + 1, 100);
        let wanted = ((at + 1) * SUBSCRIBERS) as u64;
        while shards.counters().deliveries < wanted {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    let delivery = start.elapsed() / u32::try_from(SUBSCRIBERS * EVENTS).unwrap();
    #[allow(clippy::print_stderr, reason = "the figures are what it is run for")]
    {
        eprintln!("an idle subscriber takes {each} bytes; a delivery takes {delivery:?}");
    }
    assert!(each < 10_000);
    drain(&shards);
}
