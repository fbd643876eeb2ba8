//! Records: an event as a log stores it, with what is needed to route it, followed by its frame.
//!
//! The same bytes lie in memory and on disk. Integers are little-endian; lengths are in bytes.
//!
//! ```text
//!  0  u8   version (1)
//!  1  u8   flags: bit 0 private, bit 1 presence; the others are zero, and passed over by a build that does not know them
//!  2  u16  how many topics (at least one)
//!  4  u32  length of the topics
//!  8  u64  position
//! 16  u64  time, in milliseconds since 1970
//! 24  u32  length of the fields
//! 28  u8   length of the frame's chunk head
//! 29  u8 x 3  zero
//! 32  topics: u16 length, UTF-8 bytes, each
//!     fields: u8 tag, u32 length, bytes, each; a tag that a reader does not know is skipped
//!     frame: all the rest
//! ```

use std::fmt;

use crate::{Frame, Position, Topic};

const VERSION: u8 = 1;
const HEADER: usize = 32;
const FLAG_PRIVATE: u8 = 1;
const FLAG_PRESENCE: u8 = 2;
const TAG_PUBLISHER_ID: u8 = 1;
const TAG_PRODUCER_KEY: u8 = 2;
const TAG_EXPIRY: u8 = 3;
const FIELD_HEADER: usize = 5;

/// Names one publication of one producer, so that the same publication tried again is stored once: an `Idempotency-Key`
/// and who sent it, both hashed, and a digest of what was published, so that a key reused for something else is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerKey {
    /// A hash of producer and key.
    pub key: [u8; 16],
    /// A hash of the event that was published with it.
    pub digest: [u8; 16],
}

/// What a record holds besides its frame, on its way into a log.
#[derive(Clone, Copy, Debug)]
pub struct RecordFields<'a> {
    /// Where it stands.
    pub position: Position,
    /// When it was published, in milliseconds since 1970.
    pub time_ms: u64,
    /// Whether a subscriber needs a grant to read it.
    pub private: bool,
    /// Whether the hub itself says here that a subscription began or ended; then its frame differs by dialect.
    pub presence: bool,
    /// Its topics, 1 to 65,535 of them; the first is the canonical one.
    pub topics: &'a [Topic],
    /// The id that its publisher gave it.
    pub publisher_id: Option<&'a str>,
    /// By which a repeated publication is known.
    pub producer: Option<ProducerKey>,
    /// When it need not be delivered any more, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

