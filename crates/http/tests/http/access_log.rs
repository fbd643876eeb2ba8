//! The access log: which lines there are, over every way to a stream, and what never stands in them.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::Value;
use tidewire_http::{AccessLog, AccessLogFormat, Settings};
use tower::Service;

use crate::http2::client;
use crate::server::{PATIENCE, Server, start_with, until};
use crate::tls;

/// A log that can be read.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits for so many lines, and takes them.
    #[track_caller]
    fn lines(&self, count: usize) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if text.lines().count() >= count {
                assert_eq!(text.lines().count(), count, "{text}");
                self.0.lock().unwrap().clear();
                return text.lines().map(str::to_owned).collect();
            }
            assert!(Instant::now() < until, "{count} lines do not come: {text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub(crate) fn objects(&self, count: usize) -> Vec<Value> {
        let read = |line: &String| serde_json::from_str(line).unwrap();
        self.lines(count).iter().map(read).collect()
    }

    pub(crate) fn put_into(&self, settings: &mut Settings, format: AccessLogFormat) {
        settings.access_log = Some(AccessLog::start(format, self.clone()).unwrap());
    }
}

fn start(format: AccessLogFormat, change: impl FnOnce(&mut Settings)) -> (Server, Written) {
    let written = Written::default();
    let server = start_with(|settings| {
        written.put_into(settings, format);
        settings.clock = Arc::new(|| 971_186_136_042);
        change(settings);
    });
    (server, written)
}

#[test]
fn combined_lines_are_apaches() {
    let (server, log) = start(AccessLogFormat::Combined, |_| {});
    let at = "[10/Oct/2000:13:55:36 +0000]";
    let agent = "\r\nUser-Agent: test/1 \"x\"\r\nReferer: http://localhost/p?authorization=secret";
    let tail = "\"http://localhost/p?REDACTED\" \"test/1 \\\"x\\\"\"";
    #[rustfmt::skip]
    let table = [
        ("GET /healthz", "", format!("\"GET /healthz HTTP/1.1\" 200 16 {tail}")),
        ("POST /topics/a?authorization=secret", "x", format!("\"POST /topics/a?REDACTED HTTP/1.1\" 401 ... {tail}")),
        ("POST /topics/a", "x", format!("\"POST /topics/a HTTP/1.1\" 200 4 {tail}")),
        ("OPTIONS /topics/a", "", format!("\"OPTIONS /topics/a HTTP/1.1\" 204 - {tail}")),
        ("GET /nothing?x=1", "", format!("\"GET /nothing?x=1 HTTP/1.1\" 404 ... {tail}")),
    ];
    for (line, body, want) in table {
        server.ask(&format!("{line} HTTP/1.1\r\nHost: localhost{agent}"), body);
        let got = log.lines(1).remove(0);
        let want = format!("127.0.0.1 - - {at} {want}");
        // How long a problem is does not matter here.
        let (before, after) = want.split_once("...").unwrap_or((&want, ""));
        assert!(
            got.starts_with(before) && got.ends_with(after),
            "{got}\n{want}"
        );
    }
    let mut client = server.connect();
    client.send(&format!(
        "GET /topics/a?since=earliest HTTP/1.1\r\nHost: localhost{agent}\r\n\r\n"
    ));
    client.head();
    let request = "\"GET /topics/a?since=earliest HTTP/1.1\" 200";
    let open = format!("127.0.0.1 open - {at} {request} - {tail}");
    assert_eq!(log.lines(1), [open]);
    client.chunks_until("data: x\n\n");
    drop(client);
    let end = log.lines(1).remove(0);
    let identity = end.split(' ').nth(1).unwrap().to_owned();
    let parts: Vec<&str> = identity.split('-').collect();
    assert_eq!(
        (parts[0], parts[1], parts[3]),
        ("end", "closed", "1events"),
        "{end}"
    );
    assert!(
        parts[2].strip_suffix("ms").unwrap().parse::<u64>().is_ok(),
        "{end}"
    );
    let bytes = end
        .split(request)
        .nth(1)
        .unwrap()
        .trim()
        .split(' ')
        .next()
        .unwrap();
    assert!(bytes.parse::<u64>().unwrap() > 100, "{end}");
    assert_eq!(
        end,
        format!("127.0.0.1 {identity} - {at} {request} {bytes} {tail}")
    );
}

