//! HTTP/2: how it is chosen, what is asked, how streams end, and what is refused of an answer in either version.

use std::future::Future;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use tidewire_client::connect::{Http, TlsFailure};
use tidewire_client::{Builder, Error, Item};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::server::{
    Authority, CHUNKED, Heard, STREAM, Tls, agreed, data, failure, head, next, source, start,
    start_tls, until_gone,
};

/// Drives a connection: each request is given to `handle`, and the connection lives until its client has gone.
async fn serve<T, R>(
    connection: &mut Connection<T, Bytes>,
    handle: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> R,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    R: Future<Output = ()> + Send + 'static,
{
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(handle(request, respond));
    }
}

/// Answers with an open event stream.
fn open(mut respond: SendResponse<Bytes>) -> SendStream<Bytes> {
    let response = Response::builder().header("content-type", "text/event-stream");
    respond
        .send_response(response.body(()).unwrap(), false)
        .unwrap()
}

/// What was asked, in lines.
fn told<B>(request: &Request<B>) -> String {
    let mut told = format!(
        "{} {} {:?}",
        request.method(),
        request.uri(),
        request.version()
    );
    for (name, value) in request.headers() {
        told += &format!("\n{name}: {}", value.to_str().unwrap());
    }
    told
}

fn event(data: &str) -> Bytes {
    Bytes::from(format!("id: {data}\ndata: {data}\n\n"))
}

/// A server of HTTP/2 over TLS that tells what it was asked, sends an event and holds the stream.
async fn start_http2(authority: &Authority, heard: &Heard) -> u16 {
    let acceptor = Tls::new(authority.here(), &["h2", "http/1.1"]).acceptor();
    let tell = heard.tell.clone();
    start(move |_, socket| {
        let (acceptor, tell) = (acceptor.clone(), tell.clone());
        async move {
            let stream = acceptor.accept(socket).await.unwrap();
            let _ = tell.send(agreed(&stream));
            let mut connection = h2::server::handshake(stream).await.unwrap();
            serve(&mut connection, |request, respond| {
                hold(request, respond, tell.clone())
            })
            .await;
            let _ = tell.send("gone".to_owned());
        }
    })
    .await
}

async fn hold(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    tell: mpsc::UnboundedSender<String>,
) {
    let (head, mut body) = request.into_parts();
    let mut sent = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        sent.extend_from_slice(&data);
        let _ = body.flow_control().release_capacity(data.len());
    }
    let body = String::from_utf8(sent).unwrap();
    let _ = tell.send(told(&Request::from_parts(head, ())) + "\n\n" + &body);
    let mut stream = open(respond);
    stream.send_data(event("1"), false).unwrap();
    let _ = std::future::poll_fn(|context| stream.poll_reset(context)).await;
}

#[tokio::test]
async fn it_is_spoken_where_the_server_chooses_it() {
    let us = Authority::new("us");
    let mut heard = Heard::new();
    let port = start_http2(&us, &heard).await;
    let url = format!("https://localhost:{port}/s?x=1#f");
    for http in [Http::Negotiated, Http::Http2] {
        let builder = source(&url).trust(us.pem()).http(http).bearer_token("t");
        let mut source = builder.header("connection", "close").build().unwrap();
        assert_eq!(data(&mut source).await, "1");
        assert_eq!(heard.next().await, "h2 0");
        let asked = heard.next().await;
        let first = format!("GET https://localhost:{port}/s?x=1 HTTP/2.0\n");
        assert!(asked.starts_with(&first), "{asked}");
        for line in [
            "authorization: Bearer t",
            "accept: text/event-stream",
            "accept-encoding: identity",
        ] {
            assert!(asked.contains(&format!("\n{line}\n")), "{line}: {asked}");
        }
        for name in ["host", "connection", "content-length"] {
            assert!(!asked.contains(&format!("\n{name}:")), "{name}: {asked}");
        }
        assert!(heard.is_empty(), "held so far");
        drop(source);
        assert_eq!(heard.next().await, "gone");
    }
    // The program's to forbid; and whatever host it names is asked for.
    let heard1 = Heard::new();
    let only1 = start_tls(
        Tls::new(us.here(), &["h2", "http/1.1"]),
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n",
        &heard1,
    )
    .await;
    let url1 = format!("https://localhost:{only1}/");
    let builder = source(&url1).trust(us.pem()).http(Http::Http1);
    assert_eq!(data(&mut builder.build().unwrap()).await, "one");
    let builder = source(&url).trust(us.pem()).header("host", "other.example");
    let mut named = builder.build().unwrap();
    assert_eq!(data(&mut named).await, "1");
    heard.next().await;
    let asked = heard.next().await;
    assert!(
        asked.starts_with("GET https://other.example/s?x=1 "),
        "{asked}"
    );
}

