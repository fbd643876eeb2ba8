//! Calls `tidewire bench` against a running server and reads what it says.

use std::process::Command;

use serde_json::Value;

use super::cases::Case;
use super::peers::built;
use super::server::{Cores, Endpoints, Running};
use crate::process;

/// A measurement that takes longer is given up; the longest loads for six minutes.
const SECONDS_MAX: &str = "480";

const CLIENT_CORE: &str = "1";

/// What a case begins with that is measured in a browser.
pub(super) const CHROMIUM: &str = "chromium";
const CHROMIUM_SCRIPT: &str = "bench/chromium/latency.mjs";

/// The command as a reader could type it, and its result.
pub(crate) struct Said {
    pub(crate) command: String,
    pub(crate) outcome: Result<Value, String>,
}

pub(crate) fn measure(case: &Case, running: &Running) -> Said {
    match case.bench.strip_prefix(CHROMIUM) {
        Some(rest) => measure_in_browser(rest, running),
        None => measure_at_socket(case, running),
    }
}

/// The script brings its own load: subscribers of `tidewire bench`, on the client's core as it is itself.
fn measure_in_browser(bench: &str, running: &Running) -> Said {
    let mut command = process::command("timeout");
    command
        .args(["--foreground", "-k", "5", SECONDS_MAX])
        .args(["taskset", "-c", CLIENT_CORE, "node", CHROMIUM_SCRIPT])
        .args(bench.split_whitespace())
        .args(["--url", origin(&running.endpoints), "--tidewire"])
        .arg(built("tidewire"));
    Said {
        command: format!("node {CHROMIUM_SCRIPT}{bench}"),
        outcome: process::capture(&mut command).and_then(|text| result(&text)),
    }
}

fn measure_at_socket(case: &Case, running: &Running) -> Said {
    let mut arguments = arguments(&case.bench, running);
    // What is lost is a figure here, not a failure.
    arguments.extend(["--json".into(), "--allow-loss".into()]);
    if case.cores == Cores::One {
        arguments.extend(["--client-cpu".into(), CLIENT_CORE.into()]);
    }
    for pid in running.pids() {
        arguments.extend(["--pid".into(), pid.to_string()]);
    }
    let shown = shown(case);
    let outcome = process::capture(&mut command(&arguments)).and_then(|text| result(&text));
    Said {
        command: shown,
        outcome,
    }
}

/// With the hub's own flags, where it has some.
fn shown(case: &Case) -> String {
    let bench = format!("tidewire bench {}", case.bench);
    match case.ours.as_str() {
        "" => bench,
        flags => format!("{bench} (`serve {flags}`)"),
    }
}

fn command(arguments: &[String]) -> Command {
    let mut command = process::command("timeout");
    command
        .args(["--foreground", "-k", "5", SECONDS_MAX])
        .arg(built("tidewire"))
        .arg("bench")
        .args(arguments);
    command
}

/// The case's own arguments, and how to ask this server.
fn arguments(bench: &str, running: &Running) -> Vec<String> {
    let endpoints = &running.endpoints;
    let folder = running.folder().display().to_string();
    let fill = |word: &str| {
        word.replace("{folder}", &folder)
            .replace("{origin}", origin(endpoints))
    };
    let mut arguments: Vec<String> = bench.split_whitespace().map(fill).collect();
    let mut option =
        |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
    option("--subscribe-url", &endpoints.subscribe_url);
    option("--publish-url", &endpoints.publish_url);
    option("--publish-body", &endpoints.publish_body);
    if let Some(kind) = &endpoints.publish_type {
        option("--publish-type", kind);
    }
    for header in &endpoints.publish_headers {
        option("--publish-header", header);
    }
    arguments
}

/// Scheme, host and port.
fn origin(endpoints: &Endpoints) -> &str {
    let url = &endpoints.subscribe_url;
    let from = url.find("://").map_or(0, |at| at + 3);
    let length = url[from..].find('/').unwrap_or(url.len() - from);
    &url[..from + length]
}

/// The last line that is a JSON object.
fn result(text: &str) -> Result<Value, String> {
    let objects = text.lines().rev().map(str::trim);
    let found = objects
        .filter(|line| line.starts_with('{'))
        .find_map(|line| serde_json::from_str(line).ok());
    found
        .or_else(|| serde_json::from_str(text).ok())
        .ok_or_else(|| format!("no JSON in `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_found_in_what_was_printed() {
        for (text, expected) in [
            ("{\"a\":1}\n", Some(1)),
            ("connecting\n{\"a\":0}\n{\"a\":2}\ndone\n", Some(2)),
            ("{\n  \"a\": 3\n}\n", Some(3)),
            ("nothing", None),
        ] {
            let found = result(text).ok().and_then(|value| value["a"].as_i64());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn an_origin_ends_before_the_path() {
        let endpoints = Endpoints::plain("http://127.0.0.1:1234");
        assert_eq!(origin(&endpoints), "http://127.0.0.1:1234");
    }
}
