//! Presence: who subscribes to what, told by events in the log (mercure.md, 1.13 and 2.60 to 2.65) and by an API (1.14 and 2.64).
//! Off unless [`crate::Settings::subscriptions`]; then nothing here exists.
//!
//! ```text
//!  a stream begins ── Arrival::begin ─▶ Registry ─▶ Queue ─▶ the thread `presence` ─▶ Log::append, in batches
//!  a stream ends ──── Guard::drop ─────▶    ▲                       ▲
//!                                           └── api: pages          └── past: what an earlier life left open
//! ```
//!
//! The registry is the truth of the moment; events follow it, in its order, within milliseconds. Each is private and has two
//! topics, one in the form of each dialect. Nothing here delivers: events reach listeners through the log, like all others.

mod api;
mod document;
mod pace;
mod past;
mod queue;
mod registry;
mod teller;

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tidewire_core::{Grant, MatcherSet, Position};
use tidewire_engine::driver::OnEnd;
use tidewire_log::Log;

use crate::counters::Count;
use crate::front::Clock;
pub(crate) use api::{has, subscriptions};
pub(crate) use pace::Rate;
use queue::{Change, Queue, Queued, WAITING_CHANGES_MAX};
use registry::{Listed, Name, Payload, Registry, SubscriberId};

/// Where the API of a hub with this path is, and the topics of what it tells.
pub(crate) fn path_of(hub_path: &str) -> String {
    format!("{hub_path}/subscriptions")
}

/// Who subscribes, and what has yet to be told of it.
pub(crate) struct Presence {
    /// Held to look something up or to change it, never while anything is encoded or appended.
    state: Mutex<State>,
    /// Told when there is something to be told.
    work: Condvar,
    /// Told when there is nothing more.
    idle: Condvar,
    log: Arc<dyn Log>,
    clock: Clock,
    /// Below it subscriptions have their topics, and the API its documents.
    hub_path: Box<str>,
    /// What everybody may read, on a hub that shows presence to all.
    open: Option<MatcherSet>,
    pub(crate) counts: Counts,
}

/// What presence counts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Events appended.
    pub(crate) told: Count,
    /// Changes that no event tells: the log refused them.
    pub(crate) dropped: Count,
    /// Changes that no event tells, for beginning and end met while too much waited.
    pub(crate) unsaid: Count,
    /// Events that were told later than they could have been, for their rate.
    pub(crate) late: Count,
}

struct State {
    registry: Registry,
    queue: Queue,
    /// Changes so far.
    changed: u64,
    /// Of these, the ones that no event in the log tells yet, or ever will.
    outstanding: u64,
    /// Nobody is added any more.
    is_closed: bool,
    /// The hub is gone.
    is_stopped: bool,
    /// The thread waits to be told.
    is_idle: bool,
    /// More comes than the rate lets the thread tell.
    is_behind: bool,
}

/// Presence of a hub that runs; with it the thread ends.
pub(crate) struct Running(Arc<Presence>);

impl Running {
    pub(crate) fn start(
        log: Arc<dyn Log>,
        clock: Clock,
        hub_path: &str,
        open: Option<MatcherSet>,
        stream_life: Option<Duration>,
        rate: Option<Rate>,
    ) -> std::io::Result<Self> {
        let presence = Arc::new(Presence::new(log, clock, hub_path, open));
        let of_thread = Arc::clone(&presence);
        std::thread::Builder::new()
            .name("presence".to_owned())
            .spawn(move || teller::run(&of_thread, rate))?;
        let running = Self(Arc::clone(&presence));
        // Now, not when the thread runs: what comes later is this life's own.
        let past = presence.log.bounds();
        std::thread::Builder::new()
            .name("presence-past".to_owned())
            .spawn(move || past::close(&presence, past, stream_life))?;
        Ok(running)
    }

    pub(crate) fn get(&self) -> &Arc<Presence> {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.end_all();
        self.0.state().is_stopped = true;
        self.0.work.notify_all();
    }
}

