//! Grants that were taken back: refused at the door, their streams ended, kept until they would have ended by themselves.
//! What is meant by one is `tidewire-auth`'s.

mod body;
mod door;
mod store;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tidewire_auth::{Refusal, Revocation, RevocationError, Revocations, RevokedBy};
use tidewire_core::Grant;
use tidewire_engine::Target;

use crate::front::Front;
use crate::problem::Problem;

pub(crate) use door::{METHODS, forget, list, of_admin, revoke};
pub use store::{HubStore, MemoryStore, StoreError};

/// How long a request may take from its token's check to its stream's beginning: nothing that is waited for takes longer.
const RECENT_MS: u64 = 600_000;

/// A hub's revocations.
pub(crate) struct Revoked {
    store: Arc<dyn HubStore>,
    /// Locked to look at, and to change in memory; never while anything is waited for.
    kept: RwLock<Kept>,
    /// Whether there is none: spares requests the lock.
    is_empty: AtomicBool,
    /// How many there ever were since the hub began.
    count: AtomicU64,
    /// Changes reach the store in the order in which they were made. A call to the store takes it along, for whoever asked may be gone
    /// before that is done.
    writing: Arc<tokio::sync::Mutex<()>>,
}

struct Kept {
    set: Revocations,
    /// The latest, by their numbers, and when they came: what may have been revoked while a request was on its way.
    recent: VecDeque<(u64, u64, Target)>,
}

/// How many revocations there were when a token was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted(u64);

impl Revoked {
    /// Those that the store keeps.
    ///
    /// # Errors
    /// If they cannot be read, or are more than there may be.
    pub(crate) fn load(store: Arc<dyn HubStore>, now_ms: u64) -> std::io::Result<Self> {
        let mut set = Revocations::default();
        let mut over = Vec::new();
        for revocation in store.revocations().map_err(std::io::Error::other)? {
            match revocation.until_ms.is_some_and(|until| until <= now_ms) {
                true => over.push(revocation.what),
                false => set.insert(revocation).map_err(std::io::Error::other)?,
            }
        }
        if !over.is_empty() {
            store.forget(&over).map_err(std::io::Error::other)?;
        }
        Ok(Self {
            store,
            is_empty: AtomicBool::new(set.is_empty()),
            kept: RwLock::new(Kept {
                set,
                recent: VecDeque::new(),
            }),
            count: AtomicU64::new(0),
            writing: Arc::default(),
        })
    }

    fn kept(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be asked before a token is checked whose stream begins later.
    pub(crate) fn admit(&self) -> Admitted {
        Admitted(self.count.load(Ordering::SeqCst))
    }

    /// Whether the token behind a grant is good still. Not to be asked of a grant without one.
    pub(crate) fn check(&self, grant: &Grant, now_ms: u64) -> Result<(), Refusal> {
        if self.is_empty.load(Ordering::SeqCst) {
            return Ok(());
        }
        match self.kept().set.check(grant, now_ms) {
            Some(_) => Err(Refusal::Revoked),
            None => Ok(()),
        }
    }

    /// What was revoked since, if anything was.
    fn since(&self, admitted: Admitted) -> Vec<Target> {
        if self.count.load(Ordering::SeqCst) == admitted.0 {
            return Vec::new();
        }
        let kept = self.kept();
        let since = kept.recent.iter().filter(|(at, ..)| *at > admitted.0);
        since.map(|(.., target)| target.clone()).collect()
    }

    /// Takes one; from here on its tokens are refused.
    fn add(
        &self,
        revocation: Revocation,
        target: Target,
        now_ms: u64,
    ) -> Result<(), RevocationError> {
        let mut kept = self.change();
        kept.set.insert(revocation)?;
        self.tell(&mut kept, target, now_ms);
        self.is_empty.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Ends what is under way to its stream's beginning, though nothing is refused from here on.
    pub(crate) fn end_arriving(&self, target: Target, now_ms: u64) {
        self.tell(&mut self.change(), target, now_ms);
    }

    /// For those who were admitted and have no stream yet.
    fn tell(&self, kept: &mut Kept, target: Target, now_ms: u64) {
        let late = |(_, at_ms, _): &(u64, u64, Target)| at_ms.saturating_add(RECENT_MS) < now_ms;
        while kept.recent.front().is_some_and(late) {
            kept.recent.pop_front();
        }
        // Under the lock: whoever sees the new count finds what it counts.
        let number = self.count.load(Ordering::SeqCst) + 1;
        kept.recent.push_back((number, now_ms, target));
        self.count.store(number, Ordering::SeqCst);
    }

    /// Lets go of those that are over.
    pub(crate) async fn expire(&self, now_ms: u64) {
        if self.is_empty.load(Ordering::SeqCst) {
            return;
        }
        let writing = self.write().await;
        let over: Vec<_> = {
            let mut kept = self.change();
            let over =
                |revocation: &&Revocation| revocation.until_ms.is_some_and(|until| until <= now_ms);
            let gone = kept.set.iter().filter(over).map(|one| one.what.clone());
            let gone = gone.collect();
            kept.set.expire(now_ms);
            self.is_empty.store(kept.set.is_empty(), Ordering::SeqCst);
            gone
        };
        if over.is_empty() {
            return;
        }
        // Kept for longer than they need to be, they do no harm, and are found when the hub starts.
        let forget = move |store: &dyn HubStore| {
            let _writing = writing;
            store.forget(&over)
        };
        if let Err(error) = self.with_store(forget).await {
            tracing::warn!(%error, "revocations that are over stay in the store");
        }
    }

    /// The turn to change what the store keeps.
    pub(super) async fn write(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.writing).lock_owned().await
    }

    /// A call that may touch the disk.
    pub(crate) async fn with_store<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn HubStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store);
        let called = tokio::task::spawn_blocking(move || call(&*store)).await;
        called.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
    }
}

