//! What happens on connections: versions, order of requests, takeover, the end.

use std::io::{Read, Write};
use std::time::Duration;

use crate::server::{PATIENCE, header, masked, start, start_with};

const SUBSCRIBE: &str = "GET /topics/a?checkpoint=off HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn http_1_0_gets_the_stream_bare_and_ended_by_close() {
    let mut server = start();
    server.publish("a", "e1");
    let mut client = server.connect();
    client.send("GET /topics/a?since=earliest&checkpoint=off HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert_eq!(header(&head, "transfer-encoding"), None);
    assert_eq!(header(&head, "content-length"), None);
    assert_eq!(header(&head, "connection"), Some("close"));
    assert_eq!(
        client.raw_until("data: e1\n\n"),
        ":\nid: #5-1\ndata: e1\n\n"
    );
    server.publish("a", "e2");
    assert_eq!(client.raw_until("data: e2\n\n"), "id: #5-2\ndata: e2\n\n");
    server.begin_shutdown();
    let rest = client.raw_to_end();
    assert!(
        rest.is_empty() || rest.ends_with(": closing: drain\n"),
        "{rest:?}"
    );
    server.wait_for_end();
}

#[test]
fn one_subscribe_after_another_over_http_1_0() {
    // As nginx speaks to its upstream by default.
    let server = start();
    for _ in 0..3 {
        let mut client = server.connect();
        client.send(
            "GET /topics/a?checkpoint=off HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        );
        client.head();
        assert_eq!(client.raw_until("\n"), ":\n");
    }
}

#[test]
fn the_third_request_of_a_connection_is_taken_over() {
    let server = start();
    let mut client = server.connect();
    for number in 1..=2 {
        client.send("POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(client.answer().body, format!("#5-{number}"));
    }
    client.send(SUBSCRIBE);
    let head = client.head();
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(client.chunks_until("\n"), ":\n");
    server.publish("a", "live");
    assert_eq!(
        client.chunks_until("data: live\n\n"),
        "id: #5-3\ndata: live\n\n"
    );
    let counters = server.front.counters();
    assert_eq!(
        (counters.streams, counters.taken_over),
        (1, cfg!(target_os = "linux") as u64)
    );
}

#[test]
fn answers_before_a_pipelined_subscribe_come_first_and_whole() {
    let server = start();
    let page = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = server.get("/openapi.json").body.len();
    // Nobody reads for a while, and this is more than a socket takes meanwhile.
    let count = 300;
    let mut client = server.connect();
    client.send(&format!("{}{SUBSCRIBE}", page.repeat(count)));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.front.counters().streams, 0, "not reached yet");
    for at in 0..count {
        assert_eq!(client.answer().body.len(), length, "{at}");
    }
    let head = client.head();
    assert_eq!(header(&head, "content-type"), Some("text/event-stream"));
    assert_eq!(client.chunks_until("\n"), ":\n");
    server.publish("a", "live");
    client.chunks_until("data: live\n\n");
}

#[test]
fn what_follows_a_subscribe_is_ignored() {
    let server = start();
    let mut client = server.connect();
    client.send(&format!(
        "{SUBSCRIBE}GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ));
    client.head();
    client.chunks_until(":\n");
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    server.publish("a", "live");
    assert_eq!(
        client.chunks_until("data: live\n\n"),
        "id: #5-1\ndata: live\n\n"
    );
}

#[test]
fn a_request_in_small_pieces() {
    let server = start();
    let mut client = server.connect();
    for byte in SUBSCRIBE.bytes() {
        client.socket.write_all(&[byte]).unwrap();
    }
    client.head();
    assert_eq!(client.chunks_until("\n"), ":\n");
    // The same letter begins HTTP/2's preface and a publish.
    let mut client = server.connect();
    for piece in [
        "P",
        "OST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n",
        "x",
    ] {
        client.send(piece);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(client.answer().status, 200);
}

#[test]
fn head_answers_and_ends() {
    let server = start();
    let mut client = server.connect();
    for accept in ["text/event-stream", "application/json"] {
        client.send(&format!(
            "HEAD /topics/a HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nLast-Event-ID: urn:x\r\n\r\n"
        ));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(header(&head, "content-type"), Some(accept));
        assert_eq!(header(&head, "tidewire-gap"), Some("unknown"));
        assert_eq!(header(&head, "content-length"), None, "{head}");
    }
    // The connection goes on, and no stream was begun.
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert_eq!(server.front.counters().streams, 0);
}

#[test]
fn without_shards_a_stream_is_a_task() {
    let mut server = start_with(|settings| settings.shards = 0);
    server.publish("a", "e1");
    let mut client = server.connect();
    client.send("GET /topics/a?since=earliest HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head();
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    let body = client.chunks_until("data: e1\n\n");
    assert_eq!(
        masked(&body, "\"stream\":\"", "\""),
        ":\nevent: tidewire.open\nid: #5-0\ndata: {\"stream\":\"...\"}\n\nid: #5-1\ndata: e1\n\n"
    );
    assert_eq!(
        (
            server.front.subscribers(),
            server.front.counters().taken_over
        ),
        (1, 1)
    );
    server.begin_shutdown();
    assert!(client.chunks_to_end().contains("drain"));
    server.wait_for_end();
}

#[test]
fn streams_end_between_frames_when_the_hub_ends() {
    // Longer than anybody waits here: nothing is left to be waited for.
    let mut server = start_with(|settings| settings.drain = 10 * PATIENCE);
    let mut stream = server.connect();
    stream.send("GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.head();
    stream.chunks_until("\"}\n\n");
    let mut idle = server.connect();
    idle.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    idle.answer();
    server.begin_shutdown();
    let rest = stream.chunks_to_end();
    assert!(
        rest.contains("event: tidewire.closing\ndata: {\"reason\":\"drain\"}\n\n"),
        "{rest}"
    );
    assert_eq!(stream.raw_to_end(), "", "nothing follows the last chunk");
    assert_eq!(idle.raw_to_end(), "");
    server.wait_for_end();
    assert!(
        std::net::TcpStream::connect(server.address).is_err(),
        "nobody listens"
    );
    assert_eq!(server.front.subscribers(), 0);
}

/// Whether its body comes in two pieces or in more than a plain request has, which are hyper's.
#[test]
fn a_publish_that_has_begun_is_answered_though_the_hub_ends() {
    for bytes in [10, 100_000] {
        let mut server = start();
        let mut publisher = server.connect();
        // What comes with a request that is answered has come.
        publisher.send(&format!(
            "POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx\
             POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\nhalf"
        ));
        assert_eq!(publisher.answer().status, 200);
        let mut late = server.connect();
        late.send("POST /topics/a HTTP/1.1\r\n");
        std::thread::sleep(Duration::from_millis(100));
        server.begin_shutdown();
        std::thread::sleep(Duration::from_millis(100));
        publisher.send(&"x".repeat(bytes - 4));
        let answer = publisher.answer();
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(publisher.raw_to_end(), "", "the connection ends with it");
        assert_eq!(late.raw_to_end(), "");
        assert_eq!(server.front.counters().events, 2);
        server.wait_for_end();
    }
}

#[test]
fn a_head_that_never_ends_is_bounded() {
    let server = start_with(|settings| {
        settings.limits.head_bytes_max = 8192;
        settings.limits.head_time_max = Duration::from_millis(300);
    });
    let mut slow = server.connect();
    slow.send("GET / HTTP/1.1\r\nHost: loc");
    assert_eq!(slow.raw_to_end(), "", "cut when its time is over");
    let mut silent = server.connect();
    assert_eq!(silent.raw_to_end(), "");
    let mut large = server.connect();
    let _ = large
        .socket
        .write_all(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000)).as_bytes());
    let mut answer = String::new();
    let _ = large.socket.read_to_string(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert_eq!(server.get("/healthz").status, 200);
}
