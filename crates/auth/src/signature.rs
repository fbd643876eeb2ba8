//! The signature backend, behind the feature `verify`. Nothing else touches cryptography, and this touches no clock.

#[cfg(feature = "verify")]
use jsonwebtoken::{Algorithm as Jwt, DecodingKey, EncodingKey, crypto};

#[cfg(feature = "verify")]
use crate::key::Material;
use crate::{Algorithm, Key, Refusal};

#[cfg(feature = "verify")]
fn backend(algorithm: Algorithm) -> Jwt {
    match algorithm {
        Algorithm::Hs256 => Jwt::HS256,
        Algorithm::Hs384 => Jwt::HS384,
        Algorithm::Hs512 => Jwt::HS512,
        Algorithm::Rs256 => Jwt::RS256,
        Algorithm::Rs384 => Jwt::RS384,
        Algorithm::Rs512 => Jwt::RS512,
        Algorithm::Ps256 => Jwt::PS256,
        Algorithm::Ps384 => Jwt::PS384,
        Algorithm::Ps512 => Jwt::PS512,
        Algorithm::Es256 => Jwt::ES256,
        Algorithm::Es384 => Jwt::ES384,
        Algorithm::EdDsa => Jwt::EdDSA,
    }
}

/// Whether the signature (in base64url) is this key's over these bytes; compared in constant time by the backend.
#[cfg(feature = "verify")]
pub(crate) fn check(
    signed: &str,
    signature: &str,
    key: &Key,
    algorithm: Algorithm,
) -> Result<(), Refusal> {
    let Material::Secret(secret) = &key.material;
    let decoding = DecodingKey::from_secret(secret);
    match crypto::verify(signature, signed.as_bytes(), &decoding, backend(algorithm)) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Refusal::Signature),
    }
}

/// The key's signature over these bytes, in base64url.
#[cfg(feature = "verify")]
pub(crate) fn sign(signed: &str, key: &Key, algorithm: Algorithm) -> Option<String> {
    let Material::Secret(secret) = &key.material;
    let encoding = EncodingKey::from_secret(secret);
    crypto::sign(signed.as_bytes(), &encoding, backend(algorithm)).ok()
}

#[cfg(not(feature = "verify"))]
pub(crate) fn check(_: &str, _: &str, _: &Key, _: Algorithm) -> Result<(), Refusal> {
    Err(Refusal::Unverifiable)
}

#[cfg(not(feature = "verify"))]
pub(crate) fn sign(_: &str, _: &Key, _: Algorithm) -> Option<String> {
    None
}
