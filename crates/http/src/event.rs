//! An event at the door: parts from a form, a JSON object or a query become an [`Event`] that cannot be wrong.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use tidewire_codec::{EventId, EventType};
use tidewire_core::{
    Dialect, Grant, Matcher, MatcherSet, PatternKind, ProducerKey, TOPIC_BYTES_MAX, Topic,
    TopicError, unseen_character,
};
use tidewire_log::Event;
use tidewire_log::control::CONTROL_TYPE_PREFIX;

use crate::counters::Reason;
use crate::limits::Limits;
use crate::place::Place;
use crate::problem::Problem;

/// The longest id or type, in bytes.
pub const NAME_BYTES_MAX: usize = TOPIC_BYTES_MAX;

/// By what an event is checked.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) place: &'a Place,
    /// Topics that its publisher may publish to.
    pub(crate) granted: &'a MatcherSet,
    /// The dialect in which it is answered.
    pub(crate) dialect: Dialect,
    /// In milliseconds since 1970.
    pub(crate) now_ms: u64,
    /// A topic that was checked already, and may well be this one's again.
    pub(crate) before: Option<&'a Topic>,
}

/// An event as a publisher wrote it. Members that it does not know are ignored, as the form's unknown fields are.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RawEvent<'a> {
    #[serde(default, borrow, deserialize_with = "text")]
    pub(crate) topic: Option<Cow<'a, str>>,
    #[serde(default, borrow, deserialize_with = "texts")]
    pub(crate) topics: Option<Vec<Cow<'a, str>>>,
    #[serde(default, borrow, deserialize_with = "text")]
    pub(crate) data: Option<Cow<'a, str>>,
    #[serde(default, borrow, rename = "type", deserialize_with = "text")]
    pub(crate) event_type: Option<Cow<'a, str>>,
    #[serde(default, borrow, deserialize_with = "text")]
    pub(crate) id: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) private: Option<bool>,
    #[serde(default)]
    pub(crate) retry: Option<u64>,
}

/// A string of a JSON document, as it stands there if it has no escapes: serde borrows inside of an `Option` only when told so.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    let text = Option::<Text<'de>>::deserialize(from)?;
    Ok(text.map(|text| text.0))
}

fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Cow<'de, str>>>, D::Error> {
    let texts = Option::<Vec<Text<'de>>>::deserialize(from)?;
    Ok(texts.map(|texts| texts.into_iter().map(|text| text.0).collect()))
}

impl RawEvent<'_> {
    /// Checks every part of it, in the order of mercure.md, 0.20: that there are topics, how many, which, whether they are granted,
    /// and then the rest.
    pub(crate) fn check(self, rules: &Rules<'_>) -> Result<Event, Problem> {
        let names = match (&self.topic, &self.topics) {
            (Some(_), Some(_)) => {
                return Err(Problem::bad_event("give `topic` or `topics`, not both"));
            }
            (Some(topic), None) => std::slice::from_ref(topic),
            (None, Some(topics)) => topics,
            (None, None) => &[],
        };
        let topics = check_topics(names, rules)?;
        check_granted(&topics, rules.granted)?;
        let data = self.data.unwrap_or_default().into_owned();
        let bytes_max = rules.limits.event_bytes_max;
        if data.len() > bytes_max {
            return Err(Problem::too_large(format!(
                "the event's data has {} bytes; at most {bytes_max} are taken (event_bytes_max)",
                data.len(),
            )));
        }
        Ok(Event {
            topics,
            data,
            event_type: check_type(&self.event_type.unwrap_or_default())?,
            id: check_id(&self.id.unwrap_or_default())?,
            // mercure.md, 0.3: none at all. As a field it would make every client come back at once.
            retry_ms: self.retry.filter(|retry_ms| *retry_ms > 0),
            private: self.private.unwrap_or_default(),
            presence: false,
            time_ms: rules.now_ms,
            producer: None,
        })
    }
}

