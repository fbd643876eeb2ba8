//! Events to records with their frames, and records to the derived forms of their frames.
//!
//! Reading a frame back here goes by the exact lines that [`encode_record`] writes; the decoder for strangers' bytes is
//! `tidewire-codec`'s.

use serde_json::json;
use tidewire_codec::{EventId, EventType, encode};
use tidewire_core::{Cursor, Form, RecordFields, RecordRef};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::block::{Block, Derived};
use crate::control::CONTROL_TYPE_PREFIX;
use crate::{Entry, Event, Presence};

/// Appends an event's record to `buf` and says where it lies there. `cursor` is its hub id, which its frame shows unless
/// the publisher gave an id of its own; `time_ms` is its time, already raised to its predecessor's.
///
/// # Panics
/// If `buf` grows beyond 4 GiB; logs bound their groups far below.
pub fn encode_record(event: &Event, cursor: Cursor, time_ms: u64, buf: &mut Vec<u8>) -> Entry {
    let hub_id;
    let id = match &event.id {
        Some(id) => id,
        None => {
            hub_id = EventId::try_from(cursor.to_string()).expect("a cursor is a valid id");
            &hub_id
        }
    };
    let fields = encode::Fields {
        event_type: event.event_type.as_ref(),
        retry: event.retry_ms,
        id: Some(id),
        data: Some(&event.data),
    };
    let content_bytes = encode::size_hint(&fields);
    let frame_bytes = chunk_head(content_bytes).1 + content_bytes + 2;
    let at = buf.len();
    let record = RecordFields {
        position: cursor.seen(),
        time_ms,
        private: event.private,
        presence: event.presence,
        topics: &event.topics,
        publisher_id: event.id.as_ref().map(EventId::as_str),
        producer: event.producer,
        expires_ms: None,
    };
    record.encode_around(buf, frame_bytes, |buf| {
        chunk(buf, content_bytes, |buf| encode::encode_event(buf, &fields))
    });
    let offset = |bytes: usize| u32::try_from(bytes).expect("a group is below 4 GiB");
    Entry {
        position: cursor.seen(),
        at: offset(at),
        bytes: offset(buf.len() - at),
    }
}

/// The longest chunk head: eight digits and CRLF are more than any frame needs.
const CHUNK_HEAD_BYTES_MAX: usize = 10;

/// Appends one HTTP/1.1 chunk (RFC 9112, section 7.1) around what `content` appends; returns the length of its head.
/// `content_bytes` is how much that will be, as far as it is known: if it is right, nothing has to be moved.
pub(crate) fn chunk(
    buf: &mut Vec<u8>,
    content_bytes: usize,
    content: impl FnOnce(&mut Vec<u8>),
) -> u8 {
    let start = buf.len();
    let (guess, guessed) = chunk_head(content_bytes);
    buf.extend_from_slice(&guess[CHUNK_HEAD_BYTES_MAX - guessed..]);
    content(buf);
    let actual_bytes = buf.len() - start - guessed;
    let (head, length) = chunk_head(actual_bytes);
    let head = &head[CHUNK_HEAD_BYTES_MAX - length..];
    if length == guessed {
        buf[start..start + length].copy_from_slice(head);
    } else {
        buf.splice(start..start + guessed, head.iter().copied());
    }
    buf.extend_from_slice(b"\r\n");
    u8::try_from(length).expect("at most ten")
}

/// The head of a chunk with so much in it: at the end of the array, and its length.
fn chunk_head(content_bytes: usize) -> ([u8; CHUNK_HEAD_BYTES_MAX], usize) {
    let mut head = [0; CHUNK_HEAD_BYTES_MAX];
    let mut at = head.len() - 2;
    head[at..].copy_from_slice(b"\r\n");
    let mut rest = content_bytes;
    loop {
        at -= 1;
        head[at] = b"0123456789abcdef"[rest % 16];
        rest /= 16;
        if rest == 0 {
            return (head, CHUNK_HEAD_BYTES_MAX - at);
        }
    }
}

/// How much longer a derived form often is than the frame itself.
const LABEL_BYTES_LIKELY: usize = 32;

