//! Power failures and kills at random moments, on files in memory that forget what was not synced when power fails. One seed, one run:
//! `TIDEWIRE_POWER_SEED=7 cargo test -p tidewire-log-disk --test power`; `TIDEWIRE_POWER_SEEDS=1000` for more of them.

mod fixture;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fixture::sim_files::{Faults, SimFiles};
use fixture::*;
use tidewire_core::{Cursor, MatcherSet, Position};
use tidewire_log::conformance::Rng;
use tidewire_log::{Append, GapReason, Log, Start};
use tidewire_log_disk::{DiskConfig, DiskLog, Durability};

fn open_on(files: &SimFiles, rng: &mut Rng, durability: Durability, now_ms: u64) -> DiskLog {
    let mut config = DiskConfig::new(now_ms, [rng.number(), rng.number()]);
    config.files = Arc::new(files.clone());
    config.durability = durability;
    config.segment_bytes = Some(8 * 1024);
    config.recent_bytes_max = 8 * 1024;
    config.group_bytes_max = 4 * 1024;
    DiskLog::open("/log", config).unwrap_or_else(|error| panic!("{error}"))
}

type Stored = Arc<Mutex<Vec<(u64, String)>>>;

/// Publishes for a while from several threads, and takes what a power failure in the midst of it leaves. Returns that, and
/// what had been acknowledged and seen before.
fn publish_until_power_fails(
    files: &SimFiles,
    log: &DiskLog,
    rng: &mut Rng,
) -> (SimFiles, Vec<(u64, String)>, Vec<(u64, String)>) {
    let acked: Stored = Arc::default();
    let mut left = None;
    std::thread::scope(|scope| {
        for publisher in 0..2 {
            let (acked, mut rng) = (acked.clone(), Rng::new(rng.number()));
            scope.spawn(move || {
                for n in 0..30 {
                    let events: Vec<_> = (0..1 + rng.below(6))
                        .map(|part| {
                            let size = rng.below(700) as usize;
                            event("t", format!("{publisher}/{n}/{part} {}", "p".repeat(size)))
                        })
                        .collect();
                    let data: Vec<_> = events.iter().map(|event| event.data.clone()).collect();
                    let acked = acked.clone();
                    log.append(Append {
                        events,
                        ack: Box::new(move |stored| {
                            let stored = stored.unwrap().into_iter().map(|one| one.cursor.seen().0);
                            acked.lock().unwrap().extend(stored.zip(data));
                        }),
                    });
                    if rng.once_in(3) {
                        std::thread::sleep(Duration::from_micros(rng.below(400)));
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_micros(rng.below(6000)));
        let acked = acked.lock().unwrap().clone();
        let seen = read_to_tail(log, log.bounds().head, None);
        left = Some((files.without_power(rng), acked, events_of(&seen)));
    });
    left.unwrap()
}

/// What a kill leaves while something is being written.
fn left_by_kill(files: &SimFiles, log: &DiskLog, rng: &mut Rng) -> SimFiles {
    log.append(Append {
        events: vec![event("t", "c".repeat(rng.below(900) as usize))],
        ack: Box::new(|_| {}),
    });
    std::thread::sleep(Duration::from_micros(rng.below(300)));
    files.killed()
}

fn events_of(got: &[Got]) -> Vec<(u64, String)> {
    let event = |got: &Got| match got {
        Got::Event(position, data) => (*position, data.clone()),
        Got::Gap(..) => panic!("{got:?}"),
    };
    got.iter().map(event).collect()
}

fn run(seed: u64, durability: Durability) {
    let mut rng = Rng::new(seed);
    let mut files = SimFiles::default();
    let mut before: Vec<(u64, String)> = Vec::new();
    let mut last: Option<Cursor> = None;
    for life in 0..4 {
        let log = open_on(&files, &mut rng, durability, NOW_MS + life);
        let found = events_of(&read_to_tail(&log, Position(1), None));
        let positions: Vec<_> = found.iter().map(|(position, _)| *position).collect();
        let want: Vec<_> = (1..=found.len() as u64).collect();
        assert_eq!(positions, want, "no hole after life {life}");
        if durability == Durability::Sync {
            for stored in &before {
                assert_eq!(
                    found.get(stored.0 as usize - 1),
                    Some(stored),
                    "after life {life}"
                );
            }
        } else if let Some(last) = last {
            // What may be forgotten is told, and never mistaken for what comes later.
            assert!(log.bounds().epoch > last.epoch());
            let located = locate(&log, Start::After(last), MatcherSet::any());
            if last.seen().0 > found.len() as u64 {
                assert_eq!(located.gap.map(|gap| gap.reason), Some(GapReason::Epoch));
            } else {
                assert_eq!((located.from, located.gap), (last.seen().next(), None));
            }
        }
        files.set_faults(Faults {
            sync_takes: Duration::from_micros(rng.below(300)),
            ..Faults::default()
        });
        let (left, acked, seen) = publish_until_power_fails(&files, &log, &mut rng);
        if rng.once_in(3) {
            // What was found after the kill has been seen: now the power fails, before anything is written.
            let killed = left_by_kill(&files, &log, &mut rng);
            drop(log);
            let log = open_on(&killed, &mut rng, durability, NOW_MS + 100 + life);
            let seen = events_of(&read_to_tail(&log, Position(1), None));
            last = None;
            before = seen;
            files = killed.without_power(&mut rng);
            continue;
        }
        last = acked
            .iter()
            .map(|(p, _)| *p)
            .max()
            .map(|p| Cursor::new(log.bounds().epoch, Position(p)));
        drop(log);
        files = left;
        before = acked.into_iter().chain(seen).chain(found).collect();
    }
}

fn seeds(each: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match (
        number("TIDEWIRE_POWER_SEED"),
        number("TIDEWIRE_POWER_SEEDS"),
    ) {
        (Some(seed), _) => vec![seed],
        (None, many) => (0..many.unwrap_or(each)).collect(),
    }
}

fn run_all(durability: Durability) {
    for seed in seeds(60) {
        let held = std::panic::catch_unwind(|| run(seed, durability));
        assert!(held.is_ok(), "run it again with TIDEWIRE_POWER_SEED={seed}");
    }
}

#[test]
fn at_sync_nothing_acknowledged_or_seen_is_forgotten() {
    run_all(Durability::Sync);
}

#[test]
fn at_interval_what_is_forgotten_is_told() {
    run_all(Durability::Interval(Duration::from_millis(1)));
}

#[test]
fn at_memory_what_is_forgotten_is_told() {
    run_all(Durability::Memory);
}
