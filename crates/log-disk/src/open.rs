//! Opening a log: from what a directory holds, or from nothing, to segments that can be read and one that can be written.

use std::path::Path;
use std::sync::Arc;

use tidewire_core::{Epoch, Position};
use tidewire_log::{Lives, Produced, ProducerWindow, Rules};

use crate::config::{DiskConfig, Durability, Notice};
use crate::dir::{Dir, Lock, open_sealed, segment_head, store_sidecar};
use crate::error::OpenError;
use crate::files::{File, Wait, draft_path, read_all};
use crate::format::{GROUP_HEAD_BYTES, GroupHead, HEAD_BYTES, SegmentHead};
use crate::hash::{HashKey, Kind};
use crate::index::Index;
use crate::keys;
use crate::recover::{Recovered, Refused, recover};
use crate::segment::{Indexed, Segment, build_index, damage_at};
use crate::state::{State, Status};
use crate::walk::Why;

/// The segment that is being written.
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Box<dyn File>,
    /// Behind the last committed group.
    pub(crate) end: u64,
    /// The file is durable up to here.
    pub(crate) synced: u64,
    /// How long the file is.
    pub(crate) promised: u64,
}

/// An opened directory.
pub(crate) struct Opened {
    pub(crate) dir: Dir,
    pub(crate) lock: Lock,
    pub(crate) state: State,
    /// All but the active one, oldest first.
    pub(crate) sealed: Vec<Arc<Segment>>,
    pub(crate) active: Active,
    pub(crate) window: ProducerWindow,
    pub(crate) rules: Rules,
    /// The time of the last record, in milliseconds since 1970.
    pub(crate) last_ms: u64,
}

/// What the segment files hold, before the log is written to.
struct Found {
    sealed: Vec<Arc<Segment>>,
    active: Option<Active>,
    tail: Position,
    /// The time of the last record, in milliseconds since 1970.
    last_ms: u64,
}

/// Opens a directory, or makes a log in it.
pub(crate) fn open(root: &Path, config: &DiskConfig) -> Result<Opened, OpenError> {
    let files = &*config.files;
    let dir = Dir::new(root);
    files
        .create_dir(&dir.segments)
        .map_err(|error| OpenError::io(&dir.segments, error))?;
    let lock = dir.lock(files)?;
    dir.sweep(files)?;
    let (mut state, found) = match State::load(files, &dir.state)? {
        Some(state) => {
            let found = find_segments(&dir, &state, config)?;
            (state, found)
        }
        None => create(&dir, config)?,
    };
    let before = state.status;
    let mut found = found;
    if before == (Status::Running { durable: false }) {
        state.lives.begin(config.now_ms, found.tail);
    }
    let durable = config.durability == Durability::Sync;
    state.status = Status::Running { durable };
    state.lives.forget_before(
        found
            .sealed
            .first()
            .map_or(found.tail, |oldest| oldest.first),
    );
    let active = match found.active.take() {
        Some(active) => active,
        None => {
            let epoch = state.lives.current().epoch;
            let bytes = config.segment_bytes();
            let active = create_segment(&dir, config, epoch, found.tail, found.last_ms, bytes)?;
            active.put_in_place(&dir, config)?
        }
    };
    state
        .store(files, &dir.state)
        .map_err(|error| OpenError::io(&dir.state, error))?;
    let all = || found.sealed.iter().chain([&active.segment]);
    Ok(Opened {
        window: restore_window(config, &dir, &state, all())?,
        rules: restore_rules(config, all())?,
        dir,
        lock,
        state,
        last_ms: found.last_ms,
        active,
        sealed: found.sealed,
    })
}

fn create(dir: &Dir, config: &DiskConfig) -> Result<(State, Found), OpenError> {
    if let Some((_, path)) = dir.segment_files(&*config.files)?.first() {
        return Err(OpenError::damaged(
            &dir.state,
            0,
            format!(
                "this file is missing, and there are segments ({})",
                path.display()
            ),
        ));
    }
    let state = State {
        key: HashKey(config.seed),
        status: Status::New,
        lives: Lives::new(Epoch(config.now_ms), Position::FIRST),
    };
    state
        .store(&*config.files, &dir.state)
        .map_err(|error| OpenError::io(&dir.state, error))?;
    let found = Found {
        sealed: Vec::new(),
        active: None,
        tail: Position::FIRST,
        last_ms: 0,
    };
    Ok((state, found))
}

