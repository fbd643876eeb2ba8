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
