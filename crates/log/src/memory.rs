//! The memory log: everything in one [`Ring`] under a lock. A restart forgets it all, and says so by a new epoch.
//!
//! It appends on the caller's thread. There is nothing to wait for, so that no read is ever [`Read::Loading`].

mod outbox;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::task::Waker;

use tidewire_core::{Cursor, Epoch, MatcherSet, Position};

use crate::locate::{CountBack, FoundBy};
use crate::ring::{Ring, RingConfig, RingRead};
use crate::{
    Append, AppendError, Appended, Batch, Block, Bounds, Entry, Event, Floors, Gap, GapReason,
    Lives, Locate, Located, Log, Plan, Produced, ProducerLimits, ProducerWindow, Read, ReadAsk,
    Retention, Rules, Slice, Start, Watcher, encode_record, locate,
};
use outbox::Outbox;

/// What a memory log is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Its life's name: the time it begins, in milliseconds since 1970.
    pub epoch: Epoch,
    /// How long it keeps records. Without a limit in bytes it grows with all that is published.
    pub retention: Retention,
    /// How long it knows producer keys.
    pub producers: ProducerLimits,
    /// The largest record it takes, in bytes.
    pub record_bytes_max: usize,
    /// Every record is so many positions after the one before: 1, but for tests that must not rely on it.
    pub position_step: u64,
    /// How recent blocks are merged; its seed is random where publishers are strangers.
    pub ring: RingConfig,
}

impl Default for MemoryConfig {
    /// 256 MiB, records of 2 MiB at most (an event of 1 MiB and what its encoding adds).
    fn default() -> Self {
        Self {
            epoch: Epoch(1),
            retention: Retention {
                bytes: Some(256 << 20),
                ..Retention::default()
            },
            producers: ProducerLimits::default(),
            record_bytes_max: 2 << 20,
            position_step: 1,
            ring: RingConfig::default(),
        }
    }
}

/// A log that lives as long as its process.
pub struct MemoryLog {
    retention: Retention,
    record_bytes_max: usize,
    position_step: u64,
    /// Held by one append at a time, from the look at its keys until its records are in the ring. Readers do not take it.
    writer: Mutex<Writer>,
    /// What readers see. Taken for writing only to add encoded blocks and to drop old ones.
    kept: RwLock<Kept>,
    outbox: Outbox,
}

struct Writer {
    producers: ProducerWindow,
    /// The newest record's time, in milliseconds since 1970.
    time_ms: u64,
}

struct Kept {
    ring: Ring,
    lives: Lives,
    rules: Rules,
}

/// The records of one append, encoded but not yet seen by anybody.
struct Encoded {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// One an event.
    appended: Vec<Appended>,
    produced: Vec<Produced>,
    time_ms: u64,
}

impl MemoryLog {
    /// An empty log.
    ///
    /// # Panics
    /// If the position step is zero.
    #[must_use]
    pub fn new(config: MemoryConfig) -> Self {
        assert!(config.position_step > 0, "positions increase");
        Self {
            record_bytes_max: config.record_bytes_max,
            position_step: config.position_step,
            writer: Mutex::new(Writer {
                producers: ProducerWindow::new(config.producers, config.ring.seed),
                time_ms: 0,
            }),
            kept: RwLock::new(Kept {
                ring: Ring::new(config.ring, Position::FIRST),
                lives: Lives::new(config.epoch, Position::FIRST),
                rules: Rules::new(&config.retention.rules),
            }),
            outbox: Outbox::default(),
            retention: config.retention,
        }
    }

    /// Begins a new life at the tail, as a log does that may have forgotten something. Returns its name.
    pub fn begin_life(&self, now_ms: u64) -> Epoch {
        let _writer = self.writer();
        let mut kept = self.kept_mut();
        let tail = kept.ring.end();
        kept.lives.begin(now_ms, tail)
    }

