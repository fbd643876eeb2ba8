//! All keys of a hub as they are now, and the decision by them.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tidewire_auth::{Anonymous, Issuer, KeySet, Keys, Question, Refusal, Role, decide};
use tidewire_core::{Grant, Patterns};
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::source::{Source, Turn};
use super::{FetchedKeys, KeySource, KeysFrom, KeysOf};
use crate::counters::{Latency, Observed};
use crate::fetch::{Failures, Fetcher};

/// Why a request may not do what it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The token decides.
    Refused(Refusal),
    /// Its keys are not there to decide.
    Unfetched(Unfetched),
}

/// A token's keys have never been fetched, so nobody can say whether it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfetched {
    /// Whose they are; `None`: the hub's own.
    pub(crate) issuer: Option<String>,
    /// When it is worth trying again.
    pub(crate) again_after: Duration,
}

/// The keys of a hub. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keyring(Arc<Ring>);

struct Ring {
    /// Those that were configured.
    fixed: Keys,
    /// Those and the fetched ones.
    current: ArcSwap<Keys>,
    sources: Vec<Source>,
    settings: FetchedKeys,
    fetcher: Fetcher,
    took: Latency,
    is_kept: AtomicBool,
    /// What fetching does not change.
    knows_anybody: bool,
    knows_readers: bool,
    has_issuers: bool,
}

/// How it stands with a source of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// Whose keys they are: an issuer, or `publishers` or `subscribers`.
    pub of: String,
    /// Where they come from, without what may be secret of it.
    pub from: String,
    /// How many of them the hub can use; `None`: they have never been fetched.
    pub keys: Option<usize>,
    /// How long ago they were fetched.
    pub age: Option<Duration>,
    /// How often fetching has failed since.
    pub failures: u32,
}

impl Keyring {
    /// # Errors
    /// If keys would come from two places for the same tokens; says for whose.
    pub(crate) fn new(
        fixed: Keys,
        settings: FetchedKeys,
        fetcher: Fetcher,
    ) -> Result<Self, String> {
        let all = all(&fixed, &settings.sources)?;
        let sources = settings.sources.iter().cloned().map(Source::new);
        let ring = Ring {
            current: ArcSwap::default(),
            sources: sources.collect(),
            fixed,
            settings,
            fetcher,
            took: Latency::default(),
            is_kept: AtomicBool::new(false),
            knows_anybody: !all.is_empty(),
            knows_readers: all.can_verify(Role::Subscriber),
            has_issuers: !all.issuers.is_empty(),
        };
        ring.swap();
        Ok(Self(Arc::new(ring)))
    }

    /// The keys as they are now. A source that has not answered yet stands in it with no key at all.
    pub(crate) fn snapshot(&self) -> Arc<Keys> {
        self.0.current.load_full()
    }

    /// Decides by the keys as they are now; where the token's key is not among them, by those that its source then has.
    pub(crate) async fn decide(
        &self,
        question: &Question<'_>,
        anonymous: Anonymous,
        patterns: &Patterns,
    ) -> Result<Grant, Denied> {
        let now = || decide(question, &self.0.current.load(), anonymous, patterns);
        let refusal = match now() {
            Ok(grant) => return Ok(grant),
            Err(refusal) => refusal,
        };
        let Refusal::UnknownKey { issuer, .. } = &refusal else {
            return Err(Denied::Refused(refusal));
        };
        let Some(at) = self.0.source_of(issuer.as_deref(), question.role) else {
            return Err(Denied::Refused(refusal));
        };
        self.keep();
        let again_after = look_again(&self.0, at).await;
        if !self.0.sources[at].has_answered() {
            return Err(Denied::Unfetched(Unfetched {
                issuer: issuer.clone(),
                again_after: again_after.unwrap_or(self.0.settings.refetch_floor),
            }));
        }
        now().map_err(Denied::Refused)
    }

    /// Whether anybody's tokens are taken, now or once keys are fetched.
    pub(crate) fn knows_anybody(&self) -> bool {
        self.0.knows_anybody
    }

    /// Whether subscribers' tokens are.
    pub(crate) fn knows_readers(&self) -> bool {
        self.0.knows_readers
    }

    /// Whether modern tokens may be good: only those are for somebody.
    pub(crate) fn has_issuers(&self) -> bool {
        self.0.has_issuers
    }

    /// Begins to fetch, and goes on while there is somebody who has this ring. Must be called inside a tokio runtime.
    pub(crate) fn keep(&self) {
        if self.0.is_kept.swap(true, Ordering::SeqCst) {
            return;
        }
        for at in 0..self.0.sources.len() {
            tokio::spawn(keep(Arc::downgrade(&self.0), at));
        }
    }

