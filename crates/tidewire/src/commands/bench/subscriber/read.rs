//! What arrives over HTTP/1.1: one read for each readiness, no allocation for an event, one look at the clock for each read.

use super::super::http1::Piece;
use super::super::socket::{Moved, now_ns};
use super::link::{Phase, Role};
use super::{Ended, Worker, refusal};

impl Worker {
    #[inline]
    pub(super) fn read(&mut self, index: usize) -> Ended<()> {
        loop {
            let Some(transport) = &mut self.links[index].socket else {
                return Ok(());
            };
            let had_to_write = transport.wants_write();
            if had_to_write {
                transport.flush()?;
            }
            let moved = transport.receive(&mut self.buffer)?;
            let is_done = moved == Moved::Blocked || !transport.is_tls();
            match moved {
                Moved::Closed => return self.lose(index),
                Moved::Bytes(bytes) => self.take(index, bytes)?,
                Moved::Blocked => {}
            }
            let Some(transport) = &mut self.links[index].socket else {
                return Ok(());
            };
            if transport.wants_write() || had_to_write {
                transport.flush()?;
                self.listen(index, false)?;
            }
            // The kernel says again what is left of a plain socket; what TLS has taken from it, nobody says.
            if is_done {
                return Ok(());
            }
        }
    }

    /// Reads what is in the buffer.
    #[inline]
    fn take(&mut self, index: usize, count: usize) -> Ended<()> {
        let now_ns = now_ns().saturating_sub(self.task.origin_ns);
        self.last_ns = now_ns;
        self.books.read(count, now_ns);
        if self.links[index].session.is_some() {
            return self.take_frames(index, count, now_ns);
        }
        let link = &mut self.links[index];
        let mut bytes = &self.buffer[..count];
        loop {
            let piece = link
                .decoder
                .next(&mut bytes)
                .map_err(|why| why.0.to_owned())?;
            match (piece, link.phase) {
                (None, _) => return Ok(()),
                (Some(Piece::Head(head)), _) if head.is_success() => {
                    link.phase = Phase::Open;
                    // Those that never read counted when they had asked.
                    if !matches!(link.role, Role::Stalled(_)) {
                        self.pending -= 1;
                        self.connected += 1;
                    }
                }
                (Some(Piece::Head(head)), _) => link.phase = Phase::Refused(head.status),
                (Some(Piece::Data(data)), Phase::Refused(status)) => {
                    return Err(refusal(&self.task.place, status, data));
                }
                (Some(Piece::End), Phase::Refused(status)) => {
                    return Err(refusal(&self.task.place, status, b""));
                }
                (Some(Piece::End), _) => return self.lose(index),
                (Some(Piece::Data(data)), _) => {
                    let carry = &mut link.carry;
                    match link.role {
                        Role::Reader(reader) => {
                            self.books.data(reader, carry, data, now_ns);
                            if let Some(id) = self.ids.get_mut(reader) {
                                id.read(data);
                            }
                        }
                        Role::Stalled(number) => self.late.data(number, carry, data),
                        Role::Pattern(_) => {}
                    }
                }
            }
        }
    }

    /// The server ended a stream.
    pub(super) fn lose(&mut self, index: usize) -> Ended<()> {
        let since_origin = self.since_origin();
        let link = &mut self.links[index];
        if let Role::Stalled(number) = link.role {
            link.close(Phase::Ended);
            self.late.cut(number, since_origin);
            return Ok(());
        }
        match link.phase {
            Phase::Refused(status) => return Err(refusal(&self.task.place, status, b"")),
            Phase::Open => {}
            _ => return Err("the server closed a connection without an answer".to_owned()),
        }
        let is_http2 = link.session.is_some();
        link.close(Phase::Ended);
        if let Role::Reader(first) = link.role {
            let streams = if is_http2 { self.task.streams } else { 1 };
            let end = (first + streams).min(self.task.readers);
            (first..end).for_each(|reader| self.books.lose(reader));
        }
        Ok(())
    }
}
