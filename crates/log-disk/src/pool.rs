//! The threads that wait for the disk on behalf of readers, and the cache of what they fetched.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Something to do on one of the threads.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Jobs for a few threads, first come first served.
#[derive(Default)]
pub(crate) struct Pool {
    queue: Mutex<Queue>,
    /// Told of every job and of the end.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Pool {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; after the end it is dropped.
    pub(crate) fn submit(&self, job: Job) {
        let mut queue = self.queue();
        if !queue.closed {
            queue.jobs.push_back(job);
            self.changed.notify_one();
        }
    }

    /// No more jobs: [`Pool::run`] returns when those at hand are done.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.changed.notify_all();
    }

    /// Does jobs until the end.
    pub(crate) fn run(&self) {
        loop {
            let mut queue = self.queue();
            let job = loop {
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                if queue.closed {
                    return;
                }
                queue = self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            job();
        }
    }
}

/// What a cache says about a key.
pub(crate) enum Cached<V> {
    /// Here it is.
    Ready(V),
    /// It is being fetched; the waker is woken when it is there.
    Waiting,
    /// It is not, and the caller has to fetch it and call [`Cache::fill`]; the waker is woken then.
    Absent,
}

/// So many things that nobody has read yet stay, however large they are.
const UNREAD_MIN: usize = 8;

/// Fetched things, bounded in bytes; the longest unused goes first.
pub(crate) struct Cache<K, V> {
    inner: Mutex<Inner<K, V>>,
    bytes_max: usize,
}

struct Inner<K, V> {
    slots: HashMap<K, Slot<V>, foldhash::fast::RandomState>,
    /// Filled keys; one that was used since it came to the front goes to the back once more.
    order: VecDeque<K>,
    bytes: usize,
}

enum Slot<V> {
    Loading(Vec<Waker>),
    Filled { value: V, bytes: usize, used: Used },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Used {
    /// Nobody has read it yet: kept even beyond the bound (up to twice, and a few in any case), or a reader might never get
    /// to see it.
    Never,
    No,
    Yes,
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let inner = Inner {
            slots: HashMap::default(),
            order: VecDeque::new(),
            bytes: 0,
        };
        Self {
            inner: Mutex::new(inner),
            bytes_max,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a key.
    pub(crate) fn ask(&self, key: K, waker: Option<&Waker>) -> Cached<V> {
        let mut inner = self.inner();
        match inner.slots.get_mut(&key) {
            Some(Slot::Filled { value, used, .. }) => {
                *used = Used::Yes;
                Cached::Ready(value.clone())
            }
            Some(Slot::Loading(wakers)) => {
                if let Some(waker) = waker
                    && !wakers.iter().any(|known| known.will_wake(waker))
                {
                    wakers.push(waker.clone());
                }
                Cached::Waiting
            }
            None => {
                inner
                    .slots
                    .insert(key, Slot::Loading(waker.into_iter().cloned().collect()));
                Cached::Absent
            }
        }
    }

    /// What is there, without asking for more.
    pub(crate) fn peek(&self, key: K) -> Option<V> {
        match self.inner().slots.get(&key)? {
            Slot::Filled { value, .. } => Some(value.clone()),
            Slot::Loading(_) => None,
        }
    }

    /// Whether it is there, or was asked for.
    pub(crate) fn has(&self, key: K) -> bool {
        self.inner().slots.contains_key(&key)
    }

    /// Brings what was asked for, and wakes who waits.
    pub(crate) fn fill(&self, key: K, value: V, bytes: usize) {
        let mut inner = self.inner();
        let before = inner.slots.insert(
            key,
            Slot::Filled {
                value,
                bytes,
                used: Used::Never,
            },
        );
        match &before {
            Some(Slot::Filled { bytes: old, .. }) => inner.bytes -= old,
            _ => inner.order.push_back(key),
        }
        inner.bytes += bytes;
        inner.evict(self.bytes_max);
        drop(inner);
        if let Some(Slot::Loading(wakers)) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl<K: Copy + Eq + Hash, V> Inner<K, V> {
    fn evict(&mut self, bytes_max: usize) {
        for _ in 0..2 * self.order.len() {
            if self.bytes <= bytes_max {
                return;
            }
            let Some(key) = self.order.pop_front() else {
                return;
            };
            match self.slots.get_mut(&key) {
                Some(Slot::Filled { used, .. })
                    if *used == Used::Yes
                        || (*used == Used::Never
                            && (self.bytes <= bytes_max * 2 || self.order.len() < UNREAD_MIN)) =>
                {
                    if *used == Used::Yes {
                        *used = Used::No;
                    }
                    self.order.push_back(key);
                }
                Some(Slot::Filled { bytes, .. }) => {
                    self.bytes -= *bytes;
                    self.slots.remove(&key);
                }
                _ => {}
            }
        }
    }
}
