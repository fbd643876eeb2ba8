//! The shared vectors of `spec/event-stream`, in one piece, cut at every byte, and byte by byte.

mod reference;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use tidewire_codec::{
    Decoder, Event, EventId, EventType, Fields, Item, encode_comment, encode_event,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DecodeCase {
    name: String,
    stream: Option<String>,
    stream_base64: Option<String>,
    #[serde(default)]
    initial_last_event_id: String,
    expect: Expect,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expect {
    events: Vec<ExpectedEvent>,
    last_event_id_after: String,
    retry: Option<u64>,
    comments: Vec<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExpectedEvent {
    #[serde(rename = "type")]
    event_type: String,
    data: String,
    last_event_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncodeCase {
    name: String,
    events: Vec<EncodeEvent>,
    stream: Option<String>,
    #[serde(default)]
    refused: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncodeEvent {
    comment: Option<String>,
    event: Option<String>,
    retry: Option<u64>,
    id: Option<String>,
    data: Option<String>,
}

fn sort(items: Vec<Item>, last_event_id_after: String) -> Expect {
    let mut expect = Expect {
        last_event_id_after,
        ..Expect::default()
    };
    for item in items {
        match item {
            Item::Event(Event {
                event_type,
                data,
                last_event_id,
            }) => {
                expect.events.push(ExpectedEvent {
                    event_type,
                    data,
                    last_event_id,
                });
            }
            Item::Comment(text) => expect.comments.push(text),
            Item::Retry(ms) => expect.retry = Some(ms),
        }
    }
    expect
}

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, initial: &str) -> Expect {
    let mut decoder = Decoder::new().with_last_event_id(&EventId::parse(initial).unwrap());
    let mut items = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk);
        while let Some(item) = decoder.next_item().unwrap() {
            items.push(item.into_owned());
        }
    }
    decoder.finish();
    sort(items, decoder.last_event_id().to_owned())
}

#[test]
fn decode_vectors_hold_at_every_split() {
    let cases: Vec<DecodeCase> =
        serde_json::from_str(include_str!("../../../spec/event-stream/decode.json"))
            .expect("decode.json");
    assert!(cases.len() > 50, "the vectors are there");
    for case in cases {
        let bytes = match (&case.stream, &case.stream_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).unwrap(),
            _ => panic!("{}: one of stream and streamBase64", case.name),
        };
        let initial = &case.initial_last_event_id;
        let reading = reference::read(&bytes, initial);
        assert_eq!(
            sort(reading.items, reading.last_event_id),
            case.expect,
            "{}: the reference",
            case.name
        );
        assert_eq!(
            decode([&bytes[..]], initial),
            case.expect,
            "{}: in one piece",
            case.name
        );
        assert_eq!(
            decode(bytes.chunks(1), initial),
            case.expect,
            "{}: byte by byte",
            case.name
        );
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(
                decode([head, tail], initial),
                case.expect,
                "{}: cut at {at}",
                case.name
            );
        }
    }
}

fn encode(events: &[EncodeEvent]) -> Result<Vec<u8>, tidewire_codec::FieldError> {
    let mut buf = Vec::new();
    for event in events {
        if let Some(comment) = &event.comment {
            encode_comment(&mut buf, comment);
        }
        let event_type = event.event.as_deref().map(EventType::parse).transpose()?;
        let id = event.id.as_deref().map(EventId::parse).transpose()?;
        let fields = Fields {
            event_type: event_type.as_ref(),
            retry: event.retry,
            id: id.as_ref(),
            data: event.data.as_deref(),
        };
        encode_event(&mut buf, &fields);
    }
    Ok(buf)
}

#[test]
fn encode_vectors_hold() {
    let cases: Vec<EncodeCase> =
        serde_json::from_str(include_str!("../../../spec/event-stream/encode.json"))
            .expect("encode.json");
    assert!(cases.len() > 20, "the vectors are there");
    for case in cases {
        let written = encode(&case.events);
        assert_eq!(written.is_err(), case.refused, "{}", case.name);
        if let Ok(bytes) = written {
            assert_eq!(String::from_utf8(bytes).ok(), case.stream, "{}", case.name);
        }
    }
}
