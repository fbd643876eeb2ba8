//! Batches as NDJSON: acknowledged as they commit.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::server::{Client, PATIENCE, Server, start, start_with};

const HEAD: &str = "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\n\
                    Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n";

fn open(server: &Server, lines: &str) -> Client {
    let mut client = server.connect();
    client.send(&format!("{HEAD}{lines}\r\n"));
    client
}

fn send(client: &mut Client, text: &str) {
    client.send(&format!("{:x}\r\n{text}\r\n", text.len()));
}

fn event(data: &str) -> String {
    format!("{{\"topic\":\"a\",\"data\":\"{data}\"}}\n")
}

fn line(client: &mut Client) -> serde_json::Value {
    serde_json::from_str(&client.chunk().unwrap()).unwrap()
}

#[test]
fn acknowledged_as_it_goes() {
    let server = start();
    let mut client = open(&server, "");
    send(&mut client, &(event("1") + &event("2")));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(
        line(&mut client),
        serde_json::json!({"from":0,"to":1,"first_id":"#5-1","last_id":"#5-2"})
    );
    // A line cut in two, an empty one, and a last one without its end.
    send(&mut client, "{\"topic\":\"a\",");
    send(&mut client, "\"id\":\"urn:3\"}\n\n{\"topic\":\"a\"}");
    client.send("0\r\n\r\n");
    let mut acks = vec![line(&mut client)];
    if acks[0]["to"] == 2 {
        acks.push(line(&mut client));
    }
    assert_eq!(acks[0]["from"], 2);
    assert_eq!(acks[0]["first_id"], "urn:3");
    assert_eq!(acks[acks.len() - 1]["to"], 3);
    assert_eq!(acks[acks.len() - 1]["last_id"], "#5-4");
    assert_eq!(client.chunk(), None, "the answer ends");
    assert_eq!(server.front.counters().events, 4);
}

#[test]
fn every_id_on_demand() {
    let server = start();
    let body = event("1") + "{\"topic\":\"a\",\"id\":\"urn:2\"}\n";
    let answer = server.ask(
        "POST /.well-known/mercure?ids=all HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson",
        &body,
    );
    let line: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(line["ids"], serde_json::json!(["#5-1", "urn:2"]));
}

#[test]
fn the_first_bad_event_ends_it_and_earlier_ones_stand() {
    let bad = [
        ("{\"data\":\"no topic\"}\n", 400),
        ("nonsense\n", 400),
        ("{\"topic\":\"a\",\"type\":\"tidewire.open\"}\n", 400),
        (
            "{\"topic\":\"a\",\"data\":\"more than sixteen bytes\"}\n",
            413,
        ),
    ];
    for (text, status) in bad {
        let server = start_with(|settings| settings.limits.event_bytes_max = 16);
        let mut client = open(&server, "");
        send(
            &mut client,
            &(event("1") + &event("2") + text + &event("4")),
        );
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert_eq!(line(&mut client)["to"], 1);
        let failed = line(&mut client);
        assert_eq!(failed["index"], 2, "{failed}");
        assert!(failed["error"].as_str().unwrap().len() > 10, "{failed}");
        assert_eq!(server.front.counters().events, 2, "{text}");

        let mut client = open(&server, "");
        send(&mut client, text);
        let head = client.head();
        assert_eq!(head.split(' ').nth(1), Some(&*status.to_string()), "{text}");
        assert_eq!(line(&mut client)["index"], 0);
    }
}

#[test]
fn a_batch_means_the_same_wherever_its_bytes_are_cut() {
    let server = start();
    let body = event("1") + "\n" + &event("2") + "{\"data\":\"no topic\"}\n" + &event("4");
    let head = format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    for cut in 0..=body.len() {
        let mut client = server.connect();
        client.send(&format!("{head}{}", &body[..cut]));
        std::thread::sleep(Duration::from_millis(1));
        client.send(&body[cut..]);
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{cut}: {head}");
        let mut next = 0;
        let failed = loop {
            let line = line(&mut client);
            if line["error"].is_string() {
                break line;
            }
            assert_eq!(line["from"], next, "{cut}: {line}");
            next = line["to"].as_u64().unwrap() + 1;
        };
        assert_eq!((next, &failed["index"]), (2, &2.into()), "{cut}: {failed}");
        assert_eq!(failed["status"], 400, "{cut}: {failed}");
        assert_eq!(client.chunk(), None, "{cut}: the answer ends");
        // What came before the bad event stands, and nothing after it.
        let stored = 2 * (cut as u64 + 1);
        assert_eq!(server.front.counters().events, stored, "{cut}");
        assert_eq!(server.front.log().bounds().records, stored);
    }
}

