//! The commands, one file each.

#[cfg(target_os = "linux")]
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod log;
pub(crate) mod publish;
pub(crate) mod serve;
pub(crate) mod subscribe;
pub(crate) mod token;
