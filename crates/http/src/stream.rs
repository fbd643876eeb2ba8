//! Subscribing: from a request to a running stream. Everything is decided here; what runs afterwards is the engine's.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body::Frame;
use tidewire_auth::Role;
use tidewire_core::{Filter, Form, Grant, MatcherSet, Position};
use tidewire_engine::driver::pull::PullStream;
use tidewire_engine::driver::{Framing, OnEnd, now_ms};
use tidewire_engine::{EndReason, Subscription};
use tidewire_log::Located;
use tidewire_log::control::{Control, ControlFrame};

use crate::accept::Answer;
use crate::access_log::Entry;
use crate::ask::{Ask, Asked, Path};
use crate::counters::Reason;
use crate::front::{Front, random_u64};
use crate::http2::{Handover, Opening};
use crate::peer::Transport;
use crate::presence::{self, Arrival};
use crate::problem::Problem;
use crate::publish::{FORM_TYPE, media_type};
use crate::rates::Held;
use crate::refusal;
use crate::revocations::Admitted;
use crate::slots::{Seat, Slot};
use crate::streams::Registration;
use crate::takeover::{self, Adoption, Takeover};
use crate::{body, page, router, signed, token};

const CACHE_CONTROL: &str = "private, no-cache, no-store, no-transform, must-revalidate, max-age=0";

const EARLIEST: &str = "earliest";

pub(crate) async fn mercure(State(front): State<Front>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    subscribe(
        &front,
        &request,
        Asked::read(Path::Mercure, &request, None, front.limits()),
    )
    .await
}

pub(crate) async fn topic(State(front): State<Front>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    subscribe(
        &front,
        &request,
        Asked::read(Path::Topic, &request, None, front.limits()),
    )
    .await
}

/// `QUERY`: a subscribe whose parameters are in its body as well (mercure.md, 2.1).
pub(crate) async fn query(front: &Front, path: Path, request: Request) -> Response {
    let (request, body) = request.into_parts();
    match form_of_query(front, &request, body).await {
        Ok(body) => {
            subscribe(
                front,
                &request,
                Asked::read(path, &request, Some(&body), front.limits()),
            )
            .await
        }
        Err(problem) => refused(front, &request, problem),
    }
}

async fn form_of_query(front: &Front, request: &Parts, body: Body) -> Result<Vec<u8>, Problem> {
    use http_body::Body as _;
    match media_type(request).as_deref() {
        Some(FORM_TYPE) => {
            let limit = front.limits().query_bytes_max;
            body::collect(front, body, limit, "query_bytes_max").await
        }
        None if body.is_end_stream() => Ok(Vec::new()),
        have => {
            let have = have.map_or("none".to_owned(), |have| format!("{have:?}"));
            Err(Problem::content_type(format!(
                "the content type is {have}; a QUERY has its parameters as {FORM_TYPE}"
            )))
        }
    }
}

async fn subscribe(front: &Front, request: &Parts, asked: Result<Asked<'_>, Problem>) -> Response {
    let asked = match asked {
        Ok(asked) => asked,
        Err(problem) => return refused(front, request, problem),
    };
    let Some(handover) = request.extensions.get::<Handover>() else {
        let place = |form| front.slots().take(form, Transport::of(request));
        return match try_subscribe(front, asked, place).await {
            Ok(Subscribed::Answered(response)) => response,
            Ok(Subscribed::Stream(stream)) => open(front, request, *stream).await,
            Err(problem) => refused(front, request, problem),
        };
    };
    match try_subscribe(front, asked, |form| handover.place().take(form)).await {
        Ok(Subscribed::Answered(response)) => response,
        Ok(Subscribed::Stream(stream)) => {
            handover.hand(Box::new(opening(front, request, *stream)));
            // The connection answers itself; this answer is never asked for again.
            std::future::pending().await
        }
        Err(problem) => refused(front, request, problem),
    }
}

