//! Lines of standard input, read on a thread of its own: a read of a terminal or pipe cannot be called off.

use std::io::{BufRead, BufReader, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::event::{Item, Template};
use crate::failure::{Failure, Outcome};

/// The longest line that is read, in bytes; the hub's own limit is lower as a rule.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;

/// Starts to read. The channel closes at the end of input.
pub(super) fn start(
    template: Template,
    is_ndjson: bool,
    items: mpsc::Sender<Outcome<Item>>,
) -> Outcome {
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || read(&template, is_ndjson, &items))
        .map(drop)
        .map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))
}

fn read(template: &Template, is_ndjson: bool, items: &mpsc::Sender<Outcome<Item>>) {
    let mut lines = BufReader::with_capacity(64 * 1024, std::io::stdin().lock());
    for number in 1_u64.. {
        let item = match next_line(&mut lines) {
            Ok(None) => return,
            Ok(Some(line)) if is_ndjson && line.trim_ascii().is_empty() => continue,
            Ok(Some(line)) => event(template, is_ndjson, &line)
                .map(Item::of)
                .map_err(|why| Failure::failed(format!("line {number}: {why}"))),
            Err(why) => Err(Failure::failed(format!("line {number}: {why}"))),
        };
        let is_end = item.is_err();
        if items.blocking_send(item).is_err() || is_end {
            return;
        }
    }
}

fn event(template: &Template, is_ndjson: bool, line: &[u8]) -> Result<Bytes, String> {
    if is_ndjson {
        template.whole_event(line)
    } else {
        Ok(template.event_of_line(line))
    }
}

/// The next line without its end; the last one may have none.
fn next_line(lines: &mut impl BufRead) -> Result<Option<Vec<u8>>, String> {
    let mut line = Vec::new();
    let read = lines
        .by_ref()
        .take(LINE_BYTES_MAX as u64 + 1)
        .read_until(b'\n', &mut line)
        .map_err(|error| format!("cannot read standard input: {error}"))?;
    if read == 0 {
        return Ok(None);
    }
    match line.pop() {
        Some(b'\n') => {}
        Some(_) if line.len() >= LINE_BYTES_MAX => {
            return Err(format!("it is longer than {LINE_BYTES_MAX} bytes"));
        }
        Some(last) => line.push(last),
        None => {}
    }
    Ok(Some(line))
}
