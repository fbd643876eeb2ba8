//! The memory log: events a second appended, records a second read, and what it costs to locate a cursor, an id, a time
//! and the last events of a rare topic among ten thousand and a million. One table on stdout.
//! `cargo bench -p tidewire-log`.

#![allow(
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark prints its table"
)]

use std::hint::black_box;
use std::sync::mpsc::channel;
use std::task::Waker;
use std::time::{Duration, Instant};

use tidewire_codec::EventId;
use tidewire_core::{Form, Matcher, MatcherSet, Topic};
use tidewire_log::{
    Append, Event, Locate, Located, Log, MemoryConfig, MemoryLog, Read, ReadAsk, Retention, Start,
};

const RUN: Duration = Duration::from_millis(300);
const RUNS: usize = 5;

fn main() {
    println!("{:<58} {:>14}", "append, 200 bytes of data", "events/s");
    for group in [1, 256] {
        for (threads, kept) in [(1, None), (1, Some(10_000)), (2, None)] {
            let name = format!("group of {group}, {threads} publisher(s), keeping {kept:?}");
            println!("{name:<58} {:>14.0}", appended(group, threads, kept));
        }
    }
    for records in [10_000, 1_000_000] {
        let log = filled(records);
        println!("\n{:<58} {:>14}", format!("with {records} records"), "");
        println!("{:<58} {:>14.0}", "read all, records/s", read_all(&log));
        for (name, start) in starts(&log, records) {
            let ns = best(|| {
                black_box(locate(&log, &start));
            });
            println!("{:<58} {ns:>11.0} ns", format!("locate {name}"));
        }
        let ns = best(|| {
            let from = locate(&log, &Start::Head).from;
            black_box(read(&log, from, Some(&[b"rare"]), 100));
        });
        println!(
            "{:<58} {ns:>11.0} ns",
            "replay of a topic with ten events, from the head"
        );
        let tail = locate(&log, &Start::Last(1)).from;
        let ns = best(|| {
            black_box(read(&log, tail, None, 100));
        });
        println!("{:<58} {ns:>11.0} ns", "read the newest record");
        let middle = locate(
            &log,
            &Start::AfterId(format!("id/{}", records / 2 / 100 * 100)),
        )
        .from;
        let ns = best(|| {
            black_box(read(&log, middle, None, 1));
        });
        println!("{:<58} {ns:>11.0} ns", "read one record in the middle");
    }
}

fn event(n: u64) -> Event {
    let name = match n % 100_000 {
        1234 => "rare".to_owned(),
        _ => format!("topic/{}", n % 1000),
    };
    let mut event = Event::new(Topic::parse(&name).expect("a topic"), "x".repeat(200), n);
    if n.is_multiple_of(100) {
        event.id = Some(EventId::parse(&format!("id/{n}")).expect("an id"));
    }
    event
}

fn log(count: Option<u64>) -> MemoryLog {
    MemoryLog::new(MemoryConfig {
        retention: Retention {
            count,
            ..Retention::default()
        },
        ..MemoryConfig::default()
    })
}

fn append(log: &MemoryLog, events: Vec<Event>) {
    log.append(Append {
        events,
        ack: Box::new(|stored| drop(black_box(stored))),
    });
}

/// Events a second, the best of several runs. Making the events is not counted.
fn appended(group: usize, threads: usize, count: Option<u64>) -> f64 {
    let per_thread = 200_000 / threads;
    let run = || {
        let log = log(count);
        let groups = || {
            let events: Vec<_> = (0..per_thread as u64).map(event).collect();
            let groups = events.chunks(group).map(<[Event]>::to_vec);
            groups.collect::<Vec<_>>()
        };
        let inputs: Vec<_> = (0..threads).map(|_| groups()).collect();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for groups in inputs {
                let log = &log;
                scope.spawn(move || groups.into_iter().for_each(|group| append(log, group)));
            }
        });
        (per_thread * threads) as f64 / begun.elapsed().as_secs_f64()
    };
    (0..RUNS).map(|_| run()).fold(0.0, f64::max)
}

/// Ten events of the rare topic among so many, in groups of 16 as live traffic comes.
fn filled(records: u64) -> MemoryLog {
    let log = log(None);
    let rare = records / 10;
    for first in (0..records).step_by(16) {
        let events = (first..(first + 16).min(records)).map(|n| {
            let name = if n % rare == 7 {
                "rare".to_owned()
            } else {
                format!("topic/{}", n % 1000)
            };
            Event {
                topics: vec![Topic::parse(&name).expect("a topic")],
                ..event(n)
            }
        });
        append(&log, events.collect());
    }
    assert_eq!(log.bounds().records, records);
    log
}

fn starts(log: &MemoryLog, records: u64) -> Vec<(&'static str, Start)> {
    let middle = locate(log, &Start::Since(records / 2)).from;
    vec![
        (
            "a cursor in the middle",
            Start::After(log.cursor_at(middle)),
        ),
        (
            "a publisher's id in the middle",
            Start::AfterId(format!("id/{}", records / 2 / 100 * 100)),
        ),
        ("an unknown id", Start::AfterId("unknown".into())),
        ("a time in the middle", Start::Since(records / 2)),
        ("the last 5 of the rare topic", Start::Last(5)),
    ]
}

fn locate(log: &MemoryLog, start: &Start) -> Located {
    let (done, answer) = channel();
    let topic = Topic::parse("rare").expect("a topic");
    log.locate(Locate {
        start: start.clone(),
        routing: MatcherSet::from_iter([Matcher::Exact(topic)]),
        done: Box::new(move |located| done.send(located).expect("somebody waits")),
    });
    answer.recv().expect("a memory log answers at once")
}

fn read(
    log: &MemoryLog,
    from: tidewire_core::Position,
    topics: Option<&[&[u8]]>,
    records_max: usize,
) -> Option<tidewire_log::Batch> {
    let ask = ReadAsk {
        from,
        topics,
        bytes_max: 256 << 10,
        records_max,
    };
    match log.read(&ask, Waker::noop()) {
        Read::Batch(batch) => Some(batch),
        _ => None,
    }
}

/// Records a second, with a look at every byte of every frame's length.
fn read_all(log: &MemoryLog) -> f64 {
    let records = log.bounds().records as f64;
    let ns = best(|| {
        let mut from = log.bounds().head;
        let mut bytes = 0;
        while let Some(batch) = read(log, from, None, usize::MAX) {
            for item in batch.records() {
                bytes += item.frame(Form::EventStream).chunk().len();
            }
            from = batch.next();
        }
        black_box(bytes);
    });
    records * 1e9 / ns
}

/// Nanoseconds a call, the best of several runs.
fn best(mut call: impl FnMut()) -> f64 {
    let mut run = || {
        let begun = Instant::now();
        let mut calls = 0;
        while begun.elapsed() < RUN / 5 || calls == 0 {
            call();
            calls += 1;
        }
        begun.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min)
}
