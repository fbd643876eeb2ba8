//! The cases, by what they ask of.

mod appending;
mod keeping;
mod locating;
mod producing;
pub(super) mod random;
mod reading;
mod restarting;

pub(super) use appending::*;
pub(super) use keeping::*;
pub(super) use locating::*;
pub(super) use producing::*;
pub(super) use random::random_against_a_model;
pub(super) use reading::*;
pub(super) use restarting::*;
