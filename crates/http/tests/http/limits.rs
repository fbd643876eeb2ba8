//! Each limit at its edge: so many are served, one more is refused, and what ends makes room. Trusted proxies and allowed hosts.

use std::time::{Duration, Instant};

use tidewire_http::{ForwardedHeader, Hosts, Limits, Settings, TrustedProxies};

use crate::server::{Answer, Server, start_with, until};

fn open(settings: &mut Settings) {
    settings.access.keyless = false;
    settings.access.anonymous = tidewire_auth::Anonymous::All;
}

fn limited(change: impl FnOnce(&mut Limits)) -> Server {
    start_with(|settings| {
        open(settings);
        change(&mut settings.limits);
    })
}

/// From 127.0.0.1, which is trusted here, in the name of others.
fn behind_a_proxy(change: impl FnOnce(&mut Settings)) -> Server {
    start_with(|settings| {
        open(settings);
        settings.trusted_proxies =
            TrustedProxies::parse(["127.0.0.0/8"], ForwardedHeader::XForwarded).unwrap();
        change(settings);
    })
}

fn subscribe(lines: &str) -> String {
    format!("GET /topics/a HTTP/1.1\r\nHost: localhost\r\n{lines}")
}

/// The plain door takes the first request; a header that it does not know sends the second through hyper.
const DOORS: [&str; 2] = ["", "Expect: nothing\r\n"];

#[test]
fn streams_of_one_address_are_limited_and_make_room_at_their_end() {
    for shards in [0, 1] {
        let server = behind_a_proxy(|settings| {
            settings.shards = shards;
            settings.limits.streams_per_address_max = Some(2);
        });
        let head = |address: &str| subscribe(&format!("X-Forwarded-For: {address}\r\n"));
        let open = |address: &str| {
            let mut client = server.connect();
            client.send(&format!("{}\r\n", head(address)));
            assert!(client.head().starts_with("HTTP/1.1 200"), "{address}");
            client
        };
        let first = open("2001:db8::1");
        let _second = open("2001:db8::2");
        let refused = server.ask(head("2001:db8::3").trim_end(), "");
        assert_eq!(refused.status, 429, "{}", refused.body);
        assert!(
            refused.body.contains("streams_per_address_max"),
            "{}",
            refused.body
        );
        assert_eq!(refused.header("retry-after"), Some("5"));
        let _other = open("2001:db8:0:1::1");
        // What looks like an EventSource is told so that it tries again.
        let soft = format!(
            "{}Accept: text/event-stream\r\nUser-Agent: Mozilla/5.0",
            head("2001:db8::3")
        );
        let soft = server.ask(&soft, "");
        assert_eq!(soft.status, 200);
        assert!(soft.body.starts_with("retry: "), "{}", soft.body);
        drop(first);
        until("its end makes room", || {
            let mut client = server.connect();
            client.send(&format!("{}\r\n", head("2001:db8::3")));
            client.head().starts_with("HTTP/1.1 200")
        });
    }
}

#[test]
fn publishes_are_limited_by_events_and_by_bytes() {
    let table: [(fn(&mut Limits), usize, &str); 2] = [
        (
            |limits| limits.publish_rate_max = Some(1),
            1,
            "publish_rate_max",
        ),
        (
            |limits| limits.publish_bytes_rate_max = Some(100),
            100,
            "publish_bytes_rate_max",
        ),
    ];
    for (change, bytes, name) in table {
        for door in DOORS {
            let server = limited(|limits| {
                change(limits);
                limits.publish_burst = Duration::from_secs(3);
            });
            let publish = || {
                let head = format!("POST /topics/a HTTP/1.1\r\nHost: localhost\r\n{door}");
                server.ask(head.trim_end(), &"x".repeat(bytes))
            };
            for n in 0..3 {
                assert_eq!(publish().status, 200, "{name} {n}");
            }
            let refused = publish();
            assert_eq!(refused.status, 429, "{name}: {}", refused.body);
            assert!(refused.body.contains(name), "{}", refused.body);
            assert_eq!(refused.header("retry-after"), Some("1"));
            // An array counts each of its events, and is refused as a whole.
            let array = server.ask(
                "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json",
                &format!("[{{\"topic\":\"a\",\"data\":\"{}\"}}]", "x".repeat(bytes)),
            );
            assert_eq!(array.status, 429, "{name}: {}", array.body);
            until("it may again", || publish().status == 200);
        }
    }
}

