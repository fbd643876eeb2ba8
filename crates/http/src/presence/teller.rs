//! The thread that tells: it takes what waits, encodes it, and appends it, one batch after the other, so that events stand in
//! the log in the order of what they tell.

use std::borrow::Cow;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tidewire_log::{Append, AppendError, Event, Presence as Told};

use super::Presence;
use super::pace::{Pace, Rate};
use super::queue::Change;
use super::registry::Listed;

/// So many events are appended at once.
const BATCH_EVENTS: usize = 1000;
/// How long a log that takes nothing for now is left alone.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How often the thread looks whether the hub is still there while the log does not answer.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often it is said at most that they come too fast.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// When the thread tells.
struct Turn {
    began: Instant,
    pace: Pace,
    told: Option<Instant>,
}

pub(super) fn run(presence: &Presence, rate: Option<Rate>) {
    let mut turn = Turn {
        began: Instant::now(),
        pace: Pace::new(rate),
        told: None,
    };
    while let Some(changes) = turn.next(presence) {
        let count = changes.len() as u64;
        let told = tell(presence, changes);
        presence.counts.told.add(told);
        presence.counts.dropped.add(count as usize - told);
        presence.state().outstanding -= told as u64;
    }
}

impl Turn {
    /// Waits for changes, and for their rate; `None` once the hub is gone and all is told.
    fn next(&mut self, presence: &Presence) -> Option<Vec<Change>> {
        const UNPOISONED: &str = "nobody panics with this lock";
        let mut state = presence.state();
        let mut is_late = false;
        loop {
            while state.queue.is_empty() {
                (state.is_idle, state.is_behind) = (true, false);
                presence.idle.notify_all();
                if state.is_stopped {
                    return None;
                }
                state = presence.work.wait(state).expect(UNPOISONED);
            }
            state.is_idle = false;
            let wanted = state.queue.len().min(BATCH_EVENTS);
            let count = match state.is_closed {
                // What is left is no more than there were subscriptions, and nobody can tell it later.
                true => wanted,
                false => self.pace.take(self.began.elapsed(), wanted),
            };
            if count > 0 {
                if is_late {
                    presence.counts.late.add(count);
                }
                return Some(state.queue.take(count));
            }
            is_late = true;
            if !std::mem::replace(&mut state.is_behind, true) {
                self.say(state.queue.len());
            }
            let waited = presence.work.wait_timeout(state, self.pace.wait());
            state = waited.expect(UNPOISONED).0;
        }
    }

    fn say(&mut self, waiting: usize) {
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        tracing::warn!(
            waiting,
            "subscriptions begin and end faster than events tell it (presence_rate_max): they are told later, and of those that \
             begin and end meanwhile none; the API shows them as they are"
        );
    }
}

/// Appends these changes; how many of them the log has now.
fn tell(presence: &Presence, mut changes: Vec<Change>) -> usize {
    let now_ms = (presence.clock)();
    let mut is_late = false;
    loop {
        let events = events(&presence.hub_path, &mut changes, now_ms);
        if events.is_empty() {
            return 0;
        }
        match append(presence, events) {
            Ok(()) => return changes.len(),
            Err(AppendError::TooLarge { index, .. }) if index < changes.len() => {
                tracing::warn!("no event tells a subscription: its payload is too large");
                changes.remove(index);
            }
            Err(error) if error.is_temporary() && !presence.state().is_stopped => {
                if !std::mem::replace(&mut is_late, true) {
                    tracing::warn!(%error, "subscription events wait for the log");
                }
                std::thread::sleep(RETRY_AFTER);
            }
            Err(error) => {
                tracing::error!(%error, lost = changes.len(), "subscription events are lost");
                return 0;
            }
        }
    }
}

/// The events of these changes; of what cannot be told the change goes.
fn events(hub_path: &str, changes: &mut Vec<Change>, now_ms: u64) -> Vec<Event> {
    let mut events = Vec::with_capacity(changes.len());
    changes.retain(|change| match event(hub_path, change, now_ms) {
        Ok(event) => {
            events.push(event);
            true
        }
        Err(error) => {
            tracing::warn!(%error, "no event tells a subscription: its matcher is too long");
            false
        }
    });
    events
}

fn append(presence: &Presence, events: Vec<Event>) -> Result<(), AppendError> {
    let (ack, answer) = channel();
    presence.log.append(Append {
        events,
        ack: Box::new(move |stored| {
            // Nobody listens any more after the hub has gone.
            let _ = ack.send(stored.map(drop));
        }),
    });
    loop {
        match answer.recv_timeout(LOOK_EVERY) {
            Ok(stored) => return stored,
            Err(RecvTimeoutError::Timeout) if presence.state().is_stopped => {
                return Err(AppendError::Busy);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(AppendError::Stopped("it gave no answer".into()));
            }
        }
    }
}

fn event(hub_path: &str, change: &Change, now_ms: u64) -> Result<Event, tidewire_core::TopicError> {
    match change {
        Change::Began(listed) => told(listed, true).event(hub_path, now_ms),
        Change::Ended(listed) => told(listed, false).event(hub_path, now_ms),
        Change::Left(left) => left.event(hub_path, now_ms),
    }
}

/// A subscription in the words of the log.
pub(super) fn told(listed: &Listed, active: bool) -> Told<'_> {
    let payload = listed.payload.as_deref();
    // A token's payload was JSON when the token was read.
    let payload = payload.and_then(|json| serde_json::from_str::<Value>(json).ok());
    Told {
        match_type: listed.name.match_type,
        text: Cow::Borrowed(&listed.name.text),
        subscriber: listed.subscriber.to_string().into(),
        active,
        payload: payload.map(Cow::Owned),
    }
}
