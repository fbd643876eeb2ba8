//! The judge of one client: what it was told, held against the model. It remembers over reconnects, for a client that
//! resumes must see every event exactly once.

use tidewire_core::{Cursor, Position};
use tidewire_engine::{Checkpoint, Marks};
use tidewire_log::{Bounds, GapReason};

use crate::model::{Model, Published, Wants};
use crate::reader::Told;
use crate::tally::Tally;

/// What the judge looks at while it judges.
pub struct Bench<'a> {
    /// What was published.
    pub model: &'a Model,
    /// What the log keeps now.
    pub bounds: Bounds,
    /// Where the rule's floor is now.
    pub floor: Option<Position>,
    /// Now, in the world's milliseconds.
    pub now_ms: u64,
    /// What is judged was offered before now, and was owed since.
    pub owed: bool,
    /// Its grant was revoked before what is judged was offered.
    pub is_revoked: bool,
    /// Counts.
    pub tally: &'a mut Tally,
}

/// How a connection began.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The stream's id.
    pub stream: String,
    /// How it says where it is.
    pub checkpoint: Checkpoint,
    /// What was asked for and why it is not there, if so.
    pub gap: Option<(String, GapReason)>,
    /// When its grant ends.
    pub ends_ms: Option<u64>,
    /// Whose grant it is.
    pub marks: Marks,
}

/// What one client has been told.
pub struct Judge {
    /// What it wants from which position on; the last is what it wants now.
    wants: Vec<(Position, Wants)>,
    /// It was told that its grant ends, or could have been.
    expires: bool,
    /// A checkpoint has to tell of the change.
    revised: Option<Position>,
    opening: Opening,
    /// Everything that it wants before this was delivered, or is gone and it was told so.
    next: Position,
    /// One more than the last event's position: what it must not see again.
    seen_to: Position,
    /// Below this, what the rule hides may be missing.
    floor: Position,
    /// Its last event id, as a browser keeps it.
    last_id: Option<String>,
    /// On this connection: frames of any kind, events.
    frames: u64,
    events: u64,
    gap_told: bool,
    /// Its opening told it a gap, and nothing came since: that gap also stands for what the rule hides until something comes.
    floor_open: bool,
    checkpoint_due: bool,
    closing: bool,
}

type Verdict = Result<(), String>;

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}

impl Judge {
    /// Of a client that starts at `next`, and asked for nothing below `floor` that the rule hides.
    #[must_use]
    pub fn new(wants: Wants, opening: Opening, next: Position, floor: Option<Position>) -> Self {
        Self {
            wants: vec![(Position(0), wants)],
            expires: opening.ends_ms.is_some(),
            revised: None,
            opening,
            next,
            seen_to: Position(0),
            floor: floor.unwrap_or_default(),
            last_id: None,
            frames: 0,
            events: 0,
            gap_told: false,
            floor_open: false,
            checkpoint_due: false,
            closing: false,
        }
    }

    /// The same client on a new connection. Its last event id stands right before `has`; the log lets it start at `next`, or
    /// (`None`) tells it a gap first.
    ///
    /// # Errors
    /// If that would show it an event again, or skip one.
    pub fn resume(
        &mut self,
        opening: Opening,
        has: Option<Position>,
        next: Option<Position>,
        model: &Model,
    ) -> Verdict {
        let goes_on = next.or(has).unwrap_or(self.next);
        ensure(goes_on >= self.seen_to, || {
            format!(
                "resumes at {goes_on}, but has seen what is below {}",
                self.seen_to
            )
        })?;
        self.skip_to(goes_on, model, "its last event id lies beyond")?;
        self.next = goes_on;
        self.wants = vec![(Position(0), self.wants())];
        self.expires = opening.ends_ms.is_some();
        self.revised = None;
        self.opening = opening;
        self.frames = 0;
        self.events = 0;
        self.gap_told = false;
        self.floor_open = false;
        self.checkpoint_due = false;
        self.closing = false;
        Ok(())
    }

    /// Its last event id.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// What it wants now.
    #[must_use]
    pub fn wants(&self) -> Wants {
        self.wants.last().expect("it always wants something").1
    }

    /// What it wanted, or wants, of an event.
    fn accepts(&self, event: &Published) -> bool {
        let from = |(from, _): &&(Position, Wants)| *from <= event.position();
        let phase = self.wants.iter().rev().find(from);
        phase.is_some_and(|(_, wants)| wants.accepts(event))
    }

