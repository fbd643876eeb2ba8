//! HTTP/2 with prior knowledge, on the same port. `client` speaks it properly, `raw` says what it likes.

pub(crate) mod client;
mod ends;
mod flow;
mod limits;
mod raw;
mod requests;
mod streams;

use tidewire_http::Settings;

use crate::server::{Server, start_with};

/// A hub whose streams say nothing but what the test makes them say.
fn quiet() -> Server {
    quiet_with(|_| {})
}

fn quiet_with(change: impl FnOnce(&mut Settings)) -> Server {
    start_with(|settings| {
        settings.streams.heartbeat_ms = 0;
        change(settings);
    })
}
