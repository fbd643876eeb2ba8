//! An EventSource without I/O: told what happened and when, it says what to do. Not here: sockets, clocks, randomness.
//!
//! ```text
//!             poll_connect            handle_head: a stream
//!   Waiting ----------------> Asking ------------------------> Streaming
//!      ^  ^                   |    | handle_head: no stream        |
//!      |  +------ redirect ---+    v                               |
//!      |                   Refusal (reads why)                     |
//!      |                           |                               |
//!      +------- temporary ---------+-------------------------------+      anything else: Closed
//! ```
//!
//! The owner takes items by [`Machine::poll_item`] until there are none, then, as [`Machine::poll_step`] says, makes a
//! connection, reads from the one it has, or waits; it wakes the machine at [`Machine::poll_timeout`], and drops a connection
//! that the machine does not need any more. All times are
//! durations since one moment of the owner's choice.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap,
    HeaderValue, USER_AGENT,
};
use http::{HeaderName, Method, StatusCode};
use tidewire_codec::{Decoder, Event};
use url::Url;

use crate::backoff::Backoff;
use crate::head::{self, Meaning};
use crate::{CloseReason, Error, Options, RedirectError};

/// How much of a refusal's body is kept.
const DETAIL_BYTES_MAX: usize = 8 << 10;
/// How long a refusal's body is waited for.
const DETAIL_WAIT_MAX: Duration = Duration::from_secs(2);

/// The three states of an EventSource (WHATWG HTML 9.2.2, `readyState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No stream yet, or none at the moment.
    Connecting,
    /// A stream is being read.
    Open,
    /// Stopped for good.
    Closed,
}

/// What a client tells its program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// A stream is open; once for each connection that gets so far.
    Open(Opened),
    /// An event.
    Event(Event),
    /// A comment line.
    Comment(String),
    /// The stream set the reconnection time, here as it will be used.
    Retry(Duration),
    /// The connection failed or ended, and another attempt follows.
    Reconnecting {
        /// Why.
        error: Error,
        /// When, from now.
        delay: Duration,
    },
    /// Stopped for good; the last item.
    Closed(CloseReason),
}

/// The head of an answer that is an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where the stream is, after redirects.
    pub url: Url,
    /// The answer's headers.
    pub headers: HeaderMap,
}

/// A request to send over a new connection.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The URL to ask; its fragment is not sent.
    pub url: Url,
    /// The method.
    pub method: Method,
    /// All headers but those that framing needs (`Host`, `Content-Length`).
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What the owner has to do next. It changes with every `handle_*` call.
#[derive(Debug)]
pub enum Step {
    /// Send this over a new connection.
    Connect(Box<Attempt>),
    /// Go on with the connection.
    Read,
    /// Wait for [`Machine::poll_timeout`].
    Wait,
    /// There is nothing more to do.
    Stop,
}

#[derive(Debug)]
enum Phase {
    /// No connection; one is due at this time.
    Waiting(Duration),
    /// A request is on its way.
    Asking,
    /// The answer is a stream.
    Streaming,
    /// The answer is a refusal, whose body is read for its detail until this time.
    Refusal {
        status: StatusCode,
        busy: Option<Option<Duration>>,
        body: Vec<u8>,
        until: Duration,
    },
    Closed,
}

