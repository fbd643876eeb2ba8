//! The incremental decoder, fed in pieces, against the reference that reads the whole stream at once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidewire_codec::Decoder;

#[path = "../../crates/codec/tests/reference/mod.rs"]
mod reference;

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (lens, tail) = input;
    // The decoder gives consumed text up in steps of some kilobytes: bring the next step near.
    let mut stream = vec![b':'; 2000 + usize::from(lens.first().copied().unwrap_or_default() % 64)];
    stream.push(b'\n');
    stream.extend_from_slice(tail);
    let expected = reference::read(&stream, "");

    let mut decoder = Decoder::new();
    let mut items = Vec::new();
    let mut rest = &stream[..];
    let mut lens = std::iter::once(1990).chain(lens.into_iter().map(usize::from));
    while !rest.is_empty() {
        let len = lens.next().unwrap_or(rest.len()).min(rest.len());
        let (chunk, after) = rest.split_at(len);
        decoder.feed(chunk);
        while let Some(item) = decoder.next_item().expect("the limits are out of reach") {
            items.push(item.into_owned());
        }
        rest = after;
    }
    decoder.finish();
    assert_eq!(items, expected.items);
    assert_eq!(decoder.last_event_id(), expected.last_event_id);
});
