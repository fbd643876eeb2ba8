//! Streams that are told to do something from outside: by their ids, or all that are meant.
//!
//! A shard's thread has thousands of streams and one entry here; a stream that is a task of its own has one too, which it
//! needs anyhow to end with the hub. An idle stream costs nothing more for being found: its id says where it is ([`id`]).

mod answer;
mod body;
mod door;
mod id;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use slab::Slab;
use tidewire_core::Grant;
use tidewire_engine::driver::Ender;
use tidewire_engine::{EndReason, Marks, Names, Order, SubscriberKey, Target};
use tokio::sync::mpsc;

use crate::http2::Mailbox;
use id::{Address, Ids};

pub(crate) use door::{METHODS, patch};

/// How long is waited for shards to say how many streams they have ended. They end them all the same.
const ANSWERS_MAX: Duration = Duration::from_secs(1);

/// Slots from here on are those of the shards' threads, by their numbers.
const THREADS: u32 = 1 << 31;

/// Every shard of a hub.
pub(crate) struct Streams {
    ids: Ids,
    /// Makes marks of names. The key is this process's, so nobody chooses names whose marks are equal.
    hasher: RandomState,
    /// Those that come and go. Locked to add, to take out, to look one up, and now and then to tell them all.
    posts: Mutex<Posts>,
    #[cfg(target_os = "linux")]
    threads: std::sync::OnceLock<std::sync::Weak<tidewire_engine::driver::epoll::Shards>>,
}

#[derive(Default)]
struct Posts {
    slots: Slab<(u32, Post)>,
    serial: u32,
}

/// How a shard is told something.
#[derive(Clone)]
pub(crate) enum Post {
    /// Of one stream.
    Stream(Ender),
    /// Of an HTTP/2 connection.
    Connection(Arc<Mailbox>),
}

impl Post {
    fn order(&self, order: Order) {
        match self {
            Self::Stream(stream) => stream.order(order),
            Self::Connection(mailbox) => mailbox.order(order),
        }
    }
}

impl Streams {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            ids: Ids::new(),
            hasher: RandomState::new(),
            posts: Mutex::default(),
            #[cfg(target_os = "linux")]
            threads: std::sync::OnceLock::new(),
        })
    }

    /// How the shard of a thread names its streams.
    #[cfg(target_os = "linux")]
    pub(crate) fn names_of_thread(self: &Arc<Self>, index: usize) -> Names {
        let slot = u32::try_from(index).expect("few threads") | THREADS;
        self.names(Address { slot, serial: 0 })
    }

    /// These are the threads.
    #[cfg(target_os = "linux")]
    pub(crate) fn set_threads(&self, shards: &Arc<tidewire_engine::driver::epoll::Shards>) {
        // Not kept alive: they go with the hub.
        let _ = self.threads.set(Arc::downgrade(shards));
    }

    fn names(self: &Arc<Self>, at: Address) -> Names {
        let streams = Arc::clone(self);
        Arc::new(move |key| streams.ids.name(at, key))
    }

    fn posts(&self) -> MutexGuard<'_, Posts> {
        self.posts.lock().expect("nobody panics with this lock")
    }

    /// Adds a shard that comes and goes.
    pub(crate) fn register(self: &Arc<Self>, post: Post) -> Registration {
        let mut posts = self.posts();
        posts.serial = posts.serial.wrapping_add(1);
        let serial = posts.serial;
        let slot = u32::try_from(posts.slots.insert((serial, post)));
        let slot = slot.expect("fewer than two billion");
        Registration {
            streams: Arc::clone(self),
            at: Address { slot, serial },
        }
    }

    /// Ends every stream that is a task of its own. Connections and threads see to theirs.
    pub(crate) fn end_tasks(&self, reason: EndReason) {
        for post in self.all_posts() {
            if let Post::Stream(stream) = post {
                stream.end(reason);
            }
        }
    }

    /// To be told something without the lock: a task that is woken may be at its end, and take itself out.
    fn all_posts(&self) -> Vec<Post> {
        let posts = self.posts();
        posts
            .slots
            .iter()
            .map(|(_, (_, post))| post.clone())
            .collect()
    }

    /// Has the shard of a stream do something; `false` if there is none. `order` is told the stream's key in it.
    fn order(&self, id: &str, order: impl FnOnce(SubscriberKey) -> Order) -> bool {
        let Some((at, key)) = self.ids.read(id) else {
            return false;
        };
        if at.slot >= THREADS {
            return self.order_thread(at, || order(key));
        }
        let post = {
            let posts = self.posts();
            match posts.slots.get(at.slot as usize) {
                Some((serial, post)) if *serial == at.serial => post.clone(),
                _ => return false,
            }
        };
        post.order(order(key));
        true
    }

    #[cfg(target_os = "linux")]
    fn order_thread(&self, at: Address, order: impl FnOnce() -> Order) -> bool {
        let index = (at.slot & !THREADS) as usize;
        match self.shards() {
            Some(shards) if at.serial == 0 && index < shards.count() => {
                shards.order(index, order());
                true
            }
            _ => false,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn order_thread(&self, _: Address, _: impl FnOnce() -> Order) -> bool {
        false
    }

    #[cfg(target_os = "linux")]
    fn shards(&self) -> Option<Arc<tidewire_engine::driver::epoll::Shards>> {
        self.threads.get()?.upgrade()
    }

    /// Ends every stream that is meant, wherever it is. Each shard has been told when this returns; awaited, it says how many
    /// they are, as far as the shards have answered within a second.
    pub(crate) fn end(&self, target: Target) -> impl Future<Output = usize> + Send + use<> {
        let target = Arc::new(target);
        let (sender, mut answers) = mpsc::unbounded_channel();
        let order = || {
            let sender = sender.clone();
            Order::End {
                target: Arc::clone(&target),
                done: Box::new(move |count| {
                    // Whoever asked may have gone.
                    let _ = sender.send(count);
                }),
            }
        };
        #[cfg(target_os = "linux")]
        if let Some(shards) = self.shards() {
            (0..shards.count()).for_each(|shard| shards.order(shard, order()));
        }
        for post in self.all_posts() {
            post.order(order());
        }
        drop(sender);
        async move {
            let mut ended = 0;
            let all = async {
                while let Some(count) = answers.recv().await {
                    ended += count;
                }
            };
            let _ = tokio::time::timeout(ANSWERS_MAX, all).await;
            ended
        }
    }

    /// How the streams of a grant are marked.
    pub(crate) fn marks_of(&self, grant: &Grant) -> Marks {
        self.marks(
            grant.issuer.as_deref(),
            grant.subject.as_deref(),
            grant.token_id.as_deref(),
        )
    }

    /// How streams are marked whose grants have these names.
    pub(crate) fn marks(
        &self,
        issuer: Option<&str>,
        subject: Option<&str>,
        token_id: Option<&str>,
    ) -> Marks {
        Marks {
            issuer: self.mark(0, issuer),
            subject: self.mark(1, subject),
            token: self.mark(2, token_id),
        }
    }

    fn mark(&self, kind: u8, name: Option<&str>) -> u64 {
        // Zero stands for none.
        name.map_or(0, |name| self.hasher.hash_one((kind, name)).max(1))
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

/// A shard that can be told something, for as long as it is there.
pub(crate) struct Registration {
    streams: Arc<Streams>,
    at: Address,
}

impl Registration {
    /// How the shard names its streams.
    pub(crate) fn names(&self) -> Names {
        self.streams.names(self.at)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let gone = self.streams.posts().slots.remove(self.at.slot as usize);
        // What it was told last is dropped without the lock.
        drop(gone);
    }
}
