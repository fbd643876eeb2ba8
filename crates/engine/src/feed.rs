//! Feeds: a log and who is interested in what.

use std::fmt;
use std::sync::Arc;

use tidewire_log::Log;

/// One log, and which shards are interested in which of its topics. Made once a log and shared by all its subscribers.
pub struct Feed {
    log: Arc<dyn Log>,
}

impl Feed {
    /// The feed of a log; registers itself as a watcher of its commits.
    #[must_use]
    pub fn new(log: Arc<dyn Log>) -> Arc<Self> {
        Arc::new(Self { log })
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}
