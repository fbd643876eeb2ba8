//! An event stream as a case looks at it: block by block, with the bytes that it came as.
//!
//! Not the codec: a fault there must not be mirrored here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::wire::{Body, State};

/// The types that a hub may use for events of its own, which no case asks for.
const OWN_TYPES: &str = "tidewire.";

/// One event: a block with data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) event_type: Option<String>,
    pub(super) id: Option<String>,
    pub(super) retry: Option<String>,
    pub(super) data: String,
    /// As it came, with its blank line.
    pub(super) raw: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Event(Seen),
    Comment,
}

/// A stream that is open, or was.
pub(super) struct Stream {
    body: Body,
    pub(super) opened: Instant,
    /// The beginning of a block whose end has not come.
    partial: Vec<u8>,
    items: VecDeque<Item>,
}

impl Stream {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body,
            opened: Instant::now(),
            partial: Vec::new(),
            items: VecDeque::new(),
        }
    }

    /// The first line, which must come at once; it stays in the stream.
    pub(super) fn opening(&mut self, deadline: Instant) -> Result<String, String> {
        while self.items.is_empty() {
            if let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                return Ok(String::from_utf8_lossy(&self.partial[..=end]).into_owned());
            }
            self.more(deadline)
                .map_err(|why| format!("no first line: {why}"))?;
        }
        // Whole blocks have come already; what they began with is gone, and nothing needs it.
        Ok(":\n".into())
    }

    /// The next event.
    pub(super) fn event(&mut self, deadline: Instant) -> Result<Seen, String> {
        self.next(deadline, |item| match item {
            Item::Event(seen) => Some(seen),
            Item::Comment => None,
        })
    }

    /// The next comment.
    pub(super) fn comment(&mut self, deadline: Instant) -> Result<(), String> {
        self.next(deadline, |item| (item == Item::Comment).then_some(()))
    }

    fn next<T>(
        &mut self,
        deadline: Instant,
        pick: impl Fn(Item) -> Option<T>,
    ) -> Result<T, String> {
        loop {
            while let Some(item) = self.items.pop_front() {
                if let Some(picked) = pick(item) {
                    return Ok(picked);
                }
            }
            self.more(deadline)?;
        }
    }

    /// Reads until the stream ends; says whether its framing ended too.
    pub(super) fn end(&mut self, deadline: Instant) -> Result<State, String> {
        while self.body.state() == State::Open {
            let bytes = self.body.some(deadline)?;
            self.take(&bytes);
        }
        Ok(self.body.state())
    }

    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    fn more(&mut self, deadline: Instant) -> Result<(), String> {
        let bytes = self.body.some(deadline)?;
        if bytes.is_empty() {
            return Err("the stream has ended".into());
        }
        self.take(&bytes);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.partial.extend(bytes);
        while let Some(at) = super::wire::find(&self.partial, b"\n\n") {
            let block: Vec<u8> = self.partial.drain(..at + 2).collect();
            self.items.extend(items(&String::from_utf8_lossy(&block)));
        }
        // A lone comment is no block: hubs flush their head with one line.
        while self.partial.starts_with(b":") {
            let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') else {
                break;
            };
            // The first line is kept until something follows: a case may ask how the stream began.
            if self.items.is_empty()
                && end + 1 == self.partial.len()
                && self.age() < Duration::from_millis(500)
            {
                break;
            }
            self.partial.drain(..=end);
            self.items.push_back(Item::Comment);
        }
    }
}

/// WHATWG HTML, section 9.2.6, for one block that hubs write with LF alone.
fn items(block: &str) -> Vec<Item> {
    let mut seen = Seen {
        raw: block.to_owned(),
        ..Seen::default()
    };
    let mut data: Option<String> = None;
    let mut items = Vec::new();
    for line in block.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if line.starts_with(':') => items.push(Item::Comment),
            "event" => seen.event_type = Some(value.to_owned()),
            "id" => seen.id = Some(value.to_owned()),
            "retry" => seen.retry = Some(value.to_owned()),
            "data" => match &mut data {
                None => data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            _ => {}
        }
    }
    let is_own = seen
        .event_type
        .as_deref()
        .is_some_and(|name| name.starts_with(OWN_TYPES));
    if let Some(data) = data.filter(|_| !is_own) {
        seen.data = data;
        // A comment may stand before the event, in the same block.
        while let Some(rest) = seen.raw.strip_prefix(':') {
            seen.raw = rest
                .split_once('\n')
                .map_or("", |(_, rest)| rest)
                .to_owned();
        }
        items.push(Item::Event(seen));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_an_event_or_comments() {
        let event = |raw: &str| match items(raw).pop() {
            Some(Item::Event(seen)) => Some((seen.event_type, seen.id, seen.data, seen.raw)),
            _ => None,
        };
        let some = |text: &str| Some(text.to_owned());
        let table = [
            (":\n\n", None),
            ("id: 5\n\n", None),
            ("event: tidewire.gap\ndata: x\n\n", None),
            (
                "data: x\ndata: y\n\n",
                Some((
                    None,
                    None,
                    "x\ny".to_owned(),
                    "data: x\ndata: y\n\n".to_owned(),
                )),
            ),
            (
                ":\nevent: t\nid: 5\ndata: \n\n",
                Some((
                    some("t"),
                    some("5"),
                    String::new(),
                    "event: t\nid: 5\ndata: \n\n".to_owned(),
                )),
            ),
        ];
        for (raw, want) in table {
            assert_eq!(event(raw), want, "{raw:?}");
        }
    }
}
