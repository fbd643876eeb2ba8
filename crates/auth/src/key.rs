//! One key: what signatures are checked with.

use std::fmt;

use crate::{Algorithm, Algorithms};

/// A key and the algorithms that it is for, so that a token cannot choose another (RFC 8725, section 3.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    pub(crate) material: Material,
    pub(crate) algorithms: Algorithms,
    pub(crate) id: Option<Box<str>>,
}

/// What a key is made of.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Material {
    /// A secret that both sides share.
    Secret(Box<[u8]>),
}

impl Material {
    /// Which algorithms this kind of key can be for: never those of another kind, whatever a token or a file says.
    pub(crate) fn algorithms(&self) -> Algorithms {
        match self {
            Self::Secret(_) => [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512]
                .into_iter()
                .collect(),
        }
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
    /// The key is of another kind than this algorithm wants.
    Algorithm(Algorithm),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the key is empty"),
            Self::Pem => write!(
                f,
                "the key is a PEM file, but a shared secret (HS256, HS384, HS512) is wanted"
            ),
            Self::Algorithm(algorithm) => {
                write!(f, "the key is of another kind than {algorithm} wants")
            }
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
const WELL_KNOWN: [&[u8]; 3] = [
    b"!ChangeThisMercureHubJWTSecretKey!",
    b"!ChangeMe!",
    b"!UnsecureChangeMe!",
];

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
        if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(KeyError::Pem);
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
        })
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
        let Material::Secret(secret) = &self.material;
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
