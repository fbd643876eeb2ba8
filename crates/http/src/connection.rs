//! What is done with an accepted connection first: its socket's options, TLS, and telling HTTP/1 from HTTP/2.

use std::io;
use std::time::Duration;

use axum::Router;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::front::Front;
use crate::io::{Protocol, ServerIo};
use crate::peer::Peer;
use crate::takeover::{Rest, Stream};
use crate::tls::accept;
use crate::{http1, http2, plain};

/// Serves a connection until it ends or is handed over; what then remains to be run is returned.
pub(crate) async fn serve(front: Front, router: Router, socket: TcpStream) -> Option<Rest> {
    // Linux gives a connection the options of its listener.
    #[cfg(not(target_os = "linux"))]
    set_options(&front, (&socket).into());
    let peer = Peer {
        address: socket.peer_addr().ok(),
        is_tls: front.settings().tls.is_some(),
    };
    if let Some(tls) = front.settings().tls.clone() {
        return accept::serve(front, router, socket, tls, peer).await;
    }
    let io = match plain::serve(&front, socket, peer).await {
        plain::End::Closed => return None,
        plain::End::Subscribed(socket, adoption) => {
            front.counting().taken_over.one();
            return socket.leave_to(&front, *adoption);
        }
        plain::End::Unusual(socket, unread) => ServerIo::after(unread, socket),
    };
    // From here on it is one of the few: their tasks may be large, those of the many shall not be.
    Box::pin(general(front, router, io, peer)).await
}

async fn general(
    front: Front,
    router: Router,
    mut io: ServerIo<TcpStream>,
    peer: Peer,
) -> Option<Rest> {
    let first = tokio::time::timeout(front.limits().head_time_max, io.tell_protocol());
    match first.await {
        Ok(Ok(Protocol::Http1)) => http1::serve(front, router, io, peer).await,
        Ok(Ok(Protocol::Http2)) => {
            http2::serve(front, router, io, peer).await;
            None
        }
        // The client said nothing, or has gone.
        Ok(Err(_)) | Err(_) => None,
    }
}

/// Sets what holds for every connection. On Linux to be done for a listener, whose connections then have it from the start:
/// six system calls less for each.
#[expect(clippy::needless_pass_by_value, reason = "a `SockRef` is a reference")]
pub(crate) fn set_options(front: &Front, socket: SockRef<'_>) {
    if let Err(error) = try_set_options(front, &socket) {
        tracing::debug!(%error, "socket options");
    }
}

fn try_set_options(front: &Front, socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use tidewire_log::{MemoryConfig, MemoryLog};

    use super::*;
    use crate::front::Settings;

    #[test]
    fn connections_have_their_listeners_options() {
        let settings = Settings {
            shards: 0,
            ..Settings::default()
        };
        let log = Arc::new(MemoryLog::new(MemoryConfig::default()));
        let front = Front::new(log, settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set_options(&front, (&listener).into());
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(30)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(10)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        let stall = front.settings().streams.stall_deadline_ms;
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_millis(stall))
        );
    }
}
