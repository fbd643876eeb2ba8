//! The decision.

use tidewire_core::{Dialect, Grant, MatcherSet, PatternError, Patterns, Payload};

use crate::case::Case;
use crate::{Anonymous, Claims, Detail, DetailError, Keys, Question, Refusal, Role};

/// By how much a token's maker may be ahead of the hub's clock for its `iat` to be believed.
const ISSUED_AHEAD_MS_MAX: u64 = 60_000;

/// Decides what a request may do in a role. `patterns` makes matchers of the patterns that a token names, within the hub's limits.
///
/// A token that is bad is refused even where none is needed: falling back would hide the mistake.
/// The grant says what this role may: a publisher's has `publish`, a subscriber's `subscribe` and `private`.
/// What it does not ask: whether somebody revoked the token ([`crate::Revocations`]).
///
/// # Errors
/// Says why not.
pub fn decide(
    question: &Question<'_>,
    keys: &Keys,
    anonymous: Anonymous,
    patterns: &Patterns,
) -> Result<Grant, Refusal> {
    let role = question.role;
    let Some(presented) = question.presented else {
        let dialect = question.dialect.unwrap_or_default();
        return anonymous.grant(role, dialect).ok_or(Refusal::Missing(role));
    };
    let case = Case::open(question, presented.token, presented.from, keys)?;
    case.judge()?;
    let mut grant = grant(case.into_claims()?, role, patterns)?;
    // One that says it was made later than that does not say when it was made (milliseconds, mostly), and must not outlive every
    // revocation by that.
    let made_by_ms = question.now_ms.saturating_add(ISSUED_AHEAD_MS_MAX);
    grant.issued_ms = grant.issued_ms.filter(|ms| *ms <= made_by_ms);
    grant.expires_ms = grant.expires_ms.map(|ms| ms.saturating_add(keys.leeway_ms));
    Ok(grant)
}

/// In which dialect a refusal is answered: the request's, else the token's. A publish is legacy if its token is one that a legacy
/// key of its role has signed, whatever else is wrong with it; anything else is modern (mercure.md, section 3).
#[must_use]
pub fn dialect_of(question: &Question<'_>, keys: &Keys) -> Dialect {
    let of_token = || {
        let presented = question.presented?;
        let case = Case::open(question, presented.token, presented.from, keys).ok()?;
        (case.dialect == Dialect::Legacy && case.signature().is_ok()).then_some(Dialect::Legacy)
    };
    question
        .dialect
        .or_else(of_token)
        .unwrap_or(Dialect::Modern)
}

/// What claims that have been checked grant in a role.
pub(crate) fn grant(claims: Claims, role: Role, patterns: &Patterns) -> Result<Grant, Refusal> {
    let (topics, payloads) = match &claims.details {
        None => legacy(&claims, role, patterns)?,
        Some(details) => modern(details, role, patterns)?,
    };
    let mut grant = Grant {
        dialect: claims.dialect(),
        issued_ms: claims.issued_ms,
        expires_ms: claims.expires_ms,
        issuer: claims.issuer,
        subject: claims.subject,
        token_id: claims.token_id,
        ..Grant::default()
    };
    match role {
        // Public events are for whoever has a token that is good; publishing needs a topic to publish to.
        Role::Publisher if topics.is_empty() => return Err(Refusal::NotGranted(role)),
        Role::Publisher => grant.publish = topics,
        Role::Subscriber => {
            grant.subscribe = true;
            grant.private = topics;
            grant.payloads = payloads;
        }
    }
    Ok(grant)
}

type Topics = (MatcherSet, Vec<Payload>);

fn legacy(claims: &Claims, role: Role, patterns: &Patterns) -> Result<Topics, Refusal> {
    let selectors = match role {
        Role::Publisher => &claims.publish,
        Role::Subscriber => &claims.subscribe,
    };
    let payload = claims.payload.as_ref().map(|payload| Payload {
        topics: MatcherSet::any(),
        json: payload.to_string().into(),
    });
    let matchers = matchers(selectors, patterns)?;
    Ok((matchers, payload.into_iter().collect()))
}

/// Selectors as matchers (mercure.md, 1.2). One that can be neither a topic nor a template matches none, and is left out. A
/// template that the hub does not take is refused: whoever made the token means it to match.
fn matchers(selectors: &[String], patterns: &Patterns) -> Result<MatcherSet, Refusal> {
    let matcher = |selector: &String| match patterns.selector(selector) {
        Ok(matcher) => Some(Ok(matcher)),
        Err(PatternError::Topic(_)) => None,
        Err(error) => Some(Err(Refusal::Pattern(error))),
    };
    selectors.iter().filter_map(matcher).collect()
}

/// Every detail is looked at, those of the other role too: a defect in one spoils the token (mercure.md, 2.35).
fn modern(details: &[Detail], role: Role, patterns: &Patterns) -> Result<Topics, Refusal> {
    let (mut granted, mut payloads) = (Vec::new(), Vec::new());
    for (index, detail) in details.iter().enumerate() {
        let topics = detail.matchers(patterns).map_err(|error| {
            if error.is_temporary() {
                return Refusal::Pattern(error);
            }
            let why = DetailError::Pattern(error);
            Refusal::Detail { index, why }
        })?;
        if !detail.grants(role) {
            continue;
        }
        granted.extend(topics.iter().cloned());
        if let Some(payload) = &detail.payload {
            let json = payload.to_string().into();
            payloads.push(Payload { topics, json });
        }
    }
    Ok((granted.into_iter().collect(), payloads))
}
