//! Gaps that the simulation found told wrongly, or not at all; each in its smallest case.

mod world;

use tidewire_core::Position;
use tidewire_engine::{Checkpoint, ShardConfig, Subscription};
use tidewire_log::{Gap, GapReason, Retention, Rule};
use world::{World, quiet};

fn short(count: u64) -> Retention {
    let rule = Rule {
        prefix: "short/".into(),
        age_ms: None,
        count: Some(count),
    };
    Retention {
        rules: vec![rule],
        ..Retention::default()
    }
}

/// Retention passes somebody who has joined and was not read for yet. An opening, or a checkpoint, that showed where it goes on
/// before the gap is told would let a client that is cut between the two come back beyond it.
#[test]
fn no_id_goes_before_a_gap() {
    for (checkpoint, told) in [
        (Checkpoint::Event, "open gap:expired at@9 3 4"),
        (Checkpoint::Id, "gap:expired id@9 3 4"),
    ] {
        let retention = Retention {
            count: Some(2),
            ..Retention::default()
        };
        let mut world = World::with_retention(quiet(), retention);
        let (_, sink) = world.join(Subscription {
            checkpoint,
            ..world.wants(&["*"], 1)
        });
        world.publish_many("a", 0..5);
        world.run();
        assert_eq!(sink.words(), told);
    }
}

/// A reader behind is told of a rule's floor; the floor moves on before it gets there, and hides more of what it wants.
#[test]
fn a_floor_that_moves_on_is_told_again() {
    let config = ShardConfig {
        step_records_max: 4,
        ..quiet()
    };
    let mut world = World::with_retention(config, short(2));
    let (_, sink) = world.join(world.wants(&["*"], 1));
    world.publish_many("b", 10..14);
    world.publish_many("short/a", 0..4);
    world.step();
    assert_eq!(sink.words(), "gap:expired 10 11 12 13");
    world.publish_many("short/a", 20..22);
    world.run();
    assert_eq!(sink.words(), "gap:expired 20 21");
}

/// An unknown id goes on from the tail, so the gap that was told for it says nothing of what a floor hides from there on.
#[test]
fn a_floor_is_told_after_an_unknown_id() {
    let mut world = World::with_retention(quiet(), short(1));
    world.publish_many("b", 0..1);
    let gap = Gap {
        reason: GapReason::Unknown,
        resume: Position(world.tail()),
    };
    let (_, sink) = world.join(Subscription {
        gap: Some(("urn:never".to_owned(), gap)),
        ..world.wants(&["*"], world.tail())
    });
    world.publish_many("short/a", 1..4);
    world.run();
    assert_eq!(sink.words(), "gap:unknown gap:expired 3");
}
