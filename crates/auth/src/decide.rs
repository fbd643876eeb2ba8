//! The decision.

use std::fmt;

use tidewire_core::{Grant, Patterns};

use crate::claims::matchers;
use crate::jws::Jws;
use crate::{Anonymous, Claims, Key, Keys, Refusal, signature};

/// What a request wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It publishes.
    Publisher,
    /// It subscribes.
    Subscriber,
}

impl Role {
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Publisher => "publish",
            Self::Subscriber => "subscribe",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
        })
    }
}

/// Decides what a request may do in a role. `presented` is the token it carries; `patterns` makes matchers of the templates that it
/// names, within the hub's limits; `now_ms` is in milliseconds since 1970.
///
/// A token that is bad is refused even where none is needed: falling back would hide the mistake.
/// The grant says what this role may: a publisher's has `publish`, a subscriber's `subscribe` and `private`.
///
/// # Errors
/// Says why not.
pub fn decide(
    presented: Option<&str>,
    role: Role,
    keys: &Keys,
    anonymous: Anonymous,
    patterns: &Patterns,
    now_ms: u64,
) -> Result<Grant, Refusal> {
    let Some(token) = presented else {
        return anonymous.grant(role).ok_or(Refusal::Missing(role));
    };
    let key = keys.of(role).ok_or(Refusal::NoKey(role))?;
    let claims = verify(token, key, now_ms)?;
    grant(claims, role, patterns)
}

fn verify(token: &str, key: &Key, now_ms: u64) -> Result<Claims, Refusal> {
    let jws = Jws::parse(token)?;
    let algorithm = jws.algorithm()?;
    // RFC 8725, section 3.1: the key says which algorithm, never the token.
    if algorithm != key.algorithm.name() {
        return Err(Refusal::Algorithm {
            token: algorithm,
            key: key.algorithm,
        });
    }
    // RFC 7515, section 4.1.11: an extension that is not understood makes the JWS invalid; we understand none.
    if jws.header.contains_key("crit") {
        return Err(Refusal::Critical);
    }
    signature::check(jws.signed, jws.signature, key)?;
    let claims = Claims::parse(&jws.payload)?;
    in_its_time(&claims, now_ms)?;
    Ok(claims)
}

fn in_its_time(claims: &Claims, now_ms: u64) -> Result<(), Refusal> {
    // RFC 7519, section 4.1.4: on or after `exp` it must not be accepted.
    match claims.expires_ms {
        Some(expires_ms) if now_ms >= expires_ms => return Err(Refusal::Expired { expires_ms }),
        _ => {}
    }
    // RFC 7519, section 4.1.5: before `nbf` it must not be accepted.
    match claims.not_before_ms {
        Some(not_before_ms) if now_ms < not_before_ms => Err(Refusal::NotYet { not_before_ms }),
        _ => Ok(()),
    }
}

fn grant(claims: Claims, role: Role, patterns: &Patterns) -> Result<Grant, Refusal> {
    let mut grant = Grant {
        expires_ms: claims.expires_ms,
        issuer: claims.issuer,
        subject: claims.subject,
        token_id: claims.token_id,
        ..Grant::default()
    };
    match role {
        Role::Publisher => grant.publish = matchers(&claims.publish, patterns)?,
        Role::Subscriber => {
            grant.subscribe = true;
            grant.private = matchers(&claims.subscribe, patterns)?;
        }
    }
    // Public events are for whoever has a token that is good; publishing needs a topic to publish to.
    if role == Role::Publisher && grant.publish.is_empty() {
        return Err(Refusal::NotGranted(role));
    }
    Ok(grant)
}
