//! Subscribers: a filter, a cursor, deadlines and a sink. No queue (invariant 5).

use std::sync::Arc;

use tidewire_core::{Filter, Form, Position};
use tidewire_log::Gap;

use crate::Feed;
use crate::index::Edges;
use crate::tell::Tells;

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
    /// The stream's unguessable id, told by `tidewire.open`.
    pub stream: String,
    /// When its grant ends, in milliseconds of the shard's clock; `None`: never.
    pub ends_ms: Option<u64>,
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
    /// The hub stops.
    Drain,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Closed,
        Self::Stalled,
        Self::Life,
        Self::Grant,
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
            Self::Drain => "drain",
        }
    }
}

/// Never.
pub(crate) const NEVER_MS: u64 = u64::MAX;

/// A subscriber as its shard keeps it. What it has yet to be told is bounded; events are not kept for it (invariant 5).
pub(crate) struct Subscriber<S> {
    pub(crate) sink: S,
    pub(crate) filter: Filter,
    pub(crate) edges: Edges,
    pub(crate) tells: Tells,
    /// Its cursor: the next position it wants. At the tail only a lower bound; see [`crate::feed::Tail`].
    pub(crate) next: Position,
    /// What it wanted next when its client was last given an id.
    pub(crate) told: Position,
    /// The highest floor of a shorter retention that it was told of; [`UNTOLD_FLOOR`] if the opening's gap stands for it.
    pub(crate) floor: Position,
    /// How many events' frames its sink took.
    pub(crate) delivered: u64,
    /// When its sink was last offered something: since then it is silent, or stands still.
    pub(crate) since_ms: u64,
    /// The deadline that the wheel holds for it.
    pub(crate) armed_ms: u64,
    /// When its life ends.
    pub(crate) life_at_ms: u64,
    /// When its grant ends.
    pub(crate) grant_at_ms: u64,
    /// After how much silence it gets a heartbeat; jittered.
    pub(crate) quiet_ms: u64,
    /// Its key's second half.
    pub(crate) join: u32,
    pub(crate) feed: u32,
    pub(crate) place: Place,
    pub(crate) form: Form,
    pub(crate) checkpoint: Checkpoint,
    /// Its sink was offered something.
    pub(crate) opened: bool,
    /// It stands in the list of those who have to be told something.
    pub(crate) listed: bool,
    /// The read that is being delivered is for it.
    pub(crate) served: bool,
    /// It need not be told any more that its grant ends.
    pub(crate) expiring_told: bool,
}

/// Stands for a floor that is not known yet but was told.
pub(crate) const UNTOLD_FLOOR: Position = Position(u64::MAX);

/// Where a subscriber reads.
///
/// ```text
///            AtTail, or up to the tail's cursor
///  Behind ───────────────────────────────────────▶ Tail
///   ▲   │                                           │
///   │   └── Full ──▶ Standing ◀── Full ─────────────┘
///   └─ handle_writable ──┘
/// ```
///
/// Joining is standing in [`Place::Behind`]; ending is possible everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// With everyone at the tail.
    Tail,
    /// In the cohort of its block.
    Behind {
        cohort: u32,
        /// Index among the cohort's members.
        slot: u32,
    },
    /// Nowhere: its sink is full.
    Standing,
}

impl<S> Subscriber<S> {
    /// Its cursor, given that of its feed's tail.
    pub(crate) fn cursor(&self, tail: Position) -> Position {
        match self.place {
            Place::Tail => self.next.max(tail),
            Place::Behind { .. } | Place::Standing => self.next,
        }
    }

    /// Its next deadline; `stall_ms` is how long it may stand still, `expiring_ms` how long before its grant's end it is told.
    pub(crate) fn deadline_ms(&self, stall_ms: u64, expiring_ms: u64) -> u64 {
        let offer = match self.place {
            Place::Standing => stall_ms,
            Place::Tail | Place::Behind { .. } => self.quiet_ms,
        };
        let expiring = if self.expiring_told {
            NEVER_MS
        } else {
            self.grant_at_ms.saturating_sub(expiring_ms)
        };
        self.since_ms
            .saturating_add(offer)
            .min(self.life_at_ms)
            .min(self.grant_at_ms)
            .min(expiring)
    }
}
