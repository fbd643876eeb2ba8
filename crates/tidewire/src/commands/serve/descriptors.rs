//! File descriptors: each subscriber needs one.

/// What the file limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// The limit, where the system has one.
    pub(super) limit: Option<u64>,
    /// How many subscribers it fits.
    pub(super) subscribers_max: usize,
}

/// Descriptors kept back for the log's files, the listeners, publishing, and health: a tenth, but at least and at most so many.
const KEPT_BACK_MIN: u64 = 64;
const KEPT_BACK_MAX: u64 = 4096;

impl Descriptors {
    fn of(limit: u64) -> Self {
        let kept_back = (limit / 10).clamp(KEPT_BACK_MIN, KEPT_BACK_MAX);
        // A limit so low that nothing is left still gets one subscriber, rather than a hub that serves nobody.
        let subscribers = limit.saturating_sub(kept_back).max(1);
        Self {
            limit: Some(limit),
            subscribers_max: usize::try_from(subscribers).unwrap_or(usize::MAX),
        }
    }

    const UNLIMITED: Self = Self {
        limit: None,
        subscribers_max: usize::MAX,
    };
}

/// Raises the soft limit to the hard one, and says what that allows.
#[cfg(unix)]
pub(super) fn raise() -> Descriptors {
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
        (Ok(()), Some(maximum)) => Descriptors::of(maximum),
        (Ok(()), None) => Descriptors::UNLIMITED,
        // Some systems have a ceiling below the hard limit.
        (Err(_), _) => Descriptors::of(current),
    }
}

#[cfg(not(unix))]
pub(super) fn raise() -> Descriptors {
    Descriptors::UNLIMITED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_back() {
        for (limit, subscribers_max) in [
            (32, 1),
            (256, 192),
            (1024, 922),
            (1 << 20, (1 << 20) - 4096),
        ] {
            assert_eq!(
                Descriptors::of(limit).subscribers_max,
                subscribers_max,
                "{limit}"
            );
        }
    }
}
