//! Where a subscriber starts.

use tidewire_core::{Cursor, Epoch, Position};

use crate::conformance::Factory;
use crate::conformance::fixture::{Fixture, NOW, event, event_at, matchers, topic, with_id};
use crate::{Gap, GapReason, Located, Retention, Start};

fn exact(from: Position) -> Located {
    Located { from, gap: None }
}

fn gap(reason: GapReason, resume: Position) -> Located {
    Located {
        from: resume,
        gap: Some(Gap { reason, resume }),
    }
}

fn keeping(count: u64) -> Retention {
    Retention {
        count: Some(count),
        ..Retention::default()
    }
}

/// Publishes until retention has dropped something, and gives the cursors.
fn past_retention(log: &Fixture) -> Vec<Cursor> {
    let many = 40 + 2 * log.profile.slack_records;
    let cursors: Vec<_> = (0..many)
        .map(|n| log.publish("a", &n.to_string()))
        .collect();
    log.settle();
    assert!(
        log.bounds().head > cursors[0].seen(),
        "something was dropped"
    );
    cursors
}

pub(crate) fn every_start(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    let empty = log.bounds();
    for start in [
        Start::Tail,
        Start::Head,
        Start::Since(0),
        Start::Last(9),
        Start::After(log.log.cursor_at(empty.tail)),
    ] {
        assert_eq!(
            log.locate(start.clone(), &["*"]),
            exact(empty.tail),
            "{start:?}"
        );
    }
    let a = log.store(vec![with_id(event_at("a", "", NOW), "one")])[0];
    let b = log.store(vec![event_at("b", "", NOW + 5)])[0];
    let c = log.store(vec![event_at("a", "", NOW + 9)])[0];
    let bounds = log.bounds();
    let hub_id = |cursor: Cursor| cursor.to_string();
    #[rustfmt::skip]
    let table = [
        (Start::Tail, bounds.tail),
        (Start::Head, bounds.head),
        (Start::After(a), a.seen().next()),
        (Start::After(c), bounds.tail),
        (Start::AfterId("one".into()), a.seen().next()),
        (Start::AfterId(hub_id(b)), b.seen().next()),
        (Start::AfterId(hub_id(b).replace('#', "")), b.seen().next()),
        // A record with a publisher's id answers to its hub id too.
        (Start::AfterId(hub_id(a)), a.seen().next()),
        (Start::Since(NOW + 5), b.seen()),
        (Start::Since(NOW + 6), c.seen()),
        (Start::Since(NOW + 10), bounds.tail),
        (Start::Last(0), bounds.tail),
        (Start::Last(2), b.seen()),
    ];
    for (start, from) in table {
        assert_eq!(log.locate(start.clone(), &["*"]), exact(from), "{start:?}");
    }
}

pub(crate) fn cursors_at_every_position_are_exact(factory: &dyn Factory) {
    let log = Fixture::with(factory, keeping(20));
    past_retention(&log);
    let bounds = log.bounds();
    for next in bounds.head.0..=bounds.tail.0 {
        let cursor = log.log.cursor_at(Position(next));
        assert_eq!(
            log.locate(Start::After(cursor), &["a"]),
            exact(Position(next))
        );
        // As a client sends it back.
        let id = cursor.to_string();
        assert_eq!(Cursor::parse(&id), Some(cursor));
        assert_eq!(
            log.locate(Start::AfterId(id), &["a"]),
            exact(Position(next))
        );
    }
}

pub(crate) fn gaps_say_why_and_where_to_go_on(factory: &dyn Factory) {
    let log = Fixture::with(factory, keeping(20));
    let cursors = past_retention(&log);
    let bounds = log.bounds();
    let cursor = |epoch: u64, seen: u64| Cursor::new(Epoch(epoch), Position(seen));
    let epoch = bounds.epoch.0;
    let last_lost = bounds.head.0 - 2;
    #[rustfmt::skip]
    let table = [
        (cursors[0], GapReason::Expired),
        (cursor(epoch, last_lost), GapReason::Expired),
        (cursor(epoch, bounds.tail.0), GapReason::Beyond),
        (cursor(epoch, u64::MAX), GapReason::Beyond),
        (cursor(epoch + 1, bounds.head.0), GapReason::Epoch),
        (cursor(epoch - 1, bounds.head.0), GapReason::Epoch),
        (cursor(0, 0), GapReason::Epoch),
    ];
    for (cursor, reason) in table {
        let want = gap(reason, bounds.head);
        assert_eq!(log.locate(Start::After(cursor), &["*"]), want, "{cursor}");
        let id = cursor.to_string();
        assert_eq!(log.locate(Start::AfterId(id), &["*"]), want, "{cursor}");
    }
    for id in ["never seen", "", "#", "1-2-3", "urn:uuid:7"] {
        let want = gap(GapReason::Unknown, bounds.tail);
        assert_eq!(log.locate(Start::AfterId(id.into()), &["*"]), want, "{id}");
    }
    // The edges on the good side.
    for seen in [bounds.head.0 - 1, bounds.tail.0 - 1] {
        let from = Position(seen + 1);
        assert_eq!(
            log.locate(Start::After(cursor(epoch, seen)), &["*"]),
            exact(from)
        );
    }
}

