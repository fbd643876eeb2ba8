//! What a log must be, in the plainest words: a vector, searched from end to end. Slow and obviously right.

use tidewire_core::{Cursor, Position, ProducerKey};

use super::fixture::{Answer, Ask, Seen};
use crate::{AppendError, Appended, Event, Gap, GapReason, Located, Rule, Start};

pub(super) struct Model {
    /// Everything that was ever stored in this log.
    stored: Vec<Seen>,
    keys: Vec<(ProducerKey, Cursor, u64)>,
    rules: Vec<Rule>,
    floors: Vec<Position>,
    window_ms: u64,
    pub(super) head: Position,
    pub(super) tail: Position,
    pub(super) time_ms: u64,
}

impl Model {
    pub(super) fn new(rules: &[Rule], window_ms: u64, start: Position) -> Self {
        Self {
            stored: Vec::new(),
            keys: Vec::new(),
            floors: vec![Position(0); rules.len()],
            rules: rules.to_vec(),
            window_ms,
            head: start,
            tail: start,
            time_ms: 0,
        }
    }

    /// What an append must answer, but for the cursors of what is new.
    pub(super) fn plan(&self, events: &[Event]) -> Result<Vec<Option<Known>>, AppendError> {
        let mut plan = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let known = event.producer.and_then(|producer| {
                let now_ms = self.time_ms.max(event.time_ms);
                let before = self.keys.iter().rev().find(|(key, _, time_ms)| {
                    key.key == producer.key && time_ms + self.window_ms > now_ms
                });
                let same = |other: &Event| other.producer.is_some_and(|p| p.key == producer.key);
                let here = events[..index].iter().position(same);
                let before = before.map(|(key, cursor, _)| (key.digest, Known::At(*cursor)));
                let here = here.map(|at| (events[at].producer.expect("it has one").digest, at));
                here.map(|(digest, at)| (digest, Known::Here(at)))
                    .or(before)
            });
            match known {
                Some((digest, _)) if Some(digest) != event.producer.map(|p| p.digest) => {
                    return Err(AppendError::KeyReused { index });
                }
                known => plan.push(known.map(|(_, known)| known)),
            }
        }
        Ok(plan)
    }

    /// Takes over what was stored, after checking it against the plan.
    pub(super) fn store(&mut self, events: &[Event], plan: &[Option<Known>], got: &[Appended]) {
        assert_eq!(got.len(), events.len());
        for ((event, known), answer) in events.iter().zip(plan).zip(got) {
            assert_eq!(answer.duplicate, known.is_some(), "{event:?}");
            match known {
                Some(Known::At(cursor)) => assert_eq!(answer.cursor, *cursor),
                Some(Known::Here(at)) => assert_eq!(answer.cursor, got[*at].cursor),
                None => {
                    assert!(answer.cursor.seen() >= self.tail, "positions increase");
                    self.time_ms = self.time_ms.max(event.time_ms);
                    self.tail = answer.cursor.seen().next();
                    let seen = Seen::expected(event, answer.cursor, self.time_ms);
                    self.stored.push(seen);
                    let key = event.producer.map(|key| (key, answer.cursor, self.time_ms));
                    self.keys.extend(key);
                }
            }
        }
    }

    /// Drops what is more than so many.
    pub(super) fn keep_newest(&mut self, count: u64) {
        let kept = self.kept().count() as u64;
        let drop = usize::try_from(kept.saturating_sub(count)).expect("few");
        if let Some(last) = self.kept().take(drop).last() {
            self.head = last.position.next();
        }
    }

    /// Drops what is older.
    pub(super) fn keep_younger(&mut self, age_ms: u64, now_ms: u64) {
        let old = self.kept().take_while(|s| s.time_ms + age_ms <= now_ms);
        if let Some(last) = old.last() {
            self.head = last.position.next();
        }
    }

    /// Forgets keys outside of the window.
    pub(super) fn forget_keys(&mut self, now_ms: u64) {
        let window_ms = self.window_ms;
        self.keys
            .retain(|(_, _, time_ms)| time_ms + window_ms > now_ms);
    }

    /// Moves the floors by number, and by age if a time is given.
    pub(super) fn settle_rules(&mut self, now_ms: Option<u64>) {
        for index in 0..self.rules.len() {
            let rule = self.rules[index].clone();
            let under: Vec<_> = self
                .kept()
                .filter(|s| s.position >= self.floors[index])
                .filter(|s| self.rules_of(s).is_some_and(|rules| rules.contains(&index)))
                .map(|s| (s.position, s.time_ms))
                .collect();
            for (at, (position, time_ms)) in under.iter().enumerate() {
                let many = rule
                    .count
                    .is_some_and(|count| (under.len() - at) as u64 > count);
                let old = |age_ms| now_ms.is_some_and(|now_ms| time_ms + age_ms <= now_ms);
                if !many && !rule.age_ms.is_some_and(old) {
                    break;
                }
                self.floors[index] = position.next();
            }
        }
    }

    /// The rules of a record all of whose topics fall under one.
    fn rules_of(&self, seen: &Seen) -> Option<Vec<usize>> {
        seen.topics
            .iter()
            .map(|topic| self.rule_of(topic))
            .collect()
    }

    fn rule_of(&self, topic: &str) -> Option<usize> {
        let fits = |index: &usize| topic.starts_with(&*self.rules[*index].prefix);
        let fitting = (0..self.rules.len()).filter(fits);
        fitting.max_by_key(|index| self.rules[*index].prefix.len())
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &Seen> {
        self.stored.iter().filter(|s| s.position >= self.head)
    }

    /// What readers may see.
    pub(super) fn visible(&self) -> impl Iterator<Item = &Seen> {
        self.kept().filter(|s| {
            let below = |rule: &usize| s.position < self.floors[*rule];
            !self
                .rules_of(s)
                .is_some_and(|rules| rules.iter().all(below))
        })
    }

    pub(super) fn check_read(&self, ask: Ask<'_>, answer: &Answer) {
        let gap = |reason| Gap {
            reason,
            resume: self.head,
        };
        let stored = self.kept().any(|s| s.position >= ask.from);
        match answer {
            Answer::Gap(got) if ask.from < self.head => assert_eq!(*got, gap(GapReason::Expired)),
            Answer::Gap(got) => {
                assert!(ask.from > self.tail, "no gap at {}: {got:?}", ask.from);
                assert_eq!(*got, gap(GapReason::Beyond));
            }
            Answer::AtTail => {
                let in_range = self.head <= ask.from && ask.from <= self.tail;
                assert!(in_range && !stored, "not at the tail: {ask:?}");
            }
            Answer::Records(seen, next) => {
                assert!(self.head <= ask.from && stored, "{ask:?}: {answer:?}");
                assert!(*next <= self.tail, "{next} is beyond {}", self.tail);
                self.check_records(ask, seen, *next);
            }
        }
    }

    fn check_records(&self, ask: Ask<'_>, seen: &[Seen], next: Position) {
        let passed: Vec<_> = self
            .visible()
            .filter(|s| ask.from <= s.position && s.position < next)
            .collect();
        for record in seen {
            assert!(
                passed.contains(&record),
                "not stored like this, or hidden: {record:?}"
            );
        }
        let wanted = |s: &&&Seen| ask.topics.is_none_or(|topics| s.has_any(topics));
        for record in passed.iter().filter(wanted) {
            assert!(
                seen.contains(record),
                "{ask:?} lost {record:?} before {next}"
            );
        }
        assert!(seen.len() <= ask.records_max.max(1), "{ask:?}");
        let before_last: usize = seen.iter().rev().skip(1).map(|s| s.bytes).sum();
        assert!(seen.len() <= 1 || before_last < ask.bytes_max, "{ask:?}");
    }

    /// What [`Start::Since`] and [`Start::Last`] must lead to: these records and the later ones.
    pub(super) fn check_located(&self, start: &Start, routing: &[&str], got: Located) {
        let any = routing.contains(&"*");
        let wanted = |s: &&Seen| any || s.has_any(routing);
        let exact = |from| assert_eq!(got, Located { from, gap: None }, "{start:?} {routing:?}");
        match start {
            Start::Tail => exact(self.tail),
            Start::Head => exact(self.head),
            Start::After(cursor) => self.check_after(cursor.seen(), routing, got),
            Start::AfterId(id) => {
                let found = self.kept().find(|s| s.id.as_deref() == Some(id));
                match (found, Cursor::parse(id)) {
                    (Some(found), _) => self.check_after(found.position, routing, got),
                    (None, Some(cursor)) => self.check_after(cursor.seen(), routing, got),
                    (None, None) => {
                        let gap = got.gap.map(|gap| (gap.reason, gap.resume));
                        assert_eq!(gap, Some((GapReason::Unknown, self.tail)), "{id}");
                    }
                }
            }
            Start::Since(time_ms) => {
                let split = self
                    .kept()
                    .all(|s| (s.position >= got.from) == (s.time_ms >= *time_ms));
                let dropped = got.from == self.head && self.head > Position::FIRST;
                let gap = dropped.then_some((GapReason::Expired, self.head));
                assert!(split, "{start:?}: {got:?}");
                assert_eq!(
                    got.gap.map(|gap| (gap.reason, gap.resume)),
                    gap,
                    "{start:?}"
                );
            }
            Start::Last(count) => {
                let all = self.visible().filter(wanted).count() as u64;
                let rest = self
                    .visible()
                    .filter(wanted)
                    .filter(|s| s.position >= got.from);
                assert_eq!(
                    rest.count() as u64,
                    all.min(*count),
                    "{start:?} {routing:?}: {got:?}"
                );
                assert_eq!(got.gap, None);
            }
        }
    }

    fn check_after(&self, seen: Position, routing: &[&str], got: Located) {
        let next = seen.next();
        let lost = if next > self.tail {
            Some((GapReason::Beyond, self.head))
        } else if next < self.head {
            Some((GapReason::Expired, self.head))
        } else if self.missed(next, routing) {
            Some((GapReason::Expired, next))
        } else {
            None
        };
        assert_eq!(
            got.gap.map(|gap| (gap.reason, gap.resume)),
            lost,
            "after {seen}"
        );
        assert_eq!(got.from, lost.map_or(next, |(_, resume)| resume));
    }

    fn missed(&self, next: Position, routing: &[&str]) -> bool {
        (0..self.rules.len()).any(|index| {
            let concerned = |name: &&str| *name == "*" || self.rule_of(name) == Some(index);
            self.floors[index] > next && routing.iter().any(concerned)
        })
    }
}

/// An event that is not new: stored earlier, or the same as an earlier one of the append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    At(Cursor),
    Here(usize),
}
