//! What a bench found: one JSON object, or a table for people.

use std::fmt::Write;

use serde::Serialize;

use super::latency::{Latency, Percentiles};
use super::ledger::Findings;
use super::load::Published;
use super::server::Usage;
use super::wire::{StalledTally, Tally};
use crate::failure::{Failure, Outcome};
use crate::output;

/// What every bench reports. Times are seconds unless the name says otherwise; memory is bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) command: &'static str,
    pub(super) run: String,
    pub(super) subscribers: usize,
    pub(super) topics: usize,
    pub(super) publishers: usize,
    /// Events a second that were asked for; `null` is as fast as possible.
    pub(super) rate: Option<f64>,
    pub(super) payload_bytes: usize,
    /// How long was measured.
    pub(super) seconds: f64,
    pub(super) published: u64,
    pub(super) publishes_per_s: f64,
    pub(super) deliveries: u64,
    pub(super) deliveries_per_s: f64,
    pub(super) latency_us: Option<Percentiles>,
    pub(super) publish_latency_us: Option<Percentiles>,
    /// `null` if the server's process is not known.
    pub(super) server: Option<ServerUse>,
    /// How the server's memory went in the measured time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Memory>,
    pub(super) client: ClientUse,
    pub(super) check: &'static str,
    /// Of all events of the run, warm-up included.
    pub(super) checked: u64,
    #[serde(flatten)]
    pub(super) findings: Findings,
    /// Streams that the server ended.
    pub(super) disconnected: u64,
    /// How many events one read brought; near 1, the server writes each alone.
    pub(super) events_per_read: f64,
    pub(super) connect_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stalled: Option<Stalled>,
    /// Events that each subscriber had missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) behind: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) caught_up_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reached_all_s: Option<f64>,
    /// The server's CPU time for the one event to all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_cpu_s: Option<f64>,
    /// Events in a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fsync_latency_us: Option<Percentiles>,
}

/// What the server used in the measured time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct ServerUse {
    pub(super) cpu_s: f64,
    /// Of one core.
    pub(super) cpu_percent: f64,
    pub(super) cpu_us_per_delivery: Option<f64>,
    pub(super) cpu_us_per_publish: Option<f64>,
    pub(super) rss_before: u64,
    pub(super) rss_connected: u64,
    pub(super) rss_max: u64,
    pub(super) rss_per_connection: Option<f64>,
}

/// What the bench itself used in the measured time: near 100 % of its core, it is the limit and not the server.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct ClientUse {
    pub(super) cpu_s: f64,
    pub(super) cpu_percent: f64,
}

/// What became of subscribers that never read.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Stalled {
    pub(super) connected: usize,
    pub(super) cut: u64,
    /// When the first was cut, since the measured time began.
    pub(super) first_cut_s: Option<f64>,
    /// Of those who read in the end: how many missed nothing, how many were told what they missed, how many were not.
    pub(super) whole: u64,
    pub(super) told: u64,
    pub(super) untold: u64,
}

impl Stalled {
    /// Times are from this one.
    pub(super) fn new(connected: usize, tally: StalledTally, from_ns: u64) -> Self {
        let since = |at: u64| (at as f64 - from_ns as f64) / 1e9;
        Self {
            connected,
            cut: tally.cut,
            first_cut_s: tally.cut_first_ns.map(since),
            whole: tally.whole,
            told: tally.told,
            untold: tally.untold,
        }
    }
}

/// How resident memory went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Memory {
    pub(super) looks: usize,
    pub(super) rss_least: f64,
    pub(super) rss_most: f64,
    pub(super) most_over_least: f64,
    /// Of the straight line that is nearest to all looks.
    pub(super) slope_bytes_per_min: f64,
}

