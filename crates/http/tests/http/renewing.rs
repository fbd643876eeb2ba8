//! `PATCH /streams/{id}`: grants renewed and topics changed while a stream runs, on every kind of connection.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidewire_core::Topic;
use tidewire_http::Settings;
use tidewire_log::Event;

use crate::kinds::{KINDS, Kind, Stream, ask, hub, token_of};
use crate::server::{Server, until};

/// The end of a grant is told a little before.
fn soon(settings: &mut Settings) {
    settings.streams.expiring_ms = 600;
}

fn patch(server: &Server, id: &str, token: &str, body: &str) -> (u16, Value) {
    let answer = ask(server, &format!("PATCH /streams/{id}"), token, body);
    let body = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    (answer.status, body)
}

fn publish_private(server: &Server, topic: &str, data: &str) {
    let mut event = Event::new(Topic::parse(topic).unwrap(), data, 1_000);
    event.private = true;
    server.publish_event(event);
}

#[test]
fn a_renewed_stream_outlives_its_first_grant() {
    for kind in KINDS {
        let server = hub(kind, soon);
        let token = token_of("ada", &["a"], 2_000);
        let mut left = Stream::open(&server, kind, "/topics/a", &token);
        let mut renewed = Stream::open(&server, kind, "/topics/a", &token);
        let begun = Instant::now();
        left.id();
        let id = renewed.id();
        // Told first, on both.
        left.until("event: tidewire.expiring\ndata: {\"in_ms\":");
        renewed.until("event: tidewire.expiring\ndata: {\"in_ms\":");
        assert!(
            begun.elapsed() > Duration::from_millis(500),
            "{kind:?} {:?}",
            begun.elapsed()
        );
        let longer = token_of("ada", &["a"], 3_600_000);
        let (status, answer) = patch(&server, &id, &longer, "");
        assert_eq!(status, 200, "{kind:?} {answer}");
        assert_eq!(answer["stream"], id, "{kind:?}");
        assert_eq!(answer["topics"], json!(["a"]), "{kind:?}");
        assert_eq!(answer["expires_ms"], json!(1_000_003_600_000_u64));
        let rest = left.rest();
        assert!(
            rest.ends_with("event: tidewire.closing\ndata: {\"reason\":\"grant\"}\n\n"),
            "{kind:?} {rest}"
        );
        server.publish("a", "later");
        publish_private(&server, "a", "secret");
        let text = renewed.until("data: secret\n\n");
        assert!(text.contains("data: later\n\n"), "{kind:?} {text}");
        let gone = patch(&server, &id[..31], &longer, "").0;
        assert_eq!(gone, 404, "{kind:?}");
    }
}

/// On the path of the Mercure protocol a client is told nothing of ours but by comments.
#[test]
fn a_mercure_client_hears_of_its_end_by_comments() {
    for kind in KINDS {
        let server = hub(kind, soon);
        let token = token_of("ada", &["a"], 2_000);
        let stream = Stream::open(&server, kind, "/.well-known/mercure?topic=a", &token);
        let text = stream.rest();
        let (before, _) = text.split_once(": expiring: in ").unwrap();
        assert!(before.starts_with(":\nid: "), "{kind:?} {text}");
        assert!(text.ends_with("\n: closing: grant\n"), "{kind:?} {text}");
        assert!(!text.contains("event:"), "{kind:?} {text}");
    }
}

