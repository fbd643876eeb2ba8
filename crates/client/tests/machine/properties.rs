//! What must hold whatever a server does, and however its bytes are cut.
//!
//! A failing case is printed as the script that led there; `PROPTEST_CASES` says how many are tried.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use tidewire_client::{RenewHeaders, Renewal, bearer};

use super::*;

/// Pieces of which streams are made: all that means something, and what nearly does.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 22] = [
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"data",
        b"data:",
        b"data: x",
        b"id",
        b"id: 7",
        b"id: a\0b",
        b"event: t",
        b"retry: 30",
        b"retry: x",
        b": c",
        b":",
        b"\xef\xbb\xbf",
        b"\xe2\x82\xac",
        b"\xe2",
        b"\xff",
        b" ",
        b"[DONE]",
        b"data: [DONE]\n\n",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..40)
        .prop_map(|pieces| pieces.concat())
}

/// The items of one connection that brings this, and the id after it.
fn read(chunks: &[&[u8]], change: impl FnOnce(&mut Options)) -> (Vec<Item>, String) {
    let mut machine = machine_with(change);
    open(&mut machine, ms(0));
    let mut seen = Vec::new();
    for chunk in chunks {
        machine.handle_bytes(ms(0), chunk);
        seen.extend(items(&mut machine));
    }
    machine.handle_end(ms(0));
    seen.extend(items(&mut machine));
    (seen, machine.last_event_id().to_owned())
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        stream in stream(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        finite in any::<bool>(),
    ) {
        let change = |options: &mut Options| {
            options.comments = true;
            options.dedup = NonZeroUsize::new(5);
            options.ends = finite.then(tidewire_client::Ends::default);
        };
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let chunks: Vec<_> = at.windows(2).map(|two| &stream[two[0]..two[1]]).collect();
        let bytes: Vec<_> = stream.chunks(1).collect();
        let whole = read(&[&stream], change);
        prop_assert_eq!(&read(&chunks, change), &whole);
        prop_assert_eq!(&read(&bytes, change), &whole);
    }
}

/// What a server does with one request.
#[derive(Clone, Debug)]
enum Fault {
    /// No connection.
    Refuse,
    /// So much of the stream, and then no more: a clean end, a break, or silence.
    Cut(proptest::sample::Index, Kind),
    /// A refusal that heals, which asks to wait for so long.
    Busy(u16, Option<u64>),
    /// Elsewhere.
    Redirect(u16),
    /// The token has run out.
    Unauthorized,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    End,
    Break,
    Silence,
}

fn fault() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![Just(Kind::End), Just(Kind::Break), Just(Kind::Silence)];
    prop_oneof![
        1 => Just(Fault::Refuse),
        4 => (any::<proptest::sample::Index>(), kind).prop_map(|(at, kind)| Fault::Cut(at, kind)),
        1 => (
            proptest::sample::select(vec![429_u16, 502, 503, 504]),
            proptest::option::of(0_u64..100),
        )
            .prop_map(|(status, after)| Fault::Busy(status, after)),
        1 => proptest::sample::select(vec![301_u16, 302, 303, 307, 308]).prop_map(Fault::Redirect),
        1 => Just(Fault::Unauthorized),
    ]
}

/// How a server counts from a last event id.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Replay {
    /// After it, as it should.
    After,
    /// From it on.
    From,
    /// All that there is, whatever was asked.
    All,
}

/// A server with so many events, a script of faults, and a client of it, in one simulated time.
struct World {
    machine: Machine,
    events: usize,
    replay: Replay,
    now: Duration,
    /// A token was refused and no stream opened since: once more would be final.
    is_refused: bool,
    /// ... and no other was asked for yet.
    is_due: bool,
    data: Vec<String>,
    closed: Option<CloseReason>,
}

const SILENCE: Duration = Duration::from_secs(20);

impl World {
    fn new(events: usize, replay: Replay, dedup: bool, seed: u64) -> Self {
        let mut options = Options::new("http://a/s").unwrap();
        options.silence_max = Some(SILENCE);
        options.retry = ms(500);
        options.renew = Some(RenewHeaders::new(|_| async { bearer("t") }));
        options.dedup = NonZeroUsize::new(if dedup { 1000 } else { 0 });
        Self {
            machine: Machine::new(options, seed),
            events,
            replay,
            now: ms(0),
            is_refused: false,
            is_due: false,
            data: Vec::new(),
            closed: None,
        }
    }

