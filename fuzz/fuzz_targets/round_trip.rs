//! What is encoded is read back, whatever the texts hold; what cannot be encoded is refused before anything is written.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidewire_codec::{Decoder, Event, EventId, EventType, Fields, Item, encode_comment, encode_event};

#[derive(Arbitrary, Debug)]
struct Frame<'a> {
    event_type: Option<&'a str>,
    retry: Option<u64>,
    id: Option<&'a str>,
    data: Option<&'a str>,
    comment: Option<&'a str>,
}

fn normal(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fuzz_target!(|input: (Vec<Frame<'_>>, u8)| {
    let (frames, piece_len) = input;
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    let mut last_id = String::new();
    for frame in &frames {
        let event_type = frame.event_type.and_then(|text| EventType::parse(text).ok());
        let id = frame.id.and_then(|text| EventId::parse(text).ok());
        if let Some(comment) = frame.comment {
            encode_comment(&mut bytes, comment);
            expected.extend(normal(comment).split('\n').map(|line| Item::Comment(line.to_owned())));
        }
        let fields = Fields { event_type: event_type.as_ref(), retry: frame.retry, id: id.as_ref(), data: frame.data };
        encode_event(&mut bytes, &fields);
        expected.extend(frame.retry.map(Item::Retry));
        if let Some(id) = &id {
            id.as_str().clone_into(&mut last_id);
        }
        if let Some(data) = frame.data {
            let event_type = event_type.as_ref().map_or("message", EventType::as_str).to_owned();
            expected.push(Item::Event(Event { event_type, data: normal(data), last_event_id: last_id.clone() }));
        }
        assert!(bytes.is_empty() || bytes.ends_with(b"\n\n"));
    }

    let mut decoder = Decoder::new();
    let mut items = Vec::new();
    for chunk in bytes.chunks(usize::from(piece_len).max(1)) {
        decoder.feed(chunk);
        while let Some(item) = decoder.next_item().expect("the limits are out of reach") {
            items.push(item.into_owned());
        }
    }
    assert!(!decoder.finish(), "nothing is left unfinished");
    assert_eq!(items, expected);
    assert_eq!(decoder.last_event_id(), last_id);
});
