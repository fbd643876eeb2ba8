//! TLS: a certificate and its key become what connections are accepted with. How one is accepted is in [`accept`].
//!
//! Not here: files, and making certificates; the binary's. There is one provider of cryptography, aws-lc-rs, named here and
//! installed nowhere else.

pub(crate) mod accept;
mod error;
pub(crate) mod pem;

use std::fmt::Write as _;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use x509_cert::Certificate;
use x509_cert::der::Decode;

pub use error::{PemError, TlsError};

/// A certificate with its key, ready to speak TLS 1.2 and 1.3. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    certificate: CertificateDer<'static>,
    valid: Validity,
}

/// From when until when a certificate is good, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Validity {
    from_ms: u64,
    until_ms: u64,
}

impl Tls {
    /// From the certificate with those that vouch for it, leaf first, and from the leaf's key (PKCS#8, SEC1 or PKCS#1), both
    /// PEM; one text may hold both.
    ///
    /// # Errors
    /// Says which of the two is wrong, and how. Trying again helps only with another text, or at another time.
    pub fn from_pem(certificates: &[u8], key: &[u8], now_ms: u64) -> Result<Self, TlsError> {
        let chain = pem::certificates(certificates).map_err(TlsError::Certificate)?;
        let key = pem::key(key).map_err(TlsError::Key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificate = chain[0].clone();
        let valid = Validity::of(&certificate)?;
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(TlsError::of)?;
        valid.check(now_ms)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::of)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Resumption is by ticket alone: the client keeps its session, sealed with a key that changes every few hours, and the hub
        // keeps nothing, however many clients there are. Early data stays off: it can be replayed, and a publish is no GET.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::of)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificate,
            valid,
        })
    }

    /// The certificate's SHA-256, as browsers and `openssl x509 -fingerprint` show it: `AB:CD:...`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        for byte in Sha256::digest(&self.certificate) {
            let colon = if text.is_empty() { "" } else { ":" };
            let _ = write!(text, "{colon}{byte:02X}");
        }
        text
    }

    /// Until when the certificate is good, in milliseconds since 1970.
    #[must_use]
    pub fn valid_until_ms(&self) -> u64 {
        self.valid.until_ms
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Validity {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let wrong =
            |error: x509_cert::der::Error| TlsError::Certificate(PemError::Der(error.to_string()));
        let parsed = Certificate::from_der(certificate).map_err(wrong)?;
        let validity = parsed.tbs_certificate.validity;
        let ms = |time: x509_cert::time::Time| {
            u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX)
        };
        Ok(Self {
            from_ms: ms(validity.not_before),
            until_ms: ms(validity.not_after),
        })
    }

    /// RFC 5280, section 4.1.2.5: both ends are inclusive, in whole seconds.
    fn check(self, now_ms: u64) -> Result<(), TlsError> {
        if now_ms < self.from_ms {
            return Err(TlsError::NotYetValid(self.from_ms));
        }
        if now_ms / 1000 > self.until_ms / 1000 {
            return Err(TlsError::Expired(self.until_ms));
        }
        Ok(())
    }
}
