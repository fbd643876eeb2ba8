//! Certificates, servers that are a closure a connection, and what a client is asked for.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tidewire_client::{Builder, CloseReason, Error, EventSource, Item};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long anything that must come is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
pub(crate) const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        Issued {
            chain: leaf.pem(),
            key: key.serialize_pem(),
        }
    }

    /// For `localhost` and 127.0.0.1.
    pub(crate) fn here(&self) -> Issued {
        self.issue(&["localhost", "127.0.0.1"], |_| {})
    }
}

/// How a server does TLS.
pub(crate) struct Tls<'a> {
    pub(crate) issued: Issued,
    pub(crate) protocols: &'a [&'a str],
    pub(crate) clients: Option<&'a Authority>,
    pub(crate) versions: &'a [&'static SupportedProtocolVersion],
}

impl<'a> Tls<'a> {
    pub(crate) fn new(issued: Issued, protocols: &'a [&'a str]) -> Self {
        Self {
            issued,
            protocols,
            clients: None,
            versions: rustls::ALL_VERSIONS,
        }
    }

    pub(crate) fn acceptor(self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .unwrap();
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(self.issued.chain.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.issued.key.as_bytes()).unwrap();
        let mut config = builder
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        config.alpn_protocols = self.protocols.iter().map(|name| (*name).into()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server that does this with each connection, told how many were before it; its port.
pub(crate) async fn start<F, R>(connection: F) -> u16
where
    F: Fn(usize, TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for before in 0.. {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(before, socket));
        }
    });
    port
}

/// What servers tell a test.
pub(crate) struct Heard {
    pub(crate) tell: mpsc::UnboundedSender<String>,
    told: mpsc::UnboundedReceiver<String>,
}

impl Heard {
    pub(crate) fn new() -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        Self { tell, told }
    }

    pub(crate) async fn next(&mut self) -> String {
        timeout(PATIENCE, self.told.recv()).await.unwrap().unwrap()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

/// The head of a request, in lower case.
pub(crate) async fn head(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap().to_ascii_lowercase())
}

/// Reads until the other side is gone, however it goes.
pub(crate) async fn until_gone(socket: &mut (impl AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
}

/// Reads a request, tells of it, answers, and holds the connection until the client drops it, which is told too.
pub(crate) async fn answer(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &str,
    tell: &mpsc::UnboundedSender<String>,
) {
    let Ok(head) = head(&mut socket).await else {
        return;
    };
    let _ = tell.send(head);
    let _ = socket.write_all(bytes.as_bytes()).await;
    let _ = socket.flush().await;
    until_gone(&mut socket).await;
    let _ = tell.send("gone".to_owned());
}

/// A server whose connections all do TLS and then give this answer; its port.
pub(crate) async fn start_tls(tls: Tls<'_>, bytes: &'static str, heard: &Heard) -> u16 {
    let acceptor = tls.acceptor();
    let tell = heard.tell.clone();
    start(move |_, socket| {
        let (acceptor, tell) = (acceptor.clone(), tell.clone());
        async move {
            if let Ok(stream) = acceptor.accept(socket).await {
                answer(stream, bytes, &tell).await;
            }
        }
    })
    .await
}

/// What a client's TLS came to, from the server's side: `h2 alice`.
pub(crate) fn agreed(stream: &TlsStream<TcpStream>) -> String {
    let connection = stream.get_ref().1;
    let protocol = connection.alpn_protocol().unwrap_or(b"-");
    let certificates = connection.peer_certificates().map_or(0, <[_]>::len);
    format!("{} {certificates}", String::from_utf8_lossy(protocol))
}

/// A client that goes on at once after a failure.
pub(crate) fn source(url: &str) -> Builder {
    EventSource::builder(url).options(|options| {
        options.jitter = false;
        options.retry = Duration::from_millis(20);
        options.backoff_max = Duration::from_millis(20);
    })
}

pub(crate) async fn next(source: &mut EventSource) -> Item {
    timeout(PATIENCE, source.next()).await.unwrap().unwrap()
}

pub(crate) async fn data(source: &mut EventSource) -> String {
    loop {
        match next(source).await {
            Item::Event(event) => return event.data,
            Item::Open(_) => {}
            item => panic!("no event: {item:?}"),
        }
    }
}

/// The error that ends it for good, or after which it tries again.
pub(crate) async fn failure(source: &mut EventSource) -> (Error, bool) {
    loop {
        match next(source).await {
            Item::Reconnecting { error, .. } => return (error, true),
            Item::Closed(CloseReason::Failed(error)) => return (error, false),
            Item::Closed(reason) => panic!("{reason:?}"),
            _ => {}
        }
    }
}
