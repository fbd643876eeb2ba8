//! The key that a token is signed or checked with: in a file, whatever its form, or in the hub's own variables.

use std::path::{Path, PathBuf};

use clap::Args;
use tidewire_auth::{Algorithm, Key, KeyError, KeySet, Role};

use crate::failure::{Failure, Outcome};
use crate::quote;
use crate::settings::{self, KEY_VARIABLES};

/// Where the key is.
#[derive(Args, Debug)]
pub(super) struct KeyArgs {
    /// File with the key; else TIDEWIRE_PUBLISHER_KEY or TIDEWIRE_SUBSCRIBER_KEY. A shared secret, or a key as PEM or JWK: a private one to
    /// sign, a public one or a set is enough to check
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// The key's algorithm: HS256 for a shared secret if nothing is said, else what the key is for
    #[arg(long, value_name = "ALG")]
    alg: Option<Algorithm>,
}

impl KeyArgs {
    /// The key that signs.
    pub(super) fn signing(&self, role: Role) -> Outcome<Key> {
        let (from, bytes) = self.find(role)?.ok_or_else(no_key)?;
        Key::signing(&bytes, self.alg).map_err(|why| wrong(&from, &why))
    }

    /// The keys that check, if there are any at hand. Of a private key its public half is enough.
    pub(super) fn checking(&self, role: Role) -> Outcome<Option<KeySet>> {
        let Some((from, bytes)) = self.find(role)? else {
            return Ok(None);
        };
        let keys = match KeySet::parse(&bytes, self.alg.map(Into::into)) {
            Err(KeyError::Private | KeyError::Pem) => {
                Key::signing(&bytes, self.alg).map(|key| KeySet::from(key.into_public()))
            }
            keys => keys,
        };
        keys.map(Some).map_err(|why| wrong(&from, &why))
    }

    /// What is there, and where it was found.
    fn find(&self, role: Role) -> Outcome<Option<(String, Vec<u8>)>> {
        if let Some(path) = &self.key_file {
            return Ok(Some((named(path), settings::read_key(path)?)));
        }
        let mut variables = KEY_VARIABLES
            .into_iter()
            .filter(|(of, _)| *of == role)
            .flat_map(|(_, names)| names);
        let found = variables.find_map(|name| {
            let key = settings::variable(name)?;
            Some((name.to_owned(), key.into_encoded_bytes()))
        });
        Ok(found)
    }
}

fn named(path: &Path) -> String {
    path.display().to_string()
}

fn wrong(from: &str, why: &KeyError) -> Failure {
    let failure = Failure::usage(format!("{from}: {why}"));
    match why {
        KeyError::Algorithm(_) => failure.next("leave --alg out to use what the key is for"),
        KeyError::Public => failure.next("tokens are signed with the private half"),
        _ => failure,
    }
}

fn no_key() -> Failure {
    let program = quote::program();
    Failure::usage("no key to sign with").next(format!(
        "say --key-file FILE, the hub's own; or make one: {program} token keygen --out tidewire.key"
    ))
}
