//! Publishing one event or an array.

use std::sync::Arc;
use std::time::Duration;

use tidewire_auth::{Algorithm, Anonymous, Claims, Key, mint};
use tidewire_http::Settings;

use crate::server::{Server, start, start_with};

fn post(server: &Server, target: &str, lines: &str, body: &str) -> (u16, String) {
    let head = format!("POST {target} HTTP/1.1\r\nHost: localhost{lines}");
    let head = if body.is_empty() {
        head + "\r\nContent-Length: 0"
    } else {
        head
    };
    let answer = server.ask(&head, body);
    (answer.status, answer.body)
}

pub(crate) const FORM: &str = "\r\nContent-Type: application/x-www-form-urlencoded";
pub(crate) const JSON: &str = "\r\nContent-Type: application/json";

/// Every stored event as NDJSON shows it.
fn stored(server: &Server) -> Vec<serde_json::Value> {
    let answer = server.ask(
        "GET /topics/*?since=earliest HTTP/1.1\r\nHost: localhost\r\nAccept: application/json",
        "",
    );
    let page: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    page["events"].as_array().unwrap().clone()
}

#[test]
fn one_event_in_each_form() {
    let server = start();
    #[rustfmt::skip]
    let table = [
        ("/.well-known/mercure", FORM, "topic=a&data=x%20y", "#5-1"),
        ("/.well-known/mercure?topic=ignored", FORM, "topic=a&topic=b&data=x&type=t&id=urn:1&retry=300", "urn:1"),
        ("/.well-known/mercure", "\r\nContent-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8", "topic=a", "#5-3"),
        ("/topics/a/b%20c", "", "raw\ndata", "#5-4"),
        ("/topics/a?type=t&id=urn:2&retry=5", FORM, "a=b&c", "urn:2"),
        ("/topics/a", "", "", "#5-6"),
        ("/.well-known/mercure", JSON, r#"[{"topic":"a","data":"1"},{"topics":["a","b"],"data":"2","id":"urn:3"}]"#,
         "[\"#5-7\",\"urn:3\"]\n"),
        ("/.well-known/mercure", JSON, "[]", "[]\n"),
    ];
    for (target, lines, body, want) in table {
        let got = post(&server, target, lines, body);
        assert_eq!(got, (200, want.to_owned()), "{target} {body}");
    }
    let stored = stored(&server);
    assert_eq!(stored.len(), 8);
    assert_eq!(stored[0]["data"], "x y");
    assert_eq!(stored[1]["topics"], serde_json::json!(["a", "b"]));
    assert_eq!(
        (&stored[1]["type"], &stored[1]["retry"]),
        (&"t".into(), &300.into())
    );
    assert_eq!(stored[3]["topics"][0], "a/b c");
    assert_eq!(stored[3]["data"], "raw\ndata");
    assert_eq!(stored[4]["data"], "a=b&c");
}

