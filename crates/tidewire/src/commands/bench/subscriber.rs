//! One subscriber process: very many connections in one epoll loop, read into one buffer.
//!
//! It must cost less than the server that it measures. So: one read for each readiness, no allocation for an event, no copy but the
//! kernel's, one look at the clock for each read. The parent process tells it what to do, and is told how far it is.

mod books;
mod frames;
mod ids;
mod link;

use std::io::Write;
use std::os::fd::OwnedFd;

use clap::Args;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use self::books::Books;
use self::ids::IdReader;
use self::link::{Link, Phase, Role};
use super::http1::Piece;
use super::http2;
use super::payload::Run;
use super::socket::{self, Moved, Source, now_ns};
use super::target::{Header, Place, write_headers};
use super::template::Fill;
use super::tls::{Tls, Transport};
use super::wire::{News, Order, Progress, Return, Tally, Task};
use crate::failure::{Failure, Outcome};

/// What one read takes at most.
const BUFFER_BYTES: usize = 1 << 20;
/// What one wait brings at most.
const EVENTS_MAX: usize = 1024;
/// The orders' place among the links.
const ORDERS: u64 = u64::MAX;

/// One subscriber process of the benches; they start it themselves
#[derive(Args, Debug)]
#[command(after_help = "Example, with a task on standard input:\n  tidewire bench subscriber")]
pub(super) struct Subscriber {}

impl Subscriber {
    pub(super) fn run(self) -> Outcome {
        let mut input = Vec::new();
        let Some(line) = read_line(&mut input)? else {
            return Ok(());
        };
        let task = serde_json::from_slice(&line)
            .map_err(|why| Failure::usage(format!("this is no task: {why}")))?;
        let mut worker = match Worker::new(task, input) {
            Ok(worker) => worker,
            Err(failure) => {
                tell(&News::Failed(
                    "a subscriber process could not begin".to_owned(),
                ));
                return Err(failure);
            }
        };
        let news = match worker.run() {
            Ok(None) => return Ok(()),
            Ok(Some(tally)) => News::Tally(Box::new(tally)),
            Err(why) => News::Failed(why),
        };
        tell(&news);
        Ok(())
    }
}

/// Reads a line of standard input; what follows it stays in `input`.
fn read_line(input: &mut Vec<u8>) -> Outcome<Option<Vec<u8>>> {
    loop {
        if let Some(line) = take_line(input) {
            return Ok(Some(line));
        }
        if !read_more(input) {
            return Ok(None);
        }
    }
}

fn take_line(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = memchr::memchr(b'\n', input)?;
    let rest = input.split_off(end + 1);
    Some(std::mem::replace(input, rest))
}

/// Whether there was more to read.
fn read_more(input: &mut Vec<u8>) -> bool {
    input.reserve(1 << 16);
    matches!(
        rustix::io::read(
            rustix::stdio::stdin(),
            rustix::buffer::spare_capacity(input)
        ),
        Ok(1..)
    )
}

/// If the parent is gone there is nobody to tell, and the next order's end says so.
fn tell(news: &News) {
    if let Ok(mut line) = serde_json::to_vec(news) {
        line.push(b'\n');
        let _ = std::io::stdout().lock().write_all(&line);
        let _ = std::io::stdout().lock().flush();
    }
}

struct Worker {
    task: Task,
    tls: Option<Tls>,
    epoll: OwnedFd,
    links: Vec<Link>,
    /// The next link to connect.
    next: usize,
    /// Links that are being connected.
    pending: usize,
    connected: usize,
    books: Books,
    /// Of each reader, where they are kept.
    ids: Vec<IdReader>,
    returning: Option<Return>,
    source: Option<Source>,
    input: Vec<u8>,
    buffer: Box<[u8]>,
    last_ns: u64,
    reported: Progress,
    reported_ns: u64,
}

/// Why the process cannot go on; else the tally, or nothing when the parent is gone.
type Ended<T> = Result<T, String>;

