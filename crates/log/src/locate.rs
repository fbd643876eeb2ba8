//! Where a subscriber starts: the decisions, the same for every log that can look things up at once.

use tidewire_core::{Cursor, MatcherSet, Position};

use crate::{Floors, Gap, GapReason, Lives, Located, Start};

/// What a log looks up for [`locate`]. All of it at one moment.
pub trait Lookup {
    /// The lowest position that can be read.
    fn head(&self) -> Position;

    /// The next position to be written.
    fn tail(&self) -> Position;

    /// Its lives.
    fn lives(&self) -> &Lives;

    /// Its floors.
    fn floors(&self) -> &Floors;

    /// The earliest record kept with this publisher id.
    fn find_id(&self, id: &str) -> Option<Position>;

    /// The first record kept of this time or later, in milliseconds since 1970.
    fn find_time(&self, time_ms: u64) -> Option<Position>;

    /// The `count`-th newest of the records that readers may see and that have one of these topics (`None`: any), or the
    /// oldest of them if there are fewer.
    fn find_last(&self, count: u64, topics: Option<&[&[u8]]>) -> Option<Position>;
}

/// Where a subscriber starts that wants this and routes that.
#[must_use]
pub fn locate(log: &impl Lookup, start: &Start, routing: &MatcherSet) -> Located {
    let at = |from| Located { from, gap: None };
    match start {
        Start::Tail => at(log.tail()),
        Start::Head => at(log.head()),
        Start::After(cursor) => after(log, *cursor, routing),
        Start::AfterId(id) => match (log.find_id(id), Cursor::parse(id)) {
            (Some(position), _) => resumed(log, position.next(), routing),
            (None, Some(cursor)) => after(log, cursor, routing),
            (None, None) => missing(Gap {
                reason: GapReason::Unknown,
                resume: log.tail(),
            }),
        },
        Start::Since(time_ms) => since(log, *time_ms),
        Start::Last(count) => at(last(log, *count, routing).unwrap_or(log.tail())),
    }
}

fn after(log: &impl Lookup, cursor: Cursor, routing: &MatcherSet) -> Located {
    match log.lives().resume(cursor, log.head(), log.tail()) {
        Ok(from) => resumed(log, from, routing),
        Err(gap) => missing(gap),
    }
}

/// A time before the oldest record kept, of a log that has dropped some, may lie before a record that was dropped.
fn since(log: &impl Lookup, time_ms: u64) -> Located {
    let from = log.find_time(time_ms).unwrap_or(log.tail());
    let resume = log.head();
    let dropped = from == resume && resume > Position::FIRST;
    let gap = dropped.then_some(Gap {
        reason: GapReason::Expired,
        resume,
    });
    Located { from, gap }
}

/// The log still holds all from here on, but a topic's own shorter retention may have hidden some of it.
fn resumed(log: &impl Lookup, from: Position, routing: &MatcherSet) -> Located {
    let gap = log.floors().missed(from, routing).map(|_| Gap {
        reason: GapReason::Expired,
        resume: from,
    });
    Located { from, gap }
}

fn missing(gap: Gap) -> Located {
    Located {
        from: gap.resume,
        gap: Some(gap),
    }
}

fn last(log: &impl Lookup, count: u64, routing: &MatcherSet) -> Option<Position> {
    let exact = routing.exact_topics();
    let topics: Option<Vec<&[u8]>> =
        exact.map(|topics| topics.into_iter().map(|topic| topic.as_bytes()).collect());
    log.find_last(count, topics.as_deref())
}
