//! One key: what signatures are checked with.

use std::fmt;

use crate::curve::Curve;
use crate::signed_url::UrlKey;
use crate::{Algorithm, Algorithms, JWKS_BYTES_MAX, KEYS_PER_SET_MAX, der, jwk, signature};

/// A key and the algorithms that it is for, so that a token cannot choose another (RFC 8725, section 3.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    pub(crate) material: Material,
    pub(crate) algorithms: Algorithms,
    pub(crate) id: Option<Box<str>>,
    /// The half that signs: PKCS#8 in DER. A shared secret has no halves.
    pub(crate) private: Option<Box<[u8]>>,
}

/// What a key is made of.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Material {
    /// A secret that both sides share.
    Secret(Box<[u8]>),
    /// An RSA key's modulus and exponent, big-endian, without leading zeros.
    Rsa { n: Box<[u8]>, e: Box<[u8]> },
    /// A point of a curve, uncompressed (SEC 1, section 2.3.3).
    Ec(Curve, Box<[u8]>),
    /// A point of Ed25519 (RFC 8032).
    Ed(Box<[u8; ED_BYTES]>),
}

/// How many bytes a public Ed25519 key has.
pub(crate) const ED_BYTES: usize = 32;

/// The fewest bits an RSA key may have (RFC 7518, sections 3.3 and 3.5).
pub const RSA_BITS_MIN: usize = 2048;
/// The most: a check takes the longer, the more there are.
pub const RSA_BITS_MAX: usize = 8192;
/// The longest name (`kid`) that a key may have, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 512;

impl Material {
    /// # Errors
    /// If it is too short to be safe or too long to be checked, or is no RSA key.
    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let significant = |number: &[u8]| -> Box<[u8]> {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number[zeros..].into()
        };
        let (n, e) = (significant(n), significant(e));
        let bits = n
            .first()
            .map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err(KeyError::Bits(bits));
        }
        Self::Rsa { n, e }.sound()
    }

    /// # Errors
    /// If it is no point of the curve.
    pub(crate) fn ec(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        if point.len() != 1 + 2 * curve.bytes() || point.first() != Some(&4) {
            return Err(KeyError::Malformed("point"));
        }
        Self::Ec(curve, point.into()).sound()
    }

    /// # Errors
    /// If it is no point of the curve.
    pub(crate) fn ed(point: &[u8]) -> Result<Self, KeyError> {
        let point = <[u8; ED_BYTES]>::try_from(point).map_err(|_| KeyError::Malformed("point"))?;
        Self::Ed(point.into()).sound()
    }

    fn sound(self) -> Result<Self, KeyError> {
        match signature::is_sound(&self) {
            true => Ok(self),
            false => Err(KeyError::Malformed("value")),
        }
    }

    /// Which algorithms this kind of key can be for: never those of another kind, whatever a token or a file says.
    pub(crate) fn algorithms(&self) -> Algorithms {
        use Algorithm::{EdDsa, Hs256, Hs384, Hs512};
        use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let fitting: &[Algorithm] = match self {
            Self::Secret(_) => &[Hs256, Hs384, Hs512],
            Self::Rsa { .. } => &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512],
            Self::Ec(curve, _) => &[curve.algorithm()],
            Self::Ed(_) => &[EdDsa],
        };
        fitting.iter().copied().collect()
    }
}

