//! `[[issuers]]` of the configuration file: issuers with more to say about them than a URL.
//!
//! ```toml
//! [[issuers]]
//! name = "https://accounts.example"
//! roles = ["subscriber"]
//! algorithms = ["RS256"]
//!
//! [[issuers]]
//! name = "https://backend.example"
//! publisher-key-file = "backend.key"
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tidewire_auth::{Algorithm, Algorithms, Issuer, KeySet, Role};
use tidewire_hub::{FetchSettings, KeySource, KeysFrom, KeysOf, Roles};

use super::Settings;
use super::keys::read_key_set;
use super::trust::address;
use crate::failure::{Failure, Outcome};

/// The table's name in the file.
pub(super) const TABLE: &str = "issuers";

/// The file, as far as it concerns us.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    issuers: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    name: String,
    #[serde(alias = "jwks_url")]
    jwks_url: Option<String>,
    #[serde(alias = "publisher_key_file")]
    publisher_key_file: Option<PathBuf>,
    #[serde(alias = "subscriber_key_file")]
    subscriber_key_file: Option<PathBuf>,
    roles: Option<Vec<String>>,
    algorithms: Option<Vec<String>>,
}

/// What one of them comes to: keys of files, and keys to fetch.
#[derive(Debug, Default)]
pub(super) struct Configured {
    pub(super) issuer: Option<Issuer>,
    pub(super) source: Option<KeySource>,
}

/// All issuers of the file.
pub(super) fn load(settings: &Settings, fetch: &FetchSettings) -> Outcome<Vec<Configured>> {
    let Some(path) = &settings.config else {
        return Ok(Vec::new());
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::file(path, "read the settings", &error))?;
    let tables =
        parse(&text).map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let one = |table: &Table| configured(table, folder, fetch);
    tables.iter().map(one).collect()
}

/// Whether the file's issuers are well-formed.
pub(super) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

fn parse(text: &str) -> Result<Vec<Table>, String> {
    let file: File = toml::from_str(text).map_err(|why| why.to_string())?;
    for table in &file.issuers {
        let wrong = |why: String| format!("the issuer {:?}: {why}", table.name);
        if table.name.is_empty() {
            return Err(wrong(
                "it needs a name, as its tokens spell it (`iss`)".into(),
            ));
        }
        roles(table).map_err(wrong)?;
        algorithms(table).map_err(wrong)?;
        if table.jwks_url.is_some() && has_files(table) {
            return Err(wrong("give jwks-url or key files, not both".into()));
        }
    }
    Ok(file.issuers)
}

fn has_files(table: &Table) -> bool {
    table.publisher_key_file.is_some() || table.subscriber_key_file.is_some()
}

fn configured(table: &Table, folder: &Path, fetch: &FetchSettings) -> Outcome<Configured> {
    let said = format!("the issuer {:?}", table.name);
    let wrong = |why: String| Failure::usage(format!("{said}: {why}"));
    let roles = roles(table).map_err(wrong)?;
    let algorithms = algorithms(table).map_err(wrong)?;
    let of = KeysOf::Issuer {
        name: table.name.clone(),
        roles,
    };
    let from = match &table.jwks_url {
        Some(place) => match file_of(place) {
            Some(path) => {
                let keys = read_jwks(&folder.join(path))?;
                let keys = narrowed(keys, algorithms);
                let of = |role| roles.has(role).then(|| keys.clone());
                return Ok(fixed(table, of(Role::Publisher), of(Role::Subscriber)));
            }
            None => KeysFrom::Jwks(address(place, fetch, &said)?),
        },
        None if has_files(table) => {
            let read = |role, path: &Option<PathBuf>| -> Outcome<Option<KeySet>> {
                let path = path.as_ref().filter(|_| roles.has(role));
                let keys = path.map(|path| read_keys(&folder.join(path), algorithms));
                keys.transpose()
            };
            let publisher = read(Role::Publisher, &table.publisher_key_file)?;
            let subscriber = read(Role::Subscriber, &table.subscriber_key_file)?;
            return Ok(fixed(table, publisher, subscriber));
        }
        None => KeysFrom::Discovery(address(&table.name, fetch, &said)?),
    };
    let mut source = KeySource::new(of, from);
    if let Some(algorithms) = algorithms {
        source.algorithms = algorithms;
    }
    Ok(Configured {
        source: Some(source),
        ..Configured::default()
    })
}

fn fixed(table: &Table, publisher: Option<KeySet>, subscriber: Option<KeySet>) -> Configured {
    Configured {
        issuer: Some(Issuer {
            name: table.name.clone(),
            publisher,
            subscriber,
        }),
        source: None,
    }
}

fn narrowed(keys: KeySet, algorithms: Option<Algorithms>) -> KeySet {
    match algorithms {
        Some(algorithms) => keys.allowing(algorithms),
        None => keys,
    }
}

