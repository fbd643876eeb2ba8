//! What the kernel allows (`bench/floor`): one send a delivery, or one every ten events.

use super::{Peer, built, nothing_to_install, our_version};
use crate::bench::fanout::server::{Endpoints, Need, Running};

pub(super) const EACH: Peer = Peer {
    name: "floor",
    title: "floor",
    install: nothing_to_install,
    version: our_version,
    start: |need| start(need, "1"),
    settings: "one ready-made `send` a delivery, one thread, no log",
};

pub(super) const TEN: Peer = Peer {
    name: "floor10",
    title: "floor, ten frames a write",
    install: nothing_to_install,
    version: our_version,
    start: |need| start(need, "10"),
    settings: "the same, one `send` for ten events of a topic",
};

fn start(need: &Need, frames_per_write: &str) -> Result<Running, String> {
    let mut running = Running::prepare("floor")?;
    let arguments = ["--frames-per-write", frames_per_write];
    running.spawn(need.cores, &built("bench-floor"), &arguments)?;
    running.endpoints = Endpoints::plain(&running.listening()?);
    Ok(running)
}
