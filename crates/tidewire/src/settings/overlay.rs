//! What lies between environment and default: the configuration file, and the reference hub's names for the same settings.
//!
//! Its values become the defaults that clap falls back on. Each is checked by the setting's own parser first, so that an error
//! names the file and the key.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::{OsStr, Resettable};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use super::sources::{Origin, Sources, Spelled};
use super::{Settings, arguments, mercure};
use crate::failure::{Failure, Outcome};

/// Variables of the reference Mercure hub that mean the same as a setting here. Its keys themselves are in `keys`.
const MERCURE_VARIABLES: &[(&str, &str)] = &[
    ("MERCURE_PUBLISHER_JWT_ALG", "publisher-key-alg"),
    ("MERCURE_SUBSCRIBER_JWT_ALG", "subscriber-key-alg"),
    // What it says of keys is in `keys` as well.
    (MERCURE_ISSUERS, "issuer"),
];

/// The reference hub's issuers: names of those who sign with its keys.
pub(super) const MERCURE_ISSUERS: &str = "MERCURE_TRUSTED_ISSUERS";

/// Values for settings that neither a flag nor their own variable gives.
#[derive(Debug, Default)]
pub(crate) struct Overlay(Vec<Spelled>);

impl Overlay {
    /// Reads what the chosen command needs; nothing if it has no settings.
    pub(crate) fn load(matches: &ArgMatches) -> Outcome<Self> {
        let leaf = leaf(matches);
        if leaf.try_contains_id("data_dir").is_err() {
            return Ok(Self::default());
        }
        let mut overlay = Self(mercure_variables()?);
        overlay
            .0
            .extend(mercure::read(mercure::of_process)?.settings);
        if let Some(path) = leaf.get_one::<PathBuf>("config") {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::file(path, "read the settings", &error))?;
            for spelled in read_file(&text, path)? {
                if !overlay.0.iter().any(|known| known.key == spelled.key) {
                    overlay.0.push(spelled);
                }
            }
        }
        Ok(overlay)
    }

    /// The command line with these values as defaults.
    pub(crate) fn apply(&self, command: Command) -> Command {
        let command = command.mut_subcommands(|sub| self.apply(sub));
        let has_settings = command
            .get_arguments()
            .any(|arg| arg.get_id() == "data_dir");
        if self.0.is_empty() || !has_settings {
            return command;
        }
        command.mut_args(|arg| {
            let found = self
                .0
                .iter()
                .find(|spelled| arg.get_long() == Some(&spelled.key));
            match found {
                Some(spelled) => arg.default_values(spelled.values.iter().map(OsStr::from)),
                None => arg,
            }
        })
    }

    /// Where each setting came from in the end.
    pub(crate) fn sources(&self, matches: &ArgMatches) -> Sources {
        Sources::of(leaf(matches), &self.0)
    }
}

fn leaf(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, sub)| leaf(sub))
}

fn mercure_variables() -> Outcome<Vec<Spelled>> {
    let mut found = Vec::new();
    for (variable, key) in MERCURE_VARIABLES {
        let Some(value) = super::variable(variable) else {
            continue;
        };
        let value = value.to_string_lossy();
        let values = match *key {
            "issuer" => {
                let names = value.split([' ', ',']).filter(|name| !name.is_empty());
                names.map(str::to_owned).collect()
            }
            _ => vec![value.into_owned()],
        };
        check(key, &values).map_err(|why| Failure::usage(format!("{variable}: {why}")))?;
        found.push(Spelled {
            key: (*key).to_owned(),
            values,
            origin: Origin::Environment((*variable).to_owned()),
        });
    }
    Ok(found)
}

fn read_file(text: &str, path: &Path) -> Outcome<Vec<Spelled>> {
    let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let table: toml::Table = text
        .parse()
        .map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    let mut found = Vec::new();
    super::issuers::check(text).map_err(wrong)?;
    for (key, value) in table
        .iter()
        .filter(|(key, _)| *key != super::issuers::TABLE)
    {
        if !arguments()
            .iter()
            .any(|arg| arg.get_long() == Some(key) && key != "config")
        {
            return Err(unknown(key, path));
        }
        let values = spell(value).ok_or_else(|| {
            wrong(format!(
                "{key}: write a string, a number, true or false, or a list of them"
            ))
        })?;
        check(key, &values).map_err(|why| wrong(format!("{key}: {why}")))?;
        found.push(Spelled {
            key: key.clone(),
            values,
            origin: Origin::File(path.to_owned()),
        });
    }
    Ok(found)
}