fn check_topics(names: &[Cow<'_, str>], rules: &Rules<'_>) -> Result<Vec<Topic>, Problem> {
    if names.is_empty() {
        return Err(Problem::bad_event("the event has no topic: give `topic`"));
    }
    let count_max = rules.limits.topics_per_event_max;
    if names.len() > count_max {
        let why = format!(
            "the event has {} topics; at most {count_max} are taken (topics_per_event_max)",
            names.len(),
        );
        return Err(match rules.dialect {
            // mercure.md, 1.9
            Dialect::Legacy => Problem::bad_event(why),
            // mercure.md, 2.24
            Dialect::Modern => Problem::too_large(why),
        });
    }
    let mut topics: Vec<Topic> = Vec::with_capacity(names.len());
    for name in names {
        let topic = match rules.before.filter(|before| before.as_str() == name) {
            Some(before) => before.clone(),
            None => check_topic(name, rules)?,
        };
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    Ok(topics)
}

fn check_topic(name: &str, rules: &Rules<'_>) -> Result<Topic, Problem> {
    let topic = Topic::parse(name).map_err(|error| match error {
        // mercure.md, 2.24
        TopicError::TooLong(_) => Problem::too_large(error.to_string()),
        error => Problem::bad_event(format!("{name:?} is no topic: {error}")),
    })?;
    if !rules.place.is_reserved(name) {
        return Ok(topic);
    }
    let why = format!(
        "the topic {name:?} lies at or below {}, where only the hub itself publishes",
        rules.place.path()
    );
    Err(match rules.dialect {
        // mercure.md, 1.9: the status of old. Which topics are reserved is 2.21's rule in both dialects.
        Dialect::Legacy => Problem::forbidden(Reason::BadEvent, why),
        Dialect::Modern => Problem::bad_event(why),
    })
}

fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    if name.len() > NAME_BYTES_MAX {
        // mercure.md, 2.24
        return Err(Problem::too_large(format!(
            "the {what} has {} bytes; at most {NAME_BYTES_MAX} are taken",
            name.len()
        )));
    }
    match unseen_character(name) {
        Some(c) => Err(Problem::bad_event(format!(
            "the {what} must not hold the control or format character U+{:04X}",
            u32::from(c)
        ))),
        None => Ok(()),
    }
}

fn check_type(name: &str) -> Result<Option<EventType>, Problem> {
    if name.is_empty() {
        return Ok(None);
    }
    check_name("type", name)?;
    // mercure.md, 2.22: `mercure` is the type of the hub's own events about subscriptions.
    if name.starts_with(CONTROL_TYPE_PREFIX) || name == "mercure" {
        return Err(Problem::bad_event(format!(
            "the type {name:?} is the hub's own: nobody may publish `mercure` or a type that starts with `{CONTROL_TYPE_PREFIX}`"
        )));
    }
    EventType::parse(name)
        .map(Some)
        .map_err(|error| Problem::bad_event(format!("the type {error}")))
}

fn check_id(id: &str) -> Result<Option<EventId>, Problem> {
    if id.is_empty() {
        return Ok(None);
    }
    check_name("id", id)?;
    // mercure.md, 2.22: `#` begins the ids that hubs make, `earliest` asks for everything.
    if id.starts_with('#') || id == "earliest" {
        return Err(Problem::bad_event(format!(
            "the id {id:?} is the hub's: an event's own id must not start with `#` and must not be `earliest`"
        )));
    }
    EventId::parse(id)
        .map(Some)
        .map_err(|error| Problem::bad_event(format!("the id {error}")))
}

/// Whether a grant covers every topic of an event (mercure.md, 0.11).
fn check_granted(topics: &[Topic], granted: &MatcherSet) -> Result<(), Problem> {
    match topics
        .iter()
        .find(|topic| !granted.accepts(topic.as_bytes()))
    {
        Some(topic) => Err(Problem::topic_not_granted(topic.as_str())),
        None => Ok(()),
    }
}

/// An `Idempotency-Key`, bound to who sent it: the same key of another publisher is another key.
#[derive(Clone, Debug)]
pub(crate) struct Producer(Sha256);

/// The longest `Idempotency-Key`, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 256;

impl Producer {
    pub(crate) fn of(key: &[u8], grant: &Grant) -> Result<Self, Problem> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Problem::bad_parameter(format!(
                "an Idempotency-Key has 1 to {KEY_BYTES_MAX} bytes, this one {}",
                key.len()
            )));
        }
        let mut hash = Sha256::new();
        for part in [&grant.issuer, &grant.subject] {
            match part {
                Some(part) => update(&mut hash, part.as_bytes()),
                None => hash.update([0xff; 8]),
            }
        }
        // Who has no name is known by what it may: else whoever has another topic could use its keys up.
        if grant.subject.is_none() {
            for matcher in grant.publish.iter() {
                let (kind, text) = match matcher {
                    Matcher::Exact(topic) => (1, topic.as_str()),
                    Matcher::Pattern(pattern) if pattern.kind() == PatternKind::Template => {
                        (2, pattern.as_str())
                    }
                    Matcher::Pattern(pattern) => (3, pattern.as_str()),
                    _ => (0, "*"),
                };
                hash.update([kind]);
                update(&mut hash, text.as_bytes());
            }
            hash.update([0xff; 8]);
        }
        update(&mut hash, key);
        Ok(Self(hash))
    }

    /// The key of the event at an index of what was published with it.
    pub(crate) fn key(&self, index: usize, event: &Event) -> ProducerKey {
        let mut hash = self.0.clone();
        hash.update((index as u64).to_le_bytes());
        ProducerKey {
            key: truncated(hash),
            digest: digest(event),
        }
    }
}

