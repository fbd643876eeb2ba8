//! Promises of the command line, held against the real binary.

mod doors;
mod follow;
mod https;
mod limits;
mod manners;
mod offline;
mod paste;
mod presence;
mod restarts;
mod revoking;
mod secrets;
mod settings;
mod support;
mod tls;
mod tokens;
mod tools;
mod trust;
