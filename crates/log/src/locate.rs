//! Where a subscriber starts: the decisions, the same for every log that can look things up at once.

use tidewire_core::{Cursor, MatcherSet, Position, RecordRef};

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

    /// The `count`-th newest of the records that readers may see and that are routed so, or the oldest of them if there are
    /// fewer. For patterns as far as [`CountBack`] looks.
    fn find_last(&self, count: u64, routing: &MatcherSet) -> Option<Position>;
}

/// So many records that match none of the patterns are looked at to find the last ones that do. No index knows them, and a
/// subscriber of something rare must not have a whole log read.
pub const UNMATCHED_RECORDS_MAX: u64 = 100_000;

/// Counts records back, the newest first, until enough of them are routed so. For what no index of topics can answer.
#[derive(Debug)]
pub struct CountBack<'a> {
    routing: &'a MatcherSet,
    floors: &'a Floors,
    left: u64,
    unmatched: u64,
    found: Option<Position>,
}

impl<'a> CountBack<'a> {
    /// Counts so many that readers may see.
    #[must_use]
    pub fn new(count: u64, routing: &'a MatcherSet, floors: &'a Floors) -> Self {
        Self {
            routing,
            floors,
            left: count,
            unmatched: 0,
            found: None,
        }
    }

    /// Whether another record is to be looked at.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.left > 0 && self.unmatched < UNMATCHED_RECORDS_MAX
    }

    /// Looks at the next older record.
    pub fn look(&mut self, record: &RecordRef<'_>) {
        if !record.topics().any(|topic| self.routing.accepts(topic)) {
            self.unmatched += 1;
        } else if !self.floors.hides(record) {
            self.found = Some(record.position());
            self.left -= 1;
        }
    }

    /// The oldest that was counted.
    #[must_use]
    pub fn found(&self) -> Option<Position> {
        self.found
    }
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
        Start::Last(count) => at(log.find_last(*count, routing).unwrap_or(log.tail())),
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

/// What of a log finds the records that are routed so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundBy<'a> {
    /// All are.
    Every,
    /// Those of these topics, which an index knows.
    Topics(Vec<&'a [u8]>),
    /// None but a look at each: [`CountBack`].
    Look,
}

impl<'a> FoundBy<'a> {
    /// Of these matchers.
    #[must_use]
    pub fn of(routing: &'a MatcherSet) -> Self {
        match routing.exact_topics() {
            _ if routing.is_any() => Self::Every,
            Some(topics) => Self::Topics(topics.iter().map(|topic| topic.as_bytes()).collect()),
            None => Self::Look,
        }
    }
}

#[cfg(test)]
mod tests {
    use tidewire_core::{Epoch, PatternLimits, Patterns, Topic};

    use super::*;
    use crate::{Block, Event, encode_record};

    #[test]
    fn a_look_back_has_its_limit_in_what_matches_nothing() {
        let block = |name| {
            let mut bytes = Vec::new();
            let event = Event::new(Topic::parse(name).unwrap(), "", 0);
            let entry = encode_record(&event, Cursor::new(Epoch(1), Position(7)), 0, &mut bytes);
            Block::new(bytes, vec![entry])
        };
        let patterns = Patterns::new(PatternLimits::default());
        let routing = MatcherSet::from_iter([patterns.selector("a/{x}").unwrap()]);
        let floors = Floors::default();
        let (wanted, other) = (block("a/1"), block("b/1"));
        let mut counted = CountBack::new(2, &routing, &floors);
        counted.look(&wanted.record(0));
        for _ in 0..UNMATCHED_RECORDS_MAX {
            assert!(counted.goes_on());
            counted.look(&other.record(0));
        }
        assert!(!counted.goes_on());
        assert_eq!(counted.found(), Some(Position(7)));

        let mut counted = CountBack::new(2, &routing, &floors);
        counted.look(&wanted.record(0));
        assert!(counted.goes_on());
        counted.look(&wanted.record(0));
        assert!(!counted.goes_on());
    }
}
