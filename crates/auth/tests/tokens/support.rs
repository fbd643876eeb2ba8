//! Keys and tokens for the other modules, made without the crate under test where that could hide its mistakes.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as Jwt, EncodingKey, crypto};
use serde_json::{Value, json};
use tidewire_auth::{
    Algorithm, Anonymous, Carrier, Dialect, Grant, Issuer, Key, KeySet, Keys, Presented, Question,
    Refusal, Role,
};
use tidewire_core::Patterns;

pub(crate) const NOW_MS: u64 = 1_795_250_000_000;
pub(crate) const HUB: &str = "https://hub.example/.well-known/mercure";
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const SECRET: &[u8] = b"a secret of forty-eight bytes, which is enough..";

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("../keys/", $name, ".pem"))
    };
}
pub(crate) use pem;

/// What one signs with for the hub to check with the other: `hs`, `rsa`, `p256`, `p384` or `ed`.
pub(crate) fn pair(kind: &str) -> (EncodingKey, Key) {
    let (private, public): (&[u8], &[u8]) = match kind {
        "hs" => (&[], &[]),
        "rsa" => (pem!("rsa.pkcs1"), pem!("rsa.spki")),
        "p256" => (pem!("p256.pkcs8"), pem!("p256.spki")),
        "p384" => (pem!("p384.pkcs8"), pem!("p384.spki")),
        "ed" => (pem!("ed25519.pkcs8"), pem!("ed25519.spki")),
        _ => unreachable!("no such key"),
    };
    let der = || unarmoured(private);
    match kind {
        "hs" => (
            EncodingKey::from_secret(SECRET),
            Key::hmac(SECRET, Algorithm::Hs256).unwrap(),
        ),
        "rsa" => (
            EncodingKey::from_rsa_der(&der()),
            Key::public_pem(public).unwrap(),
        ),
        "ed" => (
            EncodingKey::from_ed_der(&der()),
            Key::public_pem(public).unwrap(),
        ),
        _ => (
            EncodingKey::from_ec_der(&der()),
            Key::public_pem(public).unwrap(),
        ),
    }
}

/// The bytes in a PEM file of one block.
pub(crate) fn unarmoured(pem: &[u8]) -> Vec<u8> {
    let lines = std::str::from_utf8(pem).unwrap().lines();
    let body: String = lines.filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).unwrap()
}

pub(crate) fn part(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A token with any header and payload, signed by the backend itself.
pub(crate) fn signed(header: &Value, payload: &Value, key: &EncodingKey, algorithm: Jwt) -> String {
    signed_text(&header.to_string(), &payload.to_string(), key, algorithm)
}

pub(crate) fn signed_text(
    header: &str,
    payload: &str,
    key: &EncodingKey,
    algorithm: Jwt,
) -> String {
    let signed = format!("{}.{}", part(header), part(payload));
    let signature = crypto::sign(signed.as_bytes(), key, algorithm).unwrap();
    format!("{signed}.{signature}")
}

/// The same, of the test's own secret.
pub(crate) fn hs256(header: &Value, payload: &Value) -> String {
    signed(
        header,
        payload,
        &EncodingKey::from_secret(SECRET),
        Jwt::HS256,
    )
}

/// A header and a payload that a hub takes, in the modern dialect.
pub(crate) fn modern(algorithm: &str) -> (Value, Value) {
    let header = json!({ "alg": algorithm, "typ": "at+jwt" });
    let payload = json!({
        "iss": ISSUER,
        "aud": HUB,
        "exp": NOW_MS / 1000 + 60,
        "sub": "alice",
        "jti": "7",
        "authorization_details": [{
            "type": "https://mercure.rocks/authorization-detail",
            "actions": ["publish", "subscribe"],
            "topics": [{ "match": "a" }],
        }],
    });
    (header, payload)
}

/// A hub that trusts these keys for both roles of the test's issuer, and none in the legacy dialect.
pub(crate) fn of_issuer(set: impl Into<KeySet>) -> Keys {
    let set = set.into();
    Keys {
        issuers: vec![Issuer {
            name: ISSUER.into(),
            publisher: Some(set.clone()),
            subscriber: Some(set),
        }],
        ..Keys::default()
    }
}

/// A hub that trusts these keys for both roles in the legacy dialect, and no issuer.
pub(crate) fn of_role(set: impl Into<KeySet>) -> Keys {
    let set = set.into();
    Keys {
        publisher: Some(set.clone()),
        subscriber: Some(set),
        ..Keys::default()
    }
}

pub(crate) fn question(token: &str, role: Role) -> Question<'_> {
    let from = Carrier::Header;
    Question {
        presented: Some(Presented { token, from }),
        role,
        dialect: None,
        audience: HUB,
        now_ms: NOW_MS,
    }
}

/// The decision on a subscriber's token in a header.
pub(crate) fn decide(token: &str, keys: &Keys) -> Result<Grant, Refusal> {
    ask(&question(token, Role::Subscriber), keys)
}

pub(crate) fn ask(question: &Question<'_>, keys: &Keys) -> Result<Grant, Refusal> {
    tidewire_auth::decide(question, keys, Anonymous::None, &Patterns::default())
}

/// The decision with a request in a dialect.
pub(crate) fn decide_in(dialect: Dialect, token: &str, keys: &Keys) -> Result<Grant, Refusal> {
    let question = Question {
        dialect: Some(dialect),
        ..question(token, Role::Subscriber)
    };
    ask(&question, keys)
}