/// Encodes every frame of a block in a derived form; in [`Form::Legacy`] those of presence alone, for the others have none of
/// their own.
pub(crate) fn derive(block: &Block, form: Form) -> Derived {
    let mut bytes = Vec::new();
    let ends = (0..block.len())
        .map(|index| {
            let record = block.record(index);
            if form == Form::Legacy && !record.presence() {
                return (length(&bytes), 0);
            }
            let likely_bytes = record.frame().bare().len() + LABEL_BYTES_LIKELY;
            let head_bytes = chunk(&mut bytes, likely_bytes, |buf| match form {
                Form::Ndjson => encode_ndjson(&record, buf),
                Form::Legacy => encode_legacy(&record, buf),
                Form::EventStream | Form::Labelled => encode_labelled(&record, buf),
            });
            (length(&bytes), head_bytes)
        })
        .collect();
    Derived {
        bytes: bytes.into(),
        ends,
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a block is below 4 GiB")
}

/// The fields of one of our own frames.
#[derive(Default)]
struct Shown<'a> {
    event_type: Option<&'a str>,
    id: &'a str,
    retry: Option<u64>,
    data: String,
}

fn shown<'a>(record: &RecordRef<'a>) -> Shown<'a> {
    let text = std::str::from_utf8(record.frame().bare()).unwrap_or_default();
    let mut shown = Shown::default();
    let mut first = true;
    for line in text.split('\n') {
        match line.split_once(": ") {
            Some(("event", value)) => shown.event_type = Some(value),
            Some(("id", value)) => shown.id = value,
            Some(("retry", value)) => shown.retry = value.parse().ok(),
            Some(("data", value)) => {
                if !std::mem::take(&mut first) {
                    shown.data.push('\n');
                }
                shown.data.push_str(value);
            }
            _ => {}
        }
    }
    shown
}

/// A record's data.
pub(crate) fn data_of(record: &RecordRef<'_>) -> String {
    shown(record).data
}

fn encode_ndjson(record: &RecordRef<'_>, buf: &mut Vec<u8>) {
    let shown = shown(record);
    let topics: Vec<_> = record.topics().map(String::from_utf8_lossy).collect();
    let mut line = json!({
        "id": shown.id,
        "topics": topics,
        "type": shown.event_type.unwrap_or("message"),
        "data": shown.data,
        "private": record.private(),
        "time": rfc3339(record.time_ms()),
    });
    if let Some(retry) = shown.retry {
        line["retry"] = retry.into();
    }
    // An id that its publisher chose does not tell where the event stands.
    if record.publisher_id().is_some() {
        line["position"] = record.position().0.into();
    }
    serde_json::to_writer(&mut *buf, &line).expect("a buffer takes everything");
    buf.push(b'\n');
}

fn encode_labelled(record: &RecordRef<'_>, buf: &mut Vec<u8>) {
    let shown = shown(record);
    let topic = record
        .topics()
        .next()
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    // A topic must not pass for a control event of the hub.
    let label = if topic.starts_with(CONTROL_TYPE_PREFIX) {
        shown.event_type
    } else {
        Some(&*topic)
    };
    let event_type = label.and_then(|label| EventType::parse(label).ok());
    let id = EventId::parse(shown.id).ok();
    let fields = encode::Fields {
        event_type: event_type.as_ref(),
        retry: shown.retry,
        id: id.as_ref(),
        data: Some(&shown.data),
    };
    encode::encode_event(buf, &fields);
}

/// mercure.md, 1.13: presence as the pre-standard protocol tells it, without a type.
fn encode_legacy(record: &RecordRef<'_>, buf: &mut Vec<u8>) {
    let shown = shown(record);
    let presence = Presence::parse(&shown.data);
    // Data that is no presence was imported so: it is shown as it is.
    let data = presence
        .zip(record.topics().last())
        .map(|(presence, topic)| presence.legacy_data(&String::from_utf8_lossy(topic)));
    let id = EventId::parse(shown.id).ok();
    let fields = encode::Fields {
        event_type: None,
        retry: shown.retry,
        id: id.as_ref(),
        data: Some(data.as_deref().unwrap_or(&shown.data)),
    };
    encode::encode_event(buf, &fields);
}

