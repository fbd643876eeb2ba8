//! A shard's thread: wait, see what happened, step, say goodbye to whom it ended.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use rustix::event::{Timespec, epoll};

use super::inbox::{Adopted, Command, Inbox};
use super::sink::{Gone, SocketSink};
use crate::driver::{StreamEnd, now_ms};
use crate::{EndReason, Ended, Names, Shard, ShardConfig, SubscriberKey};

/// Names the eventfd among the sockets; no subscriber's key is this.
const WAKE: u64 = u64::MAX;

/// How many events one wait takes.
const EVENTS_MAX: usize = 256;

/// Edge-triggered, and never `EPOLLIN`: a socket is heard of when it is writable again after it was full, when the far end
/// is gone, and for nothing else. So a stall costs no call that changes the interest.
const INTEREST: epoll::EventFlags = epoll::EventFlags::OUT
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::ET);

const GONE: epoll::EventFlags = epoll::EventFlags::RDHUP
    .union(epoll::EventFlags::HUP)
    .union(epoll::EventFlags::ERR);

/// A stream that is over but whose last bytes the socket has not taken yet.
struct Closing {
    sink: SocketSink,
    reason: EndReason,
    events: u64,
    joined_ms: u64,
    until_ms: u64,
}

pub(super) struct Worker {
    inbox: Arc<Inbox>,
    epoll: rustix::fd::OwnedFd,
    config: ShardConfig,
    shard: Shard<SocketSink>,
    /// By the key that the subscriber had: its socket still reports under that.
    closing: HashMap<u64, Closing>,
    /// When the first of them may have to be cut.
    cut_at_ms: Option<u64>,
    /// Until when the last bytes may take, once a drain has begun.
    drain_until_ms: Option<u64>,
}

