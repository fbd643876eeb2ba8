//! What hostile patterns cost everyone else: the time from an append to the delivery to a plain subscriber, while publishers bring
//! ever new topics and a thousand others subscribe to patterns that are costly to try. No sockets.
//!
//! `cargo bench -p tidewire-engine --no-default-features --bench patterns`

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use tidewire_core::{Filter, Form, Frame, Matcher, MatcherSet, Patterns, Position, Topic};
use tidewire_engine::{Checkpoint, Feed, Marks, Offer, Shard, ShardConfig, Sink, Subscription};
use tidewire_log::{Append, Event, MemoryConfig, MemoryLog};

/// Counts what it was offered.
struct CountSink(Arc<AtomicU64>);

impl Sink for CountSink {
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer {
        self.0.fetch_add(frames.len() as u64, Ordering::Relaxed);
        Offer::Taken
    }
}

fn wants(feed: &Arc<Feed>, matcher: Matcher) -> Subscription {
    Subscription {
        feed: Arc::clone(feed),
        filter: Filter {
            routing: [matcher].into_iter().collect(),
            private: MatcherSet::default(),
        },
        from: Position::FIRST,
        gap: None,
        form: Form::EventStream,
        checkpoint: Checkpoint::Off,
        stream: String::new(),
        ends_ms: None,
        marks: Marks::NONE,
        seen_as: 0,
    }
}

fn publish(feed: &Feed, topic: &str) {
    feed.log().append(Append {
        events: vec![Event::new(Topic::parse(topic).unwrap(), "x".repeat(200), 1)],
        ack: Box::new(|answer| drop(answer.unwrap())),
    });
}

/// Patterns without a literal to find them by, each different, all of which have to look at the whole topic.
fn hostile(patterns: &Patterns, kind: &str, n: usize) -> Option<Matcher> {
    let text = match kind {
        "groups" => format!("*://*/((?:[a-z]|\\d)*)/((?:a|b|\\d)*x{n}|(?:ab|ba|c)*y)"),
        "alternation" => {
            let words: Vec<_> = (0..40).map(|w| format!("w{n}x{w}")).collect();
            format!("*://*/*({})", words.join("|"))
        }
        "wildcards" => format!("*://*/*e*s*1*{n}x"),
        "queries" => format!("https://example.com/users/:id\\?a{n}=*&*b{n}"),
        "templates" => format!("{}{{n{n}}}!{n}", "{+a}{b*}/{/c*}".repeat(8)),
        _ => return None,
    };
    let made = match kind {
        "templates" => patterns.selector(&text),
        _ => patterns.url_pattern(&text),
    };
    Some(made.unwrap())
}

fn percentile(times: &mut [Duration], of: f64) -> f64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * of) as usize].as_secs_f64() * 1e6
}

/// What this thread has had of the processor: others on the machine do not count.
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or_default())
}

/// Three publishes of topics that never were, and what the shard does for them until it rests or has taken some steps; then one for the
/// plain subscriber. It waits for the step that runs when its event comes, and for its own.
fn measure(kind: &str, topic_bytes: usize) {
    let patterns = Patterns::default();
    let feed = Feed::new(Arc::new(MemoryLog::new(MemoryConfig::default())));
    let mut shard = Shard::new(ShardConfig::default(), 7, Waker::noop().clone());
    let [plain, others] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let exact = Matcher::Exact(Topic::parse("https://example.com/plain").unwrap());
    shard.join(0, wants(&feed, exact), CountSink(Arc::clone(&plain)));
    for n in 0..1000 {
        if let Some(matcher) = hostile(&patterns, kind, n) {
            shard.join(0, wants(&feed, matcher), CountSink(Arc::clone(&others)));
        }
    }
    while shard.step(1).again {}
    let (mut own, mut others_steps, mut appends) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        for topic in 0..3 {
            let name = format!("https://example.com/users/{}", number * 3 + topic);
            let pad = "a".repeat(topic_bytes.saturating_sub(name.len()));
            let before = spent();
            publish(&feed, &format!("{name}{pad}"));
            appends.push(spent() - before);
        }
        for _ in 0..20 {
            let before = spent();
            let again = shard.step(1).again;
            others_steps.push(spent() - before);
            if !again {
                break;
            }
        }
        let had = plain.load(Ordering::Relaxed);
        let before = spent();
        publish(&feed, "https://example.com/plain");
        let _ = shard.step(1);
        own.push(spent() - before);
        assert_eq!(plain.load(Ordering::Relaxed), had + 1, "in its first step");
    }
    let begin = spent();
    while shard.step(1).again {}
    let left = spent() - begin;
    let cold = cold(&feed, &mut shard, topic_bytes);
    println!(
        "| {kind} | {topic_bytes} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {:.0} | {cold:.0} |",
        percentile(&mut own, 0.5),
        percentile(&mut own, 0.99),
        percentile(&mut others_steps, 0.99),
        percentile(&mut appends, 0.5),
        patterns.bytes() >> 10,
        (others_steps.iter().sum::<Duration>() + left).as_secs_f64() * 1e6 / (3 * ROUNDS) as f64,
    );
}

const ROUNDS: usize = 1000;

/// Processor time of a new topic, in microseconds, where other things have driven the patterns out of the processor's nearest memory, as
/// deliveries over sockets do in a hub.
fn cold(feed: &Feed, shard: &mut Shard<CountSink>, topic_bytes: usize) -> f64 {
    const TOPICS: u32 = 300;
    let mut others = vec![1_u8; 8 << 20];
    let mut time = |publishes: bool| {
        let begin = spent();
        for number in 0..TOPICS {
            for line in others.chunks_mut(64) {
                line[0] = line[0].wrapping_mul(3);
            }
            if publishes {
                let name = format!("https://example.com/cold/{number}");
                let pad = "a".repeat(topic_bytes.saturating_sub(name.len()));
                publish(feed, &format!("{name}{pad}"));
                while shard.step(1).again {}
            }
        }
        (spent() - begin).as_secs_f64() * 1e6 / f64::from(TOPICS)
    };
    time(true) - time(false)
}

fn main() {
    println!(
        "| patterns | topic's bytes | own step p50, us | p99 | another's step p99 | append p50 | patterns' KiB | us a new topic | us a new topic, cold |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for topic_bytes in [48, 1024] {
        for kind in [
            "none",
            "groups",
            "alternation",
            "wildcards",
            "queries",
            "templates",
        ] {
            measure(kind, topic_bytes);
        }
    }
}