fn find_segments(dir: &Dir, state: &State, config: &DiskConfig) -> Result<Found, OpenError> {
    let files = &*config.files;
    let mut paths = dir.segment_files(files)?;
    let Some((last_first, last_path)) = paths.pop() else {
        if state.status == Status::New {
            return Ok(Found {
                sealed: Vec::new(),
                active: None,
                tail: state.lives.current().first,
                last_ms: 0,
            });
        }
        return Err(OpenError::damaged(
            &dir.segments,
            0,
            "the segments are missing",
        ));
    };
    let mut sealed: Vec<Arc<Segment>> = Vec::new();
    for (first, path) in &paths {
        check_neighbour(&sealed, *first, path)?;
        let (segment, rebuilt) = open_sealed(files, path, *first, state.key)?;
        let segment = Arc::new(segment);
        if rebuilt {
            rebuild_sidecar(config, &segment, state.key);
        }
        sealed.push(segment);
    }
    check_neighbour(&sealed, last_first, &last_path)?;
    let active = open_last(config, state, last_first, &last_path)?;
    let tail = active.segment.next();
    let last_ms = active.segment.last_ms();
    let new_life = state.status == (Status::Running { durable: false });
    match active.end_mark {
        // Nothing of the life that wrote it is in there: the file is made again in the new life's name.
        false if new_life && tail == last_first => Ok(Found {
            sealed,
            active: None,
            tail,
            last_ms,
        }),
        false if !new_life => Ok(Found {
            sealed,
            active: Some(active.active),
            tail,
            last_ms,
        }),
        is_sealed => {
            let mut active = active.active;
            if !is_sealed {
                active
                    .seal(tail)
                    .map_err(|error| OpenError::io(&last_path, error))?;
            }
            rebuild_sidecar(config, &active.segment, state.key);
            sealed.push(active.segment);
            Ok(Found {
                sealed,
                active: None,
                tail,
                last_ms,
            })
        }
    }
}

fn rebuild_sidecar(config: &DiskConfig, segment: &Arc<Segment>, key: HashKey) {
    let file = segment.sidecar_path();
    let notice = match store_sidecar(&*config.files, segment, key) {
        Ok(()) => Notice::IndexRebuilt(file),
        Err(error) => Notice::IndexNotWritten {
            file,
            why: error.to_string(),
        },
    };
    (config.notify)(&notice);
}

fn check_neighbour(sealed: &[Arc<Segment>], first: Position, path: &Path) -> Result<(), OpenError> {
    match sealed.last().map(|before| before.next()) {
        Some(next) if next != first => Err(OpenError::damaged(
            path,
            0,
            format!("the segments before it end at event {next}: a file is missing"),
        )),
        _ => Ok(()),
    }
}

struct Last {
    active: Active,
    end_mark: bool,
}

impl std::ops::Deref for Last {
    type Target = Active;

    fn deref(&self) -> &Active {
        &self.active
    }
}

/// Opens the last segment for writing, a torn write cut off.
fn open_last(
    config: &DiskConfig,
    state: &State,
    first: Position,
    path: &Path,
) -> Result<Last, OpenError> {
    let io = |error| OpenError::io(path, error);
    let files = &*config.files;
    let bytes = read_all(files, path).map_err(io)?;
    let head = segment_head(&bytes, path, first)?;
    let clean = match state.status {
        Status::Clean(tail) => Some(tail),
        Status::New | Status::Running { .. } => None,
    };
    let found = recover(&bytes, &head, clean).map_err(|refused| refusal(path, &refused))?;
    let file = files.open(path, true).map_err(io)?;
    let end = found.end as u64;
    if found.sealed {
        // A crash may have come between the end mark and this.
        file.set_len(end + GROUP_HEAD_BYTES as u64).map_err(io)?;
    } else if found.torn_bytes > 0 {
        cut(&*file, &found, head.promised_bytes).map_err(io)?;
        (config.notify)(&Notice::TailCut {
            file: path.to_owned(),
            offset: end,
            bytes: found.torn_bytes as u64,
        });
    }
    // What was found may be in the page cache alone; readers are about to see it.
    file.sync().map_err(io)?;
    let index = build_index(&bytes, found.end, &head, state.key);
    let indexed = Indexed::Memory {
        index,
        data_end: end,
    };
    let segment = Segment::new(path.to_owned(), first, head.nonce, indexed);
    let active = Active {
        segment: Arc::new(segment),
        file,
        end,
        synced: end,
        promised: head.promised_bytes,
    };
    Ok(Last {
        active,
        end_mark: found.sealed,
    })
}

fn refusal(path: &Path, refused: &Refused) -> OpenError {
    if let Why::Newer(version) = refused.bad.why {
        return OpenError::NewerFormat {
            file: path.to_owned(),
            version: version.into(),
            known: 1,
        };
    }
    let mut damage = damage_at(path, 0, &refused.bad);
    refused.what.clone_into(&mut damage.what);
    OpenError::Damaged(damage)
}

/// Overwrites a torn write with zeros, so that none of its bytes can come back to life behind a later group.
fn cut(file: &dyn File, found: &Recovered, promised: u64) -> std::io::Result<()> {
    file.write_all_at(&vec![0; found.torn_bytes], found.end as u64)?;
    file.allocate(promised)
}

