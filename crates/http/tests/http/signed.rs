//! Signed URLs: made at `POST /signed-urls` or by whoever has the key, and taken for what they say and for nothing else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidewire_auth::signed_url::{SignedUrl, UrlKey};
use tidewire_core::Topic;
use tidewire_http::{AccessLogFormat, ForwardedHeader, Settings, TrustedProxies};
use tidewire_log::Event;

use crate::access_log::Written;
use crate::kinds::{BEGIN_MS, KINDS, Kind, Stream, ask, hub, token_of};
use crate::server::{Answer, Server, request, until};
use crate::tls;

const KEY: &[u8] = b"a key for URLs that is long enough, 32 bytes";
const HUB: &str = "/.well-known/mercure";

fn key() -> UrlKey {
    UrlKey::new(KEY).unwrap()
}

fn signing(settings: &mut Settings) {
    settings.access.url_key = Some(key());
    settings.access.cors_origins =
        tidewire_http::Origins::parse(["https://app.example", "https://other.example"]).unwrap();
}

/// Good for an hour.
fn url(path: &str, parameters: &[(&str, &str)]) -> SignedUrl {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    SignedUrl {
        path: path.to_owned(),
        parameters: parameters.iter().map(owned).collect(),
        expires_ms: BEGIN_MS + 3_600_000,
        ..SignedUrl::default()
    }
}

fn signed(url: &SignedUrl) -> String {
    url.sign(&key()).unwrap()
}

/// A subscribe without a body to wait for: what a page gets.
fn look(server: &Server, target: &str, lines: &str) -> Answer {
    let text = request(
        &format!("GET {target} HTTP/1.1\r\nHost: hub.example\r\nAccept: application/json{lines}"),
        "",
    );
    if server.front.settings().tls.is_some() {
        let mut client = tls::connect(server);
        client.send(&text);
        return client.answer();
    }
    let mut client = server.connect();
    client.send(&text);
    client.answer()
}

fn publish_private(server: &Server, topics: &[&str], data: &str) {
    let mut topics = topics.iter().map(|topic| Topic::parse(topic).unwrap());
    let mut event = Event::new(topics.next().unwrap(), data, 1_000);
    event.topics.extend(topics);
    event.private = true;
    server.publish_event(event);
}

fn open(server: &Server, kind: Kind, target: &str) -> Stream {
    Stream::open(server, kind, target, "")
}

#[test]
fn a_signed_url_reads_private_events_of_its_topics_and_of_no_others() {
    let table: [(SignedUrl, &[&str]); 5] = [
        (url("/topics/a", &[]), &["a"]),
        (url(HUB, &[("match", "a"), ("match", "b")]), &["a", "b"]),
        (url(HUB, &[("topic", "a")]), &["a"]),
        (
            url(HUB, &[("topic", "https://x.example/{id}")]),
            &["https://x.example/1"],
        ),
        (
            url(HUB, &[("match_urlpattern", "https://x.example/:id")]),
            &["https://x.example/1"],
        ),
    ];
    let topics = [
        "a",
        "b",
        "c",
        "https://x.example/1",
        "https://x.example/1/2",
    ];
    for kind in KINDS {
        let server = hub(kind, signing);
        for (url, readable) in &table {
            let mut stream = open(&server, kind, &signed(url));
            // Last one that all of them read: whatever comes before is there by then.
            for topic in topics.iter().filter(|topic| !readable.contains(topic)) {
                publish_private(&server, &[topic], "not for it");
            }
            for topic in *readable {
                publish_private(&server, &[topic], &format!("for {topic}."));
                let text = stream.until(&format!("data: for {topic}.\n\n"));
                assert!(!text.contains("not for it"), "{kind:?} {url:?} {text}");
            }
        }
    }
}

