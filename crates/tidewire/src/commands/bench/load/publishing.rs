//! The publishing half of the load: what is due, who sends it, and what the answers say.

use rustix::event::epoll::{self, EventData, EventFlags};

use super::super::payload::Stamp;
use super::super::publisher::{Flight, Publisher, State};
use super::super::socket::now_ns;
use super::super::template::Fill;
use super::super::tls::{Tls, Trust};
use super::{Load, Pace, Plan, Scratch, TURN_NS, nanoseconds};
use crate::failure::{Failure, Outcome};

impl Load {
    /// Opens the publishers' connections.
    pub(in super::super) fn connect_publishers(&mut self, trust: &Trust) -> Outcome {
        let place = &self.plan.publishing.place;
        self.tls = match place.is_tls {
            true => Some(Tls::new(trust, false).map_err(Failure::usage)?),
            false => None,
        };
        for index in 0..self.plan.publishers {
            let place = &self.plan.publishing.place;
            let publisher =
                Publisher::connect(place, self.tls.as_ref(), self.plan.batch.is_some())?;
            self.publishers.push(publisher);
            self.watch(index)?;
            self.free.push_back(index);
        }
        Ok(())
    }

    fn watch(&self, publisher: usize) -> Outcome {
        let data = EventData::new_u64(publisher as u64);
        epoll::add(
            &self.epoll,
            &self.publishers[publisher].transport.socket,
            data,
            EventFlags::IN,
        )
        .map_err(Failure::failed)
    }

    /// Sends what is due; gives how long nothing will be.
    pub(super) fn pump(&mut self, now_ns: u64, pace: &mut Pace) -> Outcome<u64> {
        match pace {
            Pace::Window(window) => {
                let room = window.saturating_sub(self.under_way());
                for _ in 0..room {
                    if !self.publish(None)? {
                        break;
                    }
                }
                if room == 0 {
                    self.forgive(now_ns);
                }
            }
            Pace::Schedule {
                start_ns,
                interval_ns,
                next,
            } => {
                while !self.is_all_sent() {
                    let due_ns = *start_ns + (*next as f64 * *interval_ns) as u64;
                    if due_ns > now_ns {
                        return Ok((due_ns - now_ns).min(TURN_NS));
                    }
                    if !self.publish(Some(due_ns))? {
                        break;
                    }
                    *next += 1;
                }
            }
        }
        Ok(TURN_NS)
    }

    /// A window that nothing leaves for so long holds events that are lost. The checks will tell; the load goes on.
    fn forgive(&mut self, now_ns: u64) {
        self.note_progress(self.fleet.progress().events);
        if now_ns > self.last_progress_ns + nanoseconds(self.plan.patience) {
            self.forgiven += self.under_way();
            self.last_progress_ns = now_ns;
        }
    }

    /// Publishes the next event or batch, if there is one and somebody to publish it. Its time is the one it was due, else now.
    fn publish(&mut self, due_ns: Option<u64>) -> Outcome<bool> {
        if self.is_all_sent() {
            return Ok(false);
        }
        let Some(index) = self.free.pop_front() else {
            return Ok(false);
        };
        let due_ns = due_ns.unwrap_or_else(|| self.now());
        let events = self.plan.batch.unwrap_or(1);
        self.scratch.body.clear();
        let mut topic = 0;
        for _ in 0..events {
            topic = self.write_event(index, due_ns);
        }
        let (publishing, body) = (&self.plan.publishing, &self.scratch.body);
        let fill = Fill {
            topic: &self.names[topic],
            ..Fill::default()
        };
        let flight = Flight {
            due_ns,
            events: events as u64,
        };
        let publisher = &mut self.publishers[index];
        let state = publisher.send(flight, |into| publishing.write_request(fill, body, into))?;
        if self.may_send(index) {
            self.free.push_back(index);
        }
        if state == State::Blocked {
            self.listen_to(index, EventFlags::IN | EventFlags::OUT)?;
        }
        Ok(true)
    }

    /// Writes the next event of a publisher into the body; gives its topic.
    fn write_event(&mut self, index: usize, sent_ns: u64) -> usize {
        let Plan {
            topics, publishers, ..
        } = &self.plan;
        let turn = &mut self.publishers[index].turn;
        let topic = topics.topic(index, *turn, *publishers);
        *turn += 1;
        let slot = topics.slot(topic, index, *publishers).unwrap_or(0);
        let counter = &mut self.counters[topics.counter(topic, slot)];
        let stamp = Stamp {
            publisher: index,
            seq: *counter,
            sent_ns,
        };
        *counter += 1;
        self.published.sent += 1;
        self.awaited += u64::from(topic < self.plan.watched);
        let Scratch { data, body, .. } = &mut self.scratch;
        data.clear();
        self.run.write(stamp, self.plan.payload, data);
        let fill = Fill {
            topic: &self.names[topic],
            data,
            ..Fill::default()
        };
        self.plan.publishing.write_event(fill, body);
        topic
    }

    fn may_send(&self, index: usize) -> bool {
        let publisher = &self.publishers[index];
        let turns = match self.plan.once {
            true => self.plan.topics.own(index, self.plan.publishers),
            false => usize::MAX,
        };
        publisher.in_flight() < self.plan.pipeline && publisher.turn < turns
    }

    fn listen_to(&self, publisher: usize, flags: EventFlags) -> Outcome {
        let data = EventData::new_u64(publisher as u64);
        let socket = &self.publishers[publisher].transport.socket;
        epoll::modify(&self.epoll, socket, data, flags).map_err(Failure::failed)
    }

    /// A publisher's socket can be read or written.
    pub(super) fn answered(&mut self, index: usize, flags: EventFlags) -> Outcome {
        let publisher = &mut self.publishers[index];
        if flags.contains(EventFlags::OUT) && publisher.flush()? == State::Fine {
            self.listen_to(index, EventFlags::IN)?;
        }
        let publisher = &mut self.publishers[index];
        let was_full = publisher.in_flight() == self.plan.pipeline;
        let now_ns = now_ns().saturating_sub(self.origin_ns);
        let (published, measured) = (&mut self.published, &self.measured);
        let state = publisher.read(&mut self.scratch.read, |Flight { due_ns, events }| {
            published.acked += events;
            if measured.contains(&now_ns) {
                published.measured += events;
            }
            if measured.contains(&due_ns) {
                published.latency.record_ns(now_ns.saturating_sub(due_ns));
            }
        })?;
        if was_full && self.may_send(index) {
            self.free.push_back(index);
        }
        if state == State::Closed {
            let place = &self.plan.publishing.place;
            self.publishers[index].reconnect(place, self.tls.as_ref())?;
            self.watch(index)?;
        }
        Ok(())
    }
}
