//! JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037), one and in sets.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::curve::Curve;
use crate::key::{KEY_ID_BYTES_MAX, Material};
use crate::{Algorithm, Algorithms, Key, KeyError, json};

/// The largest key or set of keys that is looked at, in bytes.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;

type Members = Map<String, Value>;

/// Whether bytes are meant to be a JWK or a set of them, and no secret that only looks a little like one. One that is broken or too
/// large is meant as well: taken for a shared secret, whoever can read the public set could sign.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let names = |name: &[u8]| text.windows(name.len()).any(|window| window == name);
    text.trim_ascii_start().starts_with(b"{") && (names(b"\"kty\"") || names(b"\"keys\""))
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(crate) fn object(bytes: &[u8]) -> Result<Members, KeyError> {
    if bytes.len() > JWKS_BYTES_MAX {
        return Err(KeyError::TooLong(bytes.len()));
    }
    json::object(bytes).map_err(|_| KeyError::Malformed("JSON"))
}

/// The entries of a set.
pub(crate) fn entries(bytes: &[u8]) -> Result<Vec<Value>, KeyError> {
    match object(bytes)?.remove("keys") {
        Some(Value::Array(keys)) => Ok(keys),
        _ => Err(KeyError::Malformed("`keys`")),
    }
}

/// The public half, or a shared secret.
pub(crate) fn parse(jwk: &Members) -> Result<Key, KeyError> {
    is_for(jwk, &["verify"])?;
    described(jwk, material(jwk)?)
}

/// A key that signs.
pub(crate) fn parse_private(jwk: &Members) -> Result<Key, KeyError> {
    is_for(jwk, &["sign", "verify"])?;
    let public = material(jwk)?;
    if let Material::Secret(_) = public {
        return described(jwk, public);
    }
    if !jwk.contains_key("d") {
        return Err(KeyError::Public);
    }
    let private = halves(jwk, &public)?;
    Ok(Key {
        private: Some(private),
        ..described(jwk, public)?
    })
}

/// RFC 7517, sections 4.2 and 4.3: what it is for, where it says so.
fn is_for(jwk: &Members, wanted: &[&str]) -> Result<(), KeyError> {
    match jwk.get("use") {
        None => {}
        Some(Value::String(used)) if used == "sig" => {}
        Some(_) => return Err(KeyError::Kind("use")),
    }
    let is_wanted = |operation: &Value| operation.as_str().is_some_and(|one| wanted.contains(&one));
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(is_wanted) => Ok(()),
        Some(_) => Err(KeyError::Kind("use")),
    }
}

/// With its `alg` and `kid`. A key that says for which algorithm it is is for no other.
fn described(jwk: &Members, material: Material) -> Result<Key, KeyError> {
    let algorithms: Algorithms = match jwk.get("alg") {
        None => material.algorithms(),
        Some(Value::String(name)) => name
            .parse::<Algorithm>()
            .map_err(|_| KeyError::Kind("algorithm"))?
            .into(),
        Some(_) => return Err(KeyError::Malformed("`alg`")),
    };
    let key = Key::of(material, algorithms).ok_or(KeyError::Kind("algorithm"))?;
    match jwk.get("kid") {
        None => Ok(key),
        Some(Value::String(id)) if id.len() <= KEY_ID_BYTES_MAX => Ok(key.with_id(id)),
        Some(_) => Err(KeyError::Malformed("`kid`")),
    }
}

fn material(jwk: &Members) -> Result<Material, KeyError> {
    let named = |name| jwk.get(name).and_then(Value::as_str);
    match (named("kty"), named("crv")) {
        (Some("oct"), _) => {
            let secret = bytes(jwk, "k")?;
            match secret.is_empty() {
                true => Err(KeyError::Empty),
                false => Ok(Material::Secret(secret.into())),
            }
        }
        (Some("RSA"), _) => Material::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?),
        (Some("EC"), name) => {
            let is_named = |curve: &Curve| Some(curve.name()) == name;
            let curve = Curve::ALL.into_iter().find(is_named);
            let curve = curve.ok_or(KeyError::Kind("curve"))?;
            Material::ec(curve, &point(jwk, curve)?)
        }
        (Some("OKP"), Some("Ed25519")) => Material::ed(&bytes(jwk, "x")?),
        (Some("OKP"), _) => Err(KeyError::Kind("curve")),
        (Some(_), _) => Err(KeyError::Kind("kind")),
        (None, _) => Err(KeyError::Malformed("`kty`")),
    }
}

/// RFC 7518, section 6.2.1.2: coordinates at their full length.
fn point(jwk: &Members, curve: Curve) -> Result<Vec<u8>, KeyError> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = bytes(jwk, name)?;
        if coordinate.len() != curve.bytes() {
            return Err(KeyError::Malformed("point"));
        }
        point.extend(coordinate);
    }
    Ok(point)
}

fn bytes(jwk: &Members, name: &'static str) -> Result<Vec<u8>, KeyError> {
    let text = jwk.get(name).and_then(Value::as_str);
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .ok_or(KeyError::Malformed(name))
}

#[cfg(feature = "verify")]
fn halves(jwk: &Members, public: &Material) -> Result<Box<[u8]>, KeyError> {
    use crate::private;
    use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
    let d = bytes(jwk, "d")?;
    let (_, private) = match public {
        Material::Secret(_) => return Err(KeyError::Kind("kind")),
        Material::Rsa { n, e } => private::from_rsa_components(&KeyPairComponents {
            public_key: PublicKeyComponents {
                n: n.to_vec(),
                e: e.to_vec(),
            },
            d,
            p: bytes(jwk, "p")?,
            q: bytes(jwk, "q")?,
            dP: bytes(jwk, "dp")?,
            dQ: bytes(jwk, "dq")?,
            qInv: bytes(jwk, "qi")?,
        })?,
        Material::Ec(curve, point) => private::from_ec_parts(*curve, &d, point)?,
        Material::Ed(x) => private::from_ed_parts(&d, &x[..])?,
    };
    Ok(private)
}

#[cfg(not(feature = "verify"))]
fn halves(_: &Members, _: &Material) -> Result<Box<[u8]>, KeyError> {
    Err(KeyError::Unsupported)
}

#[cfg(feature = "verify")]
/// RFC 7638, section 3.2: the members that make the key what it is. `None` for a shared secret, which nobody should publish.
pub(crate) fn required(material: &Material) -> Option<Value> {
    use serde_json::json;
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Some(match material {
        Material::Secret(_) => return None,
        Material::Rsa { n, e } => json!({ "kty": "RSA", "n": text(n), "e": text(e) }),
        Material::Ec(curve, point) => {
            let (x, y) = point[1..].split_at(curve.bytes());
            json!({ "kty": "EC", "crv": curve.name(), "x": text(x), "y": text(y) })
        }
        Material::Ed(point) => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(&point[..]) }),
    })
}
