//! A socket as a sink: gathered writes, and a copy of the one frame that the socket took half of.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use tidewire_core::{Form, Frame};

use crate::driver::framing::{Framing, GATHER_MAX, Owed};
use crate::driver::{OnEnd, UNREAD_BYTES_MAX};
use crate::{Offer, Sink};

/// One subscriber's socket, in 24 bytes while it takes what it is given.
pub(super) struct SocketSink {
    socket: TcpStream,
    framing: Framing,
    /// In which form the stream is; for whoever counts streams.
    form: Form,
    bytes: u64,
    rare: Option<Box<Rare>>,
}

const _: () = assert!(size_of::<SocketSink>() <= 24);

/// What a socket has while it is owed something or full, or as long as somebody waits for its own end.
struct Rare {
    owed: Owed,
    /// The socket took less than it was given; nothing is tried until it is said to be writable.
    full: bool,
    on_end: Option<OnEnd>,
}

/// The far end is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl SocketSink {
    pub(super) fn new(
        socket: TcpStream,
        head: Vec<u8>,
        framing: Framing,
        form: Form,
        on_end: Option<OnEnd>,
    ) -> Self {
        Self {
            socket,
            framing,
            form,
            bytes: 0,
            rare: Some(Box::new(Rare {
                owed: Owed::new(head, framing),
                full: false,
                on_end,
            })),
        }
    }

    /// Closes the socket and gives back who waits for that.
    pub(super) fn close(self) -> Option<OnEnd> {
        self.rare.and_then(|rare| rare.on_end)
    }

    pub(super) fn form(&self) -> Form {
        self.form
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
        self.rare.as_ref().is_some_and(|rare| rare.owed.is_some())
    }

    pub(super) fn is_full(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.full)
    }

    /// Writes what is owed; says whether the socket took something, or owed nothing.
    pub(super) fn flush(&mut self) -> Result<bool, Gone> {
        if let Some(rare) = &mut self.rare {
            rare.full = false;
        }
        let before = self.bytes;
        while self.owes() && !self.is_full() {
            self.send(&[])?;
        }
        self.tidy();
        Ok(self.bytes > before || !self.owes())
    }

    /// Adds the end of the body to what is owed. No frame may be offered after it.
    pub(super) fn finish(&mut self) {
        let mut owed = self.take_owed();
        owed.finish();
        self.keep(owed, self.is_full());
    }

    fn take_owed(&mut self) -> Owed {
        let none = Owed::new(Vec::new(), self.framing);
        match &mut self.rare {
            Some(rare) => std::mem::replace(&mut rare.owed, none),
            None => none,
        }
    }

    /// Keeps what is owed now. What is not needed any more leaves no memory behind.
    fn keep(&mut self, owed: Owed, full: bool) {
        match &mut self.rare {
            Some(rare) => {
                rare.owed = owed;
                rare.full = full;
                self.tidy();
            }
            None if owed.is_some() || full => {
                self.rare = Some(Box::new(Rare {
                    owed,
                    full,
                    on_end: None,
                }));
            }
            None => {}
        }
    }

    fn tidy(&mut self) {
        let needed = |rare: &Rare| rare.owed.is_some() || rare.full || rare.on_end.is_some();
        if !self.rare.as_deref().is_some_and(needed) {
            self.rare = None;
        }
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

    /// The common case, one frame and nothing owed: a bare `send`, with nothing gathered.
    fn send_one(&mut self, frame: Frame<'_>) -> Offer {
        let bytes = self.framing.bytes(frame);
        let sent = match attempt(|| rustix::net::send(&self.socket, bytes, FLAGS)) {
            Ok(sent) => sent,
            Err(Gone) => return Offer::Closed,
        };
        self.bytes += sent as u64;
        if sent == bytes.len() {
            return Offer::Taken;
        }
        let mut owed = self.take_owed();
        let taken = owed.account(&[frame], sent);
        self.keep(owed, true);
        Offer::Full { taken }
    }

    /// One gathered write of what is owed and then these frames; says how many of the frames are taken.
    fn send(&mut self, frames: &[Frame<'_>]) -> Result<usize, Gone> {
        let mut owed = self.take_owed();
        let mut pieces = [IoSlice::new(&[]); GATHER_MAX];
        let (count, wanted) = owed.gather(frames, &mut pieces);
        let sent = write(&self.socket, &pieces[..count])?;
        let taken = owed.account(frames, sent);
        self.bytes += sent as u64;
        self.keep(owed, sent < wanted);
        Ok(taken)
    }
}

impl Sink for SocketSink {
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer {
        if let ([frame], None) = (frames, &self.rare) {
            return self.send_one(*frame);
        }
        let mut taken = 0;
        while !self.is_full() {
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

/// A reset must be an answer here, not a signal to the process.
const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

fn write(socket: &TcpStream, pieces: &[IoSlice<'_>]) -> Result<usize, Gone> {
    attempt(|| rustix::net::sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), FLAGS))
}

/// How many bytes the socket took; none, if it takes none at the moment.
fn attempt(mut send: impl FnMut() -> rustix::io::Result<usize>) -> Result<usize, Gone> {
    loop {
        match send() {
            Ok(sent) => return Ok(sent),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(_) => return Err(Gone),
        }
    }
}
