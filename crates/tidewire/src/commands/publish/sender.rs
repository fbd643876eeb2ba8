//! Sends events in batches, one after another: an event that comes alone leaves at once, and what comes while a batch is on its
//! way makes the next. Each batch has an Idempotency-Key and is sent until the hub has acknowledged it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::batch::{Again, Answer, Batch};
use super::event::Item;
use super::place::{Opened, Pending, Place, Store};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::remote::{Refused, Remote, RemoteError, start_one};

const BATCH_EVENTS_MAX: usize = 1000;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// How long a first and a later pause between two tries is, and the longest that a hub may ask for.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// How long an interrupted run waits for the acknowledgement of what it has sent.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How long it is tried to get a batch through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// One event on the command line: somebody waits for the answer.
    OneEvent,
    /// Lines of standard input: a hub that is being restarted is waited for, one that was never there is not.
    Stream,
    /// A followed file.
    Endless,
}

impl Patience {
    fn allows(self, trouble: &RemoteError, reached_before: bool, since: Instant) -> bool {
        let is_there = reached_before || trouble.is_answered();
        match self {
            Self::OneEvent => is_there && since.elapsed() < Duration::from_secs(10),
            Self::Stream => is_there && since.elapsed() < Duration::from_secs(60),
            Self::Endless => true,
        }
    }
}

/// Why a batch did not get through as it is.
enum Trouble {
    Remote(RemoteError),
    /// The hub refuses the event at this index; those before it are stored.
    Event {
        index: usize,
        /// 200 in the middle of a batch, where nothing says whether trying again helps.
        status: StatusCode,
        why: String,
    },
    Own(Failure),
}

impl From<RemoteError> for Trouble {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

/// Sends what it is given, and remembers what became of it.
#[derive(Debug)]
pub(super) struct Sender {
    remote: Remote,
    patience: Patience,
    quiet: bool,
    /// Makes the keys of this run differ from those of every other.
    run: String,
    batches: u64,
    acknowledged: u64,
    skipped: u64,
    reached: bool,
    /// Somebody has been told that the hub does not answer.
    trouble_said: bool,
    place: Option<Store>,
    in_flight: Option<Batch>,
    /// Acknowledged up to here, which is not written down yet.
    done: Option<Place>,
    /// Taken from the channel, but not fit for the batch before.
    held: Option<Item>,
}

impl Sender {
    pub(super) fn new(remote: Remote, patience: Patience, quiet: bool) -> Outcome<Self> {
        let mut run = [0; 16];
        getrandom::fill(&mut run).map_err(|error| {
            Failure::failed(format!("the system gives no random bytes: {error}"))
        })?;
        Ok(Self {
            remote,
            patience,
            quiet,
            run: format!("{:032x}", u128::from_le_bytes(run)),
            batches: 0,
            acknowledged: 0,
            skipped: 0,
            reached: false,
            trouble_said: false,
            place: None,
            in_flight: None,
            done: None,
            held: None,
        })
    }

    /// Keeps the place of a followed file from now on; `at` is where it stands.
    pub(super) fn keep_place(&mut self, store: Store, at: Option<&(Arc<Opened>, u64)>) -> Outcome {
        match at {
            Some((opened, offset)) => store.save(Some(opened), *offset, None)?,
            None => store.save(None, 0, None)?,
        }
        self.place = Some(store);
        Ok(())
    }

    /// Sends a batch of an earlier run, exactly as it was, and keeps the place of its file from then on.
    pub(super) fn begin_with(&mut self, again: Again, store: Store) {
        self.place = Some(store);
        self.in_flight = Some(again.0);
    }

    pub(super) fn base(&self) -> &url::Url {
        self.remote.base()
    }

    pub(super) fn is_stream(&self) -> bool {
        self.patience != Patience::OneEvent
    }

    /// Sends all that comes, until nothing more will.
    pub(super) async fn run(&mut self, incoming: &mut mpsc::Receiver<Outcome<Item>>) -> Outcome {
        self.send().await?;
        loop {
            if self.held.is_none() && incoming.is_empty() {
                self.save_place()?;
            }
            let first = match self.held.take() {
                Some(item) => item,
                None => match incoming.recv().await {
                    Some(item) => item?,
                    None => return Ok(()),
                },
            };
            let broken = self.gather(first, incoming);
            self.send().await?;
            if let Some(failure) = broken {
                return Err(failure);
            }
        }
    }

    /// Makes a batch of what is there. An error that follows is for later: what came before it goes first.
    fn gather(
        &mut self,
        first: Item,
        incoming: &mut mpsc::Receiver<Outcome<Item>>,
    ) -> Option<Failure> {
        let mut bytes = first.line.len();
        let mut items = VecDeque::from([first]);
        let mut broken = None;
        while items.len() < BATCH_EVENTS_MAX && bytes < BATCH_BYTES_MAX {
            match incoming.try_recv() {
                Ok(Ok(item)) if is_same_file(&items, &item) => {
                    bytes += item.line.len();
                    items.push_back(item);
                }
                Ok(Ok(item)) => {
                    self.held = Some(item);
                    break;
                }
                Ok(Err(failure)) => {
                    broken = Some(failure);
                    break;
                }
                Err(_) => break,
            }
        }
        self.put_in_flight(items);
        broken
    }

