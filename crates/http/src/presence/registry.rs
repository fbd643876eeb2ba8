//! Who subscribes to what at the moment: looked up by subscriber and by matcher, counted, and shown in pages.
//!
//! Nothing here tells anybody; [`super::Presence`] does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use slab::Slab;
use tidewire_core::{Matcher, PatternKind};
use tidewire_log::MatchType;

use crate::front::random;

/// Names a subscriber to others. One a connection, by chance (mercure.md, 2.62); whoever knows it can do nothing with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SubscriberId(u128);

impl SubscriberId {
    const PREFIX: &str = "urn:uuid:";

    /// RFC 9562, section 5.4: a UUID of version 4.
    pub(crate) fn random() -> Self {
        let bits = u128::from_be_bytes(random());
        let version = bits & !(0xf << 76) | 4 << 76;
        Self(version & !(3 << 62) | 2 << 62)
    }
}

impl SubscriberId {
    /// Enough of it to know it by: its first half, of which 60 bits are by chance. Never zero, for the version is in it.
    pub(crate) fn mark(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

impl fmt::Display for SubscriberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |shift: u32, bits: u32| self.0 >> shift & ((1 << bits) - 1);
        write!(
            f,
            "{}{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            Self::PREFIX,
            part(96, 32),
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
    }
}

/// Text that is no subscriber's id as we write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSubscriberId;

impl FromStr for SubscriberId {
    type Err = NoSubscriberId;

    fn from_str(text: &str) -> Result<Self, NoSubscriberId> {
        let digits: String = text.split('-').collect();
        let id = digits
            .strip_prefix(Self::PREFIX)
            .and_then(|digits| u128::from_str_radix(digits, 16).ok())
            .map(Self);
        // What is written in another way is another name.
        id.filter(|id| id.to_string() == text).ok_or(NoSubscriberId)
    }
}

/// A matcher as others see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    pub(crate) text: Arc<str>,
    pub(crate) match_type: MatchType,
}

impl Name {
    /// `*` is seen before the type is looked at (mercure.md, 2.6), so it has but one name.
    pub(crate) fn of(matcher: &Matcher) -> Option<Self> {
        let match_type = match matcher {
            Matcher::Any | Matcher::Exact(_) => MatchType::Exact,
            Matcher::Pattern(pattern) => match pattern.kind() {
                PatternKind::Template => MatchType::UriTemplate,
                PatternKind::Url => MatchType::UrlPattern,
                _ => return None,
            },
            // A kind of matcher that has no name yet is nobody's to see.
            _ => return None,
        };
        Some(Self {
            text: matcher.as_str().into(),
            match_type,
        })
    }
}

/// What others are shown of a subscriber: one JSON value.
pub(crate) type Payload = Option<Arc<str>>;

/// One matcher of one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: Name,
    pub(crate) subscriber: SubscriberId,
    pub(crate) payload: Payload,
}

/// Where a page goes on: after this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    subscriber: SubscriberId,
    topic: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}.{}", self.subscriber.0, self.topic)
    }
}

impl FromStr for Place {
    type Err = NoSubscriberId;

    fn from_str(text: &str) -> Result<Self, NoSubscriberId> {
        let parsed = text.split_once('.').and_then(|(subscriber, topic)| {
            Some(Self {
                subscriber: SubscriberId(u128::from_str_radix(subscriber, 16).ok()?),
                topic: topic.parse().ok()?,
            })
        });
        parsed.ok_or(NoSubscriberId)
    }
}

/// Some of many, and where the others begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<T, P> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<P>,
}

/// Everyone who subscribes.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    topics: Slab<Topic>,
    names: BTreeMap<Name, u32>,
    by_topic: BTreeSet<(u32, SubscriberId)>,
    /// In the order of their topics' numbers.
    subscribers: BTreeMap<SubscriberId, Box<[Entry]>>,
    total: usize,
}

#[derive(Debug)]
struct Topic {
    name: Name,
    count: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    topic: u32,
    payload: Payload,
    /// Where its beginning waits to be told, or waited.
    began: u64,
}

