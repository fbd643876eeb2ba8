//! Changing streams while they run: their topics and their grants; and ending those that a mark or a topic names. What it
//! means for a client is decided elsewhere: an [`Order`] comes from whoever holds the stream's shard.
//!
//! A cursor is never lost: what lies before it was decided by the filter that was, everything after it by the one that is,
//! live and replay alike.

use std::fmt;
use std::sync::Arc;

use tidewire_core::{Cursor, Filter, MatcherSet, Topic};

use crate::feed::is_slow;
use crate::index::id;
use crate::{EndReason, Shard, Sink, SubscriberKey};

/// Whose grant a stream runs on, as numbers that mean nothing here. Zero stands for none; two that are equal are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Who says who the holder is.
    pub issuer: u64,
    /// Who holds it.
    pub subject: u64,
    /// The token.
    pub token: u64,
}

impl Marks {
    /// No grant of anybody's.
    pub const NONE: Self = Self {
        issuer: 0,
        subject: 0,
        token: 0,
    };

    /// Whether nobody is marked.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Whether all that these marks name is marked alike there. Those that name nothing mean nobody.
    #[must_use]
    pub fn mean(self, other: Self) -> bool {
        let agrees = |mine, theirs| mine == 0 || mine == theirs;
        !self.is_none()
            && agrees(self.issuer, other.issuer)
            && agrees(self.subject, other.subject)
            && agrees(self.token, other.token)
    }

    fn holder(self) -> (u64, u64) {
        (self.issuer, self.subject)
    }
}

/// Which streams.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Those on a grant that these marks mean.
    Marks(Marks),
    /// Those that route this topic, or may read its private events.
    Topic(Topic),
}

/// What becomes of a stream's topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// They stay.
    Same,
    /// These, and no others.
    Set(MatcherSet),
    /// These as well, and those no more; what is in both is added.
    Change {
        /// To be added.
        add: MatcherSet,
        /// To be taken away; what is not there is not missed.
        remove: MatcherSet,
    },
}

/// A stream's new grant, and perhaps new topics.
#[derive(Clone, Debug)]
pub struct Revision {
    /// What it routes from now on.
    pub topics: Topics,
    /// How many matchers that may be.
    pub topics_max: usize,
    /// Where its grant lets it read private events from now on.
    pub private: MatcherSet,
    /// When its grant ends, in milliseconds of the shard's clock; `None`: never.
    pub ends_ms: Option<u64>,
    /// Whose grant it is. If the stream has a holder, it must be the same.
    pub marks: Marks,
    /// Whether a stream that nobody holds may become this holder's.
    pub may_claim: bool,
}

/// What a stream has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revised {
    /// What lies behind this was decided as it was before, everything after it as it is now.
    pub at: Cursor,
    /// What it routed.
    pub before: MatcherSet,
    /// What it routes.
    pub after: MatcherSet,
    /// As what others see it, as it said when it joined.
    pub seen_as: u64,
    /// Nobody held it, and somebody does now.
    pub claimed: bool,
}

/// Why a stream stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReviseError {
    /// It is over, or about to be.
    Gone,
    /// The grant is somebody else's.
    Holder,
    /// Nobody holds it, and the new holder may hold no more.
    Full,
    /// Nothing would be left of its topics.
    NoTopic,
    /// It would have more topics than it may.
    TooMany {
        /// So many.
        count: usize,
    },
}

impl fmt::Display for ReviseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the stream is over"),
            Self::Holder => f.write_str("the stream runs on somebody else's grant"),
            Self::Full => f.write_str("the new holder may hold no more streams"),
            Self::NoTopic => f.write_str("no topic would be left"),
            Self::TooMany { count } => write!(f, "the stream would have {count} topics"),
        }
    }
}

impl std::error::Error for ReviseError {}

/// Something to be done in a shard by whoever drives it, for somebody elsewhere. Never answered if the shard is gone.
#[non_exhaustive]
pub enum Order {
    /// Revises one stream.
    Revise {
        /// Which.
        key: SubscriberKey,
        /// How.
        revision: Box<Revision>,
        /// Is told what came of it.
        done: Box<dyn FnOnce(Result<Revised, ReviseError>) + Send>,
    },
    /// Ends streams, as [`EndReason::Revoked`].
    End {
        /// Which.
        target: Arc<Target>,
        /// Is told how many they are.
        done: Box<dyn FnOnce(usize) + Send>,
    },
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revise { key, .. } => f.debug_tuple("Revise").field(key).finish(),
            Self::End { target, .. } => f.debug_tuple("End").field(target).finish(),
        }
    }
}

impl<S: Sink> Shard<S> {
    /// Does what it is told to. Take a step afterwards.
    pub fn obey(&mut self, order: Order) {
        match order {
            Order::Revise {
                key,
                revision,
                done,
            } => done(self.revise(key, *revision)),
            Order::End { target, done } => done(self.end_where(&target)),
        }
    }

