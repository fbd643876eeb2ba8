//! Requests and answers over a connection, by HTTP/1.1 (hyper) or HTTP/2 (h2), both polled by who has the connection. Not here:
//! what an answer means.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request, Response, Uri};
use http_body::Frame;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use url::{Position, Url};

use super::link::{Socket, Trouble};
use crate::Error;
use crate::machine::Attempt;

/// How much of a stream, and of all streams of a connection, may be on the way. Much more than a socket's buffers would only wait
/// here; much less would slow down a replay from far away.
const WINDOW_BYTES: u32 = 1 << 20;
/// What small frames may cost in memory while they wait here. A hub sends each event in a frame of its own, h2 takes about 256 bytes
/// for a frame, and its own bound, meant against floods, would break a connection whose owner looks away for a few thousand of them.
/// A window full of events of ten bytes fits.
const FRAMES_BYTES_MAX: usize = 32 << 20;
/// Interim answers (1xx) before an answer. One or two are usual; what sends them without end never answers.
const INTERIM_MAX: u32 = 32;
/// The least that hyper takes.
const HTTP1_BUFFER_BYTES_MIN: usize = 8 << 10;

/// Who reads the request's first line.
pub(super) enum Via {
    /// The server, at once or through a tunnel.
    Server,
    /// A proxy, which is told the whole URL, and this to get in.
    Proxy(Option<HeaderValue>),
}

/// Sends requests over a connection.
pub struct Sender {
    kind: SenderKind,
    trouble: Trouble,
    interim: Arc<AtomicU32>,
}

enum SenderKind {
    Http1(http1::SendRequest<Full<Bytes>>, Via),
    Http2(h2::client::SendRequest<Bytes>),
}

/// A connection. It ends when the connection does; whether that was an end or a failure is told by the answer or its body.
#[must_use = "nothing moves unless it is polled, and dropping it closes the connection"]
pub struct Driver {
    kind: Option<DriverKind>,
    interim: Arc<AtomicU32>,
}

enum DriverKind {
    Http1(Box<http1::Connection<TokioIo<Socket>, Full<Bytes>>>),
    Http2(Box<h2::client::Connection<Socket, Bytes>>),
}

/// An answer on its way.
pub struct Answer(Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>);

/// An answer's body.
pub struct Body {
    kind: BodyKind,
    trouble: Trouble,
}

enum BodyKind {
    Http1(Incoming),
    Http2(RecvStream),
}

pub(super) async fn http1(
    socket: Socket,
    via: Via,
    trouble: Trouble,
    head_bytes_max: u32,
) -> Result<(Sender, Driver), Error> {
    let head_bytes_max = usize::try_from(head_bytes_max).unwrap_or(usize::MAX);
    let connected = http1::Builder::new()
        .max_buf_size(head_bytes_max.max(HTTP1_BUFFER_BYTES_MIN))
        .max_header_size(head_bytes_max)
        .handshake(TokioIo::new(socket))
        .await;
    let (sender, connection) = connected.map_err(|error| broke(&error, &trouble))?;
    Ok(pair(
        SenderKind::Http1(sender, via),
        DriverKind::Http1(Box::new(connection)),
        trouble,
    ))
}

pub(super) async fn http2(
    socket: Socket,
    trouble: Trouble,
    head_bytes_max: u32,
) -> Result<(Sender, Driver), Error> {
    let connected = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .data_frame_budget(FRAMES_BYTES_MAX)
        .max_header_list_size(head_bytes_max)
        .handshake(socket)
        .await;
    let (sender, connection) = connected.map_err(|error| broke(&error, &trouble))?;
    Ok(pair(
        SenderKind::Http2(sender),
        DriverKind::Http2(Box::new(connection)),
        trouble,
    ))
}

fn pair(sender: SenderKind, driver: DriverKind, trouble: Trouble) -> (Sender, Driver) {
    let interim = Arc::new(AtomicU32::new(0));
    let driver = Driver {
        kind: Some(driver),
        interim: Arc::clone(&interim),
    };
    let sender = Sender {
        kind: sender,
        trouble,
        interim,
    };
    (sender, driver)
}

impl Sender {
    /// Sends a request. Over HTTP/1.1 one at a time: see [`Sender::is_ready`].
    pub fn send(&mut self, attempt: Attempt) -> Answer {
        self.interim.store(0, Ordering::Relaxed);
        let trouble = Arc::clone(&self.trouble);
        match &mut self.kind {
            SenderKind::Http1(sender, via) => {
                let mut request = match http1_request(attempt, via) {
                    Ok(request) => request,
                    Err(error) => return Answer::failed(error),
                };
                let interim = Arc::clone(&self.interim);
                let counted = Arc::clone(&interim);
                hyper::ext::on_informational(&mut request, move |_| {
                    counted.fetch_add(1, Ordering::Relaxed);
                });
                let answer = sender.send_request(request);
                Answer(Box::pin(async move {
                    let answer = answer.await;
                    // The driver has given the connection up.
                    if interim.load(Ordering::Relaxed) > INTERIM_MAX {
                        return Err(flooded());
                    }
                    match answer {
                        Ok(response) => Ok(response.map(|body| Body {
                            kind: BodyKind::Http1(body),
                            trouble,
                        })),
                        Err(error) => Err(broke(&error, &trouble)),
                    }
                }))
            }
            SenderKind::Http2(sender) => {
                let sender = sender.clone();
                Answer(Box::pin(async move {
                    let answer = http2_answer(sender, attempt, &trouble).await?;
                    Ok(answer.map(|body| Body {
                        kind: BodyKind::Http2(body),
                        trouble,
                    }))
                }))
            }
        }
    }

