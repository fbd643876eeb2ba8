//! Killed at a random moment, again and again, on one directory: what was acknowledged is there once and in order, and what
//! a reader saw is there too. `TIDEWIRE_CRASH_ROUNDS` says how often.
//!
//! The writer is this test's own binary, started again as a child that tells what happens to it on its standard output.

#![cfg(unix)]
#![allow(clippy::print_stdout, reason = "the child tells its parent there")]

mod fixture;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fixture::*;
use tidewire_core::Position;
use tidewire_log::conformance::Rng;
use tidewire_log::{Log, Read, ReadAsk};
use tidewire_log_disk::{DiskConfig, DiskLog, Notice};

const DIR: &str = "TIDEWIRE_KILL_DIR";
const PUBLISHERS: u64 = 4;

fn small(life: u64) -> DiskConfig {
    let mut config = config();
    // Often enough a new segment.
    config.segment_bytes = Some(32 * 1024);
    config.seed = [life, life];
    config.now_ms += life;
    config
}

/// Runs as a child only: publishes and reads until it is killed.
#[test]
#[ignore = "started by the other test"]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let (dir, life) = dir.split_once('|').unwrap();
    let log = Arc::new(DiskLog::open(dir, small(life.parse().unwrap())).unwrap());
    let tell = |line: String| {
        // One write a line: a line is told whole or not at all.
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    };
    tell("open\n".into());
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let (log, life) = (log.clone(), life.to_owned());
        std::thread::spawn(move || {
            for n in 0.. {
                let names: Vec<_> = (0..=n % 5)
                    .map(|part| format!("{life}/{publisher}/{n}/{part}"))
                    .collect();
                let events = names
                    .iter()
                    .map(|name| event("t", format!("{name} {}", "k".repeat(300))))
                    .collect();
                let stored = append(&*log, events).unwrap();
                let lines = names
                    .iter()
                    .zip(stored)
                    .map(|(name, one)| format!("acked {} {name}\n", one.cursor.seen()));
                tell(lines.collect());
            }
        })
    });
    let _publishers: Vec<_> = publishers.collect();
    let mut from = log.bounds().tail;
    loop {
        let ask = ReadAsk {
            from,
            topics: None,
            bytes_max: 1 << 20,
            records_max: 1000,
        };
        if let Read::Batch(batch) = read(&*log, &ask) {
            let line = |position: Position, data: &str| {
                format!("seen {position} {}\n", data.split(' ').next().unwrap())
            };
            let lines = batch
                .records()
                .map(|item| line(item.position(), &data_of(item.record().frame().bare())));
            tell(lines.collect());
            from = batch.next();
        }
    }
}

#[test]
fn what_was_acknowledged_or_seen_survives_every_kill() {
    let rounds: u64 =
        std::env::var("TIDEWIRE_CRASH_ROUNDS").map_or(6, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let seed = Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id());
    let mut rng = Rng::new(seed);
    let mut told: BTreeMap<u64, String> = BTreeMap::new();
    let mut cut = 0;
    for round in 0..rounds {
        for (position, name) in run_and_kill(dir.path(), round, &mut rng) {
            let before = told.insert(position, name.clone());
            assert!(
                before.is_none_or(|before| before == name),
                "two events at {position}"
            );
        }
        cut += check(dir.path(), rounds + round, &told);
    }
    println!(
        "{rounds} kills, {} events acknowledged or seen and found, {cut} torn writes cut off (seed {seed})",
        told.len()
    );
    assert!(told.len() as u64 > rounds * 10, "the rounds did something");
}

/// What the child told before it was killed.
fn run_and_kill(dir: &std::path::Path, life: u64, rng: &mut Rng) -> Vec<(u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(DIR, format!("{}|{life}", dir.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line != "open\n" {
        line.clear();
        assert!(
            lines.read_line(&mut line).unwrap() > 0,
            "the child opens the log"
        );
    }
    let reader = std::thread::spawn(move || {
        let mut told = Vec::new();
        for line in lines.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8(line).unwrap();
            if let [_, position, name] = line.split(' ').collect::<Vec<_>>()[..]
                && name.split('/').count() == 4
            {
                told.push((position.parse().unwrap(), name.to_owned()));
            }
        }
        told
    });
    std::thread::sleep(Duration::from_micros(5_000 + rng.below(250_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut told = reader.join().unwrap();
    // The kill may have cut the last line.
    told.pop();
    told
}

/// Opens what was left and compares. Returns how many torn writes were cut off.
fn check(dir: &std::path::Path, life: u64, told: &BTreeMap<u64, String>) -> usize {
    let cut = Arc::new(AtomicUsize::new(0));
    let mut config = small(life);
    let counted = cut.clone();
    config.notify = Arc::new(move |notice| {
        let is_cut = matches!(notice, Notice::TailCut { .. });
        counted.fetch_add(usize::from(is_cut), Ordering::Relaxed);
    });
    let log = DiskLog::open(dir, config).unwrap_or_else(|error| panic!("{error}"));
    let mut found = BTreeMap::new();
    for (expected, got) in (1..).zip(read_to_tail(&log, Position(1), None)) {
        let Got::Event(position, data) = got else {
            panic!("{got:?}")
        };
        assert_eq!(position, expected, "no hole");
        found.insert(position, data.split(' ').next().unwrap().to_owned());
    }
    let names: std::collections::BTreeSet<_> = found.values().collect();
    assert_eq!(names.len(), found.len(), "each once");
    for (position, name) in told {
        assert_eq!(found.get(position), Some(name), "at {position}");
    }
    in_order(&found);
    cut.load(Ordering::Relaxed)
}

/// A publisher's events lie in the order in which it published them.
fn in_order(found: &BTreeMap<u64, String>) {
    let mut last: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
    for name in found.values() {
        let parts: Vec<u64> = name.split('/').map(|part| part.parse().unwrap()).collect();
        let before = last.insert((parts[0], parts[1]), (parts[2], parts[3]));
        assert!(
            before.is_none_or(|before| before < (parts[2], parts[3])),
            "{name}"
        );
    }
}
