//! What every bench does around its measurement: find the server's processes, start subscribers, wait until all are there, look at
//! CPU and memory.

use std::time::Duration;

use super::fleet::{Crowd, Fleet};
use super::load::{Load, Plan};
use super::options::{CrowdArgs, MachineArgs, ServerArgs};
use super::payload::Run;
use super::progress::Bar;
use super::report::{Memory, ServerUse, Span};
use super::server::{Processes, Usage};
use super::socket::now_ns;
use super::target::{Place, Target};
use super::wire::TopicNames;
use crate::failure::{Failure, Outcome};

/// How long nobody may connect while some are missing.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// How long a pause between looks at the server's memory may be.
const LOOK_NS: u64 = 200_000_000;

/// One run: its name, its server, its clock.
pub(super) struct Stage {
    pub(super) target: Target,
    pub(super) run: Run,
    pub(super) origin_ns: u64,
    server: Option<Processes>,
    client: Processes,
    pub(super) uses: ServerUse,
    /// Connections that take the server's memory.
    connections: usize,
    /// The server's resident memory in the measured time, and when that was.
    looks: Vec<(f64, f64)>,
}

impl Stage {
    pub(super) fn new(server: &ServerArgs, machine: &MachineArgs) -> Outcome<Self> {
        if let Some(cpu) = machine.client_cpu {
            pin(cpu)?;
        }
        let target = Target::new(server)?;
        let processes = match machine.pid.is_empty() {
            true => listening(&target),
            false => Some(Processes::new(machine.pid.clone())),
        };
        if let Some(processes) = &processes
            && !processes.are_alive()
        {
            return Err(Failure::usage("--pid: there is no such process"));
        }
        let mut stage = Self {
            target,
            run: Run::random()?,
            origin_ns: now_ns(),
            server: processes,
            client: Processes::new(vec![std::process::id()]),
            uses: ServerUse::default(),
            connections: 0,
            looks: Vec::new(),
        };
        stage.uses.rss_before = stage.server_usage().rss_bytes;
        Ok(stage)
    }

    pub(super) fn topics(&self, args: &ServerArgs, count: usize) -> TopicNames {
        let prefix = args.topic_prefix.clone();
        TopicNames {
            prefix: prefix.unwrap_or_else(|| format!("bench-{}-", self.run.name())),
            count,
        }
    }

    /// Subscribers that all read, and one publisher that sends one event at a time.
    pub(super) fn plain(
        &self,
        server: &ServerArgs,
        args: &CrowdArgs,
        (readers, topics): (usize, usize),
        report: Duration,
    ) -> Outcome<(Crowd, Plan)> {
        let topics = self.topics(server, topics.max(1));
        let (place, headers) = self.target.subscribing()?.clone();
        let crowd = Crowd {
            place,
            headers,
            topics: topics.clone(),
            readers,
            stalled: 0,
            stalled_place: None,
            patterns: None,
            publishers: 1,
            keeps_ids: false,
            run: self.run.name().to_owned(),
            origin_ns: self.origin_ns,
            report,
        };
        let plan = Plan {
            publishing: self.target.publishing()?.clone(),
            watched: topics.count.min(readers),
            publishers: 1,
            pipeline: 1,
            payload: args.payload,
            batch: None,
            events_max: 0,
            once: false,
            patience: args.patience,
            topics,
        };
        Ok((crowd, plan))
    }

    pub(super) fn server_usage(&mut self) -> Usage {
        let usage = self
            .server
            .as_ref()
            .map(Processes::usage)
            .unwrap_or_default();
        self.uses.rss_max = self.uses.rss_max.max(usage.rss_bytes);
        usage
    }

    /// What is used now, by server and client.
    pub(super) fn usage(&mut self) -> (Usage, Usage) {
        (self.server_usage(), self.client.usage())
    }

    /// Starts the subscribers, waits until all are connected and things are calm. Gives how long connecting took. The publishers'
    /// connections are opened when they are needed: a server closes those that say nothing for long.
    pub(super) fn gather(
        &mut self,
        crowd: &Crowd,
        args: &CrowdArgs,
        plan: Plan,
    ) -> Outcome<(Load, f64)> {
        let began = now_ns();
        self.connections = crowd.connections();
        let fleet = match self.connections {
            0 => Fleet::none(),
            _ => Fleet::start(crowd, args)?,
        };
        let mut load = Load::new(plan, fleet, self.run, self.origin_ns)?;
        let bar = Bar::connections("connecting", self.connections);
        load.wait_until(
            "not all subscribers connected",
            CONNECT_PATIENCE,
            &bar,
            |load| load.fleet.is_connected(),
        )?;
        let connect_s = seconds_since(began);
        std::thread::sleep(args.settle);
        self.uses.rss_connected = self.server_usage().rss_bytes;
        Ok((load, connect_s))
    }

    /// Does something step by step until then, with a look at the server's memory now and then; gives what server and client
    /// used meanwhile.
    pub(super) fn watch(
        &mut self,
        load: &mut Load,
        end_ns: u64,
        mut step: impl FnMut(&mut Load, u64) -> Outcome<bool>,
    ) -> Outcome<(Span, Span)> {
        let before = self.usage();
        let from_ns = load.now();
        loop {
            let until_ns = end_ns.min(load.now() + LOOK_NS);
            let goes_on = step(load, until_ns)?;
            if !goes_on || load.now() >= end_ns {
                break;
            }
            let rss = self.server_usage().rss_bytes;
            self.looks
                .push(((load.now() - from_ns) as f64 / 1e9, rss as f64));
        }
        let after = self.usage();
        let span = |before, after| Span { before, after };
        Ok((span(before.0, after.0), span(before.1, after.1)))
    }

    /// How the server's memory went; `None` if its processes are not known or there was no time to look.
    pub(super) fn memory(&self) -> Option<Memory> {
        self.server.as_ref().and(Memory::of(&self.looks))
    }

    /// The server's use, but for the CPU time; `None` if its processes are not known.
    pub(super) fn server_use(&self) -> Option<ServerUse> {
        let each = self.uses.rss_connected as f64 - self.uses.rss_before as f64;
        self.server.as_ref().map(|_| ServerUse {
            rss_per_connection: super::report::per(each, self.connections as f64),
            ..self.uses
        })
    }
}

pub(super) fn seconds_since(began_ns: u64) -> f64 {
    now_ns().saturating_sub(began_ns) as f64 / 1e9
}

fn listening(target: &Target) -> Option<Processes> {
    let subscribe = target.subscribe.as_ref().map(|(place, _)| place);
    let publish = target.publish.as_ref().map(|publishing| &publishing.place);
    let mut places = subscribe.into_iter().chain(publish);
    places.find_map(|place: &Place| Processes::listening(place.address))
}

/// Keeps this process and its children on one core.
fn pin(cpu: usize) -> Outcome {
    use rustix::thread::{CpuSet, sched_setaffinity};
    if cpu >= CpuSet::MAX_CPU {
        return Err(Failure::usage("--client-cpu: there is no such core"));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)
        .map_err(|errno| Failure::usage(format!("--client-cpu {cpu}: {errno}")))
}
