//! Shards: where subscribers live.

use std::task::Waker;

use slab::Slab;
use tidewire_core::Position;
use tidewire_log::control::Control;
use tidewire_log::{Read, ReadAsk};

use crate::{
    Checkpoint, Counters, EndReason, Ended, Offer, Sink, Step, SubscriberKey, Subscription,
};

/// What a shard is told at its making; times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// A stream that was silent for this long gets a heartbeat; 0: never.
    pub heartbeat_ms: u64,
    /// A stream's greatest life; it gets 80 to 100 % of this; 0: no limit.
    pub stream_life_ms: u64,
    /// A sink that is full for this long is ended.
    pub stall_deadline_ms: u64,
    /// How long before its end a grant's end is told.
    pub expiring_ms: u64,
    /// Records that a step reads for the tail, and again for those behind.
    pub step_records_max: usize,
    /// Bytes of records that a step reads for the tail, and again for those behind; at least one record is read.
    pub step_bytes_max: usize,
    /// Frames that a step delivers to the tail, and again to those behind; at least one record is delivered.
    pub step_matches_max: usize,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            heartbeat_ms: 15_000,
            stream_life_ms: 3_600_000,
            stall_deadline_ms: 60_000,
            expiring_ms: 30_000,
            step_records_max: 256,
            step_bytes_max: 256 * 1024,
            step_matches_max: 256 * 1024,
        }
    }
}

struct Subscriber<S> {
    subscription: Subscription,
    sink: S,
    next: Position,
    opened: bool,
    full: bool,
}

/// Where subscribers live: one thread, one connection or one stream drives it.
pub struct Shard<S> {
    waker: Waker,
    subscribers: Slab<Subscriber<S>>,
    ended: Vec<Ended<S>>,
    counters: Counters,
}

impl<S: Sink> Shard<S> {
    /// An empty shard. The seed jitters and hashes; the waker is woken when a step is worth taking.
    #[must_use]
    pub fn new(_config: ShardConfig, _seed: u64, waker: Waker) -> Self {
        Self {
            waker,
            subscribers: Slab::new(),
            ended: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Adds a subscriber; take a step afterwards.
    pub fn join(&mut self, _now_ms: u64, subscription: Subscription, sink: S) -> SubscriberKey {
        self.counters.subscribers += 1;
        let next = subscription.from;
        let index = self.subscribers.insert(Subscriber {
            subscription,
            sink,
            next,
            opened: false,
            full: false,
        });
        SubscriberKey::from(index as u64)
    }

    /// Takes a subscriber out, without a word to it; `None` if it is gone already.
    pub fn leave(&mut self, key: SubscriberKey) -> Option<S> {
        let index = usize::try_from(u64::from(key)).ok()?;
        Some(self.subscribers.try_remove(index)?.sink)
    }

    /// A sink that was full can take more; take a step afterwards.
    pub fn handle_writable(&mut self, _now_ms: u64, key: SubscriberKey) {
        if let Some(s) = self.subscribers.get_mut(u64::from(key) as usize) {
            s.full = false;
        }
    }

    /// Does what is due, within the budget.
    pub fn step(&mut self, _now_ms: u64) -> Step<S> {
        let mut gone = Vec::new();
        for (index, s) in &mut self.subscribers {
            let log = s.subscription.feed.log().clone();
            if s.full {
                continue;
            }
            if !std::mem::replace(&mut s.opened, true)
                && s.subscription.checkpoint == Checkpoint::Event
            {
                let open = Control::Open {
                    stream: &s.subscription.stream,
                    at: log.cursor_at(s.next),
                };
                s.sink
                    .offer(&[open.encode(s.subscription.form).frame()]);
            }
            let ask = ReadAsk {
                from: s.next,
                topics: None,
                bytes_max: 1 << 16,
                records_max: 64,
            };
            match log.read(&ask, &self.waker) {
                Read::Batch(batch) => {
                    for item in batch.records() {
                        let record = item.record();
                        if !s.subscription.filter.accepts(record.topics(), record.private()) {
                            continue;
                        }
                        match s.sink.offer(&[item.frame(s.subscription.form)]) {
                            Offer::Taken => self.counters.deliveries += 1,
                            Offer::Full { .. } => s.full = true,
                            Offer::Closed => gone.push(index),
                        }
                    }
                    s.next = batch.next();
                }
                Read::Gap(gap) => s.next = gap.resume,
                Read::AtTail | Read::Loading => {}
            }
        }
        for index in gone {
            if let Some(s) = self.subscribers.try_remove(index) {
                self.ended.push(Ended {
                    key: SubscriberKey::from(index as u64),
                    sink: s.sink,
                    reason: EndReason::Closed,
                    delivered: 0,
                });
            }
        }
        Step {
            again: false,
            wake_at_ms: None,
            ended: std::mem::take(&mut self.ended),
        }
    }

    /// Ends one subscriber, between frames; the next step hands out its sink.
    pub fn end(&mut self, _now_ms: u64, key: SubscriberKey, reason: EndReason) {
        if let Some(sink) = self.leave(key) {
            self.ended.push(Ended { key, sink, reason, delivered: 0 });
        }
    }

    /// Ends every subscriber, between frames; the next step hands out their sinks.
    pub fn end_all(&mut self, _now_ms: u64, reason: EndReason) {
        for (index, s) in self.subscribers.drain().enumerate() {
            self.ended.push(Ended {
                key: SubscriberKey::from(index as u64),
                sink: s.sink,
                reason,
                delivered: 0,
            });
        }
    }

    /// The sink of a subscriber, for whoever drives it.
    pub fn sink_mut(&mut self, key: SubscriberKey) -> Option<&mut S> {
        let s = self.subscribers.get_mut(usize::try_from(u64::from(key)).ok()?)?;
        Some(&mut s.sink)
    }

    /// How many events' frames a subscriber's sink took; 0 if it is gone.
    #[must_use]
    pub fn delivered(&self, _key: SubscriberKey) -> u64 {
        0
    }

    /// Whether it has no subscriber.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Takes every subscriber out without a word to it; its sink, and how many events' frames that took.
    pub fn drain(&mut self) -> impl Iterator<Item = (S, u64)> {
        std::mem::take(&mut self.subscribers).into_iter().map(|(_, s)| (s.sink, 0))
    }

    /// What it did.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
