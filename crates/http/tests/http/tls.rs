//! The hub behind its own TLS: handshakes, the streams of HTTP/1.1 in tasks of their own, and HTTP/2 by ALPN.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use tidewire_http::{Settings, Tls};

use crate::certificates::{EC_CERTIFICATE, EC_KEY, NOW_MS};
use crate::server::{Client, PATIENCE, Server, header, masked, start_with, until};

pub(crate) type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

pub(crate) fn start_tls(change: impl FnOnce(&mut Settings)) -> Server {
    let tls = Tls::from_pem(EC_CERTIFICATE.as_bytes(), EC_KEY.as_bytes(), NOW_MS);
    start_with(|settings| {
        settings.tls = Some(tls.unwrap());
        change(settings);
    })
}

/// A client's side that trusts the hub's certificate and offers these protocols.
fn client_config(protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(EC_CERTIFICATE.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().into())
        .collect();
    Arc::new(config)
}

fn connect_with(server: &Server, config: &Arc<ClientConfig>) -> TlsClient {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    Client::new(StreamOwned::new(connection, server.socket()))
}

pub(crate) fn connect(server: &Server) -> TlsClient {
    connect_with(server, &client_config(&["http/1.1"]))
}

/// A subscribe whose opening has come.
fn subscribe(server: &Server, target: &str) -> TlsClient {
    let mut client = connect(server);
    client.send(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.chunks_until("\"}\n\n");
    client
}

#[test]
fn a_stream_follows_answers_on_its_connection_and_resumes() {
    let server = start_tls(|_| {});
    server.publish("a", "e1");
    let mut client = connect(&server);
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let health = client.answer();
    assert_eq!(health.status, 200);
    // The operator's to say, for a whole host name and for long; and of a self-signed certificate a browser ignores it.
    assert_eq!(health.header("strict-transport-security"), None);
    client.send("POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\ne2");
    assert_eq!(client.answer().status, 200);
    client.send("GET /topics/a?since=earliest HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head();
    assert_eq!(header(&head, "content-type"), Some("text/event-stream"));
    let body = client.chunks_until("data: e2\n\n");
    assert_eq!(
        masked(&body, "\"stream\":\"", "\""),
        ":\nevent: tidewire.open\nid: #5-0\ndata: {\"stream\":\"...\"}\n\nid: #5-1\ndata: e1\n\nid: #5-2\ndata: e2\n\n"
    );
    assert_eq!(server.front.counters().taken_over, 1);
    drop(client);
    server.publish("a", "e3");
    let mut client = connect(&server);
    client.send("GET /topics/a HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: #5-2\r\n\r\n");
    client.head();
    assert!(client.chunks_until("data: e3\n\n").contains("id: #5-3\n"));
    server.publish("a", "e4");
    client.chunks_until("id: #5-4\ndata: e4\n\n");
}

#[test]
fn plain_http_is_told_where_it_came_to() {
    let server = start_tls(|_| {});
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, "this port speaks https\n");
    assert_eq!(client.raw_to_end(), "");
    let counters = server.front.counters();
    assert_eq!((counters.plain_on_tls, counters.tls_handshakes), (1, 0));
}

#[test]
fn handshakes_that_fail_cost_a_connection_and_no_more() {
    let server = start_tls(|settings| {
        settings.limits.tls_handshake_time_max = Duration::from_millis(300);
    });
    let failed = || server.front.counters().tls_failed;
    // A record that is no hello, one that never goes on, silence, and a protocol that is not spoken here.
    for (at, bytes) in [&b"\x16\x03\x01\x00\x02xx"[..], b"\x16\x03\x01\x02\x00", b""]
        .into_iter()
        .enumerate()
    {
        let mut socket = server.socket();
        socket.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // Closed or reset.
        let _ = socket.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        until("the failure to be counted", || failed() == at as u64 + 1);
    }
    let mut other = connect_with(&server, &client_config(&["smtp"]));
    assert!(other.socket.write_all(b"x").is_err());
    until("the failure to be counted", || failed() == 4);
    drop(server.socket());
    until("the failure to be counted", || failed() == 5);
    let mut client = connect(&server);
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn sessions_are_resumed_by_ticket() {
    let server = start_tls(|_| {});
    let config = client_config(&["http/1.1"]);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let mut client = connect_with(&server, &config);
        client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        kinds.push(client.socket.conn.handshake_kind().unwrap());
    }
    assert_eq!(
        kinds,
        [
            HandshakeKind::Full,
            HandshakeKind::Resumed,
            HandshakeKind::Resumed
        ]
    );
}

#[test]
fn a_slow_reader_stands_still_and_misses_nothing() {
    const EVENTS: usize = 400;
    let server = start_tls(|_| {});
    let mut slow = subscribe(&server, "/topics/a");
    let mut quick = subscribe(&server, "/topics/a");
    let fill = "x".repeat(50_000);
    // More than the sockets between take: the slow one stands in the log meanwhile.
    for at in 0..EVENTS {
        server.publish("a", &format!("{at} {fill}"));
    }
    for client in [&mut quick, &mut slow] {
        let mut at = 0;
        while at < EVENTS {
            let chunk = client.chunk().unwrap();
            let data = chunk.split_once("data: ").unwrap().1;
            assert_eq!(data, format!("{at} {fill}\n\n"));
            at += 1;
        }
    }
    server.publish("a", "last");
    slow.chunks_until("data: last\n\n");
}

#[test]
fn one_that_never_reads_is_cut() {
    let server = start_tls(|settings| settings.streams.stall_deadline_ms = 500);
    let client = subscribe(&server, "/topics/a");
    for _ in 0..300 {
        server.publish("a", &"x".repeat(50_000));
    }
    assert_eq!(server.front.subscribers(), 1);
    until("the cut", || server.front.subscribers() == 0);
    drop(client);
}

#[test]
fn a_client_that_goes_is_noticed_at_once() {
    let server = start_tls(|_| {});
    let gone = || until("its leaving", || server.front.subscribers() == 0);
    // Killed: the system closes its socket, without a word of TLS.
    drop(subscribe(&server, "/topics/a"));
    gone();
    // Half closed: below TLS, and by TLS alone.
    let client = subscribe(&server, "/topics/a");
    client.socket.sock.shutdown(Shutdown::Write).unwrap();
    gone();
    let mut client = subscribe(&server, "/topics/a");
    client.socket.conn.send_close_notify();
    client.socket.flush().unwrap();
    gone();
    // Sends what is no TLS.
    let mut client = subscribe(&server, "/topics/a");
    client.socket.sock.write_all(b"hello").unwrap();
    gone();
}

#[test]
fn streams_end_in_order_when_the_hub_ends() {
    // Longer than anybody waits here: nothing is left to be waited for.
    let mut server = start_tls(|settings| settings.drain = 10 * PATIENCE);
    let mut stream = subscribe(&server, "/topics/a");
    let mut idle = connect(&server);
    idle.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    idle.answer();
    server.begin_shutdown();
    let rest = stream.chunks_to_end();
    assert!(
        rest.contains("event: tidewire.closing\ndata: {\"reason\":\"drain\"}\n\n"),
        "{rest}"
    );
    // The end is said in TLS: without it, a reader would get an error here.
    assert_eq!(stream.raw_to_end(), "");
    assert_eq!(idle.raw_to_end(), "");
    server.wait_for_end();
    assert_eq!(server.front.subscribers(), 0);
}

#[test]
fn a_drain_does_not_wait_for_one_that_does_not_read() {
    let mut server = start_tls(|settings| settings.drain = Duration::from_millis(500));
    let mut stream = subscribe(&server, "/topics/a");
    for _ in 0..300 {
        server.publish("a", &"x".repeat(50_000));
    }
    server.begin_shutdown();
    server.wait_for_end();
    // Its task is told to end, and does so a moment later.
    until("it is gone", || server.front.subscribers() == 0);
    // Cut: TLS has not said that this is the end.
    let mut rest = Vec::new();
    let error = stream.socket.read_to_end(&mut rest).unwrap_err();
    let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
    assert!(kinds.contains(&error.kind()), "{error}");
}

#[test]
fn a_page_of_the_same_host_without_tls_is_another_origin() {
    let server = start_tls(|settings| {
        settings.access.keyless = false;
    });
    for (origin, status) in [("https://hub.example", 200), ("http://hub.example", 403)] {
        let mut client = connect(&server);
        client.send(&format!(
            "POST /topics/a HTTP/1.1\r\nHost: hub.example\r\nOrigin: {origin}\r\nContent-Length: 1\r\n\r\nx"
        ));
        assert_eq!(client.answer().status, status, "{origin}");
    }
}

#[test]
fn http2_is_agreed_on_by_alpn() {
    let mut server = start_tls(|_| {});
    server.publish("a", "e1");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        let connector = tokio_rustls::TlsConnector::from(client_config(&["h2", "http/1.1"]));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let request = Request::builder()
            .uri("https://localhost/topics/a?since=earliest&checkpoint=off")
            .body(())
            .unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        let mut text = String::new();
        while !text.ends_with("data: e1\n\n") {
            let data = tokio::time::timeout(PATIENCE, body.data()).await.unwrap();
            let data = data.unwrap().unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            text += std::str::from_utf8(&data).unwrap();
        }
        server.begin_shutdown();
        while let Some(data) = tokio::time::timeout(PATIENCE, body.data()).await.unwrap() {
            text += std::str::from_utf8(&data.unwrap()).unwrap();
        }
        assert!(text.contains("closing"), "{text}");
    });
    server.wait_for_end();
}
