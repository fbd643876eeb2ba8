//! What the writing thread, the reading threads and the callers share, and which lock guards what.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Waker;
use std::time::Duration;

use tidewire_core::Position;
use tidewire_log::ring::Ring;
use tidewire_log::{AppendError, Block, Floors, Lives, LogCounters, Rules, Watcher};

use crate::config::{DiskConfig, Notice};
use crate::dir::Dir;
use crate::error::Damage;
use crate::files::{File, Wait};
use crate::hash::HashKey;
use crate::pool::{Cache, Cached, Pool};
use crate::segment::{Chunk, LoadedChunk, Segment};

/// The segments, oldest first; the last one grows. Replaced whole when one comes or goes, so a reader clones one pointer.
pub(crate) type Segments = Arc<[Arc<Segment>]>;

/// What readers see.
pub(crate) struct View {
    /// The newest records; begins where cold reads end.
    pub(crate) ring: Ring,
    /// The lowest position that can be read.
    pub(crate) head: Position,
    /// The next position to be written.
    pub(crate) tail: Position,
    pub(crate) lives: Lives,
    pub(crate) rules: Rules,
    pub(crate) segments: Segments,
}

impl View {
    /// Moves the head up. Returns whether it moved.
    pub(crate) fn raise_head(&mut self, head: Position) -> bool {
        let head = head.min(self.tail);
        if head <= self.head {
            return false;
        }
        self.head = head;
        if self.ring.start() < head {
            self.ring.drop_before(head);
        }
        self.rules.forget_before(head);
        self.lives.forget_before(head);
        true
    }

    /// Moves the head past all but so many records, of which the newest one stays. Positions are contiguous here.
    pub(crate) fn keep_newest(&mut self, count: Option<u64>) {
        if let Some(count) = count {
            self.raise_head(Position(self.tail.0.saturating_sub(count.max(1))));
        }
    }

    pub(crate) fn floors(&self) -> &Arc<Floors> {
        self.rules.floors()
    }
}

/// Who is told of commits. Replaced whole, so that the writing thread holds no lock while it tells them.
pub(crate) type Watchers = Arc<[Arc<dyn Watcher>]>;

/// A chunk: its segment's first position, its start and its end in the file.
type ChunkKey = (Position, u64, u64);

/// A term in a segment: the segment's first position, the term's hash.
type TermKey = (Position, u64);

/// Files that are open for cold reads: segments and sidecars.
#[derive(Default)]
struct Handles {
    open: HashMap<PathBuf, Arc<dyn File>>,
    /// Oldest first.
    order: VecDeque<PathBuf>,
}

impl Handles {
    fn insert(&mut self, path: PathBuf, file: Arc<dyn File>, max: usize) {
        if self.open.insert(path.clone(), file).is_none() {
            self.order.push_back(path);
        }
        if self.order.len() > max
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
    }

    fn remove(&mut self, path: &Path) {
        if self.open.remove(path).is_some() {
            self.order.retain(|known| known != path);
        }
    }
}

/// A chunk in memory; without a block none of its records can be read.
pub(crate) type ChunkValue = Option<Arc<Block>>;

/// What the writing thread did.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub(crate) commits: AtomicU64,
    syncs: AtomicU64,
    sync_ns: AtomicU64,
}

impl Counting {
    /// Data was made durable, or that failed.
    pub(crate) fn synced(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> LogCounters {
        LogCounters {
            commits: self.commits.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            sync_time: Duration::from_nanos(self.sync_ns.load(Ordering::Relaxed)),
        }
    }
}

pub(crate) struct Shared {
    pub(crate) config: DiskConfig,
    pub(crate) dir: Dir,
    pub(crate) key: HashKey,
    /// Taken for writing by the writing thread once a group, and by `maintain`. Nobody waits for the disk under it.
    view: RwLock<View>,
    watchers: RwLock<Watchers>,
    /// Why appends fail at the moment.
    health: Mutex<Option<AppendError>>,
    pub(crate) counting: Counting,
    /// Bytes of events that wait to be written.
    pub(crate) waiting_bytes: AtomicUsize,
    pub(crate) pool: Arc<Pool>,
    chunks: Cache<ChunkKey, ChunkValue>,
    terms: Cache<TermKey, Arc<[u32]>>,
    handles: Mutex<Handles>,
    /// Damage that was told already.
    told: Mutex<HashSet<(PathBuf, u64)>>,
}

impl Shared {
    pub(crate) fn new(config: DiskConfig, dir: Dir, key: HashKey, view: View) -> Self {
        Self {
            chunks: Cache::new(config.cold_bytes_max),
            terms: Cache::new(config.cold_bytes_max / 4),
            config,
            dir,
            key,
            view: RwLock::new(view),
            watchers: RwLock::default(),
            health: Mutex::default(),
            counting: Counting::default(),
            waiting_bytes: AtomicUsize::new(0),
            pool: Arc::default(),
            handles: Mutex::default(),
            told: Mutex::default(),
        }
    }

