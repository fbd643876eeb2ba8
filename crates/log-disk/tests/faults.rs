//! Disks that refuse: full, failing, read-only. Each a clear error; what is stored stays, and a full disk heals.

#![allow(clippy::print_stdout, reason = "a skipped test says why")]

mod fixture;

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fixture::sim_files::{Faults, SimFiles};
use fixture::*;
use tidewire_core::Position;
use tidewire_log::conformance::Rng;
use tidewire_log::{AppendError, Log, Read, ReadAsk};
use tidewire_log_disk::{DiskConfig, DiskLog, Durability, Notice, OpenError};

fn on(files: &SimFiles) -> DiskConfig {
    let mut config = config();
    config.segment_bytes = Some(4096);
    config.files = Arc::new(files.clone());
    config
}

fn data(log: &DiskLog) -> Vec<String> {
    let got = read_to_tail(log, log.bounds().head, None);
    got.into_iter()
        .map(|got| match got {
            Got::Event(_, data) => data,
            Got::Gap(..) => panic!("{got:?}"),
        })
        .collect()
}

/// Appends numbered events until one is refused; which were taken, and why the last was not.
fn fill(log: &DiskLog, name: &str) -> (Vec<String>, AppendError) {
    let mut taken = Vec::new();
    for n in 0.. {
        let text = format!("{name} {n} {}", "f".repeat(300));
        match append(log, vec![event("t", text.clone())]) {
            Ok(_) => taken.push(text),
            Err(error) => return (taken, error),
        }
    }
    unreachable!("a full disk refuses")
}

#[test]
fn a_full_disk_refuses_and_heals() {
    let full = Some(ErrorKind::StorageFull);
    let kinds = [
        Faults {
            allocate: full,
            ..Faults::default()
        },
        Faults {
            write: full,
            ..Faults::default()
        },
        Faults {
            write: full,
            allocate: full,
            ..Faults::default()
        },
        Faults {
            write: Some(ErrorKind::Other),
            ..Faults::default()
        },
    ];
    for faults in kinds {
        let files = SimFiles::default();
        let log = DiskLog::open("/log", on(&files)).unwrap();
        append_one(&log, event("t", "first"));
        files.set_faults(faults.clone());
        let (mut want, error) = fill(&log, "one");
        want.insert(0, "first".into());
        assert!(matches!(error, AppendError::Full(_)), "{faults:?}: {error}");
        assert_eq!(log.health(), Err(error.clone()), "{faults:?}");
        assert_eq!(data(&log), want, "reads go on: {faults:?}");
        files.set_faults(Faults::default());
        log.maintain(NOW_MS);
        append_one(&log, event("t", "healed"));
        want.push("healed".into());
        assert_eq!(log.health(), Ok(()));
        assert_eq!(data(&log), want, "{faults:?}");
        drop(log);
        let log = DiskLog::open("/log", on(&files)).unwrap();
        assert_eq!(data(&log), want, "after a restart: {faults:?}");
    }
}

/// What was refused was not stored: tried again with its key it is new.
#[test]
fn a_refused_event_leaves_no_key() {
    let files = SimFiles::default();
    let log = DiskLog::open("/log", on(&files)).unwrap();
    let mut keyed = event("t", "keyed");
    keyed.producer = Some(tidewire_core::ProducerKey {
        key: [1; 16],
        digest: [2; 16],
    });
    files.set_faults(Faults {
        write: Some(ErrorKind::StorageFull),
        ..Faults::default()
    });
    assert!(matches!(
        append(&log, vec![keyed.clone()]),
        Err(AppendError::Full(_))
    ));
    files.set_faults(Faults::default());
    for duplicate in [false, true] {
        assert_eq!(
            append(&log, vec![keyed.clone()]).unwrap()[0].duplicate,
            duplicate
        );
    }
    assert_eq!(data(&log), ["keyed"]);
}

#[test]
fn a_failed_sync_stops_appends_for_good_and_reads_go_on() {
    for durability in [
        Durability::Sync,
        Durability::Interval(Duration::from_millis(1)),
    ] {
        let files = SimFiles::default();
        let notices: Arc<Mutex<Vec<Notice>>> = Arc::default();
        let heard = notices.clone();
        let mut config = on(&files);
        config.durability = durability;
        config.notify = Arc::new(move |notice| heard.lock().unwrap().push(notice.clone()));
        let log = DiskLog::open("/log", config.clone()).unwrap();
        append_one(&log, event("t", "first"));
        files.set_faults(Faults {
            sync: Some(ErrorKind::Other),
            ..Faults::default()
        });
        let mut want = vec!["first".to_owned()];
        let error = loop {
            let (taken, error) = fill(&log, "one");
            want.extend(taken);
            if matches!(error, AppendError::Stopped(_)) {
                break error;
            }
        };
        files.set_faults(Faults::default());
        // The kernel has dropped the pages: that the disk works again changes nothing.
        let (none, again) = fill(&log, "two");
        assert_eq!((none.len(), &again), (0, &error));
        assert!(!error.is_temporary() && log.health().is_err());
        assert_eq!(data(&log), want);
        let told = notices.lock().unwrap().clone();
        assert!(matches!(told[..], [Notice::AppendsFail(_)]), "{told:?}");
        // Nothing was acknowledged after it; what is opened again begins with what was.
        drop(log);
        let left = files.without_power(&mut Rng::new(1));
        config.files = Arc::new(left);
        let log = DiskLog::open("/log", config).unwrap();
        if durability == Durability::Sync {
            assert_eq!(data(&log)[..want.len()], want);
        }
        append_one(&log, event("t", "goes on"));
    }
}

