//! The memory log's own contract, beyond the conformance suite.

use std::sync::{Arc, Mutex};
use std::task::Waker;

use tidewire_core::{Cursor, Epoch, Form, MatcherSet, Position, Topic};
use tidewire_log::{
    Append, AppendError, Appended, Batch, Event, GapReason, Locate, Located, Log, MemoryConfig,
    MemoryLog, Read, ReadAsk, Start, Watcher,
};

fn event(data: &str) -> Event {
    Event::new(Topic::parse("t").unwrap(), data, 5)
}

fn append(log: &MemoryLog, events: Vec<Event>) -> Result<Vec<Appended>, AppendError> {
    let answer = Arc::new(Mutex::new(None));
    let ack = answer.clone();
    log.append(Append {
        events,
        ack: Box::new(move |stored| *ack.lock().unwrap() = Some(stored)),
    });
    let mut answer = answer.lock().unwrap();
    answer.take().expect("a memory log answers at once")
}

fn frames(log: &MemoryLog) -> Vec<String> {
    let ask = ReadAsk {
        from: log.bounds().head,
        topics: None,
        bytes_max: usize::MAX,
        records_max: usize::MAX,
    };
    let Read::Batch(batch) = log.read(&ask, Waker::noop()) else {
        return Vec::new();
    };
    let text = |item: tidewire_log::BatchRecord<'_>| {
        String::from_utf8(item.frame(Form::EventStream).bare().to_vec()).unwrap()
    };
    batch.records().map(text).collect()
}

#[test]
fn positions_may_leave_holes() {
    let log = MemoryLog::new(MemoryConfig {
        position_step: 10,
        ..MemoryConfig::default()
    });
    append(&log, vec![event("a"), event("b")]).unwrap();
    assert_eq!(
        frames(&log),
        ["id: #1-10\ndata: a\n\n", "id: #1-20\ndata: b\n\n"]
    );
    assert_eq!(log.bounds().tail, Position(21));
}

#[test]
fn a_watcher_may_use_the_log() {
    struct Echo(Mutex<Option<Arc<MemoryLog>>>, Mutex<Vec<u64>>);
    impl Watcher for Echo {
        fn committed(&self, batch: &Batch) {
            self.1.lock().unwrap().push(batch.next().0);
            if let Some(log) = self.0.lock().unwrap().take() {
                append(&log, vec![event("echo")]).unwrap();
            }
        }
    }
    let log = Arc::new(MemoryLog::new(MemoryConfig::default()));
    let echo = Arc::new(Echo(Mutex::new(Some(log.clone())), Mutex::default()));
    log.watch(echo.clone());
    append(&log, vec![event("call")]).unwrap();
    assert_eq!(frames(&log).len(), 2);
    assert_eq!(*echo.1.lock().unwrap(), [2, 3]);
}

#[test]
fn a_panicking_watcher_silences_nobody_for_good() {
    struct Panics;
    impl Watcher for Panics {
        fn committed(&self, batch: &Batch) {
            assert!(batch.next() > Position(2), "the first commit");
        }
    }
    struct Counts(Mutex<u64>);
    impl Watcher for Counts {
        fn committed(&self, _: &Batch) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let log = MemoryLog::new(MemoryConfig::default());
    let counts = Arc::new(Counts(Mutex::default()));
    log.watch(Arc::new(Panics));
    log.watch(counts.clone());
    let call = std::panic::AssertUnwindSafe(|| append(&log, vec![event("first")]));
    assert!(std::panic::catch_unwind(call).is_err());
    append(&log, vec![event("second")]).unwrap();
    assert_eq!(*counts.0.lock().unwrap(), 1);
}

#[test]
fn publishers_that_outrun_their_watchers_go_at_their_pace() {
    /// How far behind the log a slow watcher is told.
    struct Slow(Mutex<(u64, u64)>, Arc<MemoryLog>);
    impl Watcher for Slow {
        fn committed(&self, batch: &Batch) {
            std::thread::sleep(std::time::Duration::from_micros(5));
            let mut seen = self.0.lock().unwrap();
            seen.0 += batch.records().count() as u64;
            seen.1 = seen.1.max(self.1.bounds().tail.0 - batch.next().0);
        }
    }
    let log = Arc::new(MemoryLog::new(MemoryConfig::default()));
    let slow = Arc::new(Slow(Mutex::default(), log.clone()));
    log.watch(slow.clone());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2500 {
                    append(&log, vec![event("x")]).unwrap();
                }
            });
        }
    });
    let (told, behind) = *slow.0.lock().unwrap();
    assert_eq!(told, 10_000);
    assert!(behind < 1024 + 10, "{behind} commits behind");
}

fn after(log: &MemoryLog, epoch: u64, seen: u64) -> Located {
    let answer = Arc::new(Mutex::new(None));
    let done = answer.clone();
    log.locate(Locate {
        start: Start::After(Cursor::new(Epoch(epoch), Position(seen))),
        routing: MatcherSet::any(),
        done: Box::new(move |located| *done.lock().unwrap() = Some(located)),
    });
    let mut answer = answer.lock().unwrap();
    answer.take().expect("a memory log answers at once")
}

#[test]
fn a_new_life_ends_the_cursors_of_the_last_one() {
    let log = MemoryLog::new(MemoryConfig::default());
    append(&log, vec![event("a"), event("b")]).unwrap();
    assert_eq!(log.begin_life(500), Epoch(500));
    let stored = append(&log, vec![event("c")]).unwrap();
    assert_eq!(stored[0].cursor, Cursor::new(Epoch(500), Position(3)));
    assert_eq!(
        log.cursor_at(Position(3)),
        Cursor::new(Epoch(500), Position(2))
    );
    #[rustfmt::skip]
    let table = [
        (1, 1, Ok(2)),
        (1, 2, Ok(3)),
        (1, 3, Err(GapReason::Epoch)),
        (500, 2, Ok(3)),
        (500, 3, Ok(4)),
        (500, 1, Err(GapReason::Epoch)),
        (500, 4, Err(GapReason::Beyond)),
    ];
    for (epoch, seen, want) in table {
        let located = after(&log, epoch, seen);
        let got = located
            .gap
            .map_or(Ok(located.from.0), |gap| Err(gap.reason));
        assert_eq!(got, want, "{epoch}-{seen}");
        assert!(located.gap.is_none() || located.from == Position(1));
    }
}
