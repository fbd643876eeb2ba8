//! The subscriber processes, as their parent sees them.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::latency::Latency;
use super::options::{Check, CrowdArgs};
use super::target::{Header, Place};
use super::wire::{News, Order, Patterns, Progress, Tally, Task, TopicNames, TopicShare};
use crate::failure::{Failure, Outcome};

/// Descriptors that a subscriber process needs besides its connections.
const DESCRIPTORS_KEPT: usize = 64;
/// Connections that one source address has ports for, with room for those that are closing.
const PORTS_PER_SOURCE: usize = 20_000;

/// Who is connected.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    pub(super) place: Place,
    pub(super) headers: Vec<Header>,
    pub(super) topics: TopicNames,
    pub(super) readers: usize,
    pub(super) stalled: usize,
    /// Where those subscribe; where all do if there is none.
    pub(super) stalled_place: Option<Place>,
    pub(super) patterns: Option<(Place, usize)>,
    pub(super) publishers: usize,
    pub(super) keeps_ids: bool,
    pub(super) run: String,
    pub(super) origin_ns: u64,
    pub(super) report: Duration,
}

impl Crowd {
    /// How many connections there will be.
    pub(super) fn connections(&self) -> usize {
        self.readers + self.stalled + self.patterns.as_ref().map_or(0, |(_, count)| *count)
    }
}

/// All subscriber processes. They end with it.
#[derive(Debug)]
pub(super) struct Fleet {
    processes: Vec<Process>,
    /// Whether all share one topic; else each topic is in one process.
    is_one_topic: bool,
    connections: usize,
}

#[derive(Debug)]
struct Process {
    child: Child,
    orders: ChildStdin,
    news: ChildStdout,
    /// What was read of a line.
    line: Vec<u8>,
    progress: Progress,
    tally: Option<Box<Tally>>,
}

impl Fleet {
    pub(super) fn start(crowd: &Crowd, args: &CrowdArgs) -> Outcome<Self> {
        let tasks = tasks(crowd, args)?;
        let processes = tasks.iter().map(Process::start).collect::<Outcome<_>>()?;
        Ok(Self {
            processes,
            is_one_topic: crowd.topics.count == 1,
            connections: crowd.connections(),
        })
    }

