//! The authorization hook: what it is told, what its answers grant, when it is not asked, and that it fails closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tidewire_auth::{Algorithm, Anonymous, Claims, Key, mint};
use tidewire_core::Topic;
use tidewire_http::{Access, HookSettings, HookToken, Origins, RemoteUrl};
use tidewire_log::Event;

use crate::backend::{Asked, Backend, NEVER, Reply};
use crate::server::{Answer, PATIENCE, Server, start_with, until};

const SECRET: &[u8] = b"a secret of thirty-two bytes, at least";
const NOW_MS: u64 = 1_000_000_000;

fn allow(more: &Value) -> Reply {
    let mut answer = json!({"allow": true});
    for (name, value) in more.as_object().unwrap() {
        answer[name] = value.clone();
    }
    Reply::ok(answer.to_string())
}

/// A hub with keys of its own and this backend.
fn hub(backend: &Backend, change: impl FnOnce(&mut HookSettings)) -> Server {
    let mut hook = HookSettings::new(RemoteUrl::parse(&backend.url("/hook"), false).unwrap());
    change(&mut hook);
    start_with(|settings| {
        let key = || Key::hmac(SECRET, Algorithm::Hs256).unwrap().into();
        settings.access = Access::default();
        settings.access.keys.publisher = Some(key());
        settings.access.keys.subscriber = Some(key());
        settings.auth_hook = Some(hook);
        settings.clock = Arc::new(|| NOW_MS);
    })
}

/// A request with these lines, by the plain door or, with HTTP/1.0, by hyper's.
fn request(line: &str, version: &str, lines: &[&str]) -> String {
    let mut head = format!("{line} HTTP/{version}\r\nHost: localhost");
    for line in lines {
        head += &format!("\r\n{line}");
    }
    head
}

fn page(server: &Server, lines: &[&str]) -> Answer {
    let lines = [&["Accept: application/json"], lines].concat();
    server.ask(&request("GET /topics/a", "1.1", &lines), "")
}

/// As a page of the hub's own origin sends it.
fn publish(server: &Server, target: &str, lines: &[&str]) -> Answer {
    let lines = [&["Origin: http://localhost"], lines].concat();
    server.ask(&request(&format!("POST {target}"), "1.1", &lines), "x")
}

fn form(server: &Server, body: &str, lines: &[&str]) -> Answer {
    let always = [
        "Content-Type: application/x-www-form-urlencoded",
        "Origin: http://localhost",
    ];
    let lines = [&always, lines].concat();
    server.ask(&request("POST /.well-known/mercure", "1.1", &lines), body)
}

fn body(asked: &Asked) -> Value {
    serde_json::from_str(&asked.body).unwrap()
}

