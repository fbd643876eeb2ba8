//! Why a request of the hub's own came to nothing. For the log: strangers are told that it did, not why.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use crate::counters::Count;

/// Why an address is none that the hub makes requests to. Its operator's to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteUrlError {
    /// It is no URL; says why.
    NoUrl(String),
    /// Neither `https` nor `http`.
    Scheme(String),
    /// `http` to another machine.
    Plain,
    /// It holds a user's name or a password.
    Credentials,
}

impl fmt::Display for RemoteUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUrl(why) => write!(f, "it is no URL: {why}"),
            Self::Scheme(scheme) => write!(f, "{scheme}:// is not fetched; use https://"),
            Self::Plain => f.write_str(
                "http:// is for this machine alone, for whoever is on the way could answer instead; use https://, or permit it with \
                 --fetch-plain-http",
            ),
            Self::Credentials => f.write_str("it holds a name or a password; give it without"),
        }
    }
}

impl Error for RemoteUrlError {}

/// Why a fetch failed. Only [`FetchError::Timeout`], [`FetchError::Connect`] and [`FetchError::Broken`] are likely to heal by
/// themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// The URL cannot be put into a request.
    Url,
    /// A document or a redirect names an address that is not fetched from.
    Forbidden(RemoteUrlError),
    /// No connection.
    Connect(String),
    /// No connection that can be trusted.
    Tls(String),
    Timeout,
    /// The connection broke, or it is no HTTP.
    Broken(String),
    Status(StatusCode),
    /// More bytes than may come.
    TooLarge(usize),
    /// One redirect after another.
    Redirects,
    /// A redirect to nowhere, or to something else than `https`.
    RedirectTarget,
    /// What came is not what was asked for; says why.
    Content(String),
}

impl FetchError {
    pub(super) fn of(error: &hyper_util::client::legacy::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(known) = error.downcast_ref::<Self>() {
                return known.clone();
            }
            cause = error.source();
        }
        Self::Broken(words(error))
    }

    /// One word, for a metric's label.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Url | Self::Forbidden(_) => "url",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Broken(_) => "broken",
            Self::Status(_) => "status",
            Self::TooLarge(_) => "too_large",
            Self::Redirects | Self::RedirectTarget => "redirect",
            Self::Content(_) => "content",
        }
    }
}

/// Every word there is.
const WORDS: [&str; 9] = [
    "url",
    "connect",
    "tls",
    "timeout",
    "broken",
    "status",
    "too_large",
    "redirect",
    "content",
];

/// How many fetches failed, by their errors' words.
#[derive(Debug, Default)]
pub(crate) struct Failures([Count; WORDS.len()]);

impl Failures {
    pub(crate) fn one(&self, error: &FetchError) {
        let word = error.word();
        let at = WORDS.iter().position(|known| *known == word);
        self.0[at.expect("every error has its word")].one();
    }

    /// Of each word, how many.
    pub(crate) fn now(&self) -> [(&'static str, u64); WORDS.len()] {
        std::array::from_fn(|at| (WORDS[at], self.0[at].now()))
    }
}

/// An error and what it comes from, in one line.
pub(super) fn words(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("its address cannot be requested"),
            Self::Forbidden(why) => write!(f, "it names an address that is not used: {why}"),
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Tls(why) => write!(f, "no connection that can be trusted: {why}"),
            Self::Timeout => f.write_str("it took too long"),
            Self::Broken(why) => write!(f, "the answer broke off: {why}"),
            Self::Status(status) => write!(f, "the answer's status is {status}"),
            Self::TooLarge(bytes) => write!(f, "the answer has more than {bytes} bytes"),
            Self::Redirects => f.write_str("it redirects too often"),
            Self::RedirectTarget => f.write_str("it redirects to something else than https://"),
            Self::Content(why) => write!(f, "the answer cannot be used: {why}"),
        }
    }
}

impl Error for FetchError {}
