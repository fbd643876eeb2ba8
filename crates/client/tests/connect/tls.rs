//! TLS: who is trusted, what is said of who is not, who this client is, and how a connection ends.

use std::time::Duration;

use tidewire_client::connect::TlsFailure;
use tidewire_client::{BuildError, Builder, Error, EventSource};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::server::{
    Authority, CHUNKED, Heard, Issued, STREAM, Tls, agreed, answer, data, failure, head, source,
    start, start_tls, until_gone,
};

const EVENT: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1\ndata: secret\n\n";

#[tokio::test]
async fn a_stream_comes_through_tls_and_dropping_it_closes_the_connection() {
    let authority = Authority::new("us");
    for protocols in [&["http/1.1"][..], &[]] {
        let mut heard = Heard::new();
        let port = start_tls(Tls::new(authority.here(), protocols), EVENT, &heard).await;
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("https://{host}:{port}/s?x=1#f");
            let mut source = source(&url).trust(authority.pem()).bearer_token("t");
            source = source.header("x-a", "b");
            let mut source = source.build().unwrap();
            assert_eq!(data(&mut source).await, "secret");
            let head = heard.next().await;
            assert!(head.starts_with("get /s?x=1 http/1.1\r\n"), "{head}");
            for line in [
                &format!("host: {host}:{port}"),
                "accept: text/event-stream",
                "accept-encoding: identity",
                "authorization: bearer t",
                "x-a: b",
            ] {
                assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
            }
            assert!(heard.is_empty(), "held so far");
            drop(source);
            assert_eq!(heard.next().await, "gone");
        }
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_named() {
    let (us, others) = (Authority::new("us"), Authority::new("others"));
    let at = rcgen::date_time_ymd;
    let expired = us.issue(&["localhost"], |params| params.not_after = at(2021, 2, 1));
    let early = us.issue(&["localhost"], |params| params.not_before = at(4000, 1, 1));
    let elsewhere = us.issue(&["elsewhere.example", "127.0.0.2"], |_| {});
    let name = TlsFailure::Name("localhost".to_owned());
    let table = [
        (others.here(), TlsFailure::UnknownIssuer, false),
        (expired, TlsFailure::Expired, true),
        (early, TlsFailure::NotYetValid, true),
        (elsewhere, name, false),
    ];
    for (issued, want, is_temporary) in table {
        let mut heard = Heard::new();
        let port = start_tls(Tls::new(issued, &[]), EVENT, &heard).await;
        let build = |change: fn(Builder) -> Builder| {
            let builder = source(&format!("https://localhost:{port}/")).trust(us.pem());
            change(builder).bearer_token("t").build().unwrap()
        };
        let (error, again) = failure(&mut build(|builder| builder)).await;
        assert_eq!(error, Error::Tls(want.clone()));
        assert_eq!((again, error.is_temporary()), (is_temporary, is_temporary));
        assert!(heard.is_empty(), "{want}: nothing was sent to it");
        // Only who asks for it takes anybody.
        let mut any = build(Builder::danger_accept_any_certificate);
        assert_eq!(data(&mut any).await, "secret");
        assert!(heard.next().await.contains("authorization: bearer t"));
    }
}

#[tokio::test]
async fn trust_is_what_was_said() {
    let (us, others) = (Authority::new("us"), Authority::new("others"));
    let heard = Heard::new();
    let port = start_tls(Tls::new(us.here(), &[]), EVENT, &heard).await;
    let both = us.pem() + &others.pem();
    let table: [(Box<dyn Fn(Builder) -> Builder>, bool); 8] = [
        (Box::new(|builder| builder), false),
        (Box::new(|builder| builder.trust_system()), false),
        (Box::new(|builder| builder.trust(us.pem())), true),
        (Box::new(|builder| builder.trust(others.pem())), false),
        (
            Box::new(|builder| builder.trust(others.pem()).trust(us.pem())),
            true,
        ),
        (Box::new(|builder| builder.trust_only(us.pem())), true),
        (
            Box::new(|builder| builder.trust(us.pem()).trust_only(others.pem())),
            false,
        ),
        (Box::new(|builder| builder.trust_only(&both)), true),
    ];
    for (at, (change, is_trusted)) in table.into_iter().enumerate() {
        let builder = source(&format!("https://localhost:{port}/"));
        let mut source = change(builder).build().unwrap();
        if is_trusted {
            assert_eq!(data(&mut source).await, "secret", "{at}");
        } else {
            let want = (Error::Tls(TlsFailure::UnknownIssuer), false);
            assert_eq!(failure(&mut source).await, want, "{at}");
        }
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_its_own_authority() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    let issued = Issued {
        chain: chain.clone(),
        key: key.serialize_pem(),
    };
    let heard = Heard::new();
    let port = start_tls(Tls::new(issued, &[]), EVENT, &heard).await;
    let url = format!("https://localhost:{port}/");
    let (error, _) = failure(&mut source(&url).build().unwrap()).await;
    assert_eq!(error, Error::Tls(TlsFailure::UnknownIssuer));
    let mut source = source(&url).trust_only(chain).build().unwrap();
    assert_eq!(data(&mut source).await, "secret");
}

#[tokio::test]
async fn servers_are_told_who_this_client_is() {
    let (us, members, others) = (
        Authority::new("us"),
        Authority::new("members"),
        Authority::new("others"),
    );
    let (tls13, tls12) = (&rustls::version::TLS13, &rustls::version::TLS12);
    for (version, protocol) in [(tls13, "http/1.1"), (tls13, "h2"), (tls12, "http/1.1")] {
        let mut heard = Heard::new();
        let protocols = [protocol];
        let mut tls = Tls::new(us.here(), &protocols);
        tls.clients = Some(&members);
        let versions = [version];
        tls.versions = &versions;
        let acceptor = tls.acceptor();
        let tell = heard.tell.clone();
        let port = start(move |_, socket| {
            let (acceptor, tell) = (acceptor.clone(), tell.clone());
            async move {
                if let Ok(stream) = acceptor.accept(socket).await {
                    let _ = tell.send(agreed(&stream));
                    answer(stream, EVENT, &tell).await;
                }
            }
        })
        .await;
        let build = |own: Option<Issued>| {
            let builder = source(&format!("https://localhost:{port}/")).trust(us.pem());
            match own {
                Some(own) => builder.client_certificate(own.chain, own.key),
                None => builder,
            }
            .build()
            .unwrap()
        };
        let mut member = build(Some(members.issue(&["alice"], |_| {})));
        // What answers speaks HTTP/1.1 alone.
        if protocol == "h2" {
            let (error, again) = failure(&mut member).await;
            assert!(matches!(error, Error::Cut(_)) && again, "{error:?}");
        } else {
            assert_eq!(data(&mut member).await, "secret");
        }
        assert_eq!(heard.next().await, format!("{protocol} 1"));
        for own in [None, Some(others.issue(&["eve"], |_| {}))] {
            let is_without = own.is_none();
            let mut stranger = build(own);
            // The server's alert may be lost behind its reset: then the next connection meets it.
            let error = loop {
                match failure(&mut stranger).await {
                    (Error::Cut(_) | Error::Connect(_), true) => {}
                    (error, again) => break (error, again),
                }
            };
            match error {
                (Error::Tls(TlsFailure::ClientCertificate(_)), false) => {}
                // TLS 1.2 has no alert for a certificate that is missing: RFC 5246, 7.4.6 has handshake_failure.
                (Error::Tls(TlsFailure::Handshake(_)), true) if is_without => {}
                other => panic!("{version:?} {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn what_is_cut_is_not_taken_for_an_end() {
    let us = Authority::new("us");
    let event = format!("{STREAM}data: 1\n\n");
    let chunks = format!("{CHUNKED}9\r\ndata: 1\n\n\r\n");
    // The answer, whether TLS is ended in order, and whether that is the stream's end.
    let table = [
        (event.clone(), true, true),
        (event, false, false),
        (chunks.clone() + "0\r\n\r\n", true, true),
        (chunks.clone() + "0\r\n\r\n", false, true),
        (chunks.clone(), true, false),
        (chunks, false, false),
    ];
    for (bytes, in_order, is_end) in table {
        let acceptor = Tls::new(us.here(), &[]).acceptor();
        let sent = bytes.clone();
        let port = start(move |_, socket| {
            let (acceptor, bytes) = (acceptor.clone(), sent.clone());
            async move {
                let mut stream = acceptor.accept(socket).await.unwrap();
                head(&mut stream).await.unwrap();
                stream.write_all(bytes.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                if in_order {
                    stream.shutdown().await.unwrap();
                } else {
                    let (mut socket, _) = stream.into_inner();
                    socket.shutdown().await.unwrap();
                    until_gone(&mut socket).await;
                }
            }
        })
        .await;
        let builder = source(&format!("https://localhost:{port}/")).trust(us.pem());
        let mut source = builder.build().unwrap();
        assert_eq!(data(&mut source).await, "1");
        match (is_end, failure(&mut source).await) {
            (true, (Error::Ended, true)) | (false, (Error::Cut(_), true)) => {}
            (_, other) => panic!("{bytes:?} {in_order}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_an_end_counts_as_connecting() {
    let us = Authority::new("us");
    // Says nothing, and says one byte after the other.
    for is_slow in [false, true] {
        let mut heard = Heard::new();
        let tell = heard.tell.clone();
        let port = start(move |_, mut socket: TcpStream| {
            let tell = tell.clone();
            async move {
                let (mut reader, mut writer) = socket.split();
                let drip = async {
                    // A record of a handshake, of 16 KiB.
                    for byte in [22, 3, 3, 0x40, 0].into_iter().chain(std::iter::repeat(0)) {
                        if !is_slow {
                            std::future::pending::<()>().await;
                        }
                        if writer.write_u8(byte).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                tokio::select! {
                    () = drip => {}
                    () = until_gone(&mut reader) => {}
                }
                let _ = tell.send("gone".to_owned());
            }
        })
        .await;
        let max = Duration::from_millis(150);
        let builder = source(&format!("https://localhost:{port}/")).trust(us.pem());
        let mut source = builder.connect_max(max).build().unwrap();
        assert_eq!(
            failure(&mut source).await,
            (Error::ConnectTimeout(max), true)
        );
        assert_eq!(heard.next().await, "gone");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_said() {
    let us = Authority::new("us");
    let heard = Heard::new();
    let tell = heard.tell.clone();
    let plain = start(move |_, mut socket| {
        let tell = tell.clone();
        async move {
            let said = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            let _ = socket.write_all(said.as_bytes()).await;
            answer(socket, "", &tell).await;
        }
    })
    .await;
    let closes = start(|_, socket| async move { drop(socket) }).await;
    let to = |port: u16| {
        let builder = source(&format!("https://localhost:{port}/")).trust(us.pem());
        builder.build().unwrap()
    };
    let not_tls = (Error::Tls(TlsFailure::NotTls), false);
    assert_eq!(failure(&mut to(plain)).await, not_tls);
    let (error, again) = failure(&mut to(closes)).await;
    assert!(
        matches!(&error, Error::Connect(why) if why.contains("TLS")),
        "{error:?}"
    );
    assert!(again);
    // And plain HTTP to a server of TLS.
    let heard = Heard::new();
    let port = start_tls(Tls::new(us.here(), &[]), EVENT, &heard).await;
    let mut source = source(&format!("http://localhost:{port}/"))
        .build()
        .unwrap();
    assert!(matches!(failure(&mut source).await, (Error::Cut(_), true)));
}

#[tokio::test]
async fn redirects_lead_into_tls_and_out_of_it_without_the_token() {
    let us = Authority::new("us");
    let mut heard = Heard::new();
    let secure = start_tls(Tls::new(us.here(), &[]), EVENT, &heard).await;
    let tell = heard.tell.clone();
    let plain = start(move |_, socket| {
        let tell = tell.clone();
        async move { answer(socket, EVENT, &tell).await }
    })
    .await;
    let secure = format!("https://localhost:{secure}/end");
    let plain = format!("http://localhost:{plain}/end");
    for (from_tls, to) in [(false, secure), (true, plain)] {
        let acceptor = Tls::new(us.here(), &[]).acceptor();
        let location = to.clone();
        let port = start(move |_, socket| {
            let (acceptor, location) = (acceptor.clone(), location.clone());
            async move {
                let moved =
                    format!("HTTP/1.1 307 M\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
                let (tell, _told) = tokio::sync::mpsc::unbounded_channel();
                if from_tls {
                    answer(acceptor.accept(socket).await.unwrap(), &moved, &tell).await;
                } else {
                    answer(socket, &moved, &tell).await;
                }
            }
        })
        .await;
        let scheme = if from_tls { "https" } else { "http" };
        let builder = source(&format!("{scheme}://localhost:{port}/")).bearer_token("t");
        let mut source = builder.trust(us.pem()).build().unwrap();
        assert_eq!(data(&mut source).await, "secret");
        let head = heard.next().await;
        assert!(head.starts_with("get /end "), "{head}");
        assert!(!head.contains("authorization"), "{head}");
        drop(source);
        assert_eq!(heard.next().await, "gone");
    }
}

#[test]
fn what_cannot_be_used_is_said_before_anything_is_sent() {
    let us = Authority::new("us");
    let (one, two) = (us.here(), us.here());
    let build = |change: &dyn Fn(Builder) -> Builder| {
        let builder = EventSource::builder("https://localhost/");
        change(builder).build().map(|_| ()).unwrap_err()
    };
    let authorities: [&dyn Fn(Builder) -> Builder; 3] = [
        &|builder| builder.trust("hello"),
        &|builder| builder.trust("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        &|builder| builder.options(|options| options.connect.tls.mozilla_roots = false),
    ];
    for change in authorities {
        let error = build(change);
        assert!(matches!(error, BuildError::Authorities(_)), "{error:?}");
    }
    let certificates: [&dyn Fn(Builder) -> Builder; 3] = [
        &|builder| builder.client_certificate("", one.key.clone()),
        &|builder| builder.client_certificate(one.chain.clone(), "hello"),
        &|builder| builder.client_certificate(one.chain.clone(), two.key.clone()),
    ];
    for change in certificates {
        let error = build(change);
        assert!(
            matches!(error, BuildError::ClientCertificate(_)),
            "{error:?}"
        );
    }
    let shown = EventSource::builder("https://localhost/")
        .client_certificate(one.chain.clone(), one.key.clone())
        .build()
        .unwrap();
    let secret = one.key.lines().nth(1).unwrap();
    assert!(!format!("{shown:?}").contains(secret));
}

#[tokio::test]
async fn a_connection_made_again_resumes_the_session() {
    let us = Authority::new("us");
    let mut heard = Heard::new();
    let acceptor = Tls::new(us.here(), &[]).acceptor();
    let tell = heard.tell.clone();
    let port = start(move |_, socket| {
        let (acceptor, tell) = (acceptor.clone(), tell.clone());
        async move {
            let mut stream = acceptor.accept(socket).await.unwrap();
            let _ = tell.send(format!("{:?}", stream.get_ref().1.handshake_kind()));
            head(&mut stream).await.unwrap();
            stream.write_all(EVENT.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            until_gone(&mut stream).await;
        }
    })
    .await;
    let builder = source(&format!("https://localhost:{port}/")).trust(us.pem());
    let mut source = builder.build().unwrap();
    for kind in ["Some(Full)", "Some(Resumed)", "Some(Resumed)"] {
        assert_eq!(data(&mut source).await, "secret");
        assert_eq!(failure(&mut source).await, (Error::Ended, true));
        assert_eq!(heard.next().await, kind);
    }
}

/// What is spawned has to be sent.
#[test]
fn a_source_and_what_it_gives_can_be_sent() {
    fn is_send<T: Send>() {}
    is_send::<EventSource>();
    is_send::<tidewire_client::Dialer>();
    is_send::<tidewire_client::Sender>();
    is_send::<tidewire_client::Driver>();
    is_send::<tidewire_client::Answer>();
    is_send::<tidewire_client::Body>();
    fn takes_what_is_sent(_: impl Send) {}
    takes_what_is_sent(source("http://localhost/").build().unwrap().next());
}