impl Worker {
    fn new(task: Task, input: Vec<u8>) -> Outcome<Self> {
        let run = Run::parse(&task.run).ok_or_else(|| Failure::usage("this is no run"))?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(Failure::failed)?;
        let orders = EventData::new_u64(ORDERS);
        epoll::add(&epoll, rustix::stdio::stdin(), orders, EventFlags::IN)
            .map_err(Failure::failed)?;
        let patterns = task.patterns.as_ref();
        let patterns = patterns.map_or(0..0, |p| p.first..p.first + p.count);
        let roles = (0..task.readers)
            .step_by(task.streams.max(1))
            .map(Role::Reader)
            .chain(patterns.map(Role::Pattern))
            .chain((0..task.stalled).map(Role::Stalled));
        let tls = match task.place.is_tls {
            true => Some(Tls::new(&task.trust, task.streams > 0).map_err(Failure::usage)?),
            false => None,
        };
        let ids = if task.keeps_ids { task.readers } else { 0 };
        Ok(Self {
            tls,
            epoll,
            links: roles.map(Link::new).collect(),
            next: 0,
            pending: 0,
            connected: 0,
            books: Books::new(&task, run),
            ids: vec![IdReader::default(); ids],
            returning: None,
            source: task.source.map(Source::new),
            input,
            buffer: vec![0; BUFFER_BYTES].into(),
            last_ns: 0,
            reported: Progress::default(),
            reported_ns: 0,
            task,
        })
    }

