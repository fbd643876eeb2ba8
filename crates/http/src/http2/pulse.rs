//! Whether a connection's far end is alive: asked when it was silent, given up when it stays so.

/// A connection from which nothing came for so long is asked, by a PING.
const SILENCE_MAX_MS: u64 = 30_000;

/// So long a question may stay unanswered. Anything that comes is an answer.
const ANSWER_MAX_MS: u64 = 20_000;

pub(super) struct Pulse {
    /// How many bytes had come when it was last looked at.
    seen: u64,
    at_ms: u64,
    is_asked: bool,
}

/// What to do about a far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It is alive, or has time to say so.
    Alive,
    /// Ask whether it is.
    Ask,
    /// It has not answered.
    Silent,
}

impl Pulse {
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            seen: 0,
            at_ms: now_ms.saturating_add(SILENCE_MAX_MS),
            is_asked: false,
        }
    }

    /// Given how many bytes have come in all.
    pub(super) fn check(&mut self, read: u64, now_ms: u64) -> Sign {
        if read > self.seen {
            self.seen = read;
            self.is_asked = false;
            self.at_ms = now_ms.saturating_add(SILENCE_MAX_MS);
        }
        match (now_ms >= self.at_ms, self.is_asked) {
            (false, _) => Sign::Alive,
            (true, true) => Sign::Silent,
            (true, false) => {
                self.is_asked = true;
                self.at_ms = now_ms.saturating_add(ANSWER_MAX_MS);
                Sign::Ask
            }
        }
    }

    /// When to check again.
    pub(super) fn at_ms(&self) -> u64 {
        self.at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_about_and_then_given_up() {
        use Sign::{Alive, Ask, Silent};
        let mut pulse = Pulse::new(0);
        let table = [
            (0, 29_999, Alive),
            (1, 29_999, Alive),
            (1, 59_998, Alive),
            (1, 59_999, Ask),
            (1, 79_998, Alive),
            (2, 79_999, Alive),
            (2, 109_998, Alive),
            (2, 109_999, Ask),
            (2, 109_999, Alive),
            (2, 129_999, Silent),
        ];
        for (read, now_ms, want) in table {
            assert_eq!(pulse.check(read, now_ms), want, "{read} at {now_ms}");
        }
        assert!(pulse.at_ms() <= 129_999);
    }
}
