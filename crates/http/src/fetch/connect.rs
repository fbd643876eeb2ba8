//! Connections to other servers: names resolved, TLS, and plain ones to this machine alone.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use super::error::words;
use super::{ClientTls, FetchError};
use crate::tls::PemError;

/// What opens connections.
#[derive(Clone)]
pub(super) struct Connector {
    tls: ClientTls,
    plain_http: bool,
}

impl Connector {
    /// Trusts Mozilla's authorities and these.
    pub(super) fn new(
        own: Vec<CertificateDer<'static>>,
        plain_http: bool,
    ) -> Result<Self, PemError> {
        let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for certificate in own {
            roots
                .add(certificate)
                .map_err(|error| PemError::Der(error.to_string()))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| PemError::Der(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(config),
            plain_http,
        })
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Link>, FetchError> {
        let host = uri.host().ok_or(FetchError::Url)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_plain = uri.scheme_str() != Some("https");
        let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        let addresses = tokio::net::lookup_host((host, port)).await;
        let addresses = addresses.map_err(|error| FetchError::Connect(error.to_string()))?;
        // A name such as localhost may be made to lead elsewhere.
        let may_be = |address: &SocketAddr| !is_plain || self.plain_http || is_here(address);
        let socket = dial(addresses.filter(may_be)).await?;
        let _ = socket.set_nodelay(true);
        if is_plain {
            return Ok(TokioIo::new(Link::Plain(socket)));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchError::Url)?;
        match TlsConnector::from(self.tls).connect(name, socket).await {
            Ok(stream) => Ok(TokioIo::new(Link::Tls(Box::new(stream)))),
            Err(error) => Err(FetchError::Tls(words(&error))),
        }
    }
}

fn is_here(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// The first address that answers.
async fn dial(addresses: impl Iterator<Item = SocketAddr>) -> Result<TcpStream, FetchError> {
    let mut last = FetchError::Connect("its name leads to no address that may be used".into());
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = FetchError::Connect(format!("{address}: {error}")),
        }
    }
    Err(last)
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Link>, FetchError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connection.
pub(super) enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

macro_rules! on_link {
    ($link:expr, $stream:ident => $do:expr) => {
        match $link.get_mut() {
            Link::Plain($stream) => $do,
            Link::Tls($stream) => $do,
        }
    };
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_link!(self, stream => Pin::new(stream).poll_read(cx, into))
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_link!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_link!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_link!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
