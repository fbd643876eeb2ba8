//! One publishing connection: requests out, answers in, some in flight at a time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::http1::{Decoder, Piece};
use super::socket::{self, Moved};
use crate::failure::{Failure, Outcome};

/// A kept-alive connection.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) socket: OwnedFd,
    /// What is not written yet.
    out: Vec<u8>,
    /// When each unanswered request was to be sent.
    flying: VecDeque<u64>,
    decoder: Decoder,
    /// Of the answer that is being read.
    answer: Option<Answer>,
    /// How many events it has begun to publish.
    pub(super) turn: usize,
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
    pub(super) fn connect(address: SocketAddr) -> Outcome<Self> {
        Ok(Self {
            socket: connect(address)?,
            out: Vec::new(),
            flying: VecDeque::new(),
            decoder: Decoder::new(),
            answer: None,
            turn: 0,
        })
    }

    /// Connects again, where it was.
    pub(super) fn reconnect(&mut self, address: SocketAddr) -> Outcome {
        self.socket = connect(address)?;
        self.out.clear();
        self.decoder = Decoder::new();
        self.answer = None;
        Ok(())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// Writes a request as far as the socket takes it.
    pub(super) fn send(&mut self, due_ns: u64, write: impl FnOnce(&mut Vec<u8>)) -> Outcome<State> {
        write(&mut self.out);
        self.flying.push_back(due_ns);
        self.flush()
    }

    /// Writes what is left.
    pub(super) fn flush(&mut self) -> Outcome<State> {
        let mut written = 0;
        while written < self.out.len() {
            match socket::send(&self.socket, &self.out[written..]) {
                Moved::Bytes(bytes) => written += bytes,
                Moved::Blocked => {
                    self.out.drain(..written);
                    return Ok(State::Blocked);
                }
                Moved::Closed => return Err(cut()),
            }
        }
        self.out.clear();
        Ok(State::Fine)
    }

    /// Reads answers; calls `acked` for each with the time its request was to be sent.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut acked: impl FnMut(u64)) -> Outcome<State> {
        let bytes = match socket::receive(&self.socket, buffer) {
            Moved::Blocked => return Ok(State::Fine),
            Moved::Bytes(bytes) => bytes,
            Moved::Closed => {
                // RFC 9112, section 6.3: an answer without a length ends with the connection.
                self.end_answer(&mut acked);
                return if self.flying.is_empty() {
                    Ok(State::Closed)
                } else {
                    Err(cut())
                };
            }
        };
        let mut bytes = &buffer[..bytes];
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
                (Piece::Data(data), Some(answer)) => refuse(answer.status, data)?,
                (Piece::Data(_), None) => {}
                (Piece::End, answer) => {
                    refuse(answer.map_or(0, |answer| answer.status), b"")?;
                    self.end_answer(&mut acked);
                    if answer.is_some_and(|answer| answer.closes) {
                        return match self.flying.is_empty() {
                            true => Ok(State::Closed),
                            false => Err(cut()),
                        };
                    }
                }
            }
        }
        Ok(State::Fine)
    }

    fn end_answer(&mut self, acked: &mut impl FnMut(u64)) {
        if self.answer.take().is_some()
            && let Some(due_ns) = self.flying.pop_front()
        {
            acked(due_ns);
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

fn cut() -> Failure {
    Failure::failed("the server closed a publisher's connection before it answered")
}

fn connect(address: SocketAddr) -> Outcome<OwnedFd> {
    let cannot =
        |error: std::io::Error| Failure::failed(format!("cannot connect to {address}: {error}"));
    let stream = std::net::TcpStream::connect(address).map_err(cannot)?;
    stream.set_nodelay(true).map_err(cannot)?;
    stream.set_nonblocking(true).map_err(cannot)?;
    Ok(stream.into())
}
