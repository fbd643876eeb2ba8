//! Keys that are trusted for one thing: those of a role, those of an issuer's role.

use serde_json::Value;

use crate::{Algorithm, Algorithms, Key, KeyError, der, jwk};

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
    /// Keys from a file, whatever its form: a PEM file with a public key or a certificate, a JWK, a set of them, or the bytes of a
    /// shared secret, which is then for one algorithm: the only one of `algorithms`, or HS256 where nothing is said. What is a PEM
    /// file or JSON is never taken for a secret.
    ///
    /// # Errors
    /// If it is none, is too weak, or is for none of `algorithms`.
    pub fn parse(bytes: &[u8], algorithms: Option<Algorithms>) -> Result<Self, KeyError> {
        let allowed = algorithms.unwrap_or_else(Algorithms::all);
        let only_secrets = allowed.iter().all(|one| one.is_shared_secret());
        if der::is_pem(bytes) {
            if only_secrets {
                return Err(KeyError::Pem);
            }
            return Key::public_pem(bytes)?.allowing(allowed).map(Self::from);
        }
        if jwk::is_json(bytes) {
            if jwk::object(bytes)?.contains_key("keys") {
                let set = Self::parse_jwks(bytes)?;
                let (had, set) = (set.len(), set.allowing(allowed));
                // One with no key at all would let nobody in, and not say why.
                return match allowed.iter().next() {
                    Some(first) if set.is_empty() && had > 0 => Err(KeyError::Algorithm(first)),
                    _ => Ok(set),
                };
            }
            return Key::jwk(bytes)?.allowing(allowed).map(Self::from);
        }
        let algorithm = match algorithms {
            None => Algorithm::Hs256,
            Some(some) => some.iter().next().ok_or(KeyError::Kind("kind"))?,
        };
        Key::hmac(bytes, algorithm).map(Self::from)
    }

    /// A JWK set (RFC 7517, section 5). Keys of unknown kinds, for other uses, without what they need or too weak are left out and
    /// counted, as it wants: a set may serve others too.
    ///
    /// # Errors
    /// If it is none, or too large.
    pub fn parse_jwks(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let mut set = Self::default();
        for entry in jwk::entries(json.as_ref())? {
            let Value::Object(members) = entry else {
                return Err(KeyError::Malformed("`keys`"));
            };
            match jwk::parse(&members) {
                Ok(_) if set.keys.len() == KEYS_PER_SET_MAX => return Err(KeyError::Keys),
                Ok(key) => set.keys.push(key),
                Err(_) => set.skipped += 1,
            }
        }
        Ok(set)
    }

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
