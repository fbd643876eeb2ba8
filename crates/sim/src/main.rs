//! `cargo run -p tidewire-sim --release -- --seeds 10000 [--from N]`, `-- --seed N`, `-- mutants`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people, and for xtask"
)]

mod mutants;

use std::process::ExitCode;
use std::time::Instant;

use tidewire_sim::run::{keep_panics, run_seed, run_seeds, shorten};
use tidewire_sim::tally;

const USAGE: &str = "\
tidewire-sim --seeds COUNT [--from SEED] [--threads N] [--brief 1]
                                                         run seeds; print what happened; fail on what never did
tidewire-sim --seed SEED                                 run one seed; if it fails, shorten it and print it
tidewire-sim mutants [--seeds COUNT]                     break the engine in each known way and see it noticed
";

/// The lines of a shortened history that are printed, from its end.
const TRACE_LINES_MAX: usize = 80;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(flags) = parse(&args) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    if args.first().is_some_and(|arg| arg == "mutants") {
        return exit(mutants::run(flags.seeds.unwrap_or(3_000)));
    }
    keep_panics();
    match flags.seed {
        Some(seed) => exit(one(seed)),
        None => exit(many(&flags)),
    }
}

fn exit(fine: bool) -> ExitCode {
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Default)]
struct Flags {
    seed: Option<u64>,
    seeds: Option<u64>,
    from: u64,
    threads: Option<usize>,
    /// Do not shorten a failure.
    brief: bool,
}

fn parse(args: &[String]) -> Option<Flags> {
    let mut flags = Flags::default();
    let mut args = args.iter().filter(|arg| *arg != "mutants");
    while let Some(flag) = args.next() {
        let value: u64 = args.next()?.parse().ok()?;
        match flag.as_str() {
            "--seed" => flags.seed = Some(value),
            "--seeds" => flags.seeds = Some(value),
            "--from" => flags.from = value,
            "--brief" => flags.brief = value > 0,
            "--threads" => flags.threads = usize::try_from(value).ok(),
            _ => return None,
        }
    }
    Some(flags)
}

fn one(seed: u64) -> bool {
    match run_seed(seed) {
        Ok(tally) => {
            print_tally(&tally);
            println!("seed {seed}: fine");
            true
        }
        Err(_) => {
            report(seed);
            false
        }
    }
}

fn many(flags: &Flags) -> bool {
    let count = flags.seeds.unwrap_or(1_000);
    let threads = flags
        .threads
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
        .unwrap_or(1);
    let start = Instant::now();
    match run_seeds(flags.from, count, threads) {
        Err((seed, why)) => {
            println!("seed {seed} failed: {why}");
            if !flags.brief {
                report(seed);
            }
            false
        }
        Ok(tally) => {
            print_tally(&tally);
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "{count} seeds, {seconds:.1} s, {:.0} seeds/s",
                count as f64 / seconds
            );
            let missing: Vec<_> = tally.missing().collect();
            if !missing.is_empty() {
                println!("never happened: {}", missing.join(", "));
            }
            missing.is_empty()
        }
    }
}

fn print_tally(tally: &tally::Tally) {
    for (what, times) in tally.iter() {
        println!("{times:>14}  {what}");
    }
}

fn report(seed: u64) {
    let Some(failure) = shorten(seed) else {
        println!(
            "seed {seed} failed once and not again: something in the engine is not determined by its seed"
        );
        return;
    };
    let skipped = failure.trace.len().saturating_sub(TRACE_LINES_MAX);
    println!("shortened to {} operations:", failure.ops.len());
    for line in &failure.trace[skipped..] {
        println!("{line}");
    }
    println!("{}", failure.why);
    println!("run again: cargo run -p tidewire-sim --release -- --seed {seed}");
}
