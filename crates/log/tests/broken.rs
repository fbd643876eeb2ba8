//! The suite itself: each way of breaking a log is noticed by the case that is named beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

use tidewire_core::{Cursor, Epoch, Position};
use tidewire_log::conformance::{self, After, CASES, Factory, Profile, Reopen, Settings, Subject};
use tidewire_log::{
    Append, AppendError, Bounds, Locate, Located, Log, MemoryConfig, MemoryLog, Read, ReadAsk,
    Watcher,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    ReadSkipsARecord,
    ReadForgetsATopic,
    ReadIgnoresRecordsMax,
    ReadIgnoresBytesMax,
    ReadHidesGaps,
    ReadNeverEnds,
    LocateHidesGaps,
    LocateRepeatsARecord,
    LocateGoesOnFromTheTail,
    CursorsAreOneAhead,
    AppendsOneByOne,
    AppendsForgetKeys,
    AppendsForgetIds,
    AcksAreReversed,
    EpochsRepeat,
    TimeStandsStill,
    NothingIsForgotten,
}

const FAULTS: &[(Fault, &str)] = &[
    (
        Fault::ReadSkipsARecord,
        "reading_on_from_anywhere_gives_the_rest",
    ),
    (Fault::ReadForgetsATopic, "topics_lose_no_wanted_record"),
    (Fault::ReadIgnoresRecordsMax, "limits_at_their_edge"),
    (Fault::ReadIgnoresBytesMax, "limits_at_their_edge"),
    (Fault::ReadHidesGaps, "the_answers_of_a_read"),
    (Fault::ReadNeverEnds, "the_answers_of_a_read"),
    (Fault::LocateHidesGaps, "gaps_say_why_and_where_to_go_on"),
    (Fault::LocateRepeatsARecord, "every_start"),
    (
        Fault::LocateGoesOnFromTheTail,
        "gaps_say_why_and_where_to_go_on",
    ),
    (
        Fault::CursorsAreOneAhead,
        "cursors_at_every_position_are_exact",
    ),
    (Fault::AppendsOneByOne, "too_large_a_record_stores_nothing"),
    (
        Fault::AppendsForgetKeys,
        "a_repeated_publication_is_stored_once",
    ),
    (
        Fault::AppendsForgetIds,
        "publisher_ids_lead_to_the_earliest_match",
    ),
    (Fault::AcksAreReversed, "a_group_is_stored_side_by_side"),
    (Fault::EpochsRepeat, "lives_follow_each_other"),
    (Fault::TimeStandsStill, "retention_by_age"),
    (Fault::TimeStandsStill, "rules_by_age"),
    (Fault::NothingIsForgotten, "retention_by_count"),
    (Fault::NothingIsForgotten, "retention_by_bytes"),
];

struct Broken {
    log: MemoryLog,
    fault: Fault,
}

impl Log for Broken {
    fn append(&self, mut append: Append) {
        match self.fault {
            Fault::AppendsOneByOne => return self.one_by_one(append),
            Fault::AppendsForgetKeys => append.events.iter_mut().for_each(|e| e.producer = None),
            Fault::AppendsForgetIds => append.events.iter_mut().for_each(|e| e.id = None),
            Fault::AcksAreReversed => {
                let ack = append.ack;
                append.ack = Box::new(|stored| {
                    ack(stored.map(|mut stored| {
                        stored.reverse();
                        stored
                    }));
                });
            }
            _ => {}
        }
        self.log.append(append);
    }

    fn read(&self, ask: &ReadAsk<'_>, waker: &Waker) -> Read {
        let mut ask = *ask;
        match self.fault {
            Fault::ReadSkipsARecord if ask.from < self.bounds().tail => ask.from = ask.from.next(),
            Fault::ReadForgetsATopic => ask.topics = ask.topics.map(|t| t.get(1..).unwrap_or(t)),
            Fault::ReadIgnoresRecordsMax => ask.records_max += 1,
            Fault::ReadIgnoresBytesMax => ask.bytes_max *= 3,
            _ => {}
        }
        match (self.fault, self.log.read(&ask, waker)) {
            (Fault::ReadHidesGaps, Read::Gap(_)) => Read::AtTail,
            (Fault::ReadNeverEnds, Read::AtTail) => {
                ask.from = self.bounds().head;
                self.log.read(&ask, waker)
            }
            (_, read) => read,
        }
    }

