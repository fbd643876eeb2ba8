//! What publishers and the logs themselves do.

use std::sync::{Arc, Mutex};

use tidewire_codec::EventId;
use tidewire_log::{Append, Appended, Event, Log};

use super::{FEEDS, World, note};
use crate::model::{Bits, Published, TOPICS, topics};
use crate::rng::Rng;

impl World {
    pub(super) fn publish(&mut self, rng: &mut Rng) {
        let index = rng.size(0, FEEDS - 1);
        let mut published = Vec::new();
        let count = if rng.percent(10) {
            rng.size(5, 40)
        } else {
            rng.size(1, 4)
        };
        let events = (0..count)
            .map(|_| {
                let (event, bits) = self.event(rng);
                let number = self.next_number - 1;
                published.push((number, bits, event.private, event.id.clone()));
                event
            })
            .collect();
        let source = &mut self.sources[index];
        for (appended, (number, topics, private, id)) in
            append(&*source.log, events).iter().zip(published)
        {
            source.model.publish(Published {
                cursor: appended.cursor,
                topics,
                private,
                number,
                id: id.map(|id| id.to_string()),
            });
        }
        let last = source.model.events().last();
        note!(
            self,
            "{} {count} published to feed {index}, the last {last:?}",
            self.now_ms
        );
    }

    fn event(&mut self, rng: &mut Rng) -> (Event, Bits) {
        let number = self.next_number;
        self.next_number += 1;
        let mut bits: Bits = 0;
        for _ in 0..rng.pick(&[1, 1, 1, 2, 3]) {
            bits |= 1 << rng.below(TOPICS.len() as u64);
        }
        let fill_max = rng.pick(&[0, 20, 20, 200, 2000]);
        let topics = topics(bits);
        let data = format!("{number} {}", "x".repeat(rng.size(0, fill_max)));
        let mut event = Event::new(topics[0].clone(), data, self.now_ms);
        event.topics = topics;
        event.private = rng.percent(30);
        event.id = rng
            .percent(20)
            .then(|| EventId::parse(&format!("urn:event:{number}")).expect("a fine id"));
        (event, bits)
    }

    pub(super) fn begin_life(&mut self, rng: &mut Rng) {
        let index = rng.size(0, FEEDS - 1);
        let source = &mut self.sources[index];
        let tail = source.log.bounds().tail;
        let epoch = source.log.inner().begin_life(self.now_ms);
        source.model.begin_life(epoch, tail);
        note!(
            self,
            "{} feed {index} begins epoch {epoch} at {tail}",
            self.now_ms
        );
    }
}

/// Appends to a log that answers before it returns.
fn append(log: &impl Log, events: Vec<Event>) -> Vec<Appended> {
    let answer = Arc::new(Mutex::new(None));
    let there = Arc::clone(&answer);
    log.append(Append {
        events,
        ack: Box::new(move |appended| *there.lock().expect("one thread") = Some(appended)),
    });
    let answer = answer.lock().expect("one thread").take();
    answer
        .expect("a memory log answers at once")
        .expect("it takes whatever fits")
}
