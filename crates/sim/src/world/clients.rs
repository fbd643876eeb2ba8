//! What clients do: come from anywhere, read fast or slowly, go in every way, and come back.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use tidewire_core::{Cursor, Epoch, Form, Position};
use tidewire_engine::{Checkpoint, EndReason, Ended, Subscription};
use tidewire_log::{GapReason, Locate, Located, Log, Start};

use super::{
    CLIENTS, Client, Connection, FEEDS, Outcome, Pipe, PipeSink, Presence, SHARDS, World, note,
    rights,
};
use crate::judge::{Judge, Opening};
use crate::model::Wants;
use crate::reader::Reader;
use crate::rng::Rng;

impl World {
    /// A client that is away connects; one that was located joins.
    pub(super) fn connect(&mut self, rng: &mut Rng) -> Outcome {
        let Some(index) = self.find(rng, |client| {
            client.is_none_or(|client| !matches!(client.presence, Presence::Here(_)))
        }) else {
            return Ok(());
        };
        let is_coming = |client: &Client| matches!(client.presence, Presence::Coming(_));
        if self.clients[index].as_ref().is_some_and(is_coming) {
            self.tally.count("joined late");
            return self.join(index, rng);
        }
        let can_resume = self.clients[index]
            .as_ref()
            .is_some_and(|client| client.judge.last_id().is_some());
        if can_resume && rng.percent(85) {
            self.come_back(index, rng)?;
        } else {
            self.come(index, rng)?;
        }
        if rng.percent(80) {
            self.join(index, rng)
        } else {
            Ok(())
        }
    }

    /// The first client from a random one on that fits.
    fn find(&self, rng: &mut Rng, fits: impl Fn(Option<&Client>) -> bool) -> Option<usize> {
        let first = rng.size(0, CLIENTS - 1);
        (first..CLIENTS)
            .chain(0..first)
            .find(|index| fits(self.clients[*index].as_ref()))
    }

    pub(super) fn find_here(&self, rng: &mut Rng) -> Option<usize> {
        self.find(rng, |client| {
            client.is_some_and(|client| matches!(client.presence, Presence::Here(_)))
        })
    }

    /// A new client, with new wishes.
    fn come(&mut self, index: usize, rng: &mut Rng) -> Outcome {
        let source = rng.size(0, FEEDS - 1);
        let form = rng.pick(&[
            Form::EventStream,
            Form::EventStream,
            Form::EventStream,
            Form::Labelled,
            Form::Ndjson,
        ]);
        let checkpoint = rng.pick(&[
            Checkpoint::Event,
            Checkpoint::Event,
            Checkpoint::Id,
            Checkpoint::Off,
        ]);
        let wants = Wants::random(rng);
        let (start, asked) = self.start(source, rng);
        let located = self.locate(source, &start, wants);
        self.check_located(source, &start, located)?;
        let opening = self.opening(checkpoint, asked, located, rng);
        let floor = match start {
            Start::After(_) | Start::AfterId(_) => None,
            _ => self.sources[source].log.floor(),
        };
        note!(
            self,
            "{} client {index} comes to feed {source} from {start:?}: {located:?}, {opening:?}, {wants:?}, {form:?}",
            self.now_ms
        );
        let subscription = self.subscription(source, wants, form, located, &opening);
        self.clients[index] = Some(Client {
            source,
            form,
            judge: Judge::new(wants, opening, located.from, floor),
            presence: Presence::Coming(Box::new(subscription)),
        });
        Ok(())
    }

