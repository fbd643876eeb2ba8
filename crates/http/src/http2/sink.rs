//! A stream of an HTTP/2 connection as a sink. What it takes goes to h2 at once, which writes it when the connection's task
//! has its turn; so the bytes that stand between step and socket are bounded by the stream's window, by
//! [`SEND_BYTES_MAX`] and, for all streams together, by what the socket takes: while it is full, so is every sink.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::{Reason, SendStream};
use tidewire_core::Frame;
use tidewire_engine::driver::{OnEnd, StreamEnd};
use tidewire_engine::{EndReason, Offer, Sink};

use super::bell::muted;
use super::wire::{Admit, Line};
use crate::slots::Seat;

/// How many bytes h2 holds for a stream at most.
pub(super) const SEND_BYTES_MAX: usize = 64 << 10;

/// One subscriber's stream. Kept small: a connection has a thousand.
///
/// Invariant 3: of a frame for which the client had room in part the rest is kept here, and sent before anything else.
pub(super) struct StreamSink {
    stream: SendStream<Bytes>,
    line: Arc<Line>,
    rest: Option<Box<Bytes>>,
    seat: Seat,
    on_end: Option<OnEnd>,
    bytes: u64,
    joined_ms: u64,
    /// It took less than it was offered.
    full: bool,
    /// More capacity may be reserved for it than it has used.
    reserves: bool,
}

const _: () = assert!(size_of::<StreamSink>() <= 96);

/// The stream is over.
#[derive(Debug)]
pub(super) struct Gone;

/// What has become of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Same,
    /// It was full, and took some of what it owes.
    Progress,
    /// It was full, owes nothing any more, and has room.
    Writable,
    Gone,
}

impl StreamSink {
    /// `first` is sent before anything that is offered.
    pub(super) fn new(
        stream: SendStream<Bytes>,
        line: Arc<Line>,
        first: Vec<u8>,
        (seat, on_end): (Seat, Option<OnEnd>),
        joined_ms: u64,
    ) -> Self {
        let rest = (!first.is_empty()).then(|| Box::new(Bytes::from(first)));
        Self {
            stream,
            line,
            rest,
            seat,
            on_end,
            bytes: 0,
            joined_ms,
            full: false,
            reserves: false,
        }
    }

    /// Whether a frame is begun and not finished.
    pub(super) fn owes(&self) -> bool {
        self.rest.is_some()
    }

    /// Sees what has become of it; from now on [`Line::streams`] rings when that changes.
    pub(super) fn look(&mut self) -> Look {
        match self.watch() {
            Look::Same if self.has_room() => {}
            other => return other,
        }
        if self.send_rest().is_err() {
            return Look::Gone;
        }
        if let Some(rest) = &self.rest {
            let left = rest.len();
            self.want(left);
            return Look::Progress;
        }
        self.full = false;
        Look::Writable
    }

    /// Whether there is room again for what it waits with.
    fn has_room(&self) -> bool {
        self.full && self.stream.capacity() > 0 && self.line.wire().admit() != Admit::Full
    }

    /// Rings when the client resets the stream, or its capacity grows: h2 knows one waiter for both.
    fn watch(&mut self) -> Look {
        match self.stream.poll_reset(&mut self.line.streams_context()) {
            Poll::Pending => Look::Same,
            Poll::Ready(_) => Look::Gone,
        }
    }

    /// Sends what is owed, as much as there is room for.
    pub(super) fn send_rest(&mut self) -> Result<(), Gone> {
        let Some(rest) = &mut self.rest else {
            return Ok(());
        };
        self.stream.reserve_capacity(rest.len().min(SEND_BYTES_MAX));
        let capacity = self.stream.capacity();
        if capacity > 0 {
            let piece = rest.split_to(capacity.min(rest.len()));
            if rest.is_empty() {
                self.rest = None;
            }
            self.send(piece)?;
            self.line.wire().relieve();
        }
        Ok(())
    }

    fn send(&mut self, bytes: Bytes) -> Result<(), Gone> {
        self.bytes += bytes.len() as u64;
        self.stream.send_data(bytes, false).map_err(|_| Gone)
    }

