//! What the log costs. `cargo bench -p tidewire-log-disk` runs the small part; with arguments after `--`:
//!
//! ```text
//! append [EVENTS] [DIR]    appends 200-byte events, one fsync a batch of 256: events a second
//! resume EVENTS [DIR]      fills a log with so many events, then times locating a cursor and the first replayed byte, also
//!                          for a topic with ten events among all
//! ```

#![allow(
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark prints its figures"
)]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use tidewire_core::{Cursor, Matcher, MatcherSet, Position, Topic};
use tidewire_log::{Append, Event, Locate, Log, Read, ReadAsk, Start};
use tidewire_log_disk::{DiskConfig, DiskLog, Durability};

const BATCH: u64 = 256;
const NOW_MS: u64 = 1_795_250_000_000;

fn main() {
    let args: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let number = |at: usize| args.get(at).and_then(|text| text.parse::<u64>().ok());
    let dir = args.get(2).map(PathBuf::from);
    match args.first().map(String::as_str) {
        Some("append") => append(number(1).unwrap_or(1_000_000), dir),
        Some("resume") => resume(number(1).unwrap_or(10_000), dir),
        _ => {
            append(200_000, None);
            resume(10_000, None);
        }
    }
}

fn topic(name: &str) -> Topic {
    Topic::parse(name).expect("a topic")
}

fn events(topics: &[Topic], first: u64) -> Vec<Event> {
    let data = "x".repeat(200);
    (first..first + BATCH)
        .map(|n| {
            Event::new(
                topics[n as usize % topics.len()].clone(),
                data.clone(),
                NOW_MS + n / 1000,
            )
        })
        .collect()
}

fn scratch(dir: Option<PathBuf>) -> (PathBuf, Option<tempfile::TempDir>) {
    match dir {
        Some(dir) => (dir, None),
        None => {
            let temporary = tempfile::tempdir().expect("a directory");
            (temporary.path().to_owned(), Some(temporary))
        }
    }
}

