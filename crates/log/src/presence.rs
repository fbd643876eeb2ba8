//! Presence: what the hub tells, in the log and by its API, of a subscription that began or ended, in both dialects of
//! Mercure. A presence record holds the modern dialect's bytes; the legacy dialect's are made from them.
//!
//! Not here: who subscribes. That is the business of whoever appends.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidewire_codec::EventType;
use tidewire_core::{RecordRef, Topic, TopicError};

use crate::Event;
use crate::encode::data_of;

/// The JSON-LD context of the legacy dialect's documents (mercure.md, 1.13).
pub const CONTEXT: &str = "https://mercure.rocks/";

/// The type of a presence event in the modern dialect (mercure.md, 2.61).
const EVENT_TYPE: &str = "mercure";

/// mercure.md, 2.60: all but RFC 3986's unreserved characters are encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text as a segment of a path or topic of presence.
#[must_use]
pub fn path_segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// What kind of matcher a subscription has (mercure.md, 2.12 and 2.60).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchType {
    /// One topic, or `*`.
    Exact,
    /// A WHATWG URL pattern.
    UrlPattern,
    /// An RFC 6570 template, as the legacy dialect's selectors may be.
    UriTemplate,
}

impl MatchType {
    /// Every kind there is, as they are spelled in paths, tokens and metadata.
    pub const NAMES: [&str; 3] = ["exact", "urlpattern", "uritemplate"];

    /// As it is spelled.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl fmt::Display for MatchType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no kind of matcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMatchType;

impl fmt::Display for UnknownMatchType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not one of {}", Self::names())
    }
}

impl UnknownMatchType {
    fn names() -> String {
        MatchType::NAMES.join(", ")
    }
}

impl std::error::Error for UnknownMatchType {}

impl FromStr for MatchType {
    type Err = UnknownMatchType;

    fn from_str(name: &str) -> Result<Self, UnknownMatchType> {
        match name {
            "exact" => Ok(Self::Exact),
            "urlpattern" => Ok(Self::UrlPattern),
            "uritemplate" => Ok(Self::UriTemplate),
            _ => Err(UnknownMatchType),
        }
    }
}

/// One matcher of one subscriber, and whether it is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence<'a> {
    /// What kind of matcher.
    pub match_type: MatchType,
    /// The matcher as it was asked for.
    pub text: Cow<'a, str>,
    /// The subscriber's id, one a connection: `urn:uuid:...`.
    pub subscriber: Cow<'a, str>,
    /// It began; else it ended.
    pub active: bool,
    /// What the subscriber's token says of it.
    pub payload: Option<Cow<'a, Value>>,
}

impl Presence<'_> {
    /// What a presence record tells; `None` if it is none.
    #[must_use]
    pub fn of(record: &RecordRef<'_>) -> Option<Presence<'static>> {
        let data = record.presence().then(|| data_of(record))?;
        Self::parse(&data)
    }

    /// Back from a record's data; `None` if that is none.
    pub(crate) fn parse(data: &str) -> Option<Presence<'static>> {
        let stored: Stored = serde_json::from_str(data).ok()?;
        Some(Presence {
            match_type: stored.match_type.parse().ok()?,
            text: stored.text.into(),
            subscriber: stored.subscriber.into(),
            active: stored.active,
            payload: stored.payload.map(Cow::Owned),
        })
    }

    /// The event that tells of it. Its topics are the modern and then the legacy one, below the hub's path.
    ///
    /// # Errors
    /// If the matcher is so long that, encoded, it fits no topic.
    pub fn event(&self, hub_path: &str, time_ms: u64) -> Result<Event, TopicError> {
        let modern = Topic::parse(&self.modern_id(hub_path))?;
        let legacy = Topic::parse(&self.legacy_id(hub_path))?;
        let mut event = Event::new(modern, self.modern_data(hub_path), time_ms);
        event.topics.push(legacy);
        event.event_type = EventType::parse(EVENT_TYPE).ok();
        // mercure.md, 2.61: presence is for whoever has a grant on it.
        event.private = true;
        event.presence = true;
        Ok(event)
    }

    /// mercure.md, 2.60: where it is in the modern dialect.
    #[must_use]
    pub fn modern_id(&self, hub_path: &str) -> String {
        let (text, subscriber) = self.segments();
        format!(
            "{hub_path}/subscriptions/{}/{text}/{subscriber}",
            self.match_type
        )
    }

    /// mercure.md, 1.13: where it is in the legacy dialect.
    #[must_use]
    pub fn legacy_id(&self, hub_path: &str) -> String {
        let (text, subscriber) = self.segments();
        format!("{hub_path}/subscriptions/{text}/{subscriber}")
    }

    fn segments(&self) -> (String, String) {
        (path_segment(&self.text), path_segment(&self.subscriber))
    }

    /// mercure.md, 2.61: the document that says it in the modern dialect.
    #[must_use]
    pub fn modern(&self, hub_path: &str) -> impl Serialize + use<'_> {
        Modern {
            id: self.modern_id(hub_path),
            kind: "subscription",
            match_type: self.match_type.as_str(),
            text: &self.text,
            subscriber: &self.subscriber,
            active: self.active,
            payload: self.payload.as_deref(),
        }
    }

    /// mercure.md, 1.13 and 1.14: the document that says it in the legacy dialect, under this id, as part of another one.
    /// `last_event_id`: on its own, as the API shows it.
    #[must_use]
    pub fn legacy<'b>(
        &'b self,
        id: &'b str,
        last_event_id: Option<&'b str>,
    ) -> impl Serialize + use<'b> {
        Legacy {
            context: last_event_id.map(|_| CONTEXT),
            last_event_id,
            ..self.legacy_event(id)
        }
    }

    fn legacy_event<'b>(&'b self, id: &'b str) -> Legacy<'b> {
        Legacy {
            context: Some(CONTEXT),
            id,
            kind: "Subscription",
            subscriber: &self.subscriber,
            topic: &self.text,
            active: self.active,
            last_event_id: None,
            payload: self.payload.as_deref(),
        }
    }

    /// What its event says in the modern dialect: one line.
    fn modern_data(&self, hub_path: &str) -> String {
        serde_json::to_string(&self.modern(hub_path)).expect("strings and a JSON value")
    }

    /// mercure.md, 1.13: what its event says in the legacy dialect, under this id: JSON-LD indented by two spaces.
    pub(crate) fn legacy_data(&self, id: &str) -> String {
        serde_json::to_string_pretty(&self.legacy_event(id)).expect("strings and a JSON value")
    }
}

