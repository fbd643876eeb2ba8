//! Streams that change while they run: other topics, another grant, an end for those who are meant.

mod world;

use std::sync::mpsc;

use tidewire_core::{Filter, MatcherSet};
use tidewire_engine::{
    Checkpoint, EndReason, Marks, Order, ReviseError, Revised, Revision, Subscription, Target,
    Topics,
};
use tidewire_log::Log;
use world::{PipeSink, World, quiet, set, topic};

fn marks(issuer: u64, subject: u64, token: u64) -> Marks {
    Marks {
        issuer,
        subject,
        token,
    }
}

fn renewal() -> Revision {
    Revision {
        topics: Topics::Same,
        topics_max: 4,
        private: MatcherSet::default(),
        ends_ms: None,
        marks: Marks::NONE,
        may_claim: true,
    }
}

fn change(add: &[&str], remove: &[&str]) -> Revision {
    Revision {
        topics: Topics::Change {
            add: set(add),
            remove: set(remove),
        },
        ..renewal()
    }
}

fn wants(world: &World, topics: &[&str], checkpoint: Checkpoint) -> Subscription {
    Subscription {
        checkpoint,
        ..world.wants(topics, world.tail())
    }
}

/// Wherever it stands, what lies before its cursor was decided as before and the rest as it is now, none of it lost or twice.
#[test]
fn topics_change_at_the_cursor() {
    let table = [
        // Where it stands: how many frames its sink takes, whether it had come up with the log.
        ("at the tail", usize::MAX, true),
        ("behind", usize::MAX, false),
        ("standing still", 2, false),
    ];
    for (place, room, at_tail) in table {
        let mut world = World::new(quiet());
        let wanted = wants(&world, &["a"], Checkpoint::Id);
        let (key, sink) = world.join_with(wanted, PipeSink::with_room(room));
        if at_tail {
            world.run();
        }
        // Of those of `b`, none was wanted when it was committed.
        world.publish("b", "b1");
        world.publish("a", "a1");
        world.publish("b", "b2");
        world.publish("a", "a2");
        if room < usize::MAX {
            // The opening and a1: then it is full.
            world.run();
        }
        let revised = world.shard.revise(key, change(&["b"], &[])).unwrap();
        assert_eq!(
            (revised.before, revised.after),
            (set(&["a"]), set(&["a", "b"]))
        );
        world.publish("b", "b3");
        world.run();
        sink.set_room(usize::MAX);
        world.shard.handle_writable(world.now_ms, key);
        world.run();
        let got = sink.words();
        let want = match place {
            // It has looked at nothing since it came up with the log: its cursor is there.
            "at the tail" => "id@0 id@0 b1 a1 b2 a2 b3",
            "behind" => "id@0 b1 a1 b2 a2 b3",
            _ => "id@0 a1 id@11 a2 b3",
        };
        assert_eq!(got, want, "{place}");

        let revised = world.shard.revise(key, change(&["c"], &["a"])).unwrap();
        assert_eq!(revised.after, set(&["b", "c"]), "{place}");
        assert_eq!(revised.at, world.log.cursor_at(world.log.bounds().tail));
        for name in ["a", "b", "c"] {
            world.publish(name, name);
        }
        world.run();
        assert_eq!(sink.words(), "id@15 b c", "{place}");
    }
}

/// The commit can be read already, and its watcher hears of it late: as when two threads meet.
#[test]
fn no_commit_is_lost_between_the_old_topics_and_the_new() {
    let mut world = World::new(quiet());
    let (key, sink) = world.join(wants(&world, &["a"], Checkpoint::Off));
    world.run();
    world.log.hold_commits();
    world.publish("b", "early");
    world.shard.revise(key, change(&["b"], &["a"])).unwrap();
    world.publish("b", "late");
    world.run();
    world.log.release_commits();
    world.run();
    world.publish("a", "gone");
    world.publish("b", "then");
    world.run();
    assert_eq!(sink.words(), "early late then");
}

#[test]
fn rights_are_those_of_the_present_grant() {
    for is_behind in [false, true] {
        let mut world = World::new(quiet());
        let wanted = Subscription {
            filter: Filter {
                routing: set(&["a", "b"]),
                private: set(&["a"]),
            },
            ..wants(&world, &["a"], Checkpoint::Off)
        };
        let (key, sink) = world.join(wanted);
        if !is_behind {
            world.run();
        }
        world.publish("!a", "secret of a");
        world.publish("!b", "secret of b");
        world.publish("a", "public");
        let other = Revision {
            private: set(&["b"]),
            ..renewal()
        };
        world.shard.revise(key, other).unwrap();
        world.run();
        assert_eq!(sink.words(), "secret of b public", "{is_behind}");
        world.publish("!a,b", "of both");
        world.shard.revise(key, renewal()).unwrap();
        world.publish("!b", "secret of b");
        world.run();
        assert_eq!(sink.words(), "", "no grant, no private event");
    }
}

