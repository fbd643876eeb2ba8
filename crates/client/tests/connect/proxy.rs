//! Proxies: what they are asked, what they are told of, and what is said of those that refuse.

use std::time::Duration;

use tidewire_client::connect::{Http, Proxy, ProxyFailure, TlsFailure};
use tidewire_client::{BuildError, Error, EventSource};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::server::{
    Authority, Heard, Tls, answer, data, failure, head, source, start, start_tls, until_gone,
};

const EVENT: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1\ndata: secret\n\n";

/// Connects whoever asks, by CONNECT or a whole URL, with this port of this machine, whatever name was asked for; tells the heads
/// that it was given.
async fn relay(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    port: u16,
    tell: mpsc::UnboundedSender<String>,
) {
    let Ok(head) = head(&mut client).await else {
        return;
    };
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let is_tunnel = head.starts_with("connect ");
    let _ = tell.send(head.clone());
    if is_tunnel {
        let opened = "HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n";
        client.write_all(opened.as_bytes()).await.unwrap();
    } else {
        server.write_all(head.as_bytes()).await.unwrap();
    }
    let _ = copy_bidirectional(&mut client, &mut server).await;
    let _ = tell.send("gone".to_owned());
}

async fn start_relay(port: u16, heard: &Heard) -> u16 {
    let tell = heard.tell.clone();
    start(move |_, socket| relay(socket, port, tell.clone())).await
}

async fn start_relay_tls(authority: &Authority, port: u16, heard: &Heard) -> u16 {
    let acceptor = Tls::new(authority.here(), &["http/1.1"]).acceptor();
    let tell = heard.tell.clone();
    start(move |_, socket| {
        let (acceptor, tell) = (acceptor.clone(), tell.clone());
        async move {
            if let Ok(stream) = acceptor.accept(socket).await {
                relay(stream, port, tell).await;
            }
        }
    })
    .await
}

/// A server without TLS that does this with each connection.
async fn start_plain(heard: &Heard) -> u16 {
    let tell = heard.tell.clone();
    start(move |_, socket| {
        let tell = tell.clone();
        async move { answer(socket, EVENT, &tell).await }
    })
    .await
}

#[tokio::test]
async fn a_plain_stream_is_asked_for_by_its_whole_url() {
    let us = Authority::new("us");
    let (mut asked, mut served) = (Heard::new(), Heard::new());
    let server = start_plain(&served).await;
    let plain = start_relay(server, &asked).await;
    let secure = start_relay_tls(&us, server, &asked).await;
    for proxy in [
        format!("http://user:p%40ss@localhost:{plain}"),
        format!("https://user:p%40ss@localhost:{secure}/"),
    ] {
        let url = format!("http://hub.example:{server}/s?x=1#f");
        let builder = source(&url).bearer_token("t").trust(us.pem());
        let mut source = builder.proxy(Proxy::all(&proxy).unwrap()).build().unwrap();
        assert_eq!(data(&mut source).await, "secret");
        let head = asked.next().await;
        let first = format!("get http://hub.example:{server}/s?x=1 http/1.1\r\n");
        assert!(head.starts_with(&first), "{head}");
        for line in [
            &format!("host: hub.example:{server}"),
            "proxy-authorization: basic dxnlcjpwqhnz",
            "authorization: bearer t",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
        }
        served.next().await;
        drop(source);
        assert_eq!(asked.next().await, "gone");
        assert_eq!(served.next().await, "gone");
    }
}

