//! What the shard's tests share: a clock that stands still, logs that answer as told, sinks that remember what they took.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use tidewire_core::{Cursor, Filter, Form, Frame, Matcher, MatcherSet, Position, Topic};
use tidewire_engine::{
    Checkpoint, EndReason, Feed, Offer, Shard, ShardConfig, Sink, SubscriberKey, Subscription,
};
use tidewire_log::{
    Append, AppendError, Batch, Bounds, Event, Locate, Log, MemoryConfig, MemoryLog, Read, ReadAsk,
    Retention, Watcher,
};

/// The memory log, and what is asked of it; below a position it can be made to load.
pub(crate) struct TestLog {
    pub(crate) memory: MemoryLog,
    /// Reads below this are `Loading`.
    pub(crate) cold_below: Mutex<u64>,
    pub(crate) loads: Mutex<Vec<Waker>>,
    pub(crate) reads: AtomicUsize,
    pub(crate) topics_asked: AtomicUsize,
    commits: Arc<Commits>,
}

/// Stands between the log and its watcher, who may hear late of what can be read already.
#[derive(Default)]
struct Commits {
    watcher: Mutex<Option<Arc<dyn Watcher>>>,
    held: Mutex<Option<Vec<Batch>>>,
}

impl Watcher for Commits {
    fn committed(&self, batch: &Batch) {
        match &mut *self.held.lock().unwrap() {
            Some(held) => held.push(batch.clone()),
            None => self.tell(batch),
        }
    }
}

impl Commits {
    fn tell(&self, batch: &Batch) {
        if let Some(watcher) = &*self.watcher.lock().unwrap() {
            watcher.committed(batch);
        }
    }
}

impl TestLog {
    pub(crate) fn new(retention: Retention) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryLog::new(MemoryConfig {
                retention,
                position_step: 3,
                ..MemoryConfig::default()
            }),
            cold_below: Mutex::new(0),
            loads: Mutex::default(),
            reads: AtomicUsize::new(0),
            topics_asked: AtomicUsize::new(0),
            commits: Arc::default(),
        })
    }

    /// From now on the watcher does not hear of commits.
    pub(crate) fn hold_commits(&self) {
        *self.commits.held.lock().unwrap() = Some(Vec::new());
    }

    /// It hears of them now.
    pub(crate) fn release_commits(&self) {
        let held = self.commits.held.lock().unwrap().take();
        held.iter()
            .flatten()
            .for_each(|batch| self.commits.tell(batch));
    }

    /// Everything can be read, and whoever waited for it is told.
    pub(crate) fn finish_loads(&self) {
        *self.cold_below.lock().unwrap() = 0;
        let loads = std::mem::take(&mut *self.loads.lock().unwrap());
        loads.into_iter().for_each(Waker::wake);
    }
}

impl Log for TestLog {
    fn append(&self, append: Append) {
        self.memory.append(append);
    }

    fn read(&self, ask: &ReadAsk<'_>, waker: &Waker) -> Read {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.topics_asked
            .fetch_add(usize::from(ask.topics.is_some()), Ordering::Relaxed);
        if ask.from.0 < *self.cold_below.lock().unwrap() {
            self.loads.lock().unwrap().push(waker.clone());
            return Read::Loading;
        }
        self.memory.read(ask, waker)
    }

    fn locate(&self, locate: Locate) {
        self.memory.locate(locate);
    }

    fn cursor_at(&self, next: Position) -> Cursor {
        self.memory.cursor_at(next)
    }

    fn bounds(&self) -> Bounds {
        self.memory.bounds()
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        *self.commits.watcher.lock().unwrap() = Some(watcher);
        self.memory.watch(Arc::clone(&self.commits) as _);
    }

    fn health(&self) -> Result<(), AppendError> {
        self.memory.health()
    }

    fn maintain(&self, now_ms: u64) {
        self.memory.maintain(now_ms);
    }
}

