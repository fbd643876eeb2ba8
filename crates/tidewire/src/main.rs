//! The binary: settings in, commands run, exit code out. What a command does is in `commands`; nothing here decides.

mod cli;
mod clock;
mod commands;
mod failure;
mod files;
mod log_dir;
mod output;
mod quote;
mod reach;
mod remote;
mod settings;
mod signals;

use std::process::ExitCode;

/// Event payloads come and go in all sizes; jemalloc keeps the resident memory of a long run flat where glibc's fragments.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
