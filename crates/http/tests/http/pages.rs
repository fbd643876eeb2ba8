//! Pages and long polls.

use std::time::{Duration, Instant};

use crate::server::{Server, start, until};

fn page(server: &Server, target: &str) -> serde_json::Value {
    let answer = server.ask(
        &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json"),
        "",
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn data(page: &serde_json::Value) -> Vec<&str> {
    let events = page["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["data"].as_str().unwrap())
        .collect()
}

#[test]
fn pages_follow_each_other() {
    let server = start();
    for number in 0..5 {
        server.publish("a", &format!("a{number}"));
        server.publish("b", &format!("b{number}"));
    }
    let mut seen = Vec::new();
    let mut next = "earliest".to_owned();
    for _ in 0..4 {
        let target = format!(
            "/topics/a?limit=2&last_event_id={}",
            next.replace('#', "%23")
        );
        let page = page(&server, &target);
        seen.extend(data(&page).into_iter().map(str::to_owned));
        next = page["next"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen, ["a0", "a1", "a2", "a3", "a4"]);
    assert_eq!(
        next, "#5-10",
        "the cursor has moved past what was not wanted"
    );
    let empty = page(&server, "/topics/a");
    assert_eq!(
        (data(&empty).len(), empty["next"].as_str()),
        (0, Some("#5-10"))
    );
    let gap = page(&server, "/topics/a?last_event_id=urn:x");
    assert_eq!(gap["gap"]["reason"], "unknown");
    assert_eq!(gap["gap"]["asked"], "urn:x");
}

#[test]
fn a_long_poll_waits_for_an_event() {
    let server = start();
    let begun = Instant::now();
    let nothing = page(&server, "/topics/a?wait=300ms");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(data(&nothing).is_empty());

    let mut client = server.connect();
    client.send(
        "GET /topics/a?wait=30s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n",
    );
    until("it waits", || server.front.subscribers() == 1);
    server.publish("b", "not this");
    server.publish("a", "this");
    let answer: serde_json::Value = serde_json::from_str(&client.answer().body).unwrap();
    assert_eq!(data(&answer), ["this"]);
    assert_eq!(answer["next"], "#5-2");
    assert_eq!(server.front.subscribers(), 0);
}
