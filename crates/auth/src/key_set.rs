//! Keys that are trusted for one thing: those of a role, those of an issuer's role.

use crate::{Algorithm, Algorithms, Key};

/// How many keys a set may have.
pub const KEYS_PER_SET_MAX: usize = 64;

/// How many keys are tried on a token that does not say which one signed it. A set with more keys for one algorithm needs names
/// (`kid`) in its keys and tokens; without this limit, each forged token would cost as many signature checks as there are keys.
pub const KEYS_TRIED_MAX: usize = 8;

/// Keys that are trusted for the same thing. May be empty for as long as its keys are not known; then it takes no token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: usize,
}

impl KeySet {
    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none, so that no token is good.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys of its source are not in it: unknown kinds, uses or algorithms, too weak, or not allowed.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// What its keys are for, together.
    #[must_use]
    pub fn algorithms(&self) -> Algorithms {
        let none = Algorithms::default();
        self.keys
            .iter()
            .fold(none, |set, key| set.or(key.algorithms))
    }

    /// Narrowed to these algorithms. Keys that are for none of them are left out, and counted as skipped.
    #[must_use]
    pub fn allowing(mut self, algorithms: Algorithms) -> Self {
        let before = self.keys.len();
        for key in &mut self.keys {
            key.algorithms = key.algorithms.and(algorithms);
        }
        self.keys.retain(|key| !key.algorithms.is_empty());
        self.skipped += before - self.keys.len();
        self
    }

    /// Those that a token with this `kid` may be signed by. A `kid` is a hint and no more: it chooses among these keys, and a key
    /// without a name stands for any.
    pub(crate) fn named(&self, kid: Option<&str>) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| match (kid, key.id()) {
            (Some(kid), Some(id)) => kid == id,
            _ => true,
        })
    }

    /// Of these, those for this algorithm, as many as are tried.
    pub(crate) fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Key> {
        self.named(kid)
            .filter(move |key| key.algorithms.contains(algorithm))
            .take(KEYS_TRIED_MAX)
    }
}

impl From<Key> for KeySet {
    fn from(key: Key) -> Self {
        Self {
            keys: vec![key],
            skipped: 0,
        }
    }
}
