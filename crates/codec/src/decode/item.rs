//! What a stream says, borrowed from the decoder or owned.

/// An event, borrowed until the decoder's next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRef<'a> {
    /// The type; `message` where the stream gave none.
    pub event_type: &'a str,
    /// The data lines, joined by LF.
    pub data: &'a str,
    /// The last event id after this event: its own, or the one that stood before.
    pub last_event_id: &'a str,
}

impl EventRef<'_> {
    /// The event, to keep.
    #[must_use]
    pub fn into_owned(self) -> Event {
        Event {
            event_type: self.event_type.to_owned(),
            data: self.data.to_owned(),
            last_event_id: self.last_event_id.to_owned(),
        }
    }
}

/// An event, as [`EventRef`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The type; `message` where the stream gave none.
    pub event_type: String,
    /// The data lines, joined by LF.
    pub data: String,
    /// The last event id after this event: its own, or the one that stood before.
    pub last_event_id: String,
}

/// One thing that a stream says, borrowed until the decoder's next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemRef<'a> {
    /// A finished event with data.
    Event(EventRef<'a>),
    /// A comment line, without its colon and one space after that. It comes where it stands, even within a block.
    Comment(&'a str),
    /// The reconnection time in milliseconds, in force from here on. Not clamped; `u64::MAX` where it overflows.
    Retry(u64),
}

impl ItemRef<'_> {
    /// The item, to keep.
    #[must_use]
    pub fn into_owned(self) -> Item {
        match self {
            Self::Event(event) => Item::Event(event.into_owned()),
            Self::Comment(text) => Item::Comment(text.to_owned()),
            Self::Retry(ms) => Item::Retry(ms),
        }
    }
}

/// One thing that a stream says, as [`ItemRef`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A finished event with data.
    Event(Event),
    /// A comment line.
    Comment(String),
    /// The reconnection time in milliseconds.
    Retry(u64),
}
