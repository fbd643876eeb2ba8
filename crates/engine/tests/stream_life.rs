//! What a stream says about itself, and when and how it ends.

mod world;

use tidewire_core::{Form, Position};
use tidewire_engine::{Checkpoint, EndReason, ShardConfig, Subscription};
use tidewire_log::{Gap, GapReason, Log, Retention, Rule};
use world::{PipeSink, World, quiet};

fn with(checkpoint: Checkpoint, wants: Subscription) -> Subscription {
    Subscription {
        checkpoint,
        ..wants
    }
}

fn keep(count: u64) -> Retention {
    Retention {
        count: Some(count),
        ..Retention::default()
    }
}

#[test]
fn a_gap_that_was_located_is_told_after_the_opening() {
    let mut world = World::with_retention(quiet(), keep(2));
    world.publish_many("a", 0..5);
    for (checkpoint, want) in [
        (Checkpoint::Event, "open gap:expired at@9 3 4"),
        (Checkpoint::Id, "gap:expired id@9 3 4"),
        (Checkpoint::Off, "gap:expired 3 4"),
    ] {
        let head = world.log.bounds().head;
        let gap = Gap {
            reason: GapReason::Expired,
            resume: head,
        };
        let wants = Subscription {
            gap: Some(("#1-2".to_owned(), gap)),
            checkpoint,
            ..world.wants(&["a"], head.0)
        };
        let (_, sink) = world.join(wants);
        world.run();
        assert_eq!(sink.words(), want);
    }
    assert_eq!(world.shard.counters().gaps(GapReason::Expired), 3);
}

#[test]
fn a_reader_that_retention_passes_is_told_and_goes_on() {
    let mut world = World::with_retention(quiet(), keep(3));
    let wants = with(Checkpoint::Event, world.wants(&["a"], 1));
    let (key, slow) = world.join_with(wants, PipeSink::with_room(1));
    world.run();
    world.publish_many("a", 0..10);
    world.run();
    assert_eq!(
        slow.take(),
        "event: tidewire.open\nid: #1-0\ndata: {\"stream\":\"s\"}\n\n"
    );
    slow.set_room(usize::MAX);
    world.shard.handle_writable(world.now_ms, key);
    world.publish_many("a", 10..11);
    world.run();
    let gap = "event: tidewire.gap\ndata: {\"asked\":\"#1-0\",\"newest\":\"#1-33\",\"oldest\":\"#1-24\",\"reason\":\"expired\"}\n\n\
               event: tidewire.at\nid: #1-24\ndata: \n\n";
    let text = slow.take();
    assert!(text.starts_with(gap), "{text}");
    let rest = ["#1-27\ndata: 8", "#1-30\ndata: 9", "#1-33\ndata: 10"];
    let rest = rest.map(|event| format!("id: {event}\n\n")).concat();
    assert_eq!(text[gap.len()..], rest);
}

#[test]
fn a_tail_that_retention_passes_is_told_and_goes_on() {
    let mut world = World::with_retention(quiet(), keep(3));
    let sinks: Vec<_> = [Checkpoint::Event, Checkpoint::Id, Checkpoint::Off]
        .map(|checkpoint| world.join(with(checkpoint, world.wants(&["a"], 1))).1)
        .into();
    world.run();
    sinks.iter().for_each(|sink| drop(sink.take()));
    world.publish_many("a", 0..10);
    world.run();
    let want = [
        "gap:expired at@21 7 8 9",
        "gap:expired id@21 7 8 9",
        "gap:expired 7 8 9",
    ];
    for (sink, want) in sinks.iter().zip(want) {
        assert_eq!(sink.words(), want);
    }
    assert_eq!(world.shard.counters().reads_gap, 1);
}

