//! An EventSource without I/O: told what happened and when, it says what to do. Not here: sockets, clocks, randomness.
//!
//! ```text
//!               Renewing (only with a callback for headers)
//!                ^    |
//!      poll_step |    | handle_renewed
//!                |    v                  handle_head: a stream
//!   Waiting -----------------> Asking ------------------------> Streaming
//!    ^  ^  ^                   |    | handle_head: no stream       | the end, a break, silence, restart
//!    |  |  +----- redirect ----+    v                              v
//!    |  |         or 401, once    Refusal (reads why)           Draining (what was read is given first)
//!    |  |                           |                              |
//!    |  +-------- temporary --------+                              |
//!    +---------------------------------- temporary ----------------+     anything else: Closed
//! ```
//!
//! The owner takes items by [`Machine::poll_item`] until there are none, then, as [`Machine::poll_step`] says, asks for headers,
//! makes a connection, reads from the one it has, or waits; it wakes the machine at [`Machine::poll_timeout`], and drops a connection
//! or a question for headers that the machine does not need any more. All times are durations since one moment of the owner's choice.
//!
//! # Where a reconnect goes
//!
//! To the URL that the client was made with, also after a temporary redirect (302, 303, 307): the server that sent one client elsewhere
//! for now may send it somewhere else the next time, and is the one that knows. Firefox and WebKit do the same, Chromium goes on with the new
//! URL. After permanent ones (301, 308, as long as no temporary one stands before) to where they led.

mod item;
mod memory;
mod request;

use std::collections::VecDeque;
use std::time::Duration;

use http::StatusCode;
use http::header::HeaderMap;
use tidewire_codec::{Decoder, Event};

pub use item::{Item, Opened, State, Step};
pub use request::Attempt;

use crate::backoff::Backoff;
use crate::ends::EndMark;
use crate::head::{self, Meaning, Redirect};
use crate::{CloseReason, Error, Options, RedirectError, RenewError, Renewal};
use memory::Memory;
use request::Target;

/// How much of a refusal's body is kept.
const DETAIL_BYTES_MAX: usize = 8 << 10;
/// How long a refusal's body is waited for.
const DETAIL_WAIT_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum Phase {
    /// No connection; one is due at this time.
    Waiting(Duration),
    /// Headers are asked for, and given up at this time.
    Renewing(Duration),
    /// A request is on its way.
    Asking,
    /// The answer is a stream.
    Streaming,
    /// The connection is gone; what it brought is not all taken yet.
    Draining(Loss),
    /// The answer is no stream; its body is read for its detail until this time.
    Refusal {
        why: Refusal,
        body: Vec<u8>,
        until: Duration,
    },
    Closed,
}

/// How a connection went.
#[derive(Debug)]
struct Loss {
    at: Duration,
    /// `None`: the program wanted it.
    error: Option<Error>,
}

/// An answer that is no stream.
#[derive(Debug)]
enum Refusal {
    Busy(StatusCode, Option<Duration>),
    Status(StatusCode),
    ContentType(Option<String>),
}

/// One client. See the [module](self).
#[derive(Debug)]
pub struct Machine {
    options: Options,
    phase: Phase,
    /// Where an attempt starts.
    base: Target,
    /// Where the attempt in progress has got to.
    target: Target,
    decoder: Decoder,
    backoff: Backoff,
    memory: Option<Memory>,
    /// Headers are asked for before the next connection.
    renews: bool,
    /// The status that refused those given last, until others are given.
    refusal: Option<StatusCode>,
    /// What the callback gave last.
    renewed: HeaderMap,
    /// How often in a row they were refused.
    refused: u32,
    /// What the decoder does not hold itself, oldest first.
    items: VecDeque<Item>,
    /// When the connection last gave a sign of life.
    heard: Duration,
    /// When the stream was opened.
    opened: Duration,
    /// An event came over this connection.
    fruitful: bool,
}

impl Machine {
    /// A client that connects at once. `seed` makes its delays differ from others'.
    #[must_use]
    pub fn new(options: Options, seed: u64) -> Self {
        Self {
            phase: Phase::Waiting(Duration::ZERO),
            base: Target::first(&options),
            target: Target::first(&options),
            decoder: Decoder::with_limits(options.limits)
                .with_last_event_id(&options.last_event_id),
            backoff: Backoff::new(options.retry, seed),
            memory: options.dedup.map(|max| Memory::new(max.get(), seed)),
            renews: options.renew.is_some(),
            refusal: None,
            renewed: HeaderMap::new(),
            refused: 0,
            items: VecDeque::new(),
            heard: Duration::ZERO,
            opened: Duration::ZERO,
            fruitful: false,
            options,
        }
    }

