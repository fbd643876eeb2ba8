//! New keys.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How many random bytes a new shared secret is made from.
pub const KEY_BYTES: usize = 48;

/// A new shared secret as text, from random bytes: 64 characters of base64url, long enough for every algorithm. The text's own
/// bytes are the key, so that it can be pasted into a file, a variable, or another program's settings.
#[must_use]
pub fn keygen(random: &[u8; KEY_BYTES]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

#[cfg(feature = "verify")]
pub use pair::{KeyPair, keygen_pair};

#[cfg(feature = "verify")]
mod pair {
    use std::fmt;

    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use serde_json::Value;

    use crate::{Algorithm, Key, KeyError, jwk, private};

    /// A new key in the forms that others read.
    #[derive(Clone)]
    pub struct KeyPair {
        /// The key itself; it signs.
        pub key: Key,
        /// The half that signs, as a PEM file (PKCS#8): for whoever makes tokens.
        pub private_pem: String,
        /// The half that checks, as a PEM file (SPKI): for the hub.
        pub public_pem: String,
        /// The half that checks, as a JWK, named by its thumbprint.
        pub jwk: Value,
    }

    /// Keeps the half that signs to itself.
    impl fmt::Debug for KeyPair {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("KeyPair")
                .field("jwk", &self.jwk)
                .finish_non_exhaustive()
        }
    }

    /// A new pair of keys for an algorithm that is not of shared secrets; of RSA with 3,072 bits. Not pure: the backend insists on
    /// randomness of its own.
    ///
    /// # Errors
    /// If the algorithm is one of shared secrets (see [`keygen`](crate::keygen)), or the system gives no random bytes.
    pub fn keygen_pair(algorithm: Algorithm) -> Result<KeyPair, KeyError> {
        let (material, private) = private::generate(algorithm)?;
        let pem = |label: &str, der: &[u8]| {
            let text = STANDARD.encode(der);
            let lines: Vec<_> = text
                .as_bytes()
                .chunks(64)
                .map(String::from_utf8_lossy)
                .collect();
            let body = lines.join("\n");
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        let private_pem = pem("PRIVATE KEY", &private);
        let public_pem = pem("PUBLIC KEY", &private::public_der(&material, algorithm)?);
        let key = Key::of(material, algorithm.into()).ok_or(KeyError::Algorithm(algorithm))?;
        let thumbprint = key.thumbprint().ok_or(KeyError::Unsupported)?;
        let key = Key {
            private: Some(private),
            ..key.with_id(&thumbprint)
        };
        let jwk = key.to_jwk().ok_or(KeyError::Unsupported)?;
        Ok(KeyPair {
            key,
            private_pem,
            public_pem,
            jwk,
        })
    }

    impl Key {
        /// Its name by RFC 7638: the hash of what makes it the key it is. `None` for a shared secret: a hash of it helps to guess it.
        #[must_use]
        pub fn thumbprint(&self) -> Option<String> {
            // RFC 7638, section 3.3: the members in the order of their names, without blanks.
            let members = jwk::required(&self.material)?;
            let members: std::collections::BTreeMap<_, _> = members.as_object()?.iter().collect();
            let text = serde_json::to_string(&members).ok()?;
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            Some(URL_SAFE_NO_PAD.encode(hash))
        }

        /// Its public half as a JWK, for a set that a hub is pointed to. `None` for a shared secret.
        #[must_use]
        pub fn to_jwk(&self) -> Option<Value> {
            let mut jwk = jwk::required(&self.material)?;
            jwk["use"] = "sig".into();
            let mut algorithms = self.algorithms.iter();
            if let (Some(only), None) = (algorithms.next(), algorithms.next()) {
                jwk["alg"] = only.name().into();
            }
            if let Some(id) = self.id() {
                jwk["kid"] = id.into();
            }
            Some(jwk)
        }
    }
}