fn digest(event: &Event) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update((event.topics.len() as u64).to_le_bytes());
    for topic in &event.topics {
        update(&mut hash, topic.as_bytes());
    }
    update(&mut hash, event.data.as_bytes());
    let event_type = event.event_type.as_ref().map_or("", EventType::as_str);
    update(&mut hash, event_type.as_bytes());
    update(
        &mut hash,
        event.id.as_ref().map_or("", EventId::as_str).as_bytes(),
    );
    hash.update([u8::from(event.private), u8::from(event.retry_ms.is_some())]);
    hash.update(event.retry_ms.unwrap_or_default().to_le_bytes());
    truncated(hash)
}

/// With its length, so that no two lists of parts hash alike.
fn update(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

fn truncated(hash: Sha256) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&hash.finalize()[..16]);
    out
}

#[cfg(test)]
mod tests {
    use tidewire_core::Patterns;

    use super::*;
    use crate::place::HUB_PATH;

    fn checked(json: &str, limits: &Limits, dialect: Dialect) -> Result<Event, Problem> {
        let raw: RawEvent<'_> = serde_json::from_str(json).unwrap();
        let granted = ["a", "b", "c", "/.well-known/mercure"];
        let granted = granted.map(|topic| Patterns::exact(topic).unwrap());
        raw.check(&Rules {
            limits,
            place: &Place::new(HUB_PATH, None).unwrap(),
            granted: &MatcherSet::from_iter(granted),
            dialect,
            now_ms: 7,
            before: None,
        })
    }

