//! A token before its judges: every check that it must pass, in order. [`crate::decide`] stops at the first that it fails;
//! [`crate::examine`] goes through all of them.

use std::fmt;

use tidewire_core::Dialect;

use crate::jws::{Jws, shown};
use crate::{
    Algorithm, Algorithms, Carrier, Claims, Issuer, KeySet, Keys, Question, Refusal, signature,
};

/// One check of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// It is a token at all.
    Form,
    /// The hub has keys for this role.
    Keys,
    /// It stands where a token of its dialect may.
    Carrier,
    /// The request's dialect takes it.
    Dialect,
    /// Its header demands nothing that we do not know.
    Critical,
    /// Its header says that it is an access token; modern tokens only.
    Type,
    /// Its maker is trusted in this role; of a legacy token: the hub has keys for such.
    Issuer,
    /// One of the trusted keys may have signed it.
    Key,
    /// One of them has.
    Signature,
    /// What it says has the right shape.
    Claims,
    /// It is for this hub; modern tokens only.
    Audience,
    /// Its time has come and is not over.
    Time,
    /// It allows something in this role, in words that the hub takes.
    Grant,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "form",
            Self::Keys => "keys of the hub",
            Self::Carrier => "place in the request",
            Self::Dialect => "dialect of the request",
            Self::Critical => "extensions",
            Self::Type => "type",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Audience => "audience",
            Self::Time => "time",
            Self::Grant => "grant",
        })
    }
}

/// A token, taken apart, and what it is judged by.
pub(crate) struct Case<'a> {
    question: &'a Question<'a>,
    keys: &'a Keys,
    from: Carrier,
    jws: Jws<'a>,
    pub(crate) dialect: Dialect,
    claims: Result<Claims, Refusal>,
}

type Test = for<'a> fn(&Case<'a>) -> Result<(), Refusal>;

/// The checks in their order.
pub(crate) const CHECKS: [(Check, Test); 11] = [
    (Check::Keys, |case| case.keys()),
    (Check::Carrier, |case| case.carrier()),
    (Check::Dialect, |case| case.dialect()),
    (Check::Critical, |case| case.critical()),
    (Check::Type, |case| case.access_token()),
    (Check::Issuer, |case| case.set().map(drop)),
    (Check::Key, |case| case.key().map(drop)),
    (Check::Signature, |case| case.signature()),
    (Check::Claims, |case| {
        case.claims.as_ref().map(drop).map_err(Clone::clone)
    }),
    (Check::Audience, |case| case.audience()),
    (Check::Time, |case| case.time()),
];

impl<'a> Case<'a> {
    pub(crate) fn open(
        question: &'a Question<'a>,
        token: &'a str,
        from: Carrier,
        keys: &'a Keys,
    ) -> Result<Self, Refusal> {
        let jws = Jws::parse(token)?;
        let dialect = jws.dialect();
        let claims = Claims::parse(&jws.payload, dialect);
        Ok(Self {
            question,
            keys,
            from,
            jws,
            dialect,
            claims,
        })
    }

    /// All checks, until one fails.
    pub(crate) fn judge(&self) -> Result<(), Refusal> {
        CHECKS.iter().try_for_each(|(_, test)| test(self))
    }

    pub(crate) fn into_claims(self) -> Result<Claims, Refusal> {
        self.claims
    }

    fn keys(&self) -> Result<(), Refusal> {
        let role = self.question.role;
        match self.keys.can_verify(role) {
            true => Ok(()),
            false => Err(Refusal::NoKey(role)),
        }
    }

    /// mercure.md, 2.30: a modern token never stands in a URL.
    fn carrier(&self) -> Result<(), Refusal> {
        match (self.from, self.dialect) {
            (Carrier::Query, Dialect::Modern) => Err(Refusal::QueryModern),
            _ => Ok(()),
        }
    }

    fn dialect(&self) -> Result<(), Refusal> {
        match (self.question.dialect, self.dialect) {
            (Some(Dialect::Modern), Dialect::Legacy) => Err(Refusal::DialectOfRequest),
            _ => Ok(()),
        }
    }