    fn put_in_flight(&mut self, items: VecDeque<Item>) {
        self.batches += 1;
        self.in_flight = Some(Batch {
            key: format!("{}-{}", self.run, self.batches),
            items,
            told: 0,
        });
    }

    /// Gets the batch in flight through. When this is called off, the batch stays where it is.
    async fn send(&mut self) -> Outcome {
        let since = Instant::now();
        let mut pause = PAUSE_MIN;
        self.save_pending()?;
        while self.in_flight.is_some() {
            match self.attempt().await {
                Ok(()) => {
                    let batch = self.in_flight.take();
                    self.done = batch.and_then(|batch| batch.items.back()?.place.clone());
                    self.say_recovered();
                }
                Err(Trouble::Own(failure)) => return Err(failure),
                Err(Trouble::Event { index, status, why }) => self.refused(index, status, &why)?,
                Err(Trouble::Remote(error)) => {
                    self.remote.disconnect();
                    let may_try =
                        error.is_temporary() && self.patience.allows(&error, self.reached, since);
                    if !may_try {
                        return Err(error.into_failure(self.remote.base()));
                    }
                    self.say_trouble(&error);
                    tokio::time::sleep(
                        error
                            .retry_after()
                            .map_or(pause, |after| after.min(RETRY_AFTER_MAX)),
                    )
                    .await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        Ok(())
    }

    /// Sends the batch in flight once, and tells its ids as they come.
    async fn attempt(&mut self) -> Result<(), Trouble> {
        let Some(batch) = &self.in_flight else {
            return Ok(());
        };
        let ids = if self.quiet { "" } else { "?ids=all" };
        let path = format!("{}{ids}", self.remote.hub_path());
        let headers = batch.headers().map_err(Trouble::Own)?;
        let response = self.remote.post(&path, headers, batch.body()).await?;
        self.reached = true;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(not_taken(response).await);
        }
        let mut body = response.into_body();
        let mut buffer = BytesMut::new();
        let cut = |why: &str| Trouble::Remote(RemoteError::Cut(why.to_owned()));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| cut(&error.to_string()))?;
            buffer.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
            while let Some(end) = memchr::memchr(b'\n', &buffer) {
                let line = buffer.split_to(end + 1);
                let answer: Answer = serde_json::from_slice(&line)
                    .map_err(|_| cut("the answer is not that of a tidewire hub"))?;
                self.take(answer)?;
            }
        }
        match &self.in_flight {
            Some(batch) if batch.told < batch.items.len() => {
                Err(cut("the answer ended before every event was acknowledged"))
            }
            _ => Ok(()),
        }
    }

    /// Takes one line of the answer. What was told in an earlier attempt is not told again.
    fn take(&mut self, answer: Answer) -> Result<(), Trouble> {
        let (from, to, ids) = match answer {
            Answer::Acknowledged { from, to, ids } => (from, to, ids),
            // The first event would have been refused by the status, had the hub known why at once: it is the hub's trouble.
            Answer::Refused { index: 0, error } => return Err(RemoteError::Cut(error).into()),
            Answer::Refused { index, error } => {
                return Err(Trouble::Event {
                    index,
                    status: StatusCode::OK,
                    why: error,
                });
            }
        };
        let Some(batch) = &mut self.in_flight else {
            return Ok(());
        };
        let told_before = batch.told;
        let ids = batch.tell(from, to, ids);
        self.acknowledged += (batch.told - told_before) as u64;
        if !ids.is_empty() {
            output::result(ids.join("\n")).map_err(Trouble::Own)?;
        }
        Ok(())
    }

    /// The hub refuses one event. Those before it are stored; those after it get a batch of their own. In the middle of a batch
    /// nothing says whether trying again helps: as the first of the next one, the status does.
    fn refused(&mut self, index: usize, status: StatusCode, why: &str) -> Outcome {
        let Some(mut batch) = self.in_flight.take() else {
            return Ok(());
        };
        batch.items.drain(..index.min(batch.items.len()));
        let is_events_fault = matches!(status.as_u16(), 400 | 413 | 422);
        if index == 0 && is_events_fault && self.patience == Patience::Endless {
            let item = batch.items.pop_front();
            let at = item
                .and_then(|item| item.place)
                .map_or(0, |place| place.from);
            self.skipped += 1;
            output::say(format_args!(
                "the line at byte {at} was refused and is left out: {why}"
            ));
        } else if status != StatusCode::OK {
            let number = self.acknowledged + 1;
            let which = if self.is_stream() {
                format!("event {number}: ")
            } else {
                String::new()
            };
            return Err(Failure::failed(format!(
                "{which}the hub answered {status}: {why}"
            )));
        }
        if !batch.items.is_empty() {
            self.put_in_flight(batch.items);
            self.save_pending()?;
        }
        Ok(())
    }

