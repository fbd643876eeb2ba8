//! Metrics: what they say after traffic that is known, who may see them, and which reason each refusal is counted under.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, StatusCode};
use tidewire_auth::{Algorithm, Claims, Key, mint};
use tidewire_core::{Filter, Form, Matcher, MatcherSet, Topic};
use tidewire_engine::Checkpoint;
use tidewire_http::{AdminAccess, AdminToken, Subscribe};
use tidewire_log::{AppendError, Start};
use tower::Service;

use crate::http2::client;
use crate::kinds::{Kind, Stream, hub, token_of};
use crate::server::{Answer, Client, PATIENCE, Server, request, start, start_with};
use crate::tls;
use crate::troubles;

pub(crate) type Samples = BTreeMap<String, f64>;

fn samples(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

impl Server {
    pub(crate) fn samples(&self) -> Samples {
        samples(&self.front.metrics())
    }

    /// Scrapes until a sample has a value.
    #[track_caller]
    pub(crate) fn wait_for_sample(&self, name: &str, value: f64) -> Samples {
        let until = Instant::now() + PATIENCE;
        loop {
            let samples = self.samples();
            if samples[name] == value {
                return samples;
            }
            assert!(
                Instant::now() < until,
                "{name} is {}, not {value}",
                samples[name]
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts an admin listener, and gives a way to ask it.
    fn admin(&self, access: AdminAccess) -> impl Fn(&str) -> Answer {
        let ask = self.admin_with_bodies(access);
        move |head| ask(head, "")
    }

    fn admin_with_bodies(&self, access: AdminAccess) -> impl Fn(&str, &str) -> Answer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = self.runtime.block_on(listener).unwrap();
        let address = listener.local_addr().unwrap();
        self.runtime.spawn(tidewire_http::serve_admin(
            self.front.clone(),
            access,
            listener,
        ));
        move |head, body| {
            let socket = std::net::TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut client = Client::new(socket);
            client.send(&request(head, body));
            client.answer()
        }
    }
}

/// How many bytes a frame takes as a chunk of HTTP/1.1.
fn chunk_bytes(content: &str) -> usize {
    format!("{:x}\r\n{content}\r\n", content.len()).len()
}

/// What is not known beforehand, and must only be there.
const INEXACT: [&str; 8] = [
    "tidewire_build_info",
    "tidewire_offers_total",
    "tidewire_steps_total",
    "tidewire_log_reads_total",
    "tidewire_log_size_bytes",
    "tidewire_commit_duration_seconds_sum",
    "tidewire_commit_duration_seconds_bucket",
    "process_",
];

#[test]
fn every_number_is_known_after_known_traffic() {
    let server = start();
    let mut connections = 0;
    let mut subscribe = |target: &str, lines: &str| {
        connections += 1;
        let mut client = server.connect();
        client.send(&format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
        ));
        client.head();
        client
    };
    let mut leaves = subscribe("/topics/a?checkpoint=off", "");
    let mut ndjson = subscribe(
        "/topics/a?checkpoint=off",
        "Accept: application/x-ndjson\r\n",
    );
    let mut labelled = subscribe("/topics/a?checkpoint=off&label=topic", "");
    let mut gap = subscribe("/topics/c?checkpoint=off", "Last-Event-ID: urn:unknown\r\n");
    for client in [&mut leaves, &mut labelled] {
        assert_eq!(client.chunk().unwrap(), ":\n");
    }
    let gap = gap.chunks_until("}\n\n");
    let gap = gap.strip_prefix(":\n").unwrap().to_owned();
    let mut h2 = client::connect(&server);
    let mut h2_body = h2.subscribe("/topics/a?checkpoint=off");
    connections += 1;
    let embedded = Subscribe {
        filter: Filter {
            routing: MatcherSet::from_iter([Matcher::Exact(Topic::parse("a").unwrap())]),
            private: MatcherSet::default(),
        },
        start: Start::Tail,
        form: Form::EventStream,
        checkpoint: Checkpoint::Off,
    };
    let embedded = server.runtime.block_on(server.front.subscribe(embedded));
    let mut embedded = Body::new(embedded.unwrap());

    let mut delivered = chunk_bytes(&gap);
    for number in 1..=3 {
        connections += 1;
        let answer = server.ask("POST /topics/a HTTP/1.1\r\nHost: localhost", "xy");
        assert_eq!(answer.body, format!("#5-{number}"));
        let frame = format!("id: #5-{number}\ndata: xy\n\n");
        let with_label = format!("event: a\nid: #5-{number}\ndata: xy\n\n");
        assert_eq!(leaves.chunk().unwrap(), frame);
        assert_eq!(labelled.chunk().unwrap(), with_label);
        assert_eq!(h2.read_until(&mut h2_body, "\n\n"), frame);
        let next = http_body_util::BodyExt::frame(&mut embedded);
        let data = server.runtime.block_on(next).unwrap().unwrap();
        assert_eq!(data.into_data().unwrap(), frame);
        let line = ndjson.chunk().unwrap();
        delivered += 3 * chunk_bytes(&frame) + chunk_bytes(&with_label) + chunk_bytes(&line);
    }
    let mut ask = |head: &str, body: &str, status: u16| {
        connections += 1;
        let answer = server.ask(&format!("{head}\r\nHost: localhost"), body);
        assert_eq!(answer.status, status, "{head}: {}", answer.body);
    };
    let post = |kind: &str| {
        format!("POST /.well-known/mercure HTTP/1.1\r\nContent-Type: application/{kind}")
    };
    ask(&post("x-www-form-urlencoded"), "topic=b&data=hello", 200);
    ask(
        &post("json"),
        r#"[{"topic":"b","data":"1"},{"topic":"b","data":"2"}]"#,
        200,
    );
    ask(
        &post("x-ndjson"),
        "{\"topic\":\"b\",\"data\":\"abc\"}\n",
        200,
    );
    for _ in 0..2 {
        ask("POST /topics/b HTTP/1.1\r\nIdempotency-Key: k", "z", 200);
    }
    ask(
        "GET /topics/b HTTP/1.1\r\nAccept: application/json",
        "",
        200,
    );
    ask("GET /nothing HTTP/1.1", "", 404);
    drop(leaves);

    let closed = "tidewire_streams_ended_total{transport=\"plain\",reason=\"closed\"}";
    server.wait_for_sample(closed, 1.0);
    server.wait_for_sample("tidewire_delivered_events_total", 15.0);
    // Of the connections of answered requests the server hears a little later.
    let samples = server.wait_for_sample("tidewire_connections", 4.0);
    let kind = |name: &str, form: &str, over: &str| {
        format!("tidewire_{name}{{form=\"{form}\",transport=\"{over}\"}}")
    };
    #[rustfmt::skip]
    let known: BTreeMap<String, f64> = [
        (kind("subscribers", "event_stream", "plain"), 1.0),
        (kind("subscribers", "event_stream_labelled", "plain"), 1.0),
        (kind("subscribers", "ndjson", "plain"), 1.0),
        (kind("subscribers", "event_stream", "http2"), 1.0),
        (kind("subscribers", "event_stream", "embedded"), 1.0),
        (kind("streams_opened_total", "event_stream", "plain"), 2.0),
        (kind("streams_opened_total", "event_stream_labelled", "plain"), 1.0),
        (kind("streams_opened_total", "ndjson", "plain"), 1.0),
        (kind("streams_opened_total", "event_stream", "http2"), 1.0),
        (kind("streams_opened_total", "event_stream", "embedded"), 1.0),
        (closed.to_owned(), 1.0),
        ("tidewire_streams_opened_with_gap_total".into(), 1.0),
        ("tidewire_pages_total".into(), 1.0),
        ("tidewire_delivered_events_total".into(), 15.0),
        ("tidewire_delivered_bytes_total".into(), delivered as f64),
        ("tidewire_gaps_total{reason=\"unknown\"}".into(), 1.0),
        ("tidewire_connections".into(), 4.0),
        ("tidewire_connections_accepted_total".into(), f64::from(connections)),
        ("tidewire_publish_requests_total{body=\"raw\"}".into(), 5.0),
        ("tidewire_publish_requests_total{body=\"form\"}".into(), 1.0),
        ("tidewire_publish_requests_total{body=\"array\"}".into(), 1.0),
        ("tidewire_publish_requests_total{body=\"ndjson\"}".into(), 1.0),
        ("tidewire_published_events_total".into(), 8.0),
        ("tidewire_published_duplicates_total".into(), 1.0),
        ("tidewire_published_bytes_total".into(), (3 * 2 + 5 + 2 + 3 + 2) as f64),
        ("tidewire_commit_duration_seconds_count".into(), 8.0),
        ("tidewire_refusals_total{reason=\"not_found\"}".into(), 1.0),
        ("tidewire_log_up".into(), 1.0),
        ("tidewire_log_epoch".into(), 5.0),
        ("tidewire_log_head_position".into(), 1.0),
        ("tidewire_log_tail_position".into(), 9.0),
        ("tidewire_log_events".into(), 8.0),
        ("tidewire_subscriber_places".into(), 5.0),
        ("mercure_subscribers_connected".into(), 5.0),
        ("mercure_subscribers_total".into(), 6.0),
        ("mercure_updates_total".into(), 8.0),
    ].into();
    for name in known.keys() {
        assert!(samples.contains_key(name), "{name} is not shown");
    }
    for (name, value) in &samples {
        if !INEXACT.iter().any(|inexact| name.starts_with(inexact)) {
            assert_eq!(*value, known.get(name).copied().unwrap_or(0.0), "{name}");
        }
    }
    assert!(samples["tidewire_offers_total"] >= 15.0);
    assert!(samples["tidewire_steps_total"] >= 15.0);
    assert_eq!(
        samples["tidewire_commit_duration_seconds_bucket{le=\"+Inf\"}"],
        8.0
    );
    assert!(!samples.contains_key("tidewire_tls_handshakes_total{outcome=\"done\"}"));
    #[cfg(target_os = "linux")]
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(samples[name] > 0.0, "{name}");
    }
}

#[test]
fn a_stream_over_tls_is_counted_while_it_runs() {
    let server = tls::start_tls(|_| {});
    let mut client = tls::connect(&server);
    client.send("GET /topics/a?checkpoint=off HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.head();
    server.publish("a", "e1");
    client.chunks_until("data: e1\n\n");
    let name = "tidewire_subscribers{form=\"event_stream\",transport=\"tls\"}";
    let samples = server.wait_for_sample("tidewire_delivered_events_total", 1.0);
    assert_eq!(samples[name], 1.0);
    assert_eq!(samples["tidewire_connections"], 1.0);
    assert_eq!(
        samples["tidewire_tls_handshakes_total{outcome=\"done\"}"],
        1.0
    );
    drop(client);
    server.wait_for_sample(name, 0.0);
    let ended = "tidewire_streams_ended_total{transport=\"tls\",reason=\"closed\"}";
    assert_eq!(server.samples()[ended], 1.0);
}

#[test]
fn streams_are_cut_and_ended_for_a_reason() {
    let mut server = start_with(|settings| {
        // Between two of the kernel's probes (0.6 and 1.4 s), for its own deadline is the same and would say `closed`.
        settings.streams.stall_deadline_ms = 1_000;
        settings.streams.stream_life_ms = 60_000;
    });
    let subscribe = || {
        let mut client = server.connect();
        client.send("GET /topics/a?checkpoint=off HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.head();
        client
    };
    let stalls = subscribe();
    let data = "x".repeat(500_000);
    for _ in 0..40 {
        server.publish("a", &data);
    }
    let ended = |reason: &str| {
        format!("tidewire_streams_ended_total{{transport=\"plain\",reason=\"{reason}\"}}")
    };
    let samples = server.wait_for_sample(&ended("stalled"), 1.0);
    assert!(samples["tidewire_offers_full_total"] >= 1.0);
    drop(stalls);
    let mut stays = subscribe();
    let open = "tidewire_subscribers{form=\"event_stream\",transport=\"plain\"}";
    server.wait_for_sample(open, 1.0);
    server.begin_shutdown();
    stays.raw_to_end();
    server.wait_for_end();
    let samples = server.samples();
    assert_eq!((samples[&ended("drain")], samples[open]), (1.0, 0.0));
}

#[test]
fn the_admin_listener_and_the_hubs_answer_nothing_of_each_other() {
    let server = start();
    let ask = server.admin(AdminAccess::Loopback);
    #[rustfmt::skip]
    let table = [
        ("GET /metrics", 200, "text/plain; version=0.0.4; charset=utf-8", "# TYPE tidewire_steps_total counter\n"),
        ("HEAD /metrics", 200, "text/plain; version=0.0.4; charset=utf-8", ""),
        ("GET /healthz", 200, "application/json", "ok"),
        ("GET /readyz", 200, "application/json", "ok"),
        // mercure.md, C
        ("GET /mercure/health/live", 200, "application/json", "{\"status\":\"ok\"}"),
        ("GET /mercure/health/ready", 200, "application/json", "{\"status\":\"ok\"}"),
        ("GET /mercure/health/default/ready", 200, "application/json", "{\"status\":\"ok\"}"),
        ("GET /mercure/health/default/nothing", 404, "application/problem+json", "admin listener"),
        ("GET /mercure/health", 404, "application/problem+json", "admin listener"),
        ("POST /metrics", 405, "application/problem+json", "GET, HEAD"),
        ("GET /topics/a", 404, "application/problem+json", "this is the admin listener"),
        ("POST /topics/a", 404, "application/problem+json", "this is the admin listener"),
        ("GET /", 404, "application/problem+json", "/metrics"),
    ];
    for (line, status, content_type, words) in table {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close");
        let answer = match line.starts_with("HEAD") {
            true => continue,
            false => ask(&head),
        };
        assert_eq!(answer.status, status, "{line}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some(content_type), "{line}");
        assert!(answer.body.contains(words), "{line}: {}", answer.body);
    }
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let open = ask(&format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}"
    ));
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(content_type));
    assert!(open.body.contains("# TYPE tidewire_steps counter\n"));
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    let here = server.get("/metrics");
    assert_eq!(here.status, 404);
    assert!(here.body.contains("--admin-listen"), "{}", here.body);
}

#[test]
fn both_formats_say_the_same() {
    let server = start();
    let ask = server.admin(AdminAccess::Loopback);
    let get = |accept| {
        ask(&format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}"
        ))
        .body
    };
    let (old, new) = (get("text/plain"), get("application/openmetrics-text"));
    let names = |text: &str| samples(text).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&old), names(&new));
    // Each family once, described before its samples; no name in two families.
    let mut families = Vec::new();
    for line in old.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(rest) => families.push(rest.split(' ').next().unwrap().to_owned()),
            None if line.starts_with("# HELP ") => assert!(line.ends_with('.'), "{line}"),
            None => {
                let name = line.split(['{', ' ']).next().unwrap();
                let family = families.last().unwrap();
                let suffix = name
                    .strip_prefix(family.as_str())
                    .unwrap_or_else(|| panic!("{line}"));
                assert!(
                    ["", "_sum", "_count", "_bucket"].contains(&suffix),
                    "{line}"
                );
            }
        }
    }
    let mut sorted = families.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), families.len());
    // What the reference lists is what there is.
    let reference = include_str!("../../../../docs/reference.md");
    for family in families {
        assert!(
            reference.contains(&format!("`{family}")),
            "{family} is not in docs/reference.md"
        );
    }
}

