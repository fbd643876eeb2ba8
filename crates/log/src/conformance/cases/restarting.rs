//! What a log is when it is opened again, and what its earlier cursors mean then.

use tidewire_core::{Cursor, Position};

use crate::conformance::fixture::{Fixture, NOW, Seen, event, event_at, with_id, with_key};
use crate::conformance::{After, Factory, Reopen};
use crate::{GapReason, Retention, Rule, Start};

const LATER: u64 = NOW + 60_000;

/// Every way of ending a log that can be tried, and what is left then.
fn ways(factory: &dyn Factory) -> Vec<(Reopen, After)> {
    let profile = factory.profile();
    let crash = profile.crash.map(|after| (Reopen::Crash, after));
    [Some((Reopen::Clean, profile.clean)), crash]
        .into_iter()
        .flatten()
        .collect()
}

pub(crate) fn a_clean_restart(factory: &dyn Factory) {
    restart(factory, Reopen::Clean, factory.profile().clean);
}

pub(crate) fn a_crash(factory: &dyn Factory) {
    if let Some(after) = factory.profile().crash {
        restart(factory, Reopen::Crash, after);
    }
}

fn restart(factory: &dyn Factory, how: Reopen, after: After) {
    for count in [0, 1, 700] {
        let mut log = Fixture::plain(factory);
        let cursors: Vec<_> = (0..count)
            .map(|n| log.publish("a", &n.to_string()))
            .collect();
        let before = log.all();
        let bounds_before = log.bounds();
        log.reopen(how, LATER);
        let bounds = log.bounds();
        let seen = log.all();
        assert_eq!(seen, before[..seen.len()], "what is left did not change");
        match after {
            After::All => assert_eq!(seen.len(), before.len()),
            After::Some => {}
            After::Nothing => assert!(seen.is_empty()),
        }
        if seen.len() < before.len() || after != After::All {
            assert!(bounds.epoch > bounds_before.epoch, "a new life: {bounds:?}");
        }
        cursors_after_a_restart(&log, &before, &cursors, seen.len());
        // Life goes on, under names that were never given out before.
        let cursor = log.publish("a", "new");
        assert!(cursors.iter().all(|old| *old != cursor));
        assert!(seen.last().is_none_or(|s| s.position < cursor.seen()));
        assert_eq!(log.rest(bounds.tail)[0].data(), "new");
    }
}

fn cursors_after_a_restart(log: &Fixture, before: &[Seen], cursors: &[Cursor], left: usize) {
    for (index, (cursor, record)) in cursors.iter().zip(before).enumerate() {
        let located = log.locate(Start::After(*cursor), &["a"]);
        if index < left {
            assert_eq!((located.from, located.gap), (record.position.next(), None));
        } else {
            let gap = located.gap.expect("a cursor of what is gone is a gap");
            let honest = matches!(gap.reason, GapReason::Epoch | GapReason::Beyond);
            assert!(honest && located.from == log.bounds().head, "{gap:?}");
        }
    }
}

pub(crate) fn keys_ids_and_rules_over_a_restart(factory: &dyn Factory) {
    for (how, after) in ways(factory) {
        if after != After::All {
            continue;
        }
        let rule = |prefix: &str, age_ms, count| Rule {
            prefix: prefix.into(),
            age_ms,
            count,
        };
        let retention = Retention {
            rules: vec![rule("few/", None, Some(3)), rule("brief/", Some(50), None)],
            ..Retention::default()
        };
        let mut log = Fixture::with(factory, retention);
        let keyed = || with_key(with_id(event("a", "keyed"), "first"), 1, 1);
        let first = log.store(vec![keyed()])[0];
        for n in 0..300 {
            let name = ["few/a", "brief/b", "c"][n % 3];
            let mut event = event_at(name, &n.to_string(), NOW + n as u64);
            if n % 5 == 0 {
                event = with_id(event, &format!("id/{}", n % 10));
            }
            log.store(vec![event]);
        }
        log.maintain(NOW + 300);
        let before = log.all();
        log.reopen(how, NOW + 300);
        log.maintain(NOW + 300);
        assert_eq!(log.all(), before, "after {how:?}");
        for id in ["first", "id/0", "id/5"] {
            let located = log.locate(Start::AfterId(id.into()), &["c"]);
            let want = before.iter().find(|s| s.id.as_deref() == Some(id));
            // An id whose record readers no longer see may still say where it was.
            if let (Some(want), None) = (want, located.gap) {
                assert!(located.from <= want.position.next(), "{how:?}: {id}");
            }
        }
        let again = log.append(vec![keyed()]).expect("known");
        assert_eq!(
            (again[0].cursor, again[0].duplicate),
            (first, true),
            "{how:?}"
        );
        let conflict = log.append(vec![with_key(event("a", "other"), 1, 2)]);
        assert!(conflict.is_err(), "{how:?}");
        assert_eq!(log.locate(Start::After(first), &["c"]).gap, None);
        let missed = log.locate(Start::After(first), &["few/a"]).gap;
        assert_eq!(missed.map(|gap| gap.reason), Some(GapReason::Expired));
    }
}

pub(crate) fn lives_follow_each_other(factory: &dyn Factory) {
    let mut log = Fixture::plain(factory);
    let mut given_out: Vec<Cursor> = Vec::new();
    let mut epochs = Vec::new();
    // The clock stands still, then goes back: names of lives must not repeat.
    for (round, now_ms) in [NOW, NOW, NOW - 5000, NOW + 1].into_iter().enumerate() {
        for n in 0..20 {
            let cursor = log.publish("a", &format!("{round}/{n}"));
            assert!(
                !given_out.contains(&cursor),
                "{cursor} was given out before"
            );
            given_out.push(cursor);
        }
        epochs.push(log.bounds().epoch);
        let seen = log.all();
        for cursor in &given_out {
            let located = log.locate(Start::After(*cursor), &["a"]);
            match located.gap {
                // Exact: the record it names is the one it named, or nothing is missing after it.
                None => {
                    assert_eq!(located.from, cursor.seen().next());
                    let named = seen.iter().find(|s| s.position == cursor.seen());
                    let frame = format!("id: {cursor}\n");
                    assert!(
                        named.is_some_and(|s| s.frame.starts_with(&frame)),
                        "{cursor}"
                    );
                }
                Some(gap) => assert_ne!(gap.reason, GapReason::Unknown),
            }
        }
        for (how, _) in ways(factory) {
            log.reopen(how, now_ms);
            assert!(log.bounds().epoch >= *epochs.last().expect("one"));
        }
    }
    assert!(epochs.is_sorted());
    assert!(log.bounds().tail >= Position::FIRST);
}