impl RecordFields<'_> {
    /// Appends the record's bytes to `buf`.
    ///
    /// # Panics
    /// If there is no topic or more than 65,535 (invariant 11: `http` limits them long before).
    pub fn encode(&self, frame: Frame<'_>, buf: &mut Vec<u8>) {
        self.encode_around(buf, frame.chunk().len(), |buf| {
            buf.extend_from_slice(frame.chunk());
            frame.head_bytes()
        });
    }

    /// Appends the record's bytes to `buf`, with the frame that `frame` appends; it answers by the length of the frame's chunk
    /// head. `frame_bytes` is how long the frame will be, as far as that is known: for so much room is made.
    ///
    /// # Panics
    /// As [`RecordFields::encode`].
    pub fn encode_around(
        &self,
        buf: &mut Vec<u8>,
        frame_bytes: usize,
        frame: impl FnOnce(&mut Vec<u8>) -> u8,
    ) {
        let topics = u16::try_from(self.topics.len()).expect("at most 65,535 topics");
        assert!(topics > 0, "an event has a topic");
        let topics_bytes: usize = self
            .topics
            .iter()
            .map(|topic| 2 + topic.as_bytes().len())
            .sum();
        // Exact, so that the block of a single event is made of these bytes as they are.
        buf.reserve(HEADER + topics_bytes + self.fields_bytes() + frame_bytes);
        buf.push(VERSION);
        buf.push(self.flags());
        buf.extend_from_slice(&topics.to_le_bytes());
        buf.extend_from_slice(&length(topics_bytes).to_le_bytes());
        buf.extend_from_slice(&self.position.0.to_le_bytes());
        buf.extend_from_slice(&self.time_ms.to_le_bytes());
        let fields_at = buf.len();
        buf.extend_from_slice(&[0; 4]);
        buf.extend_from_slice(&[0; 4]);
        for topic in self.topics {
            let bytes = topic.as_bytes();
            buf.extend_from_slice(
                &u16::try_from(bytes.len())
                    .expect("TOPIC_BYTES_MAX fits")
                    .to_le_bytes(),
            );
            buf.extend_from_slice(bytes);
        }
        let before = buf.len();
        self.encode_fields(buf);
        debug_assert_eq!(buf.len() - before, self.fields_bytes());
        let fields_bytes = length(buf.len() - before);
        buf[fields_at..fields_at + 4].copy_from_slice(&fields_bytes.to_le_bytes());
        buf[fields_at + 4] = frame(buf);
    }

    fn flags(&self) -> u8 {
        let private = if self.private { FLAG_PRIVATE } else { 0 };
        let presence = if self.presence { FLAG_PRESENCE } else { 0 };
        private | presence
    }

    fn fields_bytes(&self) -> usize {
        let sizes = [
            self.publisher_id.map(str::len),
            self.producer.map(|_| size_of::<ProducerKey>()),
            self.expires_ms.map(|_| size_of::<u64>()),
        ];
        sizes.iter().flatten().map(|size| FIELD_HEADER + size).sum()
    }

    fn encode_fields(&self, buf: &mut Vec<u8>) {
        if let Some(id) = self.publisher_id {
            field(buf, TAG_PUBLISHER_ID, &[id.as_bytes()]);
        }
        if let Some(producer) = &self.producer {
            field(buf, TAG_PRODUCER_KEY, &[&producer.key, &producer.digest]);
        }
        if let Some(expires_ms) = self.expires_ms {
            field(buf, TAG_EXPIRY, &[&expires_ms.to_le_bytes()]);
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("an event is bounded far below 4 GiB")
}

fn field(buf: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    buf.push(tag);
    buf.extend_from_slice(&length(parts.iter().map(|part| part.len()).sum()).to_le_bytes());
    parts.iter().for_each(|part| buf.extend_from_slice(part));
}

/// A record's bytes, read in place. A record never changes (invariant 2).
#[derive(Clone, Copy)]
pub struct RecordRef<'a> {
    bytes: &'a [u8],
    topics_end: usize,
    fields_end: usize,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// A version that this build does not know: written by a newer Tidewire.
    Version(u8),
    /// The parts do not fit together: damaged.
    Malformed,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(
                f,
                "record version {version} is newer than this build (it knows {VERSION})"
            ),
            Self::Malformed => write!(f, "the record's parts do not fit together"),
        }
    }
}

impl std::error::Error for RecordError {}

