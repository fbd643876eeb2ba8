//! Tokens made.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tidewire_core::Dialect;

use crate::jws::TOKEN_BYTES_MAX;
use crate::{Claims, Key, SELECTORS_MAX, signature};

/// Why no token was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MintError {
    /// More than [`SELECTORS_MAX`] selectors in one role.
    Selectors(usize),
    /// It would be longer than [`TOKEN_BYTES_MAX`]; the value is its length in bytes.
    TooLong(usize),
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
    Ok(token)
}
