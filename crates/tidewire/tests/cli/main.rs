//! Promises of the command line, held against the real binary.

mod follow;
mod limits;
mod manners;
mod paste;
mod restarts;
mod settings;
mod support;
mod tools;
