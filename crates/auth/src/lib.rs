//! Who may do what: a token, the keys and the time of day to a [`Grant`] or a [`Refusal`]; and tokens and keys made.
//!
//! Pure: the time is an argument and so is chance. No socket, no key file and no HTTP here: finding the token in a request is
//! `tidewire-http`'s, reading keys is the binary's. Source: RFC 7515 (JWS), RFC 7519 (JWT), and the claims of the legacy
//! Mercure protocol (shared/protocol/mercure.md, 1.5 to 1.8).

mod anonymous;
mod claims;
mod decide;
mod inspect;
mod jws;
mod key;
mod mint;
mod refusal;
mod signature;

pub use anonymous::Anonymous;
pub use claims::{Claims, SELECTORS_MAX};
pub use decide::{Role, decide};
pub use inspect::{Inspection, inspect};
pub use jws::TOKEN_BYTES_MAX;
pub use key::{Algorithm, Key, KeyError, Keys};
pub use mint::{KEY_BYTES, MintError, keygen, mint};
pub use refusal::Refusal;
pub use tidewire_core::Grant;
