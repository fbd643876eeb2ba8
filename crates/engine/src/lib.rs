//! Shards, cohorts and delivery: one log, many cursors
