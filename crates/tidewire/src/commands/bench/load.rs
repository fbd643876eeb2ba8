//! The event loop of the bench: publishers and the news of subscriber processes, on one thread.

mod publishing;

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event};

use super::fleet::Fleet;
use super::latency::Latency;
use super::payload::Run;
use super::progress::Bar;
use super::publisher::Publisher;
use super::socket::{self, now_ns};
use super::target::Publishing;
use super::tls::Tls;
use super::wire::{Order, TopicNames};
use crate::failure::{Failure, Outcome};

/// The first token of the subscriber processes; publishers have those below.
const FLEET: u64 = 1 << 32;
/// How long a turn may wait: progress bars and deadlines are looked at in between.
const TURN_NS: u64 = 50_000_000;
const EVENTS_MAX: usize = 256;
const BUFFER_BYTES: usize = 256 * 1024;

/// When the next event is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// When fewer than so many events are under way.
    Window(u64),
    /// The `next`th is due `next` intervals after the start, whatever became of those before.
    Schedule {
        start_ns: u64,
        interval_ns: f64,
        next: u64,
    },
}

/// What is to be published.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) publishing: Publishing,
    pub(super) topics: TopicNames,
    /// How many of the topics have subscribers: the first ones.
    pub(super) watched: usize,
    pub(super) publishers: usize,
    pub(super) pipeline: usize,
    pub(super) payload: usize,
    /// Events in one request; `None` is one, by itself.
    pub(super) batch: Option<usize>,
    /// No more are published after so many.
    pub(super) events_max: u64,
    /// Whether each publisher stops when it has sent to each of its topics.
    pub(super) once: bool,
    /// How long nothing may arrive while events are missing.
    pub(super) patience: Duration,
}

/// What was published.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) sent: u64,
    pub(super) acked: u64,
    /// Acknowledged in the measured time.
    pub(super) measured: u64,
    /// From the time an event was to be sent to its acknowledgement.
    pub(super) latency: Latency,
}

/// Publishers, subscribers, and what is between them.
pub(super) struct Load {
    pub(super) fleet: Fleet,
    pub(super) published: Published,
    epoll: OwnedFd,
    plan: Plan,
    run: Run,
    origin_ns: u64,
    publishers: Vec<Publisher>,
    tls: Option<Tls>,
    /// Those that may send, the longest idle first.
    free: VecDeque<usize>,
    names: Vec<String>,
    /// Events sent, by [`TopicNames::counter`].
    counters: Vec<u32>,
    measured: Range<u64>,
    /// Events sent to topics that have subscribers.
    awaited: u64,
    /// Events that never arrived, and that the window no longer waits for.
    forgiven: u64,
    last_events: u64,
    last_progress_ns: u64,
    scratch: Scratch,
}

/// Buffers that are used again and again.
struct Scratch {
    data: Vec<u8>,
    body: Vec<u8>,
    read: Box<[u8]>,
    events: Vec<Event>,
}

