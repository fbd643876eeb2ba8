//! Frames: an event's final bytes.

/// In which form a subscriber reads the stream. The record's own frame is [`Form::EventStream`]; the others are encoded
/// from it, at most once a node, when the first subscriber wants them. Presence alone differs between the two dialects of
/// Mercure: of every other record [`Form::Legacy`] is the record's own frame, the same bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// `text/event-stream` as published.
    #[default]
    EventStream,
    /// `text/event-stream` with the event's first topic in the `event` field (`label=topic`).
    Labelled,
    /// `application/x-ndjson`: one object a line.
    Ndjson,
    /// `text/event-stream` for clients of the pre-standard protocol: presence as they know it.
    Legacy,
}

impl Form {
    /// Every form but the record's own.
    pub const DERIVED: [Self; 3] = [Self::Labelled, Self::Ndjson, Self::Legacy];

    /// The form that whatever is not presence has in this form: legacy streams share it with the others.
    #[must_use]
    pub fn but_for_presence(self) -> Self {
        match self {
            Self::Legacy => Self::EventStream,
            other => other,
        }
    }
}

/// One event's bytes, ready for the wire, as one HTTP/1.1 chunk (RFC 9112, section 7.1): head, content, CRLF. The head is
/// part of the shared bytes so that a delivery formats nothing; HTTP/1.0 and HTTP/2 take the content alone.
///
/// The content ends with a blank line (a comment, and NDJSON: with a line feed), so any run of frames is a valid stream (invariant 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    chunk: &'a [u8],
    head_bytes: u8,
}

impl<'a> Frame<'a> {
    /// A frame whose chunk head has this length. Made by whoever encoded or checked the bytes.
    ///
    /// # Panics
    /// If the chunk is shorter than its head and CRLF: a broken assertion of our own.
    #[must_use]
    pub fn from_chunk(chunk: &'a [u8], head_bytes: u8) -> Self {
        assert!(
            chunk.len() >= usize::from(head_bytes) + 2,
            "a frame holds its chunk head and end"
        );
        debug_assert!(chunk.ends_with(b"\r\n"));
        Self { chunk, head_bytes }
    }

    /// The whole chunk, for HTTP/1.1.
    #[must_use]
    pub fn chunk(self) -> &'a [u8] {
        self.chunk
    }

    /// The content alone, for HTTP/1.0, HTTP/2 and bodies that somebody else frames.
    #[must_use]
    pub fn bare(self) -> &'a [u8] {
        &self.chunk[usize::from(self.head_bytes)..self.chunk.len() - 2]
    }

    /// The length of the chunk head in bytes, as [`Frame::from_chunk`] takes it.
    #[must_use]
    pub fn head_bytes(self) -> u8 {
        self.head_bytes
    }
}
