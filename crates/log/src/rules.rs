//! How the floors of topics with shorter limits move.
//!
//! A record falls under rules when all of its topics do, the same records that [`Floors::hides`] may hide. Each rule
//! remembers where its records are, a few bytes each, so that its floor moves past exactly those that have ended.

use std::collections::VecDeque;
use std::sync::Arc;

use tidewire_core::{Position, RecordRef};

use crate::retention::ended;
use crate::{Floor, Floors};

/// A shorter limit for topics that start with a prefix. Where several prefixes fit a topic, the longest rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How the topics start.
    pub prefix: Box<str>,
    /// Their events are seen for so many milliseconds.
    pub age_ms: Option<u64>,
    /// The newest so many of their events are seen.
    pub count: Option<u64>,
}

/// The rules of one log, and how far each has come.
#[derive(Debug)]
pub struct Rules {
    /// In the order of the floors.
    tracks: Vec<Track>,
    floors: Arc<Floors>,
}

#[derive(Debug)]
struct Track {
    rule: Rule,
    kept: Marks,
}

impl Rules {
    /// Of these rules, no record known yet. Of two rules for one prefix the first counts.
    #[must_use]
    pub fn new(rules: &[Rule]) -> Self {
        let floors = Floors::new(
            rules
                .iter()
                .map(|rule| Floor {
                    prefix: rule.prefix.clone(),
                    floor: Position(0),
                })
                .collect(),
        );
        let mut rules = rules.to_vec();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        let track = |rule| Track {
            rule,
            kept: Marks::default(),
        };
        Self {
            tracks: rules.into_iter().map(track).collect(),
            floors: Arc::new(floors),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// The floors as they are now.
    #[must_use]
    pub fn floors(&self) -> &Arc<Floors> {
        &self.floors
    }

    /// Takes note of a record that was appended, or is read again on a restart, in order. The floors follow with
    /// [`Rules::settle`] or [`Rules::advance`].
    pub fn note(&mut self, record: &RecordRef<'_>) {
        if self.is_empty() {
            return;
        }
        let mut under = Vec::new();
        for topic in record.topics() {
            let Some(rule) = self.floors.rule_of(topic) else {
                return;
            };
            under.push(rule);
        }
        under.sort_unstable();
        under.dedup();
        for rule in under {
            if record.position() >= self.floors.as_slice()[rule].floor {
                self.tracks[rule].kept.push(Mark {
                    position: record.position(),
                    time_ms: record.time_ms(),
                });
            }
        }
    }

    /// Moves the floors past what ended by number. Returns whether one moved.
    pub fn settle(&mut self) -> bool {
        self.move_floors(|rule, kept, _| rule.count.is_some_and(|most| kept > most))
    }

    /// Moves the floors past what ended by number or by age. Returns whether one moved.
    pub fn advance(&mut self, now_ms: u64) -> bool {
        self.move_floors(|rule, kept, mark| {
            rule.count.is_some_and(|most| kept > most)
                || rule
                    .age_ms
                    .is_some_and(|age_ms| ended(mark.time_ms, age_ms, now_ms))
        })
    }

    /// The log's head has moved here: what lies below counts no more.
    pub fn forget_before(&mut self, head: Position) {
        for track in &mut self.tracks {
            while track.kept.front().is_some_and(|mark| mark.position < head) {
                track.kept.pop();
            }
        }
    }

    /// Puts a floor where it had been before a restart, if there still is a rule for that prefix. Before any
    /// [`Rules::note`].
    pub fn restore(&mut self, floor: &Floor) {
        let floors = self.floors.as_slice().iter().map(|present| Floor {
            prefix: present.prefix.clone(),
            floor: if present.prefix == floor.prefix {
                present.floor.max(floor.floor)
            } else {
                present.floor
            },
        });
        self.floors = Arc::new(Floors::new(floors.collect()));
    }

    fn move_floors(&mut self, has_ended: impl Fn(&Rule, u64, Mark) -> bool) -> bool {
        let mut moved: Option<Vec<Floor>> = None;
        for (index, track) in self.tracks.iter_mut().enumerate() {
            while let Some(mark) = track.kept.front()
                && has_ended(&track.rule, track.kept.len, mark)
            {
                track.kept.pop();
                let floors = moved.get_or_insert_with(|| self.floors.as_slice().to_vec());
                floors[index].floor = mark.position.next();
            }
        }
        let Some(floors) = moved else { return false };
        self.floors = Arc::new(Floors::new(floors));
        true
    }
}

/// Where a record of a rule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    position: Position,
    time_ms: u64,
}

/// Marks in order, as differences in LEB128: two to four bytes each instead of sixteen, for a rule may hold millions.
#[derive(Debug, Default)]
struct Marks {
    bytes: VecDeque<u8>,
    len: u64,
    front: Mark,
    back: Mark,
}

impl Marks {
    fn front(&self) -> Option<Mark> {
        (self.len > 0).then_some(self.front)
    }

