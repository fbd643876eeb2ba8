//! PEM texts (RFC 7468) to certificates and keys, and in words what else they are.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::PemError;

/// All certificates of a text, in its order; at least one.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|error| PemError::Armour(error.to_string()))?;
    if all.is_empty() {
        return Err(missing(text, "CERTIFICATE"));
    }
    Ok(all)
}

/// The first private key of a text.
pub(super) fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    if is_encrypted(text) {
        return Err(PemError::Encrypted);
    }
    match PrivateKeyDer::pem_slice_iter(text).next() {
        Some(Ok(key)) => Ok(key),
        Some(Err(error)) => Err(PemError::Armour(error.to_string())),
        None => Err(missing(text, "PRIVATE KEY")),
    }
}

/// PKCS#8 says so in its label, older keys in a header (RFC 1421, section 4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let labels = labels(&text);
    let is_plain = |label: &String| label != ENCRYPTED && label.ends_with("PRIVATE KEY");
    let by_label = labels.iter().any(|label| label == ENCRYPTED);
    let by_header = |line: &str| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED");
    by_label && !labels.iter().any(is_plain) || text.lines().any(by_header)
}

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

fn missing(text: &[u8], wanted: &'static str) -> PemError {
    let found = labels(&String::from_utf8_lossy(text));
    if !found.is_empty() {
        return PemError::Missing { wanted, found };
    }
    // ASN.1: a SEQUENCE whose length takes more than a byte, as that of every certificate and key does but the smallest.
    match text {
        [0x30, 0x81..=0x84, ..] => PemError::IsDer,
        _ => PemError::Empty,
    }
}

/// What a PEM text says that it holds.
fn labels(text: &str) -> Vec<String> {
    let label = |line: &str| {
        let label = line.trim().strip_prefix("-----BEGIN ")?;
        Some(label.strip_suffix("-----")?.to_owned())
    };
    text.lines().filter_map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_named() {
        let armour = |label: &str, header: &str| {
            format!("-----BEGIN {label}-----\n{header}AAAA\n-----END {label}-----\n")
        };
        let missing = |found: &str| PemError::Missing {
            wanted: "PRIVATE KEY",
            found: vec![found.to_owned()],
        };
        let legacy = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n";
        let table = [
            (String::new(), PemError::Empty),
            ("hello".to_owned(), PemError::Empty),
            (armour("CERTIFICATE", ""), missing("CERTIFICATE")),
            (armour("PUBLIC KEY", ""), missing("PUBLIC KEY")),
            (armour("ENCRYPTED PRIVATE KEY", ""), PemError::Encrypted),
            (armour("RSA PRIVATE KEY", legacy), PemError::Encrypted),
        ];
        for (text, want) in table {
            assert_eq!(key(text.as_bytes()).unwrap_err(), want, "{text}");
        }
        assert_eq!(key(&[0x30, 0x82, 0, 0]).unwrap_err(), PemError::IsDer);
        assert!(matches!(
            key(b"-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----\n"),
            Err(PemError::Armour(_))
        ));
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            assert!(key(armour(label, "").as_bytes()).is_ok(), "{label}");
        }
        // An encrypted one beside a plain one is in nobody's way.
        let both = armour("ENCRYPTED PRIVATE KEY", "") + &armour("PRIVATE KEY", "");
        assert!(key(both.as_bytes()).is_ok());
        assert!(matches!(
            certificates(armour("CERTIFICATE REQUEST", "").as_bytes()),
            Err(PemError::Missing { .. })
        ));
    }
}