#[test]
fn a_renewed_grant_ends_later_and_is_told_anew() {
    let events = (
        Checkpoint::Event,
        "open@0",
        "expiring",
        ":closing:grant closing:grant",
    );
    let ids = (Checkpoint::Id, "id@0", ":expiring:in", ":closing:grant");
    let off = (Checkpoint::Off, "", ":expiring:in", ":closing:grant");
    for (checkpoint, open, expiring, closing) in [events, ids, off] {
        let mut world = World::new(quiet());
        let wanted = Subscription {
            ends_ms: Some(world.now_ms + 60_000),
            ..wants(&world, &["a"], checkpoint)
        };
        let (key, sink) = world.join(wanted);
        world.run();
        assert_eq!(sink.words(), open);
        world.pass_ms(31_000);
        assert!(sink.words().starts_with(expiring), "{checkpoint:?}");
        let later = Revision {
            ends_ms: Some(world.now_ms + 100_000),
            ..renewal()
        };
        world.shard.revise(key, later.clone()).unwrap();
        world.run();
        world.pass_ms(60_000);
        assert_eq!(sink.words(), "", "nothing is said of a renewal");
        // The same again changes nothing.
        world.shard.revise(key, later).unwrap();
        world.pass_ms(11_000);
        assert!(sink.words().starts_with(expiring), "{checkpoint:?}");
        world.pass_ms(30_000);
        assert_eq!(sink.words(), closing);
        assert_eq!(world.ended, [(key, EndReason::Grant)]);
    }
}

/// One that stands still was about to be told of an end that is not so any more; one may be given an earlier end too.
#[test]
fn ends_move_both_ways() {
    let mut world = World::new(quiet());
    let wanted = Subscription {
        ends_ms: Some(world.now_ms + 40_000),
        ..wants(&world, &["a"], Checkpoint::Event)
    };
    let (slow, sink) = world.join_with(wanted, PipeSink::with_room(1));
    let (other, _) = world.join(wants(&world, &["a"], Checkpoint::Event));
    world.run();
    world.pass_ms(20_000);
    for key in [slow, other] {
        let never = renewal();
        world.shard.revise(key, never).unwrap();
    }
    world.run();
    world.pass_ms(30_000);
    assert!(world.ended.is_empty());
    sink.set_room(usize::MAX);
    world.shard.handle_writable(world.now_ms, slow);
    world.run();
    assert_eq!(sink.words(), "open@0");
    let soon = Revision {
        ends_ms: Some(world.now_ms + 1_000),
        ..renewal()
    };
    world.shard.revise(other, soon).unwrap();
    world.run();
    world.pass_ms(1_000);
    assert_eq!(world.ended, [(other, EndReason::Grant)]);
}

#[test]
fn who_is_meant_ends_before_anything_else_is_delivered() {
    let table: [(Target, &[usize]); 6] = [
        (Target::Marks(marks(0, 2, 0)), &[1, 2]),
        (Target::Marks(marks(7, 2, 0)), &[2]),
        (Target::Marks(marks(0, 0, 5)), &[3]),
        (Target::Marks(Marks::NONE), &[]),
        // One routes it, one may read its private events.
        (Target::Topic(topic("b")), &[2, 3]),
        (Target::Topic(topic("a")), &[0, 1, 3]),
    ];
    for (target, meant) in table {
        let mut world = World::new(quiet());
        let streams = [
            (Marks::NONE, "a", ""),
            (marks(1, 2, 3), "a", ""),
            (marks(7, 2, 4), "b", ""),
            (marks(1, 1, 5), "a", "b"),
        ];
        let joined: Vec<_> = streams
            .into_iter()
            .map(|(marks, routing, private)| {
                let wanted = wants(&world, &[routing], Checkpoint::Event);
                let private: &[&str] = if private.is_empty() { &[] } else { &[private] };
                world.join(Subscription {
                    marks,
                    filter: Filter {
                        private: set(private),
                        ..wanted.filter
                    },
                    ..wanted
                })
            })
            .collect();
        world.run();
        assert!(joined.iter().all(|(_, sink)| sink.words() == "open@0"));
        world.publish("a,b", "late");
        assert_eq!(world.shard.end_where(&target), meant.len(), "{target:?}");
        world.run();
        for (at, (_, sink)) in joined.iter().enumerate() {
            let want = match meant.contains(&at) {
                true => ":closing:revoked closing:revoked",
                false => "late",
            };
            assert_eq!(sink.words(), want, "{target:?} {at}");
        }
        let ended: Vec<_> = meant.iter().map(|at| joined[*at].0).collect();
        let told: Vec<_> = world.ended.iter().map(|(key, _)| *key).collect();
        assert_eq!(told, ended);
        let counted = world.shard.counters().ended(EndReason::Revoked);
        assert_eq!(counted, meant.len() as u64);
    }
}