    /// No subscribers at all.
    pub(super) fn none() -> Self {
        Self {
            processes: Vec::new(),
            is_one_topic: true,
            connections: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Listens to all processes; the nth one's news has this token and n.
    pub(super) fn register(&self, epoll: &impl std::os::fd::AsFd, token: u64) -> Outcome {
        for (index, process) in (0..).zip(&self.processes) {
            let data = EventData::new_u64(token + index);
            epoll::add(epoll, &process.news, data, EventFlags::IN).map_err(Failure::failed)?;
        }
        Ok(())
    }

    pub(super) fn order(&mut self, order: &Order) -> Outcome {
        let mut line = serde_json::to_vec(order).map_err(Failure::failed)?;
        line.push(b'\n');
        for process in &mut self.processes {
            process.orders.write_all(&line).map_err(|_| gone())?;
        }
        Ok(())
    }

    /// Reads the news of a process.
    pub(super) fn hear(&mut self, index: usize) -> Outcome {
        self.processes.get_mut(index).map_or(Ok(()), Process::hear)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.progress().connected >= self.connections
    }

    /// How far all are together.
    pub(super) fn progress(&self) -> Progress {
        let each = || self.processes.iter().map(|process| process.progress);
        let least = each().map(|progress| progress.least);
        Progress {
            connected: each().map(|progress| progress.connected).sum(),
            least: match self.is_one_topic {
                true => least.min().unwrap_or(0),
                false => least.sum(),
            },
            events: each().map(|progress| progress.events).sum(),
            last_ns: each().map(|progress| progress.last_ns).max().unwrap_or(0),
            late_bytes: each().map(|progress| progress.late_bytes).sum(),
            with_id: each().map(|progress| progress.with_id).sum(),
        }
    }

    /// Closes the books of all, and brings them together.
    pub(super) fn finish(mut self, published: Vec<u32>) -> Outcome<(Tally, Latency)> {
        self.order(&Order::Finish { published })?;
        let mut latency = Latency::default();
        let mut sum = Tally::default();
        for process in &mut self.processes {
            while process.tally.is_none() {
                process.hear()?;
            }
            let tally = process.tally.take().unwrap_or_default();
            latency.add(&tally.latency);
            sum.add(&tally);
        }
        Ok((sum, latency))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

impl Process {
    fn start(task: &Task) -> Outcome<Self> {
        let cannot = |error: std::io::Error| {
            Failure::failed(format!("cannot start a subscriber process: {error}"))
        };
        let program = std::env::current_exe().map_err(cannot)?;
        let mut child = Command::new(program)
            .args(["bench", "subscriber"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let (Some(mut orders), Some(news)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(gone());
        };
        let mut line = serde_json::to_vec(task).map_err(Failure::failed)?;
        line.push(b'\n');
        orders.write_all(&line).map_err(|_| gone())?;
        Ok(Self {
            child,
            orders,
            news,
            line: Vec::new(),
            progress: Progress::default(),
            tally: None,
        })
    }

    /// Reads once what there is, or waits for it.
    fn hear(&mut self) -> Outcome {
        self.line.reserve(1 << 16);
        let spare = rustix::buffer::spare_capacity(&mut self.line);
        match rustix::io::read(&self.news, spare) {
            Ok(0) => return Err(gone()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Failure::failed(errno)),
        }
        while let Some(end) = memchr::memchr(b'\n', &self.line) {
            let rest = self.line.split_off(end + 1);
            let line = std::mem::replace(&mut self.line, rest);
            match serde_json::from_slice(&line).map_err(Failure::failed)? {
                News::Progress(progress) => self.progress = progress,
                News::Tally(tally) => self.tally = Some(tally),
                News::Failed(why) => return Err(Failure::failed(why)),
            }
        }
        Ok(())
    }
}

fn gone() -> Failure {
    Failure::failed("a subscriber process ended before its time")
}

/// Shares the crowd out among as many processes as it needs.
fn tasks(crowd: &Crowd, args: &CrowdArgs) -> Outcome<Vec<Task>> {
    let fit = connections_max();
    let streams = args.streams().max(1);
    let sockets = crowd.connections() - crowd.readers + crowd.readers.div_ceil(streams);
    let needed = sockets.div_ceil(fit).max(1);
    let mut count = args.processes.unwrap_or(needed).max(1);
    if crowd.topics.count > 1 {
        count = count.min(crowd.topics.count);
    }
    let share = |total: usize, index: usize| total / count + usize::from(index < total % count);
    let mut patterns_first = 0;
    let tasks: Vec<_> = (0..count)
        .map(|index| {
            let patterns = crowd.patterns.as_ref().map(|(place, total)| {
                let patterns = Patterns {
                    place: place.clone(),
                    first: patterns_first,
                    count: share(*total, index),
                };
                patterns_first += patterns.count;
                patterns
            });
            let (first, step) = match crowd.topics.count {
                1 => (0, 1),
                _ => (index, count),
            };
            Task {
                place: crowd.place.clone(),
                headers: crowd.headers.clone(),
                topics: TopicShare {
                    names: crowd.topics.clone(),
                    first,
                    step,
                },
                readers: match crowd.topics.count {
                    1 => share(crowd.readers, index),
                    topics => (index..topics)
                        .step_by(count)
                        .map(|topic| {
                            crowd.readers / topics + usize::from(topic < crowd.readers % topics)
                        })
                        .sum(),
                },
                stalled: share(crowd.stalled, index),
                stalled_place: crowd.stalled_place.as_ref().unwrap_or(&crowd.place).clone(),
                patterns,
                run: crowd.run.clone(),
                streams: args.streams(),
                trust: args.trust(),
                payload: args.payload,
                publishers: crowd.publishers,
                check: match crowd.readers {
                    0 => Check::Count,
                    _ => args.check,
                },
                keeps_ids: crowd.keeps_ids,
                origin_ns: crowd.origin_ns,
                connecting: args.connecting.max(1),
                source: source(&crowd.place, index, sockets > PORTS_PER_SOURCE),
                report_ns: u64::try_from(crowd.report.as_nanos()).unwrap_or(u64::MAX),
            }
        })
        .collect();
    match tasks.iter().find(|task| task.readers.div_ceil(streams) + task.stalled > fit) {
        None => Ok(tasks),
        Some(_) => Err(Failure::usage(format!(
            "{} connections do not fit into {count} processes of {fit} each",
            crowd.connections()
        ))
        .next("raise the file limit (ulimit -n), give more --processes, or use more topics than processes")),
    }
}

/// The address to connect from: this machine has as many of its own as it likes.
pub(super) fn source(place: &Place, index: usize, is_needed: bool) -> Option<IpAddr> {
    let last = u8::try_from(index + 2).ok()?;
    let is_loopback = place.address.is_ipv4() && place.address.ip().is_loopback();
    (is_needed && is_loopback).then_some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
}

/// How many connections a process may have; raises the soft limit to the hard one, which children inherit.
fn connections_max() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let holds = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let holds = holds.and_then(|limit| usize::try_from(limit).ok());
    holds
        .unwrap_or(usize::MAX)
        .saturating_sub(DESCRIPTORS_KEPT)
        .max(1)
}