/// What a sink took, and what it may still take.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) text: String,
    /// How many frames it takes before it is full.
    pub(crate) room: usize,
    pub(crate) closed: bool,
    pub(crate) offers: usize,
    /// When it was last offered something, among all sinks.
    pub(crate) turn: usize,
}

thread_local! {
    static TURNS: Cell<usize> = const { Cell::new(0) };
}

#[derive(Clone, Debug)]
pub(crate) struct PipeSink(pub(crate) Rc<RefCell<Pipe>>);

impl PipeSink {
    pub(crate) fn new() -> Self {
        Self::with_room(usize::MAX)
    }

    pub(crate) fn with_room(room: usize) -> Self {
        Self(Rc::new(RefCell::new(Pipe {
            text: String::new(),
            room,
            closed: false,
            offers: 0,
            turn: 0,
        })))
    }

    pub(crate) fn set_room(&self, room: usize) {
        self.0.borrow_mut().room = room;
    }

    pub(crate) fn close(&self) {
        self.0.borrow_mut().closed = true;
    }

    pub(crate) fn offers(&self) -> usize {
        self.0.borrow().offers
    }

    pub(crate) fn turn(&self) -> usize {
        self.0.borrow().turn
    }

    /// What it took since it was last asked.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut self.0.borrow_mut().text)
    }

    /// What it took since it was last asked, a word a block: an event's data, `open`, `at`, `gap:<reason>`, `id`; and a word a
    /// comment, which is one line. Of an id its position is shown.
    pub(crate) fn words(&self) -> String {
        let text = self.take();
        let mut words = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let end = if rest.starts_with(':') { "\n" } else { "\n\n" };
            let (frame, after) = rest.split_once(end).expect("whole frames");
            words.push(word(frame));
            rest = after;
        }
        words.join(" ")
    }
}

fn word(block: &str) -> String {
    let field = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let id = field("id").and_then(|id| id.split_once('-')).map(|id| id.1);
    let data = field("data").unwrap_or_default();
    match field("event") {
        Some("tidewire.gap") => {
            let at = data.find("\"reason\":\"").unwrap() + 10;
            format!("gap:{}", data[at..].split('"').next().unwrap())
        }
        Some("tidewire.closing") => format!("closing:{}", data.split('"').nth(3).unwrap()),
        Some(control) if control.starts_with("tidewire.") => {
            let name = &control["tidewire.".len()..];
            id.map_or_else(|| name.to_owned(), |id| format!("{name}@{id}"))
        }
        _ if block.starts_with(':') => block.replace(' ', ""),
        _ if field("data").is_none() => format!("id@{}", id.unwrap_or("none")),
        _ => data.to_owned(),
    }
}

impl Sink for PipeSink {
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer {
        let mut pipe = self.0.borrow_mut();
        pipe.offers += 1;
        TURNS.set(TURNS.get() + 1);
        pipe.turn = TURNS.get();
        if pipe.closed {
            return Offer::Closed;
        }
        let taken = frames.len().min(pipe.room);
        for frame in &frames[..taken] {
            pipe.text
                .push_str(std::str::from_utf8(frame.bare()).unwrap());
        }
        if pipe.room == usize::MAX {
            return Offer::Taken;
        }
        pipe.room -= taken;
        if pipe.room == 0 {
            Offer::Full { taken }
        } else {
            Offer::Taken
        }
    }
}

#[derive(Default)]
pub(crate) struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        assert!(!self.0.swap(true, Ordering::Relaxed), "woken twice a step");
    }
}

/// A shard, a log and the time.
pub(crate) struct World {
    pub(crate) log: Arc<TestLog>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) shard: Shard<PipeSink>,
    pub(crate) now_ms: u64,
    pub(crate) ended: Vec<(SubscriberKey, EndReason)>,
    pub(crate) woken: Arc<Woken>,
}

