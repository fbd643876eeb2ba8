//! Closing a client from elsewhere. Not here: what closing does.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

/// Closes a client that somebody else polls: from another task, a handler, a signal.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// # use tidewire_client::{Dispatcher, EventSource};
/// let mut source = EventSource::builder("http://127.0.0.1:8080/topics/jobs/7").build()?;
/// let closer = source.closer();
/// let mut dispatcher = Dispatcher::new()
///     .on("progress", |event| println!("{}", event.data))
///     .on("done", move |_| closer.close());
/// source.run(&mut dispatcher).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Closer(Arc<Mutex<Wish>>);

#[derive(Debug, Default)]
struct Wish {
    is_asked: bool,
    /// Whoever polls the client.
    waker: Option<Waker>,
}

impl Closer {
    /// Closes the client: it gives no more events, and its connection goes when it is next polled, for which it is woken.
    pub fn close(&self) {
        let mut wish = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wish.is_asked = true;
        let waker = wish.waker.take();
        drop(wish);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// True once it was asked; until then whoever polls is woken when it is.
    pub(super) fn is_asked(&self, context: &Context<'_>) -> bool {
        let mut wish = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !wish.is_asked {
            match &mut wish.waker {
                Some(waker) => waker.clone_from(context.waker()),
                waker => *waker = Some(context.waker().clone()),
            }
        }
        wish.is_asked
    }
}