    /// Takes frames as far as there is room for them; the one that fits in part is begun.
    fn take(&mut self, frames: &[Frame<'_>]) -> Result<Offer, Gone> {
        let wanted: usize = frames.iter().map(|frame| frame.bare().len()).sum();
        let reserved = wanted.min(SEND_BYTES_MAX);
        if std::mem::take(&mut self.reserves) {
            // May give capacity to another stream, which has to hear of it.
            self.stream.reserve_capacity(reserved);
        } else {
            muted(|| self.stream.reserve_capacity(reserved));
        }
        let room = self.stream.capacity();
        let offer = if room >= wanted {
            let run = gather(frames, wanted);
            muted(|| self.send(run))?;
            Offer::Taken
        } else {
            let taken = self.take_part(frames, room)?;
            self.stand(taken, wanted - room)
        };
        self.line.wire().relieve();
        Ok(offer)
    }

    fn take_part(&mut self, frames: &[Frame<'_>], room: usize) -> Result<usize, Gone> {
        let mut run = Vec::with_capacity(room);
        let mut taken = 0;
        for frame in frames {
            let left = room - run.len();
            if left == 0 {
                break;
            }
            let bytes = frame.bare();
            let (now, later) = bytes.split_at(left.min(bytes.len()));
            run.extend_from_slice(now);
            if !later.is_empty() {
                self.rest = Some(Box::new(Bytes::copy_from_slice(later)));
            }
            taken += 1;
        }
        if !run.is_empty() {
            self.send(run.into())?;
        }
        Ok(taken)
    }

    /// Is full until there is room for some of what is left.
    fn stand(&mut self, taken: usize, left: usize) -> Offer {
        self.full = true;
        self.want(left);
        Offer::Full { taken }
    }

    /// Has h2 tell when there is room for some of so many bytes.
    fn want(&mut self, bytes: usize) {
        self.reserves = true;
        self.stream.reserve_capacity(bytes.clamp(1, SEND_BYTES_MAX));
    }

    fn try_offer(&mut self, frames: &[Frame<'_>]) -> Result<Offer, Gone> {
        let admit = self.line.wire().admit();
        match admit {
            Admit::Over => return Err(Gone),
            Admit::Full => return Ok(self.stand(0, 1)),
            Admit::Room => {}
        }
        self.send_rest()?;
        if let Some(rest) = &self.rest {
            let left = rest.len();
            return Ok(self.stand(0, left));
        }
        if frames.is_empty() {
            return Ok(Offer::Taken);
        }
        self.take(frames)
    }

    /// Says the end of the stream, after everything that was sent.
    pub(super) fn finish(mut self, reason: EndReason, events: u64, now_ms: u64) {
        // Fails only if the client was faster.
        let _ = self.stream.send_data(Bytes::new(), true);
        self.close(reason, events, now_ms);
    }

    /// Ends the stream at once, whatever the client has room for: an end inside a frame must look like one.
    pub(super) fn reset(mut self, reason: EndReason, events: u64, now_ms: u64) {
        self.stream.send_reset(Reason::CANCEL);
        self.close(reason, events, now_ms);
    }

    /// Drops the stream and tells who waits for that.
    pub(super) fn close(self, reason: EndReason, events: u64, now_ms: u64) {
        let Self {
            stream,
            line,
            seat,
            on_end,
            bytes,
            joined_ms,
            ..
        } = self;
        drop(stream);
        line.wire().hand();
        seat.end(reason);
        if let Some(on_end) = on_end {
            on_end(StreamEnd {
                reason,
                bytes,
                events,
                life_ms: now_ms.saturating_sub(joined_ms),
            });
        }
    }
}

impl Sink for StreamSink {
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer {
        let offer = self.try_offer(frames);
        // Every time, for h2 forgets who waits when it tells him.
        let (Ok(offer), Look::Same) = (offer, self.watch()) else {
            return Offer::Closed;
        };
        if self.has_room() {
            self.line.streams.ring();
        }
        offer
    }
}

/// Frames in one piece.
fn gather(frames: &[Frame<'_>], bytes: usize) -> Bytes {
    let mut run = Vec::with_capacity(bytes);
    for frame in frames {
        run.extend_from_slice(frame.bare());
    }
    run.into()
}
