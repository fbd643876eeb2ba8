//! Subscribers of patterns: who gets what, once, live and replayed alike, and who is not woken.

mod world;

use tidewire_core::{MatcherSet, Patterns};
use world::{World, quiet};

#[test]
fn patterns_deliver_once_live_and_replayed_alike() {
    let patterns = Patterns::with_base(Default::default(), "https://h.x/hub").unwrap();
    let mut world = World::new(quiet());
    let templates = |texts: &[&str]| -> MatcherSet {
        let made = texts.iter().map(|text| patterns.selector(text).unwrap());
        made.collect()
    };
    let urls = |text: &str| MatcherSet::from_iter([patterns.url_pattern(text).unwrap()]);
    #[rustfmt::skip]
    let table = [
        // routing                                      granted             data that is delivered
        (templates(&["/b/{id}"]),                       templates(&[]),             "1 3"),
        (templates(&["/b/{id}", "/b/1", "{+all}"]),     templates(&[]),             "1 2 3"),
        (templates(&["/b-{id}"]),                       templates(&[]),             ""),
        (templates(&["/b/{id}"]),                       templates(&["/c/{id}"]),    "1 3 4"),
        (templates(&["/b/{id}"]),                       templates(&["/d/{id}"]),    "1 3"),
        (urls("/b/:id"),                                templates(&["*"]),          "1 3 4"),
        (urls("https://h.x/:any/(\\d+)"),               templates(&[]),             "1 2 3"),
    ];
    let join = |world: &mut World, routing: &MatcherSet, private: &MatcherSet, from| {
        let mut wants = world.wants(&[], from);
        wants.filter.routing = routing.clone();
        wants.filter.private = private.clone();
        world.join(wants).1
    };
    let live: Vec<_> = table
        .iter()
        .map(|(routing, private, _)| join(&mut world, routing, private, 1))
        .collect();
    world.run();
    for (topics, data) in [
        ("/b/1", "1"),
        ("/c/1", "2"),
        ("/c/2,/b/2", "3"),
        ("!/b/3,/c/3", "4"),
    ] {
        world.publish(topics, data);
        world.step();
    }
    world.run();
    for ((routing, private, want), live) in table.iter().zip(live) {
        let replayed = join(&mut world, routing, private, 1);
        world.run();
        assert_eq!(live.words(), *want, "live, {routing:?} {private:?}");
        assert_eq!(replayed.words(), *want, "replayed, {routing:?} {private:?}");
    }
}

/// Patterns that are slow to try, none of which has anything in common with the others.
fn slow(patterns: &Patterns, n: usize) -> MatcherSet {
    let made = match n % 3 {
        0 => patterns.url_pattern(&format!("*://*/:a(x+)?/((?:a|b)*)/n{}(\\d+)", n % 7)),
        1 => patterns.selector(&format!("{{+a}}/{{b}}{{n{n}}}/n{}{{c}}", n % 7)),
        _ => patterns.url_pattern(&format!("/s/:a?q=:n{n}({}\\d*)", n % 7)),
    };
    MatcherSet::from_iter([made.unwrap()])
}

/// Whoever wants no slow pattern gets its events as if nobody else did; those who do get theirs in later steps, each once and in order,
/// live, replayed, and after a change from one kind to the other.
#[test]
fn slow_patterns_hold_nobody_up_but_their_own() {
    for effort in [1, 3_000, 1 << 40] {
        let patterns = Patterns::with_base(Default::default(), "https://h.x/hub").unwrap();
        let mut config = quiet();
        config.step_effort_max = effort;
        let mut world = World::new(config);
        let hostile: Vec<_> = (0..60).map(|n| slow(&patterns, n)).collect();
        let join = |world: &mut World, routing: &MatcherSet, from| {
            let mut wants = world.wants(&[], from);
            wants.filter.routing = routing.clone();
            world.join(wants).1
        };
        let live: Vec<_> = hostile
            .iter()
            .map(|routing| join(&mut world, routing, 1))
            .collect();
        let plain = join(&mut world, &topics(&["/plain"]), 1);
        let quick = join(
            &mut world,
            &MatcherSet::from_iter([patterns.selector("/s/{id}").unwrap()]),
            1,
        );
        world.run();
        let mut published = Vec::new();
        for n in 0..40 {
            let topic = match n % 4 {
                0 => "/plain".to_owned(),
                1 => format!("/s/{n}?q={}", n % 7),
                2 => format!("/x{n}/aabba/n{}4", n % 7),
                _ => format!("/x/{n}/ab/n{}1", n % 7),
            };
            let data = n.to_string();
            world.publish(&topic, &data);
            world.step();
            let want = if n % 4 == 0 { &*data } else { "" };
            assert_eq!(plain.words(), want, "after one step");
            published.push((topic, data));
        }
        let at_once: Vec<_> = live.iter().map(world::PipeSink::words).collect();
        world.run();
        assert_eq!(quick.words(), "", "a query is no part of a segment");
        let mut hits = 0;
        let mut late = 0;
        for ((routing, live), at_once) in hostile.iter().zip(&live).zip(&at_once) {
            let want = expected(routing, &published);
            let later = live.words();
            assert_eq!([at_once, &*later].join(" ").trim(), want, "{routing:?}");
            late += usize::from(!later.is_empty());
            let replayed = join(&mut world, routing, 1);
            world.run();
            assert_eq!(replayed.words(), want, "replayed, {routing:?}");
            hits += usize::from(!want.is_empty());
        }
        assert!(
            hits >= 20 && (late > 0) == (effort < 1 << 40),
            "{hits} {late}"
        );
    }
}

