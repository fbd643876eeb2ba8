//! Looks into tokens: what one says, and why a hub would refuse it.

use serde_json::Value;
use tidewire_core::{Dialect, Patterns};

use crate::case::{CHECKS, Case};
use crate::decide::grant;
use crate::jws::Jws;
use crate::{Check, Claims, Keys, Question, Refusal};

/// What a token says, unverified: for people who ask why it was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// In which dialect it is.
    pub dialect: Dialect,
    /// Its header.
    pub header: Value,
    /// Its payload.
    pub payload: Value,
    /// What of the payload we read, or why we would not.
    pub claims: Result<Claims, Refusal>,
}

/// Takes a token apart. Checks neither signature nor time.
///
/// # Errors
/// If it is no token at all.
pub fn inspect(token: &str) -> Result<Inspection, Refusal> {
    let jws = Jws::parse(token)?;
    let dialect = jws.dialect();
    let claims = Claims::parse(&jws.payload, dialect);
    Ok(Inspection {
        dialect,
        header: Value::Object(jws.header),
        payload: Value::Object(jws.payload),
        claims,
    })
}

/// What became of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// Whether the token passed, or why not.
    pub outcome: Result<(), Refusal>,
}

/// Puts a token through every check that [`decide`](crate::decide) makes, in its order, and does not stop at the first that fails:
/// whoever mends one mistake should not have to come back for the next. Some checks need what an earlier one looks for; of those only
/// the earlier one is told to have failed, the later ones are left out.
///
/// The first that failed is what `decide` says. Of a question without a token there is nothing to tell.
#[must_use]
pub fn examine(question: &Question<'_>, keys: &Keys, patterns: &Patterns) -> Vec<Finding> {
    let Some(presented) = question.presented else {
        return Vec::new();
    };
    let finding = |check, outcome| Finding { check, outcome };
    let case = match Case::open(question, presented.token, presented.from, keys) {
        Ok(case) => case,
        Err(refusal) => return vec![finding(Check::Form, Err(refusal))],
    };
    let mut findings = vec![finding(Check::Form, Ok(()))];
    for (check, test) in CHECKS {
        let outcome = test(&case);
        // The same refusal again: this check could not be made for want of what that one looked for.
        let is_repeated = |known: &Finding| {
            outcome.is_err() && known.outcome.as_ref().err() == outcome.as_ref().err()
        };
        if !findings.iter().any(is_repeated) {
            findings.push(finding(check, outcome));
        }
    }
    if let Ok(claims) = case.into_claims() {
        let granted = grant(claims, question.role, patterns).map(drop);
        findings.push(finding(Check::Grant, granted));
    }
    findings
}
