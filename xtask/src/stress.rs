//! `cargo xtask fuzz` and `cargo xtask crash`: thin covers for the runs that take as long as one gives them.

use std::fs;

use crate::Outcome;
use crate::process;

/// Runs each target of `fuzz/` for `seconds`.
pub(crate) fn fuzz(seconds: u64) -> Outcome {
    if process::find_program(&["cargo-fuzz"]).is_none() {
        println!("cargo-fuzz is not installed: cargo install cargo-fuzz --locked");
        return Outcome::Failed;
    }
    let targets = match process::capture(process::cargo().args(["fuzz", "list"])) {
        Ok(targets) => targets,
        Err(why) => {
            println!("cargo-fuzz finds no targets in fuzz/:\n{why}");
            return Outcome::Failed;
        }
    };
    let mut failed = Vec::new();
    for target in targets.lines() {
        let mut run = process::cargo();
        // The sanitizer's flags are unstable; this lets the stable compiler of the repository take them.
        run.env("RUSTC_BOOTSTRAP", "1")
            .args(["fuzz", "run", target, "--", "-timeout=10"])
            .arg(format!("-max_total_time={seconds}"));
        if !process::pass_through(&mut run) {
            failed.push(target);
        }
    }
    match failed.as_slice() {
        [] => println!(
            "fuzz: {} targets for {seconds} s each found nothing",
            targets.lines().count()
        ),
        _ => println!(
            "fuzz: FAILED: {}; the inputs are in fuzz/artifacts",
            failed.join(", ")
        ),
    }
    Outcome::of(failed.is_empty())
}

/// Runs the kill tests with that many rounds.
pub(crate) fn crash(rounds: u64) -> Outcome {
    let test = process::root().join("crates/tidewire/tests/crash.rs");
    if fs::metadata(&test).is_err() {
        println!("there is no {}", test.display());
        return Outcome::Failed;
    }
    let mut run = process::cargo();
    run.env("TIDEWIRE_CRASH_ROUNDS", rounds.to_string()).args([
        "test",
        "-p",
        "tidewire",
        "--test",
        "crash",
        "--test",
        "crash_batches",
        "--",
        "--nocapture",
    ]);
    Outcome::of(process::pass_through(&mut run))
}
