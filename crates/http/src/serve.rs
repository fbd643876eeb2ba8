//! Serving connections: accepting them, telling HTTP/1 from HTTP/2, and handing sockets over to shards.
//!
//! ```text
//! accept -> first bytes -> the preface of HTTP/2 -> hyper's http2 until it ends
//!                       -> anything else -> hyper's http1 -> ... -> a request asks for takeover
//!                                              ^                      -> earlier answers flushed -> socket to a shard
//!                                              +-- answers, keep-alive
//! ```

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tower::Service;

use crate::front::Front;
use crate::io::{Protocol, ServerIo};
use crate::router::router;

/// How long accepting rests when the system has no descriptor or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How much HTTP/2 buffers for a stream that is not read, in bytes. hyper's default is 400 KB.
const H2_SEND_BYTES_MAX: usize = 64 << 10;
/// How many streams one HTTP/2 connection may have.
const H2_STREAMS_MAX: u32 = 1024;
const H2_PING: Duration = Duration::from_secs(30);
/// How often the log is told the time, by which it drops what has ended.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);

/// Serves a hub on these listeners until `shutdown` resolves; then ends every stream between frames and answers running
/// publishes, for [`crate::Settings::drain`] at most. Meanwhile the log is told the time, so that retention by age goes on.
pub async fn serve(front: &Front, listeners: Vec<TcpListener>, shutdown: impl Future<Output = ()>) {
    let router = router(front.clone());
    let mut maintaining = JoinSet::new();
    maintaining.spawn(maintain(front.clone()));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(front.clone(), router.clone(), listener));
    }
    shutdown.await;
    let deadline = tokio::time::Instant::now() + front.settings().drain;
    // The listeners close here, and with each accept task its connections come back to be waited for.
    front.drain().await;
    let ended = async { while accepting.join_next().await.is_some() {} };
    if tokio::time::timeout_at(deadline, ended).await.is_err() {
        tracing::warn!("connections were cut that did not end in time");
    }
}

async fn maintain(front: Front) {
    let mut tick = tokio::time::interval(MAINTAIN_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let front = front.clone();
        // Dropping segments touches the disk.
        let _ = tokio::task::spawn_blocking(move || front.log().maintain(front.now_ms())).await;
    }
}

async fn accept(front: Front, router: Router, listener: TcpListener) {
    let mut connections = JoinSet::new();
    let mut drained = pin!(front.drained());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    front.counting().connections.one();
                    connections.spawn(connection(front.clone(), router.clone(), socket));
                }
                Err(error) => {
                    front.counting().accept_errors.one();
                    if !is_of_one_connection(&error) {
                        tracing::warn!(%error, "no connection can be accepted for now");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = &mut drained => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Errors that concern the connection that was to be accepted, and not the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

async fn connection(front: Front, router: Router, socket: TcpStream) {
    if let Err(error) = set_options(&front, &socket) {
        tracing::debug!(%error, "socket options");
    }
    let mut io = ServerIo::new(socket);
    let first = tokio::time::timeout(front.limits().head_time_max, io.tell_protocol());
    match first.await {
        Ok(Ok(Protocol::Http1)) => serve_http1(front, router, io).await,
        Ok(Ok(Protocol::Http2)) => serve_http2(front, router, io).await,
        // The client said nothing, or has gone.
        Ok(Err(_)) | Err(_) => {}
    }
}

fn set_options(front: &Front, socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10));
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
    let keepalive = keepalive.with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    {
        let stall = Duration::from_millis(front.settings().streams.stall_deadline_ms);
        socket.set_tcp_user_timeout(Some(stall))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = front;
    Ok(())
}

/// Cuts a connection whose client does not read: whatever is written for it then waits, so only the connection can end it.
/// In the extensions of each of its requests.
#[derive(Clone, Default)]
pub(crate) struct Cut(Arc<Notify>);

impl Cut {
    pub(crate) fn cut(&self) {
        self.0.notify_one();
    }
}

async fn serve_http1(front: Front, router: Router, io: ServerIo) {
    #[cfg(target_os = "linux")]
    let takeover = crate::takeover::Takeover::default();
    #[cfg(target_os = "linux")]
    let asked = takeover.clone();
    let may_take = cfg!(target_os = "linux") && can_take(&front);
    let cut = Cut::default();
    let mut is_cut = pin!(cut.0.notified());
    let in_requests = cut.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(in_requests.clone());
        #[cfg(target_os = "linux")]
        if may_take {
            request.extensions_mut().insert(takeover.clone());
        }
        router.clone().call(request)
    });
    let flushed = io.flushed();
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(front.limits().head_time_max)
        .max_buf_size(front.limits().head_bytes_max.max(8192))
        .serve_connection(TokioIo::new(io), service);
    let mut drained = pin!(front.drained());
    let mut is_draining = false;
    #[cfg(target_os = "linux")]
    let mut adoption = None;
    let ended = poll_fn(|cx| {
        if !is_draining && drained.as_mut().poll(cx).is_ready() {
            is_draining = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if is_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let ended = Pin::new(&mut connection).poll(cx);
        #[cfg(target_os = "linux")]
        if ended.is_pending() {
            adoption = adoption.take().or_else(|| asked.asked());
            // hyper has nothing more to write once what it wrote is flushed: the request that asked is never answered.
            if adoption.is_some() && flushed.is_clean() {
                return Poll::Ready(Ok(()));
            }
        }
        ended
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "connection ended");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = flushed;
    #[cfg(target_os = "linux")]
    if let Some(adoption) = adoption {
        let parts = connection.into_parts();
        hand_over(&front, parts.io.into_inner(), adoption);
    }
}

#[cfg(target_os = "linux")]
fn can_take(front: &Front) -> bool {
    front.shards().is_some()
}

#[cfg(not(target_os = "linux"))]
fn can_take(_front: &Front) -> bool {
    false
}

/// What the client has sent after its subscribe is dropped: nothing follows a stream on its connection.
#[cfg(target_os = "linux")]
fn hand_over(front: &Front, io: ServerIo, adoption: crate::takeover::Adoption) {
    let socket = match io.into_socket().into_std() {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "a socket could not be taken back");
            return;
        }
    };
    if let Some(shards) = front.shards() {
        front.counting().taken_over.one();
        shards.adopt(
            socket,
            adoption.head,
            adoption.framing,
            adoption.subscription,
            adoption.on_end,
        );
    }
}

async fn serve_http2(front: Front, router: Router, io: ServerIo) {
    let service = service_fn(move |request: Request<Incoming>| router.clone().call(request));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_send_buf_size(H2_SEND_BYTES_MAX)
        .max_concurrent_streams(H2_STREAMS_MAX)
        .keep_alive_interval(H2_PING)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = front.drained() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
