//! One life, told alike: the same requests and the same stream leave the same metrics and the same lines in the access log,
//! whatever they came over.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use http::Method;
use serde_json::Value;
use tidewire_http::{AccessLogFormat, Settings};

use crate::access_log::Written;
use crate::http2::client;
use crate::server::{Client, Server, start_with};
use crate::tls;

const PUBLISH: &str = "/topics/a";
const REFUSED: &str = "/topics/a?retry=soon";
const SUBSCRIBE: &str = "/topics/a?checkpoint=off";
const LAST: &str = "data: e2\n\n";

/// What a client had to do with: two requests, and a stream that it left after two events.
struct Lived {
    /// What the answers' bodies were, in bytes.
    answers: [usize; 2],
    /// What came of the stream, in bytes: with its head and chunks over HTTP/1.
    stream: usize,
}

fn over_http1<S: Read + Write>(mut client: Client<S>, server: &Server, lines: &str) -> Lived {
    let mut ask = |target: &str| {
        client.send(&format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: 2\r\n\r\nxy"
        ));
        client.answer().body.len()
    };
    let answers = [ask(PUBLISH), ask(REFUSED)];
    client.send(&format!(
        "GET {SUBSCRIBE} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
    ));
    let head = client.raw_until(":\n\r\n");
    server.publish("a", "e1");
    server.publish("a", "e2");
    let rest = client.raw_until(&format!("{LAST}\r\n"));
    Lived {
        answers,
        stream: head.len() + rest.len(),
    }
}

fn over_http2(server: &Server) -> Lived {
    let mut client = client::connect(server);
    let mut ask = |target: &str| client.post(target, b"xy").1.len();
    let answers = [ask(PUBLISH), ask(REFUSED)];
    let request = client.request(Method::GET, SUBSCRIBE).body(()).unwrap();
    let mut body = client.ask(request).into_body();
    let first = client.read_until(&mut body, ":\n");
    server.publish("a", "e1");
    server.publish("a", "e2");
    let rest = client.read_until(&mut body, LAST);
    Lived {
        answers,
        stream: first.len() + rest.len(),
    }
}

/// What metrics say, but of the process, of the log's own doings, and of how often somebody looked.
fn told(server: &Server, transport: &str) -> BTreeMap<String, f64> {
    let transport = format!("transport=\"{transport}\"");
    let names = [
        "tidewire_subscriber",
        "tidewire_streams_",
        "tidewire_pages",
        "tidewire_delivered_",
        "tidewire_gaps",
        "tidewire_checkpoints",
        "tidewire_heartbeats",
        "tidewire_connections",
        "tidewire_publish",
        "tidewire_refusals",
        "mercure_",
    ];
    let samples = server.samples().into_iter();
    samples
        .filter(|(name, _)| names.iter().any(|start| name.starts_with(start)))
        // What is there of other transports is nothing, as the test has seen before.
        .filter(|(name, _)| !name.contains("transport=") || name.contains(&transport))
        .map(|(name, value)| (name.replace(&transport, "transport"), value))
        .collect()
}

fn others_are_idle(server: &Server, transport: &str) {
    let own = format!("transport=\"{transport}\"");
    for (name, value) in server.samples() {
        if name.contains("transport=") && !name.contains(&own) {
            assert_eq!(value, 0.0, "over {transport}: {name}");
        }
    }
}

/// The lines without what differs from life to life.
fn lines(log: &Written, lived: &Lived, transport: &str) -> Vec<Value> {
    let mut lines = log.objects(4);
    let bytes: Vec<Option<u64>> = lines.iter().map(|line| line["bytes"].as_u64()).collect();
    let [first, second] = lived.answers.map(|bytes| Some(bytes as u64));
    let whole = Some(lived.stream as u64);
    assert_eq!(
        bytes,
        [first, second, None, whole],
        "{transport}: {lines:?}"
    );
    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        assert_eq!(line["transport"], transport);
        let protocol = line.remove("protocol").unwrap();
        assert_eq!(protocol == "HTTP/2.0", transport == "http2", "{transport}");
        for name in ["time", "port", "duration_ms", "bytes", "transport"] {
            line.remove(name);
        }
    }
    lines
}

#[test]
fn a_life_is_told_alike_over_every_transport() {
    let log = Written::default();
    let settings = |settings: &mut Settings| {
        settings.streams.heartbeat_ms = 0;
        log.put_into(settings, AccessLogFormat::Json);
    };
    type Live = fn(&Server) -> Lived;
    let table: [(&str, bool, Live); 4] = [
        ("plain", false, |server| {
            over_http1(server.connect(), server, "")
        }),
        // No plain request has this line, so hyper serves them.
        ("plain", false, |server| {
            over_http1(server.connect(), server, "TE: trailers\r\n")
        }),
        ("tls", true, |server| {
            over_http1(tls::connect(server), server, "")
        }),
        ("http2", false, over_http2),
    ];
    let mut first = None;
    for (transport, is_tls, live) in table {
        let server = match is_tls {
            true => tls::start_tls(settings),
            false => start_with(settings),
        };
        let lived = live(&server);
        let ended =
            format!("tidewire_streams_ended_total{{transport=\"{transport}\",reason=\"closed\"}}");
        server.wait_for_sample(&ended, 1.0);
        // Of a connection's end it may hear a little later.
        server.wait_for_sample("tidewire_connections", 0.0);
        server.wait_for_sample("tidewire_delivered_events_total", 2.0);
        others_are_idle(&server, transport);
        let told = (told(&server, transport), lines(&log, &lived, transport));
        let first = first.get_or_insert_with(|| told.clone());
        assert_eq!(told.1, first.1, "over {transport}");
        assert_eq!(told.0, first.0, "over {transport}");
    }
    let (samples, lines) = first.unwrap();
    let of = |name: &str| samples[name];
    assert_eq!(of("tidewire_published_events_total"), 3.0);
    assert_eq!(of("tidewire_publish_requests_total{body=\"raw\"}"), 2.0);
    assert_eq!(of("tidewire_refusals_total{reason=\"bad_event\"}"), 1.0);
    assert_eq!(
        of("tidewire_streams_opened_total{form=\"event_stream\",transport}"),
        1.0
    );
    let field = |name: &str| {
        lines
            .iter()
            .map(|line| line[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(field("event"), ["request", "request", "open", "end"]);
    assert_eq!(field("status"), [200, 400, 200, 200]);
    assert_eq!(field("target"), [PUBLISH, REFUSED, SUBSCRIBE, SUBSCRIBE]);
    assert_eq!(field("reason")[3], "closed");
    assert_eq!(field("events")[3], 2);
}
