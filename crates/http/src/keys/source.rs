//! One source of keys: what it last gave, and how a fetch goes.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tidewire_auth::KeySet;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{FetchedKeys, KeySource, KeysFrom, KeysOf, Roles, discovery};
use crate::counters::Count;
use crate::fetch::{Bounds, Failures, FetchError, Fetcher, max_age_s};
use crate::front::random_u64;

/// The longest pause between two tries at a source that fails.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// A source, its last good set and its counters.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) config: KeySource,
    /// Locked for moments, never while something is fetched.
    state: Mutex<State>,
    /// Told whenever a fetch is settled: what is due may be due sooner now.
    pub(super) settled: Arc<Notify>,
    pub(super) fetched: Count,
    pub(super) failed: Failures,
}

#[derive(Debug, Default)]
struct State {
    good: Option<Good>,
    /// When it was last asked.
    asked: Option<Instant>,
    /// When it is to be asked again without anybody's wanting.
    due: Option<Instant>,
    /// How often it has failed since it last answered.
    failures: u32,
    /// Closed when the fetch that runs is over.
    running: Option<watch::Receiver<()>>,
}

/// A set that was fetched.
#[derive(Clone, Debug)]
pub(super) struct Good {
    pub(super) keys: KeySet,
    pub(super) at: Instant,
}

/// What a fetch gives.
pub(super) struct Fresh {
    keys: KeySet,
    /// For how long its source says that it may be kept.
    max_age: Option<Duration>,
}

/// Whether somebody fetches.
pub(super) enum Turn {
    /// Whoever asked: it tells the others by dropping this.
    Yours(watch::Sender<()>),
    /// Somebody else, until this is closed.
    Another(watch::Receiver<()>),
    /// Nobody: it was asked a moment ago. For so long it will not be again.
    TooSoon(Duration),
}

impl Source {
    pub(super) fn new(config: KeySource) -> Self {
        Self {
            config,
            state: Mutex::default(),
            settled: Arc::default(),
            fetched: Count::default(),
            failed: Failures::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with this lock")
    }

    pub(super) fn good(&self) -> Option<Good> {
        self.state().good.clone()
    }

    pub(super) fn has_answered(&self) -> bool {
        self.state().good.is_some()
    }

    pub(super) fn failures(&self) -> u32 {
        self.state().failures
    }

    /// When it is to be asked again.
    pub(super) fn due(&self) -> Instant {
        self.state().due.unwrap_or_else(Instant::now)
    }

    /// Single flight, and no flight sooner than the floor allows.
    pub(super) fn take_turn(&self, floor: Duration) -> Turn {
        let mut state = self.state();
        if let Some(running) = &state.running
            && running.has_changed().is_ok()
        {
            return Turn::Another(running.clone());
        }
        let now = Instant::now();
        if let Some(asked) = state.asked
            && now < asked + floor
        {
            return Turn::TooSoon(asked + floor - now);
        }
        let (over, running) = watch::channel(());
        state.asked = Some(now);
        state.running = Some(running);
        Turn::Yours(over)
    }

    /// Fetches once.
    pub(super) async fn fetch(
        &self,
        fetcher: &Fetcher,
        settings: &FetchedKeys,
    ) -> Result<Fresh, FetchError> {
        let bounds = Bounds {
            time_max: settings.time_max,
            body_bytes_max: settings.document_bytes_max,
        };
        // The limit is for both documents together.
        let fresh = tokio::time::timeout(settings.time_max, self.ask(fetcher, bounds)).await;
        fresh.unwrap_or(Err(FetchError::Timeout))
    }

    async fn ask(&self, fetcher: &Fetcher, bounds: Bounds) -> Result<Fresh, FetchError> {
        let found;
        let url = match (&self.config.from, &self.config.of) {
            (KeysFrom::Jwks(url), _) => url,
            (KeysFrom::Discovery(at), KeysOf::Issuer { name, .. }) => {
                found = discovery::jwks_url(fetcher, name, at, bounds).await?;
                &found
            }
            (KeysFrom::Discovery(_), KeysOf::Role(_)) => {
                return Err(FetchError::Content("a role has no metadata".into()));
            }
        };
        let answer = fetcher.get(url, bounds).await?;
        let text = std::str::from_utf8(&answer.body)
            .map_err(|_| FetchError::Content("the JWK set is not UTF-8".into()))?;
        let keys = KeySet::parse_jwks(text)
            .map_err(|why| FetchError::Content(format!("the JWK set cannot be used: {why}")))?;
        Ok(Fresh {
            keys: keys.allowing(self.config.algorithms),
            max_age: max_age_s(&answer.headers).map(Duration::from_secs),
        })
    }

    /// Takes what was fetched, or notes that it failed: then the last good set stays. Says whether the keys are others now.
    pub(super) fn settle(&self, result: Result<Fresh, FetchError>, settings: &FetchedKeys) -> bool {
        let is_new = self.take(result, settings);
        self.settled.notify_waiters();
        is_new
    }

    fn take(&self, result: Result<Fresh, FetchError>, settings: &FetchedKeys) -> bool {
        let now = Instant::now();
        match result {
            Ok(fresh) => {
                self.fetched.one();
                let age = fresh.max_age.unwrap_or(settings.refresh_max);
                let age = age.min(settings.refresh_max).max(settings.refresh_min);
                let mut state = self.state();
                let before = state.good.replace(Good {
                    keys: fresh.keys.clone(),
                    at: now,
                });
                let was_down = state.failures;
                state.failures = 0;
                state.due = Some(now + jittered(age));
                drop(state);
                let is_new = before.is_none_or(|before| before.keys != fresh.keys);
                self.tell_fetched(&fresh.keys, is_new, was_down);
                is_new
            }
            Err(error) => {
                self.failed.one(&error);
                let mut state = self.state();
                state.failures = state.failures.saturating_add(1);
                let doubled = settings.refetch_floor * 2u32.pow(state.failures.min(10) - 1);
                let pause = doubled.min(BACKOFF_MAX).max(settings.refetch_floor);
                state.due = Some(now + jittered(pause));
                let age = state.good.as_ref().map(|good| now - good.at);
                drop(state);
                self.tell_failed(&error, age, pause);
                false
            }
        }
    }

    fn tell_fetched(&self, keys: &KeySet, is_new: bool, was_down: u32) {
        let (of, from, count, skipped) = (self.name(), self.from(), keys.len(), keys.skipped());
        if keys.is_empty() {
            tracing::warn!(%of, %from, skipped, "the fetched JWK set has no key that this hub can use: every token is refused");
        } else if was_down > 0 {
            tracing::warn!(%of, %from, keys = count, skipped, failures = was_down, "keys are fetched again");
        } else if is_new {
            tracing::info!(%of, %from, keys = count, skipped, "keys fetched");
        } else {
            tracing::debug!(%of, %from, keys = count, "keys are as they were");
        }
    }

    fn tell_failed(&self, error: &FetchError, age: Option<Duration>, pause: Duration) {
        let (of, from, again_s) = (self.name(), self.from(), pause.as_secs());
        match age {
            Some(age) => tracing::warn!(
                %of, %from, %error, age_s = age.as_secs(), again_s,
                "keys cannot be fetched; the last good ones are used"
            ),
            None => tracing::warn!(
                %of, %from, %error, again_s,
                "keys cannot be fetched yet, and its tokens are refused until they are"
            ),
        }
    }

    /// Whose keys they are, in words.
    pub(super) fn name(&self) -> String {
        match &self.config.of {
            KeysOf::Role(role) => format!("{role}s"),
            KeysOf::Issuer { name, roles } => match roles {
                Roles::Both => name.clone(),
                // It may have another source for the other role.
                Roles::Only(role) => format!("{name} ({role}s)"),
            },
        }
    }

    pub(super) fn from(&self) -> String {
        match &self.config.from {
            KeysFrom::Jwks(url) => url.to_string(),
            KeysFrom::Discovery(url) => format!("the metadata of {url}"),
        }
    }
}

/// 90 to 100 % of it, so that hubs do not ask together.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.9 + 0.1 * (random_u64() >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::RemoteUrl;
    use tidewire_auth::Role;

