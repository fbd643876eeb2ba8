//! The words that all of Tidewire shares: topics, filters, positions, cursors, records, frames, grants.
//!
//! Nothing here reads a clock, a file or a socket, and nothing here knows the event-stream syntax: a
//! [`Frame`] is bytes that somebody else encoded. Values are checked where they are made
//! ([`Topic::parse`], [`Cursor::parse`], [`RecordRef::parse`]), so whoever holds one need not check again.

#[cfg(feature = "url-patterns")]
mod automaton;
mod cursor;
mod filter;
mod frame;
mod grant;
mod pattern;
mod pattern_grams;
mod pattern_shape;
#[cfg(feature = "url-patterns")]
mod pattern_url;
mod record;
mod template;
mod topic;
mod topic_ref;

pub use cursor::{Cursor, Epoch, Position};
pub use filter::{Filter, Matcher, MatcherSet};
pub use frame::{Form, Frame};
pub use grant::{Dialect, Grant, Payload};
pub use pattern::{Pattern, PatternError, PatternKind, PatternLimits, Patterns};
pub use pattern_grams::Gram;
pub use pattern_shape::{Segment, Shape, Space};
#[cfg(feature = "url-patterns")]
pub use pattern_url::Base;
pub use record::{ProducerKey, RecordError, RecordFields, RecordRef};
pub use template::TEMPLATE_EXPRESSIONS_MAX;
pub use topic::{TOPIC_BYTES_MAX, Topic, TopicError, unseen_character};
pub use topic_ref::TopicRef;
