//! Grants: what a request may do, decided once at the door.

use crate::MatcherSet;

/// What a publisher or subscriber may do. Made by `tidewire-auth`, spent by `tidewire-http`; the engine never sees one:
/// it gets a filter that a grant has already narrowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Topics it may publish to; every topic of an event must be among them.
    pub publish: MatcherSet,
    /// Whether it may subscribe at all, and so read public events.
    pub subscribe: bool,
    /// Topics whose private events it may read.
    pub private: MatcherSet,
    /// When it ends, in milliseconds since 1970; `None`: never.
    pub expires_ms: Option<u64>,
    /// Who holds it: the token's issuer, if it names one.
    pub issuer: Option<String>,
    /// Who holds it: the token's subject; `None` for anonymous and for tokens without one.
    pub subject: Option<String>,
    /// The token's own id (`jti`), by which it can be revoked.
    pub token_id: Option<String>,
}
