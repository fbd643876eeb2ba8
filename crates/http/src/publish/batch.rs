//! A batch as NDJSON, streamed: events are appended in groups as they come, each group is acknowledged by a line when it is
//! committed, and while one commits the next gathers. One commit at a time, so that what stands is always a prefix. A group is
//! all that has come until the next byte has to be waited for: an fsync costs the same for one event as for thousands.
//!
//! ```text
//! read lines -> group -> append -> acknowledgement line -> client
//!      ^                                   |
//!      +---- paused while the client does not read; cut after publish_stall_max
//! ```

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::Frame;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tidewire_log::{AppendError, Event};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Place, Publisher};
use crate::counters::Reason;
use crate::event::RawEvent;
use crate::front::Front;
use crate::http1::Cut;
use crate::problem::Problem;

/// A group is committed when it has so many events or bytes, at the latest.
const GROUP_EVENTS_MAX: usize = 16_384;
const GROUP_BYTES_MAX: usize = 4 << 20;
/// How many acknowledgement lines may wait in the hub for the client; then the batch is paused.
const ACKS_WAITING_MAX: usize = 16;
/// How long the answer's head waits for the first line, which may make its status an error.
const HEAD_WAIT: Duration = Duration::from_secs(1);
/// A log that is busy is asked again after this.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// What goes to the client.
enum Line {
    Ack(Bytes),
    Failed(StatusCode, Bytes),
}

/// Runs a batch in a task of its own; answers with its status and the lines as they come.
pub(super) async fn run(
    front: Front,
    publisher: Publisher,
    body: Body,
    all_ids: bool,
    cut: Option<Cut>,
) -> (StatusCode, Body) {
    let (sender, receiver) = mpsc::channel(ACKS_WAITING_MAX);
    let deaf = Arc::new(AtomicBool::new(false));
    let batch = Batch {
        lines: Lines::new(front.limits().line_bytes_max()),
        front,
        publisher,
        all_ids,
        acks: sender,
        cut,
        deaf: Arc::clone(&deaf),
        waiting: Group::default(),
        read: 0,
        failed: None,
    };
    tokio::spawn(batch.run(body));
    let mut acks = Acks {
        first: None,
        receiver,
        deaf,
    };
    // A batch whose first event is bad has stored nothing; say so by the status as well.
    let first = tokio::time::timeout(HEAD_WAIT, acks.receiver.recv()).await;
    acks.first = first.ok().flatten();
    let status = match &acks.first {
        Some(Line::Failed(status, _)) => *status,
        _ => StatusCode::OK,
    };
    (status, Body::new(acks))
}

struct Batch {
    front: Front,
    publisher: Publisher,
    all_ids: bool,
    acks: mpsc::Sender<Line>,
    /// Cuts the connection: an answer that nobody reads is not asked for its end either.
    cut: Option<Cut>,
    /// Tells the answer that it broke off.
    deaf: Arc<AtomicBool>,
    lines: Lines,
    /// What was checked and waits for its commit.
    waiting: Group,
    /// How many events were read.
    read: usize,
    /// The first event that is bad, and why; told once those before it are committed.
    failed: Option<(usize, Problem)>,
}

/// Neighbouring events of a batch. Their lines are kept until they are committed, for a log takes the events that it refuses.
#[derive(Default)]
struct Group {
    /// The first one's index.
    first: usize,
    events: Vec<Event>,
    lines: Vec<Bytes>,
    bytes: usize,
}

/// Why a batch ends early.
enum Stop {
    /// The client has gone, or does not read.
    Deaf,
    Failed(usize, Problem),
}

impl Batch {
    async fn run(mut self, mut body: Body) {
        match self.pump(&mut body).await {
            Ok(()) => {}
            Err(Stop::Deaf) => {
                self.front.counting().batches_cut.one();
                self.deaf.store(true, Ordering::Release);
                if let Some(cut) = &self.cut {
                    cut.cut();
                }
            }
            Err(Stop::Failed(index, problem)) => {
                self.front.counting().publishes_refused.one();
                self.front.counting().refuse(problem.reason());
                // By its status a program knows whether trying again helps.
                let line = json!({
                    "index": index,
                    "status": problem.status().as_u16(),
                    "error": problem.detail(),
                });
                let line = Line::Failed(problem.status(), format!("{line}\n").into());
                let _ = self.send(line).await;
                drain(body).await;
            }
        }
    }

