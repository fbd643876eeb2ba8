//! Filters: which events a subscriber gets.

use std::cmp::Ordering;

use crate::{Pattern, Topic, TopicRef};

/// Matches topics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Matcher {
    /// Every topic, written `*`.
    Any,
    /// This topic alone, compared byte by byte.
    Exact(Topic),
    /// Every topic that a pattern matches.
    Pattern(Pattern),
}

impl Matcher {
    /// As it is asked for: a topic, a pattern's text, or `*`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::Exact(topic) => topic.as_str(),
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }

    /// Whether it matches this topic.
    #[must_use]
    pub fn accepts(&self, topic: &[u8]) -> bool {
        self.matches(&TopicRef::new(topic))
    }

    /// Whether it matches a topic that several matchers look at.
    #[must_use]
    pub fn matches(&self, topic: &TopicRef<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.as_bytes() == topic.as_bytes(),
            Self::Pattern(pattern) => pattern.matches(topic),
        }
    }
}

/// Matchers, any of which may match; sorted and without repetition, so that equal sets compare equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MatcherSet(Box<[Matcher]>);

impl MatcherSet {
    /// Matches every topic.
    #[must_use]
    pub fn any() -> Self {
        Self::from_iter([Matcher::Any])
    }

    /// Whether one of them matches this topic.
    #[must_use]
    pub fn accepts(&self, topic: &[u8]) -> bool {
        if self.is_any() {
            return true;
        }
        // Sorted: the single topics, then the patterns.
        let is_single = |matcher: &Matcher| matches!(matcher, Matcher::Any | Matcher::Exact(_));
        let (singles, patterns) = self.0.split_at(self.0.partition_point(is_single));
        let found = singles.binary_search_by(|matcher| match matcher {
            Matcher::Exact(name) => name.as_bytes().cmp(topic),
            _ => Ordering::Less,
        });
        let topic = TopicRef::new(topic);
        found.is_ok() || patterns.iter().any(|pattern| pattern.matches(&topic))
    }

    /// Whether it holds no matcher, and so matches nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The matchers.
    pub fn iter(&self) -> impl Iterator<Item = &Matcher> {
        self.0.iter()
    }

    /// Whether it matches every topic, and says so by [`Matcher::Any`].
    #[must_use]
    pub fn is_any(&self) -> bool {
        // Nothing is sorted before it.
        self.0.first() == Some(&Matcher::Any)
    }

    /// The topics, if it matches those alone; `None` if it holds a matcher that is more than one topic.
    #[must_use]
    pub fn exact_topics(&self) -> Option<Vec<&Topic>> {
        self.iter()
            .map(|matcher| match matcher {
                Matcher::Exact(topic) => Some(topic),
                Matcher::Any | Matcher::Pattern(_) => None,
            })
            .collect()
    }
}

impl FromIterator<Matcher> for MatcherSet {
    fn from_iter<I: IntoIterator<Item = Matcher>>(matchers: I) -> Self {
        let mut matchers: Vec<_> = matchers.into_iter().collect();
        matchers.sort_unstable();
        matchers.dedup();
        Self(matchers.into())
    }
}

/// What a subscriber gets: an event is delivered when any of its topics is routed **and** the event is public or any of
/// its topics is granted. The routing may hit one topic and the grant another, so the two are never intersected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// What the subscriber asked for.
    pub routing: MatcherSet,
    /// Where its grant lets it read private events.
    pub private: MatcherSet,
}

impl Filter {
    /// Decides on an event with these topics (invariant 9: pure, so that live and replay agree).
    #[must_use]
    pub fn accepts<'a>(
        &self,
        topics: impl Iterator<Item = &'a [u8]> + Clone,
        private: bool,
    ) -> bool {
        topics.clone().any(|topic| self.routing.accepts(topic))
            && (!private || topics.into_iter().any(|topic| self.private.accepts(topic)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> MatcherSet {
        let matcher = |name: &&str| match *name {
            "*" => Matcher::Any,
            name => Matcher::Exact(Topic::parse(name).unwrap()),
        };
        names.iter().map(matcher).collect()
    }

    #[test]
    fn routing_and_grant_may_hit_different_topics() {
        #[rustfmt::skip]
        let table: [(&[&str], &[&str], &[&str], bool, bool); 9] = [
            // routing      private     topics          private event, delivered
            (&["a"],        &[],        &["a"],         false, true),
            (&["a"],        &[],        &["a"],         true,  false),
            (&["a"],        &["a"],     &["a"],         true,  true),
            (&["a"],        &["b"],     &["a", "b"],    true,  true),
            (&["a"],        &["b"],     &["a"],         true,  false),
            (&["a"],        &["*"],     &["b"],         false, false),
            (&["*"],        &["b"],     &["a"],         true,  false),
            (&["*"],        &[],        &["z"],         false, true),
            (&[],           &["*"],     &["a"],         false, false),
        ];
        for (routing, granted, topics, private, delivered) in table {
            let filter = Filter {
                routing: set(routing),
                private: set(granted),
            };
            let topics_bytes = topics.iter().map(|topic| topic.as_bytes());
            assert_eq!(
                filter.accepts(topics_bytes, private),
                delivered,
                "{filter:?} {topics:?} {private}"
            );
        }
    }

    /// A set is searched, and says what asking each of its matchers would.
    #[test]
    fn a_set_accepts_what_one_of_it_does() {
        let patterns = crate::Patterns::default();
        let pattern = |text: &str| patterns.selector(text).unwrap();
        let exact = |name: &str| Matcher::Exact(Topic::parse(name).unwrap());
        #[rustfmt::skip]
        let all = [exact("b"), exact("a"), exact("/x/1"), exact("c"), pattern("/x/{id}"), pattern("{a}-y"), exact("zz"), Matcher::Any];
        for chosen in 0..1_u32 << all.len() {
            let matchers = all.iter().enumerate();
            let matchers = matchers.filter(|(at, _)| chosen >> at & 1 == 1);
            let matchers: Vec<_> = matchers.map(|(_, matcher)| matcher.clone()).collect();
            let set: MatcherSet = matchers.iter().cloned().collect();
            for topic in [
                "a", "b", "bb", "c", "zz", "zzz", "/x/1", "/x/2", "q-y", "A", "",
            ] {
                let topic = topic.as_bytes();
                let want = matchers.iter().any(|matcher| matcher.accepts(topic));
                assert_eq!(set.accepts(topic), want, "{set:?} {topic:?}");
            }
            assert_eq!(set.is_any(), matchers.contains(&Matcher::Any));
        }
    }

    #[test]
    fn equal_sets_compare_equal() {
        assert_eq!(set(&["b", "a", "b"]), set(&["a", "b"]));
        assert_eq!(set(&["a", "*"]).exact_topics(), None);
        assert_eq!(set(&["b", "a"]).exact_topics().unwrap().len(), 2);
    }
}
