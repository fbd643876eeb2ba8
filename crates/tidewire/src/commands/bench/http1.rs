//! HTTP/1.1 answers as they come, piece by piece, without a copy of the body.
//!
//! Tolerant on purpose: what any server sends shall be read. RFC 9112, sections 4, 6.3 and 7.1.

use memchr::{memchr, memmem};

/// The longest head that is taken.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// An answer's head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Whether the server closes the connection after it.
    pub(super) closes: bool,
}

impl Head {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What the next bytes were.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Piece<'a> {
    Head(Head),
    Data(&'a [u8]),
    /// The answer is over; what follows is another one's.
    End,
}

/// Bytes that are no HTTP/1.1 answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed(pub(super) &'static str);

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// All until the connection closes.
    Endless,
    /// So many bytes to come.
    Length(u64),
    /// The line with a chunk's size; whether digits are over.
    ChunkSize(u64, bool),
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// The lines after the last chunk; bytes of the present one.
    Trailer(usize),
}

/// Reads one answer after another of one connection.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    /// A head that is not all there; empty almost always.
    head: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            state: State::Head,
            head: Vec::new(),
        }
    }

    /// Takes the next piece off the bytes; `None` when more are needed.
    #[inline]
    pub(super) fn next<'a>(
        &mut self,
        bytes: &mut &'a [u8],
    ) -> Result<Option<Piece<'a>>, Malformed> {
        loop {
            match self.state {
                State::Length(0) => return Ok(Some(self.end())),
                _ if bytes.is_empty() => return Ok(None),
                State::Endless => return Ok(Some(Piece::Data(std::mem::take(bytes)))),
                State::Head => return Ok(self.read_head(bytes)?.map(Piece::Head)),
                State::Length(left) => {
                    let (data, left) = take(bytes, left);
                    self.state = State::Length(left);
                    return Ok(Some(Piece::Data(data)));
                }
                State::Chunk(left) => {
                    let (data, left) = take(bytes, left);
                    self.state = match left {
                        0 => State::ChunkEnd,
                        left => State::Chunk(left),
                    };
                    return Ok(Some(Piece::Data(data)));
                }
                State::ChunkEnd => self.read_chunk_end(bytes)?,
                State::ChunkSize(size, over) => self.read_chunk_size(bytes, size, over)?,
                State::Trailer(line) => {
                    if self.read_trailer(bytes, line) {
                        return Ok(Some(self.end()));
                    }
                }
            }
        }
    }

    fn end<'a>(&mut self) -> Piece<'a> {
        self.state = State::Head;
        Piece::End
    }

    fn read_chunk_end(&mut self, bytes: &mut &[u8]) -> Result<(), Malformed> {
        match bytes[0] {
            b'\r' => {}
            b'\n' => self.state = State::ChunkSize(0, false),
            _ => return Err(Malformed("a chunk is longer than it said")),
        }
        *bytes = &bytes[1..];
        Ok(())
    }

    fn read_chunk_size(
        &mut self,
        bytes: &mut &[u8],
        mut size: u64,
        mut over: bool,
    ) -> Result<(), Malformed> {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            match (byte, char::from(byte).to_digit(16)) {
                (b'\n', _) => {
                    self.state = match size {
                        0 => State::Trailer(0),
                        size => State::Chunk(size),
                    };
                    return Ok(());
                }
                (_, Some(digit)) if !over => size = (size << 4) | u64::from(digit),
                (b';' | b'\r' | b' ' | b'\t', _) => over = true,
                _ if over => {}
                _ => return Err(Malformed("a chunk begins with no size")),
            }
        }
        self.state = State::ChunkSize(size, over);
        Ok(())
    }

    /// Whether the last line, the empty one, is over.
    fn read_trailer(&mut self, bytes: &mut &[u8], mut line: usize) -> bool {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            match byte {
                b'\n' if line == 0 => return true,
                b'\n' => line = 0,
                b'\r' => {}
                _ => line += 1,
            }
        }
        self.state = State::Trailer(line);
        false
    }

    fn read_head(&mut self, bytes: &mut &[u8]) -> Result<Option<Head>, Malformed> {
        if self.head.is_empty()
            && let Some(end) = memmem::find(bytes, b"\r\n\r\n")
        {
            let head = &bytes[..end + 2];
            *bytes = &bytes[end + 4..];
            return self.take_head(head, bytes);
        }
        let seen = self.head.len().saturating_sub(3);
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.head[seen..], b"\r\n\r\n") else {
            *bytes = &[];
            return match self.head.len() {
                0..=HEAD_BYTES_MAX => Ok(None),
                _ => Err(Malformed("the head has no end")),
            };
        };
        let end = seen + end;
        *bytes = &bytes[end + 4 - before..];
        let head = std::mem::take(&mut self.head);
        self.take_head(&head[..end + 2], bytes)
    }

    fn take_head(&mut self, head: &[u8], bytes: &mut &[u8]) -> Result<Option<Head>, Malformed> {
        let (head, state) = parse_head(head)?;
        // RFC 9110, section 15.2: an interim answer has no body; the final one follows.
        if (100..200).contains(&head.status) {
            return self.read_head(bytes);
        }
        self.state = state;
        Ok(Some(head))
    }
}

