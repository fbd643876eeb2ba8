//! One helper for all cases: a log, asked in plain words, with every wait bounded.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::thread::Thread;

use core::time::Duration;

use tidewire_codec::EventId;
use tidewire_core::{
    Cursor, Epoch, Form, MatcherSet, PatternLimits, Patterns, Position, ProducerKey, RecordRef,
    Topic,
};

use super::{Factory, Profile, Reopen, Settings, Subject};
use crate::{
    Append, AppendError, Appended, Batch, Block, Bounds, Event, Locate, Located, Log,
    ProducerLimits, Read, ReadAsk, Retention, Start, Watcher, encode_record,
};

/// When every case begins, in milliseconds since 1970.
pub(super) const NOW: u64 = 1_795_250_000_000;

/// How long an answer may take before a case gives it up: longer than a loaded machine needs, shorter than a night.
const PATIENCE: Duration = Duration::from_secs(30);
const LOADS_MAX: usize = 100_000;
const TELLS_MAX: usize = 20_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            now_ms: NOW,
            retention: Retention::default(),
            producers: ProducerLimits::default(),
            record_bytes_max: 1 << 20,
        }
    }
}

/// A record, as a reader saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) position: Position,
    pub(super) time_ms: u64,
    pub(super) private: bool,
    pub(super) presence: bool,
    pub(super) topics: Vec<String>,
    pub(super) id: Option<String>,
    pub(super) producer: Option<ProducerKey>,
    pub(super) frame: String,
    pub(super) bytes: usize,
}

impl Seen {
    fn of(record: &RecordRef<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Self {
            position: record.position(),
            time_ms: record.time_ms(),
            private: record.private(),
            presence: record.presence(),
            topics: record.topics().map(text).collect(),
            id: record.publisher_id().map(str::to_owned),
            producer: record.producer(),
            frame: text(record.frame().bare()),
            bytes: record.as_bytes().len(),
        }
    }

    /// What readers must see of an event that was stored under this cursor.
    pub(super) fn expected(event: &Event, cursor: Cursor, time_ms: u64) -> Self {
        let block = block_of(event, cursor, time_ms);
        Self::of(&block.record(0))
    }

    pub(super) fn has_any(&self, topics: &[&str]) -> bool {
        self.topics.iter().any(|t| topics.contains(&t.as_str()))
    }

    /// The data of an event of one line.
    pub(super) fn data(&self) -> &str {
        let line = self.frame.lines().find_map(|l| l.strip_prefix("data: "));
        line.unwrap_or_default()
    }
}

/// A block of one record, as the log would make it.
pub(super) fn block_of(event: &Event, cursor: Cursor, time_ms: u64) -> Block {
    let mut bytes = Vec::new();
    let entry = encode_record(event, cursor, time_ms, &mut bytes);
    Block::new(bytes, vec![entry])
}

/// The answer to a read that is not `Loading`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Records(Vec<Seen>, Position),
    AtTail,
    Gap(crate::Gap),
}

/// What a read asks for, with limits far away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) from: Position,
    pub(super) topics: Option<&'a [&'a str]>,
    pub(super) bytes_max: usize,
    pub(super) records_max: usize,
}

impl Ask<'_> {
    pub(super) fn from(from: Position) -> Self {
        Self {
            from,
            topics: None,
            bytes_max: 1 << 30,
            records_max: 1 << 30,
        }
    }
}

/// A log under test.
pub(super) struct Fixture {
    subject: Box<dyn Subject>,
    pub(super) log: Arc<dyn Log>,
    pub(super) profile: Profile,
}

impl Fixture {
    pub(super) fn open(factory: &dyn Factory, settings: &Settings) -> Self {
        let subject = factory.open(settings);
        Self {
            log: subject.log(),
            subject,
            profile: factory.profile(),
        }
    }

    pub(super) fn with(factory: &dyn Factory, retention: Retention) -> Self {
        let settings = Settings {
            retention,
            ..Settings::default()
        };
        Self::open(factory, &settings)
    }

    pub(super) fn plain(factory: &dyn Factory) -> Self {
        Self::open(factory, &Settings::default())
    }

