//! Bytes per second of decoding, beside two maintained parsers from crates.io. One table on stdout; best of several runs,
//! each long enough for the clock. `cargo bench -p tidewire-codec`; a word as argument picks cases.
//!
//! Every parser sees the same pieces, as its users would feed it, and every event's data length is summed up, so that no
//! work can be left out. Ours is shown twice: borrowed items, and owned ones as the others give.

#![allow(
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark prints its table"
)]

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tidewire_codec::{Decoder, EventId, EventType, Fields, Item, ItemRef, encode_event};

const STREAM_BYTES: usize = 4 << 20;
const RUN: Duration = Duration::from_millis(300);
const RUNS: usize = 5;

struct Case {
    name: &'static str,
    pieces: Vec<Bytes>,
    data_bytes: usize,
}

fn case(
    name: &'static str,
    piece_len: usize,
    stream_bytes: usize,
    mut frame: impl FnMut(usize, &mut Vec<u8>),
) -> Case {
    let mut stream = Vec::new();
    let mut n = 0;
    while stream.len() < stream_bytes {
        frame(n, &mut stream);
        n += 1;
    }
    let stream = Bytes::from(stream);
    let pieces = (0..stream.len())
        .step_by(piece_len)
        .map(|at| stream.slice(at..stream.len().min(at + piece_len)))
        .collect::<Vec<_>>();
    let mut case = Case {
        name,
        pieces,
        data_bytes: 0,
    };
    case.data_bytes = ours_borrowed(&case.pieces);
    case
}

fn one_frame_a_piece(name: &'static str, frame: impl Fn(usize, &mut Vec<u8>)) -> Case {
    let pieces = (0..STREAM_BYTES / 256)
        .map(|n| {
            let mut buf = Vec::new();
            frame(n, &mut buf);
            Bytes::from(buf)
        })
        .collect::<Vec<_>>();
    Case {
        name,
        data_bytes: ours_borrowed(&pieces),
        pieces,
    }
}

fn small(n: usize, buf: &mut Vec<u8>) {
    let id = EventId::parse(&format!("{n:08}")).unwrap();
    let event_type = EventType::parse("tick").unwrap();
    let fields = Fields {
        event_type: Some(&event_type),
        id: Some(&id),
        data: Some("{\"price\":42}"),
        retry: None,
    };
    encode_event(buf, &fields);
}

fn token(n: usize, buf: &mut Vec<u8>) {
    let data = format!(
        "{{\"id\":\"chatcmpl-9aXk2\",\"object\":\"chat.completion.chunk\",\"created\":1763712345,\"model\":\"m-4\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" tok{n}\"}},\"finish_reason\":null}}]}}"
    );
    encode_event(
        buf,
        &Fields {
            data: Some(&data),
            ..Fields::default()
        },
    );
}

fn cases() -> Vec<Case> {
    let megabyte = "x".repeat(1 << 20);
    let page = "a line of some sixty bytes, as a log or a page of HTML has\n".repeat(400);
    vec![
        case("small events, 16 KiB pieces", 16 << 10, STREAM_BYTES, small),
        case(
            "data only, 16 KiB pieces",
            16 << 10,
            STREAM_BYTES,
            |_, buf| {
                encode_event(
                    buf,
                    &Fields {
                        data: Some("hello world"),
                        ..Fields::default()
                    },
                );
            },
        ),
        case("LLM tokens, 16 KiB pieces", 16 << 10, STREAM_BYTES, token),
        one_frame_a_piece("LLM tokens, one event a piece", token),
        case(
            "many lines, 16 KiB pieces",
            16 << 10,
            STREAM_BYTES,
            |_, buf| {
                encode_event(
                    buf,
                    &Fields {
                        data: Some(&page),
                        ..Fields::default()
                    },
                );
            },
        ),
        case(
            "1 MiB events, 16 KiB pieces",
            16 << 10,
            8 << 20,
            |_, buf| {
                encode_event(
                    buf,
                    &Fields {
                        data: Some(&megabyte),
                        ..Fields::default()
                    },
                );
            },
        ),
        case("small events, 1-byte pieces", 1, 128 << 10, small),
    ]
}

