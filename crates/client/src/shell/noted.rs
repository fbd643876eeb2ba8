//! A connection that keeps the reason of its failure, which would otherwise be but a text in an error of what reads HTTP from it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Trouble;
use crate::Error;

/// A connection that notes why reading or writing fails.
pub(super) struct Noted<S, F> {
    pub(super) socket: S,
    pub(super) trouble: Trouble,
    pub(super) explain: F,
}

impl<S: Unpin, F: Fn(&io::Error) -> Option<Error> + Unpin> Noted<S, F> {
    fn note<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && let Some(error) = (self.explain)(error)
        {
            let _ = self.trouble.set(error);
        }
        polled
    }
}

impl<S, F> AsyncRead for Noted<S, F>
where
    S: AsyncRead + Unpin,
    F: Fn(&io::Error) -> Option<Error> + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_read(context, into);
        self.note(polled)
    }
}

impl<S, F> AsyncWrite for Noted<S, F>
where
    S: AsyncWrite + Unpin,
    F: Fn(&io::Error) -> Option<Error> + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_flush(context);
        self.note(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