    // Poisoned: a thread of ours panicked. What these locks guard is changed by single steps, and readers are better
    // served by what is there than by a second panic.

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is told of what is committed from now on.
    pub(crate) fn watchers(&self) -> Watchers {
        let watchers = self.watchers.read().unwrap_or_else(PoisonError::into_inner);
        watchers.clone()
    }

    /// Adds one who is told.
    pub(crate) fn watch(&self, watcher: Arc<dyn Watcher>) {
        let mut watchers = self
            .watchers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *watchers = watchers.iter().cloned().chain([watcher]).collect();
    }

    pub(crate) fn notify(&self, notice: &Notice) {
        (self.config.notify)(notice);
    }

    /// Why appends fail at the moment.
    pub(crate) fn health(&self) -> Result<(), AppendError> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.clone().map_or(Ok(()), Err)
    }

    /// Notes whether appends work, and tells when that changes.
    pub(crate) fn set_health(&self, now: Option<AppendError>) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = health.is_some() != now.is_some();
        health.clone_from(&now);
        drop(health);
        match now {
            Some(why) if changed => self.notify(&Notice::AppendsFail(why.to_string())),
            None if changed => self.notify(&Notice::AppendsWork),
            _ => {}
        }
    }

    /// A chunk, if it is in memory; else it is fetched and the waker woken.
    pub(crate) fn chunk(
        self: &Arc<Self>,
        segment: &Arc<Segment>,
        chunk: Chunk,
        waker: Option<&Waker>,
    ) -> Option<ChunkValue> {
        let key = (segment.first, chunk.start, chunk.end);
        match self.chunks.ask(key, waker) {
            Cached::Ready(value) => Some(value),
            Cached::Waiting => None,
            Cached::Absent => {
                // What the page cache holds is here sooner than a thread can be woken.
                if let Ok(file) = self.handle(&segment.path, Wait::No)
                    && let Ok(LoadedChunk { block, damage }) =
                        segment.load(&*file, &chunk, Wait::No)
                    && damage.is_empty()
                {
                    self.fill_chunk(key, block.clone());
                    return Some(block);
                }
                let (shared, segment) = (self.clone(), segment.clone());
                self.pool.submit(Box::new(move || {
                    let value = shared.load_chunk(&segment, &chunk);
                    shared.fill_chunk(key, value);
                }));
                None
            }
        }
    }

    /// Whether a chunk is in memory or on its way.
    pub(crate) fn has_chunk(&self, segment: &Segment, chunk: &Chunk) -> bool {
        self.chunks.has((segment.first, chunk.start, chunk.end))
    }

    /// An open file, if it is open already or may be waited for.
    fn handle(&self, path: &Path, wait: Wait) -> io::Result<Arc<dyn File>> {
        let handles = || self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = handles().open.get(path) {
            return Ok(file.clone());
        }
        if wait == Wait::No {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let file: Arc<dyn File> = self.config.files.open(path, false)?.into();
        handles().insert(path.to_owned(), file.clone(), self.config.files_open_max);
        Ok(file)
    }

    /// Closes a file that is to be removed or was replaced.
    pub(crate) fn drop_handle(&self, path: &Path) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.remove(path);
    }

    /// A chunk, if it is in memory.
    pub(crate) fn peek_chunk(&self, segment: &Segment, chunk: &Chunk) -> Option<ChunkValue> {
        self.chunks.peek((segment.first, chunk.start, chunk.end))
    }

    /// A chunk, on a thread that may wait for the disk.
    pub(crate) fn chunk_now(&self, segment: &Segment, chunk: &Chunk) -> ChunkValue {
        let key = (segment.first, chunk.start, chunk.end);
        match self.chunks.ask(key, None) {
            Cached::Ready(value) => value,
            Cached::Waiting => self.load_chunk(segment, chunk),
            Cached::Absent => {
                let value = self.load_chunk(segment, chunk);
                self.fill_chunk(key, value.clone());
                value
            }
        }
    }

    fn fill_chunk(&self, key: ChunkKey, value: ChunkValue) {
        let bytes = value.as_ref().map_or(64, |block| block.memory_bytes());
        self.chunks.fill(key, value, bytes);
    }

    fn load_chunk(&self, segment: &Segment, chunk: &Chunk) -> ChunkValue {
        let mut tries = 0;
        loop {
            let loaded = self
                .handle(&segment.path, Wait::Yes)
                .and_then(|file| segment.load(&*file, chunk, Wait::Yes));
            match loaded {
                Ok(LoadedChunk { block, damage }) => {
                    damage
                        .into_iter()
                        .for_each(|damage| self.tell_damage(damage));
                    return block;
                }
                // Retention took it; the head is past it already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                // Too many open files, say.
                Err(_) if tries < 5 => std::thread::sleep(Duration::from_millis(10 << tries)),
                Err(error) => {
                    self.tell_damage(Damage {
                        file: segment.path.clone(),
                        offset: chunk.start,
                        what: format!("it cannot be read: {error}"),
                        first: Some(chunk.first),
                        next: Some(chunk.next),
                    });
                    return None;
                }
            }
            tries += 1;
        }
    }

    fn tell_damage(&self, damage: Damage) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert((damage.file.clone(), damage.offset)) {
            drop(told);
            self.notify(&Notice::Damaged(damage));
        }
    }

    /// The records of a segment that hold a term, if they are in memory; else they are fetched and the waker woken.
    pub(crate) fn postings(
        self: &Arc<Self>,
        segment: &Arc<Segment>,
        term: u64,
        waker: &Waker,
    ) -> Option<Arc<[u32]>> {
        let key = (segment.first, term);
        match self.terms.ask(key, Some(waker)) {
            Cached::Ready(value) => Some(value),
            Cached::Waiting => None,
            Cached::Absent => {
                let sidecar = || self.handle(&segment.sidecar_path(), Wait::No);
                if let Ok(postings) = segment.postings(sidecar, term, Wait::No) {
                    let postings: Arc<[u32]> = postings.into();
                    self.fill_postings(key, postings.clone());
                    return Some(postings);
                }
                let (shared, segment) = (self.clone(), segment.clone());
                self.pool.submit(Box::new(move || {
                    shared.fill_postings(key, shared.load_postings(&segment, term));
                }));
                None
            }
        }
    }

    /// The records of a segment that hold a term, on a thread that may wait for the disk.
    pub(crate) fn postings_now(&self, segment: &Arc<Segment>, term: u64) -> Arc<[u32]> {
        let key = (segment.first, term);
        match self.terms.ask(key, None) {
            Cached::Ready(value) => value,
            Cached::Waiting => self.load_postings(segment, term),
            Cached::Absent => {
                let value = self.load_postings(segment, term);
                self.fill_postings(key, value.clone());
                value
            }
        }
    }

    fn fill_postings(&self, key: TermKey, value: Arc<[u32]>) {
        let bytes = 64 + value.len() * 4;
        self.terms.fill(key, value, bytes);
    }

    fn load_postings(&self, segment: &Arc<Segment>, term: u64) -> Arc<[u32]> {
        let path = segment.sidecar_path();
        let sidecar = || self.handle(&path, Wait::Yes);
        let found = segment.postings(sidecar, term, Wait::Yes).or_else(|_| {
            self.drop_handle(&path);
            segment.rebuild_index(&*self.config.files, self.key)?;
            self.notify(&Notice::IndexRebuilt(path.clone()));
            segment.postings(sidecar, term, Wait::Yes)
        });
        match found {
            Ok(postings) => postings.into(),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.tell_damage(Damage {
                        file: segment.path.clone(),
                        offset: 0,
                        what: format!("it cannot be read: {error}"),
                        first: Some(segment.first),
                        next: Some(segment.next()),
                    });
                }
                Arc::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Files, RealFiles};

    #[test]
    fn the_oldest_of_too_many_files_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let mut handles = Handles::default();
        for number in 0..5 {
            let path = dir.path().join(number.to_string());
            let file: Arc<dyn File> = RealFiles.create(&path).unwrap().into();
            // What is open already takes no room again.
            handles.insert(path.clone(), Arc::clone(&file), 3);
            handles.insert(path, file, 3);
            assert_eq!(handles.open.len(), (number + 1).min(3));
        }
        let left: Vec<bool> = (0..5)
            .map(|number| {
                handles
                    .open
                    .contains_key(&dir.path().join(number.to_string()))
            })
            .collect();
        assert_eq!(left, [false, false, true, true, true]);
    }
}