#[test]
fn who_may_see_metrics() {
    let server = start();
    let token = AdminToken::new("0123456789abcdef").unwrap();
    let loopback = server.admin(AdminAccess::Loopback);
    let with_token = server.admin(AdminAccess::Token(token));
    let open = server.admin(AdminAccess::Open);
    let bearer = "\r\nAuthorization: Bearer 0123456789abcdef";
    #[rustfmt::skip]
    let table = [
        // (path, headers, on loopback, with a token, open)
        ("/metrics", "Host: localhost", 200, 401, 200),
        ("/metrics", "Host: 127.0.0.1:9090", 200, 401, 200),
        ("/metrics", "Host: evil.example", 403, 401, 200),
        ("/metrics", "Host: localhost\r\nX-Forwarded-For: 1.2.3.4", 403, 401, 200),
        ("/metrics", "Host: localhost\r\nOrigin: https://evil.example", 403, 401, 200),
        ("/metrics", &format!("Host: prometheus.example{bearer}"), 403, 200, 200),
        ("/metrics", &format!("Host: localhost{bearer}x"), 200, 401, 200),
        ("/healthz", "Host: 10.0.0.1", 403, 200, 200),
        ("/readyz", "Host: 10.0.0.1", 403, 200, 200),
        ("/mercure/health/ready", "Host: 10.0.0.1", 403, 200, 200),
        ("/nothing", "Host: localhost", 404, 401, 404),
    ];
    for (path, lines, on_loopback, token, everybody) in table {
        let head = format!("GET {path} HTTP/1.1\r\n{lines}");
        let got =
            [&loopback as &dyn Fn(&str) -> Answer, &with_token, &open].map(|ask| ask(&head).status);
        assert_eq!(got, [on_loopback, token, everybody], "{head}");
    }
    for (method, lines, want) in [
        ("GET", "", [403, 401, 403]),
        ("GET", bearer, [403, 200, 403]),
        ("POST", "", [403, 401, 403]),
        ("POST", bearer, [403, 415, 403]),
        ("DELETE", bearer, [403, 400, 403]),
        ("PUT", bearer, [403, 405, 403]),
    ] {
        let head = format!("{method} /revocations HTTP/1.1\r\nHost: localhost{lines}");
        let got =
            [&loopback as &dyn Fn(&str) -> Answer, &with_token, &open].map(|ask| ask(&head).status);
        assert_eq!(got, want, "{head}");
    }
    let refused = with_token("GET /metrics HTTP/1.1\r\nHost: localhost");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert!(!refused.body.contains("tidewire_"), "{}", refused.body);
}

