//! Where a followed file was read to, kept over runs.
//!
//! Before a batch is sent, its end and its Idempotency-Key are written down and synced; after its acknowledgement, that it is
//! done. A run that ends in between is taken up by sending exactly the same bytes under the same key, so that a batch that had
//! arrived is not stored twice. That holds as long as the hub remembers the key (`--idempotency-window`, 24 h).

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::Template;
use crate::failure::{Failure, Outcome};
use crate::files;

/// How many bytes of a file's start, and of what precedes the place, its fingerprint is made from.
const FINGERPRINT_BYTES: u64 = 1024;
const VERSION: u8 = 1;

/// A file as it was opened, once. A file that was truncated counts as another.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) inode: u64,
}

impl Opened {
    pub(super) fn open(path: &Path) -> io::Result<Arc<Self>> {
        let file = File::open(path)?;
        let inode = inode(&file.metadata()?);
        Ok(Arc::new(Self { file, inode }))
    }
}

/// The bytes of one event in its file.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) opened: Arc<Opened>,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u8,
    /// What the run did with each line; another run must do the same.
    events: String,
    /// Zero where the file was not there yet, or the system has none.
    pub(super) inode: u64,
    /// Everything before this byte is acknowledged.
    pub(super) offset: u64,
    /// Of the file's bytes before `offset`.
    pub(super) fingerprint: String,
    /// Sent, but perhaps not acknowledged.
    pub(super) pending: Option<Pending>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The batch holds the bytes from `offset` to here.
    pub(super) to: u64,
    pub(super) key: String,
}

/// Keeps the place, in a file if one was named.
#[derive(Debug)]
pub(super) struct Store {
    path: Option<PathBuf>,
    events: String,
    known: Option<Saved>,
}

impl Store {
    pub(super) fn open(path: Option<PathBuf>, template: &Template) -> Outcome<Self> {
        let events = template.name();
        let known = match &path {
            None => None,
            Some(path) => load(path, &events)?,
        };
        Ok(Self {
            path,
            events,
            known,
        })
    }

    /// Where the last run came to.
    pub(super) fn known(&self) -> Option<&Saved> {
        self.known.as_ref()
    }

    /// Writes down that everything before a byte is acknowledged, and what is about to be sent.
    pub(super) fn save(
        &self,
        opened: Option<&Opened>,
        offset: u64,
        pending: Option<Pending>,
    ) -> Outcome {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let fingerprint = match opened {
            Some(opened) => fingerprint(&opened.file, offset).map_err(|error| {
                Failure::failed(format!("cannot read the followed file: {error}"))
            })?,
            None => String::new(),
        };
        let saved = Saved {
            version: VERSION,
            events: self.events.clone(),
            inode: opened.map_or(0, |opened| opened.inode),
            offset,
            fingerprint,
            pending,
        };
        let text = serde_json::to_string(&saved).map_err(Failure::failed)? + "\n";
        files::replace(path, text.as_bytes())
            .map_err(|error| Failure::file(path, "write the state", &error))
    }
}

fn load(path: &Path, events: &str) -> Outcome<Option<Saved>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file(path, "read the state", &error)),
    };
    let wrong = |why: &str| {
        Failure::failed(format!("{}: {why}", path.display()))
            .next("name another file with --state, or remove this one to begin again")
    };
    let saved: Saved =
        serde_json::from_slice(&text).map_err(|_| wrong("this is no state of `tidewire pub`"))?;
    if saved.version != VERSION {
        return Err(wrong("this state is from a newer version"));
    }
    if saved.events != events {
        return Err(wrong(&format!(
            "this state is of a run that published {}, not {events}",
            saved.events
        )));
    }
    Ok(Some(saved))
}

/// A digest of a file's first bytes and of those before an offset: tells a file from another that took its place.
pub(super) fn fingerprint(file: &File, offset: u64) -> io::Result<String> {
    let head = offset.min(FINGERPRINT_BYTES);
    let tail_from = offset.saturating_sub(FINGERPRINT_BYTES);
    let mut digest = Sha256::new();
    for (from, to) in [(0, head), (tail_from, offset)] {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        let read = read_at(file, &mut bytes, from)?;
        digest.update(&bytes[..read]);
    }
    let digest = digest.finalize();
    Ok(digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Reads at an offset until the buffer is full or the file ends.
pub(super) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match read_once(file, &mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(unix)]
fn read_once(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_once(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}

/// What names a file apart from its path, where the system has such a thing.
#[cfg(unix)]
pub(super) fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
pub(super) fn inode(_: &Metadata) -> u64 {
    0
}