/// An event that many slow patterns match does not hold anybody else up until all of those have it.
#[test]
fn everyone_else_goes_first_in_the_midst_of_a_delivery_to_slow_patterns() {
    let patterns = Patterns::default();
    let mut config = quiet();
    config.step_records_max = 1;
    let mut world = World::new(config);
    let others: Vec<_> = (0..100)
        .map(|n| {
            let mut wants = world.wants(&[], 1);
            let pattern = patterns.selector(&format!("x-{{id}}{{n{n}}}"));
            wants.filter.routing = MatcherSet::from_iter([pattern.unwrap()]);
            world.join(wants).1
        })
        .collect();
    let wants = world.wants(&["plain"], 1);
    let plain = world.join(wants).1;
    world.run();
    for (topic, data) in [("x-1", "0"), ("plain", "1"), ("plain", "2"), ("plain", "3")] {
        world.publish(topic, data);
    }
    world.step();
    assert_eq!(plain.words(), "1 2 3", "a step reads one at a time");
    let before = others.iter().filter(|other| other.turn() < plain.turn());
    let before = before.count();
    assert!((16..60).contains(&before), "{before} before the last");
    assert!(others.iter().all(|other| other.words() == "0"));
    world.run();
    assert!(others.iter().all(|other| other.words().is_empty()));
}

/// A commit wakes for slow patterns only those whose topics may be meant.
#[test]
fn a_shard_is_not_woken_for_topics_that_its_slow_patterns_cannot_match() {
    let patterns = Patterns::with_base(Default::default(), "https://h.x/hub").unwrap();
    let mut world = World::new(quiet());
    let mut sinks = Vec::new();
    for n in 0..200 {
        let made = match n % 2 {
            0 => patterns.url_pattern(&format!("/a{n}-(x|y)/*")),
            _ => patterns.selector(&format!("/a{n}-{{id}}")),
        };
        let mut wants = world.wants(&[], 1);
        wants.filter.routing = MatcherSet::from_iter([made.unwrap()]);
        sinks.push(world.join(wants).1);
    }
    world.run();
    let wakes = |world: &mut World, topic: &str, data: &str| {
        world.publish(topic, data);
        let is_woken = world.is_woken();
        world.run();
        is_woken
    };
    assert!(!wakes(&mut world, "/b/1", "1"));
    assert!(wakes(&mut world, "/a8-x/1", "2") && wakes(&mut world, "/a9-x", "3"));
    assert_eq!([8, 9].map(|n: usize| sinks[n].words()), ["2", "3"]);
    // Those that have left are not asked any more; their neighbours are.
    let keys: Vec<_> = world.shard.keys().collect();
    for key in keys.iter().take(100) {
        drop(world.shard.leave(*key));
    }
    assert!(!wakes(&mut world, "/a8-x/2", "4") && wakes(&mut world, "/a101-x", "5"));
    assert_eq!([8, 101].map(|n: usize| sinks[n].words()), ["", "5"]);
}

fn topics(names: &[&str]) -> MatcherSet {
    world::set(names)
}

fn expected(routing: &MatcherSet, published: &[(String, String)]) -> String {
    let matching = published
        .iter()
        .filter(|(topic, _)| routing.accepts(topic.as_bytes()));
    let words: Vec<_> = matching.map(|(_, data)| data.as_str()).collect();
    words.join(" ")
}
