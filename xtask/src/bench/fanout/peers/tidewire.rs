//! Ours, with default settings: the memory log, or the disk log at `sync`.

use super::{Peer, built, nothing_to_install, our_version};
use crate::bench::fanout::server::{Endpoints, Need, Running};

pub(super) const MEMORY: Peer = Peer {
    name: "tidewire",
    title: "Tidewire",
    install: nothing_to_install,
    version: our_version,
    start: memory,
    settings: "`serve --memory`, all defaults",
};

pub(super) const SYNC: Peer = Peer {
    name: "tidewire-sync",
    title: "Tidewire, sync",
    install: nothing_to_install,
    version: our_version,
    start: sync,
    settings: "`serve --data-dir`, all defaults: an event is on the disk before it is acknowledged or seen",
};

fn memory(need: &Need) -> Result<Running, String> {
    start(need, Running::prepare("tidewire")?, &["--memory"])
}

fn sync(need: &Need) -> Result<Running, String> {
    let running = Running::prepare("tidewire-sync")?;
    let folder = running.folder().join("data").display().to_string();
    start(need, running, &["--data-dir", &folder])
}

fn start(need: &Need, mut running: Running, log: &[&str]) -> Result<Running, String> {
    let mut arguments = vec!["serve", "--listen", "127.0.0.1:0"];
    arguments.extend(log);
    arguments.extend(need.ours.iter().map(String::as_str));
    running.spawn(need.cores, &built("tidewire"), &arguments)?;
    running.endpoints = Endpoints::plain(&running.listening()?);
    Ok(running)
}