/// Whoever runs the hub takes tokens back without having one that may publish.
#[test]
fn who_runs_the_hub_revokes_on_its_admin_listener() {
    let server = hub(Kind::Shard, |_| {});
    let token = AdminToken::new("0123456789abcdef").unwrap();
    let admin = server.admin_with_bodies(AdminAccess::Token(token));
    let lines = "Host: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer 0123456789abcdef";
    let ask = |line: &str, body: &str| admin(&format!("{line} HTTP/1.1\r\n{lines}"), body);
    let ada = token_of("ada", &["a"], 3_600_000);
    let open = || Stream::open(&server, Kind::Shard, "/topics/a", &ada);
    let mut stream = open();
    stream.id();
    let answer = ask("POST /revocations", "{\"subject\":\"ada\"}");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("\"ended\":1"), "{}", answer.body);
    assert!(stream.rest().contains("revoked"));
    assert!(
        ask("GET /revocations", "")
            .body
            .contains("\"subject\":\"ada\"")
    );
    assert_eq!(ask("DELETE /revocations?subject=ada", "").status, 204);
    let _again = open();
}

const SECRET: &[u8] = b"!ChangeThisMercureHubJWTSecretKey!";

fn key() -> Key {
    Key::hmac(SECRET, Algorithm::Hs256).unwrap()
}