    /// Reads and commits until the body ends.
    async fn pump(&mut self, body: &mut Body) -> Result<(), Stop> {
        let mut ended = false;
        let mut committing: Option<Commit> = None;
        // Whether more of the body was asked for and has not come.
        let mut stands = false;
        loop {
            let has_room = self.has_room();
            let is_due = stands || ended || !has_room;
            if committing.is_none() && is_due && !self.waiting.events.is_empty() {
                let group = std::mem::take(&mut self.waiting);
                committing = Some(self.commit(group));
                continue;
            }
            if committing.is_none() && ended {
                let index = self.read;
                return match self.failed.take() {
                    Some((index, problem)) => Err(Stop::Failed(index, problem)),
                    None if self.front.is_draining() => Err(Stop::Failed(
                        index,
                        Problem::unavailable("the hub is ending; send the rest in a moment")
                            .because(Reason::Draining),
                    )),
                    None => Ok(()),
                };
            }
            let may_read = !ended && has_room;
            let may_stand = committing.is_none() && !self.waiting.events.is_empty();
            let front = self.front.clone();
            tokio::select! {
                biased;
                done = async { committing.as_mut().expect("guarded").await }, if committing.is_some() => {
                    committing = None;
                    self.acknowledge(done).await?;
                }
                frame = body.frame(), if may_read => {
                    stands = false;
                    ended = self.take(frame);
                }
                // Whoever sends gets a turn to send the rest.
                () = tokio::task::yield_now(), if may_stand => stands = true,
                () = front.drained(), if !ended => ended = true,
            }
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.events.len() < GROUP_EVENTS_MAX && self.waiting.bytes < GROUP_BYTES_MAX
    }

    /// Takes what came of the body; true if nothing more is wanted.
    fn take(&mut self, frame: Option<Result<Frame<Bytes>, axum::Error>>) -> bool {
        let ended = match frame {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.lines.push(data);
                }
                false
            }
            // A body that breaks off has no whole last line; what came before stands.
            Some(Err(_)) => return true,
            None => {
                self.lines.end();
                true
            }
        };
        let now_ms = self.front.now_ms();
        loop {
            match self.lines.next() {
                Ok(Some(line)) if line.trim_ascii().is_empty() => {}
                Ok(Some(line)) => match self.parse(&line, now_ms) {
                    Ok(event) => self.wait_for_commit(event, line),
                    Err(problem) => {
                        self.failed = Some((self.read, problem));
                        return true;
                    }
                },
                Ok(None) => return ended,
                Err(problem) => {
                    self.failed = Some((self.read, problem));
                    return true;
                }
            }
        }
    }

    fn parse(&self, line: &[u8], now_ms: u64) -> Result<Event, Problem> {
        let before = self.waiting.events.last();
        let before = before.and_then(|event| event.topics.first());
        let place = Place {
            index: self.read,
            now_ms,
            before,
        };
        parse(&self.front, &self.publisher, line, place)
    }

    fn wait_for_commit(&mut self, event: Event, line: Bytes) {
        let group = &mut self.waiting;
        if group.events.is_empty() {
            group.first = self.read;
        }
        group.bytes += line.len();
        group.events.push(event);
        group.lines.push(line);
        self.read += 1;
    }

    /// Begins to append a group. A log that is busy is asked again: the batch is paused meanwhile.
    fn commit(&self, group: Group) -> Commit {
        let front = self.front.clone();
        let publisher = self.publisher.clone();
        let all_ids = self.all_ids;
        Box::pin(async move {
            let mut events = group.events;
            let mut failed = None;
            // A batch that runs is slowed down, not refused: while it waits here, no more than a group of it is read.
            let bytes = events.iter().map(|event| event.data.len()).sum();
            let wait = front.rates().take(publisher.who, events.len(), bytes);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let busy_until = Instant::now() + front.limits().commit_time_max;
            loop {
                // It may have waited for long.
                if let Err(problem) = front.still_good(&publisher.grant) {
                    return Committed {
                        first: group.first,
                        ids: Ids::default(),
                        failed: Some((group.first, problem)),
                    };
                }
                let count = events.len();
                let error = match append(&front, std::mem::take(&mut events), all_ids).await {
                    Ok(ids) => {
                        return Committed {
                            first: group.first,
                            ids,
                            failed,
                        };
                    }
                    Err(error) => error,
                };
                let again = if error == AppendError::Busy && Instant::now() < busy_until {
                    tokio::time::sleep(BUSY_PAUSE).await;
                    count
                } else {
                    // The group was refused as a whole; what came before the event that is to blame stands on its own.
                    let blamed = blamed(&error).min(count - 1);
                    failed = Some((group.first + blamed, Problem::append(&error)));
                    blamed
                };
                let lines = group.lines[..again].iter().zip(group.first..);
                let now_ms = front.now_ms();
                // They were right when they came; the clock is all that has changed.
                events = lines
                    .filter_map(|(line, index)| {
                        let place = Place {
                            index,
                            now_ms,
                            before: None,
                        };
                        parse(&front, &publisher, line, place).ok()
                    })
                    .collect();
            }
        })
    }

    async fn acknowledge(&mut self, done: Committed) -> Result<(), Stop> {
        let ids = &done.ids;
        if let (Some(first_id), Some(last_id)) = (ids.told.first(), ids.told.last()) {
            let mut line = json!({
                "from": done.first,
                "to": done.first + ids.count - 1,
                "first_id": first_id,
                "last_id": last_id,
            });
            if self.all_ids {
                line["ids"] = ids.told.iter().map(|id| Value::from(&**id)).collect();
            }
            self.send(Line::Ack(format!("{line}\n").into())).await?;
        }
        match done.failed {
            Some((index, problem)) => Err(Stop::Failed(index, problem)),
            None => Ok(()),
        }
    }

    /// Waits for room: this is the pause of a client that does not read.
    async fn send(&self, line: Line) -> Result<(), Stop> {
        let sent = self
            .acks
            .send_timeout(line, self.front.limits().publish_stall_max);
        sent.await.map_err(|_| Stop::Deaf)
    }
}

