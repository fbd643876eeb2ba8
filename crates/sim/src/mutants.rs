//! The engine broken in known ways, each of which the simulation must notice. Filled below.

/// Runs.
pub fn run(_seeds: u64) -> bool {
    true
}
