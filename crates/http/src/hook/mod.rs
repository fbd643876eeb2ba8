//! The authorization hook: a backend that is asked, over HTTP, what a request may do.
//!
//! ```text
//! request ── a key of the hub verified its token ──> the token decides, whatever comes of it
//!        └── anything else ──> kept answer ──> a call that runs for the same ──> a call of its own ──> grant or refusal
//! ```
//!
//! It fails closed: whatever is not a well-formed answer in time is a refusal for now (503), never a grant. Answers are kept under
//! a hash of all that was asked, so that one client's can serve no other that differs in its token, its cookies, its address or
//! its topics. Credentials go to the backend and nowhere else: neither into logs nor into memory that outlives the call.
//!
//! Not here: where a request's token stands (`token`), connections to the backend (`fetch`).

mod answer;
mod kept;
mod question;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tidewire_auth::{Question, Refusal};
use tidewire_core::{Grant, PatternError, Patterns};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::counters::{Count, Latency};
use crate::fetch::{Bounds, Failures, FetchError, Fetched, Fetcher, RemoteUrl, max_age_s};
use crate::keys::Denied;
use crate::said::Said;
use answer::Answer;
use kept::{Found, Kept};
pub(crate) use question::Asked;

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Whom to ask what a request may do, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HookSettings {
    /// The backend.
    pub url: RemoteUrl,
    /// What it knows the hub by, as `Authorization: Bearer`.
    pub token: Option<HookToken>,
    /// How long an answer may take, waiting for a place included.
    pub time_max: Duration,
    /// For how long an answer is kept that does not say so itself. Zero: not at all.
    pub keep: Duration,
    /// The longest for which an answer is kept, whatever it says.
    pub keep_max: Duration,
    /// How many calls run at once.
    pub calls_max: usize,
    /// How many calls wait for others to end; beyond it, requests are refused for now.
    pub waiting_max: usize,
    /// How many answers are kept.
    pub kept_max: usize,
    /// What they may take in memory, in bytes.
    pub kept_bytes_max: usize,
}

impl HookSettings {
    /// Asks this backend.
    #[must_use]
    pub fn new(url: RemoteUrl) -> Self {
        Self {
            url,
            token: None,
            time_max: Duration::from_secs(2),
            keep: Duration::from_secs(10),
            keep_max: Duration::from_secs(300),
            calls_max: 64,
            waiting_max: 256,
            kept_max: 10_000,
            kept_bytes_max: 16 << 20,
        }
    }
}

/// What the backend knows the hub by. Shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct HookToken(HeaderValue);

impl HookToken {
    /// From its text.
    ///
    /// # Errors
    /// If it is empty, or has characters that no header can hold.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || !is_visible {
            return Err("it must be visible ASCII characters, without spaces".to_owned());
        }
        let mut value =
            HeaderValue::from_str(&format!("Bearer {text}")).map_err(|why| why.to_string())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl std::fmt::Debug for HookToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookToken")
    }
}

/// Whether the backend decides on a request: wherever no key of the hub has verified its token. What a key has verified is decided
/// by the token, whatever comes of it: an expired one is expired. What everybody may is not asked about, unless a session's cookie
/// may be worth more.
pub(crate) fn is_asked(
    decided: &Result<Grant, Denied>,
    request: &Parts,
    question: &Question<'_>,
) -> bool {
    match decided {
        Ok(_) => question.presented.is_none() && request.headers.contains_key(COOKIE),
        Err(Denied::Unfetched(_)) => false,
        Err(Denied::Refused(refusal)) => matches!(
            refusal,
            Refusal::Missing(_)
                | Refusal::Malformed(_)
                | Refusal::Duplicate(_)
                | Refusal::TooDeep(_)
                | Refusal::DialectOfRequest
                | Refusal::NoType
                | Refusal::Issuer { .. }
                | Refusal::IssuerRole { .. }
                | Refusal::UnknownKey { .. }
                | Refusal::NoKey(_)
                | Refusal::Critical
                | Refusal::Algorithm { .. }
                | Refusal::Signature
        ),
    }
}

/// Why a request may not do what it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HookRefusal {
    /// The backend does not know who asks (401).
    Unknown,
    /// It knows, and does not allow it (403).
    Denied,
    /// What it grants names a pattern that cannot be used now, or at all.
    Pattern(PatternError),
    /// It did not answer, or not so that it can be understood.
    Failed,
    /// More wait for its answers than may.
    Busy,
}

/// What became of a call; shared by all who asked the same while it ran.
#[derive(Clone, Debug)]
enum Outcome {
    Answered(Answer),
    Unknown,
    Denied,
    Failed,
}

/// The hook of one hub. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hook(Arc<Inner>);

struct Inner {
    settings: HookSettings,
    fetcher: Fetcher,
    places: Semaphore,
    kept: Kept<Arc<Outcome>>,
    counting: HookCounting,
    /// Each request would say again that the backend cannot be asked.
    said: Said,
}

/// What a hook counts.
#[derive(Debug, Default)]
pub(crate) struct HookCounting {
    pub(crate) allowed: Count,
    /// Answers that were refusals.
    pub(crate) denied: Count,
    pub(crate) failed: Failures,
    /// Refused without a call.
    pub(crate) busy: Count,
    /// Answered by what was kept.
    pub(crate) hits: Count,
    /// Answered by a call that ran for the same.
    pub(crate) joined: Count,
    pub(crate) took: Latency,
}

