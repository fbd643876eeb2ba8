//! Control frames: what a stream says about itself, in the form its subscriber reads.
//!
//! Their types start with [`CONTROL_TYPE_PREFIX`], which nobody may publish. Checkpoints have a type and an empty or JSON
//! `data` line because Firefox and WebKit drop the id of a block without data (shared/protocol/event-stream.md).

use serde_json::{Value, json};
use tidewire_core::{Cursor, Form, Frame};

use crate::GapReason;
use crate::encode::chunk;

/// How the types of control events start.
pub const CONTROL_TYPE_PREFIX: &str = "tidewire.";

/// Something that a stream says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control<'a> {
    /// A comment, so that the path knows we live.
    Heartbeat,
    /// The first block: names the stream, and is a checkpoint unless a gap follows. Of a client that is cut between the
    /// two, an id would take the gap away: it would come back beyond it.
    Open {
        /// The stream's unguessable id.
        stream: &'a str,
        /// Where it starts.
        at: Option<Cursor>,
    },
    /// A checkpoint as an event.
    At(Cursor),
    /// A checkpoint as an id without data.
    Id(Cursor),
    /// Something is missing. Without id; a checkpoint follows.
    Gap {
        /// What the client asked for, as it spelled it; or the cursor it had reached.
        asked: &'a str,
        /// Where it goes on: the cursor before the oldest event that it can still get.
        oldest: Cursor,
        /// The newest event's cursor.
        newest: Cursor,
        /// Why.
        reason: GapReason,
    },
    /// The grant ends soon.
    Expiring {
        /// In so many milliseconds.
        in_ms: u64,
    },
    /// The stream ends, and why. As a comment too, for whoever reads raw streams.
    Closing {
        /// One word or a few.
        reason: &'a str,
    },
    /// A comment.
    Comment(&'a str),
    /// Sets the reconnection time, in milliseconds.
    Retry(u64),
}

/// About how long a control frame is.
const CONTROL_BYTES_LIKELY: usize = 64;

/// A control frame's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFrame {
    bytes: Vec<u8>,
    head_bytes: u8,
}

impl ControlFrame {
    /// The frame.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame::from_chunk(&self.bytes, self.head_bytes)
    }
}

impl Control<'_> {
    /// Encodes it. In NDJSON a comment is a blank line and a control event an object with `type`, `data` and perhaps `id`.
    #[must_use]
    pub fn encode(&self, form: Form) -> ControlFrame {
        let mut bytes = Vec::with_capacity(128);
        let head_bytes = chunk(&mut bytes, CONTROL_BYTES_LIKELY, |buf| match form {
            Form::Ndjson => self.encode_ndjson(buf),
            Form::EventStream | Form::Labelled | Form::Legacy => self.encode_event_stream(buf),
        });
        ControlFrame { bytes, head_bytes }
    }

    fn encode_event_stream(&self, buf: &mut Vec<u8>) {
        let text = match self {
            Self::Heartbeat => return encode_comment(buf, ""),
            Self::Comment(comment) => return encode_comment(buf, comment),
            Self::Id(cursor) => format!("id: {cursor}\n\n"),
            Self::Retry(ms) => format!("retry: {ms}\n\n"),
            Self::Closing { reason } => {
                encode_comment(buf, &format!("closing: {reason}"));
                self.event_block()
            }
            _ => self.event_block(),
        };
        buf.extend_from_slice(text.as_bytes());
    }

    fn event_block(&self) -> String {
        let (name, id, data) = self.event();
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        let data = if data.is_null() {
            String::new()
        } else {
            data.to_string()
        };
        format!("event: {CONTROL_TYPE_PREFIX}{name}\n{id}data: {data}\n\n")
    }

    fn encode_ndjson(&self, buf: &mut Vec<u8>) {
        if !matches!(self, Self::Heartbeat | Self::Comment(_) | Self::Retry(_)) {
            let (name, id, data) = self.event();
            let mut line = json!({ "type": format!("{CONTROL_TYPE_PREFIX}{name}"), "data": data });
            if let Some(id) = id {
                line["id"] = id.to_string().into();
            }
            buf.extend_from_slice(line.to_string().as_bytes());
        }
        buf.push(b'\n');
    }

    fn event(&self) -> (&'static str, Option<Cursor>, Value) {
        match self {
            Self::Open { stream, at } => ("open", *at, json!({ "stream": stream })),
            Self::At(cursor) | Self::Id(cursor) => ("at", Some(*cursor), Value::Null),
            Self::Gap {
                asked,
                oldest,
                newest,
                reason,
            } => (
                "gap",
                None,
                json!({
                    "asked": asked,
                    "oldest": oldest.to_string(),
                    "newest": newest.to_string(),
                    "reason": reason.as_str(),
                }),
            ),
            Self::Expiring { in_ms } => ("expiring", None, json!({ "in_ms": in_ms })),
            Self::Closing { reason } => ("closing", None, json!({ "reason": reason })),
            Self::Heartbeat | Self::Comment(_) | Self::Retry(_) => ("comment", None, Value::Null),
        }
    }
}

/// A comment's lines, without the blank line that the codec ends a block with: fetch-event-source, httpx-sse and r3labs/sse take
/// every blank line for an event's end and show their users an empty event at each heartbeat.
fn encode_comment(buf: &mut Vec<u8>, text: &str) {
    tidewire_codec::encode::encode_comment(buf, text);
    buf.pop();
}

#[cfg(test)]
mod tests {
    use tidewire_core::{Epoch, Position};

    use super::*;

    #[test]
    fn what_a_stream_says_about_itself() {
        let at = Cursor::new(Epoch(5), Position(7));
        let gap = Control::Gap {
            asked: "#4-1\n",
            oldest: at,
            newest: at,
            reason: GapReason::Epoch,
        };
        #[rustfmt::skip]
        let table = [
            (Control::Heartbeat, Form::EventStream, ":\n"),
            (Control::Heartbeat, Form::Ndjson, "\n"),
            (Control::Comment("a\nb"), Form::EventStream, ": a\n: b\n"),
            (Control::Retry(300), Form::Labelled, "retry: 300\n\n"),
            (Control::Id(at), Form::EventStream, "id: #5-7\n\n"),
            (Control::At(at), Form::EventStream, "event: tidewire.at\nid: #5-7\ndata: \n\n"),
            (Control::At(at), Form::Ndjson, "{\"data\":null,\"id\":\"#5-7\",\"type\":\"tidewire.at\"}\n"),
            (Control::Open { stream: "s", at: Some(at) }, Form::EventStream,
             "event: tidewire.open\nid: #5-7\ndata: {\"stream\":\"s\"}\n\n"),
            (Control::Open { stream: "s", at: None }, Form::EventStream,
             "event: tidewire.open\ndata: {\"stream\":\"s\"}\n\n"),
            (gap, Form::EventStream,
             "event: tidewire.gap\ndata: {\"asked\":\"#4-1\\n\",\"newest\":\"#5-7\",\"oldest\":\"#5-7\",\"reason\":\"epoch\"}\n\n"),
            (Control::Closing { reason: "drain" }, Form::EventStream,
             ": closing: drain\nevent: tidewire.closing\ndata: {\"reason\":\"drain\"}\n\n"),
        ];
        for (control, form, want) in table {
            let encoded = control.encode(form);
            assert_eq!(
                std::str::from_utf8(encoded.frame().bare()).unwrap(),
                want,
                "{control:?}"
            );
        }
    }
}
