//! A connection's stream (a socket, or TLS over one) as hyper sees it: gives back the bytes by which the protocol was told, and knows whether everything
//! that was written has left.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// RFC 9113, section 3.4: what an HTTP/2 client with prior knowledge sends first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 or 1.0.
    Http1,
    /// HTTP/2 with prior knowledge (h2c).
    Http2,
}

pub(crate) struct ServerIo<S> {
    stream: S,
    /// What was read before, to tell the protocol or for want of a plain request, and how much of it was given back.
    first: Vec<u8>,
    given: usize,
    dirty: Arc<AtomicBool>,
}

/// Whether what was written has left for the kernel.
#[derive(Clone)]
pub(crate) struct Flushed(Arc<AtomicBool>);

impl Flushed {
    pub(crate) fn is_clean(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

impl<S> ServerIo<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self::after(Vec::new(), stream)
    }

    /// A stream of which this was read already.
    pub(crate) fn after(first: Vec<u8>, stream: S) -> Self {
        Self {
            stream,
            first,
            given: 0,
            dirty: Arc::default(),
        }
    }

    pub(crate) fn flushed(&self) -> Flushed {
        Flushed(Arc::clone(&self.dirty))
    }

    pub(crate) fn into_stream(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> ServerIo<S> {
    /// Reads until the bytes differ from HTTP/2's preface, or are it.
    pub(crate) async fn tell_protocol(&mut self) -> io::Result<Protocol> {
        loop {
            let have = self.first.len().min(PREFACE.len());
            if self.first[..have] != PREFACE[..have] {
                return Ok(Protocol::Http1);
            }
            if have == PREFACE.len() {
                return Ok(Protocol::Http2);
            }
            let mut more = [0; PREFACE.len()];
            match self.stream.read(&mut more[have..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.first.extend_from_slice(&more[have..have + count]),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ServerIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given < self.first.len() {
            let left = &self.first[self.given..];
            let count = left.len().min(buf.remaining());
            buf.put_slice(&left[..count]);
            self.given += count;
            if self.given == self.first.len() {
                (self.first, self.given) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

/// From a write to the next whole flush, something of ours may have yet to leave. hyper 1.12 flushes an answer before it reads
/// the next request, but for a body whose end comes after its answer, and promises none of it; so a takeover looks here.
impl<S: AsyncWrite + Unpin> AsyncWrite for ServerIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.dirty.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.dirty.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.dirty.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Room for ten bytes until somebody reads: a flush above such a stream is over at once, so a writer that keeps some back
    /// stands between.
    #[tokio::test]
    async fn what_has_not_left_is_known() {
        let (mut client, server) = tokio::io::duplex(10);
        let mut io = tokio::io::BufWriter::new(server);
        let mut io = ServerIo::new(&mut io);
        let flushed = io.flushed();
        assert!(flushed.is_clean());
        io.write_all(&[b'x'; 15]).await.unwrap();
        assert!(!flushed.is_clean(), "it is in a buffer");
        let mut flush = std::pin::pin!(io.flush());
        let waker = std::task::Waker::noop();
        let mut cx = Context::from_waker(waker);
        assert!(flush.as_mut().poll(&mut cx).is_pending());
        assert!(!flushed.is_clean(), "five bytes have no room");
        client.read_exact(&mut [0; 10]).await.unwrap();
        flush.await.unwrap();
        assert!(flushed.is_clean());
    }

    /// However the first bytes are cut, the protocol is told by them, and whoever reads next gets all of them.
    #[tokio::test]
    async fn what_told_the_protocol_is_read_again() {
        let preface = std::str::from_utf8(PREFACE).unwrap();
        let table = [
            (format!("{preface}and frames"), Protocol::Http2),
            (
                "PRI * HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
                Protocol::Http1,
            ),
            ("GET / HTTP/1.1\r\n\r\nbody".to_owned(), Protocol::Http1),
        ];
        for (text, want) in table {
            for cut in 0..text.len() {
                let (before, after) = text.as_bytes().split_at(cut);
                let (mut client, server) = tokio::io::duplex(1024);
                client.write_all(after).await.unwrap();
                drop(client);
                let mut io = ServerIo::after(before.to_vec(), server);
                assert_eq!(io.tell_protocol().await.unwrap(), want, "{text:?} at {cut}");
                let mut read = Vec::new();
                let mut piece = [0; 5];
                loop {
                    match io.read(&mut piece).await.unwrap() {
                        0 => break,
                        count => read.extend_from_slice(&piece[..count]),
                    }
                }
                assert_eq!(read, text.as_bytes(), "{text:?} at {cut}");
            }
        }
    }
}
