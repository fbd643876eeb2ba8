//! TLS as an operator meets it: what is said of wrong files, and a certificate that stays over restarts. That curl and a browser
//! take it is shown end to end (tests/e2e).

use std::path::Path;

use crate::support::{Hub, Ran, Running, finish, folder, run, tidewire, write};

/// The certificates and keys of the HTTP crate's tests.
fn key_file(name: &str) -> String {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../http/tests/http/keys");
    keys.join(name).to_str().unwrap().to_owned()
}

fn check(arguments: &[&str]) -> Ran {
    let mut command = tidewire();
    command.args(["config", "check"]).args(arguments);
    finish(command, b"")
}

#[test]
fn wrong_files_are_named_with_what_to_do() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let expired = path("expired.pem");
    write(Path::new(&expired), &expired_pem());
    let (cert, key) = (key_file("ec.cert.pem"), key_file("ec.sec1.pem"));
    let (encrypted, other) = (key_file("ec.encrypted.pem"), key_file("rsa.pkcs1.pem"));
    let nowhere = path("nowhere.pem");
    let text = path("text.pem");
    write(Path::new(&text), "hello");
    let table: [(&[&str], i32, &[&str]); 11] = [
        (
            &["--tls-cert", &cert],
            2,
            &["ec.cert.pem", "--tls-key FILE"],
        ),
        (&["--tls-key", &key], 2, &["--tls-cert FILE"]),
        (
            &["--tls-cert", &nowhere, "--tls-key", &key],
            1,
            &["nowhere.pem", "check the path"],
        ),
        (
            &["--tls-cert", &cert, "--tls-key", &nowhere],
            1,
            &["nowhere.pem", "check the path"],
        ),
        (
            &["--tls-cert", &text, "--tls-key", &key],
            2,
            &["text.pem", "no PEM", "BEGIN CERTIFICATE"],
        ),
        (
            &["--tls-cert", &key, "--tls-key", &key],
            2,
            &["ec.sec1.pem", "no CERTIFICATE", "EC PRIVATE KEY"],
        ),
        (
            &["--tls-cert", &cert, "--tls-key", &cert],
            2,
            &["ec.cert.pem", "no PRIVATE KEY"],
        ),
        (
            &["--tls-cert", &cert, "--tls-key", &other],
            2,
            &["rsa.pkcs1.pem", "not this certificate's", "openssl"],
        ),
        (
            &["--tls-cert", &cert, "--tls-key", &encrypted],
            2,
            &["ec.encrypted.pem", "passphrase", "openssl pkey"],
        ),
        (
            &["--tls-cert", &expired, "--tls-key", &expired],
            2,
            &["expired.pem", "expired on 2021-02-01", "renew"],
        ),
        (
            &["--tls-cert", &cert, "--tls-key", &key, "--tls-self-signed"],
            2,
            &["contradict", "say one"],
        ),
    ];
    for (arguments, code, words) in table {
        let ran = check(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        for word in words {
            assert!(
                ran.stderr.contains(word),
                "{word:?}: {arguments:?}: {ran:?}"
            );
        }
    }
    check(&["--tls-cert", &cert, "--tls-key", &key]).ok();
    // A flag goes before the environment.
    let mut command = tidewire();
    command
        .args(["config", "check", "--tls-self-signed"])
        .envs([("TIDEWIRE_TLS_CERT", &nowhere), ("TIDEWIRE_TLS_KEY", &key)]);
    finish(command, b"").ok();
}

fn expired_pem() -> String {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2021, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 2, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
}

/// A hub whose certificate is its own, started in this folder; its URL and its certificate's fingerprint.
fn self_signed(folder: &Path, arguments: &[&str]) -> (Running, String, String) {
    let mut command = tidewire();
    command
        .args(["serve", "--tls-self-signed", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .current_dir(folder);
    let hub = Running::start(command);
    let line = hub.line();
    let url = line.strip_prefix("listening ").unwrap().to_owned();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let said = hub.says("curl ");
    let fingerprint = said.split("SHA-256 ").nth(1).unwrap();
    let fingerprint = fingerprint.lines().next().unwrap().to_owned();
    assert_eq!(fingerprint.len(), 95, "{said}");
    assert!(said.contains(&url), "the line to paste: {said}");
    (hub, url, fingerprint)
}

#[test]
fn a_certificate_of_its_own_stays_with_the_data() {
    let folder = folder();
    let (hub, url, first) = self_signed(folder.path(), &[]);
    assert_eq!(hub.stop(), 0);
    let kept = folder.path().join("tidewire-data/tls-self-signed.pem");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let public = folder.path().join("tidewire-data/tls-self-signed.crt");
    let handed_out = std::fs::read_to_string(public).unwrap();
    assert!(handed_out.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(!handed_out.contains("PRIVATE"));
    let (hub, _, again) = self_signed(folder.path(), &[]);
    assert_eq!(hub.stop(), 0);
    assert_eq!(first, again);
    // Another address: a certificate for that as well, and from then on for both.
    let (hub, _, both) = self_signed(folder.path(), &["--listen", "127.0.0.2:0"]);
    assert_eq!(hub.stop(), 0);
    assert_ne!(first, both);
    let (hub, _, again) = self_signed(folder.path(), &[]);
    assert_eq!(hub.stop(), 0);
    assert_eq!(both, again);
    // What is damaged is made anew.
    write(&kept, "rubbish");
    let (hub, _, anew) = self_signed(folder.path(), &[]);
    assert_eq!(hub.stop(), 0);
    assert_ne!(both, anew);
    // Without data, a certificate for the run alone.
    let (hub, _, in_memory) = self_signed(folder.path(), &["--memory"]);
    assert_eq!(hub.stop(), 0);
    assert_ne!(anew, in_memory);
    // Nobody is there any more: what is said starts one that speaks https.
    let ran = run(&["sub", "t", "--url", &url]);
    assert!(ran.stderr.contains("serve --tls-self-signed"), "{ran:?}");
}

#[test]
fn our_own_commands_say_that_they_came_to_tls() {
    let (cert, key) = (key_file("ec.cert.pem"), key_file("ec.sec1.pem"));
    let hub = Hub::with(&["--memory", "--tls-cert", &cert, "--tls-key", &key]);
    let plain = hub.url.replace("https://", "http://");
    let ran = run(&["pub", "t", "x", "--url", &plain]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("speaks https"), "{ran:?}");
}
