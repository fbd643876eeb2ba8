//! Signatures, checked and made, by the one provider of cryptography: what is here while the feature `verify` is on (`unsigned.rs`
//! is what is here while it is off). Reading and making private keys is `private.rs`'s. Touches no clock.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self as backend, ED25519, EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey, RsaEncoding,
    RsaKeyPair, RsaParameters, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::key::Material;
use crate::{Algorithm, Key, Refusal};

fn mac(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

/// How one of RSA's signatures is checked, and how it is made. RFC 7518, section 3.5: the salt is as long as the hash.
fn rsa(algorithm: Algorithm) -> Option<(&'static RsaParameters, &'static dyn RsaEncoding)> {
    Some(match algorithm {
        Algorithm::Rs256 => (
            &backend::RSA_PKCS1_2048_8192_SHA256,
            &backend::RSA_PKCS1_SHA256,
        ),
        Algorithm::Rs384 => (
            &backend::RSA_PKCS1_2048_8192_SHA384,
            &backend::RSA_PKCS1_SHA384,
        ),
        Algorithm::Rs512 => (
            &backend::RSA_PKCS1_2048_8192_SHA512,
            &backend::RSA_PKCS1_SHA512,
        ),
        Algorithm::Ps256 => (&backend::RSA_PSS_2048_8192_SHA256, &backend::RSA_PSS_SHA256),
        Algorithm::Ps384 => (&backend::RSA_PSS_2048_8192_SHA384, &backend::RSA_PSS_SHA384),
        Algorithm::Ps512 => (&backend::RSA_PSS_2048_8192_SHA512, &backend::RSA_PSS_SHA512),
        _ => return None,
    })
}

/// The public half as the provider holds it, for one algorithm. `None` if it is no key, is for another one, or is a shared secret.
pub(crate) fn public(material: &Material, algorithm: Algorithm) -> Option<ParsedPublicKey> {
    if !material.algorithms().contains(algorithm) {
        return None;
    }
    match material {
        Material::Secret(_) => None,
        Material::Rsa { n, e } => RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(rsa(algorithm)?.0)
            .ok(),
        Material::Ec(curve, point) => ParsedPublicKey::new(curve.checking(), point).ok(),
        Material::Ed(point) => ParsedPublicKey::new(&ED25519, &point[..]).ok(),
    }
}

/// Whether the provider takes it for a key: a point off its curve, an even exponent and the like are found when a key is configured
/// and not when a token comes.
pub(crate) fn is_sound(material: &Material) -> bool {
    let first = material.algorithms().iter().next();
    matches!(material, Material::Secret(_))
        || first.is_some_and(|algorithm| public(material, algorithm).is_some())
}

/// Whether the signature (in base64url) is this key's over these bytes; an HMAC is compared in constant time.
pub(crate) fn check(
    signed: &str,
    signature: &str,
    key: &Key,
    algorithm: Algorithm,
) -> Result<(), Refusal> {
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| Refusal::Signature)?;
    let fits = match &key.material {
        Material::Secret(secret) => mac(algorithm).is_some_and(|mac| {
            hmac::verify(&hmac::Key::new(mac, secret), signed.as_bytes(), &signature).is_ok()
        }),
        material => public(material, algorithm)
            .is_some_and(|public| public.verify_sig(signed.as_bytes(), &signature).is_ok()),
    };
    match fits {
        true => Ok(()),
        false => Err(Refusal::Signature),
    }
}

/// The key's signature over these bytes, in base64url. `None` if it has no half that signs, or is for another algorithm.
pub(crate) fn sign(signed: &str, key: &Key, algorithm: Algorithm) -> Option<String> {
    let signed = signed.as_bytes();
    let random = SystemRandom::new();
    let signature = match (&key.material, key.private.as_deref()) {
        (Material::Secret(secret), _) => {
            hmac::sign(&hmac::Key::new(mac(algorithm)?, secret), signed)
                .as_ref()
                .to_vec()
        }
        (_, None) => return None,
        (Material::Rsa { .. }, Some(private)) => {
            let pair = RsaKeyPair::from_pkcs8(private).ok()?;
            let mut signature = vec![0; pair.public_modulus_len()];
            let encoding = rsa(algorithm)?.1;
            pair.sign(encoding, &random, signed, &mut signature).ok()?;
            signature
        }
        (Material::Ec(curve, _), Some(private)) if curve.algorithm() == algorithm => {
            let pair = EcdsaKeyPair::from_pkcs8(curve.signing(), private).ok()?;
            pair.sign(&random, signed).ok()?.as_ref().to_vec()
        }
        (Material::Ed(_), Some(private)) if algorithm == Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::from_pkcs8(private).ok()?;
            pair.sign(signed).as_ref().to_vec()
        }
        _ => return None,
    };
    Some(URL_SAFE_NO_PAD.encode(signature))
}

/// HMAC-SHA-256 in base64url.
pub(crate) fn hmac(secret: &[u8], text: &[u8]) -> Option<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    Some(URL_SAFE_NO_PAD.encode(hmac::sign(&key, text)))
}

/// Whether this is the HMAC-SHA-256 of a text, in base64url; compared in constant time.
pub(crate) fn hmac_fits(secret: &[u8], text: &[u8], presented: &str) -> Result<bool, Refusal> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let presented = URL_SAFE_NO_PAD.decode(presented);
    Ok(presented.is_ok_and(|tag| hmac::verify(&key, text, &tag).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, appendix A.4: its payload is no JSON, so that it is no token, but a signature it is.
    #[test]
    fn the_standards_own_es512_signature_fits() {
        let jwk = br#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2","d":"AY5pb7A0UFiB3RELSD64fTLOSV_jazdF7fLYyuTw8lOfRhWg6Y6rUrPAxerEzgdRhajnu0ferB0d53vM9mE15j2C"}"#;
        let signed = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA";
        let signature = "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
        let public = Key::jwk(jwk).unwrap();
        assert_eq!(check(signed, signature, &public, Algorithm::Es512), Ok(()));
        let wrong = [
            (signed, Algorithm::Es384),
            ("eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZB", Algorithm::Es512),
        ];
        for (signed, algorithm) in wrong {
            assert!(check(signed, signature, &public, algorithm).is_err());
        }
        let private = Key::private(jwk).unwrap();
        let ours = sign(signed, &private, Algorithm::Es512).unwrap();
        assert_eq!(check(signed, &ours, &public, Algorithm::Es512), Ok(()));
        assert_eq!(sign(signed, &private, Algorithm::Es256), None);
        assert_eq!(sign(signed, &public, Algorithm::Es512), None);
    }
}
