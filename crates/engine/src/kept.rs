//! A subscriber as its shard keeps it: 64 bytes and its sink, for there may be a million idle ones. What few of them have is in
//! a box of its own for as long as they have it. No queue (invariant 5).

use tidewire_core::{Form, Position};

use crate::filters::FilterId;
use crate::index::Edges;
use crate::tell::{Tell, Tells};
use crate::ticks::{Tick, TickClock, Ticks};
use crate::{Checkpoint, Marks};

/// A subscriber.
pub(crate) struct Subscriber<S> {
    pub(crate) sink: S,
    /// Its cursor: the next position it wants. At the tail only a lower bound; see [`crate::feed::Tail`].
    pub(crate) next: Position,
    rare: Option<Box<Rare>>,
    /// How many events' frames its sink took.
    pub(crate) delivered: Count,
    flags: Flags,
    /// When its sink was last offered something: since then it is silent, or stands still.
    pub(crate) since: Tick,
    /// The deadline that the wheel holds for it.
    pub(crate) armed: Tick,
    joined: Tick,
    /// Its key's second half; its jitter follows from it.
    pub(crate) join: u32,
    pub(crate) feed: u32,
    pub(crate) filter: FilterId,
    pub(crate) edges: Edges,
    place: PackedPlace,
}

// So that it does not creep: with its sink (a socket is 24 bytes) and what index and wheel hold for it, an idle subscriber
// takes about a hundred bytes.
const _: () = assert!(size_of::<Subscriber<()>>() <= 64);

/// What a subscriber is made of.
pub(crate) struct Joining<S> {
    pub(crate) sink: S,
    pub(crate) next: Position,
    pub(crate) now: Tick,
    pub(crate) join: u32,
    pub(crate) feed: u32,
    pub(crate) form: Form,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) tells: Tells,
    /// When its grant ends.
    pub(crate) grant_at_ms: Option<u64>,
    /// Whose grant it is.
    pub(crate) marks: Marks,
    pub(crate) seen_as: u64,
    /// Of the gap that its opening tells: it stands for that of any floor.
    pub(crate) floor_told: bool,
    pub(crate) filter: FilterId,
    pub(crate) edges: Edges,
}

/// What few subscribers have, or all of them for a moment.
struct Rare {
    /// What it has yet to be told.
    tells: Tells,
    /// The highest floor of a shorter retention that it was told of.
    floor: Position,
    /// When its grant ends, in milliseconds of the shard's clock.
    grant_at_ms: Option<u64>,
    /// Whose grant it is.
    marks: Marks,
    /// As what others see it.
    seen_as: u64,
}

// Every subscriber with a token has one.
const _: () = assert!(size_of::<Rare>() <= 80);

impl Rare {
    const NONE: Self = Self {
        tells: Tells::NONE,
        floor: Position(0),
        grant_at_ms: None,
        marks: Marks::NONE,
        seen_as: 0,
    };

    fn is_none(&self) -> bool {
        self.tells.is_empty()
            && self.floor == Position(0)
            && self.grant_at_ms.is_none()
            && self.marks.is_none()
            && self.seen_as == 0
    }
}

/// Where a subscriber reads.
///
/// ```text
///            AtTail, or up to the tail's cursor
///  Behind ───────────────────────────────────────▶ Tail
///   ▲   │                                           │
///   │   └── Full ──▶ Standing ◀── Full ─────────────┘
///   └─ handle_writable ──┘
/// ```
///
/// Joining is standing in [`Place::Behind`]; ending is possible everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// With everyone at the tail.
    Tail,
    /// In the cohort of its block.
    Behind {
        cohort: u32,
        /// Index among the cohort's members.
        slot: u32,
    },
    /// Nowhere: its sink is full.
    Standing,
}

/// A [`Place`] in eight bytes: two numbers that are no cohort's stand for the places without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PackedPlace {
    cohort: u32,
    slot: u32,
}

impl PackedPlace {
    const TAIL: u32 = u32::MAX;
    const STANDING: u32 = u32::MAX - 1;

    fn pack(place: Place) -> Self {
        let (cohort, slot) = match place {
            Place::Tail => (Self::TAIL, 0),
            Place::Standing => (Self::STANDING, 0),
            Place::Behind { cohort, slot } => (cohort, slot),
        };
        Self { cohort, slot }
    }

    fn unpack(self) -> Place {
        match self.cohort {
            Self::TAIL => Place::Tail,
            Self::STANDING => Place::Standing,
            cohort => Place::Behind {
                cohort,
                slot: self.slot,
            },
        }
    }
}

/// A count in six bytes; it stays at its greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count([u16; 3]);

impl Count {
    const MAX: u64 = (1 << 48) - 1;

