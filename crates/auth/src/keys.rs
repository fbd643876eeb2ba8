//! The keys of a hub.

use crate::{Key, KeySet, Role};

/// The keys of a hub. The two roles are apart: a subscriber's key cannot sign a publisher's token. So are the dialects: a key of
/// a role without an issuer never verifies a modern token, an issuer's never a legacy one, nor another issuer's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Checks publishers' tokens in the legacy dialect.
    pub publisher: Option<KeySet>,
    /// Checks subscribers' tokens in the legacy dialect.
    pub subscriber: Option<KeySet>,
    /// Whose modern tokens are taken.
    pub issuers: Vec<Issuer>,
    /// For how long after its end and before its beginning a token is taken, in milliseconds, where clocks differ. RFC 7519,
    /// section 4.1.4, allows "some small leeway"; none unless somebody asks for it.
    pub leeway_ms: u64,
}

/// Who makes modern tokens, and the keys that its tokens are checked with, by role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issuer {
    /// Its name, exactly as its tokens spell it (`iss`).
    pub name: String,
    /// Checks its publishers' tokens; `None`: it has no say over publishers.
    pub publisher: Option<KeySet>,
    /// Checks its subscribers' tokens; `None`: it has no say over subscribers.
    pub subscriber: Option<KeySet>,
}

impl Issuer {
    /// Its keys for a role.
    #[must_use]
    pub fn of(&self, role: Role) -> Option<&KeySet> {
        match role {
            Role::Publisher => self.publisher.as_ref(),
            Role::Subscriber => self.subscriber.as_ref(),
        }
    }
}

impl Keys {
    /// Whether nothing at all is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        ![Role::Publisher, Role::Subscriber]
            .into_iter()
            .any(|role| self.can_verify(role))
    }

    /// Whether any token can be good in this role, now or once keys are fetched.
    #[must_use]
    pub fn can_verify(&self, role: Role) -> bool {
        self.of(role).is_some() || self.issuers.iter().any(|issuer| issuer.of(role).is_some())
    }

    /// The keys for a role in the legacy dialect.
    #[must_use]
    pub fn of(&self, role: Role) -> Option<&KeySet> {
        match role {
            Role::Publisher => self.publisher.as_ref(),
            Role::Subscriber => self.subscriber.as_ref(),
        }
    }

    /// The issuer of this name, compared byte by byte (mercure.md, 2.32).
    #[must_use]
    pub fn issuer(&self, name: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.name == name)
    }

    /// Every key for a role, with its issuer's name: for whoever configured them.
    pub fn each(&self, role: Role) -> impl Iterator<Item = (Option<&str>, &Key)> {
        let legacy = self.of(role).map(|set| (None, set));
        let modern = self
            .issuers
            .iter()
            .filter_map(move |issuer| Some((Some(&*issuer.name), issuer.of(role)?)));
        legacy
            .into_iter()
            .chain(modern)
            .flat_map(|(issuer, set)| set.iter().map(move |key| (issuer, key)))
    }
}
