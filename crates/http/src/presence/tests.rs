//! Presence on logs that refuse, and streams that take other topics.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Instant;

use tidewire_core::{Cursor, Matcher, Payload as GrantPayload, Topic};
use tidewire_log::{
    Append, AppendError, Bounds, Locate, MemoryConfig, MemoryLog, Read, ReadAsk, Watcher,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A memory log that first refuses what it is asked, so often and so.
struct Refusing {
    log: MemoryLog,
    refusals: AtomicUsize,
    why: AppendError,
}

impl Refusing {
    fn new(refusals: usize, why: AppendError) -> Arc<Self> {
        Arc::new(Self {
            log: MemoryLog::new(MemoryConfig::default()),
            refusals: AtomicUsize::new(refusals),
            why,
        })
    }

    /// Of each event in it whether it begins, and of what.
    fn told(&self) -> Vec<(bool, String)> {
        let ask = ReadAsk {
            from: Position::FIRST,
            topics: None,
            bytes_max: usize::MAX,
            records_max: usize::MAX,
        };
        let Read::Batch(batch) = self.log.read(&ask, Waker::noop()) else {
            return Vec::new();
        };
        let told = batch.records().filter_map(|item| {
            let told = tidewire_log::Presence::of(&item.record())?;
            Some((told.active, told.text.into_owned()))
        });
        told.collect()
    }

    fn wait_for(&self, count: usize) -> Vec<(bool, String)> {
        wait_until("events", || self.told().len() >= count);
        self.told()
    }
}

impl Log for Refusing {
    fn append(&self, append: Append) {
        let less = |left: usize| left.checked_sub(1);
        match self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        {
            Ok(_) => (append.ack)(Err(self.why.clone())),
            Err(_) => self.log.append(append),
        }
    }

    fn read(&self, ask: &ReadAsk<'_>, waker: &Waker) -> Read {
        self.log.read(ask, waker)
    }

    fn locate(&self, locate: Locate) {
        self.log.locate(locate);
    }

    fn cursor_at(&self, next: Position) -> Cursor {
        self.log.cursor_at(next)
    }

    fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.log.watch(watcher);
    }

    fn health(&self) -> Result<(), AppendError> {
        self.log.health()
    }

    fn maintain(&self, now_ms: u64) {
        self.log.maintain(now_ms);
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn running(log: &Arc<Refusing>) -> Running {
    running_at(log, None)
}

fn running_at(log: &Arc<Refusing>, rate: Option<Rate>) -> Running {
    let clock: Clock = Arc::new(|| 5);
    let log = Arc::clone(log) as Arc<dyn Log>;
    Running::start(log, clock, "/hub", None, None, rate).unwrap()
}

fn topics(names: &[&str]) -> MatcherSet {
    let matcher = |name: &&str| Matcher::Exact(Topic::parse(name).unwrap());
    names.iter().map(matcher).collect()
}

fn begun(running: &Running, names: &[&str]) -> OnEnd {
    let presence = running.get();
    let arrival = presence.arrival(&topics(names), &Grant::default());
    arrival.begin(None)
}

fn brief(told: &[(bool, &str)]) -> Vec<(bool, String)> {
    told.iter()
        .map(|(active, name)| (*active, (*name).to_owned()))
        .collect()
}

#[test]
fn a_log_that_is_full_for_now_is_waited_for() {
    let log = Refusing::new(2, AppendError::Full("it is".into()));
    let running = running(&log);
    let one = begun(&running, &["a"]);
    assert_eq!(log.wait_for(1), brief(&[(true, "a")]));
    drop(one);
    assert_eq!(log.wait_for(2), brief(&[(true, "a"), (false, "a")]));
    assert_eq!(running.get().counts.dropped.now(), 0);
}

#[test]
fn what_the_log_refuses_is_counted_and_the_rest_is_told() {
    let too_large = AppendError::TooLarge {
        index: 1,
        bytes: 2,
        bytes_max: 1,
    };
    let log = Refusing::new(1, too_large);
    let running = running(&log);
    let _one = begun(&running, &["a", "b", "c"]);
    assert_eq!(log.wait_for(2), brief(&[(true, "a"), (true, "c")]));
    let counts = &running.get().counts;
    wait_until("the count", || counts.dropped.now() == 1);
    assert_eq!(counts.told.now(), 2);

    // One that fits no topic.
    let long = "%".repeat(2000);
    let _long = begun(&running, &[&long, "d"]);
    assert_eq!(log.wait_for(3)[2..], brief(&[(true, "d")]));
    wait_until("the count", || counts.dropped.now() == 2);
    let presence = running.get();
    wait_until("an answer", || presence.levels() == (5, 0));
    // What no event tells makes a state of its own, for whoever asks by tags.
    let state = presence.state();
    assert_ne!(
        presence.version(&state).tag,
        presence.version(&state).last_event_id
    );
}

#[test]
fn a_log_that_has_stopped_loses_events_and_holds_up_nobody() {
    let log = Refusing::new(usize::MAX, AppendError::Stopped("broken".into()));
    let running = running(&log);
    let one = begun(&running, &["a"]);
    let counts = &running.get().counts;
    wait_until("the count", || counts.dropped.now() == 1);
    drop(one);
    wait_until("the count", || counts.dropped.now() == 2);
    let begun = Instant::now();
    running.get().close(PATIENCE);
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn closing_waits_no_longer_than_it_may() {
    let log = Refusing::new(usize::MAX, AppendError::Busy);
    let running = running(&log);
    let _one = begun(&running, &["a"]);
    let before = Instant::now();
    running.get().close(Duration::from_millis(50));
    assert!(before.elapsed() < PATIENCE);
    // Who comes too late is nobody.
    let _late = begun(&running, &["b"]);
    assert_eq!(running.get().levels().0, 0);
}

/// Whoever comes and goes faster than may be told writes nothing; who stays is told, if later; and the registry is right all the time.
#[test]
fn what_comes_faster_than_its_rate_is_told_later_or_not_at_all() {
    let log = Refusing::new(0, AppendError::Busy);
    let rate = Rate {
        // Within this test nothing more than the burst.
        per_s: 1e-6,
        burst: 10.0,
    };
    let running = running_at(&log, Some(rate));
    let presence = running.get();
    let names: Vec<String> = (0..10).map(|n| format!("a{n}")).collect();
    let first: Vec<_> = names.iter().map(|name| begun(&running, &[name])).collect();
    log.wait_for(10);
    let late = begun(&running, &["late"]);
    wait_until("the rate's end", || presence.state().is_behind);
    assert_eq!(presence.levels(), (11, 1));
    for _ in 0..50 {
        drop(begun(&running, &["short"]));
    }
    assert_eq!(presence.levels(), (11, 1), "nothing waits of who has gone");
    assert_eq!(presence.counts.unsaid.now(), 100);
    // An end of which the beginning was told is told as well, in its turn.
    drop(first);
    assert_eq!(presence.levels(), (1, 11));
    assert_eq!(log.told().len(), 10, "not one more than may");
    // A hub that ends does not wait, and tells nobody now of who has never been told of.
    presence.close(PATIENCE);
    drop(late);
    let told = log.told();
    assert_eq!(told.len(), 20);
    assert!(told[10..].iter().all(|(active, _)| !active), "{told:?}");
    let counts = &presence.counts;
    let counted = [&counts.told, &counts.late, &counts.unsaid].map(Count::now);
    assert_eq!(counted, [20, 10, 102]);
}

#[test]
fn who_stays_is_told_of_in_the_end() {
    let log = Refusing::new(0, AppendError::Busy);
    let rate = Rate {
        per_s: 50.0,
        burst: 2.0,
    };
    let running = running_at(&log, Some(rate));
    let names: Vec<String> = (0..6).map(|n| format!("a{n}")).collect();
    let _all: Vec<_> = names.iter().map(|name| begun(&running, &[name])).collect();
    let want: Vec<_> = names.iter().map(|name| (true, name.clone())).collect();
    assert_eq!(log.wait_for(6), want);
    wait_until("the count", || running.get().counts.late.now() > 0);
    wait_until("the end of it", || !running.get().state().is_behind);
}

/// A running stream that takes other topics tells the difference, and no more.
#[test]
fn a_stream_with_other_topics_tells_the_difference() {
    let log = Refusing::new(0, AppendError::Busy);
    let running = running(&log);
    let presence = running.get();
    let arrival = presence.arrival(&topics(&["a", "b"]), &Grant::default());
    let id = seen_as(Some(&arrival));
    assert_ne!(id, 0);
    let on_end = arrival.begin(None);
    log.wait_for(2);
    let with_payload = Grant {
        payloads: vec![GrantPayload {
            topics: MatcherSet::any(),
            json: "{\"n\":1}".into(),
        }],
        ..Grant::default()
    };
    presence.revise(id, &topics(&["b", "c"]), &with_payload);
    let told = log.wait_for(4);
    assert_eq!(told[2..], brief(&[(false, "a"), (true, "c")]));
    presence.revise(id, &topics(&["b", "c"]), &with_payload);
    presence.revise(
        SubscriberId::random().mark(),
        &topics(&["z"]),
        &with_payload,
    );
    drop(on_end);
    // In the order in which they began.
    assert_eq!(log.wait_for(6)[4..], brief(&[(false, "b"), (false, "c")]));
    presence.revise(id, &topics(&["b"]), &with_payload);
    presence.close(PATIENCE);
    assert_eq!(log.told().len(), 6);
}

/// However many begin and end from however many threads, events are in order and all are there.
#[test]
fn events_are_in_order_whoever_comes() {
    let log = Refusing::new(0, AppendError::Busy);
    let running = running(&log);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let running = &running;
            scope.spawn(move || {
                for n in 0..200 {
                    drop(begun(running, &[&format!("{thread}-{n}")]));
                }
            });
        }
    });
    running.get().close(PATIENCE);
    let told = log.told();
    assert_eq!(told.len(), 1600);
    let mut there = std::collections::BTreeSet::new();
    for (active, name) in told {
        assert!(if active {
            there.insert(name)
        } else {
            there.remove(&name)
        });
    }
    assert!(there.is_empty());
}
