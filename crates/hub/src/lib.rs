//! A Server-Sent Events hub to embed in your own server: wiring without flags, on any [`Log`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use tidewire_hub::{Access, Hub, Log};
//!
//! async fn run(log: Arc<dyn Log>) -> std::io::Result<()> {
//!     let hub = Hub::builder(log).access(Access::keyless()).build()?;
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     hub.serve([listener], std::future::pending()).await;
//!     Ok(())
//! }
//! ```
//!
//! Or nest [`Hub::service`] in a router of your own, under a path if you like; then streams are tasks of your server's.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

pub use tidewire_auth::signed_url::UrlKey;
pub use tidewire_auth::{
    Algorithm, Algorithms, Anonymous, Issuer, Key, KeySet, Keys, Revocation, RevokedBy,
};
pub use tidewire_core::{Cursor, Filter, Form, Matcher, MatcherSet, Topic};
pub use tidewire_engine::{Checkpoint, ShardConfig};
pub use tidewire_http::{
    Access, AccessLog, AccessLogCounters, AccessLogFormat, AdminAccess, AdminToken,
    AdminTokenError, Clock, Counters, FetchSettings, FetchedKeys, ForwardedHeader, Front, HUB_PATH,
    HookSettings, HookToken, Hosts, HubStore, KeySource, KeyStatus, KeysFrom, KeysOf, Limits,
    MemoryStore, OriginError, Origins, PemError, PlaceError, RemoteUrl, RemoteUrlError, Roles,
    Router, Settings, StoreError, StreamBody, Subscribe, SubscribeError, Tls, TlsError,
    TrustedProxies, check_place, is_cookie_name, serve_admin,
};
pub use tidewire_log::{AppendError, Appended, Event, Log, Start};

/// A hub. Cheap to clone; every clone is the same hub.
#[derive(Clone)]
pub struct Hub {
    front: Front,
}

impl Hub {
    /// Begins a hub on this log. Unless told otherwise it lets nobody in: see [`Builder::access`].
    #[must_use]
    pub fn builder(log: Arc<dyn Log>) -> Builder {
        Builder {
            log,
            settings: Settings::default(),
        }
    }

    /// Everything the hub answers, as a service to nest in a router, or to serve with any server that takes tower services.
    /// Call [`Log::maintain`] now and then beside it, as [`Hub::serve`] does: retention by age goes by it.
    pub fn service(&self) -> Router {
        tidewire_http::router(self.front.clone())
    }

    /// Serves these listeners: HTTP/1.0, HTTP/1.1 and HTTP/2 with prior knowledge on each; with [`Builder::tls`] over TLS and nothing
    /// else, where HTTP/2 is agreed on by ALPN. When `shutdown` resolves, streams end
    /// between frames, running publishes are answered, and this returns, after [`Builder::drain`] at the latest. A hub that has
    /// ended serves nobody again.
    pub async fn serve(
        &self,
        listeners: impl IntoIterator<Item = TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) {
        let listeners = listeners.into_iter().collect();
        tidewire_http::serve(&self.front, listeners, shutdown).await;
    }

    /// Publishes an event, and waits until it is as durable as the log promises. Its time is set to now.
    ///
    /// # Errors
    /// As the log says.
    pub async fn publish(&self, event: Event) -> Result<Cursor, AppendError> {
        let appended = self.publish_all(vec![event]).await?;
        let first = appended.first().copied();
        let nothing = || AppendError::Stopped("it answered for no event".into());
        first.map(|one| one.cursor).ok_or_else(nothing)
    }

    /// Publishes events, all or none, next to each other and in this order.
    ///
    /// # Errors
    /// As the log says.
    pub async fn publish_all(&self, mut events: Vec<Event>) -> Result<Vec<Appended>, AppendError> {
        let now_ms = (self.front.settings().clock)();
        events.iter_mut().for_each(|event| event.time_ms = now_ms);
        self.front.append(events).await
    }

    /// Subscribes without HTTP: the body of a response of your own, in the form that was asked for. Must be called and polled
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// Says why there is no stream.
    pub async fn subscribe(&self, subscribe: Subscribe) -> Result<StreamBody, SubscribeError> {
        self.front.subscribe(subscribe).await
    }

    /// What the hub has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.front.counters()
    }

    /// Every metric of the hub and of this process, in the OpenMetrics text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.front.metrics()
    }

    /// `/metrics`, `/healthz` and `/readyz` for whoever runs the hub, as a service; [`serve_admin`] serves it alone.
    pub fn admin_service(&self, access: AdminAccess) -> Router {
        tidewire_http::admin_router(self.front.clone(), access)
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.front.subscribers()
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        self.front.log()
    }

    /// The hub's front, for whoever needs more of it.
    #[must_use]
    pub fn front(&self) -> &Front {
        &self.front
    }
}

/// What a hub is built from.
#[derive(Clone)]
pub struct Builder {
    log: Arc<dyn Log>,
    settings: Settings,
}

