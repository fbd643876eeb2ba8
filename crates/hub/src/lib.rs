//! A Server-Sent Events hub to embed in your own server: wiring without flags, on any [`Log`].
//!
//! There are three ways to have it, and they go together:
//!
//! - **Streams at paths of your own**, for readers that your own login knows: [`Hub::reader`], [`Hub::answer`]. An event is encoded
//!   once, readers read it from the log, and a slow one has no queue that fills.
//! - **The hub's whole interface** nested in your router: [`Hub::service`]. Then its [keys](Builder::keys) decide who may do what.
//! - **A hub on listeners of its own**, in your process: [`Hub::serve`].
//!
//! ```
//! use tidewire_hub::{Event, Hub, Topic};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::in_memory().shards(0).build()?;
//! let news = Topic::parse("news")?;
//! hub.publish(Event::public(news.clone(), "hello")).await?;
//!
//! // In a handler, where `parts` is what came:
//! # let (parts, ()) = http::Request::get("/events?since=earliest").body(())?.into_parts();
//! let reader = hub.reader().user("ada").topic(news);
//! let response = hub.answer(&parts, reader).await;
//! assert_eq!(response.headers()["content-type"], "text/event-stream");
//! # let mut body = response.into_body();
//! # let mut text = String::new();
//! # while !text.contains("data: hello\n\n") {
//! #     let frame = http_body_util::BodyExt::frame(&mut body).await.ok_or("it ended")??;
//! #     text += std::str::from_utf8(&frame.into_data().map_err(|_| "no data")?)?;
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! Let it tend its log while your server runs, and end its streams when that ends, which would wait for them for ever:
//!
//! ```
//! # async fn run(hub: tidewire_hub::Hub, app: axum::Router, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! axum::serve(listener, app).with_graceful_shutdown(hub.tend(stop)).await
//! # }
//! ```
//!
//! The log of [`Hub::in_memory`] goes with the process. [`Hub::builder`] takes any, such as `tidewire-log-disk`'s, with which a page that
//! was open during a restart goes on where it was. A whole application is in `examples/axum-app` of the repository.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::request::Parts;
use tidewire_core::Epoch;
use tidewire_log::ring::RingConfig;
use tokio::net::TcpListener;

pub use tidewire_auth::signed_url::UrlKey;
pub use tidewire_auth::{
    Algorithm, Algorithms, Anonymous, Issuer, Key, KeySet, Keys, Revocation, RevokedBy,
};
pub use tidewire_core::{
    Cursor, Filter, Form, Matcher, MatcherSet, PatternError, Topic, TopicError,
};
pub use tidewire_engine::{Checkpoint, ShardConfig};
pub use tidewire_http::{
    Access, AccessLog, AccessLogCounters, AccessLogFormat, AdminAccess, AdminToken,
    AdminTokenError, Clock, Counters, FetchSettings, FetchedKeys, ForwardedHeader, Front, HUB_PATH,
    HookSettings, HookToken, Hosts, HubStore, KeySource, KeyStatus, KeysFrom, KeysOf, Limits,
    MemoryStore, OriginError, Origins, PemError, PlaceError, Reader, RemoteUrl, RemoteUrlError,
    Response, Roles, Router, Settings, StoreError, StreamBody, Subscribe, SubscribeError, Tls,
    TlsError, TrustedProxies, check_place, is_cookie_name, is_loopback, origin_as_sent,
    serve_admin,
};
pub use tidewire_log::{
    AppendError, Appended, Event, EventId, EventType, Log, MemoryConfig, MemoryLog, Retention,
    Start,
};

/// A hub. Cheap to clone; every clone is the same hub.
#[derive(Clone)]
pub struct Hub {
    front: Front,
}

