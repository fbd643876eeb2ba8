//! Import: events from lines as [`super::export`] writes them, appended to a log as if they were published.

use std::fmt;
use std::io::{self, BufRead};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Map, Value};
use tidewire_core::{ProducerKey, Topic};
use tidewire_log::{Append, AppendError, Appended, Event, EventId, EventType, Log};

use super::Progress;
use crate::config::DiskConfig;
use crate::error::OpenError;
use crate::log::DiskLog;

/// So many events are appended at once, or so many bytes of lines.
const BATCH_EVENTS: usize = 1000;
const BATCH_BYTES: usize = 1024 * 1024;
/// So many batches wait for their acknowledgement at most.
const BATCHES_WAITING: usize = 4;

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many events were stored.
    pub records: u64,
    /// How many were there already, by their producer keys.
    pub duplicates: u64,
}

/// Why an import ended early. What [`ImportError::imported`] counts is stored and stays.
#[derive(Debug)]
pub struct ImportError {
    /// What had been acknowledged.
    pub imported: Imported,
    /// Why it ended.
    pub why: ImportFailure,
}

/// Why an import ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportFailure {
    /// The log could not be opened, or not be closed.
    Open(OpenError),
    /// The lines could not be read.
    Read(io::Error),
    /// A line is no event.
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The log refused events of the lines from this one on.
    Append {
        /// The first line of the batch that was refused, or the line that is at fault.
        line: u64,
        /// Why.
        why: AppendError,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            ImportFailure::Open(error) => error.fmt(f)?,
            ImportFailure::Read(error) => write!(f, "the lines could not be read: {error}")?,
            ImportFailure::Line { line, what } => write!(f, "line {line}: {what}")?,
            ImportFailure::Append { line, why } => write!(f, "line {line}: {why}")?,
        }
        let Imported {
            records,
            duplicates,
        } = self.imported;
        write!(
            f,
            " ({records} events before that are stored, {duplicates} were there already)"
        )
    }
}

impl std::error::Error for ImportError {}

type Answer = Receiver<Result<Vec<Appended>, AppendError>>;

/// Appends events from lines as [`super::export`] writes them; makes the log if there is none. Positions are given anew. Blank
/// lines and members that are not known are passed over.
///
/// # Errors
/// At the first line that is no event, and where the log refuses one. What was acknowledged before stays.
pub fn import(
    dir: impl AsRef<Path>,
    config: DiskConfig,
    lines: &mut dyn BufRead,
    progress: &mut dyn FnMut(Progress),
) -> Result<Imported, ImportError> {
    let log = DiskLog::open(dir, config).map_err(|error| ImportError {
        imported: Imported::default(),
        why: ImportFailure::Open(error),
    })?;
    let mut run = Run {
        log: &log,
        batch: Vec::new(),
        batch_bytes: 0,
        batch_line: 1,
        waiting: Vec::new(),
        imported: Imported::default(),
    };
    let ended = run.all(lines, progress);
    // What was read before a bad line is still stored.
    let sent = run.send();
    let settled = run.settle(0);
    let imported = run.imported;
    let closed = log.close().map_err(ImportFailure::Open);
    match sent.and(settled).and(ended).and(closed) {
        Ok(()) => Ok(imported),
        Err(why) => Err(ImportError { imported, why }),
    }
}

struct Run<'a> {
    log: &'a DiskLog,
    batch: Vec<Event>,
    batch_bytes: usize,
    /// The line of the batch's first event.
    batch_line: u64,
    waiting: Vec<(u64, Answer)>,
    imported: Imported,
}