/// Where a request goes.
#[derive(Clone, Debug)]
struct Target {
    url: Url,
    method: Method,
    body: Bytes,
    /// Redirects in a row.
    redirects: u32,
    /// All of them were permanent: later reconnects start at their end.
    permanent: bool,
    /// The way led over another origin: what authenticates stays behind, as in fetch.
    foreign: bool,
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
            Phase::Streaming => State::Open,
            Phase::Closed => State::Closed,
            Phase::Waiting(_) | Phase::Asking | Phase::Refusal { .. } => State::Connecting,
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
            Phase::Waiting(_) | Phase::Closed => false,
        }
    }

    /// The next item for the program; take them all before the next step.
    pub fn poll_item(&mut self) -> Option<Item> {
        if let Some(item) = self.items.pop_front() {
            return Some(item);
        }
        if matches!(self.phase, Phase::Streaming) {
            self.decode_one();
        }
        self.items.pop_front()
    }

    /// What to do at `now`.
    pub fn poll_step(&mut self, now: Duration) -> Step {
        match self.phase {
            Phase::Waiting(due) if due <= now => {
                self.phase = Phase::Asking;
                self.heard = now;
                Step::Connect(Box::new(self.attempt()))
            }
            Phase::Waiting(_) => Step::Wait,
            Phase::Asking | Phase::Streaming | Phase::Refusal { .. } => Step::Read,
            Phase::Closed => Step::Stop,
        }
    }

    /// When [`Machine::handle_timeout`] is to be called at the latest; `None`: not for now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Waiting(due) => Some(due),
            Phase::Asking | Phase::Streaming => self
                .options
                .silence_max
                .map(|max| self.heard.saturating_add(max)),
            Phase::Refusal { until, .. } => Some(until),
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
            Phase::Waiting(_) | Phase::Closed => {}
        }
    }

    /// The answer's status and headers are there.
    pub fn handle_head(&mut self, now: Duration, status: StatusCode, headers: &HeaderMap) {
        if !matches!(self.phase, Phase::Asking) {
            return;
        }
        self.heard = now;
        let refusal = |busy| Phase::Refusal {
            status,
            busy,
            body: Vec::new(),
            until: now + DETAIL_WAIT_MAX,
        };
        match head::read(status, headers, &self.target.url) {
            Meaning::Stream => {
                self.phase = Phase::Streaming;
                self.opened = now;
                self.fruitful = false;
                self.items.push_back(Item::Open(Opened {
                    url: self.target.url.clone(),
                    headers: headers.clone(),
                }));
            }
            Meaning::NothingMore => self.end(CloseReason::Ended),
            Meaning::Redirect {
                to,
                permanent,
                becomes_get,
            } => self.follow(now, to, permanent, becomes_get),
            Meaning::BadRedirect(error) => self.end(CloseReason::Failed(Error::Redirect(error))),
            Meaning::Busy(retry_after) => self.phase = refusal(Some(retry_after)),
            Meaning::Refused => self.phase = refusal(None),
            Meaning::OtherType(found) => self.end(CloseReason::Failed(Error::ContentType(found))),
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
            Phase::Waiting(_) | Phase::Asking | Phase::Closed => {}
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
                // What came before the break is the program's, and may close the client.
                while matches!(self.phase, Phase::Streaming) && self.decode_one() {}
                if matches!(self.phase, Phase::Streaming) {
                    self.lose(now, error, Duration::ZERO);
                }
            }
            Phase::Refusal { .. } => self.settle_refusal(now),
            Phase::Waiting(_) | Phase::Closed => {}
        }
    }

    /// The program wants another connection, after the usual delay; no item tells of it. Without effect while waiting for
    /// one anyway.
    pub fn restart(&mut self, now: Duration) {
        if self.needs_connection() {
            while matches!(self.phase, Phase::Streaming) && self.decode_one() {}
            if !matches!(self.phase, Phase::Closed) {
                let delay = self.backoff.delay(Duration::ZERO, &self.options);
                self.wait(now + delay);
            }
        }
    }

    /// The program wants no more.
    pub fn close(&mut self) {
        if !matches!(self.phase, Phase::Closed) {
            self.end(CloseReason::Asked);
        }
    }

    /// Moves one item from the decoder into the queue; false when there is none.
    fn decode_one(&mut self) -> bool {
        use tidewire_codec::Item as Decoded;
        let item = match self.decoder.next_item() {
            Ok(None) => return false,
            Ok(Some(item)) => item.into_owned(),
            Err(error) => {
                self.end(CloseReason::Failed(Error::Decode(error)));
                return true;
            }
        };
        let item = match item {
            Decoded::Event(event) => {
                self.fruitful = true;
                Item::Event(event)
            }
            Decoded::Comment(text) => Item::Comment(text),
            Decoded::Retry(ms) => Item::Retry(self.take_retry(ms)),
        };
        self.items.push_back(item);
        true
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

    /// The connection is gone; whether another follows is the error's to say.
    fn lose(&mut self, now: Duration, error: Error, floor: Duration) {
        let was_open = matches!(self.phase, Phase::Streaming);
        if was_open
            && (self.fruitful || now.saturating_sub(self.opened) >= self.options.backoff_max)
        {
            self.backoff.handle_success();
        }
        self.backoff.handle_failure();
        let exhausted = self
            .options
            .failures_max
            .is_some_and(|max| self.backoff.failures() >= max);
        if exhausted || !error.is_temporary() {
            self.end(CloseReason::Failed(error));
            return;
        }
        let delay = self
            .backoff
            .delay(floor.min(self.options.retry_max), &self.options);
        self.items.push_back(Item::Reconnecting { error, delay });
        self.wait(now.saturating_add(delay));
    }

    fn wait(&mut self, due: Duration) {
        self.decoder.finish();
        self.target = self.base.clone();
        self.phase = Phase::Waiting(due);
    }

    /// The refusal's body was read as far as it will be.
    fn settle_refusal(&mut self, now: Duration) {
        let Phase::Refusal {
            status, busy, body, ..
        } = std::mem::replace(&mut self.phase, Phase::Asking)
        else {
            unreachable!("called in this phase only");
        };
        let detail = String::from_utf8_lossy(&body).into_owned();
        match busy {
            Some(retry_after) => {
                let error = Error::Busy {
                    status,
                    retry_after,
                    detail,
                };
                self.lose(now, error, retry_after.unwrap_or_default());
            }
            None => self.end(CloseReason::Failed(Error::Status { status, detail })),
        }
    }

    /// 9.2.3: a permanent redirect changes where reconnects go, a temporary one does not.
    fn follow(&mut self, now: Duration, to: Url, permanent: bool, becomes_get: bool) {
        let target = &mut self.target;
        target.redirects += 1;
        if target.redirects > self.options.redirects_max {
            let error = RedirectError::TooMany(self.options.redirects_max);
            return self.end(CloseReason::Failed(Error::Redirect(error)));
        }
        target.foreign |= to.origin() != target.url.origin();
        target.permanent &= permanent;
        if becomes_get && target.method != Method::HEAD {
            target.method = Method::GET;
            target.body = Bytes::new();
        }
        target.url = to;
        if target.permanent {
            self.base = Target {
                redirects: 0,
                ..target.clone()
            };
        }
        self.phase = Phase::Waiting(now);
    }

    fn attempt(&self) -> Attempt {
        let mut headers = self.options.headers.clone();
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("text/event-stream"));
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(AGENT));
        if self.target.foreign {
            headers.remove(AUTHORIZATION);
            headers.remove(COOKIE);
        }
        if self.target.method == Method::GET && self.options.method != Method::GET {
            headers.remove(CONTENT_TYPE);
        }
        headers.remove(CONTENT_LENGTH);
        headers.remove(LAST_EVENT_ID);
        // 9.2.2: "If the EventSource object's last event ID string is not the empty string", "UTF-8 encoded". An id with
        // control characters fits in no header; it is left out.
        if let Ok(id) = HeaderValue::from_bytes(self.last_event_id().as_bytes())
            && !id.is_empty()
        {
            headers.insert(LAST_EVENT_ID, id);
        }
        let Target {
            url, method, body, ..
        } = &self.target;
        Attempt {
            url: url.clone(),
            method: method.clone(),
            headers,
            body: body.clone(),
        }
    }
}

const AGENT: &str = concat!("tidewire-client/", env!("CARGO_PKG_VERSION"));
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

impl Target {
    fn first(options: &Options) -> Self {
        Self {
            url: options.url.clone(),
            method: options.method.clone(),
            body: options.body.clone(),
            redirects: 0,
            permanent: true,
            foreign: false,
        }
    }
}
