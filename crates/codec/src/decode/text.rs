//! Fed bytes as text, and the lines in it. Not here: what a line means.

use std::ops::Range;

use memchr::memchr2;

/// Encoding standard, "UTF-8 decode": one leading U+FEFF is dropped.
const BOM: &str = "\u{feff}";

/// Consumed text up to this many bytes is kept rather than moved.
const COMPACT_BYTES: usize = 2048;

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

    /// True when what is consumed is worth giving up: small pieces then share one round of copying aside.
    #[inline]
    pub(super) fn wants_compaction(&self) -> bool {
        self.at >= COMPACT_BYTES
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
        if let [byte @ 0..0x80] = chunk
            && self.cut_len == 0
        {
            self.text.push(char::from(*byte));
        } else if self.cut_len == 0
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
        let Some(offset) = find_line_end(&bytes[self.scanned..]) else {
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

/// The first CR or LF. Most lines are short: their words are looked at here, for a call into `memchr2` costs as much as
/// a short line.
#[inline]
fn find_line_end(bytes: &[u8]) -> Option<usize> {
    const WORDS_MAX: usize = 3;
    let (words, _) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().take(WORDS_MAX).enumerate() {
        let word = u64::from_le_bytes(*word);
        let ends = zero_bytes(word ^ repeat(b'\n')) | zero_bytes(word ^ repeat(b'\r'));
        if ends != 0 {
            return Some(n * 8 + ends.trailing_zeros() as usize / 8);
        }
    }
    let looked_at = words.len().min(WORDS_MAX) * 8;
    memchr2(b'\r', b'\n', &bytes[looked_at..]).map(|offset| looked_at + offset)
}

const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The high bit of every zero byte, right up to the first; bytes above it may be marked wrongly.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(repeat(1)) & !word & repeat(0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_end_is_found_wherever_it_is() {
        for len in 0..80 {
            for filler in [0, 1, b'\t', 0x0b, 0x0c, 0x0e, b'a', 0x80, 0x8a, 0x8d, 0xff] {
                let plain = vec![filler; len];
                assert_eq!(find_line_end(&plain), None, "{len} of {filler}");
                for at in 0..len {
                    for end in [b'\n', b'\r'] {
                        let mut bytes = plain.clone();
                        bytes[at] = end;
                        assert_eq!(find_line_end(&bytes), Some(at), "{end} at {at} of {len}");
                        bytes[len - 1] = b'\r';
                        assert_eq!(find_line_end(&bytes), Some(at), "{end} at {at} of {len}");
                    }
                }
            }
        }
    }
}
