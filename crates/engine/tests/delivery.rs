//! Who gets what, in which order, from where on.

mod world;

use tidewire_core::{Form, Position};
use tidewire_engine::{Checkpoint, EndReason, Feed, ShardConfig, SubscriberKey, Subscription};
use tidewire_log::{Log, Retention};
use world::{PipeSink, TestLog, World, quiet, set};

fn numbers(range: std::ops::Range<usize>) -> String {
    range
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn late_joiners_and_live_ones_get_every_event_once_and_in_order() {
    let mut world = World::new(quiet());
    world.publish_many("a", 0..1000);
    let everything = world.wants(&["a"], 1);
    let from_now = world.wants(&["*"], world.tail());
    let (_, all) = world.join(everything);
    let (_, live) = world.join(from_now);
    world.step();
    world.publish_many("a", 1000..1003);
    world.step();
    world.publish_many("b,a", 1003..2000);
    let middle = world.wants(&["a", "b"], 3 * 500 + 1);
    let (_, middle) = world.join(middle);
    world.run();
    world.publish_many("a", 2000..2010);
    world.run();
    assert_eq!(all.words(), numbers(0..2010));
    assert_eq!(live.words(), numbers(1000..2010));
    assert_eq!(middle.words(), numbers(500..2010));
    assert_eq!(world.shard.counters().deliveries, 2010 + 1010 + 1510);
}

#[test]
fn equal_cursors_read_the_log_once() {
    let mut world = World::new(quiet());
    world.publish_many("a", 0..200);
    let sinks: Vec<_> = (0..50)
        .map(|_| world.join(world.wants(&["a"], 1)).1)
        .collect();
    world.run();
    let reads = world.shard.counters().reads_batch;
    assert!(reads <= 2, "{reads} reads for one cohort");
    // Three appends, one step: one read, one write each.
    let offers = sinks[0].offers();
    world.publish_many("a", 200..203);
    world.step();
    assert_eq!(world.shard.counters().reads_batch, reads + 1);
    assert_eq!(sinks[0].offers(), offers + 1);
    for sink in sinks {
        assert_eq!(sink.words(), numbers(0..203));
    }
}

/// Clients that come back with different cursors cost a read for each block of the log, not one each; and each gets what it
/// missed in one write.
#[test]
fn a_reconnect_storm_reads_the_log_once_a_block() {
    let mut world = World::new(quiet());
    world.publish_many("a", 0..1000);
    let last = world.tail();
    let sinks: Vec<_> = (0..1000)
        .map(|client| {
            // 1 to 100 events behind; three positions each.
            let behind = 1 + client % 100;
            let wants = world.wants(&["a"], last - 3 * behind as u64);
            (behind, world.join(wants).1)
        })
        .collect();
    let reads = world.shard.counters().reads_batch;
    world.run();
    let reads = world.shard.counters().reads_batch - reads;
    assert!(reads <= 4, "{reads} reads for two blocks");
    for (behind, sink) in sinks {
        assert_eq!(sink.words(), numbers(1000 - behind..1000));
        assert!(sink.offers() <= 3, "{} writes", sink.offers());
    }
}

#[test]
fn a_full_sink_stands_still_and_misses_nothing() {
    let mut world = World::new(quiet());
    let wants = world.wants(&["a"], 1);
    let (key, slow) = world.join_with(wants.clone(), PipeSink::with_room(2));
    let (_, other) = world.join(wants);
    world.run();
    let mut seen = String::new();
    for round in 0..20 {
        world.publish_many("a", round * 10..round * 10 + 10);
        world.run();
        seen = format!("{seen} {}", slow.words());
        let offers = slow.offers();
        world.publish_many("b", 0..3);
        world.run();
        assert_eq!(slow.offers(), offers, "a full sink is left alone");
        slow.set_room(if round == 19 {
            usize::MAX
        } else {
            1 + round % 7
        });
        world.shard.handle_writable(world.now_ms, key);
    }
    world.run();
    seen = format!("{seen} {}", slow.words());
    let seen: Vec<_> = seen.split_whitespace().collect();
    assert_eq!(seen.join(" "), numbers(0..200));
    assert_eq!(other.words(), numbers(0..200));
    assert!(world.shard.counters().offers_full >= 19);
}

#[test]
fn routing_and_grant_may_hit_different_topics_live_and_in_replay() {
    #[rustfmt::skip]
    let table: [(&[&str], &[&str], &str); 7] = [
        (&["a"],      &[],         "1 4"),
        (&["a"],      &["a"],      "1 2 4 5"),
        (&["a"],      &["b"],      "1 4 5"),
        (&["*"],      &[],         "1 3 4"),
        (&["*"],      &["*"],      "1 2 3 4 5 6"),
        (&["a", "b"], &["b"],      "1 3 4 5 6"),
        (&[],         &["*"],      ""),
    ];
    let mut world = World::new(quiet());
    let publish = |world: &World| {
        for (topics, data) in [
            ("a", "1"),
            ("!a", "2"),
            ("b", "3"),
            ("a,b", "4"),
            ("!b,a", "5"),
            ("!b", "6"),
        ] {
            world.publish(topics, data);
        }
    };
    let join = |world: &mut World, (routing, private, _): &(&[&str], &[&str], &str)| {
        let mut wants = world.wants(routing, 1);
        wants.filter.private = set(private);
        world.join(wants).1
    };
    let live: Vec<_> = table.iter().map(|row| join(&mut world, row)).collect();
    world.run();
    publish(&world);
    world.run();
    // Alone in its cohort, and with many others, whose filters are not asked one by one.
    let alone: Vec<_> = table
        .iter()
        .map(|row| {
            let sink = join(&mut world, row);
            world.run();
            sink
        })
        .collect();
    let crowd: Vec<_> = table
        .iter()
        .cycle()
        .take(70)
        .map(|row| join(&mut world, row))
        .collect();
    world.run();
    for (at, row) in table.iter().enumerate() {
        assert_eq!(live[at].words(), row.2, "live {row:?}");
        assert_eq!(alone[at].words(), row.2, "alone {row:?}");
        for sink in crowd.iter().skip(at).step_by(table.len()) {
            assert_eq!(sink.words(), row.2, "crowd {row:?}");
        }
    }
}

#[test]
fn each_form_has_its_own_frames() {
    let mut world = World::new(quiet());
    let forms = [
        Form::EventStream,
        Form::Labelled,
        Form::Ndjson,
        Form::Legacy,
    ];
    let sinks = forms.map(|form| {
        let wants = Subscription {
            form,
            ..world.wants(&["a"], 1)
        };
        world.join(wants).1
    });
    world.run();
    world.publish("a", "x");
    world.run();
    assert_eq!(sinks[0].take(), "id: #1-3\ndata: x\n\n");
    assert_eq!(sinks[1].take(), "event: a\nid: #1-3\ndata: x\n\n");
    assert!(
        sinks[2]
            .take()
            .starts_with("{\"data\":\"x\",\"id\":\"#1-3\"")
    );
    assert_eq!(sinks[3].take(), "id: #1-3\ndata: x\n\n");
}

#[test]
fn one_shard_serves_several_logs() {
    let mut world = World::new(quiet());
    let second = TestLog::new(Retention::default());
    let other = Feed::new(second.clone());
    let (_, one) = world.join(world.wants(&["a"], 1));
    let elsewhere = Subscription {
        feed: other,
        ..world.wants(&["a"], 1)
    };
    let (key, two) = world.join(elsewhere);
    world.run();
    world.publish("a", "here");
    second.append(tidewire_log::Append {
        events: vec![tidewire_log::Event::new(world::topic("a"), "there", 1)],
        ack: Box::new(|_| {}),
    });
    world.run();
    assert_eq!((one.words(), two.words()), ("here".into(), "there".into()));
    // The feed goes with its last subscriber.
    assert!(world.shard.leave(key).is_some());
    assert!(world.shard.leave(key).is_none());
    second.append(tidewire_log::Append {
        events: vec![tidewire_log::Event::new(world::topic("a"), "nobody", 1)],
        ack: Box::new(|_| {}),
    });
    assert!(!world.is_woken());
    world.publish("a", "still");
    world.run();
    assert_eq!((one.words(), two.words()), ("still".into(), String::new()));
}

#[test]
fn a_far_replay_does_not_delay_the_tail() {
    let config = ShardConfig {
        step_records_max: 10,
        ..quiet()
    };
    let mut world = World::new(config);
    world.publish_many("a", 0..5000);
    let (_, live) = world.join(world.wants(&["a"], world.tail()));
    world.run();
    let far: Vec<_> = [1, 5000, 9000, 12_000]
        .map(|from| world.join(world.wants(&["a"], from)).1)
        .into();
    for number in 5000..5100 {
        let before = world.shard.counters().deliveries;
        world.publish("a", &number.to_string());
        assert!(world.step(), "the others are far behind");
        assert_eq!(live.words(), number.to_string());
        let last = far.iter().map(PipeSink::turn).max();
        assert!(last > Some(live.turn()), "the tail goes first");
        assert!(world.shard.counters().deliveries - before <= 1 + 10);
    }
    // All four have had their turns.
    let progress: Vec<_> = far
        .iter()
        .map(|sink| sink.words().split(' ').count())
        .collect();
    assert!(progress.iter().all(|count| *count >= 200), "{progress:?}");
    world.run();
    assert!(far[0].words().ends_with(&numbers(4000..5100)));
}

/// A write to each costs most: one record a step would be dear where many want the same.
#[test]
fn a_step_at_the_tail_delivers_a_run_however_many_want_it() {
    for (run, steps) in [(1, 50), (8, 7), (64, 1)] {
        let config = ShardConfig {
            step_matches_max: 1,
            step_run_min: run,
            ..quiet()
        };
        let mut world = World::new(config);
        let live: Vec<_> = (0..10)
            .map(|_| world.join(world.wants(&["a"], 1)).1)
            .collect();
        world.run();
        world.publish_many("a", 0..50);
        let taken = 1 + (0..100).take_while(|_| world.step()).count();
        assert!((steps..=steps + 1).contains(&taken), "{run}: {taken}");
        for sink in &live {
            assert_eq!(sink.words(), numbers(0..50));
        }
    }
}

#[test]
fn the_budget_in_frames_bounds_a_step_at_the_tail_and_behind() {
    let config = ShardConfig {
        step_matches_max: 20,
        step_run_min: 1,
        ..quiet()
    };
    for topics in ["a", "a,b"] {
        let mut world = World::new(config);
        let live: Vec<_> = (0..10)
            .map(|_| world.join(world.wants(&["a"], 1)).1)
            .collect();
        world.run();
        world.publish_many(topics, 0..50);
        let mut steps = 0;
        loop {
            let before = world.shard.counters().deliveries;
            let again = world.step();
            assert!(world.shard.counters().deliveries - before <= 20 + 10);
            steps += 1;
            if !again {
                break;
            }
        }
        assert!(steps >= 25, "{steps}");
        let late: Vec<_> = (0..30)
            .map(|_| world.join(world.wants(&["a"], 1)).1)
            .collect();
        loop {
            let before = world.shard.counters().deliveries;
            let again = world.step();
            assert!(world.shard.counters().deliveries - before <= 20 + 50);
            if !again {
                break;
            }
        }
        for sink in live.iter().chain(&late) {
            assert_eq!(sink.words(), numbers(0..50), "{topics}");
        }
    }
}

#[test]
fn those_whose_records_load_sleep_and_the_others_go_on() {
    let mut world = World::new(quiet());
    world.publish_many("a", 0..4000);
    *world.log.cold_below.lock().unwrap() = 3000;
    let (_, cold) = world.join(world.wants(&["a"], 1));
    let (_, warm) = world.join(world.wants(&["a"], 9001));
    world.run();
    assert_eq!(warm.words(), numbers(3000..4000));
    assert_eq!(cold.words(), "");
    assert_eq!(world.shard.counters().reads_loading, 1);
    assert!(!world.step(), "it does not ask again unasked");
    world.publish("a", "4000");
    world.run();
    assert_eq!(warm.words(), "4000");
    assert_eq!(world.shard.counters().reads_loading, 1);
    world.log.finish_loads();
    assert!(world.is_woken());
    world.run();
    assert_eq!(cold.words(), numbers(0..4001));
}

#[test]
fn the_tail_too_may_have_to_load() {
    let mut world = World::new(quiet());
    let (_, sink) = world.join(world.wants(&["a"], 1));
    world.run();
    *world.log.cold_below.lock().unwrap() = 1000;
    world.publish_many("a", 0..3);
    world.run();
    assert_eq!((sink.words(), world.is_woken()), (String::new(), false));
    world.log.finish_loads();
    world.run();
    assert_eq!(sink.words(), numbers(0..3));
}

#[test]
fn a_shard_is_woken_for_its_topics_alone_and_its_tail_does_not_age() {
    let retention = Retention {
        count: Some(10),
        ..Retention::default()
    };
    let mut world = World::with_retention(quiet(), retention);
    let (key, rare) = world.join(world.wants(&["rare"], 1));
    world.run();
    for round in 0..5 {
        world.publish_many("busy", 0..100);
        assert!(!world.is_woken());
        let reads = world.shard.counters().reads_batch;
        world.run();
        assert_eq!(world.shard.counters().reads_batch, reads);
        world.publish_many("busy", 0..100);
        world.publish("rare", &round.to_string());
        assert!(world.is_woken());
        world.publish("busy", "after");
        world.run();
        assert_eq!(rare.words(), round.to_string());
    }
    assert_eq!(world.shard.counters().reads_gap, 0);
    // Nobody at the tail: nobody to wake.
    rare.set_room(1);
    world.publish("rare", "last");
    world.run();
    world.publish("rare", "more");
    world.run();
    world.publish("rare", "and more");
    assert!(!world.is_woken());
    rare.set_room(usize::MAX);
    world.shard.handle_writable(world.now_ms, key);
    world.run();
    assert_eq!(rare.words(), "last more and more");
    world.publish("rare", "again");
    assert!(world.is_woken());
}

#[test]
fn readers_behind_say_which_topics_they_want_if_they_are_few() {
    let mut world = World::new(quiet());
    world.publish_many("a", 0..300);
    world.publish("b", "b");
    let asked = |world: &World| {
        world
            .log
            .topics_asked
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    let (_, b) = world.join(world.wants(&["b"], 1));
    world.run();
    assert_eq!(b.words(), "b");
    assert!(asked(&world) > 0);
    let before = asked(&world);
    let many: Vec<_> = (0..65).map(|number| format!("t{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for topics in [&["*"][..], &many] {
        let (_, sink) = world.join(world.wants(topics, 1));
        world.run();
        assert_eq!(sink.words().is_empty(), topics.len() > 1);
    }
    assert_eq!(asked(&world), before);
}

#[test]
fn who_is_gone_ends_and_hits_nobody_else() {
    let mut world = World::new(quiet());
    let sinks: Vec<_> = (0..5).map(|_| world.join(world.wants(&["a"], 1))).collect();
    world.run();
    sinks[1].1.close();
    sinks[3].1.close();
    world.publish("a", "1");
    world.run();
    let gone: Vec<_> = world.ended.iter().map(|(key, _)| *key).collect();
    assert_eq!(gone, [sinks[1].0, sinks[3].0]);
    let (new, sink) = world.join(world.wants(&["a"], world.tail()));
    assert!(!gone.contains(&new), "a key is never given out again");
    assert!(world.shard.leave(gone[0]).is_none());
    world.shard.handle_writable(world.now_ms, gone[1]);
    world.run();
    world.publish("a", "2");
    world.run();
    assert_eq!(sink.words(), "2");
    assert_eq!(sinks[4].1.words(), "1 2");
    assert_eq!(new, SubscriberKey::from(u64::from(new)));
    let counters = world.shard.counters();
    assert_eq!((counters.subscribers, counters.joined), (4, 6));
    assert_eq!(counters.ended(EndReason::Closed), 2);
}

#[test]
fn openings_come_with_the_first_events_in_one_write() {
    let mut world = World::new(quiet());
    world.publish_many("a", 0..2);
    for (checkpoint, want) in [
        (Checkpoint::Event, "open@0 0 1"),
        (Checkpoint::Id, "id@0 0 1"),
        (Checkpoint::Off, "0 1"),
    ] {
        let wants = Subscription {
            checkpoint,
            ..world.wants(&["a"], 1)
        };
        let (_, sink) = world.join(wants);
        world.run();
        assert_eq!((sink.words().as_str(), sink.offers()), (want, 1));
    }
    let (_, idle) = world.join(world.wants(&["b"], world.tail()));
    world.run();
    assert_eq!((idle.words().as_str(), idle.offers()), ("", 1));
    // One frame at a time.
    let wants = Subscription {
        checkpoint: Checkpoint::Event,
        ..world.wants(&["a"], Position::FIRST.0)
    };
    let (key, slow) = world.join_with(wants, PipeSink::with_room(1));
    let mut words = Vec::new();
    for _ in 0..3 {
        world.run();
        words.push(slow.words());
        slow.set_room(1);
        world.shard.handle_writable(world.now_ms, key);
    }
    assert_eq!(words, ["open@0", "0", "1"]);
}

#[test]
fn who_comes_first_to_the_tail_is_woken_after_a_late_commit() {
    let mut world = World::new(quiet());
    let (key, sink) = world.join_with(world.wants(&["a"], 1), PipeSink::with_room(1));
    world.publish("a", "0");
    world.run();
    sink.set_room(1);
    // Delivered before the feed has heard of it.
    world.log.hold_commits();
    world.publish("a", "1");
    world.shard.handle_writable(world.now_ms, key);
    world.run();
    world.log.release_commits();
    sink.set_room(usize::MAX);
    world.shard.handle_writable(world.now_ms, key);
    world.run();
    assert_eq!(sink.words(), "0 1");
    world.publish("a", "2");
    assert!(world.is_woken());
    world.run();
    assert_eq!(sink.words(), "2");
}

#[test]
fn a_shard_that_goes_with_its_subscribers_is_woken_no_more() {
    let mut world = World::new(quiet());
    for topics in [&["a"][..], &["a", "b"], &["*"]] {
        world.join(world.wants(topics, 1));
    }
    world.run();
    let other = World::new(quiet());
    drop(std::mem::replace(&mut world.shard, other.shard));
    world.publish("a,b", "1");
    assert!(!world.is_woken());
}
