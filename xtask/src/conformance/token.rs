//! Tokens as the cases describe them, minted with aws-lc-rs alone: nothing of the hub's own code, so that a fault there is not
//! mirrored here.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
};
use aws_lc_rs::{encoding, hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::suite::{Damage, Dialect, Role, Token};
use super::text::{Variables, fill};

const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";

/// Something that signs.
pub(super) enum Signer {
    /// With the hash's length in bits.
    Hmac(Vec<u8>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    P521(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A key, the algorithm that it is used with unless the case says otherwise, and its name.
pub(super) struct SigningKey {
    pub(super) signer: Signer,
    pub(super) alg: String,
    pub(super) kid: Option<String>,
}

/// All that tokens for one hub are signed with.
pub(super) struct Ring {
    pub(super) publisher: Option<SigningKey>,
    pub(super) subscriber: Option<SigningKey>,
    /// The issuer's keys; the first is the usual one.
    pub(super) issuer: Vec<SigningKey>,
}

impl SigningKey {
    pub(super) fn hmac(secret: &[u8], alg: &str) -> Self {
        Self {
            signer: Signer::Hmac(secret.to_vec()),
            alg: alg.to_owned(),
            kid: None,
        }
    }

    /// A new key for an algorithm.
    pub(super) fn generate(alg: &str, kid: Option<&str>) -> Result<Self, String> {
        let fail = |_| format!("no key for {alg} could be made");
        let random = SystemRandom::new();
        let signer = match alg {
            "HS256" | "HS384" | "HS512" => {
                let mut secret = [0; 64];
                aws_lc_rs::rand::fill(&mut secret).map_err(fail)?;
                Signer::Hmac(STANDARD.encode(secret).into_bytes())
            }
            "ES256" => {
                let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
                Signer::P256(EcdsaKeyPair::generate(scheme).map_err(fail)?)
            }
            "ES384" => {
                let scheme = &ECDSA_P384_SHA384_FIXED_SIGNING;
                Signer::P384(EcdsaKeyPair::generate(scheme).map_err(fail)?)
            }
            "ES512" => {
                let scheme = &ECDSA_P521_SHA512_FIXED_SIGNING;
                Signer::P521(EcdsaKeyPair::generate(scheme).map_err(fail)?)
            }
            "EdDSA" => {
                let document = Ed25519KeyPair::generate_pkcs8(&random).map_err(fail)?;
                let pair = Ed25519KeyPair::from_pkcs8(document.as_ref());
                Signer::Ed25519(pair.map_err(|error| error.to_string())?)
            }
            "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => {
                Signer::Rsa(RsaKeyPair::generate(rsa::KeySize::Rsa2048).map_err(fail)?)
            }
            _ => return Err(format!("`{alg}` is no algorithm of the suite")),
        };
        Ok(Self {
            signer,
            alg: alg.to_owned(),
            kid: kid.map(str::to_owned),
        })
    }

    /// A private key in PEM (PKCS#8), or a secret for HMAC.
    pub(super) fn read(text: &str, alg: Option<&str>, kid: Option<&str>) -> Result<Self, String> {
        let kid = kid.map(str::to_owned);
        if !text.contains("-----BEGIN") {
            let secret = text.strip_suffix('\n').unwrap_or(text);
            return Ok(Self {
                kid,
                ..Self::hmac(secret.as_bytes(), alg.unwrap_or("HS256"))
            });
        }
        let lines: String = text
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .map(str::trim)
            .collect();
        let der = STANDARD.decode(lines).map_err(|error| error.to_string())?;
        let (signer, usual) = if let Ok(pair) = RsaKeyPair::from_pkcs8(&der) {
            (Signer::Rsa(pair), "RS256")
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8(&der) {
            (Signer::Ed25519(pair), "EdDSA")
        } else if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der) {
            (Signer::P256(pair), "ES256")
        } else if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &der) {
            (Signer::P384(pair), "ES384")
        } else if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &der) {
            (Signer::P521(pair), "ES512")
        } else {
            return Err("the key is no PKCS#8 of RSA, Ed25519, P-256, P-384 or P-521".into());
        };
        Ok(Self {
            signer,
            alg: alg.unwrap_or(usual).to_owned(),
            kid,
        })
    }

    /// What a verifier needs: the secret itself, or the public key in PEM (SubjectPublicKeyInfo).
    pub(super) fn verifier(&self) -> Result<String, String> {
        use encoding::AsDer as _;
        let fail = |_| "the public key cannot be written".to_owned();
        let der = match &self.signer {
            Signer::Hmac(secret) => return Ok(String::from_utf8_lossy(secret).into_owned()),
            Signer::P256(pair) | Signer::P384(pair) | Signer::P521(pair) => {
                let der: encoding::PublicKeyX509Der<'_> =
                    pair.public_key().as_der().map_err(fail)?;
                der.as_ref().to_vec()
            }
            Signer::Ed25519(pair) => {
                // RFC 8410, section 10.1: a fixed head before the 32 bytes.
                let head = [48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0];
                [&head, pair.public_key().as_ref()].concat()
            }
            Signer::Rsa(pair) => {
                let der: encoding::PublicKeyX509Der<'_> =
                    pair.public_key().as_der().map_err(fail)?;
                der.as_ref().to_vec()
            }
        };
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap_or_default())
            .collect();
        Ok(format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        ))
    }

    /// RFC 7517: the public key, as a key set has it.
    pub(super) fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.signer {
            Signer::Hmac(secret) => json!({"kty": "oct", "k": text(secret)}),
            Signer::P256(pair) | Signer::P384(pair) | Signer::P521(pair) => {
                // SEC 1, section 2.3.3: 4, x, y.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = match x.len() {
                    32 => "P-256",
                    48 => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})
            }
            Signer::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
            Signer::Rsa(pair) => {
                let [modulus, exponent] = rsa_numbers(pair.public_key().as_ref());
                json!({"kty": "RSA", "n": text(modulus), "e": text(exponent)})
            }
        };
        jwk["alg"] = json!(self.alg);
        jwk["use"] = json!("sig");
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    fn sign(&self, alg: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        let fail = |_| "the token could not be signed".to_owned();
        Ok(match &self.signer {
            Signer::Hmac(secret) => return Ok(hmac_sign(secret, alg, message)),
            Signer::P256(pair) | Signer::P384(pair) | Signer::P521(pair) => {
                pair.sign(&random, message).map_err(fail)?.as_ref().to_vec()
            }
            Signer::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Signer::Rsa(pair) => {
                let scheme: &dyn aws_lc_rs::signature::RsaEncoding = match alg {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(scheme, &random, message, &mut signature)
                    .map_err(fail)?;
                signature
            }
        })
    }
}

