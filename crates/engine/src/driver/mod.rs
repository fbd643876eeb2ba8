//! The engine's shells: they own the clock, the threads and the sockets, and turn them into calls on a [`crate::Shard`].
//!
//! Nothing is decided here about who gets what. [`pull`] is portable: a shard of one stream, polled by whoever writes its
//! bytes. [`epoll`] is Linux only: many plain HTTP/1.1 sockets on a few threads. Both run the same step; no queue stands
//! between step and socket.

mod clock;
#[cfg(target_os = "linux")]
pub mod epoll;
mod meter;
pub mod pull;

pub use clock::{instant_at, now_ms};
pub use meter::StreamEnd;
