//! HTTP/2 with prior knowledge, on the same port.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;

use crate::server::{PATIENCE, Server, start};

async fn connect(server: &Server) -> SendRequest<Bytes> {
    let socket = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(async move {
        // It ends with the hub.
        let _ = connection.await;
    });
    client.ready().await.unwrap()
}

fn request(method: &str, server: &Server, target: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(format!("http://{}{target}", server.address))
        .body(())
        .unwrap()
}

/// Reads until the text ends so.
async fn read_until(body: &mut h2::RecvStream, last: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(last) {
        let data = tokio::time::timeout(PATIENCE, body.data()).await;
        let data = data.unwrap_or_else(|_| panic!("silence after {text:?}"));
        let Some(data) = data else {
            panic!("ended before {last:?}: {text:?}");
        };
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text += std::str::from_utf8(&data).unwrap();
    }
    text
}

async fn read_to_end(body: &mut h2::RecvStream) -> String {
    let mut text = String::new();
    while let Some(data) = tokio::time::timeout(PATIENCE, body.data()).await.unwrap() {
        text += std::str::from_utf8(&data.unwrap()).unwrap();
    }
    text
}

#[test]
fn streams_share_a_connection_with_publishes() {
    let mut server = start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = connect(&server).await;
        let mut bodies = Vec::new();
        for topic in ["a", "b", "a"] {
            let target = format!("/topics/{topic}?checkpoint=off");
            let (answer, _) = client
                .send_request(request("GET", &server, &target), true)
                .unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            assert!(!answer.headers().contains_key("connection"));
            let mut body = answer.into_body();
            assert_eq!(read_until(&mut body, "\n\n").await, ":\n\n");
            bodies.push(body);
        }
        let (answer, mut body) = client
            .send_request(request("POST", &server, "/topics/a"), false)
            .unwrap();
        body.send_data(Bytes::from_static(b"live"), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(read_to_end(&mut answer.into_body()).await, "#5-1");
        for at in [0, 2] {
            let text = read_until(&mut bodies[at], "data: live\n\n").await;
            assert_eq!(text, "id: #5-1\ndata: live\n\n");
        }
        assert_eq!(server.front.subscribers(), 3);
        drop(bodies.pop());
        let gone = async {
            while server.front.subscribers() > 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone)
            .await
            .expect("a reset stream leaves");
        server.begin_shutdown();
        for body in &mut bodies {
            let rest = read_to_end(body).await;
            assert!(rest.is_empty() || rest.ends_with("\n\n"), "{rest:?}");
        }
    });
    server.wait_for_end();
    assert_eq!(server.front.subscribers(), 0);
}

#[test]
fn the_keyless_rules_hold_here_too() {
    let server = start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = connect(&server).await;
        let rebound = Request::builder()
            .uri("http://evil.example/healthz")
            .body(())
            .unwrap();
        let (answer, _) = client.send_request(rebound, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 403);
        let (answer, _) = client
            .send_request(request("GET", &server, "/healthz"), true)
            .unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    });
}
