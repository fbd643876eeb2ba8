//! The signature backend, behind the feature `verify`. Nothing else touches cryptography, and this touches no clock.

#[cfg(feature = "verify")]
use jsonwebtoken::{Algorithm as Jwt, DecodingKey, EncodingKey, crypto};

#[cfg(feature = "verify")]
use crate::Algorithm;
use crate::{Key, Refusal};

#[cfg(feature = "verify")]
fn algorithm(key: &Key) -> Jwt {
    match key.algorithm {
        Algorithm::Hs256 => Jwt::HS256,
        Algorithm::Hs384 => Jwt::HS384,
        Algorithm::Hs512 => Jwt::HS512,
    }
}

/// Whether the signature (in base64url) is this key's over these bytes; compared in constant time by the backend.
#[cfg(feature = "verify")]
pub(crate) fn check(signed: &str, signature: &str, key: &Key) -> Result<(), Refusal> {
    let decoding = DecodingKey::from_secret(&key.secret);
    match crypto::verify(signature, signed.as_bytes(), &decoding, algorithm(key)) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Refusal::Signature),
    }
}

/// The key's signature over these bytes, in base64url.
#[cfg(feature = "verify")]
pub(crate) fn sign(signed: &str, key: &Key) -> Option<String> {
    let encoding = EncodingKey::from_secret(&key.secret);
    crypto::sign(signed.as_bytes(), &encoding, algorithm(key)).ok()
}

#[cfg(not(feature = "verify"))]
pub(crate) fn check(_: &str, _: &str, _: &Key) -> Result<(), Refusal> {
    Err(Refusal::Unverifiable)
}

#[cfg(not(feature = "verify"))]
pub(crate) fn sign(_: &str, _: &Key) -> Option<String> {
    None
}
