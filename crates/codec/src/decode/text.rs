//! Fed bytes as text, and the lines in it. Not here: what a line means.

use std::ops::Range;

use memchr::memchr2;

/// Encoding standard, "UTF-8 decode": one leading U+FEFF is dropped.
const BOM: &str = "\u{feff}";

#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    /// Where the next line starts; what stands before is consumed.
    at: usize,
    /// Nothing from `at` up to here ends a line.
    scanned: usize,
    /// The last line ended with a CR at the end of what was fed: an LF that comes next belongs to it.
    skip_lf: bool,
    /// Something of the stream was decoded, so that no BOM can follow.
    started: bool,
    /// The start of a character that the last chunk's end cut.
    cut: [u8; 3],
    cut_len: u8,
}

impl Text {
    #[inline]
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    #[inline]
    pub(super) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.text.as_bytes()[range.clone()]
    }

    #[inline]
    pub(super) fn has_consumed(&self) -> bool {
        self.at > 0
    }

    pub(super) fn has_rest(&self) -> bool {
        self.rest_len() > 0 || self.cut_len > 0
    }

    #[inline]
    pub(super) fn rest_len(&self) -> usize {
        self.text.len() - self.at
    }

    pub(super) fn drop_consumed(&mut self) {
        self.text.drain(..self.at);
        self.scanned -= self.at;
        self.at = 0;
    }

    /// Forgets the stream, not the memory.
    pub(super) fn restart(&mut self) {
        self.text.clear();
        *self = Self {
            text: std::mem::take(&mut self.text),
            ..Self::default()
        };
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        if self.cut_len == 0
            && let Ok(text) = simdutf8::basic::from_utf8(chunk)
        {
            self.text.push_str(text);
        } else {
            self.push_lossy(chunk);
        }
        if !self.started && !self.text.is_empty() {
            self.started = true;
            if self.text.starts_with(BOM) {
                self.at = BOM.len();
                self.scanned = BOM.len();
            }
        }
    }

    /// Encoding standard, "UTF-8 decoder": each maximal subpart of an ill-formed sequence becomes one U+FFFD, which is what
    /// `Utf8Error` reports; an unfinished sequence waits for the next chunk.
    #[cold]
    fn push_lossy(&mut self, chunk: &[u8]) {
        let mut joined;
        let mut bytes = chunk;
        if self.cut_len > 0 {
            joined = self.cut[..usize::from(self.cut_len)].to_vec();
            joined.extend_from_slice(chunk);
            bytes = &joined;
            self.cut_len = 0;
        }
        loop {
            let error = match std::str::from_utf8(bytes) {
                Ok(text) => return self.text.push_str(text),
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            self.text
                .push_str(std::str::from_utf8(valid).expect("checked up to here"));
            let Some(bad_len) = error.error_len() else {
                self.cut[..rest.len()].copy_from_slice(rest);
                self.cut_len = rest.len() as u8;
                return;
            };
            self.text.push(char::REPLACEMENT_CHARACTER);
            bytes = &rest[bad_len..];
        }
    }

    /// The next finished line, without its ending.
    #[inline]
    pub(super) fn next_line(&mut self) -> Option<Range<usize>> {
        let bytes = self.text.as_bytes();
        if self.skip_lf && self.at < bytes.len() {
            self.skip_lf = false;
            if bytes[self.at] == b'\n' {
                self.at += 1;
                self.scanned = self.at;
            }
        }
        let Some(offset) = memchr2(b'\r', b'\n', &bytes[self.scanned..]) else {
            self.scanned = bytes.len();
            return None;
        };
        let start = self.at;
        let end = self.scanned + offset;
        self.at = end + 1;
        if bytes[end] == b'\r' {
            // A CR ends its line at once; whether it is half of a CRLF may show only in the next chunk.
            match bytes.get(end + 1) {
                Some(b'\n') => self.at += 1,
                Some(_) => {}
                None => self.skip_lf = true,
            }
        }
        self.scanned = self.at;
        Some(start..end)
    }
}