#[test]
fn what_was_signed_cannot_be_changed() {
    let server = hub(Kind::Shard, signing);
    let of_hub = signed(&url(HUB, &[("match", "a")]));
    let of_topic = signed(&url("/topics/a", &[]));
    let limited = signed(&SignedUrl {
        origin: Some("https://app.example".into()),
        address: Some("192.0.2.1".parse().unwrap()),
        ..url("/topics/a", &[])
    });
    let expires = (BEGIN_MS / 1000 + 3600).to_string();
    let later = (BEGIN_MS / 1000 + 7200).to_string();
    let other_key = UrlKey::new(b"another key for URLs that is long enough").unwrap();
    #[rustfmt::skip]
    let table = [
        (of_hub.clone(), 200),
        (of_topic.clone(), 200),
        (format!("{of_hub}&since=earliest&last_event_id=x&limit=1"), 200),
        (of_topic.replace("/topics/a", "/topics/%61"), 200),
        (of_hub.replace("match=a", "match=b"), 401),
        (of_hub.replace("match=a", "match=a&match=b"), 401),
        (format!("{of_hub}&match=b"), 401),
        (format!("{of_hub}&topic=b"), 400),
        (of_hub.replace("match=a", "match_urlpattern=a"), 401),
        (of_hub.replace(&expires, &later), 401),
        (of_hub.replace("expires", "Expires"), 401),
        (format!("{of_hub}&expires={later}"), 401),
        (format!("{of_hub}&once=0123456789abcdef"), 401),
        (format!("{of_hub}&subject=eve"), 401),
        (format!("{of_hub}&access_token=x"), 401),
        (format!("{of_hub}&{}", of_hub.split('&').next_back().unwrap()), 401),
        (format!("{of_hub}x"), 401),
        (of_hub.split("&signature").next().unwrap().to_owned() + "&signature=", 401),
        (of_topic.replace("/topics/a", "/topics/b"), 401),
        (of_topic.replace("/topics/a", "/topics/a/b"), 401),
        (of_topic.replace("/topics/a", HUB), 401),
        (limited.replace("&origin=https%3A%2F%2Fapp.example", "").replace("&address=192.0.2.1", ""), 401),
        (url("/topics/a", &[]).sign(&other_key).unwrap(), 401),
    ];
    for (target, status) in table {
        let answer = look(&server, &target, "");
        assert_eq!(answer.status, status, "{target} {}", answer.body);
        assert!(!answer.body.contains("signature="), "{}", answer.body);
    }
    // Whoever takes the signature off is somebody without a token.
    let bare = look(&server, of_hub.split("&expires").next().unwrap(), "");
    assert_eq!(bare.status, 401);
}

#[test]
fn a_url_for_an_origin_is_good_for_its_pages() {
    let server = hub(Kind::Shard, signing);
    let own = |origin: &str| {
        signed(&SignedUrl {
            origin: Some(origin.to_owned()),
            ..url("/topics/a", &[])
        })
    };
    let (app, hub) = (own("https://app.example"), own("http://hub.example"));
    #[rustfmt::skip]
    let table = [
        (&app, "\r\nOrigin: https://app.example", 200),
        (&app, "\r\nOrigin: https://other.example", 401),
        (&app, "\r\nOrigin: null", 401),
        (&app, "", 401),
        (&app, "\r\nReferer: https://app.example/", 401),
        (&app, "\r\nSec-Fetch-Site: same-origin", 401),
        (&app, "\r\nSec-Fetch-Site: same-site", 401),
        (&hub, "\r\nSec-Fetch-Site: same-origin", 200),
        (&hub, "\r\nSec-Fetch-Site: none", 401),
        (&hub, "\r\nOrigin: http://hub.example", 200),
        (&hub, "\r\nOrigin: https://app.example\r\nSec-Fetch-Site: same-origin", 401),
    ];
    for (target, lines, status) in table {
        let answer = look(&server, target, lines);
        assert_eq!(answer.status, status, "{lines} {}", answer.body);
        // A page may read why.
        if lines.starts_with("\r\nOrigin: https") {
            assert!(answer.header("access-control-allow-origin").is_some());
        }
    }
}