fn append(count: u64, dir: Option<PathBuf>) {
    let (dir, _kept) = scratch(dir);
    let topics: Vec<_> = (0..1000)
        .map(|n| topic(&format!("https://example.com/topics/{n}")))
        .collect();
    // A group is a batch: the next one is handed over when the one before it was acknowledged, as a publisher does that
    // waits; and then with all batches handed over at once.
    for (name, together) in [("one batch a fsync", false), ("batches as they come", true)] {
        let mut config = DiskConfig::new(NOW_MS, [1, 2]);
        config.durability = Durability::Sync;
        let path = dir.join(name.replace(' ', "-"));
        let log = DiskLog::open(&path, config).expect("a log");
        let (acked, answers) = sync_channel(1024);
        let begin = Instant::now();
        let mut waiting = 0;
        for batch in 0..count / BATCH {
            let acked = acked.clone();
            log.append(Append {
                events: events(&topics, batch * BATCH),
                ack: Box::new(move |stored| drop(acked.send(stored.map(|stored| stored.len())))),
            });
            waiting += 1;
            while waiting > if together { 64 } else { 0 } {
                answers.recv().expect("an answer").expect("stored");
                waiting -= 1;
            }
        }
        while waiting > 0 {
            answers.recv().expect("an answer").expect("stored");
            waiting -= 1;
        }
        let took = begin.elapsed();
        let bounds = log.bounds();
        println!(
            "append, {name}: {} events in {took:.2?}: {:.0} events/s, {:.1} MB/s, {:.2} bytes on disk for one of data",
            bounds.records,
            bounds.records as f64 / took.as_secs_f64(),
            bounds.bytes as f64 / took.as_secs_f64() / 1e6,
            bounds.bytes as f64 / (bounds.records * 200) as f64,
        );
        drop(log);
        std::fs::remove_dir_all(path).expect("removed");
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn locate(log: &DiskLog, start: Start, routing: MatcherSet) -> Position {
    let (done, located) = channel();
    log.locate(Locate {
        start,
        routing,
        done: Box::new(move |found| done.send(found).expect("somebody waits")),
    });
    located.recv().expect("located").from
}

/// Reads until the first record of one of the topics is there.
fn first_record(
    log: &DiskLog,
    mut from: Position,
    topics: Option<&[&[u8]]>,
    waker: &Waker,
) -> Position {
    loop {
        let ask = ReadAsk {
            from,
            topics,
            bytes_max: 64 * 1024,
            records_max: 256,
        };
        match log.read(&ask, waker) {
            Read::Loading => std::thread::park_timeout(Duration::from_secs(1)),
            Read::Batch(batch) => {
                let found = batch.records().find(|item| {
                    topics.is_none_or(|wanted| {
                        item.record().topics().any(|topic| wanted.contains(&topic))
                    })
                });
                if let Some(item) = found {
                    black_box(item.record().frame().chunk());
                    return item.position();
                }
                from = batch.next();
            }
            other => panic!("{other:?}"),
        }
    }
}

fn resume(count: u64, dir: Option<PathBuf>) {
    let (dir, _kept) = scratch(dir);
    let mut config = DiskConfig::new(NOW_MS, [1, 2]);
    config.durability = Durability::Memory;
    let log = DiskLog::open(&dir, config.clone()).expect("a log");
    let topics: Vec<_> = (0..1000)
        .map(|n| topic(&format!("https://example.com/topics/{n}")))
        .collect();
    let rare = topic("https://example.com/rare");
    let begin = Instant::now();
    let (acked, answers) = sync_channel(1024);
    let every = count.div_ceil(BATCH) / 10;
    let mut rare_at = Vec::new();
    for batch in 0..count.div_ceil(BATCH) {
        let mut events = events(&topics, batch * BATCH);
        if batch % every.max(1) == every / 2 && rare_at.len() < 10 {
            events[100].topics = vec![rare.clone()];
            rare_at.push(Position(batch * BATCH + 101));
        }
        let acked = acked.clone();
        log.append(Append {
            events,
            ack: Box::new(move |stored| drop(acked.send(stored.map(|stored| stored.len())))),
        });
        if batch >= 64 {
            answers.recv().expect("an answer").expect("stored");
        }
    }
    log.close().expect("closed");
    println!("resume: {count} events stored in {:.2?}", begin.elapsed());
    drop(log);
    config.durability = Durability::Sync;
    // Nothing stays in the log's own caches, or the smaller log would win by being in them whole.
    config.cold_bytes_max = 0;
    let begin = Instant::now();
    let log = DiskLog::open(&dir, config).expect("a log");
    println!("resume: opened in {:.2?}", begin.elapsed());
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let epoch = log.bounds().epoch;
    let tail = log.bounds().tail.0;
    let mut place = 7_u64;
    // One cursor after the other, and then as one comes in a day's work: other work has had the processor's caches before. In a
    // tight loop a small log lies in those caches whole, which says nothing about the log.
    let mut other_work = vec![1_u8; 64 << 20];
    for (name, samples, alone) in [
        ("in a tight loop", 2000, true),
        ("after other work", 400, false),
    ] {
        let mut took = Vec::new();
        for _ in 0..samples {
            place = place
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let seen = Position((place >> 20) % (tail - 1));
            if !alone {
                other_work
                    .iter_mut()
                    .step_by(64)
                    .for_each(|byte| *byte = byte.wrapping_add(1));
                black_box(&other_work);
            }
            let begin = Instant::now();
            let from = locate(
                &log,
                Start::After(Cursor::new(epoch, seen)),
                MatcherSet::any(),
            );
            let got = first_record(&log, from, None, &waker);
            took.push(begin.elapsed());
            assert_eq!(got, seen.next());
        }
        report(
            &format!("a cursor anywhere, and its first event, {name}"),
            &mut took,
        );
    }
    let routing = MatcherSet::from_iter([Matcher::Exact(rare.clone())]);
    let wanted: [&[u8]; 1] = [rare.as_bytes()];
    let (mut first, mut all, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..200 {
        let begin = Instant::now();
        let from = locate(
            &log,
            Start::After(Cursor::new(epoch, Position(0))),
            routing.clone(),
        );
        let mut got = vec![first_record(&log, from, Some(&wanted), &waker)];
        first.push(begin.elapsed());
        while got.len() < rare_at.len() {
            let from = got[got.len() - 1].next();
            got.push(first_record(&log, from, Some(&wanted), &waker));
        }
        all.push(begin.elapsed());
        assert_eq!(got, rare_at);
        let begin = Instant::now();
        let from = locate(&log, Start::Last(1), routing.clone());
        let got = first_record(&log, from, Some(&wanted), &waker);
        last.push(begin.elapsed());
        assert_eq!(got, rare_at[rare_at.len() - 1]);
    }
    report(
        "a topic with ten events: from the oldest, its first event",
        &mut first,
    );
    report("a topic with ten events: all of them", &mut all);
    report("a topic with ten events: last:1, and that event", &mut last);
}

fn report(name: &str, took: &mut [Duration]) {
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    println!(
        "resume, {name}: median {:.1?}, 99 % {:.1?}, worst {:.1?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
