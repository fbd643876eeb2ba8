//! The event-stream format (WHATWG HTML, section 9.2): bytes to events and back, without I/O.
//!
//! [`Decoder`] takes bytes in pieces of any size and gives [`ItemRef`]s; [`encode_event`] and [`encode_comment`] append
//! frames to a buffer. What a frame may not hold cannot be put into one: [`EventId`] and [`EventType`] are checked once,
//! where they are made, and data is split into lines.
//!
//! Not here: HTTP, reconnection, time (see `tidewire-client`).
//!
//! ```
//! use tidewire_codec::{Decoder, EventId, Fields, ItemRef, encode_event};
//!
//! let id = EventId::parse("7")?;
//! let mut bytes = Vec::new();
//! encode_event(&mut bytes, &Fields { id: Some(&id), data: Some("two\nlines"), ..Fields::default() });
//! assert_eq!(bytes, b"id: 7\ndata: two\ndata: lines\n\n");
//!
//! let mut decoder = Decoder::new();
//! decoder.feed(&bytes);
//! let Some(ItemRef::Event(event)) = decoder.next_item()? else { panic!("an event was fed") };
//! assert_eq!((event.event_type, event.data, event.last_event_id), ("message", "two\nlines", "7"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod decode;
pub mod encode;
mod field;

pub use decode::{DecodeError, Decoder, Event, EventRef, Item, ItemRef, Limits};
pub use encode::{Fields, encode_comment, encode_event};
pub use field::{EventId, EventType, FieldError};
