//! `tidewire bench publish`: how fast events are taken, one by one or in batches, with nobody to read them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::fleet::Crowd;
use super::latency::Latency;
use super::load::{Load, Pace, Plan, nanoseconds};
use super::options::{CrowdArgs, MachineArgs, PaceArgs, Rate, ServerArgs};
use super::progress::Bar;
use super::report::{Report, Span};
use super::socket::now_ns;
use super::stage::Stage;
use super::target::{Place, Publishing};
use super::wire::Order;
use crate::failure::{Failure, Outcome};

/// Publishing and bare writes take turns of this length.
const TURN: Duration = Duration::from_millis(500);
const REPORT: Duration = Duration::from_millis(100);

/// Publish as fast as acknowledgements come
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    tidewire bench publish --url http://127.0.0.1:8080 --publishers 64\n  \
    tidewire bench publish --url http://127.0.0.1:8080 --mode ndjson --batch 1000 --publishers 4\n  \
    tidewire bench publish --url http://127.0.0.1:8080 --publishers 1 --bare-fsync /var/tmp")]
pub(super) struct Publish {
    #[command(flatten)]
    server: ServerArgs,
    /// One event a request, or NDJSON batches as our hub takes them
    #[arg(
        long,
        value_name = "MODE",
        default_value = "single",
        help_heading = "Load"
    )]
    mode: Mode,
    /// Events in a batch
    #[arg(long, value_name = "N", default_value_t = 100, help_heading = "Load")]
    batch: usize,
    /// Where batches go [default: /.well-known/mercure of the server]
    #[arg(long, value_name = "URL", help_heading = "Server")]
    batch_url: Option<String>,
    /// Subscribers
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Load")]
    subscribers: usize,
    /// Topics
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    topics: usize,
    /// Folder to append as many bytes to a file of it in turn, with an fsync after each, for comparison
    #[arg(long, value_name = "DIR", help_heading = "Measuring")]
    bare_fsync: Option<PathBuf>,
    #[command(flatten)]
    crowd: CrowdArgs,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Mode {
    Single,
    Ndjson,
}

impl Publish {
    pub(super) fn run(self) -> Outcome {
        let mut stage = Stage::new(&self.server, &self.machine)?;
        let mut bare = match &self.bare_fsync {
            Some(folder) => Some(Bare::new(folder, self.crowd.payload)?),
            None => None,
        };
        let plan = self.plan(&stage)?;
        let crowd = self.gathering(&stage, &plan)?;
        let publishers = plan.publishers;
        let (mut load, connect_s) = stage.gather(&crowd, &self.crowd, plan)?;
        load.connect_publishers(&self.crowd.trust())?;
        let measured = self.measure(&mut stage, &mut load, bare.as_mut())?;
        load.drain(&Bar::time("draining", self.crowd.patience))?;
        let (tally, latency, published) = load.finish()?;
        let mut report = Report {
            command: "publish",
            run: stage.run.name().to_owned(),
            subscribers: self.subscribers,
            topics: self.topics,
            publishers,
            rate: self.pace.rate.per_second(),
            payload_bytes: self.crowd.payload,
            check: self.crowd.check.name(),
            connect_s,
            seconds: measured.seconds,
            batch: (self.mode == Mode::Ndjson).then_some(self.batch),
            fsync_latency_us: bare.and_then(|bare| bare.latency.percentiles()),
            ..Report::default()
        };
        report.take(&tally, &latency, &published);
        report.take_usage(stage.server_use(), measured.server, measured.client);
        report.end(self.machine.json, self.machine.allow_loss)
    }

    fn plan(&self, stage: &Stage) -> Outcome<Plan> {
        let topics = stage.topics(&self.server, self.topics.max(1));
        let publishing = stage.target.publishing()?;
        Ok(Plan {
            publishing: match self.mode {
                Mode::Single => publishing.clone(),
                Mode::Ndjson => publishing.batches(self.batch_place(publishing)?),
            },
            watched: topics.count.min(self.subscribers),
            topics,
            publishers: self.pace.publishers(),
            pipeline: self.pace.pipeline.max(1),
            payload: self.crowd.payload,
            batch: (self.mode == Mode::Ndjson).then_some(self.batch.max(1)),
            events_max: u64::MAX,
            once: false,
            patience: self.crowd.patience,
        })
    }

    fn batch_place(&self, publishing: &Publishing) -> Outcome<Place> {
        match &self.batch_url {
            Some(url) => Place::parse(url, "--batch-url"),
            None => Ok(publishing.place.at("/.well-known/mercure")),
        }
    }

