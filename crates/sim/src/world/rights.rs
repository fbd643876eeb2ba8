//! Grants that change while streams run: renewed, with other topics, revoked.

use tidewire_core::Position;
use tidewire_engine::{Marks, ReviseError, Revision, Target, Topics};

use super::{CLIENTS, Outcome, Presence, World, note};
use crate::model::{TOPICS, Wants, topics};
use crate::rng::Rng;

/// Nobody's grant, mostly, or that of one of a few.
pub(super) fn some_marks(rng: &mut Rng) -> Marks {
    if rng.percent(60) {
        return Marks::NONE;
    }
    Marks {
        issuer: rng.below(2),
        subject: 1 + rng.below(3),
        token: rng.below(4),
    }
}

impl World {
    /// A stream gets another grant, whatever it is doing.
    pub(super) fn revise(&mut self, rng: &mut Rng) -> Outcome {
        let Some(index) = self.find_here(rng) else {
            return Ok(());
        };
        let client = self.clients[index].as_ref().expect("it is here");
        let Presence::Here(here) = &client.presence else {
            return Ok(());
        };
        let (shard, key, is_revoked) = (here.shard, here.key, here.is_revoked);
        let (before, old) = (client.judge.wants(), client.judge.opening().marks);
        let mut wants = Wants::random(rng);
        if rng.percent(50) {
            // Another grant alone.
            (wants.routing, wants.in_patterns) = (before.routing, before.in_patterns);
        }
        let others = rng.percent(5);
        let marks = if others {
            some_marks(rng)
        } else {
            Marks {
                token: rng.below(4),
                ..old
            }
        };
        let ends_ms = rng.percent(30).then(|| self.now_ms + 1 + rng.below(20_000));
        let routing = wants.filter().routing;
        let revision = Revision {
            topics: Topics::Set(routing.clone()),
            topics_max: TOPICS.len(),
            private: wants.filter().private,
            ends_ms,
            marks,
            may_claim: true,
        };
        let place = &mut self.places[shard];
        let revised = place.shard.revise(key, revision);
        place.due = true;
        note!(
            self,
            "{} client {index} is revised: {revised:?}, {wants:?}, {marks:?}, until {ends_ms:?}",
            self.now_ms
        );
        let is_owner = (old.issuer, old.subject) == (0, 0)
            || (old.issuer, old.subject) == (marks.issuer, marks.subject);
        match revised {
            Ok(revised) if is_owner && !is_revoked => {
                self.tally.count("revised");
                if revised.before != revised.after {
                    self.tally.count("revised, other topics");
                }
                let at = Position(revised.at.seen().0 + 1);
                let client = self.clients[index].as_mut().expect("it is here");
                let floor = self.sources[client.source].log.floor();
                let verdict = client.judge.revise(at, wants, ends_ms, marks, floor);
                verdict.map_err(|error| format!("client {index}: {error}"))
            }
            Err(ReviseError::NoTopic) if routing.is_empty() => Ok(()),
            Err(ReviseError::Holder) if !is_owner => {
                self.tally.count("revision refused");
                Ok(())
            }
            // It is about to end, or has just ended.
            Err(ReviseError::Gone) => Ok(()),
            other => Err(format!(
                "client {index}: revised by {marks:?}, is {old:?}: {other:?}"
            )),
        }
    }

    /// Grants are revoked, by whose they are or by a topic, in every shard.
    pub(super) fn revoke(&mut self, rng: &mut Rng) -> Outcome {
        let by_topic = rng.percent(20).then(|| 1 << rng.below(TOPICS.len() as u64));
        let marks = match some_marks(rng) {
            Marks { token: 0, .. } => Marks {
                subject: 1,
                ..Marks::NONE
            },
            marks => Marks {
                issuer: 0,
                subject: 0,
                ..marks
            },
        };
        let target = match by_topic {
            Some(bit) => Target::Topic(topics(bit).remove(0)),
            None => Target::Marks(marks),
        };
        note!(self, "{} revoked: {target:?}", self.now_ms);
        let mut meant = 0;
        for index in 0..CLIENTS {
            let Some(client) = &mut self.clients[index] else {
                continue;
            };
            let Presence::Here(here) = &mut client.presence else {
                continue;
            };
            // One that left is still here until its shard says so.
            let place = &mut self.places[here.shard];
            let is_there = place.shard.sink_mut(here.key).is_some();
            let (own, wants) = (client.judge.opening().marks, client.judge.wants());
            let is_meant = match by_topic {
                Some(bit) => [wants.routing, wants.private]
                    .into_iter()
                    .any(|set| set.is_none_or(|bits| bits & bit != 0)),
                None => {
                    (marks.subject == 0 || marks.subject == own.subject)
                        && (marks.token == 0 || marks.token == own.token)
                }
            };
            if is_there && is_meant {
                here.is_revoked = true;
                meant += 1;
            }
        }
        let mut ended = 0;
        for place in &mut self.places {
            ended += place.shard.end_where(&target);
            place.due = true;
        }
        if ended != meant {
            return Err(format!("{target:?} ends {ended} streams, not {meant}"));
        }
        Ok(())
    }
}
