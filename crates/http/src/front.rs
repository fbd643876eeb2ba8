//! A hub's front: what every request needs to know. One for each hub, shared by all its listeners.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidewire_auth::{Keys, Role};
use tidewire_core::{MatcherSet, Patterns};
use tidewire_engine::driver::Ender;
#[cfg(target_os = "linux")]
use tidewire_engine::driver::StreamEnd;
use tidewire_engine::{EndReason, Feed, ShardConfig, Share, Tally};
use tidewire_log::{Append, AppendError, Appended, Event, Locate, Located, Log, Start};
use tokio::sync::{Notify, oneshot};

use crate::access::Access;
use crate::access_log::AccessLog;
use crate::address::TrustedProxies;
use crate::counters::{Counters, Counting};
use crate::fetch::{FetchSettings, Fetcher};
use crate::hook::{Hook, HookSettings};
use crate::keys::{FetchedKeys, KeyStatus, Keyring};
use crate::limits::Limits;
#[cfg(target_os = "linux")]
use crate::peer::Transport;
use crate::place::{HUB_PATH, Place};
use crate::plain::ReadyHeads;
use crate::presence::{self, Presence};
use crate::problem::Problem;
use crate::rates::Rates;
use crate::revocations::{HubStore, MemoryStore, Revoked};
use crate::slots::Slots;
use crate::streams::{Post, Registration, Streams};
use crate::tls::Tls;

/// In so many places streams count what they do, so that two cores rarely meet at one.
const TALLY_PLACES: usize = 32;

/// How long the log gets at the hub's end to take the ends of subscriptions, at least.
const PRESENCE_PATIENCE_MIN: Duration = Duration::from_millis(500);

/// Tells the time of day in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How a hub answers.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The limits at the door.
    pub limits: Limits,
    /// Who may do what.
    pub access: Access,
    /// Keys that the hub fetches, besides those in `access`.
    pub fetched_keys: FetchedKeys,
    /// A backend that is asked what requests may do that no key decides on.
    pub auth_hook: Option<HookSettings>,
    /// How the hub makes requests of its own.
    pub fetch: FetchSettings,
    /// Whose word about their clients is taken. Nobody's, unless they are named.
    pub trusted_proxies: TrustedProxies,
    /// The hub's own URL as clients write it, like `https://example.com/.well-known/mercure`: relative URL patterns and topics
    /// resolve against it, and a token's audience is compared with it. `None`: relative patterns match relative topics alone, and
    /// the audience is what the request calls the hub.
    pub hub_url: Option<String>,
    /// Where the hub is among this server's paths. Topics there are its own.
    pub hub_path: String,
    /// Heartbeats, lives and deadlines of streams.
    pub streams: ShardConfig,
    /// How many threads hold subscribers without TLS (Linux). Zero: none, each stream is a task of its own, as on other systems.
    pub shards: usize,
    /// Presence: whether the log tells who subscribes to what, and an API shows it (mercure.md, 1.13 and 2.60). It costs about an event
    /// for each stream that begins or ends.
    pub subscriptions: bool,
    /// Whether a browser's EventSource is told of a temporary refusal in a way that lets it try again.
    pub refuse_softly: bool,
    /// Whether whoever asks is told the exact reason why a token was refused; else the log alone says it.
    pub debug_refusals: bool,
    /// How long streams and running publishes get to end in order.
    pub drain: Duration,
    /// Where requests and streams are noted; `None`: nowhere.
    pub access_log: Option<AccessLog>,
    /// The time of day.
    pub clock: Clock,
    /// With it, the listeners of [`crate::serve`] speak TLS, and nothing else.
    pub tls: Option<Tls>,
    /// Keeps revocations and what may be used once; else they are forgotten with the process.
    pub store: Arc<dyn HubStore>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            access: Access::default(),
            fetched_keys: FetchedKeys::default(),
            auth_hook: None,
            fetch: FetchSettings::default(),
            trusted_proxies: TrustedProxies::default(),
            hub_url: None,
            hub_path: HUB_PATH.to_owned(),
            streams: ShardConfig::default(),
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            subscriptions: false,
            refuse_softly: true,
            debug_refusals: false,
            drain: Duration::from_secs(2),
            access_log: None,
            clock: Arc::new(|| {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                since.map_or(0, |since| {
                    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
                })
            }),
            tls: None,
            store: Arc::new(MemoryStore::default()),
        }
    }
}

/// The front of one hub. Cheap to clone.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