    fn store(&self, events: &[Event]) -> Result<Vec<Appended>, AppendError> {
        let mut writer = self.writer();
        let now_ms = writer.time_ms;
        let plans = writer.producers.plan(events, now_ms)?;
        let encoded = self.encode(events, &plans, now_ms)?;
        if encoded.entries.is_empty() {
            return Ok(encoded.appended);
        }
        writer.time_ms = encoded.time_ms;
        for produced in encoded.produced {
            writer.producers.insert(produced);
        }
        let block = Arc::new(Block::new(encoded.bytes, encoded.entries));
        let batch = self.kept_mut().add(block, &self.retention);
        // Still under the writer's lock: the outbox is filled in the order of the log.
        self.outbox.put(batch);
        Ok(encoded.appended)
    }

    fn encode(
        &self,
        events: &[Event],
        plans: &[Plan],
        mut time_ms: u64,
    ) -> Result<Encoded, AppendError> {
        let (epoch, mut tail) = self.kept().life_and_tail();
        let mut bytes = Vec::new();
        let mut entries = Vec::with_capacity(events.len());
        let mut appended: Vec<Appended> = Vec::with_capacity(events.len());
        let mut produced = Vec::new();
        for (index, (event, plan)) in events.iter().zip(plans).enumerate() {
            let known = match *plan {
                Plan::Store => None,
                Plan::Stored(cursor) => Some(cursor),
                Plan::SameAs(earlier) => Some(appended[earlier].cursor),
            };
            let cursor = known
                .unwrap_or_else(|| Cursor::new(epoch, Position(tail.0 + self.position_step - 1)));
            appended.push(Appended {
                cursor,
                duplicate: known.is_some(),
            });
            if known.is_some() {
                continue;
            }
            time_ms = time_ms.max(event.time_ms);
            let entry = encode_record(event, cursor, time_ms, &mut bytes);
            self.check_size(index, &entry)?;
            entries.push(entry);
            produced.extend(event.producer.map(|producer| Produced {
                producer,
                cursor,
                time_ms,
            }));
            tail = cursor.seen().next();
        }
        Ok(Encoded {
            bytes,
            entries,
            appended,
            produced,
            time_ms,
        })
    }

    fn check_size(&self, index: usize, entry: &Entry) -> Result<(), AppendError> {
        let bytes = entry.bytes as usize;
        if bytes > self.record_bytes_max {
            return Err(AppendError::TooLarge {
                index,
                bytes,
                bytes_max: self.record_bytes_max,
            });
        }
        Ok(())
    }

    // Nothing that runs under these locks is left half done by a panic of ours that would not be one again at the next
    // call, and readers are better served by what is there than by a second panic.

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept_mut(&self) -> std::sync::RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn life_and_tail(&self) -> (Epoch, Position) {
        (self.lives.current().epoch, self.ring.end())
    }

    /// Adds a block and drops what is too much then. Returns what watchers are told.
    fn add(&mut self, block: Arc<Block>, retention: &Retention) -> Batch {
        for index in 0..block.len() {
            self.rules.note(&block.record(index));
        }
        let range = 0..block.len();
        self.ring.push(block.clone());
        // The newest record stays even if it alone is more than the limit: it was just acknowledged.
        while self.ring.records() > 1
            && retention.is_exceeded(self.ring.records(), self.ring.bytes())
        {
            self.ring.pop_oldest();
        }
        self.rules.settle();
        self.head_moved();
        Batch::new(
            vec![Slice { block, range }],
            self.rules.floors().clone(),
            self.ring.end(),
        )
    }

    fn history(&self) -> History {
        History {
            blocks: self.ring.blocks_back(),
            floors: self.rules.floors().clone(),
            tail: self.ring.end(),
        }
    }

    fn head_moved(&mut self) {
        let head = self.ring.start();
        self.rules.forget_before(head);
        self.lives.forget_before(head);
    }