    /// A client that was here before, with the last event id that it kept.
    fn come_back(&mut self, index: usize, rng: &mut Rng) -> Outcome {
        let client = self.clients[index].as_ref().expect("it was here");
        let (source, form, wants) = (client.source, client.form, client.judge.wants());
        let checkpoint = client.judge.opening().checkpoint;
        let last_id = client.judge.last_id().expect("it kept one").to_owned();
        // The number sign is lost in some URLs and shells.
        let spelled = match last_id.strip_prefix('#') {
            Some(bare) if rng.percent(30) => bare.to_owned(),
            _ => last_id,
        };
        let start = match Cursor::parse(&spelled) {
            Some(cursor) if spelled.starts_with('#') => Start::After(cursor),
            _ => Start::AfterId(spelled.clone()),
        };
        let located = self.locate(source, &start, wants);
        let next = self.check_located(source, &start, located)?;
        let opening = self.opening(checkpoint, spelled.clone(), located, rng);
        self.tally.count("resumed");
        note!(
            self,
            "{} client {index} comes back from {start:?}: {located:?}, {opening:?}",
            self.now_ms
        );
        let subscription = self.subscription(source, wants, form, located, &opening);
        let client = self.clients[index].as_mut().expect("it was here");
        let model = &self.sources[source].model;
        let has = match &start {
            Start::AfterId(id) => model
                .events()
                .iter()
                .find(|event| event.id.as_deref() == Some(id)),
            _ => None,
        };
        let has = has
            .map(|event| event.cursor)
            .or_else(|| Cursor::parse(&spelled));
        let has = has.map(|cursor| cursor.seen().next());
        let resumed = client.judge.resume(opening, has, next, model);
        client.presence = Presence::Coming(Box::new(subscription));
        resumed.map_err(|error| format!("client {index}: {error}"))
    }

    /// Where a new client wants to start, and how it spells that.
    fn start(&self, source: usize, rng: &mut Rng) -> (Start, String) {
        let source = &self.sources[source];
        let events = source.model.events();
        let some = (!events.is_empty()).then(|| &events[rng.size(0, events.len() - 1)]);
        let bounds = source.log.bounds();
        let cursor = |epoch, seen| {
            (
                Start::After(Cursor::new(epoch, Position(seen))),
                Cursor::new(epoch, Position(seen)).to_string(),
            )
        };
        match (rng.below(12), some) {
            (0..4, _) => (Start::Tail, String::new()),
            (4, _) => (Start::Head, String::new()),
            (5 | 6, Some(event)) => cursor(event.cursor.epoch(), event.cursor.seen().0),
            (7, Some(event)) => (Start::AfterId(event.shown_id()), event.shown_id()),
            (8, _) => cursor(Epoch(77), rng.below(100)),
            (9, _) => cursor(bounds.epoch, bounds.tail.0 + rng.below(50)),
            (10, _) => (Start::AfterId("urn:never".into()), "urn:never".into()),
            (_, Some(_)) if rng.percent(50) => (Start::Last(rng.below(20)), String::new()),
            _ => (Start::Since(self.now_ms - rng.below(5000)), String::new()),
        }
    }

    fn locate(&self, source: usize, start: &Start, wants: Wants) -> Located {
        let answer = Arc::new(Mutex::new(None));
        let there = Arc::clone(&answer);
        self.sources[source].log.locate(Locate {
            start: start.clone(),
            routing: wants.filter().routing,
            done: Box::new(move |located| *there.lock().expect("one thread") = Some(located)),
        });
        let located = *answer.lock().expect("one thread");
        located.expect("a memory log answers at once")
    }

    /// Holds what the log located against the model. Says where one who resumes must go on; `None`: it is told a gap.
    fn check_located(
        &self,
        source: usize,
        start: &Start,
        located: Located,
    ) -> Result<Option<Position>, String> {
        let source = &self.sources[source];
        let bounds = source.log.bounds();
        let model = &source.model;
        let (resumes, cursor) = match start {
            Start::Tail => (Some(bounds.tail), None),
            Start::Head => (Some(bounds.head), None),
            Start::After(cursor) => (
                model.resume(*cursor, bounds.head, bounds.tail),
                Some(*cursor),
            ),
            Start::AfterId(id) => match model
                .events()
                .iter()
                .find(|event| event.id.as_deref() == Some(id))
            {
                Some(event) => (
                    (event.position() >= bounds.head).then(|| event.position().next()),
                    None,
                ),
                None => {
                    let cursor = Cursor::parse(id);
                    (
                        cursor.and_then(|cursor| model.resume(cursor, bounds.head, bounds.tail)),
                        cursor,
                    )
                }
            },
            _ => (Some(located.from), None),
        };
        let forgotten = cursor.is_some_and(|cursor| model.is_forgotten(cursor, bounds.head));
        let fits = match (resumes, located.gap) {
            (Some(next), None) => located.from == next,
            // By a rule's floor, which leaves the reader where it is.
            (Some(next), Some(gap)) => {
                forgotten || (gap.reason == GapReason::Expired && located.from == next)
            }
            (None, gap) => gap.is_some_and(|gap| gap.resume == located.from),
        };
        if fits {
            Ok(resumes.filter(|_| !forgotten || located.gap.is_none()))
        } else {
            Err(format!(
                "located {located:?} for {start:?}, the model says {resumes:?} of {bounds:?}"
            ))
        }
    }

