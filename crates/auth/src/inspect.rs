//! A look into a token without believing it.

use serde_json::Value;

use crate::jws::Jws;
use crate::{Claims, Refusal};

/// What a token says, unverified: for people who ask why it was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
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
    let claims = Claims::parse(&jws.payload, jws.dialect());
    Ok(Inspection {
        header: Value::Object(jws.header),
        payload: Value::Object(jws.payload),
        claims,
    })
}
