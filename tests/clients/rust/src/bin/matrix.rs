//! `matrix --client NAME --url URL [--header 'Name: value']... [--last-event-id ID]`: one line of JSON an event, until it is killed or
//! the client gives up. What goes wrong is said on stderr.

use std::io::{self, Write};
use std::process::ExitCode;

use rust_clients::{Ask, Client, Seen};
use serde_json::json;
use tokio::sync::mpsc;

const USAGE: &str =
    "usage: matrix --client NAME --url URL [--header 'Name: value']... [--last-event-id ID]";

fn arguments() -> Result<(Client, Ask), String> {
    let mut client = None;
    let mut ask = Ask::get("");
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--client" => {
                let names = Client::ALL.map(Client::name).join(", ");
                client = Some(Client::named(&value).ok_or(format!("{value} is none of {names}"))?);
            }
            "--url" => ask.url = value,
            "--last-event-id" => ask.last_event_id = Some(value),
            "--header" => {
                let (name, value) = value.split_once(':').ok_or(USAGE)?;
                let name = name.trim().to_owned().leak();
                ask.headers.push((name, value.trim().to_owned()));
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    ask.by_hand = true;
    match client {
        Some(client) if !ask.url.is_empty() => Ok((client, ask)),
        _ => Err(USAGE.to_owned()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (client, ask) = match arguments() {
        Ok(arguments) => arguments,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let (sight, mut seen) = mpsc::unbounded_channel();
    let print = async {
        while let Some(seen) = seen.recv().await {
            match seen {
                Seen::Event { id, kind, data } => {
                    let line = json!({ "id": id, "type": kind, "data": data });
                    writeln!(io::stdout(), "{line}")?;
                }
                Seen::Open => eprintln!("open"),
                Seen::Comment(_) => {}
                Seen::Error(error) => eprintln!("error: {error}"),
            }
        }
        Ok::<_, io::Error>(())
    };
    let (ran, printed) = tokio::join!(client.run(ask, sight), print);
    match (ran, printed) {
        (Ok(()), Ok(())) => ExitCode::SUCCESS,
        (ran, _) => {
            eprintln!("{}", ran.err().unwrap_or("nobody reads".to_owned()));
            ExitCode::FAILURE
        }
    }
}
