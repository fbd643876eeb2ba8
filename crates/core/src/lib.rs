//! The words that all of Tidewire shares: topics, filters, positions, cursors, records, frames, grants.
//!
//! Nothing here reads a clock, a file or a socket, and nothing here knows the event-stream syntax: a
//! [`Frame`] is bytes that somebody else encoded. Values are checked where they are made
//! ([`Topic::parse`], [`Cursor::parse`], [`RecordRef::parse`]), so whoever holds one need not check again.

mod cursor;
mod filter;
mod frame;
mod grant;
mod record;
mod topic;

pub use cursor::{Cursor, Epoch, Position};
pub use filter::{Filter, Matcher, MatcherSet};
pub use frame::{Form, Frame};
pub use grant::Grant;
pub use record::{ProducerKey, RecordError, RecordFields, RecordRef};
pub use topic::{TOPIC_BYTES_MAX, Topic, TopicError, unseen_character};
