//! TLS to a stranger's hub: HTTP/1.1 by ALPN, certificates checked against a file.

use std::fmt;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::wire::Pipe;

/// Where Debian and its children keep the certificates that everybody trusts.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Whose certificates are trusted, and for which name.
#[derive(Clone)]
pub(super) struct Trust {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({:?})", self.name)
    }
}

impl Trust {
    /// Of the certificates in a PEM file, else of the system's.
    pub(super) fn of(host: &str, file: Option<&Path>) -> Result<Self, String> {
        let file = file.unwrap_or(Path::new(SYSTEM_CERTIFICATES));
        let fail = |why: String| format!("{}: {why}; name another with --ca", file.display());
        let mut roots = RootCertStore::empty();
        let certificates =
            CertificateDer::pem_file_iter(file).map_err(|error| fail(error.to_string()))?;
        roots.add_parsable_certificates(certificates.flatten());
        if roots.is_empty() {
            return Err(fail("holds no certificate".into()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = host.trim_matches(['[', ']']).to_owned();
        Ok(Self {
            config: Arc::new(config),
            name: ServerName::try_from(name).map_err(|error| format!("{host}: {error}"))?,
        })
    }

    pub(super) fn connect(&self, stream: TcpStream) -> Result<Box<dyn Pipe>, String> {
        let connection = ClientConnection::new(self.config.clone(), self.name.clone())
            .map_err(|error| error.to_string())?;
        Ok(Box::new(StreamOwned::new(connection, stream)))
    }
}

impl Pipe for StreamOwned<ClientConnection, TcpStream> {
    fn wait_at_most(&self, time: Duration) -> std::io::Result<()> {
        self.sock.set_read_timeout(Some(time))
    }
}