#[tokio::test]
async fn a_secure_stream_is_asked_for_through_a_tunnel() {
    let us = Authority::new("us");
    let (mut asked, mut served) = (Heard::new(), Heard::new());
    let issued = us.issue(&["hub.example"], |_| {});
    let server = start_tls(Tls::new(issued, &["http/1.1"]), EVENT, &served).await;
    let plain = start_relay(server, &asked).await;
    let secure = start_relay_tls(&us, server, &asked).await;
    for proxy in [
        format!("http://user:p%40ss@localhost:{plain}"),
        format!("https://user:p%40ss@localhost:{secure}"),
    ] {
        let builder = source("https://hub.example/s")
            .bearer_token("t")
            .trust(us.pem());
        let mut source = builder.proxy(Proxy::all(&proxy).unwrap()).build().unwrap();
        assert_eq!(data(&mut source).await, "secret");
        assert_eq!(
            asked.next().await,
            "connect hub.example:443 http/1.1\r\nhost: hub.example:443\r\n\
             proxy-authorization: basic dxnlcjpwqhnz\r\n\r\n",
            "the server's token is none of its business"
        );
        let head = served.next().await;
        assert!(head.starts_with("get /s http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nauthorization: bearer t\r\n"), "{head}");
        assert!(!head.contains("proxy-"), "{head}");
        drop(source);
        assert_eq!(asked.next().await, "gone");
        assert_eq!(served.next().await, "gone");
    }
}

#[tokio::test]
async fn http2_with_prior_knowledge_goes_through_a_tunnel() {
    let mut asked = Heard::new();
    let server = start(|_, socket| async move {
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let response = http::Response::builder().header("content-type", "text/event-stream");
        let mut stream = respond
            .send_response(response.body(()).unwrap(), false)
            .unwrap();
        stream.send_data("data: 2\n\n".into(), false).unwrap();
        while connection.accept().await.is_some() {}
    })
    .await;
    let proxy = start_relay(server, &asked).await;
    let builder = source(&format!("http://[::1]:{server}/")).http(Http::Http2);
    let proxy = Proxy::all(&format!("localhost:{proxy}")).unwrap();
    let mut source = builder.proxy(proxy).build().unwrap();
    assert_eq!(data(&mut source).await, "2");
    let first = format!("connect [::1]:{server} http/1.1\r\n");
    assert!(asked.next().await.starts_with(&first));
}

#[tokio::test]
async fn exceptions_are_asked_directly() {
    let (asked, mut served) = (Heard::new(), Heard::new());
    let server = start_plain(&served).await;
    let proxy = start_relay(server, &asked).await;
    let proxy = Proxy::all(&format!("http://localhost:{proxy}")).unwrap();
    let builder = source(&format!("http://127.0.0.1:{server}/s"));
    let mut source = builder.proxy(proxy.except("127.0.0.0/8")).build().unwrap();
    assert_eq!(data(&mut source).await, "secret");
    assert!(served.next().await.starts_with("get /s http/1.1\r\n"));
    assert!(asked.is_empty());
}

/// A proxy that says this and no more.
async fn start_saying(says: &'static str) -> u16 {
    start(move |_, mut socket| async move {
        let _ = head(&mut socket).await;
        let _ = socket.write_all(says.as_bytes()).await;
        let _ = socket.shutdown().await;
        until_gone(&mut socket).await;
    })
    .await
}

async fn through(proxy: &str) -> (Error, bool) {
    let builder = source("https://hub.example/").proxy(Proxy::all(proxy).unwrap());
    let mut source = builder.bearer_token("t").build().unwrap();
    let (error, again) = failure(&mut source).await;
    assert_eq!(error.is_temporary(), again);
    (error, again)
}

