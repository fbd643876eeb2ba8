//! `POST /signed-urls`: whoever may read private events hands out a URL that may read some of them, for a while.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use serde::Deserialize;
use serde_json::json;
use tidewire_auth::signed_url::{SignedUrl, UrlKey};
use tidewire_auth::{Refusal, Role};
use tidewire_core::{Grant, Matcher, MatcherSet, Patterns};

use crate::access::origin_as_sent;
use crate::ask::{self, Path};
use crate::body::{self, collect};
use crate::front::{Front, random};
use crate::manner::Manner;
use crate::problem::Problem;
use crate::publish::media_type;
use crate::query::Pairs;
use crate::token;

/// The methods of `/signed-urls`.
pub(crate) const METHODS: &str = "POST, OPTIONS";

/// What is asked for is no longer than this, in bytes; nor is a URL.
const BODY_BYTES_MAX: usize = 16 << 10;

/// How long a URL is good if nothing is said.
const LIFE_DEFAULT: Duration = Duration::from_secs(600);

pub(crate) async fn create(State(front): State<Front>, request: Request) -> Response {
    let (request, body) = request.into_parts();
    try_create(&front, &request, body)
        .await
        .unwrap_or_else(|problem| {
            tracing::debug!(why = problem.detail(), "signed URL refused");
            problem.into_response()
        })
}

async fn try_create(front: &Front, request: &Parts, body: Body) -> Result<Response, Problem> {
    let query = Pairs::of(&request.uri)?;
    let grant = token::grant(front, request, Role::Subscriber, Manner::Ours, &query).await?;
    // What nobody had to show a token for cannot be handed on.
    if !token::is_presented(front, request, Manner::Ours, &query) {
        let refusal = Refusal::Missing(Role::Subscriber);
        return Err(Problem::refused(&refusal));
    }
    let Some(key) = &front.access().url_key else {
        return Err(Problem::no_url_key());
    };
    if media_type(request).as_deref() != Some("application/json") {
        return Err(Problem::content_type(
            "what the URL is for is sent as application/json: {\"topics\": [\"orders/42\"], \"expires_in\": 600}",
        ));
    }
    let bytes = collect(front, body, BODY_BYTES_MAX, "a signed URL").await?;
    // However slowly the body came: a URL outlives the token that made it.
    front.still_good(&grant)?;
    let wanted = Wanted::read(&bytes)?;
    let url = wanted.url(front, &grant)?;
    answer(front, &url, key)
}

/// What a URL is to be for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    path: Option<String>,
    topic: Vec<String>,
    topics: Vec<String>,
    #[serde(rename = "match")]
    exact: Vec<String>,
    match_exact: Vec<String>,
    match_urlpattern: Vec<String>,
    expires_in: Option<u64>,
    origin: Option<String>,
    address: Option<String>,
    once: bool,
}

