//! A subscriber's connections on their way to their streams: connect, ask, wait for what comes.

use rustix::event::epoll::{self, EventData, EventFlags};

use super::super::http2;
use super::super::socket;
use super::super::target::{Header, Place, write_headers};
use super::super::template::Fill;
use super::super::tls::Transport;
use super::link::{Phase, Role};
use super::{Ended, Worker};

impl Worker {
    pub(super) fn connect_some(&mut self) -> Ended<()> {
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

    pub(super) fn place(&self, link: usize) -> &Place {
        match (self.links[link].role, &self.task.patterns) {
            (Role::Pattern(_), Some(patterns)) => &patterns.place,
            (Role::Stalled(_), _) => &self.task.stalled_place,
            _ => &self.task.place,
        }
    }

    pub(super) fn ready(&mut self, link: usize) -> Ended<()> {
        match (self.links[link].phase, self.links[link].role) {
            (Phase::Connecting, _) => self.ask(link),
            (Phase::Absent | Phase::Ended, _) => Ok(()),
            (_, Role::Stalled(_)) if !self.late.is_reading => self.lose(link),
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
    pub(super) fn listen(&self, link: usize, is_stalled: bool) -> Ended<()> {
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
    pub(super) fn with_request<T>(
        &self,
        role: Role,
        write: impl FnOnce(Fill<'_>, &[Header]) -> T,
    ) -> T {
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
}
