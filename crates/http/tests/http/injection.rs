//! What would break out of its field, or out of its place, does not: through every field of every way to publish, through every
//! parameter and header of a subscribe, through paths.

use std::io::Write;

use tidewire_codec::{Decoder, Item};

use crate::publishing::FORM;
use crate::server::{Client, Server, header, request, start};

/// Characters that end a line somewhere, or that nobody sees, and whether a topic, an id or a type may hold them.
const CHARACTERS: &[(char, bool)] = &[
    ('\r', false),
    ('\n', false),
    ('\0', false),
    ('\u{7f}', false),
    ('\u{85}', false),
    ('\u{feff}', false),
    ('\u{200b}', false),
    ('\u{202e}', false),
    // Ends a line in old JavaScript and in nothing that speaks event streams.
    ('\u{2028}', true),
];

const HUB: &str = "/.well-known/mercure";
const FIELDS: [&str; 6] = ["topic", "data", "type", "id", "private", "retry"];

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// One event with this in one field, in every way to publish: target, header lines, body.
fn publishes(field: &str, value: &str) -> Vec<(String, &'static str, String)> {
    let of = |name: &str| match (name == field, name) {
        (true, _) => Some(value.to_owned()),
        (false, "topic") => Some("t".to_owned()),
        (false, "data") => Some("d".to_owned()),
        _ => None,
    };
    let pairs = |skipped: &[&str]| {
        let named = FIELDS.iter().filter(|name| !skipped.contains(name));
        let pairs = named.filter_map(|name| Some(format!("{name}={}", escaped(&of(name)?))));
        pairs.collect::<Vec<_>>().join("&")
    };
    let raw_body = of("data").unwrap_or_default();
    let topic = escaped(&of("topic").unwrap_or_default());
    let raw = format!("/topics/{topic}?{}", pairs(&["topic", "data"]));
    let mut object = serde_json::Map::new();
    for name in FIELDS {
        if let Some(value) = of(name) {
            object.insert(name.to_owned(), value.into());
        }
    }
    let object = serde_json::Value::Object(object).to_string();
    vec![
        (HUB.to_owned(), FORM, pairs(&[])),
        (raw, "", raw_body),
        (
            HUB.to_owned(),
            "\r\nContent-Type: application/json",
            format!("[{object}]"),
        ),
        (
            HUB.to_owned(),
            "\r\nContent-Type: application/x-ndjson",
            format!("{object}\n"),
        ),
    ]
}

/// Type and data of every event of a stream, as the standard reads it.
fn everything(server: &Server, query: &str) -> Vec<(String, String)> {
    let target = format!("/topics/*?since=earliest&checkpoint=off{query}");
    let (_, text) = server.stream(&target, "", "data: the end\n\n");
    let mut decoder = Decoder::new();
    decoder.feed(text.as_bytes());
    let mut events = Vec::new();
    while let Some(item) = decoder.next_item().unwrap() {
        match item.into_owned() {
            Item::Event(event) => events.push((event.event_type, event.data)),
            Item::Comment(comment) => assert_eq!(comment, ""),
            Item::Retry(ms) => panic!("nobody published retry: {ms}"),
        }
    }
    assert_eq!(events.pop().unwrap().1, "the end");
    events
}

fn was_stored(server: &Server, (target, lines, body): &(String, &str, String)) -> bool {
    let before = server.front.log().bounds().tail;
    let head = format!("POST {target} HTTP/1.1\r\nHost: localhost{lines}");
    let head = match body.is_empty() {
        true => head + "\r\nContent-Length: 0",
        false => head,
    };
    let answer = server.ask(&head, body);
    let stored = server.front.log().bounds().tail > before;
    let refused = answer.status == 400 || answer.body.contains("\"error\"");
    assert_eq!(
        refused, !stored,
        "{target} {body:?}: {} {}",
        answer.status, answer.body
    );
    stored
}

