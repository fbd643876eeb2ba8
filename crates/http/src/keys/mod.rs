//! Keys that are fetched: JWK sets by URL, an issuer's by its name alone, and what becomes of them while the hub runs.
//!
//! ```text
//! a token ── decide ──> the keys of now ──> granted or refused
//!                            ▲      └─ its key is unknown: fetch, unless that was done a moment ago, and decide once more
//!   keeper: when due ──> fetch ──> swapped whole, or the last good set stays
//! ```
//!
//! Strangers choose what their tokens say, so no token makes the hub fetch more often than the floor, and who asks while a fetch
//! runs waits for that one. A source that never answered lets nobody in: its tokens are refused for now (503), for whether they
//! are good is not known; one that has answered once decides by its last good set until it answers again.
//!
//! Not here: what a key verifies (`tidewire-auth`), how bytes are fetched (`fetch`), keys from files (the binary's).

mod discovery;
mod ring;
mod source;

use std::time::Duration;

use tidewire_auth::{Algorithm, Algorithms, Role};

use crate::fetch::RemoteUrl;

pub use ring::KeyStatus;
pub(crate) use ring::{Denied, Keyring, Unfetched};

/// Keys that the hub fetches, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FetchedKeys {
    /// Where from, and what for.
    pub sources: Vec<KeySource>,
    /// However many unknown keys tokens name, a source is asked again only so long after the last time.
    pub refetch_floor: Duration,
    /// The shortest time for which fetched keys are kept without asking again, whatever their source says.
    pub refresh_min: Duration,
    /// The longest. Also what holds where the source does not say.
    pub refresh_max: Duration,
    /// How long one fetch may take.
    pub time_max: Duration,
    /// How long a JWK set or an issuer's metadata may be, in bytes.
    pub document_bytes_max: usize,
}

impl Default for FetchedKeys {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            refetch_floor: Duration::from_secs(10),
            refresh_min: Duration::from_secs(60),
            refresh_max: Duration::from_secs(3600),
            time_max: Duration::from_secs(5),
            document_bytes_max: 256 << 10,
        }
    }
}

/// Where keys come from, and for whose tokens they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySource {
    /// Whose tokens.
    pub of: KeysOf,
    /// Where from.
    pub from: KeysFrom,
    /// What the keys may be used for. Shared secrets are not fetched unless they are named here: whoever could read them could sign.
    pub algorithms: Algorithms,
}

impl KeySource {
    /// With every algorithm that has a public key.
    #[must_use]
    pub fn new(of: KeysOf, from: KeysFrom) -> Self {
        let public = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| !algorithm.is_shared_secret());
        Self {
            of,
            from,
            algorithms: public.collect(),
        }
    }
}

/// Whose tokens keys are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysOf {
    /// Legacy tokens in a role.
    Role(Role),
    /// Tokens of an issuer, in these roles.
    Issuer {
        /// As its tokens spell it (`iss`).
        name: String,
        /// In which roles it is trusted.
        roles: Roles,
    },
}

impl KeysOf {
    /// Whether they are for tokens in this role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        match self {
            Self::Role(own) => *own == role,
            Self::Issuer { roles, .. } => roles.has(role),
        }
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        match self {
            Self::Role(_) => None,
            Self::Issuer { name, .. } => Some(name),
        }
    }
}

/// In which roles an issuer is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roles {
    /// In both.
    #[default]
    Both,
    /// In one.
    Only(Role),
}

impl Roles {
    /// Whether this role is among them.
    #[must_use]
    pub fn has(self, role: Role) -> bool {
        match self {
            Self::Both => true,
            Self::Only(only) => only == role,
        }
    }
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFrom {
    /// A JWK set (RFC 7517, section 5) at this address.
    Jwks(RemoteUrl),
    /// The issuer's own metadata, which says where its JWK set is: OpenID Connect Discovery 1.0 or RFC 8414, at the issuer's name,
    /// which therefore is a URL.
    Discovery(RemoteUrl),
}
