//! The writing thread: takes what waits, commits it as one group, tells everyone. The only one that writes segments.

mod keeping;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use tidewire_core::{Cursor, Epoch, Position};
use tidewire_log::{
    Ack, Append, AppendError, Appended, Batch, Block, Entry, Plan, Produced, ProducerWindow, Slice,
    encode_record,
};

use crate::config::{Durability, Notice};
use crate::dir::store_sidecar;
use crate::error::OpenError;
use crate::format::{GROUP_HEAD_BYTES, GroupHead, RECORD_HEAD_BYTES, encode_record_head};
use crate::open::{Active, create_segment};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::state::{State, Status};

/// What the writing thread is told.
pub(crate) enum Message {
    /// Append this, which is about so many bytes.
    Append(Append, usize),
    /// It is so late.
    Maintain(u64),
    /// Write out everything, mark the log as closed and end.
    Close(Sender<Result<(), OpenError>>),
}

/// The writing thread's own.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Receiver<Message>,
    pub(crate) active: Active,
    pub(crate) state: State,
    /// The next position.
    pub(crate) tail: Position,
    /// The time of the last record, in milliseconds since 1970.
    pub(crate) last_ms: u64,
    /// The time, as far as it was told, in milliseconds since 1970.
    pub(crate) now_ms: u64,
    pub(crate) window: ProducerWindow,
    /// A sync failed: nothing is appended any more.
    pub(crate) stopped: Option<String>,
    /// When what was written must be synced, at durability `interval`.
    pub(crate) sync_due: Option<Instant>,
    /// Files past their retention that could not be removed yet.
    pub(crate) doomed: Vec<Arc<Segment>>,
}

/// A group in the making.
struct Draft {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The position after the last entry.
    next: Position,
    /// The time of the last entry.
    last_ms: u64,
    /// How many producer keys it put into the window.
    keys: usize,
    answers: Vec<(Ack, Result<Vec<Appended>, AppendError>)>,
}

impl Writer {
    /// Runs until it is closed.
    pub(crate) fn run(mut self) {
        while let Some(message) = self.next_message() {
            match message {
                Ok(Message::Append(append, bytes)) => {
                    if let Some(Message::Close(done)) = self.commit_waiting(append, bytes) {
                        return self.close(&done);
                    }
                }
                Ok(Message::Maintain(now_ms)) => self.maintain(now_ms),
                Ok(Message::Close(done)) => return self.close(&done),
                Err(SyncDue) => self.sync_now(),
            }
        }
    }

