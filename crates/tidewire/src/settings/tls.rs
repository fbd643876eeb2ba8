//! The certificate that the hub speaks TLS with, from files. One of the hub's own making is `serve`'s.

use std::path::Path;

use tidewire_hub::{PemError, Tls, TlsError};

use super::{Origin, Settings, Sources};
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::quote;

/// What the settings ask for.
#[derive(Debug)]
pub(crate) enum Certificate {
    /// No TLS.
    None,
    /// This one.
    Files(Tls),
    /// One of the hub's own.
    SelfSigned,
}

/// Of files and a certificate of the hub's own, the one that was said more plainly holds; both as plainly is a contradiction.
pub(crate) fn load(settings: &Settings, sources: &Sources) -> Outcome<Certificate> {
    let (files, own) = (
        origin_of_files(settings, sources),
        sources.origin("tls-self-signed"),
    );
    match (files, settings.tls_self_signed.0) {
        (None, false) => Ok(Certificate::None),
        (None, true) => Ok(Certificate::SelfSigned),
        (Some(files), true) if own.outranks(files) => Ok(Certificate::SelfSigned),
        (Some(files), true) if !files.outranks(own) => Err(Failure::usage(
            "--tls-self-signed and --tls-cert contradict each other",
        )
        .next("say one of them")),
        (Some(_), _) => from_files(settings).map(Certificate::Files),
    }
}

fn origin_of_files<'a>(settings: &Settings, sources: &'a Sources) -> Option<&'a Origin> {
    let cert = settings.tls_cert.is_some().then_some("tls-cert");
    let key = settings.tls_key.is_some().then_some("tls-key");
    cert.or(key).map(|name| sources.origin(name))
}

fn from_files(settings: &Settings) -> Outcome<Tls> {
    let (cert, key) = match (&settings.tls_cert, &settings.tls_key) {
        (Some(cert), Some(key)) => (cert, key),
        (Some(cert), None) => {
            return Err(
                Failure::usage(format!("{}: a certificate needs its key", cert.display())).next(
                    "name the key's file as well: --tls-key FILE (the same file, if it holds both)",
                ),
            );
        }
        (None, _) => {
            return Err(Failure::usage("--tls-key has no certificate to go with")
                .next("name the certificate's file as well: --tls-cert FILE, or say --tls-self-signed"));
        }
    };
    let chain = read(cert, "read the certificate")?;
    let key_text = read(key, "read the key")?;
    Tls::from_pem(&chain, &key_text, clock::now_ms()).map_err(|error| failure(&error, cert, key))
}

fn read(path: &Path, doing: &str) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::file(path, doing, &error))
}

/// What is wrong with which file, and what its operator does next.
fn failure(error: &TlsError, cert: &Path, key: &Path) -> Failure {
    let file = match error {
        TlsError::Key(_) | TlsError::Mismatch => key,
        _ => cert,
    };
    let failure = Failure::usage(format!("{}: {error}", file.display()));
    let cert = quote::shell(&cert.to_string_lossy());
    let key = quote::shell(&key.to_string_lossy());
    match error {
        TlsError::Certificate(PemError::IsDer) => failure.next(format!(
            "write it as PEM: openssl x509 -inform der -in {cert} -out cert.pem"
        )),
        TlsError::Key(PemError::IsDer) => failure.next(format!(
            "write it as PEM: openssl pkey -inform der -in {key} -out key.pem"
        )),
        TlsError::Key(PemError::Encrypted) => failure.next(format!(
            "the hub asks for no passphrase; write a key without one, for the hub's user alone: (umask 077; openssl pkey -in {key} -out key.pem)"
        )),
        TlsError::Certificate(_) => failure.next(
            "--tls-cert takes a file of -----BEGIN CERTIFICATE-----, the hub's own first, then those that vouch for it",
        ),
        TlsError::Key(_) => failure.next(
            "--tls-key takes a file of -----BEGIN PRIVATE KEY----- (or RSA, or EC PRIVATE KEY): RSA, ECDSA or Ed25519",
        ),
        TlsError::Mismatch => failure.next(format!(
            "the two lines must be the same:\n  openssl x509 -in {cert} -noout -pubkey | openssl sha256\n  openssl pkey -in {key} -pubout | openssl sha256\n\
             the certificate of --tls-cert must be the first in its file"
        )),
        TlsError::Expired(_) => failure.next("renew it, and start again"),
        TlsError::NotYetValid(_) => failure.next("check this machine's clock: `date`"),
        _ => failure,
    }
}
