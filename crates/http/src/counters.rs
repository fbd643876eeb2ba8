//! What this crate counts. Deliveries are counted by the engine; requests, refusals, publishes and connections here. How all of
//! it is shown is `metrics`'s.

mod latency;
mod reason;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidewire_log::Appended;

pub(crate) use latency::{BOUNDS_MS, Latency, Observed};
pub(crate) use reason::Reason;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one hub, from its start on.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Debug, Default)]
        pub(crate) struct Counting {
            $(pub(crate) $name: Count,)*
            /// Publish requests, by [`PublishKind`].
            pub(crate) publishes: [Count; PublishKind::ALL.len()],
            /// Requests refused, and batches that ended with an error, by [`Reason`].
            pub(crate) refusals: Refusals,
            /// From the append to its answer, of the appends that were committed.
            pub(crate) commit: Latency,
            /// Connections being served, those whose socket a shard has not among them.
            pub(crate) serving: Level,
        }

        impl Counting {
            pub(crate) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.now(),)* }
            }
        }
    };
}

/// A count for each reason.
#[derive(Debug)]
pub(crate) struct Refusals([Count; Reason::ALL.len()]);

impl Default for Refusals {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl Refusals {
    pub(crate) fn of(&self, reason: Reason) -> &Count {
        &self.0[reason as usize]
    }
}

counters! {
    /// Connections accepted.
    connections,
    /// Times that accepting failed, for want of descriptors mostly.
    accept_errors,
    /// TLS handshakes that succeeded.
    tls_handshakes,
    /// TLS handshakes that failed, or took too long.
    tls_failed,
    /// Connections that spoke plain HTTP to a TLS listener.
    plain_on_tls,
    /// Requests refused before anything else looked at them: names, forwarding, origins.
    not_admitted,
    /// Requests refused for their token, or for want of one.
    not_authorized,
    /// Subscribes that began a stream.
    streams,
    /// Of these, the ones whose connection was taken from hyper: its socket went to a shard, or into a task of its own.
    taken_over,
    /// Streams that began with a gap.
    gaps,
    /// Subscribes refused for now, by status 429 or 503.
    refused,
    /// Subscribes refused for now, by a stream that ends at once: a browser's EventSource tries that again.
    refused_softly,
    /// Pages answered.
    pages,
    /// Events published and committed.
    events,
    /// Bytes of data of the events that were published and committed, or that had been stored before.
    event_bytes,
    /// Events that had been stored before, by their idempotency key.
    duplicates,
    /// Publishes refused, for whatever reason.
    publishes_refused,
    /// Batches cut because their acknowledgements were not read.
    batches_cut,
}

impl Counting {
    pub(crate) fn publish(&self, kind: PublishKind) {
        self.publishes[kind as usize].one();
    }

    /// An append was committed: its events, the bytes of their data, and how long it took.
    pub(crate) fn committed(&self, appended: &[Appended], bytes: usize, took: Duration) {
        let duplicates = appended.iter().filter(|one| one.duplicate).count();
        self.events.add(appended.len() - duplicates);
        self.duplicates.add(duplicates);
        self.event_bytes.add(bytes);
        self.commit.observe(took);
    }

    pub(crate) fn refuse(&self, reason: Reason) {
        self.refusals.of(reason).one();
    }
}

/// How a publish's events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishKind {
    /// The data alone, to a topic's own path.
    Raw,
    /// Mercure's form.
    Form,
    /// A JSON array.
    Array,
    /// NDJSON.
    Batch,
}

impl PublishKind {
    pub(crate) const ALL: [Self; 4] = [Self::Raw, Self::Form, Self::Array, Self::Batch];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Form => "form",
            Self::Array => "array",
            Self::Batch => "ndjson",
        }
    }
}

/// Only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many of something there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level(Arc<AtomicU64>);

/// One of them; it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Present(Level);

impl Level {
    pub(crate) fn enter(&self) -> Present {
        self.0.fetch_add(1, Ordering::Relaxed);
        Present(self.clone())
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
