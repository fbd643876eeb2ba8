//! Seeds to verdicts: one seed, many seeds on all cores, and the shortening of a failure.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::op::{Op, history};
use crate::tally::Tally;
use crate::world::World;

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was seen.
    pub why: String,
    /// The operations, shortened, that still fail.
    pub ops: Vec<Op>,
    /// What happened in them.
    pub trace: Vec<String>,
}

/// How many histories are tried to shorten one.
const TRIALS_MAX: usize = 3_000;

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps panics of worlds for their verdicts instead of printing them. Once a process.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|panic| *panic.borrow_mut() = Some(info.to_string()));
    }));
}

/// Runs a history; says what happened, and what was wrong.
fn run(seed: u64, ops: &[Op], traced: bool) -> (Tally, Vec<String>, Result<(), String>) {
    let mut world = World::new(seed, traced);
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        ops.iter().try_for_each(|op| world.apply(*op))?;
        world.finish()
    }));
    let verdict = verdict.unwrap_or_else(|_| {
        let told = PANIC.with(|panic| panic.borrow_mut().take());
        Err(told.unwrap_or_else(|| "a panic".into()))
    });
    // A panic inside of a log may have left it locked for good.
    let tally = catch_unwind(AssertUnwindSafe(|| world.tally())).unwrap_or_default();
    (tally, world.trace().to_vec(), verdict)
}

/// Runs a seed.
///
/// # Errors
/// What was wrong, not shortened.
pub fn run_seed(seed: u64) -> Result<Tally, String> {
    let (tally, _, verdict) = run(seed, &history(seed), false);
    verdict.map(|()| tally)
}

/// Runs a seed again, and makes its history as short as it can be while it still fails.
#[must_use]
pub fn shorten(seed: u64) -> Option<Failure> {
    let mut ops = history(seed);
    let fails = |ops: &[Op]| run(seed, ops, false).2.is_err();
    if !fails(&ops) {
        return None;
    }
    let mut trials = 0;
    let mut piece = ops.len() / 2;
    while piece > 0 && trials < TRIALS_MAX {
        let mut at = 0;
        while at < ops.len() && trials < TRIALS_MAX {
            let mut fewer = ops.clone();
            fewer.drain(at..(at + piece).min(ops.len()));
            trials += 1;
            if fails(&fewer) {
                ops = fewer;
            } else {
                at += piece;
            }
        }
        piece = if piece == 1 && at > ops.len() {
            0
        } else {
            piece / 2
        };
    }
    let (_, trace, verdict) = run(seed, &ops, true);
    Some(Failure {
        seed,
        why: verdict.err()?,
        ops,
        trace,
    })
}

/// Runs `count` seeds from `from` on, on so many threads, until one fails: then that seed.
///
/// # Errors
/// The seed that failed, and why.
pub fn run_seeds(from: u64, count: u64, threads: usize) -> Result<Tally, (u64, String)> {
    let next = AtomicU64::new(from);
    let failed = AtomicBool::new(false);
    let sum = Mutex::new((Tally::default(), None));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Tally::default();
                let mut wrong = None;
                while !failed.load(Ordering::Relaxed) && wrong.is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from.saturating_add(count) {
                        break;
                    }
                    match run_seed(seed) {
                        Ok(tally) => mine.merge(&tally),
                        Err(why) => wrong = Some((seed, why)),
                    }
                }
                let mut sum = sum.lock().expect("nobody panics with it");
                sum.0.merge(&mine);
                if let Some(wrong) = wrong {
                    failed.store(true, Ordering::Relaxed);
                    sum.1.get_or_insert(wrong);
                }
            });
        }
    });
    let (tally, wrong) = sum.into_inner().expect("nobody panics with it");
    wrong.map_or(Ok(tally), Err)
}