    /// `None`: nobody is left who could ask for anything.
    fn next_message(&self) -> Option<Result<Message, SyncDue>> {
        let Some(due) = self.sync_due else {
            return self.inbox.recv().ok().map(Ok);
        };
        let wait = due.saturating_duration_since(Instant::now());
        if wait == Duration::ZERO {
            return Some(Err(SyncDue));
        }
        match self.inbox.recv_timeout(wait) {
            Ok(message) => Some(Ok(message)),
            Err(RecvTimeoutError::Timeout) => Some(Err(SyncDue)),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Commits this append and all that waits behind it, up to the bound. Returns a message to close that came between.
    fn commit_waiting(&mut self, append: Append, bytes: usize) -> Option<Message> {
        let mut draft = self.draft();
        let mut taken = bytes;
        self.take(append, bytes, &mut draft);
        let mut close = None;
        let mut late = None;
        let bytes_max = self.shared.config.group_bytes_max();
        while taken < bytes_max {
            match self.inbox.try_recv() {
                Ok(Message::Append(append, bytes)) => {
                    taken += bytes;
                    self.take(append, bytes, &mut draft);
                }
                Ok(Message::Maintain(now_ms)) => late = Some(now_ms),
                Ok(message) => {
                    close = Some(message);
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        self.commit(draft);
        if let Some(now_ms) = late {
            self.maintain(now_ms);
        }
        close
    }

    fn draft(&self) -> Draft {
        Draft {
            bytes: vec![0; GROUP_HEAD_BYTES],
            entries: Vec::new(),
            next: self.tail,
            last_ms: self.last_ms,
            keys: 0,
            answers: Vec::new(),
        }
    }

    /// Adds an append to the group, or its refusal to the answers.
    fn take(&mut self, append: Append, bytes: usize, draft: &mut Draft) {
        self.shared
            .waiting_bytes
            .fetch_sub(bytes, Ordering::Relaxed);
        let Append { events, ack } = append;
        let answer = match &self.stopped {
            Some(why) => Err(AppendError::Stopped(why.clone())),
            None => {
                draft.bytes.reserve(bytes);
                draft.entries.reserve(events.len());
                self.encode(&events, draft)
            }
        };
        draft.answers.push((ack, answer));
    }

    fn encode(
        &mut self,
        events: &[tidewire_log::Event],
        draft: &mut Draft,
    ) -> Result<Vec<Appended>, AppendError> {
        let plans = self.window.plan(events, draft.last_ms.max(self.now_ms))?;
        let mark = (
            draft.bytes.len(),
            draft.entries.len(),
            draft.next,
            draft.last_ms,
            draft.keys,
        );
        let mut appended: Vec<Appended> = Vec::with_capacity(events.len());
        for (index, (event, plan)) in events.iter().zip(plans).enumerate() {
            let known = match plan {
                Plan::Store => None,
                Plan::Stored(cursor) => Some(cursor),
                Plan::SameAs(earlier) => Some(appended[earlier].cursor),
            };
            let cursor = known.unwrap_or_else(|| draft.next_cursor(self.epoch()));
            appended.push(Appended {
                cursor,
                duplicate: known.is_some(),
            });
            if known.is_some() {
                continue;
            }
            let bytes = draft.push(event, cursor);
            if bytes > self.shared.config.record_bytes_max {
                self.window.take_back(draft.keys - mark.4);
                draft.bytes.truncate(mark.0);
                draft.entries.truncate(mark.1);
                (draft.next, draft.last_ms, draft.keys) = (mark.2, mark.3, mark.4);
                return Err(AppendError::TooLarge {
                    index,
                    bytes,
                    bytes_max: self.shared.config.record_bytes_max,
                });
            }
            if let Some(producer) = event.producer {
                draft.keys += 1;
                self.window.insert(Produced {
                    producer,
                    cursor,
                    time_ms: draft.last_ms,
                });
            }
        }
        Ok(appended)
    }

    fn epoch(&self) -> Epoch {
        self.state.lives.current().epoch
    }

    /// Writes a group, lets readers see it, answers, and tells who watches. In this order.
    fn commit(&mut self, draft: Draft) {
        let Draft {
            bytes,
            entries,
            next,
            last_ms,
            keys,
            answers,
        } = draft;
        if entries.is_empty() {
            return answer(answers, None);
        }
        match self.write(bytes, entries) {
            Ok(block) => {
                (self.tail, self.last_ms) = (next, last_ms);
                self.window.expire(last_ms);
                // Those who begin to watch once it is acknowledged are not told of it.
                let watchers = self.shared.watchers();
                let batch = self.publish(block);
                answer(answers, None);
                watchers
                    .iter()
                    .for_each(|watcher| watcher.committed(&batch));
                self.shared.set_health(None);
                self.drop_old();
            }
            Err(error) => {
                self.window.take_back(keys);
                self.shared.set_health(Some(error.clone()));
                answer(answers, Some(&error));
            }
        }
    }

    /// Writes a group to the segment, durable if that is asked for.
    fn write(
        &mut self,
        mut bytes: Vec<u8>,
        entries: Vec<Entry>,
    ) -> Result<Arc<Block>, AppendError> {
        if !self.active.fits(bytes.len()) {
            self.roll(bytes.len())?;
        }
        let head = GroupHead {
            is_end: false,
            bytes: u32::try_from(bytes.len() - GROUP_HEAD_BYTES).expect("a group is below 4 GiB"),
            count: u32::try_from(entries.len()).expect("a group is below 4 GiB"),
            first: entries[0].position,
            synced: self.active.synced,
        };
        bytes[..GROUP_HEAD_BYTES].copy_from_slice(&head.encode(self.active.segment.nonce));
        let base = self.active.end;
        if let Err(error) = self.active.file.write_all_at(&bytes, base) {
            return Err(self.take_back_write(bytes.len(), &error));
        }
        let end = base + bytes.len() as u64;
        match self.shared.config.durability {
            Durability::Sync => self.sync(end)?,
            Durability::Interval(every) => {
                self.sync_due.get_or_insert_with(|| Instant::now() + every);
            }
            Durability::Memory => {}
        }
        self.active.end = end;
        self.shared.counting.commits.fetch_add(1, Ordering::Relaxed);
        let block = Arc::new(Block::new(bytes, entries));
        self.active.segment.grow(&block, base, end, self.shared.key);
        Ok(block)
    }

    /// A failed sync stops the log: the kernel has dropped the pages, and a second sync would claim that all is well.
    fn sync(&mut self, end: u64) -> Result<(), AppendError> {
        let began = Instant::now();
        let synced = self.active.file.sync();
        self.shared.counting.synced(began.elapsed());
        if let Err(error) = synced {
            let why = format!(
                "{} could not be made durable ({error}); check the disk and start again",
                self.active.segment.path.display()
            );
            self.stopped = Some(why.clone());
            self.sync_due = None;
            return Err(AppendError::Stopped(why));
        }
        self.active.synced = end;
        Ok(())
    }

    fn sync_now(&mut self) {
        self.sync_due = None;
        if let Err(error) = self.sync(self.active.end) {
            self.shared.set_health(Some(error));
        }
    }

    /// Cuts a failed write back to the last commit, so that none of its bytes can come back behind a later group.
    fn take_back_write(&mut self, bytes: usize, error: &std::io::Error) -> AppendError {
        let path = self.active.segment.path.display();
        let why = format!("{path} could not be written: {error}");
        let (file, end, promised) = (&self.active.file, self.active.end, self.active.promised);
        let cut = file.write_all_at(&vec![0; bytes], end).or_else(|_| {
            file.set_len(end)?;
            file.allocate(promised).or_else(|_| file.set_len(promised))
        });
        match cut {
            Ok(()) => AppendError::Full(why),
            Err(error) => {
                let why = format!("{why}; nor could that be undone ({error})");
                self.stopped = Some(why.clone());
                AppendError::Stopped(why)
            }
        }
    }

    /// Begins a new segment, with room for a group of so many bytes, and seals the present one.
    fn roll(&mut self, bytes: usize) -> Result<(), AppendError> {
        let shared = self.shared.clone();
        let needed = (crate::format::HEAD_BYTES + bytes + GROUP_HEAD_BYTES) as u64;
        let length = shared.config.segment_bytes().max(needed);
        let no_room = |error: OpenError| AppendError::Full(error.to_string());
        // First the new one: if there is no room for it, the present one stays as it is.
        let new = create_segment(
            &shared.dir,
            &shared.config,
            self.epoch(),
            self.tail,
            self.last_ms,
            length,
        )
        .map_err(no_room)?;
        // An empty one that is too short is replaced by the new one, which has its name.
        let is_empty = self.active.segment.is_empty();
        if !is_empty && let Err(error) = self.active.seal(self.tail) {
            let why = format!("{}: {error}", self.active.segment.path.display());
            self.stopped = Some(why.clone());
            return Err(AppendError::Stopped(why));
        }
        self.sync_due = None;
        let new = new
            .put_in_place(&shared.dir, &shared.config)
            .map_err(|error| {
                let why = error.to_string();
                self.stopped = Some(why.clone());
                AppendError::Stopped(why)
            })?;
        let old = std::mem::replace(&mut self.active, new);
        let mut view = shared.view_mut();
        let kept = view.segments.len() - usize::from(is_empty);
        view.segments = view.segments[..kept]
            .iter()
            .chain([&self.active.segment])
            .cloned()
            .collect();
        drop(view);
        if is_empty {
            shared.drop_handle(&old.segment.path);
        } else {
            self.store_sidecar(old.segment);
        }
        Ok(())
    }

    fn store_sidecar(&self, segment: Arc<Segment>) {
        let shared = self.shared.clone();
        let job = move || {
            if let Err(error) = store_sidecar(&*shared.config.files, &segment, shared.key) {
                shared.notify(&Notice::IndexNotWritten {
                    file: segment.sidecar_path(),
                    why: error.to_string(),
                });
            }
        };
        self.shared.pool.submit(Box::new(job));
    }

    /// Moves the tail: from here on readers see the block.
    fn publish(&self, block: Arc<Block>) -> Batch {
        let config = &self.shared.config;
        let mut view = self.shared.view_mut();
        for index in 0..block.len() {
            view.rules.note(&block.record(index));
        }
        view.rules.settle();
        view.ring.push(block.clone());
        view.ring.evict_to(config.recent_bytes_max as u64);
        view.tail = self.tail;
        view.keep_newest(config.retention.count);
        let range = 0..block.len();
        Batch::new(
            vec![Slice { block, range }],
            view.floors().clone(),
            self.tail,
        )
    }

    /// Makes everything durable and says so in the state file.
    fn close(mut self, done: &Sender<Result<(), OpenError>>) {
        let closed = match self.stopped.take() {
            // The next opening finds out what is there.
            Some(_) => Ok(()),
            None => self.write_clean(),
        };
        // Nobody waiting is an answer too.
        let _ = done.send(closed);
    }

    fn write_clean(&mut self) -> Result<(), OpenError> {
        let path = &self.active.segment.path;
        self.active
            .file
            .sync()
            .map_err(|error| OpenError::io(path, error))?;
        let view = self.shared.view();
        self.state.lives = view.lives.clone();
        drop(view);
        self.state.status = Status::Clean(self.tail);
        let path = &self.shared.dir.state;
        self.state
            .store(&*self.shared.config.files, path)
            .map_err(|error| OpenError::io(path, error))
    }
}

/// The time has come to sync.
struct SyncDue;

impl Draft {
    fn next_cursor(&self, epoch: Epoch) -> Cursor {
        Cursor::new(epoch, self.next)
    }

    /// Encodes an event at the end of the group. Returns its record's length.
    fn push(&mut self, event: &tidewire_log::Event, cursor: Cursor) -> usize {
        self.last_ms = self.last_ms.max(event.time_ms);
        let head_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; RECORD_HEAD_BYTES]);
        let entry = encode_record(event, cursor, self.last_ms, &mut self.bytes);
        encode_record_head(&mut self.bytes, head_at);
        self.entries.push(entry);
        self.next = cursor.seen().next();
        entry.bytes as usize
    }
}

/// Answers publishers; those that were to be stored get the error, if there is one.
fn answer(answers: Vec<(Ack, Result<Vec<Appended>, AppendError>)>, failed: Option<&AppendError>) {
    for (ack, answer) in answers {
        ack(match (answer, failed) {
            (Ok(_), Some(error)) => Err(error.clone()),
            (answer, _) => answer,
        });
    }
}
