//! Keys, from files and from the environment, never from flags: those show in `ps`.

use std::path::Path;

use tidewire_auth::signed_url::UrlKey;
use tidewire_auth::{Algorithm, Algorithms, Issuer, KeyError, KeySet, Keys, Role};

use super::overlay::MERCURE_ISSUERS;
use super::{Origin, Settings, Sources};
use crate::failure::{Failure, Outcome};

/// For each role, the variables that may hold its key, the strongest first; the last is the reference hub's.
pub(crate) const KEY_VARIABLES: [(Role, [&str; 2]); 2] = [
    (
        Role::Publisher,
        ["TIDEWIRE_PUBLISHER_KEY", "MERCURE_PUBLISHER_JWT_KEY"],
    ),
    (
        Role::Subscriber,
        ["TIDEWIRE_SUBSCRIBER_KEY", "MERCURE_SUBSCRIBER_JWT_KEY"],
    ),
];

/// The variable that may hold the key that URLs are signed with.
pub(crate) const URL_KEY_VARIABLE: &str = "TIDEWIRE_URL_KEY";

/// What URLs are signed with, by the same order: a flag's file, the variable, a file that the configuration names.
pub(crate) fn load_url_key(file: Option<&Path>, file_origin: &Origin) -> Outcome<Option<UrlKey>> {
    let variable = super::variable(URL_KEY_VARIABLE);
    let (from, bytes) = match (file, variable) {
        (Some(_), Some(_)) if matches!(file_origin, Origin::Environment(_)) => {
            return Err(Failure::usage(format!(
                "{URL_KEY_VARIABLE} and {URL_KEY_VARIABLE}_FILE are both set"
            ))
            .next("unset one of them"));
        }
        (Some(path), variable) if variable.is_none() || *file_origin == Origin::Flag => {
            (path.display().to_string(), read_key(path)?)
        }
        (_, Some(text)) => (URL_KEY_VARIABLE.to_owned(), text.into_encoded_bytes()),
        _ => return Ok(None),
    };
    let key = UrlKey::new(&bytes).map_err(|why| wrong_key(&from, &why))?;
    Ok(Some(key))
}

/// The hub's keys. A flag's file goes before a variable's key, and that before a file that the configuration names.
pub(crate) fn load(settings: &Settings, sources: &Sources) -> Outcome<Keys> {
    let mut keys = Keys::default();
    let issuers = mercure_issuers(settings, sources);
    for (role, variables) in KEY_VARIABLES {
        let (file, algorithm) = match role {
            Role::Publisher => (&settings.publisher_key_file, settings.publisher_key_alg),
            Role::Subscriber => (&settings.subscriber_key_file, settings.subscriber_key_alg),
        };
        let file_origin = sources.origin(&format!("{role}-key-file"));
        let variable = variables
            .into_iter()
            .find_map(|name| Some((name, super::variable(name)?)));
        let mut variable_used = None;
        let key = match (file, variable) {
            (Some(_), Some((name, _))) if matches!(file_origin, Origin::Environment(_)) => {
                let file_name = format!("TIDEWIRE_{}_KEY_FILE", role.to_string().to_uppercase());
                return Err(
                    Failure::usage(format!("{name} and {file_name} are both set"))
                        .next("unset one of them"),
                );
            }
            (Some(path), None) => Some(read_keys(path, algorithm)?),
            (Some(path), Some(_)) if *file_origin == Origin::Flag => {
                Some(read_keys(path, algorithm)?)
            }
            (_, Some((name, text))) => {
                variable_used = Some(name);
                Some(keys_of(name, text.as_encoded_bytes(), algorithm)?)
            }
            (None, None) => None,
        };
        let is_mercure = variable_used.is_some_and(|name| name.starts_with("MERCURE_"));
        match (key, role) {
            (Some(key), _) if is_mercure && !issuers.is_empty() => {
                give_to_issuers(&mut keys, issuers, role, &key);
            }
            (key, Role::Publisher) => keys.publisher = key,
            (key, Role::Subscriber) => keys.subscriber = key,
        }
    }
    Ok(keys)
}

/// The reference hub's `MERCURE_TRUSTED_ISSUERS`: who signs with the keys that its other variables hold. Then those are the
/// issuers' keys, for modern tokens alone, as they are there.
fn mercure_issuers<'a>(settings: &'a Settings, sources: &Sources) -> &'a [String] {
    match sources.origin("issuer") {
        Origin::Environment(name) if name == MERCURE_ISSUERS => &settings.trust.issuer,
        _ => &[],
    }
}

fn give_to_issuers(keys: &mut Keys, issuers: &[String], role: Role, key: &KeySet) {
    for name in issuers {
        let known = keys.issuers.iter().position(|issuer| issuer.name == *name);
        let at = known.unwrap_or_else(|| {
            keys.issuers.push(Issuer {
                name: name.clone(),
                ..Issuer::default()
            });
            keys.issuers.len() - 1
        });
        match role {
            Role::Publisher => keys.issuers[at].publisher = Some(key.clone()),
            Role::Subscriber => keys.issuers[at].subscriber = Some(key.clone()),
        }
    }
}

/// A role's keys from a file: a shared secret, a public key or a certificate in PEM, a JWK or a set of them.
fn read_keys(path: &Path, algorithm: Algorithm) -> Outcome<KeySet> {
    keys_of(&path.display().to_string(), &read_key(path)?, algorithm)
}

/// The same for any of these algorithms, or for all that its keys can be for.
pub(super) fn read_key_set(path: &Path, algorithms: Option<Algorithms>) -> Outcome<KeySet> {
    KeySet::parse(&read_key(path)?, algorithms)
        .map_err(|why| wrong_key(&path.display().to_string(), &why))
}

fn keys_of(from: &str, bytes: &[u8], algorithm: Algorithm) -> Outcome<KeySet> {
    KeySet::parse(bytes, Some(algorithm.into())).map_err(|why| wrong_key(from, &why))
}

/// All of a file but one line end, which editors and `echo` add.
pub(crate) fn read_key(path: &Path) -> Outcome<Vec<u8>> {
    let mut bytes =
        std::fs::read(path).map_err(|error| Failure::file(path, "read the key", &error))?;
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn wrong_key(from: &str, why: &KeyError) -> Failure {
    Failure::usage(format!("{from}: {why}")).next(format!(
        "make one with `{} token keygen --out tidewire.key`",
        crate::quote::program()
    ))
}
