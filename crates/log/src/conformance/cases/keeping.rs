//! How long records are kept, as readers see it.

use tidewire_core::{Cursor, Position};

use crate::conformance::Factory;
use crate::conformance::fixture::{Answer, Ask, Fixture, NOW, event, event_at, topic};
use crate::{Event, Gap, GapReason, Retention, Rule, Start};

pub(crate) fn retention_by_count(factory: &dyn Factory) {
    for count in [1, 5, 100] {
        let log = Fixture::with(
            factory,
            Retention {
                count: Some(count),
                ..Retention::default()
            },
        );
        let slack = log.profile.slack_records;
        let total = 3 * (count + slack) + 50;
        let mut stored: Vec<Cursor> = Vec::new();
        while (stored.len() as u64) < total {
            let group = 1 + stored.len() % 4;
            stored.extend(log.store((0..group).map(|_| event("a", "x")).collect()));
            if slack == 0 {
                assert_eq!(log.bounds().records, count.min(stored.len() as u64));
            }
        }
        log.settle();
        let bounds = log.bounds();
        let kept = count..=count + slack;
        assert!(kept.contains(&bounds.records), "{count}: {bounds:?}");
        assert_all_from_head(&log, &stored, bounds.records);
    }
}

/// Readers find exactly the newest so many, and a gap below them.
fn assert_all_from_head(log: &Fixture, stored: &[Cursor], records: u64) {
    let bounds = log.bounds();
    let records = usize::try_from(records).expect("few");
    let newest = stored[stored.len() - records..].iter().map(|c| c.seen());
    let seen = log.all();
    assert!(seen.iter().map(|s| s.position).eq(newest));
    assert!(seen.first().is_none_or(|s| bounds.head <= s.position));
    if let Some(lost) = stored.len().checked_sub(records + 1) {
        let lost = stored[lost].seen();
        assert!(lost < bounds.head, "{lost}: {bounds:?}");
        let gap = Gap {
            reason: GapReason::Expired,
            resume: bounds.head,
        };
        assert_eq!(log.read(Ask::from(lost)), Answer::Gap(gap));
        // Whoever has seen the last lost one misses nothing.
        let cursor = stored[stored.len() - records - 1];
        assert_eq!(log.locate(Start::After(cursor), &["*"]).gap, None);
    }
}

pub(crate) fn retention_by_bytes(factory: &dyn Factory) {
    // Ids of one length, so that records have one size.
    let event = || crate::conformance::fixture::with_id(event("a", &"x".repeat(900)), "one");
    let alone = Fixture::plain(factory);
    alone.store((0..64).map(|_| event()).collect());
    let cost = alone.bounds().bytes / 64;
    assert!(cost >= 900);
    let slack = alone.profile.slack_bytes;
    let limit = 20 * cost + cost / 2 + slack;
    let log = Fixture::with(
        factory,
        Retention {
            bytes: Some(limit),
            ..Retention::default()
        },
    );
    let mut stored = Vec::new();
    for _ in 0..(3 * (limit + slack) / cost + 50) {
        stored.extend(log.store(vec![event()]));
        if slack == 0 {
            assert!(log.bounds().bytes <= limit);
        }
    }
    log.settle();
    let bounds = log.bounds();
    assert!(bounds.bytes <= limit + slack, "{bounds:?} of {limit}");
    assert!(
        bounds.bytes + slack + cost > limit,
        "{bounds:?} of {limit}: too little is kept"
    );
    assert_all_from_head(&log, &stored, bounds.records);
    if slack == 0 {
        // One that is larger than all the room stays until the next one.
        let large = crate::conformance::fixture::event("a", &"x".repeat(30_000));
        log.store(vec![large]);
        assert_eq!(log.all().len(), 1);
        log.store(vec![event()]);
        assert_eq!(log.all().len(), 1);
    }
}

pub(crate) fn retention_by_age(factory: &dyn Factory) {
    let log = Fixture::with(
        factory,
        Retention {
            age_ms: Some(1000),
            ..Retention::default()
        },
    );
    let total = 100 + 2 * log.profile.slack_records;
    let stored: Vec<_> = (0..total)
        .flat_map(|n| log.store(vec![event_at("a", "x", NOW + n)]))
        .collect();
    for now in [
        999,
        1000,
        1001,
        1010,
        total / 2 + 1000,
        total + 999,
        total + 5000,
    ] {
        log.maintain(NOW + now);
        let ended = (now + 1).saturating_sub(1000).min(total);
        let kept = log.bounds().records;
        // Never less than was promised; exact but for the slack.
        assert!(
            kept >= total - ended,
            "at {now}: {kept} of {total}, {ended} have ended"
        );
        assert!(
            kept <= total - ended + log.profile.slack_records,
            "at {now}: {kept}"
        );
        assert_all_from_head(&log, &stored, kept);
    }
    let tail = log.bounds().tail;
    log.store(vec![event_at("a", "again", NOW + total + 6000)]);
    assert_eq!(log.rest(tail)[0].data(), "again");
}

fn rule(prefix: &str, age_ms: Option<u64>, count: Option<u64>) -> Rule {
    Rule {
        prefix: prefix.into(),
        age_ms,
        count,
    }
}

fn ruled(factory: &dyn Factory, rules: &[Rule]) -> Fixture {
    Fixture::with(
        factory,
        Retention {
            rules: rules.to_vec(),
            ..Retention::default()
        },
    )
}