#[test]
fn a_url_for_an_address_is_good_from_there() {
    for kind in [Kind::Shard, Kind::Solo, Kind::Tls] {
        let server = hub(kind, signing);
        for (address, status) in [
            ("127.0.0.1", 200),
            ("::ffff:127.0.0.1", 200),
            ("127.0.0.2", 401),
            ("2001:db8::1", 401),
        ] {
            let target = signed(&SignedUrl {
                address: Some(address.parse().unwrap()),
                ..url("/topics/a", &[])
            });
            let answer = look(&server, &target, "");
            assert_eq!(answer.status, status, "{kind:?} {address} {}", answer.body);
            // Over each of the two ways into the hub.
            let answer = look(&server, &target, "\r\nTE: trailers");
            assert_eq!(answer.status, status, "{kind:?} {address} {}", answer.body);
        }
    }
}

/// Behind a proxy that is trusted, what it says of its client counts, and of the scheme; behind one that is not, nothing.
#[test]
fn a_proxy_tells_the_address_and_the_origin_if_it_is_trusted() {
    for is_trusted in [true, false] {
        let server = hub(Kind::Shard, |settings| {
            signing(settings);
            let trusted = if is_trusted {
                "127.0.0.1"
            } else {
                "10.0.0.0/8"
            };
            settings.trusted_proxies =
                TrustedProxies::parse([trusted], ForwardedHeader::XForwarded).unwrap();
        });
        let for_address = signed(&SignedUrl {
            address: Some("192.0.2.1".parse().unwrap()),
            ..url("/topics/a", &[])
        });
        let for_own = signed(&SignedUrl {
            origin: Some("https://hub.example".into()),
            ..url("/topics/a", &[])
        });
        let lines = "\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nSec-Fetch-Site: same-origin";
        let status = if is_trusted { 200 } else { 401 };
        for target in [for_address, for_own] {
            for way in ["", "\r\nTE: trailers"] {
                let answer = look(&server, &target, &format!("{lines}{way}"));
                assert_eq!(answer.status, status, "{target} {}", answer.body);
            }
        }
    }
}

#[test]
fn one_use_is_one_use() {
    for kind in KINDS {
        let server = hub(kind, signing);
        let once = SignedUrl {
            once: Some("0123456789abcdef".into()),
            ..url("/topics/a", &[])
        };
        let target = signed(&once);
        let changed = look(&server, &target.replace("/a?", "/b?"), "");
        assert_eq!(changed.status, 401, "a bad one uses nothing up");
        let mut stream = open(&server, kind, &target);
        publish_private(&server, &["a"], "for the first");
        stream.until("data: for the first\n\n");
        for again in [&*target, &format!("{target}&last_event_id=x")] {
            let answer = look(&server, again, "");
            assert_eq!(answer.status, 401, "{kind:?} {}", answer.body);
            assert!(answer.body.contains("has been used"), "{}", answer.body);
        }
    }
}

/// A HEAD is told nothing, and whoever is refused has had nothing.
#[test]
fn what_opens_nothing_uses_nothing_up() {
    let server = hub(Kind::Shard, |settings| {
        signing(settings);
        settings.limits.streams_per_address_max = Some(1);
    });
    let target = signed(&SignedUrl {
        once: Some("0123456789abcdef".into()),
        ..url("/topics/a", &[])
    });
    let other = open(&server, Kind::Shard, &signed(&url("/topics/a", &[])));
    for way in ["", "\r\nTE: trailers"] {
        let head = request(
            &format!("HEAD {target} HTTP/1.1\r\nHost: hub.example{way}"),
            "",
        );
        let mut client = server.connect();
        client.send(&head);
        assert!(client.head().starts_with("HTTP/1.1 200 "));
        let wrong = look(&server, &format!("{target}&since=then"), way);
        assert_eq!(wrong.status, 400, "{}", wrong.body);
        let full = look(&server, &target, way);
        assert_eq!(full.status, 429, "{}", full.body);
    }
    drop(other);
    until("there is room", || {
        server.publish("a", "x");
        let answer = look(&server, &target, "");
        assert_ne!(answer.status, 401, "{}", answer.body);
        answer.status == 200
    });
    let again = look(&server, &target, "");
    assert!(again.body.contains("has been used"), "{}", again.body);
}

