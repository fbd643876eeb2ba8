//! `cargo xtask conformance`: the suite in `spec/hub` against a hub: ours in every profile, Mercure's, or a stranger's by URL
//! and key. What cases may say, and how a stranger runs them, is in `spec/hub/README.md`.

mod differences;
mod faults;
mod hubs;
mod lines;
mod options;
mod report;
mod run;
mod stranger;
mod stream;
mod suite;
mod text;
mod tls;
mod token;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use self::hubs::{Hub, Kind};
use self::options::{Options, Whom};
use self::report::Verdict;
use self::run::{Outcome as Came, Target};
use self::suite::{Case, Profile, Suite};
use crate::Outcome;
use crate::{install, process};

pub(crate) use self::options::USAGE;

/// Cases at once on all hubs together: most of their time they wait.
const WORKERS: usize = 12;

/// How the failure of a case begins whose hub could not be started.
const NO_HUB: &str = "no hub in this profile";

pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(why) => return Outcome::WrongUsage(why),
    };
    match run_with(&options) {
        Ok(good) => Outcome::of(good),
        Err(why) => {
            println!("FAILED: {why}");
            Outcome::Failed
        }
    }
}

/// Our own hub against the whole suite, for `cargo xtask test`: how many cases passed, and what was wrong with the others.
pub(crate) fn count_ours() -> Result<(u64, Vec<String>), String> {
    let suite = Suite::read()?;
    lines::check(&suite)?;
    let binary = build_ours()?;
    let cases: Vec<&Case> = suite.cases.iter().collect();
    let verdicts = against_kind(Kind::Ours, &binary, &suite, &cases)?;
    report::complain(&verdicts);
    let passed = verdicts.iter().filter(|one| one.came == Came::Passed);
    let complaints = verdicts.iter().filter_map(Verdict::complaint);
    Ok((passed.count() as u64, complaints.collect()))
}

fn run_with(options: &Options) -> Result<bool, String> {
    let suite = Suite::read()?;
    if options.write_lines {
        lines::write(&suite)?;
        return Ok(true);
    }
    if options.is_whole() {
        lines::check(&suite)?;
    }
    if matches!(options.whom, Whom::Faults) {
        return faults::run(&suite, options);
    }
    let cases: Vec<&Case> = suite
        .cases
        .iter()
        .filter(|case| options.takes(case))
        .collect();
    if cases.is_empty() {
        return Err("no case is called so; `--list` shows them all".into());
    }
    if options.list {
        report::list(&cases);
        return Ok(true);
    }
    let verdicts = match &options.whom {
        Whom::Ours(Some(binary)) => against_kind(Kind::Ours, binary, &suite, &cases)?,
        Whom::Ours(None) | Whom::Faults => {
            against_kind(Kind::Ours, &build_ours()?, &suite, &cases)?
        }
        Whom::Mercure => {
            let binary = install::mercure()?;
            let verdicts = against_kind(Kind::Mercure, &binary, &suite, &cases)?;
            return differences::judge(&verdicts, options);
        }
        Whom::Stranger(stranger) => {
            let mut target = stranger.target()?;
            let profiles = stranger.profiles.iter();
            let profiles = profiles.filter_map(|name| suite.profiles.get(name));
            target.has.extend(Profile::lacks(profiles));
            let targets = stranger
                .profiles
                .iter()
                .map(|name| (name.clone(), Ok(&target)));
            against(&targets.collect(), &cases)
        }
    };
    Ok(report::print(&verdicts, options))
}

fn build_ours() -> Result<PathBuf, String> {
    let mut build = process::cargo();
    build.args(["build", "--quiet", "-p", "tidewire"]);
    if !process::pass_through(&mut build) {
        return Err("the hub does not build".into());
    }
    Ok(process::target_dir().join("debug/tidewire"))
}

/// Starts a hub in each profile that the cases need, all at once, and tries the cases.
fn against_kind<'a>(
    kind: Kind,
    binary: &Path,
    suite: &Suite,
    cases: &[&'a Case],
) -> Result<Vec<Verdict<'a>>, String> {
    let mut started: BTreeMap<String, Result<Hub, Came>> = BTreeMap::new();
    for case in cases {
        if started.contains_key(&case.profile) {
            continue;
        }
        let profile = suite
            .profiles
            .get(&case.profile)
            .ok_or_else(|| format!("{}: no profile is called `{}`", case.id, case.profile))?;
        let hub = match hubs::start(kind, binary, profile) {
            Ok(Ok(hub)) => Ok(hub),
            Ok(Err(missing)) => Err(Came::Skipped(missing)),
            Err(why) => Err(Came::Failed(format!("{NO_HUB}: {why}"))),
        };
        started.insert(case.profile.clone(), hub);
    }
    let targets = started
        .iter()
        .map(|(name, hub)| {
            let target = hub.as_ref().map(|hub| &hub.target).map_err(Clone::clone);
            (name.clone(), target)
        })
        .collect();
    Ok(against(&targets, cases))
}

/// Tries the cases, many at once; a case whose profile is not there is skipped.
fn against<'a>(
    targets: &BTreeMap<String, Result<&Target, Came>>,
    cases: &[&'a Case],
) -> Vec<Verdict<'a>> {
    let one = |case: &'a Case| {
        let came = match targets.get(&case.profile) {
            Some(Ok(target)) => run::run(case, target),
            Some(Err(came)) => came.clone(),
            None => Came::Skipped(format!("the hub is not in the profile `{}`", case.profile)),
        };
        Verdict { case, came }
    };
    let (alone, together): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.alone);
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = together.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = one(case);
                    if let Ok(mut verdicts) = verdicts.lock() {
                        verdicts.push(verdict);
                    }
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap_or_default();
    verdicts.extend(alone.into_iter().map(one));
    verdicts.sort_by_key(|verdict| cases.iter().position(|case| case.id == verdict.case.id));
    verdicts
}
