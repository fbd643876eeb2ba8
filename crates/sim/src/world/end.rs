//! Deadlines, and the end of a world: everybody reads, everything is loaded, and then nothing may be missing.

use tidewire_engine::EndReason;
use tidewire_log::Log;

use super::{CLIENTS, Client, Outcome, Presence, SHARDS, World, note};
use crate::judge::Bench;

/// How much later than promised a deadline may come: a tick of the engine's wheel. A grant's end may not.
const LATE_MS: u64 = 100;

/// How many steps a world may take until it is quiet: far more than any needs.
const STEPS_MAX: usize = 100_000;

impl World {
    /// After a step, nobody may be there whose time was up before it.
    pub(super) fn check_deadlines(&self, shard: usize) -> Outcome {
        let config = &self.places[shard].config;
        for index in 0..CLIENTS {
            let Some(here) = self.connection(index).filter(|here| here.shard == shard) else {
                continue;
            };
            let opening = self.clients[index]
                .as_ref()
                .expect("it is here")
                .judge
                .opening();
            let lived_ms = self.now_ms - here.joined_ms;
            let late = if here
                .full_since_ms
                .is_some_and(|since| self.now_ms - since >= config.stall_deadline_ms + LATE_MS)
            {
                Some("its sink is full for longer than the stall deadline")
            } else if config.stream_life_ms > 0 && lived_ms >= config.stream_life_ms + LATE_MS {
                Some("its stream is older than a stream may be")
            } else if opening.ends_ms.is_some_and(|end| self.now_ms >= end) {
                Some("its grant has ended")
            } else if here.is_revoked {
                Some("its grant was revoked")
            } else {
                None
            };
            if let Some(why) = late {
                return Err(format!("client {index} is still there: {why}"));
            }
        }
        Ok(())
    }

    /// Takes steps until no shard has a reason for another.
    fn quiet(&mut self) -> Outcome {
        for _ in 0..STEPS_MAX {
            let runnable = (0..SHARDS).find(|index| self.places[*index].is_runnable(self.now_ms));
            match runnable {
                Some(index) => self.step(index)?,
                None => return Ok(()),
            }
        }
        Err("the shards never come to rest".into())
    }

    /// Everybody who is here reads whatever comes.
    fn everybody_reads(&mut self) -> Outcome {
        for index in 0..CLIENTS {
            self.make_room(index, None)?;
        }
        Ok(())
    }

    /// The end of the world.
    ///
    /// # Errors
    /// Says what a client should have seen by now.
    pub fn finish(&mut self) -> Outcome {
        note!(self, "{} the end: everybody reads", self.now_ms);
        for source in &self.sources {
            source.log.speed_up();
        }
        self.everybody_reads()?;
        self.quiet()?;
        self.settle(false)?;
        self.beat()?;
        self.settle(true)?;
        self.part()
    }

    fn settle(&mut self, with_checkpoint: bool) -> Outcome {
        for (index, client) in self.clients.iter_mut().enumerate() {
            let is_here = |client: &&mut Client| matches!(client.presence, Presence::Here(_));
            let Some(client) = client.as_mut().filter(is_here) else {
                continue;
            };
            let source = &self.sources[client.source];
            let bench = Bench {
                model: &source.model,
                bounds: source.log.bounds(),
                floor: source.log.floor(),
                now_ms: self.now_ms,
                owed: false,
                is_revoked: false,
                tally: &mut self.tally,
            };
            let settled = client.judge.settle(&bench);
            let settled = settled.and_then(|()| {
                if with_checkpoint {
                    client.judge.settle_checkpoint(&bench)
                } else {
                    Ok(())
                }
            });
            settled.map_err(|error| format!("client {index}: {error}"))?;
        }
        Ok(())
    }

    /// Two heartbeats' time: everybody who stays hears something.
    fn beat(&mut self) -> Outcome {
        let heard: Vec<u64> = (0..CLIENTS).map(|index| self.frames(index)).collect();
        let beats = self.places.iter().map(|place| place.config.heartbeat_ms);
        let until_ms = self.now_ms + 2 * beats.max().expect("there are shards") + 100;
        while self.now_ms < until_ms {
            let wakes = self.places.iter().filter_map(|place| place.wake_at_ms);
            self.now_ms = wakes
                .filter(|at| *at > self.now_ms)
                .min()
                .unwrap_or(until_ms)
                .min(until_ms);
            self.quiet()?;
        }
        for (index, before) in heard.into_iter().enumerate() {
            if self.connection(index).is_some() && self.frames(index) == before {
                return Err(format!("client {index} heard nothing for two heartbeats"));
            }
        }
        Ok(())
    }

    fn frames(&self, index: usize) -> u64 {
        self.clients[index]
            .as_ref()
            .map_or(0, |client| client.judge.frames().0)
    }

    /// Every stream is drained, and everybody is gone.
    fn part(&mut self) -> Outcome {
        for place in &mut self.places {
            place.shard.end_all(EndReason::Drain);
            place.due = true;
        }
        self.quiet()?;
        if let Some(index) = (0..CLIENTS).find(|index| self.connection(*index).is_some()) {
            return Err(format!("client {index} survived the drain"));
        }
        for (index, place) in self.places.iter().enumerate() {
            if !place.shard.is_empty() || place.shard.counters().subscribers > 0 {
                return Err(format!("shard {index} still counts subscribers"));
            }
        }
        Ok(())
    }
}
