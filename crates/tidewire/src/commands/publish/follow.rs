//! Follows a file as `tail -F` does: through rotation (another file takes the name) and truncation (the file starts again).
//!
//! It runs on a thread of its own and looks several times a second: that works on every file system, also those that tell
//! nobody of changes. A line is an event once its line end is written, or once its file is finished.

use std::collections::VecDeque;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::batch::Again;
use super::event::{Item, Template};
use super::place::{self, Opened, Place, Saved};
use super::stdin::LINE_BYTES_MAX;
use crate::failure::{Failure, Outcome};
use crate::output;

/// How often it is looked whether the file has grown.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a file that lost its name is still read after its last line: its writers may not know yet.
const GRACE: Duration = Duration::from_millis(500);
const CHUNK_BYTES: usize = 64 * 1024;

/// What is followed, and from where if nothing is known.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) path: PathBuf,
    pub(super) from_start: bool,
    pub(super) quiet: bool,
}

/// A part of the work: a file, and where to begin in it.
#[derive(Debug)]
struct Part {
    opened: Arc<Opened>,
    from: u64,
}

/// What a start found out.
pub(super) struct Started {
    /// Where the first file is read from; `None` while there is none.
    pub(super) at: Option<(Arc<Opened>, u64)>,
    /// A batch of the last run that may or may not have arrived.
    pub(super) again: Option<Again>,
}

/// Starts to follow.
pub(super) fn start(
    start: Start,
    known: Option<&Saved>,
    template: Template,
    items: mpsc::Sender<Outcome<Item>>,
) -> Outcome<Started> {
    let broken = |error: io::Error| Failure::file(&start.path, "follow the file", &error);
    let mut parts = match known {
        Some(saved) => resume(&start, saved).map_err(broken)?,
        None => begin(&start).map_err(broken)?,
    };
    let at = parts
        .front()
        .map(|part| (Arc::clone(&part.opened), part.from));
    let again = match (known, parts.front_mut()) {
        (Some(saved), Some(part)) if part.from == saved.offset => {
            again(saved, &part.opened, &template)?
        }
        _ => None,
    };
    if let (Some((_, to)), Some(part)) = (&again, parts.front_mut()) {
        part.from = *to;
    }
    let again = again.map(|(again, _)| again);
    let follower = Follower {
        path: start.path,
        quiet: start.quiet,
        template,
        items,
        parts,
        missing_said: false,
    };
    std::thread::Builder::new()
        .name("follow".to_owned())
        .spawn(move || follower.run())
        .map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
    Ok(Started { at, again })
}

/// The first run: from the end of the file, or all of it. A file that is not there yet will be read from its start.
fn begin(start: &Start) -> io::Result<VecDeque<Part>> {
    let opened = match Opened::open(&start.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(VecDeque::new()),
        opened => opened?,
    };
    let metadata = opened.file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    let from = if start.from_start { 0 } else { metadata.len() };
    Ok(VecDeque::from([Part { opened, from }]))
}

/// A later run: the file of the last one, whatever it is called now, then those that followed it.
fn resume(start: &Start, saved: &Saved) -> io::Result<VecDeque<Part>> {
    let current = begin(&Start {
        path: start.path.clone(),
        from_start: true,
        quiet: true,
    })?;
    let Some(present) = current.front() else {
        return Ok(find_rotated(&start.path, saved));
    };
    if is_same(&present.opened, saved) && (saved.inode == 0 || present.opened.inode == saved.inode)
    {
        let opened = Arc::clone(&present.opened);
        return Ok(VecDeque::from([Part {
            opened,
            from: saved.offset,
        }]));
    }
    let mut parts = find_rotated(&start.path, saved);
    if parts.is_empty() && saved.offset > 0 {
        output::say(format_args!(
            "{}: the file of the last run is gone, and what it gained after byte {} with it",
            start.path.display(),
            saved.offset
        ));
    }
    parts.extend(current);
    Ok(parts)
}

/// The batch that was on its way when the last run ended, and where it ends. None if those bytes are no longer there: then what
/// the file holds now is new.
fn again(
    saved: &Saved,
    opened: &Arc<Opened>,
    template: &Template,
) -> Outcome<Option<(Again, u64)>> {
    let Some(pending) = saved.pending.as_ref().filter(|_| is_same(opened, saved)) else {
        return Ok(None);
    };
    let length = opened.file.metadata().map_or(0, |metadata| metadata.len());
    if length < pending.to {
        return Ok(None);
    }
    Again::read(opened, saved.offset, pending, template).map(|again| Some((again, pending.to)))
}

/// Whether a file is the one of which a place was saved: long enough, with the same bytes before it.
fn is_same(opened: &Opened, saved: &Saved) -> bool {
    let length = opened.file.metadata().map_or(0, |metadata| metadata.len());
    let is_from_the_start = saved.inode == 0 && saved.offset == 0;
    let fingerprint = || place::fingerprint(&opened.file, saved.offset).ok();
    length >= saved.offset
        && (is_from_the_start || fingerprint().as_ref() == Some(&saved.fingerprint))
}

