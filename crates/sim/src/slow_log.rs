//! The real memory log, slow at random: any read may be `Loading` first, and the waker is woken when the world says so.
//! Watchers may be told of a commit after it can be read, as a log's own thread would tell them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use tidewire_core::{Cursor, Position};
use tidewire_log::{
    Append, AppendError, Batch, Bounds, Locate, Log, MemoryConfig, MemoryLog, Read, ReadAsk,
    Watcher,
};

use crate::rng::Rng;
use crate::tally::Tally;

/// A memory log behind a slow line.
pub struct SlowLog {
    inner: MemoryLog,
    has_rule: bool,
    /// One thread runs a world: never contended.
    line: Mutex<Line>,
    late: Arc<Late>,
}

/// Stands between the log and its watcher.
struct Late {
    is_late: bool,
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    watchers: Vec<Arc<dyn Watcher>>,
    batches: VecDeque<Batch>,
}

impl Late {
    fn tell(&self, most: usize) {
        for _ in 0..most {
            let (batch, watchers) = {
                let mut state = self.state.lock().expect("one thread runs a world");
                let Some(batch) = state.batches.pop_front() else {
                    return;
                };
                (batch, state.watchers.clone())
            };
            watchers
                .iter()
                .for_each(|watcher| watcher.committed(&batch));
        }
    }
}

impl Watcher for Late {
    fn committed(&self, batch: &Batch) {
        let mut state = self.state.lock().expect("one thread runs a world");
        state.batches.push_back(batch.clone());
        drop(state);
        if !self.is_late {
            self.tell(usize::MAX);
        }
    }
}

struct Line {
    rng: Rng,
    loading_percent: u64,
    loading: Vec<Waker>,
    tally: Tally,
}

impl SlowLog {
    /// So many reads in a hundred are slow; watchers are told at once, or when [`SlowLog::load`] comes.
    #[must_use]
    pub fn new(config: MemoryConfig, loading_percent: u64, is_late: bool, seed: u64) -> Self {
        let has_rule = !config.retention.rules.is_empty();
        let inner = MemoryLog::new(config);
        let late = Arc::new(Late {
            is_late,
            state: Mutex::default(),
        });
        inner.watch(Arc::<Late>::clone(&late));
        Self {
            inner,
            has_rule,
            late,
            line: Mutex::new(Line {
                rng: Rng::new(seed),
                loading_percent,
                loading: Vec::new(),
                tally: Tally::default(),
            }),
        }
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        self.line.lock().expect("one thread runs a world")
    }

    /// The log itself.
    #[must_use]
    pub fn inner(&self) -> &MemoryLog {
        &self.inner
    }

    /// Up to so many of those that wait for something are woken, and up to so many commits told.
    pub fn load(&self, most: usize) {
        self.late.tell(most);
        let woken: Vec<_> = {
            let mut line = self.line();
            let count = most.min(line.loading.len());
            line.loading.drain(..count).collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// No read is slow from now on. Commits stay late: [`SlowLog::load`] tells them.
    pub fn speed_up(&self) {
        self.line().loading_percent = 0;
        self.load(usize::MAX);
    }

    /// What it answered.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.line().tally.clone()
    }

    /// Where the one rule's floor is, as readers see it now; `None` without a rule. Where nothing is left to read, it has
    /// passed everything.
    #[must_use]
    pub fn floor(&self) -> Option<Position> {
        let ask = ReadAsk {
            from: self.inner.bounds().head,
            topics: None,
            bytes_max: 1,
            records_max: 1,
        };
        match self.inner.read(&ask, Waker::noop()) {
            Read::Batch(batch) => {
                let floor = batch.floors().as_slice().first()?;
                Some(floor.floor.max(ask.from))
            }
            _ => self.has_rule.then_some(ask.from),
        }
    }
}

impl Log for SlowLog {
    fn append(&self, append: Append) {
        self.inner.append(append);
    }

    fn read(&self, ask: &ReadAsk<'_>, waker: &Waker) -> Read {
        let mut line = self.line();
        let chance = line.loading_percent;
        let read = if line.rng.percent(chance) {
            line.loading.push(waker.clone());
            Read::Loading
        } else {
            self.inner.read(ask, waker)
        };
        line.tally.count(match read {
            Read::Batch(_) => "read Batch",
            Read::AtTail => "read AtTail",
            Read::Loading => "read Loading",
            Read::Gap(_) => "read Gap",
        });
        read
    }

    fn locate(&self, locate: Locate) {
        self.inner.locate(locate);
    }

    fn cursor_at(&self, next: Position) -> Cursor {
        self.inner.cursor_at(next)
    }

    fn bounds(&self) -> Bounds {
        self.inner.bounds()
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        let mut state = self.late.state.lock().expect("one thread runs a world");
        state.watchers.push(watcher);
    }

    fn health(&self) -> Result<(), AppendError> {
        self.inner.health()
    }

    fn maintain(&self, now_ms: u64) {
        self.inner.maintain(now_ms);
    }
}