#[tokio::test]
async fn bodies_are_sent() {
    let us = Authority::new("us");
    let mut heard = Heard::new();
    let port = start_http2(&us, &heard).await;
    let url = format!("https://localhost:{port}/");
    // More than a window of 64 KiB, which the server has to open again.
    for body in [String::new(), "x".to_owned(), "y".repeat(200_000)] {
        let builder = source(&url).trust(us.pem()).method(Method::POST);
        let mut source = builder.body(body.clone()).build().unwrap();
        assert_eq!(data(&mut source).await, "1");
        heard.next().await;
        let asked = heard.next().await;
        assert!(asked.starts_with("POST "), "{asked}");
        let length = format!("\ncontent-length: {}\n", body.len());
        assert!(asked.contains(&length), "{length}");
        assert!(asked.ends_with(&format!("\n\n{body}")));
        drop(source);
        heard.next().await;
    }
}

#[tokio::test]
async fn who_has_it_alone_is_told() {
    let us = Authority::new("us");
    // One refuses the handshake with an alert, the other does without ALPN.
    for protocols in [&["http/1.1"][..], &[]] {
        let heard = Heard::new();
        let port = start_tls(Tls::new(us.here(), protocols), STREAM, &heard).await;
        let builder = source(&format!("https://localhost:{port}/")).trust(us.pem());
        let mut source = builder.http(Http::Http2).build().unwrap();
        let want = (Error::Tls(TlsFailure::NoHttp2), false);
        assert_eq!(failure(&mut source).await, want);
        assert!(heard.is_empty());
    }
    // And without TLS by prior knowledge alone.
    let mut heard = Heard::new();
    let tell = heard.tell.clone();
    let port = start(move |_, socket| {
        let tell = tell.clone();
        async move {
            let mut connection = h2::server::handshake(socket).await.unwrap();
            serve(&mut connection, |request, respond| {
                hold(request, respond, tell.clone())
            })
            .await;
            let _ = tell.send("gone".to_owned());
        }
    })
    .await;
    let url = format!("http://localhost:{port}/s");
    let mut source = source(&url).http(Http::Http2).build().unwrap();
    assert_eq!(data(&mut source).await, "1");
    assert!(
        heard
            .next()
            .await
            .starts_with(&format!("GET {url} HTTP/2.0\n"))
    );
    drop(source);
    assert_eq!(heard.next().await, "gone");
}

/// How a stream of the server below ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Ends,
    Resets(Reason),
    Refuses,
    GoesAway,
    Closes,
}

