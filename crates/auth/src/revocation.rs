//! Tokens taken back before their time. The pure part: keeping them over restarts, and the request that asks for it, are
//! `tidewire-http`'s.

use std::collections::BTreeMap;
use std::fmt;

use tidewire_core::{Grant, MatcherSet, Topic};

/// How many revocations a hub keeps unless it is told otherwise. One takes about 200 bytes.
pub const REVOCATIONS_MAX: usize = 100_000;

/// The longest issuer, subject or token id that can be revoked, in bytes.
pub const REVOCATION_TEXT_BYTES_MAX: usize = 1024;

/// What tokens are known by that are taken back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevokedBy {
    /// The one with this id (`jti`), of this issuer; `None`: whoever made it. Whenever it was made: an id is used once.
    TokenId {
        /// Who made it.
        issuer: Option<String>,
        /// Its id.
        id: String,
    },
    /// Those about this subject (`sub`), of this issuer; `None`: whoever made them.
    Subject {
        /// Who made them.
        issuer: Option<String>,
        /// Whom they are about.
        subject: String,
    },
    /// Those that let their holder read this topic's private events. Who may publish to it may go on, or whoever may publish to
    /// every topic would lock itself out; a publisher is taken back by its id or its subject.
    Topic(Topic),
}

/// Tokens taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Which.
    pub what: RevokedBy,
    /// When, in milliseconds since 1970. By subject and by topic, a token that was made later (`iat`) is good again. `iat` is
    /// mostly whole seconds, so one made within the same second is not; nor is one that does not say when it was made.
    pub revoked_ms: u64,
    /// When none of these tokens can be good any more, in milliseconds since 1970; `None`: that is not known.
    pub until_ms: Option<u64>,
}

impl Revocation {
    /// Whether the token behind this grant is taken back by it. A grant without a token is for nobody to take back.
    #[must_use]
    pub fn applies_to(&self, grant: &Grant) -> bool {
        let of_issuer = |issuer: &Option<String>| issuer.is_none() || *issuer == grant.issuer;
        match &self.what {
            RevokedBy::TokenId { issuer, id } => {
                of_issuer(issuer) && grant.token_id.as_ref() == Some(id)
            }
            RevokedBy::Subject { issuer, subject } => {
                of_issuer(issuer) && grant.subject.as_ref() == Some(subject) && self.is_after(grant)
            }
            RevokedBy::Topic(topic) => {
                grant.private.accepts(topic.as_bytes()) && self.is_after(grant)
            }
        }
    }

    fn is_after(&self, grant: &Grant) -> bool {
        grant
            .issued_ms
            .is_none_or(|issued_ms| issued_ms <= self.revoked_ms)
    }

    fn is_over(&self, now_ms: u64) -> bool {
        self.until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }

    /// Both in one: what either takes back is taken back.
    fn widen(&mut self, other: &Self) {
        self.revoked_ms = self.revoked_ms.max(other.revoked_ms);
        self.until_ms = self
            .until_ms
            .zip(other.until_ms)
            .map(|(one, two)| one.max(two));
    }
}

/// Why a revocation was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationError {
    /// There are as many as there may be, all of them in force. Trying again helps once some are over.
    Full {
        /// The limit.
        entries_max: usize,
    },
    /// Its issuer, subject or id is longer than [`REVOCATION_TEXT_BYTES_MAX`], or empty. The caller's fault.
    Text,
}

impl fmt::Display for RevocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { entries_max } => write!(
                f,
                "there are {entries_max} revocations in force, as many as there may be (revocations_max)"
            ),
            Self::Text => write!(
                f,
                "an issuer, a subject and a token id have 1 to {REVOCATION_TEXT_BYTES_MAX} bytes"
            ),
        }
    }
}

impl std::error::Error for RevocationError {}

/// The revocations in force. Tokens are looked up by what they are known by: a hundred thousand revocations cost a request no more
/// than ten do. Only those by topic are gone through one by one, and only for a token with patterns.
#[derive(Clone, Debug)]
pub struct Revocations {
    entries_max: usize,
    len: usize,
    // Of one id or subject, those of different issuers stand together: they are few.
    token_ids: BTreeMap<String, Vec<Revocation>>,
    subjects: BTreeMap<String, Vec<Revocation>>,
    topics: BTreeMap<Topic, Vec<Revocation>>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new(REVOCATIONS_MAX)
    }
}