/// RFC 8017, A.1.1: a sequence of two integers, without their leading zeros.
fn rsa_numbers(der: &[u8]) -> [&[u8]; 2] {
    let (inside, _) = der_value(der);
    let (modulus, rest) = der_value(inside);
    let (exponent, _) = der_value(rest);
    [modulus, exponent].map(|number| number.strip_prefix(&[0]).unwrap_or(number))
}

/// A DER element's value and what follows it; a length of its own bytes is at most four of them.
fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, head) = match der[1] {
        short @ 0..128 => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 127);
            let length = der[2..2 + count]
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, 2 + count)
        }
    };
    der[head..].split_at(length)
}

fn hmac_sign(secret: &[u8], alg: &str, message: &[u8]) -> Vec<u8> {
    let algorithm = match alg {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let key = hmac::Key::new(algorithm, secret);
    hmac::sign(&key, message).as_ref().to_vec()
}

impl Ring {
    /// The compact serialization of a token (RFC 7515, section 7.1).
    pub(super) fn mint(
        &self,
        token: &Token,
        case: Dialect,
        variables: &Variables,
    ) -> Result<String, String> {
        if let Some(raw) = &token.raw {
            return fill(raw, variables);
        }
        let dialect = token.dialect.unwrap_or(case);
        let key = self.key(token, dialect)?;
        let alg = token.alg.as_deref().unwrap_or(&key.alg);
        let header = header(token, dialect, key, alg, variables)?;
        let claims = claims(token, dialect, variables)?;
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let mut message = format!("{}.{}", part(&header), part(&claims));
        let mut signature = match token.damage {
            _ if alg == "none" => Vec::new(),
            Some(Damage::ForeignKey) => {
                SigningKey::generate(alg, None)?.sign(alg, message.as_bytes())?
            }
            Some(Damage::Confused) => {
                hmac_sign(key.verifier()?.as_bytes(), "HS256", message.as_bytes())
            }
            _ => key.sign(alg, message.as_bytes())?,
        };
        match token.damage {
            Some(Damage::Signature) => signature[0] ^= 1,
            Some(Damage::Payload) => {
                let other = claims.replacen('{', r#"{"jti":"another","#, 1);
                message = format!("{}.{}", part(&header), part(&other));
            }
            Some(Damage::Unsigned) => signature.clear(),
            Some(Damage::Truncated) => return Ok(message),
            _ => {}
        }
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn key(&self, token: &Token, dialect: Dialect) -> Result<&SigningKey, String> {
        let role = token.role.unwrap_or(match token.subscribe {
            Some(_) => Role::Subscriber,
            None => Role::Publisher,
        });
        let found = match (dialect, role) {
            (Dialect::Legacy, Role::Publisher) => self.publisher.as_ref(),
            (Dialect::Legacy, Role::Subscriber) => self.subscriber.as_ref(),
            (Dialect::Modern, _) => {
                let named = |key: &&SigningKey| token.alg.as_ref() == Some(&key.alg);
                self.issuer.iter().find(named).or(self.issuer.first())
            }
        };
        found.ok_or_else(|| format!("no key for {} tokens was given", dialect.name()))
    }
}

fn header(
    token: &Token,
    dialect: Dialect,
    key: &SigningKey,
    alg: &str,
    variables: &Variables,
) -> Result<String, String> {
    let typ = match dialect {
        Dialect::Legacy => "JWT",
        Dialect::Modern => "at+jwt",
    };
    let alg = match token.damage {
        Some(Damage::Confused) => "HS256",
        _ => alg,
    };
    let mut header = json!({"alg": alg, "typ": typ});
    if let Some(kid) = &key.kid {
        header["kid"] = json!(kid);
    }
    lay_over(&mut header, &token.header, variables)?;
    for name in &token.drop_header {
        header
            .as_object_mut()
            .and_then(|header| header.remove(name));
    }
    Ok(header.to_string())
}

fn claims(token: &Token, dialect: Dialect, variables: &Variables) -> Result<String, String> {
    if let Some(json) = &token.json {
        return fill(json, variables);
    }
    let now = i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
    )
    .unwrap_or(0);
    let mut claims = match dialect {
        Dialect::Legacy => legacy_claims(token, variables)?,
        Dialect::Modern => modern_claims(token, now, variables)?,
    };
    if let Some(exp) = token.exp {
        claims["exp"] = json!(now + exp);
    }
    if let Some(nbf) = token.nbf {
        claims["nbf"] = json!(now + nbf);
    }
    lay_over(&mut claims, &token.claims, variables)?;
    for name in &token.drop {
        claims
            .as_object_mut()
            .and_then(|claims| claims.remove(name));
    }
    Ok(claims.to_string())
}

fn legacy_claims(token: &Token, variables: &Variables) -> Result<Value, String> {
    let mut mercure = Map::new();
    for (name, topics) in [("publish", &token.publish), ("subscribe", &token.subscribe)] {
        if let Some(topics) = topics {
            let topics: Result<Vec<_>, _> = topics
                .iter()
                .map(|topic| json_of(topic, variables))
                .collect();
            mercure.insert(name.into(), Value::Array(topics?));
        }
    }
    if let Some(payload) = &token.payload {
        mercure.insert("payload".into(), json_of(payload, variables)?);
    }
    Ok(json!({ "mercure": mercure }))
}

fn modern_claims(token: &Token, now: i64, variables: &Variables) -> Result<Value, String> {
    let name = |name: &str| variables.get(name).cloned().unwrap_or_default();
    Ok(json!({
        "iss": name("issuer"),
        "aud": name("audience"),
        "sub": "conformance",
        "client_id": "conformance",
        "iat": now,
        "exp": now + 600,
        "jti": format!("jti-{}", name("n")),
        "authorization_details": details(token, variables)?,
    }))
}

fn details(token: &Token, variables: &Variables) -> Result<Value, String> {
    let parse = |text: &String| {
        let text = fill(text, variables)?;
        serde_json::from_str::<Value>(&text).map_err(|error| format!("{text}: {error}"))
    };
    if let Some(all) = &token.details_all {
        return parse(all);
    }
    let mut details = Vec::new();
    for (action, topics) in [("publish", &token.publish), ("subscribe", &token.subscribe)] {
        let Some(topics) = topics else { continue };
        let topics: Result<Vec<_>, _> = topics
            .iter()
            .map(|topic| {
                Ok::<_, String>(match json_of(topic, variables)? {
                    Value::String(topic) => json!({ "match": topic }),
                    other => other,
                })
            })
            .collect();
        let mut detail = json!({"type": DETAIL_TYPE, "actions": [action], "topics": topics?});
        if let (Some(payload), "subscribe") = (&token.payload, action) {
            detail["payload"] = json_of(payload, variables)?;
        }
        details.push(detail);
    }
    if let Some(one) = &token.details {
        let text = fill(one, variables)?;
        // Entries that end with a comma, and what follows it.
        details.extend(
            serde_json::from_str::<Vec<Value>>(&format!("[{text}]"))
                .map_err(|error| format!("{text}: {error}"))?,
        );
    }
    Ok(Value::Array(details))
}

fn lay_over(value: &mut Value, table: &toml::Table, variables: &Variables) -> Result<(), String> {
    for (name, one) in table {
        value[name] = json_of(one, variables)?;
    }
    Ok(())
}

/// TOML has no null: the text `${null}` is one.
pub(super) fn json_of(value: &toml::Value, variables: &Variables) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) if text == "${null}" => Value::Null,
        toml::Value::String(text) => Value::String(fill(text, variables)?),
        toml::Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| json_of(item, variables))
                .collect::<Result<_, _>>()?,
        ),
        toml::Value::Table(table) => {
            let mut members = Map::new();
            for (name, value) in table {
                members.insert(fill(name, variables)?, json_of(value, variables)?);
            }
            Value::Object(members)
        }
        other => serde_json::to_value(other).map_err(|error| error.to_string())?,
    })
}