    pub(crate) fn add(&mut self, more: u64) {
        let sum = self.total().saturating_add(more).min(Self::MAX);
        let [a, b, c, ..] = [0, 16, 32, 48].map(|shift| (sum >> shift) as u16);
        self.0 = [a, b, c];
    }

    pub(crate) fn total(self) -> u64 {
        let [a, b, c] = self.0.map(u64::from);
        c << 32 | b << 16 | a
    }
}

/// Yes and no, and the few choices that a stream is opened with, in two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flags(u16);

impl Flags {
    /// Its sink was offered something.
    const OPENED: u16 = 1 << 0;
    /// It stands in the list of those who have to be told something.
    const LISTED: u16 = 1 << 1;
    /// The read that is being delivered is for it.
    const SERVED: u16 = 1 << 2;
    /// It need not be told any more that its grant ends.
    const EXPIRING_TOLD: u16 = 1 << 3;
    /// A floor that is not known yet was told.
    const FLOOR_TOLD: u16 = 1 << 4;
    /// Its cursor has moved past what its client was last given an id for.
    const AHEAD: u16 = 1 << 5;
    const FORM: u16 = 6;
    const CHECKPOINT: u16 = 8;

    fn new(form: Form, checkpoint: Checkpoint) -> Self {
        let form: u16 = match form {
            Form::EventStream => 0,
            Form::Labelled => 1,
            Form::Ndjson => 2,
            Form::Legacy => 3,
        };
        let checkpoint: u16 = match checkpoint {
            Checkpoint::Event => 0,
            Checkpoint::Id => 1,
            Checkpoint::Off => 2,
        };
        Self(form << Self::FORM | checkpoint << Self::CHECKPOINT)
    }

    fn form(self) -> Form {
        match self.0 >> Self::FORM & 3 {
            0 => Form::EventStream,
            1 => Form::Labelled,
            2 => Form::Ndjson,
            _ => Form::Legacy,
        }
    }

    fn checkpoint(self) -> Checkpoint {
        match self.0 >> Self::CHECKPOINT & 3 {
            0 => Checkpoint::Event,
            1 => Checkpoint::Id,
            _ => Checkpoint::Off,
        }
    }

    fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    /// Sets or clears a flag; what it was.
    fn replace(&mut self, flag: u16, on: bool) -> bool {
        let was = self.has(flag);
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
        was
    }
}

/// How long a shard's streams may be silent, stand still and live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) clock: TickClock,
    pub(crate) seed: u64,
    pub(crate) quiet: Ticks,
    pub(crate) life: Ticks,
    pub(crate) stall: Ticks,
    pub(crate) expiring_ms: u64,
}

/// What of a subscriber is left to chance. It follows from the shard's seed and the subscriber's key, and so takes no memory.
#[derive(Clone, Copy)]
enum Chance {
    Quiet,
    Life,
    /// The first heartbeat comes anywhere within its time: joined together is not beating together.
    Phase,
}

impl Pace {
    /// Jitter from a seed: splitmix64.
    fn chance(&self, join: u32, of: Chance) -> u32 {
        let step = u64::from(join) * 4 + of as u64 + 1;
        let mut mixed = self
            .seed
            .wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }
}