#[test]
fn a_topics_own_shorter_retention_is_told_once() {
    let rule = Rule {
        prefix: "short/".into(),
        age_ms: None,
        count: Some(2),
    };
    let retention = Retention {
        rules: vec![rule],
        ..Retention::default()
    };
    let mut world = World::with_retention(
        ShardConfig {
            step_records_max: 4,
            ..quiet()
        },
        retention,
    );
    let (_, tail) = world.join(world.wants(&["short/a"], 1));
    let (_, other) = world.join(world.wants(&["long"], 1));
    world.run();
    for number in 0..5 {
        world.publish("short/a", &number.to_string());
        world.publish_many("long", 0..3);
    }
    let (_, late) = world.join(world.wants(&["*"], 1));
    world.run();
    assert_eq!(tail.words(), "gap:expired 3 4");
    assert_eq!(other.words(), "0 1 2 0 1 2 0 1 2 0 1 2 0 1 2");
    assert_eq!(
        late.words(),
        "gap:expired 0 1 2 0 1 2 0 1 2 3 0 1 2 4 0 1 2"
    );
    // Told at the opening already.
    let gap = Gap {
        reason: GapReason::Expired,
        resume: Position(1),
    };
    let wants = Subscription {
        gap: Some(("#1-0".to_owned(), gap)),
        ..world.wants(&["short/a"], 1)
    };
    let (key, known) = world.join(wants);
    world.run();
    assert_eq!(known.words(), "gap:expired 3 4");
    // And again when it happens again.
    known.set_room(1);
    world.publish_many("short/a", 5..10);
    world.run();
    known.set_room(usize::MAX);
    world.publish_many("short/a", 10..20);
    world.shard.handle_writable(world.now_ms, key);
    world.run();
    let words = known.words();
    assert!(words.ends_with("gap:expired 18 19"), "{words}");
}

#[test]
fn heartbeats_carry_the_cursor_past_what_the_filter_refused() {
    let config = ShardConfig {
        heartbeat_ms: 1000,
        ..quiet()
    };
    let mut world = World::new(config);
    let kinds = [Checkpoint::Event, Checkpoint::Id, Checkpoint::Off];
    let sinks = kinds.map(|kind| world.join(with(kind, world.wants(&["rare"], 1))).1);
    let json = world.join(Subscription {
        form: Form::Ndjson,
        ..with(Checkpoint::Event, world.wants(&["rare"], 1))
    });
    world.run();
    world.pass_ms(1100);
    for (sink, want) in sinks.iter().zip(["open@0 :", "id@0 :", ":"]) {
        let words = sink.words();
        assert!(words.starts_with(want), "{words}");
        assert!(!words.contains("at@"), "{words}");
    }
    world.publish_many("busy", 0..10);
    world.pass_ms(1100);
    for (sink, want) in sinks.iter().zip(["at@30", "id@30", ":"]) {
        let words = sink.words();
        assert!(words.split(' ').any(|word| word == want), "{words}");
    }
    assert!(
        json.1
            .take()
            .contains("\"id\":\"#1-30\",\"type\":\"tidewire.at\"")
    );
    world.pass_ms(1100);
    assert_eq!(sinks[0].words(), ":", "nothing new to say");
    world.publish("rare", "x");
    world.run();
    world.pass_ms(1100);
    assert_eq!(sinks[0].words(), "x :", "an event's id is a checkpoint");
}

#[test]
fn a_delivery_postpones_the_heartbeat_and_phases_differ() {
    let config = ShardConfig {
        heartbeat_ms: 10_000,
        ..quiet()
    };
    let mut world = World::new(config);
    let sinks: Vec<_> = (0..200)
        .map(|_| world.join(world.wants(&["a"], 1)).1)
        .collect();
    world.run();
    let mut beats = Vec::new();
    for _ in 0..101 {
        world.pass_ms(100);
        beats.push(sinks.iter().filter(|sink| sink.words() == ":").count());
    }
    assert!(
        beats.iter().sum::<usize>() >= 200,
        "everyone within the time"
    );
    assert!(
        *beats.iter().max().unwrap() < 20,
        "not all at once: {beats:?}"
    );
    for _ in 0..10 {
        world.publish("a", "x");
        world.pass_ms(7000);
        assert!(sinks.iter().all(|sink| sink.words() == "x"));
    }
    world.pass_ms(3100);
    assert!(sinks.iter().all(|sink| sink.words() == ":"));
}

#[test]
fn a_stream_has_a_greatest_life() {
    let config = ShardConfig {
        stream_life_ms: 10_000,
        ..quiet()
    };
    let mut world = World::new(config);
    let sinks: Vec<_> = (0..50)
        .map(|at| {
            let kind = [Checkpoint::Event, Checkpoint::Id][at % 2];
            world.join(with(kind, world.wants(&["a"], 1))).1
        })
        .collect();
    world.pass_ms(7_900);
    assert!(world.ended.is_empty());
    world.pass_ms(1_000);
    assert!((1..50).contains(&world.ended.len()), "jittered");
    world.pass_ms(1_200);
    assert_eq!(world.ended.len(), 50);
    assert!(
        world
            .ended
            .iter()
            .all(|(_, reason)| *reason == EndReason::Life)
    );
    assert_eq!(sinks[0].words(), "open@0 :closing:life closing:life");
    assert_eq!(sinks[1].words(), "id@0 :closing:life");
    assert!(world.shard.is_empty());
}

