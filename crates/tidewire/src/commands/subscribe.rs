//! `tidewire sub`: an event stream from a hub, printed, kept up, or given to a command.

mod exec;
mod print;
mod state;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tidewire_auth::Dialect;
use tidewire_client::{Builder, CloseReason, Error, Event, EventSource, Item, RenewError, bearer};
use tidewire_codec::Limits;
use tokio::time::Instant;
use url::Url;

use crate::failure::{Failure, Outcome};
use crate::remote::{self, HubArgs, Refused, RemoteError, below};
use crate::{output, quote, signals};

use print::Printer;
use state::State;

/// Types that the hub keeps for itself.
const CONTROL: &str = "tidewire.";
/// The longest that failures in a row delay a reconnect: somebody is watching.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Heartbeats come every 15 s unless a hub is told otherwise; a connection that is silent for so long is made again.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// What a stream may make us hold: the largest event that a hub can be told to take, as a rule.
const EVENT_BYTES_MAX: usize = 512 << 20;
/// How old the state file may be while events come.
const STATE_AGE_MAX: Duration = Duration::from_millis(100);

/// Subscribe to topics and print their events, through reconnects
///
/// Prints each event's data as a line, or with --json as an object {"type","data","id","topic"}, the topic if only one was named.
#[derive(Args, Debug)]
#[command(
    name = "sub",
    after_help = "Examples:\n  tidewire sub clock\n  tidewire sub orders/1 orders/2 --json --since 10m\n  tidewire sub clock --state clock.state\n  tidewire sub deploy --exec 'echo \"$TIDEWIRE_ID\"; cat'"
)]
pub(crate) struct Subscribe {
    /// The topics; `*` is every topic
    #[arg(required = true)]
    topics: Vec<String>,

    /// One JSON object a line
    #[arg(long)]
    json: bool,

    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Go on where the last run with this file came to
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Begin with stored events: `earliest`, 10m, an RFC 3339 time, or last:N
    #[arg(long, value_name = "START")]
    since: Option<String>,

    /// Begin after this event
    #[arg(long, value_name = "ID", conflicts_with_all = ["since", "state"])]
    last_event_id: Option<String>,

    /// Run a shell command for each event: its data on standard input, and TIDEWIRE_ID, TIDEWIRE_TYPE, TIDEWIRE_TOPIC, TIDEWIRE_DATA
    #[arg(long, value_name = "COMMAND", conflicts_with = "json")]
    exec: Option<String>,

    /// Print the hub's own events too (tidewire.open, tidewire.at, ...)
    #[arg(long)]
    control: bool,

    /// Say nothing of reconnects
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    hub: HubArgs,
}

impl Subscribe {
    pub(crate) fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
        runtime.block_on(self.subscribe())
    }

    async fn subscribe(self) -> Outcome {
        let base = self.hub.base()?;
        let state = State::open(self.state.clone())?;
        let source = self.source(&base, &state)?;
        let topic = match self.topics.as_slice() {
            [topic] if topic != "*" => Some(topic.clone()),
            _ => None,
        };
        let mut follow = Follow {
            printer: Printer::new(topic, self.json),
            options: self,
            base,
            state,
            left: None,
            was_open: false,
            is_down: false,
        };
        follow.left = follow.options.count;
        let outcome = follow.all(source).await;
        follow.state.save()?;
        outcome
    }

    fn source(&self, base: &Url, state: &State) -> Outcome<EventSource> {
        let token = self.hub.token()?;
        let parameter = parameter(token.as_deref());
        let topics = self
            .topics
            .iter()
            .map(|topic| format!("{parameter}={}", quote::query_value(topic)));
        let mut query: Vec<_> = topics.collect();
        query.push("checkpoint=event".to_owned());
        if let Some(since) = &self.since {
            query.push(format!("since={}", quote::query_value(since)));
        }
        let hub_path = self.hub.hub_path();
        let url = below(base, &format!("{hub_path}?{}", query.join("&")));
        let limits = Limits {
            line_bytes_max: EVENT_BYTES_MAX,
            event_bytes_max: EVENT_BYTES_MAX,
        };
        let mut builder = EventSource::builder(&url)
            .header("user-agent", "tidewire")
            .backoff_max(BACKOFF_MAX)
            .silence_max(SILENCE_MAX)
            .limits(limits)
            .connect_options(self.hub.reach.connect_options(base)?);
        if let Some(id) = self.last_event_id.as_deref().or(state.last_event_id()) {
            builder = builder.last_event_id(id);
        }
        builder = match (token, self.hub.token_file()) {
            (_, Some(path)) => renewed(builder, path.to_owned()),
            (Some(token), None) => builder.bearer_token(&token),
            (None, None) => builder,
        };
        let source = builder.build();
        source.map_err(|error| self.hub.reach.unusable(error))
    }
}