#[test]
fn of_many_at_once_one_is_let_in() {
    let server = hub(Kind::Shard, signing);
    let target = signed(&SignedUrl {
        once: Some("0123456789abcdef".into()),
        ..url("/topics/a", &[])
    });
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || look(&server, &target, "").status;
        let all: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let good = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(good, 1, "{statuses:?}");
}

#[test]
fn a_stream_ends_when_its_url_does_and_is_told_before() {
    for kind in KINDS {
        let server = hub(kind, |settings| {
            signing(settings);
            settings.streams.expiring_ms = 600;
        });
        let target = signed(&SignedUrl {
            expires_ms: BEGIN_MS + 2_000,
            ..url("/topics/a", &[])
        });
        let begun = Instant::now();
        let mut stream = open(&server, kind, &target);
        stream.until("event: tidewire.expiring\ndata: {\"in_ms\":");
        let rest = stream.rest();
        assert!(
            rest.ends_with("event: tidewire.closing\ndata: {\"reason\":\"grant\"}\n\n"),
            "{kind:?} {rest}"
        );
        assert!(begun.elapsed() > Duration::from_secs(1), "{kind:?}");
        until("its time is over", || {
            look(&server, &target, "").status != 200
        });
        let late = look(&server, &target, "");
        assert_eq!(late.status, 401, "{kind:?}");
        assert!(late.body.contains("expired"), "{}", late.body);
    }
}

/// Never two ways at once, and no key is no reason to look the other way.
#[test]
fn what_goes_with_a_signature() {
    let server = hub(Kind::Shard, signing);
    let target = signed(&url(HUB, &[("match", "a")]));
    let token = token_of("ada", &["a"], 3_600_000);
    #[rustfmt::skip]
    let table = [
        (format!("\r\nAuthorization: Bearer {token}"), 400),
        ("\r\nAuthorization: Basic eDp5".to_owned(), 400),
        ("\r\nCookie: __Secure-mercure_access_token=nonsense".to_owned(), 200),
    ];
    for (lines, status) in table {
        assert_eq!(look(&server, &target, &lines).status, status, "{lines}");
    }
    let keyless = hub(Kind::Shard, |_| {});
    let answer = look(&keyless, &target, "");
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("--url-key-file"), "{}", answer.body);
    // What publishes shows a token.
    let publish = server.ask(
        &format!(
            "POST {} HTTP/1.1\r\nHost: localhost",
            signed(&url("/topics/a", &[]))
        ),
        "x",
    );
    assert_eq!(publish.status, 401);
}

/// mercure.md, 1.7 and 2.36
#[test]
fn each_dialect_refuses_in_its_way() {
    let server = hub(Kind::Shard, signing);
    for (parameter, challenge) in [
        ("topic", "Bearer"),
        ("match", "Bearer error=\"invalid_token\""),
    ] {
        let target = signed(&url(HUB, &[(parameter, "a")])).replace("=a&", "=b&");
        let answer = look(&server, &target, "");
        let said = answer.header("www-authenticate").unwrap();
        assert!(
            answer.status == 401 && said.starts_with(challenge),
            "{said}"
        );
    }
}

/// A signature is a secret: who has the line could subscribe.
#[test]
fn logs_do_not_hold_it() {
    let log = Written::default();
    let server = hub(Kind::Shard, |settings| {
        signing(settings);
        log.put_into(settings, AccessLogFormat::Json);
    });
    let target = signed(&url("/topics/a", &[]));
    assert_eq!(look(&server, &target, "").status, 200);
    let referer = format!("\r\nReferer: https://hub.example{target}");
    assert_eq!(look(&server, "/topics/a", &referer).status, 401);
    let lines = log.objects(2);
    let text = format!("{lines:?}");
    let signature = target.split("signature=").nth(1).unwrap();
    assert!(
        !text.contains(signature) && text.contains("REDACTED"),
        "{text}"
    );
}

