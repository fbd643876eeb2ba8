//! One world: two logs, three shards, twenty clients, and a clock. Everything in it follows from a seed and a list of
//! operations; nothing in it knows how the engine works.

mod clients;
mod end;
mod publish;
mod rights;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use tidewire_core::Epoch;
use tidewire_engine::{EndReason, Feed, Shard, ShardConfig, SubscriberKey};
use tidewire_log::ring::RingConfig;
use tidewire_log::{Log, MemoryConfig, Retention, Rule};

use crate::judge::{Bench, Judge};
use crate::model::{Model, RULE_PREFIX};
use crate::op::{Kind, Op};
use crate::pipe::{Pipe, PipeSink};
use crate::reader::Reader;
use crate::rng::Rng;
use crate::slow_log::SlowLog;
use crate::tally::Tally;

/// How many clients there are, connected or not.
pub const CLIENTS: usize = 20;
/// How many shards, each of which may serve both feeds.
pub const SHARDS: usize = 3;
/// How many feeds.
pub const FEEDS: usize = 2;

/// What went wrong.
pub type Outcome = Result<(), String>;

/// Notes that a shard was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Place {
    shard: Shard<PipeSink>,
    config: ShardConfig,
    bell: Arc<Bell>,
    /// A driver has reason to take a step: it did something to the shard, or the last step asked for another.
    due: bool,
    wake_at_ms: Option<u64>,
}

impl Place {
    fn is_runnable(&self, now_ms: u64) -> bool {
        self.due
            || self.bell.0.load(Ordering::Relaxed)
            || self.wake_at_ms.is_some_and(|at_ms| at_ms <= now_ms)
    }
}

struct Source {
    log: Arc<SlowLog>,
    feed: Arc<Feed>,
    model: Model,
}

/// A connection as its client sees it.
struct Connection {
    shard: usize,
    key: SubscriberKey,
    pipe: Rc<RefCell<Pipe>>,
    reader: Reader,
    joined_ms: u64,
    /// Since when its sink is full without a word to the shard.
    full_since_ms: Option<u64>,
    /// Its grant was revoked: the shard's next step ends it.
    is_revoked: bool,
}

#[derive(Default)]
enum Presence {
    #[default]
    Away,
    /// Located, and on its way to a shard.
    Coming(Box<tidewire_engine::Subscription>),
    Here(Box<Connection>),
}

struct Client {
    source: usize,
    form: tidewire_core::Form,
    judge: Judge,
    presence: Presence,
}

/// The world.
pub struct World {
    now_ms: u64,
    sources: Vec<Source>,
    places: Vec<Place>,
    clients: Vec<Option<Client>>,
    /// The number of the next event, and of the next stream.
    next_number: u64,
    tally: Tally,
    /// What happened, a line each, if somebody wants to read it.
    trace: Option<Vec<String>>,
}

macro_rules! note {
    ($world:expr, $($line:tt)*) => {
        if let Some(trace) = &mut $world.trace {
            trace.push(format!($($line)*));
        }
    };
}
pub(crate) use note;

impl World {
    /// The world of this seed before anything happened.
    #[must_use]
    pub fn new(seed: u64, traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        let sources = (0..FEEDS).map(|_| source(&mut rng)).collect();
        let places = (0..SHARDS).map(|_| place(&mut rng)).collect();
        Self {
            now_ms: rng.range(1_000_000, 2_000_000),
            sources,
            places,
            clients: (0..CLIENTS).map(|_| None).collect(),
            next_number: 1,
            tally: Tally::default(),
            trace: traced.then(Vec::new),
        }
    }