/// Reads the token again before each connection, for whoever puts another into its file in time.
fn renewed(builder: Builder, path: PathBuf) -> Builder {
    builder.renew(move |_| {
        // A file that is being replaced is there again soon.
        let token = remote::read_token(&path)
            .map_err(|_| RenewError::temporary(format!("no token in {}", path.display())));
        async move { bearer(&token?) }
    })
}

/// The parameter that topics are asked for with: a hub takes each token in its own dialect.
fn parameter(token: Option<&str>) -> &'static str {
    let dialect = token.and_then(|token| tidewire_auth::inspect(token).ok());
    match dialect.map(|token| token.dialect) {
        Some(Dialect::Legacy) => "topic",
        _ => "match",
    }
}

/// A subscription while it runs.
struct Follow {
    options: Subscribe,
    base: Url,
    state: State,
    printer: Printer,
    /// How many events are still wanted.
    left: Option<u64>,
    was_open: bool,
    is_down: bool,
}

impl Follow {
    async fn all(&mut self, mut source: EventSource) -> Outcome {
        let interrupted = signals::interrupted()?;
        tokio::pin!(interrupted);
        let mut save_at: Option<Instant> = None;
        loop {
            let due = save_at.unwrap_or_else(Instant::now);
            let item = tokio::select! {
                item = source.next() => item,
                () = tokio::time::sleep_until(due), if save_at.is_some() => {
                    self.state.save()?;
                    save_at = None;
                    continue;
                }
                () = &mut interrupted => return Ok(()),
            };
            let Some(item) = item else { return Ok(()) };
            let is_done = tokio::select! {
                done = self.take(item) => done?,
                () = &mut interrupted => return Ok(()),
            };
            if self.state.note(source.last_event_id()) {
                save_at.get_or_insert_with(|| Instant::now() + STATE_AGE_MAX);
            }
            if is_done {
                return Ok(());
            }
        }
    }

    /// Takes an item; true when nothing more is wanted.
    async fn take(&mut self, item: Item) -> Outcome<bool> {
        match item {
            Item::Event(event) => return self.event(event).await,
            Item::Open(_) => {
                self.was_open = true;
                if std::mem::take(&mut self.is_down) && !self.options.quiet {
                    output::say("connected again");
                }
            }
            Item::Reconnecting { error, .. } => self.lost(&error)?,
            Item::Closed(reason) => return self.closed(reason),
            _ => {}
        }
        Ok(false)
    }

    async fn event(&mut self, event: Event) -> Outcome<bool> {
        if let Some(kind) = event.event_type.strip_prefix(CONTROL) {
            if kind == "gap" {
                output::say(print::gap(&event.data));
            }
            if self.options.control {
                self.printer.print(&event)?;
            }
            return Ok(false);
        }
        match &self.options.exec {
            Some(command) => exec::run(command, &event, self.printer.topic()).await?,
            None => self.printer.print(&event)?,
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(self.left == Some(0))
    }

    /// A connection is lost or was not made; another follows, unless there never was one.
    fn lost(&mut self, error: &Error) -> Outcome {
        let failure = RemoteError::from(error.clone());
        if !self.was_open && !failure.is_answered() {
            return Err(failure.into_failure(&self.base));
        }
        // A stream's life ends by design every hour; that is no news.
        let is_news = !matches!(error, Error::Ended | Error::Silent(_));
        if is_news && !std::mem::replace(&mut self.is_down, true) && !self.options.quiet {
            output::say(format_args!("{error}; reconnecting"));
        }
        Ok(())
    }

    fn closed(&self, reason: CloseReason) -> Outcome<bool> {
        match reason {
            CloseReason::Ended => Ok(true),
            CloseReason::Failed(Error::Status { status, detail }) => {
                let refused = Refused::of(status, detail);
                Err(RemoteError::Refused(refused).into_failure(&self.base))
            }
            CloseReason::Failed(error @ (Error::Tls(_) | Error::Proxy(_))) => {
                Err(RemoteError::from(error).into_failure(&self.base))
            }
            CloseReason::Failed(error) => Err(Failure::failed(format!("{}: {error}", self.base))
                .next("is it the URL of a tidewire hub?")),
            reason => Err(Failure::failed(format!(
                "the stream was closed: {reason:?}"
            ))),
        }
    }
}