#[test]
fn some_changes_are_refused_and_change_nothing() {
    let mut world = World::new(quiet());
    let wanted = Subscription {
        marks: marks(1, 2, 3),
        ..wants(&world, &["a"], Checkpoint::Off)
    };
    let (key, sink) = world.join(wanted);
    let (free, _) = world.join(wants(&world, &["a"], Checkpoint::Off));
    world.run();
    let of = |marks, revision| Revision { marks, ..revision };
    let mine = marks(1, 2, 4);
    let table = [
        (of(marks(1, 3, 3), change(&["b"], &[])), ReviseError::Holder),
        (of(marks(2, 2, 3), change(&["b"], &[])), ReviseError::Holder),
        (of(Marks::NONE, change(&["b"], &[])), ReviseError::Holder),
        (of(mine, change(&[], &["a"])), ReviseError::NoTopic),
        (
            of(mine, change(&["b", "c", "d", "e"], &[])),
            ReviseError::TooMany { count: 5 },
        ),
    ];
    for (revision, want) in table {
        let why = format!("{revision:?}");
        assert_eq!(world.shard.revise(key, revision), Err(want), "{why}");
    }
    world.publish("a", "1");
    world.publish("b", "2");
    world.run();
    assert_eq!(sink.words(), "1");
    // The same holder with another token; anybody, for one without.
    let full = |revision| Revision {
        may_claim: false,
        ..of(mine, revision)
    };
    let renewed = world.shard.revise(key, full(renewal())).unwrap();
    assert!(!renewed.claimed, "it was theirs already");
    let refused = world.shard.revise(free, full(change(&["b"], &[])));
    assert_eq!(refused, Err(ReviseError::Full));
    let claimed = world.shard.revise(free, of(mine, renewal())).unwrap();
    assert!(claimed.claimed && claimed.before == claimed.after);
    let by_token = Target::Marks(marks(0, 0, 3));
    assert_eq!(world.shard.end_where(&by_token), 0, "that token has gone");
    assert_eq!(world.shard.end_where(&Target::Marks(marks(0, 0, 4))), 2);
    let gone = world.shard.revise(key, of(mine, renewal()));
    assert_eq!(gone, Err(ReviseError::Gone), "it is about to end");
    world.run();
    let gone = world.shard.revise(key, of(mine, renewal()));
    assert_eq!(gone, Err(ReviseError::Gone));
}

/// Their places in the index's lists move as others come and go.
#[test]
fn neighbours_keep_their_topics() {
    let mut world = World::new(quiet());
    let joined: Vec<_> = (0..6)
        .map(|_| world.join(wants(&world, &["a"], Checkpoint::Off)))
        .collect();
    world.run();
    for (round, at) in [0, 5, 2, 0, 3, 2].into_iter().enumerate() {
        let topics = match round % 3 {
            0 => &["a", "b"][..],
            1 => &["b"],
            _ => &["a"],
        };
        let revision = Revision {
            topics: Topics::Set(set(topics)),
            private: set(&["x"]),
            ..renewal()
        };
        world.shard.revise(joined[at].0, revision).unwrap();
    }
    world.run();
    world.publish("a", "a");
    world.publish("b", "b");
    world.run();
    let got: Vec<_> = joined.iter().map(|(_, sink)| sink.words()).collect();
    assert_eq!(got, ["a b", "a", "a", "b", "a", "b"]);
    for (key, _) in &joined {
        world.shard.leave(*key).unwrap();
    }
    world.run();
    let reads = world.log.reads.load(std::sync::atomic::Ordering::Relaxed);
    world.publish("a,b", "nobody");
    assert!(!world.is_woken());
    world.run();
    let now = world.log.reads.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(now, reads);
}

#[test]
fn orders_are_answered_and_streams_named_when_they_are_told() {
    let mut world = World::new(quiet());
    world
        .shard
        .name_with(std::sync::Arc::new(|key| format!("n{}", u64::from(key))));
    let unnamed = Subscription {
        stream: String::new(),
        ..wants(&world, &["a"], Checkpoint::Event)
    };
    let (key, sink) = world.join(unnamed);
    world.run();
    let name = format!("{{\"stream\":\"n{}\"}}", u64::from(key));
    assert!(sink.take().contains(&name));
    let (send, answers) = mpsc::channel::<Result<Revised, ReviseError>>();
    world.shard.obey(Order::Revise {
        key,
        revision: Box::new(change(&["b"], &[])),
        done: Box::new(move |answer| send.send(answer).unwrap()),
    });
    assert_eq!(answers.recv().unwrap().unwrap().after, set(&["a", "b"]));
    let (send, answers) = mpsc::channel();
    world.shard.obey(Order::End {
        target: std::sync::Arc::new(Target::Topic(topic("b"))),
        done: Box::new(move |count| send.send(count).unwrap()),
    });
    assert_eq!(answers.recv().unwrap(), 1);
    world.run();
    assert!(world.shard.is_empty());
}