    fn gathering(&self, stage: &Stage, plan: &Plan) -> Outcome<Crowd> {
        let (place, headers) = match (self.subscribers, &stage.target.subscribe) {
            (0, None) => (plan.publishing.place.clone(), Vec::new()),
            _ => stage.target.subscribing()?.clone(),
        };
        Ok(Crowd {
            place,
            headers,
            topics: plan.topics.clone(),
            readers: self.subscribers,
            stalled: 0,
            stalled_place: None,
            patterns: None,
            publishers: plan.publishers,
            keeps_ids: false,
            run: stage.run.name().to_owned(),
            origin_ns: stage.origin_ns,
            report: REPORT,
        })
    }

    fn measure(
        &self,
        stage: &mut Stage,
        load: &mut Load,
        bare: Option<&mut Bare>,
    ) -> Outcome<Measured> {
        let mut pace = match self.pace.rate {
            Rate::Max => Pace::Window(
                self.pace
                    .window
                    .max(self.batch as u64 * self.pace.publishers() as u64),
            ),
            Rate::Paced(rate) => Pace::Schedule {
                start_ns: load.now(),
                interval_ns: 1e9 / rate,
                next: 0,
            },
        };
        let warm_ns = load.now() + nanoseconds(self.pace.warmup);
        load.run_until(
            warm_ns,
            &mut pace,
            &Bar::time("warming up", self.pace.warmup),
        )?;
        let from_ns = load.now();
        load.fleet.order(&Order::Measure {
            from_ns,
            to_ns: u64::MAX,
        })?;
        load.measure(from_ns..u64::MAX);
        let bar = Bar::time("measuring", self.pace.duration);
        match bare {
            None => {
                let to_ns = from_ns + nanoseconds(self.pace.duration);
                load.measure(from_ns..to_ns);
                self.publish_until(stage, load, &mut pace, to_ns, &bar)
            }
            Some(bare) => self.alternate(stage, load, bare, &bar),
        }
    }

    fn publish_until(
        &self,
        stage: &mut Stage,
        load: &mut Load,
        pace: &mut Pace,
        to_ns: u64,
        bar: &Bar,
    ) -> Outcome<Measured> {
        let from_ns = load.now();
        let (server, client) = stage.watch(load, to_ns, |load, until_ns| {
            load.run_until(until_ns, pace, bar)?;
            Ok(true)
        })?;
        Ok(Measured {
            seconds: load.now().saturating_sub(from_ns) as f64 / 1e9,
            server,
            client,
        })
    }

    /// Publishing and bare writes in turns, each for the whole duration together. Between the turns nothing is in flight.
    fn alternate(
        &self,
        stage: &mut Stage,
        load: &mut Load,
        bare: &mut Bare,
        bar: &Bar,
    ) -> Outcome<Measured> {
        let mut all = Measured::default();
        while all.seconds < self.pace.duration.as_secs_f64() {
            let mut pace = match self.pace.rate {
                Rate::Max => Pace::Window(self.pace.window),
                Rate::Paced(rate) => Pace::Schedule {
                    start_ns: load.now(),
                    interval_ns: 1e9 / rate,
                    next: 0,
                },
            };
            let to_ns = load.now() + nanoseconds(TURN);
            let from_ns = load.now();
            let (server, client) = stage.watch(load, to_ns, |load, until_ns| {
                load.run_until(until_ns, &mut pace, bar)?;
                if load.now() >= to_ns {
                    load.drain(bar)?;
                }
                Ok(true)
            })?;
            all.seconds += load.now().saturating_sub(from_ns) as f64 / 1e9;
            all.server = all.server.and(server);
            all.client = all.client.and(client);
            bare.write_for(TURN)?;
        }
        Ok(all)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    seconds: f64,
    server: Span,
    client: Span,
}

/// A file that grows by one payload and one fsync after another: the floor of a durable publish.
struct Bare {
    file: File,
    path: PathBuf,
    payload: Vec<u8>,
    latency: Latency,
}

impl Bare {
    fn new(folder: &Path, payload: usize) -> Outcome<Self> {
        let path = folder.join(format!("tidewire-bench-{}.tmp", std::process::id()));
        let file =
            File::create(&path).map_err(|error| Failure::file(&path, "create it", &error))?;
        Ok(Self {
            file,
            path,
            payload: vec![b'x'; payload],
            latency: Latency::default(),
        })
    }

    fn write_for(&mut self, time: Duration) -> Outcome {
        let end_ns = now_ns() + nanoseconds(time);
        while now_ns() < end_ns {
            let began_ns = now_ns();
            let written = self.file.write_all(&self.payload);
            let synced = written.and_then(|()| self.file.sync_all());
            synced.map_err(|error| Failure::file(&self.path, "append and sync", &error))?;
            self.latency.record_ns(now_ns() - began_ns);
        }
        Ok(())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
