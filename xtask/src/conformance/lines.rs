//! The numbered lines of the protocol's description: each names its cases, or says why it has none. The table in
//! `spec/hub/README.md` is written from the cases, and checked.

use std::fmt::Write as _;
use std::fs;

use super::suite::{Case, Suite, folder};

const BEGIN: &str = "<!-- lines: written by `cargo xtask conformance --write-lines` -->\n";
const END: &str = "<!-- lines end -->\n";

/// `Err` says which line has no case and no reason, which case a line that is not there, and whether the table is old.
pub(super) fn check(suite: &Suite) -> Result<(), String> {
    let mut wrong = Vec::new();
    for line in &suite.lines {
        let has_cases = !cases(suite, &line.number).is_empty();
        match (has_cases, &line.without) {
            (false, None) => wrong.push(format!(
                "line {} has neither a case nor a reason",
                line.number
            )),
            (true, Some(_)) => wrong.push(format!(
                "line {} has cases, and a reason to have none",
                line.number
            )),
            _ => {}
        }
    }
    for case in &suite.cases {
        let known = |number: &String| suite.lines.iter().any(|line| &line.number == number);
        if case.lines.is_empty() || !case.lines.iter().all(known) {
            wrong.push(format!(
                "{}: {:?} are not lines of lines.toml",
                case.id, case.lines
            ));
        }
        if suite
            .cases
            .iter()
            .filter(|other| other.id == case.id)
            .count()
            > 1
        {
            wrong.push(format!("{} is there twice", case.id));
        }
        if !suite.profiles.contains_key(&case.profile) {
            wrong.push(format!(
                "{}: no profile is called `{}`",
                case.id, case.profile
            ));
        }
    }
    let readme = read()?;
    if !readme.contains(&table(suite)) {
        wrong.push(
            "the table in spec/hub/README.md is old: `cargo xtask conformance --write-lines`"
                .into(),
        );
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n")),
    }
}

pub(super) fn write(suite: &Suite) -> Result<(), String> {
    let readme = read()?;
    let parts = readme
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or("spec/hub/README.md has lost the marks of its table")?;
    let path = folder().join("README.md");
    fs::write(&path, format!("{before}{}{after}", table(suite)))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn read() -> Result<String, String> {
    let path = folder().join("README.md");
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn cases<'a>(suite: &'a Suite, number: &str) -> Vec<&'a Case> {
    suite
        .cases
        .iter()
        .filter(|case| case.lines.iter().any(|line| line == number))
        .collect()
}

fn table(suite: &Suite) -> String {
    let mut out = format!("{BEGIN}\n| line | says | cases |\n|---|---|---|\n");
    for line in &suite.lines {
        // The rows of a case share its name; the table names it once, with how many they are.
        let mut names: Vec<(&str, usize)> = Vec::new();
        for case in cases(suite, &line.number) {
            let name = case.id.split('/').next().unwrap_or_default();
            match names.iter_mut().find(|(one, _)| *one == name) {
                Some((_, count)) => *count += 1,
                None => names.push((name, 1)),
            }
        }
        let shown: Vec<String> = names
            .iter()
            .map(|(name, count)| match count {
                1 => format!("`{name}`"),
                _ => format!("`{name}` ({count})"),
            })
            .collect();
        let shown = match &line.without {
            Some(why) => format!("none: {why}"),
            None => shown.join(", "),
        };
        let says = line.says.replace('|', "\\|");
        _ = writeln!(out, "| {} | {says} | {shown} |", line.number);
    }
    _ = writeln!(
        out,
        "\n{} cases, of which {} modern.",
        suite.cases.len(),
        modern(suite)
    );
    out.push('\n');
    out.push_str(END);
    out
}

fn modern(suite: &Suite) -> usize {
    suite
        .cases
        .iter()
        .filter(|case| case.dialect == super::suite::Dialect::Modern)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole of `spec/hub` can be read, and its lines and cases name each other.
    #[test]
    fn the_suite_is_whole() {
        let suite = Suite::read().unwrap();
        check(&suite).unwrap();
        assert!(suite.cases.len() >= 150, "{}", suite.cases.len());
    }
}
