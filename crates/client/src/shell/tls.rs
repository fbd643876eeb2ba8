//! TLS, by rustls with aws-lc-rs: from options to a configuration, from a socket to a secure one, from rustls's errors to ours.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage,
    RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;

use super::link::{Socket, Trouble};
use super::noted::Noted;
use crate::connect::{Http, ProxyFailure, Tls, TlsFailure};
use crate::{BuildError, Error};

const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";
/// Sessions that are kept to be resumed: a client has one server, and a second while it is sent elsewhere.
const SESSIONS_MAX: usize = 2;

/// The same trust, certificate and versions of HTTP for whoever speaks TLS on sockets of their own.
///
/// # Errors
/// As of [`EventSource::new`](crate::EventSource::new).
pub fn tls_config(tls: &Tls, http: Http) -> Result<Arc<ClientConfig>, BuildError> {
    Config::new(tls, http).map(|config| config.server)
}

/// How to speak TLS; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Config {
    server: Arc<ClientConfig>,
    proxy: Arc<ClientConfig>,
    http: Http,
}

impl Config {
    pub(super) fn new(tls: &Tls, http: Http) -> Result<Self, BuildError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| BuildError::Authorities(error.to_string()))?;
        let builder = if tls.danger_accept_any_certificate {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(roots(tls)?)
        };
        // A proxy is no server of this client's: it is not told who this is.
        let mut proxy = builder.clone().with_no_client_auth();
        proxy.alpn_protocols = vec![HTTP1.to_vec()];
        proxy.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let refused = |error: String| BuildError::ClientCertificate(error);
        let mut server = match &tls.client_certificate {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = certificates(&own.chain).map_err(refused)?;
                let key = PrivateKeyDer::from_pem_slice(&own.key)
                    .map_err(|error| refused(format!("its key: {error}")))?;
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(|error| refused(error.to_string()))?
            }
        };
        server.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        server.alpn_protocols = match http {
            Http::Negotiated => vec![HTTP2.to_vec(), HTTP1.to_vec()],
            Http::Http1 => vec![HTTP1.to_vec()],
            Http::Http2 => vec![HTTP2.to_vec()],
        };
        Ok(Self {
            server: Arc::new(server),
            proxy: Arc::new(proxy),
            http,
        })
    }

    /// TLS with the server of a URL's host; true if HTTP/2 was chosen. What breaks it later is noted.
    pub(super) async fn server(
        &self,
        socket: Socket,
        host: &str,
        trouble: &Trouble,
    ) -> Result<(Socket, bool), Error> {
        let stream = handshake(&self.server, socket, host).await;
        let stream = stream.map_err(|error| match failure(&error, host) {
            // An alert no_application_protocol (RFC 7301, section 3.2).
            Some(TlsFailure::Handshake(_)) if self.is_without_protocol(&error) => {
                Error::Tls(TlsFailure::NoHttp2)
            }
            Some(failure) => Error::Tls(failure),
            None => hung_up(&error),
        })?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        if self.http == Http::Http2 && !is_http2 {
            return Err(Error::Tls(TlsFailure::NoHttp2));
        }
        let host = host.to_owned();
        let noted = Noted {
            socket: stream,
            trouble: Arc::clone(trouble),
            explain: move |error: &io::Error| explain(error, &host),
        };
        Ok((Box::new(noted), is_http2))
    }

    /// TLS with a proxy.
    pub(super) async fn proxy(&self, socket: Socket, host: &str) -> Result<Socket, Error> {
        match handshake(&self.proxy, socket, host).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(match failure(&error, host) {
                Some(failure) => Error::Proxy(ProxyFailure::Tls(failure)),
                None => hung_up(&error),
            }),
        }
    }

    fn is_without_protocol(&self, error: &io::Error) -> bool {
        let alert = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        self.http == Http::Http2 && cause(error) == Some(&alert)
    }
}

async fn handshake(
    config: &Arc<ClientConfig>,
    socket: Socket,
    host: &str,
) -> io::Result<tokio_rustls::client::TlsStream<Socket>> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(name.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    TlsConnector::from(Arc::clone(config))
        .connect(name, socket)
        .await
}

fn hung_up(error: &io::Error) -> Error {
    Error::Connect(format!("in the TLS handshake: {error}"))
}

/// What breaks a connection after the handshake.
fn explain(error: &io::Error, host: &str) -> Option<Error> {
    if let Some(failure) = failure(error, host) {
        return Some(Error::Tls(failure));
    }
    // RFC 8446, section 6.1: without a close_notify, what looks like an end may be somebody's who cut the connection.
    let is_cut = error.kind() == io::ErrorKind::UnexpectedEof;
    is_cut.then(|| Error::Cut("it ended without TLS's close_notify".to_owned()))
}

/// What rustls says of an error of its socket, if it is rustls's.
fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// An error of a socket, in the handshake or later, if it is TLS's; `host` is who was asked.
fn failure(error: &io::Error, host: &str) -> Option<TlsFailure> {
    Some(match cause(error)? {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => TlsFailure::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsFailure::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsFailure::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::Name(host.to_owned())
            }
            other => TlsFailure::Certificate(other.to_string()),
        },
        rustls::Error::NoCertificatesPresented => {
            TlsFailure::Certificate("there is none".to_owned())
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsFailure::NotTls,
        rustls::Error::AlertReceived(alert) if is_about_certificate(*alert) => {
            TlsFailure::ClientCertificate(format!("{alert:?}"))
        }
        other => TlsFailure::Handshake(other.to_string()),
    })
}

/// RFC 8446, section 6.2. What a server says of the certificate that it asked for.
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

/// One for all clients of a program.
fn provider() -> Arc<CryptoProvider> {
    static ALL: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(ALL.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// One for all clients of a program that trust nobody else.
fn mozillas() -> Arc<RootCertStore> {
    static ALL: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ALL.get_or_init(|| {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        Arc::new(RootCertStore::from_iter(roots))
    }))
}

fn roots(tls: &Tls) -> Result<Arc<RootCertStore>, BuildError> {
    if tls.mozilla_roots && !tls.system_roots && tls.authorities.is_empty() {
        return Ok(mozillas());
    }
    let mut roots = RootCertStore::empty();
    if tls.mozilla_roots {
        roots.roots.extend_from_slice(&mozillas().roots);
    }
    if tls.system_roots {
        // A store may hold what cannot be read; that is no reason to trust nobody.
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
    }
    if !tls.authorities.is_empty() {
        for certificate in certificates(&tls.authorities).map_err(BuildError::Authorities)? {
            let added = roots.add(certificate);
            added.map_err(|error| BuildError::Authorities(error.to_string()))?;
        }
    }
    if roots.is_empty() {
        let why = "nobody is trusted; name an authority, or take Mozilla's or the system's";
        return Err(BuildError::Authorities(why.to_owned()));
    }
    Ok(Arc::new(roots))
}

/// All certificates of a PEM text; at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| error.to_string())?;
    if all.is_empty() {
        return Err("there is no certificate in it (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(all)
}

/// Takes any certificate. That its owner has its key is still asked for; nobody knows who that is.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
