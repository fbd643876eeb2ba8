//! As much of HTTP/2 as a subscriber needs (RFC 9113): ask for many streams on one connection, and read what comes on each.
//!
//! Frame by frame and without a copy where a frame is whole; a stream costs this side nothing. Header fields are sent as literals
//! without a table, and of what comes back only the status is read (RFC 7541).

use super::target::Header;

/// RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
/// The largest frame that an endpoint may send unasked (section 4.2).
const FRAME_BYTES_MAX: usize = 16_384;
/// The largest window there is (section 6.9.1): the bench must not be what holds a server back.
const WINDOW_MAX: u32 = (1 << 31) - 1;
const WINDOW_INITIAL: u32 = 65_535;

/// Frame types (section 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}

/// Flags (section 6); ACK and END_STREAM are the same bit on different frames.
mod flag {
    pub(super) const ACK: u8 = 1;
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
    pub(super) const PADDED: u8 = 8;
    pub(super) const PRIORITY: u8 = 32;
}

/// Writes what a connection begins with: no push, no header table, windows as large as can be.
pub(super) fn write_preface(into: &mut Vec<u8>) {
    const HEADER_TABLE_SIZE: u16 = 1;
    const ENABLE_PUSH: u16 = 2;
    const INITIAL_WINDOW_SIZE: u16 = 4;
    into.extend_from_slice(PREFACE);
    let settings = [
        (HEADER_TABLE_SIZE, 0),
        (ENABLE_PUSH, 0),
        (INITIAL_WINDOW_SIZE, WINDOW_MAX),
    ];
    write_frame_head(settings.len() * 6, kind::SETTINGS, 0, 0, into);
    for (name, value) in settings {
        into.extend_from_slice(&name.to_be_bytes());
        into.extend_from_slice(&value.to_be_bytes());
    }
    write_window_update(WINDOW_MAX - WINDOW_INITIAL, into);
}

/// Lets the server send so many bytes more on the connection.
pub(super) fn write_window_update(bytes: u32, into: &mut Vec<u8>) {
    write_frame_head(4, kind::WINDOW_UPDATE, 0, 0, into);
    into.extend_from_slice(&bytes.to_be_bytes());
}

fn write_frame_head(length: usize, kind: u8, flags: u8, stream: u32, into: &mut Vec<u8>) {
    let length = u32::try_from(length).unwrap_or(0).to_be_bytes();
    into.extend_from_slice(&length[1..]);
    into.extend_from_slice(&[kind, flags]);
    into.extend_from_slice(&stream.to_be_bytes());
}

/// What is asked for on a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) is_tls: bool,
    pub(super) authority: &'a str,
    pub(super) path: &'a [u8],
    pub(super) headers: &'a [&'a [Header]],
}

/// Writes a GET; `false` if its head is longer than a frame.
pub(super) fn write_get(stream: u32, ask: Ask<'_>, into: &mut Vec<u8>) -> bool {
    let start = into.len();
    let flags = flag::END_STREAM | flag::END_HEADERS;
    write_frame_head(0, kind::HEADERS, flags, stream, into);
    let block = into.len();
    // RFC 7541, appendix A: 2 is `:method: GET`, 6 `:scheme: http`, 7 `:scheme: https`; 4 names `:path`, 1 `:authority`.
    into.extend_from_slice(&[0x82, if ask.is_tls { 0x87 } else { 0x86 }, 0x04]);
    write_string(ask.path, into);
    into.push(0x01);
    write_string(ask.authority.as_bytes(), into);
    for (name, value) in ask.headers.iter().copied().flatten() {
        into.push(0);
        // RFC 9113, section 8.2: names are in lower case.
        write_string(name.to_ascii_lowercase().as_bytes(), into);
        write_string(value.as_bytes(), into);
    }
    let length = into.len() - block;
    let bytes = u32::try_from(length).unwrap_or(0).to_be_bytes();
    into[start..start + 3].copy_from_slice(&bytes[1..]);
    length <= FRAME_BYTES_MAX
}

/// A string without Huffman coding, its length with a prefix of seven bits (RFC 7541, sections 5.1 and 5.2).
fn write_string(bytes: &[u8], into: &mut Vec<u8>) {
    const PREFIX_MAX: usize = 127;
    if bytes.len() < PREFIX_MAX {
        into.push(u8::try_from(bytes.len()).unwrap_or(0));
    } else {
        into.push(0x7f);
        let mut rest = bytes.len() - PREFIX_MAX;
        while rest >= 128 {
            into.push(u8::try_from(rest % 128).unwrap_or(0) | 0x80);
            rest /= 128;
        }
        into.push(u8::try_from(rest).unwrap_or(0));
    }
    into.extend_from_slice(bytes);
}

