//! Wakes of shards' threads that are held back for a moment, so that one wake serves several commits. For whoever appends many
//! events one after another on one thread; what is held back leaves when its [`Held`] is dropped, and not before.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use super::inbox::Inbox;

thread_local! {
    /// The wakes of the present [`hold`], if there is one on this thread.
    static HELD: RefCell<Option<Vec<Arc<Inbox>>>> = const { RefCell::new(None) };
}

/// Wakes that were held back. Dropping it lets them go: keep it for as long as the next publish takes, no longer.
#[derive(Default)]
pub struct Held(Vec<Arc<Inbox>>);

impl Held {
    /// Whether nothing was held back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of another one.
    pub fn add(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for inbox in self.0.drain(..) {
            inbox.ring();
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.0.len()).finish()
    }
}

/// Runs this, and holds back the wakes that it causes on this thread.
pub fn hold<T>(run: impl FnOnce() -> T) -> (T, Held) {
    let scope = Scope(HELD.replace(Some(Vec::new())));
    let value = run();
    let held = HELD.replace(Some(Vec::new()));
    drop(scope);
    (value, Held(held.unwrap_or_default()))
}

/// Keeps a wake back; false if none are kept back here.
pub(super) fn keep(inbox: &Arc<Inbox>) -> bool {
    HELD.with_borrow_mut(|held| match held {
        Some(held) => {
            held.push(Arc::clone(inbox));
            true
        }
        None => false,
    })
}

/// Ends a hold, also when what ran in it panicked: then its wakes leave at once. Around it there may be another one.
struct Scope(Option<Vec<Arc<Inbox>>>);

impl Drop for Scope {
    fn drop(&mut self) {
        let left = HELD.replace(self.0.take());
        drop(Held(left.unwrap_or_default()));
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_woken(inbox: &Inbox) -> bool {
        let fd = inbox.eventfd();
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).unwrap() > 0
    }

    #[test]
    fn a_wake_is_held_back_and_never_lost() {
        let new = || Arc::new(Inbox::new(Arc::new(|_, _| {})).unwrap());
        let (inbox, other) = (new(), new());
        let waker = Waker::from(Arc::clone(&inbox));
        let (value, mut held) = hold(|| {
            waker.wake_by_ref();
            waker.wake_by_ref();
            7
        });
        assert_eq!((value, held.is_empty()), (7, false));
        assert!(!is_woken(&inbox));
        // Others rely on the wake that is held back.
        waker.wake_by_ref();
        assert!(!is_woken(&inbox));
        held.add(hold(|| Arc::clone(&other).wake()).1);
        drop(held);
        assert!(is_woken(&inbox) && is_woken(&other));

        inbox.hear();
        waker.wake_by_ref();
        assert!(is_woken(&inbox), "nothing is held back any more");

        inbox.hear();
        let panicked =
            std::panic::catch_unwind(|| hold(|| -> () { panic!("{:?}", waker.wake_by_ref()) }));
        assert!(panicked.is_err() && is_woken(&inbox));
        inbox.hear();
        let (inner, outer) = hold(|| {
            other.hear();
            let inner = hold(|| waker.wake_by_ref()).1;
            other.wake_by_ref();
            inner
        });
        assert!(!is_woken(&inbox) && !is_woken(&other));
        drop(outer);
        assert!(!is_woken(&inbox) && is_woken(&other));
        drop(inner);
        assert!(is_woken(&inbox));
    }
}
