//! A socket as a sink: gathered writes, and a copy of the one frame that the socket took half of.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use tidewire_core::Frame;

use super::OnEnd;
use crate::{Offer, Sink};

/// How a response's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// HTTP/1.1 chunks (RFC 9112, section 7.1): each frame is one.
    Chunked,
    /// No framing; the end is the connection's (HTTP/1.0, RFC 9112, section 6.3).
    Bare,
}

impl Framing {
    fn bytes(self, frame: Frame<'_>) -> &[u8] {
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
const GATHER_MAX: usize = 64;

/// How much of what a client sent after its request is thrown away at the end, in bytes; one that sent more is reset.
const UNREAD_BYTES_MAX: usize = 256 * 1024;

/// One subscriber's socket.
///
/// Invariant 3: what a partial write began is finished before anything else is written, or the connection is closed. The
/// unwritten rest of that one frame (or of the response's head) is copied here, so it is bounded by the largest frame;
/// nothing else is ever held (invariant 5).
pub(super) struct SocketSink {
    socket: TcpStream,
    /// What is owed to the socket before anything else.
    rest: Box<[u8]>,
    rest_at: usize,
    framing: Framing,
    /// The socket took less than it was given; nothing is tried until it is said to be writable.
    full: bool,
    bytes: u64,
    joined_ms: u64,
    on_end: OnEnd,
}

/// The far end is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl SocketSink {
    pub(super) fn new(
        socket: TcpStream,
        head: Vec<u8>,
        framing: Framing,
        joined_ms: u64,
        on_end: OnEnd,
    ) -> Self {
        // Neither fails on a socket; on one that is broken, the first write tells.
        let _ = socket.set_nonblocking(true);
        // Writes are coalesced by the step; the kernel must not wait for more.
        let _ = socket.set_nodelay(true);
        Self {
            socket,
            rest: head.into(),
            rest_at: 0,
            framing,
            full: false,
            bytes: 0,
            joined_ms,
            on_end,
        }
    }

    /// Closes the socket and gives back who waits for that.
    pub(super) fn close(self) -> OnEnd {
        self.on_end
    }

    pub(super) fn joined_ms(&self) -> u64 {
        self.joined_ms
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// How many bytes the socket has taken.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether a frame, or the response's head, is begun and not finished.
    pub(super) fn owes(&self) -> bool {
        self.rest_at < self.rest.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Writes what is owed; says whether the socket took something, or owed nothing.
    pub(super) fn flush(&mut self) -> Result<bool, Gone> {
        self.full = false;
        let before = self.bytes;
        while self.owes() && !self.full {
            self.send(&[])?;
        }
        Ok(self.bytes > before || !self.owes())
    }

    /// Adds the end of the body to what is owed. No frame may be offered after it.
    pub(super) fn finish(&mut self) {
        let owed = &self.rest[self.rest_at..];
        self.rest = [owed, self.framing.last()].concat().into();
        self.rest_at = 0;
    }

    /// Says the end to the far end, and throws away what it sent unasked.
    pub(super) fn shut(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let mut scratch = [MaybeUninit::<u8>::uninit(); 4096];
        let mut unread = 0;
        while unread < UNREAD_BYTES_MAX {
            match rustix::net::recv(&self.socket, &mut scratch, RecvFlags::DONTWAIT) {
                Ok((_, n)) if n > 0 => unread += n,
                _ => break,
            }
        }
    }

    /// One gathered write of what is owed and then these frames; says how many of the frames are taken.
    fn send(&mut self, frames: &[Frame<'_>]) -> Result<usize, Gone> {
        let mut pieces = [IoSlice::new(&[]); GATHER_MAX];
        pieces[0] = IoSlice::new(&self.rest[self.rest_at..]);
        let mut wanted = self.rest.len() - self.rest_at;
        let gathered = frames.len().min(GATHER_MAX - 1);
        for (piece, frame) in pieces[1..].iter_mut().zip(frames) {
            let bytes = self.framing.bytes(*frame);
            *piece = IoSlice::new(bytes);
            wanted += bytes.len();
        }
        let sent = write(&self.socket, &pieces[..=gathered])?;
        self.full = sent < wanted;
        self.bytes += sent as u64;
        Ok(self.account(&frames[..gathered], sent))
    }

    /// Splits what was sent into what was owed, whole frames, and one that is now begun.
    fn account(&mut self, frames: &[Frame<'_>], sent: usize) -> usize {
        let of_rest = sent.min(self.rest.len() - self.rest_at);
        self.rest_at += of_rest;
        if self.owes() {
            return 0;
        }
        self.rest = Box::default();
        self.rest_at = 0;
        let mut left = sent - of_rest;
        for (index, frame) in frames.iter().enumerate() {
            let bytes = self.framing.bytes(*frame);
            if left < bytes.len() {
                if left > 0 {
                    self.rest = bytes[left..].into();
                }
                return index + usize::from(left > 0);
            }
            left -= bytes.len();
        }
        frames.len()
    }
}

impl Sink for SocketSink {
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer {
        let mut taken = 0;
        while !self.full {
            if taken == frames.len() && !self.owes() {
                return Offer::Taken;
            }
            match self.send(&frames[taken..]) {
                Ok(more) => taken += more,
                Err(Gone) => return Offer::Closed,
            }
        }
        Offer::Full { taken }
    }
}

fn write(socket: &TcpStream, pieces: &[IoSlice<'_>]) -> Result<usize, Gone> {
    loop {
        let mut control = SendAncillaryBuffer::default();
        // A reset must be an answer here, not a signal to the process.
        match rustix::net::sendmsg(socket, pieces, &mut control, SendFlags::NOSIGNAL) {
            Ok(sent) => return Ok(sent),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(_) => return Err(Gone),
        }
    }
}
