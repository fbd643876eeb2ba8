//! Taking an HTTP/1 connection's stream back from hyper: the slot in which a request leaves what its connection has to do, who
//! has the stream then, and the bytes of the response's head, which hyper will not write.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Version};
use tidewire_engine::Subscription;
use tidewire_engine::driver::solo::Solo;
use tidewire_engine::driver::{Framing, OnEnd};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::date::http_date;
use crate::front::{Front, random_u64};
use crate::presence::{self, Arrival};
use crate::revocations::Admitted;
use crate::slots::Slot;

/// What a subscriber's stream begins with.
pub(crate) struct Adoption {
    pub(crate) head: Vec<u8>,
    pub(crate) framing: Framing,
    pub(crate) subscription: Subscription,
    pub(crate) admitted: Admitted,
    pub(crate) slot: Slot,
    /// Whom others will see, if presence is on.
    pub(crate) arrival: Option<Box<Arrival>>,
    /// Who waits for this stream's end in particular.
    pub(crate) on_end: Option<OnEnd>,
}

/// Where a request's service tells its connection that the stream is to be taken. In the extensions of each request of a
/// connection that can do it; the service then never answers, and the connection is polled by the same task.
#[derive(Clone, Default)]
pub(crate) struct Takeover(Arc<Mutex<Option<Adoption>>>);

impl Takeover {
    pub(crate) fn ask(&self, adoption: Adoption) {
        *self.0.lock().expect("nobody panics with this lock") = Some(adoption);
    }

    pub(crate) fn asked(&self) -> Option<Adoption> {
        self.0.lock().expect("nobody panics with this lock").take()
    }
}

/// What is left of a connection whose task has given way to something smaller: to be spawned in its place.
pub(crate) type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection's stream, to which a subscriber's stream can be left.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sized + 'static {
    /// Leaves it to whoever serves such streams; what is returned is to be run. What the client has sent after its subscribe
    /// is dropped: nothing follows a stream on its connection.
    fn leave_to(self, front: &Front, adoption: Adoption) -> Option<Rest>;
}

impl Stream for TcpStream {
    #[cfg(not(target_os = "linux"))]
    fn leave_to(self, front: &Front, adoption: Adoption) -> Option<Rest> {
        Some(solo(self, front, adoption))
    }

    #[cfg(target_os = "linux")]
    fn leave_to(self, front: &Front, adoption: Adoption) -> Option<Rest> {
        let Some(shards) = front.shards() else {
            return Some(solo(self, front, adoption));
        };
        match self.into_std() {
            Ok(socket) => {
                // The shards give it back: see `Front::new`.
                adoption.slot.leave_taken();
                let on_end = presence::begin(adoption.arrival, adoption.on_end);
                shards.adopt(
                    socket,
                    adoption.head,
                    adoption.framing,
                    adoption.subscription,
                    on_end,
                );
                front.catch_up(adoption.admitted);
            }
            Err(error) => tracing::error!(%error, "a socket could not be taken back"),
        }
        None
    }
}

/// A task of its own, with nothing in it but the stream.
pub(crate) fn solo<S: Stream>(stream: S, front: &Front, adoption: Adoption) -> Rest {
    let on_end = presence::begin(adoption.arrival, adoption.on_end);
    let solo = Solo::new(
        &front.settings().streams,
        random_u64(),
        stream,
        adoption.head,
        adoption.framing,
        adoption.subscription,
        adoption.slot.until_end(on_end),
    )
    .counted(front.share());
    let registration = front.register(&solo.ender());
    let solo = solo.named(registration.names());
    front.catch_up(adoption.admitted);
    Box::pin(async move {
        solo.await;
        drop(registration);
    })
}

/// A response's head for HTTP/1. Over HTTP/1.1 the body is chunked; over HTTP/1.0, which knows no chunks, its end is the
/// connection's. Either way the connection is not used again.
pub(crate) fn head_bytes(version: Version, headers: &HeaderMap, now_ms: u64) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    // RFC 9112, section 2.3: a server answers with the highest version it speaks, except that to a client of 1.0 we promise
    // nothing that 1.0 lacks.
    let (line, framing): (&[u8], &[u8]) = if version == Version::HTTP_10 {
        (b"HTTP/1.0 200 OK\r\n", b"")
    } else {
        (b"HTTP/1.1 200 OK\r\n", b"transfer-encoding: chunked\r\n")
    };
    head.extend_from_slice(line);
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(framing);
    head.extend_from_slice(b"connection: close\r\ndate: ");
    head.extend_from_slice(&http_date(now_ms));
    head.extend_from_slice(b"\r\n\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_exact() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "text/event-stream".parse().unwrap());
        let tail = "connection: close\r\ndate: Sat, 21 Nov 2026 08:33:20 GMT\r\n\r\n";
        let table = [
            (
                Version::HTTP_11,
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n",
            ),
            (
                Version::HTTP_10,
                "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n",
            ),
        ];
        for (version, start) in table {
            let head = head_bytes(version, &headers, 1_795_250_000_123);
            assert_eq!(String::from_utf8(head).unwrap(), format!("{start}{tail}"));
        }
    }
}