/// Subscribes for [`crate::plain`], which asks for endless answers only and gives the connection's stream away itself.
pub(crate) async fn adopt(
    front: &Front,
    path: Path,
    request: &Parts,
) -> Result<Adoption, Response> {
    let place = |form| front.slots().take(form, Transport::Plain);
    let subscribed = async {
        try_subscribe(
            front,
            Asked::read(path, request, None, front.limits())?,
            place,
        )
        .await
    };
    match subscribed.await {
        Ok(Subscribed::Answered(response)) => Err(response),
        Ok(Subscribed::Stream(stream)) => Ok(adoption(front, request, *stream)),
        Err(problem) => Err(refused(front, request, problem)),
    }
}

/// Subscribes for an embedder, who has decided on the grant; the answer's body is the stream.
pub(crate) async fn embedded(
    front: &Front,
    request: &Parts,
    routing: MatcherSet,
    grant: &Grant,
    admitted: Admitted,
) -> Response {
    let begun = async {
        let ask = Ask::of_embedder(request, routing, front.limits(), front.now_ms())?;
        let place = |form| front.slots().take(form, Transport::Embedded);
        let nothing = std::future::ready(Ok(()));
        begin(front, request, ask, grant, admitted, place, nothing).await
    };
    match begun.await {
        Ok(Subscribed::Answered(response)) => response,
        Ok(Subscribed::Stream(stream)) => in_body(front, request, *stream),
        Err(problem) => refused(front, request, problem),
    }
}

fn refused(front: &Front, request: &Parts, problem: Problem) -> Response {
    match problem.status() {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            refusal::for_now(front, request, problem)
        }
        _ => problem.into_response(),
    }
}

/// What came of a subscribe.
enum Subscribed<P> {
    /// A page, or a head.
    Answered(Response),
    Stream(Box<Stream<P>>),
}

impl<P> Subscribed<P> {
    fn headers_mut(&mut self) -> &mut HeaderMap {
        match self {
            Self::Answered(response) => response.headers_mut(),
            Self::Stream(stream) => &mut stream.headers,
        }
    }
}

/// A stream that may begin, and its place: its own, or one at its connection's.
struct Stream<P> {
    ask: Ask,
    headers: HeaderMap,
    subscription: Subscription,
    admitted: Admitted,
    place: P,
    arrival: Option<Box<Arrival>>,
    /// What it counts against.
    held: Option<Held>,
}

/// mercure.md, 0.20: the token comes before the parameters.
async fn try_subscribe<P>(
    front: &Front,
    asked: Asked<'_>,
    take_place: impl FnOnce(Form) -> Option<P>,
) -> Result<Subscribed<P>, Problem> {
    let admitted = front.revocations().admit();
    let request = asked.request;
    let (manner, pairs) = (asked.manner, &asked.pairs);
    let grant = token::grant_unspent(front, request, Role::Subscriber, manner, pairs).await?;
    let ask = Ask::parse(&asked, front.limits(), front.patterns(), front.now_ms())?;
    let spend = signed::spend(front, request, manner, pairs, &grant);
    let mut begun = begin(front, request, ask, &grant, admitted, take_place, spend).await?;
    if asked.path == Path::Topic {
        // mercure.md, 2.70: where the hub of this topic is.
        begun
            .headers_mut()
            .insert(header::LINK, front.place().link());
    }
    Ok(begun)
}

