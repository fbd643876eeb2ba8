//! Portable: one stream as something to be polled for bytes. A shard of one, run by whoever writes the bytes: the body of an
//! HTTP/2 stream or of a response over TLS, on any platform, inside tokio.
//!
//! It holds no queue: a poll steps the shard and hands out what that step offered, at most about [`POLL_BYTES_MAX`]; whoever
//! does not poll stands still in the log. The stall deadline is then the poller's to keep, for only it sees its socket.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tidewire_core::Frame;

pub use super::Ender;
use super::clock::Alarm;
use super::ender::Shared;
use super::{StreamEnd, now_ms};
use crate::{
    EndReason, Ended, Names, Offer, Shard, ShardConfig, Share, Sink, SubscriberKey, Subscription,
};

/// How many bytes one poll hands out; more only if the first frame alone is larger.
pub const POLL_BYTES_MAX: usize = 64 * 1024;

/// How many steps one poll takes before it lets others run.
const STEPS_MAX: usize = 16;

/// Takes frames until they are handed out.
#[derive(Debug, Default)]
struct BufferSink {
    bytes: Vec<u8>,
    full: bool,
}

impl Sink for BufferSink {
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer {
        for (taken, frame) in frames.iter().enumerate() {
            let bytes = frame.bare();
            if !self.bytes.is_empty() && self.bytes.len() + bytes.len() > POLL_BYTES_MAX {
                self.full = true;
                return Offer::Full { taken };
            }
            self.bytes.extend_from_slice(bytes);
        }
        Offer::Taken
    }
}

/// One subscriber's stream. Must be polled inside a tokio runtime with time. Dropping it leaves the shard.
pub struct PullStream {
    shard: Box<Shard<BufferSink>>,
    /// `None` once the stream is over.
    key: Option<SubscriberKey>,
    alarm: Alarm,
    shared: Arc<Shared>,
    joined_ms: u64,
    bytes: u64,
    end: Option<StreamEnd>,
}

impl PullStream {
    /// A stream of this subscription.
    ///
    /// # Panics
    /// Outside a tokio runtime with time.
    #[must_use]
    pub fn new(config: &ShardConfig, seed: u64, subscription: Subscription) -> Self {
        let shared = Arc::new(Shared::default());
        let joined_ms = now_ms();
        let mut shard = Box::new(Shard::new(*config, seed, Waker::from(Arc::clone(&shared))));
        let key = shard.join(joined_ms, subscription, BufferSink::default());
        Self {
            shard,
            key: Some(key),
            alarm: Alarm::new(joined_ms),
            shared,
            joined_ms,
            bytes: 0,
            end: None,
        }
    }

    /// Adds what it does to a sum: see [`Shard::count_into`].
    #[must_use]
    pub fn counted(mut self, share: Share) -> Self {
        self.shard.count_into(share);
        self
    }

    /// Says how it is named if its subscription does not: see [`Shard::name_with`].
    #[must_use]
    pub fn named(mut self, names: Names) -> Self {
        self.shard.name_with(names);
        self
    }

    /// What ends or changes it from outside.
    #[must_use]
    pub fn ender(&self) -> Ender {
        Ender::of(&self.shared)
    }

    /// How it ended, once [`PullStream::poll_next`] has answered `None`; a stream that is dropped earlier has no end of its own.
    #[must_use]
    pub fn end(&self) -> Option<StreamEnd> {
        self.end
    }

    /// How it would be reported if it ended now for this reason: for whoever drops it half-way.
    #[must_use]
    pub fn end_with(&self, reason: EndReason) -> StreamEnd {
        self.end.unwrap_or_else(|| StreamEnd {
            reason,
            bytes: self.bytes,
            events: self.key.map_or(0, |key| self.shard.delivered(key)),
            life_ms: now_ms().saturating_sub(self.joined_ms),
        })
    }

    /// The next bytes of the stream, whole frames without framing; `None` when it is over.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let Some(key) = self.key else {
            return Poll::Ready(None);
        };
        let now = now_ms();
        if let Some(reason) = self.shared.register(cx.waker()) {
            self.shard.end_all(reason);
        }
        self.shared.obey(&mut self.shard);
        let sink = self.shard.sink_mut(key).expect("it is still joined");
        if std::mem::take(&mut sink.full) {
            self.shard.handle_writable(now, key);
        }
        for _ in 0..STEPS_MAX {
            let mut step = self.shard.step(now_ms());
            if let Some(ended) = step.ended.pop() {
                return Poll::Ready(self.part(ended));
            }
            let sink = self.shard.sink_mut(key).expect("it has not ended");
            if !sink.bytes.is_empty() {
                let bytes = std::mem::take(&mut sink.bytes);
                self.bytes += bytes.len() as u64;
                return Poll::Ready(Some(bytes));
            }
            if step.again {
                continue;
            }
            let Some(wake_at_ms) = step.wake_at_ms else {
                return Poll::Pending;
            };
            ready!(self.alarm.poll_at(wake_at_ms, cx));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The last bytes, if there are any.
    fn part(&mut self, ended: Ended<BufferSink>) -> Option<Vec<u8>> {
        self.key = None;
        self.shared.close();
        self.bytes += ended.sink.bytes.len() as u64;
        self.end = Some(StreamEnd {
            reason: ended.reason,
            bytes: self.bytes,
            events: ended.delivered,
            life_ms: now_ms().saturating_sub(self.joined_ms),
        });
        Some(ended.sink.bytes).filter(|bytes| !bytes.is_empty())
    }
}

/// Nobody polls it any more.
impl Drop for PullStream {
    fn drop(&mut self) {
        self.shared.close();
    }
}