#[test]
fn a_failing_disk_tells_readers_a_gap_and_the_operator_why() {
    let files = SimFiles::default();
    let notices: Arc<Mutex<Vec<Notice>>> = Arc::default();
    let heard = notices.clone();
    let mut config = on(&files);
    config.recent_bytes_max = 0;
    config.cold_bytes_max = 0;
    config.notify = Arc::new(move |notice| heard.lock().unwrap().push(notice.clone()));
    let log = DiskLog::open("/log", config).unwrap();
    for n in 0..60 {
        append_one(&log, event("t", format!("{n} {}", "r".repeat(300))));
    }
    files.set_faults(Faults {
        read: Some(ErrorKind::Other),
        ..Faults::default()
    });
    let ask = ReadAsk {
        from: Position(1),
        topics: None,
        bytes_max: 1,
        records_max: 1,
    };
    assert!(matches!(read(&log, &ask), Read::Gap(gap) if gap.resume > Position(1)));
    // Others may be told too: of an index that a segment was just given.
    let is_damage = |notice: &Notice| matches!(notice, Notice::Damaged(_));
    assert!(notices.lock().unwrap().iter().any(is_damage));
}

#[test]
fn too_much_waiting_is_refused() {
    let files = SimFiles::default();
    let mut config = on(&files);
    config.waiting_bytes_max = 10_000;
    let log = DiskLog::open("/log", config).unwrap();
    let (done, answers) = std::sync::mpsc::channel();
    for _ in 0..500 {
        let done = done.clone();
        log.append(tidewire_log::Append {
            events: vec![event("t", "w".repeat(3000))],
            ack: Box::new(move |answer| done.send(answer).unwrap()),
        });
    }
    drop(done);
    let answers: Vec<_> = answers.iter().collect();
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Err(AppendError::Busy)))
        .count();
    assert_eq!((answers.len(), taken + busy), (500, 500));
    assert!(taken > 0 && busy > 0, "{taken} taken, {busy} refused");
    assert_eq!(data(&log).len(), taken);
    append_one(&log, event("t", "there is room again"));
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout == b"0\n")
}

/// A small file system, mounted as long as this lives.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn tmpfs(bytes: &str) -> Option<Self> {
        if !is_root() {
            println!("skipped: mounting a tmpfs takes root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={bytes}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(dir)),
            other => {
                println!("skipped: no tmpfs can be mounted here: {other:?}");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = Command::new("mount")
            .args(["-o", &options])
            .arg(self.0.path())
            .status()
            .unwrap();
        assert!(done.success());
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_really_full_disk_refuses_and_heals() {
    let Some(mounted) = Mounted::tmpfs("1m") else {
        return;
    };
    let dir = mounted.path().join("log");
    let mut config = config();
    config.recent_bytes_max = 0;
    let log = DiskLog::open(&dir, config.clone()).unwrap();
    let (mut want, error) = fill(&log, "one");
    assert!(matches!(error, AppendError::Full(_)), "{error}");
    assert!(want.len() > 1000, "{}", want.len());
    assert_eq!(data(&log), want);
    mounted.remount("size=2m");
    log.maintain(NOW_MS);
    let (more, error) = fill(&log, "two");
    assert!(
        matches!(error, AppendError::Full(_)) && more.len() > 1000,
        "{error}"
    );
    want.extend(more);
    assert_eq!(data(&log), want);
    log.close().unwrap();
    // A full disk can be opened and read, too; it takes what its last segment has room for.
    let log = DiskLog::open(&dir, config).unwrap();
    assert_eq!(data(&log), want);
    let (more, error) = fill(&log, "three");
    assert!(
        matches!(error, AppendError::Full(_)),
        "{error} {}",
        more.len()
    );
}

#[test]
fn retention_gives_space_back() {
    let Some(mounted) = Mounted::tmpfs("2m") else {
        return;
    };
    let mut config = config();
    config.retention.bytes = Some(1 << 20);
    let log = DiskLog::open(mounted.path().join("log"), config).unwrap();
    // Eight times what there is room for.
    for n in 0..800 {
        let events = (0..50)
            .map(|_| event("t", format!("{n} {}", "g".repeat(330))))
            .collect();
        append(&log, events).unwrap_or_else(|error| panic!("batch {n}: {error}"));
    }
    let bounds = log.bounds();
    assert!(
        bounds.bytes <= 1 << 20 && bounds.bytes > 800_000,
        "{bounds:?}"
    );
    assert_eq!(data(&log).len() as u64, bounds.records);
}

#[test]
fn a_read_only_directory_is_named() {
    let Some(mounted) = Mounted::tmpfs("1m") else {
        return;
    };
    let dir = mounted.path().join("log");
    let log = DiskLog::open(&dir, config()).unwrap();
    append_one(&log, event("t", "kept"));
    log.close().unwrap();
    mounted.remount("ro");
    match DiskLog::open(&dir, config()) {
        Err(OpenError::ReadOnly { path, .. }) => assert!(path.starts_with(&dir), "{path:?}"),
        other => panic!("{other:?}"),
    }
    // It can still be looked into.
    let found = tidewire_log_disk::offline::verify(&dir, &mut |_| {}).unwrap();
    assert!(found.is_whole() && found.stat.records == 1, "{found:?}");
}