/// A time as RFC 3339 writes it, in UTC.
fn rfc3339(time_ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_ms) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tidewire_core::{Epoch, Frame, Position, Topic};

    use super::*;

    fn block(edit: impl Fn(&mut Event)) -> Block {
        let mut bytes = Vec::new();
        let entries = [3, 7].map(|position| {
            let mut event = Event::new(
                Topic::parse("clock").unwrap(),
                "one\r\ntwo",
                1_795_250_000_123,
            );
            edit(&mut event);
            encode_record(
                &event,
                Cursor::new(Epoch(9), Position(position)),
                event.time_ms,
                &mut bytes,
            )
        });
        Block::new(bytes, entries.into())
    }

    fn bare(block: &Block, index: usize, form: Form) -> &str {
        std::str::from_utf8(block.frame(index, form).bare()).unwrap()
    }

    #[test]
    fn every_form_of_a_frame() {
        let plain = block(|_| {});
        assert_eq!(
            bare(&plain, 1, Form::EventStream),
            "id: #9-7\ndata: one\ndata: two\n\n"
        );
        assert_eq!(
            bare(&plain, 1, Form::Labelled),
            "event: clock\nid: #9-7\ndata: one\ndata: two\n\n"
        );
        assert_eq!(
            bare(&plain, 0, Form::Ndjson),
            "{\"data\":\"one\\ntwo\",\"id\":\"#9-3\",\"private\":false,\"time\":\"2026-11-21T08:33:20.123Z\",\
             \"topics\":[\"clock\"],\"type\":\"message\"}\n"
        );
        let full = block(|event| {
            event.id = Some(EventId::parse("urn:x").unwrap());
            event.event_type = Some(EventType::parse("tick").unwrap());
            event.retry_ms = Some(300);
            event.data.clear();
        });
        assert_eq!(
            bare(&full, 0, Form::EventStream),
            "event: tick\nretry: 300\nid: urn:x\ndata: \n\n"
        );
        assert_eq!(
            bare(&full, 0, Form::Labelled),
            "event: clock\nretry: 300\nid: urn:x\ndata: \n\n"
        );
        assert_eq!(full.record(0).publisher_id(), Some("urn:x"));
        assert_eq!(
            bare(&full, 1, Form::Ndjson),
            "{\"data\":\"\",\"id\":\"urn:x\",\"position\":7,\"private\":false,\"retry\":300,\
             \"time\":\"2026-11-21T08:33:20.123Z\",\"topics\":[\"clock\"],\"type\":\"tick\"}\n"
        );
        let posing = block(|event| event.topics = vec![Topic::parse("tidewire.gap").unwrap()]);
        assert_eq!(
            bare(&posing, 0, Form::Labelled),
            "id: #9-3\ndata: one\ndata: two\n\n"
        );
    }

    fn presence(payload: Option<serde_json::Value>) -> Event {
        let presence = Presence {
            match_type: crate::MatchType::Exact,
            text: "https://e.x/1".into(),
            subscriber: "urn:uuid:s".into(),
            active: true,
            payload: payload.map(std::borrow::Cow::Owned),
        };
        presence.event("/m", 1_795_250_000_123).unwrap()
    }

    // mercure.md, 1.13 and 2.61: one record, told in the words of each dialect.
    #[test]
    fn presence_in_every_form() {
        let told = block(|event| *event = presence(Some(json!({"name": "A"}))));
        assert_eq!(
            bare(&told, 0, Form::EventStream),
            "event: mercure\nid: #9-3\n\
             data: {\"id\":\"/m/subscriptions/exact/https%3A%2F%2Fe.x%2F1/urn%3Auuid%3As\",\"type\":\"subscription\",\
             \"match_type\":\"exact\",\"match\":\"https://e.x/1\",\"subscriber\":\"urn:uuid:s\",\"active\":true,\
             \"payload\":{\"name\":\"A\"}}\n\n"
        );
        assert_eq!(
            bare(&told, 1, Form::Legacy),
            "id: #9-7\n\
             data: {\n\
             data:   \"@context\": \"https://mercure.rocks/\",\n\
             data:   \"id\": \"/m/subscriptions/https%3A%2F%2Fe.x%2F1/urn%3Auuid%3As\",\n\
             data:   \"type\": \"Subscription\",\n\
             data:   \"subscriber\": \"urn:uuid:s\",\n\
             data:   \"topic\": \"https://e.x/1\",\n\
             data:   \"active\": true,\n\
             data:   \"payload\": {\n\
             data:     \"name\": \"A\"\n\
             data:   }\n\
             data: }\n\n"
        );
        let ndjson: serde_json::Value = serde_json::from_str(bare(&told, 0, Form::Ndjson)).unwrap();
        assert_eq!(
            ndjson["topics"],
            json!([
                "/m/subscriptions/exact/https%3A%2F%2Fe.x%2F1/urn%3Auuid%3As",
                "/m/subscriptions/https%3A%2F%2Fe.x%2F1/urn%3Auuid%3As",
            ])
        );
        assert_eq!(
            (&ndjson["type"], &ndjson["private"]),
            (&json!("mercure"), &json!(true))
        );
        let silent = block(|event| *event = presence(None));
        assert!(!bare(&silent, 0, Form::Legacy).contains("payload"));
        assert!(!bare(&silent, 0, Form::EventStream).contains("payload"));
        // As an import may bring it.
        let strange = block(|event| {
            event.presence = true;
            event.event_type = EventType::parse("x").ok();
        });
        assert_eq!(
            bare(&strange, 0, Form::Legacy),
            "id: #9-3\ndata: one\ndata: two\n\n"
        );
    }

    #[test]
    fn both_dialects_share_the_bytes_of_what_is_not_presence() {
        let mut bytes = Vec::new();
        let entries = [0, 1, 2].map(|position| {
            let event = match position {
                1 => presence(None),
                _ => Event::new(Topic::parse("a").unwrap(), "x", 0),
            };
            encode_record(
                &event,
                Cursor::new(Epoch(9), Position(position)),
                0,
                &mut bytes,
            )
        });
        let mixed = Block::new(bytes, entries.into());
        let alike = |index| {
            let forms = [Form::EventStream, Form::Legacy].map(|form| mixed.frame(index, form));
            std::ptr::eq(forms[0].chunk(), forms[1].chunk())
        };
        // Before and after somebody has read the record between them.
        assert!(alike(0) && !alike(1) && alike(2) && alike(0));
        let own = derive(&mixed, Form::Legacy);
        assert_eq!(&*own.bytes, mixed.frame(1, Form::Legacy).chunk());
        let merged = Block::merge(&[mixed.into(), block(|_| {}).into()]);
        assert_eq!(
            bare(&merged, 4, Form::Legacy),
            "id: #9-7\ndata: one\ndata: two\n\n"
        );
        assert!(bare(&merged, 1, Form::Legacy).contains("@context"));
    }

    #[test]
    fn chunk_heads_are_exact() {
        for length in [0, 1, 9, 15, 16, 255, 256, 70_000] {
            for guess in [0, 15, 16, length, 300, 1 << 30] {
                let mut buf = b"before".to_vec();
                let head = chunk(&mut buf, guess, |buf| buf.resize(buf.len() + length, b'x'));
                let want = format!("before{length:x}\r\n{}\r\n", "x".repeat(length));
                assert!(buf == want.as_bytes(), "{length}, guessed {guess}");
                assert_eq!(Frame::from_chunk(&buf[6..], head).bare().len(), length);
            }
        }
    }

    #[test]
    fn a_record_of_one_line_needs_exactly_its_room() {
        for data_bytes in [0, 1, 200, 227, 228, 229, 5000] {
            let topic = Topic::parse("clock").unwrap();
            let event = Event::new(topic, "x".repeat(data_bytes), 1_795_250_000_123);
            let cursor = Cursor::new(Epoch(1_795_250_000_123), Position(7));
            let mut buf = Vec::new();
            encode_record(&event, cursor, event.time_ms, &mut buf);
            assert_eq!(buf.capacity(), buf.len(), "{data_bytes}");
        }
    }
}
