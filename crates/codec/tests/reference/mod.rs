//! The interpretation of WHATWG HTML 9.2.6, word by word over the whole stream at once: slow, and meant to be read beside
//! the standard. The decoder is compared with it. Not here: pieces, limits, speed.

use tidewire_codec::{Event, Item};

/// What a whole stream says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// In the stream's order.
    pub(crate) items: Vec<Item>,
    /// The last event ID string at the end.
    pub(crate) last_event_id: String,
}

/// Reads a whole stream.
pub(crate) fn read(stream: &[u8], initial_last_event_id: &str) -> Reading {
    // "Streams must be decoded using the UTF-8 decode algorithm", which "strips one leading UTF-8 Byte Order Mark".
    let decoded = String::from_utf8_lossy(stream);
    let text = decoded.strip_prefix('\u{feff}').unwrap_or(&decoded);

    let mut source = Source {
        last_event_id: initial_last_event_id.to_owned(),
        items: Vec::new(),
    };
    // "They must be initialized to the empty string"; the id as browsers do, to the last event ID string.
    let mut buffers = Buffers {
        data: String::new(),
        event_type: String::new(),
        last_event_id: initial_last_event_id.to_owned(),
    };
    for line in lines(text) {
        interpret(&line, &mut buffers, &mut source);
    }
    // "Once the end of the file is reached, any pending data must be discarded."
    Reading {
        items: source.items,
        last_event_id: source.last_event_id,
    }
}

struct Source {
    last_event_id: String,
    items: Vec<Item>,
}

struct Buffers {
    data: String,
    event_type: String,
    last_event_id: String,
}

/// "Lines must be separated by either a CRLF pair, a single LF, or a single CR." Finished lines only.
fn lines(text: &str) -> Vec<String> {
    let mut finished = Vec::new();
    let mut line = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() == Some(&'\n') {
                    chars.next();
                }
                finished.push(std::mem::take(&mut line));
            }
            '\n' => finished.push(std::mem::take(&mut line)),
            c => line.push(c),
        }
    }
    finished
}

fn interpret(line: &str, buffers: &mut Buffers, source: &mut Source) {
    // "If the line is empty (a blank line): Dispatch the event."
    if line.is_empty() {
        dispatch(buffers, source);
        return;
    }
    let (field, value) = match line.find(':') {
        // "If the line contains a U+003A COLON character: field is before, value after the first; if value starts with a
        // U+0020 SPACE character, remove it."
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(' ').unwrap_or(value))
        }
        // "Otherwise: the whole line as the field name, and the empty string as the field value."
        None => (line, ""),
    };
    // "If the line starts with a U+003A COLON character (:): Ignore the line." We hand it out.
    if line.starts_with(':') {
        source.items.push(Item::Comment(value.to_owned()));
        return;
    }
    process(field, value, buffers, source);
}

fn process(field: &str, value: &str, buffers: &mut Buffers, source: &mut Source) {
    match field {
        "event" => buffers.event_type = value.to_owned(),
        "data" => {
            buffers.data.push_str(value);
            buffers.data.push('\n');
        }
        // "If the field value does not contain U+0000 NULL"
        "id" if !value.contains('\0') => buffers.last_event_id = value.to_owned(),
        // "If the field value consists of only ASCII digits"
        "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
            source
                .items
                .push(Item::Retry(value.parse().unwrap_or(u64::MAX)));
        }
        // "Otherwise: The field is ignored."
        _ => {}
    }
}

fn dispatch(buffers: &mut Buffers, source: &mut Source) {
    // 1. "Set the last event ID string of the event source to the value of the last event ID buffer."
    source.last_event_id.clone_from(&buffers.last_event_id);
    // 2. "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string and
    //    return."
    if buffers.data.is_empty() {
        buffers.event_type.clear();
        return;
    }
    // 3. "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove it."
    if buffers.data.ends_with('\n') {
        buffers.data.pop();
    }
    // 4. to 8.: the event, its type "message" unless the event type buffer is not empty; clear; dispatch.
    let event_type = if buffers.event_type.is_empty() {
        "message".to_owned()
    } else {
        std::mem::take(&mut buffers.event_type)
    };
    source.items.push(Item::Event(Event {
        event_type,
        data: std::mem::take(&mut buffers.data),
        last_event_id: source.last_event_id.clone(),
    }));
}
