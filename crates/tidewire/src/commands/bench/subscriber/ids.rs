//! The last event id of each subscriber, for those that come back with it.
//!
//! Kept apart from the rest, for only reconnects need it and it looks at every line.

/// Longer ids are cut; no server has any.
const LINE_BYTES_MAX: usize = 4096;

/// Reads one stream's ids (WHATWG HTML, section 9.2.6: an id takes effect at the blank line after it).
#[derive(Clone, Debug, Default)]
pub(super) struct IdReader {
    line: Vec<u8>,
    pending: Option<String>,
    pub(super) last: Option<String>,
}

impl IdReader {
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() < LINE_BYTES_MAX => self.line.push(byte),
                _ => {}
            }
        }
    }

    /// A new connection begins at a line's beginning.
    pub(super) fn reconnect(&mut self) {
        self.line.clear();
        self.pending = None;
    }

    fn end_line(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if line.is_empty() {
            self.last = self.pending.take().or(self.last.take());
        } else if let Some(id) = line.strip_prefix(b"id:") {
            let id = id.strip_prefix(b" ").unwrap_or(id);
            self.pending = Some(String::from_utf8_lossy(id).into_owned());
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_block_has_the_id() {
        for (stream, expected) in [
            ("id: 1\ndata: x\n\nid: 2\ndata: y\n\n", Some("2")),
            ("id: 1\ndata: x\n\nid: 2\ndata: y\n", Some("1")),
            ("id:1\r\n\r\n: hi\n\n", Some("1")),
            ("data: id: 7\n\n", None),
        ] {
            for step in 1..10 {
                let mut reader = IdReader::default();
                stream
                    .as_bytes()
                    .chunks(step)
                    .for_each(|part| reader.read(part));
                assert_eq!(reader.last.as_deref(), expected, "{stream:?} {step}");
            }
        }
    }
}
