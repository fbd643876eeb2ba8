//! Bytes to items: the interpretation of WHATWG HTML 9.2.6, incremental and bounded. Not here: HTTP, reconnection, what a
//! program does with `retry`.
//!
//! Fed text is kept until the next [`Decoder::feed`]; a field that lies in it whole is handed out as a slice of it. Only
//! what a chunk's end cuts, and data of several lines, is copied aside.

mod item;
mod slot;
mod text;

pub use item::{Event, EventRef, Item, ItemRef};

use std::fmt;
use std::ops::Range;

use slot::Slot;
use text::Text;

use crate::EventId;

/// What a stream may make its reader hold, in bytes of decoded UTF-8 (a replaced byte counts as the three of U+FFFD).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest line, its line ending excluded.
    pub line_bytes_max: usize,
    /// The longest data of one event, as handed out.
    pub event_bytes_max: usize,
}

impl Default for Limits {
    /// 16 MiB each.
    fn default() -> Self {
        Self {
            line_bytes_max: 16 << 20,
            event_bytes_max: 16 << 20,
        }
    }
}

/// The stream exceeds a limit. The sender's fault, or a limit set too low; the decoder stays at the error, and the same
/// stream fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A line is longer than [`Limits::line_bytes_max`], which was this.
    LineTooLong(usize),
    /// An event's data is longer than [`Limits::event_bytes_max`], which was this.
    EventTooLong(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong(max) => {
                write!(f, "a line of the event stream is longer than {max} bytes")
            }
            Self::EventTooLong(max) => write!(f, "an event's data is longer than {max} bytes"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// An incremental decoder of one event stream.
///
/// ```
/// use tidewire_codec::{Decoder, ItemRef};
///
/// let mut decoder = Decoder::new();
/// for chunk in [&b"data: he"[..], b"llo\r", b"\n\r\n"] {
///     decoder.feed(chunk);
///     while let Some(item) = decoder.next_item()? {
///         match item {
///             ItemRef::Event(event) => assert_eq!(event.data, "hello"),
///             ItemRef::Comment(_) | ItemRef::Retry(_) => {}
///         }
///     }
/// }
/// # Ok::<(), tidewire_codec::DecodeError>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    limits: Limits,
    text: Text,
    /// "data buffer"; absent while no data line was seen.
    data: Slot,
    /// "event type buffer".
    event_type: Slot,
    /// The id of the block in progress. The standard's "last event ID buffer" is this, or `last_id` where this is absent.
    id: Slot,
    /// "last event ID string".
    last_id: Slot,
    /// The block's event was handed out and may still be borrowed; its buffers are cleared with the next call.
    handed_out: bool,
    /// The block that ended last had an id of its own.
    had_id: bool,
    failed: Option<DecodeError>,
}

/// What a line led to, as places that outlive the change of state.
enum Found {
    Event,
    Comment(Range<usize>),
    Retry(u64),
}

impl Decoder {
    /// A decoder at the start of a stream, with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder at the start of a stream.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// The same decoder, with the id that events without one carry until the stream sets another.
    #[must_use]
    pub fn with_last_event_id(mut self, id: &EventId) -> Self {
        self.last_id.set_own(id.as_str());
        self
    }

    /// Takes the next bytes of the stream, cut anywhere. Take the items out before the next call: until then they stay,
    /// and the memory that they need grows.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.clear_handed_out();
        if self.text.wants_compaction() {
            for slot in [
                &mut self.data,
                &mut self.event_type,
                &mut self.id,
                &mut self.last_id,
            ] {
                slot.spill(self.text.as_str());
            }
            self.text.drop_consumed();
        }
        self.text.push(chunk);
    }

    /// The next item of what was fed, `None` when more bytes are needed.
    ///
    /// [`Decoder::last_event_id`] is then the id after this item. A block with an id and without data gives no item: the
    /// id moves silently.
    ///
    /// # Errors
    /// When a limit is exceeded, and at every call after that.
    #[inline]
    pub fn next_item(&mut self) -> Result<Option<ItemRef<'_>>, DecodeError> {
        let Some(found) = self.advance()? else {
            return Ok(None);
        };
        let text = self.text.as_str();
        Ok(Some(match found {
            Found::Event => ItemRef::Event(EventRef {
                // 9.2.6: the event type buffer, where it is not the empty string, else `message`.
                event_type: match self.event_type.as_str(text) {
                    "" => "message",
                    event_type => event_type,
                },
                data: self.data.as_str(text),
                last_event_id: self.last_id.as_str(text),
            }),
            Found::Comment(range) => ItemRef::Comment(&text[range]),
            Found::Retry(ms) => ItemRef::Retry(ms),
        }))
    }

    /// The id of the last finished block that had one; the empty string before, and after an empty id.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.last_id.as_str(self.text.as_str())
    }

    /// True when the event handed out last named an id itself, false when it carries one that stood before.
    #[must_use]
    pub fn event_had_id(&self) -> bool {
        self.had_id
    }

    /// The memory that the decoder holds, in bytes.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        let slots = [&self.data, &self.event_type, &self.id, &self.last_id];
        self.text.capacity() + slots.iter().map(|slot| slot.capacity()).sum::<usize>()
    }

    /// The stream has ended: an unfinished event is dropped, the last event id and the limits stay, and the next
    /// [`Decoder::feed`] starts a new stream. Items not taken are dropped as well.
    ///
    /// Returns true when the stream was cut inside a block or a line.
    pub fn finish(&mut self) -> bool {
        self.clear_handed_out();
        let cut = self.text.has_rest()
            || [&self.data, &self.event_type, &self.id]
                .iter()
                .any(|slot| slot.is_present());
        self.last_id.spill(self.text.as_str());
        for slot in [&mut self.data, &mut self.event_type, &mut self.id] {
            slot.clear();
        }
        self.text.restart();
        self.failed = None;
        cut
    }

    #[inline]
    fn clear_handed_out(&mut self) {
        if self.handed_out {
            self.handed_out = false;
            self.data.clear();
            self.event_type.clear();
        }
    }

    #[inline]
    fn advance(&mut self) -> Result<Option<Found>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.clear_handed_out();
        while let Some(line) = self.text.next_line() {
            if line.is_empty() {
                if self.end_block() {
                    return Ok(Some(Found::Event));
                }
                continue;
            }
            if line.len() > self.limits.line_bytes_max {
                return self.fail(DecodeError::LineTooLong(self.limits.line_bytes_max));
            }
            if let Some(found) = self.take_line(line)? {
                return Ok(Some(found));
            }
        }
        if self.text.rest_len() > self.limits.line_bytes_max {
            return self.fail(DecodeError::LineTooLong(self.limits.line_bytes_max));
        }
        Ok(None)
    }

    fn fail<T>(&mut self, error: DecodeError) -> Result<T, DecodeError> {
        self.failed = Some(error);
        Err(error)
    }

    /// 9.2.6, "dispatch the event". True when there is one; its buffers are then cleared by the next call.
    #[inline]
    fn end_block(&mut self) -> bool {
        // The last event ID string is set also where nothing is dispatched for want of data.
        self.had_id = self.id.is_present();
        if self.had_id {
            std::mem::swap(&mut self.last_id, &mut self.id);
            self.id.clear();
        }
        let dispatched = self.data.is_present();
        if dispatched {
            self.handed_out = true;
        } else {
            self.event_type.clear();
        }
        dispatched
    }

    /// 9.2.6, "process the field". Names are matched literally, case and all; other names are ignored.
    #[inline]
    fn take_line(&mut self, line: Range<usize>) -> Result<Option<Found>, DecodeError> {
        let bytes = &self.text.as_str().as_bytes()[line.clone()];
        let value = |name_len: usize| match bytes[name_len..] {
            [] => Some(line.end..line.end),
            [b':', b' ', ..] => Some(line.start + name_len + 2..line.end),
            [b':', ..] => Some(line.start + name_len + 1..line.end),
            _ => None,
        };
        if bytes.starts_with(b"data") {
            if let Some(value) = value(4) {
                self.take_data(value)?;
            }
        } else if bytes[0] == b':' {
            return Ok(value(0).map(Found::Comment));
        } else if bytes.starts_with(b"id") {
            // An id that contains U+0000 is ignored.
            if let Some(value) = value(2).filter(|value| !self.text.bytes(value).contains(&0)) {
                self.id.set(value);
            }
        } else if bytes.starts_with(b"event") {
            if let Some(value) = value(5) {
                self.event_type.set(value);
            }
        } else if bytes.starts_with(b"retry") {
            return Ok(value(5)
                .and_then(|value| retry_ms(self.text.bytes(&value)))
                .map(Found::Retry));
        }
        Ok(None)
    }

    #[inline]
    fn take_data(&mut self, value: Range<usize>) -> Result<(), DecodeError> {
        let before = if self.data.is_present() {
            self.data.as_str(self.text.as_str()).len() + 1
        } else {
            0
        };
        if before + value.len() > self.limits.event_bytes_max {
            return self.fail(DecodeError::EventTooLong(self.limits.event_bytes_max));
        }
        self.data.push_line(value, self.text.as_str());
        Ok(())
    }
}

/// 9.2.6: "if the field value consists of only ASCII digits". The standard knows no bound; what a u64 cannot hold becomes
/// its greatest value, and readers clamp further.
fn retry_ms(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let ms = value.iter().fold(0_u64, |ms, digit| {
        ms.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(ms)
}