    pub(super) fn reopen(&mut self, how: Reopen, now_ms: u64) {
        self.log = Arc::new(Closed);
        self.subject.reopen(how, now_ms);
        self.log = self.subject.log();
        self.subject.settle();
    }

    pub(super) fn settle(&self) {
        self.subject.settle();
    }

    pub(super) fn append(&self, events: Vec<Event>) -> Result<Vec<Appended>, AppendError> {
        append(&*self.log, events)
    }

    /// Appends events that are all new, and gives their cursors.
    pub(super) fn store(&self, events: Vec<Event>) -> Vec<Cursor> {
        let count = events.len();
        let stored = self.append(events).expect("the log takes the events");
        assert_eq!(stored.len(), count, "one answer an event");
        assert!(stored.iter().all(|a| !a.duplicate), "all are new");
        stored.iter().map(|a| a.cursor).collect()
    }

    pub(super) fn publish(&self, topic: &str, data: &str) -> Cursor {
        self.store(vec![event(topic, data)])[0]
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    pub(super) fn maintain(&self, now_ms: u64) {
        self.log.maintain(now_ms);
        self.subject.settle();
    }

    pub(super) fn read(&self, ask: Ask<'_>) -> Answer {
        let answer = read(&*self.log, ask);
        if let Answer::Records(seen, next) = &answer {
            assert!(*next > ask.from, "a batch moves its reader on: {ask:?}");
            let positions: Vec<_> = seen.iter().map(|s| s.position).collect();
            assert!(
                positions.is_sorted_by(|a, b| a < b),
                "positions increase: {positions:?}"
            );
            assert!(
                positions.iter().all(|p| ask.from <= *p && p < next),
                "records lie between {ask:?} and {next}: {positions:?}"
            );
        }
        answer
    }

    /// Reads from a position to the tail.
    pub(super) fn rest(&self, from: Position) -> Vec<Seen> {
        self.rest_by(Ask::from(from))
    }

    pub(super) fn rest_by(&self, mut ask: Ask<'_>) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            match self.read(ask) {
                Answer::Records(seen, next) => {
                    all.extend(seen);
                    ask.from = next;
                }
                Answer::AtTail => return all,
                Answer::Gap(gap) => panic!("{gap:?} at {}", ask.from),
            }
        }
    }

    /// All that readers may see.
    pub(super) fn all(&self) -> Vec<Seen> {
        self.rest(self.bounds().head)
    }

    /// The data of all that readers may see.
    pub(super) fn data(&self) -> Vec<String> {
        self.all().iter().map(|s| s.data().to_owned()).collect()
    }

    pub(super) fn locate(&self, start: Start, routing: &[&str]) -> Located {
        let (done, answer) = channel();
        self.log.locate(Locate {
            start,
            routing: matchers(routing),
            done: Box::new(move |located| {
                let _ = done.send(located);
            }),
        });
        answer.recv_timeout(PATIENCE).expect("locate answers")
    }
}

pub(super) fn append(log: &dyn Log, events: Vec<Event>) -> Result<Vec<Appended>, AppendError> {
    let (ack, answer) = channel();
    log.append(Append {
        events,
        ack: Box::new(move |stored| {
            let _ = ack.send(stored);
        }),
    });
    answer.recv_timeout(PATIENCE).expect("append answers")
}

/// Reads, and asks again as long as the log is loading.
pub(super) fn read(log: &dyn Log, ask: Ask<'_>) -> Answer {
    let topics: Option<Vec<&[u8]>> = ask
        .topics
        .map(|topics| topics.iter().map(|t| t.as_bytes()).collect());
    let ask = ReadAsk {
        from: ask.from,
        topics: topics.as_deref(),
        bytes_max: ask.bytes_max,
        records_max: ask.records_max,
    };
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    for _ in 0..LOADS_MAX {
        match log.read(&ask, &waker) {
            Read::Batch(batch) => return Answer::Records(seen(&batch), batch.next()),
            Read::AtTail => return Answer::AtTail,
            Read::Gap(gap) => return Answer::Gap(gap),
            // A wake too many costs one round; one too few costs this pause, and the case fails by its rounds.
            Read::Loading => std::thread::park_timeout(Duration::from_millis(20)),
        }
    }
    panic!("still loading: {ask:?}");
}

