//! The access log: a line for every request, and for a stream one when it opens and one when it ends.
//!
//! What a line looks like is `line`'s, how it gets out without holding anybody up is `queue`'s. Here is what a request leaves
//! behind for its line. No token, no cookie and no stream's id is ever among it: whoever reads logs must not be able to act
//! for somebody.

mod body;
mod line;
mod queue;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderName, REFERER, USER_AGENT};
use http::request::Parts;
use tidewire_engine::EndReason;
use tidewire_engine::driver::{StreamEnd, now_ms};

use crate::front::Front;
use crate::peer::{Peer, Transport};
use crate::token;
use body::LoggedBody;
use line::{Line, Seen, What};
use queue::Queue;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessLogFormat {
    /// Apache's combined log format.
    Combined,
    /// One JSON object a line.
    Json,
}

/// Where lines go. Cheap to clone; the last one that is dropped ends its thread once everything is written.
#[derive(Clone)]
pub struct AccessLog(Arc<Inner>);

struct Inner {
    format: AccessLogFormat,
    queue: Arc<Queue>,
    /// Numbers streams, so that their two lines are found together.
    streams: AtomicU64,
}

/// What became of the lines of an access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessLogCounters {
    /// Lines that the writer took.
    pub written: u64,
    /// Lines that were dropped, for the writer was too slow or failed.
    pub dropped: u64,
}

impl AccessLog {
    /// Begins a log. Lines are written by a thread of its own, some at a time; the writer may block.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        format: AccessLogFormat,
        writer: impl io::Write + Send + 'static,
    ) -> io::Result<Self> {
        Ok(Self(Arc::new(Inner {
            format,
            queue: Queue::start(format, writer)?,
            streams: AtomicU64::new(0),
        })))
    }

    /// Waits until every line so far is written, but not for longer than this; says whether they are. Blocks.
    pub fn flush(&self, patience: Duration) -> bool {
        self.0.queue.flush(patience)
    }

    /// What became of its lines.
    #[must_use]
    pub fn counters(&self) -> AccessLogCounters {
        self.0.queue.counters()
    }

    fn write(&self, line: &Line<'_>) {
        self.0.queue.push(&line.encode(self.0.format));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccessLog").field(&self.0.format).finish()
    }
}

/// A request that will have a line. In its extensions, so that a stream that it begins knows it.
#[derive(Clone)]
pub(crate) struct Entry(Arc<EntryInner>);

struct EntryInner {
    log: AccessLog,
    front: Front,
    seen: Seen,
    time_ms: u64,
    began_ms: u64,
    /// It began a stream, which has lines of its own.
    is_stream: AtomicBool,
}

/// The status of a request whose client went before there was an answer. No standard has one; nginx writes this.
const CLIENT_GONE: u16 = 499;

impl Entry {
    /// Notes a request, if there is an access log. A stream that it begins finds it in the request's extensions.
    pub(crate) fn of(front: &Front, request: &mut Parts) -> Option<Self> {
        let log = front.settings().access_log.clone()?;
        let entry = Self(Arc::new(EntryInner {
            log,
            seen: seen(request),
            time_ms: front.now_ms(),
            began_ms: now_ms(),
            is_stream: AtomicBool::new(false),
            front: front.clone(),
        }));
        request.extensions.insert(entry.clone());
        Some(entry)
    }

    /// Writes the request's line: once its body has been sent, for only then its size is known.
    fn answered(&self, status: u16, bytes: u64) {
        self.write(
            self.0.time_ms,
            What::Request {
                status,
                bytes,
                life_ms: now_ms().saturating_sub(self.0.began_ms),
            },
        );
    }

    /// Writes a stream's first line; what it gives back writes the last.
    pub(crate) fn open(&self) -> Opened {
        self.0.is_stream.store(true, Ordering::Relaxed);
        let stream = 1 + self.0.log.0.streams.fetch_add(1, Ordering::Relaxed);
        self.write(self.0.time_ms, What::Open { stream });
        Opened {
            entry: self.clone(),
            stream,
            is_open: true,
        }
    }

    fn is_stream(&self) -> bool {
        self.0.is_stream.load(Ordering::Relaxed)
    }

    fn write(&self, time_ms: u64, what: What) {
        let seen = &self.0.seen;
        self.0.log.write(&Line {
            seen,
            time_ms,
            what,
        });
    }
}

/// A running stream of which the log knows.
pub(crate) struct Opened {
    entry: Entry,
    stream: u64,
    is_open: bool,
}

impl Opened {
    /// Writes its last line.
    pub(crate) fn end(mut self, end: &StreamEnd) {
        self.note(*end);
    }

    fn note(&mut self, end: StreamEnd) {
        self.is_open = false;
        let (entry, stream) = (&self.entry, self.stream);
        entry.write(entry.0.front.now_ms(), What::End { stream, end });
    }
}

/// Of a stream that never came to run.
impl Drop for Opened {
    fn drop(&mut self) {
        if self.is_open {
            self.note(StreamEnd {
                reason: EndReason::Closed,
                bytes: 0,
                events: 0,
                life_ms: now_ms().saturating_sub(self.entry.0.began_ms),
            });
        }
    }
}

/// A request that is being answered. Dropped before it is: the client has gone.
pub(crate) struct Running(Option<Entry>);

impl Running {
    pub(crate) fn new(entry: Option<Entry>) -> Self {
        Self(entry)
    }

    /// Sees to it that the answer's end writes the line; a stream's has its own.
    pub(crate) fn answer(mut self, response: Response) -> Response {
        match self.0.take() {
            Some(entry) if !entry.is_stream() => {
                let status = response.status().as_u16();
                response.map(|body| Body::new(LoggedBody::new(body, entry, status)))
            }
            _ => response,
        }
    }

    /// The answer has been written, with a body of so many bytes.
    pub(crate) fn answered(mut self, status: StatusCode, bytes: usize) {
        if let Some(entry) = self.0.take() {
            entry.answered(status.as_u16(), bytes as u64);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take().filter(|entry| !entry.is_stream()) {
            entry.answered(CLIENT_GONE, 0);
        }
    }
}

fn seen(request: &Parts) -> Seen {
    let peer = request.extensions.get::<Peer>();
    let header = |name: HeaderName| request.headers.get(name).map(|value| value.as_bytes());
    Seen {
        remote: peer.and_then(|peer| peer.address),
        transport: Transport::of(request),
        method: request.method.as_str().into(),
        target: line::bounded(
            token::redacted(&request.uri).into_bytes(),
            line::TARGET_BYTES_MAX,
        ),
        version: request.version,
        referer: header(REFERER)
            .map(|value| line::bounded(token::redacted_url(value), line::HEADER_BYTES_MAX)),
        agent: header(USER_AGENT).map(|value| line::bounded(value.into(), line::HEADER_BYTES_MAX)),
        forwarded: header(HeaderName::from_static("x-forwarded-for"))
            .map(|value| line::bounded(value.into(), line::HEADER_BYTES_MAX)),
    }
}
