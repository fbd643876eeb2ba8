//! What the reference hub of the Mercure protocol gets wrong, or does slowly, and this one must not.

use tidewire_codec::EventId;
use tidewire_core::Topic;
use tidewire_log::{Event, Retention};

use crate::http2::client::{self, Client};
use crate::publishing::FORM;
use crate::server::{Server, header, memory_log, start_on, until};

/// A hub with so many events stored, each with an id of its publisher's.
fn with_events(count: usize, topic: &str) -> Server {
    let retention = Retention {
        bytes: Some(256 << 20),
        ..Retention::default()
    };
    let server = start_on(memory_log(retention), |settings| {
        settings.streams.heartbeat_ms = 0;
    });
    let topic = Topic::parse(topic).unwrap();
    let numbers: Vec<usize> = (1..=count).collect();
    for numbers in numbers.chunks(5_000) {
        let event = |number: &usize| {
            let mut event = Event::new(topic.clone(), format!("e{number}"), 1_000);
            event.id = Some(EventId::parse(&format!("urn:{number}")).unwrap());
            event
        };
        let events = numbers.iter().map(event).collect();
        server
            .runtime
            .block_on(server.front.append(events))
            .unwrap();
    }
    server
}

fn data(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(str::to_owned).collect()
}

/// It answers a gap, or nothing, beyond ten thousand stored events; and looks for the id from the log's beginning.
#[test]
fn a_recent_id_among_a_hundred_thousand_events_resumes_exactly() {
    let server = with_events(100_000, "a");
    #[rustfmt::skip]
    let table = [
        ("/.well-known/mercure?topic=a", "urn:99990", 99_991),
        ("/.well-known/mercure?match=a", "urn:99990", 99_991),
        ("/.well-known/mercure?topic={%2Bx}", "urn:99999", 100_000),
        ("/topics/a",                    "#5-99998",  99_999),
        ("/topics/a",                    "urn:1000",  1_001),
    ];
    for (target, id, first) in table {
        let target = target.replace('{', "%7B").replace('}', "%7D");
        let read = server.front.stream_counters().reads_batch;
        let (head, body) = server.stream(
            &format!(
                "{target}{}checkpoint=off",
                if target.contains('?') { '&' } else { '?' }
            ),
            &format!("Last-Event-ID: {id}\r\n"),
            "data: e100000\n\n",
        );
        assert_eq!(header(&head, "mercure-last-event-id"), Some(id));
        assert_eq!(header(&head, "tidewire-gap"), None);
        let want: Vec<String> = (first..=100_000)
            .map(|number| format!("e{number}"))
            .collect();
        assert!(data(&body) == want, "{target} {id}");
        // Found by its place, not by a look at all that is stored: a block holds many events.
        let read = server.front.stream_counters().reads_batch - read;
        let wanted = (100_001 - first) / 100 + 4;
        assert!(read <= wanted, "{target} {id}: {read} reads");
    }
}

/// It cuts a connection whose history does not fit a buffer.
#[test]
fn fifty_thousand_matching_events_come_over_one_connection() {
    let server = with_events(50_000, "a");
    let want: Vec<String> = (1..=50_000).map(|number| format!("e{number}")).collect();
    for target in [
        "/.well-known/mercure?topic=a",
        "/.well-known/mercure?match_urlpattern=/:x&match=a",
    ] {
        let target = format!("{target}&last_event_id=earliest&checkpoint=off");
        let (_, body) = server.stream(&target, "", "data: e50000\n\n");
        assert!(data(&body) == want, "{target}");
        let mut client = client::connect(&server);
        let mut stream = client.subscribe(&target);
        let body = client.read_until(&mut stream, "data: e50000\n\n");
        assert!(data(&body) == want, "{target} over HTTP/2");
    }
}

/// It matches a topic that it has not seen against every subscriber's selectors, one by one, with publishers waiting.
#[test]
fn the_first_event_of_a_topic_is_nobodys_work_but_its_subscribers() {
    const CONNECTIONS: usize = 19;
    const EACH: usize = 1_000;
    let server = with_events(1, "a");
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| client::connect(&server)).collect();
    let mut streams = Vec::new();
    for (at, client) in clients.iter_mut().enumerate() {
        for name in at * EACH..(at + 1) * EACH {
            // Most want a topic of their own, every tenth a pattern of its own.
            let target = match name % 10 {
                0 => {
                    format!("/.well-known/mercure?topic=https://e.x/{name}/%7Bid%7D&checkpoint=off")
                }
                _ => format!("/.well-known/mercure?topic=https://e.x/books/{name}&checkpoint=off"),
            };
            streams.push(client.subscribe(&target));
        }
    }
    let counters = || server.front.stream_counters();
    assert_eq!(counters().subscribers, 19_000);
    let publish = |topic: &str| {
        let head = format!("POST /.well-known/mercure HTTP/1.1\r\nHost: localhost{FORM}");
        let answer = server.ask(&head, &format!("topic={topic}&data=x"));
        assert_eq!(answer.status, 200);
    };
    // The last of them to come may still be on their way to the log's tail.
    let (mut before, mut quiet) = (counters(), 0);
    while quiet < 5 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = counters();
        quiet = if now.steps == before.steps {
            quiet + 1
        } else {
            0
        };
        before = now;
    }
    for number in 0..50 {
        publish(&format!("https://e.x/new/{number}"));
    }
    // It wakes none of their shards: there is no step, no read of the log and no match for it.
    let after = counters();
    assert_eq!(
        (after.steps, after.reads_batch, after.offers),
        (before.steps, before.reads_batch, before.offers)
    );
    // And it reaches whom it concerns, alone.
    publish("https://e.x/books/18999");
    let last = clients.last_mut().unwrap();
    let body = last.read_until(streams.last_mut().unwrap(), "data: x\n\n");
    assert!(body.contains("data: x"), "{body}");
    until("it is counted", || {
        counters().deliveries > before.deliveries
    });
    assert_eq!(counters().deliveries, before.deliveries + 1);
}
