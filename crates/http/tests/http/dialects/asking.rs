//! Where a subscriber starts, and in which method it asks: both dialects alike.

use http::Method;
use tidewire_auth::Anonymous;
use tidewire_core::Topic;
use tidewire_log::Event;

use super::{HUB, head};
use crate::http2::client;
use crate::publishing::{FORM, with_keys};
use crate::server::{Server, header, start, start_with};

/// What precedes the next event.
const TAIL: &str = "the tail";

fn publish_with_id(server: &Server, topic: &str, id: &str, data: &str, is_private: bool) {
    let mut event = Event::new(Topic::parse(topic).unwrap(), data, 1_000);
    event.id = Some(tidewire_codec::EventId::parse(id).unwrap());
    event.private = is_private;
    server.publish_event(event);
}

/// mercure.md, 1.10 to 1.12, 2.25, 2.50 to 2.52
#[test]
fn the_last_event_id_is_answered_in_every_case() {
    let server = with_keys(Anonymous::Subscribe);
    server.publish("a", "e1");
    publish_with_id(&server, "a", "twice", "e2", false);
    publish_with_id(&server, "a", "secret", "e3, private", true);
    publish_with_id(&server, "a", "twice", "e4", false);
    publish_with_id(&server, "other", "elsewhere", "e5", false);
    server.publish("a", "e6");
    let all = &["e1", "e2", "e4", "e6"][..];
    #[rustfmt::skip]
    let table: [(&str, &str, Option<&str>, &[&str]); 17] = [
        // query, header, answered, events
        ("",                                        "",                        None,             &[]),
        ("",                                        "Last-Event-ID: ",         Some(TAIL),       &[]),
        ("last_event_id=",                          "",                        Some(TAIL),       &[]),
        ("lastEventID=",                            "",                        Some(TAIL),       &[]),
        ("",                                        "Last-Event-ID: earliest", Some("earliest"), all),
        ("last_event_id=earliest",                  "",                        Some("earliest"), all),
        ("lastEventID=earliest",                    "",                        Some("earliest"), all),
        ("",                                        "Last-Event-ID: nobody's", Some("earliest"), &[]),
        ("last_event_id=nobody's",                  "",                        Some("earliest"), &[]),
        ("",                                        "Last-Event-ID: #5-1",     Some("#5-1"),     &["e2", "e4", "e6"]),
        ("Last-Event-ID=%235-1",                    "",                        Some("#5-1"),     &["e2", "e4", "e6"]),
        // 2.25: the earliest of those with that id.
        ("",                                        "Last-Event-ID: twice",    Some("twice"),    &["e4", "e6"]),
        // 2.51: of an event that this subscriber may not read, or did not ask for.
        ("",                                        "Last-Event-ID: secret",   Some("secret"),   &["e4", "e6"]),
        ("last_event_id=elsewhere",                 "",                        Some("elsewhere"), &["e6"]),
        ("last_event_id=%235-1",                    "Last-Event-ID: #5-4",     Some("#5-4"),     &["e6"]),
        ("last_event_id=%235-4",                    "Last-Event-ID: ",         Some("#5-4"),     &["e6"]),
        ("lastEventId=%235-4&last_event_id=%235-1", "",                        Some("#5-4"),     &["e6"]),
    ];
    for topics in [
        "/.well-known/mercure?topic=a",
        "/.well-known/mercure?match=a",
        "/topics/a?x",
    ] {
        for (query, line, answered, events) in table {
            let target = format!("{topics}&{query}&checkpoint=off");
            let lines = if line.is_empty() {
                String::new()
            } else {
                format!("{line}\r\n")
            };
            for more in ["", "TE: trailers\r\n"] {
                let mut client = server.connect();
                client.send(&format!(
                    "GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}{more}\r\n"
                ));
                let head = client.head();
                let tail = format!("#5-{}", server.front.log().bounds().tail.0 - 1);
                let answered = answered.map(|id| if id == TAIL { &tail } else { id });
                for name in ["last-event-id", "mercure-last-event-id"] {
                    assert_eq!(header(&head, name), answered, "{target} {line}");
                }
                let is_unknown = answered == Some("earliest") && events.is_empty();
                assert_eq!(
                    header(&head, "tidewire-gap"),
                    is_unknown.then_some("unknown")
                );
                server.publish("a", "live");
                let body = client.chunks_until("data: live\n\n");
                let got: Vec<&str> = body
                    .lines()
                    .filter_map(|line| line.strip_prefix("data: "))
                    .filter(|data| data.starts_with('e'))
                    .collect();
                assert_eq!(got, events, "{target} {line}");
                // 2.52
                for event in body.split("\n\n").filter(|block| block.contains("data: e")) {
                    assert!(
                        event.contains("\nid: ") || event.starts_with("id: "),
                        "{event}"
                    );
                }
            }
        }
    }
    // Where nothing ever was, nothing precedes what comes.
    let empty = start();
    for line in [
        "HEAD /.well-known/mercure?topic=a",
        "HEAD /.well-known/mercure?match=a",
        "GET /topics/a",
    ] {
        let head = head(&empty, line, "\r\nLast-Event-ID: ", "");
        assert_eq!(
            header(&head, "mercure-last-event-id"),
            Some("earliest"),
            "{line}"
        );
    }
}

