//! The options, one call each; what is wrong with them is said once, by `build`.

mod connect;

use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tidewire_codec::{EventId, Limits};

use crate::{BuildError, EventSource, Options, RenewError, RenewHeaders, Renewal};

/// The settings of an [`EventSource`]; [`Options`] says what each means and its default.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder(Result<Options, BuildError>);

impl Builder {
    pub(super) fn new(url: &str) -> Self {
        Self(Options::new(url))
    }

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        if let Ok(options) = &mut self.0 {
            set(options);
        }
        self
    }

    fn try_with(self, set: impl FnOnce(&mut Options) -> Result<(), BuildError>) -> Self {
        Self(
            self.0
                .and_then(|mut options| set(&mut options).map(|()| options)),
        )
    }

    /// Adds a header to every request.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.try_with(|options| options.header(name, value))
    }

    /// Sends `Authorization: Bearer <token>`.
    pub fn bearer_token(self, token: &str) -> Self {
        self.try_with(|options| options.bearer_token(token))
    }

    /// Where to go on.
    pub fn last_event_id(self, id: &str) -> Self {
        self.try_with(|options| {
            options.last_event_id = EventId::parse(id).map_err(|_| BuildError::LastEventId)?;
            Ok(())
        })
    }

    /// The method of every request.
    pub fn method(self, method: Method) -> Self {
        self.with(|options| options.method = method)
    }

    /// The body of every request.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.with(|options| options.body = body.into())
    }

    /// The reconnection time until the stream sets one.
    pub fn retry(self, retry: Duration) -> Self {
        self.with(|options| options.retry = retry)
    }

    /// The bound of what failures in a row add to the reconnection time.
    pub fn backoff_max(self, max: Duration) -> Self {
        self.with(|options| options.backoff_max = max)
    }

    /// Close after so many failures in a row.
    pub fn failures_max(self, max: u32) -> Self {
        self.with(|options| options.failures_max = Some(max))
    }

    /// Give a connection up when nothing came for this long.
    pub fn silence_max(self, max: Duration) -> Self {
        self.with(|options| options.silence_max = Some(max))
    }

    /// How long a connection may take to be made.
    pub fn connect_max(self, max: Duration) -> Self {
        self.with(|options| options.connect_max = max)
    }

    /// Redirects followed in a row.
    pub fn redirects_max(self, max: u32) -> Self {
        self.with(|options| options.redirects_max = max)
    }

    /// What the stream may make this client hold.
    pub fn limits(self, limits: Limits) -> Self {
        self.with(|options| options.limits = limits)
    }

    /// Asks for headers before each connection, and again when they are refused ([`Options::renew`]).
    ///
    /// ```no_run
    /// # async fn token(fresh: bool) -> std::io::Result<String> { Ok(String::new()) }
    /// # fn example() -> Result<(), tidewire_client::BuildError> {
    /// use tidewire_client::{EventSource, RenewError, Renewal, bearer};
    ///
    /// let source = EventSource::builder("http://127.0.0.1:8080/topics/clock")
    ///     .renew(|why| async move {
    ///         let fresh = matches!(why, Renewal::Refused(_));
    ///         let token = token(fresh).await.map_err(RenewError::temporary)?;
    ///         bearer(&token)
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn renew<F, R>(self, renew: F) -> Self
    where
        F: Fn(Renewal) -> R + Send + Sync + 'static,
        R: Future<Output = Result<HeaderMap, RenewError>> + Send + 'static,
    {
        self.with(|options| options.renew = Some(RenewHeaders::new(renew)))
    }

    /// Gives comments to the program too.
    pub fn comments(self, are_given: bool) -> Self {
        self.with(|options| options.comments = are_given)
    }

    /// Drops what a server repeats after a reconnect, as far as it is among the last so many events; 0 drops nothing.
    pub fn dedup(self, events_max: usize) -> Self {
        self.with(|options| options.dedup = NonZeroUsize::new(events_max))
    }

    /// Changes any other option.
    pub fn options(self, change: impl FnOnce(&mut Options)) -> Self {
        self.with(change)
    }

    /// The client, which connects when it is first polled.
    ///
    /// # Errors
    /// The first thing that is wrong with the settings.
    pub fn build(self) -> Result<EventSource, BuildError> {
        EventSource::new(self.0?)
    }
}
