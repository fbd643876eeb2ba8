//! One HTTP/1 connection: hyper serves its requests, until one of them subscribes and the stream below is taken back.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;
use tower::Service;

use crate::front::Front;
use crate::io::ServerIo;
use crate::peer::Peer;
use crate::takeover::{Rest, Stream, Takeover};

/// Cuts a connection whose client does not read: whatever is written for it then waits, so only the connection can end it.
/// In the extensions of each of its requests.
#[derive(Clone, Default)]
pub(crate) struct Cut(Arc<Notify>);

impl Cut {
    pub(crate) fn cut(&self) {
        self.0.notify_one();
    }
}

/// Serves a connection until it ends or its stream is handed over; what then remains to be run is returned.
pub(crate) async fn serve<S: Stream>(
    front: Front,
    router: Router,
    io: ServerIo<S>,
    peer: Peer,
) -> Option<Rest> {
    let takeover = Takeover::default();
    let asked = takeover.clone();
    let cut = Cut::default();
    let mut is_cut = pin!(cut.0.notified());
    let in_requests = cut.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(in_requests.clone());
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(takeover.clone());
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
    let mut adoption = None;
    let ended = poll_fn(|cx| {
        if is_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut ended = Pin::new(&mut connection).poll(cx);
        // Polled before: a request that is here already, from the plain path too, is answered and not taken for silence.
        if ended.is_pending() && !is_draining && drained.as_mut().poll(cx).is_ready() {
            is_draining = true;
            Pin::new(&mut connection).graceful_shutdown();
            ended = Pin::new(&mut connection).poll(cx);
        }
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
    let adoption = adoption?;
    let stream = connection.into_parts().io.into_inner().into_stream();
    front.counting().taken_over.one();
    stream.leave_to(&front, adoption)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tidewire_log::{MemoryConfig, MemoryLog};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::front::Settings;
    use crate::router::router;
    use crate::takeover::{Adoption, solo};

    impl Stream for DuplexStream {
        fn leave_to(self, front: &Front, adoption: Adoption) -> Option<Rest> {
            Some(solo(self, front, adoption))
        }
    }

    /// A subscribe takes the stream away with hyper's buffers, so what of an answer has not left would be lost. hyper 1.12 lets it
    /// leave first by itself; this is to hold with any.
    #[tokio::test]
    async fn what_was_answered_leaves_before_the_stream_is_taken() {
        let settings = Settings {
            shards: 0,
            access: crate::Access::keyless(),
            ..Settings::default()
        };
        let log = Arc::new(MemoryLog::new(MemoryConfig::default()));
        let front = Front::new(log, settings).unwrap();
        // So little fits at once that nearly all of an answer waits in hyper.
        let (client, server) = duplex(48);
        let peer = Peer {
            address: None,
            is_tls: false,
        };
        let serving = serve(
            front.clone(),
            router(front.clone()),
            ServerIo::new(server),
            peer,
        );
        tokio::spawn(async move {
            if let Some(rest) = serving.await {
                rest.await;
            }
        });
        let (mut read, mut write) = tokio::io::split(client);
        let requests = "POST /.well-known/mercure?ids=all HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/x-ndjson\r\nContent-Length: 25\r\n\r\n{\"topic\":\"a\",\"data\":\"x\"}\n\
             GET /topics/a?checkpoint=off HTTP/1.1\r\nHost: localhost\r\n\r\n";
        tokio::spawn(async move {
            write.write_all(requests.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let mut text = String::new();
        let mut piece = [0; 7];
        while !text.ends_with("2\r\n:\n\r\n") {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let more = tokio::time::timeout(Duration::from_secs(5), read.read(&mut piece));
            let count = more
                .await
                .unwrap_or_else(|_| panic!("silence after {text}"))
                .unwrap();
            assert!(count > 0, "ended after {text}");
            text += std::str::from_utf8(&piece[..count]).unwrap();
        }
        let (answer, stream) = text.split_once("0\r\n\r\n").expect("the answer ends");
        assert!(answer.contains("\"last_id\""), "{text}");
        assert!(stream.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    }
}
