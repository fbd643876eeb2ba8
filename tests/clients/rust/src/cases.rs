//! The cases: what a client of event streams should do, each tried with bytes. Not here: running them.
//!
//! The order is that of the table. A client is given the options that it has for the case; a judge says as soon as it can.

mod connection;
mod format;
mod options;

use std::time::Duration;

use crate::judge::{Case, Outcome};
use crate::server::Reply;
use crate::{Ask, Client};

/// Cases that belong together.
pub struct Group {
    pub name: &'static str,
    pub cases: Vec<Case>,
}

pub fn all() -> Vec<Group> {
    vec![
        Group {
            name: "The format",
            cases: format::cases(),
        },
        Group {
            name: "Connections",
            cases: connection::cases(),
        },
        Group {
            name: "Options",
            cases: options::cases(),
        },
    ]
}

/// A head that says how long the body is by none of HTTP's means but closing.
const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
/// A head whose body ends where it says so.
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn case(name: &'static str, here: Vec<Reply>, judge: fn(&Outcome) -> Option<bool>) -> Case {
    Case {
        name,
        here,
        there: Vec::new(),
        ask: Ask {
            delay: Some(Duration::from_millis(50)),
            ..Ask::default()
        },
        judge,
        how: |_| "",
    }
}

/// What a client is told besides.
fn asking(mut case: Case, change: impl FnOnce(&mut Ask)) -> Case {
    change(&mut case.ask);
    case
}

fn with(mut case: Case, how: fn(Client) -> &'static str) -> Case {
    case.how = how;
    case
}

fn there(mut case: Case, there: Vec<Reply>) -> Case {
    case.there = there;
    case
}

/// An event stream in one chunk, held open.
fn open(body: &str) -> Reply {
    raw(&[STREAM, body].concat(), true)
}

/// An event stream in one chunk, which then ends.
fn ended(body: &str) -> Reply {
    raw(&[STREAM, body].concat(), false)
}

fn raw(bytes: &str, hold: bool) -> Reply {
    Reply {
        chunks: vec![bytes.as_bytes().to_vec()],
        hold,
    }
}

/// An answer without a stream.
fn status(line: &str, more: &str) -> Reply {
    raw(
        &format!("HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: 0\r\n{more}\r\n"),
        false,
    )
}

/// The events' data are these, in this order, and nothing else once all is over.
fn data(outcome: &Outcome, expected: &[&str]) -> Option<bool> {
    let data = outcome.data();
    if !expected.starts_with(&data) {
        return Some(false);
    }
    match data.len() == expected.len() {
        true => Some(true),
        false => outcome.is_over().then_some(false),
    }
}

/// What holds once there were so many requests; with fewer, nothing does.
fn at_request(outcome: &Outcome, count: usize, holds: impl Fn(&Outcome) -> bool) -> Option<bool> {
    match outcome.requests.len() >= count {
        true => Some(holds(outcome)),
        false => outcome.is_over().then_some(false),
    }
}

/// The last event id that a request sends, if one.
fn id_of(outcome: &Outcome, request: usize) -> Option<Vec<u8>> {
    let sent = outcome.requests.get(request)?.header("last-event-id");
    match sent[..] {
        [] => Some(Vec::new()),
        [one] => Some(one.to_vec()),
        _ => None,
    }
}
