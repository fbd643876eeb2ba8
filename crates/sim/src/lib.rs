//! A seeded world that drives the real engine and the real memory log, and a model that says what must be seen.
//!
//! One seed makes one world: its limits and rules, and a history of at least [`op::OPS_MIN`] operations on twenty clients,
//! two logs and three shards, with `Loading` injected. A [`judge::Judge`] a client holds everything that it is told against
//! a plain list of what was published: every event that its filter accepts once, in order, over reconnects; nothing missing
//! but what a gap covers; checkpoints never ahead of it. A failing seed is shortened to the operations that matter.
//!
//! Not here: sockets and threads (the drivers' own tests), the log's own promises (its conformance suite).

pub mod judge;
pub mod model;
pub mod op;
pub mod pipe;
pub mod reader;
pub mod rng;
pub mod run;
pub mod slow_log;
pub mod tally;
pub mod world;