pub(crate) fn rules_by_count(factory: &dyn Factory) {
    let log = ruled(
        factory,
        &[rule("few/", None, Some(2)), rule("few/er/", None, Some(1))],
    );
    let mut published: Vec<(&str, String)> = Vec::new();
    for n in 0..40 {
        let name = ["few/a", "few/b", "few/er/c", "free", "fewer"][n % 5];
        log.publish(name, &n.to_string());
        published.push((name, n.to_string()));
        let newest = |prefix: &str, not: &str, count: usize| {
            let of_rule = |p: &&(&str, String)| p.0.starts_with(prefix) && !p.0.starts_with(not);
            let mut newest: Vec<_> = published.iter().rev().filter(of_rule).take(count).collect();
            newest.reverse();
            newest
        };
        let mut want: Vec<_> = newest("few/", "few/er/", 2);
        want.extend(newest("few/er/", "-", 1));
        want.extend(newest("f", "few/", 100));
        let mut want: Vec<_> = want.into_iter().map(|p| p.1.clone()).collect();
        want.sort_by_key(|data| data.parse::<u32>().expect("a number"));
        assert_eq!(log.data(), want, "after {n}");
    }
}

pub(crate) fn rules_by_age(factory: &dyn Factory) {
    let log = ruled(factory, &[rule("brief/", Some(10), None)]);
    for n in 0..30 {
        let name = ["brief/a", "long"][n % 2];
        log.store(vec![event_at(name, &n.to_string(), NOW + n as u64)]);
    }
    for now in [9, 10, 11, 12, 25, 39, 40, 1000] {
        log.maintain(NOW + now);
        let want: Vec<_> = (0..30_u64)
            .filter(|n| n % 2 == 1 || n + 10 > now)
            .map(|n| n.to_string())
            .collect();
        assert_eq!(log.data(), want, "at {now}");
    }
}

pub(crate) fn rules_of_several_topics(factory: &dyn Factory) {
    let log = ruled(
        factory,
        &[rule("one/", None, Some(1)), rule("two/", None, Some(2))],
    );
    let publish = |names: &[&str], data: &str| {
        let event = Event {
            topics: names.iter().map(|name| topic(name)).collect(),
            ..event("a", data)
        };
        drop(log.store(vec![event]));
    };
    publish(&["one/a", "free"], "kept by a free topic");
    publish(&["one/a", "two/a"], "under both");
    publish(&["one/a"], "1");
    assert_eq!(log.data(), ["kept by a free topic", "under both", "1"]);
    publish(&["two/a"], "2");
    publish(&["two/a"], "3");
    assert_eq!(log.data(), ["kept by a free topic", "1", "2", "3"]);
    publish(&["one/a", "two/a", "one/b"], "4");
    assert_eq!(log.data(), ["kept by a free topic", "3", "4"]);
}

pub(crate) fn missed_floors_are_told(factory: &dyn Factory) {
    let log = ruled(
        factory,
        &[rule("few/", None, Some(2)), rule("few/x/", None, Some(9))],
    );
    let cursors: Vec<_> = ["few/1", "free", "few/2", "free", "few/3", "free", "few/4"]
        .iter()
        .map(|name| log.publish(name, name))
        .collect();
    log.settle();
    // few/1 and few/2 are no longer seen: who has not seen few/2 yet has missed something of few/.
    let missed = |seen: Cursor, routing: &[&str]| {
        let located = log.locate(Start::After(seen), routing);
        assert_eq!(
            located.from,
            seen.seen().next(),
            "a floor's gap goes on where the reader is"
        );
        if let Some(gap) = located.gap {
            assert_eq!((gap.reason, gap.resume), (GapReason::Expired, located.from));
        }
        located.gap.is_some()
    };
    #[rustfmt::skip]
    let table: [(usize, &[&str], bool); 11] = [
        (0, &["few/9"], true),
        (1, &["few/9"], true),
        (2, &["few/9"], false),
        (1, &["*"], true),
        (1, &["free", "few/9"], true),
        (1, &["free"], false),
        (1, &["few/x/1"], false),
        (5, &["*"], false),
        (1, &["{x}"], true),
        (1, &["few/{x}"], true),
        (1, &["free{x}"], false),
    ];
    for (seen, routing, gap) in table {
        assert_eq!(missed(cursors[seen], routing), gap, "{seen} {routing:?}");
    }
    for start in [Start::Tail, Start::Head, Start::Last(9), Start::Since(0)] {
        assert_eq!(
            log.locate(start.clone(), &["*"]).gap,
            None,
            "{start:?} asks for what there is"
        );
    }
    // The last of a ruled topic are those that are seen.
    let located = log.locate(Start::Last(9), &["few/1", "few/2", "few/3"]);
    assert!(located.from > cursors[2].seen() && located.from <= cursors[4].seen());
    // Also for a pattern.
    let located = log.locate(Start::Last(9), &["few/{n}"]);
    assert!(located.from > cursors[2].seen() && located.from <= cursors[4].seen());
    // A batch carries the floors for whoever was reading when they moved.
    let ask = crate::ReadAsk {
        from: Position(cursors[0].seen().0),
        topics: None,
        bytes_max: 1,
        records_max: 1,
    };
    if let crate::Read::Batch(batch) = log.log.read(&ask, std::task::Waker::noop()) {
        let floors = batch.floors();
        let any = crate::conformance::fixture::matchers(&["*"]);
        assert_eq!(
            floors.missed(ask.from, &any),
            Some(cursors[2].seen().next())
        );
    }
}
