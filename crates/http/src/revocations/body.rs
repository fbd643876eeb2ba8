//! Revocations as JSON: what is asked for, and what is answered. In a URL's query the same names mean the same.

use serde::{Deserialize, Serialize};
use tidewire_auth::{Revocation, RevokedBy};
use tidewire_core::Topic;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::date::rfc3339;
use crate::problem::Problem;

/// Which tokens, and until when they would be good.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Until>,
}

/// In seconds since 1970, as a token's `exp`, or as RFC 3339 writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Until {
    Seconds(f64),
    Text(String),
}

impl Until {
    fn ms(&self) -> Option<u64> {
        let ms = match self {
            Self::Seconds(seconds) => seconds * 1000.0,
            Self::Text(text) => {
                let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
                at.unix_timestamp_nanos() as f64 / 1e6
            }
        };
        // A whole number of milliseconds far below 2^53.
        (0.0..9e15).contains(&ms).then_some(ms.ceil() as u64)
    }
}

impl Named {
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body).map_err(|error| {
            Problem::bad_parameter(format!(
                "the body says no revocation: {error}; write {{\"token_id\": \"...\"}}, {{\"subject\": \"...\"}} or {{\"topic\": \"...\"}}, \
                 with `issuer` and `until` if you like"
            ))
        })
    }

    /// Which tokens are meant.
    pub(super) fn what(&self) -> Result<RevokedBy, Problem> {
        let issuer = self.issuer.clone();
        match (&self.token_id, &self.subject, &self.topic) {
            (Some(id), None, None) => Ok(RevokedBy::TokenId {
                issuer,
                id: id.clone(),
            }),
            (None, Some(subject), None) => Ok(RevokedBy::Subject {
                issuer,
                subject: subject.clone(),
            }),
            (None, None, Some(_)) if issuer.is_some() => Err(Problem::bad_parameter(
                "a revocation by `topic` is for every issuer's tokens; leave `issuer` out",
            )),
            (None, None, Some(topic)) => {
                let topic = Topic::parse(topic).map_err(|error| {
                    Problem::bad_parameter(format!("{topic:?} is no topic: {error}"))
                })?;
                Ok(RevokedBy::Topic(topic))
            }
            _ => Err(Problem::bad_parameter(
                "say which tokens by one of `token_id`, `subject` and `topic`",
            )),
        }
    }

    /// Until when, if that was said.
    pub(super) fn until_ms(&self, now_ms: u64) -> Result<Option<u64>, Problem> {
        let Some(until) = &self.until else {
            return Ok(None);
        };
        match until.ms() {
            Some(until_ms) if until_ms > now_ms => Ok(Some(until_ms)),
            Some(_) => Err(Problem::bad_parameter(
                "`until` has passed: tokens that ended by then are refused anyhow",
            )),
            None => Err(Problem::bad_parameter(
                "`until` is no time: write seconds since 1970, as a token's `exp`, or a time as 2026-11-21T18:00:00Z",
            )),
        }
    }

    /// A revocation as it was asked for.
    pub(super) fn of(revocation: &Revocation) -> Self {
        let mut named = Self {
            until: revocation
                .until_ms
                .map(|until_ms| Until::Text(rfc3339(until_ms))),
            ..Self::default()
        };
        match &revocation.what {
            RevokedBy::TokenId { issuer, id } => {
                (named.token_id, named.issuer) = (Some(id.clone()), issuer.clone());
            }
            RevokedBy::Subject { issuer, subject } => {
                (named.subject, named.issuer) = (Some(subject.clone()), issuer.clone());
            }
            RevokedBy::Topic(topic) => named.topic = Some(topic.to_string()),
            _ => {}
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocations_are_read_and_written_alike() {
        let now_ms = 1_000_000_000_000;
        #[rustfmt::skip]
        let table = [
            (r#"{"token_id":"a"}"#, Some(r#"{"token_id":"a"}"#)),
            (r#"{"subject":"a","issuer":"b"}"#, Some(r#"{"subject":"a","issuer":"b"}"#)),
            (r#"{"topic":"a"}"#, Some(r#"{"topic":"a"}"#)),
            (r#"{"token_id":"a","until":2000000000}"#, Some(r#"{"token_id":"a","until":"2033-05-18T03:33:20Z"}"#)),
            (r#"{"token_id":"a","until":2000000000.0004}"#, Some(r#"{"token_id":"a","until":"2033-05-18T03:33:20.001Z"}"#)),
            (r#"{"token_id":"a","until":"2033-05-18T03:33:20Z"}"#, Some(r#"{"token_id":"a","until":"2033-05-18T03:33:20Z"}"#)),
            (r#"{"token_id":"a","until":5}"#, None),
            (r#"{"token_id":"a","until":-5}"#, None),
            (r#"{"token_id":"a","until":1e300}"#, None),
            (r#"{"token_id":"a","until":"tomorrow"}"#, None),
            (r#"{"token_id":"a","subject":"b"}"#, None),
            (r#"{"topic":"a","issuer":"b"}"#, None),
            (r#"{"topic":""}"#, None),
            (r#"{"issuer":"b"}"#, None),
            (r#"{"token":"b"}"#, None),
            ("{}", None),
            ("", None),
        ];
        for (body, want) in table {
            let revocation = || -> Result<Revocation, Problem> {
                let named = Named::read(body.as_bytes())?;
                Ok(Revocation {
                    what: named.what()?,
                    revoked_ms: now_ms,
                    until_ms: named.until_ms(now_ms)?,
                })
            };
            let got = revocation().ok();
            let got = got.map(|one| serde_json::to_string(&Named::of(&one)).unwrap());
            assert_eq!(got.as_deref(), want, "{body}");
        }
    }
}
