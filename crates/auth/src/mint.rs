//! Tokens made.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tidewire_core::Dialect;

use crate::jws::{Jws, TOKEN_BYTES_MAX};
use crate::{Claims, Key, Refusal, SELECTORS_MAX, signature};

/// Why no token was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MintError {
    /// More than [`SELECTORS_MAX`] selectors in one role.
    Selectors(usize),
    /// It would be longer than [`TOKEN_BYTES_MAX`]; the value is its length in bytes.
    TooLong(usize),
    /// A modern token must have this claim.
    Missing(&'static str),
    /// A hub would refuse it whatever its signature; says why.
    Refused(Refusal),
    /// The key is a public one, or this build cannot sign (feature `verify`).
    Unsigned,
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Selectors(count) => write!(
                f,
                "{count} topics in one role; a token takes at most {SELECTORS_MAX}"
            ),
            Self::TooLong(bytes) => write!(
                f,
                "the token would have {bytes} bytes; hubs take at most {TOKEN_BYTES_MAX}"
            ),
            Self::Missing(claim) => write!(f, "an access token must have `{claim}`"),
            Self::Refused(refusal) => write!(f, "no hub would take it: {refusal}"),
            Self::Unsigned => write!(
                f,
                "nothing can be signed with this key: a private key or a shared secret is wanted"
            ),
        }
    }
}

impl std::error::Error for MintError {}

/// A token in the dialect of its claims, signed with the first algorithm that the key is for.
///
/// # Errors
/// If it would be one that no hub takes.
pub fn mint(claims: &Claims, key: &Key) -> Result<String, MintError> {
    let count = claims.publish.len().max(claims.subscribe.len());
    if count > SELECTORS_MAX {
        return Err(MintError::Selectors(count));
    }
    if claims.dialect() == Dialect::Modern {
        // mercure.md, 2.32 to 2.34.
        let has = [
            ("iss", claims.issuer.is_some()),
            ("aud", !claims.audience.is_empty()),
            ("exp", claims.expires_ms.is_some()),
        ];
        if let Some((claim, _)) = has.into_iter().find(|(_, has)| !has) {
            return Err(MintError::Missing(claim));
        }
    }
    let algorithm = key.algorithms.iter().next().ok_or(MintError::Unsigned)?;
    let typ = match claims.dialect() {
        Dialect::Legacy => "JWT",
        Dialect::Modern => "at+jwt",
    };
    let mut header = json!({ "alg": algorithm.name(), "typ": typ });
    if let Some(id) = key.id() {
        header["kid"] = id.into();
    }
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims.to_json()));
    let signature = signature::sign(&signed, key, algorithm).ok_or(MintError::Unsigned)?;
    let token = format!("{signed}.{signature}");
    if token.len() > TOKEN_BYTES_MAX {
        return Err(MintError::TooLong(token.len()));
    }
    // Read as a hub reads it: what it would not take should not be handed out.
    let jws = Jws::parse(&token).map_err(MintError::Refused)?;
    Claims::parse(&jws.payload, jws.dialect()).map_err(MintError::Refused)?;
    Ok(token)
}