    /// The state as a browser would show it.
    #[must_use]
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Streaming | Phase::Draining(_) => State::Open,
            Phase::Closed => State::Closed,
            Phase::Waiting(_) | Phase::Renewing(_) | Phase::Asking | Phase::Refusal { .. } => {
                State::Connecting
            }
        }
    }

    /// The id that the next connection goes on from, as far as items were taken.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// True while a connection is in use; otherwise the owner drops it.
    #[must_use]
    pub fn needs_connection(&self) -> bool {
        match self.phase {
            Phase::Asking | Phase::Streaming | Phase::Refusal { .. } => true,
            Phase::Waiting(_) | Phase::Renewing(_) | Phase::Draining(_) | Phase::Closed => false,
        }
    }

    /// True while the callback's answer is wanted; otherwise the owner drops its future.
    #[must_use]
    pub fn needs_renewal(&self) -> bool {
        matches!(self.phase, Phase::Renewing(_))
    }

    /// The next item for the program; take them all before the next step.
    pub fn poll_item(&mut self) -> Option<Item> {
        while self.items.is_empty() {
            let is_over = match self.phase {
                Phase::Streaming => false,
                Phase::Draining(_) => true,
                _ => break,
            };
            match self.decode_one() {
                true => {}
                false if is_over => self.settle_loss(),
                false => break,
            }
        }
        self.items.pop_front()
    }

    /// What to do at `now`.
    pub fn poll_step(&mut self, now: Duration) -> Step {
        match self.phase {
            Phase::Waiting(due) if due <= now => self.begin(now),
            Phase::Waiting(_) | Phase::Renewing(_) | Phase::Draining(_) => Step::Wait,
            Phase::Asking | Phase::Streaming | Phase::Refusal { .. } => Step::Read,
            Phase::Closed => Step::Stop,
        }
    }

    /// When [`Machine::handle_timeout`] is to be called at the latest; `None`: not for now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Waiting(due) => Some(*due),
            Phase::Renewing(until) | Phase::Refusal { until, .. } => Some(*until),
            Phase::Asking | Phase::Streaming => self
                .options
                .silence_max
                .map(|max| self.heard.saturating_add(max)),
            Phase::Draining(loss) => Some(loss.at),
            Phase::Closed => None,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        match self.phase {
            Phase::Refusal { .. } => self.settle_refusal(now),
            Phase::Asking | Phase::Streaming => {
                let max = self.options.silence_max.unwrap_or_default();
                self.handle_failure(now, Error::Silent(max));
            }
            Phase::Renewing(_) => {
                let late = format!("no answer within {:?}", self.options.renew_max);
                self.handle_renewed(now, Err(RenewError::temporary(late)));
            }
            Phase::Waiting(_) | Phase::Draining(_) | Phase::Closed => {}
        }
    }

    /// The callback has answered.
    pub fn handle_renewed(&mut self, now: Duration, answer: Result<HeaderMap, RenewError>) {
        if !matches!(self.phase, Phase::Renewing(_)) {
            return;
        }
        match answer {
            Ok(mut headers) => {
                // Whatever their names, they never go to another origin.
                for value in headers.values_mut() {
                    value.set_sensitive(true);
                }
                self.renewed = headers;
                self.refusal = None;
                self.phase = Phase::Waiting(now);
            }
            Err(error) => self.lose(now, Error::Renew(error), Duration::ZERO),
        }
    }

    /// The answer's status and headers are there.
    pub fn handle_head(&mut self, now: Duration, status: StatusCode, headers: &HeaderMap) {
        if !matches!(self.phase, Phase::Asking) {
            return;
        }
        self.heard = now;
        match head::read(status, headers, self.target.url()) {
            Meaning::Stream => self.open(now, headers),
            Meaning::NothingMore if self.options.ends.is_some() => self.fail(Error::NoContent),
            Meaning::NothingMore => self.end(CloseReason::Ended),
            Meaning::Redirect(redirect) => self.follow(now, redirect),
            Meaning::BadRedirect(error) => self.fail(Error::Redirect(error)),
            Meaning::Busy(retry_after) => self.refuse(now, Refusal::Busy(status, retry_after)),
            Meaning::Unauthorized if self.may_renew() => self.renew(now, status),
            Meaning::Unauthorized | Meaning::Refused => self.refuse(now, Refusal::Status(status)),
            Meaning::OtherType(found) => self.refuse(now, Refusal::ContentType(found)),
            Meaning::Encoded(coding) => self.fail(Error::ContentEncoding(coding)),
        }
    }

    /// Bytes of the answer's body, cut anywhere.
    pub fn handle_bytes(&mut self, now: Duration, bytes: &[u8]) {
        self.heard = now;
        match &mut self.phase {
            Phase::Streaming => self.decoder.feed(bytes),
            Phase::Refusal { body, .. } => {
                let len = bytes.len().min(DETAIL_BYTES_MAX - body.len());
                body.extend_from_slice(&bytes[..len]);
                if body.len() == DETAIL_BYTES_MAX {
                    self.settle_refusal(now);
                }
            }
            Phase::Waiting(_)
            | Phase::Renewing(_)
            | Phase::Asking
            | Phase::Draining(_)
            | Phase::Closed => {}
        }
    }

    /// The answer's body has ended as HTTP wants it.
    pub fn handle_end(&mut self, now: Duration) {
        self.handle_failure(now, Error::Ended);
    }

    /// The connection could not be made, or broke.
    pub fn handle_failure(&mut self, now: Duration, error: Error) {
        match self.phase {
            Phase::Asking => self.lose(now, error, Duration::ZERO),
            Phase::Streaming => {
                let error = Some(error);
                self.phase = Phase::Draining(Loss { at: now, error });
            }
            Phase::Refusal { .. } => self.settle_refusal(now),
            Phase::Waiting(_) | Phase::Renewing(_) | Phase::Draining(_) | Phase::Closed => {}
        }
    }

    /// The program wants another connection, after the usual delay; no item tells of it. Without effect while waiting for
    /// one anyway.
    pub fn restart(&mut self, now: Duration) {
        match self.phase {
            Phase::Streaming => {
                let error = None;
                self.phase = Phase::Draining(Loss { at: now, error });
            }
            Phase::Asking | Phase::Refusal { .. } => self.wait_as_usual(now),
            Phase::Waiting(_) | Phase::Renewing(_) | Phase::Draining(_) | Phase::Closed => {}
        }
    }

    /// The program wants no more. 9.2.3 and 9.2.6 dispatch nothing once `readyState` is CLOSED: what was read and not yet taken is
    /// dropped, and [`Machine::last_event_id`] stays that of the last event taken.
    pub fn close(&mut self) {
        if !matches!(self.phase, Phase::Closed) {
            self.items.clear();
            self.end(CloseReason::Asked);
        }
    }

    /// A connection is due: its headers first, if there is a callback for them and no redirect that they were already got for.
    fn begin(&mut self, now: Duration) -> Step {
        if std::mem::take(&mut self.renews) {
            self.phase = Phase::Renewing(now.saturating_add(self.options.renew_max));
            return Step::Renew(self.refusal.map_or(Renewal::Connect, Renewal::Refused));
        }
        self.phase = Phase::Asking;
        self.heard = now;
        let id = self.decoder.last_event_id();
        Step::Connect(Box::new(self.target.attempt(
            &self.options,
            &self.renewed,
            id,
        )))
    }

    /// 9.2.3, "announce the connection".
    fn open(&mut self, now: Duration, headers: &HeaderMap) {
        self.phase = Phase::Streaming;
        self.opened = now;
        self.fruitful = false;
        self.refused = 0;
        if let Some(memory) = &mut self.memory {
            memory.handle_connection();
        }
        self.items.push_back(Item::Open(Opened {
            url: self.target.url().clone(),
            headers: headers.clone(),
        }));
    }

    /// Takes one line's worth from the decoder, which may make an item of it; false when it needs more bytes.
    fn decode_one(&mut self) -> bool {
        use tidewire_codec::ItemRef as Decoded;
        let event = match self.decoder.next_item() {
            Ok(None) => return false,
            Ok(Some(Decoded::Event(event))) => event.into_owned(),
            Ok(Some(Decoded::Comment(text))) => {
                if self.options.comments {
                    self.items.push_back(Item::Comment(text.to_owned()));
                }
                return true;
            }
            Ok(Some(Decoded::Retry(ms))) => {
                let retry = self.take_retry(ms);
                self.items.push_back(Item::Retry(retry));
                return true;
            }
            Err(error) => {
                self.fail(Error::Decode(error));
                return true;
            }
        };
        self.take_event(event);
        true
    }

    fn take_event(&mut self, event: Event) {
        // An event that names no id itself, or the empty one, cannot be told from another: it is never a repeat.
        if self.decoder.event_had_id()
            && !event.last_event_id.is_empty()
            && let Some(memory) = &mut self.memory
            && memory.is_repeat(&event)
        {
            return;
        }
        self.fruitful = true;
        let ends = self.options.ends.as_ref();
        let mark = ends.and_then(|ends| ends.mark(&event.event_type, &event.data));
        let (is_given, is_last) = match mark {
            Some(EndMark::Data(_)) => (false, true),
            Some(EndMark::Type(_)) => (true, true),
            None => (true, false),
        };
        if is_given {
            self.items.push_back(Item::Event(event));
        }
        if is_last {
            self.end(CloseReason::Ended);
        }
    }

    /// 9.2.6 sets no bound to `retry`; hot loops and clients that never come back are bounded here.
    fn take_retry(&mut self, ms: u64) -> Duration {
        let retry = Duration::from_millis(ms)
            .min(self.options.retry_max)
            .max(self.options.retry_min);
        self.backoff.retry = retry;
        retry
    }

    fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed;
        self.items.push_back(Item::Closed(reason));
    }

    fn fail(&mut self, error: Error) {
        self.end(CloseReason::Failed(error));
    }

    /// All that the lost connection brought was taken.
    fn settle_loss(&mut self) {
        let Phase::Draining(loss) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            unreachable!("called in this phase only");
        };
        // 9.2.6: an event without its blank line is discarded. Where there is no next connection that brings it, that is said.
        let is_cut = self.decoder.finish();
        if self.fruitful || loss.at.saturating_sub(self.opened) >= self.options.backoff_max {
            self.backoff.handle_success();
        }
        match (loss.error, &self.options.ends) {
            (None, _) => self.wait_as_usual(loss.at),
            (Some(Error::Ended), Some(ends)) => match is_cut || ends.required {
                true => self.fail(Error::Unfinished),
                false => self.end(CloseReason::Ended),
            },
            (Some(error), _) => self.lose(loss.at, error, Duration::ZERO),
        }
    }

    /// There is no connection; whether another follows is the error's to say. `floor` is what the server asked to wait.
    fn lose(&mut self, now: Duration, error: Error, floor: Duration) {
        self.backoff.handle_failure();
        let exhausted = self
            .options
            .failures_max
            .is_some_and(|max| self.backoff.failures() >= max);
        if exhausted || !error.is_temporary() || self.options.ends.is_some() {
            return self.fail(error);
        }
        let floor = floor.min(self.options.retry_max);
        let delay = self.backoff.delay(floor, &self.options);
        self.items.push_back(Item::Reconnecting { error, delay });
        self.wait(now.saturating_add(delay));
    }

    fn wait_as_usual(&mut self, now: Duration) {
        let delay = self.backoff.delay(Duration::ZERO, &self.options);
        self.wait(now.saturating_add(delay));
    }

    fn wait(&mut self, due: Duration) {
        self.target = self.base.clone();
        self.renews = self.options.renew.is_some();
        self.phase = Phase::Waiting(due);
    }

    /// The answer is no stream; its body says why.
    fn refuse(&mut self, now: Duration, why: Refusal) {
        self.phase = Phase::Refusal {
            why,
            body: Vec::new(),
            until: now.saturating_add(DETAIL_WAIT_MAX),
        };
    }

    /// The refusal's body was read as far as it will be.
    fn settle_refusal(&mut self, now: Duration) {
        let Phase::Refusal { why, body, .. } = std::mem::replace(&mut self.phase, Phase::Closed)
        else {
            unreachable!("called in this phase only");
        };
        let detail = String::from_utf8_lossy(&body).into_owned();
        match why {
            Refusal::Busy(status, retry_after) => {
                let error = Error::Busy {
                    status,
                    retry_after,
                    detail,
                };
                self.lose(now, error, retry_after.unwrap_or_default());
            }
            Refusal::Status(status) => self.fail(Error::Status { status, detail }),
            Refusal::ContentType(found) => self.fail(Error::ContentType { found, detail }),
        }
    }

    fn may_renew(&self) -> bool {
        self.options.renew.is_some() && self.refused < self.options.refused_max
    }

    /// The server does not take the headers any more. The callback is asked again, at once for the first time in a row: a token
    /// that has just run out is no fault of anybody's.
    fn renew(&mut self, now: Duration, status: StatusCode) {
        self.refused += 1;
        self.refusal = Some(status);
        match self.refused {
            1 => self.wait(now),
            _ => self.wait_as_usual(now),
        }
    }

    fn follow(&mut self, now: Duration, redirect: Redirect) {
        // Fetch, "HTTP-redirect fetch": "If request's redirect count is 20, then return a network error."
        if self.target.redirects() >= self.options.redirects_max {
            let error = RedirectError::TooMany(self.options.redirects_max);
            return self.fail(Error::Redirect(error));
        }
        self.target.follow(redirect);
        if let Some(base) = self.target.permanent() {
            self.base = base;
        }
        self.phase = Phase::Waiting(now);
    }
}
