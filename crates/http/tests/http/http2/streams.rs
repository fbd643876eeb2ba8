//! Streams, as every other protocol has them.

use http::Method;
use tidewire_log::Retention;

use super::client::connect;
use super::{quiet, quiet_with};
use crate::kinds::{Kind, hub, token_of};
use crate::server::{masked, memory_log, start_on};

#[test]
fn streams_share_a_connection_with_publishes() {
    let server = quiet();
    let mut client = connect(&server);
    let mut bodies: Vec<_> = ["a", "b", "a"]
        .map(|topic| client.subscribe(&format!("/topics/{topic}?checkpoint=off")))
        .into();
    assert_eq!(client.post("/topics/a", b"live"), (200, "#5-1".into()));
    for at in [0, 2] {
        let text = client.read_until(&mut bodies[at], "data: live\n\n");
        assert_eq!(text, "id: #5-1\ndata: live\n\n");
    }
    assert_eq!(client.post("/topics/b", b"other").0, 200);
    let text = client.read_until(&mut bodies[1], "\n\n");
    assert_eq!(text, "id: #5-2\ndata: other\n\n");
    assert_eq!(server.front.subscribers(), 3);
}

#[test]
fn a_stream_that_the_client_resets_leaves_alone() {
    let server = quiet();
    let mut client = connect(&server);
    let mut stays = client.subscribe("/topics/a?checkpoint=off");
    let goes = client.subscribe("/topics/a?checkpoint=off");
    assert_eq!(server.front.subscribers(), 2);
    drop(goes);
    client.await_that("a reset stream leaves", || server.front.subscribers() == 1);
    // Also after something was delivered to it, and again.
    for round in 0..3 {
        let mut goes = client.subscribe("/topics/a?checkpoint=off");
        server.publish("a", &format!("round {round}"));
        client.read_until(&mut goes, "\n\n");
        drop(goes);
        client.await_that("a reset stream leaves", || server.front.subscribers() == 1);
    }
    let text = client.read_until(&mut stays, "round 2\n\n");
    assert_eq!(text.matches("data: round").count(), 3);
}

#[test]
fn the_head_is_that_of_every_stream() {
    let server = quiet();
    let mut client = connect(&server);
    let request = client
        .request(Method::GET, "/topics/a")
        .header("origin", "http://localhost:3000")
        .header("last-event-id", "#5-9")
        .body(())
        .unwrap();
    let answer = client.ask(request);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("x-accel-buffering"), "no");
    assert_eq!(header("tidewire-gap"), "beyond");
    assert_eq!(header("last-event-id"), "earliest");
    assert_eq!(
        header("access-control-allow-origin"),
        "http://localhost:3000"
    );
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("date").ends_with(" GMT"));
    for name in ["connection", "transfer-encoding", "content-length"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
}

#[test]
fn streams_resume_and_are_told_of_gaps() {
    let retention = Retention {
        count: Some(3),
        ..Retention::default()
    };
    let server = start_on(memory_log(retention), |_| {});
    for data in ["one", "two", "three"] {
        server.publish("a", data);
    }
    let mut client = connect(&server);
    let resume = |client: &mut super::client::Client, id: &str, last: &str| {
        let request = client
            .request(Method::GET, "/topics/a")
            .header("last-event-id", id)
            .body(())
            .unwrap();
        let mut body = client.ask(request).into_body();
        let text = client.read_until(&mut body, last);
        (masked(&text, "{\"stream\":\"", "\""), body)
    };
    let (text, mut body) = resume(&mut client, "#5-1", "three\n\n");
    let open = ":\nevent: tidewire.open\nid: #5-1\ndata: {\"stream\":\"...\"}\n\n";
    assert_eq!(
        text,
        format!("{open}id: #5-2\ndata: two\n\nid: #5-3\ndata: three\n\n")
    );
    server.publish("a", "four");
    let text = client.read_until(&mut body, "four\n\n");
    assert_eq!(text, "id: #5-4\ndata: four\n\n");
    server.publish("a", "five");
    let (text, _body) = resume(&mut client, "#5-1", "five\n\n");
    assert!(
        text.contains("event: tidewire.gap\ndata: {\"asked\":\"#5-1\""),
        "{text}"
    );
    assert!(!text.contains("data: two"), "{text}");
    assert!(text.contains("data: three\n\n"), "{text}");
}

#[test]
fn silent_streams_get_heartbeats() {
    let server = quiet_with(|settings| settings.streams.heartbeat_ms = 200);
    let mut client = connect(&server);
    let mut bodies =
        ["a", "b"].map(|topic| client.subscribe(&format!("/topics/{topic}?checkpoint=off")));
    for _ in 0..3 {
        for body in &mut bodies {
            assert_eq!(client.read_until(body, "\n"), ":\n");
        }
    }
}

#[test]
fn a_thousand_streams_get_every_event_in_order() {
    const EVENTS: usize = 20;
    let server = quiet();
    let mut client = connect(&server);
    let mut bodies: Vec<_> = (0..1000)
        .map(|_| client.get("/topics/a?checkpoint=off").into_body())
        .collect();
    assert_eq!(server.front.subscribers(), 1000);
    let mut want = ":\n".to_owned();
    for event in 1..=EVENTS {
        server.publish("a", &format!("event {event}"));
        want += &format!("id: #5-{event}\ndata: event {event}\n\n");
    }
    for body in &mut bodies {
        let last = format!("data: event {EVENTS}\n\n");
        assert_eq!(client.read_until(body, &last), want);
    }
    drop(bodies);
    client.await_that("they leave", || server.front.subscribers() == 0);
}

#[test]
fn pages_and_heads_are_answers() {
    let server = quiet();
    server.publish("a", "one");
    let mut client = connect(&server);
    let request = client
        .request(Method::GET, "/topics/a?since=earliest")
        .header("accept", "application/json")
        .body(())
        .unwrap();
    let answer = client.ask(request);
    let length: usize = answer.headers()["content-length"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let text = client.read_to_end(&mut answer.into_body());
    assert!(text.contains("\"data\":\"one\""), "{text}");
    assert_eq!(text.len(), length);
    let request = client.request(Method::HEAD, "/topics/a").body(()).unwrap();
    let answer = client.ask(request);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert!(answer.body().is_end_stream());
    assert_eq!(server.front.subscribers(), 0);
}

#[test]
fn a_grant_ends_a_stream_alone() {
    let server = hub(Kind::Http2, |settings| settings.streams.expiring_ms = 0);
    let mut client = connect(&server);
    let mut open = |for_ms| {
        let token = token_of("ada", &[], for_ms);
        let request = client.request(Method::GET, "/topics/a?checkpoint=off");
        let request = request.header("authorization", format!("Bearer {token}"));
        client.ask(request.body(()).unwrap()).into_body()
    };
    let (mut first, mut second) = (open(2_000), open(3_600_000));
    let text = client.read_to_end(&mut first);
    assert_eq!(text, ":\n: closing: grant\n");
    server.publish("a", "still here");
    client.read_until(&mut second, "still here\n\n");
}

#[test]
fn a_life_ends_a_stream_and_not_its_connection() {
    let server = quiet_with(|settings| settings.streams.stream_life_ms = 400);
    let mut client = connect(&server);
    let mut first = client.subscribe("/topics/a?checkpoint=off");
    assert_eq!(client.read_to_end(&mut first), ": closing: life\n");
    assert_eq!(client.get("/healthz").status(), 200);
}