#[test]
fn it_is_told_what_is_asked_and_by_whom() {
    let backend = Backend::start(|_| allow(&json!({"subscribe": ["*"], "publish": ["*"]})));
    let server = hub(&backend, |hook| {
        hook.token = Some(HookToken::parse("the-hub").unwrap());
    });
    let accept = "Accept: application/json";
    #[rustfmt::skip]
    let table: [(&str, &[&str], &str, Value); 7] = [
        ("GET /topics/a/b%20c?since=1m", &[accept], "",
         json!({"action": "subscribe", "topics": ["a/b c"], "path": "/topics/a/b%20c", "method": "GET"})),
        ("GET /.well-known/mercure?topic=a&topic=%2F%7Bid%7D&authorization=opaque", &[accept, "Cookie: a=b"], "",
         json!({"action": "subscribe", "topics": ["a", "/{id}"], "path": "/.well-known/mercure", "method": "GET", "token": "opaque", "cookie": "a=b"})),
        ("GET /.well-known/mercure?match=a&match_urlpattern=/:b", &[accept, "Authorization: Bearer x.y.z", "Origin: http://localhost"], "",
         json!({"action": "subscribe", "topics": [{"match": "a", "match_type": "exact"}, {"match": "/:b", "match_type": "urlpattern"}],
                "path": "/.well-known/mercure", "method": "GET", "token": "x.y.z", "origin": "http://localhost"})),
        ("POST /topics/a?private=1", &["Cookie: session=1", "Cookie: other=2", "Origin: http://localhost"], "x",
         json!({"action": "publish", "topics": ["a"], "path": "/topics/a", "method": "POST", "cookie": "session=1; other=2", "origin": "http://localhost"})),
        ("POST /.well-known/mercure", &["Content-Type: application/x-www-form-urlencoded", "Authorization: Bearer t"], "topic=a&data=x",
         json!({"action": "publish", "path": "/.well-known/mercure", "method": "POST", "token": "t"})),
        ("POST /.well-known/mercure", &["Content-Type: application/x-ndjson", "Authorization: Bearer t2"], "{\"topic\":\"a\",\"data\":\"x\"}\n",
         json!({"action": "publish", "path": "/.well-known/mercure", "method": "POST", "token": "t2"})),
        ("HEAD /topics/a", &[], "", json!({"action": "subscribe", "topics": ["a"], "path": "/topics/a", "method": "HEAD"})),
    ];
    for (index, (line, lines, body_sent, want)) in table.into_iter().enumerate() {
        let answer = server.ask(&request(line, "1.1", lines), body_sent);
        assert_eq!(answer.status, 200, "{line}: {}", answer.body);
        let asked = backend.asked();
        assert_eq!(asked.len(), index + 1, "{line}");
        let mut want = want;
        want["address"] = "127.0.0.1".into();
        assert_eq!(body(&asked[index]), want, "{line}");
        let head = asked[index].head.to_ascii_lowercase();
        assert!(
            asked[index].head.starts_with("POST /hook HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(head.contains("authorization: bearer the-hub\r\n"), "{head}");
        assert!(
            head.contains("content-type: application/json\r\n"),
            "{head}"
        );
    }
}

#[test]
fn its_answer_is_what_is_granted() {
    let session = &["Cookie: s=1"];
    #[rustfmt::skip]
    let table: [(Value, [u16; 5]); 9] = [
        // answer                                        subscribe, /topics/a, /topics/b, form a, form b
        (json!({"allow": true}),                          [200, 200, 200, 403, 403]),
        (json!({"allow": true, "publish": []}),           [200, 403, 403, 403, 403]),
        (json!({"allow": true, "publish": ["a"]}),        [200, 200, 403, 200, 403]),
        (json!({"allow": true, "publish": ["{x}"]}),      [200, 200, 200, 200, 200]),
        (json!({"allow": true, "publish": ["*"]}),        [200, 200, 200, 200, 200]),
        (json!({"allow": true, "subscribe": ["*"]}),      [200, 200, 200, 403, 403]),
        (json!({"allow": false}),                         [403, 403, 403, 403, 403]),
        (json!({"allow": false, "publish": ["*"]}),       [403, 403, 403, 403, 403]),
        (json!({"allow": true, "expires": NOW_MS / 1000}), [401, 401, 401, 401, 401]),
    ];
    for (answer, want) in table {
        let text = answer.to_string();
        let backend = Backend::start(move |_| Reply::ok(text.clone()));
        let server = hub(&backend, |_| {});
        let got = [
            page(&server, session),
            publish(&server, "/topics/a", session),
            publish(&server, "/topics/b", session),
            form(&server, "topic=a&data=x", session),
            form(&server, "topic=b&data=x", session),
        ];
        assert_eq!(got.each_ref().map(|answer| answer.status), want, "{answer}");
    }
}

#[test]
fn private_events_are_for_whom_it_names_them_to() {
    let backend = Backend::start(|asked| match body(asked)["cookie"].as_str() {
        Some("s=reader") => allow(&json!({"subscribe": ["a"]})),
        _ => allow(&json!({})),
    });
    let server = hub(&backend, |_| {});
    for private in [true, false] {
        let mut event = Event::new(Topic::parse("a").unwrap(), format!("private {private}"), 1);
        event.private = private;
        server.publish_event(event);
    }
    let read = |cookie: &str| {
        let line = request(
            "GET /topics/a?since=earliest",
            "1.1",
            &["Accept: application/json", cookie],
        );
        server.ask(&line, "").body
    };
    assert!(read("Cookie: s=reader").contains("private true"));
    let other = read("Cookie: s=other");
    assert!(
        other.contains("private false") && !other.contains("private true"),
        "{other}"
    );
}

/// Whatever is not plainly an answer in time is a refusal for now, over both doors and in every role.
#[test]
fn it_fails_closed() {
    let large = format!(
        "{{\"allow\":true,\"subject\":\"{}\"}}",
        "x".repeat(64 << 10)
    );
    #[rustfmt::skip]
    let table: Vec<(&str, Reply)> = vec![
        ("status", Reply::status(500)),
        ("status", Reply::status(502)),
        ("status", Reply::status(404)),
        ("status", Reply::status(204)),
        ("status", Reply::status(302).header("Location: https://elsewhere.example/")),
        ("broken", Reply::gone()),
        ("timeout", allow(&json!({"publish": ["*"]})).after(NEVER)),
        ("too_large", Reply::ok(large.clone())),
        ("too_large", Reply::ok(large).chunked()),
        ("content", Reply::ok("")),
        ("content", Reply::ok("true")),
        ("content", Reply::ok("<html>allow</html>")),
        ("content", Reply::ok("{\"allow\":\"yes\"}")),
        ("content", Reply::ok("{\"allow\":true,\"exp\":5}")),
    ];
    for (outcome, reply) in table {
        let backend = Backend::start({
            let reply = reply.clone();
            move |_| reply.clone()
        });
        let server = hub(&backend, |hook| {
            hook.time_max = match outcome {
                "timeout" => Duration::from_millis(300),
                _ => PATIENCE / 2,
            };
        });
        for version in ["1.1", "1.0"] {
            let lines = &["Accept: application/json", "Cookie: s=1"];
            let answer = server.ask(&request("GET /topics/a", version, lines), "");
            assert_eq!(answer.status, 503, "{reply:?}: {}", answer.body);
            assert_eq!(answer.header("retry-after"), Some("2"), "{reply:?}");
            assert!(!answer.body.contains("127.0.0.1"), "{}", answer.body);
        }
        let answer = publish(&server, "/topics/a", &["Cookie: s=1"]);
        assert_eq!(answer.status, 503, "{reply:?}");
        let name = format!("tidewire_auth_hook_calls_total{{outcome=\"{outcome}\"}}");
        assert_eq!(
            server.metric(&name),
            3.0,
            "{reply:?}: failures are not kept"
        );
        assert_eq!(
            server.metric("tidewire_refusals_total{reason=\"hook_failed\"}"),
            3.0
        );
        // When it answers again, it is heard again.
        backend.answer(|_| allow(&json!({})));
        assert_eq!(page(&server, &["Cookie: s=1"]).status, 200);
    }
}

#[test]
fn refusals_are_told_in_the_requests_dialect() {
    let table = [
        (401, "/topics/a", 401, Some("Bearer")),
        (403, "/topics/a", 403, Some("insufficient_scope")),
        (401, "/.well-known/mercure?topic=a", 401, None),
        (403, "/.well-known/mercure?topic=a", 401, None),
        (
            403,
            "/.well-known/mercure?match=a",
            403,
            Some("insufficient_scope"),
        ),
    ];
    for (status, target, want, challenge) in table {
        let backend = Backend::start(move |_| Reply::status(status));
        let server = hub(&backend, |_| {});
        let answer = server.get(target);
        assert_eq!(answer.status, want, "{status} {target}");
        if let Some(words) = challenge {
            let header = answer.header("www-authenticate").unwrap_or_default();
            assert!(header.contains(words), "{header}");
        }
    }
}

/// mercure.md, 0.13: a browser sends its cookies with what pages of other sites make it send.
#[test]
fn other_sites_do_not_publish_with_a_session() {
    let backend = Backend::start(|_| allow(&json!({"publish": ["*"]})));
    let server = hub(&backend, |_| {});
    let session = "Cookie: session=1";
    let table: [(&[&str], u16); 7] = [
        (&[session], 403),
        (&[session, "Origin: https://evil.example"], 403),
        (&[session, "Origin: null"], 403),
        (&[session, "Sec-Fetch-Site: cross-site"], 403),
        (&[session, "Origin: http://localhost"], 200),
        (&[session, "Referer: http://localhost/page"], 200),
        (&["Authorization: Bearer opaque"], 200),
    ];
    for (lines, want) in table {
        let before = backend.asked().len();
        let answer = server.ask(&request("POST /topics/a", "1.1", lines), "x");
        assert_eq!(answer.status, want, "{lines:?}: {}", answer.body);
        assert_eq!(backend.asked().len() > before, want == 200, "{lines:?}");
    }
}

/// A page that may read may send any header, a token of its own making among them, and the browser adds the session's cookie.
#[test]
fn a_made_up_token_spares_no_page_the_question_where_it_is_from() {
    let backend = Backend::start(|_| allow(&json!({"publish": ["*"]})));
    let hook = HookSettings::new(RemoteUrl::parse(&backend.url("/hook"), false).unwrap());
    let server = start_with(|settings| {
        settings.access = Access::default();
        settings.access.cors_origins = Origins::parse(["https://reader.example"]).unwrap();
        settings.access.publish_origins = Origins::parse(["https://app.example"]).unwrap();
        settings.auth_hook = Some(hook);
    });
    let (session, token) = ("Cookie: session=1", "Authorization: Bearer made-up");
    let table: [(&[&str], u16); 5] = [
        (&[session, token, "Origin: https://reader.example"], 403),
        (&[session, token, "Sec-Fetch-Site: cross-site"], 403),
        (&[session, token, "Origin: https://app.example"], 200),
        (&[token, "Origin: https://reader.example"], 200),
        // A program's.
        (&[session, token], 200),
    ];
    for (lines, want) in table {
        let before = backend.asked().len();
        let answer = server.ask(&request("POST /topics/a", "1.1", lines), "x");
        assert_eq!(answer.status, want, "{lines:?}: {}", answer.body);
        assert_eq!(backend.asked().len() > before, want == 200, "{lines:?}");
    }
}

/// Whom the hook knows by a cookie, and does not name, is refused as well.
#[test]
fn a_topic_is_revoked_for_sessions_too() {
    let backend = Backend::start(|_| allow(&json!({"subscribe": ["a"]})));
    let server = hub(&backend, |_| {});
    assert_eq!(page(&server, &["Cookie: s=1"]).status, 200);
    let key = Key::hmac(SECRET, Algorithm::Hs256).unwrap();
    let claims = Claims {
        publish: vec!["*".to_owned()],
        ..Claims::default()
    };
    let admin = format!("Authorization: Bearer {}", mint(&claims, &key).unwrap());
    let lines = ["Content-Type: application/json", &admin];
    let revoked = server.ask(
        &request("POST /revocations", "1.1", &lines),
        r#"{"topic":"a"}"#,
    );
    assert_eq!(revoked.status, 200, "{}", revoked.body);
    assert_eq!(page(&server, &["Cookie: s=1"]).status, 401);
}

#[test]
fn what_a_key_has_verified_the_token_decides() {
    let backend = Backend::start(|_| allow(&json!({"subscribe": ["*"], "publish": ["*"]})));
    let server = hub(&backend, |_| {});
    let claims = |publish: &[&str], expires_ms| Claims {
        publish: publish.iter().map(|topic| (*topic).to_owned()).collect(),
        subscribe: vec!["a".to_owned()],
        expires_ms,
        ..Claims::default()
    };
    let ours = Key::hmac(SECRET, Algorithm::Hs256).unwrap();
    let other = Key::hmac(
        b"another secret, of thirty-two bytes and more",
        Algorithm::Hs256,
    )
    .unwrap();
    let good = mint(&claims(&["a"], None), &ours).unwrap();
    let expired = mint(&claims(&["a"], Some(NOW_MS - 1)), &ours).unwrap();
    let powerless = mint(&claims(&[], None), &ours).unwrap();
    let foreign = mint(&claims(&["a"], None), &other).unwrap();
    #[rustfmt::skip]
    let table = [
        // token, subscribe, publish to a, publish to b, is it asked
        (good.as_str(),      [200, 200, 403], false),
        (expired.as_str(),   [401, 401, 401], false),
        (powerless.as_str(), [200, 403, 403], false),
        (foreign.as_str(),   [200, 200, 200], true),
        ("opaque",           [200, 200, 200], true),
    ];
    for (token, want, is_asked) in table {
        let before = backend.asked().len();
        let line = format!("Authorization: Bearer {token}");
        let got = [
            page(&server, &[&line]),
            publish(&server, "/topics/a", &[&line]),
            publish(&server, "/topics/b", &[&line]),
        ];
        assert_eq!(got.each_ref().map(|answer| answer.status), want, "{token}");
        assert_eq!(backend.asked().len() > before, is_asked, "{token}");
    }
    // What is too long for a token is nobody's.
    let long = format!("Authorization: Bearer {}", "x".repeat(17 << 10));
    let before = backend.asked().len();
    assert_eq!(page(&server, &[&long]).status, 401);
    assert_eq!(backend.asked().len(), before);
}

#[test]
fn what_everybody_may_is_not_asked_about() {
    let backend = Backend::start(|_| Reply::status(403));
    let mut hook = HookSettings::new(RemoteUrl::parse(&backend.url("/hook"), false).unwrap());
    hook.keep = Duration::ZERO;
    let server = start_with(|settings| {
        settings.access = Access::default();
        settings.access.anonymous = Anonymous::Subscribe;
        settings.auth_hook = Some(hook);
    });
    assert_eq!(page(&server, &[]).status, 200);
    assert_eq!(backend.asked().len(), 0);
    assert_eq!(
        page(&server, &["Cookie: s=1"]).status,
        403,
        "a session may be worth more, or nothing"
    );
    assert_eq!(publish(&server, "/topics/a", &[]).status, 403);
    assert_eq!(backend.asked().len(), 2);
}

#[test]
fn answers_are_kept_for_as_long_as_they_say() {
    let backend = Backend::start(|_| allow(&json!({})));
    let long = hub(&backend, |hook| hook.keep = Duration::from_secs(60));
    let calls = |server: &Server, cookie: &str| {
        let before = backend.asked().len();
        page(server, &[&format!("Cookie: s={cookie}")]);
        backend.asked().len() - before
    };
    let twice = |cookie| calls(&long, cookie) + calls(&long, cookie);
    assert_eq!(twice("1"), 1);
    assert_eq!(
        long.metric("tidewire_auth_hook_spared_total{by=\"kept\"}"),
        1.0
    );
    assert_eq!(twice("2"), 1, "another client, another answer");
    backend.answer(|_| allow(&json!({})).header("Cache-Control: no-store"));
    assert_eq!(twice("3"), 2);
    backend.answer(|_| Reply::status(403));
    assert_eq!(twice("4"), 1, "a refusal is an answer");
    let short = hub(&backend, |hook| {
        hook.keep = Duration::from_millis(100);
        hook.keep_max = Duration::from_millis(200);
    });
    for says in ["X-Nothing: said", "Cache-Control: max-age=3600"] {
        backend.answer(move |_| allow(&json!({})).header(says));
        calls(&short, says);
        until("no longer than it says, or the hub allows", || {
            calls(&short, says) == 1
        });
    }
}

/// What one client was granted is no other's, however alike they are.
#[test]
fn no_client_gets_anothers_answer() {
    let backend = Backend::start(|asked| match body(asked)["cookie"].as_str() {
        Some("s=admin") => allow(&json!({"publish": ["*"]})),
        _ => Reply::status(403),
    });
    let server = hub(&backend, |hook| hook.keep = Duration::from_secs(60));
    for _ in 0..2 {
        let admin = &["Cookie: s=admin"];
        assert_eq!(publish(&server, "/topics/a", admin).status, 200);
        assert_eq!(form(&server, "topic=a", admin).status, 200);
        for lines in [
            &["Cookie: s=admi"][..],
            &["Cookie: s=admin; a=b"],
            &["Cookie: s=other"],
            &["Authorization: Bearer s=admin"],
            &[],
        ] {
            assert_eq!(
                publish(&server, "/topics/a", lines).status,
                403,
                "{lines:?}"
            );
            assert_eq!(form(&server, "topic=a", lines).status, 403, "{lines:?}");
        }
    }
}

/// A door for a backend's answers: closed until the test has seen what it waits for.
#[derive(Clone, Default)]
struct Door(Arc<AtomicBool>);

impl Door {
    fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn pass(&self) {
        until("the door opens", || self.0.load(Ordering::SeqCst));
    }
}

#[test]
fn who_asks_the_same_at_once_is_answered_by_one_call() {
    let door = Door::default();
    let backend = Backend::start({
        let door = door.clone();
        move |_| {
            door.pass();
            allow(&json!({}))
        }
    });
    let server = hub(&backend, |hook| {
        hook.keep = Duration::ZERO;
        hook.time_max = PATIENCE;
    });
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(page(&server, &["Cookie: s=1"]).status, 200));
        }
        until("all but one wait", || {
            server.metric("tidewire_auth_hook_spared_total{by=\"joined\"}") == 19.0
        });
        door.open();
    });
    assert_eq!(backend.asked().len(), 1);
}