impl Revocations {
    /// None, and room for this many.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self {
            entries_max,
            len: 0,
            token_ids: BTreeMap::new(),
            subjects: BTreeMap::new(),
            topics: BTreeMap::new(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one. If the same tokens are taken back already, the later time and the later end count.
    ///
    /// # Errors
    /// If there is no room, or it is none that can be.
    pub fn insert(&mut self, revocation: Revocation) -> Result<(), RevocationError> {
        check_texts(&revocation.what)?;
        if let Some(known) = self.known(&revocation.what) {
            known.widen(&revocation);
            return Ok(());
        }
        if self.len >= self.entries_max {
            return Err(RevocationError::Full {
                entries_max: self.entries_max,
            });
        }
        let list = match &revocation.what {
            RevokedBy::TokenId { id, .. } => self.token_ids.entry(id.clone()).or_default(),
            RevokedBy::Subject { subject, .. } => self.subjects.entry(subject.clone()).or_default(),
            RevokedBy::Topic(topic) => self.topics.entry(topic.clone()).or_default(),
        };
        list.push(revocation);
        self.len += 1;
        Ok(())
    }

    fn known(&mut self, what: &RevokedBy) -> Option<&mut Revocation> {
        let list = match what {
            RevokedBy::TokenId { id, .. } => self.token_ids.get_mut(id),
            RevokedBy::Subject { subject, .. } => self.subjects.get_mut(subject),
            RevokedBy::Topic(topic) => self.topics.get_mut(topic),
        };
        list?.iter_mut().find(|known| known.what == *what)
    }

    /// Lets go of one before its time; whether it was there.
    pub fn remove(&mut self, what: &RevokedBy) -> bool {
        let before = self.len;
        self.retain(|revocation| revocation.what != *what);
        self.len < before
    }

    /// Lets go of those whose tokens cannot be good any more; says how many.
    pub fn expire(&mut self, now_ms: u64) -> usize {
        let before = self.len;
        self.retain(|revocation| !revocation.is_over(now_ms));
        before - self.len
    }

    fn retain(&mut self, keep: impl Fn(&Revocation) -> bool) {
        fn sweep<K: Ord>(
            map: &mut BTreeMap<K, Vec<Revocation>>,
            keep: impl Fn(&Revocation) -> bool,
        ) -> usize {
            map.retain(|_, list| {
                list.retain(&keep);
                !list.is_empty()
            });
            map.values().map(Vec::len).sum()
        }
        self.len = sweep(&mut self.token_ids, &keep)
            + sweep(&mut self.subjects, &keep)
            + sweep(&mut self.topics, &keep);
    }

    /// All of them, in an order that does not depend on when they came.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        let lists = self.token_ids.values().chain(self.subjects.values());
        lists.chain(self.topics.values()).flatten()
    }

    /// Which of them takes back the token behind this grant, if any. Not to be asked of a grant that needed no token.
    #[must_use]
    pub fn check(&self, grant: &Grant, now_ms: u64) -> Option<&Revocation> {
        if self.is_empty() {
            return None;
        }
        let in_force =
            |revocation: &&Revocation| !revocation.is_over(now_ms) && revocation.applies_to(grant);
        let by_id = grant
            .token_id
            .as_ref()
            .and_then(|id| self.token_ids.get(id));
        let by_subject = grant
            .subject
            .as_ref()
            .and_then(|subject| self.subjects.get(subject));
        let named = by_id.into_iter().chain(by_subject).flatten();
        named.chain(self.by_topics(&grant.private)).find(in_force)
    }

    /// Those that may concern these topics.
    fn by_topics(&self, granted: &MatcherSet) -> impl Iterator<Item = &Revocation> {
        // A matcher of more than one topic could be any of them; topics alone are looked up.
        let exact = match self.topics.is_empty() {
            true => Some(Vec::new()),
            false => granted.exact_topics(),
        };
        let all = exact.is_none().then(|| self.topics.values().flatten());
        let found = exact
            .into_iter()
            .flatten()
            .filter_map(|topic| self.topics.get(topic))
            .flatten()
            .collect::<Vec<_>>();
        all.into_iter().flatten().chain(found)
    }
}

fn check_texts(what: &RevokedBy) -> Result<(), RevocationError> {
    let (issuer, name) = match what {
        RevokedBy::TokenId { issuer, id } => (issuer, id),
        RevokedBy::Subject { issuer, subject } => (issuer, subject),
        RevokedBy::Topic(_) => return Ok(()),
    };
    let fits = |text: &String| (1..=REVOCATION_TEXT_BYTES_MAX).contains(&text.len());
    if fits(name) && issuer.as_ref().is_none_or(fits) {
        Ok(())
    } else {
        Err(RevocationError::Text)
    }
}
