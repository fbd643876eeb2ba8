//! Requests that are no streams: the same service as for every other protocol.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Method};

use super::client::connect;
use super::{quiet, quiet_with};

#[test]
fn the_keyless_rules_hold_here_too() {
    let server = quiet();
    let mut client = connect(&server);
    let rebound = http::Request::builder()
        .uri("http://evil.example/healthz")
        .body(())
        .unwrap();
    assert_eq!(client.ask(rebound).status(), 403);
    assert_eq!(client.get("/healthz").status(), 200);
    assert_eq!(client.get("/nothing").status(), 404);
}

#[test]
fn a_body_larger_than_the_window_is_read() {
    let server = quiet();
    let mut client = connect(&server);
    let mut stream = client.subscribe("/topics/a?checkpoint=off");
    let data = "y".repeat(1 << 20);
    assert_eq!(
        client.post("/topics/a", data.as_bytes()),
        (200, "#5-1".into())
    );
    let text = client.read_until(&mut stream, "y\n\n");
    assert_eq!(text.len(), "id: #5-1\ndata: \n\n".len() + data.len());
    let (status, problem) = client.post("/topics/a", format!("{data}y").as_bytes());
    assert_eq!(status, 413, "{problem}");
    assert_eq!(client.get("/healthz").status(), 200);
}

#[test]
fn a_slow_body_holds_up_no_other() {
    let server = quiet();
    let mut client = connect(&server);
    let slow: Vec<_> = (0..20)
        .map(|_| {
            let request = client.request(Method::POST, "/topics/a").body(()).unwrap();
            let (answer, mut body) = client.begin(request);
            body.send_data(Bytes::from_static(b"half "), false).unwrap();
            (answer, body)
        })
        .collect();
    for at in 1..=50 {
        assert_eq!(
            client.post("/topics/b", b"whole"),
            (200, format!("#5-{at}"))
        );
    }
    let mut ids: Vec<_> = slow
        .into_iter()
        .map(|(answer, mut body)| {
            body.send_data(Bytes::from_static(b"half"), true).unwrap();
            let answer = client.wait_for(answer).unwrap();
            client.read_to_end(&mut answer.into_body())
        })
        .collect();
    ids.sort();
    let want: Vec<_> = (51..=70).map(|at| format!("#5-{at}")).collect();
    assert_eq!(ids, want);
}

/// Only the end of a body makes it whole.
#[test]
fn a_body_that_is_taken_back_stores_nothing() {
    let server = quiet();
    let mut client = connect(&server);
    for reason in [Reason::CANCEL, Reason::NO_ERROR] {
        let request = client.request(Method::POST, "/topics/a").body(()).unwrap();
        let (answer, mut body) = client.begin(request);
        body.send_data(Bytes::from_static(b"half"), false).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        body.send_reset(reason);
        drop(answer);
        assert_eq!(client.get("/healthz").status(), 200);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(server.front.counters().events, 0, "{reason}");
    }
}

#[test]
fn a_batch_is_acknowledged_as_it_comes() {
    let server = quiet();
    let mut client = connect(&server);
    let request = client
        .request(Method::POST, "/.well-known/mercure")
        .header("content-type", "application/x-ndjson")
        .body(())
        .unwrap();
    let (answer, mut body) = client.begin(request);
    let line = Bytes::from_static(b"{\"topic\":\"a\",\"data\":\"x\"}\n");
    body.send_data(line.clone(), false).unwrap();
    let answer = client.wait_for(answer).unwrap();
    assert_eq!(answer.status(), 200);
    let mut acks = answer.into_body();
    let ack = client.read_until(&mut acks, "\n");
    assert!(ack.contains("\"first_id\":\"#5-1\""), "{ack}");
    body.send_data(line, true).unwrap();
    let ack = client.read_to_end(&mut acks);
    assert!(ack.contains("\"first_id\":\"#5-2\""), "{ack}");
}

#[test]
fn trailers_end_a_body() {
    let server = quiet();
    let mut client = connect(&server);
    let request = client.request(Method::POST, "/topics/a").body(()).unwrap();
    let (answer, mut body) = client.begin(request);
    body.send_data(Bytes::from_static(b"data"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("checksum", "1234".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    let answer = client.wait_for(answer).unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(client.read_to_end(&mut answer.into_body()), "#5-1");
}

#[test]
fn headers_beyond_the_limit_cost_their_request_alone() {
    let server = quiet_with(|settings| settings.limits.head_bytes_max = 2000);
    let mut client = connect(&server);
    let mut stream = client.subscribe("/topics/a?checkpoint=off");
    for (bytes, status) in [(1000, 200), (3000, 431)] {
        let request = client
            .request(Method::GET, "/healthz")
            .header("x-large", "z".repeat(bytes))
            .body(())
            .unwrap();
        assert_eq!(client.ask(request).status(), status, "{bytes}");
    }
    server.publish("a", "goes on");
    client.read_until(&mut stream, "goes on\n\n");
}
