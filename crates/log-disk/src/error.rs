//! What can go wrong with a log directory, said so that its operator knows what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use tidewire_core::Position;

/// Why a log was not opened, or a look into one failed. None of these changed anything that was stored.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open. Trying again helps when that has ended.
    Locked {
        /// The log directory.
        dir: PathBuf,
        /// The process, if it could be found out.
        pid: Option<u32>,
    },
    /// Written by a newer Tidewire. Only a newer build helps.
    NewerFormat {
        /// Which file.
        file: PathBuf,
        /// Its version.
        version: u32,
        /// The newest version that this build reads.
        known: u32,
    },
    /// Something that was stored cannot be read any more. Trying again does not help.
    Damaged(Damage),
    /// The directory cannot be written to. The operator's to change.
    ReadOnly {
        /// What could not be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The disk has no room for the first segment. Trying again helps when there is some.
    Full {
        /// What could not be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no log in this directory.
    NoLog(PathBuf),
    /// The system refused something else.
    Io {
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Where a log is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which file.
    pub file: PathBuf,
    /// At which byte.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// The first position that cannot be read, if it is known.
    pub first: Option<Position>,
    /// The next position that can be read, if there is one.
    pub next: Option<Position>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at byte {}: {}",
            self.file.display(),
            self.offset,
            self.what
        )?;
        match (self.first, self.next) {
            (Some(first), Some(next)) => {
                write!(f, " (events {first} to {} are lost)", next.before())
            }
            (Some(first), None) => write!(f, " (events from {first} on)"),
            _ => Ok(()),
        }
    }
}

impl OpenError {
    /// Sorts an error of the system.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, source }
            }
            kind if is_full(kind) => Self::Full { path, source },
            _ => Self::Io { path, source },
        }
    }

    pub(crate) fn damaged(file: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged(Damage {
            file: file.to_owned(),
            offset,
            what: what.into(),
            first: None,
            next: None,
        })
    }
}

/// Whether a file system is out of room.
pub(crate) fn is_full(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { dir, pid } => {
                write!(f, "the log in {} is in use", dir.display())?;
                if let Some(pid) = pid {
                    write!(f, " by process {pid}")?;
                }
                write!(
                    f,
                    "; stop that process first, or choose another data directory"
                )
            }
            Self::NewerFormat {
                file,
                version,
                known,
            } => write!(
                f,
                "{} has format version {version}, and this build reads at most {known}: it was written by a newer \
                 tidewire; use that one",
                file.display()
            ),
            Self::Damaged(damage) => write!(
                f,
                "the log is damaged: {damage}. Nothing was changed. `tidewire log verify` lists all damage; restore the \
                 directory from a backup, or save what can be read with `tidewire log export` and `tidewire log import` \
                 it into a new one"
            ),
            Self::ReadOnly { path, source } => write!(
                f,
                "{} cannot be written: {source}; give this user write permission, or choose another data directory",
                path.display()
            ),
            Self::Full { path, source } => write!(
                f,
                "there is no room for {}: {source}; free some, or lower the retention in bytes",
                path.display()
            ),
            Self::NoLog(dir) => write!(f, "there is no log in {}", dir.display()),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::ReadOnly { source, .. } | Self::Full { source, .. } | Self::Io { source, .. } => {
                Some(source)
            }
            _ => None,
        }
    }
}
