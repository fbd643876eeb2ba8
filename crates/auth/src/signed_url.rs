//! Signed URLs: a subscribe that carries its permission in its own address, for an EventSource, which sends no headers, and for
//! pages that should hold no token.
//!
//! Whoever has the URL may do what it says until it ends, so it says little: which topics, until when, and if wanted for which
//! origin, which address, for one use only, about whom, made with which token.
//!
//! # What is signed
//!
//! HMAC-SHA-256 with the hub's URL key, which is for nothing else, over this text (lines end with LF, the last has none):
//!
//! ```text
//! tidewire signed url 1
//! <path>
//! <parameters>
//! ```
//!
//! - The **path** as the URL has it, normalized (RFC 3986, section 6.2.2): escapes of unreserved characters (letters, digits, `-._~`)
//!   undone, all others with capital letters. Host and scheme are not signed: the key is one hub's.
//! - The **parameters** in their order, each `name=value`, joined by `&`; names and values decoded and encoded again, so that every
//!   byte but an unreserved character is `%XX`. These are signed: `topic`, `match`, `match_exact`, `match_urlpattern` (what it is
//!   about); `expires` (seconds since 1970, always there), `origin`, `address`, `once`, `subject`, `issuer`,
//!   `token_id`, each at most once.
//! - These are **not** signed, for they change when a client reconnects or say only how an answer looks: `last_event_id`,
//!   `lastEventID`, `lastEventId`, `Last-Event-ID`, `since`, `checkpoint`, `label`, `limit`, `padding`, `wait`. So a signed URL does
//!   not say how far back its holder may read: it reads the history of its topics too.
//! - Any other parameter is refused.
//!
//! The signature, in base64url without padding, is the parameter `signature`. A test vector: with the key of the bytes 0 to 31,
//! `/topics/orders%2F42/a%20b?expires=1795250060` has the signature `lZEmimYRmEe3yX0MVe5RheSpM7kmfkDACRgoPS8ov54`.
//!
//! The first line keeps these signatures apart from those of tokens, which never have a space or a line's end in what they sign:
//! even one secret used for both would not make one pass for the other.
//!
//! # What is not done here
//!
//! Remembering which `once` has been used is `tidewire-http`'s. An EventSource reconnects to the same URL, so `once` is for fetch and
//! for clients that ask for a new URL. A URL can be revoked as a token can ([`crate::Revocations`]): it counts as one of its subject,
//! with its `token_id` (without one, with its `once`), that does not say when it was made.

mod canonical;
mod verify;

use core::net::IpAddr;
use std::fmt;

use crate::{KeyError, Refusal, signature};

pub use verify::{Admitted, UrlQuestion, verify};

/// The fewest bytes that a URL key may have: as many as the hash.
pub const URL_KEY_BYTES_MIN: usize = 32;
/// The longest URL that is signed, path and query, in bytes.
pub const SIGNED_URL_BYTES_MAX: usize = 8 * 1024;
/// The longest `once`, in bytes; the shortest has [`ONCE_BYTES_MIN`].
pub const ONCE_BYTES_MAX: usize = 64;
/// The shortest `once`: 16 characters of base64url hold 96 random bits.
pub const ONCE_BYTES_MIN: usize = 16;

/// What URLs are signed with. A key of its own: not that of tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlKey(Box<[u8]>);

impl UrlKey {
    /// From a secret, taken as it is.
    ///
    /// # Errors
    /// If it is shorter than [`URL_KEY_BYTES_MIN`].
    pub fn new(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < URL_KEY_BYTES_MIN {
            return Err(KeyError::Short {
                bytes: secret.len(),
                bytes_min: URL_KEY_BYTES_MIN,
            });
        }
        Ok(Self(secret.into()))
    }

    /// The secret itself, to be told from others.
    pub(crate) fn secret(&self) -> &[u8] {
        &self.0
    }
}

/// Keeps its secret.
impl fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlKey")
    }
}

