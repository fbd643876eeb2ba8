//! What a hub that crashed left open.

use std::sync::Arc;

use tidewire_log::{Append, Event, Log, MatchType, Presence, Retention};

use super::{HUB, brief, fold, open, told, wait_for_told};
use crate::server::{memory_log, start_on};

fn presence(text: &str, active: bool) -> Presence<'_> {
    Presence {
        match_type: MatchType::Exact,
        text: text.into(),
        subscriber: format!("urn:uuid:{text}").into(),
        active,
        payload: Some(std::borrow::Cow::Owned(serde_json::json!({"n": text}))),
    }
}

fn append(log: &Arc<dyn Log>, event: Event) {
    log.append(Append {
        events: vec![event],
        ack: Box::new(|stored| drop(stored.unwrap())),
    });
}

#[test]
fn what_a_crash_left_open_is_ended_at_the_next_start() {
    const HOUR_MS: u64 = 3_600_000;
    let log = memory_log(Retention::default());
    let tell = |text, active, time_ms| {
        append(&log, presence(text, active).event(HUB, time_ms).unwrap());
    };
    tell("older than any stream", true, HOUR_MS);
    tell("closed", true, 5 * HOUR_MS);
    tell("open", true, 5 * HOUR_MS);
    tell("closed", false, 5 * HOUR_MS);
    tell("also open", true, 5 * HOUR_MS);
    append(
        &log,
        Event::new(tidewire_core::Topic::parse("a").unwrap(), "x", 5 * HOUR_MS),
    );
    let server = start_on(log, |settings| settings.subscriptions = true);
    let told = wait_for_told(&server, 7);
    assert_eq!(brief(&told[5..]), [(false, "open"), (false, "also open")]);
    assert_eq!(told[5]["payload"], serde_json::json!({"n": "open"}));
    assert_eq!(fold(&told).len(), 1);
}

#[test]
fn without_an_end_to_lives_the_whole_log_is_looked_through() {
    let log = memory_log(Retention::default());
    append(&log, presence("old", true).event(HUB, 1).unwrap());
    append(
        &log,
        Event::new(tidewire_core::Topic::parse("a").unwrap(), "x", u64::MAX / 2),
    );
    let server = start_on(log, |settings| {
        settings.subscriptions = true;
        settings.streams.stream_life_ms = 0;
    });
    assert_eq!(
        brief(&wait_for_told(&server, 2)),
        [(true, "old"), (false, "old")]
    );
}

#[test]
fn a_hub_that_ended_in_order_left_nothing_open() {
    let log = memory_log(Retention::default());
    let run = || {
        let mut server = start_on(Arc::clone(&log), |settings| settings.subscriptions = true);
        let _client = open(&server, &format!("{HUB}?topic=a"), "");
        server.begin_shutdown();
        server.wait_for_end();
        told(&server).len()
    };
    assert_eq!([run(), run(), run()], [2, 4, 6]);
}
