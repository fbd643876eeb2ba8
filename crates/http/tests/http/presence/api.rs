//! What the API's documents say, and how they are asked for.

use serde_json::{Value, json};

use super::{API, HUB, open, start, start_and, told, wait_for_told};
use crate::server::Server;
use tidewire_http::Origins;

fn document(server: &Server, target: &str) -> Value {
    let answer = server.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// A hub with one subscriber to `https://e.x/{id}` and `b`: its id, and that percent-encoded.
fn with_one(server: &Server) -> (crate::server::Client, String, String) {
    let client = open(
        server,
        &format!("{HUB}?topic=https://e.x/%7Bid%7D&topic=b"),
        "",
    );
    let told = wait_for_told(server, 2);
    let id = told[0]["subscriber"].as_str().unwrap().to_owned();
    let encoded = id.replace(':', "%3A");
    (client, id, encoded)
}

// mercure.md, 1.14
#[test]
fn legacy_documents() {
    let server = start();
    let (_client, id, encoded) = with_one(&server);
    let template = "https%3A%2F%2Fe.x%2F%7Bid%7D";
    let answer = server.get(&format!("{API}/{template}"));
    assert_eq!(answer.header("content-type"), Some("application/ld+json"));
    assert_eq!(answer.header("etag"), Some("#5-2"));
    let item = json!({
        "id": format!("{API}/{template}/{encoded}"), "type": "Subscription", "subscriber": id,
        "topic": "https://e.x/{id}", "active": true,
    });
    let want = json!({
        "@context": "https://mercure.rocks/", "id": format!("{API}/{template}"), "type": "Subscriptions",
        "lastEventID": "#5-2", "subscriptions": [item],
    });
    assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), want);
    assert_eq!(
        document(&server, &format!("{API}/c"))["subscriptions"],
        json!([])
    );
    let one = document(&server, &format!("{API}/b/{encoded}"));
    let want = json!({
        "@context": "https://mercure.rocks/", "id": format!("{API}/b/{encoded}"), "type": "Subscription",
        "subscriber": id, "topic": "b", "active": true, "lastEventID": "#5-2",
    });
    assert_eq!(one, want);
    assert_eq!(server.get(&format!("{API}/c/{encoded}")).status, 404);
    assert_eq!(server.get(&format!("{API}/b/urn%3Auuid%3A1")).status, 404);
}

// mercure.md, 2.64
#[test]
fn modern_documents() {
    let server = start();
    assert_eq!(
        document(&server, API),
        json!({"id": API, "type": "subscriptions", "subscriptions": []})
    );
    let none = server.get(API);
    assert_eq!(none.header("etag"), Some("\"earliest\""));
    assert!(
        none.header("link")
            .unwrap()
            .contains("last-event-id=\"earliest\"")
    );
    let (_client, id, encoded) = with_one(&server);
    let template = "https%3A%2F%2Fe.x%2F%7Bid%7D";
    let item = |match_type: &str, text: &str, encoded_text: &str| {
        json!({
            "id": format!("{API}/{match_type}/{encoded_text}/{encoded}"), "type": "subscription",
            "match_type": match_type, "match": text, "subscriber": id, "active": true,
        })
    };
    let first = item("exact", "b", "b");
    let second = item("uritemplate", "https://e.x/{id}", template);
    let mut all = document(&server, API);
    let items = all["subscriptions"].as_array_mut().unwrap();
    items.sort_by_key(|item| item["match"].to_string());
    assert_eq!(*items, [first.clone(), second.clone()]);
    let of_type = format!("{API}/uritemplate/{template}");
    assert_eq!(
        document(&server, &of_type),
        json!({"id": of_type, "type": "subscriptions", "subscriptions": [second]})
    );
    // Of another type there is none.
    let other = document(&server, &format!("{API}/exact/{template}"));
    assert_eq!(other["subscriptions"], json!([]));
    let answer = server.get(&format!("{API}/exact/b/{encoded}"));
    assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), first);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.header("link"),
        Some(
            "</.well-known/mercure>; rel=\"mercure\"; last-event-id=\"#5-2\"; type=\"mercure\"; content-type=\"application/json\""
        )
    );
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    #[rustfmt::skip]
    let table = [
        (format!("{API}/exact/c/{encoded}"), 404),
        (format!("{API}/uritemplate/b/{encoded}"), 404),
        (format!("{API}/exact/b/{id}"), 200),
        (format!("{API}/exact/b/{}", encoded.to_uppercase()), 404),
        (format!("{API}/exact/b/nobody"), 404),
        // mercure.md, 2.64: an unknown kind.
        (format!("{API}/regexp/b/{encoded}"), 400),
        (format!("{API}/Exact/b/{encoded}"), 400),
        (format!("{API}/exact/b/{encoded}/x"), 404),
        (format!("{API}/"), 404),
        (format!("{API}/exact//x"), 404),
        (format!("{API}/exact/../b"), 400),
        (format!("{API}/%FF"), 400),
        (format!("{API}x"), 404),
    ];
    for (target, status) in table {
        assert_eq!(server.get(&target).status, status, "{target}");
    }
}

