//! What a machine says: to the program its items, to its owner the steps. Not here: when.

use std::time::Duration;

use http::HeaderMap;
use tidewire_codec::Event;
use url::Url;

use super::Attempt;
#[cfg(doc)]
use super::Machine;
#[cfg(doc)]
use crate::Options;
use crate::{CloseReason, Error, Renewal};

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
    /// A comment line; only if [`Options::comments`] asks for them.
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

/// What the owner has to do next. It changes with every `handle_*` call.
#[derive(Debug)]
pub enum Step {
    /// Ask [`Options::renew`] for headers, and say by [`Machine::handle_renewed`] what it gave.
    Renew(Renewal),
    /// Send this over a new connection.
    Connect(Box<Attempt>),
    /// Go on with the connection.
    Read,
    /// Wait for [`Machine::poll_timeout`], or for the headers asked for.
    Wait,
    /// There is nothing more to do.
    Stop,
}