    /// Ends those that are meant, in the next step and before anything more is delivered to them; how many they are.
    pub fn end_where(&mut self, target: &Target) -> usize {
        let before = self.ends.len();
        for (index, subscriber) in &self.subscribers {
            let is_meant = match target {
                Target::Marks(marks) => marks.mean(subscriber.marks()),
                Target::Topic(topic) => {
                    let feed = &self.feeds[subscriber.feed as usize];
                    feed.wants(subscriber).covers(topic.as_bytes())
                }
            };
            if is_meant {
                let key = SubscriberKey::new(id(index), subscriber.join);
                self.ends.push((key, EndReason::Revoked));
            }
        }
        self.ends.len() - before
    }

    /// Gives a stream another grant, and perhaps other topics, wherever it stands. Where those change, a checkpoint in the
    /// stream says from where on.
    ///
    /// # Errors
    /// Says why it stays as it was.
    pub fn revise(
        &mut self,
        key: SubscriberKey,
        revision: Revision,
    ) -> Result<Revised, ReviseError> {
        let is_ending = self.ends.iter().any(|(ending, _)| *ending == key);
        let index = self.index_of(key).filter(|_| !is_ending);
        let index = index.ok_or(ReviseError::Gone)?;
        let subscriber = &self.subscribers[index as usize];
        let holder = subscriber.marks().holder();
        if holder != Marks::NONE.holder() && holder != revision.marks.holder() {
            return Err(ReviseError::Holder);
        }
        let claimed = holder != revision.marks.holder();
        if claimed && !revision.may_claim {
            return Err(ReviseError::Full);
        }
        let feed = &self.feeds[subscriber.feed as usize];
        let before = feed.wants(subscriber).routing();
        let after = routing_after(&before, revision.topics, revision.topics_max)?;
        let at = feed.feed.log().cursor_at(self.cursor_of(index));
        let filter = Filter {
            routing: after.clone(),
            private: revision.private,
        };
        if before != after {
            self.reroute(index, filter);
            self.subscribers[index as usize].begin_anew();
            if !self.subscribers[index as usize].is_standing() {
                self.list(index);
            }
        } else if feed.is_slow == is_slow(&filter) {
            self.swap_filter(index, filter);
        } else {
            self.reroute(index, filter);
        }
        self.subscribers[index as usize].set_grant(revision.ends_ms, revision.marks);
        self.arm(index);
        Ok(Revised {
            at,
            before,
            after,
            seen_as: self.subscribers[index as usize].seen_as(),
            claimed,
        })
    }

    /// Nothing is read while a shard is told something: the interest is known before the next read.
    fn swap_filter(&mut self, index: u32, filter: Filter) {
        let was = &self.subscribers[index as usize];
        let was = (was.feed, was.filter, was.edges);
        let feed = Arc::clone(&self.feeds[was.0 as usize].feed);
        let to = self.feed_id(&feed, is_slow(&filter));
        // The new one first, so that what both want is wanted all the time.
        let (filter, edges) = self.feeds[to as usize].add(filter, index);
        let subscriber = &mut self.subscribers[index as usize];
        (subscriber.feed, subscriber.filter, subscriber.edges) = (to, filter, edges);
        let others = &mut self.subscribers;
        let from = &mut self.feeds[was.0 as usize];
        from.remove(was.1, was.2, |moved, slot| {
            others[moved as usize].edges.move_to(slot);
        });
        self.feeds_idle |= from.subscribers == 0;
    }

    /// Other topics, or the other side of its feed: what of them lies between its cursor and now was committed before its interest
    /// was known, so it reads on from its cursor as one who has just joined.
    fn reroute(&mut self, index: u32, filter: Filter) {
        let cursor = self.cursor_of(index);
        let stands = self.subscribers[index as usize].is_standing();
        if !stands {
            self.displace(index);
        }
        self.subscribers[index as usize].advance(cursor);
        self.swap_filter(index, filter);
        if !stands {
            self.place_behind(index);
        }
    }
}

fn routing_after(
    before: &MatcherSet,
    topics: Topics,
    topics_max: usize,
) -> Result<MatcherSet, ReviseError> {
    let after = match topics {
        Topics::Same => return Ok(before.clone()),
        Topics::Set(after) => after,
        Topics::Change { add, remove } => {
            let stays = |matcher: &&tidewire_core::Matcher| remove.iter().all(|r| r != *matcher);
            before
                .iter()
                .filter(stays)
                .chain(add.iter())
                .cloned()
                .collect()
        }
    };
    match after.iter().count() {
        0 => Err(ReviseError::NoTopic),
        count if count > topics_max => Err(ReviseError::TooMany { count }),
        _ => Ok(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_mean_who_has_all_of_them() {
        let marks = |issuer, subject, token| Marks {
            issuer,
            subject,
            token,
        };
        #[rustfmt::skip]
        let table = [
            (Marks::NONE,    marks(1, 2, 3), false),
            (Marks::NONE,    Marks::NONE,    false),
            (marks(0, 2, 0), marks(1, 2, 3), true),
            (marks(0, 2, 0), marks(9, 2, 3), true),
            (marks(1, 2, 0), marks(9, 2, 3), false),
            (marks(1, 2, 0), marks(1, 2, 3), true),
            (marks(0, 0, 3), marks(1, 2, 3), true),
            (marks(0, 0, 4), marks(1, 2, 3), false),
            (marks(0, 0, 4), Marks::NONE,    false),
        ];
        for (named, streams, want) in table {
            assert_eq!(named.mean(streams), want, "{named:?} {streams:?}");
        }
    }
}
