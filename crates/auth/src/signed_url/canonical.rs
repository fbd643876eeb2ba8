//! The text that is signed, and the parameters by their kinds.

use core::net::IpAddr;
use std::fmt::Write;

use super::{ONCE_BYTES_MAX, ONCE_BYTES_MIN, UrlError};
use crate::jws::shown;

/// Keeps signatures of URLs apart from all others that a secret may have made.
const DOMAIN: &str = "tidewire signed url 1\n";

/// What it is about.
pub(super) const MATCHERS: [&str; 4] = ["topic", "match", "match_exact", "match_urlpattern"];
/// What it allows; each at most once.
const TERMS: [&str; 7] = [
    "expires", "origin", "address", "once", "subject", "issuer", "token_id",
];
/// What changes when a client reconnects, and how an answer looks.
const FREE: [&str; 10] = [
    "last_event_id",
    "lastEventID",
    "lastEventId",
    "Last-Event-ID",
    "since",
    "checkpoint",
    "label",
    "limit",
    "padding",
    "wait",
];

/// The parameters of a signed URL that say what it allows, each of the right shape. Not yet believed.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) expires_ms: u64,
    pub(super) origin: Option<&'a str>,
    pub(super) address: Option<IpAddr>,
    pub(super) once: Option<&'a str>,
    pub(super) subject: Option<&'a str>,
    pub(super) issuer: Option<&'a str>,
    pub(super) token_id: Option<&'a str>,
}

impl<'a> Parsed<'a> {
    pub(super) fn of(pairs: &[(&'a str, &'a str)]) -> Result<Self, UrlError> {
        let is_known = |name: &str| is_signed(name) || FREE.contains(&name) || name == "signature";
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !is_known(name)) {
            return Err(UrlError::Unknown(shown(name)));
        }
        let once = one(pairs, "once")?;
        if once.is_some_and(|once| !is_nonce(once)) {
            return Err(UrlError::Parameter("once"));
        }
        let name = |term| match one(pairs, term)? {
            Some("") => Err(UrlError::Parameter(term)),
            name => Ok(name),
        };
        let address = one(pairs, "address")?.map(str::parse::<IpAddr>).transpose();
        let expires = one(pairs, "expires")?.and_then(seconds);
        Ok(Self {
            expires_ms: expires.ok_or(UrlError::Parameter("expires"))?,
            origin: one(pairs, "origin")?,
            address: address.map_err(|_| UrlError::Parameter("address"))?,
            once,
            subject: name("subject")?,
            issuer: name("issuer")?,
            token_id: name("token_id")?,
        })
    }
}

/// The value of a parameter that may be there once.
pub(super) fn one<'a>(
    pairs: &[(&'a str, &'a str)],
    wanted: &'static str,
) -> Result<Option<&'a str>, UrlError> {
    let mut found = pairs.iter().filter(|(name, _)| *name == wanted);
    match (found.next(), found.next()) {
        (found, None) => Ok(found.map(|(_, value)| *value)),
        _ => Err(UrlError::Parameter(wanted)),
    }
}

fn seconds(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u64>()
        .ok()
        .filter(|_| is_plain)?
        .checked_mul(1000)
}

fn is_nonce(text: &str) -> bool {
    (ONCE_BYTES_MIN..=ONCE_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_unreserved)
}

fn is_signed(name: &str) -> bool {
    MATCHERS.contains(&name) || TERMS.contains(&name)
}

/// What is signed.
pub(super) fn text(path_as_given: &str, pairs: &[(&str, &str)]) -> String {
    let signed = pairs.iter().copied().filter(|(name, _)| is_signed(name));
    format!("{DOMAIN}{}\n{}", path(path_as_given), query(signed))
}

/// RFC 3986, section 6.2.2: one spelling of what means the same.
pub(super) fn path(given: &str) -> String {
    let bytes = given.as_bytes();
    let mut out = String::with_capacity(given.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = bytes.get(at + 1..at + 3).and_then(hex);
        match (byte, escape) {
            (b'%', Some(escaped)) if is_unreserved(escaped) => {
                out.push(escaped.into());
                at += 3;
            }
            (b'%', Some(escaped)) => {
                escape_into(escaped, &mut out);
                at += 3;
            }
            // What a path must not hold as it is, it holds here escaped: so there is never a line's end in it.
            (byte, _) if byte.is_ascii_graphic() && byte != b'?' && byte != b'#' => {
                out.push(byte.into());
                at += 1;
            }
            (byte, _) => {
                escape_into(byte, &mut out);
                at += 1;
            }
        }
    }
    out
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    match digits {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    }
}

pub(super) fn query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        encode_into(name, &mut out);
        out.push('=');
        encode_into(value, &mut out);
    }
    out
}

fn encode_into(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match is_unreserved(byte) {
            true => out.push(byte.into()),
            false => escape_into(byte, out),
        }
    }
}

fn escape_into(byte: u8, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "%{byte:02X}");
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
