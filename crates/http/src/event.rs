//! An event at the door: parts from a form, a JSON object or a query become an [`Event`] that cannot be wrong.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use tidewire_codec::{EventId, EventType};
use tidewire_core::{Grant, MatcherSet, ProducerKey, TOPIC_BYTES_MAX, Topic, unseen_character};
use tidewire_log::Event;
use tidewire_log::control::CONTROL_TYPE_PREFIX;
use url::Url;

use crate::limits::Limits;
use crate::problem::Problem;

/// The longest id or type, in bytes.
pub const NAME_BYTES_MAX: usize = TOPIC_BYTES_MAX;

/// Where the hub itself is; topics there are its own (mercure.md, 2.21). The host never matters.
const HUB_URL: &str = "http://hub.invalid/.well-known/mercure";
const HUB_PATH: &str = "/.well-known/mercure";

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
    /// Checks every part of it. `before` is a topic that was checked already, and may well be this one's again.
    pub(crate) fn check(
        self,
        limits: &Limits,
        now_ms: u64,
        before: Option<&Topic>,
    ) -> Result<Event, Problem> {
        let names = match (&self.topic, &self.topics) {
            (Some(_), Some(_)) => {
                return Err(Problem::bad_event("give `topic` or `topics`, not both"));
            }
            (Some(topic), None) => std::slice::from_ref(topic),
            (None, Some(topics)) => topics,
            (None, None) => &[],
        };
        let topics = check_topics(names, limits, before)?;
        let data = self.data.unwrap_or_default().into_owned();
        if data.len() > limits.event_bytes_max {
            return Err(Problem::too_large(format!(
                "the event's data has {} bytes; at most {} are taken (event_bytes_max)",
                data.len(),
                limits.event_bytes_max
            )));
        }
        Ok(Event {
            topics,
            data,
            event_type: check_type(&self.event_type.unwrap_or_default())?,
            id: check_id(&self.id.unwrap_or_default())?,
            retry_ms: self.retry,
            private: self.private.unwrap_or_default(),
            presence: false,
            time_ms: now_ms,
            producer: None,
        })
    }
}

