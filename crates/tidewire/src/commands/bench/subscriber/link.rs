//! One connection of a subscriber: from the request to the stream's bytes.

use std::collections::HashMap;

use super::super::http1::Decoder;
use super::super::http2;
use super::super::payload::Carry;
use super::super::tls::Transport;

/// How far a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Not begun, or closed on purpose.
    Absent,
    Connecting,
    /// The request is sent.
    Asking,
    Open,
    /// The server refused it; the answer's body is awaited for its first line.
    Refused(u16),
    /// The server ended it.
    Ended,
}

/// Who reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// Reads and is checked; over HTTP/2 this one and those after it, a stream each.
    Reader(usize),
    /// Reads and is not checked: it subscribes to this number's pattern.
    Pattern(usize),
    /// Never reads.
    Stalled(usize),
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: Option<Transport>,
    pub(super) phase: Phase,
    pub(super) role: Role,
    pub(super) decoder: Decoder,
    pub(super) carry: Carry,
    pub(super) session: Option<Box<Session>>,
}

/// What an HTTP/2 connection has besides.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) decoder: http2::Decoder,
    /// Whether the server's settings came, and its streams were asked for.
    pub(super) has_asked: bool,
    /// Streams that are not answered yet.
    pub(super) unanswered: usize,
    /// A stream that was refused; its body's first line is awaited.
    pub(super) refused: Option<(u32, u16)>,
    /// Events that are cut between two frames; few streams have one.
    pub(super) carries: HashMap<u32, Carry>,
    /// Bytes since the connection's window was opened again.
    pub(super) taken: u32,
}

impl Link {
    pub(super) fn new(role: Role) -> Self {
        Self {
            socket: None,
            phase: Phase::Absent,
            role,
            decoder: Decoder::new(),
            carry: Carry::default(),
            session: None,
        }
    }

    /// Puts a new connection in the old one's place.
    pub(super) fn begin(&mut self, socket: Transport) {
        *self = Self {
            socket: Some(socket),
            phase: Phase::Connecting,
            ..Self::new(self.role)
        };
    }

    pub(super) fn close(&mut self, phase: Phase) {
        self.socket = None;
        self.session = None;
        self.phase = phase;
    }
}
