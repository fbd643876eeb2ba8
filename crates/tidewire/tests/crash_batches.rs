//! The real hub killed at random moments while one publisher streams an endless batch and others publish one by one: under its
//! own id, every acknowledged event is there once and in order, and nothing that a subscriber saw is forgotten.
//! `crash.rs` beside it resumes by cursor over the kills. `TIDEWIRE_CRASH_ROUNDS` says how often.

#![cfg(unix)]
#![allow(clippy::print_stdout, reason = "the figures of a long run")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Events by their ids: what publishers were told, or subscribers saw.
type Told = Arc<Mutex<BTreeMap<String, String>>>;

struct Hub {
    child: Child,
    address: String,
}

impl Hub {
    fn start(data_dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidewire"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening http://")
            .expect("the hub listens");
        Self {
            address: address.to_owned(),
            child,
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Ends with the connection, which ends with the hub.
fn connect(address: &str) -> Option<(TcpStream, BufReader<TcpStream>)> {
    let stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    stream.set_nodelay(true).ok()?;
    let reader = BufReader::new(stream.try_clone().ok()?);
    Some((stream, reader))
}

/// Reads an answer's head; its status and its length, if it says one.
fn head(reader: &mut BufReader<TcpStream>) -> Option<(u16, Option<usize>)> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|bytes| *bytes > 0)?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = None;
    loop {
        line.clear();
        reader
            .read_line(&mut line)
            .ok()
            .filter(|bytes| *bytes > 0)?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
        if line == "\r\n" {
            return Some((status, length));
        }
    }
}

/// Publishes one event after the other on one connection, until that breaks.
fn publish_one_by_one(address: &str, name: &str, told: &Told) -> Option<()> {
    let (mut stream, mut reader) = connect(address)?;
    for n in 0.. {
        let data = format!("{name}/{n}");
        let request = format!(
            "POST /topics/crash HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{data}",
            data.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let (status, length) = head(&mut reader)?;
        assert_eq!(status, 200, "a publish");
        let mut id = vec![0; length.expect("a length")];
        reader.read_exact(&mut id).ok()?;
        let id = String::from_utf8(id).unwrap().trim().to_owned();
        let before = told.lock().unwrap().insert(id, data);
        assert_eq!(before, None, "an id is given once");
    }
    Some(())
}

/// Publishes one endless batch, and counts as its acknowledgements come.
fn publish_batch(address: &str, name: &str, told: &Told) -> Option<()> {
    let (mut stream, mut reader) = connect(address)?;
    let request = "POST /.well-known/mercure?ids=all HTTP/1.1\r\nHost: localhost\r\n\
                   Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let writer = {
        let name = name.to_owned();
        std::thread::spawn(move || {
            for n in 0.. {
                let line = format!("{{\"topic\":\"crash\",\"data\":\"{name}/{n}\"}}\n");
                let chunk = format!("{:x}\r\n{line}\r\n", line.len());
                if stream.write_all(chunk.as_bytes()).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        })
    };
    head(&mut reader)?;
    for_each_object(&mut reader, |acked| {
        let from = acked["from"].as_u64().expect("an acknowledgement");
        let mut told = told.lock().unwrap();
        for (n, id) in (from..).zip(acked["ids"].as_array().expect("every id")) {
            told.insert(id.as_str().unwrap().to_owned(), format!("{name}/{n}"));
        }
        true
    });
    writer.join().unwrap();
    Some(())
}

/// The JSON objects of a chunked answer, one a line, each read whole.
fn for_each_object(reader: &mut BufReader<TcpStream>, mut each: impl FnMut(Value) -> bool) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(bytes) if bytes > 0 && line.ends_with(b"\n") => {}
            _ => return,
        }
        if line.starts_with(b"{") && !each(serde_json::from_slice(&line).expect("JSON")) {
            return;
        }
    }
}

