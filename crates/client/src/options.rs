//! What a client is told before it starts. Not here: what changes while it runs.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use tidewire_codec::{EventId, Limits};
use url::Url;

use crate::connect::ConnectOptions;
use crate::renew::bearer_value;
use crate::{BuildError, Ends, RenewHeaders};

/// The settings of one client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where the stream is; `http` or `https`, without credentials.
    pub url: Url,
    /// GET, unless a server wants another.
    pub method: Method,
    /// Sent with every request, also after a reconnect; an `Accept` or `Cache-Control` here replaces the client's own.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Bytes,
    /// Where to go on; empty: wherever the server starts.
    pub last_event_id: EventId,
    /// The reconnection time until the stream sets one by `retry`. Default 1 s.
    pub retry: Duration,
    /// What a stream's `retry` is raised to. Default 10 ms.
    pub retry_min: Duration,
    /// What a stream's `retry`, and a `Retry-After`, is lowered to. Default 1 h.
    pub retry_max: Duration,
    /// The bound of what failures in a row add to the reconnection time. Default 30 s.
    pub backoff_max: Duration,
    /// False makes every delay exact, for tests. Default true.
    pub jitter: bool,
    /// Close after so many lost or failed connections in a row, without an event between them. Default: never.
    pub failures_max: Option<u32>,
    /// Give a connection up when nothing came for this long, comments included. Default: never, for not every server sends
    /// heartbeats; the tidewire hub does, every 15 s.
    pub silence_max: Option<Duration>,
    /// How long a connection may take to be made. Default 10 s.
    pub connect_max: Duration,
    /// Redirects followed in a row. Default 20, as in fetch.
    pub redirects_max: u32,
    /// What the stream may make this client hold.
    pub limits: Limits,
    /// How connections are made: TLS, the version of HTTP, proxies.
    pub connect: ConnectOptions,
    /// Gives headers before each connection, in place of those of the same names in [`Options::headers`]. They never go to another origin.
    /// Default: none.
    pub renew: Option<RenewHeaders>,
    /// How long that may take. Default 30 s; longer is a temporary failure.
    pub renew_max: Duration,
    /// How often in a row a 401 or 403 makes the callback be asked again, at once for the first time and after the usual delays from then on.
    /// Default 1: refused twice is refused.
    pub refused_max: u32,
    /// Gives comments to the program. Default false, as in EventSource: they are heartbeats as a rule.
    pub comments: bool,
    /// Drops events that came before over an earlier connection, with the same id, type and data, among the last so many: for servers
    /// that replay from the last event id on instead of after it. Default: none is dropped, for a server may mean to say the same again.
    /// An event that names no id itself is never dropped, nor one that came twice over one connection.
    pub dedup: Option<NonZeroUsize>,
    /// Makes it a finite stream, which is asked for once, ends, and is never asked for again. Default: an EventSource, which ends with 204
    /// only.
    pub ends: Option<Ends>,
}

impl Options {
    /// The defaults, for a stream at `url`.
    ///
    /// # Errors
    /// When `url` is not an absolute http or https URL without credentials.
    pub fn new(url: &str) -> Result<Self, BuildError> {
        let url = Url::parse(url).map_err(|error| BuildError::Url(error.to_string()))?;
        check_url(&url)?;
        Ok(Self {
            url,
            method: Method::GET,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            last_event_id: EventId::default(),
            retry: Duration::from_secs(1),
            retry_min: Duration::from_millis(10),
            retry_max: Duration::from_secs(3600),
            backoff_max: Duration::from_secs(30),
            jitter: true,
            failures_max: None,
            silence_max: None,
            connect_max: Duration::from_secs(10),
            redirects_max: 20,
            limits: Limits::default(),
            connect: ConnectOptions::default(),
            renew: None,
            renew_max: Duration::from_secs(30),
            refused_max: 1,
            comments: false,
            dedup: None,
            ends: None,
        })
    }

    /// Adds a header; one name may come more than once. `Last-Event-ID` sets [`Options::last_event_id`], which moves on with
    /// the stream.
    ///
    /// # Errors
    /// When the name or the value cannot be sent.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), BuildError> {
        let refused = || BuildError::Header(name.to_owned());
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        if header == "last-event-id" {
            self.last_event_id = EventId::parse(value).map_err(|_| BuildError::LastEventId)?;
            return Ok(());
        }
        let value = HeaderValue::from_bytes(value.as_bytes());
        self.headers.append(header, value.map_err(|_| refused())?);
        Ok(())
    }

    /// Sets `Authorization: Bearer <token>`, never shown by `Debug` and never sent to another origin.
    ///
    /// # Errors
    /// When the token cannot be sent.
    pub fn bearer_token(&mut self, token: &str) -> Result<(), BuildError> {
        let value = bearer_value(token)?;
        self.headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}

/// The URLs that a client asks: given ones and those of redirects.
pub(crate) fn check_url(url: &Url) -> Result<(), BuildError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BuildError::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BuildError::Credentials);
    }
    Ok(())
}
