//! The servers of the comparison, one file each: how to install it, start it, and ask it.

mod axum_sse;
mod better_sse;
mod floor;
mod mercure;
mod nchan;
mod pushpin;
mod tidewire;

use std::path::PathBuf;

use super::server::{Need, Running};
use crate::process;

/// One server with its settings.
pub(crate) struct Peer {
    /// As tables and results call it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Fetches or builds what is missing.
    pub(crate) install: fn() -> Result<(), String>,
    pub(crate) version: fn() -> String,
    pub(crate) start: fn(&Need) -> Result<Running, String>,
    /// Settings that a reader of the figures should know.
    pub(crate) settings: &'static str,
}

/// Ours first, then the floors, then the peers.
pub(crate) const PEERS: &[Peer] = &[
    tidewire::MEMORY,
    tidewire::SYNC,
    floor::EACH,
    floor::TEN,
    nchan::PEER,
    axum_sse::ONE,
    axum_sse::TWO,
    better_sse::PEER,
    pushpin::PEER,
    mercure::LOCAL,
    mercure::BOLT,
];

/// Who should be here and cannot be installed, and why.
pub(crate) const LEFT_OUT: &[(&str, &str)] = &[(
    "Centrifugo 6.9.1",
    "`go install github.com/centrifugal/centrifugo/v6@v6.9.1` ends with 403 Forbidden of the Go proxy, \
     and Debian does not package it.",
)];

pub(crate) fn find(name: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name)
}

/// Where peers that no package manager installs are kept.
fn store() -> PathBuf {
    process::root().join("bench/.peers")
}

/// A binary of this workspace's release build.
pub(crate) fn built(name: &str) -> PathBuf {
    process::target_dir().join("release").join(name)
}

fn nothing_to_install() -> Result<(), String> {
    Ok(())
}

fn our_version() -> String {
    format!("of this commit, {}", env!("CARGO_PKG_VERSION"))
}

/// Installs Debian packages whose program is missing.
fn apt(program: &str, packages: &[&str]) -> Result<(), String> {
    if PathBuf::from(program).exists() {
        return Ok(());
    }
    println!("installing {} with apt-get", packages.join(", "));
    let mut command = process::command("apt-get");
    command.args(["install", "-y", "-qq"]).args(packages);
    process::capture(&mut command).map(drop)
}

/// The first line of what a command prints, on either output.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = process::command(program).args(arguments).output();
    let text = output.map_or_else(
        |error| error.to_string(),
        |output| {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text += &String::from_utf8_lossy(&output.stderr);
            text
        },
    );
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn debian_version(package: &str) -> String {
    first_line("dpkg-query", &["-W", "-f", "${Version} (Debian)", package])
}