/// Why bytes are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// There are none: anybody could sign.
    Empty,
    /// They are a PEM file. A public key taken for a shared secret would let anybody sign.
    Pem,
    /// They are JSON, and so a JWK or a set of them; a shared secret is wanted.
    Json,
    /// They are a public key or a certificate in DER; only PEM around it is read.
    Der,
    /// The key is of another kind than this algorithm wants.
    Algorithm(Algorithm),
    /// The key is of a kind, for a use or for an algorithm that tokens are not signed with; says what of it.
    Kind(&'static str),
    /// A part of it is missing or wrong; says which.
    Malformed(&'static str),
    /// An RSA key with fewer bits than [`RSA_BITS_MIN`] or more than [`RSA_BITS_MAX`].
    Bits(usize),
    /// A secret that is shorter than it has to be.
    Short {
        /// How long it is.
        bytes: usize,
        /// How long it has to be.
        bytes_min: usize,
    },
    /// It is a private key, where a public one is enough.
    Private,
    /// It is a public key, where one that signs is wanted.
    Public,
    /// It is encrypted; nobody is here to type the password.
    Encrypted,
    /// More keys than [`crate::KEYS_PER_SET_MAX`].
    Keys,
    /// More bytes than [`crate::JWKS_BYTES_MAX`].
    TooLong(usize),
    /// This build cannot do it (feature `verify`).
    Unsupported,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the key is empty"),
            Self::Pem => write!(
                f,
                "the key is a PEM file, but a shared secret (HS256, HS384, HS512) is wanted; say which algorithm its tokens \
                 are signed with"
            ),
            Self::Json => write!(f, "the key is JSON, but a shared secret is wanted"),
            Self::Der => write!(
                f,
                "the key is a public key or a certificate in DER: write it as PEM (`openssl pkey -pubin -inform der`, `openssl x509 -inform der`)"
            ),
            Self::Algorithm(algorithm) => {
                write!(f, "the key is of another kind than {algorithm} wants")
            }
            Self::Kind(what) => write!(f, "no tokens can be checked with a key of this {what}"),
            Self::Malformed(part) => write!(f, "the key's {part} is missing or wrong"),
            Self::Bits(bits) => write!(
                f,
                "the RSA key has {bits} bits; {RSA_BITS_MIN} to {RSA_BITS_MAX} are taken"
            ),
            Self::Short { bytes, bytes_min } => write!(
                f,
                "the key has {bytes} bytes; {bytes_min} or more are needed"
            ),
            Self::Private => write!(
                f,
                "this is a private key; a hub needs the public one alone, and whoever reads its files must not be able to sign"
            ),
            Self::Public => write!(f, "this is a public key; only a private one signs"),
            Self::Encrypted => write!(f, "the key is encrypted; decrypt it first"),
            Self::Keys => write!(f, "there are more than {KEYS_PER_SET_MAX} keys in the set"),
            Self::TooLong(bytes) => write!(
                f,
                "the key or the set has {bytes} bytes; at most {JWKS_BYTES_MAX} are taken"
            ),
            Self::Unsupported => write!(f, "this build cannot sign"),
        }
    }
}

impl std::error::Error for KeyError {}

/// Why a key is weaker than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Weakness {
    /// A shared secret shorter than its algorithm's hash, which RFC 7518, section 3.2, asks for. Shorter ones are in wide use.
    Short {
        /// How long it is.
        bytes: usize,
        /// How long it should be.
        bytes_min: usize,
    },
    /// A secret that documentation has printed: everybody knows it.
    WellKnown,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { bytes, bytes_min } => write!(
                f,
                "has {bytes} bytes, shorter than its algorithm's hash, which makes it easier to guess; \
                 {bytes_min} or more are safe (RFC 7518, section 3.2)"
            ),
            Self::WellKnown => write!(
                f,
                "is one that stands in public documentation: anybody can sign with it"
            ),
        }
    }
}

/// Secrets that stand in the reference hub's documentation and images.
const WELL_KNOWN: [&[u8]; 2] = [b"!ChangeThisMercureHubJWTSecretKey!", b"!ChangeMe!"];

impl Key {
    /// A shared secret for one algorithm. The bytes are taken as they are: no base64, no trimming.
    ///
    /// # Errors
    /// If there are none, they are a PEM file, or the algorithm wants no shared secret.
    pub fn hmac(secret: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        // A public key taken for a shared secret is how RS256 is confused with HS256 (RFC 8725, section 2.1).
        if der::is_pem(secret) {
            return Err(KeyError::Pem);
        }
        if jwk::is_json(secret) {
            return Err(KeyError::Json);
        }
        if der::is_public(secret) {
            return Err(KeyError::Der);
        }
        Self::of(Material::Secret(secret.into()), algorithm.into())
            .ok_or(KeyError::Algorithm(algorithm))
    }

    /// `None` if the material is for none of these algorithms.
    pub(crate) fn of(material: Material, algorithms: Algorithms) -> Option<Self> {
        let algorithms = material.algorithms().and(algorithms);
        (!algorithms.is_empty()).then_some(Self {
            material,
            algorithms,
            id: None,
            private: None,
        })
    }

