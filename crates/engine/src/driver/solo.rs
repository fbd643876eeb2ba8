//! Portable: one HTTP/1 stream whose connection is its own task's, as one over TLS must be: a shard of one, with a sink that
//! writes into that connection.
//!
//! It holds no queue: a step offers frames, the sink writes them at once, and a connection that takes no more stands still in
//! the log, with the rest of one frame at most. What a client sends after its request is read, for a connection over TLS has
//! things to say of its own and its end shows there; it is thrown away, and one that sends much is cut.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tidewire_core::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::clock::Alarm;
use super::ender::{Ender, Shared};
use super::framing::{Framing, GATHER_MAX, Owed};
use super::{OnEnd, StreamEnd, UNREAD_BYTES_MAX, now_ms};
use crate::{
    EndReason, Ended, Names, Offer, Shard, ShardConfig, Share, Sink, SubscriberKey, Subscription,
};

/// How many steps one poll takes before it lets others run.
const STEPS_MAX: usize = 16;

/// A connection as a sink.
struct IoSink<IO> {
    io: IO,
    owed: Owed,
    /// It took less than it was given, or has not passed it on; nothing is tried until it is polled again.
    full: bool,
    bytes: u64,
    /// What the client has sent unasked.
    unread: usize,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> IoSink<IO> {
    /// One gathered write of what is owed and then these frames; says how many of the frames are taken.
    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &[Frame<'_>]) -> Poll<io::Result<usize>> {
        let mut pieces = [IoSlice::new(&[]); GATHER_MAX];
        let (count, _) = self.owed.gather(frames, &mut pieces);
        let io = Pin::new(&mut self.io);
        let sent = ready!(io.poll_write_vectored(cx, &pieces[..count]))?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.bytes += sent as u64;
        Poll::Ready(Ok(self.owed.account(frames, sent)))
    }

    /// Writes what is owed, and passes on what is written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.owed.is_some() {
            ready!(self.poll_send(cx, &[]))?;
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.full = false;
        Poll::Ready(Ok(()))
    }

