//! What goes in comes out, in order, once, and watchers hear of it.

use std::sync::Arc;

use tidewire_codec::EventType;
use tidewire_core::{Cursor, Epoch, Form, Position};

use crate::conformance::fixture::{
    Answer, Ask, Fixture, Recorder, Seen, append, block_of, event, event_at, topic, with_id,
    with_key,
};
use crate::conformance::{Factory, Settings};
use crate::{AppendError, Event, MatchType, Presence, Read, ReadAsk};

pub(crate) fn an_empty_log(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    let bounds = log.bounds();
    assert_eq!((bounds.records, bounds.head), (0, bounds.tail));
    assert!(bounds.head >= Position::FIRST);
    assert_eq!(log.read(Ask::from(bounds.head)), Answer::AtTail);
    assert_eq!(log.log.health(), Ok(()));
    assert_eq!(log.append(Vec::new()), Ok(Vec::new()));
    assert_eq!(log.bounds().records, 0);
}

pub(crate) fn events_are_read_in_the_order_of_their_appends(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    let first = log.bounds().tail;
    let mut cursors = Vec::new();
    for n in 0..300 {
        let before = log.bounds().tail;
        let cursor = log.publish("a", &n.to_string());
        let bounds = log.bounds();
        assert_eq!(cursor.epoch(), bounds.epoch);
        assert!(before <= cursor.seen() && cursor.seen() < bounds.tail);
        // Acknowledged is readable.
        assert_eq!(log.rest(before).len(), 1);
        cursors.push(cursor);
    }
    assert!(cursors.is_sorted_by(|a, b| a.seen() < b.seen()));
    let seen = log.rest(first);
    assert_eq!(seen.len(), 300);
    for (n, (seen, cursor)) in seen.iter().zip(&cursors).enumerate() {
        assert_eq!(seen.position, cursor.seen());
        assert_eq!(seen.frame, format!("id: {cursor}\ndata: {n}\n\n"));
    }
    let bounds = log.bounds();
    assert_eq!(bounds.records, 300);
    let record_bytes: usize = seen.iter().map(|s| s.bytes).sum();
    assert!(bounds.bytes >= record_bytes as u64, "{bounds:?}");
}

pub(crate) fn times_do_not_fall(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    log.store(vec![event_at("a", "", 100), event_at("a", "", 50)]);
    log.store(vec![event_at("a", "", 99), event_at("a", "", 101)]);
    let times: Vec<_> = log.all().iter().map(|s| s.time_ms).collect();
    assert_eq!(times, [100, 100, 100, 101]);
}

pub(crate) fn a_group_is_stored_side_by_side(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    for size in [1, 2, 255, 256, 257, 2000] {
        let events = (0..size).map(|n| event("a", &n.to_string())).collect();
        let from = log.bounds().tail;
        let cursors = log.store(events);
        let seen = log.rest(from);
        let stored: Vec<_> = cursors.iter().map(|c| c.seen()).collect();
        let read: Vec<_> = seen.iter().map(|s| s.position).collect();
        assert_eq!(stored, read, "of {size}");
        assert!(
            seen.iter()
                .enumerate()
                .all(|(n, s)| s.data() == n.to_string())
        );
    }
}

fn presence() -> Event {
    let presence = Presence {
        match_type: MatchType::Exact,
        text: "a".into(),
        subscriber: "urn:uuid:s".into(),
        active: true,
        payload: None,
    };
    let time_ms = event("a", "").time_ms;
    presence.event("/m", time_ms).expect("short")
}

pub(crate) fn every_part_and_form_of_an_event_survives(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    let full = Event {
        topics: ["books/1", "Größe/日本", "tidewire.x"].map(topic).into(),
        data: "one\r\ntwo\n\n".into(),
        event_type: Some(EventType::parse("tick").expect("a type")),
        retry_ms: Some(1500),
        private: true,
        ..event("a", "")
    };
    let events = [
        event("a", ""),
        with_key(with_id(full.clone(), "urn:x"), 3, 4),
        event("a", &"x".repeat(70_000)),
        presence(),
        full,
    ];
    let cursors = log.store(events.to_vec());
    let expected: Vec<_> = events
        .iter()
        .zip(&cursors)
        .map(|(event, cursor)| Seen::expected(event, *cursor, event.time_ms))
        .collect();
    let seen = log.all();
    assert_eq!(seen, expected);
    for (seen, event) in seen.iter().zip(&events) {
        let topics: Vec<_> = event.topics.iter().map(|topic| topic.as_str()).collect();
        assert_eq!(seen.topics, topics);
        assert_eq!(seen.id.as_deref(), event.id.as_ref().map(|id| id.as_str()));
        let rest = (seen.private, seen.producer, seen.time_ms);
        assert_eq!(rest, (event.private, event.producer, event.time_ms));
        assert_eq!(seen.presence, event.presence);
    }
    derived_forms(&log, log.bounds().head, &events, &cursors);
    forms_survive_a_merge(&log);
    assert_eq!(log.all()[..events.len()], expected);
    derived_forms(&log, log.bounds().head, &events, &cursors);
}

/// Later records may move earlier ones together, some of which were read in a form already; frames stay what they were.
fn forms_survive_a_merge(log: &Fixture) {
    let from = log.bounds().tail;
    let mut events = Vec::new();
    let mut cursors = Vec::new();
    for n in 0..600 {
        let event = match n % 7 {
            3 => presence(),
            _ => event("later", &n.to_string()),
        };
        cursors.extend(log.store(vec![event.clone()]));
        events.push(event);
        if n % 50 == 1 {
            derived_forms(log, from, &events, &cursors);
        }
    }
    derived_forms(log, from, &events, &cursors);
}

