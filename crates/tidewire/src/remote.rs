//! A hub somewhere else, over its public HTTP API: one kept connection, requests one after another.
//!
//! Not here: event streams; those are `tidewire-client`'s.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

use crate::failure::{Failure, Outcome};
use crate::quote;

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long an answer's head may take: longer than a hub waits for a commit.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How much of an error's body is read.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// Which hub, and who asks.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Hub")]
pub(crate) struct HubArgs {
    /// The hub
    #[arg(
        long,
        env = "TIDEWIRE_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,

    /// The token; a file or the environment is better, for arguments show in `ps`
    #[arg(
        long,
        env = "TIDEWIRE_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,

    /// File with the token
    #[arg(long, env = "TIDEWIRE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Where the hub is below its URL
    #[arg(
        long,
        env = "TIDEWIRE_HUB_PATH",
        value_name = "PATH",
        default_value = tidewire_hub::HUB_PATH
    )]
    hub_path: String,
}

impl HubArgs {
    /// Where the hub is below its URL.
    pub(crate) fn hub_path(&self) -> &str {
        &self.hub_path
    }

    /// The hub's URL, checked.
    pub(crate) fn base(&self) -> Outcome<Url> {
        let example = "write it as http://127.0.0.1:8080";
        let url = Url::parse(&self.url)
            .map_err(|why| Failure::usage(format!("--url {:?}: {why}", self.url)).next(example))?;
        match url.scheme() {
            "http" if url.host().is_some() => Ok(url),
            "https" => Err(
                Failure::usage("this command does not speak https yet; a hub and a browser do").next(
                    "until it does, use curl: `curl -N URL/topics/TOPIC` subscribes, `curl --data-binary DATA URL/topics/TOPIC` publishes;\n\
                     --cacert DATA_DIR/tls-self-signed.crt trusts a hub with --tls-self-signed",
                ),
            ),
            _ => {
                Err(Failure::usage(format!("--url {:?} is no http:// URL", self.url)).next(example))
            }
        }
    }

    /// The token, wherever it is.
    pub(crate) fn token(&self) -> Outcome<Option<String>> {
        // Of a flag and a variable the flag holds, as everywhere.
        let text = match (&self.token, &self.token_file) {
            (Some(_), Some(_)) if is_flag("--token") == is_flag("--token-file") => {
                return Err(Failure::usage("there is a token and a file with a token")
                    .next("give one of them"));
            }
            (Some(token), None) => token.clone(),
            (Some(token), Some(_)) if is_flag("--token") => token.clone(),
            (_, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| Failure::file(path, "read the token", &error))?,
            (None, None) => return Ok(None),
        };
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::usage("the token is no token")
                .next("it has three parts of letters and digits with dots between; `tidewire token` makes one"));
        }
        Ok(Some(token.to_owned()))
    }
}

/// Whether a flag is on the command line.
fn is_flag(flag: &str) -> bool {
    std::env::args_os().any(|argument| {
        let argument = argument.to_string_lossy();
        argument
            .strip_prefix(flag)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// A path (with its query) below a hub's URL.
pub(crate) fn below(base: &Url, path: &str) -> String {
    let base = &base[url::Position::BeforeScheme..url::Position::AfterPath];
    format!("{}{path}", base.trim_end_matches('/'))
}

/// Why a hub gave no good answer.
#[derive(Debug)]
pub(crate) enum RemoteError {
    /// No connection.
    Unreachable(String),
    /// The connection broke before the answer was there: what was asked may have happened or not.
    Cut(String),
    /// An answer other than 200.
    Refused(Refused),
}

/// An answer other than 200.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    /// The beginning of it.
    pub(crate) body: Bytes,
    retry_after: Option<Duration>,
}

impl Refused {
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = Limited::new(response.into_body(), PROBLEM_BYTES_MAX)
            .collect()
            .await;
        Self {
            status,
            body: body
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default(),
            retry_after,
        }
    }

    /// One that somebody else has read.
    pub(crate) fn of(status: StatusCode, body: String) -> Self {
        Self {
            status,
            body: body.into(),
            retry_after: None,
        }
    }

    /// Whether the same may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self.status.as_u16(), 408 | 429 | 502..=504 | 507)
    }
}

impl RemoteError {
    /// Whether the same may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Cut(_) => true,
            Self::Refused(refused) => refused.is_temporary(),
        }
    }

    /// How long the hub asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            Self::Unreachable(_) | Self::Cut(_) => None,
        }
    }

    /// The failure of a command, with what to do next.
    pub(crate) fn into_failure(self, base: &Url) -> Failure {
        let failure = Failure::failed(self.told(base));
        match self {
            Self::Unreachable(_) => failure.next(start_one(base)),
            Self::Refused(refused) if matches!(refused.status.as_u16(), 401 | 403) => failure.next(
                "give a token with --token-file or TIDEWIRE_TOKEN; `tidewire token --help` shows how to make one",
            ),
            _ => failure,
        }
    }

    /// What happened, in a sentence.
    pub(crate) fn told(&self, base: &Url) -> String {
        match self {
            Self::Unreachable(why) => format!("cannot reach the hub at {base}: {why}"),
            Self::Cut(why) => format!("the connection to {base} broke: {why}"),
            Self::Refused(refused) => match detail(&refused.body) {
                detail if detail.is_empty() => format!("the hub answered {}", refused.status),
                detail => format!("the hub answered {}: {detail}", refused.status),
            },
        }
    }
}