fn take<'a>(bytes: &mut &'a [u8], left: u64) -> (&'a [u8], u64) {
    let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    let (data, rest) = bytes.split_at(count);
    *bytes = rest;
    (data, left - count as u64)
}

fn parse_head(head: &[u8]) -> Result<(Head, State), Malformed> {
    let no_answer = Malformed("this is no HTTP/1.1 answer");
    let (line, mut fields) = split_line(head);
    let version = line.strip_prefix(b"HTTP/1.").ok_or(no_answer)?;
    let status = version
        .get(2..5)
        .and_then(|status| std::str::from_utf8(status).ok());
    let status = status
        .and_then(|status| status.parse().ok())
        .ok_or(no_answer)?;
    let mut closes = version[0] == b'0';
    let mut state = State::Endless;
    while !fields.is_empty() {
        let (field, rest) = split_line(fields);
        fields = rest;
        let Some(colon) = memchr(b':', field) else {
            continue;
        };
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") && !matches!(state, State::ChunkSize(..)) {
            let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            state = State::Length(length.ok_or(Malformed("a Content-Length that is no number"))?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding")
            && value.to_ascii_lowercase().ends_with(b"chunked")
        {
            // RFC 9112, section 6.3: it overrides a Content-Length.
            state = State::ChunkSize(0, false);
        } else if name.eq_ignore_ascii_case(b"connection") {
            closes = !value.eq_ignore_ascii_case(b"keep-alive")
                && (closes || value.to_ascii_lowercase().ends_with(b"close"));
        }
    }
    // RFC 9112, section 6.3: neither has a body, whatever its fields say.
    if matches!(status, 204 | 304) {
        state = State::Length(0);
    }
    closes |= matches!(state, State::Endless);
    Ok((Head { status, closes }, state))
}

/// The first line without its end, and the rest.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b'\n', text) {
        Some(end) => (text[..end].trim_ascii_end(), &text[end + 1..]),
        None => (text, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an answer was, when its bytes came in steps of this size: `status[!]:data` and `.` for an end.
    fn read(bytes: &[u8], step: usize) -> Result<String, Malformed> {
        let mut decoder = Decoder::new();
        let mut read = String::new();
        for mut part in bytes.chunks(step) {
            while let Some(piece) = decoder.next(&mut part)? {
                match piece {
                    Piece::Head(head) => {
                        read += &format!("{}{}:", head.status, if head.closes { "!" } else { "" });
                    }
                    Piece::Data(data) => read += std::str::from_utf8(data).unwrap(),
                    Piece::End => read.push('.'),
                }
            }
        }
        Ok(read)
    }

    #[test]
    fn answers_are_read_however_they_are_cut() {
        for (bytes, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                "200:abc.",
            ),
            ("HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", "200:."),
            ("HTTP/1.1 204 No Content\r\n\r\n", "204:."),
            ("HTTP/1.1 200 OK\r\n\r\nabc", "200!:abc"),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "200!:a."),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
                "200:a.",
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
                "200!:a.",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n\
                 3\r\nabc\r\n0A;x=1\r\n0123456789\r\n0\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
                "200:abc0123456789.404:.",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
                "200:a.",
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\na",
                "201:a.",
            ),
        ] {
            for step in 1..=bytes.len() {
                assert_eq!(
                    read(bytes.as_bytes(), step).as_deref(),
                    Ok(expected),
                    "{bytes:?} {step}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            assert!(read(bytes.as_bytes(), 1_000).is_err(), "{bytes:?}");
        }
    }
}