/// The rotated file of a saved place, and the ones rotated after it.
fn find_rotated(path: &Path, saved: &Saved) -> VecDeque<Part> {
    let rotated = rotated(path);
    let matches = |opened: &Opened| is_same(opened, saved);
    let same_file =
        |(_, opened): &&(Metadata, Arc<Opened>)| opened.inode == saved.inode && matches(opened);
    // A copy (logrotate's `copytruncate`) has the bytes, not the inode.
    let copy = |(_, opened): &&(Metadata, Arc<Opened>)| saved.offset > 0 && matches(opened);
    let Some(found) = rotated
        .iter()
        .find(same_file)
        .or_else(|| rotated.iter().find(copy))
    else {
        return VecDeque::new();
    };
    let mut parts = VecDeque::from([Part {
        opened: Arc::clone(&found.1),
        from: saved.offset,
    }]);
    parts.extend(later(&rotated, &found.0, found.1.inode));
    parts
}

fn later(rotated: &[(Metadata, Arc<Opened>)], than: &Metadata, inode: u64) -> Vec<Part> {
    let is_later = |metadata: &Metadata| match (metadata.modified(), than.modified()) {
        (Ok(its), Ok(that)) => its > that,
        _ => false,
    };
    rotated
        .iter()
        .filter(|(metadata, opened)| opened.inode != inode && is_later(metadata))
        .map(|(_, opened)| Part {
            opened: Arc::clone(opened),
            from: 0,
        })
        .collect()
}

/// Files that a rotation has made of this one, the oldest first: its name and a number or a date, not compressed.
fn rotated(path: &Path) -> Vec<(Metadata, Arc<Opened>)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let prefix = name.to_string_lossy();
    let is_rotated = |name: &str| {
        name.strip_prefix(&*prefix)
            .and_then(|suffix| suffix.strip_prefix(['.', '-']))
            .is_some_and(|suffix| {
                suffix.starts_with(|c: char| c.is_ascii_digit())
                    && suffix
                        .chars()
                        .all(|c| c.is_ascii_digit() || "-_.:T".contains(c))
            })
    };
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| is_rotated(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| {
            let opened = Opened::open(&entry.path()).ok()?;
            let metadata = opened.file.metadata().ok().filter(Metadata::is_file)?;
            Some((metadata, opened))
        })
        .collect();
    found.sort_by_key(|(metadata, _)| metadata.modified().ok());
    found
}

/// The thread that reads.
struct Follower {
    path: PathBuf,
    quiet: bool,
    template: Template,
    items: mpsc::Sender<Outcome<Item>>,
    /// What is to be read; while the last of them is read, the name is watched.
    parts: VecDeque<Part>,
    missing_said: bool,
}

/// Why a file is read no further.
enum End {
    /// It is finished: go on with the next.
    Finished,
    /// Nobody wants more.
    Closed,
}

impl Follower {
    fn run(mut self) {
        loop {
            let Some(part) = self.parts.pop_front() else {
                self.wait_for_the_file();
                continue;
            };
            let mut reading = Reading::new(part);
            match self.read(&mut reading) {
                Ok(End::Finished) => {}
                Ok(End::Closed) => return,
                Err(error) => {
                    let failure = Failure::file(&self.path, "follow the file", &error);
                    let _ = self.items.blocking_send(Err(failure));
                    return;
                }
            }
            if self.items.is_closed() {
                return;
            }
        }
    }

