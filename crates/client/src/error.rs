//! What can go wrong, and whether trying again helps.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use tidewire_codec::DecodeError;

use crate::RenewError;
use crate::connect::{ProxyFailure, TlsFailure};

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
    /// The answer is no event stream. The URL's fault, or a request that did not ask for one.
    ContentType {
        /// Its content type, if it had one.
        found: Option<String>,
        /// The beginning of its body.
        detail: String,
    },
    /// The stream comes in a coding (`gzip`, say), which was not asked for and cannot be read. The fault of the server, or of a proxy.
    ContentEncoding(String),
    /// A redirect that cannot be followed. The server's fault.
    Redirect(RedirectError),
    /// The stream exceeds a limit of this client.
    Decode(DecodeError),
    /// The callback gave no headers; it says whether asking again may help.
    Renew(RenewError),
    /// A finite stream ended within an event, or before the mark that it was to end with ([`Ends`](crate::Ends)): what was got is
    /// not all of it.
    Unfinished,
    /// The server answered 204 to a request for a finite stream: it has nothing to say.
    NoContent,
    /// The URL is `https:`, which this build cannot do.
    TlsUnsupported,
    /// TLS came to nothing: a certificate that is not trusted, as a rule.
    Tls(TlsFailure),
    /// The proxy is of no use.
    Proxy(ProxyFailure),
    /// The request cannot be made. The caller's fault.
    Build(BuildError),
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
    /// True when the same request may succeed later. A client that reconnects then does so; one of a finite stream leaves it to the
    /// program, for what was asked for may have been done, and paid for.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Cut(_)
            | Self::Ended
            | Self::Silent(_)
            | Self::Busy { .. }
            | Self::Unfinished => true,
            Self::Tls(failure) => failure.is_temporary(),
            Self::Proxy(failure) => failure.is_temporary(),
            Self::Renew(error) => error.is_temporary(),
            Self::Status { .. }
            | Self::ContentType { .. }
            | Self::ContentEncoding(_)
            | Self::Redirect(_)
            | Self::Decode(_)
            | Self::NoContent
            | Self::TlsUnsupported
            | Self::Build(_) => false,
        }
    }

    /// The status of the answer, where one came that was no stream.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Busy { status, .. } | Self::Status { status, .. } => Some(*status),
            Self::ContentType { .. } | Self::ContentEncoding(_) => Some(StatusCode::OK),
            _ => None,
        }
    }

    /// What the server asks to wait before the next request.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The beginning of the answer's body (at most 8 KiB), where one came that was no stream.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Busy { detail, .. }
            | Self::Status { detail, .. }
            | Self::ContentType { detail, .. } => Some(detail),
            _ => None,
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
                detail,
            } => write!(
                f,
                "the server answered {status} and asks to wait {} s{}",
                after.as_secs(),
                Excerpt(detail)
            ),
            Self::Busy { status, detail, .. } | Self::Status { status, detail } => {
                write!(f, "the server answered {status}{}", Excerpt(detail))
            }
            Self::ContentType { found, detail } => {
                match found {
                    Some(found) => write!(f, "the answer is {found}, not text/event-stream"),
                    None => write!(
                        f,
                        "the answer has no content type; text/event-stream is needed"
                    ),
                }?;
                write!(f, "{}", Excerpt(detail))
            }
            Self::ContentEncoding(coding) => write!(f, "the stream comes encoded ({coding})"),
            Self::Redirect(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Renew(error) => error.fmt(f),
            Self::Unfinished => write!(f, "the stream ended before its end"),
            Self::NoContent => write!(f, "the server has nothing to send (204)"),
            Self::TlsUnsupported => write!(f, "https is not supported by this build"),
            Self::Tls(failure) => failure.fmt(f),
            Self::Proxy(failure) => failure.fmt(f),
            Self::Build(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Redirect(error) => Some(error),
            Self::Decode(error) => Some(error),
            Self::Renew(error) => Some(error),
            Self::Build(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

/// How much of a body is shown.
const EXCERPT_CHARS_MAX: usize = 300;

/// A body's beginning, as one line after a colon.
struct Excerpt<'a>(&'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.0.split_whitespace();
        let mut chars = words.flat_map(|word| [" ", word]).flat_map(str::chars);
        let mut excerpt: String = chars.by_ref().take(EXCERPT_CHARS_MAX + 1).collect();
        if chars.next().is_some() {
            excerpt.push_str(" ...");
        }
        if excerpt.is_empty() {
            return Ok(());
        }
        // A body from outside may hold what a terminal obeys.
        write!(f, ":{}", excerpt.replace(char::is_control, "\u{fffd}"))
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_on_one_line_and_not_all_of_it() {
        let shown = |body: &str| Excerpt(body).to_string();
        let long = "é".repeat(300);
        let table = [
            ("", String::new()),
            (" \n\t", String::new()),
            (
                " {\n  \"error\":\t1\r\n}\n",
                ": { \"error\": 1 }".to_owned(),
            ),
            ("\u{1b}[2J\u{7}", ": \u{fffd}[2J\u{fffd}".to_owned()),
            (&long, format!(": {long}")),
            (&format!("{long}x"), format!(": {long} ...")),
        ];
        for (body, expected) in table {
            assert_eq!(shown(body), expected, "{body:?}");
        }
    }
}