#[tokio::test]
async fn however_a_stream_ends_the_next_goes_on() {
    let endings = [
        Ending::Ends,
        Ending::Resets(Reason::INTERNAL_ERROR),
        Ending::Resets(Reason::NO_ERROR),
        Ending::Refuses,
        Ending::GoesAway,
        Ending::Closes,
    ];
    let mut heard = Heard::new();
    let tell = heard.tell.clone();
    let taken = Arc::new(Semaphore::new(0));
    let is_taken = Arc::clone(&taken);
    let port = start(move |before, socket| {
        let (tell, taken) = (tell.clone(), Arc::clone(&is_taken));
        async move {
            let mut connection = h2::server::handshake(socket).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            let _ = tell.send(told(&request));
            let ending = endings.get(before).copied();
            if matches!(ending, Some(Ending::Refuses)) {
                respond.send_reset(Reason::REFUSED_STREAM);
                let _ = std::future::poll_fn(|context| connection.poll_closed(context)).await;
                return;
            }
            let mut stream = open(respond);
            stream.send_data(event(&before.to_string()), false).unwrap();
            stream.send_data(Bytes::from("data: cut"), false).unwrap();
            // A reset would take back what is not sent yet.
            tokio::select! {
                _ = connection.accept() => {}
                permit = taken.acquire() => permit.unwrap().forget(),
            }
            match ending {
                Some(Ending::Ends) => stream.send_data(Bytes::new(), true).unwrap(),
                Some(Ending::Resets(reason)) => stream.send_reset(reason),
                Some(Ending::GoesAway) => connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
                Some(Ending::Closes) => return,
                Some(Ending::Refuses) | None => {}
            }
            let _ = std::future::poll_fn(|context| connection.poll_closed(context)).await;
        }
    })
    .await;
    let url = format!("http://localhost:{port}/");
    let mut source = source(&url).http(Http::Http2).build().unwrap();
    let mut last = None;
    for (at, ending) in endings.into_iter().enumerate() {
        let refused = matches!(ending, Ending::Refuses);
        if !refused {
            assert_eq!(data(&mut source).await, at.to_string());
            taken.add_permits(1);
        }
        let (error, again) = failure(&mut source).await;
        assert!(again, "{ending:?}: {error:?}");
        let is_end = matches!(ending, Ending::Ends);
        assert_eq!(error == Error::Ended, is_end, "{ending:?}: {error:?}");
        assert!(
            is_end || matches!(error, Error::Cut(_)),
            "{ending:?}: {error:?}"
        );
        let asked = heard.next().await;
        let id = last.map(|last: usize| format!("\nlast-event-id: {last}"));
        assert_eq!(asked.contains("last-event-id"), id.is_some(), "{asked}");
        assert!(
            asked.contains(&id.unwrap_or_default()),
            "{ending:?}: {asked}"
        );
        last = if refused { last } else { Some(at) };
    }
    assert_eq!(data(&mut source).await, endings.len().to_string());
}

#[tokio::test]
async fn more_than_a_window_comes_through() {
    const EVENTS: usize = 12;
    const BYTES: usize = 500_000;
    let port = start(|_, socket| async move {
        let mut connection = h2::server::handshake(socket).await.unwrap();
        serve(&mut connection, |_, respond| async move {
            let mut stream = open(respond);
            for at in 0..EVENTS {
                let data = format!("data: {at}{}\n\n", "x".repeat(BYTES));
                stream.send_data(data.into(), false).unwrap();
            }
            let _ = std::future::poll_fn(|context| stream.poll_reset(context)).await;
        })
        .await;
    })
    .await;
    let builder = source(&format!("http://localhost:{port}/")).http(Http::Http2);
    let mut source = builder.build().unwrap();
    for at in 0..EVENTS {
        let data = data(&mut source).await;
        assert!(data.starts_with(&format!("{at}x")));
        assert_eq!(data.len(), at.to_string().len() + BYTES);
    }
}

/// In either version.
fn both(port1: u16, port2: u16) -> [Builder; 2] {
    let url = |port: u16| format!("http://localhost:{port}/");
    [source(&url(port1)), source(&url(port2)).http(Http::Http2)]
}