impl Load {
    pub(super) fn new(plan: Plan, fleet: Fleet, run: Run, origin_ns: u64) -> Outcome<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(Failure::failed)?;
        fleet.register(&epoll, FLEET)?;
        let names = (0..plan.topics.count)
            .map(|topic| plan.topics.name(topic))
            .collect();
        Ok(Self {
            fleet,
            published: Published::default(),
            epoll,
            run,
            origin_ns,
            publishers: Vec::new(),
            tls: None,
            free: VecDeque::new(),
            names,
            counters: vec![0; plan.topics.counters(plan.publishers)],
            measured: 0..0,
            awaited: 0,
            forgiven: 0,
            last_events: 0,
            last_progress_ns: 0,
            scratch: Scratch {
                data: Vec::new(),
                body: Vec::new(),
                read: vec![0; BUFFER_BYTES].into(),
                events: Vec::with_capacity(EVENTS_MAX),
            },
            plan,
        })
    }

    /// Nanoseconds since the run's origin.
    pub(super) fn now(&self) -> u64 {
        now_ns().saturating_sub(self.origin_ns)
    }

    /// Counts acknowledgements, and times those that are due, in this time only.
    pub(super) fn measure(&mut self, time: Range<u64>) {
        self.measured = time;
        self.published.measured = 0;
        self.published.latency = Latency::default();
    }

    /// Waits until this holds; fails after that long without any news.
    pub(super) fn wait_until(
        &mut self,
        what: &str,
        patience: Duration,
        bar: &Bar,
        done: impl Fn(&Self) -> bool,
    ) -> Outcome {
        let patience_ns = nanoseconds(patience);
        let mut seen = self.fleet.progress();
        let mut since = self.now();
        while !done(self) {
            self.turn(TURN_NS)?;
            let now = self.fleet.progress();
            bar.show(now);
            if now != seen {
                (seen, since) = (now, self.now());
            } else if self.now() > since + patience_ns {
                return Err(Failure::failed(format!(
                    "{what}, then nothing for {patience:?}: {seen:?}"
                )));
            }
        }
        Ok(())
    }

    /// Publishes at this pace until then, or until all is published.
    pub(super) fn run_until(&mut self, end_ns: u64, pace: &mut Pace, bar: &Bar) -> Outcome {
        loop {
            let now_ns = self.now();
            if now_ns >= end_ns || self.is_over() {
                return Ok(());
            }
            let wait_ns = self.pump(now_ns, pace)?;
            let wait_ns = wait_ns.min(end_ns.saturating_sub(now_ns));
            self.turn(wait_ns)?;
            bar.show(self.fleet.progress());
        }
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        self.is_all_sent() && self.has_arrived()
    }

    fn is_all_sent(&self) -> bool {
        self.published.sent >= self.plan.events_max
    }

    /// Whether all that was sent is acknowledged, and delivered to every healthy subscriber.
    pub(super) fn has_arrived(&self) -> bool {
        self.published.acked == self.published.sent && self.under_way() == 0
    }

    /// Publishes nothing until then.
    pub(super) fn rest_until(&mut self, end_ns: u64, bar: &Bar) -> Outcome {
        while self.now() < end_ns {
            self.turn(end_ns.saturating_sub(self.now()).min(TURN_NS))?;
            bar.show(self.fleet.progress());
        }
        Ok(())
    }

    /// Publishes so many events, and waits until all are acknowledged, whoever gets them.
    pub(super) fn send(&mut self, events: u64, bar: &Bar) -> Outcome {
        self.plan.events_max = self.published.sent + events;
        while self.published.acked < self.plan.events_max {
            self.pump(self.now(), &mut Pace::Window(u64::MAX))?;
            self.turn(TURN_NS)?;
            bar.show(self.fleet.progress());
        }
        Ok(())
    }

    /// Waits until everything has arrived, or nothing more comes.
    pub(super) fn drain(&mut self, bar: &Bar) -> Outcome {
        let patience_ns = nanoseconds(self.plan.patience);
        self.last_progress_ns = self.now();
        while !self.has_arrived() {
            self.turn(TURN_NS)?;
            let progress = self.fleet.progress();
            bar.show(progress);
            self.note_progress(progress.events + self.published.acked);
            if self.now() > self.last_progress_ns + patience_ns {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lets those read that have not, until they have nothing more to read.
    pub(super) fn read_again(&mut self, bar: &Bar) -> Outcome {
        self.fleet.order(&Order::ReadAgain)?;
        let patience_ns = nanoseconds(self.plan.patience);
        let mut seen = self.fleet.progress().late_bytes;
        let mut since_ns = self.now();
        while self.now() <= since_ns + patience_ns {
            self.turn(TURN_NS)?;
            bar.show(self.fleet.progress());
            let bytes = self.fleet.progress().late_bytes;
            if bytes != seen {
                (seen, since_ns) = (bytes, self.now());
            }
        }
        Ok(())
    }

    fn note_progress(&mut self, events: u64) {
        if events != self.last_events {
            self.last_events = events;
            self.last_progress_ns = self.now();
        }
    }

    /// Events that are sent and not yet delivered to the slowest healthy subscriber. An event that nobody subscribed to is
    /// under way until it is acknowledged.
    fn under_way(&self) -> u64 {
        let arrived = match self.fleet.is_empty() {
            true => self.published.acked,
            false => self.fleet.progress().least,
        };
        let awaited = match self.fleet.is_empty() {
            true => self.published.sent,
            false => self.awaited,
        };
        awaited.saturating_sub(arrived + self.forgiven)
    }

    /// Waits for answers and news at most so long, and takes them.
    pub(super) fn turn(&mut self, wait_ns: u64) -> Outcome {
        let timeout = socket::wait_ns(wait_ns);
        let mut events = std::mem::take(&mut self.scratch.events);
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, spare, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Failure::failed(errno)),
        }
        for event in events.drain(..) {
            let token = event.data.u64();
            match usize::try_from(token.wrapping_sub(FLEET)) {
                Ok(process) if token >= FLEET => self.fleet.hear(process)?,
                _ => self.answered(usize::try_from(token).unwrap_or(0), event.flags)?,
            }
        }
        self.scratch.events = events;
        Ok(())
    }

    /// Ends the load: what the subscribers have seen, and what was published.
    pub(super) fn finish(self) -> Outcome<(super::wire::Tally, Latency, Published)> {
        let (tally, latency) = self.fleet.finish(self.counters)?;
        Ok((tally, latency, self.published))
    }
}

/// A time in nanoseconds.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
