//! The fan-out comparison: `cargo xtask bench peers | fanout | report`. What is measured is in `cases`, what must come out
//! of it in `claims`, who runs it in `run`, what is written of it in `report`; the load comes from `tidewire bench`, the servers from `peers`.

mod cases;
mod check;
mod claims;
mod client;
mod columns;
mod machine;
mod peers;
mod plot;
mod report;
mod results;
mod run;
mod server;
mod statistics;

use crate::Outcome;
use crate::process;
use peers::{PEERS, Peer};
use server::{Cores, Need};

pub(crate) use report::run as report;
pub(crate) use run::run;

/// `cargo xtask bench peers [--no-build] [NAME...]`: installs, starts and tries each.
pub(crate) fn peers(arguments: &[&str]) -> Outcome {
    let (flags, names): (Vec<&str>, Vec<&str>) = arguments
        .iter()
        .partition(|argument| **argument == "--no-build");
    if let Some(unknown) = names.iter().find(|name| peers::find(name).is_none()) {
        return Outcome::WrongUsage(format!("there is no peer `{unknown}`"));
    }
    if flags.is_empty() && !build() {
        return Outcome::Failed;
    }
    let mut all_work = true;
    for peer in PEERS {
        if !names.is_empty() && !names.contains(&peer.name) {
            continue;
        }
        match try_out(peer) {
            Ok(version) => println!("ok      {}: {version}", peer.name),
            Err(why) => {
                all_work = false;
                println!("FAILED  {}: {}", peer.name, why.trim());
            }
        }
    }
    Outcome::of(all_work)
}

fn try_out(peer: &Peer) -> Result<String, String> {
    (peer.install)()?;
    let running = (peer.start)(&Need {
        cores: Cores::One,
        topics: 1,
        history_events: 10,
        ours: Vec::new(),
    })?;
    check::publish_reaches_subscriber(&running)?;
    Ok(format!(
        "{}, {} processes",
        (peer.version)(),
        running.pids().len()
    ))
}

fn build() -> bool {
    process::pass_through(process::cargo().args([
        "build",
        "--release",
        "--quiet",
        "-p",
        "tidewire",
        "-p",
        "bench-floor",
        "-p",
        "bench-axum-sse",
    ]))
}