impl<S> Subscriber<S> {
    /// A subscriber that is nowhere yet.
    pub(crate) fn new(joining: Joining<S>, pace: &Pace) -> Self {
        let rare = Rare {
            tells: joining.tells,
            grant_at_ms: joining.grant_at_ms,
            marks: joining.marks,
            seen_as: joining.seen_as,
            ..Rare::NONE
        };
        let quiet = pace.quiet.most(pace.chance(joining.join, Chance::Quiet));
        let phase = quiet.some(pace.chance(joining.join, Chance::Phase));
        let mut flags = Flags::new(joining.form, joining.checkpoint);
        flags.replace(Flags::FLOOR_TOLD, joining.floor_told);
        flags.replace(Flags::EXPIRING_TOLD, rare.grant_at_ms.is_none());
        Self {
            sink: joining.sink,
            next: joining.next,
            rare: (!rare.is_none()).then(|| Box::new(rare)),
            delivered: Count::default(),
            flags,
            since: joining.now.before(phase),
            armed: Tick::NEVER,
            joined: joining.now,
            join: joining.join,
            feed: joining.feed,
            filter: joining.filter,
            edges: joining.edges,
            place: PackedPlace::pack(Place::Standing),
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place.unpack()
    }

    pub(crate) fn set_place(&mut self, place: Place) {
        self.place = PackedPlace::pack(place);
        debug_assert_eq!(self.place(), place);
    }

    pub(crate) fn is_at_tail(&self) -> bool {
        self.place.cohort == PackedPlace::TAIL
    }

    pub(crate) fn is_standing(&self) -> bool {
        self.place.cohort == PackedPlace::STANDING
    }

    pub(crate) fn form(&self) -> Form {
        self.flags.form()
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.flags.checkpoint()
    }

    /// Notes that its sink is offered something; whether that had happened before.
    pub(crate) fn open(&mut self) -> bool {
        self.flags.replace(Flags::OPENED, true)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.flags.has(Flags::OPENED)
    }

    /// Notes whether it is listed to be told something; whether it was.
    pub(crate) fn set_listed(&mut self, on: bool) -> bool {
        self.flags.replace(Flags::LISTED, on)
    }

    /// Notes whether a read is being delivered to it; whether one was.
    pub(crate) fn set_served(&mut self, on: bool) -> bool {
        self.flags.replace(Flags::SERVED, on)
    }

    pub(crate) fn is_served(&self) -> bool {
        self.flags.has(Flags::SERVED)
    }

    /// Notes that it need not be told any more that its grant ends; whether that was so before.
    pub(crate) fn tell_expiring(&mut self) -> bool {
        self.flags.replace(Flags::EXPIRING_TOLD, true)
    }

    /// Its cursor, given that of its feed's tail.
    pub(crate) fn cursor(&self, tail: Position) -> Position {
        if self.is_at_tail() {
            self.next.max(tail)
        } else {
            self.next
        }
    }

    /// Its client was given an id for all that lies before `next`.
    pub(crate) fn give_id(&mut self, next: Position) {
        debug_assert!(next >= self.next, "invariant 4: a cursor moves on");
        self.next = next;
        self.flags.replace(Flags::AHEAD, false);
    }

    /// Moves its cursor past what its filter refused, or what will be told as a gap.
    pub(crate) fn advance(&mut self, next: Position) {
        if next > self.next {
            self.flags.replace(Flags::AHEAD, true);
        }
        self.next = next;
    }

    /// Whether its cursor, which is `cursor`, has moved past what its client was last given an id for.
    pub(crate) fn is_ahead(&self, cursor: Position) -> bool {
        self.flags.has(Flags::AHEAD) || cursor > self.next
    }

    /// What it has yet to be told.
    pub(crate) fn tells(&self) -> &[Tell] {
        self.rare.as_ref().map_or(&[], |rare| rare.tells.as_slice())
    }

    pub(crate) fn tells_mut<T>(&mut self, change: impl FnOnce(&mut Tells) -> T) -> T {
        self.with_rare(|rare| change(&mut rare.tells))
    }

    /// The highest floor that it was told of; `None` if the opening's gap stands for the first.
    pub(crate) fn floor(&self) -> Option<Position> {
        let known = self.rare.as_ref().map_or(Position(0), |rare| rare.floor);
        (!self.flags.has(Flags::FLOOR_TOLD)).then_some(known)
    }

    pub(crate) fn set_floor(&mut self, floor: Position) {
        self.flags.replace(Flags::FLOOR_TOLD, false);
        if self.rare.is_some() || floor > Position(0) {
            self.with_rare(|rare| rare.floor = floor);
        }
    }

    pub(crate) fn grant_at_ms(&self) -> Option<u64> {
        self.rare.as_ref()?.grant_at_ms
    }

    /// Whose grant it runs on.
    pub(crate) fn marks(&self) -> Marks {
        self.rare.as_ref().map_or(Marks::NONE, |rare| rare.marks)
    }

    /// As what others see it; zero: not at all.
    pub(crate) fn seen_as(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.seen_as)
    }

    /// It runs on another grant. What it was about to be told of the other one's end is not so any more.
    pub(crate) fn set_grant(&mut self, grant_at_ms: Option<u64>, marks: Marks) {
        if self.grant_at_ms() != grant_at_ms {
            self.flags
                .replace(Flags::EXPIRING_TOLD, grant_at_ms.is_none());
            self.tells_mut(Tells::forget_expiring);
        }
        self.with_rare(|rare| {
            rare.grant_at_ms = grant_at_ms;
            rare.marks = marks;
        });
    }

    /// It has other topics from its cursor on: it is told so by a checkpoint, and any floor that hides some of them is news.
    pub(crate) fn begin_anew(&mut self) {
        if self.checkpoint() != Checkpoint::Off {
            self.tells_mut(Tells::push_checkpoint);
        }
        self.set_floor(Position(0));
    }

    /// What is not needed any more leaves no memory behind.
    fn with_rare<T>(&mut self, change: impl FnOnce(&mut Rare) -> T) -> T {
        let rare = self.rare.get_or_insert_with(|| Box::new(Rare::NONE));
        let answer = change(rare);
        if rare.is_none() {
            self.rare = None;
        }
        answer
    }