fn derived_forms(log: &Fixture, mut from: Position, events: &[Event], cursors: &[Cursor]) {
    let mut at = 0;
    while at < events.len() {
        let ask = ReadAsk {
            from,
            topics: None,
            bytes_max: 1 << 30,
            records_max: 1 << 30,
        };
        let Read::Batch(batch) = log.log.read(&ask, std::task::Waker::noop()) else {
            // Loading: ask in the patient way, then once more.
            let _ = log.read(Ask::from(from));
            continue;
        };
        for item in batch.records().take(events.len() - at) {
            let alone = block_of(&events[at], cursors[at], events[at].time_ms);
            for form in [
                Form::EventStream,
                Form::Labelled,
                Form::Ndjson,
                Form::Legacy,
            ] {
                assert_eq!(
                    item.frame(form),
                    alone.frame(0, form),
                    "event {at} as {form:?}"
                );
            }
            at += 1;
        }
        from = batch.next();
    }
}

pub(crate) fn too_large_a_record_stores_nothing(factory: &dyn Factory) {
    // With an id of its own an event's record has the same size wherever it stands.
    let sized = |bytes: usize| with_id(event("a", &"x".repeat(bytes)), "urn:x");
    let record_bytes = |bytes| {
        let cursor = Cursor::new(Epoch(1), Position(1));
        block_of(&sized(bytes), cursor, 0)
            .record(0)
            .as_bytes()
            .len()
    };
    let bytes_max = record_bytes(1000);
    let log = Fixture::open(
        factory,
        &Settings {
            record_bytes_max: bytes_max,
            ..Settings::default()
        },
    );
    log.store(vec![sized(1000)]);
    let refused = log.append(vec![sized(10), sized(1001), with_key(event("a", ""), 1, 1)]);
    let too_large = AppendError::TooLarge {
        index: 1,
        bytes: record_bytes(1001),
        bytes_max,
    };
    assert!(!too_large.is_temporary());
    assert_eq!(refused, Err(too_large));
    assert_eq!(log.all().len(), 1);
    assert_eq!(log.bounds().records, 1);
    // Neither is the key known that came with the refused event.
    log.store(vec![with_key(event("a", ""), 1, 1)]);
    assert_eq!(log.all().len(), 2);
}

pub(crate) fn concurrent_appends_are_all_there_once(factory: &dyn Factory) {
    const THREADS: usize = 4;
    const APPENDS: usize = 60;
    let log = Fixture::plain(factory);
    let recorder = Recorder::watch(&log.log);
    let publisher = |thread: usize| {
        let log = Arc::clone(&log.log);
        move || {
            let mut stored = Vec::new();
            for n in 0..APPENDS {
                let group = 1 + (n + thread) % 4;
                let name = |part| format!("{thread}/{n}/{part}");
                let events: Vec<_> = (0..group).map(|part| event("a", &name(part))).collect();
                let answers = append(&*log, events).expect("stored");
                stored.extend(
                    answers
                        .iter()
                        .zip(0..)
                        .map(|(a, part)| (a.cursor, name(part))),
                );
            }
            stored
        }
    };
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| std::thread::spawn(publisher(thread)))
        .collect();
    let mut stored = Vec::new();
    for thread in threads {
        let of_one = thread.join().expect("a publisher");
        assert!(of_one.is_sorted_by(|a, b| a.0 < b.0), "a publisher's order");
        stored.extend(of_one);
    }
    stored.sort();
    let seen = log.all();
    let read: Vec<_> = seen.iter().map(|s| (s.position, s.data())).collect();
    let acknowledged: Vec<_> = stored.iter().map(|(c, d)| (c.seen(), d.as_str())).collect();
    assert_eq!(read, acknowledged);
    let groups_whole = seen.windows(2).all(|pair| {
        let part = |seen: &Seen| {
            seen.data()
                .rsplit_once('/')
                .map(|(g, p)| (g.to_owned(), p == "0"))
        };
        let (before, after) = (part(&pair[0]), part(&pair[1]));
        after.as_ref().is_some_and(|a| a.1) || before.map(|b| b.0) == after.map(|a| a.0)
    });
    assert!(
        groups_whole,
        "nothing lies between the events of one append"
    );
    assert_eq!(recorder.wait_for(seen.len()), seen);
    assert_eq!(*recorder.complaints.lock().expect("unpoisoned"), [""; 0]);
}

pub(crate) fn watchers_are_told_every_commit_in_order(factory: &dyn Factory) {
    let log = Fixture::plain(factory);
    log.publish("a", "before anybody watches");
    let from = log.bounds().tail;
    let watchers = [Recorder::watch(&log.log), Recorder::watch(&log.log)];
    for n in 0..50 {
        let events = (0..=n % 3).map(|part| event("a", &format!("{n}/{part}")));
        log.store(events.collect());
    }
    // What stores nothing is no commit.
    log.store(vec![with_key(event("a", "keyed"), 1, 1)]);
    let again = log.append(vec![with_key(event("a", "keyed"), 1, 1)]);
    assert!(again.expect("known").iter().all(|a| a.duplicate));
    log.publish("a", "last");
    let seen = log.rest(from);
    for watcher in watchers {
        assert_eq!(watcher.wait_for(seen.len()), seen);
        assert_eq!(*watcher.complaints.lock().expect("unpoisoned"), [""; 0]);
    }
}
