//! Linux only: plain HTTP/1.1 (and 1.0) sockets on a few threads, each an epoll loop with one [`crate::Shard`].
//!
//! A socket arrives once its request is authorized and its response head is known; from then on its thread owns it, and it
//! stays on that thread for life (invariant 10). Elsewhere streams run on [`super::pull`].
//!
//! **A client that half-closes is gone.** When a client shuts down its side (`EPOLLRDHUP`), its stream ends at once. A closed
//! browser tab looks exactly like that, and a proxy that does it may never read again; keeping such streams until a write
//! fails would hold a descriptor for a heartbeat or, without a reset, for the stall deadline. nginx and hyper decide alike by
//! default. Nothing is lost: who still reads comes back with its cursor.
//!
//! **What a client sends after its request is never read**, so it costs no wake-up, and the kernel's receive buffer bounds it.
//! It is thrown away when the stream ends, for closing a socket with unread bytes would reset it and take the last chunk along.

mod held;
mod inbox;
mod sink;
mod worker;

pub use super::{Framing, OnEnd};
pub use held::{Held, hold};

use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tidewire_core::Form;

use inbox::{Adopted, Command, Inbox};
use worker::Worker;

use super::{StreamEnd, now_ms};
use crate::{Counters, EndReason, Names, Order, ShardConfig, Subscription};

/// Told of every stream's form and end once its socket is closed, on its shard's thread: count, do nothing slow. What is the same for
/// all streams belongs here and not into an [`OnEnd`], for an idle subscriber without one takes less memory.
pub type AtEnd = Arc<dyn Fn(Form, &StreamEnd) + Send + Sync>;

/// The threads. Dropping them ends every stream at once, without a farewell; [`Shards::drain`] is the polite way.
pub struct Shards {
    inboxes: Box<[Arc<Inbox>]>,
    /// Locked while threads are awaited, so that two drains wait for the same end.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shards {
    /// Starts so many threads, at least one. The seed sets the jitter of heartbeats and lives; each shard gets its own from it.
    ///
    /// # Errors
    /// If the system gives no epoll, no eventfd or no thread.
    pub fn start(
        threads: usize,
        config: &ShardConfig,
        seed: u64,
        at_end: AtEnd,
    ) -> io::Result<Arc<Self>> {
        Self::start_named(threads, config, seed, at_end, |_| None)
    }

    /// Starts threads as [`Shards::start`] does, and says for each, by its number, how its shard names streams.
    ///
    /// # Errors
    /// As [`Shards::start`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a reference to an `Arc` of a closure does not become one of a `dyn Fn`"
    )]
    pub fn start_named(
        threads: usize,
        config: &ShardConfig,
        seed: u64,
        at_end: AtEnd,
        names: impl Fn(usize) -> Option<Names>,
    ) -> io::Result<Arc<Self>> {
        let mut shards = Self {
            inboxes: Box::default(),
            threads: Mutex::default(),
        };
        let mut inboxes = Vec::new();
        for index in 0..threads.max(1) {
            let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(index as u64 + 1));
            let inbox = Arc::new(Inbox::new(Arc::clone(&at_end))?);
            let worker = Worker::new(Arc::clone(&inbox), *config, seed, names(index))?;
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || worker.run())?;
            inboxes.push(inbox);
            // Kept as they come: should the next one fail, dropping `shards` stops these.
            shards.inboxes = inboxes.clone().into();
            shards.threads.get_mut().expect("just made").push(thread);
        }
        Ok(Arc::new(shards))
    }

    /// Hands over a socket: `head`, the response's head, is written first, then the stream, and then the socket is closed.
    /// Earlier answers on the connection must have been flushed. The shard with the fewest subscribers takes it; where a
    /// drain has begun, its end is told at once: first to what [`Shards::start`] was given, then to `on_end`.
    ///
    /// The socket's options are the caller's, who sets them once for a listener, from which Linux takes them for its connections:
    /// TCP_NODELAY, for writes are coalesced by the step and the kernel must not wait for more; TCP_USER_TIMEOUT, for a far end
    /// that answers every probe of a closed window is alive to the kernel. It may block: it is never read or written so.
    pub fn adopt(
        &self,
        socket: TcpStream,
        head: Vec<u8>,
        framing: Framing,
        subscription: Subscription,
        on_end: Option<OnEnd>,
    ) {
        let inbox = self
            .inboxes
            .iter()
            .min_by_key(|inbox| (!inbox.is_open(), inbox.subscribers()))
            .expect("at least one shard");
        inbox.push(Command::Adopt(Box::new(Adopted {
            socket,
            head,
            framing,
            subscription,
            on_end,
        })));
    }

    /// Has one of the shards, by its number, do something; after everything that it was given before. Dropped, and so never
    /// answered, if there is no such shard or it has stopped.
    pub fn order(&self, shard: usize, order: Order) {
        if let Some(inbox) = self.inboxes.get(shard) {
            inbox.push(Command::Order(order));
        }
    }

    /// How many shards there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inboxes.len()
    }

    /// How many streams there are, those included whose socket a thread has yet to pick up.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.inboxes.iter().map(|inbox| inbox.subscribers()).sum()
    }

    /// Every shard's counters, summed.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for inbox in &self.inboxes {
            sum.add(&inbox.counters());
        }
        sum
    }

    /// Ends every stream between frames, for this reason, and stops the threads; returns when they have stopped. What is not
    /// written by then is cut. Blocks for up to `deadline`: not to be called on an async thread.
    pub fn drain(&self, reason: EndReason, deadline: Duration) {
        let until_ms =
            now_ms().saturating_add(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
        for inbox in &self.inboxes {
            inbox.push(Command::Drain { reason, until_ms });
        }
        self.join();
    }

    fn join(&self) {
        let mut threads = self
            .threads
            .lock()
            .expect("no thread panics while it waits");
        for thread in threads.drain(..) {
            // A thread that panicked has printed why; its sockets are closed either way.
            let _ = thread.join();
        }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        for inbox in &self.inboxes {
            inbox.push(Command::Drain {
                reason: EndReason::Drain,
                until_ms: 0,
            });
        }
        self.join();
    }
}
