//! Commits on other threads: no wake is lost, and nothing between a join and its first read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tidewire_core::{Filter, Form, Frame, Matcher, MatcherSet, Position, Topic};
use tidewire_engine::{Checkpoint, Feed, Offer, Shard, ShardConfig, Sink, Subscription};
use tidewire_log::{Append, Event, MemoryConfig, MemoryLog, Read, ReadAsk};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Keeps the numbers that it was given.
struct Numbers(Arc<Mutex<Vec<u64>>>);

impl Sink for Numbers {
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer {
        for frame in frames {
            let text = std::str::from_utf8(frame.bare()).unwrap();
            let data = text.lines().find_map(|line| line.strip_prefix("data: "));
            self.0.lock().unwrap().push(data.unwrap().parse().unwrap());
        }
        Offer::Taken
    }
}

fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

fn publish(feed: &Feed, name: &str, number: u64) {
    feed.log().append(Append {
        events: vec![Event::new(topic(name), number.to_string(), 1)],
        ack: Box::new(|answer| drop(answer.unwrap())),
    });
}

/// Publishes to "a" one by one, each after somebody got the one before or after a while, among noise; until told to stop.
fn publisher(feed: &Feed, stop: &AtomicBool, seen: &AtomicU64) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        for noise in 0..number % 4 {
            publish(feed, "noise", noise);
        }
        publish(feed, "a", number);
        let begin = Instant::now();
        let patience = Duration::from_micros(10 * (number % 30));
        while seen.load(Ordering::Relaxed) < number && begin.elapsed() < patience {
            std::hint::spin_loop();
        }
    }
}

/// Which numbers a subscriber of "a" has to see from a position on.
fn stored(feed: &Feed, from: Position, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut from = from;
    while numbers.len() < count {
        let ask = ReadAsk {
            from,
            topics: None,
            bytes_max: usize::MAX,
            records_max: count * 8,
        };
        let Read::Batch(batch) = feed.log().read(&ask, Waker::noop()) else {
            panic!("it was delivered, so it is stored");
        };
        for item in batch.records() {
            let record = item.record();
            if record.topics().next() == Some(b"a") {
                let text = std::str::from_utf8(record.frame().bare()).unwrap();
                let data = text.split("data: ").nth(1).unwrap();
                numbers.push(data.trim_end().parse().unwrap());
            }
        }
        from = batch.next();
    }
    numbers.truncate(count);
    numbers
}

/// Joins subscribers at the tail, one after another with one that stays, and waits for each to get a few events.
fn reader(feed: &Arc<Feed>, rounds: usize, seen: &AtomicU64) {
    let config = ShardConfig {
        heartbeat_ms: 0,
        stream_life_ms: 0,
        ..ShardConfig::default()
    };
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut shard = Shard::new(config, 5, waker);
    let idle = subscription(feed, "nobody's");
    shard.join(0, idle, Numbers(Arc::default()));
    for round in 0..rounds {
        let numbers = Arc::new(Mutex::new(Vec::new()));
        let wants = subscription(feed, "a");
        let from = wants.from;
        let key = shard.join(0, wants, Numbers(Arc::clone(&numbers)));
        let count = 1 + round % 4;
        while numbers.lock().unwrap().len() < count {
            if shard.step(0).again {
                continue;
            }
            if let Some(last) = numbers.lock().unwrap().last() {
                seen.fetch_max(*last, Ordering::Relaxed);
            }
            let begin = Instant::now();
            std::thread::park_timeout(Duration::from_secs(20));
            assert!(begin.elapsed() < Duration::from_secs(10), "a wake was lost");
        }
        shard.leave(key).unwrap();
        let numbers = numbers.lock().unwrap();
        assert_eq!(*numbers, stored(feed, from, numbers.len()), "round {round}");
    }
}

fn subscription(feed: &Arc<Feed>, name: &str) -> Subscription {
    Subscription {
        feed: Arc::clone(feed),
        filter: Filter {
            routing: [Matcher::Exact(topic(name))].into_iter().collect(),
            private: MatcherSet::default(),
        },
        from: feed.log().bounds().tail,
        gap: None,
        form: Form::EventStream,
        checkpoint: Checkpoint::Off,
        stream: String::new(),
        ends_ms: None,
        marks: tidewire_engine::Marks::NONE,
        seen_as: 0,
    }
}

#[test]
fn joins_beside_commits_lose_neither_wakes_nor_events() {
    let feed = Feed::new(Arc::new(MemoryLog::new(MemoryConfig::default())));
    let (stop, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| publisher(&feed, &stop, &seen));
        let readers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| reader(&feed, 1500, &seen)))
            .collect();
        let done: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        stop.store(true, Ordering::Relaxed);
        done.into_iter().for_each(|done| done.unwrap());
    });
}
