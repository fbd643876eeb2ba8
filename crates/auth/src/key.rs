//! Keys: what signatures are checked with.

use std::fmt;
use std::str::FromStr;

use crate::Role;

/// A signature algorithm (RFC 7518, section 3.1). `none` is not among them and never will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl Algorithm {
    /// As a token's header spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Hs256, Self::Hs384, Self::Hs512]
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or_else(|| format!("{text:?} is not one of HS256, HS384, HS512"))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key and the one algorithm that it is for, so that a token cannot choose another (RFC 8725, section 3.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    pub(crate) algorithm: Algorithm,
    pub(crate) secret: Box<[u8]>,
}

/// Why bytes are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// There are none: anybody could sign.
    Empty,
    /// They are a PEM file. A public key taken for a shared secret would let anybody sign.
    Pem,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the key is empty"),
            Self::Pem => write!(
                f,
                "the key is a PEM file, but a shared secret (HS256, HS384, HS512) is wanted"
            ),
        }
    }
}

impl std::error::Error for KeyError {}

impl Key {
    /// A shared secret. The bytes are taken as they are: no base64, no trimming.
    ///
    /// # Errors
    /// If there are none, or they are a PEM file.
    pub fn hmac(secret: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(KeyError::Pem);
        }
        Ok(Self {
            algorithm,
            secret: secret.into(),
        })
    }

    /// What it is for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether it is as long as its algorithm's hash, which RFC 7518, section 3.2, asks for. Shorter ones are in wide use.
    #[must_use]
    pub fn is_long_enough(&self) -> bool {
        let hash_bytes = match self.algorithm {
            Algorithm::Hs256 => 32,
            Algorithm::Hs384 => 48,
            Algorithm::Hs512 => 64,
        };
        self.secret.len() >= hash_bytes
    }
}

/// Says what it is for and keeps its secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The keys of a hub. The two roles are apart: a subscriber's key cannot sign a publisher's token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Checks publishers' tokens.
    pub publisher: Option<Key>,
    /// Checks subscribers' tokens.
    pub subscriber: Option<Key>,
}

impl Keys {
    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.publisher.is_none() && self.subscriber.is_none()
    }

    /// The key for a role.
    #[must_use]
    pub fn of(&self, role: Role) -> Option<&Key> {
        match role {
            Role::Publisher => self.publisher.as_ref(),
            Role::Subscriber => self.subscriber.as_ref(),
        }
    }
}
