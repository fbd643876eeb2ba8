//! What the backend answers.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use tidewire_auth::{Role, SELECTORS_MAX};
use tidewire_core::{Grant, Matcher, MatcherSet, PatternError, Patterns, Payload};

use super::Asked;

/// What grants of the hook have for an issuer, so that its subjects are not taken for those of tokens.
const ISSUER: &str = "auth-hook";

/// A document as it comes. What it does not know it does not take: a misspelt `expires` would be a grant without end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    allow: bool,
    #[serde(default)]
    subscribe: Vec<Selector>,
    publish: Option<Vec<Selector>>,
    subject: Option<String>,
    expires: Option<u64>,
    payload: Option<Value>,
}

/// A selector of the legacy dialect (`*`, a topic, a URI template), or a matcher of the modern one.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
enum Selector {
    Text(String),
    Typed(Typed),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Typed {
    r#match: String,
    #[serde(default)]
    match_type: MatchType,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum MatchType {
    #[default]
    Exact,
    UrlPattern,
}

/// What the backend grants. Texts: patterns are made of them when they are spent, so that what is kept holds none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    subscribe: Vec<Selector>,
    /// `None`: to what was asked about.
    publish: Option<Vec<Selector>>,
    subject: Option<String>,
    /// In milliseconds since 1970.
    expires_ms: Option<u64>,
    payload: Option<Arc<str>>,
    bytes: usize,
}

impl Answer {
    /// Reads it; `None`: it refuses.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        let document: Document = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        if !document.allow {
            return Ok(None);
        }
        let publish = document.publish.as_deref().unwrap_or_default();
        for (name, list) in [("subscribe", &*document.subscribe), ("publish", publish)] {
            if list.len() > SELECTORS_MAX {
                return Err(format!("`{name}` has more than {SELECTORS_MAX} entries"));
            }
        }
        Ok(Some(Self {
            subscribe: document.subscribe,
            publish: document.publish,
            subject: document.subject,
            expires_ms: document.expires.map(|s| s.saturating_mul(1000)),
            payload: document.payload.map(|json| json.to_string().into()),
            bytes: bytes.len(),
        }))
    }

    /// How much memory it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.selectors() * size_of::<Selector>()
    }

    fn selectors(&self) -> usize {
        self.subscribe.len() + self.publish.as_ref().map_or(0, Vec::len)
    }

    /// How long it holds, in milliseconds; `None`: it has no end.
    pub(super) fn left_ms(&self, now_ms: u64) -> Option<u64> {
        self.expires_ms.map(|end_ms| end_ms.saturating_sub(now_ms))
    }

    pub(super) fn has_ended(&self, now_ms: u64) -> bool {
        self.left_ms(now_ms) == Some(0)
    }

    /// What it allows whom was asked about. A publish to `/topics/` names its topic, and an answer that does not list others is
    /// about that one.
    pub(super) fn grant(
        &self,
        asked: &Asked<'_>,
        patterns: &Patterns,
    ) -> Result<Grant, PatternError> {
        let mut grant = Grant {
            dialect: asked.dialect(),
            expires_ms: self.expires_ms,
            issuer: Some(ISSUER.to_owned()),
            subject: self.subject.clone(),
            ..Grant::default()
        };
        match asked.role() {
            Role::Publisher => {
                grant.publish = match &self.publish {
                    Some(selectors) => matchers(selectors, patterns)?,
                    None => asked.topic().into_iter().collect(),
                }
            }
            Role::Subscriber => {
                grant.subscribe = true;
                grant.private = matchers(&self.subscribe, patterns)?;
                grant.payloads = self.payload.iter().map(payload).collect();
            }
        }
        Ok(grant)
    }
}

fn payload(json: &Arc<str>) -> Payload {
    Payload {
        topics: MatcherSet::any(),
        json: Arc::clone(json),
    }
}

