//! HTTP/2, served by the h2 crate directly. One task a connection owns its streams: it reads requests, runs those that are
//! answered, and is the shard of those that subscribed.
//!
//! ```text
//!            frames                 requests
//!  socket ◀────────▶ h2 connection ─────────▶ exchanges ──▶ service
//!    ▲                   ▲                        │ a subscribe leaves an Opening
//!    │ once a round      │ within each window     ▼
//!    └─ gathered ◀───────┴──── StreamSink ◀──── shard ◀── commits
//! ```
//!
//! [`serve`] is what runs; [`connection`] the task; [`exchange`] a request and its answer; [`sink`] a stream.

mod bell;
mod body;
mod connection;
mod exchange;
mod handover;
mod mailbox;
mod pulse;
mod sink;
mod socket;
mod wire;

use axum::Router;
use h2::server::Builder;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use handover::{Handover, Opening};
pub(crate) use mailbox::Mailbox;

use crate::front::Front;
use crate::limits::Limits;
use crate::peer::Peer;
use connection::Connection;
use socket::Socket;

/// How much a client may send on one stream before the service has read it, in bytes.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same on all streams of a connection: more, so that a body which is read slowly holds up no other.
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
/// How many requests a client may take back before they were begun, in one round.
const EARLY_RESETS_MAX: usize = 128;
/// How many streams of a connection may be refused or reset for what the client did wrong, in the connection's life.
const ERROR_RESETS_MAX: usize = 1024;

/// Serves a connection until it ends, in the task that awaits this.
pub(crate) async fn serve<IO>(front: Front, router: Router, io: IO, peer: Peer)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let socket = Socket::new(io);
    let handshake = builder(front.limits()).handshake(socket.clone());
    let connection = match tokio::time::timeout(front.limits().head_time_max, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "connection ended"),
        Err(_) => return,
    };
    Connection::new(front, router, connection, socket, peer)
        .run()
        .await;
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(limits.http2_streams_max)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_send_buffer_size(sink::SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(EARLY_RESETS_MAX)
        .max_local_error_reset_streams(Some(ERROR_RESETS_MAX));
    builder
}
