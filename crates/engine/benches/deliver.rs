//! What the engine itself costs: deliveries to sinks that do nothing, wakes, and memory a subscriber. No sockets.
//!
//! `cargo bench -p tidewire-engine --no-default-features --bench deliver`

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use tidewire_core::{Filter, Form, Frame, Matcher, MatcherSet, Position, Topic};
use tidewire_engine::{Checkpoint, Feed, Offer, Shard, ShardConfig, Sink, Subscription};
use tidewire_log::{Append, Event, MemoryConfig, MemoryLog};

struct NoSink;

impl Sink for NoSink {
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer {
        std::hint::black_box(frames);
        Offer::Taken
    }
}

fn topic(number: usize) -> Topic {
    Topic::parse(&format!("https://example.com/users/{number}")).unwrap()
}

fn feed() -> Arc<Feed> {
    Feed::new(Arc::new(MemoryLog::new(MemoryConfig::default())))
}

fn wants(feed: &Arc<Feed>, topic: Topic, from: Position) -> Subscription {
    Subscription {
        feed: Arc::clone(feed),
        filter: Filter {
            routing: [Matcher::Exact(topic)].into_iter().collect(),
            private: MatcherSet::default(),
        },
        from,
        gap: None,
        form: Form::EventStream,
        checkpoint: Checkpoint::Event,
        stream: "0123456789abcdef".to_owned(),
        ends_ms: None,
        marks: tidewire_engine::Marks::NONE,
        seen_as: 0,
    }
}

fn publish(feed: &Feed, topics: impl Iterator<Item = usize>) {
    let event = |number| Event::new(topic(number), "x".repeat(200), 1);
    feed.log().append(Append {
        events: topics.map(event).collect(),
        ack: Box::new(|answer| drop(answer.unwrap())),
    });
}

fn shard() -> Shard<NoSink> {
    Shard::new(ShardConfig::default(), 7, Waker::noop().clone())
}

fn run(shard: &mut Shard<NoSink>) {
    while shard.step(1).again {}
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}

/// `count` subscribers on `topics` topics; `events` events in appends of `group`.
fn deliver(name: &str, count: usize, topics: usize, events: usize, group: usize) {
    let feed = feed();
    let mut shard = shard();
    for number in 0..count {
        shard.join(
            0,
            wants(&feed, topic(number % topics), Position::FIRST),
            NoSink,
        );
    }
    run(&mut shard);
    let mut spent = std::time::Duration::ZERO;
    for first in (0..events).step_by(group) {
        publish(&feed, (first..first + group).map(|number| number % topics));
        let begin = Instant::now();
        run(&mut shard);
        spent += begin.elapsed();
    }
    let counters = shard.counters();
    let (deliveries, writes) = (counters.deliveries as f64, counters.offers as f64);
    println!(
        "{name}: {:.1} M deliveries/s, {:.0} ns a delivery, {:.0} ns a write",
        deliveries / spent.as_secs_f64() / 1e6,
        spent.as_secs_f64() * 1e9 / deliveries,
        spent.as_secs_f64() * 1e9 / (writes - count as f64),
    );
}

/// `count` subscribers that come back at once to the same `events` missed events.
fn replay(count: usize, events: usize) {
    let feed = feed();
    publish(&feed, (0..events).map(|_| 0));
    let mut shard = shard();
    for _ in 0..count {
        shard.join(0, wants(&feed, topic(0), Position::FIRST), NoSink);
    }
    let begin = Instant::now();
    run(&mut shard);
    let counters = shard.counters();
    println!(
        "{count} readers replay {events} events: {:.1} M deliveries/s in {} reads, {} writes",
        counters.deliveries as f64 / begin.elapsed().as_secs_f64() / 1e6,
        counters.reads_batch,
        counters.offers,
    );
}

fn memory(count: usize, topics: usize) {
    let feed = feed();
    let mut shard = shard();
    let before = resident_bytes();
    let begin = Instant::now();
    for number in 0..count {
        shard.join(
            0,
            wants(&feed, topic(number % topics), Position::FIRST),
            NoSink,
        );
    }
    run(&mut shard);
    let joined = begin.elapsed();
    let bytes = resident_bytes() - before;
    let begin = Instant::now();
    publish(&feed, std::iter::once(0));
    run(&mut shard);
    let first = begin.elapsed();
    let begin = Instant::now();
    for (_, _) in shard.drain() {}
    println!(
        "{count} subscribers on {topics} topics: {} bytes each without a sink, join {:.0} ns, leave {:.0} ns, an event {:.0} us",
        bytes / count,
        joined.as_secs_f64() * 1e9 / count as f64,
        begin.elapsed().as_secs_f64() * 1e9 / count as f64,
        first.as_secs_f64() * 1e6,
    );
}

/// Many shards of one, as the portable driver has them.
fn shards_of_one(count: usize) {
    let feed = feed();
    let before = resident_bytes();
    let mut shards: Vec<_> = (0..count).map(|_| shard()).collect();
    for (number, shard) in shards.iter_mut().enumerate() {
        shard.join(0, wants(&feed, topic(number), Position::FIRST), NoSink);
        run(shard);
    }
    let bytes = resident_bytes() - before;
    let begin = Instant::now();
    publish(&feed, std::iter::once(count / 2));
    println!(
        "{count} shards of one: {} bytes each, a commit that concerns one {:.1} us",
        bytes / count,
        begin.elapsed().as_secs_f64() * 1e6,
    );
}

fn main() {
    shards_of_one(20_000);
    memory(1_000_000, 1_000_000);
    memory(1_000_000, 1);
    deliver("10,000 on one topic, one event a step", 10_000, 1, 1000, 1);
    deliver(
        "10,000 on one topic, 16 events a step",
        10_000,
        1,
        16_000,
        16,
    );
    deliver(
        "10,000 on 10,000 topics, one event a step",
        10_000,
        10_000,
        100_000,
        1,
    );
    deliver(
        "10,000 on 10,000 topics, 256 events a step",
        10_000,
        10_000,
        1_024_000,
        256,
    );
    deliver(
        "10,000 on 16 topics, 16 events a step",
        10_000,
        16,
        16_000,
        16,
    );
    replay(10_000, 1000);
}
