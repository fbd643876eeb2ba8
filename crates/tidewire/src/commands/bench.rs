//! `tidewire bench`: loads any server of event streams, and measures it.
//!
//! The parent publishes and keeps the time; its children, of which there are as many as the file limit needs, subscribe. Each is one
//! thread around one epoll loop, without a runtime: the server must be the limit, not what measures it.

mod fanout;
mod fleet;
mod http1;
mod http2;
mod idle;
mod latency;
mod ledger;
mod load;
mod options;
mod payload;
mod progress;
mod publish;
mod publisher;
mod report;
mod server;
mod socket;
mod stage;
mod storm;
mod subscriber;
mod target;
mod template;
mod tls;
mod wire;

use clap::{Args, Subcommand};

use crate::failure::Outcome;

/// Load any server of event streams, and measure it
///
/// Events are checked for loss, order and duplicates; latencies are HDR percentiles. Exits with 1 if an event is lost, late or there
/// twice.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  tidewire bench fanout --url http://127.0.0.1:8080 --subscribers 1000 --rate 100"
)]
pub(crate) struct Bench {
    #[command(subcommand)]
    load: LoadCommand,
}

#[derive(Debug, Subcommand)]
enum LoadCommand {
    Fanout(Box<fanout::Fanout>),
    Topics(Box<fanout::Topics>),
    Idle(Box<idle::Idle>),
    Storm(Box<storm::Storm>),
    Publish(Box<publish::Publish>),
    #[command(hide = true)]
    Subscriber(subscriber::Subscriber),
}

impl Bench {
    pub(crate) fn run(self) -> Outcome {
        match self.load {
            LoadCommand::Fanout(fanout) => fanout.run(),
            LoadCommand::Topics(topics) => topics.run(),
            LoadCommand::Idle(idle) => idle.run(),
            LoadCommand::Storm(storm) => storm.run(),
            LoadCommand::Publish(publish) => publish.run(),
            LoadCommand::Subscriber(subscriber) => subscriber.run(),
        }
    }
}

/// What a server answered, with the first line of the body.
fn answered(status: u16, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let line = body.lines().next().unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).take(500).collect();
    match line.is_empty() {
        true => format!("the server answered {status}"),
        false => format!("the server answered {status}: {line}"),
    }
}
