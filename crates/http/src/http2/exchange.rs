//! One request and its answer: to the same service as every other protocol's, unless it is a subscribe, which the connection
//! opens as a stream. A small future that the connection's task polls; nothing of it is left once a stream runs.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use tower::Service;

use super::body::RequestBody;
use super::handover::{Handover, Opening};
use super::sink::SEND_BYTES_MAX;
use crate::date::http_date;
use crate::front::Front;

/// A stream that a subscribe has asked for, and where it goes.
pub(super) struct Opened {
    pub(super) opening: Box<Opening>,
    pub(super) respond: SendResponse<Bytes>,
}

/// Answers a request; or gives back the stream that it asked for.
pub(super) async fn run(
    front: Front,
    router: Router,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    handover: Handover,
) -> Option<Opened> {
    let is_head = request.method() == Method::HEAD;
    match serve(router, request, &mut respond, handover).await? {
        Outcome::Opening(opening) => Some(Opened { opening, respond }),
        Outcome::Answer(answer) => {
            if let Err(error) = send(&front, respond, *answer, is_head).await {
                tracing::debug!(%error, "an answer was not sent");
            }
            None
        }
    }
}

enum Outcome {
    Answer(Box<Response<Body>>),
    Opening(Box<Opening>),
}

/// Asks the service; `None` once the client has given up.
async fn serve(
    mut router: Router,
    request: Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
    handover: Handover,
) -> Option<Outcome> {
    let mut request = request.map(Some);
    join_cookies(request.headers_mut());
    request.extensions_mut().insert(handover.clone());
    let stream = request.body_mut().take()?;
    let body = if stream.is_end_stream() {
        Body::empty()
    } else {
        Body::new(RequestBody::new(stream, request.headers()))
    };
    let mut answer = pin!(router.call(request.map(|_| body)));
    poll_fn(|cx| {
        if let Poll::Ready(Ok(answer)) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(Outcome::Answer(Box::new(answer))));
        }
        if let Some(opening) = handover.take() {
            return Poll::Ready(Some(Outcome::Opening(opening)));
        }
        respond.poll_reset(cx).map(|_| None)
    })
    .await
}

/// RFC 9113, section 8.2.3: cookies may come in pieces, which are one field to whoever knows HTTP/1.
fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(header::COOKIE).iter();
    if pieces.by_ref().nth(1).is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// The head of an answer: without what means something to a connection of HTTP/1 alone (RFC 9113, section 8.2.2), and with the
/// time.
pub(super) fn head(mut headers: HeaderMap, now_ms: u64) -> Response<()> {
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ] {
        headers.remove(name);
    }
    if let Ok(date) = HeaderValue::from_bytes(&http_date(now_ms)) {
        headers.entry(header::DATE).or_insert(date);
    }
    let mut head = Response::new(());
    *head.headers_mut() = headers;
    head
}

/// Why an answer was not sent.
#[derive(Debug)]
enum SendError {
    /// The stream or its connection has ended.
    Stream(h2::Error),
    /// Its body broke off.
    Body(axum::Error),
    /// The client took nothing for as long as it may.
    Stalled,
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::Body(error) => error.fmt(f),
            Self::Stalled => f.write_str("the client took nothing for publish_stall_max"),
        }
    }
}

impl From<h2::Error> for SendError {
    fn from(error: h2::Error) -> Self {
        Self::Stream(error)
    }
}

async fn send(
    front: &Front,
    mut respond: SendResponse<Bytes>,
    answer: Response<Body>,
    is_head: bool,
) -> Result<(), SendError> {
    let (parts, body) = answer.into_parts();
    let mut head = head(parts.headers, front.now_ms());
    *head.status_mut() = parts.status;
    let is_empty = is_head || body.is_end_stream();
    if let (false, Some(length)) = (is_empty, body.size_hint().exact()) {
        let headers = head.headers_mut();
        headers
            .entry(header::CONTENT_LENGTH)
            .or_insert(length.into());
    }
    let mut stream = respond.send_response(head, is_empty)?;
    if is_empty {
        return Ok(());
    }
    let stall_max = front.limits().publish_stall_max;
    let sent = send_body(&mut stream, body, stall_max).await;
    match &sent {
        Ok(()) | Err(SendError::Stream(_)) => {}
        Err(SendError::Body(_)) => stream.send_reset(Reason::INTERNAL_ERROR),
        Err(SendError::Stalled) => stream.send_reset(Reason::CANCEL),
    }
    sent
}

async fn send_body(
    stream: &mut SendStream<Bytes>,
    mut body: Body,
    stall_max: Duration,
) -> Result<(), SendError> {
    while let Some(frame) = next_frame(stream, &mut body).await? {
        match frame.into_data() {
            Ok(data) => {
                let is_last = body.is_end_stream();
                send_data(stream, data, is_last, stall_max).await?;
                if is_last {
                    return Ok(());
                }
            }
            Err(other) => {
                if let Ok(trailers) = other.into_trailers() {
                    return Ok(stream.send_trailers(trailers)?);
                }
            }
        }
    }
    Ok(stream.send_data(Bytes::new(), true)?)
}

/// What the body says next, unless the client wants no more of it.
async fn next_frame(
    stream: &mut SendStream<Bytes>,
    body: &mut Body,
) -> Result<Option<http_body::Frame<Bytes>>, SendError> {
    let mut frame = pin!(body.frame());
    poll_fn(|cx| {
        if let Poll::Ready(frame) = frame.as_mut().poll(cx) {
            return Poll::Ready(frame.transpose().map_err(SendError::Body));
        }
        match stream.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => Poll::Ready(Err(h2::Error::from(reason).into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// As the client has room for it.
async fn send_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    is_last: bool,
    stall_max: Duration,
) -> Result<(), SendError> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len().min(SEND_BYTES_MAX));
        let mut capacity = stream.capacity();
        if capacity == 0 {
            let more = tokio::time::timeout(stall_max, poll_fn(|cx| stream.poll_capacity(cx)));
            capacity = match more.await {
                Ok(Some(more)) => more?,
                Ok(None) => return Err(h2::Error::from(Reason::CANCEL).into()),
                Err(_) => return Err(SendError::Stalled),
            };
        }
        let piece = data.split_to(capacity.min(data.len()));
        stream.send_data(piece, is_last && data.is_empty())?;
    }
    Ok(())
}

/// A running exchange.
pub(super) type Exchange = Pin<Box<dyn Future<Output = Option<Opened>> + Send>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_one_field() {
        let table: [(&[&str], Option<&str>); 3] = [
            (&[], None),
            (&["a=1; b=2"], Some("a=1; b=2")),
            (&["a=1", "b=2", "c=3"], Some("a=1; b=2; c=3")),
        ];
        for (pieces, want) in table {
            let mut headers = HeaderMap::new();
            for piece in pieces {
                headers.append(header::COOKIE, piece.parse().unwrap());
            }
            join_cookies(&mut headers);
            let joined: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
            assert_eq!(joined, want.into_iter().collect::<Vec<_>>(), "{pieces:?}");
        }
    }

    #[test]
    fn heads_say_nothing_of_connections() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("a/b"));
        let head = head(headers, 1_795_250_000_123);
        assert!(!head.headers().contains_key(header::CONNECTION));
        assert_eq!(head.headers()[header::CONTENT_TYPE], "a/b");
        assert_eq!(
            head.headers()[header::DATE],
            "Sat, 21 Nov 2026 08:33:20 GMT"
        );
    }
}
