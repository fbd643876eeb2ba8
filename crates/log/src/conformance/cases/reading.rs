//! The four answers, the limits of a read, and reads by topic.

use tidewire_core::Position;

use crate::conformance::fixture::{Answer, Ask, Fixture, event, topic};
use crate::conformance::{Factory, Rng};
use crate::{Event, Gap, GapReason, Retention};

pub(crate) fn the_answers_of_a_read(factory: &dyn Factory) {
    let log = Fixture::with(
        factory,
        Retention {
            count: Some(10),
            ..Retention::default()
        },
    );
    let first = log.publish("a", "0").seen();
    let many = 100 + 2 * log.profile.slack_records;
    for _ in 0..many {
        log.publish("a", "x");
    }
    log.settle();
    let bounds = log.bounds();
    assert!(
        bounds.head > first,
        "retention has moved the head: {bounds:?}"
    );
    let gap = |reason| {
        Answer::Gap(Gap {
            reason,
            resume: bounds.head,
        })
    };
    assert_eq!(log.read(Ask::from(first)), gap(GapReason::Expired));
    assert_eq!(
        log.read(Ask::from(bounds.head.before())),
        gap(GapReason::Expired)
    );
    assert_eq!(log.read(Ask::from(bounds.tail)), Answer::AtTail);
    for beyond in [bounds.tail.next(), Position(u64::MAX)] {
        assert_eq!(log.read(Ask::from(beyond)), gap(GapReason::Beyond));
    }
    let Answer::Records(seen, next) = log.read(Ask::from(bounds.head)) else {
        panic!("the head can be read");
    };
    assert!(!seen.is_empty() && next <= bounds.tail);
    // The tail of now is where the next one is found.
    log.publish("a", "new");
    assert_eq!(log.rest(bounds.tail)[0].data(), "new");
}

pub(crate) fn limits_at_their_edge(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    let sizes = [10, 5000, 10, 10, 300];
    let records: Vec<_> = (0..40)
        .map(|n| event("a", &"x".repeat(sizes[n % sizes.len()])))
        .collect();
    for group in records.chunks(7) {
        log.store(group.to_vec());
    }
    let all = log.all();
    for (start, first) in all.iter().enumerate() {
        for bytes_max in [
            0,
            1,
            first.bytes - 1,
            first.bytes,
            first.bytes + 1,
            6000,
            20_000,
        ] {
            for records_max in [0, 1, 2, 3, 39, 40, 41] {
                let ask = Ask {
                    bytes_max,
                    records_max,
                    ..Ask::from(first.position)
                };
                let Answer::Records(seen, next) = log.read(ask) else {
                    panic!("{ask:?}");
                };
                assert!(!seen.is_empty(), "at least one record: {ask:?}");
                assert_eq!(seen, all[start..start + seen.len()], "{ask:?}");
                assert!(seen.len() <= records_max.max(1), "{ask:?}: {}", seen.len());
                let before_last: usize = seen[..seen.len() - 1].iter().map(|s| s.bytes).sum();
                assert!(
                    seen.len() == 1 || before_last < bytes_max,
                    "stops once the bytes are reached: {ask:?}: {before_last}"
                );
                let following = all.get(start + seen.len());
                assert!(following.is_none_or(|record| next <= record.position));
            }
        }
    }
    let ask = Ask {
        records_max: 1,
        ..Ask::from(all[0].position)
    };
    assert_eq!(log.rest_by(ask), all);
}

pub(crate) fn reading_on_from_anywhere_gives_the_rest(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    for group in 0..120 {
        let events = (0..1 + group % 5).map(|n| event("a", &format!("{group}/{n}")));
        log.store(events.collect());
    }
    let all = log.all();
    let bounds = log.bounds();
    for from in bounds.head.0..=bounds.tail.0 {
        let from = Position(from);
        let want: Vec<_> = all.iter().filter(|s| s.position >= from).cloned().collect();
        let got = log.rest(from);
        assert!(got == want, "{from}: {} of {}", got.len(), want.len());
    }
}

pub(crate) fn topics_lose_no_wanted_record(factory: &dyn Factory) {
    let mut rng = Rng::new(7);
    for round in 0..4 {
        let log = Fixture::plain(factory);
        let names: Vec<_> = (0..40).map(|n| format!("t/{n}")).collect();
        let mut written = 0;
        while written < 1500 {
            let size = 1 + rng.below([1, 2, 40, 400][round]);
            let events: Vec<_> = (0..size)
                .map(|_| on_random_topics(&mut rng, &names))
                .collect();
            written += size;
            log.store(events);
        }
        let all = log.all();
        for count in [0, 1, 1, 2, 5, 20, 40, 1100] {
            // Names that were never published count as well.
            let asked: Vec<_> = (0..count)
                .map(|n| format!("t/{}", if n < 40 { rng.below(60) } else { n }))
                .collect();
            let asked: Vec<_> = asked.iter().map(String::as_str).collect();
            let from = all[usize::try_from(rng.below(all.len() as u64)).unwrap_or(0)].position;
            let ask = Ask {
                topics: Some(&asked),
                bytes_max: 4000,
                records_max: 50,
                ..Ask::from(from)
            };
            let wanted = |s: &&crate::conformance::fixture::Seen| s.has_any(&asked);
            let got: Vec<_> = log
                .rest_by(ask)
                .into_iter()
                .filter(|s| wanted(&s))
                .collect();
            let want: Vec<_> = all
                .iter()
                .filter(|s| s.position >= from)
                .filter(wanted)
                .collect();
            assert!(
                got.iter().eq(want.iter().copied()),
                "round {round}, {asked:?} from {from}: {} of {}",
                got.len(),
                want.len()
            );
        }
    }
}

/// Low numbers are common, high ones rare; some events have several topics.
fn on_random_topics(rng: &mut Rng, names: &[String]) -> Event {
    let mut event = event("t/0", "x");
    event.topics = (0..1 + rng.below(10) / 8)
        .map(|_| {
            let end = 1 + rng.below(names.len() as u64);
            let index = rng.below(end);
            topic(&names[usize::try_from(index).unwrap_or(0)])
        })
        .collect();
    event
}

pub(crate) fn a_rare_topic_is_found_among_many(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    let head = log.bounds().tail;
    let mut rare = Vec::new();
    for group in 0..50 {
        let events = (0..100).map(|n| event(&format!("common/{}", n % 7), "x"));
        log.store(events.collect());
        if group % 5 == 2 {
            rare.push(log.publish("rare", &group.to_string()).seen());
        }
    }
    let ask = Ask {
        topics: Some(&["rare"]),
        records_max: 1000,
        bytes_max: 100_000,
        ..Ask::from(head)
    };
    let found: Vec<_> = log
        .rest_by(ask)
        .into_iter()
        .filter(|s| s.has_any(&["rare"]))
        .map(|s| s.position)
        .collect();
    assert_eq!(found, rare);
    // Whoever has read past the last one is told of the next.
    let tail = log.bounds().tail;
    let next = log.publish("rare", "new").seen();
    let found = log.rest_by(Ask { from: tail, ..ask });
    assert_eq!(found.iter().map(|s| s.position).collect::<Vec<_>>(), [next]);
}
