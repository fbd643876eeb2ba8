//! `cargo xtask test`: every test there is, from the smallest to the browser, and an honest count at the end.

mod tally;

use std::fs;
use std::path::Path;
use std::time::Instant;

use self::tally::{Tally, add_cargo_line, read_tap};
use crate::Outcome;
use crate::conformance;
use crate::install::{self, Policy};
use crate::process;

/// Seeds of the simulation in one run.
const SEEDS: &str = "10000";

pub(crate) fn run(policy: Policy) -> Outcome {
    if let Err(why) = install::ensure(policy) {
        println!("FAILED: {why}");
        return Outcome::Failed;
    }
    let stages: [(&str, fn() -> Tally); 7] = [
        ("cargo test", cargo_test),
        ("rust clients", rust_clients),
        ("conformance", conformance),
        ("browser SDK", browser_sdk),
        ("simulation", simulation),
        ("end to end", end_to_end),
        ("clients", clients),
    ];
    let mut total = Tally::default();
    let mut report = Vec::new();
    for (name, stage) in stages {
        println!("\n== {name}");
        let start = Instant::now();
        let tally = stage();
        report.push(format!(
            "{name:12} {} in {} s",
            tally.counts(),
            start.elapsed().as_secs()
        ));
        report.extend(tally.notes.iter().map(|note| format!("            {note}")));
        total.add(&tally);
    }
    println!("\n== all\n{}", report.join("\n"));
    println!("{}", total.counts());
    Outcome::of(total.failed == 0 && total.passed > 0)
}

fn cargo_test() -> Tally {
    let mut tally = Tally::default();
    // Without `--no-fail-fast` a failure in one crate would hide those of the rest.
    let mut test = process::cargo();
    test.args(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    let succeeded = process::pass_through_and(&mut test, |line| add_cargo_line(&mut tally, line));
    tally.settle(succeeded, "cargo test failed besides its tests: see above");
    tally
}

/// Our client beside others, which docs/client-comparison.md tells of. Their workspace is another: they bring what ours does without.
fn rust_clients() -> Tally {
    let mut tally = Tally::default();
    let mut test = process::cargo();
    test.args(["test", "--no-fail-fast"])
        .args(["--manifest-path", "tests/clients/rust/Cargo.toml"])
        .arg("--target-dir")
        .arg(install::clients::rust_target_dir());
    let succeeded = process::pass_through_and(&mut test, |line| add_cargo_line(&mut tally, line));
    tally.settle(succeeded, "the Rust clients do not build: see above");
    tally
}

/// Our hub against the suite for Mercure hubs, a test for each case.
fn conformance() -> Tally {
    match conformance::count_ours() {
        Ok((passed, complaints)) => Tally {
            passed,
            failed: complaints.len() as u64,
            notes: complaints
                .into_iter()
                .map(|why| format!("failed: {why}"))
                .collect(),
            ..Tally::default()
        },
        Err(why) => Tally::of_one(false, &why),
    }
}

/// The seeded world counts as one test: a failing seed is printed with the command that runs it again.
fn simulation() -> Tally {
    let mut run = process::cargo();
    run.args([
        "run",
        "--release",
        "--quiet",
        "-p",
        "tidewire-sim",
        "--",
        "--seeds",
        SEEDS,
    ]);
    Tally::of_one(
        process::pass_through(&mut run),
        "the simulation failed: see its seed above",
    )
}

/// Its own tests, and whether the hub serves what its sources build; how it does in a browser is told end to end.
fn browser_sdk() -> Tally {
    if !install::has_sdk_modules() {
        return Tally::skipped(
            "the browser SDK needs node and sdk/js/node_modules: run without --no-install",
        );
    }
    let mut build = process::command("node");
    build
        .current_dir(install::sdk_dir())
        .args(["build.js", "--check"]);
    let mut tally = Tally::of_one(
        process::pass_through(&mut build),
        "the SDK that the hub serves is not what sdk/js builds, or too large: see above",
    );
    let results = process::target_dir().join("sdk.tap");
    let mut tests = node_tests(&results);
    tests.current_dir(install::sdk_dir());
    let succeeded = process::pass_through(&mut tests);
    let mut tests = read_tap(&fs::read_to_string(&results).unwrap_or_default());
    tests.settle(succeeded, "the SDK's tests did not end well: see above");
    tally.add(&tests);
    tally.notes.extend(tests.notes);
    tally
}

fn end_to_end() -> Tally {
    if process::find_program(&["node"]).is_none() || !install::has_node_modules() {
        return Tally::skipped(
            "end-to-end tests need node and tests/e2e/node_modules: run without --no-install",
        );
    }
    let results = process::target_dir().join("e2e.tap");
    with_hub(&mut node_tests(&results), &results)
}

/// Everyone else's clients, through a restart of the hub.
fn clients() -> Tally {
    if !install::clients::are_installed() {
        return Tally::skipped(
            "other people's clients need node and tests/clients/node_modules: run without --no-install",
        );
    }
    let results = process::target_dir().join("clients.tap");
    let mut tests = node_tests(&results);
    tests
        .current_dir(install::clients::dir())
        .env("CARGO_TARGET_DIR", process::target_dir());
    with_hub(&mut tests, &results)
}

/// Builds the hub, then runs tests that start it.
fn with_hub(tests: &mut std::process::Command, results: &Path) -> Tally {
    let mut build = process::cargo();
    build.args(["build", "--release", "-p", "tidewire"]);
    if !process::pass_through(&mut build) {
        return Tally::of_one(false, "the hub does not build");
    }
    let succeeded = process::pass_through(tests);
    let mut tally = read_tap(&fs::read_to_string(results).unwrap_or_default());
    tally.settle(succeeded, "these tests did not end well: see above");
    tally
}

fn node_tests(results: &Path) -> std::process::Command {
    let mut node = process::command("node");
    node.current_dir(install::e2e_dir())
        .env(
            "TIDEWIRE_BIN",
            process::target_dir().join("release/tidewire"),
        )
        // One after the other: each starts a hub and a browser, and some measure.
        .args(["--test", "--test-concurrency=1"])
        .args(["--test-reporter=spec", "--test-reporter-destination=stdout"])
        .arg("--test-reporter=tap")
        .arg(format!("--test-reporter-destination={}", results.display()));
    node
}
