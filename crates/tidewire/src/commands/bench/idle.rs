//! `tidewire bench idle`: connections that wait, what they cost, and one event to all of them.

use std::time::Duration;

use clap::Args;

use super::load::nanoseconds;
use super::options::{self, CrowdArgs, MachineArgs, ServerArgs};
use super::progress::Bar;
use super::report::{Report, per};
use super::stage::Stage;
use super::wire::Order;
use crate::failure::Outcome;

/// How often subscribers report: their wake-ups would be in the figures.
const REPORT: Duration = Duration::from_millis(50);

/// Connections that wait: memory and CPU of each; then one event to all
///
/// The server's memory before the first connection and at the end of the idle time gives the bytes a connection; CPU is that of the idle
/// time (heartbeats included). `reached_all_s`, latencies and the CPU a delivery are those of the one event (one for each topic, if
/// there are several).
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tidewire bench idle --url http://127.0.0.1:8080 --subscribers 19000 --duration 35s"
)]
pub(super) struct Idle {
    #[command(flatten)]
    server: ServerArgs,
    /// Subscribers
    #[arg(long, value_name = "N", default_value_t = 1_000, help_heading = "Load")]
    subscribers: usize,
    /// Topics that they share
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    topics: usize,
    /// How long they wait
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = options::duration, help_heading = "Load")]
    duration: Duration,
    #[command(flatten)]
    crowd: CrowdArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Idle {
    pub(super) fn run(self) -> Outcome {
        let mut stage = Stage::new(&self.server, &self.machine)?;
        let size = (self.subscribers, self.topics);
        let (crowd, plan) = stage.plain(&self.server, &self.crowd, size, REPORT)?;
        let events = plan.topics.count as u64;
        let (mut load, connect_s) = stage.gather(&crowd, &self.crowd, plan)?;

        let from_ns = load.now();
        let to_ns = from_ns + nanoseconds(self.duration);
        let bar = Bar::time("waiting", self.duration);
        let (idle, client) = stage.watch(&mut load, to_ns, |load, until_ns| {
            load.rest_until(until_ns, &bar)?;
            Ok(true)
        })?;
        let seconds = load.now().saturating_sub(from_ns) as f64 / 1e9;
        stage.uses.rss_connected = stage.server_usage().rss_bytes;

        load.connect_publishers(&self.crowd.trust())?;
        let sent_ns = load.now();
        load.fleet.order(&Order::Measure {
            from_ns: sent_ns,
            to_ns: u64::MAX,
        })?;
        load.measure(sent_ns..u64::MAX);
        let bar = Bar::time("one event", self.crowd.patience);
        let (event, _) = stage.watch(&mut load, u64::MAX, |load, _| {
            load.send(events, &bar)?;
            load.drain(&bar)?;
            Ok(false)
        })?;
        let reached_ns = load.fleet.progress().last_ns.saturating_sub(sent_ns);

        let (tally, latency, published) = load.finish()?;
        let mut report = Report {
            command: "idle",
            run: stage.run.name().to_owned(),
            subscribers: self.subscribers,
            topics: self.topics,
            publishers: 1,
            payload_bytes: self.crowd.payload,
            check: self.crowd.check.name(),
            connect_s,
            seconds,
            reached_all_s: Some(reached_ns as f64 / 1e9),
            ..Report::default()
        };
        report.take(&tally, &latency, &published);
        report.take_usage(stage.server_use(), idle, client);
        if let Some(server) = &mut report.server {
            server.cpu_us_per_delivery = per(event.cpu_s() * 1e6, tally.deliveries as f64);
            server.cpu_us_per_publish = None;
        }
        report.event_cpu_s = Some(event.cpu_s());
        report.end(self.machine.json, self.machine.allow_loss)
    }
}