pub(crate) fn publisher_ids_lead_to_the_earliest_match(factory: &dyn Factory) {
    let log = Fixture::with(factory, keeping(300));
    let publish = |id: &str| log.store(vec![with_id(event("a", id), id)])[0].seen();
    let after = |id: &str| log.locate(Start::AfterId(id.into()), &["*"]);
    let twice = [publish("twice"), publish("twice")];
    let once = publish("once");
    // An id that reads as the cursor of another record is a publisher's id first.
    let posing_as = log.log.cursor_at(once.next()).to_string().replace('#', "");
    let posing = publish(&posing_as);
    assert_eq!(after("twice"), exact(twice[0].next()));
    assert_eq!(after("once"), exact(once.next()));
    assert_eq!(after(&posing_as), exact(posing.next()));
    assert_eq!(after("on"), gap(GapReason::Unknown, log.bounds().tail));
    let many: Vec<_> = (0..250)
        .map(|n| (n, publish(&format!("many/{n}"))))
        .collect();
    for (n, position) in &many {
        assert_eq!(after(&format!("many/{n}")), exact(position.next()), "{n}");
    }
    // When retention takes the earliest, the next one is the earliest.
    let last = publish("twice");
    let mut rounds = 0;
    while log.bounds().head <= twice[1] {
        log.publish("a", "filler");
        log.settle();
        let head = log.bounds().head;
        let kept = twice.iter().chain([&last]).find(|p| **p >= head);
        assert_eq!(
            after("twice"),
            exact(kept.expect("kept").next()),
            "head {head}"
        );
        rounds += 1;
        assert!(
            rounds < 10_000 + 10 * log.profile.slack_records,
            "nothing is dropped"
        );
    }
    assert_eq!(after("twice"), exact(last.next()));
    if log.bounds().head > once {
        assert_eq!(after("once"), gap(GapReason::Unknown, log.bounds().tail));
    }
}

pub(crate) fn the_last_of_the_routed_topics(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    for n in 0..900 {
        let name = match n {
            _ if n % 90 == 7 => "rare",
            _ if n % 4 == 1 => "other",
            _ => "common",
        };
        let mut event = event(name, &n.to_string());
        if n % 100 == 50 {
            event.topics.extend(["rare", "other"].map(topic));
        }
        log.store(vec![event]);
    }
    let all = log.all();
    let routings: [&[&str]; 10] = [
        &["r{x}"],
        &["ra{x}", "never{x}", "other"],
        &["never{x}"],
        &["r{x}", "*"],
        &["rare"],
        &["common"],
        &["rare", "other"],
        &["never"],
        &["*"],
        &["rare", "*"],
    ];
    for routing in routings {
        let routed = matchers(routing);
        let wanted: Vec<_> = all
            .iter()
            .filter(|s| s.topics.iter().any(|t| routed.accepts(t.as_bytes())))
            .collect();
        for count in [0, 1, 2, 3, 5, 10, 200, 5000] {
            let located = log.locate(Start::Last(count), routing);
            assert_eq!(located.gap, None);
            let skipped = wanted
                .len()
                .saturating_sub(usize::try_from(count).unwrap_or(0));
            let got = wanted.iter().filter(|s| s.position >= located.from).count();
            assert_eq!(got, wanted.len() - skipped, "last {count} of {routing:?}");
        }
    }
}

pub(crate) fn since_a_time(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    for n in 0..400 {
        // Several records share a time, within a group and across groups.
        let time_ms = NOW + n / 7 * 10;
        log.store((0..1 + n % 3).map(|_| event_at("a", "", time_ms)).collect());
    }
    let all = log.all();
    for time_ms in (NOW - 5..NOW + 600).step_by(5) {
        let located = log.locate(Start::Since(time_ms), &["a"]);
        let want = all.iter().find(|s| s.time_ms >= time_ms);
        let want = want.map_or(log.bounds().tail, |s| s.position);
        assert_eq!(located, exact(want), "{}", time_ms - NOW);
    }
}
