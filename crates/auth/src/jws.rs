//! A JWS in compact form (RFC 7515, section 7.1), taken apart but not yet believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::Refusal;

/// The longest token that is looked at, in bytes. Header limits of servers and proxies are at most this.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

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
            header: object(header).ok_or(Refusal::Malformed("header"))?,
            payload: object(payload).ok_or(Refusal::Malformed("payload"))?,
            signature,
        })
    }

    /// The algorithm that the header names, shortened: it goes into messages.
    pub(crate) fn algorithm(&self) -> Result<String, Refusal> {
        let name = self.header.get("alg").and_then(Value::as_str);
        Ok(name
            .ok_or(Refusal::Malformed("header"))?
            .chars()
            .take(16)
            .collect())
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}
