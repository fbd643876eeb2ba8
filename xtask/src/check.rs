//! `cargo xtask check`: what must hold besides the tests. One line a step; a failure says what to do.

mod import_table;
mod imports;
mod licences;
mod names;
mod purity;
mod source;
mod spdx;

use crate::Outcome;
use crate::install;
use crate::process;
use crate::workspace::Workspace;

/// What a step came to.
pub(crate) enum Verdict {
    /// With a few words on what was looked at.
    Holds(String),
    /// What is wrong, a line each, and what to do about it.
    Broken {
        findings: Vec<String>,
        remedy: &'static str,
    },
    Skipped(String),
}

impl Verdict {
    /// Holds without findings, is broken otherwise.
    fn of(findings: Vec<String>, holds: String, remedy: &'static str) -> Self {
        if findings.is_empty() {
            Self::Holds(holds)
        } else {
            Self::Broken { findings, remedy }
        }
    }
}

struct Step {
    name: &'static str,
    run: fn(&Workspace) -> Verdict,
}

/// Cheap ones first: a wrong name should not wait for clippy.
const STEPS: &[Step] = &[
    Step {
        name: "imports",
        run: imports::check,
    },
    Step {
        name: "purity",
        run: purity::check_source,
    },
    Step {
        name: "names",
        run: names::check,
    },
    Step {
        name: "licences",
        run: licences::check,
    },
    Step {
        name: "sdk",
        run: sdk,
    },
    Step {
        name: "format",
        run: format,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "wasm",
        run: purity::check_wasm,
    },
    Step {
        name: "docs",
        run: docs,
    },
];

pub(crate) fn run(wanted: &[&str]) -> Outcome {
    if let Some(unknown) = wanted
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        return Outcome::WrongUsage(format!("`check` has no step `{unknown}`"));
    }
    let workspace = match Workspace::read() {
        Ok(workspace) => workspace,
        Err(why) => {
            println!("FAILED workspace: cargo cannot read it\n{why}");
            return Outcome::Failed;
        }
    };
    let (mut broken, mut skipped, mut count) = (0, 0, 0);
    for step in STEPS {
        if !wanted.is_empty() && !wanted.contains(&step.name) {
            continue;
        }
        count += 1;
        match (step.run)(&workspace) {
            Verdict::Holds(words) => println!("ok      {}: {words}", step.name),
            Verdict::Skipped(why) => {
                skipped += 1;
                println!("skipped {}: {why}", step.name);
            }
            Verdict::Broken { findings, remedy } => {
                broken += 1;
                println!("FAILED  {}: {remedy}", step.name);
                for finding in findings {
                    println!("    {}", finding.trim_end().replace('\n', "\n    "));
                }
            }
        }
    }
    println!(
        "check: {} of {count} steps hold, {broken} broken, {skipped} skipped",
        count - broken - skipped
    );
    Outcome::of(broken == 0)
}

fn sdk(_: &Workspace) -> Verdict {
    if !install::has_sdk_modules() {
        return Verdict::Skipped(
            "no node, or nothing in sdk/js/node_modules; `cargo xtask test` brings it, and checks this too".into(),
        );
    }
    let mut build = process::command("node");
    build
        .current_dir(install::sdk_dir())
        .args(["build.js", "--check"]);
    match process::capture(&mut build) {
        Ok(sizes) => Verdict::Holds(sizes.trim_end().replace('\n', "; ")),
        Err(why) => Verdict::Broken {
            findings: vec![shorten(&why, 20)],
            remedy: "run `npm run build` in sdk/js and commit what it writes; make it smaller if it is too large",
        },
    }
}

fn format(_: &Workspace) -> Verdict {
    match process::capture(process::cargo().args(["fmt", "--all", "--check"])) {
        Ok(_) => Verdict::Holds("rustfmt changes nothing".into()),
        Err(diff) => Verdict::Broken {
            findings: vec![shorten(&diff, 40)],
            remedy: "run `cargo fmt --all`",
        },
    }
}

fn clippy(_: &Workspace) -> Verdict {
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--quiet",
    ];
    match process::capture(process::cargo().args(clippy).args(["--", "-D", "warnings"])) {
        Ok(_) => Verdict::Holds("no warning in any target".into()),
        Err(warnings) => Verdict::Broken {
            findings: vec![shorten(&warnings, 200)],
            remedy: "mend each, or allow it in place with the reason; see them with \
                     `cargo clippy --workspace --all-targets --all-features`",
        },
    }
}

fn docs(_: &Workspace) -> Verdict {
    let doc = [
        "doc",
        "--workspace",
        "--no-deps",
        "--all-features",
        "--quiet",
    ];
    match process::capture(
        process::cargo()
            .args(doc)
            .env("RUSTDOCFLAGS", "-D warnings"),
    ) {
        Ok(_) => Verdict::Holds("rustdoc has no warning".into()),
        Err(warnings) => Verdict::Broken {
            findings: vec![shorten(&warnings, 200)],
            remedy: "mend the documentation; see it with `cargo doc --workspace --no-deps`",
        },
    }
}

fn shorten(text: &str, lines_max: usize) -> String {
    let mut lines: Vec<&str> = text.lines().take(lines_max + 1).collect();
    if lines.len() > lines_max {
        lines.truncate(lines_max);
        lines.push("... and more");
    }
    lines.join("\n")
}
