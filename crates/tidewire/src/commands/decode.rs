//! `tidewire decode`: an event stream to JSON lines.

use std::io::Read;

use clap::Args;
use serde_json::json;
use tidewire_codec::{Decoder, ItemRef};

use crate::failure::{Failure, Outcome};
use crate::output;

/// Turn an event stream on standard input into JSON lines
///
/// Each event becomes one object {"type","data","id"}: its type (`message` when the stream gave none), its data, and the last
/// event id, which is left out when there is none.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  curl -sN http://127.0.0.1:8080/topics/clock | tidewire decode")]
pub(crate) struct Decode {
    /// Print comments and reconnection times too, as {"comment"} and {"retry"}
    #[arg(long)]
    all: bool,
}

impl Decode {
    pub(crate) fn run(self) -> Outcome {
        let mut stdin = std::io::stdin().lock();
        let mut decoder = Decoder::new();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let read = match stdin.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Failure::failed(format!(
                        "cannot read standard input: {error}"
                    )));
                }
            };
            decoder.feed(&chunk[..read]);
            // What one read brought is written at once: nobody waits for the next.
            output::bytes(&self.lines(&mut decoder)?)?;
        }
        if decoder.finish() {
            output::say(
                "the stream ended inside an event, which is not shown (WHATWG HTML, section 9.2.6)",
            );
        }
        Ok(())
    }

    fn lines(&self, decoder: &mut Decoder) -> Outcome<Vec<u8>> {
        let mut lines = Vec::new();
        while let Some(item) = decoder.next_item().map_err(Failure::failed)? {
            let line = match item {
                ItemRef::Event(event) if event.last_event_id.is_empty() => {
                    json!({ "type": event.event_type, "data": event.data })
                }
                ItemRef::Event(event) => {
                    json!({ "type": event.event_type, "data": event.data, "id": event.last_event_id })
                }
                ItemRef::Comment(comment) if self.all => json!({ "comment": comment }),
                ItemRef::Retry(ms) if self.all => json!({ "retry": ms }),
                ItemRef::Comment(_) | ItemRef::Retry(_) => continue,
            };
            lines.extend_from_slice(line.to_string().as_bytes());
            lines.push(b'\n');
        }
        Ok(lines)
    }
}
