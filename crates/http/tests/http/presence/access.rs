//! Who may see presence, and what it shows of a token.

use serde_json::{Value, json};
use tidewire_auth::{
    Algorithm, Anonymous, Claims, Detail, Issuer, Key, KeySet, Keys, TopicMatch, mint,
};
use tidewire_http::{Access, Settings};

use super::{API, HUB, brief, open, start, start_and, told, wait_for_told};
use crate::server::{Answer, Client, Server};

const NOW_MS: u64 = 1_800_000_000_000;
const LEGACY: &[u8] = b"!ChangeThisMercureHubJWTSecretKey!";
const MODERN: &[u8] = b"the key of https://issuer.example, long enough";

fn key(secret: &[u8]) -> Key {
    Key::hmac(secret, Algorithm::Hs256).unwrap()
}

/// A hub with keys of both dialects.
fn locked(change: impl FnOnce(&mut Settings)) -> Server {
    start_and(|settings| {
        settings.access = Access::default();
        settings.access.keys = Keys {
            subscriber: Some(KeySet::from(key(LEGACY))),
            issuers: vec![Issuer {
                name: "https://issuer.example".to_owned(),
                subscriber: Some(KeySet::from(key(MODERN))),
                publisher: None,
            }],
            ..Keys::default()
        };
        settings.hub_url = Some("https://hub.example/.well-known/mercure".to_owned());
        settings.clock = std::sync::Arc::new(|| NOW_MS);
        change(settings);
    })
}

fn legacy_with(subscribe: &[&str], payload: Option<Value>) -> String {
    let claims = Claims {
        subscribe: subscribe.iter().map(|&text| text.to_owned()).collect(),
        payload,
        ..Claims::default()
    };
    format!(
        "Authorization: Bearer {}",
        mint(&claims, &key(LEGACY)).unwrap()
    )
}

fn legacy(subscribe: &[&str]) -> String {
    legacy_with(subscribe, None)
}

fn modern_with(details: &[(&[&str], Option<Value>)]) -> String {
    let detail = |(topics, payload): &(&[&str], Option<Value>)| Detail {
        subscribe: true,
        topics: topics
            .iter()
            .map(|text| match text.contains(':') && text.starts_with('/') {
                true => TopicMatch::UrlPattern((*text).to_owned()),
                false => TopicMatch::Exact((*text).to_owned()),
            })
            .collect(),
        payload: payload.clone(),
        ..Detail::default()
    };
    let claims = Claims {
        details: Some(details.iter().map(detail).collect()),
        audience: vec!["https://hub.example/.well-known/mercure".to_owned()],
        issuer: Some("https://issuer.example".to_owned()),
        expires_ms: Some(NOW_MS + 3_600_000),
        issued_ms: Some(NOW_MS),
        subject: Some("somebody".to_owned()),
        client_id: Some("a program".to_owned()),
        token_id: Some("1".to_owned()),
        ..Claims::default()
    };
    format!(
        "Authorization: Bearer {}",
        mint(&claims, &key(MODERN)).unwrap()
    )
}

fn modern(topics: &[&str]) -> String {
    modern_with(&[(topics, None)])
}

fn ask(server: &Server, target: &str, token: &str) -> Answer {
    let lines = if token.is_empty() {
        String::new()
    } else {
        format!("\r\n{token}")
    };
    server.ask(
        &format!("GET {target} HTTP/1.1\r\nHost: localhost{lines}"),
        "",
    )
}

fn listen(server: &Server, target: &str, token: &str) -> Client {
    open(server, target, &format!("{token}\r\n"))
}