    fn age(&mut self, retention: &Retention, now_ms: u64) {
        self.ring
            .drop_while(|time_ms| retention.has_ended(time_ms, now_ms));
        self.rules.advance(now_ms);
        self.head_moved();
    }
}

impl locate::Lookup for Kept {
    fn head(&self) -> Position {
        self.ring.start()
    }

    fn tail(&self) -> Position {
        self.ring.end()
    }

    fn lives(&self) -> &Lives {
        &self.lives
    }

    fn floors(&self) -> &Floors {
        self.rules.floors()
    }

    fn find_id(&self, id: &str) -> Option<Position> {
        self.ring.find_id(id)
    }

    fn find_time(&self, time_ms: u64) -> Option<Position> {
        self.ring.find_time(time_ms)
    }

    fn find_last(&self, count: u64, routing: &MatcherSet) -> Option<Position> {
        let topics = match FoundBy::of(routing) {
            FoundBy::Every => None,
            FoundBy::Topics(topics) => Some(topics),
            FoundBy::Look => return self.history().find_last(count, routing),
        };
        self.ring
            .find_last(count, topics.as_deref(), self.rules.floors())
            .map(|(position, _)| position)
    }
}

/// All that a log kept at some moment, for a look that takes too long for its lock.
struct History {
    /// Newest first, with the indexes of their first records.
    blocks: Vec<(Arc<Block>, usize)>,
    floors: Arc<Floors>,
    tail: Position,
}

impl History {
    fn find_last(&self, count: u64, routing: &MatcherSet) -> Option<Position> {
        let mut counted = CountBack::new(count, routing, &self.floors);
        for (block, first) in &self.blocks {
            for index in (*first..block.len()).rev() {
                if !counted.goes_on() {
                    return counted.found();
                }
                counted.look(&block.record(index));
            }
        }
        counted.found()
    }
}

impl Log for MemoryLog {
    fn append(&self, append: Append) {
        let stored = self.store(&append.events);
        (append.ack)(stored);
        self.outbox.deliver();
    }

    fn read(&self, ask: &ReadAsk<'_>, _: &Waker) -> Read {
        let kept = self.kept();
        let gap = |reason| {
            Read::Gap(Gap {
                reason,
                resume: kept.ring.start(),
            })
        };
        if ask.from > kept.ring.end() {
            return gap(GapReason::Beyond);
        }
        match kept
            .ring
            .read(ask.from, ask.topics, ask.bytes_max, ask.records_max)
        {
            RingRead::Before => gap(GapReason::Expired),
            RingRead::AtEnd => Read::AtTail,
            RingRead::Found { slices, next } => {
                Read::Batch(Batch::new(slices, kept.rules.floors().clone(), next))
            }
        }
    }

    fn locate(&self, locate: Locate) {
        let Locate { start, routing, .. } = &locate;
        let located = match (start, FoundBy::of(routing)) {
            (Start::Last(count), FoundBy::Look) => {
                let history = self.kept().history();
                let last = history.find_last(*count, routing);
                Located {
                    from: last.unwrap_or(history.tail),
                    gap: None,
                }
            }
            _ => locate::locate(&*self.kept(), start, routing),
        };
        (locate.done)(located);
    }

    fn cursor_at(&self, next: Position) -> Cursor {
        self.kept().lives.cursor_at(next)
    }

    fn bounds(&self) -> Bounds {
        let kept = self.kept();
        let (epoch, tail) = kept.life_and_tail();
        Bounds {
            epoch,
            head: kept.ring.start(),
            tail,
            records: kept.ring.records(),
            bytes: kept.ring.bytes(),
        }
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.outbox.watch(watcher);
    }

    fn health(&self) -> Result<(), AppendError> {
        Ok(())
    }

    fn maintain(&self, now_ms: u64) {
        self.writer().producers.expire(now_ms);
        self.kept_mut().age(&self.retention, now_ms);
    }
}
