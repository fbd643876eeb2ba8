//! A plain request is answered without hyper, and byte for byte as hyper and the router would answer it.

use std::io::Write;
use std::time::Duration;

use tidewire_http::Access;

use crate::server::{Server, header, masked, start, start_with};

/// Has no meaning for the hub; no plain request has it.
const NOT_PLAIN: &str = "TE: trailers\r\n";

/// The answer without hyper and with it.
fn both(server: &Server, line: &str, lines: &str, body: &str) -> [String; 2] {
    ["", NOT_PLAIN].map(|more| {
        let mut client = server.connect();
        client.send(&format!("{line} HTTP/1.1\r\n{lines}{more}\r\n{body}"));
        let head = client.head();
        let rest = match header(&head, "content-length") {
            Some(length) => client.exactly(length.parse().unwrap()),
            None => client.chunks_until("\n\n"),
        };
        let text = masked(&format!("{head}{rest}"), "date: ", "\r\n");
        masked(&text, "\"stream\":\"", "\"")
    })
}

#[test]
fn plain_requests_are_answered_as_the_router_does() {
    let keyless = start();
    let closed = start_with(|settings| settings.access = Access::default());
    let full = start_with(|settings| settings.limits.subscribers_max = 0);
    let small = start_with(|settings| settings.limits.event_bytes_max = 4);
    let host = "Host: localhost\r\n";
    let page = "Host: localhost\r\nOrigin: http://localhost:3000\r\n";
    let browser = "Host: localhost\r\nAccept: text/event-stream\r\nUser-Agent: Mozilla/5.0\r\n";
    #[rustfmt::skip]
    let table = [
        // server, request line, header lines, body, status
        (&keyless, "POST /topics/a?id=1", host, "data", 200),
        (&keyless, "POST /topics/a?id=1", page, "data", 200),
        (&keyless, "POST /topics/a?id=1", "Host: localhost\r\nOrigin: http://localhost\r\n", "data", 200),
        (&keyless, "POST /topics/a?id=%231", host, "data", 400),
        (&keyless, "POST /topics/a?id=1", host, "", 200),
        (&keyless, "POST /topics/%ff?id=1", host, "data", 400),
        (&keyless, "POST /topics/a?id=1", "Host: evil.example\r\n", "data", 403),
        (&keyless, "POST /topics/a?id=1", "", "data", 400),
        (&keyless, "POST /topics/a?id=1", "Host: localhost\r\nVia: 1.1 x\r\n", "data", 403),
        (&keyless, "POST /topics/a?id=1", "Host: localhost\r\nAuthorization: Bearer x\r\n", "data", 401),
        (&keyless, "POST /topics/a?id=1", "Host: localhost\r\nIdempotency-Key: k\r\n", "data", 200),
        (&keyless, "POST /topics/a?id=2", "Host: localhost\r\nIdempotency-Key: k\r\n", "data", 422),
        (&keyless, "POST /.well-known/mercure", "Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n", "topic=a&id=1&data=x", 200),
        (&keyless, "POST /.well-known/mercure", "Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n", "data=x", 400),
        (&keyless, "GET /topics/a", host, "", 200),
        (&keyless, "GET /topics/a?since=earliest&padding=9", page, "", 200),
        (&keyless, "GET /.well-known/mercure?topic=a&topic=b", "Host: localhost\r\nLast-Event-ID: nobody's\r\n", "", 200),
        (&keyless, "GET /topics/a", "Host: localhost\r\nAccept: text/event-stream\r\n", "", 200),
        (&keyless, "GET /topics/a?label=x", host, "", 400),
        (&keyless, "GET /.well-known/mercure", host, "", 400),
        (&keyless, "GET /topics/a", "Host: localhost\r\nOrigin: http://evil.example\r\n", "", 403),
        (&closed, "GET /topics/a", host, "", 401),
        (&closed, "POST /topics/a", host, "data", 401),
        (&full, "GET /topics/a", host, "", 503),
        (&full, "GET /topics/a", browser, "", 200),
        (&small, "POST /topics/a?id=1", host, "data", 200),
        (&small, "POST /topics/a?id=1", host, "data and more", 413),
    ];
    for (server, line, lines, body, status) in table {
        let lines = match line.starts_with("POST") {
            true => format!("{lines}Content-Length: {}\r\n", body.len()),
            false => lines.to_owned(),
        };
        let [plain, general] = both(server, line, &lines, body);
        let shown = plain.replace(|c: char| c.is_ascii_digit(), "");
        // When an EventSource is to come back is left to chance.
        let same = match plain.contains("retry: ") {
            true => shown == general.replace(|c: char| c.is_ascii_digit(), ""),
            false => plain == general,
        };
        assert!(same, "{line} {lines}:\n{plain}\n{general}");
        assert!(
            plain.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line} {lines}:\n{plain}"
        );
    }
}