fn ours_borrowed(pieces: &[Bytes]) -> usize {
    let mut decoder = Decoder::new();
    let mut sum = 0;
    for piece in pieces {
        decoder.feed(piece);
        while let Some(item) = decoder.next_item().unwrap() {
            if let ItemRef::Event(event) = black_box(item) {
                sum += event.data.len();
            }
        }
    }
    sum
}

fn ours_owned(pieces: &[Bytes]) -> usize {
    let mut decoder = Decoder::new();
    let mut sum = 0;
    for piece in pieces {
        decoder.feed(piece);
        while let Some(item) = decoder.next_item().unwrap() {
            if let Item::Event(event) = black_box(item.into_owned()) {
                sum += event.data.len();
            }
        }
    }
    sum
}

/// Runs a stream that is never pending to its end.
fn run_stream<S: Stream>(stream: S, mut len: impl FnMut(S::Item) -> usize) -> usize {
    let mut stream = pin!(stream);
    let mut context = Context::from_waker(Waker::noop());
    let mut sum = 0;
    while let Poll::Ready(Some(item)) = stream.as_mut().poll_next(&mut context) {
        sum += len(black_box(item));
    }
    sum
}

fn eventsource_stream(pieces: &[Bytes]) -> usize {
    let input = stream::iter(pieces.iter().map(Ok::<_, Infallible>));
    run_stream(eventsource_stream::EventStream::new(input), |event| {
        event.unwrap().data.len()
    })
}

fn sseer(pieces: &[Bytes]) -> usize {
    let input = stream::iter(
        pieces
            .iter()
            .map(|piece| Ok::<_, Infallible>(piece.clone())),
    );
    run_stream(sseer::event_stream::EventStream::new(input), |event| {
        event.unwrap().data.len()
    })
}

fn sse_core(pieces: &[Bytes]) -> usize {
    let mut decoder = sse_core::SseDecoder::with_limit((16 << 20).try_into().unwrap());
    let mut sum = 0;
    for piece in pieces {
        let mut piece = piece.clone();
        while let Some(event) = decoder.next(&mut piece) {
            if let sse_core::SseEvent::Message(message) = black_box(event.unwrap()) {
                sum += message.data.len();
            }
        }
    }
    sum
}

fn mib_per_second(case: &Case, parser: fn(&[Bytes]) -> usize) -> f64 {
    let bytes: usize = case.pieces.iter().map(Bytes::len).sum();
    let mut best = 0_f64;
    for _ in 0..RUNS {
        let started = Instant::now();
        let mut passes = 0_u32;
        while started.elapsed() < RUN / RUNS as u32 {
            assert_eq!(
                parser(black_box(&case.pieces)),
                case.data_bytes,
                "{}",
                case.name
            );
            passes += 1;
        }
        best = best.max(bytes as f64 * f64::from(passes) / started.elapsed().as_secs_f64());
    }
    best / f64::from(1 << 20)
}

fn main() {
    type Parser = (&'static str, fn(&[Bytes]) -> usize);
    let parsers: [Parser; 5] = [
        ("borrowed", ours_borrowed),
        ("owned", ours_owned),
        ("eventsource-stream", eventsource_stream),
        ("sseer", sseer),
        ("sse-core", sse_core),
    ];
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    print!("{:32}", "MiB/s");
    for (name, _) in parsers {
        print!("{name:>20}");
    }
    println!("{:>22}", "borrowed : best peer");
    for case in cases() {
        if only
            .as_ref()
            .is_some_and(|word| !case.name.contains(word.as_str()))
        {
            continue;
        }
        let rates = parsers.map(|(_, parser)| mib_per_second(&case, parser));
        print!("{:32}", case.name);
        for rate in rates {
            print!("{rate:>20.1}");
        }
        println!("{:>21.1}x", rates[0] / rates[2].max(rates[3]).max(rates[4]));
    }
}
