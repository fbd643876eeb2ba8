//! The shell over real sockets, against a server that says, connection by connection, exactly these bytes.

#![cfg(feature = "tokio")]

mod finite;
mod steering;

use std::time::Duration;

use tidewire_client::{BuildError, Builder, CloseReason, Error, EventSource, Item, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

#[derive(Clone)]
enum Then {
    Close,
    /// Holds the connection until the client drops it.
    Hold,
}

/// One answer: bytes, and what comes after them.
type Reply = (String, Then);

struct Server {
    url: String,
    /// The head of each request, lower case, and its body.
    requests: mpsc::UnboundedReceiver<String>,
    /// One for each held connection that the client has dropped.
    dropped: mpsc::UnboundedReceiver<()>,
}

impl Server {
    async fn start(answers: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/s?x=1#f", listener.local_addr().unwrap());
        let (requests_to, requests) = mpsc::unbounded_channel();
        let (dropped_to, dropped) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for answer in answers {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(
                    socket,
                    answer,
                    requests_to.clone(),
                    dropped_to.clone(),
                ));
            }
        });
        Self {
            url,
            requests,
            dropped,
        }
    }

    fn source(&self) -> Builder {
        EventSource::builder(&self.url).options(|options| {
            options.jitter = false;
            options.retry = Duration::from_millis(20);
        })
    }

    async fn request(&mut self) -> String {
        timeout(Duration::from_secs(5), self.requests.recv())
            .await
            .expect("a request in time")
            .unwrap()
    }
}

async fn serve(
    mut socket: TcpStream,
    (bytes, then): Reply,
    requests: mpsc::UnboundedSender<String>,
    dropped: mpsc::UnboundedSender<()>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |len| len.parse().unwrap());
    let mut body = vec![0; len];
    socket.read_exact(&mut body).await.unwrap();
    let _ = requests.send(head + &String::from_utf8(body).unwrap());
    socket.write_all(bytes.as_bytes()).await.unwrap();
    if matches!(then, Then::Hold) {
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        let _ = dropped.send(());
    }
}

async fn next(source: &mut EventSource) -> Item {
    timeout(Duration::from_secs(5), source.next())
        .await
        .expect("an item in time")
        .expect("not yet closed")
}

async fn data(source: &mut EventSource) -> String {
    match next(source).await {
        Item::Event(event) => event.data,
        item => panic!("not an event: {item:?}"),
    }
}

async fn opened(source: &mut EventSource) {
    let item = next(source).await;
    assert!(matches!(item, Item::Open(_)), "{item:?}");
}

fn answer(bytes: impl Into<String>, then: Then) -> Reply {
    (bytes.into(), then)
}

#[tokio::test]
async fn a_stream_is_read_lost_and_gone_on_with() {
    let mut server = Server::start(vec![
        answer(
            format!("{STREAM}retry: 30\nid: a\ndata: 1\n\nid: b\ndata: cut"),
            Then::Close,
        ),
        answer(
            format!("{CHUNKED}9\r\ndata: 2\n\n\r\n0\r\n\r\n"),
            Then::Hold,
        ),
        answer(
            format!("{CHUNKED}9\r\ndata: 3\n\n\r\n20\r\ndata:"),
            Then::Close,
        ),
        answer("HTTP/1.1 204 No Content\r\n\r\n", Then::Close),
    ])
    .await;
    let mut source = server
        .source()
        .header("X-A", "b")
        .bearer_token("t")
        .build()
        .unwrap();
    assert_eq!(source.state(), State::Connecting);

    opened(&mut source).await;
    let head = server.request().await;
    assert!(head.starts_with("get /s?x=1 http/1.1\r\n"), "{head}");
    for line in [
        "accept: text/event-stream",
        "x-a: b",
        "authorization: bearer t",
        "host: 127.0.0.1:",
    ] {
        assert!(head.contains(&format!("\r\n{line}")), "{line}: {head}");
    }
    assert!(!head.contains("last-event-id"), "{head}");
    assert_eq!(
        next(&mut source).await,
        Item::Retry(Duration::from_millis(30))
    );
    assert_eq!(data(&mut source).await, "1");
    assert_eq!(source.state(), State::Open);
    let delay = Duration::from_millis(30);
    assert_eq!(
        next(&mut source).await,
        Item::Reconnecting {
            error: Error::Ended,
            delay
        },
        "cut mid-event"
    );

    opened(&mut source).await;
    assert!(
        server.request().await.contains("\r\nlast-event-id: a\r\n"),
        "the cut event's id is not sent"
    );
    assert_eq!(data(&mut source).await, "2");
    assert_eq!(
        next(&mut source).await,
        Item::Reconnecting {
            error: Error::Ended,
            delay
        }
    );

    opened(&mut source).await;
    assert_eq!(data(&mut source).await, "3");
    let item = next(&mut source).await;
    assert!(
        matches!(
            &item,
            Item::Reconnecting {
                error: Error::Cut(_),
                ..
            }
        ),
        "no last chunk: {item:?}"
    );

    assert_eq!(next(&mut source).await, Item::Closed(CloseReason::Ended));
    assert_eq!(source.next().await, None);
    assert_eq!(source.next().await, None);
    assert_eq!(source.state(), State::Closed);
}