struct Inner {
    feed: Arc<Feed>,
    settings: Settings,
    place: Place,
    patterns: Patterns,
    keyring: Keyring,
    hook: Option<Hook>,
    slots: Arc<Slots>,
    rates: Rates,
    counting: Counting,
    /// What the streams that no shard's thread owns do.
    tally: Arc<Tally>,
    draining: AtomicBool,
    /// Told when draining begins.
    drain: Notify,
    ready: ReadyHeads,
    streams: Arc<Streams>,
    revoked: Revoked,
    #[cfg(target_os = "linux")]
    shards: Option<Arc<tidewire_engine::driver::epoll::Shards>>,
    /// After the shards, whose streams end with them: it hears of that.
    presence: Option<presence::Running>,
}

impl Front {
    /// The front of a hub on this log.
    ///
    /// # Errors
    /// If the threads for subscribers cannot be started, the hub's URL is none, two sources of keys are for the same, or the
    /// certificates of authorities or the store cannot be read.
    pub fn new(log: Arc<dyn Log>, settings: Settings) -> std::io::Result<Self> {
        let limits = settings.limits.patterns();
        let place = Place::new(&settings.hub_path, settings.hub_url.as_deref())
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
        let patterns = Patterns::with_base(limits, place.base()).map_err(std::io::Error::other)?;
        let fetcher = Fetcher::new(&settings.fetch).map_err(std::io::Error::other)?;
        let keyring = Keyring::new(
            settings.access.keys.clone(),
            settings.fetched_keys.clone(),
            fetcher.clone(),
        )
        .map_err(std::io::Error::other)?;
        let hook = settings.auth_hook.clone();
        let hook = hook.map(|settings| Hook::new(settings, fetcher));
        let slots = Slots::new(settings.limits.subscribers_max);
        let streams = Streams::new();
        let revoked = Revoked::load(Arc::clone(&settings.store), (settings.clock)())?;
        #[cfg(target_os = "linux")]
        let at_end = {
            let slots = Arc::clone(&slots);
            Arc::new(move |form, end: &StreamEnd| slots.end(form, Transport::Plain, end))
        };
        #[cfg(target_os = "linux")]
        let shards = match settings.shards {
            0 => None,
            threads => {
                let names = |index| Some(streams.names_of_thread(index));
                let shards = tidewire_engine::driver::epoll::Shards::start_named(
                    threads,
                    &settings.streams,
                    random_u64(),
                    at_end,
                    names,
                )?;
                streams.set_threads(&shards);
                Some(shards)
            }
        };
        let knows_readers = knows_readers(&settings, &keyring);
        let presence = presence(&log, &settings, &patterns, knows_readers)?;
        Ok(Self(Arc::new(Inner {
            feed: Feed::new(log),
            slots,
            rates: Rates::new(&settings.limits),
            settings,
            place,
            patterns,
            keyring,
            hook,
            counting: Counting::default(),
            tally: Tally::new(TALLY_PLACES),
            draining: AtomicBool::new(false),
            drain: Notify::new(),
            ready: ReadyHeads::default(),
            streams,
            revoked,
            #[cfg(target_os = "linux")]
            shards,
            presence,
        })))
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        self.0.feed.log()
    }

    /// The feed that subscribers read.
    #[must_use]
    pub fn feed(&self) -> &Arc<Feed> {
        &self.0.feed
    }

