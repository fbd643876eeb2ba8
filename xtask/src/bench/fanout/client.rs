//! Calls `tidewire bench` against a running server and reads what it says.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::cases::Case;
use super::peers::built;
use super::server::{Cores, Endpoints, Running};
use crate::process;

/// A measurement that takes longer is given up.
const SECONDS_MAX: &str = "240";

/// The command as a reader could type it, and its result.
pub(crate) struct Said {
    pub(crate) command: String,
    pub(crate) outcome: Result<Value, String>,
}

pub(crate) fn measure(case: &Case, running: &Running) -> Said {
    let beside = case
        .beside
        .as_deref()
        .map(|bench| Beside::start(bench, running));
    let mut arguments = arguments(&case.bench, running);
    arguments.push("--json".into());
    if case.cores == Cores::One {
        arguments.extend(["--client-cpu".into(), "1".into()]);
    }
    for pid in running.pids() {
        arguments.extend(["--pid".into(), pid.to_string()]);
    }
    let shown = format!("tidewire bench {}", case.bench);
    let outcome = match beside {
        Some(Err(why)) => Err(why),
        Some(Ok(_)) | None => {
            process::capture(&mut command(&arguments)).and_then(|text| result(&text))
        }
    };
    Said {
        command: shown,
        outcome,
    }
}

/// Connections that another client holds while the case is measured.
struct Beside(Child);

impl Beside {
    fn start(bench: &str, running: &Running) -> Result<Self, String> {
        let mut command = command(&arguments(bench, running));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| error.to_string())?;
        // Its connections are open by then; the measured ones take longer.
        std::thread::sleep(std::time::Duration::from_secs(2));
        Ok(Self(child))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Refused when it has ended: nothing to do then.
        let _ = self.0.kill();
        let _ = self.0.wait();
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
    let mut arguments: Vec<String> = Vec::new();
    let mut subscribe_url = endpoints.subscribe_url.clone();
    let mut words = bench.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            // Another way to subscribe to our own hub.
            "--subscribe-path" => {
                let path = words.next().unwrap_or_default();
                subscribe_url = format!("{}{path}", origin(endpoints));
            }
            "{folder}" => arguments.push(folder(running.folder())),
            _ => arguments.push(word.to_owned()),
        }
    }
    let mut option =
        |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
    option("--subscribe-url", &subscribe_url);
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

fn folder(folder: &Path) -> String {
    folder.display().to_string()
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
