//! How a hub is reached: whom TLS trusts, who we are, and the proxies of the environment. Not here: what is asked (`remote`).

use std::path::{Path, PathBuf};

use clap::Args;
use tidewire_client::BuildError;
use tidewire_client::connect::{
    ClientCertificate, ConnectOptions, Proxy, ProxyFailure, TlsFailure,
};
use url::Url;

use crate::failure::{Failure, Outcome};
use crate::remote::is_flag;

const AROUND_THE_PROXY: &str = "http_proxy, https_proxy and all_proxy name the proxy as http://USER:PASSWORD@HOST:PORT; no_proxy=HOST goes around it";

/// Whom to trust, and who asks.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReachArgs {
    /// For https: file with the certificates (PEM) that the hub's must be signed by; else those of the system and Mozilla's
    #[arg(long, env = "TIDEWIRE_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// For https: take any certificate of anybody, who can then read and change everything, the token included
    #[arg(long)]
    insecure: bool,

    /// For https: file with our certificate (PEM), for a server that asks for one
    #[arg(long, env = "TIDEWIRE_CLIENT_CERT", value_name = "FILE")]
    client_cert: Option<PathBuf>,

    /// File with the key of our certificate (PEM), if that is another
    #[arg(
        long,
        env = "TIDEWIRE_CLIENT_KEY",
        value_name = "FILE",
        requires = "client_cert"
    )]
    client_key: Option<PathBuf>,
}

impl ReachArgs {
    /// How to connect with a hub. What is for https alone is not looked at for others.
    pub(crate) fn connect_options(&self, hub: &Url) -> Outcome<ConnectOptions> {
        let mut options = ConnectOptions::default();
        options.proxy = Proxy::from_environment();
        if hub.scheme() != "https" {
            return Ok(options);
        }
        // One in the environment gives way to what is said here and now.
        if self.insecure && is_flag("--ca-file") {
            return Err(Failure::usage("--insecure contradicts --ca-file").next("give one of them"));
        }
        let tls = &mut options.tls;
        tls.danger_accept_any_certificate = self.insecure;
        match &self.ca_file {
            _ if self.insecure => {}
            Some(path) => {
                tls.authorities = read(path)?;
                tls.mozilla_roots = false;
            }
            None => tls.system_roots = true,
        }
        if let Some(path) = &self.client_cert {
            tls.client_certificate = Some(ClientCertificate {
                chain: read(path)?,
                key: read(self.client_key.as_ref().unwrap_or(path))?,
            });
        }
        Ok(options)
    }

    /// Why that cannot be used.
    pub(crate) fn unusable(&self, error: BuildError) -> Failure {
        match (error, &self.ca_file, &self.client_cert) {
            (BuildError::Authorities(why), Some(path), _) => {
                Failure::usage(format!("{}: {why}", path.display()))
                    .next("--ca-file takes certificates as PEM: -----BEGIN CERTIFICATE-----")
            }
            (BuildError::ClientCertificate(why), _, Some(path)) => Failure::usage(format!(
                "our certificate ({}) cannot be used: {why}",
                path.display()
            ))
            .next("--client-cert and --client-key take PEM; the key must be the certificate's, and not encrypted"),
            (BuildError::Proxy(why), _, _) => Failure::usage(why).next(AROUND_THE_PROXY),
            (error, _, _) => Failure::usage(error),
        }
    }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::file(path, "read it", &error))
}

/// What to do about a failure of TLS.
pub(crate) fn after_tls(failure: &TlsFailure) -> &'static str {
    match failure {
        TlsFailure::UnknownIssuer => {
            "--ca-file FILE names whom to trust; a hub with --tls-self-signed writes its own certificate to DATA_DIR/tls-self-signed.crt"
        }
        TlsFailure::Name(_) => "give --url a name that the certificate is for",
        TlsFailure::Expired => "the hub needs a new certificate",
        TlsFailure::NotYetValid => "check the clock here, and that of who made the certificate",
        TlsFailure::ClientCertificate(_) => {
            "--client-cert FILE and --client-key FILE say who we are"
        }
        TlsFailure::NotTls => "is it an http:// URL?",
        _ => "is it the URL of a tidewire hub?",
    }
}

/// What to do about a proxy.
pub(crate) fn after_proxy(failure: &ProxyFailure) -> &'static str {
    match failure {
        ProxyFailure::Tls(failure) => after_tls(failure),
        _ => AROUND_THE_PROXY,
    }
}