    /// How it answers.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.counting.snapshot()
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        usize::try_from(self.0.slots.subscribers()).unwrap_or(usize::MAX)
    }

    /// The counters of the streams on the shards' threads.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn shard_counters(&self) -> tidewire_engine::Counters {
        self.shards()
            .map(|shards| shards.counters())
            .unwrap_or_default()
    }

    /// The counters of every stream there is or was.
    #[must_use]
    pub fn stream_counters(&self) -> tidewire_engine::Counters {
        #[allow(unused_mut, reason = "elsewhere there are no shards to add")]
        let mut sum = self.0.tally.counters();
        #[cfg(target_os = "linux")]
        sum.add(&self.shard_counters());
        sum
    }

    /// Where a stream that no shard's thread owns counts what it does.
    pub(crate) fn share(&self) -> Share {
        self.0.tally.share()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn shards(&self) -> Option<&Arc<tidewire_engine::driver::epoll::Shards>> {
        self.0.shards.as_ref()
    }

    /// What makes its patterns, and counts them.
    #[must_use]
    pub fn patterns(&self) -> &Patterns {
        &self.0.patterns
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0.place
    }

    /// Whether it says which tokens it takes: not if it can check none (mercure.md, 2.40).
    pub(crate) fn has_metadata(&self) -> bool {
        self.keyring().knows_anybody()
    }

    /// The keys as they are now: those that were configured and those that were fetched.
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        self.0.keyring.snapshot()
    }

    /// How it stands with each source of fetched keys.
    #[must_use]
    pub fn key_status(&self) -> Vec<KeyStatus> {
        self.0.keyring.status()
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    pub(crate) fn hook(&self) -> Option<&Hook> {
        self.0.hook.as_ref()
    }

    /// Whether anybody can be let in who may read private events.
    pub(crate) fn knows_readers(&self) -> bool {
        knows_readers(&self.0.settings, &self.0.keyring)
    }

    /// Who subscribes to what, if that is told.
    pub(crate) fn presence(&self) -> Option<&Arc<Presence>> {
        self.0.presence.as_ref().map(presence::Running::get)
    }

    /// mercure.md, 1.14: without keys for subscribers nobody can have a grant, and whoever may subscribe may see who does.
    pub(crate) fn shows_presence_to_all(&self) -> bool {
        shows_presence_to_all(self.access(), self.knows_readers())
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.settings.access
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.settings.limits
    }

    pub(crate) fn counting(&self) -> &Counting {
        &self.0.counting
    }

    pub(crate) fn slots(&self) -> &Arc<Slots> {
        &self.0.slots
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// Whether requests have to know where they come from.
    pub(crate) fn needs_addresses(&self) -> bool {
        let settings = self.settings();
        self.0.rates.need_addresses()
            || settings.auth_hook.is_some()
            || !settings.trusted_proxies.is_empty()
    }

    /// Whose private events a stream on this grant may tell.
    pub(crate) fn readable(&self, grant: &tidewire_core::Grant) -> MatcherSet {
        match self.presence() {
            Some(presence) => presence.readable(grant),
            None => grant.private.clone(),
        }
    }

    pub(crate) fn ready_heads(&self) -> &ReadyHeads {
        &self.0.ready
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.0.settings.clock)()
    }

    /// Appends, and waits for the commit.
    ///
    /// # Errors
    /// As the log says; [`AppendError::Busy`] if it does not answer in time.
    pub async fn append(&self, events: Vec<Event>) -> Result<Vec<Appended>, AppendError> {
        let count = events.len();
        let bytes = events.iter().map(|event| event.data.len()).sum();
        let began = Instant::now();
        let (sender, mut receiver) = oneshot::channel();
        self.log().append(Append {
            events,
            ack: Box::new(move |result| {
                // Whoever asked may have gone; the event stands either way.
                let _ = sender.send(result);
            }),
        });
        let appended = match self.answer_of_log(&mut receiver).await {
            Some(Ok(result)) => result?,
            Some(Err(_)) => return Err(AppendError::Stopped("it gave no answer".into())),
            None => return Err(AppendError::Busy),
        };
        debug_assert_eq!(appended.len(), count);
        self.counting().committed(&appended, bytes, began.elapsed());
        Ok(appended)
    }

    pub(crate) async fn locate(
        &self,
        start: Start,
        routing: MatcherSet,
    ) -> Result<Located, Problem> {
        let (sender, mut receiver) = oneshot::channel();
        self.log().locate(Locate {
            start,
            routing,
            done: Box::new(move |located| {
                let _ = sender.send(located);
            }),
        });
        let gone =
            || Problem::unavailable("the log does not say where this stream starts; try again");
        let answer = self.answer_of_log(&mut receiver).await;
        answer.and_then(Result::ok).ok_or_else(gone)
    }

    /// Waits for what a log answers; `None` if it takes too long. The memory log has answered already, and many a disk log
    /// has where a stream starts: then there is no timer.
    async fn answer_of_log<T>(
        &self,
        receiver: &mut oneshot::Receiver<T>,
    ) -> Option<Result<T, oneshot::error::RecvError>> {
        match receiver.try_recv() {
            Ok(answer) => Some(Ok(answer)),
            Err(_) => tokio::time::timeout(self.limits().commit_time_max, receiver)
                .await
                .ok(),
        }
    }

    /// Whether the hub is ending.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::SeqCst)
    }

    /// Resolves when the hub begins to end.
    pub(crate) async fn drained(&self) {
        let notified = self.0.drain.notified();
        tokio::pin!(notified);
        // Registered before the flag is looked at, so that no notice is lost.
        notified.as_mut().enable();
        if !self.is_draining() {
            notified.await;
        }
    }

    /// Begins to end: streams end between frames, nothing new begins. Returns when the shards' threads have ended theirs, at
    /// the latest after [`Settings::drain`].
    pub async fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.0.drain.notify_waiters();
        self.streams().end_tasks(EndReason::Drain);
        #[cfg(target_os = "linux")]
        if let Some(shards) = self.shards().cloned() {
            let deadline = self.settings().drain;
            let drained =
                tokio::task::spawn_blocking(move || shards.drain(EndReason::Drain, deadline));
            if drained.await.is_err() {
                tracing::error!("the shards' threads did not end in order");
            }
        }
    }

    /// Every subscription ends, and the log has it. To be called when streams have ended, before the log is closed.
    pub(crate) async fn end_presence(&self) {
        if let Some(presence) = self.presence().cloned() {
            let patience = self.settings().drain.max(PRESENCE_PATIENCE_MIN);
            let ended = tokio::task::spawn_blocking(move || presence.close(patience));
            // Nothing panics there; and if it did, the next start would end what this one left open.
            let _ = ended.await;
        }
    }

    /// Notes what ends a stream; it ends at once if the hub is ending.
    pub(crate) fn register(&self, ender: &Ender) -> Registration {
        let registration = self.streams().register(Post::Stream(ender.clone()));
        // After it was noted: draining begins before the noted are told.
        if self.is_draining() {
            ender.end(EndReason::Drain);
        }
        registration
    }

    /// Every shard of the hub.
    pub(crate) fn streams(&self) -> &Arc<Streams> {
        &self.0.streams
    }

    pub(crate) fn revocations(&self) -> &Revoked {
        &self.0.revoked
    }
}