impl Hub {
    /// Begins a hub whose log goes with the process, of 256 MiB at most. A page that comes back after a restart is told that events are
    /// missing (`tidewire.gap`).
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn in_memory() -> Builder {
        let [seed, _] = random_seed();
        // Every life has an epoch of its own: a cursor of another one must not be taken for a place in this.
        Self::builder(Arc::new(MemoryLog::new(MemoryConfig {
            epoch: Epoch(now_ms()),
            ring: RingConfig {
                seed,
                ..RingConfig::default()
            },
            ..MemoryConfig::default()
        })))
    }

    /// Begins a hub on this log. Unless told otherwise it lets nobody in: see [`Builder::access`].
    #[must_use]
    pub fn builder(log: Arc<dyn Log>) -> Builder {
        Builder {
            log,
            settings: Settings::default(),
        }
    }

    /// Everything the hub answers, as a service to nest in a router, or to serve with any server that takes tower services.
    /// Let [`Hub::tend`] run beside it.
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

    /// What the hub does besides answering, while a server of your own asks it: retention goes on, keys are fetched. When `shutdown`
    /// resolves, no stream begins any more and every stream ends between frames, so that your server's end need not wait for them;
    /// this returns when they have ended, after [`Builder::drain`] at the latest. Publishing goes on.
    pub fn tend(
        &self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let front = self.front.clone();
        async move { tidewire_http::tend(&front, shutdown).await }
    }

    /// A reader who gets nothing yet. Make it before you look up who asks: if that user or session is ended while the request is
    /// on its way ([`Hub::end_user`], [`Hub::end_session`]), so is the stream.
    pub fn reader(&self) -> Reader {
        self.front.reader()
    }

    /// Answers a request for a stream, on any path of yours, for a reader whom your own login knows.
    ///
    /// As on the hub's own paths, `Accept` chooses the form (event stream, NDJSON, one JSON page), and `Last-Event-ID` or `since=`
    /// where it begins. Of the query it knows `last_event_id`, `since`, `checkpoint`, `label`, `padding`, `limit` and `wait`, and leaves
    /// the rest to you. Its body is read from the log as fast as your server writes it, and holds no queue. Must be called, and its
    /// body polled, inside a tokio runtime.
    ///
    /// ```
    /// # use axum::{extract::State, http::request::Parts};
    /// # use tidewire_hub::{Hub, Response, Topic};
    /// # fn session(parts: &Parts) -> Option<(String, String)> { None }
    /// async fn events(State(hub): State<Hub>, parts: Parts) -> Result<Response, axum::http::StatusCode> {
    ///     let reader = hub.reader();
    ///     let (id, user) = session(&parts).ok_or(axum::http::StatusCode::UNAUTHORIZED)?;
    ///     let own = Topic::parse(&format!("users/{user}")).map_err(|_| axum::http::StatusCode::FORBIDDEN)?;
    ///     Ok(hub.answer(&parts, reader.user(user).session(id).private_topic(own)).await)
    /// }
    /// # let _: axum::Router<Hub> = axum::Router::new().route("/events", axum::routing::get(events));
    /// ```
    pub async fn answer(&self, request: &Parts, reader: Reader) -> Response {
        self.front.answer(request, reader).await
    }

    /// Ends every stream of this user, between frames. Nothing is refused from here on: whoever is to stay away must not be given a
    /// [`Reader`] again.
    pub fn end_user(&self, name: &str) {
        self.front.end_user(name);
    }

    /// Ends every stream of this session, as at its logout.
    pub fn end_session(&self, id: &str) {
        self.front.end_session(id);
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

/// The time of day, in milliseconds since 1970: what logs are opened with.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Numbers that nobody guesses: what logs are opened with.
///
/// # Panics
/// If the system has no randomness.
#[must_use]
pub fn random_seed() -> [u64; 2] {
    [(); 2].map(|()| getrandom::u64().expect("the system gives random bytes"))
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

    /// How many threads hold the subscribers of [`Hub::serve`] without TLS (Linux). Default: one a core. Zero: none, and none is
    /// wanted where a server of your own holds them.
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