/// The ids of a group that is stored.
#[derive(Default)]
struct Ids {
    count: usize,
    /// Every one, or the first and the last.
    told: Vec<String>,
}

/// Appends; nothing is nothing to wait for.
async fn append(front: &Front, events: Vec<Event>, all_ids: bool) -> Result<Ids, AppendError> {
    let count = events.len();
    let is_told = |index: usize| all_ids || index == 0 || index + 1 == count;
    let told = match count {
        0 => Vec::new(),
        _ => super::append(front, events, is_told).await?,
    };
    Ok(Ids { count, told })
}

/// The index in its group of the event that an error is about; the first where it is about no event.
fn blamed(error: &AppendError) -> usize {
    match error {
        AppendError::KeyReused { index } | AppendError::TooLarge { index, .. } => *index,
        _ => 0,
    }
}

type Commit = Pin<Box<dyn Future<Output = Committed> + Send>>;

/// What a group's append came to.
struct Committed {
    first: usize,
    ids: Ids,
    failed: Option<(usize, Problem)>,
}

fn parse(
    front: &Front,
    publisher: &Publisher,
    line: &[u8],
    place: Place<'_>,
) -> Result<Event, Problem> {
    let raw: RawEvent<'_> = serde_json::from_slice(line).map_err(|error| {
        Problem::bad_event(format!(
            "the line is no JSON object such as {{\"topic\":\"news\",\"data\":\"hello\"}}: {error}"
        ))
    })?;
    publisher.event(front, raw, place)
}

/// Reads a little of what is still coming, so that a client which writes before it reads sees the answer and not a reset.
async fn drain(mut body: Body) {
    let rest = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > 8 << 20 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), rest).await;
}

/// Cuts bytes into lines.
struct Lines {
    /// What came last and is not cut yet.
    piece: Bytes,
    /// The beginning of a line whose end did not come with it.
    begun: Vec<u8>,
    ended: bool,
    bytes_max: usize,
}

impl Lines {
    fn new(bytes_max: usize) -> Self {
        Self {
            piece: Bytes::new(),
            begun: Vec::new(),
            ended: false,
            bytes_max,
        }
    }

