//! Where the settings that hold came from.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::arguments;

/// Where a value came from, weakest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag,
}

impl Origin {
    fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(_) => 1,
            Self::Environment(_) => 2,
            Self::Flag => 3,
        }
    }

    /// Whether it goes before another.
    pub(crate) fn outranks(&self, other: &Self) -> bool {
        self.rank() > other.rank()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag => write!(f, "flag"),
        }
    }
}

/// A variable of the environment, if it says something: an empty one is as good as none.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A setting as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Spelled {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    pub(crate) origin: Origin,
}

/// Every setting of the command that runs, in the order of their definition; empty if it has none.
#[derive(Debug)]
pub(crate) struct Sources(Vec<Spelled>);

impl Sources {
    pub(super) fn of(matches: &ArgMatches, overlay: &[Spelled]) -> Self {
        if matches.try_contains_id("data_dir").is_err() {
            return Self(Vec::new());
        }
        let spelled = arguments().into_iter().map(|arg| {
            let key = arg.get_long().unwrap_or_default().to_owned();
            let raw = matches.get_raw(arg.get_id().as_str());
            let values = raw
                .into_iter()
                .flatten()
                .map(|v| v.to_string_lossy().into_owned());
            let origin = match matches.value_source(arg.get_id().as_str()) {
                Some(ValueSource::CommandLine) => Origin::Flag,
                Some(ValueSource::EnvVariable) => {
                    let variable = arg.get_env().map(|v| v.to_string_lossy().into_owned());
                    Origin::Environment(variable.unwrap_or_default())
                }
                _ => overlay
                    .iter()
                    .find(|known| known.key == key)
                    .map_or(Origin::Default, |known| known.origin.clone()),
            };
            Spelled {
                values: values.collect(),
                key,
                origin,
            }
        });
        Self(spelled.collect())
    }

    /// Where a setting came from.
    pub(crate) fn origin(&self, key: &str) -> &Origin {
        let found = self.0.iter().find(|spelled| spelled.key == key);
        found.map_or(&Origin::Default, |spelled| &spelled.origin)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Spelled> {
        self.0.iter()
    }
}
