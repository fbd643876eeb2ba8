//! What is done with an accepted connection first: its socket's options, TLS, and telling HTTP/1 from HTTP/2.

use std::io;
use std::time::Duration;

use axum::Router;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::front::Front;
use crate::io::{Protocol, ServerIo};
use crate::takeover::Rest;
use crate::tls::accept;
use crate::{http1, http2};

/// Serves a connection until it ends or is handed over; what then remains to be run is returned.
pub(crate) async fn serve(front: Front, router: Router, socket: TcpStream) -> Option<Rest> {
    if let Err(error) = set_options(&front, &socket) {
        tracing::debug!(%error, "socket options");
    }
    if let Some(tls) = front.settings().tls.clone() {
        return accept::serve(front, router, socket, tls).await;
    }
    let mut io = ServerIo::new(socket);
    let first = tokio::time::timeout(front.limits().head_time_max, io.tell_protocol());
    match first.await {
        Ok(Ok(Protocol::Http1)) => http1::serve(front, router, io).await,
        Ok(Ok(Protocol::Http2)) => {
            http2::serve(front, router, io).await;
            None
        }
        // The client said nothing, or has gone.
        Ok(Err(_)) | Err(_) => None,
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