impl Memory {
    /// Of looks at these seconds; `None` if there are too few for a line.
    pub(super) fn of(looks: &[(f64, f64)]) -> Option<Self> {
        let count = looks.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| looks.iter().map(of).sum::<f64>() / count;
        let (second, byte) = (mean(|look| look.0), mean(|look| look.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            let each = looks.iter().map(|look| of(look.0 - second, look.1 - byte));
            each.sum()
        };
        let slope = per(sum(&|x, y| x * y), sum(&|x, _| x * x))?;
        let bytes = || looks.iter().map(|look| look.1);
        let (least, most) = (bytes().reduce(f64::min)?, bytes().reduce(f64::max)?);
        Some(Self {
            looks: looks.len(),
            rss_least: least,
            rss_most: most,
            most_over_least: per(most, least)?,
            slope_bytes_per_min: slope * 60.0,
        })
    }
}

/// What was used from one moment to another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) before: Usage,
    pub(super) after: Usage,
}

impl Span {
    /// Both together: what is used in between does not count.
    pub(super) fn and(self, later: Self) -> Self {
        let mut after = self.after;
        after.cpu_s += later.cpu_s();
        Self { after, ..self }
    }

    pub(super) fn cpu_s(&self) -> f64 {
        self.after.cpu_s - self.before.cpu_s
    }
}

impl Report {
    /// Fills in what the subscribers have seen and what was published.
    pub(super) fn take(&mut self, tally: &Tally, latency: &Latency, published: &Published) {
        self.published = published.measured;
        self.publishes_per_s = per(published.measured as f64, self.seconds).unwrap_or(0.0);
        self.deliveries = tally.deliveries;
        self.deliveries_per_s = per(tally.deliveries as f64, self.seconds).unwrap_or(0.0);
        self.latency_us = latency.percentiles();
        self.publish_latency_us = published.latency.percentiles();
        self.checked = tally.checked;
        self.findings = tally.findings;
        self.disconnected = tally.disconnected;
        self.events_per_read = per(tally.events as f64, tally.reads as f64).unwrap_or(0.0);
    }

    /// Fills in what server and client used; after [`Report::take`].
    pub(super) fn take_usage(&mut self, server: Option<ServerUse>, span: Span, client: Span) {
        self.client = ClientUse {
            cpu_s: client.cpu_s(),
            cpu_percent: per(client.cpu_s() * 100.0, self.seconds).unwrap_or(0.0),
        };
        self.server = server.map(|server| ServerUse {
            cpu_s: span.cpu_s(),
            cpu_percent: per(span.cpu_s() * 100.0, self.seconds).unwrap_or(0.0),
            cpu_us_per_delivery: per(span.cpu_s() * 1e6, self.deliveries as f64),
            cpu_us_per_publish: per(span.cpu_s() * 1e6, self.published as f64),
            ..server
        });
    }

