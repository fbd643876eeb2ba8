//! What `cargo xtask conformance` is asked to do.

use std::path::PathBuf;

use super::stranger::Stranger;
use super::suite::{Case, Dialect};

pub(crate) const USAGE: &str = "\
  conformance [--only PART]... [--dialect legacy|modern|both] [--list] [--json] [--binary FILE]
                       tries our own hub, in every profile, against the Mercure suite in spec/hub
  conformance --url URL [--profile NAME]... [--key K | --publisher-key K --subscriber-key K] [--alg HS256]
              [--issuer I --audience A --issuer-key-file FILE [--kid ID]] [--cookie NAME] [--has NAME]... [--ca FILE]
                       tries anybody's hub; keys may also be `@FILE`
  conformance --peer mercure
                       tries Mercure 0.24.2: every difference must be explained in spec/hub/mercure-0.24.2.toml
  conformance --faults [--only PART]...
                       builds our hub with each fault of spec/hub/faults.toml: the suite must notice all of them
  conformance --write-lines
                       writes the table of lines and their cases into spec/hub/README.md";

/// Which hub is tried.
pub(super) enum Whom {
    /// Ours: this binary, or the one that is built.
    Ours(Option<PathBuf>),
    Mercure,
    Stranger(Box<Stranger>),
    Faults,
}

pub(super) struct Options {
    pub(super) whom: Whom,
    only: Vec<String>,
    dialect: Option<Dialect>,
    pub(super) list: bool,
    pub(super) json: bool,
    pub(super) write_lines: bool,
}

impl Options {
    pub(super) fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            whom: Whom::Ours(None),
            only: Vec::new(),
            dialect: None,
            list: false,
            json: false,
            write_lines: false,
        };
        let mut stranger = Stranger::default();
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            match *name {
                "--list" => options.list = true,
                "--json" => options.json = true,
                "--write-lines" => options.write_lines = true,
                "--faults" => options.whom = Whom::Faults,
                _ => {
                    let value = arguments
                        .next()
                        .ok_or_else(|| format!("`{name}` is unknown or has no value"))?;
                    options.take(name, value, &mut stranger)?;
                }
            }
        }
        if !stranger.url.is_empty() {
            stranger.settle(options.dialect)?;
            options.whom = Whom::Stranger(Box::new(stranger));
        } else if stranger.is_said() {
            return Err("keys, issuers and profiles belong to a hub by `--url`".into());
        }
        Ok(options)
    }

    fn take(&mut self, name: &str, value: &str, stranger: &mut Stranger) -> Result<(), String> {
        match name {
            "--only" => self.only.push(value.to_owned()),
            "--dialect" => {
                self.dialect = match value {
                    "legacy" => Some(Dialect::Legacy),
                    "modern" => Some(Dialect::Modern),
                    "both" => None,
                    _ => return Err(format!("`{value}` is no dialect: legacy, modern or both")),
                }
            }
            "--binary" => self.whom = Whom::Ours(Some(value.into())),
            "--peer" if value == "mercure" => self.whom = Whom::Mercure,
            "--peer" => return Err(format!("`{value}` is no peer; there is `mercure`")),
            _ => stranger.take(name, value)?,
        }
        Ok(())
    }

    /// Whether all cases are asked for.
    pub(super) fn is_whole(&self) -> bool {
        self.only.is_empty() && self.dialect.is_none()
    }

    /// Whether a fault is asked for: by a part of its name.
    pub(super) fn takes_fault(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.contains(only))
    }

    /// Whether a case is asked for: by the beginning of its id, or by its line.
    pub(super) fn takes(&self, case: &Case) -> bool {
        let is_named = self.only.is_empty()
            || self
                .only
                .iter()
                .any(|only| case.id.starts_with(only) || case.lines.contains(only));
        is_named && self.dialect.is_none_or(|dialect| dialect == case.dialect)
    }
}
