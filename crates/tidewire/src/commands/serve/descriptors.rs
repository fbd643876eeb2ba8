//! File descriptors: each subscriber needs one.

/// What the file limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// The limit, where the system has one.
    pub(super) limit: Option<u64>,
    /// How many subscribers it fits.
    pub(super) subscribers_max: usize,
    /// How many files a disk log may keep open to read them again.
    pub(super) log_files_max: usize,
}

/// Who needs descriptors besides subscribers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    pub(super) cores: usize,
    pub(super) has_disk_log: bool,
}

/// What the hub holds open whatever happens: standard streams, listeners, signals, the runtime, the log's lock and the files that
/// it writes: 18 with one listener on two cores, of which a core has two.
const OWN: u64 = 32;
const OWN_PER_CORE: u64 = 3;
/// For connections that do not subscribe (publishing, pages, health, handshakes) while there are as many subscribers as may be: a
/// 64th of the limit, but at least and at most so many.
const OTHERS_MIN: u64 = 32;
const OTHERS_MAX: u64 = 1024;
/// For files of a disk log that stay open to be read again: a 16th of the limit, but at least and at most so many.
const LOG_MIN: u64 = 8;
const LOG_MAX: u64 = 256;

impl Descriptors {
    fn of(limit: u64, needs: Needs) -> Self {
        let own = OWN + OWN_PER_CORE * needs.cores as u64;
        let others = (limit / 64).clamp(OTHERS_MIN, OTHERS_MAX);
        let log = (limit / 16).clamp(LOG_MIN, LOG_MAX);
        let kept_back = own + others + if needs.has_disk_log { log } else { 0 };
        // A limit so low that nothing is left still gets one subscriber, rather than a hub that serves nobody.
        let subscribers = limit.saturating_sub(kept_back).max(1);
        Self {
            limit: Some(limit),
            subscribers_max: usize::try_from(subscribers).unwrap_or(usize::MAX),
            log_files_max: usize::try_from(log).unwrap_or(usize::MAX),
        }
    }

    const UNLIMITED: Self = Self {
        limit: None,
        subscribers_max: usize::MAX,
        log_files_max: LOG_MAX as usize,
    };
}

/// Raises the soft limit to the hard one, and says what that allows.
#[cfg(unix)]
pub(super) fn raise(needs: Needs) -> Descriptors {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current else {
        return Descriptors::UNLIMITED;
    };
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match (setrlimit(Resource::Nofile, raised), limit.maximum) {
        (Ok(()), Some(maximum)) => Descriptors::of(maximum, needs),
        (Ok(()), None) => Descriptors::UNLIMITED,
        // Some systems have a ceiling below the hard limit.
        (Err(_), _) => Descriptors::of(current, needs),
    }
}

#[cfg(not(unix))]
pub(super) fn raise(_needs: Needs) -> Descriptors {
    Descriptors::UNLIMITED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_needs_descriptors_gets_them() {
        #[rustfmt::skip]
        let table = [
            // limit, cores, disk log; subscribers, the log's files
            (32, 2, false, 1, 8),
            (256, 2, false, 256 - 38 - 32, 16),
            (256, 2, true, 256 - 38 - 32 - 16, 16),
            (1024, 2, true, 1024 - 38 - 32 - 64, 64),
            // What issue 4 asks for.
            (20_000, 2, true, 19_394, 256),
            (20_000, 64, true, 19_208, 256),
            (1 << 20, 64, true, (1 << 20) - 224 - 1024 - 256, 256),
        ];
        for (limit, cores, has_disk_log, subscribers, log_files) in table {
            let needs = Needs {
                cores,
                has_disk_log,
            };
            let found = Descriptors::of(limit, needs);
            assert_eq!(
                (found.subscribers_max, found.log_files_max),
                (subscribers, log_files),
                "{limit} {needs:?}"
            );
        }
    }
}