// mercure.md, 1.14: the legacy dialect answers 401 whatever is wrong; 2.64: 401 without a token, 403 without a grant.
#[test]
fn the_api_is_for_whoever_has_a_grant_of_its_path() {
    let server = locked(|_| {});
    let _one = listen(&server, &format!("{HUB}?topic=https://e.x/1"), &legacy(&[]));
    let told = wait_for_told(&server, 1);
    let id = told[0]["subscriber"].as_str().unwrap().replace(':', "%3A");
    let topic = "https%3A%2F%2Fe.x%2F1";
    let of_topic = format!("{API}/{topic}");
    let of_match = format!("{API}/exact/{topic}");
    let legacy_one = format!("{API}/{topic}/{id}");
    let modern_one = format!("{API}/exact/{topic}/{id}");
    let all = API.to_owned();
    let paged = format!("{API}?limit=5");
    let template = format!("{API}{{/topic}}{{/subscriber}}");
    let with_query = format!("{API}?limit=5");
    let pattern = format!("{API}/:type/:match/:subscriber?");
    #[rustfmt::skip]
    let table: [(&str, String, u16); 27] = [
        (&all, String::new(), 401),
        (&all, legacy(&[]), 401),
        (&all, legacy(&["*"]), 200),
        (&all, legacy(&[API]), 200),
        (&all, legacy(&[&template]), 200),
        (&all, modern(&["*"]), 200),
        (&all, modern(&[API]), 200),
        (&all, modern(&["https://hub.example/.well-known/mercure/subscriptions"]), 403),
        (&all, modern(&["/other"]), 403),
        (&paged, legacy(&[API]), 200),
        // The legacy dialect's grants name the path with its query.
        (&paged, legacy(&[&with_query]), 200),
        (&all, legacy(&[&with_query]), 401),
        // mercure.md, 2.64: the path without query.
        (&paged, modern(&[API]), 200),
        (&paged, modern(&[&with_query]), 403),
        (&of_topic, legacy(&[API]), 401),
        (&of_topic, legacy(&[&of_topic]), 200),
        (&of_topic, legacy(&[&template]), 200),
        (&of_topic, String::new(), 401),
        (&of_match, modern(&[&of_match]), 200),
        (&of_match, modern(&[&pattern]), 200),
        (&of_match, modern(&[API]), 403),
        (&of_match, String::new(), 401),
        (&legacy_one, legacy(&[&template]), 200),
        (&legacy_one, legacy(&[&of_topic]), 401),
        (&modern_one, modern(&[&modern_one]), 200),
        (&modern_one, modern(&[&pattern]), 200),
        (&modern_one, legacy(&["*"]), 401),
    ];
    for (at, (target, token, status)) in table.into_iter().enumerate() {
        let answer = ask(&server, target, &token);
        assert_eq!(answer.status, status, "row {at}: {target} {}", answer.body);
        if status >= 400 {
            assert!(answer.header("www-authenticate").is_some(), "row {at}");
            assert!(
                !answer.body.contains("urn:uuid"),
                "row {at}: {}",
                answer.body
            );
        }
    }
    let garbage = "Authorization: Bearer not.a.token";
    assert_eq!(ask(&server, API, garbage).status, 401);
}

// mercure.md, 2.64: 401 without a token, also where reading public events needs none.
#[test]
fn anonymous_readers_of_a_hub_with_keys_see_nobody() {
    let server = locked(|settings| settings.access.anonymous = Anonymous::Subscribe);
    let mut client = open(&server, &format!("{HUB}?topic=*"), "");
    wait_for_told(&server, 1);
    for target in [API.to_owned(), format!("{API}/exact/a"), format!("{API}/a")] {
        assert_eq!(ask(&server, &target, "").status, 401, "{target}");
    }
    server.publish("a", "public");
    let text = client.chunks_until("public\n\n");
    assert!(!text.contains("urn:uuid"), "{text}");
}

/// A hub without keys for subscribers shows it to whoever may subscribe, and to nobody else.
#[test]
fn a_keyless_hub_shows_it_to_whoever_may_subscribe() {
    let server = start();
    assert_eq!(server.get(API).status, 200);
    let shut = start_and(|settings| {
        settings.access = Access::default();
        settings.access.keys.publisher = Some(KeySet::from(key(LEGACY)));
    });
    assert_eq!(shut.get(API).status, 401);
    let read_only = start_and(|settings| {
        settings.access = Access::default();
        settings.access.keys.publisher = Some(KeySet::from(key(LEGACY)));
        settings.access.anonymous = Anonymous::Subscribe;
    });
    assert_eq!(read_only.get(API).status, 200);
    // What is open is presence, not everybody's private events.
    let mut client = open(&read_only, &format!("{HUB}?topic=*"), "");
    wait_for_told(&read_only, 1);
    let mut private =
        tidewire_log::Event::new(tidewire_core::Topic::parse("secret").unwrap(), "private", 1);
    private.private = true;
    read_only.publish_event(private);
    read_only.publish("a", "public");
    let text = client.chunks_until("public\n\n");
    assert!(
        text.contains("urn:uuid") && !text.contains("private"),
        "{text}"
    );
}

