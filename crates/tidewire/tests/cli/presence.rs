//! `--subscriptions`: who subscribes is told, over the ends of the hub and of its log.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Hub, PATIENCE, folder, until};

const SUBSCRIPTIONS: &str = "/.well-known/mercure/subscriptions";

/// A stream whose head has come.
fn subscribe(hub: &Hub, topic: &str) -> TcpStream {
    let mut stream = TcpStream::connect(hub.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = hub.address();
    write!(
        stream,
        "GET /topics/{topic} HTTP/1.1\r\nHost: {address}\r\n\r\n"
    )
    .unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    stream
}

/// Whether each subscription event begins one, and to what.
fn told(hub: &Hub) -> Vec<(bool, String)> {
    let stored = hub.stored("*");
    let events = stored.iter().map(|data| -> Value {
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))
    });
    events
        .map(|event| {
            let topic = event["match"].as_str().unwrap().to_owned();
            (event["active"] == true, topic)
        })
        .collect()
}

fn wait_for(hub: &Hub, want: &[(bool, &str)]) {
    until("what is told", || told(hub).len() >= want.len());
    let told = told(hub);
    let brief: Vec<_> = told
        .iter()
        .map(|(active, topic)| (*active, topic.as_str()))
        .collect();
    assert_eq!(brief, want);
}

#[test]
fn subscriptions_end_in_the_log_whichever_way_the_hub_ends() {
    let folder = folder();
    let data = folder.path().join("data");
    let hub = Hub::with(&["--subscriptions", "--data-dir", data.to_str().unwrap()]);
    let one = subscribe(&hub, "one");
    wait_for(&hub, &[(true, "one")]);
    let listed = hub.json(SUBSCRIPTIONS);
    assert_eq!(listed["subscriptions"][0]["match"], "one");
    // In order: the log has the end before it closes.
    let hub = hub.restart();
    wait_for(&hub, &[(true, "one"), (false, "one")]);
    let two = subscribe(&hub, "two");
    wait_for(&hub, &[(true, "one"), (false, "one"), (true, "two")]);
    // Without warning: the next start ends what is open.
    let hub = hub.crash_and_restart(Duration::ZERO);
    let ends = [(true, "one"), (false, "one"), (true, "two"), (false, "two")];
    wait_for(&hub, &ends);
    assert_eq!(
        hub.json(SUBSCRIPTIONS)["subscriptions"],
        serde_json::json!([])
    );
    let hub = hub.restart();
    wait_for(&hub, &ends);
    drop((one, two));
}

#[test]
fn without_the_setting_nobody_is_told() {
    let hub = Hub::in_memory();
    let _one = subscribe(&hub, "one");
    assert_eq!(hub.json(SUBSCRIPTIONS)["status"], 404);
    assert!(told(&hub).is_empty());
}
