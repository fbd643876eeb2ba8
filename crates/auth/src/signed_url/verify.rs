//! Whether a signed URL is good, and what it grants.

use core::net::IpAddr;

use tidewire_core::{Dialect, Grant, Matcher, MatcherSet, PatternError, Patterns};

use super::canonical::{self, MATCHERS, Parsed};
use super::{SIGNED_URL_BYTES_MAX, UrlError, UrlKey};
use crate::{Refusal, signature};

/// A subscribe by a signed URL, as far as it bears on the decision.
#[derive(Clone, Copy, Debug)]
pub struct UrlQuestion<'a> {
    /// Its path, percent-encoded as it came.
    pub path: &'a str,
    /// The topic that its path names, if its path names one.
    pub topic: Option<&'a str>,
    /// Its query, decoded, in its order.
    pub parameters: &'a [(&'a str, &'a str)],
    /// The origin of the page that asks: what `Origin` says, or the hub's own where the browser says that it is the same one.
    pub origin: Option<&'a str>,
    /// The client's address, as a trusted hop tells it.
    pub address: Option<IpAddr>,
    /// In milliseconds since 1970.
    pub now_ms: u64,
}

/// What a signed URL that is good allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What it grants: to read public events, and private ones of its topics, until it ends.
    pub grant: Grant,
    /// If it is for one use: the name of that use. The caller refuses it ([`UrlError::Used`]) if it has seen it before, and
    /// remembers it until the grant ends.
    pub once: Option<String>,
}

/// Decides on a subscribe by a signed URL.
///
/// # Errors
/// Says why not.
pub fn verify(
    question: &UrlQuestion<'_>,
    key: &UrlKey,
    patterns: &Patterns,
) -> Result<Admitted, Refusal> {
    let pairs = question.parameters;
    let lengths = pairs
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2);
    if question.path.len() + lengths.sum::<usize>() > SIGNED_URL_BYTES_MAX {
        return Err(UrlError::TooLong.into());
    }
    let signed = canonical::one(pairs, "signature")?.ok_or(UrlError::Parameter("signature"))?;
    let terms = Parsed::of(pairs)?;
    let text = canonical::text(question.path, pairs);
    // Nothing of it is told, and no pattern made, before it is known to be the hub's own word.
    if !signature::hmac_fits(&key.0, text.as_bytes(), signed)? {
        return Err(UrlError::Signature.into());
    }
    in_force(&terms, question)?;
    Ok(Admitted {
        grant: Grant {
            dialect: dialect(question),
            subscribe: true,
            private: topics(question, patterns)?,
            expires_ms: Some(terms.expires_ms),
            subject: terms.subject.map(str::to_owned),
            issuer: terms.issuer.map(str::to_owned),
            token_id: terms.token_id.or(terms.once).map(str::to_owned),
            ..Grant::default()
        },
        once: terms.once.map(str::to_owned),
    })
}

fn in_force(terms: &Parsed<'_>, question: &UrlQuestion<'_>) -> Result<(), UrlError> {
    let expires_ms = terms.expires_ms;
    if question.now_ms >= expires_ms {
        return Err(UrlError::Expired { expires_ms });
    }
    if terms.origin.is_some() && terms.origin != question.origin {
        return Err(UrlError::Origin);
    }
    let canonical = |address: IpAddr| address.to_canonical();
    if terms.address.is_some() && terms.address.map(canonical) != question.address.map(canonical) {
        return Err(UrlError::Address);
    }
    Ok(())
}

fn dialect(question: &UrlQuestion<'_>) -> Dialect {
    match question.parameters.iter().any(|(name, _)| *name == "topic") {
        true => Dialect::Legacy,
        false => Dialect::Modern,
    }
}

fn topics(question: &UrlQuestion<'_>, patterns: &Patterns) -> Result<MatcherSet, Refusal> {
    let matchers = question
        .parameters
        .iter()
        .filter(|(name, _)| MATCHERS.contains(name))
        .map(|(name, value)| matcher(name, value, patterns));
    let mut set = matchers
        .collect::<Result<Vec<_>, _>>()
        .map_err(Refusal::Pattern)?;
    match question.topic {
        // Two ways to say it, of which a reader might take either.
        Some(_) if !set.is_empty() => return Err(UrlError::Parameter("topic").into()),
        Some(topic) => set.push(Patterns::exact(topic).map_err(Refusal::Pattern)?),
        None if set.is_empty() => return Err(UrlError::NoTopic.into()),
        None => {}
    }
    Ok(set.into_iter().collect())
}

fn matcher(name: &str, value: &str, patterns: &Patterns) -> Result<Matcher, PatternError> {
    match name {
        "topic" => patterns.selector(value),
        "match_urlpattern" => patterns.url_pattern(value),
        _ => Patterns::exact(value),
    }
}