/// What came.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Frame<'a> {
    /// The server's settings, to be acknowledged.
    Settings {
        streams_max: Option<u32>,
    },
    /// To be answered with [`write_pong`].
    Ping([u8; 8]),
    /// A head, or a trailer, which has no status.
    Head {
        stream: u32,
        status: Option<u16>,
        ends: bool,
    },
    Data {
        stream: u32,
        data: &'a [u8],
        ends: bool,
        /// What it takes from the connection's window.
        window: u32,
    },
    Reset {
        stream: u32,
        code: u32,
    },
    GoAway {
        code: u32,
    },
    /// Nothing that concerns a reader.
    Other,
}

pub(super) fn write_settings_ack(into: &mut Vec<u8>) {
    write_frame_head(0, kind::SETTINGS, flag::ACK, 0, into);
}

pub(super) fn write_pong(opaque: [u8; 8], into: &mut Vec<u8>) {
    write_frame_head(8, kind::PING, flag::ACK, 0, into);
    into.extend_from_slice(&opaque);
}

/// Bytes that are no HTTP/2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Reads one connection's frames.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// A frame that is not all there.
    partial: Vec<u8>,
    /// Whether it has been given out.
    is_spent: bool,
}

impl Decoder {
    /// Takes the next frame off the bytes; `None` when more are needed.
    pub(super) fn next<'a, 'b: 'a>(
        &'a mut self,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Frame<'a>>, Malformed> {
        if std::mem::take(&mut self.is_spent) {
            self.partial.clear();
        }
        if self.partial.is_empty()
            && let Some(length) = frame_bytes(bytes)?
            && length <= bytes.len()
        {
            let (frame, rest) = bytes.split_at(length);
            *bytes = rest;
            return parse(frame).map(Some);
        }
        if !self.fill(bytes)? {
            return Ok(None);
        }
        self.is_spent = true;
        parse(&self.partial).map(Some)
    }

