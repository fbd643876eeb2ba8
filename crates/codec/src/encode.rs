//! Fields to bytes. Every function appends to a buffer and ends with a blank line, so that any run of frames is a valid
//! stream. Not here: checking ids and types (their types have done that), compression, chunk heads.

use memchr::memchr2;

use crate::{EventId, EventType};

/// The fields of one block. What is `None` is not written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    /// `event: `; readers take `message` where it is absent.
    pub event_type: Option<&'a EventType>,
    /// `retry: `, in milliseconds.
    pub retry: Option<u64>,
    /// `id: `.
    pub id: Option<&'a EventId>,
    /// `data: `, one for each line. `Some("")` gives one empty line, which is dispatched; `None` dispatches nothing.
    pub data: Option<&'a str>,
}

/// Appends one block: event, retry, id, data, in this order, and a blank line. Nothing is written for no fields.
///
/// CR, LF and CRLF in data all become the line break that readers give back as LF.
pub fn encode_event(buf: &mut Vec<u8>, fields: &Fields<'_>) {
    let start = buf.len();
    buf.reserve(size_hint(fields));
    if let Some(event_type) = fields.event_type {
        push_line(buf, b"event: ", event_type.as_str().as_bytes());
    }
    if let Some(ms) = fields.retry {
        buf.extend_from_slice(b"retry: ");
        push_decimal(buf, ms);
        buf.push(b'\n');
    }
    if let Some(id) = fields.id {
        push_line(buf, b"id: ", id.as_str().as_bytes());
    }
    if let Some(data) = fields.data {
        for_each_line(data.as_bytes(), |line| push_line(buf, b"data: ", line));
    }
    if buf.len() > start {
        buf.push(b'\n');
    }
}

/// Appends a comment, one `: ` line for each of its lines, and a blank line. An empty line gives `:` alone.
pub fn encode_comment(buf: &mut Vec<u8>, text: &str) {
    buf.reserve(text.len() + 4);
    for_each_line(text.as_bytes(), |line| {
        push_line(buf, if line.is_empty() { b":" } else { b": " }, line);
    });
    buf.push(b'\n');
}

/// How many bytes [`encode_event`] will append, exactly if the data has no line breaks and there is no `retry`. A guess to make
/// room by: more lines grow the buffer as usual.
#[must_use]
pub fn size_hint(fields: &Fields<'_>) -> usize {
    let event_type = fields.event_type.map_or(0, |t| t.as_str().len() + 8);
    let retry = fields.retry.map_or(0, |_| 28);
    let id = fields.id.map_or(0, |id| id.as_str().len() + 5);
    let data = fields.data.map_or(0, |data| data.len() + 7);
    let lines = event_type + retry + id + data;
    lines + usize::from(lines > 0)
}

#[inline]
fn push_line(buf: &mut Vec<u8>, head: &[u8], value: &[u8]) {
    buf.extend_from_slice(head);
    buf.extend_from_slice(value);
    buf.push(b'\n');
}

/// Calls `line` at least once; the rest after a final line break is a line too, an empty one.
#[inline]
fn for_each_line(mut text: &[u8], mut line: impl FnMut(&[u8])) {
    while let Some(end) = memchr2(b'\r', b'\n', text) {
        line(&text[..end]);
        let crlf = text[end] == b'\r' && text.get(end + 1) == Some(&b'\n');
        text = &text[end + 1 + usize::from(crlf)..];
    }
    line(text);
}

fn push_decimal(buf: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buf.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_written_in_mercures_order() {
        let id = EventId::parse("urn:1").unwrap();
        let event_type = EventType::parse("sold").unwrap();
        let mut buf = b"before".to_vec();
        let fields = Fields {
            event_type: Some(&event_type),
            retry: Some(1500),
            id: Some(&id),
            data: Some("x"),
        };
        encode_event(&mut buf, &fields);
        assert_eq!(
            buf,
            b"beforeevent: sold\nretry: 1500\nid: urn:1\ndata: x\n\n"
        );
    }

    #[test]
    fn the_size_is_known_before() {
        let id = EventId::parse("urn:1").unwrap();
        let event_type = EventType::parse("sold").unwrap();
        for chosen in 0..8 {
            let fields = Fields {
                event_type: (chosen & 1 > 0).then_some(&event_type),
                retry: None,
                id: (chosen & 2 > 0).then_some(&id),
                data: (chosen & 4 > 0).then_some("x"),
            };
            let mut buf = Vec::new();
            encode_event(&mut buf, &fields);
            assert_eq!(buf.len(), size_hint(&fields), "{fields:?}");
        }
    }

    #[test]
    fn data_is_split_at_every_kind_of_line_break() {
        let table: [(&str, &str); 9] = [
            ("", "data: \n\n"),
            (" a", "data:  a\n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\rb", "data: a\ndata: b\n\n"),
            ("a\r\nb", "data: a\ndata: b\n\n"),
            ("a\n\rb", "data: a\ndata: \ndata: b\n\n"),
            ("a\r\r\nb", "data: a\ndata: \ndata: b\n\n"),
            ("a\n", "data: a\ndata: \n\n"),
            ("\r", "data: \ndata: \n\n"),
        ];
        for (data, frame) in table {
            let mut buf = Vec::new();
            encode_event(
                &mut buf,
                &Fields {
                    data: Some(data),
                    ..Fields::default()
                },
            );
            assert_eq!(String::from_utf8(buf).unwrap(), frame, "{data:?}");
        }
    }

    #[test]
    fn the_rest_of_a_block_stands_alone() {
        let empty = EventId::default();
        let table: [(Fields<'_>, &str); 4] = [
            (Fields::default(), ""),
            (
                Fields {
                    id: Some(&empty),
                    ..Fields::default()
                },
                "id: \n\n",
            ),
            (
                Fields {
                    retry: Some(0),
                    ..Fields::default()
                },
                "retry: 0\n\n",
            ),
            (
                Fields {
                    retry: Some(u64::MAX),
                    ..Fields::default()
                },
                "retry: 18446744073709551615\n\n",
            ),
        ];
        for (fields, frame) in table {
            let mut buf = Vec::new();
            encode_event(&mut buf, &fields);
            assert_eq!(String::from_utf8(buf).unwrap(), frame);
        }
    }

    #[test]
    fn a_comment_cannot_leave_its_lines() {
        let table = [
            ("", ":\n\n"),
            ("hi", ": hi\n\n"),
            ("a\ndata: b\r\n\r\nc", ": a\n: data: b\n:\n: c\n\n"),
        ];
        for (text, frame) in table {
            let mut buf = Vec::new();
            encode_comment(&mut buf, text);
            assert_eq!(String::from_utf8(buf).unwrap(), frame, "{text:?}");
        }
    }
}