impl Run<'_> {
    fn all(
        &mut self,
        lines: &mut dyn BufRead,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), ImportFailure> {
        let mut done = Progress::default();
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let bytes = lines
                .read_until(b'\n', &mut text)
                .map_err(ImportFailure::Read)?;
            if bytes == 0 {
                break;
            }
            done.bytes += bytes as u64;
            if text.trim_ascii().is_empty() {
                continue;
            }
            let event = parse(&text).map_err(|what| ImportFailure::Line { line, what })?;
            if self.batch.is_empty() {
                self.batch_line = line;
            }
            self.batch.push(event);
            self.batch_bytes += bytes;
            done.records += 1;
            if self.batch.len() == BATCH_EVENTS || self.batch_bytes >= BATCH_BYTES {
                self.send()?;
                progress(done);
            }
        }
        progress(done);
        Ok(())
    }

    fn send(&mut self) -> Result<(), ImportFailure> {
        let events = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if events.is_empty() {
            return Ok(());
        }
        let (ack, answer) = channel();
        let ack = Box::new(move |stored| {
            // Nobody listens any more after an earlier batch has failed.
            let _ = ack.send(stored);
        });
        self.waiting.push((self.batch_line, answer));
        self.log.append(Append { events, ack });
        self.settle(BATCHES_WAITING)
    }

    /// Waits until so few batches are unanswered.
    fn settle(&mut self, most: usize) -> Result<(), ImportFailure> {
        while self.waiting.len() > most {
            let (line, answer) = self.waiting.remove(0);
            let stopped = AppendError::Stopped("its writing thread ended".into());
            match answer.recv().unwrap_or(Err(stopped)) {
                Ok(stored) => {
                    let duplicates = stored.iter().filter(|one| one.duplicate).count() as u64;
                    self.imported.duplicates += duplicates;
                    self.imported.records += stored.len() as u64 - duplicates;
                }
                Err(why) => {
                    let index = match why {
                        AppendError::KeyReused { index } | AppendError::TooLarge { index, .. } => {
                            index
                        }
                        _ => 0,
                    };
                    let line = line + index as u64;
                    return Err(ImportFailure::Append { line, why });
                }
            }
        }
        Ok(())
    }
}

fn parse(line: &[u8]) -> Result<Event, String> {
    let fields = match serde_json::from_slice(line) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err("it is not a JSON object".into()),
        Err(error) => return Err(format!("it is not JSON: {error}")),
    };
    let topics = topics(&fields)?;
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("`{name}` is not a string")),
    };
    let number = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .map(Some)
            .ok_or(format!("`{name}` is not a whole number")),
    };
    let event_type = match text("type")? {
        None | Some("message") => None,
        Some(name) => Some(EventType::parse(name).map_err(|error| format!("`type`: {error}"))?),
    };
    let id = match text("id")? {
        None => None,
        Some(id) => Some(EventId::parse(id).map_err(|error| format!("`id`: {error}"))?),
    };
    let is = |name| fields.get(name).is_some_and(|value| *value == true);
    Ok(Event {
        topics,
        data: text("data")?.unwrap_or_default().to_owned(),
        event_type,
        id,
        retry_ms: number("retry")?,
        private: is("private"),
        presence: is("presence"),
        time_ms: number("time_ms")?.unwrap_or(0),
        producer: producer(&fields)?,
    })
}

fn topics(fields: &Map<String, Value>) -> Result<Vec<Topic>, String> {
    let Some(Value::Array(names)) = fields.get("topics") else {
        return Err("`topics` is not a list".into());
    };
    if names.is_empty() {
        return Err("`topics` is empty".into());
    }
    names
        .iter()
        .map(|name| {
            let name = name.as_str().ok_or("a topic is not a string")?;
            Topic::parse(name).map_err(|error| error.to_string())
        })
        .collect()
}

fn producer(fields: &Map<String, Value>) -> Result<Option<ProducerKey>, String> {
    let Some(producer) = fields.get("producer") else {
        return Ok(None);
    };
    let part = |name| {
        let text = producer
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default();
        unhex(text).ok_or(format!("`producer.{name}` is not 32 hexadecimal digits"))
    };
    Ok(Some(ProducerKey {
        key: part("key")?,
        digest: part("digest")?,
    }))
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 16];
    if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
