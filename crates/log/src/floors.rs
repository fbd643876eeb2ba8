//! Floors: topics whose events are kept for less long than the log keeps its records.
//!
//! A rule names topics by prefix. Below the rule's floor readers no longer see events all of whose topics fall under
//! rules; the bytes go when retention takes their segment.

use tidewire_core::{Matcher, MatcherSet, Position, RecordRef};

/// How far one rule has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Topics that start with this fall under the rule, unless a longer prefix fits.
    pub prefix: Box<str>,
    /// Events of the rule below this are not seen. It moves past an event when that event ends, and only then, so a
    /// reader that wants a lower position has really missed something.
    pub floor: Position,
}

/// The floors of a log at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Floors(Box<[Floor]>);

impl Floors {
    /// Of these rules.
    #[must_use]
    pub fn new(mut floors: Vec<Floor>) -> Self {
        floors.sort_by_key(|floor| std::cmp::Reverse(floor.prefix.len()));
        Self(floors.into())
    }

    /// Whether there is no rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rule that a topic falls under, as an index.
    #[must_use]
    pub fn rule_of(&self, topic: &[u8]) -> Option<usize> {
        self.0
            .iter()
            .position(|floor| topic.starts_with(floor.prefix.as_bytes()))
    }

    /// Whether some topic that begins so may fall under a rule: the rule says no less of the beginning, or is what the beginning
    /// alone falls under.
    fn rules(&self, rule: usize, beginning: &str) -> bool {
        self.0[rule].prefix.starts_with(beginning)
            || self.rule_of(beginning.as_bytes()) == Some(rule)
    }

    /// The floors, longest prefix first; [`Floors::rule_of`] indexes them.
    #[must_use]
    pub fn as_slice(&self) -> &[Floor] {
        &self.0
    }

    /// Whether readers no longer see this record.
    #[must_use]
    pub fn hides(&self, record: &RecordRef<'_>) -> bool {
        let below = |topic| {
            self.rule_of(topic)
                .is_some_and(|rule| record.position() < self.0[rule].floor)
        };
        !self.0.is_empty() && record.topics().all(below)
    }

    /// Whether a reader that wants `next` may miss something of these topics; then the highest such floor.
    #[must_use]
    pub fn missed(&self, next: Position, routing: &MatcherSet) -> Option<Position> {
        let concerns = |rule: usize| {
            routing.iter().any(|matcher| match matcher {
                Matcher::Exact(topic) => self.rule_of(topic.as_bytes()) == Some(rule),
                Matcher::Pattern(pattern) => self.rules(rule, pattern.literal_prefix()),
                _ => true,
            })
        };
        self.0
            .iter()
            .enumerate()
            .filter(|(rule, floor)| floor.floor > next && concerns(*rule))
            .map(|(_, floor)| floor.floor)
            .max()
    }
}

#[cfg(test)]
mod tests {
    use tidewire_core::{PatternLimits, Patterns, Topic};

    use super::*;

    #[test]
    fn who_has_missed_something() {
        let floor = |(prefix, floor): (&str, u64)| Floor {
            prefix: prefix.into(),
            floor: Position(floor),
        };
        let floors = Floors::new([("a", 9), ("a/b", 5)].map(floor).into());
        let exact = |name| Matcher::Exact(Topic::parse(name).unwrap());
        let patterns = Patterns::new(PatternLimits::default());
        let pattern = |text| patterns.selector(text).unwrap();
        #[rustfmt::skip]
        let table = [
            (vec![Matcher::Any], 8, Some(9)),
            (vec![Matcher::Any], 9, None),
            (vec![exact("a")], 3, Some(9)),
            (vec![exact("a/b/c")], 4, Some(5)),
            (vec![exact("a/b/c")], 5, None), // the longer prefix rules it
            (vec![exact("a/b"), exact("ax")], 4, Some(9)),
            (vec![exact("b")], 0, None),
            (vec![], 0, None),
            (vec![pattern("{x}")], 0, Some(9)),
            (vec![pattern("a{x}")], 8, Some(9)),
            (vec![pattern("ab/{x}")], 8, Some(9)),
            (vec![pattern("a/b/c{x}")], 4, Some(5)),
            (vec![pattern("a/b/c{x}")], 5, None), // nothing but the longer prefix rules any of these
            (vec![pattern("a/{x}")], 5, Some(9)),
            (vec![pattern("b/{x}")], 0, None),
            (vec![pattern("b/{x}"), exact("a")], 0, Some(9)),
        ];
        for (routing, next, want) in table {
            let routing: MatcherSet = routing.into_iter().collect();
            assert_eq!(
                floors.missed(Position(next), &routing),
                want.map(Position),
                "{routing:?}"
            );
        }
    }
}