#[test]
fn topics_change_without_loss_at_the_cursor_that_is_answered() {
    for kind in KINDS {
        let server = hub(kind, |_| {});
        let token = token_of("ada", &[], 3_600_000);
        let mut stream = Stream::open(&server, kind, "/topics/a", &token);
        let id = stream.id();
        server.publish("a", "a1");
        server.publish("b", "b1");
        stream.until("data: a1\n\n");
        let (status, answer) = patch(
            &server,
            &id,
            &token,
            r#"{"add":{"topics":["b"],"match_urlpattern":["https://x.example/:id"]}}"#,
        );
        assert_eq!(status, 200, "{kind:?} {answer}");
        assert_eq!(answer["topics"], json!(["a", "b"]));
        assert_eq!(answer["match_urlpattern"], json!(["https://x.example/:id"]));
        assert_eq!(answer["added"]["topics"], json!(["b"]));
        assert_eq!(answer["removed"], json!({}));
        let from = answer["from"].as_str().unwrap();
        server.publish("b", "b2");
        server.publish("https://x.example/1", "x1");
        let text = stream.until("data: x1\n\n");
        let at = format!("event: tidewire.at\nid: {from}\n");
        let (before, after) = text.split_once(&at).expect("a checkpoint tells where");
        assert!(!before.contains("data: b"), "{kind:?} {text}");
        assert!(after.contains("data: b2\n\n"), "{kind:?} {text}");

        let (status, answer) = patch(&server, &id, &token, r#"{"topics":["c"]}"#);
        assert_eq!(
            (status, &answer["topics"]),
            (200, &json!(["c"])),
            "{kind:?}"
        );
        for topic in ["a", "b", "c"] {
            server.publish(topic, &format!("then {topic}"));
        }
        let text = stream.until("data: then c\n\n");
        assert!(
            !text.contains("then a") && !text.contains("then b"),
            "{kind:?} {text}"
        );
    }
}

#[test]
fn rights_are_those_of_the_last_token() {
    for kind in KINDS {
        let server = hub(kind, |_| {});
        let both = token_of("ada", &["a", "b"], 3_600_000);
        let mut stream = Stream::open(
            &server,
            kind,
            "/.well-known/mercure?topic=a&topic=b&checkpoint=event",
            &both,
        );
        let id = stream.id();
        publish_private(&server, "b", "for both");
        stream.until("data: for both\n\n");
        let one = token_of("ada", &["a"], 3_600_000);
        assert_eq!(patch(&server, &id, &one, "{}").0, 200, "{kind:?}");
        publish_private(&server, "b", "not any more");
        publish_private(&server, "a", "still");
        let text = stream.until("data: still\n\n");
        assert!(!text.contains("not any more"), "{kind:?} {text}");
    }
}

#[test]
fn some_renewals_are_refused() {
    let server = hub(Kind::Shard, |settings| {
        settings.limits.filters_per_stream_max = 2;
    });
    let token = token_of("ada", &["a"], 3_600_000);
    let mut stream = Stream::open(&server, Kind::Shard, "/topics/a", &token);
    let id = stream.id();
    let other = token_of("eve", &["a"], 3_600_000);
    let path = format!("/streams/{id}");
    let unknown = format!("/streams/{}", "0".repeat(32));
    #[rustfmt::skip]
    let table = [
        ("PATCH", &*path, &*other, "", 403),
        ("PATCH", &path, "", "", 401),
        ("PATCH", &path, "x.y.z", "", 401),
        ("PATCH", &unknown, &token, "", 404),
        ("PATCH", "/streams/x", &token, "", 404),
        ("PATCH", "/streams/", &token, "", 404),
        ("PATCH", &path, &token, "[]", 400),
        ("PATCH", &path, &token, r#"{"topics":["a","b","c"]}"#, 400),
        ("PATCH", &path, &token, r#"{"add":{"topics":["b","c"]}}"#, 400),
        ("PATCH", &path, &token, r#"{"remove":{"topics":["a"]}}"#, 400),
        ("PATCH", &format!("{path}?topic=b"), &token, "", 400),
        ("GET", &path, &token, "", 405),
        ("DELETE", &path, &token, "", 405),
        ("PATCH", &path, &token, r#"{"add":{"topics":["b"]}}"#, 200),
    ];
    for (method, target, token, body, status) in table {
        let answer = ask(&server, &format!("{method} {target}"), token, body);
        assert_eq!(
            answer.status, status,
            "{method} {target} {body} {}",
            answer.body
        );
    }
    // What was refused has changed nothing.
    server.publish("c", "not asked for");
    server.publish("b", "last");
    assert!(!stream.until("data: last\n\n").contains("not asked for"));
}

/// Another hub's ids, and those of streams that are over, name nobody: also where a place is used again.
#[test]
fn an_id_names_one_stream_for_ever() {
    for kind in KINDS {
        let (server, other) = (hub(kind, |_| {}), hub(kind, |_| {}));
        let token = token_of("ada", &["a"], 3_600_000);
        let mut ids = std::collections::HashSet::new();
        for _ in 0..5 {
            let mut stream = Stream::open(&server, kind, "/topics/a", &token);
            let id = stream.id();
            assert_eq!(patch(&server, &id, &token, "").0, 200, "{kind:?}");
            assert_eq!(patch(&other, &id, &token, "").0, 404, "{kind:?}");
            drop(stream);
            until("its end is noticed", || {
                // One whose client has gone is noticed when something is written.
                server.publish("a", "x");
                server.front.subscribers() == 0
            });
            assert!(ids.insert(id), "{kind:?}");
            for id in &ids {
                assert_eq!(patch(&server, id, &token, "").0, 404, "{kind:?}");
            }
        }
    }
}

/// RFC 5789 and Fetch: a page asks first, and is told of the method.
#[test]
fn pages_may_renew_what_they_may_read() {
    let server = hub(Kind::Shard, |settings| {
        settings.access.cors_origins =
            tidewire_http::Origins::parse(["https://a.example"]).unwrap();
    });
    let preflight = server.ask(
        "OPTIONS /streams/x HTTP/1.1\r\nHost: localhost\r\nOrigin: https://a.example\r\n\
         Access-Control-Request-Method: PATCH\r\nAccess-Control-Request-Headers: authorization, content-type",
        "",
    );
    assert_eq!(preflight.status, 204);
    let methods = preflight.header("access-control-allow-methods").unwrap();
    assert!(methods.contains("PATCH"), "{methods}");
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        Some("https://a.example")
    );
}

/// `streams_per_subject_max`: whoever may have two streams does not get a third by beginning it as nobody and renewing it as themselves.
#[test]
fn a_stream_that_becomes_somebodys_counts_for_them() {
    for kind in KINDS {
        for presence in [false, true] {
            let server = hub(kind, |settings| {
                settings.access.anonymous = tidewire_auth::Anonymous::Subscribe;
                settings.limits.streams_per_subject_max = Some(2);
                settings.subscriptions = presence;
            });
            let ada = token_of("ada", &[], 3_600_000);
            let eve = token_of("eve", &[], 3_600_000);
            let open = |token: &str| {
                let mut stream = Stream::open(&server, kind, "/topics/a", token);
                let id = stream.id();
                (stream, id)
            };
            let (_own, own) = open(&ada);
            let (first, first_id) = open("");
            let (mut second, second_id) = open("");
            let status = |id: &str, token: &str| patch(&server, id, token, "");
            assert_eq!(status(&first_id, &ada).0, 200, "{kind:?}");
            let (refused, why) = status(&second_id, &ada);
            assert_eq!(refused, 429, "{kind:?} {why}");
            assert!(
                why["detail"]
                    .as_str()
                    .unwrap()
                    .contains("streams_per_subject_max"),
                "{why}"
            );
            // Those that are hers she renews as often as she likes, and others are not concerned.
            for _ in 0..3 {
                assert_eq!(status(&own, &ada).0, 200, "{kind:?}");
                assert_eq!(status(&first_id, &ada).0, 200, "{kind:?}");
            }
            assert_eq!(status(&second_id, "").0, 200, "{kind:?}");
            // What was refused runs on, and its end makes room like any other's.
            server.publish("a", "still");
            second.until("data: still\n\n");
            drop(first);
            until("a stream's end makes room", || {
                server.publish("a", "x");
                match status(&second_id, &ada).0 {
                    200 => true,
                    429 => false,
                    status => panic!("{kind:?} {status}"),
                }
            });
            assert_eq!(status(&second_id, &eve).0, 403, "{kind:?}");
        }
    }
}
