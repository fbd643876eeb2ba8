//! The plain model: a list of what was published, and for a filter what of it must be seen. Written without a look at the
//! engine's own matching, positions and lives, and slow on purpose.

use std::sync::LazyLock;

use tidewire_core::{
    Cursor, Epoch, Filter, Matcher, MatcherSet, PatternLimits, Patterns, Position, Topic,
};

use crate::rng::Rng;

/// Every topic of the world. The last two fall under a rule, where a log has one.
pub const TOPICS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "short/a", "short/b"];

/// How the topics under the rule start.
pub const RULE_PREFIX: &str = "short/";

/// Topics as bits, in the order of [`TOPICS`].
pub type Bits = u16;

const SHORT: Bits = 0b11 << 8;

/// Every topic of one segment.
const SINGLE: Bits = 0xff;

/// Templates, and the topics that they match.
const TEMPLATES: [(&str, Bits); 4] = [
    ("{+all}", SINGLE | SHORT),
    ("{name}", SINGLE),
    // Of too many expressions to be quick: it is found by a gram, and tried.
    (
        "short/{name}{.a}{.b}{.c}{.d}{.e}{.f}{.g}{.h}{.i}{.j}",
        SHORT,
    ),
    ("short/{name}", SHORT),
];
const TRIED: usize = 2;

static PATTERNS: LazyLock<[(Matcher, Bits); 4]> = LazyLock::new(|| {
    let patterns = Patterns::new(PatternLimits::default());
    TEMPLATES.map(|(text, bits)| (patterns.selector(text).expect("a template"), bits))
});

/// A published event, as the log acknowledged it.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its hub id.
    pub cursor: Cursor,
    /// Its topics.
    pub topics: Bits,
    /// Whether a grant is needed.
    pub private: bool,
    /// Its data starts with this, which no other event has.
    pub number: u64,
    /// Its publisher's id.
    pub id: Option<String>,
}

impl Published {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.cursor.seen()
    }

    /// The id that readers are shown.
    #[must_use]
    pub fn shown_id(&self) -> String {
        self.id.clone().unwrap_or_else(|| self.cursor.to_string())
    }

    /// Whether it falls under the rule: all of its topics do.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.topics & !SHORT == 0
    }
}

/// What a subscriber wants, as bits; everything if `None`.
#[derive(Clone, Copy, Debug)]
pub struct Wants {
    /// The topics it routes.
    pub routing: Option<Bits>,
    /// The topics whose private events it may read.
    pub private: Option<Bits>,
    /// It names by a pattern what one names.
    pub in_patterns: bool,
}

impl Wants {
    /// Some topics, seldom all, and some grants.
    pub fn random(rng: &mut Rng) -> Self {
        let mut set = |any, none| {
            if rng.percent(any) {
                None
            } else if rng.percent(none) {
                Some(0)
            } else {
                let topics = rng.pick(&[1, 1, 3]);
                let more = rng.pick(&[0, 0, 0, 0, SINGLE, SHORT]);
                Some((0..topics).fold(more, |bits, _| bits | 1 << rng.below(TOPICS.len() as u64)))
            }
        };
        Self {
            routing: set(20, 1),
            private: set(20, 40),
            in_patterns: rng.percent(50),
        }
    }

    /// Whether it must get this event.
    #[must_use]
    pub fn accepts(&self, event: &Published) -> bool {
        let hits = |set: Option<Bits>| set.is_none_or(|bits| bits & event.topics != 0);
        hits(self.routing) && (!event.private || hits(self.private))
    }

    /// Whether the rule could hide something from it, as far as a pattern's beginning tells.
    #[must_use]
    pub fn concerns_rule(&self) -> bool {
        let open = self.in_patterns && self.routing.is_some_and(|bits| bits & SINGLE == SINGLE);
        open || self.routing.is_none_or(|bits| bits & SHORT != 0)
    }

    /// As the engine takes it.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter {
            routing: self.matchers(self.routing),
            private: self.matchers(self.private),
        }
    }

    fn matchers(&self, bits: Option<Bits>) -> MatcherSet {
        if self.in_patterns {
            return in_patterns(bits.unwrap_or(SINGLE | SHORT));
        }
        bits.map_or_else(MatcherSet::any, |bits| names(bits).collect())
    }
}

/// The widest patterns that match nothing else, and the names of what they leave.
fn in_patterns(bits: Bits) -> MatcherSet {
    let mut left = bits;
    let mut matchers = Vec::new();
    for (at, (pattern, matched)) in PATTERNS.iter().enumerate() {
        // Of the two for the same topics, one or the other.
        let other = at == TRIED && bits & 1 == 1;
        if left & matched == *matched && !other {
            left &= !matched;
            matchers.push(pattern.clone());
        }
    }
    matchers.into_iter().chain(names(left)).collect()
}

fn names(bits: Bits) -> impl Iterator<Item = Matcher> {
    topics(bits).into_iter().map(Matcher::Exact)
}

/// The topics of these bits.
#[must_use]
pub fn topics(bits: Bits) -> Vec<Topic> {
    let named = |(index, name): (usize, &&str)| {
        (bits & 1 << index != 0).then(|| Topic::parse(name).expect("a fine name"))
    };
    TOPICS.iter().enumerate().filter_map(named).collect()
}

/// What was published to one log, and under which epochs.
#[derive(Clone, Debug)]
pub struct Model {
    events: Vec<Published>,
    /// Each life's name and first position.
    lives: Vec<(Epoch, Position)>,
}

impl Model {
    /// Nothing yet.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self {
            events: Vec::new(),
            lives: vec![(epoch, Position::FIRST)],
        }
    }

    /// Notes an event.
    pub fn publish(&mut self, event: Published) {
        self.events.push(event);
    }

    /// Notes a life that began where the next event will stand.
    pub fn begin_life(&mut self, epoch: Epoch, tail: Position) {
        self.lives.push((epoch, tail));
    }

    /// Everything that was published.
    #[must_use]
    pub fn events(&self) -> &[Published] {
        &self.events
    }

    /// The event whose data starts with this number.
    #[must_use]
    pub fn by_number(&self, number: u64) -> Option<&Published> {
        let at = self
            .events
            .binary_search_by_key(&number, |e| e.number)
            .ok()?;
        Some(&self.events[at])
    }

    /// What stands in a range of positions, the end excluded.
    #[must_use]
    pub fn between(&self, from: Position, to: Position) -> &[Published] {
        let at = |position| self.events.partition_point(|e| e.position() < position);
        &self.events[at(from)..at(to).max(at(from))]
    }

    /// Where the holder of a cursor must read on; `None`: it must be told a gap.
    #[must_use]
    pub fn resume(&self, cursor: Cursor, head: Position, tail: Position) -> Option<Position> {
        let next = Position(cursor.seen().0.checked_add(1)?);
        let life = self
            .lives
            .iter()
            .position(|life| life.0 == cursor.epoch())?;
        let end = self.lives.get(life + 1).map_or(tail, |after| after.1);
        (self.lives[life].1 <= next && next <= end && next >= head).then_some(next)
    }

    /// Whether a later life begins where this cursor's ends, and the log keeps nothing of the earlier one: it may have
    /// forgotten that epoch and call a gap what is none.
    #[must_use]
    pub fn is_forgotten(&self, cursor: Cursor, head: Position) -> bool {
        let life = self.lives.iter().position(|life| life.0 == cursor.epoch());
        life.and_then(|life| self.lives.get(life + 1))
            .is_some_and(|after| after.1 <= head)
    }
}