fn roles(table: &Table) -> Result<Roles, String> {
    let Some(names) = &table.roles else {
        return Ok(Roles::Both);
    };
    let role = |name: &String| match name.as_str() {
        "publisher" => Ok(Role::Publisher),
        "subscriber" => Ok(Role::Subscriber),
        other => Err(format!("{other:?} is no role: publisher or subscriber")),
    };
    let roles: Vec<Role> = names.iter().map(role).collect::<Result<_, _>>()?;
    match roles.as_slice() {
        [] => Err("without a role it is trusted with nothing; leave `roles` out for both".into()),
        [first, rest @ ..] if rest.iter().all(|role| role == first) => Ok(Roles::Only(*first)),
        _ => Ok(Roles::Both),
    }
}

fn algorithms(table: &Table) -> Result<Option<Algorithms>, String> {
    let Some(names) = &table.algorithms else {
        return Ok(None);
    };
    if names.is_empty() {
        return Err("without an algorithm no token is good; leave `algorithms` out".into());
    }
    let each = names.iter().map(|name| name.parse::<Algorithm>());
    each.collect::<Result<Algorithms, _>>().map(Some)
}

/// The file that a place names: `file://` and what is no URL.
pub(super) fn file_of(place: &str) -> Option<PathBuf> {
    match place.split_once("://") {
        Some(("file", path)) => Some(path.into()),
        Some(_) => None,
        None => Some(place.into()),
    }
}

/// Keys of a file, in any form that `--publisher-key-file` takes.
fn read_keys(path: &Path, algorithms: Option<Algorithms>) -> Outcome<KeySet> {
    let keys = read_key_set(path, algorithms)?;
    some_of(path, keys)
}

/// A JWK set of a file.
pub(super) fn read_jwks(path: &Path) -> Outcome<KeySet> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::file(path, "read the JWK set", &error))?;
    let wrong = |why| Failure::usage(format!("{}: it is no JWK set: {why}", path.display()));
    let keys = KeySet::parse_jwks(&text).map_err(wrong)?;
    some_of(path, keys)
}

/// A set without any key would let nobody in, and not say why.
fn some_of(path: &Path, keys: KeySet) -> Outcome<KeySet> {
    if !keys.is_empty() {
        return Ok(keys);
    }
    Err(Failure::usage(format!(
        "{}: none of its {} keys can be used",
        path.display(),
        keys.skipped()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Vec<Configured>, String> {
        let tables = parse(text)?;
        let fetch = FetchSettings::default();
        let one = |table: &Table| configured(table, Path::new("."), &fetch);
        let all: Outcome<Vec<_>> = tables.iter().map(one).collect();
        all.map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn issuers_of_the_file() {
        let text = r#"
            heartbeat = "5s"
            [[issuers]]
            name = "https://a.example"
            [[issuers]]
            name = "anything"
            jwks-url = "https://b.example/keys"
            roles = ["subscriber"]
            algorithms = ["RS256", "EdDSA"]
        "#;
        let all = loaded(text).unwrap();
        let [first, second] = &all[..] else {
            panic!("{all:?}")
        };
        let first = first.source.as_ref().unwrap();
        assert!(matches!(first.from, KeysFrom::Discovery(_)));
        assert!(!first.algorithms.contains(Algorithm::Hs256));
        let second = second.source.as_ref().unwrap();
        assert!(matches!(second.from, KeysFrom::Jwks(_)));
        assert!(second.of.has(Role::Subscriber) && !second.of.has(Role::Publisher));
        assert_eq!(second.algorithms.to_string(), "RS256, EdDSA");
    }

    #[test]
    fn what_is_wrong_with_an_issuer_is_said() {
        let table = [
            ("x = 1", "unknown field `x`"),
            ("roles = []", "leave `roles` out"),
            ("roles = ['reader']", "publisher or subscriber"),
            ("algorithms = []", "leave `algorithms` out"),
            ("algorithms = ['none']", "none"),
            ("jwks-url = 'http://b.example/keys'", "--fetch-plain-http"),
            (
                "jwks-url = 'https://b.example/k'\npublisher-key-file = 'k'",
                "not both",
            ),
            (
                "publisher-key-file = '/no/such/file'",
                "cannot read the key",
            ),
            (
                "jwks-url = 'file:///no/such/file'",
                "cannot read the JWK set",
            ),
        ];
        for (line, words) in table {
            let text = format!("[[issuers]]\nname = 'https://a.example'\n{line}\n");
            let error = loaded(&text).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
        assert!(
            loaded("[[issuers]]\nname = ''")
                .unwrap_err()
                .contains("needs a name")
        );
        assert!(
            loaded("[[issuers]]\nname = 'urn:a'")
                .unwrap_err()
                .contains("not fetched")
        );
        assert!(loaded("[[issuers]]").unwrap_err().contains("name"));
    }
}
