//! One subscriber process: very many connections in one epoll loop, read into one buffer.
//!
//! It must cost less than the server that it measures. So: one read for each readiness, no allocation for an event, no copy but the
//! kernel's, one look at the clock for each read. The parent process tells it what to do, and is told how far it is.

mod books;
mod connect;
mod frames;
mod ids;
mod late;
mod link;
mod orders;
mod read;

use std::os::fd::OwnedFd;

use clap::Args;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use self::books::Books;
use self::ids::IdReader;
use self::late::Late;
use self::link::{Link, Role};
use self::orders::{Next, read_line, read_more, tell};
use super::payload::Run;
use super::socket::{self, Source, now_ns};
use super::target::Place;
use super::tls::Tls;
use super::wire::{News, Progress, Return, Tally, Task};
use crate::failure::{Failure, Outcome};

/// What one read takes at most.
const BUFFER_BYTES: usize = 1 << 20;
/// What one wait brings at most.
const EVENTS_MAX: usize = 1024;
/// The orders' place among the links.
const ORDERS: u64 = u64::MAX;

/// One subscriber process of the benches; they start it themselves
#[derive(Args, Debug)]
#[command(after_help = "Example, with a task on standard input:\n  tidewire bench subscriber")]
pub(super) struct Subscriber {}

impl Subscriber {
    pub(super) fn run(self) -> Outcome {
        let mut input = Vec::new();
        let Some(line) = read_line(&mut input)? else {
            return Ok(());
        };
        let task = serde_json::from_slice(&line)
            .map_err(|why| Failure::usage(format!("this is no task: {why}")))?;
        let mut worker = match Worker::new(task, input) {
            Ok(worker) => worker,
            Err(failure) => {
                tell(&News::Failed(
                    "a subscriber process could not begin".to_owned(),
                ));
                return Err(failure);
            }
        };
        let news = match worker.run() {
            Ok(None) => return Ok(()),
            Ok(Some(tally)) => News::Tally(Box::new(tally)),
            Err(why) => News::Failed(why),
        };
        tell(&news);
        Ok(())
    }
}

struct Worker {
    task: Task,
    tls: Option<Tls>,
    epoll: OwnedFd,
    links: Vec<Link>,
    /// The next link to connect.
    next: usize,
    /// Links that are being connected.
    pending: usize,
    connected: usize,
    books: Books,
    late: Late,
    /// Of each reader, where they are kept.
    ids: Vec<IdReader>,
    returning: Option<Return>,
    source: Option<Source>,
    input: Vec<u8>,
    buffer: Box<[u8]>,
    last_ns: u64,
    reported: Progress,
    reported_ns: u64,
}

/// Why the process cannot go on; else the tally, or nothing when the parent is gone.
type Ended<T> = Result<T, String>;

impl Worker {
    fn new(task: Task, input: Vec<u8>) -> Outcome<Self> {
        let run = Run::parse(&task.run).ok_or_else(|| Failure::usage("this is no run"))?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(Failure::failed)?;
        let orders = EventData::new_u64(ORDERS);
        epoll::add(&epoll, rustix::stdio::stdin(), orders, EventFlags::IN)
            .map_err(Failure::failed)?;
        let patterns = task.patterns.as_ref();
        let patterns = patterns.map_or(0..0, |p| p.first..p.first + p.count);
        let roles = (0..task.readers)
            .step_by(task.streams.max(1))
            .map(Role::Reader)
            .chain(patterns.map(Role::Pattern))
            .chain((0..task.stalled).map(Role::Stalled));
        let tls = match task.place.is_tls {
            true => Some(Tls::new(&task.trust, task.streams > 0).map_err(Failure::usage)?),
            false => None,
        };
        let ids = if task.keeps_ids { task.readers } else { 0 };
        Ok(Self {
            tls,
            epoll,
            links: roles.map(Link::new).collect(),
            next: 0,
            pending: 0,
            connected: 0,
            books: Books::new(&task, run),
            late: Late::new(&task, run),
            ids: vec![IdReader::default(); ids],
            returning: None,
            source: task.source.map(Source::new),
            input,
            buffer: vec![0; BUFFER_BYTES].into(),
            last_ns: 0,
            reported: Progress::default(),
            reported_ns: 0,
            task,
        })
    }

    fn run(&mut self) -> Ended<Option<Tally>> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        loop {
            self.connect_some()?;
            let timeout = self.until_report().map(socket::wait_ns);
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(format!("epoll: {errno}")),
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    ORDERS => {
                        if !read_more(&mut self.input) {
                            return Ok(None);
                        }
                        if let Next::End(tally) = self.take_orders()? {
                            return Ok(Some(*tally));
                        }
                    }
                    link => self.ready(usize::try_from(link).unwrap_or(usize::MAX))?,
                }
            }
            self.report();
        }
    }

    fn since_origin(&self) -> u64 {
        now_ns().saturating_sub(self.task.origin_ns)
    }
}

fn refusal(place: &Place, status: u16, body: &[u8]) -> String {
    format!("GET {}: {}", place.authority, super::answered(status, body))
}
