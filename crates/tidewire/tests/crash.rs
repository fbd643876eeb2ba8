//! Kills the hub at random moments while publishers count acknowledgements and a subscriber watches. After each restart every
//! acknowledged event is there once and in order, and so is every event that the subscriber was shown.
//!
//! `cargo xtask crash 100` runs it a hundred times; without that it is a few.

#![allow(clippy::print_stdout, reason = "the figures of a long run")]

#[path = "cli/support.rs"]
#[allow(dead_code)] // a part of it is enough here
mod support;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::{Hub, folder};

const PUBLISHERS: usize = 3;
/// Rounds without `TIDEWIRE_CRASH_ROUNDS`.
const ROUNDS: u64 = 6;
/// The longest that a hub lives in a round, in milliseconds.
const LIFE_MS_MAX: u64 = 400;

/// What one topic's publisher knows.
#[derive(Default)]
struct Topic {
    /// The number of the next event. One whose answer never came is not tried again.
    next: u64,
    acknowledged: Vec<u64>,
    /// As the hub gave them back after restarts, in order.
    stored: Vec<u64>,
    /// Where the look at what is stored has come to.
    cursor: Option<String>,
}

#[test]
fn what_was_acknowledged_or_shown_survives() {
    let rounds = std::env::var("TIDEWIRE_CRASH_ROUNDS");
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"));
    let folder = folder();
    let mut hub = Hub::on(&folder.path().join("data"));
    let mut topics: Vec<Topic> = (0..PUBLISHERS).map(|_| Topic::default()).collect();
    let mut random = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64
        | 1;
    let mut shown_count = 0;
    for round in 0..rounds {
        let address = hub.address().to_owned();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let watcher = watch(&address, Arc::clone(&shown));
        let publishers: Vec<_> = topics
            .drain(..)
            .enumerate()
            .map(|(number, topic)| {
                let address = address.clone();
                std::thread::spawn(move || publish(&address, number, topic))
            })
            .collect();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_millis(random % LIFE_MS_MAX));
        hub = hub.crash_and_restart(Duration::ZERO);
        topics = publishers
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        watcher.join().unwrap();
        let shown = std::mem::take(&mut *shown.lock().unwrap());
        shown_count += shown.len();
        check(&hub, round, &mut topics, &shown);
    }
    let counts = |of: fn(&Topic) -> usize| topics.iter().map(of).sum::<usize>();
    let acknowledged = counts(|topic| topic.acknowledged.len());
    let stored = counts(|topic| topic.stored.len());
    println!(
        "{rounds} crashes: {acknowledged} events acknowledged, {stored} stored, {shown_count} shown"
    );
    let least = usize::try_from(rounds).unwrap();
    assert!(
        acknowledged > least && shown_count > least,
        "the hub was at work"
    );
    assert_eq!(hub.running.stop(), 0);
}

/// Publishes one event after another until the hub is gone.
fn publish(address: &str, number: usize, mut topic: Topic) -> Topic {
    let Ok(stream) = TcpStream::connect(address) else {
        return topic;
    };
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let event = topic.next;
        topic.next += 1;
        let data = format!("{number}-{event}");
        let request = format!(
            "POST /topics/t{number} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{data}",
            data.len()
        );
        match writer
            .write_all(request.as_bytes())
            .and_then(|()| answer(&mut reader))
        {
            Ok(200) => topic.acknowledged.push(event),
            Ok(status) => panic!("the hub answered {status}"),
            Err(_) => return topic,
        }
    }
}

/// Reads one answer; its status.
fn answer(reader: &mut impl BufRead) -> std::io::Result<u16> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next());
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0))
}

/// Subscribes to everything, and keeps the data of each event until the hub is gone. Returns once the stream is open.
fn watch(address: &str, shown: Arc<Mutex<Vec<String>>>) -> std::thread::JoinHandle<()> {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /.well-known/mercure?topic=* HTTP/1.1\r\nHost: {address}\r\n\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines();
    let open = lines.next().unwrap().unwrap();
    assert!(open.contains("200"), "{open}");
    std::thread::spawn(move || {
        // A frame that the crash cut has no line end; what is shown is what a client would take: up to the blank line.
        let mut data = None;
        for line in lines.map_while(Result::ok) {
            match line.strip_prefix("data: ") {
                Some(found) => data = Some(found.to_owned()),
                None if line.is_empty() => shown.lock().unwrap().extend(data.take()),
                None => {}
            }
        }
    })
}

/// Reads what is new since the last round, and holds it against what was acknowledged and shown.
fn check(hub: &Hub, round: u64, topics: &mut [Topic], shown: &[String]) {
    let mut stored = HashSet::new();
    for (number, topic) in topics.iter_mut().enumerate() {
        loop {
            let from = topic
                .cursor
                .as_ref()
                .map_or("since=earliest".to_owned(), |cursor| {
                    format!("last_event_id={}", cursor.trim_start_matches('#'))
                });
            let page = hub.json(&format!("/topics/t{number}?{from}"));
            assert!(page.get("gap").is_none(), "round {round}: {page}");
            topic.cursor = Some(page["next"].as_str().unwrap().to_owned());
            let events = page["events"].as_array().unwrap();
            if events.is_empty() {
                break;
            }
            for event in events {
                let data = event["data"].as_str().unwrap();
                let (of, event) = data.split_once('-').unwrap();
                assert_eq!(
                    of,
                    number.to_string(),
                    "round {round}: an event of another topic"
                );
                topic.stored.push(event.parse().unwrap());
                stored.insert(data.to_owned());
            }
        }
        let increases = topic.stored.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(
            increases,
            "round {round}: once and in order: {:?}",
            topic.stored
        );
        let have: HashSet<u64> = topic.stored.iter().copied().collect();
        let lost: Vec<_> = topic
            .acknowledged
            .iter()
            .filter(|event| !have.contains(event))
            .collect();
        assert!(
            lost.is_empty(),
            "round {round}: acknowledged, but not there: {lost:?}"
        );
    }
    let forgotten: Vec<_> = shown
        .iter()
        .filter(|data| !stored.contains(*data))
        .collect();
    assert!(
        forgotten.is_empty(),
        "round {round}: shown, but not there: {forgotten:?}"
    );
}