    fn stream_after(&self, attempt: &Attempt) -> Vec<u8> {
        let id = id_sent(attempt).map(|id| str::from_utf8(id).unwrap().parse::<usize>().unwrap());
        let start = match (self.replay, id) {
            (Replay::All, _) | (_, None) => 0,
            (Replay::After, Some(id)) => id + 1,
            (Replay::From, Some(id)) => id,
        };
        let event = |n| format!("id: {n}\r\n: comment\r\ndata: {n}\r\ndata: é\r\n\r\n");
        let body: String = (start..self.events).map(event).collect();
        format!("retry: 700\n\n{body}").into_bytes()
    }

    /// Takes all items; each delay is within its bounds.
    fn take(&mut self, asked: Option<u64>) {
        for item in items(&mut self.machine) {
            assert_eq!(self.closed, None, "nothing comes after the end: {item:?}");
            match item {
                Item::Event(event) => {
                    assert_eq!(event.last_event_id, event.data.split('\n').next().unwrap());
                    self.data.push(event.data);
                }
                Item::Reconnecting { delay, .. } => {
                    let floor = ms(500).max(Duration::from_secs(asked.unwrap_or(0)));
                    assert!(delay >= floor, "{delay:?} is less than {floor:?}");
                    assert!(
                        delay <= floor.max(ms(700)) + Duration::from_secs(30),
                        "{delay:?}"
                    );
                }
                Item::Closed(reason) => self.closed = Some(reason),
                _ => {}
            }
        }
    }

    /// The next request, when it is due.
    fn request(&mut self) -> Option<Attempt> {
        loop {
            match self.machine.poll_step(self.now) {
                Step::Connect(attempt) => {
                    assert!(self.machine.needs_connection());
                    return Some(*attempt);
                }
                Step::Renew(why) => {
                    let is_due = std::mem::take(&mut self.is_due);
                    assert_eq!(matches!(why, Renewal::Refused(_)), is_due);
                    self.machine.handle_renewed(self.now, bearer("t"));
                }
                Step::Wait => {
                    assert!(!self.machine.needs_connection());
                    let due = self.machine.poll_timeout().expect("waits for something");
                    assert!(due > self.now, "a wait that is over");
                    self.now = due;
                    self.machine.handle_timeout(self.now);
                }
                Step::Read => panic!("reads without a connection"),
                Step::Stop => return None,
            }
        }
    }

    fn answer(&mut self, attempt: &Attempt, fault: Option<Fault>) {
        let now = self.now;
        let machine = &mut self.machine;
        let mut asked = None;
        match fault {
            Some(Fault::Refuse) => {
                machine.handle_failure(now, Error::Connect("refused".to_owned()));
            }
            Some(Fault::Busy(status, after)) => {
                let value = after.unwrap_or(0).to_string();
                let list: Vec<_> = after
                    .map(|_| ("retry-after", value.as_str()))
                    .into_iter()
                    .collect();
                answer(machine, now, status, &list);
                machine.handle_end(now);
                asked = after;
            }
            Some(Fault::Redirect(status)) => answer(machine, now, status, &[("location", "/t")]),
            Some(Fault::Unauthorized) if !self.is_refused => {
                answer(machine, now, 401, &[]);
                self.is_refused = true;
                self.is_due = true;
            }
            fault => {
                let stream = self.stream_after(attempt);
                let (len, kind) = match fault {
                    Some(Fault::Cut(at, kind)) => (at.index(stream.len() + 1), kind),
                    _ => (stream.len(), Kind::End),
                };
                self.stream(&stream[..len], kind);
            }
        }
        self.take(asked);
    }

    fn stream(&mut self, bytes: &[u8], kind: Kind) {
        self.is_refused = false;
        let type_of = [("content-type", "text/event-stream")];
        answer(&mut self.machine, self.now, 200, &type_of);
        for chunk in bytes.chunks(7) {
            self.machine.handle_bytes(self.now, chunk);
            self.take(None);
        }
        match kind {
            Kind::End => self.machine.handle_end(self.now),
            Kind::Break => {
                let error = Error::Cut("reset".to_owned());
                self.machine.handle_failure(self.now, error);
            }
            Kind::Silence => {
                self.now += SILENCE;
                self.machine.handle_timeout(self.now);
            }
        }
    }

    /// Runs the script; then the server is well, and says when it has no more.
    fn run(&mut self, script: Vec<Fault>) {
        for fault in script {
            let Some(attempt) = self.request() else {
                return;
            };
            self.answer(&attempt, Some(fault));
        }
        for _ in 0..3 {
            let Some(attempt) = self.request() else {
                return;
            };
            let last = self.events.checked_sub(1).map(|last| last.to_string());
            match last.as_deref().map(str::as_bytes) == id_sent(&attempt) {
                true => {
                    answer(&mut self.machine, self.now, 204, &[]);
                    self.take(None);
                }
                false => self.answer(&attempt, None),
            }
        }
    }
}

