//! A log directory: its names, its lock, and what its files hold when it is opened.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidewire_core::Position;

use crate::error::{Damage, OpenError};
use crate::files::{Files, LockError, read_all, read_exact_at, replace};
use crate::format::{GROUP_HEAD_BYTES, GroupHead, HEAD_BYTES, HeadError, SegmentHead, VERSION};
use crate::hash::HashKey;
use crate::segment::{Indexed, Segment, build_index, damage_at, sidecar_path};
use crate::sidecar::{Owner, Sidecar};
use crate::walk::{Step, Walk};

/// The names in a log directory.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    pub(crate) root: PathBuf,
    pub(crate) segments: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) keys: PathBuf,
}

/// A lock on a directory, held as long as it lives.
pub(crate) type Lock = Box<dyn Any + Send + Sync>;

impl Dir {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            segments: root.join("segments"),
            state: root.join("state"),
            lock: root.join("lock"),
            keys: root.join("keys"),
        }
    }

    pub(crate) fn segment(&self, first: Position) -> PathBuf {
        self.segments.join(format!("{:020}.log", first.0))
    }

    /// Takes the lock.
    pub(crate) fn lock(&self, files: &dyn Files) -> Result<Lock, OpenError> {
        files.lock(&self.lock).map_err(|error| match error {
            LockError::Held(pid) => OpenError::Locked {
                dir: self.root.clone(),
                pid,
            },
            LockError::Io(source) => OpenError::io(&self.lock, source),
        })
    }

    /// The segment files in order of their first positions, with those.
    pub(crate) fn segment_files(
        &self,
        files: &dyn Files,
    ) -> Result<Vec<(Position, PathBuf)>, OpenError> {
        let names = match files.list(&self.segments) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(OpenError::io(&self.segments, error)),
        };
        let mut found: Vec<_> = names
            .iter()
            .filter_map(|name| {
                let first = name.strip_suffix(".log")?.parse().ok()?;
                Some((Position(first), self.segments.join(name)))
            })
            .collect();
        found.sort();
        Ok(found)
    }

    /// Removes what a crash left half made, and sidecars without segment.
    pub(crate) fn sweep(&self, files: &dyn Files) -> Result<(), OpenError> {
        for dir in [&self.root, &self.segments] {
            for name in files.list(dir).map_err(|error| OpenError::io(dir, error))? {
                let path = dir.join(&name);
                let orphan = path.extension().is_some_and(|end| end == "idx")
                    && files.open(&path.with_extension("log"), false).is_err();
                if name.ends_with(".draft") || orphan {
                    files
                        .remove(&path)
                        .map_err(|error| OpenError::io(&path, error))?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a segment's head and checks that it is where it belongs.
pub(crate) fn segment_head(
    bytes: &[u8],
    path: &Path,
    first: Position,
) -> Result<SegmentHead, OpenError> {
    match SegmentHead::decode(bytes) {
        Ok(head) if head.first == first => Ok(head),
        Ok(head) => Err(OpenError::damaged(
            path,
            24,
            format!(
                "the file is named after event {first} and begins with {}",
                head.first
            ),
        )),
        Err(HeadError::Newer(version)) => Err(OpenError::NewerFormat {
            file: path.to_owned(),
            version,
            known: VERSION,
        }),
        Err(HeadError::Damaged) => Err(OpenError::damaged(
            path,
            0,
            "the segment's head is not as it was written (checksum)",
        )),
    }
}

/// Opens a sealed segment: by its sidecar if that fits, else by reading all of it and writing the sidecar again. Says
/// whether it was rebuilt.
pub(crate) fn open_sealed(
    files: &dyn Files,
    path: &Path,
    first: Position,
    key: HashKey,
) -> Result<(Segment, bool), OpenError> {
    let io = |error| OpenError::io(path, error);
    let file = files.open(path, false).map_err(io)?;
    let mut head = [0; HEAD_BYTES];
    match read_exact_at(&*file, &mut head, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(OpenError::damaged(
                path,
                0,
                "the file was cut within its head",
            ));
        }
        read => read.map_err(io)?,
    }
    let head = segment_head(&head, path, first)?;
    let owner = Owner {
        nonce: head.nonce,
        first,
        key,
    };
    if let Ok(sidecar) = Sidecar::load(files, &sidecar_path(path), owner) {
        check_end(&*file, path, head.nonce, sidecar.data_end, sidecar.next)?;
        let indexed = Indexed::Stored(sidecar);
        return Ok((
            Segment::new(path.to_owned(), first, head.nonce, indexed),
            false,
        ));
    }
    let bytes = read_all(files, path).map_err(io)?;
    let (end, _) = whole(&bytes, &head, path).map_err(OpenError::Damaged)?;
    let index = build_index(&bytes, end, &head, key);
    let indexed = Indexed::Memory {
        index,
        data_end: end as u64,
    };
    let segment = Segment::new(path.to_owned(), first, head.nonce, indexed);
    Ok((segment, true))
}

/// The end mark must be where the sidecar says that the data end.
fn check_end(
    file: &dyn crate::files::File,
    path: &Path,
    nonce: u64,
    data_end: u64,
    next: Position,
) -> Result<(), OpenError> {
    let mut mark = [0; GROUP_HEAD_BYTES];
    let read = read_exact_at(file, &mut mark, data_end);
    let fits = GroupHead::decode(&mark, nonce).is_some_and(|end| end.is_end && end.first == next);
    if read.is_ok() && fits {
        return Ok(());
    }
    Err(OpenError::damaged(
        path,
        data_end,
        "the segment does not end where it was ended: it was cut or changed",
    ))
}

/// Goes over all of a sealed segment's bytes; where its records end and the position after them.
pub(crate) fn whole(
    bytes: &[u8],
    head: &SegmentHead,
    path: &Path,
) -> Result<(usize, Position), Damage> {
    let mut walk = Walk::new(bytes, head.nonce, HEAD_BYTES, head.first);
    for step in &mut walk {
        match step {
            Step::Group { at, head } if head.is_end => return Ok((at, head.first)),
            Step::Bad(bad) => return Err(damage_at(path, 0, &bad)),
            _ => {}
        }
    }
    Err(Damage {
        file: path.to_owned(),
        offset: walk.at() as u64,
        what: "the segment has no end mark: it was cut".to_owned(),
        first: Some(walk.next_position()),
        next: None,
    })
}

/// Moves a segment's index from memory to its sidecar.
pub(crate) fn store_sidecar(
    files: &dyn Files,
    segment: &Arc<Segment>,
    key: HashKey,
) -> io::Result<()> {
    let Some(bytes) = segment.encode_sidecar(key) else {
        return Ok(());
    };
    let path = segment.sidecar_path();
    replace(files, &path, &bytes)?;
    let sidecar = Sidecar::load(files, &path, segment.owner(key))?;
    segment.set_indexed(Indexed::Stored(sidecar));
    Ok(())
}