#[test]
fn no_more_calls_run_or_wait_than_may() {
    let door = Door::default();
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let backend = Backend::start({
        let (door, running, most) = (door.clone(), running.clone(), most.clone());
        move |_| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            door.pass();
            running.fetch_sub(1, Ordering::SeqCst);
            allow(&json!({}))
        }
    });
    let server = hub(&backend, |hook| {
        hook.calls_max = 3;
        hook.waiting_max = 6;
        hook.time_max = PATIENCE;
    });
    let busy = || server.metric("tidewire_auth_hook_calls_total{outcome=\"busy\"}");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let server = &server;
        let ask = |client: usize| {
            scope.spawn(move || page(server, &[&format!("Cookie: s={client}")]).status)
        };
        let all: Vec<_> = (0..20).map(ask).collect();
        until("as many run and wait as may", || {
            busy() == 11.0 && running.load(Ordering::SeqCst) == 3
        });
        door.open();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(most.load(Ordering::SeqCst), 3);
    let count = |want: u16| statuses.iter().filter(|status| **status == want).count();
    assert_eq!((count(200), count(503)), (9, 11), "{statuses:?}");
}

#[test]
fn a_stream_ends_when_its_grant_does() {
    let backend = Backend::start(|_| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        allow(&json!({"expires": now.unwrap().as_secs() + 2}))
    });
    let hook = HookSettings::new(RemoteUrl::parse(&backend.url("/hook"), false).unwrap());
    let server = start_with(|settings| {
        settings.access = Access::default();
        settings.auth_hook = Some(hook);
    });
    let mut client = server.connect();
    client.send("GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200"));
    let text = client.chunks_to_end();
    assert!(text.contains("event: tidewire.expiring\n"), "{text}");
    let last = "event: tidewire.closing\ndata: {\"reason\":\"grant\"}\n\n";
    assert!(text.ends_with(last), "{text}");
}
