//! `tidewire encode`: JSON lines to an event stream.

use std::io::BufRead;

use clap::Args;
use serde::Deserialize;
use tidewire_codec::{EventId, EventType, Fields, encode_comment, encode_event};

use crate::failure::{Failure, Outcome};
use crate::output;

/// Turn JSON lines on standard input into an event stream
///
/// Each line is an object with any of `type` (or `event`), `id`, `retry`, `data` and `comment`; other members are ignored.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  echo '{\"type\":\"tick\",\"data\":\"12:00\",\"id\":\"1\"}' | tidewire encode"
)]
pub(crate) struct Encode {}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type", alias = "event")]
    event_type: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
    data: Option<String>,
    comment: Option<String>,
}

impl Encode {
    pub(crate) fn run(self) -> Outcome {
        let mut stdin = std::io::stdin().lock();
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let read = stdin
                .read_until(b'\n', &mut line)
                .map_err(|error| Failure::failed(format!("cannot read standard input: {error}")))?;
            if read == 0 {
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let bytes = encode(&line).map_err(|why| {
                Failure::failed(format!("line {number}: {why}")).next(
                    "write each line as {\"type\": \"...\", \"id\": \"...\", \"data\": \"...\"}",
                )
            })?;
            output::bytes(&bytes)?;
        }
        Ok(())
    }
}

fn encode(line: &[u8]) -> Result<Vec<u8>, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let event_type = match line.event_type.as_deref() {
        // An event without a type is one of type `message`, and the other way round.
        None | Some("" | "message") => None,
        Some(text) => Some(EventType::parse(text).map_err(|why| format!("the type {why}"))?),
    };
    let id = line.id.as_deref().map(EventId::parse).transpose();
    let id = id.map_err(|why| format!("the id {why}"))?;
    let mut bytes = Vec::new();
    if let Some(comment) = &line.comment {
        encode_comment(&mut bytes, comment);
    }
    let fields = Fields {
        event_type: event_type.as_ref(),
        retry: line.retry,
        id: id.as_ref(),
        data: line.data.as_deref(),
    };
    encode_event(&mut bytes, &fields);
    Ok(bytes)
}
