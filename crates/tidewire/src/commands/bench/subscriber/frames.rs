//! A subscriber's HTTP/2 connections: a stream for each reader.

use super::super::http2::{self, Ask, Frame};
use super::link::{Phase, Role, Session};
use super::{Ended, Worker, refusal};

/// When so much was read, the connection's window is opened again by as much.
const WINDOW_STEP: u32 = 1 << 29;

impl Worker {
    /// Reads the frames in the buffer.
    pub(super) fn take_frames(&mut self, index: usize, count: usize, now_ns: u64) -> Ended<()> {
        let Some(mut session) = self.links[index].session.take() else {
            return Ok(());
        };
        let buffer = std::mem::take(&mut self.buffer);
        let mut decoder = std::mem::take(&mut session.decoder);
        let mut bytes = &buffer[..count];
        let mut answer = Vec::new();
        let mut outcome = Ok(());
        while outcome.is_ok() {
            outcome = match decoder.next(&mut bytes) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    self.take_frame(index, &mut session, &frame, now_ns, &mut answer)
                }
                Err(why) => Err(why.0.to_owned()),
            };
        }
        session.decoder = decoder;
        self.buffer = buffer;
        self.links[index].session = Some(session);
        outcome?;
        match &mut self.links[index].socket {
            Some(transport) if !answer.is_empty() => {
                transport.send(&answer)?;
                self.listen(index, false)
            }
            _ => Ok(()),
        }
    }

    /// Takes one frame, and writes what it is to be answered with.
    fn take_frame(
        &mut self,
        index: usize,
        session: &mut Session,
        frame: &Frame<'_>,
        now_ns: u64,
        answer: &mut Vec<u8>,
    ) -> Ended<()> {
        match *frame {
            Frame::Settings { streams_max } => {
                http2::write_settings_ack(answer);
                if !session.has_asked {
                    session.has_asked = true;
                    session.unanswered = self.ask_streams(index, streams_max, answer)?;
                }
            }
            Frame::Ping(opaque) => http2::write_pong(opaque, answer),
            Frame::GoAway { code } if code != 0 => {
                return Err(format!(
                    "the server ended an HTTP/2 connection with code {code}"
                ));
            }
            Frame::Head {
                stream,
                status: Some(status),
                ..
            } => self.answered(index, session, stream, status),
            Frame::Head { stream, ends, .. } => self.end_stream(index, stream, ends),
            Frame::Data {
                stream,
                data,
                ends,
                window,
            } => {
                session.open_window(window, answer);
                self.stream_data(index, session, stream, data, now_ns)?;
                self.end_stream(index, stream, ends);
            }
            Frame::Reset { stream, code } => match self.links[index].phase {
                Phase::Open => self.end_stream(index, stream, true),
                _ => return Err(format!("the server refused a stream with code {code}")),
            },
            Frame::GoAway { .. } | Frame::Other => {}
        }
        Ok(())
    }

    /// A stream's status is there.
    fn answered(&mut self, index: usize, session: &mut Session, stream: u32, status: u16) {
        session.unanswered = session.unanswered.saturating_sub(1);
        if !(200..300).contains(&status) {
            session.refused = Some((stream, status));
            return;
        }
        self.connected += 1;
        if session.unanswered == 0 {
            self.pending -= 1;
            self.links[index].phase = Phase::Open;
        }
    }

    /// Asks for a stream for each of the link's readers; gives how many.
    fn ask_streams(&self, index: usize, most: Option<u32>, out: &mut Vec<u8>) -> Ended<usize> {
        let Role::Reader(first) = self.links[index].role else {
            return Ok(0);
        };
        let end = (first + self.task.streams).min(self.task.readers);
        if most.is_some_and(|most| (most as usize) < end - first) {
            return Err(format!(
                "the server allows {} streams a connection: give fewer --streams",
                most.unwrap_or(0)
            ));
        }
        let place = self.place(index);
        for (reader, stream) in (first..end).zip((1_u32..).step_by(2)) {
            let fits = self.with_request(Role::Reader(reader), |fill, own| {
                let mut path = Vec::new();
                place.write_target(fill, &mut path);
                let ask = Ask {
                    is_tls: place.is_tls,
                    authority: &place.authority,
                    path: &path,
                    headers: &[own, &self.task.headers],
                };
                http2::write_get(stream, ask, out)
            });
            if !fits {
                return Err("the request's head is too long for one frame".to_owned());
            }
        }
        Ok(end - first)
    }

    fn reader(&self, index: usize, stream: u32) -> Option<usize> {
        match self.links[index].role {
            Role::Reader(first) => {
                Some(first + (stream / 2) as usize).filter(|&reader| reader < self.task.readers)
            }
            _ => None,
        }
    }

    /// Reads a stream's bytes; keeps what is left of an event that is not all there.
    fn stream_data(
        &mut self,
        index: usize,
        session: &mut Session,
        stream: u32,
        data: &[u8],
        now_ns: u64,
    ) -> Ended<()> {
        if let Some((refused, status)) = session.refused
            && refused == stream
        {
            return Err(refusal(&self.task.place, status, data));
        }
        let Some(reader) = self.reader(index, stream) else {
            return Ok(());
        };
        let mut carry = session.carries.remove(&stream).unwrap_or_default();
        self.books.data(reader, &mut carry, data, now_ns);
        if !carry.is_empty() {
            session.carries.insert(stream, carry);
        }
        if let Some(id) = self.ids.get_mut(reader) {
            id.read(data);
        }
        Ok(())
    }

    fn end_stream(&mut self, index: usize, stream: u32, ends: bool) {
        if let Some(reader) = self.reader(index, stream).filter(|_| ends) {
            self.books.lose(reader);
        }
    }
}

impl Session {
    /// Bytes came; opens the connection's window again when it is time.
    fn open_window(&mut self, bytes: u32, answer: &mut Vec<u8>) {
        self.taken += bytes;
        if self.taken >= WINDOW_STEP {
            http2::write_window_update(self.taken, answer);
            self.taken = 0;
        }
    }
}
