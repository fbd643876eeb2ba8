//! A hub somewhere else, over its public HTTP API: one kept connection, requests one after another.
//!
//! Not here: event streams; those are `tidewire-client`'s.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use tidewire_client::connect::{Http, ProxyFailure, TlsFailure};
use tidewire_client::machine::Attempt;
use tidewire_client::{Body, Dialer, Error, Sender};
use url::Url;

use crate::failure::{Failure, Outcome};
use crate::quote;
use crate::reach::{self, ReachArgs};
use crate::settings;

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
        value_parser = settings::hub_path,
        default_value = tidewire_hub::HUB_PATH
    )]
    hub_path: String,

    #[command(flatten)]
    pub(crate) reach: ReachArgs,
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
            "http" | "https" if url.host().is_some() => Ok(url),
            _ => Err(Failure::usage(format!(
                "--url {:?} is no http:// or https:// URL",
                self.url
            ))
            .next(example)),
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
            (_, Some(path)) => return read_token(path).map(Some),
            (None, None) => return Ok(None),
        };
        parse_token(&text).map(Some)
    }

    /// The file that [`HubArgs::token`] is read from, if it is.
    pub(crate) fn token_file(&self) -> Option<&Path> {
        let holds = self.token.is_none() || !is_flag("--token");
        self.token_file.as_deref().filter(|_| holds)
    }
}

/// The token in a file.
pub(crate) fn read_token(path: &Path) -> Outcome<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::file(path, "read the token", &error))?;
    parse_token(&text)
}

fn parse_token(text: &str) -> Outcome<String> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage("the token is no token")
            .next("it has three parts of letters and digits with dots between; `tidewire token` makes one"));
    }
    Ok(token.to_owned())
}

