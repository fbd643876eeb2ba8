//! Runs a case against a client, and says what came of it. Not here: the cases.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::server::{self, Note, Reply, Request};
use crate::{Ask, Client, Seen};

/// How long something that has not happened is waited for. Only what a client does *not* do takes so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// One feature, and how it is tried.
pub struct Case {
    pub name: &'static str,
    /// What the servers answer, connection by connection.
    pub here: Vec<Reply>,
    pub there: Vec<Reply>,
    /// What the client is told besides the URL.
    pub ask: Ask,
    /// Whether it did it; `None`: that is not known yet. What is not known when nothing more happens was not done.
    pub judge: fn(&Outcome) -> Option<bool>,
    /// What the client has to be told for it, or what the program has to do: shown where it is done.
    pub how: fn(Client) -> &'static str,
}

/// What has happened so far.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub seen: Vec<Seen>,
    pub requests: Vec<Request>,
    /// Held connections that the client has dropped.
    pub dropped: usize,
    /// The client has stopped for good.
    pub has_ended: bool,
    /// ... because it panicked.
    pub has_panicked: bool,
    /// Nothing more was waited for.
    pub is_late: bool,
}

impl Outcome {
    /// The data of the events.
    pub fn data(&self) -> Vec<&str> {
        let data = self.seen.iter().filter_map(|seen| match seen {
            Seen::Event { data, .. } => Some(data.as_str()),
            _ => None,
        });
        data.collect()
    }

    pub fn ids(&self) -> Vec<&str> {
        let ids = self.seen.iter().filter_map(|seen| match seen {
            Seen::Event { id, .. } => Some(id.as_str()),
            _ => None,
        });
        ids.collect()
    }

    pub fn errors(&self) -> Vec<&str> {
        let errors = self.seen.iter().filter_map(|seen| match seen {
            Seen::Error(error) => Some(error.as_str()),
            _ => None,
        });
        errors.collect()
    }

    /// No more can come.
    pub fn is_over(&self) -> bool {
        self.has_ended || self.is_late
    }
}

/// Whether `client` does what `case` is about, and what it did.
pub async fn run(case: &Case, client: Client) -> (bool, Outcome) {
    let (notes_to, mut notes) = mpsc::unbounded_channel();
    let (sight, mut sights) = mpsc::unbounded_channel();
    let url = server::start(case.here.clone(), case.there.clone(), &notes_to)
        .await
        .expect("loopback has ports");
    let ask = Ask {
        url: format!("{url}/s"),
        ..case.ask.clone()
    };
    let mut running = tokio::spawn(client.run(ask, sight));
    let mut outcome = Outcome::default();
    let deadline = Instant::now() + PATIENCE;
    let done = loop {
        if let Some(done) = (case.judge)(&outcome) {
            break done;
        }
        if outcome.is_late {
            break false;
        }
        let next = async {
            tokio::select! {
                biased;
                Some(seen) = sights.recv() => outcome.seen.push(seen),
                Some(note) = notes.recv() => match note {
                    Note::Request(request) => outcome.requests.push(request),
                    Note::Dropped => outcome.dropped += 1,
                },
                ended = &mut running, if !outcome.has_ended => {
                    match ended {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => outcome.seen.push(Seen::Error(error)),
                        Err(_) => outcome.has_panicked = true,
                    }
                    outcome.has_ended = true;
                }
            }
        };
        if timeout_at(deadline, next).await.is_err() {
            outcome.is_late = true;
        }
    };
    running.abort();
    (done, outcome)
}