    /// Its stream has another grant, and perhaps other topics, from `at` on; the rule's floor is `floor` now.
    ///
    /// # Errors
    /// If that is not where it can be.
    pub fn revise(
        &mut self,
        at: Position,
        wants: Wants,
        ends_ms: Option<u64>,
        marks: Marks,
        floor: Option<Position>,
    ) -> Verdict {
        ensure(at >= self.seen_to, || {
            format!(
                "revised at {at}, but it has seen what is below {}",
                self.seen_to
            )
        })?;
        let (last, before) = *self.wants.last().expect("it always wants something");
        ensure(at >= last, || {
            format!("revised at {at}, and before that at {last}")
        })?;
        if before.filter().routing != wants.filter().routing {
            self.revised = (self.opening.checkpoint != Checkpoint::Off).then_some(at);
            // What a floor hides of the new topics is news, whatever its opening told; of what it had wanted before, that still stands for
            // what was read meanwhile without anything coming of it.
            if std::mem::take(&mut self.floor_open) {
                self.floor = self.floor.max(floor.unwrap_or_default().min(at));
            }
        }
        self.wants.push((at, wants));
        self.expires |= ends_ms.is_some();
        self.opening.ends_ms = ends_ms;
        self.opening.marks = marks;
        Ok(())
    }

    /// How many frames this connection brought, and how many events among them.
    #[must_use]
    pub fn frames(&self) -> (u64, u64) {
        (self.frames, self.events)
    }

    /// How this connection began.
    #[must_use]
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Judges one thing that it was told.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn handle(&mut self, told: &Told, bench: &mut Bench<'_>) -> Verdict {
        self.frames += 1;
        ensure(!self.closing, || format!("{told:?} after the end"))?;
        // A stream may end between the two, with a last word.
        if matches!(told, Told::Event { .. }) {
            ensure(!self.checkpoint_due, || {
                format!("{told:?} instead of the checkpoint after a gap")
            })?;
        }
        match told {
            Told::Event { number, id } => self.event(*number, id, bench),
            Told::Open(stream, cursor) => self.open(stream, *cursor, bench),
            Told::Checkpoint(cursor) => self.checkpoint(*cursor, bench),
            Told::Gap {
                asked,
                oldest,
                reason,
            } => self.gap(asked, *oldest, reason, bench),
            Told::Comment => {
                bench.tally.count("heartbeat");
                Ok(())
            }
            Told::Expiring => {
                bench.tally.count("expiring told");
                ensure(self.expires, || {
                    "told of an end that its grant has not".into()
                })
            }
            Told::Closing(_) => {
                self.closing = true;
                Ok(())
            }
        }
    }

    fn event(&mut self, number: u64, id: &str, bench: &mut Bench<'_>) -> Verdict {
        let event = bench
            .model
            .by_number(number)
            .ok_or_else(|| format!("event {number} was never published"))?;
        ensure(id == event.shown_id(), || {
            format!(
                "event {number} has the id {id:?}, not {:?}",
                event.shown_id()
            )
        })?;
        ensure(!bench.is_revoked || bench.owed, || {
            format!("event {number} after its grant was revoked")
        })?;
        ensure(self.accepts(event), || {
            format!("event {number} is not for it: {event:?}, {:?}", self.wants)
        })?;
        ensure(event.position() >= self.next, || {
            format!(
                "event {number} again or late: {event:?}, it has all below {}",
                self.next
            )
        })?;
        ensure(self.opening.gap.is_none() || self.gap_told, || {
            format!("event {number} before the gap was told")
        })?;
        let lasts = self.opening.ends_ms.is_none_or(|end| bench.now_ms < end);
        ensure(lasts || bench.owed, || {
            format!("event {number} after its grant's end")
        })?;
        ensure(self.revised.is_none_or(|at| event.position() < at), || {
            format!("event {number} before the checkpoint that tells of its other topics")
        })?;
        self.close_floor(bench);
        self.skip_to(event.position(), bench.model, "the next it got lies beyond")?;
        self.next = event.position().next();
        self.seen_to = self.next;
        self.last_id = Some(id.to_owned());
        self.events += 1;
        bench.tally.count("event delivered");
        if event.private {
            bench.tally.count("event private");
        }
        Ok(())
    }

    fn open(&mut self, stream: &str, cursor: Option<Cursor>, bench: &mut Bench<'_>) -> Verdict {
        ensure(self.frames == 1 && stream == self.opening.stream, || {
            format!("opened as {stream:?} by frame {}", self.frames)
        })?;
        // Without an id only where a gap and its checkpoint follow.
        self.checkpoint_due = cursor.is_none();
        cursor.map_or(Ok(()), |cursor| self.checkpoint(cursor, bench))
    }

    fn checkpoint(&mut self, cursor: Cursor, bench: &mut Bench<'_>) -> Verdict {
        bench.tally.count("checkpoint");
        ensure(self.opening.checkpoint != Checkpoint::Off, || {
            "a checkpoint that nobody asked for".into()
        })?;
        let next = cursor.seen().next();
        self.revised.take_if(|at| *at <= next);
        ensure(next >= self.next, || {
            format!(
                "checkpoint {cursor} goes back: it has all below {}",
                self.next
            )
        })?;
        ensure(self.opening.gap.is_none() || self.gap_told, || {
            "a checkpoint before the gap was told".into()
        })?;
        let is_the_gaps_own = self.checkpoint_due && self.floor_open;
        self.close_floor(bench);
        // A full sink may have come between the gap and its checkpoint, which is then of where it has read to.
        self.floor_open = is_the_gaps_own;
        self.skip_to(next, bench.model, "a checkpoint lies beyond")?;
        let resumes = bench
            .model
            .resume(cursor, bench.bounds.head, bench.bounds.tail);
        ensure(resumes == Some(next) || next <= bench.bounds.head, || {
            format!("checkpoint {cursor} cannot be resumed from")
        })?;
        self.next = next;
        self.last_id = Some(cursor.to_string());
        self.checkpoint_due = false;
        Ok(())
    }