#[test]
fn no_field_of_an_event_holds_more_than_itself() {
    let server = start();
    let mut want = Vec::new();
    let mut texts: Vec<(String, bool)> = CHARACTERS
        .iter()
        .flat_map(|(c, taken)| [(format!("x{c}y"), *taken), (format!("x{c}"), *taken)])
        .collect();
    for text in [
        "x\r\n\r\nid: evil\ndata: injected\n\n",
        "x\nevent: evil",
        "x\rdata: injected\r\r",
        "x\ndata: injected",
        "\nid\n\n",
        "\u{feff}data: x",
    ] {
        texts.push((text.to_owned(), false));
    }
    for (text, is_taken) in &texts {
        for field in FIELDS {
            let is_taken = match field {
                "data" => true,
                // Numbers and marks: no such text is one, nor would anybody read a private event of a hub without keys.
                "private" | "retry" => false,
                _ => *is_taken,
            };
            for publish in publishes(field, text) {
                assert_eq!(
                    was_stored(&server, &publish),
                    is_taken,
                    "{field} {publish:?}"
                );
                let event_type = if field == "type" { text } else { "message" };
                let data = if field == "data" { text } else { "d" };
                let lines = data.replace("\r\n", "\n").replace('\r', "\n");
                if is_taken {
                    want.push((event_type.to_owned(), lines));
                }
            }
        }
    }
    server.publish("end", "the end");
    let got = everything(&server, "");
    for (at, (got, want)) in got.iter().zip(&want).enumerate() {
        assert_eq!(got, want, "event {at}");
    }
    assert_eq!(got.len(), want.len());
    // A topic in `event:` does not break out either.
    let labelled = everything(&server, "&label=topic");
    assert_eq!(labelled.len(), want.len());
    let topics: std::collections::BTreeSet<&str> =
        labelled.iter().map(|(topic, _)| &**topic).collect();
    assert_eq!(
        topics.into_iter().collect::<Vec<_>>(),
        ["t", "x\u{2028}", "x\u{2028}y"]
    );
}

