//! Refusals: exactly why a request may not do what it asks.

use std::fmt;

use tidewire_core::PatternError;

use crate::jws::TOKEN_BYTES_MAX;
use crate::signed_url::UrlError;
use crate::{Algorithms, DetailError, Role};

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
    /// A member of this part is there twice, so that two readers could understand it differently.
    Duplicate(&'static str),
    /// This part is nested deeper than anything that a token needs.
    TooDeep(&'static str),
    /// It is a modern token in a URL, which ends up in logs and histories (mercure.md, 2.30).
    QueryModern,
    /// The request is in the modern dialect and its token in the legacy one.
    DialectOfRequest,
    /// It is no access token by its header's `typ`, or no legacy token is good here (mercure.md, 2.31).
    NoType,
    /// Nobody trusts its issuer.
    Issuer {
        /// Whom it names, shortened.
        named: Option<String>,
    },
    /// Its issuer has no say in this role.
    IssuerRole {
        /// The issuer.
        issuer: String,
        /// The role.
        role: Role,
    },
    /// None of the keys that might have signed it is known. Keys that are fetched may have changed.
    UnknownKey {
        /// Whose keys; `None`: the hub's own.
        issuer: Option<String>,
        /// The key that it names, shortened.
        kid: Option<String>,
    },
    /// It is for another hub.
    Audience {
        /// What this one is called.
        hub: String,
    },
    /// It never ends, and a modern one must.
    NoExpiry,
    /// One of its authorization details is wrong.
    Detail {
        /// Which, counted from 0.
        index: usize,
        /// What is wrong.
        why: DetailError,
    },
    /// It was good and has been taken back.
    Revoked,
    /// The request came by a signed URL, and that is not good.
    SignedUrl(UrlError),
    /// Its header demands an extension (`crit`) that we do not know.
    Critical,
    /// The hub has no key for this role, so it can check no token.
    NoKey(Role),
    /// It is signed with another algorithm than the keys are for.
    Algorithm {
        /// What its header says, shortened.
        token: String,
        /// What the keys are for.
        keys: Algorithms,
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
            Self::QueryModern => Some("invalid_request"),
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
            Self::Duplicate(part) => write!(f, "the token's {part} has a member twice"),
            Self::TooDeep(part) => write!(f, "the token's {part} is nested too deep"),
            Self::QueryModern => write!(
                f,
                "an access token must not stand in the URL: send it in `Authorization: Bearer` or in the hub's cookie"
            ),
            Self::DialectOfRequest => write!(
                f,
                "the token is one of the older protocol, which `match` parameters do not take: ask with `topic`, or send an \
                 access token (`typ` `at+jwt`)"
            ),
            Self::NoType => write!(
                f,
                "the token's header does not say that it is an access token: its `typ` must be `at+jwt`"
            ),
            Self::Issuer { named: Some(name) } => {
                write!(
                    f,
                    "this hub does not trust the token's issuer {name:?} (`iss`)"
                )
            }
            Self::Issuer { named: None } => write!(f, "the token names no issuer (`iss`)"),
            Self::IssuerRole { issuer, role } => {
                write!(
                    f,
                    "this hub takes no {role} tokens of the issuer {issuer:?}"
                )
            }
            Self::UnknownKey { issuer, kid } => {
                write!(f, "this hub knows no key")?;
                if let Some(issuer) = issuer {
                    write!(f, " of the issuer {issuer:?}")?;
                }
                match kid {
                    Some(kid) => write!(f, " that is called {kid:?} (`kid`)"),
                    None => write!(f, " that could have signed the token"),
                }
            }
            Self::Audience { hub } => {
                write!(
                    f,
                    "the token is not for this hub: its `aud` must contain {hub:?}"
                )
            }
            Self::NoExpiry => write!(f, "the token has no end (`exp`), and an access token must"),
            Self::Detail { index, why } => write!(
                f,
                "the token's authorization detail {index} cannot be used: {why}"
            ),
            Self::Revoked => write!(f, "the token has been revoked"),
            Self::SignedUrl(error) => write!(f, "the signed URL cannot be used: {error}"),
            Self::Critical => write!(
                f,
                "the token's header demands an extension (`crit`) that this hub does not know"
            ),
            Self::NoKey(role) => write!(
                f,
                "this hub has no {role} key, so it can check no token; send none, or start it with --{role}-key-file"
            ),
            Self::Algorithm { token, keys } => write!(
                f,
                "the token is signed with {token:?}, but the hub's key is for {keys}"
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