fn knows_readers(settings: &Settings, keyring: &Keyring) -> bool {
    settings.auth_hook.is_some() || settings.access.url_key.is_some() || keyring.knows_readers()
}

fn shows_presence_to_all(access: &Access, knows_readers: bool) -> bool {
    !knows_readers && access.anonymous.allows(Role::Subscriber)
}

fn presence(
    log: &Arc<dyn Log>,
    settings: &Settings,
    patterns: &Patterns,
    knows_readers: bool,
) -> std::io::Result<Option<presence::Running>> {
    if !settings.subscriptions {
        return Ok(None);
    }
    let life = match settings.streams.stream_life_ms {
        0 => None,
        ms => Some(Duration::from_millis(ms)),
    };
    let clock = Arc::clone(&settings.clock);
    let path = settings.hub_path.as_str();
    let open = match shows_presence_to_all(&settings.access, knows_readers) {
        true => Some(patterns.selector(&format!("{path}/subscriptions/{{+rest}}"))),
        false => None,
    };
    let open = open.transpose().map_err(std::io::Error::other)?;
    let open = open.map(|matcher| MatcherSet::from_iter([matcher]));
    let rate = settings
        .limits
        .presence_rate_max
        .map(presence::Rate::per_second);
    presence::Running::start(Arc::clone(log), clock, path, open, life, rate).map(Some)
}

/// Chance, for jitter and for ids that nobody guesses.
pub(crate) fn random_u64() -> u64 {
    u64::from_le_bytes(random())
}

/// How many random bytes are asked of the system at once: a system call for each stream that opens would be felt when all come back.
const RANDOM_BYTES: usize = 512;

/// # Panics
/// If the system has no randomness: ids that can be guessed must not be given out.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    const { assert!(N <= RANDOM_BYTES) };
    thread_local! {
        /// What is left of the last, at its end.
        static LEFT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    LEFT.with_borrow_mut(|left| {
        if left.len() < N {
            left.resize(RANDOM_BYTES, 0);
            getrandom::fill(left).expect("the system gives random bytes");
        }
        // Taken out: no byte is given twice.
        let at = left.len() - N;
        let bytes = left[at..].try_into().expect("so many are left");
        left.truncate(at);
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_randomness_is_given_twice() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            assert!(seen.insert(random::<16>()));
            assert!(seen.insert(u128::from(random_u64()).to_le_bytes()));
        }
    }

    /// A subscribe that was let in before the hub began to end may come to its stream afterwards.
    #[tokio::test]
    async fn a_stream_that_begins_while_the_hub_ends_ends_with_it() {
        use tidewire_core::{Filter, Form};
        use tidewire_engine::driver::pull::PullStream;
        use tidewire_engine::{Checkpoint, Subscription};
        use tidewire_log::{MemoryConfig, MemoryLog};

        let settings = Settings {
            shards: 0,
            ..Settings::default()
        };
        let front =
            Front::new(Arc::new(MemoryLog::new(MemoryConfig::default())), settings).unwrap();
        let subscription = || Subscription {
            feed: front.feed().clone(),
            filter: Filter::default(),
            from: front.log().bounds().tail,
            gap: None,
            form: Form::EventStream,
            checkpoint: Checkpoint::Off,
            stream: String::new(),
            ends_ms: None,
            marks: tidewire_engine::Marks::NONE,
            seen_as: 0,
        };
        let mut streams = Vec::new();
        for is_late in [false, true] {
            if is_late {
                front.drain().await;
            }
            let stream = PullStream::new(&front.settings().streams, 1, subscription());
            let registration = front.register(&stream.ender());
            streams.push((stream, registration));
        }
        for (at, (mut stream, _registration)) in streams.into_iter().enumerate() {
            let end = async {
                while std::future::poll_fn(|cx| stream.poll_next(cx))
                    .await
                    .is_some()
                {}
            };
            let ended = tokio::time::timeout(Duration::from_secs(5), end).await;
            assert!(ended.is_ok(), "stream {at} goes on");
        }
    }
}
