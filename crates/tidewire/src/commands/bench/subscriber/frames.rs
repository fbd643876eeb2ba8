//! A subscriber's HTTP/2 connections: a stream for each reader.

use super::super::http2::{self, Ask, Frame};
use super::link::{Phase, Role};
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
        let mut bytes = &buffer[..count];
        let mut out = Vec::new();
        let mut outcome = Ok(());
        while outcome.is_ok() {
            outcome = match session.decoder.next(&mut bytes) {
                Err(why) => Err(why.0.to_owned()),
                Ok(None) => break,
                Ok(Some(Frame::Settings { streams_max })) => {
                    http2::write_settings_ack(&mut out);
                    match session.has_asked {
                        true => Ok(()),
                        false => {
                            session.has_asked = true;
                            self.ask_streams(index, streams_max, &mut out)
                                .map(|asked| session.unanswered = asked)
                        }
                    }
                }
                Ok(Some(Frame::Ping(opaque))) => {
                    http2::write_pong(opaque, &mut out);
                    Ok(())
                }
                Ok(Some(Frame::GoAway { code })) if code != 0 => Err(format!(
                    "the server ended an HTTP/2 connection with code {code}"
                )),
                Ok(Some(Frame::Head {
                    stream,
                    status: Some(status),
                    ..
                })) => {
                    session.unanswered = session.unanswered.saturating_sub(1);
                    match status {
                        200..300 => {
                            self.connected += 1;
                            if session.unanswered == 0 {
                                self.pending -= 1;
                                self.links[index].phase = Phase::Open;
                            }
                        }
                        _ => session.refused = Some((stream, status)),
                    }
                    Ok(())
                }
                Ok(Some(Frame::Data {
                    stream,
                    data,
                    ends,
                    window,
                })) => {
                    session.taken += window;
                    if session.taken >= WINDOW_STEP {
                        http2::write_window_update(session.taken, &mut out);
                        session.taken = 0;
                    }
                    match session.refused {
                        Some((refused, status)) if refused == stream => {
                            Err(refusal(&self.task.place, status, data))
                        }
                        _ => {
                            let carry = session.carries.remove(&stream);
                            let carry = self.stream_data(index, stream, carry, data, now_ns);
                            if let Some(carry) = carry {
                                session.carries.insert(stream, carry);
                            }
                            self.end_stream(index, stream, ends);
                            Ok(())
                        }
                    }
                }
                Ok(Some(Frame::Head { stream, ends, .. })) => {
                    self.end_stream(index, stream, ends);
                    Ok(())
                }
                Ok(Some(Frame::Reset { stream, code })) => match self.links[index].phase {
                    Phase::Open => {
                        self.end_stream(index, stream, true);
                        Ok(())
                    }
                    _ => Err(format!("the server refused a stream with code {code}")),
                },
                Ok(Some(Frame::GoAway { .. } | Frame::Other)) => Ok(()),
            };
        }
        self.buffer = buffer;
        let link = &mut self.links[index];
        link.session = Some(session);
        match &mut link.socket {
            Some(transport) if !out.is_empty() => {
                outcome?;
                transport.send(&out)?;
                self.listen(index, false)
            }
            _ => outcome,
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

    /// Reads a stream's bytes; gives what is left of an event that is not all there.
    fn stream_data(
        &mut self,
        index: usize,
        stream: u32,
        carry: Option<super::super::payload::Carry>,
        data: &[u8],
        now_ns: u64,
    ) -> Option<super::super::payload::Carry> {
        let reader = self.reader(index, stream)?;
        let mut carry = carry.unwrap_or_default();
        self.books.data(reader, &mut carry, data, now_ns);
        if let Some(id) = self.ids.get_mut(reader) {
            id.read(data);
        }
        (!carry.is_empty()).then_some(carry)
    }

    fn end_stream(&mut self, index: usize, stream: u32, ends: bool) {
        if let Some(reader) = self.reader(index, stream).filter(|_| ends) {
            self.books.lose(reader);
        }
    }
}