fn check_topics(
    names: &[Cow<'_, str>],
    limits: &Limits,
    before: Option<&Topic>,
) -> Result<Vec<Topic>, Problem> {
    if names.is_empty() {
        return Err(Problem::bad_event("the event has no topic: give `topic`"));
    }
    if names.len() > limits.topics_per_event_max {
        return Err(Problem::bad_event(format!(
            "the event has {} topics; at most {} are taken (topics_per_event_max)",
            names.len(),
            limits.topics_per_event_max
        )));
    }
    let mut topics: Vec<Topic> = Vec::with_capacity(names.len());
    for name in names {
        let topic = match before.filter(|before| before.as_str() == name) {
            Some(before) => before.clone(),
            None => check_topic(name)?,
        };
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    Ok(topics)
}

fn check_topic(name: &str) -> Result<Topic, Problem> {
    let topic = Topic::parse(name)
        .map_err(|error| Problem::bad_event(format!("{name:?} is no topic: {error}")))?;
    if is_reserved(name) {
        return Err(Problem::bad_event(format!(
            "the topic {name:?} lies below {HUB_PATH}, where only the hub itself publishes"
        )));
    }
    Ok(topic)
}

/// mercure.md, 2.21: resolved against the hub's URL, without dot segments and needless escapes, is it the hub's path or below?
fn is_reserved(topic: &str) -> bool {
    // Nothing else can resolve there; most topics are spared the parser.
    let bytes = topic.as_bytes();
    let names_it = |at: usize| {
        bytes[at] == b'%'
            || bytes[at..]
                .get(..7)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"mercure"))
    };
    if !memchr::memchr3_iter(b'm', b'M', b'%', bytes).any(names_it) {
        return false;
    }
    let resolved = Url::parse(HUB_URL).and_then(|hub| hub.join(topic));
    resolved.is_ok_and(|url| {
        let path = decode_unreserved(url.path());
        path == HUB_PATH
            || path
                .strip_prefix(HUB_PATH)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}

/// RFC 3986, section 6.2.2.2: escapes of unreserved characters say nothing.
fn decode_unreserved(path: &str) -> String {
    let mut parts = path.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.map(char::from) {
            Some(c) if c.is_ascii_alphanumeric() || "-._~".contains(c) => {
                out.push(c);
                out.push_str(&part[2..]);
            }
            _ => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Problem::bad_event(format!(
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
pub(crate) fn check_granted(event: &Event, publish: &MatcherSet) -> Result<(), Problem> {
    match event
        .topics
        .iter()
        .find(|topic| !publish.accepts(topic.as_bytes()))
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
    use super::*;

    fn raw(json: &str) -> RawEvent<'_> {
        serde_json::from_str(json).unwrap()
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
        #[rustfmt::skip]
        let table = [
            (r#"{"topic":"a"}"#, 200),
            (r#"{"topic":"a","data":"12345678"}"#, 200),
            (r#"{"topic":"a","data":"123456789"}"#, 413),
            (r#"{"topics":["a","b"],"data":"x","type":"t","id":"i","private":true,"retry":5}"#, 200),
            (r#"{"topics":["a","b","c"]}"#, 400),
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
            (&*long_id, 400),
            (r#"{"topic":"/.well-known/mercure"}"#, 400),
        ];
        for (json, want) in table {
            let got = raw(json).check(&limits, 7, None);
            let status = got.map_or_else(|problem| problem.status().as_u16(), |_| 200);
            assert_eq!(status, want, "{json}");
        }
    }

    #[test]
    fn the_hubs_own_topics() {
        // mercure.md, 2.21
        #[rustfmt::skip]
        let reserved = [
            "https://example.com/.well-known/mercure", "http://other/.well-known/mercure/x",
            "/.well-known/mercure/subscriptions/foo", "mercure/subscriptions/foo", "mercure", "%6Dercure",
            "/.well-known/%6dercure/x", "https:\\\\example.com\\.well-known\\mercure", "/a/../.well-known/mercure",
            "/%2ewell-known/mercure",
        ];
        #[rustfmt::skip]
        let free = [
            "https://example.com/.well-known/mercureXXX", "https://example.com/foo/.well-known/mercure/bar",
            "subscriptions/foo", "bar", "../mercure/x", "urn:example:mercure", "100%", "MERCURE", "http://[/mercure",
        ];
        for topic in reserved {
            assert!(is_reserved(topic), "{topic}");
        }
        for topic in free {
            assert!(!is_reserved(topic), "{topic}");
        }
    }

    #[test]
    fn a_key_is_bound_to_publisher_index_and_event() {
        let grant = |issuer: Option<&str>, subject: Option<&str>| Grant {
            issuer: issuer.map(str::to_owned),
            subject: subject.map(str::to_owned),
            ..Grant::default()
        };
        let event = |json| raw(json).check(&Limits::default(), 7, None).unwrap();
        let a = event(r#"{"topic":"a","data":"x"}"#);
        let key = |key: &str, grant: &Grant, index| {
            Producer::of(key.as_bytes(), grant)
                .unwrap()
                .key(index, &a)
                .key
        };
        let anonymous = grant(None, None);
        assert_eq!(key("k", &anonymous, 0), key("k", &anonymous, 0));
        let all = [
            key("k", &anonymous, 0),
            key("k", &anonymous, 1),
            key("l", &anonymous, 0),
            key("k", &grant(Some("i"), None), 0),
            key("k", &grant(None, Some("i")), 0),
            key("k", &grant(Some("i"), Some("")), 0),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
        let digests = [
            r#"{"topic":"a","data":"x"}"#,
            r#"{"topic":"a","data":"y"}"#,
            r#"{"topic":"ax"}"#,
            r#"{"topic":"a","data":"x","private":true}"#,
            r#"{"topic":"a","data":"x","type":"x"}"#,
            r#"{"topic":"a","data":"x","id":"x"}"#,
            r#"{"topic":"a","data":"x","retry":0}"#,
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
