//! What the hub speaks TLS with, and how that is told. A certificate of the hub's own is made here, and kept.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use sha2::{Digest, Sha256};
use tidewire_hub::Tls;
use time::{Duration, OffsetDateTime};

use crate::failure::{Failure, Outcome};
use crate::settings::{Certificate, Settings};
use crate::{clock, files, quote};

/// How long one of the hub's own is good: no longer than browsers take from anybody.
const DAYS: i64 = 398;
/// One that ends sooner than this is made anew when the hub starts.
const DAYS_LEFT_MIN: u64 = 30;
const DAY_MS: u64 = 86_400_000;

/// The key and the certificate, for the hub alone; the second file is the certificate alone, to hand out.
const KEPT: &str = "tls-self-signed.pem";
const PUBLIC: &str = "tls-self-signed.crt";
/// What the kept file says before its PEM: for whom it is.
const NAMES: &str = "names: ";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What holds, and the lines that say so.
pub(super) struct Secured {
    pub(super) tls: Tls,
    pub(super) told: Vec<String>,
}

/// Makes what the settings ask for; `dir` is the data directory, if there is one.
pub(super) fn secure(
    certificate: Certificate,
    settings: &Settings,
    listening: &[SocketAddr],
    dir: Option<&Path>,
) -> Outcome<Option<Secured>> {
    match certificate {
        Certificate::None => Ok(None),
        Certificate::Files(tls) => {
            let file = settings.tls_cert.as_deref().unwrap_or(Path::new(""));
            let told = vec![
                format!(
                    "{}, valid until {}",
                    file.display(),
                    date(tls.valid_until_ms())
                ),
                format!("SHA-256 {}", tls.fingerprint()),
            ];
            Ok(Some(Secured { tls, told }))
        }
        Certificate::SelfSigned => {
            let mut secured = match dir {
                Some(dir) => kept(dir, names(listening))?,
                None => fresh(&names(listening))?,
            };
            if let (Some(line), Some(address)) = (secured.told.last_mut(), listening.first()) {
                line.push_str(&format!(" https://{}/healthz", reachable(*address)));
            }
            Ok(Some(secured))
        }
    }
}

/// This machine, and the addresses that are listened on.
fn names(listening: &[SocketAddr]) -> BTreeSet<String> {
    let mut names = BTreeSet::from(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let named = listening
        .iter()
        .filter(|address| !address.ip().is_unspecified());
    names.extend(named.map(|address| address.ip().to_string()));
    names
}

/// The address by which this machine reaches a listener of its own.
fn reachable(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    }
}

/// One for this run alone.
fn fresh(names: &BTreeSet<String>) -> Outcome<Secured> {
    let made = Made::new(names)?;
    let tls = made.tls()?;
    let pin = STANDARD.encode(Sha256::digest(made.key.subject_public_key_info()));
    let mut told = told(&tls, names);
    told.push(format!(
        "trust it for this run: curl --insecure --pinnedpubkey 'sha256//{pin}'"
    ));
    Ok(Secured { tls, told })
}

/// The one of the run before, if it is still good and for all of these names; else a new one, which is for the old names too.
fn kept(dir: &Path, mut names: BTreeSet<String>) -> Outcome<Secured> {
    let path = dir.join(KEPT);
    let mut news = None;
    let (tls, certificate) = match read(&path, &mut names)? {
        Some(read) => read,
        None => {
            let is_anew = path.exists();
            let made = Made::new(&names)?;
            files::replace_private(&path, made.text(&names).as_bytes())
                .map_err(|error| Failure::file(&path, "write the key", &error))?;
            news = is_anew
                .then_some("made anew: whoever trusted the one before has to trust this one");
            (made.tls()?, made.certificate)
        }
    };
    let public = dir.join(PUBLIC);
    if std::fs::read(&public).ok().as_deref() != Some(certificate.as_bytes()) {
        files::replace(&public, certificate.as_bytes())
            .map_err(|error| Failure::file(&public, "write the certificate", &error))?;
    }
    let mut told = told(&tls, &names);
    told.extend(news.map(str::to_owned));
    let public = quote::shell(&public.to_string_lossy()).to_string();
    told.push(format!("trust it: tidewire sub --ca-file {public}"));
    told.push(format!("trust it: curl --cacert {public}"));
    Ok(Secured { tls, told })
}

/// What was kept, and its certificate's text, if it may be used on. The names that it is for are added to those that are wanted.
fn read(path: &Path, names: &mut BTreeSet<String>) -> Outcome<Option<(Tls, String)>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file(path, "read the key", &error)),
    };
    let line = text.lines().find_map(|line| line.strip_prefix(NAMES));
    let known: BTreeSet<_> = line
        .into_iter()
        .flat_map(|line| line.split(", "))
        .map(str::to_owned)
        .collect();
    let is_for_all = names.is_subset(&known);
    names.extend(known);
    let now_ms = clock::now_ms();
    let tls = Tls::from_pem(text.as_bytes(), text.as_bytes(), now_ms).ok();
    let lasts = |tls: &Tls| tls.valid_until_ms() > now_ms + DAYS_LEFT_MIN * DAY_MS;
    let used = tls.filter(|tls| is_for_all && lasts(tls));
    let certificate = text.split_once(BEGIN).and_then(|(_, rest)| {
        let (body, _) = rest.split_once(END)?;
        Some(format!("{BEGIN}{body}{END}\n"))
    });
    Ok(used.zip(certificate))
}

fn told(tls: &Tls, names: &BTreeSet<String>) -> Vec<String> {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let until = date(tls.valid_until_ms());
    vec![
        format!("self-signed, for {}; valid until {until}", names.join(", ")),
        format!("SHA-256 {}", tls.fingerprint()),
    ]
}

/// A key and its certificate, just made.
struct Made {
    key: KeyPair,
    certificate: String,
}

impl Made {
    fn new(names: &BTreeSet<String>) -> Outcome<Self> {
        let failed = |error: rcgen::Error| {
            Failure::failed(format!("a certificate could not be made: {error}"))
        };
        let key = KeyPair::generate().map_err(failed)?;
        let names: Vec<_> = names.iter().cloned().collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        let now = OffsetDateTime::now_utc();
        // A client's clock may be a little behind.
        params.not_before = now - Duration::hours(1);
        params.not_after = now + Duration::days(DAYS);
        params
            .distinguished_name
            .push(DnType::CommonName, "Tidewire, self-signed");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // rcgen may end lines with CRLF, which the kept text would not give back as it was.
        let certificate = params
            .self_signed(&key)
            .map_err(failed)?
            .pem()
            .replace('\r', "");
        Ok(Self { key, certificate })
    }

    fn text(&self, names: &BTreeSet<String>) -> String {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let key = self.key.serialize_pem();
        format!("{NAMES}{}\n{}{key}", names.join(", "), self.certificate)
    }

    fn tls(&self) -> Outcome<Tls> {
        let key = self.key.serialize_pem();
        Tls::from_pem(self.certificate.as_bytes(), key.as_bytes(), clock::now_ms())
            .map_err(|error| Failure::failed(format!("the certificate made is wrong: {error}")))
    }
}

fn date(ms: u64) -> String {
    let at = i64::try_from(ms / 1000)
        .ok()
        .and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    at.map_or_else(|| "the end of time".to_owned(), |at| at.date().to_string())
}
