//! The signature backend, behind the feature `verify`. Nothing else touches cryptography, and this touches no clock.

#[cfg(feature = "verify")]
use base64::Engine;
#[cfg(feature = "verify")]
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
#[cfg(feature = "verify")]
use jsonwebtoken::{Algorithm as Jwt, DecodingKey, EncodingKey, crypto};

#[cfg(feature = "verify")]
use crate::key::Curve;
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
    let decoding = match &key.material {
        Material::Secret(secret) => DecodingKey::from_secret(secret),
        Material::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
        Material::Ec(_, point) => DecodingKey::from_ec_der(point),
        Material::Ed(point) => DecodingKey::from_ed_der(&point[..]),
    };
    match crypto::verify(signature, signed.as_bytes(), &decoding, backend(algorithm)) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Refusal::Signature),
    }
}

/// The key's signature over these bytes, in base64url.
#[cfg(feature = "verify")]
pub(crate) fn sign(signed: &str, key: &Key, algorithm: Algorithm) -> Option<String> {
    let encoding = match (&key.material, &key.private) {
        (Material::Secret(secret), _) => EncodingKey::from_secret(secret),
        (_, None) => return None,
        (Material::Rsa { .. }, Some(private)) => EncodingKey::from_rsa_der(private),
        (Material::Ec(..), Some(private)) => EncodingKey::from_ec_der(private),
        (Material::Ed(_), Some(private)) => EncodingKey::from_ed_der(private),
    };
    crypto::sign(signed.as_bytes(), &encoding, backend(algorithm)).ok()
}

/// Whether the backend takes it for a key: a point off its curve, an even exponent and the like are found when a key is configured
/// and not when a token comes.
#[cfg(feature = "verify")]
pub(crate) fn is_sound(material: &Material) -> bool {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
        RsaPublicKeyComponents,
    };
    match material {
        Material::Secret(_) => true,
        Material::Rsa { n, e } => RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256)
            .is_ok(),
        Material::Ec(Curve::P256, point) => {
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).is_ok()
        }
        Material::Ec(Curve::P384, point) => {
            ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).is_ok()
        }
        Material::Ed(point) => ParsedPublicKey::new(&ED25519, &point[..]).is_ok(),
    }
}

#[cfg(not(feature = "verify"))]
pub(crate) fn is_sound(_: &Material) -> bool {
    true
}

#[cfg(not(feature = "verify"))]
pub(crate) fn check(_: &str, _: &str, _: &Key, _: Algorithm) -> Result<(), Refusal> {
    Err(Refusal::Unverifiable)
}

#[cfg(not(feature = "verify"))]
pub(crate) fn sign(_: &str, _: &Key, _: Algorithm) -> Option<String> {
    None
}

/// HMAC-SHA-256 in base64url; `None` if this build cannot.
#[cfg(feature = "verify")]
pub(crate) fn hmac(secret: &[u8], text: &[u8]) -> Option<String> {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    Some(URL_SAFE_NO_PAD.encode(hmac::sign(&key, text)))
}

/// Whether this is the HMAC-SHA-256 of a text, in base64url; compared in constant time by the backend.
#[cfg(feature = "verify")]
pub(crate) fn hmac_fits(secret: &[u8], text: &[u8], presented: &str) -> Result<bool, Refusal> {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let presented = URL_SAFE_NO_PAD.decode(presented);
    Ok(presented.is_ok_and(|tag| hmac::verify(&key, text, &tag).is_ok()))
}

#[cfg(not(feature = "verify"))]
pub(crate) fn hmac(_: &[u8], _: &[u8]) -> Option<String> {
    None
}

#[cfg(not(feature = "verify"))]
pub(crate) fn hmac_fits(_: &[u8], _: &[u8], _: &str) -> Result<bool, Refusal> {
    Err(Refusal::Unverifiable)
}
