//! The embedded log: segment files, group commit, recovery
