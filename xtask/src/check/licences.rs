//! Licences, bans and sources of all dependencies, against `deny.toml`: by cargo-deny where it is installed, else by a
//! reading of our own of the same file and of `cargo metadata`.

use std::fs;

use toml::Table;

use super::Verdict;
use super::spdx;
use crate::process;
use crate::workspace::{Package, Workspace};

const REMEDY: &str = "take another dependency, or turn off the feature that brings it (`cargo tree -i NAME`); \
                      what is allowed is in deny.toml";

pub(super) fn check(workspace: &Workspace) -> Verdict {
    if process::find_program(&["cargo-deny"]).is_some() {
        let deny = [
            "deny",
            "--all-features",
            "check",
            "licenses",
            "bans",
            "sources",
        ];
        return match process::capture(process::cargo().args(deny)) {
            Ok(_) => Verdict::Holds("cargo-deny has no complaint".into()),
            Err(complaint) => Verdict::Broken {
                findings: vec![complaint],
                remedy: REMEDY,
            },
        };
    }
    let policy = match Policy::read() {
        Ok(policy) => policy,
        Err(why) => {
            return Verdict::Broken {
                findings: vec![why],
                remedy: "mend deny.toml",
            };
        }
    };
    let findings = workspace
        .packages
        .iter()
        .filter_map(|p| policy.finding(p, is_built))
        .collect();
    Verdict::of(
        findings,
        format!(
            "{} packages by our own reading (cargo-deny is not installed)",
            workspace.packages.len()
        ),
        REMEDY,
    )
}

/// Whether any build of ours holds it: `cargo metadata` also lists what only a feature that is off would bring
/// (<https://github.com/rust-lang/cargo/issues/10801>).
fn is_built(name: &str) -> bool {
    let tree = [
        "tree",
        "--workspace",
        "--all-features",
        "--target",
        "all",
        "-i",
    ];
    process::capture(process::cargo().args(tree).arg(name))
        .is_ok_and(|tree| !tree.trim().is_empty())
}

struct Policy {
    allowed: Vec<String>,
    banned: Vec<String>,
}

impl Policy {
    fn read() -> Result<Self, String> {
        let text = fs::read_to_string(process::root().join("deny.toml"))
            .map_err(|error| format!("deny.toml: {error}"))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: Table = text
            .parse()
            .map_err(|error| format!("deny.toml: {error}"))?;
        let list = |section: &str, key: &str| {
            table
                .get(section)
                .and_then(|section| section.get(key))
                .and_then(toml::Value::as_array)
                .ok_or_else(|| format!("deny.toml has no list {section}.{key}"))
        };
        let name = |value: &toml::Value| {
            let name = value
                .get("crate")
                .or_else(|| value.get("name"))
                .unwrap_or(value);
            name.as_str().map(str::to_owned)
        };
        Ok(Self {
            allowed: list("licenses", "allow")?.iter().filter_map(name).collect(),
            banned: list("bans", "deny")?.iter().filter_map(name).collect(),
        })
    }

    fn finding(&self, package: &Package, is_built: impl Fn(&str) -> bool) -> Option<String> {
        let Package { name, version, .. } = package;
        if self.banned.contains(name) && is_built(name) {
            return Some(format!("{name} {version} is banned"));
        }
        if package
            .source
            .as_deref()
            .is_some_and(|source| !source.starts_with("registry+"))
        {
            return Some(format!("{name} {version} does not come from the registry"));
        }
        let Some(licence) = &package.licence else {
            return Some(format!("{name} {version} names no licence"));
        };
        match spdx::is_met(licence, &self.allowed) {
            Ok(true) => None,
            Ok(false) => Some(format!("{name} {version}: `{licence}` is not allowed")),
            Err(why) => Some(format!("{name} {version}: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [{ crate = \"ring\" }, \"openssl\", \"unbuilt\"]";

    fn package(name: &str, licence: Option<&str>, source: Option<&str>) -> Package {
        Package {
            name: name.into(),
            version: "1.0.0".into(),
            licence: licence.map(str::to_owned),
            source: source.map(str::to_owned),
            is_member: false,
            folder: "".into(),
            dependencies: Vec::new(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn packages_are_judged() -> Result<(), String> {
        let policy = Policy::parse(POLICY)?;
        for (name, licence, source, expected) in [
            ("a", Some("MIT"), Some("registry+x"), None),
            ("a", Some("MIT OR GPL-3.0"), None, None),
            (
                "a",
                Some("GPL-3.0"),
                None,
                Some("a 1.0.0: `GPL-3.0` is not allowed"),
            ),
            ("a", None, None, Some("a 1.0.0 names no licence")),
            (
                "a",
                Some("MIT"),
                Some("git+x"),
                Some("a 1.0.0 does not come from the registry"),
            ),
            ("ring", Some("MIT"), None, Some("ring 1.0.0 is banned")),
            ("unbuilt", Some("MIT"), None, None),
            (
                "openssl",
                Some("MIT"),
                None,
                Some("openssl 1.0.0 is banned"),
            ),
        ] {
            let found = policy.finding(&package(name, licence, source), |name| name != "unbuilt");
            assert_eq!(found.as_deref(), expected, "{name} {licence:?} {source:?}");
        }
        Ok(())
    }

    #[test]
    fn a_policy_without_lists_is_refused() {
        assert!(Policy::parse("[licenses]\nallow = [\"MIT\"]").is_err());
        assert!(Policy::parse("[bans]\ndeny = []").is_err());
    }
}