    fn wait_for_the_file(&mut self) {
        match Opened::open(&self.path) {
            Ok(opened) => self.parts.push_back(Part { opened, from: 0 }),
            Err(error) => {
                if !self.missing_said {
                    self.missing_said = true;
                    output::say(format_args!(
                        "{}: {error}; waiting for it",
                        self.path.display()
                    ));
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    /// Reads one file until another has taken its place.
    fn read(&mut self, reading: &mut Reading) -> io::Result<End> {
        let mut lost_name: Option<Instant> = None;
        loop {
            while reading.fill()? {
                lost_name = lost_name.map(|_| Instant::now());
                if !self.hand_out(reading) {
                    return Ok(End::Closed);
                }
            }
            if !self.parts.is_empty() {
                return Ok(self.finish(reading));
            }
            reading.remember()?;
            std::thread::sleep(LOOK_EVERY);
            if self.items.is_closed() {
                return Ok(End::Closed);
            }
            if reading.was_rewritten()? {
                return Ok(self.start_again(reading));
            }
            match self.name_is_of_another(reading) {
                false => lost_name = None,
                true if lost_name.is_none() => lost_name = Some(Instant::now()),
                true if lost_name.is_some_and(|since| since.elapsed() > GRACE) => {
                    return self.go_over(reading);
                }
                true => {}
            }
        }
    }

    fn name_is_of_another(&self, reading: &Reading) -> bool {
        std::fs::metadata(&self.path)
            .is_ok_and(|metadata| place::inode(&metadata) != reading.part.opened.inode)
    }

    /// The name belongs to another file now: that one is next, after any that had the name in between.
    fn go_over(&mut self, reading: &mut Reading) -> io::Result<End> {
        let present = match Opened::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(End::Finished),
            opened => opened?,
        };
        let opened = &reading.part.opened;
        let between = later(&rotated(&self.path), &opened.file.metadata()?, opened.inode);
        let between = between
            .into_iter()
            .filter(|part| part.opened.inode != present.inode);
        self.parts.extend(between);
        self.parts.push_back(Part {
            opened: present,
            from: 0,
        });
        if !self.quiet {
            output::say(format_args!(
                "{}: rotated; going on with the new file",
                self.path.display()
            ));
        }
        Ok(self.finish(reading))
    }

    /// The file was cut, and perhaps filled anew: what is not read of the old bytes may be in a copy.
    fn start_again(&mut self, reading: &Reading) -> End {
        let copy = rotated(&self.path).into_iter().find(|(metadata, opened)| {
            let is_longer = metadata.len() >= reading.at && reading.at > 0;
            is_longer && place::fingerprint(&opened.file, reading.at).ok() == reading.fingerprint
        });
        self.parts.extend(copy.map(|(_, opened)| Part {
            opened,
            from: reading.line_from,
        }));
        if let Ok(opened) = Opened::open(&self.path) {
            self.parts.push_back(Part { opened, from: 0 });
        }
        if !self.quiet {
            output::say(format_args!(
                "{}: truncated; going on from its start",
                self.path.display()
            ));
        }
        End::Finished
    }

    /// A file is done: its last line counts, also without a line end.
    fn finish(&self, reading: &mut Reading) -> End {
        let line = std::mem::take(&mut reading.partial);
        let is_taken = line.is_empty() || self.offer(reading, &line);
        if is_taken { End::Finished } else { End::Closed }
    }

    /// Hands out the lines that are whole; false when nobody takes them.
    fn hand_out(&self, reading: &mut Reading) -> bool {
        let bytes = std::mem::take(&mut reading.partial);
        let mut rest = bytes.as_slice();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            if !self.offer(reading, line) {
                return false;
            }
            rest = after;
        }
        reading.partial = rest.to_vec();
        if reading.partial.len() > LINE_BYTES_MAX {
            let failure = Failure::failed(format!(
                "{}: the line at byte {} is longer than {LINE_BYTES_MAX} bytes",
                self.path.display(),
                reading.line_from
            ));
            let _ = self.items.blocking_send(Err(failure));
            return false;
        }
        true
    }

    fn offer(&self, reading: &mut Reading, line: &[u8]) -> bool {
        let from = reading.line_from;
        reading.line_from += line.len() as u64;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let item = Item {
            line: self.template.event_of_line(text),
            place: Some(Place {
                opened: Arc::clone(&reading.part.opened),
                from,
                to: reading.line_from,
            }),
        };
        self.items.blocking_send(Ok(item)).is_ok()
    }
}

/// A file being read.
struct Reading {
    part: Part,
    /// The next byte to read.
    at: u64,
    /// Where the line begins that is not whole yet.
    line_from: u64,
    /// What there is of it.
    partial: Vec<u8>,
    /// Of the bytes before `at`, as they were when they were read.
    fingerprint: Option<String>,
}

impl Reading {
    fn new(part: Part) -> Self {
        Self {
            at: part.from,
            line_from: part.from,
            part,
            partial: Vec::new(),
            fingerprint: None,
        }
    }

    /// Reads on; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let start = self.partial.len();
        self.partial.resize(start + CHUNK_BYTES, 0);
        let read = place::read_at(&self.part.opened.file, &mut self.partial[start..], self.at);
        self.partial.truncate(start + *read.as_ref().unwrap_or(&0));
        let read = read?;
        self.at += read as u64;
        if read > 0 {
            self.fingerprint = None;
        }
        Ok(read > 0)
    }

    fn remember(&mut self) -> io::Result<()> {
        if self.fingerprint.is_none() {
            self.fingerprint = Some(place::fingerprint(&self.part.opened.file, self.at)?);
        }
        Ok(())
    }

    /// Whether the file is shorter than what was read of it, or has other bytes there. Looks only when its length changed.
    fn was_rewritten(&self) -> io::Result<bool> {
        let length = self.part.opened.file.metadata()?.len();
        if length == self.at {
            return Ok(false);
        }
        let same = || place::fingerprint(&self.part.opened.file, self.at).map(Some);
        Ok(length < self.at || same()? != self.fingerprint)
    }
}