fn unknown(key: &str, path: &Path) -> Failure {
    let failure = Failure::usage(format!("{}: there is no setting {key:?}", path.display()));
    match nearest(key) {
        Some(near) => failure.next(format!("did you mean `{near}`?")),
        None => failure.next("`tidewire serve --help` lists them"),
    }
}

fn nearest(key: &str) -> Option<String> {
    let spelled = key.to_lowercase().replace(['_', ' ', '.'], "-");
    arguments()
        .iter()
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .filter(|long| long != "config")
        .map(|long| (strsim::jaro_winkler(&spelled, &long), long))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, long)| long)
}

/// A value as it would be written on the command line.
fn spell(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Boolean(switch) => Some(vec![switch.to_string()]),
        toml::Value::Array(items) => {
            let spelled: Option<Vec<_>> = items.iter().map(spell).collect();
            Some(spelled?.concat())
        }
        _ => None,
    }
}

/// Runs a setting's own parser.
pub(super) fn check(key: &str, values: &[String]) -> Result<(), String> {
    let arguments = arguments();
    let arg = arguments.iter().find(|arg| arg.get_long() == Some(key));
    let arg = arg.cloned().ok_or("no such setting")?;
    let once: fn(Arg) -> Arg = |arg| arg.env(Resettable::<OsStr>::Reset).required(false);
    let result = Command::new("check")
        .no_binary_name(true)
        .arg(once(arg))
        .try_get_matches_from(values.iter().map(|value| format!("--{key}={value}")));
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ArgumentConflict => {
            Err("it takes one value, not a list".to_owned())
        }
        Err(error) => Err(std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string)),
    }
}

/// Says that a wrong value came from the environment, where clap speaks of the flag.
pub(crate) fn name_the_variable(
    mut error: clap::Error,
    arguments_given: &[OsString],
) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let long = flag
        .trim_start_matches('-')
        .split([' ', '='])
        .next()
        .unwrap_or("")
        .to_owned();
    let is_given = arguments_given
        .iter()
        .any(|given| given.to_string_lossy().starts_with(&format!("--{long}")));
    let variable = arguments()
        .iter()
        .find(|arg| arg.get_long() == Some(&long))
        .and_then(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()));
    if let (false, Some(variable)) = (is_given, variable) {
        let named = ContextValue::String(format!("{variable} (environment)"));
        error.insert(ContextKind::InvalidArg, named);
    }
    error
}

// The settings are read through clap; the type is named here so that a rename of it is noticed.
const _: fn(Settings) = drop;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_name_the_nearest() {
        for (key, near) in [
            ("hartbeat", Some("heartbeat")),
            ("event_bytes_max", Some("event-bytes-max")),
            ("retention", Some("retention-age")),
            ("Data-Dir", Some("data-dir")),
            ("xyzzy", None),
        ] {
            let found = nearest(key);
            match near {
                Some("retention-age") => assert!(found.unwrap().starts_with("retention-")),
                near => assert_eq!(found.as_deref(), near, "{key}"),
            }
        }
    }

    #[test]
    fn a_file_is_checked_by_the_settings_own_parsers() {
        let path = Path::new("x.toml");
        #[rustfmt::skip]
        let table = [
            ("heartbeat = '5s'", Ok(("heartbeat", vec!["5s"]))),
            ("listen = ['127.0.0.1:0', '[::1]:0']", Ok(("listen", vec!["127.0.0.1:0", "[::1]:0"]))),
            ("event-bytes-max = 4096", Ok(("event-bytes-max", vec!["4096"]))),
            ("memory = true", Ok(("memory", vec!["true"]))),
            ("heartbeat = 5", Err("x.toml: heartbeat: \"5\" is no duration")),
            ("heartbeat = ['1s', '2s']", Err("one value, not a list")),
            ("heartbeat = 1.5", Err("write a string")),
            ("[heartbeat]", Err("write a string")),
            ("durability = 'never'", Err("sync, interval, memory")),
            ("config = 'y.toml'", Err("there is no setting")),
            ("heartbeat = ", Err("x.toml: TOML parse error")),
        ];
        for (text, want) in table {
            match (read_file(text, path), want) {
                (Ok(found), Ok((key, values))) => {
                    assert_eq!(
                        (found[0].key.as_str(), found[0].values.clone()),
                        (key, values.into_iter().map(str::to_owned).collect())
                    );
                }
                (Err(failure), Err(words)) => {
                    assert!(
                        format!("{failure:?}").replace("\\\"", "\"").contains(words),
                        "{text}: {failure:?}"
                    );
                }
                (got, want) => panic!("{text}: {got:?}, not {want:?}"),
            }
        }
    }
}
