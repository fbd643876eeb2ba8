//! Grants: what a request may do, decided once at the door.

use std::sync::Arc;

use crate::MatcherSet;

/// Which of the two Mercure protocols something is in (shared/protocol/mercure.md, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The pre-standard protocol, which most clients speak today.
    Legacy,
    /// The protocol of the Internet draft, and what has no dialect of its own.
    #[default]
    Modern,
}

/// What a publisher or subscriber may do. Made by `tidewire-auth`, spent by `tidewire-http`; the engine never sees one:
/// it gets a filter that a grant has already narrowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// In which dialect its token is; of a request without one, the request's.
    pub dialect: Dialect,
    /// Topics it may publish to; every topic of an event must be among them.
    pub publish: MatcherSet,
    /// Whether it may subscribe at all, and so read public events.
    pub subscribe: bool,
    /// Topics whose private events it may read.
    pub private: MatcherSet,
    /// What others are shown of this subscriber, in the token's order: the first whose topics match counts.
    pub payloads: Vec<Payload>,
    /// When it was given, in milliseconds since 1970 (`iat`), if the token says so.
    pub issued_ms: Option<u64>,
    /// When it ends, in milliseconds since 1970; `None`: never.
    pub expires_ms: Option<u64>,
    /// Who holds it: the token's issuer, if it names one.
    pub issuer: Option<String>,
    /// Who holds it: the token's subject; `None` for anonymous and for tokens without one.
    pub subject: Option<String>,
    /// The token's own id (`jti`), by which it can be revoked.
    pub token_id: Option<String>,
}

/// What others are shown of a subscriber in subscription events (mercure.md, 1.13 and 2.63).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// For subscriptions whose matcher's text, taken for a topic, is among these.
    pub topics: MatcherSet,
    /// One JSON value.
    pub json: Arc<str>,
}
