//! Accepting a connection on a TLS listener: who speaks plain HTTP there is told so, who does not shake hands in time is let go.

use std::io;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::Tls;
use crate::front::Front;
use crate::io::ServerIo;
use crate::peer::Peer;
use crate::takeover::{Adoption, Rest, Stream, solo};
use crate::{http1, http2};

/// RFC 8446, section 5.1: the first byte of a client that shakes hands, the type of its record.
const HANDSHAKE: u8 = 0x16;

/// What a plain HTTP request is answered.
const PLAIN: &str = "this port speaks https\n";

/// How much of a plain request is read away after its answer, and for how long: closing a socket with unread bytes would reset
/// it, and take the answer along.
const PLAIN_BYTES_MAX: u64 = 64 << 10;
const PLAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// How much of what was encrypted for a subscriber's stream may wait for its socket, in bytes; the rest stays in the log.
const STREAM_BUFFER_BYTES_MAX: usize = 16 << 10;

/// Serves a connection until it ends or is handed over; what then remains to be run is returned.
pub(crate) async fn serve(
    front: Front,
    router: Router,
    socket: TcpStream,
    tls: Tls,
    peer: Peer,
) -> Option<Rest> {
    let time_max = front.limits().tls_handshake_time_max;
    let stream = match timeout(time_max, shake_hands(&front, socket, tls)).await {
        Ok(Ok(stream)) => stream?,
        Ok(Err(error)) => return failed(&front, &error.to_string()),
        Err(_) => return failed(&front, "it took too long"),
    };
    front.counting().tls_handshakes.one();
    // RFC 9113, section 3.3: over TLS, HTTP/2 is agreed on by ALPN and by nothing else.
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2::serve(front, router, stream, peer).await;
        return None;
    }
    http1::serve(front, router, ServerIo::new(stream), peer).await
}

/// `None`: it was plain HTTP, and was answered.
async fn shake_hands(
    front: &Front,
    socket: TcpStream,
    tls: Tls,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Every method of HTTP begins with a letter; what else is no handshake is rustls's to refuse.
    if first[0] != HANDSHAKE && first[0].is_ascii_alphabetic() {
        front.counting().plain_on_tls.one();
        // Who does not take the answer goes without.
        let _ = timeout(PLAIN_TIME_MAX, answer_plain(socket)).await;
        return Ok(None);
    }
    tls.acceptor.accept(socket).await.map(Some)
}

async fn answer_plain(mut socket: TcpStream) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        PLAIN.len()
    );
    socket.write_all((head + PLAIN).as_bytes()).await?;
    socket.shutdown().await?;
    let mut unread = socket.take(PLAIN_BYTES_MAX);
    tokio::io::copy(&mut unread, &mut tokio::io::sink()).await?;
    Ok(())
}

fn failed(front: &Front, why: &str) -> Option<Rest> {
    front.counting().tls_failed.one();
    tracing::debug!(why, "TLS handshake failed");
    None
}

impl Stream for TlsStream<TcpStream> {
    fn leave_to(mut self, front: &Front, adoption: Adoption) -> Option<Rest> {
        self.get_mut()
            .1
            .set_buffer_limit(Some(STREAM_BUFFER_BYTES_MAX));
        Some(solo(self, front, adoption))
    }
}