    fn opening(
        &mut self,
        checkpoint: Checkpoint,
        asked: String,
        located: Located,
        rng: &mut Rng,
    ) -> Opening {
        self.next_number += 1;
        Opening {
            stream: format!("stream-{}", self.next_number),
            checkpoint,
            gap: located.gap.map(|gap| (asked, gap.reason)),
            ends_ms: rng.percent(10).then(|| self.now_ms + rng.below(20_000)),
            marks: rights::some_marks(rng),
        }
    }

    fn subscription(
        &self,
        source: usize,
        wants: Wants,
        form: Form,
        located: Located,
        opening: &Opening,
    ) -> Subscription {
        Subscription {
            feed: Arc::clone(&self.sources[source].feed),
            filter: wants.filter(),
            from: located.from,
            gap: opening
                .gap
                .clone()
                .and_then(|(asked, _)| Some((asked, located.gap?))),
            form,
            checkpoint: opening.checkpoint,
            stream: opening.stream.clone(),
            ends_ms: opening.ends_ms,
            marks: opening.marks,
            seen_as: 0,
        }
    }

    fn join(&mut self, index: usize, rng: &mut Rng) -> Outcome {
        let client = self.clients[index].as_mut().expect("it is coming");
        let Presence::Coming(subscription) = std::mem::take(&mut client.presence) else {
            return Ok(());
        };
        let shard = rng.size(0, SHARDS - 1);
        let room = rng.percent(40).then(|| rng.size(0, 3000));
        let pipe = Rc::new(RefCell::new(Pipe::new(room)));
        let place = &mut self.places[shard];
        let key = place
            .shard
            .join(self.now_ms, *subscription, PipeSink(Rc::clone(&pipe)));
        place.due = true;
        note!(self, "{} client {index} joins shard {shard}", self.now_ms);
        client.presence = Presence::Here(Box::new(Connection {
            shard,
            key,
            pipe,
            reader: Reader::new(client.form),
            joined_ms: self.now_ms,
            full_since_ms: None,
            is_revoked: false,
        }));
        Ok(())
    }

    pub(super) fn leave(&mut self, rng: &mut Rng) -> Outcome {
        let Some(index) = self.find_here(rng) else {
            return Ok(());
        };
        let here = self.connection(index).expect("it is here");
        let (shard, key) = (here.shard, here.key);
        let place = &mut self.places[shard];
        place.due = true;
        if place.shard.leave(key).is_none() {
            // It has just ended; the next step says so.
            return Ok(());
        }
        note!(self, "{} client {index} leaves", self.now_ms);
        self.tally.count("left");
        let client = self.clients[index].as_mut().expect("it is here");
        let Presence::Here(here) = std::mem::take(&mut client.presence) else {
            return Ok(());
        };
        let place = &mut self.places[shard];
        let stays = place.shard.sink_mut(here.key).is_some();
        self.count_pipe(&here);
        if stays {
            Err(format!("client {index} left and is still there"))
        } else {
            Ok(())
        }
    }

    /// One stream is ended by its driver, as a revoked token does.
    pub(super) fn end_one(&mut self, rng: &mut Rng) {
        if let Some(index) = self.find_here(rng) {
            note!(self, "{} client {index} is to end", self.now_ms);
            let here = self.connection(index).expect("it is here");
            let (shard, key) = (here.shard, here.key);
            let place = &mut self.places[shard];
            place.shard.end(key, EndReason::Drain);
            place.due = true;
        }
    }

    pub(super) fn die(&mut self, rng: &mut Rng) {
        if let Some(index) = self.find_here(rng) {
            note!(self, "{} client {index} is dead", self.now_ms);
            self.connection(index)
                .expect("it is here")
                .pipe
                .borrow_mut()
                .dead = true;
        }
    }

    pub(super) fn squeeze(&mut self, rng: &mut Rng) {
        if let Some(index) = self.find_here(rng) {
            let room = rng.size(0, 500);
            note!(
                self,
                "{} client {index} has room for {room} bytes",
                self.now_ms
            );
            self.connection(index)
                .expect("it is here")
                .pipe
                .borrow_mut()
                .room = Some(room);
        }
    }

