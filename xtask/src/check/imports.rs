//! Compares the real dependency edges between our crates with the table.

use super::Verdict;
use super::import_table::{DEV_EXEMPT, TABLE};
use crate::workspace::{DependencyKind, Workspace};

pub(super) fn check(workspace: &Workspace) -> Verdict {
    let mut edges = Vec::new();
    let mut findings = Vec::new();
    for package in workspace.members() {
        for dependency in &package.dependencies {
            if workspace.member(&dependency.name).is_some() {
                edges.push((
                    package.name.as_str(),
                    dependency.name.as_str(),
                    dependency.kind,
                ));
            }
        }
        if TABLE.iter().all(|row| row.package != package.name) {
            findings.push(format!("{} is not in the table", package.name));
        }
    }
    findings.extend(
        edges
            .iter()
            .filter(|edge| !allows(edge))
            .map(|(from, to, kind)| {
                let kind = match kind {
                    DependencyKind::Dev => " (dev-dependency)",
                    _ => "",
                };
                format!("{from} must not import {to}{kind}")
            }),
    );
    Verdict::of(
        findings,
        format!("{} edges between our crates, all in the table", edges.len()),
        "the design forbids these edges (ARCHITECTURE.md, who may import whom): move the code, or change \
         the table there and in xtask/src/check/import_table.rs with the reason",
    )
}

fn allows(&(from, to, kind): &(&str, &str, DependencyKind)) -> bool {
    let in_table = TABLE
        .iter()
        .any(|row| row.package == from && row.may_import.contains(&to));
    let is_exempt = || {
        // A crate may test itself with one of its own features on.
        from == to
            || DEV_EXEMPT
                .iter()
                .any(|edge| edge.package == from && edge.imports == to)
    };
    in_table || (kind == DependencyKind::Dev && is_exempt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_judged_by_the_table() {
        let (normal, dev) = (DependencyKind::Normal, DependencyKind::Dev);
        for (from, to, kind, expected) in [
            ("tidewire-engine", "tidewire-log", normal, true),
            ("tidewire-engine", "tidewire-auth", normal, false),
            ("tidewire-engine", "tidewire-log-disk", normal, false),
            ("tidewire-engine", "tidewire-log-disk", dev, false),
            ("tidewire-engine", "tidewire-codec", normal, false),
            ("tidewire-engine", "tidewire-codec", dev, true),
            ("tidewire-codec", "tidewire-core", dev, false),
            ("tidewire-sim", "tidewire", normal, false),
            ("tidewire-log", "tidewire-log", dev, true),
            ("tidewire-log", "tidewire-log", normal, false),
            ("unknown", "tidewire-codec", normal, false),
        ] {
            assert_eq!(
                allows(&(from, to, kind)),
                expected,
                "{from} -> {to} {kind:?}"
            );
        }
    }

    #[test]
    fn the_table_has_no_cycle() {
        fn reaches(from: &str, to: &str) -> bool {
            TABLE.iter().filter(|row| row.package == from).any(|row| {
                row.may_import
                    .iter()
                    .any(|next| *next == to || reaches(next, to))
            })
        }
        for row in TABLE {
            assert!(!reaches(row.package, row.package), "{}", row.package);
        }
    }
}
