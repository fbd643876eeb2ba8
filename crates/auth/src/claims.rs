//! The claims that we read: the registered ones, and what each dialect grants with.

use serde_json::{Map, Value, json};
use tidewire_core::Dialect;

use crate::{Detail, Refusal};

/// How many selectors a legacy token may have in one role.
pub const SELECTORS_MAX: usize = 1000;

/// The claim that holds the legacy grants.
const CLAIM: &str = "mercure";
/// Its other name, for issuers that allow only URLs as names of their own claims; where present it replaces the first.
const CLAIM_URL: &str = "https://mercure.rocks/";
/// The claim that holds the modern grants (RFC 9396).
pub(crate) const DETAILS: &str = "authorization_details";

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Legacy: selectors of topics to publish to; `*` is every topic.
    pub publish: Vec<String>,
    /// Legacy: selectors of topics whose private events may be read; `*` is every topic.
    pub subscribe: Vec<String>,
    /// Legacy: what others are shown of a subscriber.
    pub payload: Option<Value>,
    /// Modern: what it grants. `Some` makes it a modern token, even without any.
    pub details: Option<Vec<Detail>>,
    /// Modern: whom it is for (`aud`).
    pub audience: Vec<String>,
    /// Modern: the program that it was given to (`client_id`).
    pub client_id: Option<String>,
    /// When it was made, in milliseconds since 1970 (`iat`).
    pub issued_ms: Option<u64>,
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
    /// In which dialect they are.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.details {
            Some(_) => Dialect::Modern,
            None => Dialect::Legacy,
        }
    }

    pub(crate) fn parse(payload: &Map<String, Value>, dialect: Dialect) -> Result<Self, Refusal> {
        let mut claims = Self {
            issued_ms: numeric_date(payload, "iat")?,
            expires_ms: numeric_date(payload, "exp")?,
            not_before_ms: numeric_date(payload, "nbf")?,
            subject: text(payload, "sub")?,
            issuer: text(payload, "iss")?,
            token_id: text(payload, "jti")?,
            ..Self::default()
        };
        match dialect {
            Dialect::Legacy => claims.parse_legacy(payload)?,
            Dialect::Modern => {
                claims.audience = audience(payload)?;
                claims.client_id = text(payload, "client_id")?;
                claims.details = Some(Detail::parse_all(payload.get(DETAILS))?);
            }
        }
        Ok(claims)
    }

    /// mercure.md, 1.6. `aud` is whatever it likes there (1.5).
    fn parse_legacy(&mut self, payload: &Map<String, Value>) -> Result<(), Refusal> {
        let grants = match payload.get(CLAIM_URL).or(payload.get(CLAIM)) {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Object(grants)) => grants,
            Some(_) => return Err(Refusal::Claim(CLAIM)),
        };
        self.publish = selectors(grants, "publish")?;
        self.subscribe = selectors(grants, "subscribe")?;
        self.payload = grants
            .get("payload")
            .filter(|value| !value.is_null())
            .cloned();
        Ok(())
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut payload = match &self.details {
            Some(details) => {
                let details: Vec<Value> = details.iter().map(Detail::to_json).collect();
                json!({ DETAILS: details })
            }
            None => json!({ CLAIM: { "publish": self.publish, "subscribe": self.subscribe } }),
        };
        if let (None, Some(shown)) = (&self.details, &self.payload) {
            payload[CLAIM]["payload"] = shown.clone();
        }
        let dates = [
            ("iat", self.issued_ms),
            ("exp", self.expires_ms),
            ("nbf", self.not_before_ms),
        ];
        for (name, ms) in dates {
            if let Some(ms) = ms {
                payload[name] = (ms / 1000).into();
            }
        }
        let texts = [
            ("sub", &self.subject),
            ("iss", &self.issuer),
            ("jti", &self.token_id),
            ("client_id", &self.client_id),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                payload[name] = value.as_str().into();
            }
        }
        match self.audience.as_slice() {
            [] => {}
            [one] => payload["aud"] = one.as_str().into(),
            several => payload["aud"] = several.into(),
        }
        payload
    }
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

/// RFC 7519, section 4.1.3: one string, or an array of them.
fn audience(payload: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    let wrong = || Refusal::Claim("aud");
    match payload.get("aud") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(items)) => items
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
