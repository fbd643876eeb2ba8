//! What an earlier life of the hub left open. A hub that is stopped in order tells the end of every subscription; one that
//! crashed did not, and who reads its events would believe in subscribers that are gone. So at its start a hub looks through
//! the log and appends an end for each subscription that has none.
//!
//! It looks no further back than a stream can have lived, and reads beside everybody else: a log of an hour, read once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use tidewire_core::{MatcherSet, Position};
use tidewire_log::{Batch, Bounds, Locate, Presence as Told, Read, ReadAsk, Start};

use super::Presence;

/// How much is read at once.
const READ_BYTES: usize = 1 << 20;
/// How long a read may take to be worth another look.
const LOAD_TIME: Duration = Duration::from_secs(1);
/// How much later than its stream began a beginning may stand in the log.
const LATE_MS: u64 = 600_000;

/// Ends what the log's earlier lives, within these bounds, left open. `stream_life`: how long a stream may have lived; `None`:
/// for ever.
pub(super) fn close(presence: &Presence, bounds: Bounds, stream_life: Option<Duration>) {
    if bounds.head == bounds.tail {
        return;
    }
    let since = stream_life.and_then(|life| start(presence, bounds.tail, life));
    let left = left_open(presence, since.unwrap_or(bounds.head), bounds.tail);
    if left.is_empty() {
        return;
    }
    tracing::info!(
        count = left.len(),
        "subscriptions that an earlier life of this hub left open are ended"
    );
    presence.end_left(left);
}

/// Where the oldest stream may have begun that was open when the log ended; `None` where its last record does not show that.
fn start(presence: &Presence, tail: Position, life: Duration) -> Option<Position> {
    let batch = read(presence, tail.before())?;
    let past = batch.all_records().filter(|item| item.position() < tail);
    let newest_ms = past.map(|item| item.record().time_ms()).max();
    let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    let since = newest_ms?.saturating_sub(life_ms.saturating_add(LATE_MS));
    locate(presence, Start::Since(since))
}

fn locate(presence: &Presence, start: Start) -> Option<Position> {
    let (done, located) = channel();
    presence.log.locate(Locate {
        start,
        routing: MatcherSet::any(),
        done: Box::new(move |located| {
            // Nobody waits any more if the hub has gone.
            let _ = done.send(located.from);
        }),
    });
    located.recv().ok()
}

/// Follows the log up to `tail`; what has begun there and not ended.
fn left_open(presence: &Presence, mut from: Position, tail: Position) -> Vec<Told<'static>> {
    let mut open = HashMap::new();
    while from < tail {
        let Some(batch) = read(presence, from) else {
            break;
        };
        for item in batch.all_records().filter(|item| item.position() < tail) {
            let record = item.record();
            let Some(told) = Told::of(&record) else {
                continue;
            };
            let topic = told.modern_id(&presence.hub_path);
            if told.active {
                open.insert(topic, (item.position(), told));
            } else {
                open.remove(&topic);
            }
        }
        from = batch.next();
    }
    let mut open: Vec<_> = open.into_values().collect();
    open.sort_unstable_by_key(|(position, _)| *position);
    let ended = |(_, told)| Told {
        active: false,
        ..told
    };
    open.into_iter().map(ended).collect()
}

/// Reads on, however long it takes; `None` at the tail, or once the hub is gone.
fn read(presence: &Presence, mut from: Position) -> Option<Batch> {
    let waker = Waker::from(Arc::new(Parked(std::thread::current())));
    loop {
        if presence.state().is_stopped {
            return None;
        }
        let ask = ReadAsk {
            from,
            topics: None,
            bytes_max: READ_BYTES,
            records_max: usize::MAX,
        };
        match presence.log.read(&ask, &waker) {
            Read::Batch(batch) => return Some(batch),
            Read::AtTail => return None,
            Read::Loading => std::thread::park_timeout(LOAD_TIME),
            Read::Gap(gap) if gap.resume > from => from = gap.resume,
            Read::Gap(_) => return None,
        }
    }
}

/// A thread that waits for a read.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