impl Presence {
    fn new(log: Arc<dyn Log>, clock: Clock, hub_path: &str, open: Option<MatcherSet>) -> Self {
        Self {
            state: Mutex::new(State {
                registry: Registry::default(),
                queue: Queue::new(WAITING_CHANGES_MAX),
                changed: 0,
                outstanding: 0,
                is_closed: false,
                is_stopped: false,
                is_idle: false,
                is_behind: false,
            }),
            work: Condvar::new(),
            idle: Condvar::new(),
            log,
            clock,
            hub_path: hub_path.into(),
            open,
            counts: Counts::default(),
        }
    }

    /// What follows the path of the subscriptions.
    fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&*self.hub_path)?;
        let rest = rest.strip_prefix("/subscriptions")?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with this lock")
    }

    /// Whose private events somebody with this grant may read: on a hub that shows presence to all, those of presence.
    pub(crate) fn readable(&self, grant: &Grant) -> MatcherSet {
        self.open.as_ref().unwrap_or(&grant.private).clone()
    }

    /// Somebody who has asked for these topics and may have them; nobody is told yet.
    pub(crate) fn arrival(self: &Arc<Self>, routing: &MatcherSet, grant: &Grant) -> Box<Arrival> {
        Box::new(Arrival {
            presence: Arc::clone(self),
            subscriber: SubscriberId::random(),
            shown: shown(routing, grant),
        })
    }

    /// The topics of a running stream, by the mark that it joined with, are these from now on: what is new to it begins, and what it
    /// has no more ends. Who keeps what it had is shown with the payload that it came with.
    pub(crate) fn revise(&self, mark: u64, routing: &MatcherSet, grant: &Grant) {
        let shown = shown(routing, grant);
        let mut state = self.state();
        let Some(subscriber) = state.registry.marked(mark) else {
            // It has ended meanwhile.
            return;
        };
        let known = state.registry.names_of(subscriber);
        let gone = known
            .into_iter()
            .filter(|name| !shown.iter().any(|(kept, _)| kept == name));
        for name in gone.collect::<Vec<_>>() {
            let ended = state.registry.remove(subscriber, &name);
            state.end(ended, &self.counts);
        }
        state.begin(subscriber, shown);
        self.wake(state);
    }

    fn begin(&self, subscriber: SubscriberId, shown: Vec<(Name, Payload)>) -> bool {
        let mut state = self.state();
        if state.is_closed {
            return false;
        }
        state.begin(subscriber, shown);
        self.wake(state);
        true
    }

    fn end(&self, subscriber: SubscriberId) {
        let mut state = self.state();
        let ended = state.registry.remove_all(subscriber);
        state.end(ended, &self.counts);
        self.wake(state);
    }

    /// Ends everyone, and adds nobody any more.
    fn end_all(&self) {
        let mut state = self.state();
        state.is_closed = true;
        while let Some(subscriber) = state.registry.first() {
            let ended = state.registry.remove_all(subscriber);
            state.end(ended, &self.counts);
        }
        self.wake(state);
        // Also if it waits for its rate, which does not hold any more.
        self.work.notify_all();
    }

    /// What an earlier life left open has ended.
    fn end_left(&self, left: impl IntoIterator<Item = tidewire_log::Presence<'static>>) {
        let mut state = self.state();
        for presence in left {
            state.queue.push(Change::Left(Box::new(presence)));
            state.changed += 1;
            state.outstanding += 1;
        }
        self.wake(state);
    }

    /// Telling costs a system call; a thread that is at work looks again by itself.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let tells = !state.queue.is_empty() && std::mem::take(&mut state.is_idle);
        drop(state);
        if tells {
            self.work.notify_one();
        }
    }

    /// Ends everyone, and waits until the log has all of it, or so long. Blocks.
    pub(crate) fn close(&self, patience: Duration) {
        self.end_all();
        let busy = |state: &mut State| !(state.queue.is_empty() && state.is_idle);
        let waited = self.idle.wait_timeout_while(self.state(), patience, busy);
        let (state, timeout) = waited.expect("nobody panics with this lock");
        if timeout.timed_out() {
            let left = state.queue.len();
            tracing::warn!(
                left,
                "the log did not take all ends of subscriptions in time; the next start tells them"
            );
        }
    }

    /// How many subscriptions there are, and how many changes wait to be told.
    pub(crate) fn levels(&self) -> (usize, usize) {
        let state = self.state();
        (state.registry.total(), state.queue.len())
    }

    /// Up to which event the registry is told by the log, and what says whether it has changed.
    fn version(&self, state: &State) -> Version {
        let tail = self.log.bounds().tail;
        let last_event_id = match tail {
            // mercure.md, 1.11: what stands before the first event.
            Position::FIRST => "earliest".to_owned(),
            tail => self.log.cursor_at(tail).to_string(),
        };
        // Without changes under way the log says it all; else this is a state of its own.
        let tag = match state.outstanding {
            0 => last_event_id.clone(),
            _ => format!("{last_event_id}+{}", state.changed),
        };
        Version { last_event_id, tag }
    }
}