    pub(super) fn read(&mut self, rng: &mut Rng) -> Outcome {
        let full = self.find(rng, |client| match client.map(|client| &client.presence) {
            Some(Presence::Here(here)) => here.pipe.borrow().full,
            _ => false,
        });
        match full {
            Some(index) => {
                let room = rng.percent(70).then(|| rng.size(1, 4000));
                self.make_room(index, room)
            }
            None => Ok(()),
        }
    }

    /// A client reads, so that its sink has room again; the driver writes what is owed and tells the shard.
    pub(super) fn make_room(&mut self, index: usize, room: Option<usize>) -> Outcome {
        let Some(Client {
            presence: Presence::Here(here),
            ..
        }) = &mut self.clients[index]
        else {
            return Ok(());
        };
        let mut pipe = here.pipe.borrow_mut();
        pipe.room = room;
        if pipe.flush() && pipe.full {
            pipe.full = false;
            here.full_since_ms = None;
            let place = &mut self.places[here.shard];
            place.shard.handle_writable(self.now_ms, here.key);
            place.due = true;
        }
        drop(pipe);
        note!(self, "{} client {index} makes room: {room:?}", self.now_ms);
        self.look_at(index, true)
    }

    fn count_pipe(&mut self, here: &Connection) {
        self.tally.merge(&here.pipe.borrow().tally);
    }

    pub(super) fn handle_ended(&mut self, shard: usize, ended: &Ended<PipeSink>) -> Outcome {
        let at = (0..CLIENTS).find(|index| {
            self.connection(*index)
                .is_some_and(|here| here.shard == shard && here.key == ended.key)
        });
        self.tally.count(match ended.reason {
            EndReason::Closed => "ended, closed",
            EndReason::Stalled => "ended, stalled",
            EndReason::Life => "ended, life",
            EndReason::Grant => "ended, grant",
            EndReason::Drain => "ended, drain",
            EndReason::Revoked => "ended, revoked",
            _ => "ended, otherwise",
        });
        let Some(index) = at else {
            return Err(format!(
                "shard {shard} ended somebody who had left: {:?}",
                ended.key
            ));
        };
        // The driver writes what is owed, as far as the socket takes it.
        ended.sink.0.borrow_mut().flush();
        self.look_at(index, true)?;
        let client = self.clients[index].as_mut().expect("it was here");
        let Presence::Here(here) = std::mem::take(&mut client.presence) else {
            return Ok(());
        };
        note!(
            self,
            "{} client {index} is ended: {:?}",
            self.now_ms,
            ended.reason
        );
        self.count_pipe(&here);
        let config = self.places[shard].config;
        let client = self.clients[index].as_ref().expect("it was here");
        check_end(self.now_ms, &config, client, &here, ended)
            .map_err(|error| format!("client {index}: {error}"))
    }
}

/// A grant's end must not come late, so it may come this much early: a tick of the engine's wheel, and one to round.
const EARLY_MS: u64 = 200;

/// Whether a stream ended for a good reason, at a good time, and says rightly what it delivered.
fn check_end(
    now_ms: u64,
    config: &tidewire_engine::ShardConfig,
    client: &Client,
    here: &Connection,
    ended: &Ended<PipeSink>,
) -> Outcome {
    let lived_ms = now_ms - here.joined_ms;
    let pipe = ended.sink.0.borrow();
    let fair = match ended.reason {
        EndReason::Closed => pipe.dead,
        EndReason::Stalled => here
            .full_since_ms
            .is_some_and(|since| now_ms - since >= config.stall_deadline_ms),
        EndReason::Life => config.stream_life_ms > 0 && lived_ms * 10 >= config.stream_life_ms * 8,
        EndReason::Grant => client
            .judge
            .opening()
            .ends_ms
            .is_some_and(|end| now_ms + EARLY_MS > end),
        EndReason::Revoked => here.is_revoked,
        _ => true,
    };
    if !fair {
        return Err(format!(
            "ended without reason: {:?} after {lived_ms} ms",
            ended.reason
        ));
    }
    let (_, events) = client.judge.frames();
    let delivered = ended.delivered;
    // A frame begun is a frame taken, though its client never sees the end of it.
    if delivered != events && (delivered != events + 1 || here.reader.is_between_frames()) {
        return Err(format!(
            "delivered {delivered} events, says the engine; its client saw {events}"
        ));
    }
    Ok(())
}