    fn source() -> Source {
        let url = RemoteUrl::parse("https://a.example/k", false).unwrap();
        Source::new(KeySource::new(
            KeysOf::Role(Role::Publisher),
            KeysFrom::Jwks(url),
        ))
    }

    #[tokio::test(start_paused = true)]
    async fn one_fetches_and_none_before_the_floor() {
        let (source, floor) = (source(), Duration::from_secs(10));
        let Turn::Yours(over) = source.take_turn(floor) else {
            panic!("nobody else asks")
        };
        assert!(matches!(source.take_turn(floor), Turn::Another(_)));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(
            matches!(source.take_turn(floor), Turn::Another(_)),
            "it runs, however long"
        );
        drop(over);
        let Turn::Yours(over) = source.take_turn(floor) else {
            panic!("the floor is over")
        };
        drop(over);
        tokio::time::advance(Duration::from_millis(9_999)).await;
        let Turn::TooSoon(left) = source.take_turn(floor) else {
            panic!("before the floor")
        };
        assert_eq!(left, Duration::from_millis(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(matches!(source.take_turn(floor), Turn::Yours(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_time_is_within_bounds() {
        let settings = FetchedKeys::default();
        let good = |max_age_s: Option<u64>| {
            Ok(Fresh {
                keys: KeySet::default(),
                max_age: max_age_s.map(Duration::from_secs),
            })
        };
        let down = || Err(FetchError::Timeout);
        let table = [
            (vec![good(None)], 3600),
            (vec![good(Some(0))], 60),
            (vec![good(Some(600))], 600),
            (vec![good(Some(u64::MAX))], 3600),
            (vec![down()], 10),
            (vec![down(), down(), down()], 40),
            (std::iter::repeat_with(down).take(40).collect(), 300),
            (vec![down(), down(), good(Some(600))], 600),
        ];
        for (index, (results, want_s)) in table.into_iter().enumerate() {
            let source = source();
            for result in results {
                source.settle(result, &settings);
            }
            let due = (source.due() - Instant::now()).as_secs_f64();
            let want = f64::from(want_s);
            assert!((0.9 * want..=want).contains(&due), "{index}: {due}");
        }
    }

    #[tokio::test]
    async fn a_failure_leaves_the_last_good_set() {
        let (source, settings) = (source(), FetchedKeys::default());
        assert!(!source.settle(Err(FetchError::Timeout), &settings));
        assert!(!source.has_answered());
        let fresh = || Fresh {
            keys: KeySet::default(),
            max_age: None,
        };
        assert!(source.settle(Ok(fresh()), &settings), "the first is new");
        assert!(!source.settle(Ok(fresh()), &settings), "the same is not");
        assert!(!source.settle(Err(FetchError::Redirects), &settings));
        assert!(source.has_answered());
        assert_eq!((source.failures(), source.fetched.now()), (1, 2));
        assert_eq!(
            source
                .failed
                .now()
                .map(|(_, count)| count)
                .iter()
                .sum::<u64>(),
            2
        );
    }
}
