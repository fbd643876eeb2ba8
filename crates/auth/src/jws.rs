//! A JWS in compact form (RFC 7515, section 7.1), taken apart but not yet believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use tidewire_core::Dialect;

use crate::Refusal;
use crate::claims::DETAILS;
use crate::json::{self, JsonError};

/// The longest token that is looked at, in bytes. Header limits of servers and proxies are at most this.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How much of a name that a token gives goes into messages, in characters.
const SHOWN_MAX: usize = 64;

/// The parts of a token. Nothing in it is to be believed before its signature has been checked.
#[derive(Debug)]
pub(crate) struct Jws<'a> {
    /// Header and payload as they were signed.
    pub(crate) signed: &'a str,
    pub(crate) header: Map<String, Value>,
    pub(crate) payload: Map<String, Value>,
    /// In base64url.
    pub(crate) signature: &'a str,
}

impl<'a> Jws<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong { bytes: token.len() });
        }
        let (signed, signature) = token
            .rsplit_once('.')
            .ok_or(Refusal::Malformed("three parts"))?;
        let (header, payload) = signed
            .split_once('.')
            .filter(|(_, payload)| !payload.contains('.'))
            .ok_or(Refusal::Malformed("three parts"))?;
        if URL_SAFE_NO_PAD.decode(signature).is_err() {
            return Err(Refusal::Malformed("signature"));
        }
        Ok(Self {
            signed,
            header: object(header, "header")?,
            payload: object(payload, "payload")?,
            signature,
        })
    }

    /// mercure.md, section 3: `authorization_details` or `typ` make it modern. Unverified: it says only by which rules it is judged.
    pub(crate) fn dialect(&self) -> Dialect {
        if self.is_access_token() || self.payload.contains_key(DETAILS) {
            Dialect::Modern
        } else {
            Dialect::Legacy
        }
    }

    /// mercure.md, 2.31: `typ`, in any case, with or without the media type's first half (RFC 9068, section 4).
    pub(crate) fn is_access_token(&self) -> bool {
        let typ = self.header.get("typ").and_then(Value::as_str);
        typ.is_some_and(|typ| {
            ["at+jwt", "application/at+jwt"]
                .iter()
                .any(|name| typ.eq_ignore_ascii_case(name))
        })
    }

    /// The algorithm that the header names.
    pub(crate) fn algorithm(&self) -> Result<&str, Refusal> {
        let name = self.header.get("alg").and_then(Value::as_str);
        name.ok_or(Refusal::Malformed("header"))
    }

    /// The key that the header names. RFC 7515, section 4.1.4: a string.
    pub(crate) fn key_id(&self) -> Result<Option<&str>, Refusal> {
        match self.header.get("kid") {
            None => Ok(None),
            Some(Value::String(kid)) => Ok(Some(kid)),
            Some(_) => Err(Refusal::Malformed("header")),
        }
    }
}

/// Something that a token says, short enough for a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

fn object(part: &str, name: &'static str) -> Result<Map<String, Value>, Refusal> {
    let malformed = Refusal::Malformed(name);
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(part) else {
        return Err(malformed);
    };
    json::object(&bytes).map_err(|error| match error {
        JsonError::Shape => malformed,
        JsonError::Duplicate => Refusal::Duplicate(name),
        JsonError::Depth => Refusal::TooDeep(name),
    })
}
