//! A private event is never seen by the wrong reader: random grants, topics and events, live and replayed, on every kind of connection
//! (mercure.md, 0.10 and 0.14).

use proptest::prelude::*;
use proptest::sample::select;
use tidewire_core::Topic;
use tidewire_log::Event;

use crate::kinds::{KINDS, Kind, Stream, hub, token_of};
use crate::server::Server;

const TOPICS: [&str; 6] = [
    "a",
    "ab",
    "/books/1",
    "/books/2",
    "/books/1/2",
    "https://e.x/books/1",
];
const SELECTORS: [&str; 8] = [
    "a",
    "ab",
    "/books/1",
    "/books/{id}",
    "/books{/rest*}",
    "https://e.x/books/{id}",
    "{+all}",
    "*",
];
/// Whoever reads a stream reads up to this one.
const LAST: &str = "last";

/// What selectors mean, said apart from the code that is tried.
fn means(selector: &str, topic: &str) -> bool {
    let is_one_segment = |text: &str| !text.is_empty() && !text.contains('/');
    match selector {
        "*" | "{+all}" => true,
        "/books/{id}" => topic.strip_prefix("/books/").is_some_and(is_one_segment),
        "/books{/rest*}" => topic.starts_with("/books/"),
        "https://e.x/books/{id}" => topic
            .strip_prefix("https://e.x/books/")
            .is_some_and(is_one_segment),
        selector => selector == topic,
    }
}

fn any_of(selectors: &[&str], topics: &[&str]) -> bool {
    let hit = |topic: &&str| selectors.iter().any(|selector| means(selector, topic));
    topics.iter().any(hit)
}

#[derive(Clone, Debug)]
struct Reader {
    routing: Vec<&'static str>,
    granted: Vec<&'static str>,
    /// Comes back after this many events.
    back_after: usize,
}

impl Reader {
    fn sees(&self, event: &Published) -> bool {
        any_of(&self.routing, &event.topics)
            && (!event.private || any_of(&self.granted, &event.topics))
    }

    fn open(&self, server: &Server, kind: Kind, from: &str) -> Stream {
        let mut target = format!("/.well-known/mercure?topic={LAST}&{from}");
        for selector in &self.routing {
            let escaped: String = selector
                .bytes()
                .map(|byte| format!("%{byte:02X}"))
                .collect();
            target += &format!("&topic={escaped}");
        }
        Stream::open(
            server,
            kind,
            &target,
            &token_of("ada", &self.granted, 60_000),
        )
    }
}

#[derive(Clone, Debug)]
struct Published {
    topics: Vec<&'static str>,
    private: bool,
}

impl Published {
    fn event(&self, number: usize) -> Event {
        let first = Topic::parse(self.topics[0]).unwrap();
        let mut event = Event::new(first, format!("n{number}."), 1_000);
        let more = self.topics[1..].iter();
        event
            .topics
            .extend(more.map(|topic| Topic::parse(topic).unwrap()));
        event.private = self.private;
        event
    }
}

fn readers() -> impl Strategy<Value = Vec<Reader>> {
    let some = |least| prop::collection::vec(select(&SELECTORS[..]), least..4);
    let reader =
        (some(1), some(0), 0..20_usize).prop_map(|(routing, granted, back_after)| Reader {
            routing,
            granted,
            back_after,
        });
    prop::collection::vec(reader, 1..6)
}

fn events() -> impl Strategy<Value = Vec<Published>> {
    let topics = prop::sample::subsequence(TOPICS.to_vec(), 1..4);
    let event = (topics, prop::bool::weighted(0.7))
        .prop_map(|(topics, private)| Published { topics, private });
    prop::collection::vec(event, 20..40)
}

/// The numbers of the events that came, up to the last one.
fn seen(mut stream: Stream) -> Vec<usize> {
    let text = stream.until("data: last\n\n");
    text.lines()
        .filter_map(|line| {
            line.strip_prefix("data: n")?
                .strip_suffix('.')?
                .parse()
                .ok()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn private_events_reach_whom_they_are_for(
        kind in select(&KINDS[..]),
        readers in readers(),
        events in events(),
    ) {
        let server = hub(kind, |_| {});
        let (stored, live) = events.split_at(events.len() / 2);
        for (number, event) in stored.iter().enumerate() {
            server.publish_event(event.event(number));
        }
        let open = |from: &str| -> Vec<Stream> {
            readers.iter().map(|reader| reader.open(&server, kind, from)).collect()
        };
        let streams = open("since=earliest");
        for (number, event) in live.iter().enumerate() {
            server.publish_event(event.event(stored.len() + number));
        }
        server.publish(LAST, "last");
        let meant = |reader: &Reader, from: usize| -> Vec<usize> {
            let is_meant = |number: &usize| reader.sees(&events[*number]);
            (from..events.len()).filter(is_meant).collect()
        };
        for (reader, stream) in readers.iter().zip(streams) {
            prop_assert_eq!(seen(stream), meant(reader, 0), "{:?} {:?}", kind, reader);
            // Positions count from 1, and so does the id of the event after which it goes on.
            let id = format!("last_event_id=5-{}", reader.back_after);
            let back = reader.open(&server, kind, if reader.back_after == 0 { "since=earliest" } else { &id });
            prop_assert_eq!(seen(back), meant(reader, reader.back_after), "{:?} {:?}", kind, reader);
        }
    }
}