impl Wanted {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body).map_err(|error| {
            Problem::bad_parameter(format!(
                "the body does not say what the URL is for: {error}; write {{\"topics\": [\"orders/42\"], \"expires_in\": 600}}"
            ))
        })
    }

    fn url(self, front: &Front, grant: &Grant) -> Result<SignedUrl, Problem> {
        let path = match &self.path {
            Some(path) => path.clone(),
            None => front.place().path().to_owned(),
        };
        let topics = self.topics(front, &path)?;
        if let Some(beyond) = topics.iter().find(|one| !covers(&grant.private, one)) {
            return Err(Problem::topic_not_readable(beyond.as_str()));
        }
        Ok(SignedUrl {
            expires_ms: expires_ms(front, grant, self.expires_in)?,
            origin: self.origin.as_deref().map(origin).transpose()?,
            address: self.address.as_deref().map(address).transpose()?,
            once: self.once.then(nonce),
            // So that it can be taken back with the token, and with its subject.
            subject: grant.subject.clone(),
            token_id: grant.token_id.clone(),
            // As far as there is something to say it of.
            issuer: grant
                .issuer
                .clone()
                .filter(|_| grant.subject.is_some() || grant.token_id.is_some()),
            parameters: self.parameters(),
            path,
        })
    }

    /// As a subscribe names them. `topics` are compared byte by byte, as everywhere in what is ours.
    fn parameters(self) -> Vec<(String, String)> {
        let lists = [
            ("topic", self.topic),
            ("match", self.topics),
            ("match", self.exact),
            ("match_exact", self.match_exact),
            ("match_urlpattern", self.match_urlpattern),
        ];
        let named = |(name, values): (&str, Vec<String>)| {
            let name = name.to_owned();
            values.into_iter().map(move |value| (name.clone(), value))
        };
        lists.into_iter().flat_map(named).collect()
    }

    /// What its holder would read, judged as its subscribe will be.
    fn topics(&self, front: &Front, path: &str) -> Result<MatcherSet, Problem> {
        let named = Self {
            topic: self.topic.clone(),
            topics: self.topics.clone(),
            exact: self.exact.clone(),
            match_exact: self.match_exact.clone(),
            match_urlpattern: self.match_urlpattern.clone(),
            ..Self::default()
        };
        let pairs: Pairs = named.parameters().into_iter().collect();
        if path.starts_with("/topics/") {
            if pairs.iter().next().is_some() {
                return Err(Problem::bad_parameter(
                    "`path` names the topic already: leave the others out",
                ));
            }
            let topic = ask::topic_of_path(path)?;
            let matcher = Patterns::exact(&topic).map_err(|error| {
                Problem::bad_parameter(format!("{topic:?} is no topic: {error}"))
            })?;
            return Ok(MatcherSet::from_iter([matcher]));
        }
        if path != front.place().path() {
            return Err(Problem::bad_parameter(format!(
                "nobody subscribes at {path:?}: `path` is {} or begins with /topics/",
                front.place().path()
            )));
        }
        pairs.check_visible()?;
        // That no two dialects are mixed.
        Manner::of_subscribe(Path::Mercure, &pairs)?;
        ask::routing(&pairs, front.limits(), front.patterns())
    }
}

/// Whether a grant surely has all topics of a matcher. A pattern is only known to be within itself.
fn covers(granted: &MatcherSet, wanted: &Matcher) -> bool {
    match wanted {
        Matcher::Exact(topic) => granted.accepts(topic.as_bytes()),
        wanted => granted.is_any() || granted.iter().any(|have| have == wanted),
    }
}

/// In whole seconds, never later than the token.
fn expires_ms(front: &Front, grant: &Grant, wanted_s: Option<u64>) -> Result<u64, Problem> {
    let now_ms = front.now_ms();
    let life_ms = wanted_s.map_or(LIFE_DEFAULT.as_millis() as u64, |s| s.saturating_mul(1000));
    let life_max_ms = u64::try_from(front.limits().signed_url_life_max.as_millis());
    let life_ms = life_ms.min(life_max_ms.unwrap_or(u64::MAX));
    let until_ms = now_ms.saturating_add(life_ms);
    let until_ms = grant
        .expires_ms
        .map_or(until_ms, |token| until_ms.min(token));
    let until_ms = until_ms / 1000 * 1000;
    match until_ms > now_ms {
        true => Ok(until_ms),
        false => Err(Problem::bad_parameter(
            "the URL would end at once: `expires_in` is a number of seconds, at least 1, and the token must be good for longer",
        )),
    }
}

fn origin(text: &str) -> Result<String, Problem> {
    origin_as_sent(text)
        .ok_or_else(|| {
            Problem::bad_parameter(format!(
                "`origin` {text:?} is none: write it like https://app.example, without a path and without the usual port"
            ))
        })
}

fn address(text: &str) -> Result<IpAddr, Problem> {
    text.parse()
        .map(|address: IpAddr| address.to_canonical())
        .map_err(|_| {
            Problem::bad_parameter(format!(
                "`address` {text:?} is none: write it like 203.0.113.7 or 2001:db8::7"
            ))
        })
}

/// 128 random bits.
fn nonce() -> String {
    format!("{:032x}", u128::from_le_bytes(random()))
}

fn answer(front: &Front, url: &SignedUrl, key: &UrlKey) -> Result<Response, Problem> {
    let signed = url
        .sign(key)
        .map_err(|refusal| Problem::bad_parameter(refusal.to_string()))?;
    let document = json!({
        "url": front.place().outward(&signed),
        "expires": url.expires_ms / 1000,
    });
    Ok(body::json(&document))
}
