//! What a log is opened with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidewire_log::{ProducerLimits, Retention};

use crate::error::Damage;
use crate::files::{Files, RealFiles};

/// When appended events are durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before they are acknowledged or seen.
    #[default]
    Sync,
    /// At the latest this long after. A crash of the machine may take what is younger; the next life then has a new epoch.
    Interval(Duration),
    /// When the operating system gets to it.
    Memory,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sync => write!(f, "sync"),
            Self::Interval(every) => write!(f, "interval {} ms", every.as_millis()),
            Self::Memory => write!(f, "memory"),
        }
    }
}

/// Something that an operator should know, and that no caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Stored events cannot be read; readers are told a gap.
    Damaged(Damage),
    /// A write that a crash had torn was cut off at the log's end: nobody had been told of it.
    TailCut {
        /// Which file.
        file: PathBuf,
        /// From which byte on.
        offset: u64,
        /// How many bytes were not zero.
        bytes: u64,
    },
    /// A segment's index was missing or damaged and was built again.
    IndexRebuilt(PathBuf),
    /// A segment's index could not be written; it is built again at the next opening.
    IndexNotWritten {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A segment past its retention could not be removed; it is tried again.
    NotRemoved {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The producer keys of records past their retention could not be saved: after a restart they are not known.
    KeysNotSaved {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Appends fail for want of room, or for good.
    AppendsFail(String),
    /// Appends work again.
    AppendsWork,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(damage) => {
                write!(f, "the log is damaged: {damage}; readers are told a gap")
            }
            Self::TailCut {
                file,
                offset,
                bytes,
            } => write!(
                f,
                "{} at byte {offset}: a write of {bytes} bytes that a crash had torn was cut off; nobody had been told \
                 of it",
                file.display()
            ),
            Self::IndexRebuilt(file) => write!(
                f,
                "{} was missing or damaged and was built again",
                file.display()
            ),
            Self::IndexNotWritten { file, why } => write!(
                f,
                "{} could not be written ({why}); it is built again at the next start",
                file.display()
            ),
            Self::NotRemoved { file, why } => write!(
                f,
                "{} is past its retention and could not be removed: {why}",
                file.display()
            ),
            Self::KeysNotSaved { file, why } => write!(
                f,
                "{} could not be written ({why}); after a restart, repeated publications of dropped events are stored \
                 again",
                file.display()
            ),
            Self::AppendsFail(why) => write!(f, "the log takes no events: {why}"),
            Self::AppendsWork => write!(f, "the log takes events again"),
        }
    }
}

/// Hears notices. Called on the log's own threads: do nothing slow.
pub type Notify = Arc<dyn Fn(&Notice) + Send + Sync>;

/// What a log is opened with.
#[derive(Clone)]
pub struct DiskConfig {
    /// When appended events are durable.
    pub durability: Durability,
    /// What is kept. In whole segments by bytes; exactly by count and age.
    pub retention: Retention,
    /// How long producer keys are known.
    pub producers: ProducerLimits,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
    /// Random numbers, fresh at every opening.
    pub seed: [u64; 2],
    /// How long a segment file is, in bytes; `None`: a sixteenth of the retention, from 64 KiB to 64 MiB.
    pub segment_bytes: Option<u64>,
    /// The largest record, in bytes.
    pub record_bytes_max: usize,
    /// About how many bytes of records are committed by one fsync at most.
    pub group_bytes_max: usize,
    /// How many bytes of events may wait to be written.
    pub waiting_bytes_max: usize,
    /// How many bytes of recent records are kept in memory.
    pub recent_bytes_max: usize,
    /// How many bytes of older records, just read, are kept in memory.
    pub cold_bytes_max: usize,
    /// Threads that read older records.
    pub readers: usize,
    /// How many segments and sidecars stay open to be read again, at most.
    pub files_open_max: usize,
    /// Hears what an operator should know.
    pub notify: Notify,
    /// The file system.
    pub files: Arc<dyn Files>,
}

const MIB: usize = 1024 * 1024;

impl DiskConfig {
    /// The defaults: durability `sync`, no retention.
    #[must_use]
    pub fn new(now_ms: u64, seed: [u64; 2]) -> Self {
        Self {
            durability: Durability::Sync,
            retention: Retention::default(),
            producers: ProducerLimits::default(),
            now_ms,
            seed,
            segment_bytes: None,
            record_bytes_max: 16 * MIB,
            group_bytes_max: 4 * MIB,
            waiting_bytes_max: 64 * MIB,
            recent_bytes_max: 64 * MIB,
            cold_bytes_max: 64 * MIB,
            readers: 2,
            files_open_max: 256,
            notify: Arc::new(|_| {}),
            files: Arc::new(RealFiles),
        }
    }

    /// Up to how many bytes more is added to a group. Groups do not make segments longer than these shall be, for what
    /// retention drops is a segment.
    pub(crate) fn group_bytes_max(&self) -> usize {
        let segment = usize::try_from(self.segment_bytes()).unwrap_or(usize::MAX);
        self.group_bytes_max.min(segment / 2)
    }

    /// How long a segment file is, in bytes.
    pub(crate) fn segment_bytes(&self) -> u64 {
        let mib = MIB as u64;
        self.segment_bytes
            .unwrap_or_else(|| {
                let sixteenth = self.retention.bytes.map_or(u64::MAX, |bytes| bytes / 16);
                sixteenth.clamp(mib / 16, 64 * mib)
            })
            .max(4096)
    }
}

impl fmt::Debug for DiskConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskConfig")
            .field("durability", &self.durability)
            .field("retention", &self.retention)
            .field("segment_bytes", &self.segment_bytes())
            .finish_non_exhaustive()
    }
}