#[tokio::test]
async fn dropping_it_leaves_no_connection() {
    let mut server = Server::start(vec![answer(format!("{STREAM}data: 1\n\n"), Then::Hold)]).await;
    let mut source = server.source().build().unwrap();
    opened(&mut source).await;
    assert_eq!(data(&mut source).await, "1");
    assert!(
        timeout(Duration::from_millis(50), source.next())
            .await
            .is_err(),
        "nothing more comes"
    );
    assert!(server.dropped.try_recv().is_err(), "held so far");
    drop(source);
    timeout(Duration::from_secs(5), server.dropped.recv())
        .await
        .expect("dropped in time")
        .unwrap();
}

#[tokio::test]
async fn closing_it_ends_the_connection_before_it_is_dropped() {
    let mut server = Server::start(vec![answer(STREAM, Then::Hold)]).await;
    let mut source = server.source().build().unwrap();
    opened(&mut source).await;
    source.close();
    timeout(Duration::from_secs(5), server.dropped.recv())
        .await
        .expect("dropped in time")
        .unwrap();
    assert_eq!(next(&mut source).await, Item::Closed(CloseReason::Asked));
    assert_eq!(source.next().await, None);
}

#[tokio::test]
async fn a_cancelled_next_loses_nothing() {
    let server = Server::start(vec![answer(
        format!("{STREAM}data: 1\n\ndata: 2\n\n"),
        Then::Hold,
    )])
    .await;
    let mut source = server.source().build().unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        // Cancelled at every wake-up, also in the middle of connecting.
        if let Ok(Some(Item::Event(event))) =
            timeout(Duration::from_micros(50), source.next()).await
        {
            seen.push(event.data);
        }
    }
    assert_eq!(seen, ["1", "2"]);
}

#[tokio::test]
async fn refusals_say_why() {
    let server = Server::start(vec![
        answer(
            "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nfull",
            Then::Hold,
        ),
        answer(
            "HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nno topic.",
            Then::Hold,
        ),
    ])
    .await;
    let mut source = server.source().build().unwrap();
    match next(&mut source).await {
        Item::Reconnecting {
            error:
                Error::Busy {
                    status,
                    retry_after,
                    detail,
                },
            delay,
        } => {
            assert_eq!(
                (status.as_u16(), retry_after, detail.as_str()),
                (503, Some(Duration::ZERO), "full")
            );
            assert_eq!(delay, Duration::from_millis(20));
        }
        item => panic!("{item:?}"),
    }
    match next(&mut source).await {
        Item::Closed(CloseReason::Failed(error @ Error::Status { .. })) => {
            assert!(!error.is_temporary());
            assert!(matches!(error, Error::Status { detail, .. } if detail == "no topic."));
        }
        item => panic!("{item:?}"),
    }
}

