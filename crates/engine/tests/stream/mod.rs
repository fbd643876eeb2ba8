//! What the drivers' tests share: a memory log to publish to, and what a client makes of the bytes it got.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;

use tidewire_codec::{Decoder, ItemRef};
use tidewire_core::{Filter, Form, MatcherSet, Position, Topic};
use tidewire_engine::{Checkpoint, Feed, ShardConfig, Subscription};
use tidewire_log::{Append, Event, MemoryConfig, MemoryLog};

pub(crate) fn feed() -> Arc<Feed> {
    Feed::new(Arc::new(MemoryLog::new(MemoryConfig::default())))
}

/// No heartbeat and no end, unless a test asks.
pub(crate) fn config() -> ShardConfig {
    ShardConfig {
        heartbeat_ms: 0,
        stream_life_ms: 0,
        ..ShardConfig::default()
    }
}

pub(crate) fn subscription(feed: &Arc<Feed>, from: Position) -> Subscription {
    Subscription {
        feed: Arc::clone(feed),
        filter: Filter {
            routing: MatcherSet::any(),
            private: MatcherSet::any(),
        },
        from,
        gap: None,
        form: Form::EventStream,
        checkpoint: Checkpoint::Event,
        stream: "test".to_owned(),
        ends_ms: None,
        marks: tidewire_engine::Marks::NONE,
        seen_as: 0,
    }
}

/// Publishes events numbered from `first`, each filled up to about `bytes` bytes.
pub(crate) fn publish(feed: &Feed, numbers: std::ops::Range<usize>, bytes: usize) {
    let event = |number| {
        let fill = "x".repeat(bytes);
        Event::new(Topic::parse("t").unwrap(), format!("{number} {fill}"), 1)
    };
    feed.log().append(Append {
        events: numbers.map(event).collect(),
        ack: Box::new(|answer| drop(answer.unwrap())),
    });
}

/// What a client made of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The events' numbers, in order.
    pub(crate) numbers: Vec<usize>,
    /// The control events' types, in order.
    pub(crate) controls: Vec<String>,
    /// The stream ended inside a block.
    pub(crate) torn: bool,
}

pub(crate) fn decode(body: &[u8]) -> Seen {
    let mut seen = Seen::default();
    let mut decoder = Decoder::new();
    decoder.feed(body);
    while let Some(item) = decoder.next_item().unwrap() {
        match item {
            ItemRef::Event(event) if event.event_type.starts_with("tidewire.") => {
                seen.controls.push(event.event_type.to_owned());
            }
            ItemRef::Event(event) => {
                let number = event.data.split(' ').next().unwrap();
                seen.numbers.push(number.parse().unwrap());
            }
            ItemRef::Comment(_) | ItemRef::Retry(_) => {}
        }
    }
    seen.torn = !body.is_empty() && !body.ends_with(b"\n\n");
    seen
}

/// The body of a chunked response, and whether it ended with the last chunk and nothing after it.
pub(crate) fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
            assert!(bytes.len() < 10, "a chunk head is short");
            return (body, false);
        };
        let size = std::str::from_utf8(&bytes[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        let rest = &bytes[line + 2..];
        if rest.len() < size + 2 {
            body.extend_from_slice(&rest[..size.min(rest.len())]);
            return (body, false);
        }
        assert_eq!(&rest[size..size + 2], b"\r\n", "a chunk ends where it says");
        if size == 0 {
            return (body, rest.len() == 2);
        }
        body.extend_from_slice(&rest[..size]);
        bytes = &rest[size + 2..];
    }
}
