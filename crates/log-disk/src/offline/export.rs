//! Export: every event that can be read, one JSON object a line, with all that an import needs.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use tidewire_core::{Form, RecordRef};
use tidewire_log::{Block, Entry};

use super::Progress;
use super::source::{Part, Source};
use crate::error::{Damage, OpenError};

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// How many events.
    pub records: u64,
    /// What could not be read and is not among them.
    pub damage: Vec<Damage>,
}

/// Why an export ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExportError {
    /// The log could not be looked into.
    Open(OpenError),
    /// What was exported could not be written.
    Write(io::Error),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Write(error) => write!(f, "the export could not be written: {error}"),
        }
    }
}

impl std::error::Error for ExportError {}

/// Writes every event that can be read, oldest first, as lines of
/// `{"cursor"?,"topics","type","data","private","time_ms","id"?,"retry"?,"presence"?,"producer"?}`; `id` is the publisher's own. Events that
/// retention by count, age or topic has hidden from readers are written too, as long as they lie there.
///
/// # Errors
/// If there is no log, another process has it open, or `out` takes no more. Damage is told in the answer.
pub fn export(
    dir: impl AsRef<Path>,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(Progress),
) -> Result<Exported, ExportError> {
    let source = Source::open(dir.as_ref()).map_err(ExportError::Open)?;
    let mut exported = Exported {
        records: 0,
        damage: source.damage.clone(),
    };
    let mut done = Progress {
        bytes_total: Some(source.bytes_total),
        ..Progress::default()
    };
    for number in 0..source.len() {
        let segment = source.read(number).map_err(ExportError::Open)?;
        for part in segment.parts() {
            match part {
                Part::Record(record) => {
                    let mut line = line(&record, &source);
                    line.push('\n');
                    out.write_all(line.as_bytes()).map_err(ExportError::Write)?;
                    exported.records += 1;
                    done.records += 1;
                    if done.records.is_multiple_of(10_000) {
                        progress(done);
                    }
                }
                Part::Damage(damage) => exported.damage.push(damage),
            }
        }
        done.bytes += segment.file_bytes();
        progress(done);
    }
    out.flush().map_err(ExportError::Write)?;
    Ok(exported)
}

fn line(record: &RecordRef<'_>, source: &Source) -> String {
    let mut fields = shown(record);
    // The frame shows the hub's id where the publisher gave none.
    fields.remove("id");
    fields.remove("time");
    if let Some(id) = record.publisher_id() {
        fields.insert("id".into(), id.into());
    }
    fields.insert("time_ms".into(), record.time_ms().into());
    if record.presence() {
        fields.insert("presence".into(), true.into());
    }
    if let Some(producer) = record.producer() {
        let producer = json!({ "key": hex(&producer.key), "digest": hex(&producer.digest) });
        fields.insert("producer".into(), producer);
    }
    if let Some(state) = &source.state {
        let cursor = state.lives.cursor_of(record.position()).to_string();
        fields.insert("cursor".into(), cursor.into());
    }
    Value::Object(fields).to_string()
}

/// The fields as a subscriber to NDJSON sees them.
fn shown(record: &RecordRef<'_>) -> Map<String, Value> {
    let bytes = record.as_bytes().to_vec();
    let entry = Entry {
        position: record.position(),
        at: 0,
        bytes: u32::try_from(bytes.len()).expect("a record is below 4 GiB"),
    };
    let block = Block::new(bytes, vec![entry]);
    match serde_json::from_slice(block.frame(0, Form::Ndjson).bare()) {
        Ok(Value::Object(fields)) => fields,
        _ => unreachable!("the NDJSON form of a frame is a JSON object"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
