//! What was answered a moment ago, and what is being asked: bounded in entries and bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

/// A hash of everything that was asked: credentials are not kept, and nobody finds two questions with one hash.
pub(super) type Key = [u8; 32];

pub(super) fn key(question: &[u8]) -> Key {
    Sha256::digest(question).into()
}

/// What an entry takes beside what it holds, in bytes, roughly: its key twice, its times, a map's place.
const ENTRY_BYTES: usize = 256;

/// Answers by question.
pub(super) struct Kept<T> {
    entries_max: usize,
    bytes_max: usize,
    /// Locked for moments, never while something is asked.
    inside: Mutex<Inside<T>>,
}

struct Inside<T> {
    answers: HashMap<Key, Entry<T>>,
    /// In the order in which they were kept, the oldest first; some may be gone or renewed.
    order: VecDeque<(Key, u64)>,
    asking: HashMap<Key, watch::Receiver<Option<T>>>,
    bytes: usize,
    /// Tells a renewed entry from the one before.
    count: u64,
}

struct Entry<T> {
    answer: T,
    bytes: usize,
    until: Instant,
    number: u64,
}

/// What there is for a question.
pub(super) enum Found<T> {
    Kept(T),
    /// It is being asked.
    Running(watch::Receiver<Option<T>>),
    /// Whoever gets this asks, and settles it.
    Nothing(watch::Sender<Option<T>>),
    /// As many are being asked as may.
    Busy,
}

impl<T: Clone> Kept<T> {
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            entries_max,
            bytes_max,
            inside: Mutex::new(Inside {
                answers: HashMap::new(),
                order: VecDeque::new(),
                asking: HashMap::new(),
                bytes: 0,
                count: 0,
            }),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside<T>> {
        self.inside.lock().expect("nobody panics with this lock")
    }

    pub(super) fn find(&self, key: Key, asking_max: usize) -> Found<T> {
        let mut inside = self.inside();
        match inside.answers.get(&key) {
            Some(entry) if Instant::now() < entry.until => {
                return Found::Kept(entry.answer.clone());
            }
            Some(_) => inside.remove(&key),
            None => {}
        }
        if let Some(running) = inside.asking.get(&key) {
            // It is closed only if whoever asked was dropped before the answer.
            if running.has_changed().is_ok() {
                return Found::Running(running.clone());
            }
            inside.asking.remove(&key);
        }
        if inside.asking.len() >= asking_max {
            return Found::Busy;
        }
        let (over, running) = watch::channel(None);
        inside.asking.insert(key, running);
        Found::Nothing(over)
    }

    /// Nobody asks any more; the answer is kept if it may be.
    pub(super) fn settle(&self, key: Key, answer: T, bytes: usize, until: Option<Instant>) {
        let mut inside = self.inside();
        inside.asking.remove(&key);
        let Some(until) = until else { return };
        let bytes = bytes + ENTRY_BYTES;
        if bytes > self.bytes_max || self.entries_max == 0 {
            return;
        }
        inside.remove(&key);
        inside.count += 1;
        let number = inside.count;
        inside.bytes += bytes;
        inside.order.push_back((key, number));
        inside.answers.insert(
            key,
            Entry {
                answer,
                bytes,
                until,
                number,
            },
        );
        while inside.answers.len() > self.entries_max || inside.bytes > self.bytes_max {
            inside.drop_oldest();
        }
        // Places in the order that lead nowhere any more are as bounded as entries.
        if inside.order.len() > 2 * self.entries_max + 16 {
            inside.tidy();
        }
    }

    /// How many answers there are, and what they take in bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        let inside = self.inside();
        (inside.answers.len(), inside.bytes)
    }
}

impl<T> Inside<T> {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.answers.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    fn drop_oldest(&mut self) {
        while let Some((key, number)) = self.order.pop_front() {
            if self
                .answers
                .get(&key)
                .is_some_and(|entry| entry.number == number)
            {
                self.remove(&key);
                return;
            }
        }
    }

    fn tidy(&mut self) {
        let answers = &self.answers;
        let is_there = |(key, number): &(Key, u64)| {
            answers
                .get(key)
                .is_some_and(|entry| entry.number == *number)
        };
        self.order.retain(is_there);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    fn keep(kept: &Kept<u32>, name: u32, bytes: usize, time: Duration) {
        let until = (!time.is_zero()).then(|| Instant::now() + time);
        kept.settle(key(&name.to_le_bytes()), name, bytes, until);
    }

    fn have(kept: &Kept<u32>, name: u32) -> bool {
        let at = key(&name.to_le_bytes());
        match kept.find(at, usize::MAX) {
            Found::Kept(answer) => {
                assert_eq!(answer, name);
                true
            }
            Found::Nothing(_) => {
                kept.settle(at, name, 0, None);
                false
            }
            _ => panic!("nobody asks"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_end() {
        let kept = Kept::new(10, 1 << 20);
        keep(&kept, 1, 0, LONG);
        keep(&kept, 2, 0, Duration::ZERO);
        assert!(have(&kept, 1) && !have(&kept, 2));
        tokio::time::advance(LONG - Duration::from_millis(1)).await;
        assert!(have(&kept, 1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!have(&kept, 1));
        assert_eq!(kept.size(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn entries_and_bytes_are_bounded() {
        let kept = Kept::new(3, 4 * (ENTRY_BYTES + 100));
        for name in 0..4 {
            keep(&kept, name, 100, LONG);
        }
        assert_eq!(
            [0, 1, 2, 3].map(|name| have(&kept, name)),
            [false, true, true, true]
        );
        keep(&kept, 4, 3 * ENTRY_BYTES, LONG);
        assert!(kept.size().1 <= 4 * (ENTRY_BYTES + 100));
        assert!(have(&kept, 4) && !have(&kept, 1));
        keep(&kept, 5, 1 << 20, LONG);
        assert!(!have(&kept, 5), "larger than all that may be kept");
        for _ in 0..1000 {
            keep(&kept, 6, 0, LONG);
        }
        let inside = kept.inside();
        assert!(inside.order.len() <= 2 * 3 + 16);
        let sum: usize = inside.answers.values().map(|entry| entry.bytes).sum();
        assert_eq!(sum, inside.bytes);
    }

    #[tokio::test]
    async fn one_asks_at_a_time_and_not_too_many() {
        let kept: Kept<u32> = Kept::new(3, 1 << 20);
        let at = |name: u32| key(&name.to_le_bytes());
        let Found::Nothing(first) = kept.find(at(1), 2) else {
            panic!("nobody asks")
        };
        assert!(matches!(kept.find(at(1), 2), Found::Running(_)));
        let Found::Nothing(_second) = kept.find(at(2), 2) else {
            panic!("another question")
        };
        assert!(matches!(kept.find(at(3), 2), Found::Busy));
        assert!(
            matches!(kept.find(at(1), 2), Found::Running(_)),
            "joining costs no place"
        );
        drop(first);
        assert!(
            matches!(kept.find(at(1), 2), Found::Nothing(_)),
            "whoever asked is gone"
        );
    }
}