fn bearer(change: impl FnOnce(&mut Claims)) -> String {
    let mut claims = Claims::default();
    change(&mut claims);
    format!("Authorization: Bearer {}", mint(&claims, &key()).unwrap())
}

/// Of all refusals of a hub there is one, and it is this one.
#[track_caller]
fn refused_once(server: &Server, reason: &str, case: &str) {
    let samples = server.samples();
    for (name, value) in &samples {
        if let Some(rest) = name.strip_prefix("tidewire_refusals_total{reason=\"") {
            let want = f64::from(rest == format!("{reason}\"}}"));
            assert_eq!(*value, want, "{case}: {name}");
        }
    }
    let name = format!("tidewire_refusals_total{{reason=\"{reason}\"}}");
    assert!(samples.contains_key(&name), "{case}: there is no {name}");
}

#[test]
fn each_refusal_has_its_reason() {
    let keyed = || {
        start_with(|settings| {
            settings.access = Default::default();
            settings.access.keys.publisher = Some(key().into());
            settings.clock = Arc::new(|| 1_000_000);
        })
    };
    let small = || {
        start_with(|settings| {
            settings.limits.event_bytes_max = 1;
            settings.limits.subscribers_max = 0;
            settings.limits.head_time_max = Duration::from_millis(50);
            settings.limits.publish_stall_max = Duration::from_millis(50);
        })
    };
    let post = "POST /topics/a";
    let mercure = "POST /.well-known/mercure";
    let topic_b = bearer(|claims| claims.publish = vec!["b".into()]);
    let old = bearer(|claims| claims.expires_ms = Some(999_000));
    let early = bearer(|claims| claims.not_before_ms = Some(1_001_000));
    let nothing = bearer(|_| {});
    let long = format!("Authorization: Bearer {}", "x".repeat(17 << 10));
    let in_header = |token| format!("Authorization: Bearer {token}");
    // {"alg":"HS256","crit":["x"]}, {"alg":"HS512"}, {"alg":"HS256"}; signed by nobody.
    let critical = in_header("eyJhbGciOiJIUzI1NiIsImNyaXQiOlsieCJdfQ.e30.bm90aGluZw");
    let other = in_header("eyJhbGciOiJIUzUxMiJ9.e30.bm90aGluZw");
    let forged = in_header("eyJhbGciOiJIUzI1NiJ9.e30.bm90aGluZw");
    let json = "Content-Type: application/json";
    #[rustfmt::skip]
    let table: Vec<(&dyn Fn() -> Server, &str, &str, &str, u16, &str)> = vec![
        (&start, "GET /topics/a", "Host: evil.example", "", 403, "host"),
        (&start, "GET /healthz", "Via: 1.1 proxy", "", 403, "forwarded"),
        (&start, "GET /topics/a", "Origin: https://evil.example", "", 403, "origin"),
        (&start, post, "Sec-Fetch-Site: cross-site", "x", 403, "origin"),
        (&start, "GET /topics/a?since=yesterday", "", "", 400, "bad_parameter"),
        (&start, "POST /topics/a?retry=soon", "", "x", 400, "bad_event"),
        (&start, post, "Authorization: Basic eDp5", "x", 400, "bad_request"),
        (&start, "GET /nothing", "", "", 404, "not_found"),
        (&start, "GET /metrics", "", "", 404, "not_found"),
        (&start, "PUT /topics/a", "", "", 405, "method"),
        (&start, "GET /topics/a", "Accept: text/html", "", 406, "not_acceptable"),
        (&start, mercure, "Content-Type: text/plain", "x", 415, "content_type"),
        (&start, mercure, json, "[{}]", 400, "bad_event"),
        (&small, post, "", "xx", 413, "too_large"),
        (&small, post, "Content-Length: 1", "", 408, "timeout"),
        (&small, "GET /topics/a", "", "", 503, "subscribers_max"),
        (&small, "GET /topics/a?wait=1s", "Accept: application/json", "", 503, "subscribers_max"),
        (&keyed, post, "", "x", 401, "token_missing"),
        (&keyed, post, &long, "x", 401, "token_too_long"),
        (&keyed, post, "Authorization: Bearer x", "x", 401, "token_malformed"),
        (&keyed, post, &critical, "x", 401, "token_critical"),
        (&keyed, "GET /topics/a", &forged, "", 401, "token_no_key"),
        (&keyed, post, &other, "x", 401, "token_algorithm"),
        (&keyed, post, &forged, "x", 401, "token_signature"),
        (&keyed, post, &old, "x", 401, "token_expired"),
        (&keyed, post, &early, "x", 401, "token_not_yet"),
        (&keyed, post, &nothing, "x", 403, "token_not_granted"),
        (&keyed, post, &topic_b, "x", 403, "topic_not_granted"),
    ];
    for (server, line, lines, body, status, reason) in table {
        let server = server();
        let host = if lines.starts_with("Host") {
            ""
        } else {
            "Host: localhost\r\n"
        };
        let head = format!("{line} HTTP/1.1\r\n{host}{lines}");
        let answer = server.ask(head.trim_end(), body);
        assert_eq!(answer.status, status, "{head}: {}", answer.body);
        refused_once(&server, reason, &head);
    }
}

