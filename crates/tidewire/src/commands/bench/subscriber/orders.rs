//! What a subscriber process is told on its standard input, and what it tells its parent.

use std::io::Write;

use super::super::socket::Source;
use super::super::wire::{News, Order, Progress, Tally};
use super::ids::IdReader;
use super::link::{Phase, Role};
use super::{Ended, Worker};
use crate::failure::Outcome;

/// Reads a line of standard input; what follows it stays in `input`.
pub(super) fn read_line(input: &mut Vec<u8>) -> Outcome<Option<Vec<u8>>> {
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
pub(super) fn read_more(input: &mut Vec<u8>) -> bool {
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
pub(super) fn tell(news: &News) {
    if let Ok(mut line) = serde_json::to_vec(news) {
        line.push(b'\n');
        let _ = std::io::stdout().lock().write_all(&line);
        let _ = std::io::stdout().lock().flush();
    }
}

/// What an order comes to.
pub(super) enum Next {
    GoOn,
    End(Box<Tally>),
}

impl Worker {
    pub(super) fn take_orders(&mut self) -> Ended<Next> {
        while let Some(line) = take_line(&mut self.input) {
            let order = serde_json::from_slice(&line);
            match order.map_err(|why| format!("this is no order: {why}"))? {
                Order::Measure { from_ns, to_ns } => self.books.measure(from_ns..to_ns),
                Order::Leave => self.leave(),
                Order::ReadAgain => self.read_again()?,
                Order::Return(how) => {
                    self.source = how.source.map(Source::new);
                    self.returning = Some(how);
                    self.next = 0;
                }
                Order::Finish { published } => {
                    let mut tally = self.books.close(&published);
                    tally.stalled = self.late.close(&published);
                    return Ok(Next::End(Box::new(tally)));
                }
            }
        }
        Ok(Next::GoOn)
    }

    /// Those that never read begin to.
    fn read_again(&mut self) -> Ended<()> {
        self.late.is_reading = true;
        for link in 0..self.links.len() {
            let is_stalled = matches!(self.links[link].role, Role::Stalled(_));
            if is_stalled && self.links[link].phase == Phase::Asking {
                self.listen(link, false)?;
            }
        }
        Ok(())
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
        self.books.events() != self.reported.events
            || self.connected != self.reported.connected
            || self.late.bytes != self.reported.late_bytes
    }

    /// How long until the next report is due; `None` if there is nothing to report.
    pub(super) fn until_report(&self) -> Option<u64> {
        let due = self.reported_ns + self.task.report_ns;
        self.has_news()
            .then(|| due.saturating_sub(self.since_origin()))
    }

    pub(super) fn report(&mut self) {
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
            late_bytes: self.late.bytes,
            with_id: self.ids.iter().filter(|id| id.last.is_some()).count(),
        };
        tell(&News::Progress(self.reported));
    }
}