impl Registry {
    /// How many matchers all subscribers have together.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Adds matchers of a subscriber. Of each that was not there yet `began` is told, and what it answers is given back by
    /// [`Registry::remove`].
    pub(crate) fn insert(
        &mut self,
        subscriber: SubscriberId,
        shown: impl IntoIterator<Item = (Name, Payload)>,
        mut began: impl FnMut(Listed) -> u64,
    ) {
        let known = self.subscribers.remove(&subscriber).unwrap_or_default();
        let mut entries = known.into_vec();
        for (name, payload) in shown {
            let topic = self.topic_of(&name);
            if !self.by_topic.insert((topic, subscriber)) {
                continue;
            }
            self.topics[topic as usize].count += 1;
            self.total += 1;
            let listed = Listed {
                name,
                subscriber,
                payload: payload.clone(),
            };
            entries.push(Entry {
                topic,
                payload,
                began: began(listed),
            });
        }
        if !entries.is_empty() {
            entries.sort_unstable_by_key(|entry| entry.topic);
            self.subscribers.insert(subscriber, entries.into());
        }
    }

    fn topic_of(&mut self, name: &Name) -> u32 {
        if let Some(topic) = self.names.get(name) {
            return *topic;
        }
        let key = self.topics.insert(Topic {
            name: name.clone(),
            count: 0,
        });
        let topic = u32::try_from(key).expect("fewer than 4,294,967,296 matchers");
        self.names.insert(name.clone(), topic);
        topic
    }

    /// Takes a matcher of a subscriber away.
    pub(crate) fn remove(
        &mut self,
        subscriber: SubscriberId,
        name: &Name,
    ) -> Option<(Listed, u64)> {
        let topic = *self.names.get(name)?;
        let entries = self.subscribers.get_mut(&subscriber)?;
        let at = entries
            .binary_search_by_key(&topic, |entry| entry.topic)
            .ok()?;
        let mut left = std::mem::take(entries).into_vec();
        let entry = left.remove(at);
        if left.is_empty() {
            self.subscribers.remove(&subscriber);
        } else {
            *entries = left.into();
        }
        Some(self.forget(subscriber, entry))
    }

    /// Takes a subscriber away with all its matchers, in the order in which they began.
    pub(crate) fn remove_all(&mut self, subscriber: SubscriberId) -> Vec<(Listed, u64)> {
        let entries = self.subscribers.remove(&subscriber).unwrap_or_default();
        let forget = |entry| self.forget(subscriber, entry);
        let mut gone: Vec<_> = entries.into_iter().map(forget).collect();
        gone.sort_unstable_by_key(|(_, began)| *began);
        gone
    }

    fn forget(&mut self, subscriber: SubscriberId, entry: Entry) -> (Listed, u64) {
        self.by_topic.remove(&(entry.topic, subscriber));
        self.total -= 1;
        let key = entry.topic as usize;
        self.topics[key].count -= 1;
        let name = self.topics[key].name.clone();
        if self.topics[key].count == 0 {
            self.topics.remove(key);
            self.names.remove(&name);
        }
        let listed = Listed {
            name,
            subscriber,
            payload: entry.payload,
        };
        (listed, entry.began)
    }

    /// The first subscriber of all.
    pub(crate) fn first(&self) -> Option<SubscriberId> {
        self.subscribers.keys().next().copied()
    }

    /// Whose mark this is, if it is there.
    pub(crate) fn marked(&self, mark: u64) -> Option<SubscriberId> {
        let first = SubscriberId(u128::from(mark) << 64);
        let (id, _) = self.subscribers.range(first..).next()?;
        (id.mark() == mark).then_some(*id)
    }

    /// A subscriber's matchers.
    pub(crate) fn names_of(&self, subscriber: SubscriberId) -> Vec<Name> {
        let entries = self.subscribers.get(&subscriber);
        let name = |entry: &Entry| self.topics[entry.topic as usize].name.clone();
        entries.into_iter().flatten().map(name).collect()
    }

    /// One matcher of one subscriber. Without a type, the first of that text.
    pub(crate) fn find(
        &self,
        text: &str,
        match_type: Option<MatchType>,
        subscriber: SubscriberId,
    ) -> Option<Listed> {
        let topics = self.topics_of(text, match_type);
        topics
            .into_iter()
            .find_map(|topic| self.listed(subscriber, topic))
    }