    fn run(&mut self) -> Ended<Option<Tally>> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        loop {
            self.connect_some()?;
            let timeout = self.until_report().map(socket::wait_ns);
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(format!("epoll: {errno}")),
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    ORDERS => match self.take_orders()? {
                        Next::GoOn => {}
                        Next::End(tally) => return Ok(tally.map(|tally| *tally)),
                    },
                    link => self.ready(usize::try_from(link).unwrap_or(usize::MAX))?,
                }
            }
            self.report();
        }
    }

    fn since_origin(&self) -> u64 {
        now_ns().saturating_sub(self.task.origin_ns)
    }

    // Connecting

    fn connect_some(&mut self) -> Ended<()> {
        while self.pending < self.task.connecting && self.next < self.links.len() {
            let address = self.place(self.next).address;
            let socket = socket::connect(address, self.source.as_mut())
                .map_err(|errno| format!("cannot connect: {errno}"))?;
            let data = EventData::new_u64(self.next as u64);
            epoll::add(&self.epoll, &socket, data, EventFlags::OUT)
                .map_err(|errno| format!("epoll: {errno}"))?;
            let transport = Transport::new(socket, self.place(self.next), self.tls.as_ref())?;
            self.links[self.next].begin(transport);
            self.next += 1;
            self.pending += 1;
        }
        Ok(())
    }

    fn place(&self, link: usize) -> &Place {
        match (self.links[link].role, &self.task.patterns) {
            (Role::Pattern(_), Some(patterns)) => &patterns.place,
            _ => &self.task.place,
        }
    }

    fn ready(&mut self, link: usize) -> Ended<()> {
        match (self.links[link].phase, self.links[link].role) {
            (Phase::Connecting, _) => self.ask(link),
            (Phase::Absent | Phase::Ended, _) => Ok(()),
            (_, Role::Stalled(_)) => {
                self.links[link].close(Phase::Ended);
                self.books.stalled_cut(self.since_origin());
                Ok(())
            }
            _ => self.read(link),
        }
    }

    /// The connection is there: sends the request.
    fn ask(&mut self, link: usize) -> Ended<()> {
        let is_reader = matches!(self.links[link].role, Role::Reader(_));
        let is_http2 = self.task.streams > 0 && is_reader;
        let mut request = Vec::new();
        match is_http2 {
            true => http2::write_preface(&mut request),
            false => request = self.request(link),
        }
        let address = self.place(link).address;
        let is_stalled = matches!(self.links[link].role, Role::Stalled(_));
        let entry = &mut self.links[link];
        let Some(transport) = &mut entry.socket else {
            return Ok(());
        };
        if let Some(errno) = socket::error(&transport.socket) {
            return Err(format!("cannot connect to {address}: {errno}"));
        }
        transport.send(&request)?;
        entry.phase = Phase::Asking;
        entry.session = is_http2.then(Box::default);
        if is_stalled {
            self.pending -= 1;
            self.connected += 1;
        }
        self.listen(link, is_stalled)
    }

    /// Waits for what the link has to read, and to write.
    fn listen(&self, link: usize, is_stalled: bool) -> Ended<()> {
        let Some(transport) = &self.links[link].socket else {
            return Ok(());
        };
        let flags = match (is_stalled, transport.wants_write()) {
            (true, _) => EventFlags::RDHUP,
            (false, true) => EventFlags::IN | EventFlags::OUT,
            (false, false) => EventFlags::IN,
        };
        let data = EventData::new_u64(link as u64);
        epoll::modify(&self.epoll, &transport.socket, data, flags)
            .map_err(|errno| format!("epoll: {errno}"))
    }

    fn request(&self, link: usize) -> Vec<u8> {
        let mut request = Vec::with_capacity(512);
        self.with_request(self.links[link].role, |fill, own| {
            self.place(link).write_request("GET", fill, &mut request);
            write_headers(own, &mut request);
            write_headers(&self.task.headers, &mut request);
        });
        request.extend_from_slice(b"\r\n");
        request
    }

    /// Gives what is particular about a subscriber's request: what fills its URL, and its own headers.
    fn with_request<T>(&self, role: Role, write: impl FnOnce(Fill<'_>, &[Header]) -> T) -> T {
        let mut fill = Fill::default();
        let mut last_id = None;
        let topic;
        match role {
            Role::Pattern(number) => fill.number = number,
            Role::Stalled(number) | Role::Reader(number) => {
                topic = self.task.topics.names.name(self.task.topics.topic(number));
                fill.topic = &topic;
                last_id = self.ids.get(number).and_then(|id| id.last.as_deref());
            }
        }
        let returning = self.returning.as_ref();
        let last_id = last_id.filter(|_| returning.is_some());
        let id_query = returning.and_then(|returning| returning.id_query.as_deref());
        fill.parameter = id_query.zip(last_id);
        let mut headers: Vec<Header> = vec![
            ("Accept".to_owned(), "text/event-stream".to_owned()),
            ("Cache-Control".to_owned(), "no-cache".to_owned()),
        ];
        if let (Some(id), None) = (last_id, id_query) {
            headers.push(("Last-Event-ID".to_owned(), id.to_owned()));
        }
        write(fill, &headers)
    }

    // Reading

    #[inline]
    fn read(&mut self, index: usize) -> Ended<()> {
        loop {
            let Some(transport) = &mut self.links[index].socket else {
                return Ok(());
            };
            let had_to_write = transport.wants_write();
            if had_to_write {
                transport.flush()?;
            }
            let moved = transport.receive(&mut self.buffer)?;
            let is_done = moved == Moved::Blocked || !transport.is_tls();
            match moved {
                Moved::Closed => return self.lose(index),
                Moved::Bytes(bytes) => self.take(index, bytes)?,
                Moved::Blocked => {}
            }
            let Some(transport) = &mut self.links[index].socket else {
                return Ok(());
            };
            if transport.wants_write() || had_to_write {
                transport.flush()?;
                self.listen(index, false)?;
            }
            // The kernel says again what is left of a plain socket; what TLS has taken from it, nobody says.
            if is_done {
                return Ok(());
            }
        }
    }

    /// Reads what is in the buffer.
    #[inline]
    fn take(&mut self, index: usize, count: usize) -> Ended<()> {
        let now_ns = now_ns().saturating_sub(self.task.origin_ns);
        self.last_ns = now_ns;
        self.books.read(count, now_ns);
        if self.links[index].session.is_some() {
            return self.take_frames(index, count, now_ns);
        }
        let link = &mut self.links[index];
        let mut bytes = &self.buffer[..count];
        loop {
            let piece = link
                .decoder
                .next(&mut bytes)
                .map_err(|why| why.0.to_owned())?;
            match (piece, link.phase) {
                (None, _) => return Ok(()),
                (Some(Piece::Head(head)), _) if head.is_success() => {
                    link.phase = Phase::Open;
                    self.pending -= 1;
                    self.connected += 1;
                }
                (Some(Piece::Head(head)), _) => link.phase = Phase::Refused(head.status),
                (Some(Piece::Data(data)), Phase::Refused(status)) => {
                    return Err(refusal(&self.task.place, status, data));
                }
                (Some(Piece::End), Phase::Refused(status)) => {
                    return Err(refusal(&self.task.place, status, b""));
                }
                (Some(Piece::End), _) => return self.lose(index),
                (Some(Piece::Data(data)), _) => {
                    if let Role::Reader(reader) = link.role {
                        self.books.data(reader, &mut link.carry, data, now_ns);
                        if let Some(id) = self.ids.get_mut(reader) {
                            id.read(data);
                        }
                    }
                }
            }
        }
    }

    /// The server ended a stream.
    fn lose(&mut self, index: usize) -> Ended<()> {
        let link = &mut self.links[index];
        match link.phase {
            Phase::Refused(status) => return Err(refusal(&self.task.place, status, b"")),
            Phase::Open => {}
            _ => return Err("the server closed a connection without an answer".to_owned()),
        }
        let is_http2 = link.session.is_some();
        link.close(Phase::Ended);
        if let Role::Reader(first) = link.role {
            let streams = if is_http2 { self.task.streams } else { 1 };
            let end = (first + streams).min(self.task.readers);
            (first..end).for_each(|reader| self.books.lose(reader));
        }
        Ok(())
    }

    // Orders and reports

    fn take_orders(&mut self) -> Ended<Next> {
        if !read_more(&mut self.input) {
            return Ok(Next::End(None));
        }
        while let Some(line) = take_line(&mut self.input) {
            let order = serde_json::from_slice(&line);
            match order.map_err(|why| format!("this is no order: {why}"))? {
                Order::Measure { from_ns, to_ns } => self.books.measure(from_ns..to_ns),
                Order::Leave => self.leave(),
                Order::Return(how) => {
                    self.source = how.source.map(Source::new);
                    self.returning = Some(how);
                    self.next = 0;
                }
                Order::Finish { published } => {
                    let tally = self.books.close(&published);
                    return Ok(Next::End(Some(Box::new(tally))));
                }
            }
        }
        Ok(Next::GoOn)
    }

    fn leave(&mut self) {
        for link in &mut self.links {
            link.close(Phase::Absent);
        }
        self.ids.iter_mut().for_each(IdReader::reconnect);
        self.connected = 0;
        self.pending = 0;
        self.next = self.links.len();
    }

    fn has_news(&self) -> bool {
        self.books.events() != self.reported.events || self.connected != self.reported.connected
    }

    /// How long until the next report is due; `None` if there is nothing to report.
    fn until_report(&self) -> Option<u64> {
        let due = self.reported_ns + self.task.report_ns;
        self.has_news()
            .then(|| due.saturating_sub(self.since_origin()))
    }

    fn report(&mut self) {
        if !self.has_news() {
            return;
        }
        let now_ns = self.since_origin();
        if now_ns < self.reported_ns + self.task.report_ns {
            return;
        }
        self.reported_ns = now_ns;
        self.reported = Progress {
            connected: self.connected,
            least: self.books.least(),
            events: self.books.events(),
            last_ns: self.last_ns,
            with_id: self.ids.iter().filter(|id| id.last.is_some()).count(),
        };
        tell(&News::Progress(self.reported));
    }
}

enum Next {
    GoOn,
    End(Option<Box<Tally>>),
}

fn refusal(place: &Place, status: u16, body: &[u8]) -> String {
    format!("GET {}: {}", place.authority, super::answered(status, body))
}
