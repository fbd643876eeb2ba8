//! What hostile patterns cost everyone else: the time from an append to the delivery to a plain subscriber, while publishers bring
//! ever new topics and a thousand others subscribe to patterns that are costly to try. No sockets.
//!
//! `cargo bench -p tidewire-engine --no-default-features --bench patterns`

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

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
        "groups" => format!("*://*/((?:a|b|\\d|user|s|/)*)/(x{n}|((?:ab|ba|c)*)y)"),
        "alternation" => {
            let words: Vec<_> = (0..40).map(|w| format!("w{n}x{w}")).collect();
            format!("*://*/*({})", words.join("|"))
        }
        "wildcards" => format!("*://*/*e*s*1*{n}x"),
        "queries" => format!("https://example.com/users/:id?:a{n}=*&*b{n}"),
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

/// Publishes come one in `gap`; every fourth is for the plain subscriber, the others are of a topic that never was. The shard steps in
/// between as its driver has it.
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
    let gap = Duration::from_micros(200);
    let (mut times, mut begun) = (Vec::new(), Instant::now());
    let mut appends = Duration::ZERO;
    for number in 0..20_000_u64 {
        let due = begun + gap;
        // Until the next publish the shard does what it has to.
        let mut again = true;
        while Instant::now() < due {
            if again {
                again = shard.step(1).again;
            }
        }
        begun = due;
        let before = plain.load(Ordering::Relaxed);
        let is_plain = number % 4 == 0;
        let topic = if is_plain {
            "https://example.com/plain".to_owned()
        } else {
            let name = format!("https://example.com/users/{number}");
            let pad = "a".repeat(topic_bytes.saturating_sub(name.len()));
            format!("{name}{pad}")
        };
        let append = Instant::now();
        publish(&feed, &topic);
        appends += append.elapsed();
        while is_plain && plain.load(Ordering::Relaxed) == before {
            let _ = shard.step(1);
        }
        if is_plain {
            // From when it was due: a step that came in between counts.
            times.push(due.elapsed());
        }
    }
    let begin = Instant::now();
    while shard.step(1).again {}
    println!(
        "{kind}, topics of {topic_bytes} bytes: p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us; an append {:.1} us; the patterns' {} KiB; behind at the end by {:.0} ms",
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99),
        percentile(&mut times, 0.999),
        appends.as_secs_f64() * 1e6 / 20_000.0,
        patterns.bytes() >> 10,
        begin.elapsed().as_secs_f64() * 1e3,
    );
}

fn main() {
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
