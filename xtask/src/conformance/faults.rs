//! Faults planted in our own hub, one at a time: the suite must notice each. A fault is a text of a source file and another in
//! its place, made in a copy of the checkout.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;

use super::hubs::Kind;
use super::options::Options;
use super::report::Verdict;
use super::suite::{Case, Suite, folder, read_toml};
use crate::process;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Faults {
    fault: Vec<Fault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    name: String,
    breaks: String,
    file: String,
    old: String,
    new: String,
    /// The beginnings of ids of which one must fail.
    noticed_by: Vec<String>,
}

/// Plants each fault, builds the hub, and runs the cases that should notice it; then all of them, where none did.
pub(super) fn run(suite: &Suite, options: &Options) -> Result<bool, String> {
    let faults: Faults = read_toml(&folder().join("faults.toml"))?;
    let checkout = copy_checkout()?;
    let mut missed = Vec::new();
    for fault in &faults.fault {
        let start = Instant::now();
        let said = match one(fault, suite, options, &checkout) {
            Ok(noticed) if noticed.is_empty() => {
                missed.push(fault.name.clone());
                "NOT NOTICED".to_owned()
            }
            Ok(noticed) => format!("noticed: {}", noticed.join("; ")),
            Err(why) => {
                missed.push(fault.name.clone());
                format!("FAILED: {why}")
            }
        };
        let seconds = start.elapsed().as_secs();
        println!("{} ({}), {seconds} s\n  {said}", fault.name, fault.breaks);
    }
    println!(
        "{} faults, {} not noticed",
        faults.fault.len(),
        missed.len()
    );
    Ok(missed.is_empty())
}

fn one(
    fault: &Fault,
    suite: &Suite,
    options: &Options,
    checkout: &Path,
) -> Result<Vec<String>, String> {
    let path = checkout.join(&fault.file);
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(&path).map_err(fail)?;
    if text.matches(&fault.old).count() != 1 {
        return Err(format!(
            "{} no longer holds the text once: mend faults.toml",
            fault.file
        ));
    }
    fs::write(&path, text.replacen(&fault.old, &fault.new, 1)).map_err(fail)?;
    let noticed = build(checkout).and_then(|binary| {
        let named: Vec<&Case> = suite
            .cases
            .iter()
            .filter(|case| fault.names(case))
            .collect();
        if named.is_empty() {
            return Err("no case has a name that it gives".into());
        }
        let noticed = failures(suite, &named, &binary)?;
        if !noticed.is_empty() {
            return Ok(noticed);
        }
        let all: Vec<&Case> = suite
            .cases
            .iter()
            .filter(|case| options.takes(case))
            .collect();
        failures(suite, &all, &binary)
    });
    fs::write(&path, text).map_err(fail)?;
    noticed
}

fn failures(suite: &Suite, cases: &[&Case], binary: &Path) -> Result<Vec<String>, String> {
    let verdicts = super::against_kind(Kind::Ours, binary, suite, cases)?;
    Ok(verdicts.iter().filter_map(Verdict::complaint).collect())
}

impl Fault {
    fn names(&self, case: &Case) -> bool {
        self.noticed_by.iter().any(|name| case.id.starts_with(name))
    }
}

/// The files that git knows, beside what is built: only what a fault touches is built again.
fn copy_checkout() -> Result<PathBuf, String> {
    let copy = process::target_dir().join("conformance-faults");
    let mut git = process::command("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let listed = process::capture(&mut git)?;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (process::root().join(name), copy.join(name));
        let Ok(bytes) = fs::read(&from) else {
            continue;
        };
        // An equal file keeps its time, so that cargo does not build it again.
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        let folder = to.parent().ok_or("a file without a folder")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&to, bytes))
            .map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(copy)
}

fn build(checkout: &Path) -> Result<PathBuf, String> {
    let mut build = process::cargo();
    build
        .args(["build", "--quiet", "-p", "tidewire"])
        .current_dir(checkout)
        .env("CARGO_TARGET_DIR", process::target_dir());
    process::capture(&mut build)?;
    // The next ordinary build puts its own binary in this place.
    let copy = checkout.join("tidewire-with-a-fault");
    fs::copy(process::target_dir().join("debug/tidewire"), &copy)
        .map_err(|error| format!("{}: {error}", copy.display()))?;
    Ok(copy)
}