impl<'a> RecordRef<'a> {
    /// Checks that the bytes are one whole record, every part of it, and no more.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(RecordError::Version(version)),
            None => return Err(RecordError::Malformed),
        }
        Self::parse_v1(bytes).ok_or(RecordError::Malformed)
    }

    fn parse_v1(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let topics_end = HEADER.checked_add(u32_at(header, 4) as usize)?;
        let fields_end = topics_end.checked_add(u32_at(header, 24) as usize)?;
        let frame = bytes.get(fields_end..)?;
        let record = Self {
            bytes,
            topics_end,
            fields_end,
        };
        let count = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let topics = record.topics().take(count + 1);
        let mut found = 0;
        let mut size = 0;
        for topic in topics {
            std::str::from_utf8(topic).ok()?;
            found += 1;
            size += 2 + topic.len();
        }
        let fields: usize = record
            .fields()
            .map(|(_, value)| FIELD_HEADER + value.len())
            .sum();
        let whole = found == count
            && count > 0
            && size == topics_end - HEADER
            && fields == fields_end - topics_end
            && frame.len() >= usize::from(header[28]) + 2
            && frame.ends_with(b"\r\n");
        whole.then_some(record)
    }

    /// The record in bytes that [`RecordRef::parse`] has accepted before: its parts are found but not checked again.
    ///
    /// # Panics
    /// If the bytes are shorter than they say.
    #[must_use]
    pub fn checked_before(bytes: &'a [u8]) -> Self {
        let topics_end = HEADER + u32_at(bytes, 4) as usize;
        let fields_end = topics_end + u32_at(bytes, 24) as usize;
        debug_assert!(fields_end <= bytes.len());
        Self {
            bytes,
            topics_end,
            fields_end,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(u64_at(self.bytes, 8))
    }

    /// When it was published, in milliseconds since 1970.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        u64_at(self.bytes, 16)
    }

    /// Whether a subscriber needs a grant to read it.
    #[must_use]
    pub fn private(&self) -> bool {
        self.bytes[1] & FLAG_PRIVATE != 0
    }

    /// Whether the hub itself says here that a subscription began or ended; then its frame differs by dialect.
    #[must_use]
    pub fn presence(&self) -> bool {
        self.bytes[1] & FLAG_PRESENCE != 0
    }

    /// Its topics, in the publisher's order; UTF-8.
    pub fn topics(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let mut rest = self.bytes.get(HEADER..self.topics_end).unwrap_or_default();
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (topic, after) =
                after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            rest = after;
            Some(topic)
        })
    }

    fn fields(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut rest = self
            .bytes
            .get(self.topics_end..self.fields_end)
            .unwrap_or_default();
        std::iter::from_fn(move || {
            let (&tag, after) = rest.split_first()?;
            let (length, after) = after.split_first_chunk::<4>()?;
            let (value, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = after;
            Some((tag, value))
        })
    }

    fn field(&self, wanted: u8) -> Option<&'a [u8]> {
        self.fields()
            .find(|(tag, _)| *tag == wanted)
            .map(|(_, value)| value)
    }

    /// The id that its publisher gave it.
    #[must_use]
    pub fn publisher_id(&self) -> Option<&'a str> {
        self.field(TAG_PUBLISHER_ID)
            .and_then(|id| std::str::from_utf8(id).ok())
    }

    /// By which a repeated publication is known.
    #[must_use]
    pub fn producer(&self) -> Option<ProducerKey> {
        let (key, digest) = self.field(TAG_PRODUCER_KEY)?.split_first_chunk::<16>()?;
        Some(ProducerKey {
            key: *key,
            digest: digest.try_into().ok()?,
        })
    }

    /// When it need not be delivered any more, in milliseconds since 1970.
    #[must_use]
    pub fn expires_ms(&self) -> Option<u64> {
        Some(u64::from_le_bytes(self.field(TAG_EXPIRY)?.try_into().ok()?))
    }

    /// Its frame in [`crate::Form::EventStream`].
    #[must_use]
    pub fn frame(&self) -> Frame<'a> {
        Frame::from_chunk(&self.bytes[self.fields_end..], self.bytes[28])
    }

    /// All of its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.topics().map(String::from_utf8_lossy).collect();
        f.debug_struct("Record")
            .field("position", &self.position())
            .field("topics", &topics)
            .finish_non_exhaustive()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(publisher_id: Option<&str>, producer: Option<ProducerKey>) -> Vec<u8> {
        let topics = ["a", "https://example.com/ü"].map(|name| Topic::parse(name).unwrap());
        let fields = RecordFields {
            position: Position(7),
            time_ms: 1_795_250_000_123,
            private: true,
            presence: publisher_id.is_none(),
            topics: &topics,
            publisher_id,
            producer,
            expires_ms: Some(9),
        };
        let mut buf = Vec::new();
        fields.encode(Frame::from_chunk(b"9\r\ndata: x\n\n\r\n", 3), &mut buf);
        buf
    }

    #[test]
    fn what_is_written_is_read() {
        let producer = ProducerKey {
            key: [1; 16],
            digest: [2; 16],
        };
        for (id, producer) in [
            (None, None),
            (Some("urn:x"), None),
            (Some(""), Some(producer)),
            (None, Some(producer)),
        ] {
            let bytes = sample(id, producer);
            let record = RecordRef::parse(&bytes).unwrap();
            assert_eq!(
                (record.position(), record.time_ms(), record.private()),
                (Position(7), 1_795_250_000_123, true)
            );
            assert_eq!(record.presence(), id.is_none());
            assert_eq!(
                record.topics().collect::<Vec<_>>(),
                [b"a".as_slice(), "https://example.com/ü".as_bytes()]
            );
            assert_eq!(
                (
                    record.publisher_id(),
                    record.producer(),
                    record.expires_ms()
                ),
                (id, producer, Some(9))
            );
            assert_eq!(record.frame().bare(), b"data: x\n\n");
            assert_eq!(record.frame().chunk(), b"9\r\ndata: x\n\n\r\n");
            assert_eq!(RecordRef::checked_before(&bytes).frame(), record.frame());
        }
    }

    #[test]
    fn damage_never_panics() {
        let bytes = sample(Some("id"), None);
        for cut in 0..bytes.len() {
            assert!(RecordRef::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 2, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                if let Ok(record) = RecordRef::parse(&damaged) {
                    let _ = (
                        record.topics().count(),
                        record.publisher_id(),
                        record.frame().bare(),
                    );
                }
            }
        }
        assert_eq!(RecordRef::parse(&[2]).unwrap_err(), RecordError::Version(2));
    }
}