#[test]
fn a_soft_refusal_is_a_refusal() {
    let server = start_with(|settings| settings.limits.subscribers_max = 0);
    let lines = "Accept: text/event-stream\r\nSec-Fetch-Mode: cors";
    let answer = server.ask(
        &format!("GET /topics/a HTTP/1.1\r\nHost: localhost\r\n{lines}"),
        "",
    );
    assert_eq!(answer.status, 200);
    refused_once(&server, "subscribers_max", "soft");
    let samples = server.samples();
    assert_eq!(samples["tidewire_refusals_soft_total"], 1.0);
    assert_eq!(samples["tidewire_subscribers_max"], 0.0);
}

#[test]
fn the_logs_troubles_have_reasons() {
    let too_large = AppendError::TooLarge {
        index: 0,
        bytes: 9,
        bytes_max: 8,
    };
    let table = [
        (AppendError::Busy, "log_busy"),
        (AppendError::Full("no space".into()), "log_full"),
        (AppendError::Stopped("fsync failed".into()), "log_stopped"),
        (AppendError::KeyReused { index: 0 }, "key_reused"),
        (too_large, "too_large"),
    ];
    for (error, reason) in table {
        let server = troubles::server(std::slice::from_ref(&error));
        assert_eq!(server.samples()["tidewire_log_up"], 0.0, "{error}");
        server.ask("POST /topics/a HTTP/1.1\r\nHost: localhost", "x");
        refused_once(&server, reason, &error.to_string());
        let samples = server.samples();
        assert_eq!(samples["tidewire_log_up"], 1.0, "{error}");
        assert_eq!(samples["tidewire_publish_requests_refused_total"], 1.0);
    }
    // Not ready is not refused for good, but a refusal.
    let server = troubles::server(&[AppendError::Busy]);
    assert_eq!(server.get("/readyz").status, 503);
    refused_once(&server, "unavailable", "readyz");
    // The last line of a batch counts as well, whatever its answer's status.
    let full = troubles::server(&[AppendError::Full("no space".into())]);
    let head = "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson";
    full.ask(head, "{\"topic\":\"a\"}\n");
    refused_once(&full, "log_full", "batch");
}

#[test]
fn an_ending_hub_refuses_for_that_reason() {
    let server = start();
    server.runtime.block_on(async {
        server.front.drain().await;
        let request = Request::get("/topics/a").header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        let answer = tidewire_http::router(server.front.clone()).call(request);
        let status = answer.await.unwrap().status();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    });
    refused_once(&server, "draining", "drain");
    // mercure.md, C
    let ask = server.admin(AdminAccess::Loopback);
    let answer = ask("GET /mercure/health/ready HTTP/1.1\r\nHost: localhost");
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.body,
        "{\"error\":\"the hub is ending\",\"status\":\"error\"}\n"
    );
    let answer = ask("GET /mercure/health/live HTTP/1.1\r\nHost: localhost");
    assert_eq!(answer.status, 200);
}
