//! The decoder against the reference on streams that nobody wrote, the round trip, and the limits at their edge.

mod reference;

use proptest::collection::vec;
use proptest::prelude::*;
use tidewire_codec::{
    DecodeError, Decoder, EventId, EventType, Fields, Item, Limits, encode_comment, encode_event,
};

fn drain(decoder: &mut Decoder, items: &mut Vec<Item>) -> Result<(), DecodeError> {
    while let Some(item) = decoder.next_item()? {
        items.push(item.into_owned());
    }
    Ok(())
}

/// Feeds `stream` in pieces of the given lengths, again and again; draining only after every `drain_every`th.
fn read_in_pieces(
    stream: &[u8],
    initial: &EventId,
    lens: &[usize],
    drain_every: usize,
) -> reference::Reading {
    let mut decoder = Decoder::new().with_last_event_id(initial);
    let mut items = Vec::new();
    let mut rest = stream;
    for (turn, len) in lens.iter().cycle().enumerate() {
        let (chunk, after) = rest.split_at((*len).min(rest.len()));
        decoder.feed(chunk);
        if turn % drain_every == 0 {
            drain(&mut decoder, &mut items).unwrap();
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    drain(&mut decoder, &mut items).unwrap();
    decoder.finish();
    reference::Reading {
        items,
        last_event_id: decoder.last_event_id().to_owned(),
    }
}

const WORDS: &[&[u8]] = &[
    b"data",
    b"id",
    b"event",
    b"retry",
    b"Data",
    b"datax",
    b":",
    b": ",
    b" ",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"data: x\n",
    b"id: 7\n",
    b"id\n",
    b"event: t\n",
    b"retry: 12\n",
    b":c\n",
    b"0",
    b"12",
    b"a",
    b"\0",
    "\u{feff}".as_bytes(),
    "é".as_bytes(),
    "😀".as_bytes(),
    b"\xff",
    b"\xe6\x97",
    b"\xf0\x9f",
    b"\xef\xbb",
    b"\x80",
    b"99999999999999999999999",
];

/// Pieces of streams that meet each other in every order.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => prop::sample::select(WORDS).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..40),
        1 => "[a-z]{0,80}".prop_map(String::into_bytes),
    ]
}

/// Some start with a long comment, so that the decoder gives consumed text up in the middle of what follows.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let padding = prop_oneof![Just(0), 1700_usize..2060];
    (padding, vec(piece(), 0..60)).prop_map(|(padding, pieces)| {
        let mut stream = vec![b':'; padding];
        stream.extend_from_slice(if padding > 0 { b"\n" } else { b"" });
        stream.extend(pieces.concat());
        stream
    })
}

/// Text with line breaks of all kinds.
fn text() -> impl Strategy<Value = String> {
    vec(
        prop_oneof![
            Just("\n".to_owned()),
            Just("\r".to_owned()),
            Just("\r\n".to_owned()),
            ".{0,12}"
        ],
        0..8,
    )
    .prop_map(|pieces| pieces.concat())
}

fn event_id() -> impl Strategy<Value = EventId> {
    ".{0,12}".prop_filter_map("CR, LF or NUL", |text| EventId::parse(&text).ok())
}