// mercure.md, 0.10 and 2.61: presence is private; a grant on either of its topics is enough, and none is not.
#[test]
fn only_a_grant_shows_events() {
    let server = locked(|_| {});
    let table = [
        (legacy(&[]), false),
        (legacy(&[API]), false),
        (
            legacy(&["/.well-known/mercure/subscriptions/{topic}/{subscriber}"]),
            true,
        ),
        (
            legacy(&["/.well-known/mercure/subscriptions/a/{subscriber}"]),
            true,
        ),
        (
            legacy(&["/.well-known/mercure/subscriptions/b/{subscriber}"]),
            false,
        ),
        (
            legacy(&["/.well-known/mercure/subscriptions/exact/a/{subscriber}"]),
            true,
        ),
        (modern(&["a"]), false),
        (
            modern(&["/.well-known/mercure/subscriptions/:type/:match/:subscriber"]),
            true,
        ),
        (
            modern(&["/.well-known/mercure/subscriptions/exact/a/:subscriber"]),
            true,
        ),
        (
            modern(&["/.well-known/mercure/subscriptions/a/:subscriber"]),
            true,
        ),
        (
            modern(&["/.well-known/mercure/subscriptions/exact/b/:subscriber"]),
            false,
        ),
    ];
    for (at, (token, sees)) in table.into_iter().enumerate() {
        let before = told(&server).len();
        let mut listener = listen(&server, "/topics/*?checkpoint=off", &token);
        drop(listen(&server, &format!("{HUB}?topic=a"), &legacy(&[])));
        wait_for_told(&server, before + 3);
        server.publish("end", "the end");
        let text = listener.chunks_until("the end\n\n");
        assert_eq!(text.contains("\"match\":\"a\""), sees, "row {at}: {text}");
        // And so for whoever comes later and reads what is stored.
        drop(listener);
        wait_for_told(&server, before + 4);
        let target = "/topics/*?checkpoint=off&since=earliest&limit=1000";
        let page = ask(
            &server,
            target,
            &format!("{token}\r\nAccept: application/json"),
        );
        let shows = page.body.contains("\\\"match\\\":\\\"a\\\"");
        assert_eq!(shows, sees, "row {at}: {}", page.body);
    }
}

// mercure.md, 1.13: the whole token's payload; 2.63: that of the first detail whose topics match the matcher's own text.
#[test]
fn payloads_are_the_tokens() {
    let server = locked(|_| {});
    let payload_of = |target: &str, token: &str| {
        let before = told(&server).len();
        let client = listen(&server, target, token);
        let told = wait_for_told(&server, before + 1);
        drop(client);
        wait_for_told(&server, before + 2);
        told[before].get("payload").cloned()
    };
    let one = json!({"n": 1});
    let two = json!({"n": [2, {"deep": null}]});
    let both: [(&[&str], Option<Value>); 3] = [
        (&["/books/:id"], Some(one.clone())),
        (&["b", "/books/1"], Some(two.clone())),
        (&["*"], Some(json!("rest"))),
    ];
    let both = modern_with(&both);
    #[rustfmt::skip]
    let table = [
        (format!("{HUB}?topic=a"), legacy(&["a"]), None),
        (format!("{HUB}?topic=a"), legacy_with(&[], Some(two.clone())), Some(two.clone())),
        (format!("{HUB}?topic=*"), legacy_with(&[], Some(json!("text"))), Some(json!("text"))),
        ("/topics/a".to_owned(), legacy_with(&[], Some(one.clone())), Some(one.clone())),
        (format!("{HUB}?match=b"), both.clone(), Some(two.clone())),
        (format!("{HUB}?match=/books/1"), both.clone(), Some(one)),
        (format!("{HUB}?match=c"), both.clone(), Some(json!("rest"))),
        (format!("{HUB}?match=*"), both.clone(), Some(json!("rest"))),
        ("/topics/b".to_owned(), both, Some(two)),
        (format!("{HUB}?match=c"), modern_with(&[(&["b"], Some(json!(1)))]), None),
    ];
    for (target, token, payload) in table {
        assert_eq!(payload_of(&target, &token), payload, "{target}");
    }
}

/// A stream whose grant ends is told of like any other.
#[test]
fn the_end_of_a_grant_is_an_end() {
    let server = locked(|_| {});
    let claims = Claims {
        expires_ms: Some(NOW_MS + 1000),
        ..Claims::default()
    };
    let token = mint(&claims, &key(LEGACY)).unwrap();
    let lines = format!("Authorization: Bearer {token}\r\n");
    let _client = open(&server, &format!("{HUB}?topic=a"), &lines);
    assert_eq!(
        brief(&wait_for_told(&server, 2)),
        [(true, "a"), (false, "a")]
    );
}

/// A token that may stand in the query is not repeated in the document.
#[test]
fn a_token_in_the_query_is_not_repeated() {
    let server = locked(|_| {});
    let token = legacy(&[API]).replace("Authorization: Bearer ", "");
    let answer = ask(&server, &format!("{API}?authorization={token}&limit=1"), "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.body.contains(&token) && !answer.head.contains(&token));
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(document["id"], API);
}
