//! Tokens of every algorithm and both dialects before their judge, the good and the bad.
#![cfg(feature = "verify")]

mod algorithms;
mod attacks;
mod explained;
mod keys;
mod modern;
mod support;
