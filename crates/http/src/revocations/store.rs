//! What a hub must not forget beside its log: a few small things that change. Which store keeps them is the embedder's
//! choice; [`MemoryStore`] forgets them with the process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};

use tidewire_auth::{Revocation, RevokedBy};

/// Keeps what a hub must not forget. What a method has answered stands, whatever happens to the process or the machine
/// afterwards. Methods may touch the disk; they are not called where that matters.
pub trait HubStore: Send + Sync {
    /// Every revocation that is kept. Asked once, when the hub starts.
    ///
    /// # Errors
    /// If they cannot be read: the hub does not start without them.
    fn revocations(&self) -> Result<Vec<Revocation>, StoreError>;

    /// Keeps a revocation, in the place of one of the same tokens.
    ///
    /// # Errors
    /// If it is not kept.
    fn keep(&self, revocation: &Revocation) -> Result<(), StoreError>;

    /// Forgets revocations; those that are not there are not missed.
    ///
    /// # Errors
    /// If they may come back.
    fn forget(&self, revocations: &[RevokedBy]) -> Result<(), StoreError>;

    /// Notes that something that may be used once is used, and until when it could be used again if this were forgotten, in
    /// milliseconds since 1970. Whether it was unused until now: of those who ask at the same time, one is told so.
    ///
    /// # Errors
    /// If it cannot be noted: then it must not be used.
    fn spend(&self, nonce: &[u8], until_ms: u64, now_ms: u64) -> Result<bool, StoreError>;
}

/// Why something is not kept. Not the caller's fault; trying again may help.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The store says why.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Failed(why) = self;
        f.write_str(why)
    }
}

impl std::error::Error for StoreError {}

/// Keeps everything until the process ends.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Until when each nonce counts. Locked to add, and to let go of the old.
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    nonces: HashMap<Box<[u8]>, u64>,
    /// It is swept when it has grown to this.
    sweep_at: usize,
}

impl MemoryStore {
    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().expect("nobody panics with this lock")
    }
}

impl HubStore for MemoryStore {
    fn revocations(&self) -> Result<Vec<Revocation>, StoreError> {
        Ok(Vec::new())
    }

    /// The hub has them in memory itself.
    fn keep(&self, _: &Revocation) -> Result<(), StoreError> {
        Ok(())
    }

    fn forget(&self, _: &[RevokedBy]) -> Result<(), StoreError> {
        Ok(())
    }

    fn spend(&self, nonce: &[u8], until_ms: u64, now_ms: u64) -> Result<bool, StoreError> {
        let mut spent = self.spent();
        if spent.nonces.len() >= spent.sweep_at.max(1024) {
            spent.nonces.retain(|_, until_ms| *until_ms > now_ms);
            spent.sweep_at = spent.nonces.len() * 2;
        }
        let is_new = spent.nonces.get(nonce).is_none_or(|until| *until <= now_ms);
        if is_new {
            spent.nonces.insert(nonce.into(), until_ms);
        }
        Ok(is_new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_spent_once_and_forgotten_when_it_is_over() {
        let store = MemoryStore::default();
        for (nonce, now_ms, is_new) in [
            ("a", 1, true),
            ("a", 2, false),
            ("b", 2, true),
            ("a", 100, true),
        ] {
            let answer = store.spend(nonce.as_bytes(), 100, now_ms);
            assert_eq!(answer, Ok(is_new), "{nonce} at {now_ms}");
        }
        for number in 0..10_000_u32 {
            let spent = store.spend(&number.to_le_bytes(), u64::from(number) + 1, number.into());
            assert_eq!(spent, Ok(true));
        }
        assert!(store.spent().nonces.len() < 2_000, "the old are let go of");
    }
}
