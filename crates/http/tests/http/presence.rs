//! Presence: subscription events and the subscription API, in both dialects (mercure.md, 1.13, 1.14, 2.60 to 2.65).

mod access;
mod api;
mod doors;
mod many;
mod past;
mod revised;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidewire_core::{Form, Position};
use tidewire_http::Settings;
use tidewire_log::{Read, ReadAsk};

use crate::server::{Client, PATIENCE, Server, start_with};

pub(crate) const HUB: &str = "/.well-known/mercure";
const API: &str = "/.well-known/mercure/subscriptions";

/// A keyless hub that tells who subscribes, and whose streams say nothing else of themselves.
fn start() -> Server {
    start_and(|_| {})
}

fn start_and(change: impl FnOnce(&mut Settings)) -> Server {
    start_with(|settings| {
        settings.subscriptions = true;
        settings.streams.heartbeat_ms = 0;
        change(settings);
    })
}

/// What the log tells of subscriptions: each event's data, with its topics.
fn told(server: &Server) -> Vec<Value> {
    let mut told = Vec::new();
    let mut from = Position::FIRST;
    let log = server.front.log();
    loop {
        let ask = ReadAsk {
            from,
            topics: None,
            bytes_max: 1 << 30,
            records_max: 1 << 30,
        };
        let Read::Batch(batch) = log.read(&ask, std::task::Waker::noop()) else {
            return told;
        };
        for item in batch.records().filter(|item| item.record().presence()) {
            let line: Value = serde_json::from_slice(item.frame(Form::Ndjson).bare()).unwrap();
            assert_eq!(
                (&line["private"], &line["type"]),
                (&true.into(), &"mercure".into())
            );
            let mut event: Value = serde_json::from_str(line["data"].as_str().unwrap()).unwrap();
            event["topics"] = line["topics"].clone();
            told.push(event);
        }
        from = batch.next();
    }
}

/// Waits until the log tells so much.
#[track_caller]
fn wait_for_told(server: &Server, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let told = told(server);
        if told.len() >= count {
            assert_eq!(told.len(), count, "{told:#?}");
            return told;
        }
        assert!(begun.elapsed() < PATIENCE, "told is {told:#?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Of each event whether it begins, and of what.
fn brief(told: &[Value]) -> Vec<(bool, &str)> {
    let brief = |event: &'_ Value| event["active"].as_bool().unwrap();
    told.iter()
        .map(|event| (brief(event), event["match"].as_str().unwrap()))
        .collect()
}

type Key = (String, String, String);

fn key(item: &Value) -> Key {
    let text = |name: &str| item[name].as_str().unwrap().to_owned();
    (text("match_type"), text("match"), text("subscriber"))
}

/// Who is there, to somebody who has followed every event.
fn fold(told: &[Value]) -> BTreeSet<Key> {
    let mut there = BTreeSet::new();
    for event in told {
        if event["active"] == true {
            assert!(there.insert(key(event)), "{event} begins twice");
        } else {
            assert!(there.remove(&key(event)), "{event} ends, and was not there");
        }
    }
    there
}

/// Who is there, by the API.
fn listed(server: &Server) -> BTreeSet<Key> {
    let answer = server.get(API);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let items = document["subscriptions"].as_array().unwrap();
    let listed: BTreeSet<_> = items.iter().map(key).collect();
    assert_eq!(listed.len(), items.len());
    listed
}

/// A stream whose head has come.
fn open(server: &Server, target: &str, lines: &str) -> Client {
    let mut client = server.connect();
    client.send(&format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
    ));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client
}
