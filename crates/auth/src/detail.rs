//! What modern tokens grant with: RFC 9396's authorization details, of Mercure's type (mercure.md, 2.35).

use std::fmt;

use serde_json::{Map, Value, json};
use tidewire_core::{Matcher, MatcherSet, PatternError, Patterns};

use crate::{Refusal, Role};

/// The type of a detail that is ours, compared byte by byte.
pub const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";
/// How many details of our type a token may have.
pub const DETAILS_MAX: usize = 100;
/// How many topics they may name together.
pub const DETAIL_TOPICS_MAX: usize = 100;
/// The longest text that one of them may match with, in bytes.
pub const DETAIL_MATCH_BYTES_MAX: usize = 4096;

/// One thing that a modern token grants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// It grants to publish to these topics.
    pub publish: bool,
    /// It grants to read private events of these topics.
    pub subscribe: bool,
    /// The topics; at least one.
    pub topics: Vec<TopicMatch>,
    /// What others are shown of a subscriber to them.
    pub payload: Option<Value>,
}

/// Topics that a detail is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicMatch {
    /// One topic, or `*` for every topic (`exact`).
    Exact(String),
    /// Those that a URL pattern matches, or `*` (`urlpattern`).
    UrlPattern(String),
}

/// What is wrong with a detail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DetailError {
    /// A member is missing or has the wrong shape; says which.
    Shape(&'static str),
    /// It matches by rules that we do not know.
    MatchType,
    /// There are more details than [`DETAILS_MAX`].
    Details,
    /// They name more topics than [`DETAIL_TOPICS_MAX`].
    Topics,
    /// A `match` is longer than [`DETAIL_MATCH_BYTES_MAX`].
    TooLong,
    /// A `match` is no topic, or no URL pattern.
    Pattern(PatternError),
}

impl fmt::Display for DetailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(member) => write!(f, "its `{member}` is missing or has the wrong shape"),
            Self::MatchType => write!(f, "its `match_type` is neither `exact` nor `urlpattern`"),
            Self::Details => write!(f, "there are more than {DETAILS_MAX} of this type"),
            Self::Topics => write!(f, "more than {DETAIL_TOPICS_MAX} topics are named"),
            Self::TooLong => write!(f, "a `match` is longer than {DETAIL_MATCH_BYTES_MAX} bytes"),
            Self::Pattern(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DetailError {}

impl Detail {
    /// Those of our type. Others are somebody else's, whatever their shape; any defect in one of ours spoils the token.
    pub(crate) fn parse_all(claim: Option<&Value>) -> Result<Vec<Self>, Refusal> {
        let entries = match claim {
            None => return Ok(Vec::new()),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(Refusal::Claim(crate::claims::DETAILS)),
        };
        let mut details = Vec::new();
        let mut topics = 0;
        for (index, entry) in entries.iter().enumerate() {
            if entry.get("type").and_then(Value::as_str) != Some(DETAIL_TYPE) {
                continue;
            }
            let defect = |why| Refusal::Detail { index, why };
            let detail = entry
                .as_object()
                .ok_or(DetailError::Shape("type"))
                .and_then(Self::parse)
                .map_err(defect)?;
            topics += detail.topics.len();
            details.push(detail);
            if details.len() > DETAILS_MAX {
                return Err(defect(DetailError::Details));
            }
            if topics > DETAIL_TOPICS_MAX {
                return Err(defect(DetailError::Topics));
            }
        }
        Ok(details)
    }

    fn parse(entry: &Map<String, Value>) -> Result<Self, DetailError> {
        let actions = list(entry, "actions")?;
        let mut detail = Self::default();
        for action in actions {
            match action.as_str() {
                Some("publish") => detail.publish = true,
                Some("subscribe") => detail.subscribe = true,
                Some(_) => {}
                None => return Err(DetailError::Shape("actions")),
            }
        }
        let topics = list(entry, "topics")?;
        if topics.len() > DETAIL_TOPICS_MAX {
            return Err(DetailError::Topics);
        }
        detail.topics = topics
            .iter()
            .map(TopicMatch::parse)
            .collect::<Result<_, _>>()?;
        detail.payload = match entry.get("payload") {
            None | Some(Value::Null) => None,
            Some(payload) => Some(payload.clone()),
        };
        Ok(detail)
    }

    pub(crate) fn to_json(&self) -> Value {
        let actions = [("publish", self.publish), ("subscribe", self.subscribe)];
        let actions: Vec<&str> = actions
            .into_iter()
            .filter_map(|(name, has)| has.then_some(name))
            .collect();
        let topics: Vec<Value> = self.topics.iter().map(TopicMatch::to_json).collect();
        let mut entry = json!({ "type": DETAIL_TYPE, "actions": actions, "topics": topics });
        if let Some(payload) = &self.payload {
            entry["payload"] = payload.clone();
        }
        entry
    }

    pub(crate) fn grants(&self, role: Role) -> bool {
        match role {
            Role::Publisher => self.publish,
            Role::Subscriber => self.subscribe,
        }
    }

    pub(crate) fn matchers(&self, patterns: &Patterns) -> Result<MatcherSet, PatternError> {
        self.topics
            .iter()
            .map(|topic| topic.matcher(patterns))
            .collect()
    }
}

/// RFC 9396, section 2.2: an array; ours must not be empty.
fn list<'a>(
    entry: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a Vec<Value>, DetailError> {
    entry
        .get(name)
        .and_then(Value::as_array)
        .filter(|items| !items.is_empty())
        .ok_or(DetailError::Shape(name))
}

impl TopicMatch {
    fn parse(value: &Value) -> Result<Self, DetailError> {
        let entry = value.as_object().ok_or(DetailError::Shape("topics"))?;
        let text = entry
            .get("match")
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or(DetailError::Shape("match"))?;
        if text.len() > DETAIL_MATCH_BYTES_MAX {
            return Err(DetailError::TooLong);
        }
        match entry.get("match_type") {
            None => Ok(Self::Exact(text.to_owned())),
            Some(Value::String(name)) if name == "exact" => Ok(Self::Exact(text.to_owned())),
            Some(Value::String(name)) if name == "urlpattern" => {
                Ok(Self::UrlPattern(text.to_owned()))
            }
            Some(_) => Err(DetailError::MatchType),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Exact(text) => json!({ "match": text }),
            Self::UrlPattern(text) => json!({ "match": text, "match_type": "urlpattern" }),
        }
    }

    /// `*` is every topic whatever the type (mercure.md, 2.6).
    fn matcher(&self, patterns: &Patterns) -> Result<Matcher, PatternError> {
        match self {
            Self::Exact(text) => Patterns::exact(text),
            Self::UrlPattern(text) => patterns.url_pattern(text),
        }
    }
}
