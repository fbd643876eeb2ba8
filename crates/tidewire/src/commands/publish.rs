//! `tidewire pub`: what it is told to publish, from where. How events travel is `sender`'s, how files grow `follow`'s.

mod batch;
mod event;
mod follow;
mod place;
mod sender;
mod stdin;

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;

use crate::failure::{Failure, Outcome};
use crate::remote::{HubArgs, Remote, below};
use crate::{output, quote, signals};

use event::{Item, Template};
use sender::{Patience, Sender};

/// How many events wait between whoever reads them and whoever sends them.
const WAITING_MAX: usize = 4096;

/// Publish an event, each line of standard input, or each line that a file gains
///
/// Prints the id of each event once the hub has stored it. Nothing is published twice: a request that may or may not have
/// arrived is repeated under the same Idempotency-Key.
#[derive(Args, Debug)]
#[command(
    name = "pub",
    after_help = "Examples:\n  tidewire pub clock 'hello'\n  while date; do sleep 1; done | tidewire pub clock\n  tidewire pub logs --follow /var/log/dpkg.log --state dpkg.state\n  echo '{\"topic\":\"a\",\"data\":\"1\",\"type\":\"tick\"}' | tidewire pub --ndjson"
)]
pub(crate) struct Publish {
    /// The topic; with --ndjson, that of events that name none
    #[arg(required_unless_present = "ndjson")]
    topic: Option<String>,

    /// The event's data; without it, each line of standard input is an event
    #[arg(conflicts_with_all = ["ndjson", "follow"], allow_negative_numbers = true)]
    data: Option<String>,

    /// Publish the lines that FILE gains, through rotation and truncation, from its end
    #[arg(long, value_name = "FILE", conflicts_with = "ndjson")]
    follow: Option<PathBuf>,

    /// With --follow: all of the file, not only what it gains
    #[arg(long, requires = "follow")]
    from_start: bool,

    /// With --follow: go on where the last run with this file came to, each line once
    #[arg(long, value_name = "FILE", requires = "follow")]
    state: Option<PathBuf>,

    /// Each line is a whole event: {"topic" or "topics", "data", "type"?, "id"?, "private"?, "retry"?}
    #[arg(long)]
    ndjson: bool,

    /// The events' type
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "ndjson")]
    event_type: Option<String>,

    /// The event's id, in place of the hub's own
    #[arg(long, value_name = "ID", requires = "data")]
    id: Option<String>,

    /// Only for subscribers whose token names the topic
    #[arg(long, conflicts_with = "ndjson")]
    private: bool,

    /// The reconnection time that subscribers are told, in milliseconds
    #[arg(long, value_name = "MS", conflicts_with = "ndjson")]
    retry: Option<u64>,

    /// Print no ids, and nothing that is not an error
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    hub: HubArgs,
}

impl Publish {
    pub(crate) fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
        let outcome = runtime.block_on(self.publish());
        // A thread may still wait for standard input, which cannot be called off.
        runtime.shutdown_background();
        outcome
    }

    async fn publish(mut self) -> Outcome {
        let remote = Remote::new(&self.hub)?;
        let template = Template {
            topic: self.topic.take(),
            event_type: self.event_type.take(),
            private: self.private,
            retry: self.retry,
        };
        let mut sender = Sender::new(remote, self.patience(), self.quiet)?;
        let (items, incoming) = mpsc::channel(WAITING_MAX);
        if let Some(data) = self.data.take() {
            let item = Item::of(template.event(&data, self.id.as_deref()));
            let _ = items.try_send(Ok(item));
            drop(items);
        } else if let Some(path) = self.follow.take() {
            let place = place::Store::open(self.state.take(), &template)?;
            let start = follow::Start {
                path,
                from_start: self.from_start,
                quiet: self.quiet,
            };
            self.say_that_we_follow(&start, &template, sender.base());
            let started = follow::start(start, place.known(), template, items)?;
            match started.again {
                Some(again) => sender.begin_with(again, place),
                None => sender.keep_place(place, started.at.as_ref())?,
            }
        } else {
            self.say_that_we_read();
            stdin::start(template, self.ndjson, items)?;
        }
        self.send_all(sender, incoming).await
    }

    fn patience(&self) -> Patience {
        if self.follow.is_some() {
            Patience::Endless
        } else if self.data.is_some() {
            Patience::OneEvent
        } else {
            Patience::Stream
        }
    }

    fn say_that_we_read(&self) {
        if !self.quiet && std::io::stdin().is_terminal() {
            output::say("each line is an event; Ctrl-D ends");
        }
    }

    fn say_that_we_follow(&self, start: &follow::Start, template: &Template, base: &url::Url) {
        let Some(topic) = template.topic.as_deref().filter(|_| !self.quiet) else {
            return;
        };
        let url = below(base, &quote::topic_path(topic, self.hub.hub_path()));
        output::say(format_args!(
            "following {}; its lines are at {url}",
            start.path.display()
        ));
        let program = quote::program();
        let hub = quote::command(["--url", base.as_str()]);
        output::say(format_args!(
            "to watch them: {program} sub {} {hub}",
            quote::shell(topic)
        ));
    }

    async fn send_all(
        self,
        mut sender: Sender,
        mut incoming: mpsc::Receiver<Outcome<Item>>,
    ) -> Outcome {
        let interrupted = signals::interrupted()?;
        tokio::pin!(interrupted);
        let sending = sender.run(&mut incoming);
        let done = tokio::select! {
            done = sending => Some(done),
            () = &mut interrupted => None,
        };
        match done {
            Some(Err(failure @ (Failure::ClosedPipe | Failure::Clap(_)))) => Err(failure),
            Some(Err(failure)) => {
                if sender.is_stream() {
                    sender.say_how_many();
                }
                Err(failure)
            }
            Some(Ok(())) => Ok(()),
            None => sender.interrupted(incoming).await,
        }
    }
}