    fn listed(&self, subscriber: SubscriberId, topic: u32) -> Option<Listed> {
        let entries = self.subscribers.get(&subscriber)?;
        let at = entries.binary_search_by_key(&topic, |entry| entry.topic);
        Some(Listed {
            name: self.topics[topic as usize].name.clone(),
            subscriber,
            payload: entries[at.ok()?].payload.clone(),
        })
    }

    /// The numbers of the matchers with this text, in order.
    fn topics_of(&self, text: &str, match_type: Option<MatchType>) -> Vec<u32> {
        let name = |match_type| Name {
            text: text.into(),
            match_type,
        };
        let (first, last) = match match_type {
            Some(match_type) => (name(match_type), name(match_type)),
            None => (name(MatchType::Exact), name(MatchType::UriTemplate)),
        };
        let mut topics: Vec<_> = self.names.range(first..=last).map(|(_, id)| *id).collect();
        topics.sort_unstable();
        topics
    }

    /// How many subscribe with each matcher of this text.
    pub(crate) fn counts_of(
        &self,
        text: &str,
        match_type: Option<MatchType>,
    ) -> Vec<(Name, usize)> {
        let topics = self.topics_of(text, match_type).into_iter();
        let count = |topic: u32| {
            let topic = &self.topics[topic as usize];
            (topic.name.clone(), topic.count)
        };
        topics.map(count).collect()
    }

    /// Everyone after a place, at most so many.
    pub(crate) fn page(&self, after: Option<Place>, max: usize) -> Page<Listed, Place> {
        let first = after.map_or(SubscriberId(0), |after| after.subscriber);
        let all = self.subscribers.range(first..).flat_map(|(id, entries)| {
            entries.iter().map(|entry| Place {
                subscriber: *id,
                topic: entry.topic,
            })
        });
        let is_later = |place: &Place| {
            after.is_none_or(|after| {
                (place.subscriber, place.topic) > (after.subscriber, after.topic)
            })
        };
        self.pick(all.filter(is_later), max)
    }

    /// Everyone with a matcher of this text after a place, at most so many.
    pub(crate) fn page_of(
        &self,
        text: &str,
        match_type: Option<MatchType>,
        after: Option<Place>,
        max: usize,
    ) -> Page<Listed, Place> {
        let topics = self.topics_of(text, match_type);
        let first = after.map(|after| (after.topic, after.subscriber));
        let all = topics.into_iter().flat_map(|topic| {
            let start = first.unwrap_or_default().max((topic, SubscriberId(0)));
            let end = (topic, SubscriberId(u128::MAX));
            // A range that ends before it starts is refused, not empty.
            let is_over = start > end;
            let range = (!is_over).then(|| self.by_topic.range(start..=end));
            range.into_iter().flatten()
        });
        let is_later = |place: &&(u32, SubscriberId)| first.is_none_or(|first| **place > first);
        let places = all.filter(is_later).map(|(topic, subscriber)| Place {
            subscriber: *subscriber,
            topic: *topic,
        });
        self.pick(places, max)
    }

    fn pick(&self, mut places: impl Iterator<Item = Place>, max: usize) -> Page<Listed, Place> {
        let mut last = None;
        let mut items = Vec::new();
        for place in places.by_ref().take(max) {
            last = Some(place);
            items.extend(self.listed(place.subscriber, place.topic));
        }
        let next = last.filter(|_| places.next().is_some());
        Page { items, next }
    }

    /// How many subscribe with each matcher, after one, at most so many of them.
    pub(crate) fn counts(&self, after: Option<&Name>, max: usize) -> Page<(Name, usize), Name> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        let mut all = self.names.range::<Name, _>((start, Unbounded));
        let count =
            |(name, topic): (&Name, &u32)| (name.clone(), self.topics[*topic as usize].count);
        let items: Vec<_> = all.by_ref().take(max).map(count).collect();
        let next = items.last().map(|(name, _)| name.clone());
        let next = next.filter(|_| all.next().is_some());
        Page { items, next }
    }
}

impl Default for SubscriberId {
    /// Before every other.
    fn default() -> Self {
        Self(0)
    }
}

#[cfg(test)]
mod tests;
