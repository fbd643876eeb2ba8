//! The codec behind a pipe, for test suites in any language: one JSON line in, one out, until stdin ends.
//!
//! `codec_cli decode` takes `{"chunks": [base64, ...], "initialLastEventId"?}`, `codec_cli encode` takes
//! `{"events": [{"event"?, "id"?, "retry"?, "data"?, "comment"?}, ...]}`. Each line gets a fresh decoder or encoder; a line
//! that is refused is answered `{"error": ...}`. Try: `echo '{"events":[{"data":"hi"}]}' | codec_cli encode`.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidewire_codec::{Decoder, EventId, EventType, Fields, ItemRef, encode_comment, encode_event};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DecodeRequest {
    chunks: Vec<String>,
    initial_last_event_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DecodeAnswer {
    events: Vec<Value>,
    last_event_id_after: String,
    retry: Option<u64>,
    comments: Vec<String>,
}

#[derive(Deserialize)]
struct EncodeRequest {
    events: Vec<EncodeEvent>,
}

#[derive(Deserialize)]
struct EncodeEvent {
    event: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
    data: Option<String>,
    comment: Option<String>,
}

fn decode(line: &str) -> Result<Value, String> {
    let request: DecodeRequest = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let initial = EventId::parse(request.initial_last_event_id.as_deref().unwrap_or_default())
        .map_err(|e| format!("initialLastEventId {e}"))?;
    let mut decoder = Decoder::new().with_last_event_id(&initial);
    let mut answer = DecodeAnswer {
        events: Vec::new(),
        last_event_id_after: String::new(),
        retry: None,
        comments: Vec::new(),
    };
    for chunk in &request.chunks {
        let chunk = BASE64_STANDARD
            .decode(chunk)
            .map_err(|e| format!("a chunk is not base64: {e}"))?;
        decoder.feed(&chunk);
        while let Some(item) = decoder.next_item().map_err(|e| e.to_string())? {
            match item {
                ItemRef::Event(event) => answer.events.push(json!({
                    "type": event.event_type, "data": event.data, "lastEventId": event.last_event_id,
                })),
                ItemRef::Comment(text) => answer.comments.push(text.to_owned()),
                ItemRef::Retry(ms) => answer.retry = Some(ms),
            }
        }
    }
    decoder.finish();
    decoder
        .last_event_id()
        .clone_into(&mut answer.last_event_id_after);
    serde_json::to_value(answer).map_err(|e| e.to_string())
}

fn encode(line: &str) -> Result<Value, String> {
    let request: EncodeRequest = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    for event in &request.events {
        let event_type = event
            .event
            .as_deref()
            .map(EventType::parse)
            .transpose()
            .map_err(|e| format!("event {e}"))?;
        let id = event
            .id
            .as_deref()
            .map(EventId::parse)
            .transpose()
            .map_err(|e| format!("id {e}"))?;
        if let Some(comment) = &event.comment {
            encode_comment(&mut bytes, comment);
        }
        let data = event.data.as_deref();
        encode_event(
            &mut bytes,
            &Fields {
                event_type: event_type.as_ref(),
                retry: event.retry,
                id: id.as_ref(),
                data,
            },
        );
    }
    Ok(json!({ "bytes": BASE64_STANDARD.encode(bytes) }))
}

fn run(answer: fn(&str) -> Result<Value, String>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let value = answer(&line).unwrap_or_else(|error| json!({ "error": error }));
        writeln!(stdout, "{value}")?;
        // The other side waits for each answer before it asks again.
        stdout.flush()?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let mode = std::env::args().nth(1);
    let result = match mode.as_deref() {
        Some("decode") => run(decode),
        Some("encode") => run(encode),
        _ => {
            let _ = writeln!(
                io::stderr(),
                "usage: codec_cli decode|encode   (JSON lines on stdin)"
            );
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "codec_cli: {error}");
            ExitCode::FAILURE
        }
    }
}
