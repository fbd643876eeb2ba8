//! One connection of a subscriber: from the request to the stream's bytes.

use std::os::fd::OwnedFd;

use super::super::http1::Decoder;
use super::super::payload::Carry;

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
    /// Reads and is checked.
    Reader(usize),
    /// Reads and is not checked: it subscribes to this number's pattern.
    Pattern(usize),
    /// Never reads.
    Stalled(usize),
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: Option<OwnedFd>,
    pub(super) phase: Phase,
    pub(super) role: Role,
    pub(super) decoder: Decoder,
    pub(super) carry: Carry,
}

impl Link {
    pub(super) fn new(role: Role) -> Self {
        Self {
            socket: None,
            phase: Phase::Absent,
            role,
            decoder: Decoder::new(),
            carry: Carry::default(),
        }
    }

    /// Puts a new connection in the old one's place.
    pub(super) fn begin(&mut self, socket: OwnedFd) {
        *self = Self {
            socket: Some(socket),
            phase: Phase::Connecting,
            ..Self::new(self.role)
        };
    }

    pub(super) fn close(&mut self, phase: Phase) {
        self.socket = None;
        self.phase = phase;
    }
}