/// No heartbeat and no end, unless a test asks.
pub(crate) fn quiet() -> ShardConfig {
    ShardConfig {
        heartbeat_ms: 0,
        stream_life_ms: 0,
        ..ShardConfig::default()
    }
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

pub(crate) fn set(names: &[&str]) -> MatcherSet {
    let matcher = |name: &&str| match *name {
        "*" => Matcher::Any,
        name => Matcher::Exact(topic(name)),
    };
    names.iter().map(matcher).collect()
}

impl World {
    pub(crate) fn new(config: ShardConfig) -> Self {
        Self::with_retention(config, Retention::default())
    }

    pub(crate) fn with_retention(config: ShardConfig, retention: Retention) -> Self {
        let log = TestLog::new(retention);
        let woken = Arc::new(Woken::default());
        Self {
            feed: Feed::new(Arc::clone(&log) as _),
            log,
            shard: Shard::new(config, 42, Waker::from(Arc::clone(&woken))),
            now_ms: 1_000_000,
            ended: Vec::new(),
            woken,
        }
    }

    /// Publishes `data` to some topics, written `a,b`; private if they start with `!`.
    pub(crate) fn publish(&self, topics: &str, data: &str) {
        let private = topics.starts_with('!');
        let topics = topics.trim_start_matches('!').split(',');
        let mut event = Event::new(topic("x"), data, self.now_ms);
        event.topics = topics.map(topic).collect();
        event.private = private;
        self.log.append(Append {
            events: vec![event],
            ack: Box::new(|answer| drop(answer.unwrap())),
        });
    }

    pub(crate) fn publish_many(&self, topics: &str, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.publish(topics, &number.to_string());
        }
    }

    /// What a subscriber of these topics brings, from a position on.
    pub(crate) fn wants(&self, topics: &[&str], from: u64) -> Subscription {
        Subscription {
            feed: Arc::clone(&self.feed),
            filter: Filter {
                routing: set(topics),
                private: MatcherSet::default(),
            },
            from: Position(from),
            gap: None,
            form: Form::EventStream,
            checkpoint: Checkpoint::Off,
            stream: "s".to_owned(),
            ends_ms: None,
            marks: tidewire_engine::Marks::NONE,
            seen_as: 0,
        }
    }

    pub(crate) fn tail(&self) -> u64 {
        self.log.bounds().tail.0
    }

    pub(crate) fn join(&mut self, subscription: Subscription) -> (SubscriberKey, PipeSink) {
        self.join_with(subscription, PipeSink::new())
    }

    pub(crate) fn join_with(
        &mut self,
        subscription: Subscription,
        sink: PipeSink,
    ) -> (SubscriberKey, PipeSink) {
        let key = self.shard.join(self.now_ms, subscription, sink.clone());
        (key, sink)
    }

    /// One step; whether another is due at once.
    pub(crate) fn step(&mut self) -> bool {
        self.woken.0.store(false, Ordering::Relaxed);
        let step = self.shard.step(self.now_ms);
        let ended = step.ended.into_iter();
        self.ended
            .extend(ended.map(|ended| (ended.key, ended.reason)));
        if let Some(wake_at_ms) = step.wake_at_ms {
            assert!(wake_at_ms > self.now_ms, "deadlines that came are done");
        }
        step.again
    }

    /// Steps until there is nothing to do.
    pub(crate) fn run(&mut self) {
        let steps = (0..10_000).take_while(|_| self.step()).count();
        assert!(steps < 10_000, "it never comes to rest");
    }

    /// Whether the shard's waker was woken since the last step.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }

    /// Lets time pass, stepping at every deadline.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        loop {
            self.woken.0.store(false, Ordering::Relaxed);
            let step = self.shard.step(self.now_ms);
            let ended = step.ended.into_iter();
            self.ended
                .extend(ended.map(|ended| (ended.key, ended.reason)));
            if step.again {
                continue;
            }
            match step.wake_at_ms {
                Some(at_ms) if at_ms <= until_ms => self.now_ms = at_ms,
                _ => break,
            }
        }
        self.now_ms = until_ms;
        self.run();
    }
}
