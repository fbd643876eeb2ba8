//! Subscribers as others see them: what is said of one that joins, its key, and how it ended. What a shard keeps of one is in
//! [`crate::kept`].

use std::sync::Arc;

use tidewire_core::{Filter, Form, Position};
use tidewire_log::Gap;

use crate::{Feed, Marks};

/// What a shard needs to know of somebody who joins.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// What is read.
    pub feed: Arc<Feed>,
    /// What of it; already narrowed by a grant.
    pub filter: Filter,
    /// From where on, as [`tidewire_log::Log::locate`] answered.
    pub from: Position,
    /// What was asked for, as the client spelled it, and the gap that was located; told right after the opening.
    pub gap: Option<(String, Gap)>,
    /// In which form.
    pub form: Form,
    /// How the stream says where it is.
    pub checkpoint: Checkpoint,
    /// The stream's unguessable id, told by `tidewire.open`. Empty: its shard names it (see [`crate::Shard::name_with`]).
    pub stream: String,
    /// When its grant ends, in milliseconds of the shard's clock; `None`: never.
    pub ends_ms: Option<u64>,
    /// Whose grant it is.
    pub marks: Marks,
    /// As what others see it, by a number that means nothing here and comes back with [`crate::Revised`]. Zero: not at all.
    pub seen_as: u64,
}

/// How a stream says where it is, beside the ids of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checkpoint {
    /// As events: `tidewire.open` first, `tidewire.at` later. The subscriber also gets `tidewire.expiring` and
    /// `tidewire.closing`.
    #[default]
    Event,
    /// As ids without data.
    Id,
    /// Not at all.
    Off,
}

/// Names a subscriber of one shard. Never reused within a shard, so a late event for one that is gone hits nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberKey {
    index: u32,
    join: u32,
}

impl SubscriberKey {
    pub(crate) fn new(index: u32, join: u32) -> Self {
        Self { index, join }
    }

    pub(crate) fn index(self) -> u32 {
        self.index
    }

    pub(crate) fn join(self) -> u32 {
        self.join
    }
}

/// As one number, for an event loop's own tables.
impl From<SubscriberKey> for u64 {
    fn from(key: SubscriberKey) -> Self {
        Self::from(key.join) << 32 | Self::from(key.index)
    }
}

/// Back from that number; one that was never given out names nobody.
impl From<u64> for SubscriberKey {
    fn from(bits: u64) -> Self {
        let low = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        Self::new(low(bits), low(bits >> 32))
    }
}

/// A subscriber that is no more, and its sink, for whoever has to finish and close it.
#[derive(Debug)]
pub struct Ended<S> {
    /// Which.
    pub key: SubscriberKey,
    /// Its sink. The last control frames were offered to it, if it could take any.
    pub sink: S,
    /// Why.
    pub reason: EndReason,
    /// How many events' frames its sink took.
    pub delivered: u64,
    /// When it joined, in milliseconds of the shard's clock, or up to 50 before.
    pub joined_ms: u64,
}

/// Why a subscriber ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Its sink is gone.
    Closed,
    /// Its sink was full for the whole stall deadline.
    Stalled,
    /// The stream reached its greatest life; the client reconnects.
    Life,
    /// Its grant ended.
    Grant,
    /// Its grant was revoked.
    Revoked,
    /// The hub stops.
    Drain,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Closed,
        Self::Stalled,
        Self::Life,
        Self::Grant,
        Self::Revoked,
        Self::Drain,
    ];

    /// As it is spelled in `tidewire.closing`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Stalled => "stalled",
            Self::Life => "life",
            Self::Grant => "grant",
            Self::Revoked => "revoked",
            Self::Drain => "drain",
        }
    }
}