#[test]
fn a_batch_that_runs_is_slowed_down_not_refused() {
    let server = limited(|limits| {
        limits.publish_rate_max = Some(20);
        limits.publish_burst = Duration::from_secs(1);
    });
    let lines: String = (0..30)
        .map(|n| format!("{{\"topic\":\"a\",\"data\":\"{n}\"}}\n"))
        .collect();
    let began = Instant::now();
    let answer = server.ask(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson",
        &lines,
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("\"to\":29"), "{}", answer.body);
    // 20 at once, the other 10 in half a second.
    assert!(began.elapsed() >= Duration::from_millis(400));
}

/// What a client says of itself counts for nothing; what a trusted hop says does, for limits, for the hub's own origin and for links.
#[test]
fn only_trusted_hops_say_who_the_client_is() {
    let publish = |server: &Server, lines: &str| -> Answer {
        let head = format!("POST /topics/a HTTP/1.1\r\nHost: hub\r\n{lines}");
        server.ask(head.trim_end(), "x")
    };
    let limit = |limits: &mut Limits| {
        limits.publish_rate_max = Some(1);
        limits.publish_burst = Duration::from_secs(1);
    };
    for door in DOORS {
        let untrusting = limited(limit);
        let statuses = ["1.1.1.1", "2.2.2.2"].map(|address| {
            publish(
                &untrusting,
                &format!("X-Forwarded-For: {address}\r\n{door}"),
            )
            .status
        });
        assert_eq!(statuses, [200, 429]);
        let trusting = behind_a_proxy(|settings| limit(&mut settings.limits));
        let statuses = ["1.1.1.1", "2.2.2.2", "3.3.3.3, 1.1.1.1"].map(|addresses| {
            publish(
                &trusting,
                &format!("X-Forwarded-For: {addresses}\r\n{door}"),
            )
            .status
        });
        assert_eq!(statuses, [200, 200, 429]);
    }
    let own = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: hub.example\r\nX-Forwarded-Proto: https\r\nOrigin: https://hub.example\r\n";
    assert_eq!(publish(&behind_a_proxy(|_| {}), own).status, 200);
    assert_eq!(publish(&limited(|_| {}), own).status, 403);
}

/// mercure.md, 2.72
#[test]
fn names_that_are_not_allowed_are_misdirected() {
    let server = start_with(|settings| {
        open(settings);
        settings.access.allowed_hosts =
            Some(Hosts::parse(["hub.example", "*.hub.example", "[::1]"]).unwrap());
    });
    #[rustfmt::skip]
    let table = [
        ("GET /", "hub.example",           200),
        ("GET /", "HUB.example.:8443",     200),
        ("GET /", "a.hub.example",         200),
        ("GET /", "[::1]:80",              200),
        ("GET /", "ahub.example",          421),
        ("GET /", ".hub.example",          421),
        ("GET /", "127.0.0.1",             421),
        ("POST /topics/a", "127.0.0.1",    421),
        ("GET /topics/a",  "evil.example", 421),
        ("GET /healthz", "10.1.2.3",       200),
        ("GET /readyz",  "10.1.2.3",       200),
    ];
    for (line, host, status) in table {
        let answer = server.ask(&format!("{line} HTTP/1.1\r\nHost: {host}"), "");
        assert_eq!(answer.status, status, "{line} {host}: {}", answer.body);
    }
    for wrong in ["", "*", "https://a", "a:80", "a/b", "*.*.a", "a b"] {
        assert!(Hosts::parse([wrong]).is_err(), "{wrong}");
    }
}