    fn push(&mut self, mark: Mark) {
        debug_assert!(self.len == 0 || mark.position > self.back.position);
        if self.len == 0 {
            self.front = mark;
        } else {
            self.push_number(mark.position.0 - self.back.position.0);
            // Times do not fall within a log; saturating, so that a damaged one costs an early end and no panic.
            self.push_number(mark.time_ms.saturating_sub(self.back.time_ms));
        }
        self.back = mark;
        self.len += 1;
    }

    fn pop(&mut self) {
        self.len -= 1;
        if self.len > 0 {
            self.front.position.0 += self.pop_number();
            self.front.time_ms += self.pop_number();
        }
    }

    fn push_number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push_back(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push_back(number as u8);
    }

    fn pop_number(&mut self) -> u64 {
        let mut number = 0;
        let mut shift = 0;
        while let Some(byte) = self.bytes.pop_front() {
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use tidewire_core::{Cursor, Epoch, Topic};

    use super::*;
    use crate::{Event, encode_record};

    fn note(rules: &mut Rules, position: u64, time_ms: u64, topics: &[&str]) {
        let mut event = Event::new(Topic::parse(topics[0]).unwrap(), "", time_ms);
        event.topics = topics.iter().map(|t| Topic::parse(t).unwrap()).collect();
        let mut bytes = Vec::new();
        let cursor = Cursor::new(Epoch(1), Position(position));
        encode_record(&event, cursor, time_ms, &mut bytes);
        rules.note(&RecordRef::parse(&bytes).unwrap());
    }

    fn rule(prefix: &str, age_ms: Option<u64>, count: Option<u64>) -> Rule {
        Rule {
            prefix: prefix.into(),
            age_ms,
            count,
        }
    }

    fn floors(rules: &Rules) -> Vec<(&str, u64)> {
        let slice = rules.floors().as_slice();
        slice.iter().map(|f| (&*f.prefix, f.floor.0)).collect()
    }

    #[test]
    fn a_floor_moves_past_what_ended_and_no_further() {
        let mut rules = Rules::new(&[rule("a", Some(10), None), rule("a/b", None, Some(1))]);
        note(&mut rules, 3, 100, &["a"]);
        note(&mut rules, 500, 105, &["a", "elsewhere"]); // kept by its other topic
        note(&mut rules, 600, 106, &["a/b"]);
        assert!(!rules.settle());
        assert!(!rules.advance(109));
        assert_eq!(floors(&rules), [("a/b", 0), ("a", 0)]);
        assert!(rules.advance(110));
        assert_eq!(floors(&rules), [("a/b", 0), ("a", 4)]);
        note(&mut rules, 100_000, 2_000_000, &["a/b", "a/c"]); // under both
        assert!(rules.settle());
        assert_eq!(floors(&rules), [("a/b", 601), ("a", 4)]);
        rules.forget_before(Position(100_001));
        assert!(!rules.advance(u64::MAX));
        rules.restore(&Floor {
            prefix: "a".into(),
            floor: Position(9),
        });
        assert_eq!(floors(&rules), [("a/b", 601), ("a", 9)]);
    }

    #[test]
    fn marks_come_back_as_they_went_in() {
        let mut marks = Marks::default();
        let all: Vec<_> = (0..500_u64)
            .map(|n| Mark {
                position: Position(n * n * n + n + 1),
                time_ms: n * n * 37,
            })
            .collect();
        for round in all.chunks(100) {
            round.iter().for_each(|mark| marks.push(*mark));
            for mark in round {
                assert_eq!(marks.front(), Some(*mark));
                marks.pop();
            }
            assert_eq!((marks.front(), marks.bytes.len()), (None, 0));
        }
    }
}
