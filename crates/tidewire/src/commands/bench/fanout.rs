//! `tidewire bench fanout` and `topics`: subscribers that stay, events that keep coming.

use std::time::Duration;

use clap::Args;

use super::fleet::{Crowd, Fleet};
use super::load::{Load, Pace, Plan, nanoseconds};
use super::options::{CrowdArgs, MachineArgs, PaceArgs, Rate, ServerArgs};
use super::payload::Run;
use super::progress::Bar;
use super::report::{Report, Span, Stalled};
use super::stage::Stage;
use super::target::Place;
use super::wire::Order;
use crate::failure::{Failure, Outcome};

/// How often subscribers report when somebody waits for it, and when nobody does.
pub(super) const REPORT_FAST: Duration = Duration::from_millis(5);
const REPORT_SLOW: Duration = Duration::from_millis(100);
/// From the order to measure to the first event.
const START_NS: u64 = 50_000_000;

/// Many subscribers, few topics
///
/// Latency is measured from the time an event was due by the schedule (so a server that falls behind shows it), and at `--rate max`
/// from the time it was sent.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    tidewire bench fanout --url http://127.0.0.1:8080 --subscribers 1000 --rate 100\n  \
    tidewire bench fanout --subscribe-url 'http://127.0.0.1:8081/sub/{topic}' --publish-url 'http://127.0.0.1:8081/pub/{topic}' --rate max --json")]
pub(super) struct Fanout {
    #[command(flatten)]
    server: ServerArgs,
    /// Subscribers
    #[arg(long, value_name = "N", default_value_t = 1_000, help_heading = "Load")]
    subscribers: usize,
    /// Topics that they share
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    topics: usize,
    #[command(flatten)]
    stalled: StalledArgs,
    #[command(flatten)]
    crowd: CrowdArgs,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

/// Who never reads.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Load")]
struct StalledArgs {
    /// Further subscribers that connect and never read
    #[arg(long, value_name = "N", default_value_t = 0)]
    stalled: usize,
    /// Where those subscribe, such as the others' URL with ?since=earliest; `{topic}` stands for the topic [default: the subscribe URL]
    #[arg(long, value_name = "URL", requires = "stalled")]
    stalled_url: Option<String>,
    /// Bytes that are published before anybody connects: what fills those connections at once, if their URL asks for it
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    stalled_backlog: u64,
    /// When the measured time is over, those that never read begin to read
    #[arg(long, requires = "stalled")]
    stalled_return: bool,
}

/// Many topics, a subscriber each; each event goes to the next topic
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tidewire bench topics --url http://127.0.0.1:8080 --topics 10000 --once"
)]
pub(super) struct Topics {
    #[command(flatten)]
    server: ServerArgs,
    /// Topics
    #[arg(long, value_name = "N", default_value_t = 1_000, help_heading = "Load")]
    topics: usize,
    /// Topics that have a subscriber [default: all]
    #[arg(long, value_name = "N", help_heading = "Load")]
    subscribers: Option<usize>,
    /// Publish once to each topic, and measure that: the first event of a topic that nobody has seen before
    #[arg(long, help_heading = "Load")]
    once: bool,
    /// Further subscribers with a pattern each; needs --pattern-url
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        requires = "pattern_url",
        help_heading = "Load"
    )]
    extra_pattern_subscribers: usize,
    /// Where they subscribe; `{n}` stands for the number of the pattern
    #[arg(long, value_name = "URL", help_heading = "Load")]
    pattern_url: Option<String>,
    #[command(flatten)]
    crowd: CrowdArgs,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Fanout {
    pub(super) fn run(self) -> Outcome {
        Steady {
            command: "fanout",
            topics: self.topics,
            readers: self.subscribers,
            stalled: self.stalled,
            patterns: None,
            once: false,
            server: self.server,
            crowd: self.crowd,
            pace: self.pace,
            machine: self.machine,
        }
        .run()
    }
}

impl Topics {
    pub(super) fn run(self) -> Outcome {
        let patterns = match self.pattern_url {
            Some(url) => {
                let place = Place::parse(&url, "--pattern-url")?;
                if !place.path.has_number() {
                    return Err(Failure::usage("--pattern-url has no {n}")
                        .next("write {n} where the pattern's number belongs"));
                }
                Some((place, self.extra_pattern_subscribers))
            }
            None => None,
        };
        Steady {
            command: "topics",
            topics: self.topics,
            readers: self.subscribers.unwrap_or(self.topics),
            stalled: StalledArgs::default(),
            patterns,
            once: self.once,
            server: self.server,
            crowd: self.crowd,
            pace: self.pace,
            machine: self.machine,
        }
        .run()
    }
}

/// What both have in common.
struct Steady {
    command: &'static str,
    topics: usize,
    readers: usize,
    stalled: StalledArgs,
    patterns: Option<(Place, usize)>,
    once: bool,
    server: ServerArgs,
    crowd: CrowdArgs,
    pace: PaceArgs,
    machine: MachineArgs,
}