#[tokio::test]
async fn interim_answers_are_passed_over_and_not_without_end() {
    for (interim, is_taken) in [
        (0, true),
        (3, true),
        (32, true),
        (33, false),
        (usize::MAX, false),
    ] {
        let port1 = start(move |_, mut socket| async move {
            let _ = head(&mut socket).await;
            for _ in 0..interim {
                if socket
                    .write_all(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n")
                    .await
                    .is_err()
                {
                    return;
                }
            }
            let _ = socket
                .write_all(format!("{STREAM}data: 1\n\n").as_bytes())
                .await;
            until_gone(&mut socket).await;
        })
        .await;
        // h2 keeps interim heads until they are taken: fewer are enough.
        let interim = interim.min(200);
        let port2 = start(move |_, socket| async move {
            let mut connection = h2::server::handshake(socket).await.unwrap();
            serve(&mut connection, move |_, mut respond| async move {
                for _ in 0..interim {
                    let hint = Response::builder().status(103).body(()).unwrap();
                    if respond.send_informational(hint).is_err() {
                        return;
                    }
                }
                let mut stream = open(respond);
                let _ = stream.send_data(event("1"), false);
                let _ = std::future::poll_fn(|context| stream.poll_reset(context)).await;
            })
            .await;
        })
        .await;
        for (version, builder) in both(port1, port2).into_iter().enumerate() {
            let mut source = builder.build().unwrap();
            if is_taken {
                assert_eq!(data(&mut source).await, "1", "{version} {interim}");
            } else {
                let (error, again) = failure(&mut source).await;
                assert!(again);
                let is_told = matches!(&error, Error::Cut(why) if why.contains("interim"));
                assert!(is_told, "{version} {interim} {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_head_has_a_size() {
    // hyper has a buffer of at least 8 KiB.
    for (bytes, is_taken) in [(4_000, true), (6_000, false), (30_000, false)] {
        let port1 = start(move |_, mut socket| async move {
            let _ = head(&mut socket).await;
            let large = format!(
                "{}X: {}\r\n\r\ndata: 1\n\n",
                &STREAM[..STREAM.len() - 2],
                "x".repeat(bytes)
            );
            let _ = socket.write_all(large.as_bytes()).await;
            until_gone(&mut socket).await;
        })
        .await;
        let port2 = start(move |_, socket| async move {
            let mut connection = h2::server::handshake(socket).await.unwrap();
            serve(&mut connection, move |_, mut respond| async move {
                let response = Response::builder()
                    .header("content-type", "text/event-stream")
                    .header("x", "x".repeat(bytes));
                let mut stream = respond
                    .send_response(response.body(()).unwrap(), false)
                    .unwrap();
                let _ = stream.send_data(event("1"), false);
                let _ = std::future::poll_fn(|context| stream.poll_reset(context)).await;
            })
            .await;
        })
        .await;
        for (version, builder) in both(port1, port2).into_iter().enumerate() {
            let builder = builder.options(|options| options.connect.head_bytes_max = 5_000);
            let mut source = builder.build().unwrap();
            if is_taken {
                assert_eq!(data(&mut source).await, "1", "{version}");
            } else {
                let (error, again) = failure(&mut source).await;
                assert!(
                    matches!(error, Error::Cut(_)) && again,
                    "{version} {error:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn large_chunks_come_whatever_the_size_of_a_head() {
    let port = start(|_, mut socket| async move {
        let _ = head(&mut socket).await;
        let event = format!("data: {}\n\n", "x".repeat(100_000));
        let chunk = format!("{CHUNKED}{:x}\r\n{event}\r\n", event.len());
        let _ = socket.write_all(chunk.as_bytes()).await;
        until_gone(&mut socket).await;
    })
    .await;
    let builder = source(&format!("http://localhost:{port}/"));
    let builder = builder.options(|options| options.connect.head_bytes_max = 300);
    let mut source = builder.build().unwrap();
    let item = next(&mut source).await;
    assert!(matches!(item, Item::Open(_)), "{item:?}");
    assert_eq!(data(&mut source).await.len(), 100_000);
}

/// h2 takes many small frames that wait for an attack; here it is only their reader that was busy.
#[tokio::test]
async fn a_reader_that_looks_away_loses_no_small_events() {
    const EVENTS: u32 = 20_000;
    let (sent, all_sent) = oneshot::channel();
    let sent = Arc::new(Mutex::new(Some(sent)));
    let port = start(move |_, socket| {
        let sent = Arc::clone(&sent);
        async move {
            let mut connection = h2::server::handshake(socket).await.unwrap();
            serve(&mut connection, move |_, respond| {
                let sent = sent.lock().unwrap().take();
                burst(open(respond), EVENTS, sent)
            })
            .await;
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{port}/");
    let mut source = source(&url).http(Http::Http2).build().unwrap();
    assert_eq!(data(&mut source).await, "0");
    all_sent.await.unwrap();
    for n in 1..EVENTS {
        assert_eq!(data(&mut source).await, n.to_string());
    }
}

/// Sends events, each in a frame of its own, as far as the reader's window goes at once.
async fn burst(mut stream: SendStream<Bytes>, events: u32, sent: Option<oneshot::Sender<()>>) {
    for n in 0..events {
        stream.send_data(event(&n.to_string()), false).unwrap();
    }
    // Only the first connection is counted on: a second one would mean that the first broke.
    let _ = sent.expect("one connection").send(());
    let _ = std::future::poll_fn(|context| stream.poll_reset(context)).await;
}
