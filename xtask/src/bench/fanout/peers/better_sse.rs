//! better-sse on Node (`bench/better-sse`).

use std::path::Path;

use super::{Peer, first_line};
use crate::bench::fanout::server::{Endpoints, Need, Running};
use crate::process;

pub(super) const PEER: Peer = Peer {
    name: "better-sse",
    title: "better-sse",
    install,
    version,
    start,
    settings: "Node's own HTTP server, one process, a channel a topic, data passed on without JSON",
};

fn install() -> Result<(), String> {
    let folder = process::root().join("bench/better-sse");
    if folder.join("node_modules/better-sse").exists() {
        return Ok(());
    }
    println!("installing better-sse with npm");
    let mut command = process::command("npm");
    command
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(folder);
    process::capture(&mut command).map(drop)
}

fn version() -> String {
    let manifest = process::root().join("bench/better-sse/node_modules/better-sse/package.json");
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let version = manifest["version"].as_str().unwrap_or("?");
    format!("{version}, Node {}", first_line("node", &["--version"]))
}

fn start(need: &Need) -> Result<Running, String> {
    let mut running = Running::prepare("better-sse")?;
    let server = process::root().join("bench/better-sse/server.mjs");
    running.spawn(
        need.cores,
        Path::new("node"),
        &[&server.display().to_string()],
    )?;
    running.endpoints = Endpoints::plain(&running.listening()?);
    Ok(running)
}
