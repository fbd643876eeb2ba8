//! A connection's socket as h2 sees it. h2 asks for a write whenever it has framed some 16 KB or a single larger frame; here
//! writes gather until the round of the connection's task is over, so a thousand streams leave in a few writes. And it reads
//! a ration a round, so that h2 holds no more requests at once than the round can begin.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So many bytes gather at most, plus one write of h2's; then the socket must take some.
pub(super) const GATHER_BYTES_MAX: usize = 64 << 10;

/// Once so many bytes are read, a round reads no more: some two hundred requests.
pub(super) const RATION_BYTES: usize = 8 << 10;

pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Shared by h2, which reads and writes, and the connection, which says when to.
#[derive(Clone)]
pub(super) struct Socket(Arc<Mutex<Inner>>);

struct Inner {
    io: Box<dyn Io>,
    /// What is to be written, and how much of that is; no memory while there is nothing.
    gathered: Vec<u8>,
    written: usize,
    /// All that was written has left for the kernel.
    flushed: bool,
    ration: usize,
    /// More was asked for than the ration.
    starved: bool,
    read: u64,
}

impl Socket {
    pub(super) fn new(io: impl Io + 'static) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            io: Box::new(io),
            gathered: Vec::new(),
            written: 0,
            flushed: true,
            ration: RATION_BYTES,
            starved: false,
            read: 0,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nobody panics with this lock")
    }

    /// From now on so many bytes are read.
    pub(super) fn ration(&self, bytes: usize) {
        self.inner().ration = bytes;
    }

    /// Whether more was to be read than the ration; who asked is not told when there is more.
    pub(super) fn take_starved(&self) -> bool {
        std::mem::take(&mut self.inner().starved)
    }

    /// How many bytes were ever read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.inner().read
    }

    /// Whether the far end must read before more can be written.
    pub(super) fn is_full(&self) -> bool {
        self.inner().is_full()
    }

    /// Writes what has gathered.
    pub(super) fn poll_leave(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_leave(cx)
    }
}

impl Inner {
    fn is_full(&self) -> bool {
        self.gathered.len() - self.written >= GATHER_BYTES_MAX
    }

    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() {
            ready!(self.poll_write_gathered(cx, 0))?;
            self.gathered = Vec::new();
            self.written = 0;
            self.flushed = false;
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes until no more than `left` bytes are.
    fn poll_write_gathered(&mut self, cx: &mut Context<'_>, left: usize) -> Poll<io::Result<()>> {
        while self.gathered.len() - self.written > left {
            let bytes = &self.gathered[self.written..];
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_full() {
            ready!(self.poll_write_gathered(cx, GATHER_BYTES_MAX - 1))?;
            self.gathered.drain(..self.written);
            self.written = 0;
        }
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ration == 0 {
            self.starved = true;
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let count = buf.filled().len() - before;
        self.ration = self.ration.saturating_sub(count);
        self.read += count as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buf)
    }
}

/// Not vectored, although the socket may be: h2 then copies frames of up to 1 KB together, and what it writes is copied here
/// in any case.
impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, bytes)
    }

    /// At the round's end: see [`Socket::poll_leave`].
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        ready!(inner.poll_leave(cx))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}
