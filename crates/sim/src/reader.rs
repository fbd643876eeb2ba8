//! Bytes to what a stream told: with the real decoder for event streams, by lines for NDJSON.

use serde_json::Value;
use tidewire_codec::{Decoder, ItemRef};
use tidewire_core::{Cursor, Form};

/// One thing that a stream told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A published event.
    Event {
        /// What its data starts with.
        number: u64,
        /// Its id.
        id: String,
    },
    /// The opening, with the stream's id.
    Open(String, Option<Cursor>),
    /// A checkpoint.
    Checkpoint(Cursor),
    /// A gap.
    Gap {
        /// What was asked for.
        asked: String,
        /// Where it goes on.
        oldest: Cursor,
        /// Why.
        reason: String,
    },
    /// A heartbeat or another comment.
    Comment,
    /// The grant ends soon.
    Expiring,
    /// The end, and why.
    Closing(String),
}

/// Reads one connection's bytes.
pub struct Reader {
    form: Form,
    decoder: Decoder,
    /// A block or line whose end has not come.
    open: Vec<u8>,
}

impl Reader {
    /// Of this form.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self {
            form,
            decoder: Decoder::new(),
            open: Vec::new(),
        }
    }

    /// Whether the stream stands between two frames.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.open.is_empty()
    }

    /// What these bytes complete. Block by block, so that an id is seen where it stands.
    ///
    /// # Errors
    /// If they are no stream of ours.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Vec<Told>, String> {
        self.open.extend_from_slice(bytes);
        let mut told = Vec::new();
        let open = std::mem::take(&mut self.open);
        let mut rest = &open[..];
        loop {
            // Comments are lines of their own, without a blank line.
            let end: &[u8] = match self.form {
                Form::Ndjson => b"\n",
                _ if rest.starts_with(b":") => b"\n",
                _ => b"\n\n",
            };
            let Some(at) = rest.windows(end.len()).position(|window| window == end) else {
                break;
            };
            let (block, after) = rest.split_at(at + end.len());
            let block = std::str::from_utf8(block).map_err(|error| error.to_string())?;
            let item = match self.form {
                Form::Ndjson => ndjson(block),
                _ => self.block(block),
            };
            told.push(item.ok_or_else(|| format!("not a frame of ours: {block:?}"))?);
            rest = after;
        }
        self.open = rest.to_vec();
        Ok(told)
    }

    fn block(&mut self, block: &str) -> Option<Told> {
        self.decoder.feed(block.as_bytes());
        let told = match self.decoder.next_item().ok()? {
            Some(ItemRef::Comment(_)) => Some(Told::Comment),
            Some(ItemRef::Event(event)) if event.event_type.starts_with("tidewire.") => {
                let data = serde_json::from_str(event.data).unwrap_or(Value::Null);
                control(event.event_type, event.last_event_id, &data)
            }
            Some(ItemRef::Event(event)) => Some(Told::Event {
                number: number(event.data)?,
                id: event.last_event_id.to_owned(),
            }),
            Some(ItemRef::Retry(_)) => None,
            None => block
                .starts_with("id: ")
                .then(|| Cursor::parse(self.decoder.last_event_id()))
                .flatten()
                .map(Told::Checkpoint),
        };
        match self.decoder.next_item() {
            Ok(None) => told,
            _ => None,
        }
    }
}

fn ndjson(line: &str) -> Option<Told> {
    if line == "\n" {
        return Some(Told::Comment);
    }
    let line: Value = serde_json::from_str(line).ok()?;
    let (kind, id) = (line["type"].as_str()?, line["id"].as_str().unwrap_or(""));
    if kind.starts_with("tidewire.") {
        return control(kind, id, &line["data"]);
    }
    Some(Told::Event {
        number: number(line["data"].as_str()?)?,
        id: id.to_owned(),
    })
}

fn number(data: &str) -> Option<u64> {
    data.split(' ').next()?.parse().ok()
}

fn control(kind: &str, id: &str, data: &Value) -> Option<Told> {
    let text = |name: &str| Some(data[name].as_str()?.to_owned());
    match kind {
        "tidewire.open" => Some(Told::Open(text("stream")?, Cursor::parse(id))),
        "tidewire.at" => Some(Told::Checkpoint(Cursor::parse(id)?)),
        "tidewire.gap" => Some(Told::Gap {
            asked: text("asked")?,
            oldest: Cursor::parse(&text("oldest")?)?,
            reason: text("reason")?,
        }),
        "tidewire.expiring" => Some(Told::Expiring),
        "tidewire.closing" => Some(Told::Closing(text("reason")?)),
        _ => None,
    }
}