impl Hook {
    pub(crate) fn new(settings: HookSettings, fetcher: Fetcher) -> Self {
        Self(Arc::new(Inner {
            places: Semaphore::new(settings.calls_max),
            kept: Kept::new(settings.kept_max, settings.kept_bytes_max),
            settings,
            fetcher,
            counting: HookCounting::default(),
            said: Said::default(),
        }))
    }

    /// Asks what a request may do. Must be called inside a tokio runtime.
    pub(crate) async fn ask(
        &self,
        asked: &Asked<'_>,
        patterns: &Patterns,
        now_ms: u64,
    ) -> Result<Grant, HookRefusal> {
        let outcome = self.outcome(asked.body().into(), now_ms).await?;
        match &*outcome {
            Outcome::Answered(answer) => {
                if answer.has_ended(now_ms) {
                    return Err(HookRefusal::Unknown);
                }
                answer.grant(asked, patterns).map_err(HookRefusal::Pattern)
            }
            Outcome::Unknown => Err(HookRefusal::Unknown),
            Outcome::Denied => Err(HookRefusal::Denied),
            Outcome::Failed => Err(HookRefusal::Failed),
        }
    }

    /// From what is kept, from a call that runs, or from one of its own.
    async fn outcome(&self, body: Bytes, now_ms: u64) -> Result<Arc<Outcome>, HookRefusal> {
        let inner = &self.0;
        let key = kept::key(&body);
        let settings = &inner.settings;
        let asking_max = settings.calls_max + settings.waiting_max;
        let mut running = match inner.kept.find(key, asking_max) {
            Found::Kept(outcome) => {
                inner.counting.hits.one();
                return Ok(outcome);
            }
            Found::Busy => {
                inner.counting.busy.one();
                inner.tell("more requests wait for it than may");
                return Err(HookRefusal::Busy);
            }
            Found::Running(running) => {
                inner.counting.joined.one();
                running
            }
            Found::Nothing(over) => {
                let running = over.subscribe();
                // On its own: whoever asked may go away, and others wait for it.
                tokio::spawn(call(Arc::clone(inner), key, body, over, now_ms));
                running
            }
        };
        let outcome = running.wait_for(Option::is_some).await;
        // Closed without an outcome: the runtime ends.
        outcome
            .ok()
            .and_then(|outcome| outcome.clone())
            .ok_or(HookRefusal::Failed)
    }

    pub(crate) fn counting(&self) -> &HookCounting {
        &self.0.counting
    }

    /// How many answers are kept, and what they take in bytes.
    pub(crate) fn kept(&self) -> (usize, usize) {
        self.0.kept.size()
    }
}

/// Calls the backend once, and tells everybody who waits.
async fn call(
    inner: Arc<Inner>,
    key: kept::Key,
    body: Bytes,
    over: watch::Sender<Option<Arc<Outcome>>>,
    now_ms: u64,
) {
    let (outcome, keep) = inner.call(body, now_ms).await;
    let outcome = Arc::new(outcome);
    let bytes = match &*outcome {
        Outcome::Answered(answer) => answer.bytes(),
        _ => 0,
    };
    inner.kept.settle(
        key,
        Arc::clone(&outcome),
        bytes,
        keep.map(|keep| Instant::now() + keep),
    );
    let _ = over.send(Some(outcome));
}

impl Inner {
    /// The outcome, and for how long it may be kept.
    async fn call(&self, body: Bytes, now_ms: u64) -> (Outcome, Option<Duration>) {
        let deadline = Instant::now() + self.settings.time_max;
        let fetched = timeout_at(deadline, async {
            let _place = self.places.acquire().await;
            let began = std::time::Instant::now();
            let bounds = Bounds {
                time_max: self.settings.time_max,
                body_bytes_max: ANSWER_BYTES_MAX,
            };
            let token = self.settings.token.as_ref().map(|token| &token.0);
            let url = &self.settings.url;
            let fetched = self.fetcher.post_json(url, token, body, bounds).await;
            self.counting.took.observe(began.elapsed());
            fetched
        });
        let read = fetched
            .await
            .unwrap_or(Err(FetchError::Timeout))
            .and_then(|fetched| self.read(&fetched, now_ms));
        match read {
            Ok((outcome, keep)) => {
                match outcome {
                    Outcome::Answered(_) => self.counting.allowed.one(),
                    _ => self.counting.denied.one(),
                }
                let keep = keep.min(self.settings.keep_max);
                (outcome, (!keep.is_zero()).then_some(keep))
            }
            Err(error) => {
                self.counting.failed.one(&error);
                self.tell(&error.to_string());
                (Outcome::Failed, None)
            }
        }
    }

    /// What the backend's answer says. What is not plainly an answer is an error: never a grant.
    fn read(&self, fetched: &Fetched, now_ms: u64) -> Result<(Outcome, Duration), FetchError> {
        let said = max_age_s(&fetched.headers).map(Duration::from_secs);
        let keep = said.unwrap_or(self.settings.keep);
        match fetched.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Ok((Outcome::Unknown, keep)),
            StatusCode::FORBIDDEN => return Ok((Outcome::Denied, keep)),
            status => return Err(FetchError::Status(status)),
        }
        match Answer::parse(&fetched.body).map_err(FetchError::Content)? {
            Some(answer) => {
                let left = answer.left_ms(now_ms).map(Duration::from_millis);
                let keep = left.map_or(keep, |left| left.min(keep));
                Ok((Outcome::Answered(answer), keep))
            }
            None => Ok((Outcome::Denied, keep)),
        }
    }

    fn tell(&self, why: &str) {
        if let Some(unsaid) = self.said.may_say() {
            tracing::warn!(url = %self.settings.url, why, unsaid, "the authorization hook fails; requests are refused");
        }
    }
}