/// Whether a flag is on the command line.
pub(crate) fn is_flag(flag: &str) -> bool {
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
    /// No connection by TLS.
    Tls(TlsFailure),
    /// None through the proxy.
    Proxy(ProxyFailure),
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
    pub(crate) async fn read(response: Response<Body>) -> Self {
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

impl From<Error> for RemoteError {
    fn from(error: Error) -> Self {
        match error {
            Error::Connect(why) => Self::Unreachable(plain(&why)),
            Error::ConnectTimeout(_) => Self::Unreachable("no answer".to_owned()),
            Error::Tls(failure) => Self::Tls(failure),
            Error::Proxy(failure) => Self::Proxy(failure),
            Error::Cut(why) => Self::Cut(plain(&why)),
            other => Self::Cut(other.to_string()),
        }
    }
}

impl RemoteError {
    /// Whether a hub has answered at all.
    pub(crate) fn is_answered(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Tls(_) | Self::Proxy(_) => false,
            Self::Cut(_) | Self::Refused(_) => true,
        }
    }

    /// Whether the same may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Cut(_) => true,
            Self::Tls(failure) => failure.is_temporary(),
            Self::Proxy(failure) => failure.is_temporary(),
            Self::Refused(refused) => refused.is_temporary(),
        }
    }

    /// How long the hub asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            Self::Unreachable(_) | Self::Tls(_) | Self::Proxy(_) | Self::Cut(_) => None,
        }
    }

    /// The failure of a command, with what to do next.
    pub(crate) fn into_failure(self, base: &Url) -> Failure {
        let failure = Failure::failed(self.told(base));
        match self {
            Self::Unreachable(_) => failure.next(start_one(base)),
            Self::Tls(why) => failure.next(reach::after_tls(&why)),
            Self::Proxy(why) => failure.next(reach::after_proxy(&why)),
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
            Self::Tls(why) => format!("cannot reach the hub at {base}: {why}"),
            Self::Proxy(why) => format!("cannot reach the hub at {base}: {why}"),
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
    let tls = match base.scheme() {
        "https" => " --tls-self-signed",
        _ => "",
    };
    match address.parse::<std::net::SocketAddr>() {
        Ok(address) if address.ip().is_loopback() && address.port() != 8080 => format!(
            "start one: {program} serve{tls} --listen {}",
            quote::shell(&address.to_string())
        ),
        _ => format!("start one: {program} serve{tls}"),
    }
}

/// A hub, and the connection to it if there is one.
pub(crate) struct Remote {
    base: Url,
    hub_path: String,
    headers: HeaderMap,
    dialer: Dialer,
    connection: Option<Sender>,
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
        if let Some(token) = hub.token()? {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {token}")).map_err(Failure::usage)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut options = hub.reach.connect_options(&base)?;
        // One request after another: there is nothing to gain from HTTP/2.
        options.http = Http::Http1;
        let dialer = Dialer::new(&options).and_then(|dialer| {
            dialer.check(&base)?;
            Ok(dialer)
        });
        Ok(Self {
            dialer: dialer.map_err(|error| hub.reach.unusable(error))?,
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
    ) -> Result<Response<Body>, RemoteError> {
        let mut connection = match self.connection.take() {
            Some(connection) if connection.is_ready() => connection,
            _ => self.connect().await?,
        };
        let url = below(&self.base, path);
        let mut all = self.headers.clone();
        all.extend(headers);
        let attempt = Attempt {
            url: Url::parse(&url)
                .map_err(|error| RemoteError::Unreachable(format!("{url}: {error}")))?,
            method: Method::POST,
            headers: all,
            body,
        };
        let response = tokio::time::timeout(ANSWER_MAX, connection.send(attempt))
            .await
            .map_err(|_| RemoteError::Cut("no answer came".to_owned()))??;
        self.connection = Some(connection);
        Ok(response)
    }

    /// Forgets the connection: what comes over it is not to be trusted any more.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    async fn connect(&self) -> Result<Sender, RemoteError> {
        let (sender, driver) = self.dialer.dial(&self.base, CONNECT_MAX).await?;
        // Its errors reach whoever waits for an answer.
        tokio::spawn(driver);
        Ok(sender)
    }
}

/// The sentence of a problem document (RFC 9457), else a page's title (of a proxy, as a rule), else the body's first line.
fn detail(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let sentence = problem.as_ref().and_then(|problem| {
        let member = |name| problem.get(name).and_then(serde_json::Value::as_str);
        member("detail")
            .or_else(|| member("error"))
            .or_else(|| member("title"))
    });
    let text = String::from_utf8_lossy(body);
    let line = sentence
        .or_else(|| title(&text))
        .unwrap_or_else(|| text.lines().next().unwrap_or_default());
    line.chars().filter(|c| !c.is_control()).take(500).collect()
}

fn title(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<title>")?;
    Some(rest.split_once("</title>")?.0.trim())
}

/// Without the system's number for it.
pub(crate) fn plain(text: &str) -> String {
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
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
        for (base, url) in [
            ("http://h:1", "http://h:1/topics/a"),
            ("http://h:1/", "http://h:1/topics/a"),
            ("http://h/hub/?x#y", "http://h/hub/topics/a"),
            ("https://[::1]:8/x", "https://[::1]:8/x/topics/a"),
        ] {
            let base = Url::parse(base).unwrap();
            assert_eq!(below(&base, "/topics/a"), url);
        }
    }

    #[test]
    fn a_hub_is_named_with_the_command_that_starts_it() {
        for (url, words) in [
            ("http://127.0.0.1:8080", "serve"),
            ("http://localhost:9000/", "serve --listen 127.0.0.1:9000"),
            ("http://[::1]:9000/", "serve --listen '[::1]:9000'"),
            ("http://example.com:9000/", "serve"),
            (
                "https://localhost:9000/",
                "serve --tls-self-signed --listen 127.0.0.1:9000",
            ),
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
            ("<html>\n<head><title>400 No</title>", "400 No"),
            ("<html>\n<title>", "<html>"),
            ("", ""),
            ("\u{1b}[31mred", "[31mred"),
        ] {
            assert_eq!(detail(body.as_bytes()), want);
        }
    }
}