impl Steady {
    fn run(self) -> Outcome {
        if self.topics == 0 {
            return Err(Failure::usage("there must be a topic"));
        }
        let mut stage = Stage::new(&self.server, &self.machine)?;
        let crowd = self.gathering(&stage)?;
        let plan = self.plan(&stage)?;
        self.fill(&mut stage)?;
        let (mut load, connect_s) = stage.gather(&crowd, &self.crowd, plan)?;
        load.connect_publishers(&self.crowd.trust())?;
        let measured = self.measure(&mut stage, &mut load)?;
        load.drain(&Bar::time("draining", self.crowd.patience))?;
        if self.stalled.stalled_return {
            load.read_again(&Bar::time("reading again", self.crowd.patience))?;
        }
        let Measured {
            seconds,
            server,
            client,
            from_ns,
        } = measured;
        let (tally, latency, published) = load.finish()?;
        let mut report = Report {
            command: self.command,
            run: stage.run.name().to_owned(),
            subscribers: self.readers,
            topics: self.topics,
            publishers: self.pace.publishers(),
            rate: self.pace.rate.per_second(),
            payload_bytes: self.crowd.payload,
            check: self.crowd.check.name(),
            connect_s,
            seconds,
            ..Report::default()
        };
        report.take(&tally, &latency, &published);
        report.take_usage(stage.server_use(), server, client);
        report.memory = stage.memory();
        report.stalled = (self.stalled.stalled > 0)
            .then(|| Stalled::new(self.stalled.stalled, tally.stalled, from_ns));
        report.end(self.machine.json, self.machine.allow_loss)
    }

    fn gathering(&self, stage: &Stage) -> Outcome<Crowd> {
        let (place, headers) = stage.target.subscribing()?.clone();
        if self.topics > 1 && !place.path.has_topic() {
            return Err(Failure::usage("--subscribe-url has no {topic}")
                .next("write {topic} where the topic's name belongs"));
        }
        Ok(Crowd {
            stalled_place: Some(self.stalled_place(&place)?),
            place,
            headers,
            topics: stage.topics(&self.server, self.topics),
            readers: self.readers,
            stalled: self.stalled.stalled,
            patterns: self.patterns.clone(),
            publishers: self.pace.publishers(),
            keeps_ids: false,
            run: stage.run.name().to_owned(),
            origin_ns: stage.origin_ns,
            report: match self.pace.rate {
                Rate::Max => REPORT_FAST,
                Rate::Paced(_) => REPORT_SLOW,
            },
        })
    }

    fn stalled_place(&self, place: &Place) -> Outcome<Place> {
        let place = match &self.stalled.stalled_url {
            Some(url) => Place::parse(url, "--stalled-url")?,
            None => place.clone(),
        };
        // Who never reads never ends a handshake, and so never subscribes.
        match self.stalled.stalled > 0 && place.is_tls {
            true => Err(Failure::usage("--stalled works over http:// only")),
            false => Ok(place),
        }
    }

    /// Publishes the backlog, if there is to be one. Its events are of another run, so nobody misses them.
    fn fill(&self, stage: &mut Stage) -> Outcome {
        const EVENT_BYTES: u64 = 16 << 10;
        let events = self.stalled.stalled_backlog.div_ceil(EVENT_BYTES);
        if events == 0 {
            return Ok(());
        }
        let plan = Plan {
            publishers: 1,
            pipeline: 1,
            payload: EVENT_BYTES as usize,
            once: false,
            ..self.plan(stage)?
        };
        let mut load = Load::new(plan, Fleet::none(), Run::random()?, stage.origin_ns)?;
        load.connect_publishers(&self.crowd.trust())?;
        load.send(events, &Bar::time("backlog", self.crowd.patience))?;
        stage.uses.rss_before = stage.server_usage().rss_bytes;
        Ok(())
    }

    fn plan(&self, stage: &Stage) -> Outcome<Plan> {
        Ok(Plan {
            publishing: stage.target.publishing()?.clone(),
            topics: stage.topics(&self.server, self.topics),
            watched: self.topics.min(self.readers),
            publishers: self.pace.publishers(),
            pipeline: self.pace.pipeline.max(1),
            payload: self.crowd.payload,
            batch: None,
            events_max: if self.once {
                self.topics as u64
            } else {
                u64::MAX
            },
            once: self.once,
            patience: self.crowd.patience,
        })
    }

    fn measure(&self, stage: &mut Stage, load: &mut Load) -> Outcome<Measured> {
        let start_ns = load.now() + START_NS;
        let warmup = if self.once {
            Duration::ZERO
        } else {
            self.pace.warmup
        };
        let from_ns = start_ns + nanoseconds(warmup);
        let to_ns = match self.once {
            true => u64::MAX,
            false => from_ns + nanoseconds(self.pace.duration),
        };
        load.fleet.order(&Order::Measure { from_ns, to_ns })?;
        load.measure(from_ns..to_ns);
        load.rest_until(start_ns, &Bar::time("starting", Duration::ZERO))?;
        let mut pace = match self.pace.rate {
            Rate::Max => Pace::Window(self.pace.window.max(1)),
            Rate::Paced(rate) => Pace::Schedule {
                start_ns,
                interval_ns: 1e9 / rate,
                next: 0,
            },
        };
        load.run_until(from_ns, &mut pace, &Bar::time("warming up", warmup))?;
        let bar = Bar::time("measuring", self.pace.duration);
        let (server, client) = stage.watch(load, to_ns, |load, until_ns| {
            load.run_until(until_ns, &mut pace, &bar)?;
            Ok(!load.is_over())
        })?;
        Ok(Measured {
            seconds: load.now().min(to_ns).saturating_sub(from_ns) as f64 / 1e9,
            server,
            client,
            from_ns,
        })
    }
}

struct Measured {
    seconds: f64,
    server: Span,
    client: Span,
    from_ns: u64,
}
