//! The log as its callers see it: [`DiskLog`], which answers from memory and hands everything else to its threads.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::thread::{Builder, JoinHandle};

use tidewire_core::{Cursor, Position};
use tidewire_log::locate::locate;
use tidewire_log::ring::{Ring, RingConfig, RingRead};
use tidewire_log::{
    Append, AppendError, Batch, Bounds, Event, Gap, GapReason, Locate, Log, LogCounters, Read,
    ReadAsk, Start, Watcher,
};

use crate::config::DiskConfig;
use crate::dir::Lock;
use crate::error::OpenError;
use crate::format::GROUP_HEAD_BYTES;
use crate::lookup::Snapshot;
use crate::open::open;
use crate::read::ColdRead;
use crate::shared::{Shared, View};
use crate::writer::{Message, Writer};

/// About what a record takes besides its topics and data.
const RECORD_OVERHEAD_BYTES: usize = 160;

/// A log in a directory.
pub struct DiskLog {
    shared: Arc<Shared>,
    writer: Sender<Message>,
    /// Taken when it is closed.
    running: Mutex<Option<Running>>,
}

struct Running {
    threads: Vec<JoinHandle<()>>,
    lock: Lock,
}

impl DiskLog {
    /// Opens the log in a directory, or makes one.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing that was stored has been changed then.
    pub fn open(dir: impl AsRef<Path>, config: DiskConfig) -> Result<Self, OpenError> {
        let opened = open(dir.as_ref(), &config)?;
        let tail = opened.active.segment.next();
        let segments: Vec<_> = opened
            .sealed
            .into_iter()
            .chain([opened.active.segment.clone()])
            .collect();
        let ring = RingConfig {
            seed: config.seed[1],
            ..RingConfig::default()
        };
        let mut view = View {
            ring: Ring::new(ring, tail),
            head: segments[0].first,
            tail,
            lives: opened.state.lives.clone(),
            rules: opened.rules,
            segments: segments.into(),
        };
        let now_ms = config.now_ms;
        view.keep_newest(config.retention.count);
        let shared = Arc::new(Shared::new(config, opened.dir, opened.state.key, view));
        let (writer, inbox) = channel();
        let writing = Writer {
            shared: shared.clone(),
            inbox,
            active: opened.active,
            state: opened.state,
            tail,
            last_ms: opened.last_ms,
            now_ms,
            window: opened.window,
            stopped: None,
            sync_due: None,
            doomed: Vec::new(),
        };
        let log = Self {
            shared,
            writer,
            running: Mutex::new(None),
        };
        let threads = log
            .start(writing)
            .map_err(|error| OpenError::io(dir.as_ref(), error))?;
        let running = Running {
            threads,
            lock: opened.lock,
        };
        *log.running() = Some(running);
        log.maintain(now_ms);
        Ok(log)
    }

    fn start(&self, writing: Writer) -> std::io::Result<Vec<JoinHandle<()>>> {
        let name = |name: &str| Builder::new().name(name.to_owned());
        let mut threads = vec![name("log-writer").spawn(|| writing.run())?];
        for _ in 0..self.shared.config.readers.max(1) {
            let pool = self.shared.pool.clone();
            threads.push(name("log-reader").spawn(move || pool.run())?);
        }
        Ok(threads)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits what waits, marks the log as closed, ends its threads and gives the directory free. Appends are refused from
    /// now on, and whoever waits for a cold read waits for ever.
    ///
    /// # Errors
    /// If the mark could not be written; then the next opening looks at the log as after a crash.
    pub fn close(&self) -> Result<(), OpenError> {
        let Some(running) = self.running().take() else {
            return Ok(());
        };
        let (done, closed) = channel();
        // A writing thread that is gone has panicked, and there is nothing to write any more.
        let closed = match self.writer.send(Message::Close(done)) {
            Ok(()) => closed.recv().unwrap_or(Ok(())),
            Err(_) => Ok(()),
        };
        self.shared.pool.close();
        for thread in running.threads {
            let _ = thread.join();
        }
        drop(running.lock);
        closed
    }

    /// Moves the head past what has ended by age. What is not in memory is fetched, and then this is done again.
    fn raise_head_by_age(shared: &Arc<Shared>, now_ms: u64) {
        let Some(age_ms) = shared.config.retention.age_ms else {
            return;
        };
        // A record has ended when its time and its age are not in the future.
        let first_kept_ms = now_ms.saturating_sub(age_ms).saturating_add(1);
        if age_ms > now_ms {
            return;
        }
        let mut view = shared.view_mut();
        let segments = view.segments.clone();
        let after = segments.partition_point(|segment| segment.ends_before(first_kept_ms));
        let Some(segment) = segments.get(after) else {
            let tail = view.tail;
            view.raise_head(tail);
            return;
        };
        let Some(chunk) = segment.chunk_at_time(first_kept_ms) else {
            view.raise_head(segment.first);
            return;
        };
        let in_ring = view
            .ring
            .oldest()
            .is_some_and(|oldest| oldest.position <= chunk.first || oldest.time_ms < first_kept_ms);
        if in_ring {
            let first = view.ring.find_time(first_kept_ms).unwrap_or(view.tail);
            view.raise_head(first);
            return;
        }
        match shared.peek_chunk(segment, &chunk) {
            Some(block) => {
                let first = block.and_then(|block| {
                    (0..block.len())
                        .map(|index| block.record(index))
                        .find(|record| record.time_ms() >= first_kept_ms)
                        .map(|record| record.position())
                });
                view.raise_head(first.unwrap_or(chunk.next));
            }
            None => {
                view.raise_head(chunk.first);
                let (again, segment) = (shared.clone(), segment.clone());
                shared.pool.submit(Box::new(move || {
                    again.chunk_now(&segment, &chunk);
                    if again.peek_chunk(&segment, &chunk).is_some() {
                        Self::raise_head_by_age(&again, now_ms);
                    }
                }));
            }
        }
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        let _ = self.close();
    }
}

impl std::fmt::Debug for DiskLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskLog")
            .field("dir", &self.shared.dir.root)
            .field("bounds", &self.bounds())
            .finish_non_exhaustive()
    }
}

