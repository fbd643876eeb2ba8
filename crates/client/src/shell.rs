//! The machine with a socket, a clock and a seed. Not here: the rules (see `machine`), the bytes of HTTP (hyper).

mod builder;
mod connection;
mod dial;
mod exchange;
mod link;
#[cfg(feature = "tls")]
mod noted;
mod race;
#[cfg(feature = "tls")]
mod tls;
mod tunnel;

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, Sleep};

pub use builder::Builder;
use connection::{Connection, Progress};
pub use dial::Dialer;
pub use exchange::{Answer, Body, Driver, Sender};

use crate::machine::{Item, Machine, State, Step};
use crate::{BuildError, Options};

/// A client of one event stream, which reconnects by itself.
///
/// Nothing happens but in [`EventSource::next`], and nothing is spawned: dropping it closes its connection. It needs a tokio
/// runtime with I/O and time enabled.
#[derive(Debug)]
pub struct EventSource {
    machine: Machine,
    dialer: Dialer,
    connection: Option<Connection>,
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
        let dialer = Dialer::new(&options.transport)?;
        dialer.check(&options.url)?;
        // Each RandomState has keys of its own, from the system's randomness.
        let seed = RandomState::new().build_hasher().finish();
        Ok(Self {
            machine: Machine::new(options, seed),
            dialer,
            connection: None,
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
        loop {
            let item = self.machine.poll_item();
            if !self.machine.needs_connection() {
                self.connection = None;
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
                Step::Wait => ready!(self.poll_timer(context)),
                Step::Stop => return Poll::Ready(None),
            }
        }
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

    /// Drops the connection. What is left of the items is given, the last one is [`Item::Closed`].
    pub fn close(&mut self) {
        self.machine.close();
        self.connection = None;
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
            Progress::Head(status, headers) => self.machine.handle_head(now, status, &headers),
            Progress::Bytes(bytes) => self.machine.handle_bytes(now, &bytes),
            Progress::End => self.machine.handle_end(now),
            Progress::Failed(error) => self.machine.handle_failure(now, error),
        }
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
