//! What stands for `signature.rs` while the feature `verify` is off, as in the wasm build: nothing is checked and nothing is made.

use crate::key::Material;
use crate::{Algorithm, Key, Refusal};

pub(crate) fn is_sound(_: &Material) -> bool {
    true
}

pub(crate) fn check(_: &str, _: &str, _: &Key, _: Algorithm) -> Result<(), Refusal> {
    Err(Refusal::Unverifiable)
}

pub(crate) fn sign(_: &str, _: &Key, _: Algorithm) -> Option<String> {
    None
}

pub(crate) fn hmac(_: &[u8], _: &[u8]) -> Option<String> {
    None
}

pub(crate) fn hmac_fits(_: &[u8], _: &[u8], _: &str) -> Result<bool, Refusal> {
    Err(Refusal::Unverifiable)
}
