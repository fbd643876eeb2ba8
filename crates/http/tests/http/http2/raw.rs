//! A client that writes frames as the test wants them, and shows every frame that comes.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::server::{PATIENCE, Server};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

pub(super) struct Raw {
    pub(super) socket: TcpStream,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// Connects; streams of this client have windows of so many bytes, and so has the connection.
pub(super) fn connect(server: &Server, window: u32) -> Raw {
    let socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut raw = Raw { socket };
    raw.socket
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    // RFC 9113, section 6.5.2: 4 is SETTINGS_INITIAL_WINDOW_SIZE.
    let mut settings = vec![0, 4];
    settings.extend_from_slice(&window.to_be_bytes());
    raw.send(SETTINGS, 0, 0, &settings);
    if window > 65_535 {
        raw.send(WINDOW_UPDATE, 0, 0, &(window - 65_535).to_be_bytes());
    }
    raw
}

impl Raw {
    pub(super) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let frame = frame(kind, flags, stream, payload);
        self.socket.write_all(&frame).unwrap();
    }

    /// A GET, with nothing in the header table.
    pub(super) fn get(&mut self, stream: u32, target: &str) {
        self.socket.write_all(&get(stream, target)).unwrap();
    }

    /// The next frame; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        if let Err(error) = self.socket.read_exact(&mut head) {
            assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
            return None;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.socket.read_exact(&mut payload).unwrap();
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// The next frame of a kind, whatever comes before it.
    pub(super) fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().expect("it is not over");
            if frame.kind == kind {
                return frame;
            }
        }
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// RFC 7541: `:method: GET` and `:scheme: http` from the static table, `:authority` and `:path` as literals.
pub(super) fn get(stream: u32, target: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    for (name, value) in [(0x01, "localhost"), (0x04, target)] {
        block.extend_from_slice(&[name, u8::try_from(value.len()).unwrap()]);
        block.extend_from_slice(value.as_bytes());
    }
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}
