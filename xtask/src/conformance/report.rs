//! What is printed: failures with what was expected and seen, what was skipped and why, and a table of the protocol's lines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::options::Options;
use super::run::Outcome;
use super::suite::Case;

/// What became of a case.
pub(super) struct Verdict<'a> {
    pub(super) case: &'a Case,
    pub(super) came: Outcome,
}

impl Verdict<'_> {
    /// A line for a failure.
    pub(super) fn complaint(&self) -> Option<String> {
        match &self.came {
            Outcome::Failed(why) => Some(format!("{}: {why}", self.case.id)),
            _ => None,
        }
    }

    fn word(&self) -> &'static str {
        match self.came {
            Outcome::Passed => "passed",
            Outcome::Failed(_) => "failed",
            Outcome::Skipped(_) => "skipped",
        }
    }

    pub(super) fn json(&self) -> Value {
        let why = match &self.came {
            Outcome::Passed => None,
            Outcome::Failed(why) | Outcome::Skipped(why) => Some(why),
        };
        json!({
            "id": self.case.id, "lines": self.case.lines, "dialect": self.case.dialect.name(),
            "profile": self.case.profile, "outcome": self.word(), "why": why,
        })
    }
}

pub(super) fn list(cases: &[&Case]) {
    for case in cases {
        println!(
            "{:45} {:16} {:12} {}",
            case.id,
            case.profile,
            case.lines.join(" "),
            case.says
        );
    }
    println!("{} cases", cases.len());
}

/// Prints all of it; says whether nothing failed and something passed.
pub(super) fn print(verdicts: &[Verdict<'_>], options: &Options) -> bool {
    let count = |word: &str| verdicts.iter().filter(|one| one.word() == word).count();
    let good = count("failed") == 0 && count("passed") > 0;
    if options.json {
        let all: Vec<Value> = verdicts.iter().map(Verdict::json).collect();
        println!("{}", Value::Array(all));
        return good;
    }
    table(verdicts);
    complain(verdicts);
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    for verdict in verdicts {
        if let Outcome::Skipped(why) = &verdict.came {
            *skipped.entry(why).or_default() += 1;
        }
    }
    println!();
    for (why, count) in skipped {
        println!("{count} skipped: {why}");
    }
    println!(
        "{} passed, {} failed, {} skipped",
        count("passed"),
        count("failed"),
        count("skipped")
    );
    good
}

/// Each failure, with what must hold, what was expected and what was seen.
pub(super) fn complain(verdicts: &[Verdict<'_>]) {
    for verdict in verdicts {
        if let Outcome::Failed(why) = &verdict.came {
            let Case {
                id, says, lines, ..
            } = verdict.case;
            println!("\nFAILED {id} ({})\n  {says}\n  {why}", lines.join(", "));
        }
    }
}

/// A row for each line of the protocol that was tried.
fn table(verdicts: &[Verdict<'_>]) {
    let mut rows: BTreeMap<Vec<u32>, (&str, [usize; 3])> = BTreeMap::new();
    for verdict in verdicts {
        for line in &verdict.case.lines {
            let key = line
                .split('.')
                .map(|part| part.parse().unwrap_or(0))
                .collect();
            let (_, counts) = rows.entry(key).or_insert((line, [0; 3]));
            counts[match verdict.came {
                Outcome::Passed => 0,
                Outcome::Failed(_) => 1,
                Outcome::Skipped(_) => 2,
            }] += 1;
        }
    }
    println!("line    passed  failed  skipped");
    for (line, [passed, failed, skipped]) in rows.into_values() {
        println!("{line:6} {passed:7} {failed:7} {skipped:8}");
    }
}
