//! One connection's task.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use axum::Router;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::{Ping, PingPong};
use tidewire_engine::driver::{OnEnd, StreamEnd, instant_at, now_ms};
use tidewire_engine::{EndReason, Ended, Shard, SubscriberKey};
use tokio::time::Sleep;

use super::bell::{Bell, Task};
use super::exchange::{self, Exchange, Opened};
use super::handover::Handover;
use super::mailbox::Mailbox;
use super::pulse::{Pulse, Sign};
use super::sink::{Look, StreamSink};
use super::socket::Socket;
use super::wire::{Incoming, Line};
use crate::front::{Front, random_u64};
use crate::peer::Peer;
use crate::presence;
use crate::slots::SharedPlace;
use crate::streams::{Post, Registration};

/// How many rounds the task takes before it lets others run.
const ROUNDS_MAX: usize = 16;

/// How long a connection that is told to go may take to, where nothing else bounds it.
const GO_MAX_MS: u64 = 10_000;

/// A connection with everything that happens on it.
pub(super) struct Connection {
    front: Front,
    router: Router,
    peer: Peer,
    task: Arc<Task>,
    line: Arc<Line>,
    /// Rings when a commit or a load concerns the shard.
    commits: Arc<Bell>,
    shard: Shard<StreamSink>,
    mailbox: Arc<Mailbox>,
    _registration: Registration,
    /// Somebody joined or can take more; or the budget of the last step was spent.
    step_is_due: bool,
    step_at_ms: Option<u64>,
    exchanges: FuturesUnordered<Exchange>,
    /// Streams that are over but whose last bytes the client has had no room for yet.
    closing: Vec<Closing>,
    place: Arc<SharedPlace>,
    pulse: Pulse,
    pings: Option<PingPong>,
    /// When something last happened here that was not a sign of life alone.
    busy_ms: u64,
    drained: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_draining: bool,
    /// Once it has been told to go: until when.
    go_until_ms: Option<u64>,
    timer: Pin<Box<Sleep>>,
}

struct Closing {
    sink: StreamSink,
    reason: EndReason,
    events: u64,
    until_ms: u64,
}

impl Connection {
    pub(super) fn new(
        front: Front,
        router: Router,
        mut connection: h2::server::Connection<Socket, Bytes>,
        socket: Socket,
        peer: Peer,
    ) -> Self {
        let now_ms = now_ms();
        let task = Arc::new(Task::default());
        let commits = Bell::new(&task);
        let drained = front.clone();
        let mut shard = Shard::new(
            front.settings().streams,
            random_u64(),
            Waker::from(Arc::clone(&commits)),
        );
        shard.count_into(front.share());
        let mailbox = Mailbox::new(&task);
        let registration = front
            .streams()
            .register(Post::Connection(Arc::clone(&mailbox)));
        shard.name_with(registration.names());
        Self {
            shard,
            mailbox,
            _registration: registration,
            place: Arc::new(front.slots().shared()),
            router,
            peer,
            commits,
            step_is_due: false,
            step_at_ms: None,
            exchanges: FuturesUnordered::new(),
            closing: Vec::new(),
            pulse: Pulse::new(now_ms),
            pings: connection.ping_pong(),
            line: Line::new(connection, socket, &task),
            busy_ms: now_ms,
            drained: Box::pin(async move { drained.drained().await }),
            is_draining: false,
            go_until_ms: None,
            timer: Box::pin(tokio::time::sleep_until(instant_at(now_ms).into())),
            task,
            front,
        }
    }

    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        let line = Arc::clone(&self.line);
        let mut cx = Context::from_waker(&line.waker);
        let now_ms = now_ms();
        if !self.is_draining && self.drained.as_mut().poll(&mut cx).is_ready() {
            self.drain(now_ms);
        }
        for _ in 0..ROUNDS_MAX {
            let has_moved = self.round(now_ms, &mut cx);
            if self.line.wire().is_over() {
                return Poll::Ready(());
            }
            if !has_moved {
                return self.rest(now_ms, &mut cx);
            }
        }
        if self.poll_leave(&mut cx).is_err() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does once what there is to do; whether there is more.
    fn round(&mut self, now_ms: u64, cx: &mut Context<'_>) -> bool {
        self.line.wire().begin_round();
        self.accept();
        self.run_exchanges(now_ms, cx);
        if self.line.streams.take() {
            self.look_after_streams(now_ms);
        }
        for order in self.mailbox.take() {
            self.shard.obey(order);
            self.step_is_due = true;
        }
        let is_told = self.commits.take();
        let is_time = self.step_at_ms.is_some_and(|at_ms| at_ms <= now_ms);
        if is_told || is_time || self.step_is_due {
            self.step();
        }
        let wire = self.line.wire();
        wire.is_handed() || wire.socket().take_starved() || self.step_is_due
    }

