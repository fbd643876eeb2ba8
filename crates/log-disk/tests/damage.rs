//! Damaged directories: refused, or told to readers; never a record missing in silence, never a panic, and the rest intact.

mod fixture;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fixture::*;
use tidewire_core::Position;
use tidewire_log::{Event, Log};
use tidewire_log_disk::offline::verify;
use tidewire_log_disk::{DiskConfig, DiskLog, Notice, OpenError};

fn copy(from: &Path) -> tempfile::TempDir {
    let to = scratch();
    fs::create_dir(to.path().join("segments")).unwrap();
    for path in files_of(from) {
        fs::copy(&path, to.path().join(path.strip_prefix(from).unwrap())).unwrap();
    }
    to
}

/// The files of a log, the lock and drafts left out.
fn files_of(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for part in [dir.to_owned(), dir.join("segments")] {
        for entry in fs::read_dir(part).unwrap() {
            let path = entry.unwrap().path();
            let is_draft = path.extension().is_some_and(|end| end == "draft");
            if path.is_file() && !is_draft && !path.ends_with("lock") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn events(batch: usize) -> Vec<Event> {
    (0..3)
        .map(|n| {
            event(
                &format!("t{n}"),
                format!("{batch}-{n} {}", "d".repeat(150 * n)),
            )
        })
        .collect()
}

fn small() -> DiskConfig {
    let mut config = config();
    config.segment_bytes = Some(8 * 1024);
    config.recent_bytes_max = 0;
    config
}

/// A log of some segments, as it is after it was closed and as a killed process leaves it; and how many events it holds.
fn logs() -> (tempfile::TempDir, tempfile::TempDir, u64) {
    let dir = scratch();
    let log = DiskLog::open(dir.path(), small()).unwrap();
    for batch in 0..25 {
        append(&log, events(batch)).unwrap();
    }
    let tail = log.bounds().tail.0;
    // Sidecars are written behind the appends: the copy is taken when they are there.
    let sidecars = |dir: &Path| {
        files_of(dir)
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "idx"))
            .count()
    };
    while sidecars(dir.path()) < files_of(dir.path()).len() / 2 - 1 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let killed = copy(dir.path());
    log.close().unwrap();
    (dir, killed, tail - 1)
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Whole,
    Told,
}

/// Opens a log and reads all of it. Panics if a record is missing in silence or is not what it was.
fn outcome(dir: &Path, count: u64) -> Outcome {
    let notices: Arc<Mutex<Vec<Notice>>> = Arc::default();
    let mut config = small();
    let heard = notices.clone();
    config.notify = Arc::new(move |notice| heard.lock().unwrap().push(notice.clone()));
    let log = match DiskLog::open(dir, config) {
        Ok(log) => log,
        Err(error) => {
            let text = error.to_string();
            let useful = matches!(error, OpenError::Damaged(_) | OpenError::NewerFormat { .. });
            assert!(useful && text.contains(dir.to_str().unwrap()), "{text}");
            return Outcome::Refused;
        }
    };
    let mut told = false;
    let mut next = 1;
    for got in read_to_tail(&log, Position(1), None) {
        match got {
            Got::Event(position, data) => {
                assert_eq!(position, next, "missing in silence");
                let (batch, n) = ((position - 1) / 3, (position - 1) % 3);
                assert!(
                    data.starts_with(&format!("{batch}-{n} ")),
                    "{position}: {data}"
                );
                next += 1;
            }
            Got::Gap(_, resume) => {
                told = true;
                next = resume;
            }
        }
    }
    assert_eq!(next, count + 1, "the end is missing in silence");
    // A reader of one topic loses nothing in silence either.
    let mut seen = Vec::new();
    for got in read_to_tail(&log, Position(1), Some(&[b"t1"])) {
        match got {
            Got::Event(position, _) => seen.push(position),
            Got::Gap(_, resume) => {
                told = true;
                seen.extend(
                    (1..resume)
                        .filter(|p| p % 3 == 2 && !seen.contains(p))
                        .collect::<Vec<_>>(),
                );
            }
        }
    }
    seen.retain(|p| p % 3 == 2);
    assert_eq!(
        seen,
        (1..=count).filter(|p| p % 3 == 2).collect::<Vec<_>>(),
        "topic t1"
    );
    let heard = notices.lock().unwrap();
    let said = heard
        .iter()
        .any(|notice| matches!(notice, Notice::Damaged(_)));
    assert_eq!(
        told, said,
        "what readers are told, the operator is told: {heard:?}"
    );
    assert!(
        !heard
            .iter()
            .any(|notice| matches!(notice, Notice::TailCut { .. })),
        "acknowledged events were cut off: {heard:?}"
    );
    if told { Outcome::Told } else { Outcome::Whole }
}

#[test]
fn untouched_logs_are_whole() {
    let (closed, killed, count) = logs();
    for dir in [closed.path(), killed.path()] {
        assert_eq!(outcome(dir, count), Outcome::Whole);
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let (closed, killed, count) = logs();
    let mut refused = 0;
    let mut told = 0;
    for (which, dir) in [closed.path(), killed.path()].into_iter().enumerate() {
        for file in files_of(dir) {
            let name = file.strip_prefix(dir).unwrap();
            let used = fs::read(&file).unwrap();
            let used = used.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            // Every byte of the small parts, a sample of the rest; the bit by chance of the place.
            let step = (used / 60).max(1);
            for at in (0..used.min(70))
                .chain((70..used).step_by(step))
                .chain([used - 1])
            {
                let copy = copy(dir);
                let damaged = copy.path().join(name);
                let mut bytes = fs::read(&damaged).unwrap();
                bytes[at] ^= 1 << ((at * 7 + which) % 8);
                fs::write(&damaged, &bytes).unwrap();
                let found = verify(copy.path(), &mut |_| {});
                let is_index = name.extension().is_some_and(|end| end == "idx");
                if let Ok(found) = &found {
                    assert_eq!(found.is_whole(), is_index, "{name:?} at {at}: {found:?}");
                    assert_eq!(!found.indexes.is_empty(), is_index, "{name:?} at {at}");
                }
                match outcome(copy.path(), count) {
                    Outcome::Refused => refused += 1,
                    Outcome::Told => told += 1,
                    Outcome::Whole => assert!(is_index, "{name:?} at {at} of {used}"),
                }
            }
        }
    }
    assert!(refused > 50 && told > 50, "{refused} refused, {told} told");
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let (closed, killed, count) = logs();
    for dir in [closed.path(), killed.path()] {
        let segments: Vec<_> = files_of(dir)
            .into_iter()
            .filter(|p| p.extension().is_some_and(|e| e == "log"))
            .collect();
        for file in [&segments[0], segments.last().unwrap()] {
            let name = file.strip_prefix(dir).unwrap();
            let bytes = fs::read(file).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            // Every byte of the last group, and some of the head.
            for length in (0..70).step_by(3).chain(used.saturating_sub(400)..used) {
                let copy = copy(dir);
                fs::write(copy.path().join(name), &bytes[..length]).unwrap();
                assert_eq!(
                    outcome(copy.path(), count),
                    Outcome::Refused,
                    "{name:?} cut to {length}"
                );
            }
        }
    }
}

#[test]
fn a_missing_segment_is_refused() {
    let (closed, _, count) = logs();
    let segments: Vec<_> = files_of(closed.path())
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect();
    for file in &segments[1..] {
        let copy = copy(closed.path());
        fs::remove_file(copy.path().join(file.strip_prefix(closed.path()).unwrap())).unwrap();
        assert_eq!(outcome(copy.path(), count), Outcome::Refused, "{file:?}");
    }
    for name in ["state", "segments"] {
        let copy = copy(closed.path());
        let path = copy.path().join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        assert_eq!(outcome(copy.path(), count), Outcome::Refused, "{name}");
    }
}

#[test]
fn missing_indexes_are_built_again() {
    let (closed, _, count) = logs();
    for file in files_of(closed.path()) {
        if file.extension().is_some_and(|end| end == "idx") {
            fs::remove_file(file).unwrap();
        }
    }
    assert!(
        !verify(closed.path(), &mut |_| {})
            .unwrap()
            .indexes
            .is_empty()
    );
    assert_eq!(outcome(closed.path(), count), Outcome::Whole);
    let found = verify(closed.path(), &mut |_| {}).unwrap();
    assert!(found.indexes.is_empty() && found.is_whole(), "{found:?}");
}

/// A group that a crash had torn: nobody was told of it, so it goes, and nothing else does.
#[test]
fn a_torn_write_is_cut_off() {
    let dir = scratch();
    let log = DiskLog::open(dir.path(), small()).unwrap();
    append(&log, events(0)).unwrap();
    let before = copy(dir.path());
    let name = "segments/00000000000000000001.log";
    let (start, _) = used(&before.path().join(name));
    // The next group, three sectors long, of which any may not have arrived.
    append(&log, vec![event("t", "e".repeat(1400))]).unwrap();
    let (end, bytes) = used(&dir.path().join(name));
    let edges: Vec<_> = (start / 512..=end / 512)
        .map(|sector| (sector * 512).max(start)..((sector + 1) * 512).min(end))
        .collect();
    for arrived in 0..(1_u32 << edges.len()) - 1 {
        let copy = copy(before.path());
        let mut torn = fs::read(copy.path().join(name)).unwrap();
        for (number, edge) in edges.iter().enumerate() {
            if arrived & (1 << number) != 0 {
                torn[edge.clone()].copy_from_slice(&bytes[edge.clone()]);
            }
        }
        fs::write(copy.path().join(name), &torn).unwrap();
        for again in 0..2 {
            let log = DiskLog::open(copy.path(), small())
                .unwrap_or_else(|error| panic!("{arrived:b}: {error}"));
            assert_eq!(log.bounds().tail, Position(4 + again), "{arrived:b}");
            // What was torn does not come back behind a shorter group.
            append(&log, vec![event("t", "short")]).unwrap();
        }
    }
}

fn used(path: &Path) -> (usize, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    (
        bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1,
        bytes,
    )
}

/// A lost sector looks like a torn write; but a later group, or the mark of a closed log, says that it had been durable.
#[test]
fn a_lost_sector_in_what_was_durable_is_refused() {
    let (closed, killed, count) = logs();
    for (dir, is_closed) in [(closed.path(), true), (killed.path(), false)] {
        let last = files_of(dir)
            .into_iter()
            .rfind(|path| path.extension().is_some_and(|end| end == "log"))
            .unwrap();
        let (end, bytes) = used(&last);
        // Of a killed log the last group is spared: nobody vouches for it.
        let sectors = end.div_ceil(512) - if is_closed { 0 } else { 3 };
        assert!(sectors > 2, "{sectors}");
        for sector in 0..sectors {
            let copy = copy(dir);
            let mut lost = bytes.clone();
            lost[sector * 512..(sector + 1) * 512].fill(0);
            fs::write(copy.path().join(last.strip_prefix(dir).unwrap()), &lost).unwrap();
            assert_eq!(
                outcome(copy.path(), count),
                Outcome::Refused,
                "{is_closed} {sector}"
            );
        }
    }
}

#[test]
fn a_newer_format_is_named_and_left_alone() {
    let (closed, _, _) = logs();
    let state = closed.path().join("state");
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, text.replace("log state 1", "log state 2")).unwrap();
    match DiskLog::open(closed.path(), small()) {
        Err(OpenError::NewerFormat {
            file,
            version: 2,
            known: 1,
        }) => assert_eq!(file, state),
        other => panic!("{other:?}"),
    }
}
