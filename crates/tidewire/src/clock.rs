//! The wall clock, for those who take the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970; zero if the machine believes to be before that.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
