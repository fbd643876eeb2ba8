//! The project's words: no second name for a thing that has one, no `get_`, no drawer for odds and ends.

use std::fs;
use std::path::Path;

use super::Verdict;
use super::source::{code_only, rust_files};
use crate::process;
use crate::workspace::Workspace;

/// Words that public types must not be made of, and the project's own.
const FORBIDDEN_IN_TYPES: &[(&str, &str)] = &[
    ("Update", "Event or Record"),
    ("Message", "Event or Frame"),
    ("Channel", "Topic"),
    ("Session", "Subscriber"),
    ("Transport", "Log or Backend"),
    ("History", "Log"),
    ("Provider", "Backend"),
    ("Manager", "the noun of what it does"),
    ("Helper", "the noun of what it does"),
];

/// Modules that say nothing about what is in them.
const FORBIDDEN_MODULES: &[&str] = &["util", "utils", "common", "helpers", "misc"];

pub(super) fn check(workspace: &Workspace) -> Verdict {
    let mut findings = Vec::new();
    let mut files_count = 0;
    for package in workspace.members() {
        for file in rust_files(&package.folder) {
            files_count += 1;
            let shown = file
                .strip_prefix(process::root())
                .unwrap_or(&file)
                .to_path_buf();
            findings.extend(file_name_finding(&shown));
            let code = code_only(&fs::read_to_string(&file).unwrap_or_default());
            for (number, line) in (1..).zip(code.lines()) {
                let found = finding(line).map(|why| format!("{}:{number}: {why}", shown.display()));
                findings.extend(found);
            }
        }
    }
    Verdict::of(
        findings,
        format!("{files_count} files keep to the words of ARCHITECTURE.md"),
        "rename them; the words are in ARCHITECTURE.md",
    )
}

fn file_name_finding(file: &Path) -> Option<String> {
    let is_forbidden = |part: &Path| {
        part.file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| FORBIDDEN_MODULES.contains(&stem))
    };
    file.iter()
        .any(|part| is_forbidden(Path::new(part)))
        .then(|| format!("{}: name the module after what is in it", file.display()))
}

fn finding(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(name) = name_after(line, "fn ").filter(|name| name.starts_with("get_")) {
        return Some(format!("fn {name}: without `get_`"));
    }
    if let Some(name) = name_after(line, "mod ").filter(|name| FORBIDDEN_MODULES.contains(name)) {
        return Some(format!("mod {name}: name it after what is in it"));
    }
    if !line.starts_with("pub ") {
        return None;
    }
    let name = ["struct ", "enum ", "trait ", "type ", "union "]
        .iter()
        .find_map(|keyword| name_after(line, keyword))?;
    let (word, instead) = FORBIDDEN_IN_TYPES
        .iter()
        .find(|(word, _)| camel_words(name).any(|part| part == *word))?;
    Some(format!("{name}: say {instead}, not {word}"))
}

/// The identifier after `keyword`, where that begins a declaration: only modifiers may stand before it.
fn name_after<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let (before, after) = line.split_once(keyword)?;
    let is_modifier = |word: &str| {
        word.starts_with("pub")
            || matches!(
                word,
                "async" | "const" | "unsafe" | "extern" | "in" | "crate)" | "super)"
            )
    };
    if !before.split_whitespace().all(is_modifier) {
        return None;
    }
    let end = after
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(after.len());
    Some(&after[..end])
}

/// `EventIdError` as `Event`, `Id`, `Error`.
fn camel_words(name: &str) -> impl Iterator<Item = &str> {
    let mut starts: Vec<usize> = name
        .char_indices()
        .filter(|(_, c)| c.is_uppercase())
        .map(|(at, _)| at)
        .collect();
    starts.push(name.len());
    (1..starts.len()).map(move |i| &name[starts[i - 1]..starts[i]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (line, expected) in [
            ("pub struct EventId(u8);", None),
            (
                "pub struct SessionId(u8);",
                Some("SessionId: say Subscriber, not Session"),
            ),
            ("struct SessionId(u8);", None),
            ("pub(crate) struct HistoryItem;", None),
            (
                "pub trait Transport<T> {",
                Some("Transport: say Log or Backend, not Transport"),
            ),
            ("pub struct Updated;", None),
            (
                "    fn get_name(&self) {",
                Some("fn get_name: without `get_`"),
            ),
            (
                "pub(crate) async fn get_it() {",
                Some("fn get_it: without `get_`"),
            ),
            ("let x = fn get_x;", None),
            ("fn getter() {}", None),
            (
                "mod common;",
                Some("mod common: name it after what is in it"),
            ),
            ("mod commonly;", None),
        ] {
            assert_eq!(finding(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn file_names() {
        for (file, expected) in [
            ("crates/log/src/segment.rs", true),
            ("crates/log/src/util.rs", false),
            ("crates/log/tests/common/mod.rs", false),
        ] {
            assert_eq!(
                file_name_finding(Path::new(file)).is_none(),
                expected,
                "{file}"
            );
        }
    }
}
