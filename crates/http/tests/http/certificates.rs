//! Which certificates and keys the hub speaks TLS with, and what it says of the others.

use tidewire_http::{PemError, Tls, TlsError};

pub(crate) const EC_CERTIFICATE: &str = include_str!("keys/ec.cert.pem");
pub(crate) const EC_KEY: &str = include_str!("keys/ec.sec1.pem");
const EC_PKCS8: &str = include_str!("keys/ec.pkcs8.pem");
const EC_ENCRYPTED: &str = include_str!("keys/ec.encrypted.pem");
const RSA_CERTIFICATE: &str = include_str!("keys/rsa.cert.pem");
const RSA_KEY: &str = include_str!("keys/rsa.pkcs1.pem");

/// In 2027, when the certificates above are good.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

fn load(certificate: &str, key: &str, now_ms: u64) -> Result<Tls, TlsError> {
    Tls::from_pem(certificate.as_bytes(), key.as_bytes(), now_ms)
}

#[test]
fn keys_of_each_form_are_taken() {
    for (certificate, key) in [
        (EC_CERTIFICATE, EC_KEY),
        (EC_CERTIFICATE, EC_PKCS8),
        (RSA_CERTIFICATE, RSA_KEY),
        // One file with both, in either order; a chain; text around it.
        (
            &[EC_CERTIFICATE, EC_KEY].concat(),
            &[EC_CERTIFICATE, EC_KEY].concat(),
        ),
        (&[EC_KEY, EC_CERTIFICATE].concat(), EC_KEY),
        (&[EC_CERTIFICATE, RSA_CERTIFICATE].concat(), EC_KEY),
        (&format!("subject=me\n{EC_CERTIFICATE}\n"), EC_KEY),
    ] {
        let tls = load(certificate, key, NOW_MS).unwrap();
        assert!(tls.valid_until_ms() > NOW_MS);
        let fingerprint = tls.fingerprint();
        assert_eq!(fingerprint.split(':').count(), 32, "{fingerprint}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let missing = |wanted, found: &str| PemError::Missing {
        wanted,
        found: vec![found.to_owned()],
    };
    let table = [
        (EC_CERTIFICATE, RSA_KEY, TlsError::Mismatch),
        (
            &[RSA_CERTIFICATE, EC_CERTIFICATE].concat(),
            EC_KEY,
            TlsError::Mismatch,
        ),
        (
            EC_KEY,
            EC_CERTIFICATE,
            TlsError::Certificate(missing("CERTIFICATE", "EC PRIVATE KEY")),
        ),
        (
            EC_CERTIFICATE,
            EC_CERTIFICATE,
            TlsError::Key(missing("PRIVATE KEY", "CERTIFICATE")),
        ),
        (
            EC_CERTIFICATE,
            EC_ENCRYPTED,
            TlsError::Key(PemError::Encrypted),
        ),
        ("", EC_KEY, TlsError::Certificate(PemError::Empty)),
        (EC_CERTIFICATE, "", TlsError::Key(PemError::Empty)),
    ];
    for (certificate, key, want) in table {
        assert_eq!(load(certificate, key, NOW_MS).unwrap_err(), want);
    }
    let damaged = EC_CERTIFICATE.replacen("MII", "AAA", 1);
    let error = load(&damaged, EC_KEY, NOW_MS).unwrap_err();
    assert!(
        matches!(error, TlsError::Certificate(PemError::Der(_))),
        "{error:?}"
    );
    let damaged = EC_KEY.replacen("MHc", "AAA", 1);
    let error = load(EC_CERTIFICATE, &damaged, NOW_MS).unwrap_err();
    assert!(
        matches!(error, TlsError::Key(PemError::Der(_))),
        "{error:?}"
    );
}

#[test]
fn a_certificate_has_its_time() {
    // 2026-01-01 to 2026-02-01, both to the second.
    let (from_ms, until_ms) = (1_767_225_600_000, 1_769_904_000_000);
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 2, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let key = key.serialize_pem();
    let load = |now_ms| load(&certificate, &key, now_ms).err();
    assert_eq!(load(from_ms - 1), Some(TlsError::NotYetValid(from_ms)));
    assert_eq!(load(from_ms), None);
    assert_eq!(load(until_ms + 999), None);
    let expired = load(until_ms + 1000).unwrap();
    assert_eq!(expired, TlsError::Expired(until_ms));
    assert_eq!(
        expired.to_string(),
        "the certificate expired on 2026-02-01T00:00:00Z"
    );
}
