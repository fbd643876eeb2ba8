//! Headers that are asked for: when, and what follows from what the callback says.

use tidewire_client::{RenewError, RenewHeaders, Renewal, bearer};

use super::*;

fn renewing(change: impl FnOnce(&mut Options)) -> Machine {
    machine_with(|options| {
        options.renew = Some(RenewHeaders::new(|_| async { Ok(HeaderMap::new()) }));
        change(options);
    })
}

fn asked(machine: &mut Machine, now: Duration) -> Renewal {
    match machine.poll_step(now) {
        Step::Renew(why) => {
            assert!(machine.needs_renewal() && !machine.needs_connection());
            assert!(matches!(machine.poll_step(now), Step::Wait), "asked once");
            why
        }
        step => panic!("does not ask, but {step:?}"),
    }
}

fn token(machine: &mut Machine, now: Duration) -> String {
    let attempt = attempt(machine, now);
    let value = &attempt.headers["authorization"];
    assert!(value.is_sensitive());
    value.to_str().unwrap().to_owned()
}

#[test]
fn each_connection_has_headers_of_its_own_and_each_redirect_has_those() {
    let mut machine = renewing(|options| options.bearer_token("replaced").unwrap());
    for (turn, now) in [(1, ms(0)), (2, ms(10_000))] {
        assert_eq!(asked(&mut machine, now), Renewal::Connect, "{turn}");
        machine.handle_renewed(now, bearer(&turn.to_string()));
        assert_eq!(token(&mut machine, now), format!("Bearer {turn}"));
        answer(&mut machine, now, 307, &[("location", "/t")]);
        assert_eq!(token(&mut machine, now), format!("Bearer {turn}"));
        answer(
            &mut machine,
            now,
            200,
            &[("content-type", "text/event-stream")],
        );
        machine.handle_end(now);
        items(&mut machine);
    }
}

#[test]
fn what_a_callback_gives_stays_with_the_origin_whatever_its_name() {
    let mut machine = renewing(|options| options.header("x-key", "old").unwrap());
    asked(&mut machine, ms(0));
    machine.handle_renewed(ms(0), Ok(headers(&[("x-key", "new"), ("x-tenant", "t")])));
    let sent = attempt(&mut machine, ms(0)).headers;
    assert_eq!(sent.get_all("x-key").iter().collect::<Vec<_>>(), ["new"]);
    answer(&mut machine, ms(0), 307, &[("location", "//b/")]);
    let sent = attempt(&mut machine, ms(0)).headers;
    assert!(!sent.contains_key("x-key") && !sent.contains_key("x-tenant"));
}

#[test]
fn refused_headers_are_asked_for_once_more_and_then_it_is_final() {
    for status in [401, 403] {
        let mut machine = renewing(|_| {});
        asked(&mut machine, ms(0));
        machine.handle_renewed(ms(0), bearer("old"));
        attempt(&mut machine, ms(0));
        answer(&mut machine, ms(0), status, &[]);
        assert_eq!(items(&mut machine), [], "{status}: no news yet");
        let code = StatusCode::from_u16(status).unwrap();
        assert_eq!(asked(&mut machine, ms(0)), Renewal::Refused(code));
        machine.handle_renewed(ms(0), bearer("new"));
        assert_eq!(token(&mut machine, ms(0)), "Bearer new");
        answer(&mut machine, ms(0), status, &[]);
        machine.handle_end(ms(0));
        let error = Error::Status {
            status: code,
            detail: String::new(),
        };
        assert_eq!(
            items(&mut machine),
            [Item::Closed(CloseReason::Failed(error))]
        );
    }
}

#[test]
fn a_stream_between_two_refusals_makes_the_second_a_first() {
    let mut machine = renewing(|_| {});
    let mut now = ms(0);
    for turn in 0..3 {
        asked(&mut machine, now);
        machine.handle_renewed(now, bearer("t"));
        attempt(&mut machine, now);
        answer(&mut machine, now, 401, &[]);
        assert!(
            matches!(asked(&mut machine, now), Renewal::Refused(_)),
            "{turn}"
        );
        machine.handle_renewed(now, bearer("t"));
        open(&mut machine, now);
        machine.handle_end(now);
        items(&mut machine);
        now += ms(100_000);
    }
}

