//! The machine with a socket, a clock and a seed. Not here: the rules (see `machine`), the bytes of HTTP (hyper).

mod builder;
mod closer;
mod connection;
mod dial;
mod exchange;
mod finite;
mod link;
#[cfg(feature = "tls")]
mod noted;
mod race;
#[cfg(feature = "tls")]
mod tls;
mod tunnel;

use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use http::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::time::{Instant, Sleep};

pub use builder::Builder;
pub use closer::Closer;
use connection::{Connection, Progress};
pub use dial::Dialer;
pub use exchange::{Answer, Body, Driver, Sender};
pub use finite::{FiniteStream, FiniteStreamBuilder};
#[cfg(feature = "tls")]
pub use tls::tls_config;

use crate::machine::{Item, Machine, State, Step};
use crate::{BuildError, CloseReason, Dispatcher, Options, Renewed};

/// A client of one event stream, which reconnects by itself.
///
/// Nothing happens but in [`EventSource::next`], and nothing is spawned: dropping it closes its connection. It needs a tokio
/// runtime with I/O and time enabled.
pub struct EventSource {
    machine: Machine,
    dialer: Dialer,
    connection: Option<Connection>,
    /// The callback's answer, while headers are asked for.
    renewal: Option<Renewed>,
    closer: Option<Closer>,
    started: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl EventSource {
    /// The settings of a client for `url`, to be changed and then built.
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    /// A client with these settings, which connects when it is first polled.
    ///
    /// # Errors
    /// When certificates, keys or the proxy cannot be used, or the URL needs TLS and this build has none.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        let dialer = Dialer::new(&options.connect)?;
        dialer.check(&options.url)?;
        // Each RandomState has keys of its own, from the system's randomness.
        let seed = RandomState::new().build_hasher().finish();
        Ok(Self {
            machine: Machine::new(options, seed),
            dialer,
            connection: None,
            renewal: None,
            closer: None,
            started: Instant::now(),
            timer: None,
        })
    }

    /// The next item; `None` once [`Item::Closed`] was given. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Item> {
        poll_fn(|context| self.poll_item(context)).await
    }

    /// [`EventSource::next`] for those who poll.
    pub fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Item>> {
        if let Some(closer) = &self.closer
            && closer.is_asked(context)
        {
            self.machine.close();
        }
        loop {
            let item = self.machine.poll_item();
            if !self.machine.needs_connection() {
                self.connection = None;
            }
            if !self.machine.needs_renewal() {
                self.renewal = None;
            }
            if let Some(item) = item {
                return Poll::Ready(Some(item));
            }
            match self.machine.poll_step(self.now()) {
                Step::Connect(attempt) => {
                    let connect_max = self.machine.options().connect_max;
                    let dialer = self.dialer.clone();
                    self.connection = Some(Connection::dial(dialer, *attempt, connect_max));
                }
                Step::Read => {
                    if self.poll_connection(context).is_pending() {
                        ready!(self.poll_timer(context));
                    }
                }
                Step::Renew(why) => {
                    let renew = self.machine.options().renew.as_ref();
                    self.renewal = renew.map(|renew| renew.ask(why));
                }
                Step::Wait => {
                    if self.poll_renewal(context).is_pending() {
                        ready!(self.poll_timer(context));
                    }
                }
                Step::Stop => return Poll::Ready(None),
            }
        }
    }

    /// Gives all items to their handlers until the client has stopped for good. Cancelling it loses nothing.
    pub async fn run(&mut self, dispatcher: &mut Dispatcher<'_>) -> CloseReason {
        while let Some(item) = self.next().await {
            dispatcher.dispatch(&item);
            if let Item::Closed(reason) = item {
                return reason;
            }
        }
        CloseReason::Asked
    }

    /// The state as a browser would show it.
    #[must_use]
    pub fn state(&self) -> State {
        self.machine.state()
    }

    /// The id of the last event taken: what the next connection goes on from.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.machine.last_event_id()
    }

    /// Drops the connection and makes another, after the usual delay.
    pub fn restart(&mut self) {
        self.machine.restart(self.now());
        self.connection = None;
    }

    /// Drops the connection and what was read but not taken. One item is left, [`Item::Closed`].
    pub fn close(&mut self) {
        self.machine.close();
        self.connection = None;
        self.renewal = None;
    }

    /// Closes this client from elsewhere.
    pub fn closer(&mut self) -> Closer {
        self.closer.get_or_insert_default().clone()
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn poll_connection(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.connection else {
            unreachable!("the machine reads only after it has asked for a connection");
        };
        let progress = ready!(connection.poll(context));
        let now = self.now();
        match progress {
            Progress::Head(status, mut headers) => {
                date(&mut headers);
                self.machine.handle_head(now, status, &headers);
            }
            Progress::Bytes(bytes) => self.machine.handle_bytes(now, &bytes),
            Progress::End => self.machine.handle_end(now),
            Progress::Failed(error) => self.machine.handle_failure(now, error),
        }
        Poll::Ready(())
    }

    fn poll_renewal(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(renewal) = &mut self.renewal else {
            return Poll::Pending;
        };
        let answer = ready!(renewal.as_mut().poll(context));
        self.renewal = None;
        self.machine.handle_renewed(self.now(), answer);
        Poll::Ready(())
    }

    /// Ready when the machine's time has come, and told so; pending as well when it waits for nothing.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.machine.poll_timeout() else {
            return Poll::Pending;
        };
        let due = self
            .started
            .checked_add(due)
            .unwrap_or_else(|| self.started + Duration::from_secs(1 << 32));
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        ready!(timer.as_mut().poll(context));
        self.machine.handle_timeout(self.now());
        Poll::Ready(())
    }
}

impl Stream for EventSource {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        self.poll_item(context)
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource")
            .field("machine", &self.machine)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// RFC 9110, 6.6.1: "A recipient with a clock that receives a response message without a Date header field MUST record the time it was
/// received"; a `Retry-After` with a date is measured against it.
fn date(headers: &mut HeaderMap) {
    if headers.contains_key(RETRY_AFTER)
        && !headers.contains_key(DATE)
        && let Ok(now) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now()))
    {
        headers.insert(DATE, now);
    }
}
