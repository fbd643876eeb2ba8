//! From a URL to a connection that requests can be sent over: straight or through a proxy, with TLS or without, in the version
//! of HTTP that comes of it. Not here: the requests (`exchange`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::{Position, Url};

use super::exchange::{self, Driver, Sender, Via};
use super::link::{Socket, Trouble};
#[cfg(feature = "tls")]
use super::tls;
use super::{race, tunnel};
use crate::connect::{ConnectOptions, Http, Proxy, Server};
use crate::{BuildError, Error};

/// What opens connections as a [`ConnectOptions`] says. Cheap to clone; an [`EventSource`](crate::EventSource) has one of its own, and
/// other requests to the same server can be made through another.
#[derive(Clone)]
pub struct Dialer(Arc<Inner>);

struct Inner {
    #[cfg(feature = "tls")]
    tls: tls::Config,
    http: Http,
    proxy: Proxy,
    head_bytes_max: u32,
    keepalive_after: Option<Duration>,
}

/// A connection that is made, and how requests are written on it.
struct Reached {
    socket: Socket,
    is_http2: bool,
    via: Via,
    trouble: Trouble,
}

impl Dialer {
    /// Reads certificates and keys.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(connect: &ConnectOptions) -> Result<Self, BuildError> {
        Ok(Self(Arc::new(Inner {
            #[cfg(feature = "tls")]
            tls: tls::Config::new(&connect.tls, connect.http)?,
            http: connect.http,
            proxy: connect.proxy.clone(),
            head_bytes_max: connect.head_bytes_max,
            keepalive_after: connect.keepalive_after,
        })))
    }

    /// Whether a URL could be dialled at all.
    ///
    /// # Errors
    /// When its scheme is `https` in a build without TLS, or its proxy's URL cannot be used.
    pub fn check(&self, url: &Url) -> Result<(), BuildError> {
        if url.scheme() == "https" && !cfg!(feature = "tls") {
            return Err(BuildError::TlsUnsupported);
        }
        self.0.proxy.of(url).map(drop).map_err(BuildError::Proxy)
    }

    /// Connects to a URL's server: the name is resolved, the proxy asked, the TLS handshake made, all of it within `connect_max`.
    /// Nothing moves unless the [`Driver`] is polled, and dropping it closes the connection.
    ///
    /// # Errors
    /// Says what failed; [`Error::is_temporary`] whether trying again helps.
    pub async fn dial(&self, url: &Url, connect_max: Duration) -> Result<(Sender, Driver), Error> {
        let connecting = async {
            let reached = self.0.reach(url).await?;
            let Reached {
                socket,
                is_http2,
                via,
                trouble,
            } = reached;
            if is_http2 {
                exchange::http2(socket, trouble, self.0.head_bytes_max).await
            } else {
                exchange::http1(socket, via, trouble, self.0.head_bytes_max).await
            }
        };
        // The future is large, and most of it is gone when it is done.
        match tokio::time::timeout(connect_max, Box::pin(connecting)).await {
            Ok(connected) => connected,
            Err(_) => Err(Error::ConnectTimeout(connect_max)),
        }
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("http", &self.0.http)
            .field("proxy", &self.0.proxy)
            .finish_non_exhaustive()
    }
}

impl Inner {
    async fn reach(&self, url: &Url) -> Result<Reached, Error> {
        let trouble = Trouble::default();
        let is_tls = url.scheme() == "https";
        if is_tls && !cfg!(feature = "tls") {
            return Err(Error::TlsUnsupported);
        }
        let (socket, via) = match self.proxy.of(url).map_err(Error::Proxy)? {
            None => (self.connect(url).await?, Via::Server),
            // Without TLS and with HTTP/1.1 the proxy is asked for the URL itself (RFC 9112, section 3.2.2).
            Some(proxy) if !is_tls && self.http != Http::Http2 => (
                self.connect_proxy(proxy).await?,
                Via::Proxy(proxy.authorization.clone()),
            ),
            Some(proxy) => (self.tunnel(proxy, url).await?, Via::Server),
        };
        let (socket, is_http2) = if is_tls {
            self.secure(socket, url, &trouble).await?
        } else {
            (socket, self.http == Http::Http2)
        };
        Ok(Reached {
            socket,
            is_http2,
            via,
            trouble,
        })
    }

    async fn connect(&self, url: &Url) -> Result<Socket, Error> {
        match race::connect(url, self.keepalive_after).await {
            Ok(socket) => Ok(Box::new(socket)),
            Err(error) => Err(Error::Connect(error.to_string())),
        }
    }

    async fn connect_proxy(&self, proxy: &Server) -> Result<Socket, Error> {
        let socket = match race::connect(&proxy.url, self.keepalive_after).await {
            Ok(socket) => Box::new(socket),
            Err(error) => return Err(Error::Connect(format!("the proxy {proxy:?}: {error}"))),
        };
        match proxy.url.scheme() {
            "https" => self.secure_proxy(socket, &proxy.url).await,
            _ => Ok(socket),
        }
    }

    async fn tunnel(&self, proxy: &Server, url: &Url) -> Result<Socket, Error> {
        let mut socket = self.connect_proxy(proxy).await?;
        let host = &url[Position::BeforeHost..Position::AfterHost];
        let port = url.port_or_known_default().unwrap_or(443);
        let authorization = proxy.authorization.as_ref();
        tunnel::open(&mut socket, &format!("{host}:{port}"), authorization).await?;
        Ok(socket)
    }

    #[cfg(feature = "tls")]
    async fn secure(
        &self,
        socket: Socket,
        url: &Url,
        trouble: &Trouble,
    ) -> Result<(Socket, bool), Error> {
        let host = url.host_str().unwrap_or_default();
        self.tls.server(socket, host, trouble).await
    }

    #[cfg(feature = "tls")]
    async fn secure_proxy(&self, socket: Socket, url: &Url) -> Result<Socket, Error> {
        let host = url.host_str().unwrap_or_default();
        self.tls.proxy(socket, host).await
    }

    #[cfg(not(feature = "tls"))]
    async fn secure(&self, _: Socket, _: &Url, _: &Trouble) -> Result<(Socket, bool), Error> {
        Err(Error::TlsUnsupported)
    }

    #[cfg(not(feature = "tls"))]
    async fn secure_proxy(&self, _: Socket, _: &Url) -> Result<Socket, Error> {
        let why = "this build has no TLS".to_owned();
        Err(Error::Proxy(crate::connect::ProxyFailure::Unusable(why)))
    }
}
