//! One page: what is stored after a cursor, as one JSON document, and the next cursor. With `wait`, an empty page waits for
//! an event.
//!
//! A page is a bounded read, not a stream: it reads the log as a shard's step does, and waits by means of a stream that tells
//! it when something it wants was published.

use std::future::poll_fn;
use std::task::Poll;

use serde_json::{Value, json};
use tidewire_core::{Cursor, Filter, Form, Grant, Position};
use tidewire_engine::driver::pull::PullStream;
use tidewire_engine::{Checkpoint, Subscription};
use tidewire_log::{Gap, Located, Read, ReadAsk};
use tokio::time::Instant;

use crate::ask::Ask;
use crate::counters::Reason;
use crate::front::{Front, random_u64};
use crate::problem::Problem;
use crate::revocations::Admitted;
use crate::stream::ends_ms;
use crate::streams::Post;

/// A page that has grown to this many bytes is answered, in bytes.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// How much of the log one read looks at, in bytes and records.
const READ_BYTES_MAX: usize = 1 << 20;
const READ_RECORDS_MAX: usize = 4096;
/// How many reads may find nothing before the page is answered with the cursor they have reached.
const READS_MAX: usize = 256;

struct Page {
    events: Vec<u8>,
    count: usize,
    next: Position,
    gap: Option<(String, Gap)>,
}

/// Reads a page from where the log says the subscriber starts.
pub(crate) async fn read(
    front: &Front,
    ask: &Ask,
    filter: Filter,
    located: Located,
    grant: &Grant,
    admitted: Admitted,
) -> Result<Vec<u8>, Problem> {
    front.counting().pages.one();
    let deadline = Instant::now() + ask.page.wait;
    let mut page = Page {
        events: Vec::new(),
        count: 0,
        next: located.from,
        gap: located.gap.map(|gap| (ask.from.asked.clone(), gap)),
    };
    loop {
        let at_tail = fill(front, &filter, ask.page.events_max, &mut page).await;
        let is_empty = page.count == 0 && page.gap.is_none();
        if !(is_empty && at_tail) || Instant::now() >= deadline || front.is_draining() {
            front.still_admitted(admitted, grant)?;
            return Ok(encode(front, &page));
        }
        let slot = front.slots().take_waiting().ok_or_else(|| {
            Problem::unavailable("as many subscribers are connected as this hub serves; ask without `wait`, or later")
                .because(Reason::Subscribers)
        })?;
        wait(front, &filter, page.next, deadline, grant).await;
        drop(slot);
        front.still_good(grant)?;
    }
}

/// Reads on until the page is full; true if it has reached the tail.
async fn fill(front: &Front, filter: &Filter, events_max: usize, page: &mut Page) -> bool {
    let exact = filter.routing.exact_topics();
    let topics: Option<Vec<&[u8]>> =
        exact.map(|topics| topics.iter().map(|topic| topic.as_bytes()).collect());
    for _ in 0..READS_MAX {
        let ask = ReadAsk {
            from: page.next,
            topics: topics.as_deref(),
            bytes_max: READ_BYTES_MAX,
            records_max: READ_RECORDS_MAX,
        };
        let read = poll_fn(|cx| match front.log().read(&ask, cx.waker()) {
            Read::Loading => Poll::Pending,
            read => Poll::Ready(read),
        });
        match read.await {
            Read::Batch(batch) => {
                for item in batch.records() {
                    let record = item.record();
                    if filter.accepts(record.topics(), record.private()) {
                        if page.count > 0 {
                            page.events.push(b',');
                        }
                        page.events
                            .extend_from_slice(item.frame(Form::Ndjson).bare().trim_ascii_end());
                        page.count += 1;
                    }
                    if page.count >= events_max || page.events.len() >= PAGE_BYTES_MAX {
                        page.next = item.position().next();
                        return false;
                    }
                }
                page.next = batch.next();
            }
            Read::Gap(gap) => {
                let asked = front.log().cursor_at(page.next).to_string();
                page.gap.get_or_insert((asked, gap));
                page.next = gap.resume;
                if page.count > 0 {
                    return false;
                }
            }
            Read::AtTail | Read::Loading => return true,
        }
        tokio::task::yield_now().await;
    }
    false
}

/// Waits until something was published that the filter accepts, or the grant ends.
async fn wait(front: &Front, filter: &Filter, from: Position, deadline: Instant, grant: &Grant) {
    let subscription = Subscription {
        feed: front.feed().clone(),
        filter: filter.clone(),
        from,
        gap: None,
        form: Form::Ndjson,
        checkpoint: Checkpoint::Off,
        stream: String::new(),
        ends_ms: ends_ms(front, grant),
        marks: front.streams().marks_of(grant),
        seen_as: 0,
    };
    let mut stream = PullStream::new(&front.settings().streams, random_u64(), subscription);
    let _registration = front.streams().register(Post::Stream(stream.ender()));
    // Once it can be told: a revocation that came before is seen here.
    if front.still_good(grant).is_err() {
        return;
    }
    let something = poll_fn(|cx| match stream.poll_next(cx) {
        // A blank line is a heartbeat.
        Poll::Ready(Some(bytes)) if bytes.trim_ascii().is_empty() => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        other => other.map(|_| ()),
    });
    tokio::select! {
        () = something => {}
        () = tokio::time::sleep_until(deadline) => {}
        () = front.drained() => {}
    }
}

fn encode(front: &Front, page: &Page) -> Vec<u8> {
    let log = front.log();
    let cursor = |position: Position| log.cursor_at(position).to_string();
    let next: Cursor = log.cursor_at(page.next);
    let gap = page.gap.as_ref().map_or(Value::Null, |(asked, gap)| {
        json!({
            "asked": asked,
            "oldest": cursor(gap.resume),
            "newest": cursor(log.bounds().tail),
            "reason": gap.reason.as_str(),
        })
    });
    let mut body = b"{\"events\":[".to_vec();
    body.extend_from_slice(&page.events);
    body.extend_from_slice(format!("],\"next\":\"{next}\"").as_bytes());
    if !gap.is_null() {
        body.extend_from_slice(format!(",\"gap\":{gap}").as_bytes());
    }
    body.extend_from_slice(b"}\n");
    body
}