/// Why a signed URL is not good, or cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// A parameter is missing, is there twice, or has a value that means nothing; says which.
    Parameter(&'static str),
    /// A parameter that a signed URL does not have, shortened.
    Unknown(String),
    /// It is longer than [`SIGNED_URL_BYTES_MAX`].
    TooLong,
    /// It names no topic.
    NoTopic,
    /// The signature is not the hub's: something was changed, or another key signed it.
    Signature,
    /// Its time is over.
    Expired {
        /// Since when, in milliseconds since 1970.
        expires_ms: u64,
    },
    /// It is for another origin than the request's.
    Origin,
    /// It is for another address than the client's.
    Address,
    /// It was for one use, and has been used.
    Used,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(name) => write!(
                f,
                "its `{name}` is missing, is there twice, or means nothing"
            ),
            Self::Unknown(name) => write!(f, "it must not have the parameter {name:?}"),
            Self::TooLong => write!(f, "it is longer than {SIGNED_URL_BYTES_MAX} bytes"),
            Self::NoTopic => write!(f, "it names no topic"),
            Self::Signature => write!(
                f,
                "its signature is not this hub's: use the URL exactly as it was made"
            ),
            Self::Expired { .. } => write!(f, "it has expired; ask for a new one"),
            Self::Origin => write!(f, "it is for pages of another origin"),
            Self::Address => write!(f, "it is for another client's address"),
            Self::Used => write!(
                f,
                "it was for one use, and has been used; ask for a new one"
            ),
        }
    }
}

impl std::error::Error for UrlError {}

impl From<UrlError> for Refusal {
    fn from(error: UrlError) -> Self {
        Self::SignedUrl(error)
    }
}

/// What a signed URL says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedUrl {
    /// The path, percent-encoded as in a URL.
    pub path: String,
    /// Its other parameters, decoded, in their order: what it is about, and how the answer should look.
    pub parameters: Vec<(String, String)>,
    /// When it ends, in milliseconds since 1970; cut to whole seconds.
    pub expires_ms: u64,
    /// The one origin whose pages may use it.
    pub origin: Option<String>,
    /// The one address that a client may have.
    pub address: Option<IpAddr>,
    /// Makes it good for one use: a random text of [`ONCE_BYTES_MIN`] to [`ONCE_BYTES_MAX`] unreserved characters.
    pub once: Option<String>,
    /// Whom it is about.
    pub subject: Option<String>,
    /// Who says so (`iss`): without it, a revocation of this issuer's subject or token alone leaves the URL good.
    pub issuer: Option<String>,
    /// The token that it was made with (`jti`).
    pub token_id: Option<String>,
}

impl SignedUrl {
    /// Path and query, with the signature.
    ///
    /// # Errors
    /// If a hub would not take it.
    pub fn sign(&self, key: &UrlKey) -> Result<String, Refusal> {
        let expires = (self.expires_ms / 1000).to_string();
        let address = self.address.map(|address| address.to_string());
        let terms = [
            ("expires", Some(&expires)),
            ("origin", self.origin.as_ref()),
            ("address", address.as_ref()),
            ("once", self.once.as_ref()),
            ("subject", self.subject.as_ref()),
            ("issuer", self.issuer.as_ref()),
            ("token_id", self.token_id.as_ref()),
        ];
        let parameters = self
            .parameters
            .iter()
            .map(|(name, value)| (&**name, &**value));
        let terms = terms
            .into_iter()
            .filter_map(|(name, value)| Some((name, &**value?)));
        let pairs: Vec<(&str, &str)> = parameters.chain(terms).collect();
        canonical::Parsed::of(&pairs)?;
        let text = canonical::text(&self.path, &pairs);
        let signature = signature::hmac(&key.0, text.as_bytes()).ok_or(Refusal::Unverifiable)?;
        let url = format!(
            "{}?{}&signature={signature}",
            canonical::path(&self.path),
            canonical::query(pairs.iter().copied())
        );
        match url.len() {
            0..=SIGNED_URL_BYTES_MAX => Ok(url),
            _ => Err(UrlError::TooLong.into()),
        }
    }
}
