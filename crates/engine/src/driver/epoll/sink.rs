//! A socket as a sink: gathered writes, and a copy of the one frame that the socket took half of.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use tidewire_core::Frame;

use crate::driver::framing::{Framing, GATHER_MAX, Owed};
use crate::driver::{OnEnd, UNREAD_BYTES_MAX};
use crate::{Offer, Sink};

/// One subscriber's socket.
pub(super) struct SocketSink {
    socket: TcpStream,
    owed: Owed,
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
            owed: Owed::new(head, framing),
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
        self.owed.is_some()
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
        self.owed.finish();
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
        let (count, wanted) = self.owed.gather(frames, &mut pieces);
        let sent = write(&self.socket, &pieces[..count])?;
        self.full = sent < wanted;
        self.bytes += sent as u64;
        Ok(self.owed.account(frames, sent))
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