    /// Writes down what is about to be sent.
    fn save_pending(&mut self) -> Outcome {
        let (Some(store), Some(batch)) = (&self.place, &self.in_flight) else {
            return Ok(());
        };
        let (Some(first), Some(last)) = (batch.place_of(0), batch.place_of(batch.items.len() - 1))
        else {
            return Ok(());
        };
        self.done = None;
        let pending = Pending {
            to: last.to,
            key: batch.key.clone(),
        };
        store.save(Some(&first.opened), first.from, Some(pending))
    }

    /// Writes down what is acknowledged, if that has not been done.
    fn save_place(&mut self) -> Outcome {
        match (&self.place, self.done.take()) {
            (Some(store), Some(done)) => store.save(Some(&done.opened), done.to, None),
            _ => Ok(()),
        }
    }

    fn say_trouble(&mut self, error: &RemoteError) {
        if std::mem::replace(&mut self.trouble_said, true) {
            return;
        }
        let base = self.remote.base();
        output::say(format_args!("{}; trying again", error.told(base)));
        if let RemoteError::Unreachable(_) = error {
            output::say(start_one(base));
        }
    }

    fn say_recovered(&mut self) {
        if std::mem::take(&mut self.trouble_said) && !self.quiet {
            output::say("the hub answers again");
        }
    }

    /// Ends an interrupted run: waits a little for the batch in flight, and says what became of everything.
    pub(super) async fn interrupted(
        mut self,
        mut incoming: mpsc::Receiver<Outcome<Item>>,
    ) -> Outcome {
        self.remote.disconnect();
        if let Ok(outcome) = tokio::time::timeout(LAST_WORD, self.send()).await {
            outcome?;
        }
        self.save_place()?;
        let in_flight = self
            .in_flight
            .as_ref()
            .map_or(0, |batch| batch.items.len() - batch.told);
        let mut rest = in_flight + usize::from(self.held.is_some());
        while let Ok(Ok(_)) = incoming.try_recv() {
            rest += 1;
        }
        self.say_how_many();
        if rest == 0 || self.patience == Patience::Endless {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "{rest} more had been read but were not acknowledged"
        )))
    }

    /// Says how many events the hub has.
    pub(super) fn say_how_many(&self) {
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} left out"),
        };
        let events = output::count(self.acknowledged, "event");
        output::say(format_args!("{events} acknowledged{skipped}"));
    }
}

fn is_same_file(items: &VecDeque<Item>, item: &Item) -> bool {
    match (
        items.back().and_then(|last| last.place.as_ref()),
        &item.place,
    ) {
        (Some(last), Some(next)) => Arc::ptr_eq(&last.opened, &next.opened),
        _ => true,
    }
}

/// An answer to a batch of which nothing was stored: about its first event, or about the request.
async fn not_taken(response: http::Response<tidewire_client::Body>) -> Trouble {
    let refused = Refused::read(response).await;
    match serde_json::from_slice(&refused.body) {
        Ok(Answer::Refused { index, error }) if !refused.is_temporary() => Trouble::Event {
            index,
            status: refused.status,
            why: error,
        },
        _ => Trouble::Remote(RemoteError::Refused(refused)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::remote::HubArgs;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        hub: HubArgs,
    }

    /// A place in a file is of one file: a batch of two could not be read again.
    #[test]
    fn a_batch_is_of_one_file() {
        let hub = Arguments::parse_from(["test", "--url", "http://127.0.0.1:1"]).hub;
        let mut sender = Sender::new(Remote::new(&hub).unwrap(), Patience::Endless, true).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| {
            std::fs::write(folder.path().join(name), "x").unwrap();
            Opened::open(&folder.path().join(name)).unwrap()
        });
        let item = |file: usize, from| Item {
            line: Bytes::from_static(b"{}\n"),
            place: Some(Place {
                opened: Arc::clone(&files[file]),
                from,
                to: from + 1,
            }),
        };
        let (items, mut incoming) = mpsc::channel(10);
        for next in [item(0, 1), item(1, 0), item(1, 1)] {
            items.try_send(Ok(next)).unwrap();
        }
        assert!(sender.gather(item(0, 0), &mut incoming).is_none());
        let places = |sender: &Sender| -> Vec<u64> {
            let items = &sender.in_flight.as_ref().unwrap().items;
            items
                .iter()
                .map(|item| item.place.as_ref().unwrap().to)
                .collect()
        };
        assert_eq!(places(&sender), [1, 2]);
        let held = sender.held.take().unwrap();
        assert!(sender.gather(held, &mut incoming).is_none());
        assert_eq!(places(&sender), [1, 2]);
    }
}