#[derive(Serialize)]
struct Modern<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    match_type: &'static str,
    #[serde(rename = "match")]
    text: &'a str,
    subscriber: &'a str,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Value>,
}

#[derive(Serialize)]
struct Legacy<'a> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    context: Option<&'static str>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    subscriber: &'a str,
    topic: &'a str,
    active: bool,
    #[serde(rename = "lastEventID", skip_serializing_if = "Option::is_none")]
    last_event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Value>,
}

/// What is read back of [`Modern`].
#[derive(Deserialize)]
struct Stored {
    match_type: String,
    #[serde(rename = "match")]
    text: String,
    subscriber: String,
    active: bool,
    payload: Option<Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidewire_core::TOPIC_BYTES_MAX;

    use super::*;

    const HUB: &str = "/.well-known/mercure";

    fn sample(text: &str) -> Presence<'_> {
        Presence {
            match_type: MatchType::UriTemplate,
            text: text.into(),
            subscriber: "urn:uuid:1".into(),
            active: true,
            payload: None,
        }
    }

    // mercure.md, 2.60: each variable is encoded once, as a whole; only unreserved characters are left bare.
    #[test]
    fn topics_are_percent_encoded() {
        let table = [
            ("https://e.x/{id}", "https%3A%2F%2Fe.x%2F%7Bid%7D"),
            ("*", "%2A"),
            ("a b+c%20", "a%20b%2Bc%2520"),
            ("A-z.0_9~", "A-z.0_9~"),
            ("é", "%C3%A9"),
        ];
        for (text, encoded) in table {
            let presence = sample(text);
            assert_eq!(
                presence.modern_id(HUB),
                format!("{HUB}/subscriptions/uritemplate/{encoded}/urn%3Auuid%3A1")
            );
            assert_eq!(
                presence.legacy_id(HUB),
                format!("{HUB}/subscriptions/{encoded}/urn%3Auuid%3A1")
            );
        }
    }

    #[test]
    fn what_is_told_is_read_back() {
        let payload = json!({"b": [1, "x"], "a": null});
        for payload in [None, Some(payload), Some(json!("text"))] {
            for (active, name) in [true, false].into_iter().zip(MatchType::NAMES) {
                let presence = Presence {
                    match_type: name.parse().unwrap(),
                    active,
                    payload: payload.clone().map(Cow::Owned),
                    ..sample("a\"b")
                };
                let event = presence.event(HUB, 5).unwrap();
                assert_eq!(Presence::parse(&event.data).unwrap(), presence);
                assert!(event.private && event.presence);
            }
        }
        for data in [
            "",
            "{}",
            "[1]",
            "{\"match_type\":\"x\",\"match\":\"a\",\"subscriber\":\"b\",\"active\":true}",
        ] {
            assert_eq!(Presence::parse(data), None, "{data}");
        }
    }

    #[test]
    fn what_fits_no_topic_is_refused() {
        let longest = TOPIC_BYTES_MAX - sample("").modern_id(HUB).len();
        assert!(sample(&"a".repeat(longest)).event(HUB, 0).is_ok());
        let refused = sample(&"a".repeat(longest + 1)).event(HUB, 0);
        assert_eq!(refused, Err(TopicError::TooLong(TOPIC_BYTES_MAX + 1)));
    }
}