    /// Prints it, and says whether the run was good.
    pub(super) fn end(&self, is_json: bool, allow_loss: bool) -> Outcome {
        match is_json {
            true => output::result(serde_json::to_string(self).map_err(Failure::failed)?)?,
            false => output::result(self.table().trim_end())?,
        }
        let is_bad = !self.findings.are_none() || self.disconnected > 0;
        if is_bad && !allow_loss {
            let Findings {
                lost,
                out_of_order,
                duplicates,
                damaged,
            } = self.findings;
            output::say(format_args!(
                "error: {lost} events lost, {out_of_order} out of order, {duplicates} duplicated, {damaged} damaged; {} streams ended",
                self.disconnected
            ));
            return Err(Failure::Said);
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = Table::default();
        table.row(
            self.command,
            format_args!(
                "{} subscribers, {} topics, {} publishers, {} bytes, {}",
                self.subscribers,
                self.topics,
                self.publishers,
                self.payload_bytes,
                self.rate
                    .map_or("as fast as possible".to_owned(), |rate| format!(
                        "{rate} events/s"
                    )),
            ),
        );
        table.row(
            "measured",
            format_args!(
                "{:.2} s; connected in {:.2} s",
                self.seconds, self.connect_s
            ),
        );
        table.row(
            "published",
            format_args!("{} ({:.0}/s)", self.published, self.publishes_per_s),
        );
        table.row(
            "deliveries",
            format_args!(
                "{} ({:.0}/s), {:.1} events a read",
                self.deliveries, self.deliveries_per_s, self.events_per_read
            ),
        );
        table.percentiles("latency", self.latency_us);
        table.percentiles("publish", self.publish_latency_us);
        table.percentiles("bare fsync", self.fsync_latency_us);
        if let Some(seconds) = self.caught_up_s {
            table.row("caught up", format_args!("{seconds:.3} s"));
        }
        if let Some(seconds) = self.reached_all_s {
            table.row(
                "reached all",
                format_args!(
                    "{seconds:.3} s, {:.3} s of the server's CPU",
                    self.event_cpu_s.unwrap_or(0.0)
                ),
            );
        }
        if let Some(server) = &self.server {
            table.server(server);
        }
        if let Some(memory) = &self.memory {
            table.memory(memory);
        }
        table.row(
            "client CPU",
            format_args!(
                "{:.2} s, {:.0} % of a core",
                self.client.cpu_s, self.client.cpu_percent
            ),
        );
        if let Some(stalled) = &self.stalled {
            table.row(
                "stalled",
                format_args!(
                    "{}: {} were cut; of those who read in the end {} missed nothing, {} were told what they missed, {} were not",
                    stalled.connected, stalled.cut, stalled.whole, stalled.told, stalled.untold
                ),
            );
        }
        table.row("checked", format_args!(
            "{} events ({}): {} lost, {} out of order, {} duplicated, {} damaged; {} streams ended",
            self.checked,
            self.check,
            self.findings.lost,
            self.findings.out_of_order,
            self.findings.duplicates,
            self.findings.damaged,
            self.disconnected
        ));
        table.0
    }
}

/// How much of one is for each of the other; `None` if there is no other.
pub(super) fn per(much: f64, many: f64) -> Option<f64> {
    (many > 0.0).then(|| much / many)
}

#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, name: &str, value: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{name:<11} {value}");
    }

    fn percentiles(&mut self, name: &str, percentiles: Option<Percentiles>) {
        let Some(found) = percentiles else {
            return;
        };
        let ms = |microseconds: u64| microseconds as f64 / 1e3;
        self.row(
            name,
            format_args!(
                "p50 {:.3}  p90 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.3} ms",
                ms(found.p50),
                ms(found.p90),
                ms(found.p99),
                ms(found.p999),
                ms(found.max)
            ),
        );
    }

    fn memory(&mut self, memory: &Memory) {
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        self.row(
            "while so",
            format_args!(
                "{:.1} to {:.1} MiB, {:+.2} MiB a minute",
                mib(memory.rss_least),
                mib(memory.rss_most),
                mib(memory.slope_bytes_per_min)
            ),
        );
    }

    fn server(&mut self, server: &ServerUse) {
        let each = |us: Option<f64>, what: &str| {
            us.map_or(String::new(), |us| format!(", {us:.2} us a {what}"))
        };
        self.row(
            "server CPU",
            format_args!(
                "{:.2} s, {:.1} % of a core{}{}",
                server.cpu_s,
                server.cpu_percent,
                each(server.cpu_us_per_delivery, "delivery"),
                each(server.cpu_us_per_publish, "publish"),
            ),
        );
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        self.row(
            "server RSS",
            format_args!(
                "{:.1} MiB before, {:.1} connected, {:.1} at most{}",
                mib(server.rss_before),
                mib(server.rss_connected),
                mib(server.rss_max),
                server
                    .rss_per_connection
                    .map_or(String::new(), |each| format!(
                        "; {each:.0} bytes a connection"
                    )),
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_a_slope() {
        for (looks, expected) in [
            (&[][..], None),
            (&[(1.0, 5.0)], None),
            (
                &[(0.0, 100.0), (1.0, 100.0), (2.0, 100.0)],
                Some((1.0, 0.0)),
            ),
            (
                &[(0.0, 100.0), (1.0, 150.0), (2.0, 200.0)],
                Some((2.0, 3000.0)),
            ),
            // A peak in the middle is no slope.
            (
                &[(0.0, 100.0), (1.0, 300.0), (2.0, 100.0)],
                Some((3.0, 0.0)),
            ),
        ] {
            let found = Memory::of(looks);
            let found = found.map(|memory| (memory.most_over_least, memory.slope_bytes_per_min));
            assert_eq!(found, expected, "{looks:?}");
        }
    }
}