    /// When it gets a heartbeat unless something else is delivered.
    pub(crate) fn quiet_until(&self, pace: &Pace) -> Tick {
        let quiet = pace.quiet.most(pace.chance(self.join, Chance::Quiet));
        self.since.after(quiet)
    }

    /// When it has stood still for too long; its `since` may be a tick early.
    pub(crate) fn stalls_at(&self, pace: &Pace) -> Tick {
        self.since.after(pace.stall).after(Ticks::ONE)
    }

    /// When its life ends.
    pub(crate) fn dies_at(&self, pace: &Pace) -> Tick {
        let life = pace.life.most(pace.chance(self.join, Chance::Life));
        self.joined.after(life).after(Ticks::ONE)
    }

    /// When its grant ends; up to a tick early, for it must not be late.
    pub(crate) fn grant_ends_at(&self, pace: &Pace) -> Tick {
        self.grant_at_ms()
            .map_or(Tick::NEVER, |at_ms| pace.clock.tick(at_ms))
    }

    /// When it has to be told that its grant ends.
    pub(crate) fn expires_at(&self, pace: &Pace) -> Tick {
        match self.grant_at_ms() {
            Some(at_ms) if !self.flags.has(Flags::EXPIRING_TOLD) => {
                pace.clock.tick(at_ms.saturating_sub(pace.expiring_ms))
            }
            _ => Tick::NEVER,
        }
    }

    /// Its next deadline.
    pub(crate) fn deadline(&self, pace: &Pace) -> Tick {
        let offer = if self.is_standing() {
            self.stalls_at(pace)
        } else {
            self.quiet_until(pace)
        };
        offer
            .min(self.dies_at(pace))
            .min(self.grant_ends_at(pace))
            .min(self.expires_at(pace))
    }

    /// When it joined, or up to a tick before.
    pub(crate) fn joined_ms(&self, pace: &Pace) -> u64 {
        pace.clock.ms(self.joined).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_carry_and_stay_at_their_greatest() {
        let mut count = Count::default();
        let mut sum = 0;
        for more in [1, 65_534, 1, 65_535, 1 << 31, 1 << 33, (1 << 47) - 7] {
            count.add(more);
            sum += more;
            assert_eq!(count.total(), sum);
        }
        count.add(u64::MAX);
        assert_eq!(count.total(), Count::MAX);
        count.add(1);
        assert_eq!(count.total(), Count::MAX);
    }

    #[test]
    fn flags_and_choices_leave_each_other_alone() {
        let all = [
            Flags::OPENED,
            Flags::LISTED,
            Flags::SERVED,
            Flags::EXPIRING_TOLD,
            Flags::FLOOR_TOLD,
            Flags::AHEAD,
        ];
        for form in [
            Form::EventStream,
            Form::Labelled,
            Form::Ndjson,
            Form::Legacy,
        ] {
            for checkpoint in [Checkpoint::Event, Checkpoint::Id, Checkpoint::Off] {
                let mut flags = Flags::new(form, checkpoint);
                for flag in all {
                    assert!(!flags.replace(flag, true));
                    assert!(flags.replace(flag, true) && flags.has(flag));
                    assert_eq!((flags.form(), flags.checkpoint()), (form, checkpoint));
                }
                for flag in all {
                    assert!(flags.replace(flag, false) && !flags.has(flag));
                }
                assert_eq!(flags, Flags::new(form, checkpoint));
            }
        }
    }

    #[test]
    fn places_are_packed_and_unpacked() {
        let (cohort, slot) = (u32::MAX - 2, u32::MAX);
        for place in [
            Place::Tail,
            Place::Standing,
            Place::Behind { cohort, slot },
            Place::Behind { cohort: 0, slot: 0 },
        ] {
            assert_eq!(PackedPlace::pack(place).unpack(), place);
        }
    }

    #[test]
    fn jitter_is_spread_over_its_range_and_always_the_same() {
        let pace = Pace {
            clock: TickClock::new(0, 0),
            seed: 7,
            quiet: Ticks::limit(15_000),
            life: Ticks::limit(3_600_000),
            stall: Ticks::at_least(60_000),
            expiring_ms: 30_000,
        };
        for of in [Chance::Quiet, Chance::Life, Chance::Phase] {
            let parts: Vec<_> = (0..10_000)
                .map(|join| pace.chance(join, of) >> 29)
                .collect();
            for part in 0..8 {
                let count = parts.iter().filter(|each| **each == part).count();
                assert!((1000..1500).contains(&count), "{count} of an eighth");
            }
            assert_eq!(pace.chance(u32::MAX, of), pace.chance(u32::MAX, of));
        }
    }
}