fn bytes_of(event: &Event) -> usize {
    let topics: usize = event
        .topics
        .iter()
        .map(|topic| topic.as_bytes().len())
        .sum();
    event.data.len() + topics + RECORD_OVERHEAD_BYTES
}

impl Log for DiskLog {
    fn append(&self, append: Append) {
        let bytes: usize = append.events.iter().map(bytes_of).sum();
        let waiting = self
            .shared
            .waiting_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        // One append alone is taken whatever its size: its events are bounded one by one.
        if waiting > 0 && waiting + bytes > self.shared.config.waiting_bytes_max {
            self.shared
                .waiting_bytes
                .fetch_sub(bytes, Ordering::Relaxed);
            return (append.ack)(Err(AppendError::Busy));
        }
        if let Err(unsent) = self.writer.send(Message::Append(append, bytes))
            && let Message::Append(append, _) = unsent.0
        {
            (append.ack)(Err(AppendError::Stopped("it is closed".into())));
        }
    }

    fn read(&self, ask: &ReadAsk<'_>, waker: &Waker) -> Read {
        let view = self.shared.view();
        let gap = |reason| {
            Read::Gap(Gap {
                reason,
                resume: view.head,
            })
        };
        if ask.from > view.tail {
            return gap(GapReason::Beyond);
        }
        if ask.from < view.head {
            return gap(GapReason::Expired);
        }
        match view
            .ring
            .read(ask.from, ask.topics, ask.bytes_max, ask.records_max)
        {
            RingRead::Found { slices, next } => {
                return Read::Batch(Batch::new(slices, view.floors().clone(), next));
            }
            RingRead::AtEnd => return Read::AtTail,
            RingRead::Before => {}
        }
        let cold = ColdRead {
            shared: &self.shared,
            ask,
            waker,
            segments: view.segments.clone(),
            floors: view.floors().clone(),
            tail: view.tail,
            ring_start: view.ring.start(),
        };
        drop(view);
        cold.read()
    }

    fn locate(&self, asked: Locate) {
        let snapshot = Snapshot::of(&self.shared);
        let is_arithmetic = matches!(asked.start, Start::Tail | Start::Head | Start::After(_));
        let answer = move || {
            let located = locate(&snapshot, &asked.start, &asked.routing);
            (asked.done)(located);
        };
        if is_arithmetic {
            answer();
        } else {
            self.shared.pool.submit(Box::new(answer));
        }
    }

    fn cursor_at(&self, next: Position) -> Cursor {
        self.shared.view().lives.cursor_at(next)
    }

    fn bounds(&self) -> Bounds {
        let view = self.shared.view();
        let ended = GROUP_HEAD_BYTES as u64;
        let bytes = view
            .segments
            .iter()
            .map(|segment| segment.data_end() + ended)
            .sum();
        Bounds {
            epoch: view.lives.current().epoch,
            head: view.head,
            tail: view.tail,
            records: view.tail.0 - view.head.0,
            bytes,
        }
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.shared.watch(watcher);
    }

    fn health(&self) -> Result<(), AppendError> {
        self.shared.health()
    }

    fn counters(&self) -> Option<LogCounters> {
        Some(self.shared.counting.now())
    }

    fn maintain(&self, now_ms: u64) {
        Self::raise_head_by_age(&self.shared, now_ms);
        {
            let mut view = self.shared.view_mut();
            view.rules.advance(now_ms);
        }
        // Fails after the log was closed, when there is nothing to maintain.
        let _ = self.writer.send(Message::Maintain(now_ms));
    }
}
