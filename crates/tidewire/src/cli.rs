//! The command line: which commands there are, and how arguments reach them.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

#[cfg(target_os = "linux")]
use crate::commands::bench;
use crate::commands::{completions, config, decode, encode, log, publish, serve, subscribe, token};
use crate::failure::{Failure, Outcome};
use crate::settings;

/// A Server-Sent Events hub, and the command line around it
#[derive(Debug, Parser)]
#[command(
    name = "tidewire",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Examples:\n  tidewire serve\n  tidewire sub clock\n  tidewire pub clock 'hello'"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Pub(Box<publish::Publish>),
    Sub(Box<subscribe::Subscribe>),
    Decode(decode::Decode),
    Encode(encode::Encode),
    Log(log::Log),
    Token(Box<token::Token>),
    #[cfg(target_os = "linux")]
    Bench(bench::Bench),
    Config(config::Config),
    Completions(completions::Completions),
}

/// Runs the command that the arguments name.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> Outcome {
    let arguments: Vec<OsString> = arguments.collect();
    let (cli, sources) = parse(arguments)?;
    match cli.command {
        Command::Serve(serve) => serve.run(&sources),
        Command::Pub(publish) => publish.run(),
        Command::Sub(subscribe) => subscribe.run(),
        Command::Decode(decode) => decode.run(),
        Command::Encode(encode) => encode.run(),
        Command::Log(log) => log.run(),
        Command::Token(token) => token.run(),
        #[cfg(target_os = "linux")]
        Command::Bench(bench) => bench.run(),
        Command::Config(config) => config.run(&sources),
        Command::Completions(completions) => completions.run(),
    }
}

/// Reads the arguments twice: once to find the configuration file, and again with what it says as defaults, so that flag,
/// environment, file and default take their order from clap itself.
fn parse(arguments: Vec<OsString>) -> Outcome<(Cli, settings::Sources)> {
    let clap_failure = |error: clap::Error| Failure::Clap(Box::new(error));
    let mut command = Cli::command();
    let first = command
        .try_get_matches_from_mut(arguments.clone())
        .map_err(|error| settings::name_the_variable(error, &arguments))
        .map_err(clap_failure)?;
    let overlay = settings::Overlay::load(&first)?;
    let matches = overlay
        .apply(Cli::command())
        .try_get_matches_from(arguments)
        .map_err(clap_failure)?;
    let cli = Cli::from_arg_matches(&matches).map_err(clap_failure)?;
    let sources = overlay.sources(&matches);
    Ok((cli, sources))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_that_it_takes() {
        fn look(command: &clap::Command, path: &str) {
            let name = format!("{path} {}", command.get_name());
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let examples: Vec<_> = help.lines().filter_map(ours).collect();
            assert!(
                help.contains("Example") && !examples.is_empty(),
                "{name} has no example"
            );
            for example in examples {
                let taken = Cli::command().try_get_matches_from(&example);
                assert!(taken.is_ok(), "{name}: {example:?}: {}", taken.unwrap_err());
            }
            for sub in command.get_subcommands() {
                look(sub, &name);
            }
        }
        look(&Cli::command(), "");
    }

    /// The words of our own command in a line for a shell: from our name to what ends a command.
    fn ours(line: &str) -> Option<Vec<String>> {
        let mut words = vec![String::new()];
        let mut quote = None;
        for c in line[line.find("tidewire ")?..].chars() {
            match (quote, c) {
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None, ' ') => words.push(String::new()),
                (None, '|' | '<' | '>' | ')') => break,
                (_, c) => words.last_mut()?.push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        Some(words)
    }

    /// One definition per setting: the flag's name says the variable's and the key's.
    #[test]
    fn a_setting_has_one_name() {
        for arg in settings::arguments() {
            let long = arg.get_long().unwrap_or_default().to_owned();
            let variable = format!("TIDEWIRE_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(
                arg.get_env().and_then(|e| e.to_str()),
                Some(variable.as_str())
            );
            assert!(arg.get_help().is_some(), "--{long} has no help");
            let reference = include_str!("../../../docs/reference.md");
            assert!(
                reference.contains(&format!("`--{long}")),
                "docs/reference.md lacks --{long}"
            );
        }
    }
}
