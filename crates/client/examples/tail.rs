//! Prints the events of a stream, and stays subscribed.
//!
//! `cargo run -p tidewire-client --example tail -- http://127.0.0.1:8080/topics/clock [--last-event-id ID] [--token-file FILE]`
//!
//! The file is read again before each connection, so that whoever renews the token in it need not tell us.

// A command line program: what it prints is what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;

use tidewire_client::{
    Builder, CloseReason, Dispatcher, EventSource, RenewError, RenewHeaders, bearer,
};

const USAGE: &str = "usage: tail URL [--last-event-id ID] [--token-file FILE]";

fn builder() -> Option<Builder> {
    let mut args = std::env::args().skip(1);
    let mut builder = EventSource::builder(&args.next()?)
        // A tidewire hub sends a comment every 15 s: so long a silence is a dead connection.
        .silence_max(Duration::from_secs(60));
    while let Some(flag) = args.next() {
        let value = args.next()?;
        builder = match flag.as_str() {
            "--last-event-id" => builder.last_event_id(&value),
            "--token-file" => {
                let renew = RenewHeaders::new(move |_| {
                    let token = std::fs::read_to_string(&value).map_err(RenewError::temporary);
                    async move { bearer(token?.trim()) }
                });
                builder.options(|options| options.renew = Some(renew))
            }
            _ => return None,
        };
    }
    Some(builder)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(builder) = builder() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut source = match builder.build() {
        Ok(source) => source,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut dispatcher = Dispatcher::new()
        .on("message", |event| println!("{}", event.data))
        // What a hub says of itself, for programs that keep their place; its gaps are news.
        .on("tidewire.open", |_| {})
        .on("tidewire.at", |_| {})
        .on("tidewire.gap", |event| {
            eprintln!("events were missed: {}", event.data);
        })
        .otherwise(|event| println!("{}: {}", event.event_type, event.data))
        .on_open(|opened| eprintln!("connected to {}", opened.url))
        .on_reconnecting(|error, delay| eprintln!("{error}; again in {delay:.1?}"));
    match source.run(&mut dispatcher).await {
        CloseReason::Failed(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