    /// A public key or an X.509 certificate as a PEM file (RFC 7468: `PUBLIC KEY`, `RSA PUBLIC KEY`, `CERTIFICATE`). Of a
    /// certificate the key alone is used: nobody asks whether it has expired or who vouches for it.
    ///
    /// # Errors
    /// If it is none, or too weak.
    pub fn public_pem(text: &[u8]) -> Result<Self, KeyError> {
        let material = der::public(text)?;
        let algorithms = material.algorithms();
        Self::of(material, algorithms).ok_or(KeyError::Kind("kind"))
    }

    /// A JWK (RFC 7517), public or `oct`. Of a private one only the public half is kept.
    ///
    /// # Errors
    /// If it is none, is not for checking signatures, or is too weak.
    pub fn jwk(json: &[u8]) -> Result<Self, KeyError> {
        jwk::parse(&jwk::object(json)?)
    }

    /// A key that signs: a private key as a PEM file (`PRIVATE KEY`, `RSA PRIVATE KEY`, `EC PRIVATE KEY`), or as a JWK.
    ///
    /// # Errors
    /// If it is none, or too weak; or if this build cannot sign.
    pub fn private(text: &[u8]) -> Result<Self, KeyError> {
        if der::is_pem(text) {
            let (material, private) = der::private(text)?;
            let algorithms = material.algorithms();
            let key = Self::of(material, algorithms).ok_or(KeyError::Kind("kind"))?;
            return Ok(Self {
                private: Some(private),
                ..key
            });
        }
        jwk::parse_private(&jwk::object(text)?)
    }

    /// A key that signs from a file, whatever its form: a private key as in [`Key::private`], or the bytes of a shared secret, which
    /// is for HS256 where nothing is said. It signs with this algorithm, or the first that it can.
    ///
    /// # Errors
    /// If it is none, is too weak, or is not for the algorithm; or if this build cannot sign.
    pub fn signing(bytes: &[u8], algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        if der::is_pem(bytes) || jwk::is_json(bytes) {
            let key = Self::private(bytes)?;
            return match algorithm {
                Some(algorithm) => key.allowing(algorithm.into()),
                None => Ok(key),
            };
        }
        Self::hmac(bytes, algorithm.unwrap_or_default())
    }

    /// For these algorithms only.
    ///
    /// # Errors
    /// If it is for none of them.
    pub fn allowing(mut self, algorithms: Algorithms) -> Result<Self, KeyError> {
        let first = algorithms.iter().next();
        self.algorithms = self.algorithms.and(algorithms);
        match (self.algorithms.is_empty(), first) {
            (false, _) => Ok(self),
            (true, Some(first)) => Err(KeyError::Algorithm(first)),
            (true, None) => Err(KeyError::Kind("kind")),
        }
    }

    /// Without the half that signs.
    #[must_use]
    pub fn into_public(mut self) -> Self {
        self.private = None;
        self
    }

    /// Whether it is a secret that both sides share: one that must never come from where others can read it.
    #[must_use]
    pub fn is_shared_secret(&self) -> bool {
        matches!(self.material, Material::Secret(_))
    }

    /// With a name by which tokens may ask for it (`kid`).
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Its name (`kid`), if it has one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What it is for; at least one.
    #[must_use]
    pub fn algorithms(&self) -> Algorithms {
        self.algorithms
    }

    /// Why it is weaker than it should be, for whoever configured it.
    #[must_use]
    pub fn weakness(&self) -> Option<Weakness> {
        let Material::Secret(secret) = &self.material else {
            return None;
        };
        if WELL_KNOWN.contains(&&secret[..]) {
            return Some(Weakness::WellKnown);
        }
        let hash_bytes = |algorithm| match algorithm {
            Algorithm::Hs512 => 64,
            Algorithm::Hs384 => 48,
            _ => 32,
        };
        let bytes_min = self.algorithms.iter().map(hash_bytes).min()?;
        let bytes = secret.len();
        (bytes < bytes_min).then_some(Weakness::Short { bytes, bytes_min })
    }

    /// Whether this shared secret signs URLs too. For whoever configures both: it takes as long as it takes.
    #[must_use]
    pub fn is_also(&self, key: &UrlKey) -> bool {
        matches!(&self.material, Material::Secret(secret) if &secret[..] == key.secret())
    }
}

/// Says what it is for and keeps its secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
