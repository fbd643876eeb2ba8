//! The embedded log: segment files in a directory, one writing thread with group commit, recovery after crashes.
//!
//! ```text
//! lock                               held while the log is open; names its process
//! state                              how the log was left, its lives, its hash key (`state.rs`)
//! keys                               producer keys that outlive their records (`keys.rs`)
//! segments/<first position>.log      records, in groups (`format.rs`)
//! segments/<first position>.idx      a sealed segment's index, derived (`sidecar.rs`)
//! ```
//!
//! Positions are contiguous within this log, which nobody outside of it may rely on. What is Linux only is in
//! `platform.rs`, with what stands in for it elsewhere.

mod bloom;
mod config;
mod dir;
mod error;
pub mod files;
mod format;
mod hash;
mod index;
mod keys;
mod log;
mod lookup;
pub mod offline;
mod open;
mod platform;
mod pool;
mod read;
mod recover;
mod segment;
mod shared;
mod sidecar;
mod state;
mod walk;
mod writer;

pub use config::{DiskConfig, Durability, Notice, Notify};
pub use error::{Damage, OpenError};
pub use log::DiskLog;