/// What is wrong with a token is for the log, unless a developer asked; what kind of thing to change is told to everybody.
#[test]
fn strangers_are_not_told_what_is_wrong_with_a_token() {
    let bad = ["x", "e30.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA"];
    for debug in [false, true] {
        let server = start_with(|settings| {
            open(settings);
            settings.access.anonymous = tidewire_auth::Anonymous::None;
            settings.debug_refusals = debug;
        });
        for door in DOORS {
            let tell = |token: &str| {
                let token = match token {
                    "" => String::new(),
                    token => format!("Authorization: Bearer {token}\r\n"),
                };
                let head = format!("POST /topics/a HTTP/1.1\r\nHost: localhost\r\n{token}{door}");
                let answer = server.ask(head.trim_end(), "x");
                assert_eq!(answer.status, 401, "{}", answer.body);
                let challenge = answer.header("www-authenticate").unwrap().to_owned();
                let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
                (challenge, problem["detail"].as_str().unwrap().to_owned())
            };
            let (challenge, missing) = tell("");
            assert!(
                !challenge.contains("error") && missing.contains("token"),
                "{missing}"
            );
            let told = bad.map(tell);
            for (challenge, detail) in &told {
                assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
                assert_eq!(detail.contains("The hub's log"), !debug, "{detail}");
            }
            // But for the id in the log, strangers are told one and the same.
            let general =
                told.map(|(_, detail)| detail.split(", under ").next().unwrap().to_owned());
            assert_eq!(
                general.iter().all(|one| *one == general[0]),
                !debug,
                "{general:?}"
            );
        }
    }
}

/// Whatever an answer depends on, a cache is told; and what nobody may keep says so. A header that no cache keys on changes nothing.
#[test]
fn caches_cannot_be_poisoned() {
    let server = limited(|_| {});
    #[rustfmt::skip]
    let table = [
        // request, what Vary names, whether it may be kept
        ("GET /topics/a?since=earliest HTTP/1.1\r\nHost: h\r\nAccept: application/json", "Accept", false),
        ("GET /topics/a HTTP/1.1\r\nHost: h\r\nAccept: nothing/here", "Origin", false),
        ("POST /topics/a HTTP/1.1\r\nHost: h", "Origin", false),
        ("GET /.well-known/mercure HTTP/1.1\r\nHost: h", "Origin", false),
        ("GET /nothing HTTP/1.1\r\nHost: h", "Origin", false),
        ("GET / HTTP/1.1\r\nHost: h", "Origin", true),
    ];
    for (head, vary, is_kept) in table {
        let spoofed = "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nX-Original-URL: /evil\r\nX-Rewrite-URL: /evil\r\nForwarded: host=evil.example";
        let plain = server.ask(head, "");
        let answer = server.ask(&format!("{head}\r\n{spoofed}"), "");
        let all = |name: &str| {
            let lines = answer.head.lines();
            let prefix = format!("{name}: ");
            lines
                .filter_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix(&prefix)
                        .map(str::to_owned)
                })
                .collect::<Vec<_>>()
                .join(",")
        };
        assert!(
            all("vary").contains(&vary.to_ascii_lowercase()),
            "{head}: {}",
            answer.head
        );
        assert!(all("vary").contains("origin"), "{head}: {}", answer.head);
        let no_store = all("cache-control").contains("no-store");
        assert_eq!(no_store, !is_kept, "{head}: {}", answer.head);
        assert!(
            !answer.head.contains("evil") && !answer.body.contains("evil"),
            "{head}"
        );
        assert_eq!(answer.status, plain.status, "{head}");
        for name in [
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "content-security-policy",
        ] {
            assert!(!all(name).is_empty(), "{head}: {name}");
        }
    }
}
