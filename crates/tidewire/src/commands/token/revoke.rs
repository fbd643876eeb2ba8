//! `tidewire token revoke`: tokens taken back at a running hub, over its public HTTP API.

use std::path::PathBuf;

use clap::Args;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tidewire_auth::inspect;

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::remote::{HubArgs, Refused, Remote, RemoteError};

/// Take tokens back: their streams end, and the hub refuses them until they expire
///
/// Needs a token that may publish to `*`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tidewire token revoke --subject alice\n  tidewire token revoke stolen.token\n  tidewire token revoke --token-id 4bf2a1 --until 2026-12-01T00:00:00Z\n  tidewire token revoke --topic orders/42 --token-file admin.token"
)]
pub(crate) struct Revoke {
    /// File with the token to take back, or `-` for standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["subject", "token_id", "topic"], conflicts_with_all = ["subject", "token_id", "topic"])]
    file: Option<PathBuf>,

    /// All tokens about somebody (`sub`); those made in a later second are good
    #[arg(long, value_name = "NAME", conflicts_with_all = ["token_id", "topic"])]
    subject: Option<String>,

    /// The token with this id (`jti`)
    #[arg(long, value_name = "ID", conflicts_with = "topic")]
    token_id: Option<String>,

    /// All tokens that let their holder read a topic's private events; those made in a later second are good
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,

    /// Only tokens that this one made (`iss`)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["topic", "file"])]
    issuer: Option<String>,

    /// When none of them would be good any more: a time such as 2026-12-01T00:00:00Z; else the revocation stays
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    #[command(flatten)]
    hub: HubArgs,
}

impl Revoke {
    pub(super) fn run(&self) -> Outcome {
        let body = self.body()?;
        let mut remote = Remote::new(&self.hub)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::failed)?;
        let answer = runtime
            .block_on(post(&mut remote, &body))
            .map_err(|error| error.into_failure(remote.base()))?;
        let ended = answer["ended"].as_u64().unwrap_or_default();
        let until = answer["until"].as_str();
        let until = until.map_or(String::new(), |until| format!(" until {until}"));
        output::result(format!(
            "revoked {}{until}; {} ended",
            named(&body),
            output::count(ended, "stream")
        ))
    }

    fn body(&self) -> Outcome<Map<String, Value>> {
        let mut body = match &self.file {
            Some(file) => of_token(file)?,
            None => Map::new(),
        };
        let said = [
            ("subject", &self.subject),
            ("token_id", &self.token_id),
            ("topic", &self.topic),
            ("issuer", &self.issuer),
            ("until", &self.until),
        ];
        for (name, value) in said {
            if let Some(value) = value {
                body.insert(name.to_owned(), json!(value));
            }
        }
        Ok(body)
    }
}

/// What names a token, of what it says itself. Its signature is the hub's business: nobody but a publisher of `*` is heard.
fn of_token(file: &PathBuf) -> Outcome<Map<String, Value>> {
    let text = if file.as_os_str() == "-" {
        super::read_stdin()?
    } else {
        std::fs::read_to_string(file)
            .map_err(|error| Failure::file(file, "read the token", &error))?
    };
    let payload = inspect(text.trim()).map_err(Failure::failed)?.payload;
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    let Some(id) = text("jti") else {
        let next = match text("sub") {
            Some(subject) => format!(
                "take back all tokens of its holder: --subject {}",
                crate::quote::shell(subject)
            ),
            None => "take back all tokens for one of its topics: --topic TOPIC".to_owned(),
        };
        return Err(Failure::failed("the token has no id (`jti`)").next(next));
    };
    let mut body = Map::new();
    body.insert("token_id".to_owned(), json!(id));
    if let Some(issuer) = text("iss") {
        body.insert("issuer".to_owned(), json!(issuer));
    }
    if let Some(until) = payload.get("exp").filter(|exp| exp.is_number()) {
        body.insert("until".to_owned(), until.clone());
    }
    Ok(body)
}

fn named(body: &Map<String, Value>) -> String {
    let name = ["subject", "token_id", "topic"]
        .into_iter()
        .find_map(|name| Some((name, body.get(name)?.as_str()?)));
    name.map_or(String::new(), |(name, value)| format!("{name} {value:?}"))
}

async fn post(remote: &mut Remote, body: &Map<String, Value>) -> Result<Value, RemoteError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = Value::Object(body.clone()).to_string();
    let response = remote.post("/revocations", headers, body.into()).await?;
    if response.status() != StatusCode::OK {
        return Err(RemoteError::Refused(Refused::read(response).await));
    }
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| RemoteError::Cut(error.to_string()))?;
    Ok(serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null))
}
