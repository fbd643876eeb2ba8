//! A publication that is tried again is stored once.

use crate::conformance::fixture::{Fixture, NOW, event, event_at, with_key};
use crate::conformance::{Factory, Settings};
use crate::{AppendError, Event, ProducerLimits};

fn keyed(key: u8, digest: u8) -> Event {
    with_key(event("a", &format!("{key}/{digest}")), key, digest)
}

fn keyed_at(key: u8, time_ms: u64) -> Event {
    with_key(event_at("a", "", time_ms), key, key)
}

pub(crate) fn a_repeated_publication_is_stored_once(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    let first = log.store(vec![keyed(1, 1), event("a", "between"), keyed(2, 2)]);
    let again = log
        .append(vec![keyed(2, 2), event("a", "new"), keyed(1, 1)])
        .expect("known keys are no error");
    let duplicates: Vec<_> = again.iter().map(|a| a.duplicate).collect();
    assert_eq!(duplicates, [true, false, true]);
    assert_eq!((again[0].cursor, again[2].cursor), (first[2], first[0]));
    assert_eq!(log.data(), ["1/1", "between", "2/2", "new"]);
    let tail = log.bounds().tail;
    let only = log.append(vec![keyed(1, 1)]).expect("known");
    assert_eq!((only[0].cursor, only[0].duplicate), (first[0], true));
    assert_eq!(log.bounds().tail, tail, "nothing was stored");
}

pub(crate) fn a_reused_key_stores_nothing(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    log.store(vec![keyed(1, 1)]);
    let refused = log.append(vec![event("a", "x"), keyed(3, 3), keyed(1, 2), keyed(4, 4)]);
    let error = AppendError::KeyReused { index: 2 };
    assert!(!error.is_temporary());
    assert_eq!(refused, Err(error));
    assert_eq!(log.data(), ["1/1"]);
    // The keys beside it are as unknown as before.
    log.store(vec![keyed(3, 7), keyed(4, 8)]);
    assert_eq!(log.data(), ["1/1", "3/7", "4/8"]);
}

pub(crate) fn keys_repeat_inside_one_append(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    let answers = log
        .append(vec![keyed(1, 1), event("a", "x"), keyed(1, 1), keyed(2, 2)])
        .expect("stored");
    let duplicates: Vec<_> = answers.iter().map(|a| a.duplicate).collect();
    assert_eq!(duplicates, [false, false, true, false]);
    assert_eq!(answers[0].cursor, answers[2].cursor);
    assert_eq!(log.data(), ["1/1", "x", "2/2"]);
    let refused = log.append(vec![keyed(9, 1), keyed(9, 2)]);
    assert_eq!(refused, Err(AppendError::KeyReused { index: 1 }));
    assert_eq!(log.data().len(), 3);
    log.store(vec![keyed(9, 2)]);
}

pub(crate) fn keys_are_forgotten_outside_of_the_window(factory: &dyn Factory) {
    let open = |window_ms, keys_max| {
        let producers = ProducerLimits {
            window_ms,
            keys_max,
        };
        Fixture::open(
            factory,
            &Settings {
                producers,
                ..Settings::default()
            },
        )
    };
    let log = open(1000, 100);
    let is_known = |log: &Fixture, event| log.append(vec![event]).expect("stored")[0].duplicate;
    log.store(vec![keyed_at(1, NOW)]);
    assert!(is_known(&log, keyed_at(1, NOW + 999)));
    assert!(!is_known(&log, keyed_at(1, NOW + 1000)), "the window ends");
    assert!(is_known(&log, keyed_at(1, NOW + 1999)), "and begins anew");
    log.maintain(NOW + 2000);
    assert!(!is_known(&log, keyed_at(1, NOW + 2000)));

    let log = open(1000, 3);
    (1..=3).for_each(|key| drop(log.store(vec![keyed_at(key, NOW)])));
    assert!((1..=3).all(|key| is_known(&log, keyed_at(key, NOW))));
    log.store(vec![keyed_at(4, NOW)]);
    assert!((2..=4).all(|key| is_known(&log, keyed_at(key, NOW))));
    assert!(!is_known(&log, keyed_at(1, NOW)), "the oldest key went");
}
