//! Random steps against the model. A failing seed is named, and [`random`] runs it again.

use tidewire_core::{Cursor, Epoch, Position};

use crate::conformance::fixture::{Ask, Fixture, NOW, event_at, topic, with_id, with_key};
use crate::conformance::model::Model;
use crate::conformance::{After, Factory, Reopen, Rng, Settings};
use crate::{Event, ProducerLimits, Retention, Rule, Start};

const TOPICS: &[&str] = &[
    "a", "b", "few/1", "few/2", "few/er/1", "brief/1", "brief/2", "both/1", "c",
];
const WINDOW_MS: u64 = 400;

pub(crate) fn random_against_a_model(factory: &dyn Factory) {
    let profile = factory.profile();
    for seed in 1..=profile.seeds {
        random(factory, seed, profile.steps);
    }
}

/// Drives a log with so many random steps and compares it with a plain model after each.
///
/// # Panics
/// Where they differ, after printing seed and step.
pub fn random(factory: &dyn Factory, seed: u64, steps: u64) {
    let mut rng = Rng::new(seed);
    let retention = random_retention(&mut rng);
    let settings = Settings {
        retention: retention.clone(),
        producers: ProducerLimits {
            window_ms: WINDOW_MS,
            keys_max: 1_000_000,
        },
        ..Settings::default()
    };
    let log = Fixture::open(factory, &settings);
    let start = log.bounds().tail;
    let mut run = Run {
        model: Model::new(&retention.rules, WINDOW_MS, start),
        retention,
        log,
        now_ms: NOW,
        rng,
    };
    let mut place = Place { seed, step: 0 };
    for step in 0..steps {
        place.step = step;
        run.step();
    }
}

struct Place {
    seed: u64,
    step: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "run it again: conformance::random(&factory, {}, {})",
                self.seed,
                self.step + 1
            );
        }
    }
}

fn random_retention(rng: &mut Rng) -> Retention {
    let rule = |prefix: &str, age_ms, count| Rule {
        prefix: prefix.into(),
        age_ms,
        count,
    };
    let mut rules = vec![
        rule("few/", None, Some(1 + rng.below(6))),
        rule("few/er/", None, Some(1 + rng.below(3))),
        rule("brief/", Some(1 + rng.below(300)), None),
        rule("both/", Some(1 + rng.below(300)), Some(1 + rng.below(6))),
    ];
    if rng.once_in(3) {
        rules.clear();
    }
    Retention {
        bytes: rng.once_in(3).then(|| 3000 + rng.below(30_000)),
        count: rng.once_in(2).then(|| 1 + rng.below(120)),
        age_ms: rng.once_in(2).then(|| 50 + rng.below(1000)),
        rules,
    }
}

struct Run {
    log: Fixture,
    model: Model,
    retention: Retention,
    rng: Rng,
    now_ms: u64,
}

impl Run {
    fn step(&mut self) {
        match self.rng.below(100) {
            0..40 => self.append(),
            40..70 => self.read(),
            70..90 => self.locate(),
            90..99 => self.let_time_pass(),
            _ => self.reopen(),
        }
        let bounds = self.log.bounds();
        assert_eq!(
            (bounds.head, bounds.tail),
            (self.model.head, self.model.tail)
        );
        assert_eq!(bounds.records, self.model.kept().count() as u64);
    }

    fn append(&mut self) {
        let size = [1, 1, 1, 2, 5, 60][usize::try_from(self.rng.below(6)).expect("small")];
        let events: Vec<_> = (0..size).map(|_| self.random_event()).collect();
        let plan = self.model.plan(&events);
        let got = self.log.append(events.clone());
        match (plan, got) {
            (Ok(plan), Ok(got)) => {
                self.model.store(&events, &plan, &got);
                self.after_append();
            }
            (plan, got) => assert_eq!(got.map(|_| ()), plan.map(|_| ())),
        }
    }

    fn after_append(&mut self) {
        self.log.settle();
        if let Some(count) = self.retention.count
            && self.is_exact()
        {
            self.model.keep_newest(count.max(1));
        }
        self.take_head();
        self.model.settle_rules(None);
    }

    fn let_time_pass(&mut self) {
        self.now_ms += self.rng.below(200);
        self.maintain();
    }

