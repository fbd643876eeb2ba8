//! The halves of keys that sign, all as PKCS#8 in DER, and new ones, made with the provider's own randomness, for it takes no other.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, KeySize};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use crate::curve::Curve;
use crate::key::Material;
use crate::{Algorithm, KeyError, signature};

/// A key's public half and its private one.
pub(crate) type Halves = (Material, Box<[u8]>);

const WRONG: KeyError = KeyError::Malformed("private key");

/// RFC 5958, of any kind.
pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Halves, KeyError> {
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
        return of_rsa(&pair);
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
        return of_ed(&pair);
    }
    from_sec1(der)
}

/// RFC 5915, and PKCS#8 with that inside.
pub(crate) fn from_sec1(der: &[u8]) -> Result<Halves, KeyError> {
    let of_curve = |curve: Curve| {
        let pair = EcdsaKeyPair::from_private_key_der(curve.signing(), der).ok()?;
        Some(of_ec(curve, &pair))
    };
    Curve::ALL.into_iter().find_map(of_curve).ok_or(WRONG)?
}

/// RFC 8017, appendix A.1.2.
pub(crate) fn from_pkcs1(der: &[u8]) -> Result<Halves, KeyError> {
    of_rsa(&RsaKeyPair::from_der(der).map_err(|_| WRONG)?)
}

pub(crate) fn from_rsa_components(
    components: &KeyPairComponents<Vec<u8>>,
) -> Result<Halves, KeyError> {
    of_rsa(&RsaKeyPair::from_components(components).map_err(|_| WRONG)?)
}

pub(crate) fn from_ec_parts(curve: Curve, d: &[u8], point: &[u8]) -> Result<Halves, KeyError> {
    let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), d, point);
    of_ec(curve, &pair.map_err(|_| WRONG)?)
}

pub(crate) fn from_ed_parts(d: &[u8], x: &[u8]) -> Result<Halves, KeyError> {
    of_ed(&Ed25519KeyPair::from_seed_and_public_key(d, x).map_err(|_| WRONG)?)
}

/// A new key, as long as is good for ten years: 3,072 bits of RSA.
pub(crate) fn generate(algorithm: Algorithm) -> Result<Halves, KeyError> {
    use Algorithm::{EdDsa, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    let failed = |_| KeyError::Unsupported;
    let of_curve = |curve: &Curve| curve.algorithm() == algorithm;
    if let Some(curve) = Curve::ALL.into_iter().find(of_curve) {
        let pair = EcdsaKeyPair::generate(curve.signing()).map_err(failed)?;
        return of_ec(curve, &pair);
    }
    match algorithm {
        EdDsa => of_ed(&Ed25519KeyPair::generate().map_err(failed)?),
        Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512 => {
            of_rsa(&RsaKeyPair::generate(KeySize::Rsa3072).map_err(failed)?)
        }
        _ => Err(KeyError::Algorithm(algorithm)),
    }
}

fn of_rsa(pair: &RsaKeyPair) -> Result<Halves, KeyError> {
    let private: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| WRONG)?;
    let public: PublicKeyX509Der<'static> = pair.public_key().as_der().map_err(|_| WRONG)?;
    Ok((crate::der::spki(public.as_ref())?, private.as_ref().into()))
}

fn of_ec(curve: Curve, pair: &EcdsaKeyPair) -> Result<Halves, KeyError> {
    let private = pair.to_pkcs8v1().map_err(|_| WRONG)?;
    let public = Material::ec(curve, pair.public_key().as_ref())?;
    Ok((public, private.as_ref().into()))
}

fn of_ed(pair: &Ed25519KeyPair) -> Result<Halves, KeyError> {
    let private = pair.to_pkcs8v1().map_err(|_| WRONG)?;
    let public = Material::ed(pair.public_key().as_ref())?;
    Ok((public, private.as_ref().into()))
}

/// The public half in DER (SPKI).
pub(crate) fn public_der(material: &Material, algorithm: Algorithm) -> Result<Vec<u8>, KeyError> {
    let parsed = signature::public(material, algorithm).ok_or(KeyError::Kind("kind"))?;
    let der: PublicKeyX509Der<'static> = parsed.as_der().map_err(|_| WRONG)?;
    Ok(der.as_ref().to_vec())
}
