//! One HTTP/2 connection.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service;

use crate::front::Front;

/// How much HTTP/2 buffers for a stream that is not read, in bytes. hyper's default is 400 KB.
const H2_SEND_BYTES_MAX: usize = 64 << 10;
/// How many streams one HTTP/2 connection may have.
const H2_STREAMS_MAX: u32 = 1024;
const H2_PING: Duration = Duration::from_secs(30);

/// Serves a connection until it ends.
pub(crate) async fn serve<IO>(front: Front, router: Router, io: IO)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
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