impl Worker {
    pub(super) fn new(
        inbox: Arc<Inbox>,
        config: ShardConfig,
        seed: u64,
        names: Option<Names>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            inbox.eventfd(),
            epoll::EventData::new_u64(WAKE),
            epoll::EventFlags::IN,
        )?;
        let mut shard = Shard::new(config, seed, Waker::from(Arc::clone(&inbox)));
        if let Some(names) = names {
            shard.name_with(names);
        }
        Ok(Self {
            inbox,
            epoll,
            config,
            shard,
            closing: HashMap::new(),
            cut_at_ms: None,
            drain_until_ms: None,
        })
    }

    pub(super) fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut wake_at_ms = Some(0);
        while !self.is_done() {
            self.wait(wake_at_ms, &mut events);
            for event in events.drain(..) {
                self.handle_event(event);
            }
            for command in self.inbox.take() {
                self.handle_command(command);
            }
            let step = self.shard.step(now_ms());
            for ended in step.ended {
                self.part(ended);
            }
            self.cut_late();
            self.inbox.leave_counters(self.shard.counters());
            let at_once = step.again.then_some(0);
            let cut_at_ms = earliest(self.cut_at_ms, self.drain_until_ms);
            wake_at_ms = at_once.or(earliest(step.wake_at_ms, cut_at_ms));
        }
        self.stop();
    }

    fn is_done(&self) -> bool {
        self.drain_until_ms.is_some_and(|until_ms| {
            (self.shard.is_empty() && self.closing.is_empty()) || now_ms() >= until_ms
        })
    }

    fn wait(&self, wake_at_ms: Option<u64>, events: &mut Vec<epoll::Event>) {
        let timeout = wake_at_ms.map(|at_ms| {
            let ms = at_ms.saturating_sub(now_ms());
            Timespec {
                tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
                tv_nsec: (ms % 1000 * 1_000_000) as _,
            }
        });
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // Nothing but a closed descriptor of our own can be meant.
            Err(error) => panic!("epoll_wait: {error}"),
        }
    }

    fn handle_event(&mut self, event: epoll::Event) {
        let (token, flags) = (event.data.u64(), event.flags);
        if token == WAKE {
            self.inbox.hear();
        } else if let Some(closing) = self.closing.get_mut(&token) {
            let over = flags.intersects(GONE) || closing.sink.flush().is_err();
            if over || !closing.sink.owes() {
                self.close(token);
            }
        } else {
            self.handle_socket(SubscriberKey::from(token), flags);
        }
    }

    /// The key may be that of a subscriber that ended in this very round: then nothing happens.
    fn handle_socket(&mut self, key: SubscriberKey, flags: epoll::EventFlags) {
        let Some(sink) = self.shard.sink_mut(key) else {
            return;
        };
        if flags.intersects(GONE) {
            self.leave(key);
        } else if sink.is_full() || sink.owes() {
            // Owed but not full: a head whose stream has nothing to say yet. It must not wait for the first event.
            match sink.flush() {
                // A stall is no progress at all: a large frame may take a slow reader longer than the stall deadline.
                Ok(true) => self.shard.handle_writable(now_ms(), key),
                Ok(false) => {}
                Err(Gone) => self.leave(key),
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Adopt(adopted) if self.drain_until_ms.is_some() => {
                self.inbox.refuse(*adopted);
            }
            Command::Adopt(adopted) => self.adopt(*adopted),
            Command::Order(order) => self.shard.obey(order),
            Command::Drain { reason, until_ms } => {
                self.shard.end_all(reason);
                let until_ms = earliest(self.drain_until_ms, Some(until_ms));
                self.drain_until_ms = until_ms;
            }
        }
    }

    fn adopt(&mut self, adopted: Adopted) {
        let now_ms = now_ms();
        let sink = SocketSink::new(
            adopted.socket,
            adopted.head,
            adopted.framing,
            adopted.subscription.form,
            adopted.on_end,
        );
        let key = self.shard.join(now_ms, adopted.subscription, sink);
        let sink = self.shard.sink_mut(key).expect("it has just joined");
        let token = epoll::EventData::new_u64(key.into());
        if epoll::add(&self.epoll, sink.socket(), token, INTEREST).is_err() {
            self.leave(key);
        }
    }

    /// The far end is gone, or never was reachable.
    fn leave(&mut self, key: SubscriberKey) {
        self.cut(key, EndReason::Closed);
    }

    fn cut(&mut self, key: SubscriberKey, reason: EndReason) {
        let (events, joined_ms) = (self.shard.delivered(key), self.shard.joined_ms(key));
        if let Some(sink) = self.shard.leave(key) {
            self.report(sink, reason, events, joined_ms);
        }
    }

    /// The shard has ended a stream; its last frames were offered.
    fn part(&mut self, ended: Ended<SocketSink>) {
        let Ended {
            key,
            mut sink,
            reason,
            delivered,
            joined_ms,
        } = ended;
        // Who stalls or is gone gets no last chunk: an end inside a frame must look like one.
        if matches!(reason, EndReason::Closed | EndReason::Stalled) {
            return self.report(sink, reason, delivered, joined_ms);
        }
        sink.finish();
        let wait = sink.flush().is_ok() && sink.owes();
        let until_ms = now_ms().saturating_add(self.config.stall_deadline_ms);
        self.cut_at_ms = earliest(self.cut_at_ms, Some(until_ms));
        let closing = Closing {
            sink,
            reason,
            events: delivered,
            joined_ms,
            until_ms,
        };
        self.closing.insert(key.into(), closing);
        if !wait {
            self.close(key.into());
        }
    }

    fn close(&mut self, token: u64) {
        if let Some(closing) = self.closing.remove(&token) {
            if !closing.sink.owes() {
                closing.sink.shut();
            }
            let Closing { sink, reason, .. } = closing;
            self.report(sink, reason, closing.events, closing.joined_ms);
        }
    }

    fn report(&self, sink: SocketSink, reason: EndReason, events: u64, joined_ms: u64) {
        let end = StreamEnd {
            reason,
            bytes: sink.bytes(),
            events,
            life_ms: now_ms().saturating_sub(joined_ms),
        };
        let form = sink.form();
        self.inbox.tell_end(form, sink.close(), end);
    }

    fn cut_late(&mut self) {
        let now_ms = now_ms();
        if self.cut_at_ms.is_none_or(|cut_at_ms| now_ms < cut_at_ms) {
            return;
        }
        let late =
            |(token, closing): (&u64, &Closing)| (closing.until_ms <= now_ms).then_some(*token);
        for token in self.closing.iter().filter_map(late).collect::<Vec<_>>() {
            self.close(token);
        }
        self.cut_at_ms = self.closing.values().map(|closing| closing.until_ms).min();
    }

    /// Cuts whoever is left.
    fn stop(mut self) {
        for token in self.closing.keys().copied().collect::<Vec<_>>() {
            self.close(token);
        }
        for key in self.shard.keys().collect::<Vec<_>>() {
            self.cut(key, EndReason::Drain);
        }
    }
}

/// Also when an assertion of ours broke: the thread's sockets close, and no more are handed to it.
impl Drop for Worker {
    fn drop(&mut self) {
        for command in self.inbox.close() {
            if let Command::Adopt(adopted) = command {
                self.inbox.refuse(*adopted);
            }
        }
    }
}

fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
