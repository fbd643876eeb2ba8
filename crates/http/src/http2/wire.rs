//! What the streams of a connection share: h2's connection, which writes what they hand to it, and the bells.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::Request;

use super::bell::{Bell, Task};
use super::socket::{RATION_BYTES, Socket};

/// After so many frames handed to h2 it writes them: it keeps the room that it once needed for a frame (some 300 bytes).
const HANDED_MAX: usize = 32;

/// What every sink of a connection knows.
pub(super) struct Line {
    /// Held by the connection's task alone, for a call.
    wire: Mutex<Wire>,
    /// Wakes the task.
    pub(super) waker: Waker,
    /// Rings when a stream was reset or has room again.
    pub(super) streams: Arc<Bell>,
    streams_waker: Waker,
}

impl Line {
    pub(super) fn new(
        connection: Connection<Socket, Bytes>,
        socket: Socket,
        task: &Arc<Task>,
    ) -> Arc<Self> {
        let waker = Waker::from(Arc::clone(task));
        let streams = Bell::new(task);
        Arc::new(Self {
            wire: Mutex::new(Wire {
                connection,
                socket,
                waker: waker.clone(),
                handed: 0,
                is_waited_for: false,
                is_over: false,
            }),
            waker,
            streams_waker: Waker::from(Arc::clone(&streams)),
            streams,
        })
    }

    pub(super) fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().expect("the task ends when it panics")
    }

    pub(super) fn streams_context(&self) -> Context<'_> {
        Context::from_waker(&self.streams_waker)
    }
}

pub(super) struct Wire {
    connection: Connection<Socket, Bytes>,
    socket: Socket,
    waker: Waker,
    handed: usize,
    /// Some sink was refused because the socket is full.
    is_waited_for: bool,
    is_over: bool,
}

/// Whether a stream may hand something to h2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admit {
    Room,
    /// Not before [`Line::streams`] has rung.
    Full,
    /// The connection has ended.
    Over,
}

/// A request, and where its answer goes.
pub(super) type Incoming = (Request<RecvStream>, SendResponse<Bytes>);

impl Wire {
    /// Reads and writes what there is, and gives the next request.
    pub(super) fn poll_accept(&mut self) -> Poll<Incoming> {
        self.handed = 0;
        let accepted = self
            .connection
            .poll_accept(&mut Context::from_waker(&self.waker));
        match accepted {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(incoming))) => return Poll::Ready(incoming),
            Poll::Ready(Some(Err(error))) => tracing::debug!(%error, "connection ended"),
            Poll::Ready(None) => {}
        }
        self.is_over = true;
        Poll::Pending
    }

    /// Lets the round read again.
    pub(super) fn begin_round(&mut self) {
        self.socket.ration(RATION_BYTES);
    }

    /// Lets h2 write what it was handed, if that is much.
    pub(super) fn relieve(&mut self) {
        self.handed += 1;
        if self.handed >= HANDED_MAX && !self.is_over {
            self.handed = 0;
            self.socket.ration(0);
            let mut cx = Context::from_waker(&self.waker);
            self.is_over |= self.connection.poll_closed(&mut cx).is_ready();
        }
    }

    /// Whether a stream may hand something to h2: while the socket takes nothing, h2 is to hold nothing more.
    pub(super) fn admit(&mut self) -> Admit {
        if self.is_over {
            return Admit::Over;
        }
        if self.socket.is_full() {
            self.is_waited_for = true;
            return Admit::Full;
        }
        Admit::Room
    }

    /// Whether sinks were refused that would be no more.
    pub(super) fn take_relief(&mut self) -> bool {
        !self.socket.is_full() && std::mem::take(&mut self.is_waited_for)
    }

    /// Notes that h2 was handed what it has to see to in the next round.
    pub(super) fn hand(&mut self) {
        self.handed += 1;
    }

    /// Whether h2 was handed something that it has not seen to.
    pub(super) fn is_handed(&self) -> bool {
        self.handed > 0
    }

    /// Whether the connection has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn connection(&mut self) -> &mut Connection<Socket, Bytes> {
        &mut self.connection
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }
}
