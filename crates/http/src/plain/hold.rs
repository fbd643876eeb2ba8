//! Waking shards once for several publishes, where these come thick: each wake costs system calls and, on a busy core, two
//! changes of threads. A publish that comes alone wakes at once.
//!
//! ```text
//! a publish -> its wake is held -> its answer -> the other connections that are ready have their turn -> the wake leaves
//! ```

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Context;

#[cfg(target_os = "linux")]
use tidewire_engine::driver::epoll::{Held, hold};
use tokio::time::{Duration, Instant};

/// Publishes that follow each other so closely on one thread come thick.
const THICK: Duration = Duration::from_micros(40);

thread_local! {
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What a connection's last publishes would have woken. Dropping it wakes.
#[derive(Default)]
pub(super) struct Holding {
    held: Held,
    /// The other connections have had their turn.
    waited: bool,
}

/// No threads of ours to wake.
#[cfg(not(target_os = "linux"))]
#[derive(Default)]
struct Held;

#[cfg(not(target_os = "linux"))]
impl Held {
    fn is_empty(&self) -> bool {
        true
    }

    fn add(&mut self, _: Self) {}
}

#[cfg(not(target_os = "linux"))]
fn hold<T>(run: impl FnOnce() -> T) -> (T, Held) {
    (run(), Held)
}

impl Holding {
    /// Runs a publish.
    pub(super) async fn publish<T>(&mut self, publish: impl Future<Output = T>) -> T {
        let now = Instant::now();
        let last = LAST.replace(Some(now));
        if last.is_none_or(|last| now.duration_since(last) >= THICK) {
            return publish.await;
        }
        let mut publish = pin!(publish);
        poll_fn(|cx| {
            let (done, held) = hold(|| publish.as_mut().poll(cx));
            self.held.add(held);
            if done.is_pending() {
                self.release();
            }
            done
        })
        .await
    }

    /// The connection is looked at.
    pub(super) fn turn_begins(&mut self) {
        if self.waited {
            self.release();
        }
    }

    /// Wakes, for something else is to be waited for.
    pub(super) fn release(&mut self) {
        *self = Self::default();
    }

    /// It waits for its client: the others first, and then it is its turn again.
    pub(super) fn turn_ends(&mut self, cx: &Context<'_>) {
        if !self.held.is_empty() && !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
        }
    }
}