/// Begins what was asked for, on the way that all take who may have it. `spend`: uses up what the grant has for one use.
async fn begin<P>(
    front: &Front,
    request: &Parts,
    ask: Ask,
    grant: &Grant,
    admitted: Admitted,
    take_place: impl FnOnce(Form) -> Option<P>,
    spend: impl Future<Output = Result<(), Problem>>,
) -> Result<Subscribed<P>, Problem> {
    if front.is_draining() {
        return Err(
            Problem::unavailable("the hub is ending; subscribe again in a moment")
                .because(Reason::Draining),
        );
    }
    let located = front
        .locate(ask.from.start.clone(), ask.routing.clone())
        .await?;
    let filter = Filter {
        routing: ask.routing.clone(),
        private: front.readable(grant),
    };
    let headers = stream_headers(front, &ask, &located);
    if request.method == Method::HEAD {
        return Ok(Subscribed::Answered(answer(headers, Body::new(Untold))));
    }
    let mut held = front.rates().hold(request, grant)?;
    // From here on events may be told; a HEAD, or whoever is refused, has used nothing.
    if ask.answer == Answer::Page {
        spend.await?;
        let body = page::read(front, &ask, filter, located, grant, admitted).await?;
        return Ok(Subscribed::Answered(answer(headers, Body::from(body))));
    }
    let place = take_place(ask.form).ok_or_else(|| {
        Problem::unavailable(
            "as many subscribers are connected as this hub serves (its file limit or --subscribers-max); try again later",
        )
        .because(Reason::Subscribers)
    })?;
    spend.await?;
    let arrival = front
        .presence()
        .map(|presence| presence.arrival(&filter.routing, grant));
    let mut subscription = subscription(front, &ask, filter, located, grant);
    let seen_as = presence::seen_as(arrival.as_deref());
    let name = |held: &mut Held| held.name(seen_as);
    subscription.seen_as = held.as_mut().map_or(seen_as, name);
    front.counting().streams.one();
    if located.gap.is_some() {
        front.counting().gaps.one();
    }
    Ok(Subscribed::Stream(Box::new(Stream {
        ask,
        headers,
        subscription,
        admitted,
        place,
        arrival,
        held,
    })))
}

/// A body of a length that nobody tells: what a HEAD answer stands for has no Content-Length either.
struct Untold;

impl http_body::Body for Untold {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

fn answer(headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// The head of every answer to a subscribe.
fn stream_headers(front: &Front, ask: &Ask, located: &Located) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(ask.answer.media_type()),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(CACHE_CONTROL),
    );
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    if let Some(gap) = located.gap {
        headers.insert(
            HeaderName::from_static("tidewire-gap"),
            HeaderValue::from_static(gap.reason.as_str()),
        );
    }
    if let Some(id) = answered_id(front, ask, located) {
        headers.insert(HeaderName::from_static("last-event-id"), id.clone());
        headers.insert(HeaderName::from_static("mercure-last-event-id"), id);
    }
    headers
}

/// mercure.md, 1.11 and 2.50: whoever sent an id is told the id before the first event sent, or `earliest`.
fn answered_id(front: &Front, ask: &Ask, located: &Located) -> Option<HeaderValue> {
    let asked = ask.from.last_event_id.as_deref()?;
    if located.gap.is_some() || asked == EARLIEST {
        return Some(HeaderValue::from_static(EARLIEST));
    }
    let id = match asked {
        // Nothing was ever before it.
        "" if located.from == Position::FIRST => EARLIEST.to_owned(),
        "" => front.log().cursor_at(located.from).to_string(),
        id => id.to_owned(),
    };
    HeaderValue::from_bytes(id.as_bytes()).ok()
}

fn subscription(
    front: &Front,
    ask: &Ask,
    filter: Filter,
    located: Located,
    grant: &Grant,
) -> Subscription {
    Subscription {
        feed: front.feed().clone(),
        filter,
        from: located.from,
        gap: located.gap.map(|gap| (ask.from.asked.clone(), gap)),
        form: ask.form,
        checkpoint: ask.checkpoint,
        // Its shard names it.
        stream: String::new(),
        ends_ms: ends_ms(front, grant),
        marks: front.streams().marks_of(grant),
        seen_as: 0,
    }
}

/// When a stream on this grant ends, by the shards' clock.
pub(crate) fn ends_ms(front: &Front, grant: &Grant) -> Option<u64> {
    let left_ms = grant.expires_ms?.saturating_sub(front.now_ms());
    Some(now_ms().saturating_add(left_ms))
}

/// The first frames: a comment at once, so that the browser sees an open stream and proxies let go; padding if it was asked for.
fn first_frames(ask: &Ask) -> Vec<ControlFrame> {
    let mut frames = Vec::new();
    if ask.padding_bytes > 0 {
        let padding = " ".repeat(ask.padding_bytes);
        frames.push(Control::Comment(&padding).encode(ask.form));
    }
    if ask.form != Form::Ndjson {
        frames.push(Control::Heartbeat.encode(ask.form));
    }
    frames
}