    /// Takes what came. What was pushed before must have been cut: [`Lines::next`] has answered `None`.
    fn push(&mut self, bytes: Bytes) {
        debug_assert!(self.piece.is_empty());
        self.piece = bytes;
    }

    /// What is left is a line too.
    fn end(&mut self) {
        self.ended = true;
    }

    fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let found = memchr::memchr(b'\n', &self.piece);
        let length = found.unwrap_or(self.piece.len());
        if self.begun.len() + length > self.bytes_max {
            return Err(Problem::too_large(format!(
                "the line is longer than {} bytes (event_bytes_max and its escapes)",
                self.bytes_max
            )));
        }
        // Nearly every line lies whole in one piece, and is not copied.
        let part = self.piece.split_to(length);
        if found.is_some() {
            self.piece.advance(1);
            if self.begun.is_empty() {
                return Ok(Some(part));
            }
        }
        self.begun.extend_from_slice(&part);
        let is_whole = found.is_some() || (self.ended && !self.begun.is_empty());
        Ok(is_whole.then(|| std::mem::take(&mut self.begun).into()))
    }
}

/// The answer's body.
struct Acks {
    first: Option<Line>,
    receiver: mpsc::Receiver<Line>,
    deaf: Arc<AtomicBool>,
}

impl http_body::Body for Acks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let line = match self.first.take() {
            Some(line) => Poll::Ready(Some(line)),
            None => self.receiver.poll_recv(cx),
        };
        line.map(|line| match line {
            Some(Line::Ack(bytes) | Line::Failed(_, bytes)) => Some(Ok(Frame::data(bytes))),
            // Its end would say that all went well.
            None if self.deaf.load(Ordering::Acquire) => {
                Some(Err(io::Error::other("the acknowledgements were not read")))
            }
            None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str], bytes_max: usize) -> Vec<String> {
        let mut lines = Lines::new(bytes_max);
        let mut out = Vec::new();
        let mut drain = |lines: &mut Lines| loop {
            match lines.next() {
                Ok(Some(line)) => out.push(String::from_utf8(line.to_vec()).unwrap()),
                Ok(None) => return true,
                Err(_) => {
                    out.push("too long".into());
                    return false;
                }
            }
        };
        for piece in pieces {
            lines.push(Bytes::copy_from_slice(piece.as_bytes()));
            if !drain(&mut lines) {
                return out;
            }
        }
        lines.end();
        drain(&mut lines);
        out
    }

    #[test]
    fn lines_are_cut_wherever_bytes_are() {
        let table: [(&[&str], &[&str]); 7] = [
            (&[], &[]),
            (&["a\nb\n"], &["a", "b"]),
            (&["a\nb"], &["a", "b"]),
            (&["a", "b", "\n", "c", "\n"], &["ab", "c"]),
            (&["a\r\n\nb"], &["a\r", "", "b"]),
            (&["1234\n"], &["1234"]),
            (&["ok\n12345\n"], &["ok", "too long"]),
        ];
        for (pieces, want) in table {
            assert_eq!(lines(pieces, 4), want, "{pieces:?}");
        }
        assert_eq!(lines(&["1234", "5"], 4), ["too long"]);
    }

    #[test]
    fn lines_do_not_depend_on_the_pieces_they_come_in() {
        let text = "first\n\nthe third\r\n\n\nx\nthe last, without an end";
        let want: Vec<_> = text.split('\n').collect();
        for length in 1..=text.len() {
            let pieces: Vec<_> = text.as_bytes().chunks(length).collect();
            let pieces: Vec<_> = pieces
                .iter()
                .map(|piece| std::str::from_utf8(piece).unwrap())
                .collect();
            assert_eq!(lines(&pieces, 99), want, "pieces of {length}");
        }
        for cut in 0..=text.len() {
            let (before, after) = text.split_at(cut);
            assert_eq!(lines(&[before, after], 99), want, "cut at {cut}");
            assert_eq!(lines(&[before, "", after], 24), want, "cut at {cut}");
            let mut short = lines(&[before, after], 23);
            assert_eq!(short.pop().as_deref(), Some("too long"), "cut at {cut}");
            assert_eq!(short, want[..want.len() - 1], "cut at {cut}");
        }
    }
}
