//! Who may do what: a token, the keys and the time of day to a [`Grant`] or a [`Refusal`]; and tokens and keys made.
//!
//! Pure: the time is an argument and so is chance. No socket, no key file and no HTTP here: finding the token in a request and
//! fetching keys is `tidewire-http`'s, reading keys is the binary's. Source: RFC 7515 (JWS), RFC 7519 (JWT), RFC 9068 (access
//! tokens), RFC 9396 (authorization details), and shared/protocol/mercure.md, 1.5 to 1.8 and 2.30 to 2.36.

mod algorithm;
mod anonymous;
mod case;
mod claims;
mod curve;
mod decide;
mod der;
mod detail;
mod inspect;
mod json;
mod jwk;
mod jws;
mod key;
mod key_set;
mod keygen;
mod keys;
mod mint;
#[cfg(feature = "verify")]
mod private;
mod question;
mod refusal;
mod revocation;
#[cfg(feature = "verify")]
mod signature;
#[cfg(not(feature = "verify"))]
#[path = "unsigned.rs"]
mod signature;
pub mod signed_url;

pub use algorithm::{Algorithm, Algorithms};
pub use anonymous::Anonymous;
pub use case::Check;
pub use claims::{Claims, SELECTORS_MAX};
pub use decide::{decide, dialect_of};
pub use detail::{
    DETAIL_MATCH_BYTES_MAX, DETAIL_TOPICS_MAX, DETAIL_TYPE, DETAILS_MAX, Detail, DetailError,
    TopicMatch,
};
pub use inspect::{Finding, Inspection, examine, inspect};
pub use jwk::JWKS_BYTES_MAX;
pub use jws::TOKEN_BYTES_MAX;
pub use key::{KEY_ID_BYTES_MAX, Key, KeyError, RSA_BITS_MAX, RSA_BITS_MIN, Weakness};
pub use key_set::{KEYS_PER_SET_MAX, KEYS_TRIED_MAX, KeySet};
pub use keygen::{KEY_BYTES, keygen};
#[cfg(feature = "verify")]
pub use keygen::{KeyPair, keygen_pair};
pub use keys::{Issuer, Keys};
pub use mint::{MintError, mint};
pub use question::{Carrier, Presented, Question, Role};
pub use refusal::Refusal;
pub use revocation::{
    REVOCATION_TEXT_BYTES_MAX, REVOCATIONS_MAX, Revocation, RevocationError, Revocations, RevokedBy,
};
pub use tidewire_core::{Dialect, Grant, Payload};
