//! What a stream says about itself: its opening, gaps with the checkpoint after them, heartbeats, its end.

use tidewire_core::{Form, Frame, Position};
use tidewire_log::control::{Control, ControlFrame};
use tidewire_log::{Floors, Gap, GapReason};

use crate::kept::Subscriber;
use crate::{Checkpoint, EndReason, Offer, Shard, Sink, SubscriberKey};

/// Something that a subscriber has yet to be told; encoded when it is offered.
#[derive(Debug)]
pub(crate) enum Tell {
    /// The first checkpoint, which names the stream.
    Open(Box<str>),
    /// A checkpoint.
    At,
    /// Something is missing: what was asked for, and the gap.
    Gap(Box<(String, Gap)>),
    /// Its grant ends soon.
    Expiring,
}

/// What a subscriber has yet to be told, in order. Nobody is read for while it stands still, so there is never more than an
/// opening, the gaps of one read, and the grant's end.
#[derive(Debug, Default)]
pub(crate) struct Tells(Vec<Tell>);

/// An opening with a gap, a gap of the read, a gap of a floor, the grant's end.
const TELLS_MAX: usize = 8;

impl Tells {
    pub(crate) const NONE: Self = Self(Vec::new());

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, tell: Tell) {
        self.0.push(tell);
        assert!(self.0.len() <= TELLS_MAX, "invariant 5: no queue");
    }

    /// Adds a checkpoint, unless one comes anyway.
    pub(crate) fn push_checkpoint(&mut self) {
        let comes = |tell: &Tell| matches!(tell, Tell::Open(_) | Tell::At);
        if !self.0.iter().any(comes) {
            self.push(Tell::At);
        }
    }

    /// The grant's end is another one.
    pub(crate) fn forget_expiring(&mut self) {
        self.0.retain(|tell| !matches!(tell, Tell::Expiring));
    }

    /// Adds a gap and the checkpoint after it, if one is wanted. It takes the place of any that was to come before the
    /// gap: that would let a client that is cut between the two come back beyond a gap that it was never told.
    pub(crate) fn push_gap(&mut self, gap: (String, Gap), checkpoint: Checkpoint) {
        self.0.retain(|tell| !matches!(tell, Tell::At));
        self.push(Tell::Gap(Box::new(gap)));
        if checkpoint != Checkpoint::Off {
            self.push(Tell::At);
        }
    }

    pub(crate) fn as_slice(&self) -> &[Tell] {
        &self.0
    }

    /// Takes the first few out. What is told leaves no memory behind.
    fn take(&mut self, count: usize) -> Vec<Tell> {
        let rest = self.0.split_off(count.min(self.0.len()));
        std::mem::replace(&mut self.0, rest)
    }
}

/// What became of an offer to somebody who is still there.
pub(crate) struct Outcome {
    /// How many frames were taken, not counting what was told before them.
    pub(crate) taken: usize,
    /// Nothing more may be offered.
    pub(crate) full: bool,
}

/// What was last encoded of either heartbeat: at the tail, one serves everybody.
#[derive(Default)]
struct LastBeats {
    checkpoint: Option<(u32, Position, Checkpoint, Form, ControlFrame)>,
    comment: Option<(Form, ControlFrame)>,
}

