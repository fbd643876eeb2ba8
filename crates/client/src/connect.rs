//! How connections are made: whom TLS trusts, which HTTP, through which proxy. Data alone: the shell makes connections of it.
//!
//! ```no_run
//! # #[cfg(feature = "tls")]
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tidewire_client::EventSource;
//! use tidewire_client::connect::{Http, Proxy};
//!
//! let source = EventSource::builder("https://hub.example/topics/clock")
//!     // Besides Mozilla's authorities; `trust_only` trusts nobody else, `trust_system` whom the system trusts.
//!     .trust(std::fs::read("our-authority.pem")?)
//!     .client_certificate(std::fs::read("me.pem")?, std::fs::read("me.key")?)
//!     // None unless it is asked for. `Proxy::all("http://user:password@proxy.example:3128")` names one.
//!     .proxy(Proxy::from_environment())
//!     // HTTP/2 where the server chooses it, unless one version is named.
//!     .http(Http::Negotiated)
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! A connection is made within [`Options::connect_max`](crate::Options::connect_max): the name's addresses (the next is tried when
//! one has failed, or has not answered for 250 ms), the proxy's answer, and the TLS handshake.
//!
//! Whether trying again helps is told of each failure ([`TlsFailure`], [`ProxyFailure`]). What was cut is never taken for an end: a
//! connection that closes without TLS's `close_notify` ends no stream, unless its last chunk had come. Streams are asked for
//! without compression, for what compresses holds events back; one that comes compressed all the same is an error.
//!
//! Other requests to the same server, a publish for example, can go the same way with a `Dialer`.

mod failure;
mod proxy;

use std::fmt;
use std::time::Duration;

pub use failure::{ProxyFailure, TlsFailure};
pub use proxy::Proxy;
#[cfg(feature = "tokio")]
pub(crate) use proxy::Server;

/// How the connections of one client are made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// For `https` URLs, and for proxies that are reached by TLS.
    pub tls: Tls,
    /// Default: HTTP/2 where the server chooses it in the TLS handshake, else HTTP/1.1.
    pub http: Http,
    /// Default: none, whatever the environment says; `Proxy::from_environment` reads it.
    pub proxy: Proxy,
    /// How large the head of an answer may be. Default 64 KiB.
    pub head_bytes_max: u32,
    /// How long a connection may be idle before the system asks the other side whether it is still there (TCP keep-alive, then every
    /// 15 s). One whose other side has vanished without a word is lost after three of these, also without
    /// [`Options::silence_max`](crate::Options::silence_max), which notices sooner. Default 45 s; `None`: never.
    pub keepalive_after: Option<Duration>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            tls: Tls::default(),
            http: Http::default(),
            proxy: Proxy::none(),
            head_bytes_max: 64 << 10,
            keepalive_after: Some(Duration::from_secs(45)),
        }
    }
}

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Http {
    /// HTTP/2 if the server chooses it in the TLS handshake (ALPN), else HTTP/1.1; over plain TCP, HTTP/1.1.
    #[default]
    Negotiated,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone; over plain TCP with prior knowledge (RFC 9113, section 3.3).
    Http2,
}

/// Whom TLS trusts, and who this client is.
#[derive(Clone)]
#[non_exhaustive]
pub struct Tls {
    /// Whether Mozilla's authorities are trusted, as built into this crate. Default true.
    pub mozilla_roots: bool,
    /// Whether the authorities of the system's store are trusted (`SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set). Default
    /// false: the same program then trusts the same wherever it runs.
    pub system_roots: bool,
    /// Certificates, PEM, of authorities that are trusted besides; a server's own certificate, if it is signed by itself, is one.
    pub authorities: Vec<u8>,
    /// Shown to a server that asks for one. A redirect's target is shown it too.
    pub client_certificate: Option<ClientCertificate>,
    /// **Dangerous.** Takes any certificate of anybody, so that whoever is on the way can read and change everything, the token
    /// included. For tests.
    pub danger_accept_any_certificate: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            mozilla_roots: true,
            system_roots: false,
            authorities: Vec::new(),
            client_certificate: None,
            danger_accept_any_certificate: false,
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("mozilla_roots", &self.mozilla_roots)
            .field("system_roots", &self.system_roots)
            .field("authorities_bytes", &self.authorities.len())
            .field("client_certificate", &self.client_certificate)
            .field(
                "danger_accept_any_certificate",
                &self.danger_accept_any_certificate,
            )
            .finish()
    }
}

/// A certificate that says who this client is, with its key; both PEM. `Debug` shows neither.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate, and those that vouch for it, leaf first.
    pub chain: Vec<u8>,
    /// Its key: PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub key: Vec<u8>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}
