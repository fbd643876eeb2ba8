//! The runner: for each target, round by round, each server in turn; every measurement is kept as soon as it is made.

use std::path::PathBuf;
use std::time::Instant;

use super::cases::{self, Case, ROUNDS};
use super::client;
use super::machine;
use super::peers::{self, Peer};
use super::report;
use super::results::{Measurement, Results};
use super::server::Need;
use crate::Outcome;
use crate::process;

const USAGE: &str = "\
`bench fanout [--quick] [--only T1,T3] [--servers tidewire,floor] [--rounds N] [--resume] [--no-build] [--out FOLDER]`";

pub(crate) struct Options {
    quick: bool,
    only: Vec<String>,
    servers: Vec<String>,
    rounds: Option<u32>,
    /// Go on with the newest run in the folder instead of beginning a new one.
    resume: bool,
    build: bool,
    out: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            quick: false,
            only: Vec::new(),
            servers: Vec::new(),
            rounds: None,
            resume: false,
            build: true,
            out: None,
        };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let mut value = || {
                rest.next()
                    .ok_or_else(|| format!("{name} takes a value: {USAGE}"))
            };
            let list = |text: &str| text.split(',').map(str::to_owned).collect();
            match *name {
                "--quick" => options.quick = true,
                "--resume" => options.resume = true,
                "--no-build" => options.build = false,
                "--only" => options.only = list(value()?),
                "--servers" => options.servers = list(value()?),
                "--out" => options.out = Some(value()?.into()),
                "--rounds" => {
                    let rounds = value()?.parse().ok().filter(|rounds| *rounds > 0);
                    options.rounds = Some(rounds.ok_or_else(|| USAGE.to_owned())?);
                }
                unknown => return Err(format!("`{unknown}` is unknown: {USAGE}")),
            }
        }
        Ok(options)
    }

    fn folder(&self) -> PathBuf {
        match &self.out {
            Some(folder) => folder.clone(),
            None if self.quick => process::target_dir().join("bench/quick"),
            None => report::results_folder(),
        }
    }

    fn cases(&self) -> Vec<Case> {
        let mut cases = if self.quick {
            cases::quick()
        } else {
            cases::full()
        };
        let is_wanted = |case: &Case| {
            let named =
                |wanted: &String| case.target.eq_ignore_ascii_case(wanted) || case.name == *wanted;
            self.only.is_empty() || self.only.iter().any(named)
        };
        cases.retain(is_wanted);
        for case in &mut cases {
            let is_wanted = |server: &&str| self.servers.iter().any(|wanted| wanted == server);
            case.servers
                .retain(|server| self.servers.is_empty() || is_wanted(server));
        }
        cases.retain(|case| !case.servers.is_empty());
        cases
    }

    fn rounds(&self, case: &Case) -> u32 {
        let default = if self.quick { 3 } else { ROUNDS };
        let wanted = self.rounds.unwrap_or(default);
        case.rounds.map_or(wanted, |rounds| rounds.min(wanted))
    }
}

/// `cargo xtask bench fanout`.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(why) => return Outcome::WrongUsage(why),
    };
    let cases = options.cases();
    if cases.is_empty() {
        return Outcome::WrongUsage("nothing of that is measured".into());
    }
    if options.build && !super::build() {
        return Outcome::Failed;
    }
    match Runner::new(&options).and_then(|mut runner| runner.run(&cases)) {
        Ok(done) => Outcome::of(done),
        Err(why) => {
            println!("FAILED: {why}");
            Outcome::Failed
        }
    }
}

struct Runner<'a> {
    options: &'a Options,
    folder: PathBuf,
    results: Results,
    run: u64,
    commit: String,
    machine: serde_json::Value,
    /// Peers that could not be installed, each named once.
    absent: Vec<&'static str>,
    /// Whether every measurement came to something.
    is_whole: bool,
}

impl<'a> Runner<'a> {
    fn new(options: &'a Options) -> Result<Self, String> {
        let folder = options.folder();
        let results = Results::read(&folder)?;
        let resumed = results.newest_run().filter(|_| options.resume);
        Ok(Self {
            options,
            folder,
            run: resumed.unwrap_or_else(machine::seconds_since_1970),
            results,
            commit: machine::commit(),
            machine: machine::describe(),
            absent: Vec::new(),
            is_whole: true,
        })
    }

    fn run(&mut self, cases: &[Case]) -> Result<bool, String> {
        let since = Instant::now();
        self.install(cases);
        let mut targets: Vec<&str> = cases.iter().map(|case| case.target).collect();
        targets.dedup();
        for target in targets {
            let of_target: Vec<&Case> = cases.iter().filter(|case| case.target == target).collect();
            self.measure_target(&of_target)?;
            println!(
                "{}",
                report::claims_as_text(&self.results, target, self.options.quick)
            );
        }
        println!(
            "measured in {} s, kept in {}",
            since.elapsed().as_secs(),
            self.folder.display()
        );
        Ok(self.is_whole)
    }

    fn install(&mut self, cases: &[Case]) {
        let is_in_browser = |case: &Case| case.bench.starts_with(client::CHROMIUM);
        if cases.iter().any(is_in_browser)
            && let Err(why) = crate::install::ensure(crate::install::Policy::Install)
        {
            println!("what is measured in a browser will fail: {why}");
        }
        let mut names: Vec<&'static str> =
            cases.iter().flat_map(|case| case.servers.clone()).collect();
        names.sort_unstable();
        names.dedup();
        for peer in names.into_iter().filter_map(peers::find) {
            if let Err(why) = (peer.install)() {
                println!(
                    "left out: {} cannot be installed: {}",
                    peer.title,
                    why.trim()
                );
                self.absent.push(peer.name);
            }
        }
    }

    fn measure_target(&mut self, cases: &[&Case]) -> Result<(), String> {
        let rounds = cases.iter().map(|case| self.options.rounds(case)).max();
        for round in 1..=rounds.unwrap_or_default() {
            for case in cases
                .iter()
                .filter(|case| round <= self.options.rounds(case))
            {
                self.measure_case(case, round)?;
            }
        }
        Ok(())
    }

    fn measure_case(&mut self, case: &Case, round: u32) -> Result<(), String> {
        // Another first one in each round, so that no server always follows the same.
        let mut servers = case.servers.clone();
        servers.rotate_left((round as usize - 1) % case.servers.len());
        for peer in servers.into_iter().filter_map(peers::find) {
            let is_known = self.results.has(self.run, &case.name, peer.name, round);
            if is_known || self.absent.contains(&peer.name) {
                continue;
            }
            let measurement = self.measure(case, peer, round);
            println!("{}", report::line(&measurement));
            self.is_whole &= measurement.outcome.is_ok();
            self.results.append(&self.folder, measurement)?;
        }
        Ok(())
    }

    fn measure(&self, case: &Case, peer: &Peer, round: u32) -> Measurement {
        let load = machine::load();
        let need = Need {
            cores: case.cores,
            topics: case.topics,
            history_events: case.history_events,
            ours: case.ours.split_whitespace().map(str::to_owned).collect(),
        };
        let (command, outcome) = match (peer.start)(&need) {
            Ok(running) => {
                let said = client::measure(case, &running);
                (said.command, said.outcome)
            }
            Err(why) => (String::new(), Err(format!("did not start: {why}"))),
        };
        Measurement {
            target: case.target.into(),
            case: case.name.clone(),
            server: peer.name.into(),
            round,
            run: self.run,
            commit: self.commit.clone(),
            machine: self.machine.clone(),
            command,
            load,
            outcome,
        }
    }
}