impl<S: Sink> Shard<S> {
    /// Offers what a subscriber has yet to be told, and then these frames. `None`: it is gone, and was ended.
    pub(crate) fn offer(&mut self, index: u32, frames: &[Frame<'_>]) -> Option<Outcome> {
        let controls = self.encode_tells(index);
        let subscriber = &mut self.subscribers[index as usize];
        assert!(!subscriber.is_standing(), "a full sink is left alone");
        // The opening leaves the first heartbeat's phase alone.
        if subscriber.open() {
            subscriber.since = self.now;
        }
        let all: Vec<_>;
        let frames = if controls.is_empty() {
            frames
        } else {
            let told = controls.iter().map(ControlFrame::frame);
            all = told.chain(frames.iter().copied()).collect();
            &all
        };
        self.counters.offers += 1;
        let (taken, full) = match subscriber.sink.offer(frames) {
            Offer::Taken => (frames.len(), false),
            Offer::Full { taken } => (taken.min(frames.len()), true),
            Offer::Closed => {
                self.finish(index, EndReason::Closed);
                return None;
            }
        };
        self.counters.offers_full += u64::from(full);
        let bytes: usize = frames[..taken]
            .iter()
            .map(|frame| frame.chunk().len())
            .sum();
        self.counters.bytes += bytes as u64;
        self.note_told(index, taken.min(controls.len()));
        let taken = taken.saturating_sub(controls.len());
        Some(Outcome { taken, full })
    }

    /// Of somebody who has nothing to be told this allocates nothing.
    fn encode_tells(&self, index: u32) -> Vec<ControlFrame> {
        let subscriber = &self.subscribers[index as usize];
        let tells = subscriber.tells();
        if tells.is_empty() {
            return Vec::new();
        }
        let feed = &self.feeds[subscriber.feed as usize];
        let log = feed.feed.log();
        let at = log.cursor_at(subscriber.cursor(feed.tail.next));
        // As in `push_gap`: no id before a gap.
        let gaps = |tell: &Tell| matches!(tell, Tell::Gap(_));
        let start = (!tells.iter().any(gaps)).then_some(at);
        let form = subscriber.form();
        let encode = |tell: &Tell| match tell {
            Tell::Open(stream) if stream.is_empty() => Control::Open {
                stream: &self.name(SubscriberKey::new(index, subscriber.join)),
                at: start,
            }
            .encode(form),
            Tell::Open(stream) => Control::Open { stream, at: start }.encode(form),
            Tell::At => checkpoint(subscriber.checkpoint(), at).encode(form),
            Tell::Gap(gap) => Control::Gap {
                asked: &gap.0,
                oldest: log.cursor_at(gap.1.resume),
                newest: log.cursor_at(log.bounds().tail),
                reason: gap.1.reason,
            }
            .encode(form),
            Tell::Expiring => {
                let in_ms = subscriber.grant_at_ms().unwrap_or_default();
                let in_ms = in_ms.saturating_sub(self.now_ms);
                match subscriber.checkpoint() {
                    Checkpoint::Event => Control::Expiring { in_ms }.encode(form),
                    // Events of ours are for those who asked for them.
                    Checkpoint::Id | Checkpoint::Off => {
                        Control::Comment(&format!("expiring: in {in_ms} ms")).encode(form)
                    }
                }
            }
        };
        tells.iter().map(encode).collect()
    }

    fn note_told(&mut self, index: u32, count: usize) {
        if count == 0 {
            return;
        }
        let subscriber = &mut self.subscribers[index as usize];
        for tell in subscriber.tells_mut(|tells| tells.take(count)) {
            match tell {
                Tell::Open(_) | Tell::At => {
                    let tail = self.feeds[subscriber.feed as usize].tail.next;
                    subscriber.give_id(subscriber.cursor(tail));
                    self.counters.checkpoints += 1;
                }
                Tell::Gap(gap) => self.counters.count_gap(gap.1.reason),
                Tell::Expiring => {}
            }
        }
    }

    /// Sees to it that a subscriber is told something in this step.
    pub(crate) fn list(&mut self, index: u32) {
        let subscriber = &mut self.subscribers[index as usize];
        if !subscriber.set_listed(true) {
            self.due.push(SubscriberKey::new(index, subscriber.join));
        }
    }

    /// A gap, and a checkpoint after it: invariant 6. The subscriber's cursor is already where it goes on.
    pub(crate) fn tell_gap(&mut self, index: u32, asked: String, gap: Gap) {
        let subscriber = &mut self.subscribers[index as usize];
        let checkpoint = subscriber.checkpoint();
        subscriber.tells_mut(|tells| tells.push_gap((asked, gap), checkpoint));
        self.list(index);
    }

    /// A cursor as a gap names it.
    pub(crate) fn asked(&self, feed: u32, next: Position) -> String {
        let log = self.feeds[feed as usize].feed.log();
        log.cursor_at(next).to_string()
    }

    /// A topic's own shorter retention has passed somebody who wanted its events, and is about to be read up to `end` for.
    /// Told once for as far as the floor had come, and again when what it has passed since is about to be missed.
    pub(crate) fn tell_floor(&mut self, index: u32, floors: &Floors, end: Position) {
        let subscriber = &mut self.subscribers[index as usize];
        let feed = subscriber.feed;
        let known = &self.feeds[feed as usize];
        let next = subscriber.cursor(known.tail.next);
        let missed = floors.missed(next, &known.wants(subscriber).routing());
        match (missed, subscriber.floor()) {
            // The gap that its opening tells stands for this one.
            (_, None) => subscriber.set_floor(missed.unwrap_or_default()),
            (Some(floor), Some(known)) if floor > known && end > known => {
                subscriber.set_floor(floor);
                let gap = Gap {
                    reason: GapReason::Expired,
                    resume: next,
                };
                let asked = self.asked(feed, next);
                self.tell_gap(index, asked, gap);
            }
            _ => {}
        }
    }

    /// Tells everyone who is listed what no delivery of this step has told.
    pub(crate) fn tell_listed(&mut self) {
        let mut last = LastBeats::default();
        for key in std::mem::take(&mut self.due) {
            let Some(index) = self.index_of(key) else {
                continue;
            };
            let subscriber = &mut self.subscribers[index as usize];
            subscriber.set_listed(false);
            if subscriber.is_standing() {
                continue;
            }
            let outcome = if !subscriber.tells().is_empty() || !subscriber.is_open() {
                self.offer(index, &[])
            } else if subscriber.quiet_until(&self.pace) <= self.now {
                self.beat(index, &mut last)
            } else {
                Some(Outcome {
                    taken: 0,
                    full: false,
                })
            };
            match outcome {
                Some(Outcome { full: true, .. }) => {
                    let next = self.cursor_of(index);
                    self.stand(index, next);
                }
                Some(_) => self.arm(index),
                None => {}
            }
        }
    }

    /// A heartbeat: a checkpoint if the cursor has moved past what the filter refused, for a rare topic's cursor must not
    /// age into a gap; else a comment.
    fn beat(&mut self, index: u32, last: &mut LastBeats) -> Option<Outcome> {
        let cursor = self.cursor_of(index);
        let subscriber = &self.subscribers[index as usize];
        let form = subscriber.form();
        if subscriber.checkpoint() == Checkpoint::Off || !subscriber.is_ahead(cursor) {
            let outcome = self.offer(index, &[last.comment(form).frame()])?;
            self.counters.heartbeats += outcome.taken as u64;
            return Some(outcome);
        }
        let feed = &self.feeds[subscriber.feed as usize];
        let frame = last.checkpoint(subscriber, cursor, || feed.feed.log().cursor_at(cursor));
        let outcome = self.offer(index, &[frame.frame()])?;
        if outcome.taken > 0 {
            self.counters.checkpoints += 1;
            self.subscribers[index as usize].give_id(cursor);
        }
        Some(outcome)
    }

    /// Ends a subscriber, between frames, with a last word if its sink can take one.
    pub(crate) fn finish(&mut self, index: u32, reason: EndReason) {
        let subscriber = &mut self.subscribers[index as usize];
        let speaks = !matches!(reason, EndReason::Closed | EndReason::Stalled);
        if speaks && !subscriber.is_standing() {
            let why = format!("closing: {}", reason.as_str());
            let control = match subscriber.checkpoint() {
                Checkpoint::Event => Control::Closing {
                    reason: reason.as_str(),
                },
                Checkpoint::Id | Checkpoint::Off => Control::Comment(&why),
            };
            let frame = control.encode(subscriber.form());
            self.counters.offers += 1;
            // Full or closed makes no difference any more.
            if subscriber.sink.offer(&[frame.frame()]) == Offer::Taken {
                self.counters.bytes += frame.frame().chunk().len() as u64;
            }
        }
        let subscriber = self.remove(index);
        self.counters.count_ended(reason);
        self.ended.push(self.ended_of(index, subscriber, reason));
    }
}

fn checkpoint(kind: Checkpoint, at: tidewire_core::Cursor) -> Control<'static> {
    match kind {
        Checkpoint::Event => Control::At(at),
        Checkpoint::Id | Checkpoint::Off => Control::Id(at),
    }
}

impl LastBeats {
    fn comment(&mut self, form: Form) -> &ControlFrame {
        let form = form.but_for_presence();
        let known = self.comment.take_if(|(known, _)| *known == form);
        let encode = || (form, Control::Heartbeat.encode(form));
        &self.comment.insert(known.unwrap_or_else(encode)).1
    }

    fn checkpoint<S>(
        &mut self,
        subscriber: &Subscriber<S>,
        next: Position,
        cursor: impl FnOnce() -> tidewire_core::Cursor,
    ) -> &ControlFrame {
        let (feed, kind) = (subscriber.feed, subscriber.checkpoint());
        let form = subscriber.form().but_for_presence();
        let fits = |(f, n, k, o, _): &(u32, Position, Checkpoint, Form, _)| {
            (*f, *n, *k, *o) == (feed, next, kind, form)
        };
        if !self.checkpoint.as_ref().is_some_and(fits) {
            let frame = checkpoint(kind, cursor()).encode(form);
            self.checkpoint = Some((feed, next, kind, form, frame));
        }
        let (.., frame) = self.checkpoint.as_ref().expect("just encoded");
        frame
    }
}
