//! What the tests of this crate share: appending, reading and locating as if the log were a function.

#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod sim_files;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Wake, Waker};
use std::time::Duration;

use tidewire_core::{Cursor, MatcherSet, Position, Topic};
use tidewire_log::{
    Append, AppendError, Appended, Event, GapReason, Locate, Located, Log, Read, ReadAsk, Start,
};
use tidewire_log_disk::{DiskConfig, DiskLog};

/// A time, in milliseconds since 1970.
pub(crate) const NOW_MS: u64 = 1_795_250_000_000;

/// A configuration with small segments.
pub(crate) fn config() -> DiskConfig {
    let mut config = DiskConfig::new(NOW_MS, [1, 2]);
    config.segment_bytes = Some(64 * 1024);
    config.recent_bytes_max = 256 * 1024;
    config
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

pub(crate) fn event(name: &str, data: impl Into<String>) -> Event {
    Event::new(topic(name), data, NOW_MS)
}

/// Appends and waits.
pub(crate) fn append(log: &dyn Log, events: Vec<Event>) -> Result<Vec<Appended>, AppendError> {
    let (done, acked) = channel();
    let ack = Box::new(move |result| done.send(result).unwrap());
    log.append(Append { events, ack });
    acked
        .recv_timeout(Duration::from_secs(20))
        .expect("an answer")
}

/// Appends one event and waits.
pub(crate) fn append_one(log: &dyn Log, event: Event) -> Cursor {
    append(log, vec![event]).unwrap()[0].cursor
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Reads, waiting for what is loading.
pub(crate) fn read(log: &dyn Log, ask: &ReadAsk<'_>) -> Read {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    for _ in 0..2000 {
        match log.read(ask, &waker) {
            Read::Loading => std::thread::park_timeout(Duration::from_secs(10)),
            read => return read,
        }
    }
    panic!("loading for ever");
}

/// What a reader got: positions with data, and gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Event(u64, String),
    Gap(GapReason, u64),
}

/// The data of a frame.
pub(crate) fn data_of(frame: &[u8]) -> String {
    let text = String::from_utf8_lossy(frame);
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    lines.join("\n")
}

/// Reads from a position to the tail.
pub(crate) fn read_to_tail(log: &dyn Log, from: Position, topics: Option<&[&[u8]]>) -> Vec<Got> {
    let mut got = Vec::new();
    let mut from = from;
    loop {
        let ask = ReadAsk {
            from,
            topics,
            bytes_max: 32 * 1024,
            records_max: 100,
        };
        match read(log, &ask) {
            Read::Batch(batch) => {
                for item in batch.records() {
                    let data = data_of(item.record().frame().bare());
                    got.push(Got::Event(item.position().0, data));
                }
                assert!(batch.next() > from, "a read moves on");
                from = batch.next();
            }
            Read::AtTail => return got,
            Read::Gap(gap) => {
                got.push(Got::Gap(gap.reason, gap.resume.0));
                assert!(gap.resume > from, "a gap moves on");
                from = gap.resume;
            }
            Read::Loading => unreachable!("`read` waits"),
        }
    }
}

/// Locates and waits.
pub(crate) fn locate(log: &dyn Log, start: Start, routing: MatcherSet) -> Located {
    let (done, located) = channel();
    let done = Box::new(move |found| done.send(found).unwrap());
    log.locate(Locate {
        start,
        routing,
        done,
    });
    located
        .recv_timeout(Duration::from_secs(20))
        .expect("an answer")
}

/// A directory in memory where there is one: for tests of bytes, not of a disk.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

pub(crate) fn open(dir: &std::path::Path) -> DiskLog {
    DiskLog::open(dir, config()).unwrap()
}
