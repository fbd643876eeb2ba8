//! How frames become a response's body, and what a partial write leaves owed.

use std::io::IoSlice;

use tidewire_core::Frame;

/// How a response's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// HTTP/1.1 chunks (RFC 9112, section 7.1): each frame is one.
    Chunked,
    /// No framing; the end is the connection's (HTTP/1.0, RFC 9112, section 6.3).
    Bare,
}

impl Framing {
    pub(super) fn bytes(self, frame: Frame<'_>) -> &[u8] {
        match self {
            Self::Chunked => frame.chunk(),
            Self::Bare => frame.bare(),
        }
    }

    /// What says that the body is whole.
    fn last(self) -> &'static [u8] {
        match self {
            Self::Chunked => b"0\r\n\r\n",
            Self::Bare => b"",
        }
    }
}

/// How many pieces one write gathers. Linux takes 1,024; beyond some dozens a write costs its bytes alone.
pub(super) const GATHER_MAX: usize = 64;

/// What a stream's socket is owed before anything else, and how its frames are framed.
///
/// Invariant 3: what a partial write began is finished before anything else is written, or the connection is closed. The
/// unwritten rest of that one frame (or of the response's head) is copied here, so it is bounded by the largest frame;
/// nothing else is ever held (invariant 5).
#[derive(Debug)]
pub(super) struct Owed {
    rest: Box<[u8]>,
    at: usize,
    framing: Framing,
}

impl Owed {
    pub(super) fn new(head: Vec<u8>, framing: Framing) -> Self {
        Self {
            rest: head.into(),
            at: 0,
            framing,
        }
    }

    /// Whether a frame, or the response's head, is begun and not finished.
    pub(super) fn is_some(&self) -> bool {
        self.at < self.rest.len()
    }

    /// Adds the end of the body to what is owed. No frame may be offered after it.
    pub(super) fn finish(&mut self) {
        let owed = &self.rest[self.at..];
        self.rest = [owed, self.framing.last()].concat().into();
        self.at = 0;
    }

    /// The pieces of one write: what is owed, and as many of these frames as one write gathers; how many pieces, and their bytes.
    pub(super) fn gather<'a>(
        &'a self,
        frames: &[Frame<'a>],
        pieces: &mut [IoSlice<'a>; GATHER_MAX],
    ) -> (usize, usize) {
        let rest = &self.rest[self.at..];
        let mut bytes = rest.len();
        let mut count = 0;
        if !rest.is_empty() {
            pieces[0] = IoSlice::new(rest);
            count = 1;
        }
        for (piece, frame) in pieces[count..].iter_mut().zip(frames) {
            let framed = self.framing.bytes(*frame);
            *piece = IoSlice::new(framed);
            bytes += framed.len();
            count += 1;
        }
        (count, bytes)
    }

    /// Splits what was sent into what was owed, whole frames, and one that is now begun; says how many frames are taken.
    pub(super) fn account(&mut self, frames: &[Frame<'_>], sent: usize) -> usize {
        let of_rest = sent.min(self.rest.len() - self.at);
        self.at += of_rest;
        if self.is_some() {
            return 0;
        }
        self.rest = Box::default();
        self.at = 0;
        let mut left = sent - of_rest;
        for (index, frame) in frames.iter().enumerate() {
            if left == 0 {
                return index;
            }
            let bytes = self.framing.bytes(*frame);
            if left < bytes.len() {
                self.rest = bytes[left..].into();
                return index + 1;
            }
            left -= bytes.len();
        }
        frames.len()
    }
}
