//! The floor of the fan-out comparison: the same bytes as our hub's, answered to the same HTTP publish, by one thread that
//! does one ready-made `send` to each subscriber and nothing else. What it costs is the kernel's; what a real hub costs on
//! top is its own.
//!
//! It is not a hub: no log, no ids to come back with, no heartbeats, no limits, and any path is a topic. A subscriber whose
//! socket is full is waited for, the whole server standing still, and cut after [`FULL_SOCKET_MS_MAX`]: waiting loses
//! nothing, and a floor that loses events would be a floor of something else.
//!
//!     bench-floor [--port N] [--frames-per-write N]
//!
//! With `--frames-per-write 10` a topic's frames leave in tens (what is left of a ten after 10 ms without a publish): the
//! floor of a server that coalesces.

// A command line tool of this repository: its output is its result.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod request;
mod server;

use std::process::ExitCode;

const USAGE: &str = "usage: bench-floor [--port N] [--frames-per-write N]";

/// How long one full socket may stop the server.
const FULL_SOCKET_MS_MAX: i64 = 5000;

struct Options {
    port: u16,
    frames_per_write: usize,
}

fn main() -> ExitCode {
    let Some(options) = options(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match server::run(options.port, options.frames_per_write) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("bench-floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        port: 0,
        frames_per_write: 1,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--port" => options.port = value.parse().ok()?,
            "--frames-per-write" => {
                options.frames_per_write = value.parse().ok().filter(|n| *n > 0)?;
            }
            _ => return None,
        }
    }
    Some(options)
}