#[test]
fn how_often_a_refusal_is_answered_may_be_said() {
    let mut none = renewing(|options| options.refused_max = 0);
    asked(&mut none, ms(0));
    none.handle_renewed(ms(0), bearer("t"));
    attempt(&mut none, ms(0));
    answer(&mut none, ms(0), 401, &[]);
    none.handle_end(ms(0));
    assert!(matches!(items(&mut none)[..], [Item::Closed(_)]));

    let mut three = renewing(|options| options.refused_max = 3);
    let mut waits = Vec::new();
    let mut now = ms(0);
    loop {
        let due = three.poll_timeout().map_or(now, |due| due.max(now));
        waits.push((due - now).as_millis());
        now = due;
        asked(&mut three, now);
        three.handle_renewed(now, bearer("t"));
        attempt(&mut three, now);
        answer(&mut three, now, 401, &[]);
        three.handle_end(now);
        if !items(&mut three).is_empty() {
            break;
        }
    }
    assert_eq!(
        waits,
        [0, 0, 1000, 1000],
        "at once, then after the usual delay"
    );
}

#[test]
fn a_callbacks_failure_is_temporary_or_final_as_it_says() {
    let mut machine = renewing(|_| {});
    asked(&mut machine, ms(0));
    let error = RenewError::temporary("the issuer is down");
    machine.handle_renewed(ms(0), Err(error.clone()));
    assert_eq!(
        items(&mut machine),
        reconnecting(Error::Renew(error), ms(1000))
    );
    asked(&mut machine, ms(1000));
    let error = RenewError::last("signed out");
    machine.handle_renewed(ms(1000), Err(error.clone()));
    let error = Error::Renew(error);
    assert!(!error.is_temporary());
    assert_eq!(
        items(&mut machine),
        [Item::Closed(CloseReason::Failed(error))]
    );
}

#[test]
fn a_refusal_is_told_until_other_headers_come() {
    let mut machine = renewing(|_| {});
    asked(&mut machine, ms(0));
    machine.handle_renewed(ms(0), bearer("t"));
    attempt(&mut machine, ms(0));
    answer(&mut machine, ms(0), 401, &[]);
    asked(&mut machine, ms(0));
    machine.handle_renewed(ms(0), Err(RenewError::temporary("down")));
    items(&mut machine);
    assert_eq!(
        asked(&mut machine, ms(1000)),
        Renewal::Refused(StatusCode::UNAUTHORIZED),
        "or a callback that caches would give the same again"
    );
}

#[test]
fn a_callback_that_does_not_answer_is_given_up() {
    let mut machine = renewing(|options| options.renew_max = ms(500));
    asked(&mut machine, ms(0));
    assert_eq!(machine.poll_timeout(), Some(ms(500)));
    machine.handle_timeout(ms(499));
    assert!(machine.needs_renewal());
    machine.handle_timeout(ms(500));
    assert!(!machine.needs_renewal());
    assert!(matches!(
        items(&mut machine)[..],
        [Item::Reconnecting {
            error: Error::Renew(_),
            ..
        }]
    ));
    machine.handle_renewed(ms(501), bearer("late"));
    assert!(matches!(machine.poll_step(ms(501)), Step::Wait));

    let mut closed = renewing(|_| {});
    asked(&mut closed, ms(0));
    closed.close();
    closed.handle_renewed(ms(1), bearer("late"));
    assert!(!closed.needs_renewal());
    assert!(matches!(closed.poll_step(ms(1)), Step::Stop));
}

#[test]
fn without_a_callback_a_refusal_is_final_at_once() {
    let mut machine = machine();
    attempt(&mut machine, ms(0));
    answer(&mut machine, ms(0), 401, &[]);
    machine.handle_end(ms(0));
    assert!(matches!(items(&mut machine)[..], [Item::Closed(_)]));
}
