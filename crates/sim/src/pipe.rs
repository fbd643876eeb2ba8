//! A subscriber's sink and what is behind it: a socket with so much room, and a client that reads what came through.

use std::cell::RefCell;
use std::rc::Rc;

use tidewire_core::Frame;
use tidewire_engine::{Offer, Sink};

use crate::tally::Tally;

/// What the sink and its client share.
#[derive(Debug, Default)]
pub struct Pipe {
    /// How many bytes the socket still takes; `None`: whatever comes.
    pub room: Option<usize>,
    /// The far end is gone.
    pub dead: bool,
    /// It said `Full` and was not said to be writable since.
    pub full: bool,
    /// The rest of the one frame that it took in part.
    rest: Vec<u8>,
    /// What arrived and the client has not looked at.
    arrived: Vec<u8>,
    /// What the engine did that no sink may see.
    pub broken: Option<String>,
    /// What it answered.
    pub tally: Tally,
}

impl Pipe {
    /// With room for so many bytes.
    #[must_use]
    pub fn new(room: Option<usize>) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    /// Lets through what is owed; says whether something went through or nothing was owed.
    pub fn flush(&mut self) -> bool {
        let rest = std::mem::take(&mut self.rest);
        let sent = self.send(&rest);
        self.rest = rest[sent..].to_vec();
        sent > 0 || rest.is_empty()
    }

    /// Takes as many bytes as there is room for.
    fn send(&mut self, bytes: &[u8]) -> usize {
        let sent = self.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        self.room = self.room.map(|room| room - sent);
        self.arrived.extend_from_slice(&bytes[..sent]);
        sent
    }

    /// What arrived since the last look.
    pub fn take_arrived(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.arrived)
    }

    fn take(&mut self, frames: &[Frame<'_>]) -> Offer {
        if self.full {
            self.broken = Some("was offered something although it is full".into());
        }
        if self.dead {
            return Offer::Closed;
        }
        if !self.rest.is_empty() {
            return Offer::Full { taken: 0 };
        }
        for (index, frame) in frames.iter().enumerate() {
            let bytes = frame.bare();
            let sent = self.send(bytes);
            if sent < bytes.len() {
                self.rest = bytes[sent..].to_vec();
                let begun = sent > 0;
                if begun {
                    self.tally.count("offer Full inside a frame");
                } else {
                    self.rest.clear();
                }
                return Offer::Full {
                    taken: index + usize::from(begun),
                };
            }
        }
        // A socket that is filled to the brim may say so at once or at the next offer.
        match self.room {
            Some(0) if frames.len() % 2 == 1 => Offer::Full {
                taken: frames.len(),
            },
            _ => Offer::Taken,
        }
    }
}

/// The engine's end of a pipe.
#[derive(Debug)]
pub struct PipeSink(pub Rc<RefCell<Pipe>>);

impl Sink for PipeSink {
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer {
        let mut pipe = self.0.borrow_mut();
        let offer = pipe.take(frames);
        pipe.full = matches!(offer, Offer::Full { .. });
        pipe.tally.count(match offer {
            Offer::Taken => "offer Taken",
            Offer::Full { .. } => "offer Full",
            Offer::Closed => "offer Closed",
        });
        offer
    }
}
