//! The work around the code: `cargo xtask check`, `test`, `bench`, `fuzz`, `crash`, one command each.
//!
//! Not part of what users run, and it imports nothing of ours: it looks at the workspace from outside.

// A command line tool for this repository: its output is its result.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod check;
mod conformance;
mod install;
mod process;
mod stress;
mod test;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check [STEP...]      everything that must hold besides the tests; without STEP all of:
                       imports, purity, names, licences, sdk, format, clippy, wasm, docs
  test [--no-install]  installs what the tests need (it says what), then runs every test:
                       unit, contract, simulation, end to end in a browser and behind nginx, and other people's clients
  bench [NAME [ARG...]]
                       runs the benchmarks whose package or target name contains NAME, with these arguments
  bench peers [NAME...]
                       installs, starts and tries the servers of the fan-out comparison
  bench fanout [--quick] [--only T1,T3] [--servers tidewire,floor] [--rounds N] [--resume] [--no-build] [--out FOLDER]
                       measures ours beside them, target by target, into bench/results
  bench report         writes docs/benchmarks.md from the results
  fuzz SECONDS         runs each fuzz target for that long
  crash [ROUNDS]       kills the hub ROUNDS times (100) under load and checks what was acknowledged
";

fn usage() -> String {
    format!(
        "{USAGE}{}\n\nexample: cargo xtask check format clippy",
        conformance::USAGE
    )
}

/// What a command came to. The three are the exit codes 0, 1 and 2.
enum Outcome {
    Done,
    Failed,
    WrongUsage(String),
}

impl Outcome {
    fn of(done: bool) -> Self {
        if done { Self::Done } else { Self::Failed }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Outcome::Done => ExitCode::SUCCESS,
        Outcome::Failed => ExitCode::from(1),
        Outcome::WrongUsage(why) => {
            eprintln!("xtask: {why}\n\n{}", usage());
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: &[String]) -> Outcome {
    let Some((command, rest)) = arguments.split_first() else {
        return Outcome::WrongUsage("no command was given".into());
    };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match command.as_str() {
        "help" | "--help" | "-h" => {
            println!("{}", usage());
            Outcome::Done
        }
        _ if rest.iter().any(|a| matches!(*a, "--help" | "-h")) => {
            println!("{}", usage());
            Outcome::Done
        }
        "check" => check::run(&rest),
        "test" => match rest.as_slice() {
            [] => test::run(install::Policy::Install),
            ["--no-install"] => test::run(install::Policy::UseWhatIsThere),
            _ => Outcome::WrongUsage(format!(
                "`test` takes only --no-install, not {}",
                rest.join(" ")
            )),
        },
        "bench" => match rest.as_slice() {
            [] => bench::run("", &[]),
            [name, arguments @ ..] => bench::run(name, arguments),
        },
        "conformance" => conformance::run(&rest),
        "fuzz" => match rest.as_slice() {
            [seconds] => match seconds.parse() {
                Ok(seconds) if seconds > 0 => stress::fuzz(seconds),
                _ => Outcome::WrongUsage(format!("`{seconds}` is not a number of seconds")),
            },
            _ => Outcome::WrongUsage("`fuzz` takes a number of seconds for each target".into()),
        },
        "crash" => match rest.as_slice() {
            [] => stress::crash(100),
            [rounds] => match rounds.parse() {
                Ok(rounds) if rounds > 0 => stress::crash(rounds),
                _ => Outcome::WrongUsage(format!("`{rounds}` is not a number of rounds")),
            },
            _ => Outcome::WrongUsage("`crash` takes one number of rounds at most".into()),
        },
        unknown => Outcome::WrongUsage(format!("there is no command `{unknown}`")),
    }
}