fn all(events: usize) -> Vec<String> {
    (0..events).map(|n| format!("{n}\né")).collect()
}

proptest! {
    #[test]
    fn every_event_comes_once_and_in_order_whatever_happens(
        events in 0_usize..12,
        script in proptest::collection::vec(fault(), 0..20),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(events, Replay::After, false, seed);
        world.run(script);
        prop_assert_eq!(&world.data, &all(events));
        prop_assert_eq!(world.closed, Some(CloseReason::Ended));
    }

    #[test]
    fn also_from_servers_that_repeat_themselves_where_repeats_are_dropped(
        events in 0_usize..12,
        all_of_them in any::<bool>(),
        script in proptest::collection::vec(fault(), 0..20),
        seed in any::<u64>(),
    ) {
        let replay = if all_of_them { Replay::All } else { Replay::From };
        let mut world = World::new(events, replay, true, seed);
        world.run(script);
        prop_assert_eq!(&world.data, &all(events));
        prop_assert_eq!(world.closed, Some(CloseReason::Ended));
    }

    #[test]
    fn nothing_comes_once_and_no_connection_is_needed_after_a_close(
        events in 0_usize..12,
        script in proptest::collection::vec(fault(), 0..8),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(events, Replay::After, false, seed);
        for fault in script {
            let Some(attempt) = world.request() else { break };
            world.answer(&attempt, Some(fault));
        }
        world.machine.close();
        prop_assert_eq!(items(&mut world.machine), [Item::Closed(CloseReason::Asked)]);
        prop_assert!(!world.machine.needs_connection());
        prop_assert!(world.request().is_none());
    }
}

/// Anything that an owner may tell, in any order.
#[derive(Clone, Debug)]
enum Told {
    Step,
    Head(u16),
    Bytes(Vec<u8>),
    End,
    Broken,
    Later(u64),
    Renewed(bool),
    Restart,
    Close,
    Take,
}

fn told() -> impl Strategy<Value = Told> {
    let status = proptest::sample::select(vec![200_u16, 204, 301, 307, 401, 403, 404, 429, 503]);
    prop_oneof![
        6 => Just(Told::Step),
        6 => status.prop_map(Told::Head),
        6 => stream().prop_map(Told::Bytes),
        2 => Just(Told::End),
        2 => Just(Told::Broken),
        4 => (0_u64..100_000).prop_map(Told::Later),
        2 => any::<bool>().prop_map(Told::Renewed),
        1 => Just(Told::Restart),
        1 => Just(Told::Close),
        6 => Just(Told::Take),
    ]
}

proptest! {
    #[test]
    fn an_owner_that_does_anything_in_any_order_breaks_nothing(
        script in proptest::collection::vec(told(), 0..60),
        renews in any::<bool>(),
        finite in any::<bool>(),
    ) {
        let mut machine = machine_with(|options| {
            options.silence_max = Some(ms(5000));
            options.failures_max = Some(9);
            options.renew = renews.then(|| RenewHeaders::new(|_| async { bearer("t") }));
            options.ends = finite.then(tidewire_client::Ends::default);
        });
        let mut now = ms(0);
        let (mut ended, mut requests) = (false, 0);
        for told in script {
            match told {
                Told::Step => {
                    let step = machine.poll_step(now);
                    requests += usize::from(matches!(step, Step::Connect(_)));
                    let needs = matches!(step, Step::Read | Step::Connect(_));
                    prop_assert_eq!(machine.needs_connection(), needs);
                    prop_assert_eq!(matches!(step, Step::Stop), machine.state() == State::Closed);
                }
                Told::Head(status) => {
                    let list = [("content-type", "text/event-stream"), ("location", "/t")];
                    answer(&mut machine, now, status, &list);
                }
                Told::Bytes(bytes) => machine.handle_bytes(now, &bytes),
                Told::End => machine.handle_end(now),
                Told::Broken => machine.handle_failure(now, Error::Cut(String::new())),
                Told::Later(by) => {
                    now += ms(by);
                    machine.handle_timeout(now);
                }
                Told::Renewed(true) => machine.handle_renewed(now, bearer("t")),
                Told::Renewed(false) => {
                    let error = tidewire_client::RenewError::temporary("down");
                    machine.handle_renewed(now, Err(error));
                }
                Told::Restart if finite => {}
                Told::Restart => machine.restart(now),
                Told::Close => machine.close(),
                Told::Take => {
                    for item in items(&mut machine) {
                        prop_assert!(!ended, "after the end: {:?}", item);
                        ended = matches!(item, Item::Closed(_));
                    }
                }
            }
        }
        if finite {
            // One, its redirects, and one more with other headers and its redirects.
            prop_assert!(requests <= 1 + 20 + 1 + 20, "{} requests", requests);
        }
    }
}
