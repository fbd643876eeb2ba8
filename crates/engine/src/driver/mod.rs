//! The engine's shells: they own the clock, the threads and the sockets, and turn them into calls on a [`crate::Shard`].
//!
//! Nothing is decided here about who gets what. [`pull`] is portable: a shard of one stream, polled by whoever writes its
//! bytes. [`solo`] is portable too: a shard of one stream that writes into a connection of its own, such as one of TLS.
//! [`epoll`] is Linux only: many plain HTTP/1.1 sockets on a few threads. All run the same step; no queue stands between step
//! and socket.

mod clock;
mod ender;
#[cfg(target_os = "linux")]
pub mod epoll;
mod framing;
mod meter;
pub mod pull;
pub mod solo;

pub use clock::{instant_at, now_ms};
pub use ender::Ender;
pub use framing::Framing;
pub use meter::{OnEnd, StreamEnd};

/// How much of what a client sent after its request is thrown away at the end, in bytes; one that sent more is reset.
const UNREAD_BYTES_MAX: usize = 256 * 1024;
