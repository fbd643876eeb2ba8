//! Requests that the hub makes itself: for keys, and to ask a backend. Small, bounded, and never on a stream's path.
//!
//! hyper-util's client over rustls with aws-lc-rs, as everything here speaks TLS: reqwest brings a second configuration of TLS, a
//! resolver and a proxy from the environment, none of which a hub should have. Roots are Mozilla's, the same wherever the hub
//! runs, and those that its operator names.
//!
//! Not here: what is fetched and what it means (`keys`, `hook`).

mod connect;
mod error;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use crate::access;
use crate::tls::{PemError, pem};
use connect::Connector;
pub use error::RemoteUrlError;
pub(crate) use error::{Failures, FetchError};

/// How long a connection is kept for the next request.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How many connections to one server are kept so.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// Where a redirect may lead to, one after another.
const REDIRECTS_MAX: usize = 3;
const AGENT: &str = concat!("tidewire/", env!("CARGO_PKG_VERSION"));

/// How the hub makes requests of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchSettings {
    /// Certificates of authorities that are trusted besides Mozilla's, as PEM.
    pub authorities: Vec<u8>,
    /// Whether `http://` may be used to other machines than this one, where anybody on the way can answer instead.
    pub plain_http: bool,
}

impl FetchSettings {
    /// Whether the certificates can be read.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn check(&self) -> Result<(), PemError> {
        Fetcher::new(self).map(drop)
    }
}

/// An address that the hub may make requests to: `https`, or `http` on this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl(Url);

impl RemoteUrl {
    /// Reads one. `plain_http` as in [`FetchSettings`].
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str, plain_http: bool) -> Result<Self, RemoteUrlError> {
        let url = Url::parse(text).map_err(|why| RemoteUrlError::NoUrl(why.to_string()))?;
        Self::check(url, plain_http)
    }

    fn check(url: Url, plain_http: bool) -> Result<Self, RemoteUrlError> {
        let is_secure = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(RemoteUrlError::Scheme(other.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RemoteUrlError::Credentials);
        }
        if !is_secure && !plain_http && !is_loopback(&url) {
            return Err(RemoteUrlError::Plain);
        }
        Ok(Self(url))
    }

    /// It, as it was given.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

/// Without its query, where secrets may be.
impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(f, "{}{}", url.origin().ascii_serialization(), url.path())
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// By its name alone; where that leads to is looked at again when it has been resolved.
fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(access::is_loopback)
}

/// What makes requests. Cheap to clone; keeps connections.
#[derive(Clone)]
pub(crate) struct Fetcher {
    client: Client<Connector, Full<Bytes>>,
    plain_http: bool,
}

