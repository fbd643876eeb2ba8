//! What is asked of [`crate::decide`].

use std::fmt;

use tidewire_core::Dialect;

/// What a request wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It publishes.
    Publisher,
    /// It subscribes.
    Subscriber,
}

impl Role {
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Publisher => "publish",
            Self::Subscriber => "subscribe",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
        })
    }
}

/// Where in a request a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// In `Authorization: Bearer`.
    Header,
    /// In the URL, which ends up in logs and histories: for legacy tokens only (mercure.md, 2.30).
    Query,
    /// In a cookie.
    Cookie,
}

/// A token as a request carries it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Presented<'a> {
    /// The token.
    pub token: &'a str,
    /// Where it stands.
    pub from: Carrier,
}

/// A token is a secret: whoever reads it in a log could use it.
impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// What a request asks, as far as it bears on the decision.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The token it carries, if any.
    pub presented: Option<Presented<'a>>,
    /// What it wants to be.
    pub role: Role,
    /// The dialect that it is in: `Legacy` takes tokens of both, `Modern` only modern ones; `None`: the token says.
    pub dialect: Option<Dialect>,
    /// The hub's own name, which a modern token must be for (`aud`): by recommendation its URL.
    pub audience: &'a str,
    /// In milliseconds since 1970.
    pub now_ms: u64,
}
