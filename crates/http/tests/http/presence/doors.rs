//! Every way a stream comes to be, and every way it ends.

use std::net::Shutdown;
use std::time::Duration;

use http_body_util::BodyExt;
use tidewire_core::{Filter, Form, Matcher, MatcherSet, Topic};
use tidewire_engine::Checkpoint;
use tidewire_http::{Settings, Subscribe};
use tidewire_log::Start;

use super::{API, HUB, brief, fold, listed, open, start, start_and, told, wait_for_told};
use crate::certificates::{EC_CERTIFICATE, EC_KEY, NOW_MS};
use crate::http2::client;
use crate::server::{Server, start_with};
use crate::tls;

#[test]
fn without_the_setting_there_is_nothing() {
    let server = start_with(|_| {});
    let _client = open(&server, &format!("{HUB}?topic=a"), "");
    for target in [
        API,
        &format!("{API}/a"),
        &format!("{API}/exact/a/urn%3Auuid%3A1"),
    ] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    assert!(told(&server).is_empty());
    assert!(!server.front.metrics().contains("tidewire_presence"));
}

// mercure.md, 1.13 and 2.65: who matches its own event receives it, in the words of its dialect.
#[test]
fn a_subscriber_hears_of_itself_in_its_dialect() {
    let server = start();
    let mut legacy = open(&server, &format!("{HUB}?topic=*"), "");
    let text = legacy.chunks_until("}\n\n");
    let id = text
        .split("\"subscriber\": \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let encoded = id.replace(':', "%3A");
    let event = text.split_once(":\n").unwrap().1;
    let event = event.split_once("id: #5-1\ndata").unwrap().1;
    assert_eq!(
        format!("data{event}"),
        format!(
            "data: {{\ndata:   \"@context\": \"https://mercure.rocks/\",\ndata:   \"id\": \"{API}/%2A/{encoded}\",\n\
             data:   \"type\": \"Subscription\",\ndata:   \"subscriber\": \"{id}\",\ndata:   \"topic\": \"*\",\n\
             data:   \"active\": true\ndata: }}\n\n"
        )
    );
    assert!(!text.contains("event:"), "{text}");
    drop(legacy);
    wait_for_told(&server, 2);

    let mut modern = open(&server, &format!("{HUB}?match=*"), "");
    let text = modern.chunks_until("}\n\n");
    let event = text.split_once("event: ").unwrap().1;
    let id = text
        .split("\"subscriber\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let encoded = id.replace(':', "%3A");
    assert_eq!(
        event,
        format!(
            "mercure\nid: #5-3\ndata: {{\"id\":\"{API}/exact/%2A/{encoded}\",\"type\":\"subscription\",\
             \"match_type\":\"exact\",\"match\":\"*\",\"subscriber\":\"{id}\",\"active\":true}}\n\n"
        )
    );
    // mercure.md, 2.62: a random UUID (RFC 9562, section 5.4).
    assert!(
        id.starts_with("urn:uuid:") && id.len() == 45 && &id[23..24] == "4",
        "{id}"
    );
}

#[test]
fn each_listener_hears_it_in_its_own_form() {
    let server = start();
    let watch = "/.well-known/mercure/subscriptions/{topic}/{subscriber}";
    let watch = watch.replace('{', "%7B").replace('}', "%7D");
    let mut legacy = open(&server, &format!("{HUB}?topic={watch}"), "");
    let modern_watch = "/.well-known/mercure/subscriptions/:type/:match/:subscriber";
    let mut modern = open(
        &server,
        &format!("{HUB}?match_urlpattern={modern_watch}"),
        "",
    );
    let lines = "Accept: application/x-ndjson\r\n";
    let mut ndjson = open(&server, "/topics/*?checkpoint=off", lines);
    wait_for_told(&server, 3);
    let subscribed = open(&server, "/topics/orders/42", "");
    let text = legacy.chunks_until("orders/42\",\ndata:   \"active\": true\ndata: }\n\n");
    assert!(
        text.contains("\ndata:   \"@context\": ") && !text.contains("event:"),
        "{text}"
    );
    let text = modern.chunks_until(",\"active\":true}\n\n");
    assert!(
        text.contains("event: mercure\n") && !text.contains("@context"),
        "{text}"
    );
    let line = loop {
        let line = ndjson.chunks_until("}\n");
        if line.contains("orders%2F42") {
            break line;
        }
    };
    let line: serde_json::Value = serde_json::from_str(line.lines().last().unwrap()).unwrap();
    let topics = line["topics"].as_array().unwrap();
    assert!(
        topics[0]
            .as_str()
            .unwrap()
            .starts_with(&format!("{API}/exact/orders%2F42/urn%3Auuid%3A"))
    );
    assert!(
        topics[1]
            .as_str()
            .unwrap()
            .starts_with(&format!("{API}/orders%2F42/urn%3Auuid%3A"))
    );
    drop(subscribed);
    legacy.chunks_until("\"active\": false\ndata: }\n\n");
    modern.chunks_until("\"active\":false}\n\n");
}

/// A stream that is opened somehow is told of, and with its end its end is.
fn begins_and_ends<C>(server: &Server, name: &str, open: impl FnOnce() -> C) {
    let before = told(server).len();
    let client = open();
    let begun = wait_for_told(server, before + 2);
    assert_eq!(
        brief(&begun[before..]),
        [(true, "a"), (true, "b")],
        "{name}"
    );
    let both = &begun[before..];
    assert_eq!(both[0]["subscriber"], both[1]["subscriber"], "{name}");
    assert_eq!(fold(&begun), listed(server), "{name}");
    drop(client);
    let ended = wait_for_told(server, before + 4);
    assert_eq!(
        brief(&ended[before + 2..]),
        [(false, "a"), (false, "b")],
        "{name}"
    );
    assert!(listed(server).is_empty(), "{name}");
}

#[test]
fn every_door_tells() {
    for shards in [0, 1] {
        let server = start_and(|settings| settings.shards = shards);
        let target = format!("{HUB}?topic=a&topic=b&topic=a");
        begins_and_ends(&server, "plain", || open(&server, &target, ""));
        // What the plain front door does not know goes to hyper.
        begins_and_ends(&server, "hyper", || {
            let mut client = server.connect();
            client.send(&format!("GET {target} HTTP/1.0\r\n\r\n"));
            client.head();
            client
        });
        begins_and_ends(&server, "HTTP/2", || {
            let mut client = client::connect(&server);
            let stream = client.subscribe(&format!("{HUB}?match=a&match=b"));
            (stream, client)
        });
        begins_and_ends(&server, "embedded", || {
            let matcher = |name| Matcher::Exact(Topic::parse(name).unwrap());
            let subscribe = Subscribe {
                filter: Filter {
                    routing: MatcherSet::from_iter(["a", "b"].map(matcher)),
                    private: MatcherSet::default(),
                },
                start: Start::Tail,
                form: Form::EventStream,
                checkpoint: Checkpoint::Off,
            };
            server
                .runtime
                .block_on(server.front.subscribe(subscribe))
                .unwrap()
        });
    }
}

#[test]
fn streams_over_tls_tell() {
    let tls = tidewire_http::Tls::from_pem(EC_CERTIFICATE.as_bytes(), EC_KEY.as_bytes(), NOW_MS);
    let server = start_and(|settings| settings.tls = Some(tls.unwrap()));
    let mut client = tls::connect(&server);
    client.send(&format!(
        "GET {HUB}?topic=a HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ));
    client.head();
    assert_eq!(brief(&wait_for_told(&server, 1)), [(true, "a")]);
    drop(client);
    assert_eq!(brief(&wait_for_told(&server, 2))[1], (false, "a"));
}

/// A body in somebody else's server: the router's own answer.
#[test]
fn a_body_tells_when_it_is_made_and_when_it_is_dropped() {
    use tower::Service;
    let server = start();
    let mut router = tidewire_http::router(server.front.clone());
    let request = http::Request::builder()
        .uri(format!("{HUB}?match=a"))
        .header("host", "localhost")
        .body(axum::body::Body::empty())
        .unwrap();
    let mut answer = server.runtime.block_on(router.call(request)).unwrap();
    wait_for_told(&server, 1);
    server.runtime.block_on(answer.body_mut().frame());
    drop(answer);
    assert_eq!(
        brief(&wait_for_told(&server, 2)),
        [(true, "a"), (false, "a")]
    );
}

// mercure.md, 2.65: what did not come to be is not told.
#[test]
fn what_is_no_stream_is_not_told() {
    let server = start_and(|settings| settings.limits.subscribers_max = 1);
    let head = format!("HEAD {HUB}?topic=a HTTP/1.1\r\nHost: localhost");
    let mut client = server.connect();
    client.send(&format!("{head}\r\n\r\n"));
    assert!(client.head().starts_with("HTTP/1.1 200"));
    let page = format!("GET {HUB}?topic=a HTTP/1.1\r\nHost: localhost\r\nAccept: application/json");
    assert_eq!(server.ask(&page, "").status, 200);
    assert_eq!(server.get(HUB).status, 400);
    let first = open(&server, &format!("{HUB}?topic=b"), "");
    assert_eq!(server.get(&format!("{HUB}?topic=c")).status, 503);
    drop(first);
    assert_eq!(
        brief(&wait_for_told(&server, 2)),
        [(true, "b"), (false, "b")]
    );
}

#[test]
fn every_end_tells() {
    let table: [(&str, fn(&mut Settings)); 2] = [
        ("life", |settings| settings.streams.stream_life_ms = 300),
        ("stall", |settings| settings.streams.stall_deadline_ms = 300),
    ];
    for (name, change) in table {
        for shards in [0, 1] {
            let server = start_and(|settings| {
                settings.shards = shards;
                change(settings);
            });
            let client = open(&server, &format!("{HUB}?topic=a"), "");
            wait_for_told(&server, 1);
            if name == "stall" {
                // More than the sockets between them hold, and nobody reads.
                for _ in 0..40 {
                    server.publish("a", &"x".repeat(500_000));
                }
            }
            assert_eq!(brief(&wait_for_told(&server, 2))[1], (false, "a"), "{name}");
            drop(client);
        }
    }
    let server = start();
    let client = open(&server, &format!("{HUB}?topic=a"), "");
    client.socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        brief(&wait_for_told(&server, 2))[1],
        (false, "a"),
        "half-closed"
    );
}

#[test]
fn a_hub_that_ends_has_told_all_ends_before() {
    for shards in [0, 2] {
        let mut server = start_and(|settings| settings.shards = shards);
        let target = format!("{HUB}?topic=a");
        let clients: Vec<_> = (0..20).map(|_| open(&server, &target, "")).collect();
        let mut h2 = client::connect(&server);
        let stream = h2.subscribe(&target);
        wait_for_told(&server, 21);
        server.begin_shutdown();
        server.wait_for_end();
        let told = told(&server);
        assert_eq!(told.len(), 42);
        assert!(fold(&told).is_empty());
        drop((clients, stream));
    }
}

/// Streams that a deadline cuts are told of as well.
#[test]
fn a_hub_that_cuts_streams_tells_their_ends() {
    let mut server = start_and(|settings| {
        settings.shards = 0;
        settings.drain = Duration::from_millis(200);
    });
    let client = open(&server, &format!("{HUB}?topic=a"), "");
    wait_for_told(&server, 1);
    for _ in 0..40 {
        server.publish("a", &"x".repeat(500_000));
    }
    server.begin_shutdown();
    server.wait_for_end();
    assert_eq!(brief(&told(&server)), [(true, "a"), (false, "a")]);
    drop(client);
}