    #[test]
    fn events_are_checked_at_the_door() {
        let limits = Limits {
            event_bytes_max: 8,
            topics_per_event_max: 2,
            ..Limits::default()
        };
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let long_id = format!(r#"{{"topic":"a","id":"{long}"}}"#);
        let long_topic = format!(r#"{{"topic":"{long}"}}"#);
        #[rustfmt::skip]
        let table = [
            (r#"{"topic":"a"}"#, 200),
            (r#"{"topic":"a","data":"12345678"}"#, 200),
            (r#"{"topic":"a","data":"123456789"}"#, 413),
            (r#"{"topics":["a","b"],"data":"x","type":"t","id":"i","private":true,"retry":5}"#, 200),
            (r#"{"topic":"a","topics":["b"]}"#, 400),
            (r#"{"topics":[]}"#, 400),
            (r#"{"data":"x"}"#, 400),
            (r#"{"topic":"*"}"#, 400),
            (r#"{"topic":""}"#, 400),
            (r#"{"topic":"a\u0007"}"#, 400),
            (r#"{"topic":"a","type":"","id":""}"#, 200),
            (r#"{"topic":"a","type":"tidewire.open"}"#, 400),
            (r#"{"topic":"a","type":"tidewired"}"#, 200),
            (r#"{"topic":"a","type":"mercure"}"#, 400),
            (r#"{"topic":"a","type":"x\ny"}"#, 400),
            (r##"{"topic":"a","id":"#1-2"}"##, 400),
            (r#"{"topic":"a","id":"1-2"}"#, 200),
            (r#"{"topic":"a","id":"earliest"}"#, 400),
            (r#"{"topic":"a","id":"x\u0000"}"#, 400),
            (r#"{"topic":"a","id":"\u202e"}"#, 400),
            (&*long_id, 413),
            (&*long_topic, 413),
            (r#"{"topic":"forbidden"}"#, 403),
            (r#"{"topics":["a","forbidden"]}"#, 403),
            // mercure.md, 0.20: what is granted comes before the rest.
            (r##"{"topic":"forbidden","id":"#1"}"##, 403),
            (r##"{"topic":"\u0000","id":"#1"}"##, 400),
        ];
        for (json, want) in table {
            for dialect in [Dialect::Legacy, Dialect::Modern] {
                let got = checked(json, &limits, dialect);
                let status = got.map_or_else(|problem| problem.status().as_u16(), |_| 200);
                assert_eq!(status, want, "{json}");
            }
        }
        #[rustfmt::skip]
        let table = [
            // mercure.md, 1.9 and 2.24
            (r#"{"topics":["a","b","c"]}"#, 400, 413),
            // mercure.md, 1.9 and 2.21
            (r#"{"topic":"/.well-known/mercure"}"#, 403, 400),
        ];
        for (json, legacy, modern) in table {
            for (dialect, want) in [(Dialect::Legacy, legacy), (Dialect::Modern, modern)] {
                let problem = checked(json, &limits, dialect).unwrap_err();
                assert_eq!(problem.status().as_u16(), want, "{json} {dialect:?}");
            }
        }
        // mercure.md, 0.3
        let retry = |json| checked(json, &limits, Dialect::Modern).unwrap().retry_ms;
        assert_eq!(retry(r#"{"topic":"a","retry":0}"#), None);
        assert_eq!(retry(r#"{"topic":"a","retry":1}"#), Some(1));
    }

    #[test]
    fn a_key_is_bound_to_publisher_index_and_event() {
        let grant = |issuer: Option<&str>, subject: Option<&str>| Grant {
            issuer: issuer.map(str::to_owned),
            subject: subject.map(str::to_owned),
            ..Grant::default()
        };
        let event = |json| checked(json, &Limits::default(), Dialect::Modern).unwrap();
        let a = event(r#"{"topic":"a","data":"x"}"#);
        let key = |key: &str, grant: &Grant, index| {
            Producer::of(key.as_bytes(), grant)
                .unwrap()
                .key(index, &a)
                .key
        };
        let anonymous = grant(None, None);
        let nameless = |selectors: &[&str]| {
            let patterns = Patterns::default();
            Grant {
                publish: selectors
                    .iter()
                    .map(|text| patterns.selector(text).unwrap())
                    .collect(),
                ..Grant::default()
            }
        };
        assert_eq!(
            key("k", &nameless(&["a", "b"]), 0),
            key("k", &nameless(&["b", "a"]), 0)
        );
        // Who is named is the same whatever it may.
        let mut named = grant(None, Some("s"));
        let as_named = key("k", &named, 0);
        named.publish = nameless(&["a"]).publish;
        assert_eq!(key("k", &named, 0), as_named);
        assert_eq!(key("k", &anonymous, 0), key("k", &anonymous, 0));
        let all = [
            key("k", &anonymous, 0),
            key("k", &anonymous, 1),
            key("l", &anonymous, 0),
            key("k", &grant(Some("i"), None), 0),
            key("k", &grant(None, Some("i")), 0),
            key("k", &grant(Some("i"), Some("")), 0),
            key("k", &nameless(&["a"]), 0),
            key("k", &nameless(&["b"]), 0),
            key("k", &nameless(&["a", "b"]), 0),
            key("k", &nameless(&["{a}"]), 0),
            key("k", &nameless(&["*"]), 0),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
        let digests = [
            r#"{"topic":"a","data":"x"}"#,
            r#"{"topic":"a","data":"y"}"#,
            r#"{"topic":"b"}"#,
            r#"{"topic":"a","data":"x","private":true}"#,
            r#"{"topic":"a","data":"x","type":"x"}"#,
            r#"{"topic":"a","data":"x","id":"x"}"#,
            r#"{"topic":"a","data":"x","retry":1}"#,
        ]
        .map(|json| digest(&event(json)));
        for (at, one) in digests.iter().enumerate() {
            assert!(!digests[..at].contains(one), "{at}");
        }
        assert!(Producer::of(b"", &anonymous).is_err());
        assert!(Producer::of(&[b'x'; KEY_BYTES_MAX], &anonymous).is_ok());
        assert!(Producer::of(&[b'x'; KEY_BYTES_MAX + 1], &anonymous).is_err());
    }
}
