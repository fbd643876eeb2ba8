//! axum's own `Sse` over a broadcast channel a topic (`bench/axum-sse`).

use super::{Peer, built, nothing_to_install};
use crate::bench::fanout::server::{Endpoints, Need, Running};

pub(super) const ONE: Peer = Peer {
    name: "axum1",
    title: "axum Sse, 1 thread",
    install: nothing_to_install,
    version: || "0.8.9".into(),
    start: |need| start(need, "1"),
    settings: "one runtime thread, a `tokio::sync::broadcast` channel a topic, TCP_NODELAY, jemalloc",
};

pub(super) const TWO: Peer = Peer {
    name: "axum2",
    title: "axum Sse, 2 threads",
    install: nothing_to_install,
    version: || "0.8.9".into(),
    start: |need| start(need, "2"),
    settings: "the same with two runtime threads",
};

fn start(need: &Need, threads: &str) -> Result<Running, String> {
    let mut running = Running::prepare("axum-sse")?;
    // A channel takes its memory at once: 4,096 slots for each of 10,000 topics would be a gigabyte of nothing.
    let channel_events = if need.topics > 100 { "64" } else { "4096" };
    let arguments = ["--threads", threads, "--channel-events", channel_events];
    running.spawn(need.cores, &built("bench-axum-sse"), &arguments)?;
    running.endpoints = Endpoints::plain(&running.listening()?);
    Ok(running)
}
