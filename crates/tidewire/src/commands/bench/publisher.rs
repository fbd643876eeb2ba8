//! One publishing connection: requests out, answers in, some in flight at a time.

use std::collections::VecDeque;

use super::http1::{Decoder, Piece};
use super::socket::Moved;
use super::target::Place;
use super::tls::{Tls, Transport};
use crate::failure::{Failure, Outcome};

/// A kept-alive connection.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) transport: Transport,
    /// The request that is being written.
    request: Vec<u8>,
    /// Requests without an answer, the oldest first.
    flying: VecDeque<Flight>,
    decoder: Decoder,
    /// Of the answer that is being read.
    answer: Option<Answer>,
    /// The answer's body, where a good status is not enough: a batch may fail in its middle.
    body: Option<Vec<u8>>,
    /// How many events it has begun to publish.
    pub(super) turn: usize,
}

/// A request without an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// When it was to be sent.
    pub(super) due_ns: u64,
    /// How many events it publishes.
    pub(super) events: u64,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    status: u16,
    closes: bool,
}

/// What a connection can do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Fine,
    /// Not all could be written.
    Blocked,
    /// The server has closed it, between answers.
    Closed,
}

impl Publisher {
    pub(super) fn connect(place: &Place, tls: Option<&Tls>, sends_batches: bool) -> Outcome<Self> {
        Ok(Self {
            transport: connect(place, tls)?,
            request: Vec::new(),
            flying: VecDeque::new(),
            decoder: Decoder::new(),
            answer: None,
            body: sends_batches.then(Vec::new),
            turn: 0,
        })
    }

    /// Connects again, where it was.
    pub(super) fn reconnect(&mut self, place: &Place, tls: Option<&Tls>) -> Outcome {
        self.transport = connect(place, tls)?;
        self.decoder = Decoder::new();
        self.answer = None;
        Ok(())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// Writes a request as far as the socket takes it.
    pub(super) fn send(
        &mut self,
        flight: Flight,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Outcome<State> {
        self.request.clear();
        write(&mut self.request);
        self.flying.push_back(flight);
        self.transport.send(&self.request).map_err(cut)?;
        Ok(self.state())
    }

    /// Writes what is left.
    pub(super) fn flush(&mut self) -> Outcome<State> {
        self.transport.flush().map_err(cut)?;
        Ok(self.state())
    }

    fn state(&self) -> State {
        match self.transport.wants_write() {
            true => State::Blocked,
            false => State::Fine,
        }
    }

    /// Reads answers; calls `acked` for each with its request.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        mut acked: impl FnMut(Flight),
    ) -> Outcome<State> {
        loop {
            let state = match self.transport.receive(buffer).map_err(Failure::failed)? {
                Moved::Blocked => return Ok(State::Fine),
                Moved::Bytes(bytes) => self.take(&buffer[..bytes], &mut acked)?,
                Moved::Closed => {
                    // RFC 9112, section 6.3: an answer without a length ends with the connection.
                    self.end_answer(&mut acked);
                    self.closed()?
                }
            };
            // The kernel says again what is left of a plain socket; what TLS has taken from it, nobody says.
            if state == State::Closed || !self.transport.is_tls() {
                return Ok(state);
            }
        }
    }

    /// The server has closed the connection, or is about to: that is fine between answers.
    fn closed(&self) -> Outcome<State> {
        match self.flying.is_empty() {
            true => Ok(State::Closed),
            false => Err(cut("before it answered")),
        }
    }

    /// Reads what arrived.
    fn take(&mut self, mut bytes: &[u8], acked: &mut impl FnMut(Flight)) -> Outcome<State> {
        while let Some(piece) = self
            .decoder
            .next(&mut bytes)
            .map_err(|why| Failure::failed(why.0))?
        {
            match (piece, self.answer) {
                (Piece::Head(head), _) => {
                    self.answer = Some(Answer {
                        status: head.status,
                        closes: head.closes,
                    });
                }
                (Piece::Data(data), answer) => {
                    refuse(answer.map_or(0, |answer| answer.status), data)?;
                    if let Some(body) = &mut self.body {
                        body.extend_from_slice(data);
                    }
                }
                (Piece::End, answer) => {
                    refuse(answer.map_or(0, |answer| answer.status), b"")?;
                    self.refuse_part()?;
                    self.end_answer(acked);
                    if answer.is_some_and(|answer| answer.closes) {
                        return self.closed();
                    }
                }
            }
        }
        Ok(State::Fine)
    }

    /// An NDJSON batch that fails in its middle says so in its last line.
    fn refuse_part(&mut self) -> Outcome {
        let Some(body) = &mut self.body else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(body);
        let error = text.lines().find(|line| line.contains("\"error\""));
        let refused = error.map(|line| Failure::failed(format!("a batch failed: {line}")));
        body.clear();
        refused.map_or(Ok(()), Err)
    }

    fn end_answer(&mut self, acked: &mut impl FnMut(Flight)) {
        if self.answer.take().is_some()
            && let Some(flight) = self.flying.pop_front()
        {
            acked(flight);
        }
    }
}

fn refuse(status: u16, body: &[u8]) -> Outcome {
    match status {
        200..300 => Ok(()),
        _ => Err(Failure::failed(format!(
            "a publish failed: {}",
            super::answered(status, body)
        ))),
    }
}

fn cut(why: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("a publisher's connection was cut: {why}"))
}

fn connect(place: &Place, tls: Option<&Tls>) -> Outcome<Transport> {
    let address = place.address;
    let cannot = |error: String| Failure::failed(format!("cannot connect to {address}: {error}"));
    let io = |error: std::io::Error| cannot(error.to_string());
    let stream = std::net::TcpStream::connect(address).map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    let mut transport = Transport::new(stream.into(), place, tls).map_err(cannot)?;
    transport.shake_hands().map_err(cannot)?;
    rustix::io::ioctl_fionbio(&transport.socket, true).map_err(|errno| io(errno.into()))?;
    Ok(transport)
}