    fn accept(&mut self) {
        loop {
            let incoming = self.line.wire().poll_accept();
            let Poll::Ready((mut request, respond)): Poll<Incoming> = incoming else {
                return;
            };
            request.extensions_mut().insert(self.peer);
            let handover = Handover::new(&self.place);
            self.exchanges.push(Box::pin(exchange::run(
                self.front.clone(),
                self.router.clone(),
                request,
                respond,
                handover,
            )));
        }
    }

    fn run_exchanges(&mut self, now_ms: u64, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(done)) = self.exchanges.poll_next_unpin(cx) {
            self.busy_ms = now_ms;
            if let Some(opened) = done {
                self.open(opened, now_ms);
            }
        }
    }

    /// A subscribe becomes a stream.
    fn open(&mut self, opened: Opened, now_ms: u64) {
        let mut respond = opened.respond;
        let opening = *opened.opening;
        let head = exchange::head(opening.headers, self.front.now_ms());
        let stream = match respond.send_response(head, false) {
            Ok(stream) => stream,
            // The client was faster.
            Err(_) => return end_unopened(opening.on_end),
        };
        let line = Arc::clone(&self.line);
        let on_end = presence::begin(opening.arrival, opening.on_end);
        let told = (opening.seat, on_end);
        let sink = StreamSink::new(stream, line, opening.first, told, now_ms);
        let key = self.shard.join(now_ms, opening.subscription, sink);
        if self.is_draining {
            self.shard.end(key, EndReason::Drain);
        }
        self.front.catch_up(opening.admitted);
        self.step_is_due = true;
    }

    /// Some stream was reset, or can take more.
    fn look_after_streams(&mut self, now_ms: u64) {
        let looked: Vec<(SubscriberKey, Look)> = self
            .shard
            .sinks_mut()
            .map(|(key, sink)| (key, sink.look()))
            .filter(|(_, look)| *look != Look::Same)
            .collect();
        self.step_is_due |= !looked.is_empty();
        for (key, look) in looked {
            match look {
                Look::Same => {}
                Look::Progress => self.shard.handle_progress(now_ms, key),
                Look::Writable => self.shard.handle_writable(now_ms, key),
                Look::Gone => self.leave(key, now_ms),
            }
        }
        self.close_late(now_ms);
    }

    /// The client has reset a stream.
    fn leave(&mut self, key: SubscriberKey, now_ms: u64) {
        let events = self.shard.delivered(key);
        if let Some(sink) = self.shard.leave(key) {
            sink.close(EndReason::Closed, events, now_ms);
        }
    }

    fn step(&mut self) {
        let step = self.shard.step(now_ms());
        self.step_is_due = step.again;
        self.step_at_ms = step.wake_at_ms;
        for ended in step.ended {
            self.part(ended);
        }
    }

    /// The shard has ended a stream; its last frames were offered.
    fn part(&mut self, ended: Ended<StreamSink>) {
        let now_ms = now_ms();
        self.busy_ms = now_ms;
        let Ended {
            sink,
            reason,
            delivered,
            ..
        } = ended;
        match reason {
            EndReason::Closed => sink.close(reason, delivered, now_ms),
            EndReason::Stalled => sink.reset(reason, delivered, now_ms),
            _ if sink.owes() => {
                let stall_ms = self.front.settings().streams.stall_deadline_ms;
                self.closing.push(Closing {
                    sink,
                    reason,
                    events: delivered,
                    until_ms: now_ms.saturating_add(stall_ms),
                });
                self.line.streams.ring();
            }
            _ => sink.finish(reason, delivered, now_ms),
        }
    }

    /// Finishes the frames of streams that are over, and cuts those that take too long.
    fn close_late(&mut self, now_ms: u64) {
        for mut one in std::mem::take(&mut self.closing) {
            match one.sink.look() {
                Look::Gone => one.sink.close(one.reason, one.events, now_ms),
                _ if !one.sink.owes() => one.sink.finish(one.reason, one.events, now_ms),
                _ if one.until_ms <= now_ms => one.sink.reset(one.reason, one.events, now_ms),
                _ => self.closing.push(one),
            }
        }
    }

    /// Ends every stream between frames, and tells the client that no new one is begun.
    fn drain(&mut self, now_ms: u64) {
        self.is_draining = true;
        self.shard.end_all(EndReason::Drain);
        self.step_is_due = true;
        let drain = self.front.settings().drain.as_millis();
        self.go(now_ms, u64::try_from(drain).unwrap_or(u64::MAX));
    }

    /// RFC 9113, section 6.8: a first GOAWAY, and when the client has seen it, the one that says which requests were served. The
    /// connection then ends with its last stream.
    fn go(&mut self, now_ms: u64, for_ms: u64) {
        let until_ms = now_ms.saturating_add(for_ms);
        self.go_until_ms = Some(self.go_until_ms.map_or(until_ms, |at| at.min(until_ms)));
        self.line.wire().connection().graceful_shutdown();
        self.step_is_due = true;
    }

    /// Nothing is left to do for now: lets what has gathered leave, and waits.
    fn rest(&mut self, now_ms: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_leave(cx).is_err() {
            return Poll::Ready(());
        }
        let Some(wake_at_ms) = self.look_at_clock(now_ms, cx) else {
            return Poll::Ready(());
        };
        let at = instant_at(wake_at_ms).into();
        if self.timer.deadline() != at {
            self.timer.as_mut().reset(at);
        }
        if self.timer.as_mut().poll(cx).is_ready() || self.step_is_due {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_leave(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        let mut wire = self.line.wire();
        if let Poll::Ready(Err(error)) = wire.socket().poll_leave(cx) {
            tracing::debug!(%error, "connection ended");
            return Err(error);
        }
        if wire.take_relief() {
            self.line.streams.ring();
        }
        Ok(())
    }

    /// When the next thing is due; `None` if the connection is to end at once.
    fn look_at_clock(&mut self, now_ms: u64, cx: &mut Context<'_>) -> Option<u64> {
        if self.go_until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return None;
        }
        let read = self.line.wire().socket().read_bytes();
        match self.pulse.check(read, now_ms) {
            Sign::Alive => {}
            Sign::Ask => self.ping(cx),
            Sign::Silent => return None,
        }
        if self.closing.iter().any(|one| one.until_ms <= now_ms) {
            self.line.streams.ring();
        }
        let cut_at_ms = self.closing.iter().map(|one| one.until_ms).min();
        let due = [
            self.step_at_ms,
            self.go_until_ms,
            cut_at_ms,
            self.idle_until_ms(now_ms),
        ];
        Some(due.into_iter().flatten().fold(self.pulse.at_ms(), u64::min))
    }

    fn ping(&mut self, cx: &mut Context<'_>) {
        if let Some(pings) = &mut self.pings {
            // An earlier pong makes room for this ping; without it, the earlier ping is still on its way and does as well.
            let _ = pings.poll_pong(cx);
            let _ = pings.send_ping(Ping::opaque());
        }
    }

    /// Tells a connection to go that has been idle; when it will be, if it is idle now.
    fn idle_until_ms(&mut self, now_ms: u64) -> Option<u64> {
        if !self.shard.is_empty() || !self.exchanges.is_empty() || !self.closing.is_empty() {
            self.busy_ms = now_ms;
            return None;
        }
        if self.go_until_ms.is_some() {
            return None;
        }
        let idle_max = self.front.limits().http2_idle_max.as_millis();
        let idle_max = u64::try_from(idle_max).unwrap_or(u64::MAX);
        let until_ms = self.busy_ms.saturating_add(idle_max);
        if now_ms < until_ms {
            return Some(until_ms);
        }
        self.go(now_ms, GO_MAX_MS);
        self.go_until_ms
    }
}

fn end_unopened(on_end: Option<OnEnd>) {
    if let Some(on_end) = on_end {
        on_end(StreamEnd {
            reason: EndReason::Closed,
            bytes: 0,
            events: 0,
            life_ms: 0,
        });
    }
}

/// However the task ends, everyone is told.
impl Drop for Connection {
    fn drop(&mut self) {
        self.mailbox.close();
        let now_ms = now_ms();
        let reason = if self.is_draining {
            EndReason::Drain
        } else {
            EndReason::Closed
        };
        for one in self.closing.drain(..) {
            one.sink.close(one.reason, one.events, now_ms);
        }
        let left: Vec<_> = self.shard.drain().collect();
        for (sink, events) in left {
            sink.close(reason, events, now_ms);
        }
    }
}
