//! Keys as PEM files (RFC 7468) and what is in them: SPKI (RFC 5280), PKCS#1 (RFC 8017), X.509 certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::KeyError;
use crate::curve::Curve;
use crate::key::Material;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The largest PEM file that is looked at, in bytes.
const PEM_BYTES_MAX: usize = 64 * 1024;

const BEGIN: &str = "-----BEGIN ";

/// Whether bytes are a PEM file, or mean to be one: its mark may follow comments, as OpenSSL writes them.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    let begin = BEGIN.as_bytes();
    bytes.windows(begin.len()).any(|window| window == begin)
}

/// Whether bytes are a public key or a certificate without PEM around it.
pub(crate) fn is_public(bytes: &[u8]) -> bool {
    spki(bytes).is_ok() || certificate(bytes).is_ok()
}

/// A block of a PEM file.
struct Block<'a> {
    label: &'a str,
    der: Vec<u8>,
}

/// Every block of a PEM file.
fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, KeyError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(KeyError::TooLong(text.len()));
    }
    let text = std::str::from_utf8(text).map_err(|_| KeyError::Malformed("PEM"))?;
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once(BEGIN) {
        let block = begun.split_once("-----").and_then(|(label, body)| {
            let (body, after) = body.split_once(&format!("-----END {label}-----"))?;
            Some((label, body, after))
        });
        let (label, body, after) = block.ok_or(KeyError::Malformed("PEM"))?;
        // RFC 1421, section 4.6.1.1: how older files say that they are encrypted.
        if label == "ENCRYPTED PRIVATE KEY" || body.contains("Proc-Type:") {
            return Err(KeyError::Encrypted);
        }
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD
            .decode(body)
            .map_err(|_| KeyError::Malformed("PEM"))?;
        blocks.push(Block { label, der });
        rest = after;
    }
    match blocks.is_empty() {
        true => Err(KeyError::Malformed("PEM")),
        false => Ok(blocks),
    }
}

/// The public key of a PEM file: its first block that is one, or a certificate.
pub(crate) fn public(text: &[u8]) -> Result<Material, KeyError> {
    let blocks = blocks(text)?;
    if blocks
        .iter()
        .any(|block| block.label.ends_with("PRIVATE KEY"))
    {
        return Err(KeyError::Private);
    }
    for Block { label, der } in &blocks {
        match *label {
            "PUBLIC KEY" => return spki(der),
            "RSA PUBLIC KEY" => return pkcs1(der),
            "CERTIFICATE" => return certificate(der),
            _ => {}
        }
    }
    Err(KeyError::Malformed("PEM"))
}

/// The private key of a PEM file, with its public half.
#[cfg(feature = "verify")]
pub(crate) fn private(text: &[u8]) -> Result<(Material, Box<[u8]>), KeyError> {
    use crate::private;
    for Block { label, der } in &blocks(text)? {
        match *label {
            "PRIVATE KEY" => return private::from_pkcs8(der),
            "RSA PRIVATE KEY" => return private::from_pkcs1(der),
            "EC PRIVATE KEY" => return private::from_sec1(der),
            // What `openssl ecparam` writes before the key itself.
            _ => {}
        }
    }
    Err(KeyError::Public)
}

#[cfg(not(feature = "verify"))]
pub(crate) fn private(text: &[u8]) -> Result<(Material, Box<[u8]>), KeyError> {
    blocks(text)?;
    Err(KeyError::Unsupported)
}

fn certificate(der: &[u8]) -> Result<Material, KeyError> {
    let malformed = |_| KeyError::Malformed("certificate");
    let certificate = Certificate::from_der(der).map_err(malformed)?;
    let info = certificate.tbs_certificate.subject_public_key_info;
    let parameters = info.algorithm.parameters.as_ref().map(AnyRef::from);
    let key = info
        .subject_public_key
        .as_bytes()
        .ok_or(KeyError::Malformed("certificate"))?;
    of_kind(info.algorithm.oid, parameters, key)
}

pub(crate) fn spki(der: &[u8]) -> Result<Material, KeyError> {
    let malformed = |_| KeyError::Malformed("public key");
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(malformed)?;
    let key: BitStringRef<'_> = info.subject_public_key;
    let key = key.as_bytes().ok_or(KeyError::Malformed("public key"))?;
    of_kind(info.algorithm.oid, info.algorithm.parameters, key)
}

fn of_kind(
    kind: ObjectIdentifier,
    parameters: Option<AnyRef<'_>>,
    key: &[u8],
) -> Result<Material, KeyError> {
    match kind {
        RSA => pkcs1(key),
        ED25519 => Material::ed(key),
        EC => {
            let named = parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
            let is_named = |curve: &Curve| Some(curve.identifier()) == named;
            let curve = Curve::ALL.into_iter().find(is_named);
            Material::ec(curve.ok_or(KeyError::Kind("curve"))?, key)
        }
        _ => Err(KeyError::Kind("kind")),
    }
}

/// RFC 8017, appendix A.1.1: modulus and exponent.
fn pkcs1(der: &[u8]) -> Result<Material, KeyError> {
    let parts = |reader: &mut SliceReader<'_>| {
        reader.sequence(|parts| {
            let n: UintRef<'_> = parts.decode()?;
            let e: UintRef<'_> = parts.decode()?;
            Ok((n.as_bytes().to_vec(), e.as_bytes().to_vec()))
        })
    };
    let parsed = SliceReader::new(der).and_then(|mut reader| {
        let found = parts(&mut reader)?;
        reader.finish(found)
    });
    let (n, e) = parsed.map_err(|_| KeyError::Malformed("public key"))?;
    Material::rsa(&n, &e)
}
