//! Keys and tokens for the other modules, made without the crate under test where that could hide its mistakes.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, crypto};
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

/// What signs the tests' tokens.
pub(crate) enum Signer {
    /// Whatever another implementation of JWS can do.
    Other(EncodingKey),
    /// Which has no ES512.
    P521(EcdsaKeyPair),
}

impl Signer {
    pub(crate) fn secret(secret: &[u8]) -> Self {
        Self::Other(EncodingKey::from_secret(secret))
    }

    pub(crate) fn ec(der: &[u8]) -> Self {
        Self::Other(EncodingKey::from_ec_der(der))
    }

    fn p521(der: &[u8]) -> Self {
        Self::P521(EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, der).unwrap())
    }

    /// A signature with the algorithm of this name, in base64url.
    pub(crate) fn sign(&self, text: &str, algorithm: &str) -> String {
        match self {
            Self::Other(key) => {
                let algorithm = algorithm.parse().unwrap();
                crypto::sign(text.as_bytes(), key, algorithm).unwrap()
            }
            Self::P521(pair) => {
                assert_eq!(algorithm, "ES512");
                let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
                URL_SAFE_NO_PAD.encode(signature)
            }
        }
    }
}

/// The kinds of keys that [`pair`] knows.
pub(crate) const KINDS: [&str; 6] = ["hs", "rsa", "p256", "p384", "p521", "ed"];

/// What one signs with for the hub to check with the other.
pub(crate) fn pair(kind: &str) -> (Signer, Key) {
    let (private, public): (&[u8], &[u8]) = match kind {
        "hs" => (&[], &[]),
        "rsa" => (pem!("rsa.pkcs1"), pem!("rsa.spki")),
        "p256" => (pem!("p256.pkcs8"), pem!("p256.spki")),
        "p384" => (pem!("p384.pkcs8"), pem!("p384.spki")),
        "p521" => (pem!("p521.pkcs8"), pem!("p521.spki")),
        "ed" => (pem!("ed25519.pkcs8"), pem!("ed25519.spki")),
        _ => unreachable!("no such key"),
    };
    let der = || unarmoured(private);
    match kind {
        "hs" => (
            Signer::secret(SECRET),
            Key::hmac(SECRET, Algorithm::Hs256).unwrap(),
        ),
        "rsa" => (
            Signer::Other(EncodingKey::from_rsa_der(&der())),
            Key::public_pem(public).unwrap(),
        ),
        "ed" => (
            Signer::Other(EncodingKey::from_ed_der(&der())),
            Key::public_pem(public).unwrap(),
        ),
        "p521" => (Signer::p521(&der()), Key::public_pem(public).unwrap()),
        _ => (Signer::ec(&der()), Key::public_pem(public).unwrap()),
    }
}

/// A set of these secrets, by their names, and of the test's RSA key.
pub(crate) fn set_of(secrets: &[(&str, &[u8])]) -> KeySet {
    let secret = |(name, secret): &(&str, &[u8])| {
        let mut jwk = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret), "alg": "HS256" });
        if !name.is_empty() {
            jwk["kid"] = (*name).into();
        }
        jwk
    };
    let secrets = secrets.iter().map(secret);
    let rsa = pair("rsa").1.with_id("rsa");
    // A key that cannot fit costs nothing.
    let keys: Vec<Value> = secrets.chain(rsa.to_jwk()).collect();
    KeySet::parse_jwks(json!({ "keys": keys }).to_string()).unwrap()
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
pub(crate) fn signed(header: &Value, payload: &Value, key: &Signer, algorithm: &str) -> String {
    signed_text(&header.to_string(), &payload.to_string(), key, algorithm)
}

pub(crate) fn signed_text(header: &str, payload: &str, key: &Signer, algorithm: &str) -> String {
    let signed = format!("{}.{}", part(header), part(payload));
    let signature = key.sign(&signed, algorithm);
    format!("{signed}.{signature}")
}

/// The same, of the test's own secret.
pub(crate) fn hs256(header: &Value, payload: &Value) -> String {
    signed(header, payload, &Signer::secret(SECRET), "HS256")
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
