//! Export and import: what goes out comes in again, all of it; from a damaged log all that can be read, and the rest is told.

mod fixture;

use std::fs;

use fixture::*;
use tidewire_core::{Position, ProducerKey};
use tidewire_log::{Event, EventId, EventType, Log};
use tidewire_log_disk::offline::{Left, export, import, stat, verify};
use tidewire_log_disk::{DiskLog, OpenError};

fn full_event(n: u64) -> Event {
    let mut event = event(
        "a/ü",
        format!("line one {n}\nline \"two\"\u{0} {}", "o".repeat(200)),
    );
    event.topics.push(topic("b"));
    event.time_ms = NOW_MS + n;
    event.private = n.is_multiple_of(2);
    event.presence = n.is_multiple_of(11);
    event.id = n
        .is_multiple_of(3)
        .then(|| EventId::parse(&format!("urn:{n}")).unwrap());
    event.event_type = n
        .is_multiple_of(5)
        .then(|| EventType::parse("tick").unwrap());
    event.retry_ms = n.is_multiple_of(7).then_some(n);
    event.producer = n.is_multiple_of(4).then_some(ProducerKey {
        key: [n as u8; 16],
        digest: [9; 16],
    });
    event
}

fn exported(dir: &std::path::Path) -> (Vec<String>, usize) {
    let mut out = Vec::new();
    let done = export(dir, &mut out, &mut |_| {}).unwrap();
    let lines: Vec<_> = String::from_utf8(out)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len() as u64, done.records);
    (lines, done.damage.len())
}

fn without_cursor(line: &str) -> serde_json::Value {
    let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(value.as_object_mut().unwrap().remove("cursor").is_some());
    value
}

#[test]
fn what_goes_out_comes_in_again() {
    let (from, to) = (scratch(), scratch());
    let log = open(from.path());
    for n in 0..100 {
        append(
            &log,
            (0..10).map(|part| full_event(n * 10 + part)).collect(),
        )
        .unwrap();
        if n == 50 {
            assert!(matches!(stat(from.path()), Err(OpenError::Locked { .. })));
        }
    }
    log.close().unwrap();
    let (lines, damage) = exported(from.path());
    assert_eq!((lines.len(), damage), (1000 - repeated(), 0));
    let text = lines.join("\n");
    let mut told = 0;
    let imported = import(to.path(), config(), &mut text.as_bytes(), &mut |_| {
        told += 1;
    })
    .unwrap();
    assert_eq!(
        (imported.records, imported.duplicates),
        (lines.len() as u64, 0)
    );
    assert!(told > 0);
    let (again, _) = exported(to.path());
    for (line, again) in lines.iter().zip(&again) {
        assert_eq!(without_cursor(line), without_cursor(again));
    }
    let found = verify(to.path(), &mut |_| {}).unwrap();
    assert!(found.is_whole() && found.indexes.is_empty(), "{found:?}");
    assert_eq!(
        (found.stat.left, found.stat.records),
        (Left::Closed, lines.len() as u64)
    );
}

/// Keys are a byte long here, so some events repeat earlier ones.
fn repeated() -> usize {
    let keys: std::collections::BTreeSet<u8> = (0..1000_u64)
        .filter(|n| n % 4 == 0)
        .map(|n| n as u8)
        .collect();
    250 - keys.len()
}

#[test]
fn a_line_that_is_no_event_is_named() {
    #[rustfmt::skip]
    let table = [
        ("nonsense", "line 3: it is not JSON"),
        ("[1]", "line 3: it is not a JSON object"),
        ("{\"data\":\"x\"}", "line 3: `topics` is not a list"),
        ("{\"topics\":[\"*\"]}", "line 3: `*` matches every topic"),
        ("{\"topics\":[\"a\"],\"id\":\"x\\ny\"}", "line 3: `id`"),
        ("{\"topics\":[\"a\"],\"retry\":-1}", "line 3: `retry` is not a whole number"),
        ("{\"topics\":[\"a\"],\"producer\":{}}", "line 3: `producer.key` is not 32 hexadecimal digits"),
    ];
    for (line, want) in table {
        let dir = scratch();
        let text = format!("{{\"topics\":[\"a\"],\"data\":\"kept\"}}\n\n{line}\n");
        let error = import(dir.path(), config(), &mut text.as_bytes(), &mut |_| {}).unwrap_err();
        assert!(error.to_string().starts_with(want), "{error}");
        assert!(
            error
                .to_string()
                .contains("(1 events before that are stored"),
            "{error}"
        );
        assert_eq!(open(dir.path()).bounds().records, 1);
    }
}

#[test]
fn a_damaged_log_gives_what_can_be_read() {
    let dir = scratch();
    let mut config = config();
    config.segment_bytes = Some(8192);
    let log = DiskLog::open(dir.path(), config.clone()).unwrap();
    for n in 0..200 {
        append_one(&log, event("t", format!("{n} {}", "q".repeat(200))));
    }
    log.close().unwrap();
    let mut segments: Vec<_> = fs::read_dir(dir.path().join("segments"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    segments.retain(|path| path.extension().is_some_and(|end| end == "log"));
    segments.sort();
    let flip = |path: &std::path::Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 0x10;
        fs::write(path, bytes).unwrap();
    };
    // One record in the middle; one segment's head; the last segment, which must then not be opened.
    flip(&segments[1], 3000);
    flip(&segments[2], 20);
    flip(segments.last().unwrap(), 200);
    fs::remove_file(dir.path().join("state")).unwrap();
    let (lines, damage) = exported(dir.path());
    assert_eq!((lines.len(), damage), (198, 4));
    let found = verify(dir.path(), &mut |_| {}).unwrap();
    assert_eq!((found.damage.len(), found.stat.left), (4, Left::Unknown));
    for damage in &found.damage {
        let text = damage.to_string();
        assert!(
            text.contains("at byte") && text.contains(dir.path().to_str().unwrap()),
            "{text}"
        );
    }
    match DiskLog::open(dir.path(), config) {
        Err(OpenError::Damaged(_)) => {}
        other => panic!("{other:?}"),
    }
    let lost: Vec<_> = found
        .damage
        .iter()
        .filter_map(|damage| Some((damage.first?, damage.next?)))
        .collect();
    assert!(
        lost.iter()
            .all(|(first, next)| *next == Position(first.0 + 1)),
        "{lost:?}"
    );
}

#[test]
fn no_log_is_said_so() {
    let dir = scratch();
    let error = stat(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::NoLog(_)), "{error}");
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is made by looking"
    );
}
