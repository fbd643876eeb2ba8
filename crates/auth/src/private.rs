//! The halves of keys that sign, in the forms that the backend takes: PKCS#1 of an RSA key, PKCS#8 of another. And new ones, made
//! with the backend's own randomness, for it takes no other.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use x509_cert::der::asn1::{AnyRef, OctetStringRef};
use x509_cert::der::{Decode, Reader, SliceReader};

use crate::key::{Curve, Material};
use crate::{Algorithm, KeyError};

/// A key's public half and its private one.
pub(crate) type Halves = (Material, Box<[u8]>);

const WRONG: KeyError = KeyError::Malformed("private key");

fn signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
    }
}

pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Halves, KeyError> {
    // RSA first: its refusal for want of bits is worth telling.
    if let Ok(inner) = pkcs8_inner(der)
        && let Ok(halves @ (Material::Rsa { .. }, _)) = from_pkcs1(inner)
    {
        return Ok(halves);
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
        return of_ed(&pair);
    }
    from_sec1(der)
}

/// RFC 5915, and PKCS#8 with that inside.
pub(crate) fn from_sec1(der: &[u8]) -> Result<Halves, KeyError> {
    for curve in [Curve::P256, Curve::P384] {
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(signing(curve), der) {
            return of_ec(curve, &pair);
        }
    }
    Err(WRONG)
}

/// RFC 8017, appendix A.1.2.
pub(crate) fn from_pkcs1(der: &[u8]) -> Result<Halves, KeyError> {
    let pair = RsaKeyPair::from_der(der).map_err(|_| WRONG)?;
    Ok((of_rsa(&pair)?, der.into()))
}

pub(crate) fn from_rsa_components(
    components: &KeyPairComponents<Vec<u8>>,
) -> Result<Halves, KeyError> {
    rsa_halves(&RsaKeyPair::from_components(components).map_err(|_| WRONG)?)
}

pub(crate) fn from_ec_parts(curve: Curve, d: &[u8], point: &[u8]) -> Result<Halves, KeyError> {
    let pair = EcdsaKeyPair::from_private_key_and_public_key(signing(curve), d, point);
    of_ec(curve, &pair.map_err(|_| WRONG)?)
}

pub(crate) fn from_ed_parts(d: &[u8], x: &[u8]) -> Result<Halves, KeyError> {
    of_ed(&Ed25519KeyPair::from_seed_and_public_key(d, x).map_err(|_| WRONG)?)
}

/// A new key, as long as is good for ten years: 3,072 bits of RSA.
pub(crate) fn generate(algorithm: Algorithm) -> Result<Halves, KeyError> {
    use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    let failed = |_| KeyError::Unsupported;
    match algorithm {
        EdDsa => of_ed(&Ed25519KeyPair::generate().map_err(failed)?),
        Es256 | Es384 => {
            let curve = match algorithm {
                Es256 => Curve::P256,
                _ => Curve::P384,
            };
            of_ec(
                curve,
                &EcdsaKeyPair::generate(signing(curve)).map_err(failed)?,
            )
        }
        Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512 => {
            rsa_halves(&RsaKeyPair::generate(KeySize::Rsa3072).map_err(failed)?)
        }
        _ => Err(KeyError::Algorithm(algorithm)),
    }
}

fn rsa_halves(pair: &RsaKeyPair) -> Result<Halves, KeyError> {
    let pkcs8: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| WRONG)?;
    Ok((of_rsa(pair)?, pkcs8_inner(pkcs8.as_ref())?.into()))
}

fn of_rsa(pair: &RsaKeyPair) -> Result<Material, KeyError> {
    let public: PublicKeyX509Der<'static> = pair.public_key().as_der().map_err(|_| WRONG)?;
    crate::der::spki(public.as_ref())
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

/// RFC 5958, section 2: version, algorithm, and the key in its kind's own form.
fn pkcs8_inner(der: &[u8]) -> Result<&[u8], KeyError> {
    let parsed = SliceReader::new(der).and_then(|mut reader| {
        reader.sequence(|parts| {
            let _version: u8 = parts.decode()?;
            let _algorithm: AnyRef<'_> = parts.decode()?;
            let key: OctetStringRef<'_> = parts.decode()?;
            while !parts.is_finished() {
                let _attribute = AnyRef::decode(parts)?;
            }
            Ok(key.as_bytes())
        })
    });
    parsed.map_err(|_| WRONG)
}

/// The public half in DER (SPKI).
pub(crate) fn public_der(material: &Material) -> Result<Vec<u8>, KeyError> {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    };
    let parsed = match material {
        Material::Secret(_) => return Err(KeyError::Kind("kind")),
        Material::Rsa { n, e } => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        }
        Material::Ec(Curve::P256, point) => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
        Material::Ec(Curve::P384, point) => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point),
        Material::Ed(point) => ParsedPublicKey::new(&ED25519, &point[..]),
    };
    let der: PublicKeyX509Der<'static> = parsed.map_err(|_| WRONG)?.as_der().map_err(|_| WRONG)?;
    Ok(der.as_ref().to_vec())
}

/// The private half in DER (PKCS#8).
pub(crate) fn private_der(material: &Material, private: &[u8]) -> Result<Vec<u8>, KeyError> {
    if !matches!(material, Material::Rsa { .. }) {
        return Ok(private.to_vec());
    }
    let pair = RsaKeyPair::from_der(private).map_err(|_| WRONG)?;
    let der: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| WRONG)?;
    Ok(der.as_ref().to_vec())
}