/// mercure.md, 0.18: HEAD says what GET would, and ends.
#[test]
fn a_head_ends() {
    let server = start();
    server.publish("a", "e1");
    for target in [
        "/.well-known/mercure?topic=a",
        "/.well-known/mercure?match=a",
        "/topics/a",
    ] {
        let mut client = server.connect();
        let asked = format!("{target} HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: #5-1\r\n\r\n");
        client.send(&format!("HEAD {asked}"));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(header(&head, "content-type"), Some("text/event-stream"));
        assert_eq!(header(&head, "mercure-last-event-id"), Some("#5-1"));
        // The connection goes on with the next request.
        client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.answer().body, "{\"status\":\"ok\"}\n", "{target}");

        let mut client = client::connect(&server);
        let request = client.request(Method::HEAD, target).body(()).unwrap();
        let answer = client.ask(request);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(client.read_to_end(&mut answer.into_body()), "", "{target}");
    }
    assert_eq!(server.front.subscribers(), 0);
}

/// mercure.md, 2.1
#[test]
fn a_query_has_its_parameters_in_its_body() {
    let server = start_with(|settings| settings.limits.query_bytes_max = 100);
    for data in ["e1", "e2", "e3"] {
        server.publish("a", data);
        server.publish("b", data);
    }
    let hub = |more: &str| format!("{HUB}{more}");
    let long = format!("match={}", "x".repeat(100));
    #[rustfmt::skip]
    let table = [
        // target, header lines, body, what comes or the status
        (hub(""),                               "",                        "match=a&last_event_id=%235-3",            Ok(&["e3"][..])),
        (hub(""),                               "",                        "topic=a&topic=b&lastEventID=%235-3",      Ok(&["e2", "e3", "e3"])),
        (hub("?match=a"),                       "",                        "match=b&last_event_id=%235-4",            Ok(&["e3", "e3"])),
        (hub("?match=a&last_event_id=%235-3"),  "",                        "last_event_id=earliest",                  Ok(&["e3"])),
        (hub("?match=a&lastEventID=%235-3"),    "",                        "last_event_id=earliest",                  Ok(&["e3"])),
        (hub("?match=a&last_event_id=earliest"), "\r\nLast-Event-ID: #5-3", "last_event_id=earliest",                Ok(&["e3"])),
        ("/topics/a".to_owned(),                "",                        "since=last:1",                            Ok(&["e3"])),
        (hub("?match=a&since=last:1"),          "",                        "",                                        Ok(&["e3"])),
        (hub("?match=a"),                       "",                        "topic=b",                                 Err(400)),
        (hub(""),                               "",                        "x=y",                                     Err(400)),
        (hub(""),                               "",                        "match=%FF",                               Err(400)),
        (hub(""),                               "",                        "match=a%0A",                              Err(400)),
        (hub(""),                               "",                        &long,                                     Err(413)),
        (hub(""),                               "\r\nContent-Type: text/plain", "match=a",                             Err(415)),
        (hub(""),                               "\r\nContent-Type:",       "match=a",                                 Err(415)),
        ("/healthz".to_owned(),                 "",                        "match=a",                                 Err(405)),
    ];
    for (target, lines, body, want) in table {
        let form = if lines.contains("Content-Type") {
            ""
        } else {
            FORM
        };
        let length = body.len();
        let mut client = server.connect();
        client.send(&format!(
            "QUERY {target} HTTP/1.1\r\nHost: localhost{form}{lines}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let want = match want {
            Err(status) => {
                assert_eq!(client.answer().status, status, "{target} {body}");
                continue;
            }
            Ok(want) => want,
        };
        let is_events = |text: &str| {
            let data = text.lines().filter_map(|line| line.strip_prefix("data: e"));
            data.map(|rest| format!("e{rest}")).collect::<Vec<_>>()
        };
        assert!(client.head().starts_with("HTTP/1.1 200"), "{target} {body}");
        let mut got = String::new();
        while is_events(&got).len() < want.len() {
            got += &client.chunk().unwrap();
        }
        assert_eq!(is_events(&got), want, "{target} {body}");

        // Over HTTP/2 as well; there the header lines differ in form only.
        if lines.is_empty() {
            let mut client = client::connect(&server);
            let query = Method::from_bytes(b"QUERY").unwrap();
            let request = client
                .request(query, &target)
                .header("content-type", "application/x-www-form-urlencoded");
            let (answer, mut sent) = client.begin(request.body(()).unwrap());
            sent.send_data(bytes::Bytes::copy_from_slice(body.as_bytes()), true)
                .unwrap();
            let mut stream = client.wait_for(answer).unwrap().into_body();
            let last = format!("data: {}\n\n", want[want.len() - 1]);
            let mut got = String::new();
            while is_events(&got).len() < want.len() {
                got += &client.read_until(&mut stream, &last);
            }
            assert_eq!(is_events(&got), want, "{target} {body} over HTTP/2");
        }
    }
    // A stream that a QUERY began goes on as any other.
    let mut client = server.connect();
    client.send(&format!(
        "QUERY {HUB} HTTP/1.1\r\nHost: localhost{FORM}\r\nContent-Length: 7\r\n\r\nmatch=a"
    ));
    client.head();
    client.chunks_until("\n\n");
    server.publish("a", "live");
    client.chunks_until("data: live\n\n");
}