// mercure.md, 1.13 and 2.60: whatever a matcher holds, its documents are found where they say.
#[test]
fn ids_lead_to_their_documents() {
    let server = start();
    let texts = [
        "a b",
        "a%20b",
        "ü/日本",
        "*",
        "{x}",
        "?a=b&c#d",
        "exact",
        "..",
        "a+b",
        "\"quoted\"\\",
    ];
    let mut clients = Vec::new();
    for text in texts {
        let text: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        clients.push(open(&server, &format!("{HUB}?match={text}"), ""));
    }
    wait_for_told(&server, texts.len());
    let all = document(&server, API);
    let items = all["subscriptions"].as_array().unwrap();
    assert_eq!(items.len(), texts.len());
    for item in items {
        let id = item["id"].as_str().unwrap();
        if item["match"] == ".." {
            // Whoever resolves this path sees another one.
            assert_eq!(server.get(id).status, 400);
            continue;
        }
        assert_eq!(document(&server, id), *item, "{id}");
        let collection = id.rsplit_once('/').unwrap().0;
        assert_eq!(
            document(&server, collection)["subscriptions"],
            json!([item])
        );
    }
}

#[test]
fn tags_say_whether_anything_has_changed() {
    let server = start();
    let (_client, ..) = with_one(&server);
    let conditional = |target: &str, tag: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}");
        server.ask(&head, "")
    };
    for target in [API.to_owned(), format!("{API}/b"), format!("{API}/exact/b")] {
        let tag = server.get(&target).header("etag").unwrap().to_owned();
        for known in [
            tag.clone(),
            format!("\"x\", {tag}"),
            "*".to_owned(),
            format!("W/{tag}"),
        ] {
            let answer = conditional(&target, &known);
            assert_eq!(answer.status, 304, "{target} {known}");
            assert_eq!(answer.header("etag"), Some(&*tag));
            assert!(answer.body.is_empty());
        }
        assert_eq!(conditional(&target, "\"other\"").status, 200);
        let before = told(&server).len();
        let more = open(&server, &format!("{HUB}?topic=c"), "");
        // At once, also before an event tells of it.
        let answer = conditional(&target, &tag);
        assert_eq!(answer.status, 200, "{target}");
        drop(more);
        wait_for_told(&server, before + 2);
    }
}

#[test]
fn heads_have_no_body_and_other_methods_no_effect() {
    let server = start();
    let (_client, ..) = with_one(&server);
    let mut client = server.connect();
    client.send(&format!("HEAD {API} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let head = client.head();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("etag: \"#5-2\""),
        "{head}"
    );
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 200, "nothing of a body came");
    for method in ["POST", "PUT", "DELETE", "QUERY"] {
        let answer = server.ask(&format!("{method} {API} HTTP/1.1\r\nHost: localhost"), "");
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD, OPTIONS")),
            "{method}"
        );
    }
    let off = crate::server::start();
    let answer = off.ask(&format!("POST {API} HTTP/1.1\r\nHost: localhost"), "");
    assert_eq!(answer.status, 404);
}

// mercure.md, 2.64: pages of other origins can read `Link`.
#[test]
fn pages_of_other_origins_may_ask() {
    let server = start_and(|settings| {
        settings.access.keyless = false;
        settings.access.cors_origins = Origins::parse(["https://page.example"]).unwrap();
    });
    let origin = "\r\nOrigin: https://page.example";
    let answer = server.ask(
        &format!("GET {API} HTTP/1.1\r\nHost: localhost{origin}"),
        "",
    );
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://page.example")
    );
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert!(
        exposed.contains("link") && exposed.contains("etag"),
        "{exposed}"
    );
    let preflight = format!(
        "OPTIONS {API}/exact/a HTTP/1.1\r\nHost: localhost{origin}\r\nAccess-Control-Request-Method: GET\r\n\
         Access-Control-Request-Headers: authorization"
    );
    let answer = server.ask(&preflight, "");
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET, HEAD, OPTIONS")
    );
}

/// mercure.md, 2.71: topics and API follow the hub's path.
#[test]
fn a_hub_elsewhere_tells_there() {
    let server = start_and(|settings| settings.hub_path = "/live".to_owned());
    let mut client = open(&server, "/live?match=*", "");
    client.chunks_until("\"active\":true}\n\n");
    let all = document(&server, "/live/subscriptions");
    let id = all["subscriptions"][0]["id"].as_str().unwrap();
    assert!(
        id.starts_with("/live/subscriptions/exact/%2A/urn%3Auuid%3A"),
        "{id}"
    );
    assert_eq!(document(&server, id)["match"], "*");
    assert_eq!(server.get(API).status, 404);
}

// mercure.md, 2.40
#[test]
fn metadata_says_so() {
    use tidewire_auth::{Algorithm, Key, KeySet};
    for on in [true, false] {
        let server = start_and(|settings| {
            settings.subscriptions = on;
            let key = Key::hmac(b"!ChangeThisMercureHubJWTSecretKey!", Algorithm::Hs256).unwrap();
            settings.access.keys.subscriber = Some(KeySet::from(key));
        });
        let metadata = document(
            &server,
            "/.well-known/oauth-protected-resource/.well-known/mercure",
        );
        assert_eq!(
            metadata.get("mercure_subscriptions"),
            on.then_some(&json!(true))
        );
    }
}
