//! The claims that we read: the registered ones and those of the legacy Mercure protocol.

use serde_json::{Map, Value, json};
use tidewire_core::{MatcherSet, PatternError, Patterns};

use crate::Refusal;

/// How many selectors a token may have in one role.
pub const SELECTORS_MAX: usize = 1000;

/// The claim that holds the legacy grants.
const CLAIM: &str = "mercure";
/// Its other name, for issuers that allow only URLs as names of their own claims; where present it replaces the first.
const CLAIM_URL: &str = "https://mercure.rocks/";

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Selectors of topics to publish to; `*` is every topic.
    pub publish: Vec<String>,
    /// Selectors of topics whose private events may be read; `*` is every topic.
    pub subscribe: Vec<String>,
    /// When it ends, in milliseconds since 1970 (`exp`).
    pub expires_ms: Option<u64>,
    /// When it begins, in milliseconds since 1970 (`nbf`).
    pub not_before_ms: Option<u64>,
    /// Who it is about (`sub`).
    pub subject: Option<String>,
    /// Who made it (`iss`).
    pub issuer: Option<String>,
    /// Its own id (`jti`).
    pub token_id: Option<String>,
}

impl Claims {
    pub(crate) fn parse(payload: &Map<String, Value>) -> Result<Self, Refusal> {
        let grants = match payload.get(CLAIM_URL).or(payload.get(CLAIM)) {
            None | Some(Value::Null) => &Map::new(),
            Some(Value::Object(grants)) => grants,
            Some(_) => return Err(Refusal::Claim(CLAIM)),
        };
        Ok(Self {
            publish: selectors(grants, "publish")?,
            subscribe: selectors(grants, "subscribe")?,
            expires_ms: numeric_date(payload, "exp")?,
            not_before_ms: numeric_date(payload, "nbf")?,
            subject: text(payload, "sub")?,
            issuer: text(payload, "iss")?,
            token_id: text(payload, "jti")?,
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut payload =
            json!({ CLAIM: { "publish": self.publish, "subscribe": self.subscribe } });
        let dates = [("exp", self.expires_ms), ("nbf", self.not_before_ms)];
        for (name, ms) in dates {
            if let Some(ms) = ms {
                payload[name] = (ms / 1000).into();
            }
        }
        let texts = [
            ("sub", &self.subject),
            ("iss", &self.issuer),
            ("jti", &self.token_id),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                payload[name] = value.as_str().into();
            }
        }
        payload
    }
}

/// Selectors as matchers (mercure.md, 1.2). One that can be neither a topic nor a template matches none, and is left out.
///
/// # Errors
/// For a template that the hub does not take: whoever made the token means it to match.
pub(crate) fn matchers(selectors: &[String], patterns: &Patterns) -> Result<MatcherSet, Refusal> {
    let matcher = |selector: &String| match patterns.selector(selector) {
        Ok(matcher) => Some(Ok(matcher)),
        Err(PatternError::Topic(_)) => None,
        Err(error) => Some(Err(Refusal::Pattern(error))),
    };
    selectors.iter().filter_map(matcher).collect()
}

fn selectors(grants: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, Refusal> {
    let wrong = || Refusal::Claim(name);
    match grants.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= SELECTORS_MAX => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// RFC 7519, section 2, "NumericDate": seconds since 1970, perhaps with a fraction. Before 1970 is taken for 1970.
fn numeric_date(payload: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, Refusal> {
    match payload.get(name) {
        None => Ok(None),
        Some(Value::Number(seconds)) => match seconds.as_u64() {
            Some(seconds) => Ok(Some(seconds.saturating_mul(1000))),
            // A cast of a float saturates: what lies outside of u64 becomes its nearest end.
            None => Ok(seconds.as_f64().map(|seconds| (seconds * 1000.0) as u64)),
        },
        Some(_) => Err(Refusal::Claim(name)),
    }
}

fn text(payload: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Refusal> {
    match payload.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::Claim(name)),
    }
}