    /// Whether the partial frame is now whole.
    fn fill(&mut self, bytes: &mut &[u8]) -> Result<bool, Malformed> {
        for wanted in [FRAME_HEAD_BYTES, usize::MAX] {
            let wanted = wanted.min(frame_bytes(&self.partial)?.unwrap_or(FRAME_HEAD_BYTES));
            let missing = wanted.saturating_sub(self.partial.len()).min(bytes.len());
            self.partial.extend_from_slice(&bytes[..missing]);
            *bytes = &bytes[missing..];
            if self.partial.len() < wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// How long a frame is, once its head is there.
fn frame_bytes(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(head) = bytes.first_chunk::<FRAME_HEAD_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    match length {
        0..=FRAME_BYTES_MAX => Ok(Some(FRAME_HEAD_BYTES + length)),
        _ => Err(Malformed(
            "a frame is longer than allowed; this may be no HTTP/2",
        )),
    }
}

fn parse(frame: &[u8]) -> Result<Frame<'_>, Malformed> {
    let short = Malformed("a frame is too short");
    let (head, payload) = frame.split_at(FRAME_HEAD_BYTES);
    let (kind, flags) = (head[3], head[4]);
    let stream = number(&head[5..]).ok_or(short)? & 0x7fff_ffff;
    let ends = flags & flag::END_STREAM != 0;
    Ok(match kind {
        kind::DATA => Frame::Data {
            stream,
            data: unpadded(flags, payload).ok_or(short)?,
            ends,
            window: u32::try_from(payload.len()).unwrap_or(0),
        },
        kind::HEADERS => {
            let block = unpadded(flags, payload).ok_or(short)?;
            let skipped = if flags & flag::PRIORITY != 0 { 5 } else { 0 };
            let status = status(block.get(skipped..).ok_or(short)?);
            Frame::Head {
                stream,
                status,
                ends,
            }
        }
        kind::RST_STREAM => Frame::Reset {
            stream,
            code: number(payload).ok_or(short)?,
        },
        kind::SETTINGS if flags & flag::ACK == 0 => Frame::Settings {
            streams_max: streams_max(payload),
        },
        kind::PING if flags & flag::ACK == 0 => Frame::Ping(payload.try_into().map_err(|_| short)?),
        kind::GOAWAY => Frame::GoAway {
            code: payload.get(4..).and_then(number).ok_or(short)?,
        },
        kind::SETTINGS | kind::PING | kind::WINDOW_UPDATE | kind::CONTINUATION => Frame::Other,
        // Section 4.1: what is not known is ignored.
        _ => Frame::Other,
    })
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes
        .first_chunk::<4>()
        .map(|bytes| u32::from_be_bytes(*bytes))
}

fn unpadded(flags: u8, payload: &[u8]) -> Option<&[u8]> {
    if flags & flag::PADDED == 0 {
        return Some(payload);
    }
    let (&padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(padding))?)
}

fn streams_max(settings: &[u8]) -> Option<u32> {
    const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
    let mut settings = settings.chunks_exact(6);
    let found = settings.find(|setting| setting.starts_with(&MAX_CONCURRENT_STREAMS));
    found.and_then(|setting| number(&setting[2..]))
}

/// The status in a head, which is its first field (RFC 9113, section 8.3); `None` if there is none.
fn status(mut block: &[u8]) -> Option<u16> {
    // RFC 7541, section 6.3: a change of the table's size may come first; to 0 it is one byte.
    while let Some((0x20..=0x3f, rest)) = block.split_first().map(|(first, rest)| (*first, rest)) {
        block = rest;
    }
    let (&first, rest) = block.split_first()?;
    // Appendix A: 8 to 14 are statuses, and all of these are named by them.
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match first {
        0x88..=0x8e => Some(KNOWN[usize::from(first - 0x88)]),
        // Literals of any indexing (section 6.2).
        0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e => three_digits(rest),
        _ => None,
    }
}

fn three_digits(value: &[u8]) -> Option<u16> {
    let (&length, value) = value.split_first()?;
    let value = value.get(..usize::from(length & 0x7f))?;
    if length & 0x80 == 0 {
        return std::str::from_utf8(value).ok()?.parse().ok();
    }
    // RFC 7541, appendix B: 0 to 2 are five bits, 00000 to 00010; 3 to 9 are six, 011001 to 011111.
    let mut bits = value
        .iter()
        .fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
    bits = bits.checked_shl(64 - 8 * u32::try_from(value.len()).ok()?)?;
    let mut status = 0;
    for _ in 0..3 {
        let (digit, length) = match (bits >> 59, bits >> 58) {
            (five @ 0..=2, _) => (five, 5),
            (_, six @ 0b01_1001..=0b01_1111) => (six - 0b01_1001 + 3, 6),
            _ => return None,
        };
        status = status * 10 + u16::try_from(digit).ok()?;
        bits <<= length;
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write_frame_head(payload.len(), kind, flags, stream, &mut frame);
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let bytes = [
            frame(
                kind::SETTINGS,
                0,
                0,
                &[0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 3, 0xe8],
            ),
            frame(kind::SETTINGS, flag::ACK, 0, &[]),
            frame(kind::PING, 0, 0, b"12345678"),
            frame(kind::HEADERS, flag::END_HEADERS, 1, &[0x88]),
            frame(kind::DATA, flag::PADDED, 1, b"\x02hello\0\0"),
            frame(kind::DATA, 0, 3, b""),
            frame(99, 0, 3, b"unknown"),
            frame(kind::RST_STREAM, 0, 3, &[0, 0, 0, 8]),
            frame(kind::DATA, flag::END_STREAM, 1, b"end"),
            frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2]),
        ]
        .concat();
        let expected = [
            "Settings { streams_max: Some(1000) }",
            "Other",
            "Ping([49, 50, 51, 52, 53, 54, 55, 56])",
            "Head { stream: 1, status: Some(200), ends: false }",
            "Data { stream: 1, data: [104, 101, 108, 108, 111], ends: false, window: 8 }",
            "Data { stream: 3, data: [], ends: false, window: 0 }",
            "Other",
            "Reset { stream: 3, code: 8 }",
            "Data { stream: 1, data: [101, 110, 100], ends: true, window: 3 }",
            "GoAway { code: 2 }",
        ];
        for step in 1..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut read = Vec::new();
            for mut part in bytes.chunks(step) {
                while let Some(frame) = decoder.next(&mut part).unwrap() {
                    read.push(format!("{frame:?}"));
                }
            }
            assert_eq!(read, expected, "{step}");
        }
    }

    #[test]
    fn statuses_are_read_in_every_form() {
        for (block, expected) in [
            (&[0x88_u8][..], Some(200)),
            (&[0x20, 0x8e], Some(500)),
            (&[0x48, 3, b'4', b'2', b'9'], Some(429)),
            (&[0x08, 3, b'5', b'0', b'3'], Some(503)),
            // Huffman: 4 is 011010, 2 is 00010, 9 is 011111; 3 is 011001, 0 is 00000, 7 is 011101.
            (
                &[0x48, 0x83, 0b0110_1000, 0b0100_1111, 0b1111_1111],
                Some(429),
            ),
            (
                &[0x48, 0x83, 0b0110_0100, 0b0000_1110, 0b1111_1111],
                Some(307),
            ),
            (&[0x40, 1, b'x', 1, b'y'], None),
            (&[], None),
        ] {
            assert_eq!(status(block), expected, "{block:?}");
        }
    }

    #[test]
    fn long_strings_are_written_with_their_length() {
        for length in [0, 126, 127, 128, 300, 20_000] {
            let mut written = Vec::new();
            write_string(&vec![b'x'; length], &mut written);
            let mut read = usize::from(written[0]);
            let mut used = 1;
            if read == 127 {
                for (place, byte) in written[1..].iter().enumerate() {
                    read += usize::from(byte & 0x7f) << (7 * place);
                    used += 1;
                    if byte & 0x80 == 0 {
                        break;
                    }
                }
            }
            assert_eq!((read, written.len() - used), (length, length));
        }
    }

    #[test]
    fn another_protocol_is_refused() {
        let mut bytes = &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..];
        assert!(Decoder::default().next(&mut bytes).is_err());
    }
}