#[test]
fn what_is_refused() {
    let server = start();
    #[rustfmt::skip]
    let table = [
        ("/.well-known/mercure", FORM, "data=x", 400),
        ("/.well-known/mercure", FORM, "topic=*&data=x", 400),
        ("/.well-known/mercure", FORM, "topic=a%00", 400),
        ("/.well-known/mercure", FORM, "topic=a&data=%FF", 400),
        ("/.well-known/mercure", FORM, "topic=a&type=tidewire.open", 400),
        ("/.well-known/mercure", FORM, "topic=a&type=mercure", 400),
        ("/.well-known/mercure", FORM, "topic=a&type=x%0Adata:%20y", 400),
        ("/.well-known/mercure", FORM, "topic=a&id=%231-2", 400),
        ("/.well-known/mercure", FORM, "topic=a&id=earliest", 400),
        ("/.well-known/mercure", FORM, "topic=a&retry=1s", 400),
        ("/.well-known/mercure", FORM, "topic=/.well-known/mercure/subscriptions/a", 400),
        ("/.well-known/mercure", "\r\nContent-Type: text/plain", "topic=a", 415),
        ("/.well-known/mercure", "", "topic=a", 415),
        ("/.well-known/mercure", JSON, r#"{"topic":"a"}"#, 400),
        ("/.well-known/mercure", JSON, r#"[{"topic":"a"},{"data":"b"}]"#, 400),
        ("/.well-known/mercure", JSON, r#"[{"topic":"a"}"#, 400),
        ("/topics/a?private=maybe", "", "x", 400),
        ("/topics/a?type=tidewire.x", "", "x", 400),
        ("/topics/%FF", "", "x", 400),
        ("/topics/a", "\r\nAuthorization: Bearer x", "x", 401),
    ];
    for (target, lines, body, want) in table {
        let (status, text) = post(&server, target, lines, body);
        assert_eq!(status, want, "{target} {body}: {text}");
        let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], want);
        assert!(problem["detail"].as_str().unwrap().len() > 20, "{text}");
    }
    assert!(stored(&server).is_empty(), "nothing of them was stored");
}

#[test]
fn limits_hold_at_their_edges() {
    let server = start_with(|settings| {
        settings.limits.event_bytes_max = 1000;
        settings.limits.topics_per_event_max = 3;
        settings.limits.array_bytes_max = 2000;
    });
    let x = |count: usize| "x".repeat(count);
    let form = |count| format!("topic=a&data={}", x(count));
    let array = |count: usize| format!("[{}]{}", r#"{"topic":"a"}"#, " ".repeat(count - 15));
    #[rustfmt::skip]
    let table = [
        ("/topics/a", "", x(1000), 200),
        ("/topics/a", "", x(1001), 413),
        ("/topics/a", "", x(3_000_000), 413),
        ("/.well-known/mercure", FORM, form(1000), 200),
        ("/.well-known/mercure", FORM, form(1001), 413),
        ("/.well-known/mercure", FORM, form(1_000_000), 413),
        ("/.well-known/mercure", FORM, "topic=a&topic=b&topic=c".into(), 200),
        ("/.well-known/mercure", FORM, "topic=a&topic=b&topic=c&topic=d".into(), 413),
        ("/.well-known/mercure", FORM, "topic=a&".repeat(5_000), 413),
        ("/.well-known/mercure", JSON, array(2000), 200),
        ("/.well-known/mercure", JSON, array(2001), 413),
    ];
    for (target, lines, body, want) in table {
        let (status, text) = post(&server, target, lines, &body);
        assert_eq!(status, want, "{target} {}: {text}", body.len());
    }
}

#[test]
fn the_same_key_stores_nothing_twice() {
    let server = start();
    let key = |key: &str| format!("\r\nIdempotency-Key: {key}{JSON}");
    let both = r#"[{"topic":"a","data":"1"},{"topic":"a","data":"2"}]"#;
    #[rustfmt::skip]
    let table = [
        ("/.well-known/mercure", key("k"), both, 200, "[\"#5-1\",\"#5-2\"]\n"),
        ("/.well-known/mercure", key("k"), both, 200, "[\"#5-1\",\"#5-2\"]\n"),
        ("/.well-known/mercure", key("k"), r#"[{"topic":"a","data":"other"}]"#, 422, ""),
        ("/.well-known/mercure", key("l"), both, 200, "[\"#5-3\",\"#5-4\"]\n"),
        ("/topics/a", key("m"), "x", 200, "#5-5"),
        ("/topics/a", key("m"), "x", 200, "#5-5"),
        ("/topics/a?type=t", key("m"), "x", 422, ""),
        ("/topics/a", "\r\nIdempotency-Key: ".to_owned() + &"x".repeat(257), "x", 400, ""),
    ];
    for (target, lines, body, status, want) in table {
        let got = post(&server, target, &lines, body);
        assert_eq!(got.0, status, "{target} {lines} {body}: {}", got.1);
        if status == 200 {
            assert_eq!(got.1, want, "{target} {lines} {body}");
        }
    }
    assert_eq!(stored(&server).len(), 5);
    assert_eq!(server.front.counters().duplicates, 3);
}

pub(crate) const SECRET: &[u8] = b"!ChangeThisMercureHubJWTSecretKey!";

pub(crate) fn with_keys(anonymous: Anonymous) -> Server {
    start_with(|settings| use_keys(settings, anonymous))
}

/// A publisher's and a subscriber's key of the legacy protocol.
pub(crate) fn use_keys(settings: &mut Settings, anonymous: Anonymous) {
    settings.access = Default::default();
    settings.access.anonymous = anonymous;
    let key = || Key::hmac(SECRET, Algorithm::Hs256).unwrap();
    settings.access.keys.publisher = Some(key().into());
    settings.access.keys.subscriber = Some(key().into());
    settings.clock = Arc::new(|| 1_000_000);
}

pub(crate) fn token(publish: &[&str], subscribe: &[&str], expires_ms: Option<u64>) -> String {
    let strings = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    let claims = Claims {
        publish: strings(publish),
        subscribe: strings(subscribe),
        expires_ms,
        ..Claims::default()
    };
    mint(&claims, &Key::hmac(SECRET, Algorithm::Hs256).unwrap()).unwrap()
}

#[test]
fn tokens_decide() {
    let server = with_keys(Anonymous::None);
    let publisher = token(&["a"], &[], None);
    let old = token(&["a"], &[], Some(999_000));
    let reader = token(&[], &["a"], None);
    let bearer = |token: &str| format!("\r\nAuthorization: Bearer {token}");
    #[rustfmt::skip]
    let table = [
        ("POST /topics/a", String::new(), 401, "Bearer"),
        ("POST /topics/a", bearer(&publisher), 200, ""),
        ("POST /topics/b", bearer(&publisher), 403, "Bearer error=\"insufficient_scope\""),
        ("POST /topics/a", bearer(&old), 401, "Bearer error=\"invalid_token\""),
        ("POST /topics/a", bearer(&reader), 403, "Bearer error=\"insufficient_scope\""),
        ("POST /topics/a", format!("\r\nOrigin: http://localhost\r\nCookie: mercureAuthorization={publisher}"), 200, ""),
        ("POST /topics/a", format!("\r\nCookie: mercureAuthorization={publisher}"), 403, ""),
        ("POST /topics/a", format!("\r\nOrigin: https://evil.example\r\nCookie: mercureAuthorization={publisher}"), 403, ""),
        ("POST /topics/a", "\r\nAuthorization: Basic eDp5".to_owned(), 400, "Bearer error=\"invalid_request\""),
        ("HEAD /topics/a", String::new(), 401, "Bearer"),
        ("HEAD /topics/a", bearer(&reader), 200, ""),
        ("HEAD /topics/a", bearer("garbage"), 401, "Bearer error=\"invalid_token\""),
    ];
    for (line, lines, want, challenge) in table {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost{lines}");
        let mut client = server.connect();
        client.send(&crate::server::request(
            &head,
            if line.starts_with("POST") { "x" } else { "" },
        ));
        let head = client.head();
        assert_eq!(
            head.split(' ').nth(1),
            Some(&*want.to_string()),
            "{line} {lines}"
        );
        let got = crate::server::header(&head, "www-authenticate").unwrap_or_default();
        let metadata = "resource_metadata=\"http://localhost/.well-known/oauth-protected-resource/.well-known/mercure\"";
        let want = match challenge {
            "" => String::new(),
            "Bearer" => format!("Bearer {metadata}"),
            challenge => format!("{challenge}, {metadata}"),
        };
        assert_eq!(got, want, "{line} {lines}");
        assert!(!head.contains(&publisher));
    }
    let query = format!("/topics/b?authorization={publisher}");
    let (status, body) = post(&server, &query, "", "x");
    assert_eq!(status, 403);
    assert!(!body.contains(&publisher), "{body}");
}

#[test]
fn a_private_event_that_nobody_could_read_is_refused() {
    let server = start();
    let json = "\r\nContent-Type: application/json";
    let ndjson = "\r\nContent-Type: application/x-ndjson";
    #[rustfmt::skip]
    let table = [
        ("/topics/a?private=true", "", "x"),
        ("/.well-known/mercure", FORM, "topic=a&data=x&private"),
        ("/.well-known/mercure", json, "[{\"topic\":\"a\",\"private\":true}]"),
        ("/.well-known/mercure", ndjson, "{\"topic\":\"a\",\"private\":true}\n"),
    ];
    for (target, lines, body) in table {
        let (status, answer) = post(&server, target, lines, body);
        assert_eq!(status, 400, "{target}{lines}: {answer}");
        assert!(answer.contains("--subscriber-key-file"), "{answer}");
    }
    assert_eq!(server.front.counters().events, 0);
}

#[test]
fn private_events_need_a_grant_and_a_grant_ends() {
    let server = with_keys(Anonymous::Subscribe);
    let publisher = token(&["*"], &[], None);
    let lines = format!("\r\nAuthorization: Bearer {publisher}{FORM}");
    for body in [
        "topic=a&topic=mine&data=secret&private",
        "topic=a&data=open",
    ] {
        assert_eq!(post(&server, "/.well-known/mercure", &lines, body).0, 200);
    }
    let reader = token(&[], &["mine"], Some(1_001_000));
    let target = "/topics/a?since=earliest&checkpoint=off";
    let (_, body) = server.stream(target, "", "data: open\n\n");
    assert!(!body.contains("secret"));
    let mut client = server.connect();
    client.send(&format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {reader}\r\n\r\n"
    ));
    client.head();
    let begun = std::time::Instant::now();
    assert!(
        client
            .chunks_until("data: open\n\n")
            .contains("data: secret\n\n")
    );
    client.chunks_to_end();
    let lasted = begun.elapsed();
    assert!(
        lasted >= Duration::from_millis(300),
        "not before its end: {lasted:?}"
    );
}