/// How much one request may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// For everything: the name, the connection, redirects, the whole body.
    pub(crate) time_max: Duration,
    pub(crate) body_bytes_max: usize,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Fetcher {
    pub(crate) fn new(settings: &FetchSettings) -> Result<Self, PemError> {
        let own = match settings.authorities.as_slice() {
            [] => Vec::new(),
            text => pem::certificates(text)?,
        };
        let connector = Connector::new(own, settings.plain_http)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Ok(Self {
            client,
            plain_http: settings.plain_http,
        })
    }

    /// Gets a document; any status but 200 is an error. Follows a few redirects, to `https` alone: one to `http` would let
    /// whoever is on the way answer.
    pub(crate) async fn get(&self, url: &RemoteUrl, bounds: Bounds) -> Result<Fetched, FetchError> {
        let fetched = tokio::time::timeout(bounds.time_max, async {
            let mut url = url.clone();
            for _ in 0..=REDIRECTS_MAX {
                let request = Request::builder()
                    .method(Method::GET)
                    .header(ACCEPT, "application/json, application/jwk-set+json");
                let response = self.send(&url, request, Bytes::new()).await?;
                match redirect(&url, &response)? {
                    Some(next) => url = self.checked(next)?,
                    None => return collect(response, bounds.body_bytes_max).await,
                }
            }
            Err(FetchError::Redirects)
        });
        let fetched = fetched.await.map_err(|_| FetchError::Timeout)??;
        match fetched.status {
            StatusCode::OK => Ok(fetched),
            status => Err(FetchError::Status(status)),
        }
    }

    /// Posts JSON; gives the answer whatever its status. Follows nothing.
    pub(crate) async fn post_json(
        &self,
        url: &RemoteUrl,
        authorization: Option<&HeaderValue>,
        body: Bytes,
        bounds: Bounds,
    ) -> Result<Fetched, FetchError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json");
        if let Some(value) = authorization {
            request = request.header(http::header::AUTHORIZATION, value);
        }
        let fetched = async {
            let response = self.send(url, request, body).await?;
            collect(response, bounds.body_bytes_max).await
        };
        let fetched = tokio::time::timeout(bounds.time_max, fetched).await;
        fetched.map_err(|_| FetchError::Timeout)?
    }

    async fn send(
        &self,
        url: &RemoteUrl,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, FetchError> {
        let mut bare = url.url().clone();
        bare.set_fragment(None);
        let uri: Uri = bare.as_str().parse().map_err(|_| FetchError::Url)?;
        let request = request
            .uri(uri)
            .header(USER_AGENT, AGENT)
            .body(Full::new(body))
            .map_err(|_| FetchError::Url)?;
        self.client
            .request(request)
            .await
            .map_err(|error| FetchError::of(&error))
    }

    /// An address that a document names. What came over `https` leads to `https` alone, as a redirect does: nobody who may answer on a
    /// port of this machine becomes an issuer by it.
    pub(crate) fn led(&self, from: &RemoteUrl, url: Url) -> Result<RemoteUrl, FetchError> {
        match (from.url().scheme(), url.scheme()) {
            ("https", "http") if !self.plain_http => {
                Err(FetchError::Forbidden(RemoteUrlError::Plain))
            }
            _ => self.checked(url),
        }
    }

    /// An address that a document or a redirect names.
    pub(crate) fn checked(&self, url: Url) -> Result<RemoteUrl, FetchError> {
        RemoteUrl::check(url, self.plain_http).map_err(FetchError::Forbidden)
    }
}

/// Where a redirect leads to (RFC 9110, section 15.4).
fn redirect<B>(from: &RemoteUrl, response: &Response<B>) -> Result<Option<Url>, FetchError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    let next = location.and_then(|location| from.url().join(location).ok());
    match next {
        Some(next) if next.scheme() == "https" => Ok(Some(next)),
        _ => Err(FetchError::RedirectTarget),
    }
}

