//! What can go wrong, and whether trying again helps.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use tidewire_codec::DecodeError;

use crate::transport::{ProxyFailure, TlsFailure};

/// Why a connection failed or ended. [`Error::is_temporary`] says whether the client tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be made: the name does not resolve, nothing listens, the network is down.
    Connect(String),
    /// No connection was made in time.
    ConnectTimeout(Duration),
    /// The connection broke, in the middle of the stream or before the answer.
    Cut(String),
    /// The server ended the stream as HTTP wants it. Normal for a server that limits a stream's life.
    Ended,
    /// Nothing came for this long; the connection was given up.
    Silent(Duration),
    /// The server refuses for now (429, 502, 503, 504).
    Busy {
        /// The status of the answer.
        status: StatusCode,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
        /// The beginning of its body.
        detail: String,
    },
    /// The server refuses. The request's fault: its URL, its token, its topics.
    Status {
        /// The status of the answer.
        status: StatusCode,
        /// The beginning of its body.
        detail: String,
    },
    /// The answer is no event stream; its content type, if it had one. The URL's fault.
    ContentType(Option<String>),
    /// A redirect that cannot be followed. The server's fault.
    Redirect(RedirectError),
    /// The stream exceeds a limit of this client.
    Decode(DecodeError),
    /// The URL is `https:`, which this build cannot do.
    TlsUnsupported,
    /// TLS came to nothing: a certificate that is not trusted, as a rule.
    Tls(TlsFailure),
    /// The proxy is of no use.
    Proxy(ProxyFailure),
}

/// Why a redirect was not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectError {
    /// It names no URL.
    NoLocation,
    /// Its `Location` is no URL that this client can ask.
    UnusableLocation(String),
    /// There were more in a row than this limit.
    TooMany(u32),
}

impl Error {
    /// True when the same request may succeed later, and the client therefore tries again.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Cut(_)
            | Self::Ended
            | Self::Silent(_)
            | Self::Busy { .. } => true,
            Self::Tls(failure) => failure.is_temporary(),
            Self::Proxy(failure) => failure.is_temporary(),
            Self::Status { .. }
            | Self::ContentType(_)
            | Self::Redirect(_)
            | Self::Decode(_)
            | Self::TlsUnsupported => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(cause) => write!(f, "cannot connect: {cause}"),
            Self::ConnectTimeout(after) => write!(f, "cannot connect within {after:?}"),
            Self::Cut(cause) => write!(f, "the connection broke: {cause}"),
            Self::Ended => write!(f, "the server ended the stream"),
            Self::Silent(after) => write!(f, "nothing was received for {after:?}"),
            Self::Busy {
                status,
                retry_after: Some(after),
                ..
            } => {
                write!(
                    f,
                    "the server answered {status} and asks to wait {} s",
                    after.as_secs()
                )
            }
            Self::Busy { status, .. } => write!(f, "the server answered {status}"),
            Self::Status { status, .. } => write!(f, "the server answered {status}"),
            Self::ContentType(Some(found)) => {
                write!(f, "the answer is {found}, not text/event-stream")
            }
            Self::ContentType(None) => write!(
                f,
                "the answer has no content type; text/event-stream is needed"
            ),
            Self::Redirect(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::TlsUnsupported => write!(f, "https is not supported by this build"),
            Self::Tls(failure) => failure.fmt(f),
            Self::Proxy(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLocation => write!(f, "a redirect without a Location"),
            Self::UnusableLocation(location) => {
                write!(f, "a redirect to {location:?}, which is no usable URL")
            }
            Self::TooMany(max) => write!(f, "more than {max} redirects in a row"),
        }
    }
}

impl std::error::Error for RedirectError {}

/// Why a client stopped for good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The server answered 204 No Content, which says that there is nothing more.
    Ended,
    /// The program called `close`.
    Asked,
    /// Trying again does not help, or was tried as often as the options allow.
    Failed(Error),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => write!(f, "the server has nothing more to send"),
            Self::Asked => write!(f, "closed by the program"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// What is wrong with the options of a client. The caller's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL cannot be parsed.
    Url(String),
    /// The URL's scheme is neither `http` nor `https`.
    Scheme(String),
    /// The URL holds a user name or password; say it in a header.
    Credentials,
    /// The URL is `https:`, which this build cannot do.
    TlsUnsupported,
    /// A proxy's URL cannot be used.
    Proxy(ProxyFailure),
    /// The certificates of trusted authorities cannot be used, or nobody is trusted.
    Authorities(String),
    /// The client certificate or its key cannot be used.
    ClientCertificate(String),
    /// A header's name or value cannot be sent.
    Header(String),
    /// The last event id holds CR, LF or NUL.
    LastEventId,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(cause) => write!(f, "not a URL: {cause}"),
            Self::Scheme(scheme) => write!(f, "the URL's scheme is {scheme}, not http or https"),
            Self::Credentials => write!(f, "the URL holds a user name or password; use a header"),
            Self::TlsUnsupported => write!(f, "https is not supported by this build"),
            Self::Proxy(failure) => failure.fmt(f),
            Self::Authorities(why) => write!(f, "the trusted authorities cannot be used: {why}"),
            Self::ClientCertificate(why) => {
                write!(f, "the client certificate cannot be used: {why}")
            }
            Self::Header(name) => write!(f, "the header {name:?} or its value cannot be sent"),
            Self::LastEventId => write!(f, "the last event id must not contain CR, LF or NUL"),
        }
    }
}

impl std::error::Error for BuildError {}
