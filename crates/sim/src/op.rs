//! What can happen in a world: a kind and a number that decides the rest, so that a list of operations can be shortened
//! and what is left still means something.

use crate::rng::Rng;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody publishes one event or a few.
    Publish,
    /// A shard that has reason to takes a step.
    Step,
    /// A client connects, joins late, or comes back.
    Connect,
    /// A client goes; the driver notices at once.
    Leave,
    /// A client goes; the engine notices at the next offer.
    Die,
    /// A client reads: its sink takes more.
    Read,
    /// A client reads less: its sink takes only so much more.
    Squeeze,
    /// Time passes; retention comes after it, sometimes.
    Time,
    /// What was being loaded is there.
    Loaded,
    /// A log begins a new life.
    Life,
    /// A shard ends one of its streams, or all.
    Drain,
    /// A client's stream gets another grant, and perhaps other topics.
    Revise,
    /// Grants are revoked.
    Revoke,
}

/// How often each kind happens, of the sum.
const WEIGHTS: [(Kind, u64); 13] = [
    (Kind::Publish, 30),
    (Kind::Step, 40),
    (Kind::Connect, 16),
    (Kind::Leave, 2),
    (Kind::Die, 2),
    (Kind::Read, 18),
    (Kind::Squeeze, 6),
    (Kind::Time, 10),
    (Kind::Loaded, 8),
    (Kind::Life, 1),
    (Kind::Drain, 2),
    (Kind::Revise, 8),
    (Kind::Revoke, 1),
];

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// What happens.
    pub kind: Kind,
    /// The seed of everything else about it.
    pub seed: u64,
}

/// At least so many operations make a world's history.
pub const OPS_MIN: usize = 500;

/// A seed's operations.
#[must_use]
pub fn history(seed: u64) -> Vec<Op> {
    let mut rng = Rng::new(seed ^ 0x6f70_7300);
    let sum: u64 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let count = rng.size(OPS_MIN, OPS_MIN + 200);
    let op = |rng: &mut Rng| {
        let mut at = rng.below(sum);
        let found = WEIGHTS.iter().find(|(_, weight)| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        Op {
            kind: found.expect("below the sum").0,
            seed: rng.number(),
        }
    };
    (0..count).map(|_| op(&mut rng)).collect()
}
