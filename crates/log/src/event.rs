//! Events on their way into a log.

use tidewire_codec::{EventId, EventType};
use tidewire_core::{ProducerKey, Topic};

/// What a publisher published, every part of it already checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its topics: at least one; the first is the canonical one.
    pub topics: Vec<Topic>,
    /// Its data. Line ends become those of the event stream.
    pub data: String,
    /// Its type; none means `message`.
    pub event_type: Option<EventType>,
    /// The id its publisher gave it; none: the hub's own id is shown.
    pub id: Option<EventId>,
    /// The reconnection time it sets, in milliseconds.
    pub retry_ms: Option<u64>,
    /// Whether a subscriber needs a grant to read it.
    pub private: bool,
    /// Whether the hub itself says here that a subscription began or ended: see [`crate::Presence`].
    pub presence: bool,
    /// When it was published, in milliseconds since 1970; the log raises it to its predecessor's if that is later.
    pub time_ms: u64,
    /// By which a repeated publication is known.
    pub producer: Option<ProducerKey>,
}

impl Event {
    /// A public event with nothing but a topic and data.
    #[must_use]
    pub fn new(topic: Topic, data: impl Into<String>, time_ms: u64) -> Self {
        Self {
            topics: vec![topic],
            data: data.into(),
            event_type: None,
            id: None,
            retry_ms: None,
            private: false,
            presence: false,
            time_ms,
            producer: None,
        }
    }

    /// A public event with nothing but a topic and data, whose time whoever publishes it has yet to set.
    #[must_use]
    pub fn public(topic: Topic, data: impl Into<String>) -> Self {
        Self::new(topic, data, 0)
    }

    /// The same as [`Event::public`], for those alone who may read it.
    #[must_use]
    pub fn private(topic: Topic, data: impl Into<String>) -> Self {
        Self {
            private: true,
            ..Self::public(topic, data)
        }
    }
}