fn event_type() -> impl Strategy<Value = EventType> {
    ".{1,12}".prop_filter_map("CR, LF or NUL", |text| EventType::parse(&text).ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_in_any_pieces_reads_as_the_standard_says(
        stream in stream(),
        initial in prop_oneof![Just(EventId::default()), event_id()],
        lens in vec(0_usize..24, 1..8).prop_filter("moves on", |lens| lens.iter().any(|len| *len > 0)),
        drain_every in 1_usize..4,
    ) {
        let expected = reference::read(&stream, initial.as_str());
        prop_assert_eq!(&read_in_pieces(&stream, &initial, &[usize::MAX], 1), &expected);
        if stream.len() < 1000 {
            prop_assert_eq!(&read_in_pieces(&stream, &initial, &[1], 1), &expected);
        }
        prop_assert_eq!(&read_in_pieces(&stream, &initial, &lens, drain_every), &expected);
    }

    #[test]
    fn what_is_encoded_is_read_back(
        frames in vec((prop::option::of(event_type()), prop::option::of(any::<u64>()), prop::option::of(event_id()),
            prop::option::of(text()), prop::option::of(text())), 0..6),
        len in 1_usize..40,
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        let mut last_id = String::new();
        for (event_type, retry, id, data, comment) in &frames {
            if let Some(comment) = comment {
                encode_comment(&mut bytes, comment);
                expected.extend(normal(comment).split('\n').map(|line| Item::Comment(line.to_owned())));
            }
            encode_event(&mut bytes, &Fields {
                event_type: event_type.as_ref(),
                retry: *retry,
                id: id.as_ref(),
                data: data.as_deref(),
            });
            expected.extend(retry.map(Item::Retry));
            if let Some(id) = id {
                id.as_str().clone_into(&mut last_id);
            }
            if let Some(data) = data {
                expected.push(Item::Event(tidewire_codec::Event {
                    event_type: event_type.as_ref().map_or("message", EventType::as_str).to_owned(),
                    data: normal(data),
                    last_event_id: last_id.clone(),
                }));
            }
            prop_assert!(bytes.is_empty() || bytes.ends_with(b"\n\n"));
        }
        let read = read_in_pieces(&bytes, &EventId::default(), &[len], 1);
        prop_assert_eq!(read.items, expected);
        prop_assert_eq!(read.last_event_id, last_id);
    }
}

/// Data as readers give it back.
fn normal(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn first_error(limits: Limits, stream: &[u8], len: usize) -> Option<DecodeError> {
    let mut decoder = Decoder::with_limits(limits);
    let mut items = Vec::new();
    for chunk in stream.chunks(len) {
        decoder.feed(chunk);
        if let Err(error) = drain(&mut decoder, &mut items) {
            assert_eq!(decoder.next_item(), Err(error), "stays at the error");
            return Some(error);
        }
    }
    None
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = Limits {
        line_bytes_max: 12,
        event_bytes_max: 9,
    };
    let table: [(&str, Option<DecodeError>); 12] = [
        ("data: 123456\n\n", None),
        ("data: 123456\r\n\r\n", None),
        ("data: 1234567\n\n", Some(DecodeError::LineTooLong(12))),
        ("data: 123456", None),
        ("data: 1234567", Some(DecodeError::LineTooLong(12))),
        (": 3456789012\n", None),
        (": 34567890123\n", Some(DecodeError::LineTooLong(12))),
        ("ignored-line-long\n", Some(DecodeError::LineTooLong(12))),
        ("data: 1234\ndata: 1234\n\n", None),
        (
            "data: 1234\ndata: 12345\n\n",
            Some(DecodeError::EventTooLong(9)),
        ),
        ("data: 1234\n\ndata: 12345\n\n", None),
        (
            "data:\ndata:\ndata:\ndata:\ndata:\ndata:\ndata:\ndata:\ndata:\ndata:\ndata:\n",
            Some(DecodeError::EventTooLong(9)),
        ),
    ];
    for (stream, error) in table {
        for len in [usize::MAX, 1, 3] {
            assert_eq!(
                first_error(limits, stream.as_bytes(), len),
                error,
                "{stream:?} in pieces of {len}"
            );
        }
    }
}

#[test]
fn a_cr_at_the_end_of_a_piece_dispatches_at_once() {
    let mut decoder = Decoder::new();
    let mut items = Vec::new();
    decoder.feed(b"data: a\r\n\r");
    drain(&mut decoder, &mut items).unwrap();
    assert_eq!(items.len(), 1, "not held back for an LF that may follow");
    decoder.feed(b"\ndata: b\n\n");
    drain(&mut decoder, &mut items).unwrap();
    assert_eq!(items.len(), 2, "and the LF is no blank line of its own");
}

#[test]
fn finish_drops_what_is_unfinished_and_starts_anew() {
    let table: [(&str, bool); 9] = [
        ("", false),
        ("data: a\n\n", false),
        ("data: a\n\n: c\n", false),
        ("data: a\r\n\r", false),
        ("data: a\n", true),
        ("id: 1\n", true),
        ("event: x\n", true),
        ("d", true),
        ("data: a\n\ndata: b\n", true),
    ];
    for (stream, cut) in table {
        let mut decoder = Decoder::new().with_last_event_id(&EventId::parse("0").unwrap());
        let mut items = Vec::new();
        decoder.feed(stream.as_bytes());
        drain(&mut decoder, &mut items).unwrap();
        assert_eq!(decoder.finish(), cut, "{stream:?}");

        items.clear();
        decoder.feed("\u{feff}\ndata: next\n\n".as_bytes());
        drain(&mut decoder, &mut items).unwrap();
        let [Item::Event(event)] = &items[..] else {
            panic!("{stream:?}: {items:?}")
        };
        assert_eq!(
            (event.event_type.as_str(), event.data.as_str()),
            ("message", "next"),
            "{stream:?}"
        );
        assert_eq!(
            event.last_event_id, "0",
            "{stream:?}: an unfinished id is not taken, an older one stays"
        );
    }
}

#[test]
fn a_character_cut_by_the_end_does_not_reach_the_next_stream() {
    let mut decoder = Decoder::new();
    decoder.feed(b"\xf0\x9f");
    assert!(decoder.finish());
    decoder.feed(b"data: a\n\n");
    let mut items = Vec::new();
    drain(&mut decoder, &mut items).unwrap();
    assert_eq!(items.len(), 1);
}

#[test]
fn memory_does_not_grow_with_the_stream() {
    let mut decoder = Decoder::with_limits(Limits {
        line_bytes_max: 64,
        event_bytes_max: 64,
    });
    let mut items = 0;
    for _ in 0..100_000 {
        decoder.feed(b"unknown: field\n: beat\ndata");
        decoder.feed(b": x\nid: 1\n\n");
        while decoder.next_item().unwrap().is_some() {
            items += 1;
        }
    }
    assert_eq!(items, 200_000);
    assert!(
        decoder.buffered_bytes() < 16 << 10,
        "{}",
        decoder.buffered_bytes()
    );
}