/// Reads a body, no more of it than is permitted.
async fn collect(response: Response<Incoming>, bytes_max: usize) -> Result<Fetched, FetchError> {
    let (head, mut body) = response.into_parts();
    let announced = head.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(FetchError::TooLarge(bytes_max));
    }
    let mut read = Vec::with_capacity(announced.unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::Broken(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if read.len() + data.len() > bytes_max {
                return Err(FetchError::TooLarge(bytes_max));
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(Fetched {
        status: head.status,
        headers: head.headers,
        body: read.into(),
    })
}

/// For how many seconds an answer may be kept: `max-age` of its Cache-Control (RFC 9111, section 5.2.2.1), zero for `no-store` and
/// `no-cache`; `None` if it does not say.
pub(crate) fn max_age_s(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all(http::header::CACHE_CONTROL);
    let directives = lines
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase());
    let mut age = None;
    for directive in directives {
        if matches!(directive.as_str(), "no-store" | "no-cache") {
            return Some(0);
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            // What is no number is as if it were stale (RFC 9111, section 4.2.1).
            age = age.or(Some(seconds.trim_matches('"').parse().unwrap_or(0)));
        }
    }
    age
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

/// A connector's TLS is the same for all of its connections.
type ClientTls = Arc<rustls::ClientConfig>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        let table = [
            ("https://a.example/k", true, true),
            ("http://a.example/k", false, true),
            ("http://localhost:3000/k", true, true),
            ("http://x.localhost/k", true, true),
            ("http://127.0.0.1:1/k", true, true),
            ("http://[::1]:1/k", true, true),
            ("http://localhost.evil.example/k", false, true),
            ("http://127.0.0.1.nip.io/k", false, true),
            ("http://10.0.0.1/k", false, true),
            ("https://u:p@a.example/k", false, false),
            ("file:///etc/passwd", false, false),
            ("ftp://a.example/k", false, false),
            ("a.example/k", false, false),
            ("", false, false),
        ];
        for (text, is_taken, with_plain) in table {
            assert_eq!(RemoteUrl::parse(text, false).is_ok(), is_taken, "{text}");
            assert_eq!(RemoteUrl::parse(text, true).is_ok(), with_plain, "{text}");
        }
        let shown = RemoteUrl::parse("https://a.example/k?secret=1#s", false).unwrap();
        assert_eq!(
            format!("{shown} {shown:?}"),
            "https://a.example/k https://a.example/k"
        );
    }

    #[test]
    fn documents_of_https_lead_to_https_alone() {
        let (here, there) = ("http://127.0.0.1:1/k", "https://a.example/k");
        let table = [
            (there, there, true, true),
            (there, here, false, true),
            (here, here, true, true),
            (here, there, true, true),
            (here, "http://a.example/k", false, true),
            (there, "file:///etc/passwd", false, false),
        ];
        for plain_http in [false, true] {
            let settings = FetchSettings {
                plain_http,
                ..FetchSettings::default()
            };
            let fetcher = Fetcher::new(&settings).unwrap();
            for (from, to, safe, plain) in table {
                let from = RemoteUrl::parse(from, plain_http).unwrap();
                let want = if plain_http { plain } else { safe };
                let got = fetcher.led(&from, Url::parse(to).unwrap());
                assert_eq!(got.is_ok(), want, "{from} {to} {plain_http}");
            }
        }
    }

    #[test]
    fn redirects_lead_to_https_alone() {
        let from = RemoteUrl::parse("https://a.example/k/1", false).unwrap();
        let table = [
            (200, Some("https://b.example/"), Ok(None)),
            (
                301,
                Some("https://b.example/x"),
                Ok(Some("https://b.example/x")),
            ),
            (302, Some("2"), Ok(Some("https://a.example/k/2"))),
            (308, Some("//b.example/"), Ok(Some("https://b.example/"))),
            (307, Some("http://a.example/k"), Err(())),
            (302, Some("http://127.0.0.1/"), Err(())),
            (302, Some("file:///etc/passwd"), Err(())),
            (303, None, Err(())),
            (304, None, Ok(None)),
        ];
        for (status, location, want) in table {
            let mut response = Response::builder().status(status);
            if let Some(location) = location {
                response = response.header(LOCATION, location);
            }
            let got = redirect(&from, &response.body(()).unwrap());
            let got = got.map(|url| url.map(String::from)).map_err(|_| ());
            assert_eq!(
                got,
                want.map(|url| url.map(str::to_owned)),
                "{status} {location:?}"
            );
        }
    }

    #[test]
    fn how_long_an_answer_may_be_kept() {
        let table = [
            (None, None),
            (Some("public"), None),
            (Some("max-age=60"), Some(60)),
            (Some("public, Max-Age=60, must-revalidate"), Some(60)),
            (Some("max-age=\"60\""), Some(60)),
            (Some("max-age=-1"), Some(0)),
            (Some("max-age=60, no-cache"), Some(0)),
            (Some("no-store"), Some(0)),
            (Some("s-maxage=60"), None),
        ];
        for (value, want) in table {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static(value));
            }
            assert_eq!(max_age_s(&headers), want, "{value:?}");
        }
    }
}
