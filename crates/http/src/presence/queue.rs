//! What has yet to be told: changes in their order, and how many of them wait.

use std::collections::BTreeMap;

use tidewire_log::Presence;

use super::registry::Listed;

/// So many changes wait to be told. When more do, because the log takes them slower than subscriptions begin and end, a
/// subscription that ends before its beginning was told is not told of at all: nobody knew of it. What waits then is bounded by
/// the subscriptions there are, and by those that ended after they had been told of.
pub(crate) const WAITING_CHANGES_MAX: usize = 100_000;

/// Something to be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Began(Listed),
    Ended(Listed),
    /// Left open by an earlier life of the hub.
    Left(Box<Presence<'static>>),
}

#[derive(Debug)]
pub(crate) struct Queue {
    waiting: BTreeMap<u64, Change>,
    next: u64,
    max: usize,
}

/// What became of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    Waits,
    /// Its beginning waited still, and neither is told.
    Unsaid,
}

impl Queue {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            next: 0,
            max,
        }
    }

    /// Adds a change; where it waits.
    pub(crate) fn push(&mut self, change: Change) -> u64 {
        let at = self.next;
        self.next += 1;
        self.waiting.insert(at, change);
        at
    }

    /// Adds the end of a subscription of which the beginning was put there. `is_behind`: more comes than may be told.
    pub(crate) fn push_end(&mut self, listed: Listed, began: u64, is_behind: bool) -> Queued {
        let may_cancel = is_behind || self.waiting.len() >= self.max;
        if may_cancel && self.waiting.remove(&began).is_some() {
            return Queued::Unsaid;
        }
        self.push(Change::Ended(listed));
        Queued::Waits
    }

    /// Takes the oldest changes, at most so many.
    pub(crate) fn take(&mut self, max: usize) -> Vec<Change> {
        let oldest = std::iter::from_fn(|| self.waiting.pop_first());
        oldest.take(max).map(|(_, change)| change).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tidewire_log::MatchType;

    use super::*;
    use crate::presence::registry::{Name, SubscriberId};

    fn listed(text: &str) -> Listed {
        Listed {
            name: Name {
                text: text.into(),
                match_type: MatchType::Exact,
            },
            subscriber: SubscriberId::default(),
            payload: None,
        }
    }

    #[test]
    fn changes_come_out_in_their_order() {
        let mut queue = Queue::new(10);
        for text in ["a", "b", "c"] {
            let began = queue.push(Change::Began(listed(text)));
            if text == "b" {
                assert_eq!(queue.push_end(listed(text), began, false), Queued::Waits);
            }
        }
        let [a, b, c] = ["a", "b", "c"].map(listed);
        let all = [
            Change::Began(a),
            Change::Began(b.clone()),
            Change::Ended(b),
            Change::Began(c),
        ];
        assert_eq!(queue.take(3), all[..3]);
        assert_eq!((queue.len(), queue.is_empty()), (1, false));
        assert_eq!(queue.take(3), all[3..]);
        assert!(queue.is_empty());
    }

    #[test]
    fn beyond_its_bound_only_what_somebody_knows_of_grows() {
        let mut queue = Queue::new(3);
        let told = queue.push(Change::Began(listed("told")));
        queue.take(1);
        let waiting: Vec<_> = (0..3)
            .map(|_| queue.push(Change::Began(listed("waits"))))
            .collect();
        for _ in 0..1000 {
            let short = queue.push(Change::Began(listed("short")));
            assert_eq!(
                queue.push_end(listed("short"), short, false),
                Queued::Unsaid
            );
        }
        assert_eq!(queue.len(), 3);
        // Whose beginning was told, of that the end is told as well.
        assert_eq!(queue.push_end(listed("told"), told, false), Queued::Waits);
        assert_eq!(
            queue.push_end(listed("waits"), waiting[0], false),
            Queued::Unsaid
        );
        assert_eq!(queue.len(), 3);
        // With room again, both are.
        assert_eq!(queue.take(2).len(), 2);
        let end = listed("waits");
        assert_eq!(queue.push_end(end, waiting[2], false), Queued::Waits);
    }

    #[test]
    fn who_is_behind_tells_of_nobody_that_nobody_knows_of() {
        let mut queue = Queue::new(10);
        let told = queue.push(Change::Began(listed("told")));
        queue.take(1);
        let short = queue.push(Change::Began(listed("short")));
        assert_eq!(queue.push_end(listed("short"), short, true), Queued::Unsaid);
        assert_eq!(queue.push_end(listed("told"), told, true), Queued::Waits);
        assert_eq!(queue.take(9), [Change::Ended(listed("told"))]);
    }
}
