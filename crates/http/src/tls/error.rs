//! What can be wrong with a certificate or its key.

use std::fmt;

use crate::date::rfc3339;

/// Why there can be no TLS with this certificate and this key. All are the operator's to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// The text with the certificate cannot be used.
    Certificate(PemError),
    /// The text with the key cannot be used.
    Key(PemError),
    /// The key is another certificate's.
    Mismatch,
    /// The certificate was good until then, in milliseconds since 1970.
    Expired(u64),
    /// The certificate is not good before then, in milliseconds since 1970.
    NotYetValid(u64),
    /// Nothing of the above; the words are rustls's.
    Other(String),
}

/// What is wrong with a PEM text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PemError {
    /// Nothing in it is PEM.
    Empty,
    /// It is DER: the same without PEM's armour.
    IsDer,
    /// What is wanted is not among what it holds.
    Missing {
        /// What was looked for.
        wanted: &'static str,
        /// The labels of what is there.
        found: Vec<String>,
    },
    /// The key is encrypted with a passphrase.
    Encrypted,
    /// The armour is broken.
    Armour(String),
    /// What is inside cannot be read.
    Der(String),
}

impl TlsError {
    pub(super) fn of(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(_) => Self::Mismatch,
            rustls::Error::InvalidCertificate(why) => {
                Self::Certificate(PemError::Der(why.to_string()))
            }
            // What `any_supported_type` answers for a key that it cannot read or use.
            rustls::Error::General(why) => Self::Key(PemError::Der(why)),
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(why) | Self::Key(why) => why.fmt(f),
            Self::Mismatch => f.write_str("the key is not this certificate's"),
            Self::Expired(until_ms) => write!(f, "the certificate expired on {}", day(*until_ms)),
            Self::NotYetValid(from_ms) => {
                write!(f, "the certificate is not valid before {}", day(*from_ms))
            }
            Self::Other(why) => write!(f, "TLS cannot be set up: {why}"),
        }
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no PEM in it"),
            Self::IsDer => f.write_str("it is DER; PEM is wanted"),
            Self::Missing { wanted, found } => {
                write!(f, "there is no {wanted} in it, but {}", found.join(", "))
            }
            Self::Encrypted => f.write_str("the key is encrypted with a passphrase"),
            Self::Armour(why) => write!(f, "the PEM is broken: {why}"),
            Self::Der(why) => write!(f, "what it holds cannot be used: {why}"),
        }
    }
}

impl std::error::Error for TlsError {}
impl std::error::Error for PemError {}

fn day(ms: u64) -> String {
    rfc3339(ms / 1000 * 1000)
}