/// Whether a grant is not everybody's: it came from a token or from the hook, and so can end before what it was given for does.
pub(crate) fn is_of_somebody(grant: &Grant) -> bool {
    let names = [&grant.issuer, &grant.subject, &grant.token_id];
    names.into_iter().any(Option::is_some)
        || grant.expires_ms.is_some()
        || !grant.private.is_empty()
        || !(grant.publish.is_empty() || grant.publish.is_any())
}

impl Front {
    /// Whether what a grant was given for may go on: it has not ended, and nobody has taken it back.
    pub(crate) fn still_good(&self, grant: &Grant) -> Result<(), Problem> {
        let now_ms = self.now_ms();
        let good = match grant.expires_ms {
            Some(expires_ms) if expires_ms <= now_ms => Err(Refusal::Expired { expires_ms }),
            _ if is_of_somebody(grant) => self.revocations().check(grant, now_ms),
            _ => Ok(()),
        };
        good.map_err(|refusal| Problem::refused(&refusal))
    }

    /// Whether nothing ended the holder of a grant since it was admitted, as [`Front::catch_up`] ends its streams.
    pub(crate) fn still_admitted(&self, admitted: Admitted, grant: &Grant) -> Result<(), Problem> {
        let marks = self.streams().marks_of(grant);
        let means = |target: &Target| matches!(target, Target::Marks(meant) if meant.mean(marks));
        match self.revocations().since(admitted).iter().any(means) {
            true => Err(Problem::refused(&Refusal::Revoked)),
            false => Ok(()),
        }
    }

    /// To be called once a stream is where it can be told something, with what was admitted before its token was checked: a
    /// revocation that came between the two ends it.
    pub(crate) fn catch_up(&self, admitted: Admitted) {
        for target in self.revocations().since(admitted) {
            drop(self.streams().end(target));
        }
    }

    /// Whose streams a revocation ends.
    fn target_of(&self, what: &RevokedBy) -> Target {
        let marks = |issuer: &Option<String>, subject, token_id| {
            Target::Marks(self.streams().marks(issuer.as_deref(), subject, token_id))
        };
        match what {
            RevokedBy::TokenId { issuer, id } => marks(issuer, None, Some(id)),
            RevokedBy::Subject { issuer, subject } => marks(issuer, Some(subject), None),
            RevokedBy::Topic(topic) => Target::Topic(topic.clone()),
            // Newer than this crate: nobody can ask for it here.
            _ => Target::Marks(tidewire_engine::Marks::NONE),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidewire_core::Topic;

    use super::*;

    fn revocation(name: &str, until_ms: Option<u64>) -> (Revocation, Target) {
        let topic = Topic::parse(name).unwrap();
        let what = RevokedBy::Topic(topic.clone());
        let one = Revocation {
            what,
            revoked_ms: 0,
            until_ms,
        };
        (one, Target::Topic(topic))
    }

    fn revoked() -> Revoked {
        Revoked::load(Arc::new(MemoryStore::default()), 0).unwrap()
    }

    #[test]
    fn what_came_since_a_token_was_checked_is_known() {
        let revoked = revoked();
        let mut admitted = vec![revoked.admit()];
        for (at_ms, name) in [(1, "a"), (2, "b"), (RECENT_MS + 2, "c")] {
            let (one, target) = revocation(name, None);
            revoked.add(one, target, at_ms).unwrap();
            admitted.push(revoked.admit());
        }
        let since = |admitted: Admitted| -> Vec<_> {
            let names = revoked
                .since(admitted)
                .into_iter()
                .map(|target| match target {
                    Target::Topic(topic) => topic.to_string(),
                    other => format!("{other:?}"),
                });
            names.collect()
        };
        // The first is older than any request that is under way.
        let want: [&[&str]; 4] = [&["b", "c"], &["b", "c"], &["c"], &[]];
        for (admitted, want) in admitted.into_iter().zip(want) {
            assert_eq!(since(admitted), want, "{admitted:?}");
        }
    }

    #[tokio::test]
    async fn what_is_over_is_let_go_of() {
        let revoked = revoked();
        for (name, until_ms) in [("a", Some(10)), ("b", Some(20)), ("c", None)] {
            let (one, target) = revocation(name, until_ms);
            revoked.add(one, target, 1).unwrap();
        }
        for (now_ms, left) in [(9, 3), (10, 2), (1_000_000, 1)] {
            revoked.expire(now_ms).await;
            assert_eq!(revoked.kept().set.len(), left, "{now_ms}");
            assert!(!revoked.is_empty.load(Ordering::SeqCst));
        }
        revoked.change().set.remove(&revocation("c", None).0.what);
        revoked.expire(1_000_000).await;
        assert!(revoked.is_empty.load(Ordering::SeqCst));
    }
}