    fn maintain(&mut self) {
        self.log.maintain(self.now_ms);
        if let Some(age_ms) = self.retention.age_ms
            && self.is_exact()
        {
            self.model.keep_younger(age_ms, self.now_ms);
        }
        self.take_head();
        self.model.forget_keys(self.now_ms);
        self.model.settle_rules(Some(self.now_ms));
    }

    fn is_exact(&self) -> bool {
        self.log.profile.slack_records == 0
    }

    /// Where retention is not exact, or counts bytes as only the log itself can, the log says how far it went.
    fn take_head(&mut self) {
        let bounds = self.log.bounds();
        assert!(
            bounds.head >= self.model.head,
            "the head moves forward only, and far enough"
        );
        if let Some(most) = self.retention.bytes {
            let most = most + self.log.profile.slack_bytes;
            assert!(bounds.bytes <= most || bounds.records <= 1, "{bounds:?}");
        }
        if !self.is_exact() || self.retention.bytes.is_some() {
            self.model.head = bounds.head;
        }
    }

    fn random_event(&mut self) -> Event {
        let rng = &mut self.rng;
        self.now_ms += rng.below(3);
        let size = usize::try_from(rng.below(4) * rng.below(200)).expect("small");
        let mut event = event_at(
            TOPICS[rng.index(TOPICS.len())],
            &"x".repeat(size),
            self.now_ms,
        );
        while rng.once_in(4) {
            let more = topic(TOPICS[rng.index(TOPICS.len())]);
            if !event.topics.contains(&more) {
                event.topics.push(more);
            }
        }
        event.private = rng.once_in(5);
        if rng.once_in(3) {
            event = with_id(event, &format!("id/{}", rng.below(40)));
        }
        if rng.once_in(40) {
            event.time_ms -= rng.below(50);
        }
        if rng.once_in(6) {
            let key = rng.below(30) as u8;
            let digest = if rng.once_in(30) { 255 } else { key };
            event = with_key(event, key, digest);
        }
        event
    }

    /// A position, most often one that can be read.
    fn position(&mut self) -> Position {
        let span = self.model.tail.0 - self.model.head.0 + 1;
        match self.rng.below(10) {
            0 => Position(self.rng.below(self.model.tail.0 + 3)),
            1 => self.model.tail,
            _ => Position(self.model.head.0 + self.rng.below(span)),
        }
    }

    fn topics(&mut self) -> Vec<&'static str> {
        let count = self.rng.below(4);
        (0..count)
            .map(|_| TOPICS[self.rng.index(TOPICS.len())])
            .collect()
    }

    fn read(&mut self) {
        let topics = self.topics();
        let ask = Ask {
            from: self.position(),
            topics: self.rng.once_in(2).then_some(&topics),
            bytes_max: *self.rng.pick(&[0, 200, 1000, 10_000, 1 << 30]),
            records_max: *self.rng.pick(&[0, 1, 7, 100, 1 << 30]),
        };
        let answer = self.log.read(ask);
        self.model.check_read(ask, &answer);
    }

    fn locate(&mut self) {
        let position = self.position();
        let cursor = Cursor::new(self.log.bounds().epoch, position);
        let start = match self.rng.below(7) {
            0 => Start::Tail,
            1 => Start::Head,
            2 => Start::After(cursor),
            3 => Start::AfterId(format!("id/{}", self.rng.below(45))),
            4 => Start::AfterId(cursor.to_string()),
            5 => Start::Since((self.now_ms + 50).saturating_sub(self.rng.below(800))),
            _ => Start::Last(self.rng.below(150)),
        };
        let mut routing = self.topics();
        if routing.is_empty() {
            routing.push("*");
        }
        let located = self.log.locate(start.clone(), &routing);
        self.model.check_located(&start, &routing, located);
    }

    fn reopen(&mut self) {
        let profile = self.log.profile;
        let crash = self.rng.once_in(2) && profile.crash.is_some();
        let (how, after) = match profile.crash {
            Some(after) if crash => (Reopen::Crash, after),
            _ => (Reopen::Clean, profile.clean),
        };
        let epoch: Epoch = self.log.bounds().epoch;
        // What is left of the last life is the business of other cases; here it goes on only where nothing is lost.
        if after != After::All {
            return;
        }
        self.log.reopen(how, self.now_ms);
        assert!(self.log.bounds().epoch >= epoch);
        self.maintain();
        if self.retention.bytes.is_none() && self.is_exact() {
            assert_eq!(self.log.all().len(), self.model.visible().count());
        }
    }
}