    /// Reads and forgets what the client sends; ready when it is gone, or sends without end.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [MaybeUninit::<u8>::uninit(); 1024];
        while self.unread < UNREAD_BYTES_MAX {
            let mut buf = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.unread += buf.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sink for IoSink<IO> {
    /// Nobody is woken from here: the task polls a sink that is full again, with its own waker.
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut taken = 0;
        let outcome = loop {
            if self.full {
                break Poll::Pending;
            }
            if taken == frames.len() {
                break self.poll_flush(cx);
            }
            match self.poll_send(cx, &frames[taken..]) {
                Poll::Ready(Ok(more)) => taken += more,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        match outcome {
            Poll::Ready(Ok(())) => Offer::Taken,
            Poll::Ready(Err(_)) => Offer::Closed,
            Poll::Pending => {
                self.full = true;
                Offer::Full { taken }
            }
        }
    }
}

/// A stream that is over but whose last bytes the connection has not taken yet.
struct Closing<IO> {
    sink: IoSink<IO>,
    reason: EndReason,
    events: u64,
    until_ms: u64,
}

enum State<IO> {
    Open {
        shard: Box<Shard<IoSink<IO>>>,
        key: SubscriberKey,
    },
    /// Apart, so that a stream that runs does not hold room for its end.
    Closing(Box<Closing<IO>>),
    Over,
}

/// One subscriber's stream on a connection of its own: a future that writes the response's head, then the stream, ends both in
/// order and closes the connection. Must be polled inside a tokio runtime with time.
///
/// A client that closes its side is gone, as on [`super::epoll`].
pub struct Solo<IO: AsyncRead + AsyncWrite + Unpin> {
    state: State<IO>,
    alarm: Alarm,
    shared: Arc<Shared>,
    joined_ms: u64,
    stall_ms: u64,
    /// `None` once it was told.
    on_end: Option<OnEnd>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Solo<IO> {
    /// A stream of this subscription. Earlier answers on the connection must have been flushed.
    ///
    /// # Panics
    /// Outside a tokio runtime with time.
    pub fn new(
        config: &ShardConfig,
        seed: u64,
        io: IO,
        head: Vec<u8>,
        framing: Framing,
        subscription: Subscription,
        on_end: OnEnd,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let joined_ms = now_ms();
        let sink = IoSink {
            io,
            owed: Owed::new(head, framing),
            full: false,
            bytes: 0,
            unread: 0,
        };
        let waker = Waker::from(Arc::clone(&shared));
        let mut shard = Box::new(Shard::new(*config, seed, waker));
        let key = shard.join(joined_ms, subscription, sink);
        Self {
            state: State::Open { shard, key },
            alarm: Alarm::new(joined_ms),
            shared,
            joined_ms,
            stall_ms: config.stall_deadline_ms,
            on_end: Some(on_end),
        }
    }

    /// Adds what it does to a sum: see [`Shard::count_into`].
    #[must_use]
    pub fn counted(mut self, share: Share) -> Self {
        if let State::Open { shard, .. } = &mut self.state {
            shard.count_into(share);
        }
        self
    }

    /// Says how it is named if its subscription does not: see [`Shard::name_with`].
    #[must_use]
    pub fn named(mut self, names: Names) -> Self {
        if let State::Open { shard, .. } = &mut self.state {
            shard.name_with(names);
        }
        self
    }

    /// What ends or changes it from outside.
    #[must_use]
    pub fn ender(&self) -> Ender {
        Ender::of(&self.shared)
    }

    /// Steps until there is nothing to do. Ready when the stream is over, and `state` says so.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open { shard, key } = &mut self.state else {
            return Poll::Ready(());
        };
        let key = *key;
        if let Some(reason) = self.shared.register(cx.waker()) {
            shard.end_all(reason);
        }
        self.shared.obey(shard);
        let sink = shard.sink_mut(key).expect("it is still joined");
        if sink.poll_gone(cx).is_ready() {
            self.leave();
            return Poll::Ready(());
        }
        if sink.full {
            let before = sink.bytes;
            let flushed = sink.poll_flush(cx);
            let progress = sink.bytes > before || flushed.is_ready();
            if matches!(flushed, Poll::Ready(Err(_))) {
                self.leave();
                return Poll::Ready(());
            }
            // A stall is no progress at all: a large frame may take a slow reader longer than the stall deadline.
            if progress {
                shard.handle_writable(now_ms(), key);
            }
        }
        for _ in 0..STEPS_MAX {
            let mut step = shard.step(now_ms());
            if let Some(ended) = step.ended.pop() {
                self.part(ended);
                return Poll::Ready(());
            }
            let sink = shard.sink_mut(key).expect("it has not ended");
            if sink.full {
                // Asked for by the task itself, so that it is woken; perhaps it was taken meanwhile.
                match sink.poll_flush(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => {
                        shard.handle_writable(now_ms(), key);
                        continue;
                    }
                    Poll::Ready(Err(_)) => {
                        self.leave();
                        return Poll::Ready(());
                    }
                }
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

    /// The client is gone.
    fn leave(&mut self) {
        let State::Open { shard, key } = &mut self.state else {
            return;
        };
        let events = shard.delivered(*key);
        if let Some(sink) = shard.leave(*key) {
            self.over(sink, EndReason::Closed, events);
        }
    }

    /// The shard has ended the stream; its last frames were offered.
    fn part(&mut self, ended: Ended<IoSink<IO>>) {
        // Who stalls or is gone gets no last chunk: an end inside a frame must look like one.
        if matches!(ended.reason, EndReason::Closed | EndReason::Stalled) {
            return self.over(ended.sink, ended.reason, ended.delivered);
        }
        self.shared.close();
        let mut sink = ended.sink;
        sink.owed.finish();
        self.state = State::Closing(Box::new(Closing {
            sink,
            reason: ended.reason,
            events: ended.delivered,
            until_ms: now_ms().saturating_add(self.stall_ms),
        }));
    }

    /// Ready when there is nothing more to write, nobody to write it to, or no time left.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Closing(closing) = &mut self.state else {
            return Poll::Ready(());
        };
        let sink = &mut closing.sink;
        let mut written = || -> Poll<io::Result<()>> {
            if sink.poll_gone(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            ready!(sink.poll_flush(cx))?;
            ready!(Pin::new(&mut sink.io).poll_shutdown(cx))?;
            // Bytes that nobody read would turn the end into a reset, which may take the last chunk along.
            let _ = sink.poll_gone(cx);
            Poll::Ready(Ok(()))
        };
        if written().is_pending() && self.alarm.poll_at(closing.until_ms, cx).is_pending() {
            return Poll::Pending;
        }
        let State::Closing(closing) = std::mem::replace(&mut self.state, State::Over) else {
            return Poll::Ready(());
        };
        self.over(closing.sink, closing.reason, closing.events);
        Poll::Ready(())
    }

    /// Closes the connection, and tells.
    fn over(&mut self, sink: IoSink<IO>, reason: EndReason, events: u64) {
        let bytes = sink.bytes;
        drop(sink);
        self.shared.close();
        self.state = State::Over;
        self.tell(reason, bytes, events);
    }

    fn tell(&mut self, reason: EndReason, bytes: u64, events: u64) {
        if let Some(on_end) = self.on_end.take() {
            on_end(StreamEnd {
                reason,
                bytes,
                events,
                life_ms: now_ms().saturating_sub(self.joined_ms),
            });
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Solo<IO> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_open(cx));
        self.poll_closing(cx)
    }
}

/// Cut by whoever held the task: a hub that could not wait any longer.
impl<IO: AsyncRead + AsyncWrite + Unpin> Drop for Solo<IO> {
    fn drop(&mut self) {
        self.shared.close();
        let (bytes, events) = match &mut self.state {
            State::Open { shard, .. } => shard
                .drain()
                .map(|(sink, events)| (sink.bytes, events))
                .next()
                .unwrap_or_default(),
            State::Closing(closing) => (closing.sink.bytes, closing.events),
            State::Over => return,
        };
        self.state = State::Over;
        let reason = self.shared.end().unwrap_or(EndReason::Closed);
        self.tell(reason, bytes, events);
    }
}
