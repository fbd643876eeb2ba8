//! `tidewire bench storm`: everybody leaves, events are missed, everybody returns at once.

use std::time::Duration;

use clap::Args;

use super::fanout::REPORT_FAST;
use super::fleet::{self, Crowd};
use super::load::Load;
use super::options::{CrowdArgs, MachineArgs, ServerArgs};
use super::progress::Bar;
use super::report::{Report, Span};
use super::stage::Stage;
use super::wire::{Order, Return};
use crate::failure::Outcome;

/// How long nobody may leave, or see an id, while some have not.
const PATIENCE: Duration = Duration::from_secs(10);
/// The address that subscribers return from, where it can be chosen: the ports of the first one are still closing.
const RETURN_SOURCE: usize = 100;

/// Subscribers leave, miss events, and all return at once with the id that they saw last
///
/// `caught_up_s` is from the first connection of the return until every subscriber has each event it missed, in order; connecting
/// is in it, and so it is in the CPU a delivery.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tidewire bench storm --url http://127.0.0.1:8080 --subscribers 10000 --behind 10"
)]
pub(super) struct Storm {
    #[command(flatten)]
    server: ServerArgs,
    /// Subscribers
    #[arg(long, value_name = "N", default_value_t = 1_000, help_heading = "Load")]
    subscribers: usize,
    /// Topics that they share
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    topics: usize,
    /// Events that each misses
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Load")]
    behind: u64,
    /// Events that each has before, for their ids
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    prime: u64,
    /// Query parameter for the last id, in place of the field Last-Event-ID
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    id_query: Option<String>,
    #[command(flatten)]
    crowd: CrowdArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Storm {
    pub(super) fn run(self) -> Outcome {
        let mut stage = Stage::new(&self.server, &self.machine)?;
        let size = (self.subscribers, self.topics);
        let (mut crowd, plan) = stage.plain(&self.server, &self.crowd, size, REPORT_FAST)?;
        crowd.keeps_ids = true;
        let (mut load, connect_s) = stage.gather(&crowd, &self.crowd, plan)?;
        load.connect_publishers(&self.crowd.trust())?;
        self.miss(&mut load)?;
        let back = self.come_back(&mut stage, &mut load, &crowd)?;
        let (tally, latency, published) = load.finish()?;
        let mut report = Report {
            command: "storm",
            run: stage.run.name().to_owned(),
            subscribers: self.subscribers,
            topics: self.topics,
            publishers: 1,
            payload_bytes: self.crowd.payload,
            check: self.crowd.check.name(),
            connect_s,
            seconds: back.seconds,
            caught_up_s: Some(back.seconds),
            behind: Some(self.behind),
            ..Report::default()
        };
        report.take(&tally, &latency, &published);
        report.take_usage(stage.server_use(), back.server, back.client);
        report.end(self.machine.json, self.machine.allow_loss)
    }

    /// Gives everyone an id, and lets them miss events.
    fn miss(&self, load: &mut Load) -> Outcome {
        let topics = self.topics.max(1) as u64;
        let bar = Bar::time("first ids", PATIENCE);
        load.send(self.prime * topics, &bar)?;
        load.wait_until("not all subscribers saw an id", PATIENCE, &bar, |load| {
            load.fleet.progress().with_id >= self.subscribers && load.has_arrived()
        })?;
        load.fleet.order(&Order::Leave)?;
        load.wait_until("not all subscribers left", PATIENCE, &bar, |load| {
            load.fleet.progress().connected == 0
        })?;
        // The server should have noticed.
        std::thread::sleep(self.crowd.settle);
        load.send(self.behind * topics, &Bar::time("missing", PATIENCE))
    }

    fn come_back(&self, stage: &mut Stage, load: &mut Load, crowd: &Crowd) -> Outcome<Back> {
        let from_ns = load.now();
        load.fleet.order(&Order::Measure {
            from_ns,
            to_ns: u64::MAX,
        })?;
        load.fleet.order(&Order::Return(Return {
            id_query: self.id_query.clone(),
            source: fleet::source(&crowd.place, RETURN_SOURCE, true),
        }))?;
        let bar = Bar::time("returning", PATIENCE);
        let (server, client) = stage.watch(load, u64::MAX, |load, _| {
            load.drain(&bar)?;
            Ok(false)
        })?;
        let last_ns = load.fleet.progress().last_ns;
        Ok(Back {
            seconds: last_ns.saturating_sub(from_ns) as f64 / 1e9,
            server,
            client,
        })
    }
}

/// How the return went.
struct Back {
    seconds: f64,
    server: Span,
    client: Span,
}