    /// RFC 7515, section 4.1.11: an extension that is not understood makes the JWS invalid; we understand none.
    fn critical(&self) -> Result<(), Refusal> {
        if self.jws.header.contains_key("crit") {
            return Err(Refusal::Critical);
        }
        Ok(())
    }

    /// RFC 9068, section 4: without it, an ID token of the same issuer would do as well.
    fn access_token(&self) -> Result<(), Refusal> {
        match self.dialect {
            Dialect::Modern if !self.jws.is_access_token() => Err(Refusal::NoType),
            _ => Ok(()),
        }
    }

    /// The keys that may have signed it: a legacy token's are the role's, a modern one's those of its issuer for the role, and
    /// nobody else's (mercure.md, 2.32).
    fn set(&self) -> Result<&'a KeySet, Refusal> {
        self.keys()?;
        let role = self.question.role;
        if self.dialect == Dialect::Legacy {
            // Whoever has issuers and no other keys gets modern tokens from them.
            return self.keys.of(role).ok_or(Refusal::NoType);
        }
        let issuer = self.issuer()?;
        issuer.of(role).ok_or_else(|| Refusal::IssuerRole {
            issuer: issuer.name.clone(),
            role,
        })
    }

    fn issuer(&self) -> Result<&'a Issuer, Refusal> {
        let named = self.jws.payload.get("iss").and_then(|name| name.as_str());
        named
            .and_then(|name| self.keys.issuer(name))
            .ok_or_else(|| Refusal::Issuer {
                named: named.map(shown),
            })
    }

    /// RFC 8725, section 3.1: the keys say which algorithm, never the token; and what stands in its `jwk`, `jku`, `x5c` or `x5u`
    /// is nobody's business. Says which algorithm that is.
    fn key(&self) -> Result<Algorithm, Refusal> {
        let (set, kid) = (self.set()?, self.jws.key_id()?);
        let name = self.jws.algorithm()?;
        if set.named(kid).next().is_none() {
            return Err(Refusal::UnknownKey {
                // Whom a legacy token names is nobody's key's business.
                issuer: match self.dialect {
                    Dialect::Legacy => None,
                    Dialect::Modern => self.issuer().ok().map(|issuer| issuer.name.clone()),
                },
                kid: kid.map(shown),
            });
        }
        let fits = |algorithm: &Algorithm| set.candidates(kid, *algorithm).next().is_some();
        name.parse().ok().filter(fits).ok_or_else(|| {
            let none = Algorithms::default();
            Refusal::Algorithm {
                token: shown(name),
                keys: set.named(kid).fold(none, |all, key| all.or(key.algorithms)),
            }
        })
    }

    pub(crate) fn signature(&self) -> Result<(), Refusal> {
        let algorithm = self.key()?;
        let mut outcome = Err(Refusal::Signature);
        for key in self.set()?.candidates(self.jws.key_id()?, algorithm) {
            outcome = signature::check(self.jws.signed, self.jws.signature, key, algorithm);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// mercure.md, 2.33.
    fn audience(&self) -> Result<(), Refusal> {
        let claims = self.claims.as_ref().map_err(Clone::clone)?;
        let audience = self.question.audience;
        match self.dialect {
            Dialect::Modern if !claims.audience.iter().any(|one| one == audience) => {
                Err(Refusal::Audience {
                    hub: audience.to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn time(&self) -> Result<(), Refusal> {
        let claims = self.claims.as_ref().map_err(Clone::clone)?;
        let (now_ms, leeway_ms) = (self.question.now_ms, self.keys.leeway_ms);
        match claims.expires_ms {
            // mercure.md, 2.34.
            None if self.dialect == Dialect::Modern => return Err(Refusal::NoExpiry),
            // RFC 7519, section 4.1.4: on or after `exp` it must not be accepted.
            Some(expires_ms) if now_ms >= expires_ms.saturating_add(leeway_ms) => {
                return Err(Refusal::Expired { expires_ms });
            }
            _ => {}
        }
        // RFC 7519, section 4.1.5: before `nbf` it must not be accepted.
        match claims.not_before_ms {
            Some(not_before_ms) if now_ms.saturating_add(leeway_ms) < not_before_ms => {
                Err(Refusal::NotYet { not_before_ms })
            }
            _ => Ok(()),
        }
    }
}