/// Subscribes and notes what it sees; until the connection breaks, or `last` is seen.
fn subscribe(
    address: &str,
    query: &str,
    last: Option<&str>,
    mut seen: impl FnMut(String, String),
) -> Option<()> {
    let (mut stream, mut reader) = connect(address)?;
    let request = format!(
        "GET /topics/crash{query} HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let (status, _) = head(&mut reader)?;
    assert_eq!(status, 200, "a subscribe");
    for_each_object(&mut reader, |event| {
        let name = event["type"].as_str().unwrap();
        assert_ne!(name, "tidewire.gap", "{event}");
        if name == "message" {
            let data = event["data"].as_str().unwrap().to_owned();
            let is_last = last == Some(data.as_str());
            seen(event["id"].as_str().unwrap().to_owned(), data);
            return !is_last;
        }
        true
    });
    Some(())
}

/// One life of the hub, under load until it is killed.
fn live_and_die(data_dir: &Path, round: u64, life_ms: u64, acked: &Told, seen: &Told) {
    let hub = Hub::start(data_dir);
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for publisher in 0..3 {
        let (address, acked) = (hub.address.clone(), acked.clone());
        let name = format!("{round}/{publisher}");
        threads.push(std::thread::spawn(move || {
            if publisher == 0 {
                publish_batch(&address, &name, &acked);
            } else {
                publish_one_by_one(&address, &name, &acked);
            }
        }));
    }
    let (address, seen) = (hub.address.clone(), seen.clone());
    threads.push(std::thread::spawn(move || {
        subscribe(&address, "", None, |id, data| {
            seen.lock().unwrap().insert(id, data);
        });
    }));
    std::thread::sleep(Duration::from_millis(life_ms));
    hub.kill();
    // A broken expectation in one of them is one of the test.
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

/// Everything that a hub which is started again gives out, in order.
fn everything(data_dir: &Path, round: u64) -> Vec<(String, String)> {
    let hub = Hub::start(data_dir);
    let last = format!("{round}/9/0");
    let (mut stream, mut reader) = connect(&hub.address).unwrap();
    let request = format!(
        "POST /topics/crash HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{last}",
        last.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(head(&mut reader).unwrap().0, 200);
    let mut all = Vec::new();
    subscribe(&hub.address, "?since=earliest", Some(&last), |id, data| {
        all.push((id, data));
    })
    .unwrap();
    assert_eq!(
        all.last().map(|(_, data)| data.as_str()),
        Some(last.as_str()),
        "read to the end"
    );
    hub.kill();
    all
}

#[test]
fn nothing_acknowledged_or_seen_is_forgotten() {
    let rounds: u64 =
        std::env::var("TIDEWIRE_CRASH_ROUNDS").map_or(3, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let (acked, seen): (Told, Told) = Default::default();
    let mut chance = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    for round in 0..rounds {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        live_and_die(&data_dir, round, 50 + (chance >> 33) % 500, &acked, &seen);
        let all = everything(&data_dir, round);
        let by_id: BTreeMap<_, _> = all.iter().cloned().collect();
        let data: BTreeSet<_> = all.iter().map(|(_, data)| data).collect();
        assert_eq!(
            (by_id.len(), data.len()),
            (all.len(), all.len()),
            "each once"
        );
        for (what, told) in [("acknowledged", &acked), ("seen", &seen)] {
            for (id, data) in told.lock().unwrap().iter() {
                assert_eq!(by_id.get(id), Some(data), "{what} {id} in round {round}");
            }
        }
        assert_in_order(&all);
    }
    let (acked, seen) = (acked.lock().unwrap().len(), seen.lock().unwrap().len());
    println!(
        "{rounds} kills: {acked} acknowledged and {seen} seen events, all there, once and in order"
    );
    assert!(
        acked as u64 > rounds && seen as u64 > rounds,
        "the rounds did something"
    );
}

/// What one publisher published one after the other lies in that order.
fn assert_in_order(all: &[(String, String)]) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, data) in all {
        let (publisher, n) = data.rsplit_once('/').unwrap();
        let n = n.parse().unwrap();
        let before = last.insert(publisher, n);
        assert!(
            before.is_none_or(|before| before < n),
            "{data} after {before:?}"
        );
    }
}
