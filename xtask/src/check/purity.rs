//! Holds the pure crates to their word: no clock, randomness, environment, file or socket.
//!
//! A wasm build proves it where that target is installed; the look at the source stands in where it is not, and names the line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Verdict;
use super::import_table::{PURE, Pure};
use super::source::{code_in_force, has_word, rust_files};
use crate::process;
use crate::workspace::{DependencyKind, Package, Workspace};

const WASM: &str = "wasm32-unknown-unknown";

/// What must not be named in a pure crate, and what to take instead.
const FORBIDDEN_WORDS: &[(&str, &str)] = &[
    ("Instant", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("UNIX_EPOCH", "time is an argument"),
    ("RandomState", "the seed is an argument"),
    ("getrandom", "the seed is an argument"),
    ("rand", "the seed is an argument"),
    ("std::env", "settings are arguments"),
    ("std::fs", "files belong to a backend or the binary"),
    (
        "std::net",
        "sockets belong to the engine's driver and to http; address types are in core::net",
    ),
    ("std::os", "the platform belongs to the engine's driver"),
    ("std::process", "only the binary exits or starts programs"),
    ("std::thread", "threads belong to a driver"),
    ("stdin", "input comes as bytes"),
    ("stdout", "output goes to the caller"),
    ("stderr", "output goes to the caller"),
    ("tokio", "a runtime belongs to a driver"),
    ("rustix", "the platform belongs to the engine's driver"),
    ("socket2", "sockets belong to the engine's driver"),
    ("libc", "the platform belongs to the engine's driver"),
];

/// Names that are forbidden as `use std::{NAME, ...}` too.
const FORBIDDEN_STD: &[&str] = &["env", "fs", "net", "os", "process", "thread"];

/// Crates that a pure one cannot depend on unless a feature that is off brings them.
const FORBIDDEN_CRATES: &[&str] = &[
    "axum",
    "getrandom",
    "h2",
    "hyper",
    "libc",
    "mio",
    "rand",
    "rustix",
    "socket2",
    "tempfile",
    "tokio",
];

pub(super) fn check_source(workspace: &Workspace) -> Verdict {
    let mut findings = Vec::new();
    let mut files_count = 0;
    let crates = PURE
        .iter()
        .filter_map(|pure| Some((pure, workspace.member(pure.package)?)));
    for (pure, package) in crates {
        findings.extend(impure_dependencies(package));
        let (count, found) = scan(pure, package);
        files_count += count;
        findings.extend(found);
    }
    Verdict::of(
        findings,
        format!(
            "{files_count} files of the pure crates touch no clock, chance, environment, file or socket"
        ),
        "take it as an argument, or move it behind the crate's driver feature \
         (features and crates: xtask/src/check/import_table.rs)",
    )
}

fn impure_dependencies(package: &Package) -> Vec<String> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal && !dependency.is_optional)
        .filter(|dependency| FORBIDDEN_CRATES.contains(&dependency.name.as_str()))
        .map(|dependency| format!("{} depends on {}", package.name, dependency.name))
        .collect()
}

/// How many files were read, and what they name that they must not.
fn scan(pure: &Pure, package: &Package) -> (usize, Vec<String>) {
    let is_off = |condition: &str| is_off(condition, pure.features_off);
    let mut files = Vec::new();
    let mut off = BTreeSet::new();
    for file in rust_files(&package.folder.join("src")) {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if text
            .lines()
            .any(|line| line.starts_with("#![cfg(") && is_off(line))
        {
            continue;
        }
        let (code, modules_off) = code_in_force(&text, is_off);
        for module in modules_off {
            let folder = module_folder(&file);
            off.insert(folder.join(format!("{module}.rs")));
            off.insert(folder.join(module));
        }
        files.push((file, code));
    }
    files.retain(|(file, _)| !off.iter().any(|path| file.starts_with(path)));
    let found = files
        .iter()
        .flat_map(|(file, code)| forbidden_in(file, code))
        .collect();
    (files.len(), found)
}

/// Whether an item under `#[cfg(condition)]` is no part of the pure build.
fn is_off(condition: &str, features_off: &[&str]) -> bool {
    let names_feature = |feature: &&str| condition.contains(&format!("\"{feature}\""));
    !condition.contains("not(")
        && (has_word(condition, "test") || features_off.iter().any(names_feature))
}

/// Where the files of modules declared in `file` lie.
fn module_folder(file: &Path) -> PathBuf {
    let parent = file.parent().unwrap_or(Path::new(""));
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") | None => parent.to_path_buf(),
        Some(stem) => parent.join(stem),
    }
}

fn forbidden_in(file: &Path, code: &str) -> Vec<String> {
    let shown = file.strip_prefix(process::root()).unwrap_or(file).display();
    let mut found = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        for (word, instead) in FORBIDDEN_WORDS
            .iter()
            .filter(|(word, _)| has_word(line, word))
        {
            found.push(format!("{shown}:{number}: {word}: {instead}"));
        }
    }
    for (at, _) in code.match_indices("std::{") {
        let list = code[at..].split(';').next().unwrap_or_default();
        let number = code[..at].lines().count();
        for name in FORBIDDEN_STD.iter().filter(|name| has_word(list, name)) {
            found.push(format!("{shown}:{number}: std::{name}"));
        }
    }
    found
}

pub(super) fn check_wasm(workspace: &Workspace) -> Verdict {
    let has_target = process::capture(process::command("rustc").args([
        "--print=target-libdir",
        "--target",
        WASM,
    ]))
    .is_ok_and(|folder| Path::new(folder.trim()).is_dir());
    if !has_target {
        return Verdict::Skipped(format!(
            "the target {WASM} is not installed (rustup target add {WASM}); step `purity` stands in"
        ));
    }
    let mut findings = Vec::new();
    let mut count = 0;
    // One by one: features of packages built together are joined, and one crate's driver would hide in another's.
    for package in PURE.iter().map(|pure| pure.package) {
        if workspace.member(package).is_none() {
            continue;
        }
        count += 1;
        let build = [
            "build",
            "--quiet",
            "--lib",
            "--no-default-features",
            "--target",
            WASM,
            "-p",
            package,
        ];
        if let Err(complaint) = process::capture(process::cargo().args(build)) {
            findings.push(format!("{package}:\n{complaint}"));
        }
    }
    Verdict::of(
        findings,
        format!("{count} pure crates build for {WASM}"),
        "a pure crate must build there with its default features off",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        for (condition, expected) in [
            ("#[cfg(test)]", true),
            ("#[cfg(any(test, feature = \"conformance\"))]", true),
            ("#[cfg(feature = \"driver\")]", true),
            ("#[cfg(not(feature = \"driver\"))]", false),
            ("#[cfg(feature = \"other\")]", false),
            ("#[cfg(target_os = \"linux\")]", false),
        ] {
            assert_eq!(is_off(condition, &["driver"]), expected, "{condition}");
        }
    }

    #[test]
    fn forbidden_names_are_found_with_their_line() {
        for (code, expected) in [
            (
                "use std::time::Instant;",
                vec!["x.rs:1: Instant: time is an argument"],
            ),
            (
                "\nuse std::{\n fmt,\n net::Ipv4Addr\n};",
                vec!["x.rs:2: std::net"],
            ),
            ("use std::fmt; let operand = 1;", vec![]),
            ("fn now(instant: u64) {}", vec![]),
        ] {
            assert_eq!(forbidden_in(Path::new("x.rs"), code), expected, "{code}");
        }
    }
}
