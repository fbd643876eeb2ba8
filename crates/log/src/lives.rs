//! The lives of a log: which positions each epoch may speak of.

use tidewire_core::{Cursor, Epoch, Position};

use crate::{Gap, GapReason};

/// One life: it began at `first` and ended where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its name.
    pub epoch: Epoch,
    /// The first position that could be written in it.
    pub first: Position,
}

/// The lives of one log, oldest first, both fields strictly increasing but for lives that wrote nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lives(Vec<Life>);

impl Lives {
    /// A log's first life.
    #[must_use]
    pub fn new(epoch: Epoch, first: Position) -> Self {
        Self(vec![Life { epoch, first }])
    }

    /// Begins a new life, named after the clock but always later than the one before. Returns its name.
    ///
    /// # Panics
    /// If it would begin before the present one did.
    pub fn begin(&mut self, now_ms: u64, first: Position) -> Epoch {
        let last = self.current();
        assert!(first >= last.first, "a life begins at the tail");
        let epoch = Epoch(now_ms.max(last.epoch.0 + 1));
        self.0.push(Life { epoch, first });
        epoch
    }

    /// Adds a life that is already known by name, as read from storage. Repeating the present one changes nothing.
    pub fn push_known(&mut self, life: Life) {
        if life.epoch > self.current().epoch {
            self.0.push(life);
        }
    }

    /// The present life.
    ///
    /// # Panics
    /// Never: a log has at least one life.
    #[must_use]
    pub fn current(&self) -> Life {
        *self.0.last().expect("a log has at least one life")
    }

    /// Every life, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Life> + '_ {
        self.0.iter().copied()
    }

    /// Forgets lives that ended at or before the head: their cursors are gaps either way.
    pub fn forget_before(&mut self, head: Position) {
        let keep = self
            .0
            .iter()
            .skip(1)
            .take_while(|life| life.first <= head)
            .count();
        self.0.drain(..keep);
    }

    /// The cursor of a reader that wants `next` next.
    #[must_use]
    pub fn cursor_at(&self, next: Position) -> Cursor {
        let life = self
            .0
            .iter()
            .rev()
            .find(|life| life.first <= next)
            .unwrap_or(&self.0[0]);
        Cursor::new(life.epoch, next.before())
    }

    /// The cursor that a record at `position` answers to.
    #[must_use]
    pub fn cursor_of(&self, position: Position) -> Cursor {
        let life = self
            .0
            .iter()
            .rev()
            .find(|life| life.first <= position)
            .unwrap_or(&self.0[0]);
        Cursor::new(life.epoch, position)
    }

    /// Where the holder of a cursor reads on: exact below the end of the cursor's epoch, a gap otherwise.
    ///
    /// # Errors
    /// The gap, which goes on from the head.
    pub fn resume(&self, cursor: Cursor, head: Position, tail: Position) -> Result<Position, Gap> {
        let gap = |reason| Gap {
            reason,
            resume: head,
        };
        let at = self
            .0
            .iter()
            .position(|life| life.epoch == cursor.epoch())
            .ok_or(gap(GapReason::Epoch))?;
        let next = cursor.seen().next();
        if next < self.0[at].first {
            return Err(gap(if next < head {
                GapReason::Expired
            } else {
                GapReason::Epoch
            }));
        }
        match self.0.get(at + 1) {
            Some(after) if next > after.first => return Err(gap(GapReason::Epoch)),
            None if next > tail => return Err(gap(GapReason::Beyond)),
            _ => {}
        }
        if next < head {
            Err(gap(GapReason::Expired))
        } else {
            Ok(next)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_exact_below_its_epochs_end() {
        let mut lives = Lives::new(Epoch(100), Position(1));
        assert_eq!(lives.begin(90, Position(11)), Epoch(101)); // the clock went back; the name does not
        lives.begin(500, Position(11)); // a life that wrote nothing
        let (head, tail) = (Position(3), Position(20));
        let gap = |reason| {
            Err(Gap {
                reason,
                resume: head,
            })
        };
        #[rustfmt::skip]
        let table = [
            (100, 2, Ok(Position(3))),
            (100, 1, gap(GapReason::Expired)),
            (100, 0, gap(GapReason::Expired)),
            (100, 10, Ok(Position(11))),
            (100, 11, gap(GapReason::Epoch)),
            (101, 10, Ok(Position(11))),
            (101, 11, gap(GapReason::Epoch)),
            (500, 10, Ok(Position(11))),
            (500, 19, Ok(Position(20))),
            (500, 20, gap(GapReason::Beyond)),
            (500, 4, gap(GapReason::Epoch)),
            (99, 5, gap(GapReason::Epoch)),
        ];
        for (epoch, seen, want) in table {
            let cursor = Cursor::new(Epoch(epoch), Position(seen));
            assert_eq!(lives.resume(cursor, head, tail), want, "{cursor}");
        }
        for next in 3..=20 {
            assert_eq!(
                lives.resume(lives.cursor_at(Position(next)), head, tail),
                Ok(Position(next))
            );
        }
        lives.forget_before(Position(11));
        assert_eq!(lives.iter().count(), 1);
    }

    #[test]
    fn huge_positions_do_not_overflow() {
        let lives = Lives::new(Epoch(1), Position(1));
        let cursor = Cursor::new(Epoch(1), Position(u64::MAX));
        assert!(lives.resume(cursor, Position(1), Position(2)).is_err());
    }
}
