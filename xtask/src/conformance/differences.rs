//! Where another hub differs from the suite, and why: every failure must be explained, and every explanation must still hold.

use serde::Deserialize;

use super::options::Options;
use super::report::{self, Verdict};
use super::run::Outcome;
use super::suite::{folder, read_toml};

const FILE: &str = "mercure-0.24.2.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Differences {
    difference: Vec<Difference>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// Ids of cases.
    cases: Vec<String>,
    /// What must stand in each failure, so that another failure is not taken for this one.
    seen: String,
    /// `deviation`: the hub differs from the protocol's text; `dialect`: it speaks another version of it; `choice`: the text
    /// leaves it open and ours chose otherwise; `ours`: the case is about what ours promises beyond the protocol.
    kind: Kind,
    why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Deviation,
    Dialect,
    Choice,
    Ours,
}

/// Prints what differs; good if all of it is explained and every explanation was needed.
pub(super) fn judge(verdicts: &[Verdict<'_>], options: &Options) -> Result<bool, String> {
    report::print(verdicts, options);
    let known: Differences = read_toml(&folder().join(FILE))?;
    let mut wrong = Vec::new();
    let mut explained = 0;
    for verdict in verdicts {
        let id = &verdict.case.id;
        let difference = known.difference.iter().find(|one| one.cases.contains(id));
        match (&verdict.came, difference) {
            (Outcome::Failed(why), None) => wrong.push(format!("{id} is not explained: {why}")),
            (Outcome::Failed(why), Some(difference)) if !why.contains(&difference.seen) => {
                wrong.push(format!("{id} fails otherwise than explained: {why}"));
            }
            (Outcome::Failed(_), Some(_)) => explained += 1,
            (came, Some(_)) => {
                wrong.push(format!("{id} is explained, but does not differ: {came:?}"));
            }
            (_, None) => {}
        }
    }
    let ids = || verdicts.iter().map(|verdict| &verdict.case.id);
    let explained_ids = known.difference.iter().flat_map(|one| &one.cases);
    for id in explained_ids.filter(|_| options.is_whole()) {
        if !ids().any(|one| one == id) {
            wrong.push(format!("{id} is explained, but there is no such case"));
        }
    }
    if options.json {
        return Ok(wrong.is_empty());
    }
    let kinds = [Kind::Deviation, Kind::Dialect, Kind::Choice, Kind::Ours];
    for difference in kinds
        .iter()
        .flat_map(|kind| known.difference.iter().filter(move |one| one.kind == *kind))
    {
        let Difference {
            kind, why, cases, ..
        } = difference;
        println!("{kind:?}: {why} ({})", cases.join(", "));
    }
    println!("\n{explained} differences are explained in spec/hub/{FILE}");
    for line in &wrong {
        println!("WRONG {line}");
    }
    Ok(wrong.is_empty())
}