    fn gap(&mut self, asked: &str, oldest: Cursor, reason: &str, bench: &mut Bench<'_>) -> Verdict {
        let goes_on = oldest.seen().next();
        ensure(goes_on >= self.next, || {
            format!(
                "a gap goes back to {oldest}: it has all below {}",
                self.next
            )
        })?;
        let floor = bench.floor.unwrap_or_default();
        let at_opening = !std::mem::replace(&mut self.gap_told, true) && self.opening.gap.is_some();
        if at_opening {
            let (wanted, why) = self.opening.gap.as_ref().expect("just looked at");
            ensure(asked == wanted && reason == why.as_str(), || {
                format!(
                    "a gap of {asked:?} ({reason}), not of {wanted:?} ({})",
                    why.as_str()
                )
            })?;
        } else {
            ensure(
                Cursor::parse(asked).is_some_and(|asked| asked.seen().next() >= self.next),
                || {
                    format!(
                        "a gap of {asked:?}, which it has not reached: it has all below {}",
                        self.next
                    )
                },
            )?;
            ensure(
                goes_on > self.next
                    || (floor > self.next
                        && self.wants.iter().any(|(_, wants)| wants.concerns_rule())),
                || format!("a gap where nothing is missing: on from {oldest}"),
            )?;
        }
        let is_gone = |event: &Published| {
            event.position() < bench.bounds.head || (event.is_short() && event.position() < floor)
        };
        // An unknown id goes on from the tail, whatever is kept; any other gap covers what is gone, and no more.
        let kept = self
            .wanted(self.next, goes_on, bench.model)
            .find(|event| !is_gone(event));
        if let Some(event) = kept.filter(|_| reason != GapReason::Unknown.as_str()) {
            return Err(format!(
                "a gap to {oldest} covers what is still kept: {event:?}"
            ));
        }
        bench.tally.count(match reason {
            "expired" if goes_on == self.next && !at_opening => "gap told, by rule",
            "expired" => "gap told, expired",
            "beyond" => "gap told, beyond",
            "epoch" => "gap told, epoch",
            "unknown" => "gap told, unknown",
            _ => return Err(format!("a gap for no reason of ours: {reason:?}")),
        });
        self.next = goes_on;
        self.floor = self.floor.max(floor);
        self.floor_open |= at_opening && reason != GapReason::Unknown.as_str();
        self.checkpoint_due = self.opening.checkpoint != Checkpoint::Off;
        Ok(())
    }

    fn close_floor(&mut self, bench: &Bench<'_>) {
        if std::mem::take(&mut self.floor_open) {
            self.floor = self.floor.max(bench.floor.unwrap_or_default());
        }
    }

    fn wanted<'a>(
        &'a self,
        from: Position,
        to: Position,
        model: &'a Model,
    ) -> impl Iterator<Item = &'a Published> {
        let between = model.between(from, to).iter();
        between.filter(move |event| self.accepts(event))
    }

    /// Nothing that it wants may lie between what it has and `to`, but for what it was told is hidden.
    fn skip_to(&self, to: Position, model: &Model, what: &str) -> Verdict {
        let missed = self
            .wanted(self.next, to, model)
            .find(|event| !(event.is_short() && event.position() < self.floor));
        match missed {
            Some(event) => Err(format!("missed {event:?}: {what} ({to})")),
            None => Ok(()),
        }
    }

    /// Judges a stream that has nothing more to say: all was delivered.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn settle(&mut self, bench: &Bench<'_>) -> Verdict {
        ensure(self.opening.gap.is_none() || self.gap_told, || {
            "was never told its gap".into()
        })?;
        ensure(!self.checkpoint_due, || {
            "no checkpoint after its gap".into()
        })?;
        self.close_floor(bench);
        self.skip_to(bench.bounds.tail, bench.model, "it is quiet, and the tail")
    }

    /// Judges a stream after its heartbeats: its checkpoint has caught up with what was published.
    ///
    /// # Errors
    /// Says by how much not.
    pub fn settle_checkpoint(&self, bench: &Bench<'_>) -> Verdict {
        if self.opening.checkpoint == Checkpoint::Off {
            return Ok(());
        }
        match bench.model.between(self.next, bench.bounds.tail).last() {
            Some(event) => Err(format!(
                "its checkpoint, {}, ages: heartbeats came, and {event:?} is behind it",
                self.next
            )),
            None => Ok(()),
        }
    }
}