fn mint(server: &Server, token: &str, body: &Value) -> (u16, Value) {
    let answer = ask(server, "POST /signed-urls", token, &body.to_string());
    let body = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    (answer.status, body)
}

#[test]
fn whoever_may_read_hands_out_urls() {
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Pull) {
        let server = hub(kind, signing);
        let token = token_of("ada", &["a", "https://x.example/{id}"], 3_600_000);
        for body in [
            json!({ "topics": ["a"] }),
            json!({ "match": ["a"], "expires_in": 60 }),
            json!({ "path": "/topics/a", "once": true }),
            json!({ "topics": ["https://x.example/7", "a"], "address": "127.0.0.1" }),
            json!({ "topic": ["https://x.example/{id}", "a"] }),
        ] {
            let (status, answer) = mint(&server, &token, &body);
            assert_eq!(status, 200, "{kind:?} {body} {answer}");
            let target = answer["url"].as_str().unwrap();
            let expires = answer["expires"].as_u64().unwrap();
            assert!(target.contains(&format!("expires={expires}")), "{target}");
            assert!(target.contains("subject=ada"), "{target}");
            let mut stream = open(&server, kind, target);
            publish_private(&server, &["a"], "for a");
            stream.until("data: for a\n\n");
        }
    }
}

#[test]
fn nobody_hands_out_more_than_they_have() {
    let server = hub(Kind::Shard, signing);
    let token = token_of("ada", &["a", "https://x.example/{id}"], 100_000);
    let none = token_of("ada", &[], 100_000);
    let all = token_of("root", &["*"], 100_000);
    #[rustfmt::skip]
    let table = [
        (&*token, json!({ "topics": ["a", "b"] }), 403),
        (&token, json!({ "topics": ["*"] }), 403),
        (&token, json!({ "path": "/topics/b" }), 403),
        (&token, json!({ "topic": ["https://{host}/{id}"] }), 403),
        (&token, json!({ "match_urlpattern": ["https://x.example/*"] }), 403),
        (&none, json!({ "topics": ["a"] }), 403),
        (&all, json!({ "topics": ["*"] }), 200),
        (&all, json!({ "match_urlpattern": ["https://x.example/*"] }), 200),
        ("", json!({ "topics": ["a"] }), 401),
        ("x.y.z", json!({ "topics": ["a"] }), 401),
        (&token, json!({}), 400),
        (&token, json!({ "topics": [] }), 400),
        (&token, json!({ "topics": ["a"], "topic": ["a"] }), 400),
        (&token, json!({ "topics": ["a"], "path": "/topics/a" }), 400),
        (&token, json!({ "topics": ["a"], "path": "/elsewhere" }), 400),
        (&token, json!({ "topics": ["a"], "path": "/topics/a?x" }), 400),
        (&token, json!({ "path": "//evil.example/topics/a" }), 400),
        (&token, json!({ "topics": ["a\u{200b}"] }), 400),
        (&token, json!({ "topics": ["a"], "expires_in": 0 }), 400),
        (&token, json!({ "topics": ["a"], "expires_in": -1 }), 400),
        (&token, json!({ "topics": ["a"], "expires": 1 }), 400),
        (&token, json!({ "topics": ["a"], "origin": "https://app.example/" }), 400),
        (&token, json!({ "topics": ["a"], "origin": "null" }), 400),
        (&token, json!({ "topics": ["a"], "address": "everywhere" }), 400),
        (&token, json!({ "topics": ["a"], "subject": "root" }), 400),
    ];
    for (token, body, status) in table {
        let (got, answer) = mint(&server, token, &body);
        assert_eq!(got, status, "{body} {answer}");
    }
    // Never longer than the token, nor than the hub allows.
    for (token, expires_in, want) in [
        (&token, 50, 50),
        (&token, 5_000_000, 100),
        (&token_of("ada", &["a"], 900_000_000), 5_000_000, 86_400),
    ] {
        let (_, answer) = mint(
            &server,
            token,
            &json!({ "topics": ["a"], "expires_in": expires_in }),
        );
        let expires = answer["expires"].as_u64().unwrap() - BEGIN_MS / 1000;
        assert!((want..=want + 5).contains(&expires), "{answer}");
        assert!(want != 100 || expires == 100, "{answer}");
    }
}

