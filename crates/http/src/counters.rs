//! What this crate counts. Streams are counted by the engine; refusals, publishes and connections here.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one hub, from its start on.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Debug, Default)]
        pub(crate) struct Counting { $(pub(crate) $name: Count,)* }

        impl Counting {
            pub(crate) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
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
    /// Subscribes refused for now, by status 503.
    refused,
    /// Subscribes refused for now, by a stream that ends at once: a browser's EventSource tries that again.
    refused_softly,
    /// Pages answered.
    pages,
    /// Events published and committed.
    events,
    /// Events that had been stored before, by their idempotency key.
    duplicates,
    /// Publishes refused, for whatever reason.
    publishes_refused,
    /// Batches cut because their acknowledgements were not read.
    batches_cut,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}