/// Which state of the registry a document shows. Events after `last_event_id` tell what has changed since.
struct Version {
    last_event_id: String,
    tag: String,
}

impl State {
    fn begin(&mut self, subscriber: SubscriberId, shown: Vec<(Name, Payload)>) {
        let Self {
            registry,
            queue,
            changed,
            outstanding,
            ..
        } = self;
        registry.insert(subscriber, shown, |listed| {
            *changed += 1;
            *outstanding += 1;
            queue.push(Change::Began(listed))
        });
    }

    fn end(&mut self, ended: impl IntoIterator<Item = (Listed, u64)>, counts: &Counts) {
        for (listed, began) in ended {
            self.changed += 1;
            self.outstanding += 1;
            if self.queue.push_end(listed, began, self.is_behind) == Queued::Unsaid {
                self.outstanding -= 2;
                counts.unsaid.add(2);
            }
        }
    }
}

/// What others see of a subscriber's topics.
fn shown(routing: &MatcherSet, grant: &Grant) -> Vec<(Name, Payload)> {
    let names = routing.iter().filter_map(Name::of);
    names
        .map(|name| {
            let payload = payload(grant, &name.text);
            (name, payload)
        })
        .collect()
}

/// mercure.md, 2.63: the first whose topics match the matcher's own text, taken for a topic.
fn payload(grant: &Grant, text: &str) -> Payload {
    let fits = |payload: &&tidewire_core::Payload| payload.topics.accepts(text.as_bytes());
    let payload = grant.payloads.iter().find(fits);
    payload.map(|payload| Arc::clone(&payload.json))
}

/// Somebody whose stream is about to begin.
pub(crate) struct Arrival {
    presence: Arc<Presence>,
    subscriber: SubscriberId,
    shown: Vec<(Name, Payload)>,
}

impl Arrival {
    /// mercure.md, 2.65: the stream is registered, and so it is told of. It ends with what is returned, called or dropped.
    pub(crate) fn begin(self, on_end: Option<OnEnd>) -> OnEnd {
        let is_listed = self.presence.begin(self.subscriber, self.shown);
        let guard = is_listed.then_some(Guard {
            presence: self.presence,
            subscriber: self.subscriber,
        });
        Box::new(move |end| {
            drop(guard);
            if let Some(on_end) = on_end {
                on_end(end);
            }
        })
    }
}

/// As what a stream is seen by others, for its shard: zero if presence is off.
pub(crate) fn seen_as(arrival: Option<&Arrival>) -> u64 {
    arrival.map_or(0, |arrival| arrival.subscriber.mark())
}

/// Begins an arrival, if presence is on.
pub(crate) fn begin(arrival: Option<Box<Arrival>>, on_end: Option<OnEnd>) -> Option<OnEnd> {
    match arrival {
        Some(arrival) => Some(arrival.begin(on_end)),
        None => on_end,
    }
}

/// A stream that others see.
struct Guard {
    presence: Arc<Presence>,
    subscriber: SubscriberId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.presence.end(self.subscriber);
    }
}

#[cfg(test)]
mod tests;