pub(super) fn seen(batch: &Batch) -> Vec<Seen> {
    batch
        .records()
        .map(|item| {
            assert_eq!(item.position(), item.record().position());
            assert_eq!(item.frame(Form::EventStream), item.record().frame());
            Seen::of(&item.record())
        })
        .collect()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Stands where the log was while it is opened again.
struct Closed;

impl Log for Closed {
    fn append(&self, append: Append) {
        (append.ack)(Err(AppendError::Stopped("closed".into())));
    }

    fn read(&self, _: &ReadAsk<'_>, _: &Waker) -> Read {
        Read::AtTail
    }

    fn locate(&self, locate: Locate) {
        let from = Position::FIRST;
        (locate.done)(Located { from, gap: None });
    }

    fn cursor_at(&self, next: Position) -> Cursor {
        Cursor::new(Epoch(0), next.before())
    }

    fn bounds(&self) -> Bounds {
        Bounds::default()
    }

    fn watch(&self, _: Arc<dyn Watcher>) {}

    fn health(&self) -> Result<(), AppendError> {
        Err(AppendError::Stopped("closed".into()))
    }

    fn maintain(&self, _: u64) {}
}

/// Keeps what a watcher is told, and whether it could be read then.
#[derive(Default)]
pub(super) struct Recorder {
    log: Mutex<Option<std::sync::Weak<dyn Log>>>,
    pub(super) told: Mutex<Vec<Seen>>,
    pub(super) complaints: Mutex<Vec<String>>,
}

impl Recorder {
    pub(super) fn watch(log: &Arc<dyn Log>) -> Arc<Self> {
        let recorder = Arc::new(Self::default());
        *recorder.log.lock().expect("unpoisoned") = Some(Arc::downgrade(log));
        log.watch(recorder.clone());
        recorder
    }

    /// Waits until so many records were told.
    pub(super) fn wait_for(&self, count: usize) -> Vec<Seen> {
        for _ in 0..TELLS_MAX {
            let told = self.told.lock().expect("unpoisoned");
            if told.len() >= count {
                return told.clone();
            }
            drop(told);
            std::thread::park_timeout(Duration::from_micros(300));
        }
        panic!("watchers are told of every commit");
    }
}

impl Watcher for Recorder {
    fn committed(&self, batch: &Batch) {
        let log = self.log.lock().expect("unpoisoned").clone();
        let seen = seen(batch);
        if let (Some(log), Some(first)) = (log.and_then(|log| log.upgrade()), seen.first()) {
            let tail = log.bounds().tail;
            let ask = ReadAsk {
                from: first.position,
                topics: None,
                bytes_max: 1,
                records_max: 1,
            };
            if tail < batch.next() || matches!(log.read(&ask, Waker::noop()), Read::AtTail) {
                let complaint = format!("told {} before it can be read", first.position);
                self.complaints.lock().expect("unpoisoned").push(complaint);
            }
        }
        self.told.lock().expect("unpoisoned").extend(seen);
    }
}

pub(super) fn topic(name: &str) -> Topic {
    Topic::parse(name).expect("a topic")
}

pub(super) fn event(topic_name: &str, data: &str) -> Event {
    Event::new(topic(topic_name), data, NOW)
}

pub(super) fn event_at(topic_name: &str, data: &str, time_ms: u64) -> Event {
    Event::new(topic(topic_name), data, time_ms)
}

pub(super) fn with_id(mut event: Event, id: &str) -> Event {
    event.id = Some(EventId::parse(id).expect("an id"));
    event
}

pub(super) fn with_key(mut event: Event, key: u8, digest: u8) -> Event {
    event.producer = Some(ProducerKey {
        key: [key; 16],
        digest: [digest; 16],
    });
    event
}

/// Of `*`, topics and templates.
pub(super) fn matchers(names: &[&str]) -> MatcherSet {
    let patterns = Patterns::new(PatternLimits::default());
    let matcher = |name: &&str| patterns.selector(name).expect("a selector");
    names.iter().map(matcher).collect()
}