#[test]
fn plain_requests_follow_each_other_however_they_are_cut() {
    let server = start();
    let publish = "POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\ndata";
    let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // The last one makes the connection hyper's, in the middle of what was read.
    let all = format!("{publish}{publish}{health}{publish}");
    for cut in 1..=all.len() {
        let mut client = server.connect();
        client.send(&all[..cut]);
        std::thread::sleep(Duration::from_millis(2));
        client.send(&all[cut..]);
        let first = client.answer();
        assert_eq!(first.status, 200, "{cut}: {}", first.body);
        assert!(first.body.starts_with("#5-"), "{cut}: {}", first.body);
        assert!(client.answer().body.starts_with("#5-"), "{cut}");
        assert!(client.answer().body.contains("ok"), "{cut}");
        assert!(client.answer().body.starts_with("#5-"), "{cut}");
    }
    assert_eq!(server.front.counters().events, 3 * all.len() as u64);
}

#[test]
fn events_that_come_thick_are_delivered_too() {
    let server = start();
    let mut stream = server.connect();
    stream.send("GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.head();
    let publish = |data: &str| {
        format!(
            "POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{data}",
            data.len()
        )
    };
    for round in 0..50 {
        // The last event of each round is waited for: nothing comes after it that could bring it along.
        let last = format!("the last of {round}");
        let mut client = server.connect();
        client.send(&(publish("x").repeat(round * 7) + &publish(&last)));
        stream.chunks_until(&format!("data: {last}\n\n"));
        for _ in 0..=round * 7 {
            assert_eq!(client.answer().status, 200);
        }
    }
    // What was published is delivered, also while its publisher does not read the answers.
    let client = server.connect();
    socket2::SockRef::from(&client.socket)
        .set_recv_buffer_size(4096)
        .unwrap();
    let patience = Some(Duration::from_millis(300));
    client.socket.set_write_timeout(patience).unwrap();
    let many = publish("x").repeat(500);
    while (&client.socket).write_all(many.as_bytes()).is_ok() {}
    let published = server.front.counters().events;
    stream.chunks_until(&format!("id: #5-{published}\ndata: x\n\n"));
}

#[test]
fn who_says_nothing_is_left_after_a_while() {
    let server = start_with(|settings| settings.limits.head_time_max = Duration::from_millis(300));
    let publish = "POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\ndata";
    for said in ["", "P", "POST /topics/a HTTP/1.1\r\nHo"] {
        // Before the hub can have met the client, however long this thread then waits for its turn.
        let began = std::time::Instant::now();
        let mut client = server.connect();
        client.send(said);
        assert_eq!(client.raw_to_end(), "", "{said:?}");
        let waited = began.elapsed();
        assert!(waited >= Duration::from_millis(290), "{said:?}: {waited:?}");
    }
    // Each request begins the wait anew: together they take longer than one may.
    let wait = Duration::from_secs(2);
    let server = start_with(|settings| settings.limits.head_time_max = wait);
    let mut client = server.connect();
    let began = std::time::Instant::now();
    while began.elapsed() < wait + wait / 4 {
        client.send(publish);
        assert_eq!(client.answer().status, 200);
        std::thread::sleep(wait / 8);
    }
    assert_eq!(client.raw_to_end(), "");
}

#[test]
fn an_ending_hub_leaves_connections_that_wait() {
    let mut server = start();
    let mut client = server.connect();
    client.send("POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.answer().status, 200);
    server.begin_shutdown();
    assert_eq!(client.raw_to_end(), "");
    server.wait_for_end();
}