#[tokio::test]
async fn proxies_that_do_not_connect_say_why() {
    let refused = |status: u16| ProxyFailure::Refused(status.try_into().unwrap());
    let table = [
        (
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n",
            ProxyFailure::Unauthorized,
            false,
        ),
        ("HTTP/1.1 403 No\r\n\r\n", refused(403), false),
        ("HTTP/1.0 502 Bad gateway\r\n\r\n", refused(502), true),
        (
            "HTTP/1.1 504 Late\r\nContent-Length: 3\r\n\r\nabc",
            refused(504),
            true,
        ),
        ("HTTP/1.1 429 Busy\r\n\r\n", refused(429), true),
        ("SSH-2.0-x\r\n\r\n", ProxyFailure::NotHttp, false),
        ("HTTP/1.1 abc\r\n\r\n", ProxyFailure::NotHttp, false),
    ];
    for (says, want, is_temporary) in table {
        let port = start_saying(says).await;
        let got = through(&format!("http://user:secret@localhost:{port}")).await;
        assert_eq!(got, (Error::Proxy(want), is_temporary), "{says}");
    }
    // Without end.
    let port = start(|_, mut socket| async move {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while socket.write_all(b"X: y\r\n").await.is_ok() {}
    })
    .await;
    let got = through(&format!("localhost:{port}")).await;
    assert_eq!(got, (Error::Proxy(ProxyFailure::NotHttp), false));
    // Gone in the middle, and not there at all.
    for says in ["", "HTTP/1.1 200 OK\r\n"] {
        let port = start_saying(says).await;
        let (error, again) = through(&format!("localhost:{port}")).await;
        assert!(
            matches!(&error, Error::Connect(why) if why.contains("proxy")),
            "{error:?}"
        );
        assert!(again);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (error, again) = through(&format!("http://user:s3cret@127.0.0.1:{port}")).await;
    let text = format!("{error:?} {error}");
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
    assert!(!text.contains("s3cret") && again, "{text}");
}

#[tokio::test]
async fn a_proxy_is_trusted_as_a_server_is() {
    let (us, others) = (Authority::new("us"), Authority::new("others"));
    let asked = Heard::new();
    let proxy = start_relay_tls(&others, 1, &asked).await;
    let builder = source("http://hub.example/").trust(us.pem());
    let proxy = Proxy::all(&format!("https://localhost:{proxy}")).unwrap();
    let mut source = builder.proxy(proxy).build().unwrap();
    let want = Error::Proxy(ProxyFailure::Tls(TlsFailure::UnknownIssuer));
    assert_eq!(failure(&mut source).await, (want, false));
    assert!(asked.is_empty());
}

#[tokio::test]
async fn a_proxy_that_says_nothing_counts_as_connecting() {
    let mut heard = Heard::new();
    let tell = heard.tell.clone();
    let port = start(move |_, mut socket| {
        let tell = tell.clone();
        async move {
            until_gone(&mut socket).await;
            let _ = tell.send("gone".to_owned());
        }
    })
    .await;
    let max = Duration::from_millis(150);
    let builder = source("https://hub.example/").connect_max(max);
    let proxy = Proxy::all(&format!("localhost:{port}")).unwrap();
    let mut source = builder.proxy(proxy).build().unwrap();
    assert_eq!(
        failure(&mut source).await,
        (Error::ConnectTimeout(max), true)
    );
    assert_eq!(heard.next().await, "gone");
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_told_where_it_would_be() {
    let rules = Proxy::from_variables(|name| {
        (name == "https_proxy").then(|| "socks5://user:s3cret@localhost:1".to_owned())
    });
    let to = |url: &str| EventSource::builder(url).proxy(rules.clone()).build();
    let error = to("https://hub.example/").map(|_| ()).unwrap_err();
    assert!(
        matches!(error, BuildError::Proxy(ProxyFailure::Unusable(_))),
        "{error:?}"
    );
    assert!(!format!("{error:?} {error}").contains("s3cret"));
    // A redirect leads there as well.
    let heard = Heard::new();
    let tell = heard.tell.clone();
    let port = start(move |_, socket| {
        let tell = tell.clone();
        async move {
            let moved =
                "HTTP/1.1 307 M\r\nLocation: https://hub.example/\r\nContent-Length: 0\r\n\r\n";
            answer(socket, moved, &tell).await;
        }
    })
    .await;
    let mut source = to(&format!("http://localhost:{port}/")).unwrap();
    let (error, again) = failure(&mut source).await;
    assert!(
        matches!(error, Error::Proxy(ProxyFailure::Unusable(_))),
        "{error:?}"
    );
    assert!(!again);
}
