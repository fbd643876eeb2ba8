//! What TLS and proxies refuse, and whether trying again helps.

use std::fmt;

use http::StatusCode;

/// Why TLS came to nothing. [`TlsFailure::is_temporary`] says whether trying again helps: it does not where this client or
/// the server would have to be set up differently.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// Nobody whom this client trusts has signed the server's certificate.
    UnknownIssuer,
    /// The server's certificate is for other names than this one.
    Name(String),
    /// The server's certificate has expired. Servers get new ones: temporary.
    Expired,
    /// The server's certificate is not valid yet, or the clock here is behind: temporary.
    NotYetValid,
    /// The server's certificate cannot be used for another reason.
    Certificate(String),
    /// The server wants a certificate of this client, or another one; the alert that it sent.
    ClientCertificate(String),
    /// What answered does not speak TLS.
    NotTls,
    /// The server speaks TLS, and not HTTP/2, which alone is wanted.
    NoHttp2,
    /// The handshake failed otherwise: temporary, for all that is known.
    Handshake(String),
}

impl TlsFailure {
    /// True when the same may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Expired | Self::NotYetValid | Self::Handshake(_) => true,
            Self::UnknownIssuer
            | Self::Name(_)
            | Self::Certificate(_)
            | Self::ClientCertificate(_)
            | Self::NotTls
            | Self::NoHttp2 => false,
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => write!(
                f,
                "the server's certificate is signed by nobody who is trusted here"
            ),
            Self::Name(name) => write!(f, "the server's certificate is not for {name}"),
            Self::Expired => write!(f, "the server's certificate has expired"),
            Self::NotYetValid => write!(f, "the server's certificate is not valid yet"),
            Self::Certificate(why) => write!(f, "the server's certificate cannot be used: {why}"),
            Self::ClientCertificate(alert) => {
                write!(f, "the server wants another client certificate: {alert}")
            }
            Self::NotTls => write!(f, "the server does not speak TLS on this port"),
            Self::NoHttp2 => write!(f, "the server does not speak HTTP/2"),
            Self::Handshake(why) => write!(f, "the TLS handshake failed: {why}"),
        }
    }
}

impl std::error::Error for TlsFailure {}

/// Why a proxy was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// Its URL is none that can be used. The words do not contain it: it may hold a password.
    Unusable(String),
    /// It refuses to connect to the server; temporary if the status is 429 or one of a server's errors.
    Refused(StatusCode),
    /// It wants a user name and a password, or others.
    Unauthorized,
    /// Its answer is no HTTP.
    NotHttp,
    /// It is reached by TLS, and that failed.
    Tls(TlsFailure),
}

impl ProxyFailure {
    /// True when the same may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Tls(failure) => failure.is_temporary(),
            Self::Unusable(_) | Self::Unauthorized | Self::NotHttp => false,
        }
    }
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(why) => write!(f, "the proxy's URL cannot be used: {why}"),
            Self::Refused(status) => write!(f, "the proxy does not connect: it answered {status}"),
            Self::Unauthorized => write!(f, "the proxy wants a user name and a password (407)"),
            Self::NotHttp => write!(f, "what the proxy answered is not HTTP"),
            Self::Tls(failure) => write!(f, "the proxy cannot be used: {failure}"),
        }
    }
}

impl std::error::Error for ProxyFailure {}