/// What a stream's two lines have in common, and what its end says.
#[track_caller]
fn check_stream(lines: &[Value], transport: &str, reason: &str, events: u64) {
    let [open, end] = lines else {
        panic!("{lines:?}");
    };
    assert_eq!(
        (&open["event"], &end["event"]),
        (&"open".into(), &"end".into())
    );
    for name in ["stream", "target", "transport", "method", "protocol"] {
        assert_eq!(open[name], end[name], "{name}");
        assert!(!open[name].is_null(), "{name}");
    }
    assert_eq!(end["transport"], transport);
    assert_eq!(end["reason"], reason);
    assert_eq!(end["events"], events);
    assert!(end["bytes"].as_u64().unwrap() > 0, "{end}");
    assert!(end["duration_ms"].is_u64(), "{end}");
}

#[test]
fn a_taken_over_socket_has_two_lines() {
    let (mut server, log) = start(AccessLogFormat::Json, |_| {});
    let mut client = server.connect();
    let port = client.socket.local_addr().unwrap().port();
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.head();
    let mut lines = log.objects(2);
    lines.sort_by_key(|line| line["event"] == "open");
    assert_eq!(lines[0]["event"], "request");
    assert_eq!(
        (&lines[1]["remote"], &lines[1]["port"]),
        (&"127.0.0.1".into(), &port.into())
    );
    server.publish("a", "e1");
    client.raw_until("data: e1\n\n");
    drop(client);
    check_stream(
        &[lines.remove(1), log.objects(1).remove(0)],
        "plain",
        "closed",
        1,
    );
    // One that the hub ends.
    let mut client = server.connect();
    client.send("GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.head();
    let open = log.objects(1);
    server.begin_shutdown();
    client.raw_to_end();
    server.wait_for_end();
    check_stream(&[open, log.objects(1)].concat(), "plain", "drain", 0);
}

#[test]
fn http2_streams_and_requests_have_lines() {
    let (server, log) = start(AccessLogFormat::Json, |_| {});
    let mut client = client::connect(&server);
    let mut answer = client.get("/healthz").into_body();
    client.read_to_end(&mut answer);
    let request = log.objects(1).remove(0);
    assert_eq!(
        (&request["event"], &request["status"]),
        (&"request".into(), &200.into())
    );
    assert_eq!(
        (&request["bytes"], &request["protocol"]),
        (&16.into(), &"HTTP/2.0".into())
    );
    assert_eq!(request["remote"], "127.0.0.1");
    let mut body = client.get("/topics/a").into_body();
    let open = log.objects(1);
    server.publish("a", "e1");
    client.read_until(&mut body, "data: e1\n\n");
    drop(body);
    check_stream(&[open, log.objects(1)].concat(), "http2", "closed", 1);
}

#[test]
fn a_stream_over_tls_has_two_lines() {
    let written = Written::default();
    let server = tls::start_tls(|settings| written.put_into(settings, AccessLogFormat::Json));
    let mut client = tls::connect(&server);
    client.send("GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.head();
    let open = written.objects(1);
    assert_eq!(open[0]["remote"], "127.0.0.1");
    server.publish("a", "e1");
    client.chunks_until("data: e1\n\n");
    drop(client);
    check_stream(&[open, written.objects(1)].concat(), "tls", "closed", 1);
}

#[test]
fn a_stream_of_an_embedded_hub_has_two_lines() {
    let (server, log) = start(AccessLogFormat::Json, |_| {});
    server.runtime.block_on(async {
        let request = Request::get("/topics/a").header("host", "localhost");
        let request = request.body(Body::empty()).unwrap();
        let answer = tidewire_http::router(server.front.clone()).call(request);
        let mut body = answer.await.unwrap().into_body();
        let open = log.objects(1);
        assert!(open[0]["remote"].is_null());
        for _ in 0..2 {
            body.frame().await.unwrap().unwrap();
        }
        server.publish_later("a", "e1").await;
        body.frame().await.unwrap().unwrap();
        drop(body);
        check_stream(&[open, log.objects(1)].concat(), "embedded", "closed", 1);
    });
}

#[test]
fn a_client_that_goes_before_its_answer_has_a_line() {
    let (server, log) = start(AccessLogFormat::Json, |_| {});
    let mut client = server.connect();
    client.send("POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx");
    std::thread::sleep(Duration::from_millis(50));
    drop(client);
    let line = log.objects(1).remove(0);
    // hyper may have told the handler of the broken body first.
    let status = line["status"].as_u64().unwrap();
    assert!([400, 499].contains(&status), "{line}");
    let mut client = server.connect();
    client.send(
        "GET /topics/a?wait=30s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n",
    );
    until("it waits", || server.front.subscribers() == 1);
    drop(client);
    let line = log.objects(1).remove(0);
    assert_eq!(
        (&line["status"], &line["bytes"]),
        (&499.into(), &0.into()),
        "{line}"
    );
}

#[test]
fn the_id_of_a_stream_is_not_told() {
    for format in [AccessLogFormat::Combined, AccessLogFormat::Json] {
        let (server, log) = start(format, |_| {});
        let mut client = server.connect();
        client.send("GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.head();
        let open = client.raw_until("\"}\n\n");
        let id = open
            .split("\"stream\":\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert_eq!(id.len(), 32);
        drop(client);
        let lines = log.lines(2);
        assert!(lines.iter().all(|line| !line.contains(id)), "{lines:?}");
    }
}

/// Where a client may put a secret, rightly or not; `{}` is the secret.
const PLACES: [&str; 16] = [
    "authorization: Bearer {}",
    "authorization: Basic {}",
    "authorization: {}",
    "cookie: mercureAuthorization={}",
    "cookie: a=b; session={}",
    "proxy-authorization: Basic {}",
    "idempotency-key: {}",
    "referer: https://a.example/?authorization={}",
    "referer: https://u:{}@a.example/",
    "referer: https://a.example/#token={}",
    "?authorization={}",
    "?topic=b&Authorization={}",
    "?%61uthorization={}",
    "?access_token={}&topic=b",
    "?next=%2F%3Fauthorization%3D{}",
    "?topic=b;jwt={}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a client sends with a secret where secrets go, the log does not have it; and each request has one line.
    #[test]
    fn no_secret_is_ever_logged(
        secret in "[A-Za-z0-9]{12,40}",
        places in proptest::collection::vec(0..PLACES.len(), 1..4),
        noise in "[ -~]{0,40}",
        is_json in any::<bool>(),
        is_post in any::<bool>(),
    ) {
        let format = match is_json {
            true => AccessLogFormat::Json,
            false => AccessLogFormat::Combined,
        };
        let (server, log) = start(format, |_| {});
        let mut target = "/topics/a".to_owned();
        let mut request = Request::builder().method(if is_post { "POST" } else { "HEAD" });
        for place in places.into_iter().map(|place| PLACES[place].replace("{}", &secret)) {
            match place.strip_prefix('?') {
                Some(query) => {
                    target.push(if target.contains('?') { '&' } else { '?' });
                    target.push_str(query);
                }
                None => {
                    let (name, value) = place.split_once(": ").unwrap();
                    request = request.header(name, value);
                }
            }
        }
        let request = request.uri(target).header("host", "localhost").header("user-agent", noise);
        let request = request.body(Body::from("x")).unwrap();
        server.runtime.block_on(async {
            let answer = tidewire_http::router(server.front.clone()).call(request);
            let _ = answer.await.unwrap().into_body().collect().await;
        });
        let lines = log.lines(1);
        prop_assert!(!lines[0].contains(&secret), "{}", lines[0]);
        prop_assert!(!lines[0].contains("uthorization="), "{}", lines[0]);
    }

    /// Nothing that a client sends begins a line, leaves its field, or reaches a terminal as a control character.
    #[test]
    fn nothing_a_client_sends_is_obeyed(
        agent in proptest::collection::vec(any::<u8>().prop_filter("HTTP's own rule", |byte| {
            *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)
        }), 0..700),
        path in "[!-~\u{80}-\u{2fff}]{0,60}",
        is_json in any::<bool>(),
    ) {
        let format = match is_json {
            true => AccessLogFormat::Json,
            false => AccessLogFormat::Combined,
        };
        let (server, log) = start(format, |_| {});
        let Ok(uri) = format!("/topics/{path}").parse::<http::Uri>() else {
            return Ok(());
        };
        let request = Request::head(uri).header("host", "localhost").header("user-agent", agent);
        let request = request.body(Body::empty()).unwrap();
        server.runtime.block_on(async {
            let answer = tidewire_http::router(server.front.clone()).call(request);
            let _ = answer.await.unwrap().into_body().collect().await;
        });
        let line = log.lines(1).remove(0);
        prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        if is_json {
            let read: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read["event"], "request");
        } else {
            prop_assert!(line.is_ascii(), "{line}");
            // Quotes that are not escaped: three quoted fields, and nothing after them.
            let bare = line.replace("\\\\", "").replace("\\\"", "");
            prop_assert_eq!(bare.matches('"').count(), 6, "{}", line);
            prop_assert!(line.ends_with('"'));
        }
    }
}