    /// What happened.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Counts.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        for source in &self.sources {
            tally.merge(&source.log.tally());
        }
        tally
    }

    /// Lets one thing happen.
    ///
    /// # Errors
    /// Says what a client saw that it must not, or did not see that it must.
    pub fn apply(&mut self, op: Op) -> Outcome {
        let mut rng = Rng::new(op.seed);
        let rng = &mut rng;
        match op.kind {
            Kind::Publish => self.publish(rng),
            Kind::Step => self.step_one(rng)?,
            Kind::Connect => self.connect(rng)?,
            Kind::Leave => self.leave(rng)?,
            Kind::Die => self.die(rng),
            Kind::Read => self.read(rng)?,
            Kind::Squeeze => self.squeeze(rng),
            Kind::Time => self.pass_time(rng),
            Kind::Loaded => self.load(rng),
            Kind::Life => self.begin_life(rng),
            Kind::Drain => self.drain(rng),
            Kind::Revise => self.revise(rng)?,
            Kind::Revoke => self.revoke(rng)?,
        }
        Ok(())
    }

    fn step_one(&mut self, rng: &mut Rng) -> Outcome {
        let first = rng.size(0, SHARDS - 1);
        let runnable = |index: &usize| self.places[*index].is_runnable(self.now_ms);
        let runnable = (first..SHARDS).chain(0..first).find(runnable);
        // A driver may also take a step for nothing.
        match runnable.or_else(|| rng.percent(5).then_some(first)) {
            Some(index) => self.step(index),
            None => Ok(()),
        }
    }

    /// A step of one shard, and a look at what its clients make of it.
    fn step(&mut self, index: usize) -> Outcome {
        let place = &mut self.places[index];
        place.bell.0.store(false, Ordering::Relaxed);
        let step = place.shard.step(self.now_ms);
        place.due = step.again;
        place.wake_at_ms = step.wake_at_ms;
        note!(
            self,
            "{} step of shard {index}: again {}, wake at {:?}, {} ended",
            self.now_ms,
            step.again,
            step.wake_at_ms,
            step.ended.len()
        );
        self.look(index)?;
        for ended in &step.ended {
            self.handle_ended(index, ended)?;
        }
        self.check_deadlines(index)
    }

    /// Every client of a shard reads what arrived.
    fn look(&mut self, shard: usize) -> Outcome {
        for index in 0..CLIENTS {
            if self
                .connection(index)
                .is_some_and(|here| here.shard == shard)
            {
                self.look_at(index, false)?;
            }
        }
        Ok(())
    }

    /// `owed`: what arrived is the rest of what was offered before.
    fn look_at(&mut self, index: usize, owed: bool) -> Outcome {
        let Some(client) = &mut self.clients[index] else {
            return Ok(());
        };
        let Presence::Here(here) = &mut client.presence else {
            return Ok(());
        };
        let (arrived, broken) = {
            let mut pipe = here.pipe.borrow_mut();
            here.full_since_ms = match (pipe.full, here.full_since_ms) {
                (true, None) => Some(self.now_ms),
                (true, since) => since,
                (false, _) => None,
            };
            (pipe.take_arrived(), pipe.broken.take())
        };
        if let Some(broken) = broken {
            return Err(format!("client {index} {broken}"));
        }
        if arrived.is_empty() {
            return Ok(());
        }
        let told = here.reader.read(&arrived);
        let told = told.map_err(|error| format!("client {index}: {error}"))?;
        let source = &self.sources[client.source];
        let mut bench = Bench {
            model: &source.model,
            bounds: source.log.bounds(),
            floor: source.log.floor(),
            now_ms: self.now_ms,
            owed,
            is_revoked: here.is_revoked,
            tally: &mut self.tally,
        };
        if let Some(trace) = &mut self.trace {
            trace.extend(
                told.iter()
                    .map(|told| format!("  client {index} is told {told:?}")),
            );
        }
        for told in told {
            let verdict = client.judge.handle(&told, &mut bench);
            verdict.map_err(|error| format!("client {index}: {error}"))?;
        }
        Ok(())
    }

    fn connection(&self, index: usize) -> Option<&Connection> {
        match &self.clients[index].as_ref()?.presence {
            Presence::Here(here) => Some(here),
            _ => None,
        }
    }

    fn pass_time(&mut self, rng: &mut Rng) {
        let most = rng.pick(&[1, 50, 500, 5000]);
        self.now_ms += rng.range(1, most);
        note!(self, "{} it is later", self.now_ms);
        if rng.percent(50) {
            for source in &self.sources {
                source.log.maintain(self.now_ms);
            }
        }
        self.load(rng);
    }

    fn load(&mut self, rng: &mut Rng) {
        for source in &self.sources {
            source.log.load(rng.size(0, 4));
        }
    }

    fn drain(&mut self, rng: &mut Rng) {
        let index = rng.size(0, SHARDS - 1);
        if rng.percent(60) {
            return self.end_one(rng);
        }
        note!(self, "{} shard {index} drains", self.now_ms);
        self.places[index].shard.end_all(EndReason::Drain);
        self.places[index].due = true;
    }
}

fn source(rng: &mut Rng) -> Source {
    let rules = rng.percent(50).then(|| Rule {
        prefix: RULE_PREFIX.into(),
        age_ms: rng.percent(50).then_some(3000),
        count: rng.percent(70).then(|| rng.range(1, 10)),
    });
    let epoch = Epoch(rng.range(1, 1_000_000));
    let forgets = rng.percent(70);
    let config = MemoryConfig {
        epoch,
        retention: Retention {
            bytes: (forgets && rng.percent(20)).then(|| rng.range(500, 50_000)),
            count: (forgets && rng.percent(70)).then(|| rng.range(1, 200)),
            age_ms: (forgets && rng.percent(30)).then(|| rng.range(500, 20_000)),
            rules: rules.into_iter().collect(),
        },
        // With large steps, neighbours lie in different blocks of the engine's cohorts.
        position_step: rng.pick(&[1, 1, 2, 7, 300]),
        ring: RingConfig {
            merge_bytes: rng.size(100, 10_000),
            merge_records: rng.size(1, 40),
            seed: rng.number(),
        },
        ..MemoryConfig::default()
    };
    let loading_percent = rng.pick(&[0, 5, 30, 60]);
    let is_late = rng.percent(40);
    let log = Arc::new(SlowLog::new(config, loading_percent, is_late, rng.number()));
    Source {
        feed: Feed::new(Arc::<SlowLog>::clone(&log)),
        log,
        model: Model::new(epoch),
    }
}

fn place(rng: &mut Rng) -> Place {
    let config = ShardConfig {
        heartbeat_ms: rng.range(500, 3000),
        stream_life_ms: if rng.percent(50) {
            0
        } else {
            rng.range(5_000, 50_000)
        },
        stall_deadline_ms: rng.range(1_000, 10_000),
        expiring_ms: rng.range(0, 2_000),
        step_records_max: rng.size(1, 30),
        step_bytes_max: rng.size(1, 5_000),
        step_matches_max: rng.size(1, 60),
        step_run_min: rng.size(1, 10),
        step_effort_max: rng.size(1, 2_000),
    };
    let bell = Arc::new(Bell::default());
    Place {
        shard: Shard::new(config, rng.number(), Waker::from(Arc::clone(&bell))),
        config,
        bell,
        due: false,
        wake_at_ms: None,
    }
}
