//! A request's body, as the service reads it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};

pub(super) struct RequestBody {
    stream: RecvStream,
    /// What Content-Length leaves to come.
    left: Option<u64>,
    /// All data has come; trailers may.
    is_read: bool,
}

impl RequestBody {
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH);
        Self {
            stream,
            // h2 refuses a body of another length (RFC 9113, section 8.1.1).
            left: length.and_then(|value| value.to_str().ok()?.parse().ok()),
            is_read: false,
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // The reader asks for more when it has room for it, so what it took is consumed. Fails only once the stream is
                // gone, which the next poll tells.
                let _ = self.stream.flow_control().release_capacity(data.len());
                let length = data.len() as u64;
                self.left = self.left.map(|left| left.saturating_sub(length));
                Poll::Ready(Some(Ok(data)))
            }
            // RFC 9113, section 8.1: only END_STREAM ends a body. One that is reset, for whatever reason, is not whole.
            other => Poll::Ready(other),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.is_read {
            if let Some(data) = ready!(self.poll_data(cx)) {
                return Poll::Ready(Some(data.map(Frame::data)));
            }
            self.is_read = true;
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.transpose().map(|read| read.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