/// mercure.md, 2.4: in no parameter, and none of it comes back in a header.
#[test]
fn no_parameter_of_a_subscribe_holds_more_than_itself() {
    let server = start();
    let names = [
        "topic",
        "match",
        "match_exact",
        "match_urlpattern",
        "last_event_id",
        "lastEventID",
        "since",
        "checkpoint",
        "label",
        "padding",
        "limit",
        "wait",
        "unknown",
    ];
    for name in names {
        for (c, is_taken) in CHARACTERS {
            let value = escaped(&format!("x{c}X-Injected: 1"));
            let topic = if name.starts_with("match") || name == "topic" {
                ""
            } else {
                "match=a&"
            };
            let target = format!("{HUB}?{topic}{name}={value}");
            let mut client = server.connect();
            client.send(&format!(
                "HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            ));
            let head = client.head();
            let takes_any = [
                "topic",
                "match",
                "match_exact",
                "last_event_id",
                "lastEventID",
                "unknown",
            ];
            let want = if *is_taken && takes_any.contains(&name) {
                200
            } else {
                400
            };
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            assert_eq!(status, want, "{target}");
            assert_eq!(header(&head, "x-injected"), None, "{target}");
        }
    }
}

/// Bytes that are no header's, and ids that are odd, of both doors: the first end in 400, the others are ids like any.
#[test]
fn no_header_holds_more_than_itself() {
    let server = start();
    #[rustfmt::skip]
    let table: [(&[u8], u16, Option<&str>); 9] = [
        (b"x\ry",              400, None),
        (b"x\0y",              400, None),
        (b"x\x7fy",            400, None),
        (b"x\x01y",            400, None),
        (b"x\r\nX-Injected: 1", 200, Some("earliest")),
        (b"x\ty",              200, Some("earliest")),
        (b"\xff\xfe",          200, Some("earliest")),
        ("\u{feff}x".as_bytes(), 200, Some("earliest")),
        ("\u{2028}".as_bytes(), 200, Some("earliest")),
    ];
    for (id, want, answered) in table {
        for more in ["", "TE: trailers\r\n"] {
            let mut socket = server.socket();
            let mut bytes =
                format!("GET /topics/a HTTP/1.1\r\nHost: localhost\r\n{more}Last-Event-ID: ")
                    .into_bytes();
            bytes.extend_from_slice(id);
            bytes.extend_from_slice(b"\r\n\r\n");
            socket.write_all(&bytes).unwrap();
            let head = Client::new(socket).head();
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            assert_eq!(status, want, "{id:?}: {head}");
            assert_eq!(header(&head, "last-event-id"), answered, "{id:?}");
            assert_eq!(header(&head, "x-injected"), None, "{id:?}");
        }
    }
    for line in [
        "Idempotency-Key",
        "Origin",
        "Referer",
        "Cookie",
        "Authorization",
        "Accept",
        "Content-Type",
    ] {
        let mut client = server.connect();
        client.send(&request(
            &format!("POST /topics/a HTTP/1.1\r\nHost: localhost\r\n{line}: x\ry"),
            "data",
        ));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 400"), "{line}: {head}");
    }
    assert_eq!(server.front.counters().events, 0);
}

/// A path is a topic's name and nothing else: no step up, no second slash and no escape leads out of `/topics/` or into the hub's own.
#[test]
fn paths_lead_nowhere_else() {
    let server = start();
    #[rustfmt::skip]
    let table = [
        // target, status, topic
        ("/topics/..%2f",                             200, "../"),
        ("/topics/..%2fhealthz",                      200, "../healthz"),
        ("/topics/../healthz",                        200, "../healthz"),
        ("/topics/%2e%2e/healthz",                    200, "../healthz"),
        ("/topics//a",                                200, "/a"),
        ("/topics/a//b",                              200, "a//b"),
        ("/topics/a/",                                200, "a/"),
        ("/topics/a%2Fb",                             200, "a/b"),
        ("/topics/a%252Fb",                           200, "a%2Fb"),
        ("/topics/%5c..%5cb",                         200, "\\..\\b"),
        ("/topics/a;b=c",                             200, "a;b=c"),
        ("/topics/%",                                 200, "%"),
        ("/topics/%zz",                               200, "%zz"),
        ("/topics/%25",                               200, "%"),
        ("/topics/https:%2F%2Fe.x%2F1",               200, "https://e.x/1"),
        ("http://localhost/topics/absolute",          200, "absolute"),
        ("/topics/a%00",                              400, ""),
        ("/topics/%0d%0aX:y",                         400, ""),
        ("/topics/%C0%AF",                            400, ""),
        ("/topics/%F0%9F",                            400, ""),
        ("/topics/%ED%A0%80",                         400, ""),
        ("/topics/%E2%80%AEa",                        400, ""),
        ("/topics/*",                                 400, ""),
        ("/topics/%2A",                               400, ""),
        ("/topics/../.well-known/mercure",            400, ""),
        ("/topics/%2e%2e/.well-known/%6dercure/x",    400, ""),
        ("/topics/mercure/subscriptions/x",           400, ""),
        ("/topics//.well-known/mercure",              400, ""),
        ("/topics/%2F%2Fother/.well-known/mercure/x", 400, ""),
        ("/topics/%20",                               400, ""),
        ("http://evil.example/topics/a",              403, ""),
        ("//topics/a",                                404, ""),
        ("/topics",                                   404, ""),
        ("/topics/",                                  404, ""),
        ("/TOPICS/a",                                 404, ""),
        ("/%74opics/a",                               404, ""),
        ("/.well-known/../topics/a",                  404, ""),
        ("/.well-known/mercure/",                     404, ""),
        ("/.well-known//mercure",                     404, ""),
    ];
    for (target, want, topic) in table {
        for more in ["", "\r\nTE: trailers"] {
            let before = server.front.log().bounds().tail;
            let head = format!("POST {target} HTTP/1.1\r\nHost: localhost{more}");
            let answer = server.ask(&head, "x");
            assert_eq!(answer.status, want, "{target}: {}", answer.body);
            assert_eq!(
                server.front.log().bounds().tail > before,
                want == 200,
                "{target}"
            );
            if want != 200 {
                continue;
            }
            let page = server.ask(
                "GET /topics/*?since=last:1 HTTP/1.1\r\nHost: localhost\r\nAccept: application/json",
                "",
            );
            let page: serde_json::Value = serde_json::from_str(&page.body).unwrap();
            assert_eq!(
                page["events"][0]["topics"],
                serde_json::json!([topic]),
                "{target}"
            );
            // Who subscribes by the same path gets it.
            let path = target.trim_start_matches("http://localhost");
            let (_, body) = server.stream(
                &format!("{path}?since=last:1&checkpoint=off"),
                "",
                "data: x\n\n",
            );
            assert!(body.ends_with("data: x\n\n"), "{target}");
        }
    }
}
