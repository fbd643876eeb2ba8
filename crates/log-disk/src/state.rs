//! The file `state`: what a log directory knows besides its events. A few lines of text, written whole (see
//! [`crate::files::replace`]) when a log is opened and when it is closed.

use std::fmt::Write;
use std::io;
use std::path::Path;

use tidewire_core::{Epoch, Position};
use tidewire_log::{Life, Lives};

use crate::error::OpenError;
use crate::files::{Files, read_all, replace};
use crate::format::VERSION;
use crate::hash::HashKey;

const TITLE: &str = "tidewire log state";

/// How the log was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Just made: there is no segment yet.
    New,
    /// Open. Found at an opening: it crashed. Whether everything that was seen had been durable.
    Running { durable: bool },
    /// Closed, every record below this durable.
    Clean(Position),
}

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) key: HashKey,
    pub(crate) status: Status,
    pub(crate) lives: Lives,
}

impl State {
    /// Reads it; `None` if there is none.
    pub(crate) fn load(files: &dyn Files, path: &Path) -> Result<Option<Self>, OpenError> {
        let bytes = match read_all(files, path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::io(path, error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let version = text
            .strip_prefix(TITLE)
            .and_then(|rest| rest.lines().next()?.trim().parse::<u32>().ok());
        match version {
            Some(version) if version > VERSION => Err(OpenError::NewerFormat {
                file: path.to_owned(),
                version,
                known: VERSION,
            }),
            _ => match Self::parse(&text) {
                Some(state) => Ok(Some(state)),
                None => Err(OpenError::damaged(
                    path,
                    0,
                    "this file, which says how the log was left, is not as it was written",
                )),
            },
        }
    }

    /// Writes it.
    pub(crate) fn store(&self, files: &dyn Files, path: &Path) -> io::Result<()> {
        replace(files, path, self.to_text().as_bytes())
    }

    fn to_text(&self) -> String {
        let [one, two] = self.key.0;
        let mut text = format!("{TITLE} {VERSION}\nkey {one:016x} {two:016x}\n");
        for life in self.lives.iter() {
            let _ = writeln!(text, "life {} {}", life.epoch, life.first);
        }
        let _ = match self.status {
            Status::New => writeln!(text, "new"),
            Status::Running { durable: true } => writeln!(text, "running durable"),
            Status::Running { durable: false } => writeln!(text, "running forgetful"),
            Status::Clean(tail) => writeln!(text, "clean {tail}"),
        };
        let crc = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "crc {crc:08x}");
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let (body, crc) = text.rsplit_once("crc ")?;
        if u32::from_str_radix(crc.trim(), 16).ok()? != crc32fast::hash(body.as_bytes()) {
            return None;
        }
        let mut key = None;
        let mut status = None;
        let mut lives: Option<Lives> = None;
        for line in body.lines().skip(1) {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["key", one, two] => {
                    let number = |text| u64::from_str_radix(text, 16).ok();
                    key = Some(HashKey([number(one)?, number(two)?]));
                }
                ["life", epoch, first] => {
                    let epoch = Epoch(epoch.parse().ok()?);
                    let first = Position(first.parse().ok()?);
                    match &mut lives {
                        Some(lives) => lives.push_known(Life { epoch, first }),
                        None => lives = Some(Lives::new(epoch, first)),
                    }
                }
                ["new"] => status = Some(Status::New),
                ["running", how] => {
                    status = Some(Status::Running {
                        durable: how == "durable",
                    });
                }
                ["clean", tail] => status = Some(Status::Clean(Position(tail.parse().ok()?))),
                _ => return None,
            }
        }
        let state = Self {
            key: key?,
            status: status?,
            lives: lives?,
        };
        // One state has one spelling, so that no changed byte goes unnoticed.
        (state.to_text() == text).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let mut lives = Lives::new(Epoch(5), Position(1));
        lives.begin(9, Position(4));
        let statuses = [
            Status::New,
            Status::Running { durable: true },
            Status::Running { durable: false },
            Status::Clean(Position(7)),
        ];
        for status in statuses {
            let state = State {
                key: HashKey([1, u64::MAX]),
                status,
                lives: lives.clone(),
            };
            let text = state.to_text();
            assert_eq!(State::parse(&text), Some(state));
            for cut in 0..text.len() {
                assert_eq!(State::parse(&text[..cut]), None, "{cut}");
            }
            for bit in 0..text.len() * 8 {
                let mut bytes = text.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let changed = String::from_utf8_lossy(&bytes);
                assert_eq!(State::parse(&changed), None, "{bit}");
            }
        }
    }
}
