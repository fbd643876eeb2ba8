//! A tunnel through a proxy (RFC 9110, section 9.3.6): CONNECT, and its answer. Not here: what goes through.

use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::link::Socket;
use crate::Error;
use crate::connect::ProxyFailure;

/// How large the head of the proxy's answer may be.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Has the proxy at the other end of `socket` connect it with `authority`. The request says nothing but where to, and what lets
/// this client into the proxy: the server's token is none of its business.
pub(super) async fn open(
    socket: &mut Socket,
    authority: &str,
    authorization: Option<&HeaderValue>,
) -> Result<(), Error> {
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let broke = |error: std::io::Error| Error::Connect(format!("the proxy hung up: {error}"));
    socket.write_all(&request).await.map_err(broke)?;
    socket.flush().await.map_err(broke)?;
    // A byte at a time: what follows the head is the server's, and not to be taken from it.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_BYTES_MAX {
            return Err(Error::Proxy(ProxyFailure::NotHttp));
        }
        head.push(socket.read_u8().await.map_err(broke)?);
        if !b"HTTP/1.".starts_with(&head[..head.len().min(7)]) {
            return Err(Error::Proxy(ProxyFailure::NotHttp));
        }
    }
    match status(&head) {
        // "Any 2xx (Successful) response indicates that the sender (and all inbound proxies) will switch to tunnel mode".
        Some(status) if status.is_success() => Ok(()),
        Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
            Err(Error::Proxy(ProxyFailure::Unauthorized))
        }
        Some(status) => Err(Error::Proxy(ProxyFailure::Refused(status))),
        None => Err(Error::Proxy(ProxyFailure::NotHttp)),
    }
}

/// RFC 9112, section 4: `HTTP/1.1 200 Some words`.
fn status(head: &[u8]) -> Option<StatusCode> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = line.split(|byte| *byte == b' ');
    words.next()?;
    StatusCode::from_bytes(words.next()?).ok()
}
