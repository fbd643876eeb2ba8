//! The engine: subscribers in shards, read from logs, delivered to sinks.
//!
//! One step function serves live, replay, catch-up and gap alike: whoever is at the tail reads the log together, and so do
//! those behind who want the same block of it. A subscriber owns a filter, a cursor, deadlines and a sink, and no queue.
//!
//! There is no clock, no randomness and no I/O here: a driver tells the time and a seed, owns the sockets, and takes steps
//! (feature `driver`, on by default, brings two).

mod cohort;
mod counters;
mod deliver;
#[cfg(feature = "driver")]
pub mod driver;
mod feed;
mod filters;
mod grams;
mod index;
mod interest;
mod kept;
mod lists;
mod patterns;
mod revise;
mod shard;
mod sink;
mod step;
mod subscriber;
mod tell;
mod ticks;
mod wheel;

pub use counters::{Counters, Share, Tally};
pub use feed::Feed;
pub use revise::{Marks, Order, ReviseError, Revised, Revision, Target, Topics};
pub use shard::{Names, Shard, ShardConfig};
pub use sink::{Offer, Sink};
pub use step::Step;
pub use subscriber::{Checkpoint, EndReason, Ended, SubscriberKey, Subscription};
