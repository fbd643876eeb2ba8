//! Refusals: exactly why a request may not do what it asks.

use std::fmt;

use tidewire_core::PatternError;

use crate::jws::TOKEN_BYTES_MAX;
use crate::{Algorithm, Role};

/// Why a request was refused. For the log in full; to strangers say no more than [`Refusal::error_code`] and this sentence,
/// which holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No token, and this role needs one.
    Missing(Role),
    /// The token is longer than [`TOKEN_BYTES_MAX`].
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It is no JWS in compact form; says which part is wrong.
    Malformed(&'static str),
    /// Its header demands an extension (`crit`) that we do not know.
    Critical,
    /// The hub has no key for this role, so it can check no token.
    NoKey(Role),
    /// It is signed with another algorithm than the key is for.
    Algorithm {
        /// What its header says, shortened.
        token: String,
        /// What the key is for.
        key: Algorithm,
    },
    /// The signature is not the key's.
    Signature,
    /// Its time is over.
    Expired {
        /// Since when, in milliseconds since 1970.
        expires_ms: u64,
    },
    /// Its time has not come.
    NotYet {
        /// When it will, in milliseconds since 1970.
        not_before_ms: u64,
    },
    /// A claim has the wrong shape; says which.
    Claim(&'static str),
    /// It names a template that the hub does not take. If that is temporary ([`PatternError::is_temporary`]), it may be later.
    Pattern(PatternError),
    /// It is good, but grants nothing in this role.
    NotGranted(Role),
    /// This build cannot check signatures (feature `verify`).
    Unverifiable,
}

impl Refusal {
    /// The error code of RFC 6750, section 3.1; `None` where the request held no token at all.
    #[must_use]
    pub fn error_code(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) => None,
            Self::NotGranted(_) => Some("insufficient_scope"),
            _ => Some("invalid_token"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(role) => write!(f, "a token is needed to {}", role.verb()),
            Self::TooLong { bytes } => write!(
                f,
                "the token has {bytes} bytes; at most {TOKEN_BYTES_MAX} are taken"
            ),
            Self::Malformed(part) => {
                write!(f, "the token is no signed JWT: its {part} cannot be read")
            }
            Self::Critical => write!(
                f,
                "the token's header demands an extension (`crit`) that this hub does not know"
            ),
            Self::NoKey(role) => write!(
                f,
                "this hub has no {role} key, so it can check no token; send none, or start it with --{role}-key-file"
            ),
            Self::Algorithm { token, key } => write!(
                f,
                "the token is signed with {token:?}, but the hub's key is for {key}"
            ),
            Self::Signature => write!(f, "the token's signature does not fit the hub's key"),
            Self::Expired { .. } => write!(f, "the token has expired"),
            Self::NotYet { .. } => write!(f, "the token is not valid yet"),
            Self::Claim(claim) => write!(f, "the token's claim `{claim}` has the wrong shape"),
            Self::Pattern(error) => {
                write!(f, "the token names a template that cannot be used: {error}")
            }
            Self::NotGranted(role) => write!(f, "the token does not allow to {}", role.verb()),
            Self::Unverifiable => write!(f, "this build cannot check signatures"),
        }
    }
}

impl std::error::Error for Refusal {}