#[tokio::test]
async fn a_redirect_is_followed_and_its_stream_named() {
    let target = Server::start(vec![answer(format!("{STREAM}data: there\n\n"), Then::Hold)]).await;
    let moved = format!(
        "HTTP/1.1 307 Moved\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        target.url
    );
    let first = Server::start(vec![answer(moved, Then::Hold)]).await;
    let mut source = first.source().build().unwrap();
    match next(&mut source).await {
        Item::Open(opened) => assert_eq!(opened.url.as_str(), target.url),
        item => panic!("{item:?}"),
    }
    assert_eq!(data(&mut source).await, "there");
}

#[tokio::test]
async fn silence_and_restart_make_a_new_connection() {
    let mut server = Server::start(vec![
        answer(format!("{STREAM}id: 1\ndata: a\n\n"), Then::Hold),
        answer(format!("{STREAM}data: b\n\n"), Then::Hold),
        answer(format!("{STREAM}data: c\n\n"), Then::Hold),
    ])
    .await;
    let silence = Duration::from_millis(80);
    let mut source = server.source().silence_max(silence).build().unwrap();
    opened(&mut source).await;
    assert_eq!(data(&mut source).await, "a");
    assert!(
        matches!(next(&mut source).await, Item::Reconnecting { error: Error::Silent(s), .. } if s == silence)
    );
    let dropped = timeout(Duration::from_secs(5), server.dropped.recv()).await;
    dropped
        .expect("the silent one was dropped, not kept until the next")
        .unwrap();
    opened(&mut source).await;
    assert_eq!(data(&mut source).await, "b");
    source.restart();
    timeout(Duration::from_secs(5), server.dropped.recv())
        .await
        .expect("the restarted one was dropped")
        .unwrap();
    opened(&mut source).await;
    assert_eq!(data(&mut source).await, "c");
}

#[tokio::test]
async fn an_unreachable_server_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let mut source = EventSource::builder(&url)
        .retry(Duration::ZERO)
        .failures_max(3)
        .build()
        .unwrap();
    for _ in 0..2 {
        assert!(matches!(
            next(&mut source).await,
            Item::Reconnecting {
                error: Error::Connect(_),
                ..
            }
        ));
    }
    assert!(matches!(
        next(&mut source).await,
        Item::Closed(CloseReason::Failed(Error::Connect(_)))
    ));
}

#[tokio::test]
async fn what_cannot_work_is_said_at_once() {
    let build = |url: &str| EventSource::builder(url).build().map(|_| ()).unwrap_err();
    #[cfg(not(feature = "tls"))]
    assert_eq!(build("https://a/"), BuildError::TlsUnsupported);
    assert!(matches!(build("nonsense"), BuildError::Url(_)));
    let id = EventSource::builder("http://a/")
        .last_event_id("a\nb")
        .build()
        .map(|_| ());
    assert_eq!(id, Err(BuildError::LastEventId));
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn a_redirect_to_https_ends_a_build_without_tls() {
    let moved = "HTTP/1.1 308 Moved\r\nLocation: https://a/\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(vec![answer(moved, Then::Hold)]).await;
    let mut source = server.source().build().unwrap();
    assert_eq!(
        next(&mut source).await,
        Item::Closed(CloseReason::Failed(Error::TlsUnsupported))
    );
}

#[tokio::test]
async fn a_date_in_retry_after_is_measured_also_where_the_answer_has_none() {
    let long_ago = "HTTP/1.1 503 Busy\r\nRetry-After: Sat, 21 Nov 2020 09:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
    let far_ahead = long_ago.replace("Sat, 21 Nov 2020", "Thu, 21 Nov 2999");
    let server = Server::start(vec![
        answer(long_ago, Then::Hold),
        answer(far_ahead, Then::Hold),
    ])
    .await;
    let mut source = server.source().build().unwrap();
    for far in [false, true] {
        match next(&mut source).await {
            Item::Reconnecting {
                error:
                    Error::Busy {
                        retry_after: Some(after),
                        ..
                    },
                delay,
            } => {
                assert_eq!(after.is_zero(), !far, "{after:?}");
                assert_eq!(delay >= Duration::from_secs(3600), far, "{delay:?}");
            }
            item => panic!("{item:?}"),
        }
    }
}
