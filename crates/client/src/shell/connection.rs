//! One request over one TCP connection, polled by its owner: dialing, sending, reading. Not here: what the answer means.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::Error;
use crate::machine::Attempt;

type Driver = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;
type Answer = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

/// What a poll brought.
pub(super) enum Progress {
    Head(StatusCode, HeaderMap),
    Bytes(Bytes),
    End,
    Failed(Error),
}

enum Stage {
    Dialing(Pin<Box<dyn Future<Output = Result<(Driver, Answer), Error>> + Send>>),
    Sending(Answer),
    Reading(Incoming),
}

/// Dropping it closes the socket.
pub(super) struct Connection {
    stage: Stage,
    /// hyper's side of the socket; it must be polled for anything else to move. `None` before it exists and once it is done.
    driver: Option<Driver>,
}

impl Connection {
    pub(super) fn dial(attempt: Attempt, connect_max: Duration) -> Self {
        let dialing = async move {
            let (sender, driver) =
                match tokio::time::timeout(connect_max, connect(&attempt.url)).await {
                    Ok(connected) => connected?,
                    Err(_) => return Err(Error::ConnectTimeout(connect_max)),
                };
            Ok((driver, send(sender, attempt)?))
        };
        Self {
            stage: Stage::Dialing(Box::pin(dialing)),
            driver: None,
        }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Progress> {
        loop {
            if let Some(driver) = &mut self.driver
                && Pin::new(driver).poll(context).is_ready()
            {
                // Whether that was an end or a failure is told by the answer's future or body.
                self.driver = None;
            }
            match &mut self.stage {
                Stage::Dialing(dialing) => match ready!(dialing.as_mut().poll(context)) {
                    Ok((driver, answer)) => {
                        self.driver = Some(driver);
                        self.stage = Stage::Sending(answer);
                    }
                    Err(error) => return Poll::Ready(Progress::Failed(error)),
                },
                Stage::Sending(answer) => match ready!(answer.as_mut().poll(context)) {
                    Ok(response) => {
                        let (head, body) = response.into_parts();
                        self.stage = Stage::Reading(body);
                        return Poll::Ready(Progress::Head(head.status, head.headers));
                    }
                    Err(error) => return Poll::Ready(Progress::Failed(cut(&error))),
                },
                Stage::Reading(body) => match ready!(Pin::new(body).poll_frame(context)) {
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Poll::Ready(Progress::Bytes(bytes));
                        }
                    }
                    Some(Err(error)) => return Poll::Ready(Progress::Failed(cut(&error))),
                    None => return Poll::Ready(Progress::End),
                },
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Dialing(_) => "Connection(dialing)",
            Stage::Sending(_) => "Connection(sending)",
            Stage::Reading(_) => "Connection(reading)",
        })
    }
}

async fn connect(url: &Url) -> Result<(http1::SendRequest<Full<Bytes>>, Driver), Error> {
    // A redirect may lead here.
    if url.scheme() != "http" {
        return Err(Error::TlsUnsupported);
    }
    let port = url.port_or_known_default().unwrap_or(80);
    let connected = match url.host() {
        Some(Host::Ipv4(address)) => TcpStream::connect((address, port)).await,
        Some(Host::Ipv6(address)) => TcpStream::connect((address, port)).await,
        Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
        None => return Err(Error::Connect("the URL names no host".to_owned())),
    };
    let socket = connected.map_err(|error| Error::Connect(error.to_string()))?;
    // Only a delay would be lost.
    let _ = socket.set_nodelay(true);
    http1::handshake(TokioIo::new(socket))
        .await
        .map_err(|error| cut(&error))
}

fn send(mut sender: http1::SendRequest<Full<Bytes>>, attempt: Attempt) -> Result<Answer, Error> {
    let Attempt {
        url,
        method,
        mut headers,
        body,
    } = attempt;
    let refused = |error: http::Error| Error::Connect(error.to_string());
    if !headers.contains_key(HOST) {
        headers.insert(HOST, host(&url).map_err(|error| refused(error.into()))?);
    }
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let target: Uri = target
        .parse()
        .map_err(|error: http::uri::InvalidUri| refused(error.into()))?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    Ok(Box::pin(async move { sender.send_request(request).await }))
}

/// RFC 9110, 7.2: the authority, with the port where it is not the scheme's own.
fn host(url: &Url) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    HeaderValue::from_str(&url[url::Position::BeforeHost..url::Position::AfterPort])
}

/// hyper's outermost message often names only its kind; the cause says more.
fn cut(error: &hyper::Error) -> Error {
    use std::error::Error as _;
    Error::Cut(match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}