/// A URL that was handed out ends with the token and the subject that handed it out, and with its topic.
#[test]
fn urls_are_revoked_with_what_made_them() {
    let issuer = "https://i.example";
    for (what, is_meant) in [
        (json!({ "subject": "ada" }), true),
        (json!({ "subject": "ada", "issuer": issuer }), true),
        (
            json!({ "subject": "ada", "issuer": "https://j.example" }),
            false,
        ),
        (json!({ "topic": "a" }), true),
        (json!({ "token_id": "7" }), true),
        (json!({ "token_id": "7", "issuer": issuer }), true),
        (
            json!({ "token_id": "7", "issuer": "https://j.example" }),
            false,
        ),
        (json!({ "token_id": "8" }), false),
    ] {
        let server = hub(Kind::Shard, signing);
        let token = crate::kinds::signed(&tidewire_auth::Claims {
            // By the id alone too.
            subject: what.get("token_id").is_none().then(|| "ada".to_owned()),
            issuer: Some(issuer.to_owned()),
            token_id: Some("7".to_owned()),
            ..crate::kinds::claims(&[], &["a"])
        });
        let (_, answer) = mint(&server, &token, &json!({ "path": "/topics/a" }));
        let target = answer["url"].as_str().unwrap();
        let stream = open(&server, Kind::Shard, target);
        let publisher = crate::kinds::signed(&crate::kinds::claims(&["*"], &[]));
        let revoked = ask(&server, "POST /revocations", &publisher, &what.to_string());
        assert_eq!(revoked.status, 200, "{}", revoked.body);
        if !is_meant {
            assert_eq!(look(&server, target, "").status, 200, "{what}");
            continue;
        }
        assert!(stream.rest().contains("revoked"), "{what}");
        let late = look(&server, target, "");
        assert_eq!(late.status, 401, "{what} {}", late.body);
    }
}

#[test]
fn the_door_is_one_like_the_others() {
    let server = hub(Kind::Shard, |settings| {
        signing(settings);
        settings.hub_url = Some("https://example.com/hub".to_owned());
    });
    let token = token_of("ada", &["a"], 3_600_000);
    for (body, start) in [
        (
            json!({ "topics": ["a"] }),
            "https://example.com/hub?match=a",
        ),
        (
            json!({ "path": "/topics/a" }),
            "https://example.com/topics/a?expires=",
        ),
    ] {
        let (_, answer) = mint(&server, &token, &body);
        assert!(
            answer["url"].as_str().unwrap().starts_with(start),
            "{answer}"
        );
    }
    let preflight = server.ask(
        "OPTIONS /signed-urls HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, content-type",
        "",
    );
    assert_eq!(preflight.status, 204);
    let methods = preflight.header("access-control-allow-methods").unwrap();
    assert_eq!(methods, "POST, OPTIONS");
    assert_eq!(server.get("/signed-urls").status, 405);
    let keyless = hub(Kind::Shard, |_| {});
    let (status, answer) = mint(&keyless, &token, &json!({ "topics": ["a"] }));
    assert_eq!(status, 401, "{answer}");
    assert!(
        answer["detail"]
            .as_str()
            .unwrap()
            .contains("--url-key-file")
    );
    // A page's cookie alone makes no URL for a page of another origin.
    let cookie = server.ask(
        &format!(
            "POST /signed-urls HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\
             Content-Type: application/json\r\nCookie: __Secure-mercure_access_token={token}"
        ),
        "{\"topics\":[\"a\"]}",
    );
    assert_eq!(cookie.status, 403, "{}", cookie.body);
}