    fn locate(&self, mut locate: Locate) {
        let fault = self.fault;
        let tail = self.bounds().tail;
        let done = locate.done;
        locate.done = Box::new(move |mut located: Located| {
            match (fault, &mut located.gap) {
                (Fault::LocateHidesGaps, gap) => *gap = None,
                (Fault::LocateRepeatsARecord, None) => located.from = located.from.before(),
                (Fault::LocateGoesOnFromTheTail, Some(gap)) => {
                    gap.resume = tail;
                    located.from = tail;
                }
                _ => {}
            }
            done(located);
        });
        self.log.locate(locate);
    }

    fn cursor_at(&self, next: Position) -> Cursor {
        match self.fault {
            Fault::CursorsAreOneAhead => self.log.cursor_at(next.next()),
            _ => self.log.cursor_at(next),
        }
    }

    fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.log.watch(watcher);
    }

    fn health(&self) -> Result<(), AppendError> {
        self.log.health()
    }

    fn maintain(&self, now_ms: u64) {
        if self.fault != Fault::TimeStandsStill {
            self.log.maintain(now_ms);
        }
    }
}

impl Broken {
    fn one_by_one(&self, append: Append) {
        for event in append.events {
            let events = vec![event];
            let ack = Box::new(|_| {});
            self.log.append(Append { events, ack });
        }
        (append.ack)(Err(AppendError::Busy));
    }
}

struct Faulty(Fault);

struct Opened {
    fault: Fault,
    config: MemoryConfig,
    log: Arc<Broken>,
}

impl Opened {
    fn new(fault: Fault, config: MemoryConfig) -> Self {
        let log = MemoryLog::new(config.clone());
        let log = Arc::new(Broken { log, fault });
        Self { fault, config, log }
    }
}

impl Factory for Faulty {
    fn profile(&self) -> Profile {
        Profile {
            slack_records: 0,
            slack_bytes: 0,
            clean: After::Nothing,
            crash: None,
            seeds: 2,
            steps: 200,
        }
    }

    fn open(&self, settings: &Settings) -> Box<dyn Subject> {
        let mut config = MemoryConfig {
            epoch: Epoch(settings.now_ms),
            retention: settings.retention.clone(),
            producers: settings.producers,
            record_bytes_max: settings.record_bytes_max,
            ..MemoryConfig::default()
        };
        if self.0 == Fault::NothingIsForgotten {
            config.retention.count = None;
            config.retention.bytes = None;
        }
        Box::new(Opened::new(self.0, config))
    }
}

impl Subject for Opened {
    fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    fn reopen(&mut self, _: Reopen, now_ms: u64) {
        let mut config = self.config.clone();
        if self.fault != Fault::EpochsRepeat {
            config.epoch = Epoch(now_ms.max(config.epoch.0 + 1));
        }
        *self = Self::new(self.fault, config);
    }
}

fn holds(fault: Fault, case: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| conformance::run(case, &Faulty(fault)))).is_ok()
}

#[test]
fn every_fault_is_noticed_and_nothing_else() {
    for (fault, case) in FAULTS {
        assert!(!holds(*fault, case), "{case} does not notice {fault:?}");
        assert!(holds(Fault::None, case), "{case} blames a log that works");
    }
}

#[test]
fn run_all_names_what_is_broken() {
    let failed = conformance::run_all(&Faulty(Fault::None));
    assert!(failed.is_empty(), "{failed:?}");
    let failed = conformance::run_all(&Faulty(Fault::AppendsForgetKeys));
    assert!(failed.contains(&"a_repeated_publication_is_stored_once"));
    assert!(failed.len() < CASES.len() / 2, "{failed:?}");
}