/// Makes a segment under its draft name. Its whole length is reserved, so that a full disk shows now.
pub(crate) fn create_segment(
    dir: &Dir,
    config: &DiskConfig,
    epoch: Epoch,
    first: Position,
    after_ms: u64,
    bytes: u64,
) -> Result<Active, OpenError> {
    let path = dir.segment(first);
    let draft = draft_path(&path);
    // Unknown to publishers: made from the directory's secret and the segment's place in it.
    let place = [first.0, epoch.0, config.now_ms]
        .map(u64::to_le_bytes)
        .concat();
    let nonce = HashKey(config.seed).hash(Kind::Topic, &place);
    let head = SegmentHead {
        epoch,
        first,
        after_ms,
        promised_bytes: bytes,
        nonce,
    };
    let made = config.files.create(&draft).and_then(|file| {
        file.allocate(bytes)?;
        file.write_all_at(&head.encode(), 0)?;
        file.sync()?;
        Ok(file)
    });
    let file = made.map_err(|error| {
        // Whatever was reserved of it is given back; if even that fails, the next opening sweeps it up.
        let _ = config.files.remove(&draft);
        OpenError::io(&path, error)
    })?;
    let end = HEAD_BYTES as u64;
    let indexed = Indexed::Memory {
        index: Index::new(first, after_ms),
        data_end: end,
    };
    Ok(Active {
        segment: Arc::new(Segment::new(path, first, nonce, indexed)),
        file,
        end,
        synced: end,
        promised: bytes,
    })
}

impl Active {
    /// Gives a new segment its name.
    pub(crate) fn put_in_place(self, dir: &Dir, config: &DiskConfig) -> Result<Self, OpenError> {
        let path = &self.segment.path;
        config
            .files
            .rename(&draft_path(path), path)
            .and_then(|()| config.files.sync_dir(&dir.segments))
            .map_err(|error| OpenError::io(path, error))?;
        Ok(self)
    }

    /// Writes the end mark, makes everything durable and gives back what was reserved.
    pub(crate) fn seal(&mut self, next: Position) -> std::io::Result<()> {
        let mark = GroupHead::end(next, self.synced).encode(self.segment.nonce);
        self.file.write_all_at(&mark, self.end)?;
        self.file.sync()?;
        self.synced = self.end;
        self.file.set_len(self.end + GROUP_HEAD_BYTES as u64)
    }

    /// Whether a group of so many bytes fits, and the end mark after it.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.end + (bytes + GROUP_HEAD_BYTES) as u64 <= self.promised
    }
}

/// Fills the idempotency window from the segments' producer keys, the newest that the window may hold.
fn restore_window<'a>(
    config: &DiskConfig,
    dir: &Dir,
    state: &State,
    segments: impl DoubleEndedIterator<Item = &'a Arc<Segment>>,
) -> Result<ProducerWindow, OpenError> {
    let limits = config.producers;
    let mut window = ProducerWindow::new(limits, config.seed[0]);
    let mut found = Vec::new();
    for segment in segments.rev() {
        let over = config.now_ms.checked_sub(limits.window_ms);
        if over.is_some_and(|over| segment.ends_before(over)) || found.len() >= limits.keys_max {
            break;
        }
        let files = &*config.files;
        let keyed = segment.keyed(files).or_else(|_| {
            segment.rebuild_index(files, state.key)?;
            segment.keyed(files)
        });
        let keyed = keyed.map_err(|error| OpenError::io(&segment.path, error))?;
        found.extend(keyed.into_iter().rev());
    }
    let first = found
        .last()
        .map_or(Position(u64::MAX), |oldest| oldest.position);
    for produced in keys::load(&*config.files, &dir.keys) {
        if produced.cursor.seen() < first {
            window.insert(produced);
        }
    }
    for keyed in found.into_iter().rev() {
        window.insert(Produced {
            producer: keyed.producer,
            cursor: state.lives.cursor_of(keyed.position),
            time_ms: keyed.time_ms,
        });
    }
    window.expire(config.now_ms);
    Ok(window)
}

/// Goes over all records if there are rules, for their floors count and date each topic's own.
fn restore_rules<'a>(
    config: &DiskConfig,
    segments: impl Iterator<Item = &'a Arc<Segment>>,
) -> Result<Rules, OpenError> {
    let mut rules = Rules::new(&config.retention.rules);
    if rules.is_empty() {
        return Ok(rules);
    }
    for segment in segments {
        let mut from = segment.first;
        while from < segment.next()
            && let Some(chunk) = segment.chunk_of(from)
        {
            let loaded = config
                .files
                .open(&segment.path, false)
                .and_then(|file| segment.load(&*file, &chunk, Wait::Yes))
                .map_err(|error| OpenError::io(&segment.path, error))?;
            if let Some(block) = &loaded.block {
                (0..block.len()).for_each(|index| rules.note(&block.record(index)));
            }
            from = chunk.next;
        }
    }
    rules.advance(config.now_ms);
    Ok(rules)
}