/// The first frames, without framing.
fn first_bytes(ask: &Ask) -> Vec<u8> {
    let mut first = Vec::new();
    for frame in first_frames(ask) {
        first.extend_from_slice(frame.frame().bare());
    }
    first
}

/// Hands the stream over if the connection can be taken; else it becomes the answer's body.
async fn open(front: &Front, request: &Parts, stream: Stream<Slot>) -> Response {
    if let Some(takeover) = request.extensions.get::<Takeover>() {
        takeover.ask(adoption(front, request, stream));
        // The connection takes its stream away from hyper; this answer is never asked for again.
        return std::future::pending().await;
    }
    in_body(front, request, stream)
}

/// The stream as an answer's body.
fn in_body(front: &Front, request: &Parts, stream: Stream<Slot>) -> Response {
    let on_end = presence::begin(stream.arrival, on_end(request, stream.held));
    let first = first_bytes(&stream.ask);
    let pull = PullStream::new(&front.settings().streams, random_u64(), stream.subscription)
        .counted(front.share());
    let on_end = stream.place.until_end(on_end);
    answer(
        stream.headers,
        Body::new(StreamBody::new(front, first, pull, on_end, stream.admitted)),
    )
}

/// What an HTTP/2 connection opens in its shard.
fn opening(front: &Front, request: &Parts, stream: Stream<Seat>) -> Opening {
    let on_end = on_end(request, stream.held);
    let mut headers = stream.headers;
    router::decorate(front, request, &mut headers);
    Opening {
        headers,
        first: first_bytes(&stream.ask),
        subscription: stream.subscription,
        admitted: stream.admitted,
        seat: stream.place,
        arrival: stream.arrival,
        on_end,
    }
}

/// What goes with the connection's stream: everything that hyper would have written first.
fn adoption(front: &Front, request: &Parts, stream: Stream<Slot>) -> Adoption {
    let on_end = on_end(request, stream.held);
    let mut headers = stream.headers;
    router::decorate(front, request, &mut headers);
    let mut head = takeover::head_bytes(request.version, &headers, front.now_ms());
    let framing = match request.version {
        http::Version::HTTP_10 => Framing::Bare,
        _ => Framing::Chunked,
    };
    for frame in first_frames(&stream.ask) {
        head.extend_from_slice(match framing {
            Framing::Bare => frame.frame().bare(),
            Framing::Chunked => frame.frame().chunk(),
        });
    }
    Adoption {
        head,
        framing,
        subscription: stream.subscription,
        admitted: stream.admitted,
        slot: stream.place,
        arrival: stream.arrival,
        on_end,
    }
}

/// Who wants to know of a stream's end: nobody, if that is not logged, for each of a million idle subscribers would have one.
///
/// What the stream counts against is given back with it, also if it is dropped unasked.
fn on_end(request: &Parts, held: Option<Held>) -> Option<OnEnd> {
    let opened = request.extensions.get::<Entry>().map(Entry::open);
    if opened.is_none() && held.is_none() {
        return None;
    }
    Some(Box::new(move |end| {
        drop(held);
        if let Some(opened) = opened {
            opened.end(&end);
        }
    }))
}

/// A running stream as a body: for whoever embeds the hub in a server of their own.
pub struct StreamBody {
    first: Bytes,
    stream: PullStream,
    on_end: Option<OnEnd>,
    _registration: Registration,
}

impl StreamBody {
    pub(crate) fn new(
        front: &Front,
        first: Vec<u8>,
        stream: PullStream,
        on_end: OnEnd,
        admitted: Admitted,
    ) -> Self {
        let registration = front.register(&stream.ender());
        front.catch_up(admitted);
        Self {
            first: first.into(),
            on_end: Some(on_end),
            stream: stream.named(registration.names()),
            _registration: registration,
        }
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.stream
            .poll_next(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes.into()))))
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if let Some(on_end) = self.on_end.take() {
            on_end(self.stream.end_with(EndReason::Closed));
        }
    }
}

impl std::fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamBody").finish_non_exhaustive()
    }
}