/// The command that starts a hub at a URL.
pub(crate) fn start_one(base: &Url) -> String {
    let program = quote::program();
    let address = match (base.host_str(), base.port_or_known_default()) {
        (Some("localhost"), Some(port)) => format!("127.0.0.1:{port}"),
        (Some(host), Some(port)) => format!("{host}:{port}"),
        _ => String::new(),
    };
    match address.parse::<std::net::SocketAddr>() {
        Ok(address) if address.ip().is_loopback() && address.port() != 8080 => format!(
            "start one: {program} serve --listen {}",
            quote::shell(&address.to_string())
        ),
        _ => format!("start one: {program} serve"),
    }
}

/// A hub, and the connection to it if there is one.
pub(crate) struct Remote {
    base: Url,
    hub_path: String,
    headers: HeaderMap,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Remote {
    /// Where the hub is below its URL.
    pub(crate) fn hub_path(&self) -> &str {
        &self.hub_path
    }

    pub(crate) fn new(hub: &HubArgs) -> Outcome<Self> {
        let base = hub.base()?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("tidewire"));
        let port = base.port().map(|port| format!(":{port}"));
        let host = format!(
            "{}{}",
            base.host_str().unwrap_or_default(),
            port.unwrap_or_default()
        );
        headers.insert(HOST, HeaderValue::from_str(&host).map_err(Failure::usage)?);
        if let Some(token) = hub.token()? {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {token}")).map_err(Failure::usage)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self {
            base,
            hub_path: hub.hub_path().to_owned(),
            headers,
            connection: None,
        })
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Posts a body; whatever the answer is.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, RemoteError> {
        let mut connection = match self.connection.take() {
            Some(connection) if connection.is_ready() => connection,
            _ => self.connect().await?,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        let url = below(&self.base, path);
        *request.uri_mut() = request_target(&url)
            .parse()
            .map_err(|error| RemoteError::Unreachable(format!("{url}: {error}")))?;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(headers);
        let cut = |error: hyper::Error| RemoteError::Cut(cause(&error));
        let response = tokio::time::timeout(ANSWER_MAX, connection.send_request(request))
            .await
            .map_err(|_| RemoteError::Cut("no answer came".to_owned()))?
            .map_err(cut)?;
        self.connection = Some(connection);
        Ok(response)
    }

    /// Forgets the connection: what comes over it is not to be trusted any more.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, RemoteError> {
        let unreachable = |why: String| RemoteError::Unreachable(why);
        let host = self.base.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = self.base.port_or_known_default().unwrap_or(80);
        let stream = tokio::time::timeout(CONNECT_MAX, TcpStream::connect((host, port)))
            .await
            .map_err(|_| unreachable("no answer".to_owned()))?
            .map_err(|error| unreachable(said(&error)))?;
        // Small requests one after another: waiting to fill packets would only delay them.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(cause(&error)))?;
        // Its errors reach whoever waits for an answer.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// The part of a URL that goes into a request.
fn request_target(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    url[after_scheme..]
        .find('/')
        .map_or("/", |at| &url[after_scheme + at..])
}

/// The sentence of a problem document (RFC 9457), else the body's first line.
fn detail(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let sentence = problem.as_ref().and_then(|problem| {
        let member = |name| problem.get(name).and_then(serde_json::Value::as_str);
        member("detail")
            .or_else(|| member("error"))
            .or_else(|| member("title"))
    });
    let text = String::from_utf8_lossy(body);
    let line = sentence.unwrap_or_else(|| text.lines().next().unwrap_or_default());
    line.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// Without the system's number for it.
pub(crate) fn plain(text: &str) -> String {
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

/// What an error of the system says.
fn said(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

fn cause(error: &hyper::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    match deepest.downcast_ref::<std::io::Error>() {
        Some(error) => said(error),
        None => deepest.to_string(),
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_below_the_hubs_url() {
        for (base, url, target) in [
            ("http://h:1", "http://h:1/topics/a", "/topics/a"),
            ("http://h:1/", "http://h:1/topics/a", "/topics/a"),
            (
                "http://h/hub/?x#y",
                "http://h/hub/topics/a",
                "/hub/topics/a",
            ),
            (
                "http://[::1]:8/x",
                "http://[::1]:8/x/topics/a",
                "/x/topics/a",
            ),
        ] {
            let base = Url::parse(base).unwrap();
            assert_eq!(below(&base, "/topics/a"), url);
            assert_eq!(request_target(url), target);
        }
    }

    #[test]
    fn a_hub_is_named_with_the_command_that_starts_it() {
        for (url, words) in [
            ("http://127.0.0.1:8080", "serve"),
            ("http://localhost:9000/", "serve --listen 127.0.0.1:9000"),
            ("http://[::1]:9000/", "serve --listen '[::1]:9000'"),
            ("http://example.com:9000/", "serve"),
        ] {
            let step = start_one(&Url::parse(url).unwrap());
            assert!(step.ends_with(words), "{step}");
        }
    }

    #[test]
    fn problems_are_said_in_their_own_words() {
        for (body, want) in [
            (r#"{"title":"Bad","detail":"say why"}"#, "say why"),
            (r#"{"title":"Bad"}"#, "Bad"),
            ("Unauthorized\n", "Unauthorized"),
            ("", ""),
            ("\u{1b}[31mred", "[31mred"),
        ] {
            assert_eq!(detail(body.as_bytes()), want);
        }
    }
}
