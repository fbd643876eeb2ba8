//! What a request without a token may do.

use std::fmt;
use std::str::FromStr;

use tidewire_core::{Dialect, Grant, MatcherSet};

use crate::Role;

/// What is open to requests without a token. Private events never are: their readers must be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing.
    #[default]
    None,
    /// Reading public events.
    Subscribe,
    /// Reading public events and publishing to any topic.
    All,
}

impl Anonymous {
    /// As they are spelled.
    pub const NAMES: [&str; 3] = ["none", "subscribe", "all"];

    /// Whether a request in this role needs no token.
    #[must_use]
    pub fn allows(self, role: Role) -> bool {
        match role {
            Role::Publisher => self == Self::All,
            Role::Subscriber => self != Self::None,
        }
    }

    pub(crate) fn grant(self, role: Role, dialect: Dialect) -> Option<Grant> {
        self.allows(role).then(|| match role {
            Role::Publisher => Grant {
                dialect,
                publish: MatcherSet::any(),
                ..Grant::default()
            },
            Role::Subscriber => Grant {
                dialect,
                subscribe: true,
                ..Grant::default()
            },
        })
    }
}

impl FromStr for Anonymous {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "subscribe" => Ok(Self::Subscribe),
            "all" => Ok(Self::All),
            _ => Err(format!("{text:?} is not one of none, subscribe, all")),
        }
    }
}

impl fmt::Display for Anonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}