    /// True when another request can be sent. Over HTTP/1.1 that is when the answer before has been read to its end.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match &self.kind {
            SenderKind::Http1(sender, _) => sender.is_ready(),
            SenderKind::Http2(_) => self.trouble.get().is_none(),
        }
    }
}

impl Answer {
    fn failed(error: Error) -> Self {
        Self(Box::pin(std::future::ready(Err(error))))
    }
}

impl Future for Answer {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let is_done = match &mut self.kind {
            Some(DriverKind::Http1(connection)) => Pin::new(connection).poll(context).is_ready(),
            Some(DriverKind::Http2(connection)) => Pin::new(connection).poll(context).is_ready(),
            None => true,
        };
        if is_done || self.interim.load(Ordering::Relaxed) > INTERIM_MAX {
            self.kind = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let frame = match &mut this.kind {
            BodyKind::Http1(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                frame.map(|frame| frame.map_err(|error| broke(&error, &this.trouble)))
            }
            BodyKind::Http2(body) => {
                let data = ready!(body.poll_data(context));
                if let Some(Ok(data)) = &data {
                    // What is taken may be sent again; that fails only for a stream that is gone.
                    let _ = body.flow_control().release_capacity(data.len());
                }
                data.map(|data| data.map(Frame::data))
                    .map(|frame| frame.map_err(|error| broke(&error, &this.trouble)))
            }
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Http1(body) => body.is_end_stream(),
            BodyKind::Http2(body) => body.is_end_stream(),
        }
    }
}

fn http1_request(attempt: Attempt, via: &Via) -> Result<Request<Full<Bytes>>, Error> {
    let Attempt {
        url,
        method,
        mut headers,
        body,
    } = attempt;
    refuse_codings(&mut headers);
    if !headers.contains_key(HOST) {
        let host = HeaderValue::from_str(authority(&url));
        headers.insert(HOST, host.map_err(|error| unsendable(&error))?);
    }
    let target = match via {
        Via::Server => &url[Position::BeforePath..Position::AfterQuery],
        Via::Proxy(authorization) => {
            if let Some(value) = authorization {
                headers.insert(PROXY_AUTHORIZATION, value.clone());
            }
            &url[..Position::AfterQuery]
        }
    };
    let mut request = Request::new(Full::new(body));
    *request.uri_mut() = target.parse::<Uri>().map_err(|error| unsendable(&error))?;
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    Ok(request)
}

async fn http2_answer(
    sender: h2::client::SendRequest<Bytes>,
    attempt: Attempt,
    trouble: &Trouble,
) -> Result<Response<RecvStream>, Error> {
    let broke = |error: h2::Error| broke(&error, trouble);
    let (request, body) = http2_request(attempt)?;
    let mut sender = sender.ready().await.map_err(broke)?;
    let (mut answer, mut stream) = sender
        .send_request(request, body.is_empty())
        .map_err(broke)?;
    drop(sender);
    if !body.is_empty() {
        stream.send_data(body, true).map_err(broke)?;
    }
    let mut interim = 0;
    while let Some(head) = poll_fn(|context| answer.poll_informational(context)).await {
        head.map_err(broke)?;
        interim += 1;
        if interim > INTERIM_MAX {
            return Err(flooded());
        }
    }
    answer.await.map_err(broke)
}

/// RFC 9113, sections 8.2.2 and 8.3.1: the authority is a field of its own, and what is about a connection is not sent.
fn http2_request(attempt: Attempt) -> Result<(Request<()>, Bytes), Error> {
    let Attempt {
        url,
        method,
        mut headers,
        body,
    } = attempt;
    refuse_codings(&mut headers);
    let host = headers.remove(HOST);
    let authority = match host.as_ref().map(HeaderValue::to_str) {
        Some(Ok(host)) => host,
        _ => authority(&url),
    };
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "te"] {
        headers.remove(HeaderName::from_static(name));
    }
    if !body.is_empty() || matches!(method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let uri = Uri::builder()
        .scheme(url.scheme())
        .authority(authority)
        .path_and_query(&url[Position::BeforePath..Position::AfterQuery])
        .build()
        .map_err(|error| unsendable(&error))?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    *request.version_mut() = http::Version::HTTP_2;
    Ok((request, body))
}

/// What compresses a stream holds events back until it has enough of them, as a rule; nothing here could read it either.
fn refuse_codings(headers: &mut HeaderMap) {
    headers
        .entry(ACCEPT_ENCODING)
        .or_insert(HeaderValue::from_static("identity"));
}

/// RFC 9110, section 7.2: the host, with the port where it is not the scheme's own.
fn authority(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

fn unsendable(error: &dyn fmt::Display) -> Error {
    Error::Connect(error.to_string())
}

fn flooded() -> Error {
    Error::Cut(format!(
        "more than {INTERIM_MAX} interim answers (1xx) and no answer"
    ))
}

/// The connection's own words, or those of what speaks HTTP: the outermost message often names only its kind; the cause says more.
fn broke(error: &dyn std::error::Error, trouble: &Trouble) -> Error {
    match (trouble.get(), error.source()) {
        (Some(trouble), _) => trouble.clone(),
        (None, Some(cause)) => Error::Cut(format!("{error}: {cause}")),
        (None, None) => Error::Cut(error.to_string()),
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            SenderKind::Http1(..) => "Sender(HTTP/1.1)",
            SenderKind::Http2(_) => "Sender(HTTP/2)",
        })
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Some(DriverKind::Http1(_)) => "Driver(HTTP/1.1)",
            Some(DriverKind::Http2(_)) => "Driver(HTTP/2)",
            None => "Driver(done)",
        })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}