#[test]
fn what_comes_together_is_committed_together() {
    let server = start();
    let events = |from: usize, to: usize| {
        let lines = (from..to).map(|number| event(&number.to_string()));
        lines.collect::<String>()
    };
    let answer = server.ask(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson",
        &events(0, 40_000),
    );
    let acks: Vec<serde_json::Value> = answer
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut next = 0;
    for ack in &acks {
        assert_eq!(ack["from"], next, "{ack}");
        let to = ack["to"].as_u64().unwrap();
        // GROUP_EVENTS_MAX, and what else came with the last of them.
        assert!(to - next < 16_384 + 16_384, "{ack}");
        next = to + 1;
    }
    assert_eq!(next, 40_000);
    assert!(acks.len() >= 2, "{}", acks.len());
}

#[test]
fn a_batch_sent_again_stores_nothing_twice() {
    let server = start();
    let lines = "Idempotency-Key: k\r\n";
    for round in 0..2 {
        let mut client = open(&server, lines);
        send(&mut client, &(event("1") + &event("2")));
        client.send("0\r\n\r\n");
        client.head();
        let ack = line(&mut client);
        assert_eq!(
            (&ack["first_id"], &ack["last_id"]),
            (&"#5-1".into(), &"#5-2".into()),
            "{round}"
        );
    }
    let mut client = open(&server, lines);
    send(&mut client, &(event("1") + &event("other") + &event("3")));
    client.send("0\r\n\r\n");
    client.head();
    assert_eq!(
        line(&mut client)["to"],
        0,
        "what came before the reused key is answered"
    );
    let failed = line(&mut client);
    assert_eq!(failed["index"], 1);
    assert!(
        failed["error"]
            .as_str()
            .unwrap()
            .contains("idempotency key"),
        "{failed}"
    );
    assert_eq!(server.front.counters().events, 2);
}

#[test]
fn who_does_not_read_acknowledgements_is_paused_then_cut() {
    let server = start_with(|settings| {
        settings.limits.publish_stall_max = Duration::from_millis(500);
    });
    let mut client = server.connect();
    // Acknowledgements are longer than their events here, so that soon no more fit on the way.
    let socket = socket2::SockRef::from(&client.socket);
    socket.set_recv_buffer_size(4096).unwrap();
    client.send(&format!(
        "{}\r\n",
        HEAD.replace("mercure HTTP", "mercure?ids=all HTTP")
    ));
    let socket = client.socket.try_clone().unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let long = "x".repeat(4000);
    let piece = format!("{{\"topic\":\"a\",\"id\":\"{long}\"}}\n");
    let piece = format!("{:x}\r\n{piece}\r\n", piece.len());
    let begun = Instant::now();
    while (&socket).write_all(piece.as_bytes()).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "never cut");
    }
    assert!(
        begun.elapsed() < PATIENCE,
        "cut by its limit and nothing else"
    );
    let stored = server.front.counters().events;
    assert_eq!(server.front.counters().batches_cut, 1);
    assert_eq!(
        server.front.log().bounds().records,
        stored,
        "what was committed stands"
    );
}

#[test]
fn a_batch_that_runs_at_the_end_is_answered() {
    let mut server = start();
    let mut client = open(&server, "");
    send(&mut client, &event("1"));
    client.head();
    assert_eq!(line(&mut client)["to"], 0);
    server.begin_shutdown();
    let last = line(&mut client);
    assert_eq!(last["index"], 1);
    assert!(last["error"].as_str().unwrap().contains("ending"), "{last}");
    assert_eq!(client.chunk(), None);
    server.wait_for_end();
}
