//! The log over restarts: what was appended is there, found by position, topic, id, time and producer key.

mod fixture;

use fixture::*;
use tidewire_core::{MatcherSet, Position, ProducerKey};
use tidewire_log::{Append, AppendError, Log, Start};
use tidewire_log_disk::{DiskLog, OpenError};

#[cfg(unix)]
#[test]
fn a_new_log_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir.path().join("parent/log"));
    for made in ["parent", "parent/log", "parent/log/segments"] {
        let metadata = std::fs::metadata(dir.path().join(made)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{made}");
    }
    log.close().unwrap();
}

#[test]
fn what_is_appended_is_read_now_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Vec::new();
    for life in 0..4 {
        let log = open(dir.path());
        assert_eq!(read_to_tail(&log, Position(1), None), want, "life {life}");
        for batch in 0..60 {
            let events = (0..20)
                .map(|n| {
                    event(
                        &format!("t{}", n % 7),
                        format!("{life}-{batch}-{n} {}", "x".repeat(200)),
                    )
                })
                .collect();
            for (n, appended) in append(&log, events).unwrap().into_iter().enumerate() {
                let data = format!("{life}-{batch}-{n} {}", "x".repeat(200));
                want.push(Got::Event(appended.cursor.seen().0, data));
            }
        }
        assert_eq!(read_to_tail(&log, Position(1), None), want, "life {life}");
        log.close().unwrap();
    }
    let segments = std::fs::read_dir(dir.path().join("segments"))
        .unwrap()
        .count();
    assert!(segments > 10, "{segments} files");
}

#[test]
fn no_group_makes_a_segment_longer_than_segments_are() {
    let dir = tempfile::tempdir().unwrap();
    let segment_bytes = config().segment_bytes.unwrap();
    let log = open(dir.path());
    // They pile up while one group is synced.
    let (sender, acks) = std::sync::mpsc::channel();
    for _ in 0..5000 {
        let sender = sender.clone();
        log.append(Append {
            events: vec![event("a", "x".repeat(100))],
            ack: Box::new(move |stored| sender.send(stored.is_ok()).unwrap()),
        });
    }
    assert!(acks.iter().take(5000).all(|stored| stored));
    log.close().unwrap();
    for file in std::fs::read_dir(dir.path().join("segments")).unwrap() {
        let file = file.unwrap();
        let bytes = file.metadata().unwrap().len();
        assert!(bytes <= segment_bytes, "{:?}: {bytes}", file.file_name());
    }
}

#[test]
fn a_rare_topic_is_found_in_every_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Vec::new();
    let log = open(dir.path());
    for batch in 0..200 {
        let mut events: Vec<_> = (0..20).map(|_| event("common", "y".repeat(200))).collect();
        if batch % 50 == 7 {
            events.push(event("rare", format!("rare {batch}")));
        }
        let appended = append(&log, events).unwrap();
        if batch % 50 == 7 {
            want.push(Got::Event(
                appended[20].cursor.seen().0,
                format!("rare {batch}"),
            ));
        }
    }
    let topics = [b"rare".as_slice(), b"never"];
    let only = |got: Vec<Got>| -> Vec<Got> {
        got.into_iter()
            .filter(|got| !matches!(got, Got::Event(_, data) if data.starts_with('y')))
            .collect()
    };
    assert_eq!(only(read_to_tail(&log, Position(1), Some(&topics))), want);
    let routing = MatcherSet::from_iter([tidewire_core::Matcher::Exact(topic("rare"))]);
    let Got::Event(third, _) = want[2] else {
        panic!()
    };
    assert_eq!(
        locate(&log, Start::Last(2), routing.clone()).from,
        Position(third)
    );
    drop(log);
    let log = open(dir.path());
    assert_eq!(only(read_to_tail(&log, Position(1), Some(&topics))), want);
    assert_eq!(locate(&log, Start::Last(2), routing).from, Position(third));
}

#[test]
fn publisher_ids_and_producer_keys_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let keyed = |n: u8, digest: u8| {
        let mut event = event("t", format!("keyed {n}"));
        event.producer = Some(ProducerKey {
            key: [n; 16],
            digest: [digest; 16],
        });
        event
    };
    let log = open(dir.path());
    let mut first = Vec::new();
    for n in 0..200 {
        first.push(append_one(&log, keyed(n, 1)));
        append(&log, (0..5).map(|_| event("t", "z".repeat(300))).collect()).unwrap();
    }
    drop(log);
    let log = open(dir.path());
    for n in 0..200 {
        let again = append(&log, vec![keyed(n, 1)]).unwrap()[0];
        assert_eq!(
            (again.cursor, again.duplicate),
            (first[usize::from(n)], true)
        );
    }
    assert_eq!(
        append(&log, vec![event("t", ""), keyed(3, 9)]),
        Err(AppendError::KeyReused { index: 1 })
    );
}

#[test]
fn two_hubs_on_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    match DiskLog::open(dir.path(), config()) {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    append_one(&log, event("t", "still works"));
    drop(log);
    let log = open(dir.path());
    assert_eq!(log.bounds().tail, Position(2));
}