fn matchers(selectors: &[Selector], patterns: &Patterns) -> Result<MatcherSet, PatternError> {
    let matcher = |selector: &Selector| -> Result<Matcher, PatternError> {
        match selector {
            Selector::Text(text) => patterns.selector(text),
            Selector::Typed(typed) => match typed.match_type {
                MatchType::Exact => Patterns::exact(&typed.r#match),
                MatchType::UrlPattern => patterns.url_pattern(&typed.r#match),
            },
        }
    };
    selectors.iter().map(matcher).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plainly_an_answer_is_none() {
        #[rustfmt::skip]
        let table = [
            (r#"{"allow":true}"#, Ok(true)),
            (r#"{"allow":false}"#, Ok(false)),
            (r#"{"allow":false,"subscribe":["*"],"publish":["*"]}"#, Ok(false)),
            (r#"{"allow":true,"subscribe":["a",{"match":"b"},{"match":"/c/:d","match_type":"urlpattern"}],"publish":["a/{b}"],"subject":"u","expires":5,"payload":{"a":1}}"#, Ok(true)),
            (r#"{"allow":"true"}"#, Err(())),
            (r#"{"allow":1}"#, Err(())),
            (r#"{"allow":null}"#, Err(())),
            (r"{}", Err(())),
            (r#"{"allow":true,"exp":5}"#, Err(())),
            (r#"{"allow":true,"expires":"5"}"#, Err(())),
            (r#"{"allow":true,"expires":-5}"#, Err(())),
            (r#"{"allow":true,"allow":false}"#, Err(())),
            (r#"{"allow":false,"allow":true}"#, Err(())),
            (r#"{"allow":true,"publish":"*"}"#, Err(())),
            (r#"{"allow":true,"publish":[1]}"#, Err(())),
            (r#"{"allow":true,"publish":[{"match":"a","match_type":"regexp"}]}"#, Err(())),
            (r#"{"allow":true,"publish":[{"match":"a","x":1}]}"#, Err(())),
            (r#"{"allow":true} x"#, Err(())),
            ("true", Err(())),
            ("", Err(())),
            ("<html>", Err(())),
        ];
        for (text, want) in table {
            let got = Answer::parse(text.as_bytes());
            let got = got.map(|answer| answer.is_some()).map_err(|_| ());
            assert_eq!(got, want, "{text}");
        }
        let many = serde_json::json!({"allow": true, "publish": vec!["a"; SELECTORS_MAX + 1]});
        assert!(Answer::parse(many.to_string().as_bytes()).is_err());
        let just = serde_json::json!({"allow": true, "publish": vec!["a"; SELECTORS_MAX]});
        assert!(Answer::parse(just.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn a_grant_is_for_its_role_alone() {
        let text = r#"{"allow":true,"subscribe":["a/{id}"],"publish":["b"],"subject":"u","expires":5,"payload":[1]}"#;
        let answer = Answer::parse(text.as_bytes()).unwrap().unwrap();
        let patterns = Patterns::new(Default::default());
        let grant = |answer: &Answer, role, target: &str| {
            let request = http::Request::builder().uri(target).body(()).unwrap();
            let question = tidewire_auth::Question {
                presented: None,
                role,
                dialect: None,
                audience: "",
                now_ms: 0,
            };
            let pairs = crate::query::Pairs::of(request.uri()).unwrap();
            let parts = request.into_parts().0;
            answer
                .grant(&Asked::new(&question, &parts, &pairs), &patterns)
                .unwrap()
        };
        let reader = grant(&answer, Role::Subscriber, "/topics/c");
        assert!(reader.subscribe && reader.publish.is_empty());
        assert!(reader.private.accepts(b"a/1") && !reader.private.accepts(b"b"));
        assert_eq!(
            (reader.expires_ms, reader.subject.as_deref()),
            (Some(5_000), Some("u"))
        );
        assert_eq!(&*reader.payloads[0].json, "[1]");
        let writer = grant(&answer, Role::Publisher, "/topics/c");
        assert!(!writer.subscribe && writer.private.is_empty());
        assert!(writer.publish.accepts(b"b") && !writer.publish.accepts(b"a/1"));
        assert!(
            !writer.publish.accepts(b"c"),
            "it has a list, and this is not in it"
        );
        assert_eq!(
            (answer.left_ms(4_000), answer.left_ms(6_000)),
            (Some(1_000), Some(0))
        );
        let bare = Answer::parse(br#"{"allow":true}"#).unwrap().unwrap();
        let writer = grant(&bare, Role::Publisher, "/topics/c");
        assert!(writer.publish.accepts(b"c") && !writer.publish.accepts(b"b"));
        for target in [
            "/topics/*",
            "/.well-known/mercure",
            "/.well-known/mercure?topic=c",
        ] {
            let writer = grant(&bare, Role::Publisher, target);
            assert!(writer.publish.is_empty(), "{target}");
        }
        let reader = grant(&bare, Role::Subscriber, "/topics/c");
        assert!(reader.subscribe && reader.private.is_empty());
        assert!(answer.has_ended(5_000) && !answer.has_ended(4_999));
    }
}
