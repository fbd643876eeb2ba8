//! What is dropped as a repeat, and what must not be.

use std::num::NonZeroUsize;

use super::*;

/// The data of what each connection gives, when each brings this.
fn given(events_max: Option<usize>, connections: &[&str]) -> Vec<Vec<String>> {
    let mut machine = machine_with(|options| {
        options.dedup = events_max.and_then(NonZeroUsize::new);
    });
    let mut now = ms(0);
    let mut given = Vec::new();
    for stream in connections {
        open(&mut machine, now);
        machine.handle_bytes(now, stream.as_bytes());
        machine.handle_end(now);
        let events = items(&mut machine)
            .into_iter()
            .filter_map(|item| match item {
                Item::Event(event) => Some(event.data),
                _ => None,
            });
        given.push(events.collect());
        now += ms(100_000_000);
    }
    given
}

#[test]
fn repeats_over_connections_are_dropped_and_nothing_else_is() {
    // what each connection brings; what the program gets
    type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a [&'a str]]);
    let table: [Row<'_>; 11] = [
        (
            "a server that replays from the id on",
            &[
                "id:1\ndata:a\n\nid:2\ndata:b\n\n",
                "id:2\ndata:b\n\nid:3\ndata:c\n\n",
            ],
            &[&["a", "b"], &["c"]],
        ),
        (
            "a server that replays all it has",
            &[
                "id:1\ndata:a\n\nid:2\ndata:b\n\n",
                "id:1\ndata:a\n\nid:2\ndata:b\n\nid:3\ndata:c\n\n",
            ],
            &[&["a", "b"], &["c"]],
        ),
        (
            "no ids at all",
            &["data:a\n\ndata:a\n\n", "data:a\n\n"],
            &[&["a", "a"], &["a"]],
        ),
        (
            "an id that is only carried on",
            &["id:1\ndata:a\n\ndata:tick\n\n", "data:tick\n\n"],
            &[&["a", "tick"], &["tick"]],
        ),
        (
            "an id that is carried on over a dropped event",
            &[
                "id:1\ndata:a\n\ndata:tick\n\n",
                "id:1\ndata:a\n\ndata:tick\n\n",
            ],
            &[&["a", "tick"], &["tick"]],
        ),
        (
            "the same twice in one connection",
            &["id:1\ndata:a\n\nid:1\ndata:a\n\n"],
            &[&["a", "a"]],
        ),
        (
            "the same twice in one connection is common from then on",
            &[
                "id:1\ndata:a\n\nid:1\ndata:a\n\n",
                "id:1\ndata:a\n\n",
                "id:1\ndata:a\n\n",
            ],
            &[&["a", "a"], &["a"], &["a"]],
        ),
        (
            "a transaction's events share an id; cut between them",
            &[
                "id:1\ndata:a\n\n",
                "id:1\ndata:a\n\nid:1\ndata:b\n\nid:1\nevent:e\ndata:b\n\n",
            ],
            &[&["a"], &["b", "b"]],
        ),
        (
            "an id that is used again for something else",
            &["id:1\ndata:a\n\n", "id:1\ndata:b\n\n"],
            &[&["a"], &["b"]],
        ),
        (
            "an empty id, which says that there is none",
            &["id\ndata:a\n\n", "id\ndata:a\n\n"],
            &[&["a"], &["a"]],
        ),
        (
            "beyond the window",
            &[
                "id:1\ndata:a\n\nid:2\ndata:b\n\nid:3\ndata:c\n\nid:4\ndata:d\n\n",
                "id:4\ndata:d\n\nid:1\ndata:a\n\n",
            ],
            &[&["a", "b", "c", "d"], &["a"]],
        ),
    ];
    for (name, connections, expected) in table {
        assert_eq!(given(Some(3), connections), expected, "{name}");
    }
}

#[test]
fn nothing_is_dropped_unless_it_is_asked_for() {
    let same = "id:1\ndata:a\n\n";
    assert_eq!(given(None, &[same, same]), [["a"], ["a"]]);
}

#[test]
fn a_stream_of_repeats_is_no_success() {
    let delay = |dedup| {
        let mut machine = machine_with(|options| options.dedup = NonZeroUsize::new(dedup));
        let mut now = ms(0);
        let mut delays = Vec::new();
        for _ in 0..4 {
            open(&mut machine, now);
            machine.handle_bytes(now, b"id:1\ndata:a\n\n");
            machine.handle_end(now);
            let Some(Item::Reconnecting { delay, .. }) = items(&mut machine).pop() else {
                panic!("tries again")
            };
            now += delay;
            delays.push(delay.as_secs());
        }
        delays
    };
    assert_eq!(delay(0), [1, 1, 1, 1]);
    assert_eq!(
        delay(9),
        [1, 2, 4, 8],
        "a server that says the same and goes is not hammered"
    );
}