impl Builder {
    /// Who may do what. Default: nobody, for there are no keys and nothing is open.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.settings.access = access;
        self
    }

    /// The keys that tokens are checked with.
    #[must_use]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.settings.access.keys = keys;
        self
    }

    /// Keys that the hub fetches and keeps fresh, besides those of [`Builder::keys`].
    #[must_use]
    pub fn fetched_keys(mut self, keys: FetchedKeys) -> Self {
        self.settings.fetched_keys = keys;
        self
    }

    /// A backend that is asked what requests may do that no key decides on. Default: none.
    #[must_use]
    pub fn auth_hook(mut self, hook: HookSettings) -> Self {
        self.settings.auth_hook = Some(hook);
        self
    }

    /// How keys are fetched and the backend is asked.
    #[must_use]
    pub fn fetch(mut self, fetch: FetchSettings) -> Self {
        self.settings.fetch = fetch;
        self
    }

    /// What URLs are signed with; then `POST /signed-urls` makes them and subscribes may come by them. Default: none is good.
    #[must_use]
    pub fn url_key(mut self, key: UrlKey) -> Self {
        self.settings.access.url_key = Some(key);
        self
    }

    /// What is open to requests without a token.
    #[must_use]
    pub fn anonymous(mut self, anonymous: Anonymous) -> Self {
        self.settings.access.anonymous = anonymous;
        self
    }

    /// The keyless rules: answer only loopback Host names, requests that were not forwarded, and pages of a loopback origin.
    #[must_use]
    pub fn keyless(mut self, keyless: bool) -> Self {
        self.settings.access.keyless = keyless;
        self
    }

    /// Origins whose pages may read answers. Default: the hub's own.
    #[must_use]
    pub fn cors_origins(mut self, origins: Origins) -> Self {
        self.settings.access.cors_origins = origins;
        self
    }

    /// Origins whose pages may publish. Default: the hub's own.
    #[must_use]
    pub fn publish_origins(mut self, origins: Origins) -> Self {
        self.settings.access.publish_origins = origins;
        self
    }

    /// The hub's own URL as clients write it, such as `https://example.com/.well-known/mercure`: what relative patterns resolve
    /// against, and whom access tokens must be for. Default: what each request calls the hub.
    #[must_use]
    pub fn hub_url(mut self, url: impl Into<String>) -> Self {
        self.settings.hub_url = Some(url.into());
        self
    }

    /// Where the hub is among the server's paths. Default: [`HUB_PATH`].
    #[must_use]
    pub fn hub_path(mut self, path: impl Into<String>) -> Self {
        self.settings.hub_path = path.into();
        self
    }

    /// The limits at the door.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Changes single limits.
    #[must_use]
    pub fn limit(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.settings.limits);
        self
    }

    /// Heartbeats, lives, deadlines and step budgets of streams.
    #[must_use]
    pub fn streams(mut self, streams: ShardConfig) -> Self {
        self.settings.streams = streams;
        self
    }

    /// How many threads hold the subscribers of [`Hub::serve`] without TLS (Linux). Default: one a core. Zero: none.
    #[must_use]
    pub fn shards(mut self, shards: usize) -> Self {
        self.settings.shards = shards;
        self
    }

    /// Presence: whether the log tells who subscribes to what, and `/.well-known/mercure/subscriptions` shows it. Default: no.
    #[must_use]
    pub fn subscriptions(mut self, subscriptions: bool) -> Self {
        self.settings.subscriptions = subscriptions;
        self
    }

    /// Whether a browser's EventSource is told of a temporary refusal in a way that lets it try again. Default: yes.
    #[must_use]
    pub fn refuse_softly(mut self, softly: bool) -> Self {
        self.settings.refuse_softly = softly;
        self
    }

    /// Whose word about their clients is taken: address, host and scheme. Default: nobody's.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.settings.trusted_proxies = proxies;
        self
    }

    /// Whether whoever asks is told the exact reason why a token was refused. For development. Default: no, the log says it.
    #[must_use]
    pub fn debug_refusals(mut self, debug: bool) -> Self {
        self.settings.debug_refusals = debug;
        self
    }

    /// How long streams and running publishes get to end in order. Default: 2 s.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.settings.drain = drain;
        self
    }

    /// Where requests and streams are noted. Default: nowhere.
    #[must_use]
    pub fn access_log(mut self, log: AccessLog) -> Self {
        self.settings.access_log = Some(log);
        self
    }

    /// The time of day in milliseconds since 1970. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Keeps revocations, and what may be used once, over restarts. Default: they are forgotten with the process.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn HubStore>) -> Self {
        self.settings.store = store;
        self
    }

    /// The certificate with which [`Hub::serve`] speaks TLS. Default: none, and no TLS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// The hub.
    ///
    /// # Errors
    /// If the threads for subscribers cannot be started, the hub cannot be where it is told to be, keys come from two places for
    /// the same tokens, or certificates of authorities cannot be read.
    pub fn build(self) -> std::io::Result<Hub> {
        Front::new(self.log, self.settings).map(|front| Hub { front })
    }
}