    /// The issuers that a client may ask for a token: those that say by themselves where their keys are, and those whose name is a
    /// URL (RFC 8414, section 2). `keys`: as they are now.
    pub(crate) fn authorization_servers<'a>(
        &'a self,
        keys: &'a Keys,
    ) -> impl Iterator<Item = &'a str> {
        let is_asked = |name: &str| {
            self.0.sources.iter().any(|source| {
                matches!(source.config.from, KeysFrom::Discovery(_))
                    && source.config.of.issuer() == Some(name)
            })
        };
        let names = keys.issuers.iter().map(|issuer| &*issuer.name);
        names.filter(move |name| name.starts_with("https://") || is_asked(name))
    }

    pub(crate) fn status(&self) -> Vec<KeyStatus> {
        let now = Instant::now();
        let status = |source: &Source| {
            let good = source.good();
            KeyStatus {
                of: source.name(),
                from: source.from(),
                keys: good.as_ref().map(|good| good.keys.len()),
                age: good.map(|good| now - good.at),
                failures: source.failures(),
            }
        };
        self.0.sources.iter().map(status).collect()
    }

    /// How many fetches had which outcome.
    pub(crate) fn fetched(&self) -> Vec<(&'static str, u64)> {
        let sources = &self.0.sources;
        let good = sources.iter().map(|source| source.fetched.now()).sum();
        let mut all = vec![("ok", good)];
        all.extend(Failures::default().now());
        for source in sources {
            for ((_, sum), (_, count)) in all[1..].iter_mut().zip(source.failed.now()) {
                *sum += count;
            }
        }
        all
    }

    /// How long they took.
    pub(crate) fn took(&self) -> Observed {
        self.0.took.observed()
    }
}

impl Ring {
    fn source_of(&self, issuer: Option<&str>, role: Role) -> Option<usize> {
        self.sources
            .iter()
            .position(|source| source.config.of.issuer() == issuer && source.config.of.has(role))
    }

    /// Gives out what is known now. Sources that settle at the same time do not undo each other: whoever comes second looks again.
    fn swap(&self) {
        self.current.rcu(|_| Arc::new(self.joined()));
    }

    /// The fixed and the fetched keys together.
    fn joined(&self) -> Keys {
        let mut keys = self.fixed.clone();
        for source in &self.sources {
            let fetched = source.good().map_or_else(KeySet::default, |good| good.keys);
            for role in [Role::Publisher, Role::Subscriber] {
                if source.config.of.has(role) {
                    *place(&mut keys, &source.config.of, role) = Some(fetched.clone());
                }
            }
        }
        keys
    }
}

/// Places for all keys there may be. Keys of two places are never pooled: each could sign for the other.
fn all(fixed: &Keys, sources: &[KeySource]) -> Result<Keys, String> {
    let mut keys = fixed.clone();
    for source in sources {
        for role in [Role::Publisher, Role::Subscriber] {
            if !source.of.has(role) {
                continue;
            }
            let place = place(&mut keys, &source.of, role);
            if place.is_some() {
                let whose = source
                    .of
                    .issuer()
                    .map_or("the hub's own tokens".to_owned(), |name| {
                        format!("tokens of {name}")
                    });
                return Err(format!(
                    "keys of {role}s for {whose} are configured twice: name one place for them"
                ));
            }
            *place = Some(KeySet::default());
        }
    }
    Ok(keys)
}

/// Where a source's keys stand.
fn place<'a>(keys: &'a mut Keys, of: &KeysOf, role: Role) -> &'a mut Option<KeySet> {
    let name = match (of, role) {
        (KeysOf::Role(_), Role::Publisher) => return &mut keys.publisher,
        (KeysOf::Role(_), Role::Subscriber) => return &mut keys.subscriber,
        (KeysOf::Issuer { name, .. }, _) => name,
    };
    let known = keys.issuers.iter().position(|issuer| issuer.name == *name);
    let at = known.unwrap_or_else(|| {
        keys.issuers.push(Issuer {
            name: name.clone(),
            ..Issuer::default()
        });
        keys.issuers.len() - 1
    });
    match role {
        Role::Publisher => &mut keys.issuers[at].publisher,
        Role::Subscriber => &mut keys.issuers[at].subscriber,
    }
}

/// Fetches, or waits for who does, unless that was done a moment ago: then says for how long it is not done again.
async fn look_again(ring: &Arc<Ring>, at: usize) -> Option<Duration> {
    let mut running = match ring.sources[at].take_turn(ring.settings.refetch_floor) {
        Turn::TooSoon(left) => return Some(left),
        Turn::Another(running) => running,
        Turn::Yours(over) => {
            let running = over.subscribe();
            // On its own: whoever asked may go away, and others wait for it.
            tokio::spawn(fetch(Arc::clone(ring), at, over));
            running
        }
    };
    // Nothing is ever sent: it closes.
    let _ = running.changed().await;
    None
}

async fn fetch(ring: Arc<Ring>, at: usize, over: watch::Sender<()>) {
    let source = &ring.sources[at];
    let began = std::time::Instant::now();
    let fetched = source.fetch(&ring.fetcher, &ring.settings).await;
    ring.took.observe(began.elapsed());
    if source.settle(fetched, &ring.settings) {
        ring.swap();
    }
    drop(over);
}

/// Asks a source again whenever that is due, which changes whenever somebody else had it asked.
async fn keep(ring: Weak<Ring>, at: usize) {
    while let Some(ring) = ring.upgrade() {
        let settled = Arc::clone(&ring.sources[at].settled);
        // Before the date is read: what is settled from here on is heard.
        let settled = pin!(settled.notified_owned());
        let mut due = ring.sources[at].due();
        if Instant::now() >= due {
            match look_again(&ring, at).await {
                Some(left) => due = Instant::now() + left,
                None => continue,
            }
        }
        drop(ring);
        select! {
            () = settled => {}
            () = sleep_until(due) => {}
        }
    }
}
