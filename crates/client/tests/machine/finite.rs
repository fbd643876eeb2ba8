//! Streams that end: how, and that nothing is asked for twice.

use tidewire_client::{EndMark, Ends};

use super::*;

fn finite(marks: &[EndMark]) -> Machine {
    machine_with(|options| {
        let mut ends = Ends::default();
        ends.required = !marks.is_empty();
        ends.marks.extend_from_slice(marks);
        options.ends = Some(ends);
    })
}

fn done() -> EndMark {
    EndMark::Data("[DONE]".to_owned())
}

fn stop() -> EndMark {
    EndMark::Type("message_stop".to_owned())
}

fn data(items: &[Item]) -> Vec<&str> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Event(event) => Some(event.data.as_str()),
            _ => None,
        })
        .collect()
}

#[derive(Clone, Copy)]
enum End {
    Clean,
    Cut,
    Open,
}

#[test]
fn it_ends_at_its_mark_or_at_its_end_and_a_break_is_no_end() {
    let cut = || Err(Error::Cut("reset".to_owned()));
    // marks required, stream, how the connection goes; the events' data, how it is told to have ended
    type Row<'a> = (
        &'a [EndMark],
        &'a str,
        End,
        &'a [&'a str],
        Result<(), Error>,
    );
    let table: [Row<'_>; 13] = [
        (&[], "data: a\n\n", End::Clean, &["a"], Ok(())),
        (&[], "", End::Clean, &[], Ok(())),
        (
            &[],
            "data: a\n\ndata: [DONE]\n\n",
            End::Open,
            &["a"],
            Ok(()),
        ),
        (&[], "data: [DONE]\n\ndata: b\n\n", End::Clean, &[], Ok(())),
        (&[], "data: a\n\ndata: [DONE]\n\n", End::Cut, &["a"], Ok(())),
        (&[], "data: a\n\n", End::Cut, &["a"], cut()),
        (
            &[],
            "data: a\n\ndata: b\n",
            End::Clean,
            &["a"],
            Err(Error::Unfinished),
        ),
        (&[], "data: [DONE] \n\n", End::Clean, &["[DONE] "], Ok(())),
        (
            &[done()],
            "data: a\n\n",
            End::Clean,
            &["a"],
            Err(Error::Unfinished),
        ),
        (
            &[done()],
            "data: a\n\ndata: [DONE]\n\n",
            End::Clean,
            &["a"],
            Ok(()),
        ),
        (
            &[stop()],
            "event: ping\ndata: p\n\nevent: message_stop\ndata: s\n\ndata: b\n\n",
            End::Open,
            &["p", "s"],
            Ok(()),
        ),
        (
            &[stop()],
            "data: message_stop\n\n",
            End::Clean,
            &["message_stop"],
            Err(Error::Unfinished),
        ),
        (
            &[],
            "event: error\ndata: {\"error\":1}\n\ndata: {\"error\":{}}\n\n",
            End::Clean,
            &["{\"error\":1}", "{\"error\":{}}"],
            Ok(()),
        ),
    ];
    for (marks, stream, end, events, outcome) in table {
        let mut machine = finite(marks);
        open(&mut machine, ms(0));
        machine.handle_bytes(ms(0), stream.as_bytes());
        match end {
            End::Clean => machine.handle_end(ms(0)),
            End::Cut => machine.handle_failure(ms(0), Error::Cut("reset".to_owned())),
            End::Open => {}
        }
        let seen = items(&mut machine);
        assert_eq!(data(&seen), events, "{stream:?}");
        let reason = match outcome {
            Ok(()) => CloseReason::Ended,
            Err(error) => CloseReason::Failed(error),
        };
        assert_eq!(seen.last(), Some(&Item::Closed(reason)), "{stream:?}");
        assert!(matches!(machine.poll_step(ms(1 << 40)), Step::Stop));
        assert!(!machine.needs_connection());
    }
}

#[test]
fn no_failure_makes_a_second_request() {
    let failures: [fn(&mut Machine); 8] = [
        |machine| machine.handle_failure(ms(0), Error::Connect("refused".to_owned())),
        |machine| machine.handle_failure(ms(0), Error::Cut("reset".to_owned())),
        |machine| answer(machine, ms(0), 429, &[("retry-after", "1")]),
        |machine| answer(machine, ms(0), 503, &[]),
        |machine| answer(machine, ms(0), 500, &[]),
        |machine| answer(machine, ms(0), 401, &[]),
        |machine| answer(machine, ms(0), 204, &[]),
        |machine| answer(machine, ms(0), 200, &[("content-type", "application/json")]),
    ];
    for (number, fail) in failures.into_iter().enumerate() {
        let mut machine = finite(&[]);
        attempt(&mut machine, ms(0));
        fail(&mut machine);
        machine.handle_bytes(ms(0), b"{\"error\": \"no credit\"}");
        machine.handle_end(ms(0));
        let seen = items(&mut machine);
        let [Item::Closed(CloseReason::Failed(error))] = &seen[..] else {
            panic!("{number}: {seen:?}")
        };
        if error.status().is_some() {
            assert_eq!(
                error.detail(),
                Some("{\"error\": \"no credit\"}"),
                "{number}"
            );
            assert!(
                error.to_string().ends_with(": {\"error\": \"no credit\"}"),
                "{error}"
            );
        }
        assert!(
            matches!(machine.poll_step(ms(1 << 40)), Step::Stop),
            "{number}"
        );
    }
}

#[test]
fn a_mark_means_nothing_to_an_event_source() {
    let mut machine = machine();
    open(&mut machine, ms(0));
    machine.handle_bytes(ms(0), b"data: [DONE]\n\n");
    assert_eq!(data(&items(&mut machine)), ["[DONE]"]);
    assert_eq!(machine.state(), State::Open);
}