#[test]
fn a_grants_end_is_told_and_kept() {
    let mut world = World::new(quiet());
    let ends_ms = world.now_ms + 60_050;
    let wants = Subscription {
        ends_ms: Some(ends_ms),
        ..with(Checkpoint::Event, world.wants(&["a"], 1))
    };
    let (_, sink) = world.join(wants.clone());
    let (_, full) = world.join_with(wants.clone(), PipeSink::with_room(1));
    world.run();
    world.pass_ms(29_900);
    assert_eq!(sink.words(), "open@0");
    world.pass_ms(300);
    let text = sink.take();
    assert!(
        text.starts_with("event: tidewire.expiring\ndata: {\"in_ms\":"),
        "{text}"
    );
    // A driver that comes late delivers nothing after the end.
    world.publish("a", "1");
    world.run();
    world.publish("a", "late");
    world.now_ms = ends_ms;
    world.run();
    assert_eq!(sink.words(), "1 :closing:grant closing:grant");
    assert_eq!(full.words(), "open@0");
    assert_eq!(world.shard.counters().ended(EndReason::Grant), 2);
    // One that has ended already gets nothing.
    let (_, over) = world.join(wants);
    world.run();
    assert_eq!(over.words(), ":closing:grant closing:grant");
}

#[test]
fn who_stands_still_for_too_long_is_cut_without_a_word() {
    let config = ShardConfig {
        stall_deadline_ms: 5_000,
        heartbeat_ms: 1_000,
        ..quiet()
    };
    let mut world = World::new(config);
    // One never takes its opening, one a little now and then.
    let (never, first) = world.join_with(
        with(Checkpoint::Event, world.wants(&["a"], 1)),
        PipeSink::with_room(0),
    );
    let (slow, second) = world.join_with(world.wants(&["a"], 1), PipeSink::with_room(1));
    world.publish_many("a", 0..100);
    world.run();
    for _ in 0..4 {
        world.pass_ms(4_000);
        second.set_room(1);
        world.shard.handle_writable(world.now_ms, slow);
    }
    world.run();
    assert_eq!(world.ended, [(never, EndReason::Stalled)]);
    assert_eq!((first.words().as_str(), first.offers()), ("", 1));
    assert_eq!(second.words(), "0 1 2 3 4");
    world.pass_ms(5_200);
    assert_eq!(world.ended[1..], [(slow, EndReason::Stalled)]);
}

#[test]
fn a_drain_ends_every_stream_between_frames() {
    let mut world = World::new(quiet());
    let (_, open) = world.join(with(Checkpoint::Event, world.wants(&["a"], 1)));
    let (_, plain) = world.join(world.wants(&["a"], 1));
    let (_, full) = world.join_with(world.wants(&["a"], 1), PipeSink::with_room(1));
    world.run();
    world.publish_many("a", 0..3);
    world.run();
    world.shard.end_all(EndReason::Drain);
    world.run();
    assert_eq!(open.words(), "open@0 0 1 2 :closing:drain closing:drain");
    assert_eq!(plain.words(), "0 1 2 :closing:drain");
    assert_eq!(full.words(), "0", "a full sink is left alone");
    assert_eq!(world.ended.len(), 3);
    assert!(world.shard.is_empty());
    assert_eq!(world.shard.counters().ended(EndReason::Drain), 3);
    world.publish("a", "nobody");
    assert!(!world.is_woken());
}

#[test]
fn what_a_full_sink_did_not_take_is_told_later_and_nothing_besides() {
    let config = ShardConfig {
        heartbeat_ms: 1_000,
        ..quiet()
    };
    let mut world = World::new(config);
    let wants = with(Checkpoint::Event, world.wants(&["a"], 1));
    let (key, sink) = world.join_with(wants, PipeSink::with_room(0));
    world.run();
    world.pass_ms(10_000);
    sink.set_room(1);
    world.shard.handle_writable(world.now_ms, key);
    world.run();
    assert_eq!(sink.words(), "open@0");
    world.pass_ms(10_000);
    sink.set_room(usize::MAX);
    world.shard.handle_writable(world.now_ms, key);
    world.run();
    assert_eq!(sink.words(), "", "its silence begins now");
    world.pass_ms(1_100);
    assert_eq!(sink.words(), ":");
}
