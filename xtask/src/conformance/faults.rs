//! Faults planted in our own hub, one at a time: the suite must notice each. A fault is a text of a source file and another in
//! its place, made in a copy of the checkout.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;

use super::NO_HUB;
use super::hubs::Kind;
use super::options::Options;
use super::report::Verdict;
use super::run::Outcome as Came;
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
    let mut faults: Faults = read_toml(&folder().join("faults.toml"))?;
    faults
        .fault
        .retain(|fault| options.takes_fault(&fault.name));
    let field = Field::prepare(suite)?;
    let mut missed = 0;
    for fault in &faults.fault {
        let start = Instant::now();
        let said = match field.plant(fault) {
            Ok(noticed) if noticed.is_empty() => Err("NOT NOTICED".to_owned()),
            Ok(noticed) => Ok(format!("noticed: {}", noticed.join("\n           "))),
            Err(why) => Err(format!("FAILED: {why}")),
        };
        missed += usize::from(said.is_err());
        let seconds = start.elapsed().as_secs();
        let said = said.unwrap_or_else(|why| why);
        println!("{} ({}), {seconds} s\n  {said}", fault.name, fault.breaks);
        // Each takes a build: whoever waits wants to see where it is.
        let _ = std::io::stdout().flush();
    }
    println!("{} faults, {missed} not noticed", faults.fault.len());
    Ok(missed == 0)
}

/// Where faults are planted: a copy of the checkout.
struct Field<'a> {
    suite: &'a Suite,
    checkout: PathBuf,
    /// What fails without a fault, and so notices none.
    failing: Vec<String>,
}

impl<'a> Field<'a> {
    fn prepare(suite: &'a Suite) -> Result<Self, String> {
        let checkout = copy_checkout()?;
        let binary = build(&checkout)?;
        let mut field = Self {
            suite,
            checkout,
            failing: Vec::new(),
        };
        let all: Vec<&Case> = suite.cases.iter().collect();
        let failing = field.failures(&all, &binary)?;
        println!("without a fault {} cases fail", failing.len());
        for (id, why) in failing {
            println!("  {id}: {why}");
            field.failing.push(id);
        }
        Ok(field)
    }

    /// What noticed it.
    fn plant(&self, fault: &Fault) -> Result<Vec<String>, String> {
        let path = self.checkout.join(&fault.file);
        let fail = |error: std::io::Error| format!("{}: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(fail)?;
        if text.matches(&fault.old).count() != 1 {
            return Err(format!(
                "{} no longer holds the text once: mend faults.toml",
                fault.file
            ));
        }
        fs::write(&path, text.replacen(&fault.old, &fault.new, 1)).map_err(fail)?;
        let noticed = build(&self.checkout).and_then(|binary| self.judge(fault, &binary));
        fs::write(&path, text).map_err(fail)?;
        noticed
    }

    fn judge(&self, fault: &Fault, binary: &Path) -> Result<Vec<String>, String> {
        let named = |case: &&Case| {
            fault
                .noticed_by
                .iter()
                .any(|name| case.id.starts_with(name))
        };
        let named: Vec<&Case> = self.suite.cases.iter().filter(named).collect();
        if named.is_empty() {
            return Err("no case is called as `noticed_by` says".into());
        }
        let mut noticed = self.failures(&named, binary)?;
        if noticed.is_empty() {
            let all: Vec<&Case> = self.suite.cases.iter().collect();
            noticed = self.failures(&all, binary)?;
            if !noticed.is_empty() {
                println!("  (not by those that `noticed_by` names)");
            }
        }
        if noticed.iter().any(|(_, why)| why.starts_with(NO_HUB)) {
            return Err("the hub does not start with it".into());
        }
        let shown = noticed.into_iter().map(|(id, why)| format!("{id}: {why}"));
        Ok(shown.collect())
    }

    /// The ids of cases that fail, and why; a hub that does not start is another failure.
    fn failures(&self, cases: &[&Case], binary: &Path) -> Result<Vec<(String, String)>, String> {
        let mut failures = Vec::new();
        for Verdict { case, came } in super::against_kind(Kind::Ours, binary, self.suite, cases)? {
            match came {
                Came::Failed(why) if self.failing.contains(&case.id) => drop(why),
                Came::Failed(why) => failures.push((case.id.clone(), why)),
                Came::Passed | Came::Skipped(_) => {}
            }
        }
        Ok(failures)
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

/// In a folder of its own: cargo takes two checkouts of one workspace for the same, and would mix what was built of both.
fn build(checkout: &Path) -> Result<PathBuf, String> {
    let target = checkout.join("target");
    let mut build = process::cargo();
    build
        .args(["build", "--quiet", "-p", "tidewire"])
        .current_dir(checkout)
        .env("CARGO_TARGET_DIR", &target);
    process::capture(&mut build)?;
    Ok(target.join("debug/tidewire"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_can_still_be_planted() {
        let faults: Faults = read_toml(&folder().join("faults.toml")).unwrap();
        assert!(faults.fault.len() >= 20);
        for fault in &faults.fault {
            let text = fs::read_to_string(process::root().join(&fault.file)).unwrap();
            let count = text.matches(&fault.old).count();
            assert_eq!(count, 1, "{}: {} has its text", fault.name, fault.file);
        }
    }
}
