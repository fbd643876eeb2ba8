//! The contract-test service, driven as an outside suite would: over HTTP, with a stream server and a callback server.

#![cfg(feature = "tokio")]

#[path = "../examples/contract-test-service/service.rs"]
mod service;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// One request and its whole answer.
async fn ask(address: &str, method: &str, path: &str, body: &Value) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

fn status(answer: &str) -> u16 {
    answer[9..12].parse().unwrap()
}

fn location(answer: &str) -> &str {
    answer
        .lines()
        .find_map(|line| line.strip_prefix("location: "))
        .unwrap()
}

async fn read_request(socket: &mut TcpStream) -> (String, String) {
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
    (head, String::from_utf8(body).unwrap())
}

/// A server that answers each connection in turn with these bytes and, where told so, holds it.
async fn streams(
    answers: Vec<(String, bool)>,
) -> (String, mpsc::UnboundedReceiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (requests_to, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for (bytes, hold) in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            requests_to.send(read_request(&mut socket).await).unwrap();
            socket.write_all(bytes.as_bytes()).await.unwrap();
            if hold {
                tokio::spawn(async move { socket.read_to_end(&mut Vec::new()).await });
            }
        }
    });
    (address, requests)
}

/// A server that takes callbacks: their paths and bodies.
async fn callbacks() -> (String, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/cb", listener.local_addr().unwrap());
    let (reports_to, reports) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (head, body) = read_request(&mut socket).await;
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let _ = reports_to.send((path, serde_json::from_str(&body).unwrap()));
            let _ = socket
                .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    });
    (url, reports)
}

async fn recv<T>(from: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(Duration::from_secs(5), from.recv())
        .await
        .expect("in time")
        .expect("still there")
}

async fn start_service() -> (String, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, tokio::spawn(service::serve(listener)))
}

#[tokio::test]
async fn a_client_reports_what_it_sees_in_order() {
    let (service, served) = start_service().await;
    let (stream, mut requests) = streams(vec![
        (format!("{STREAM}: hi\nid: 1\nevent: t\ndata: a\n\n"), false),
        (format!("{STREAM}data: b\n\n"), true),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), false),
    ])
    .await;
    let (callback, mut reports) = callbacks().await;

    let about = ask(&service, "GET", "/", &Value::Null).await;
    assert!(
        about.starts_with("HTTP/1.1 200") && about.contains("\"read-timeout\""),
        "{about}"
    );
    let body = json!({
        "streamUrl": format!("http://{stream}/"), "callbackUrl": callback, "tag": "x", "initialDelayMs": 10,
        "readTimeoutMs": null, "headers": {"x-a": "b"}, "method": "REPORT", "body": "hello", "extended": true, "new": 1,
    });
    let started = ask(&service, "POST", "/", &body).await;
    assert_eq!(status(&started), 201);
    let client = location(&started).to_owned();
    assert_eq!(
        status(
            &ask(
                &service,
                "POST",
                &client,
                &json!({"command": "listen", "listen": {"type": "t"}})
            )
            .await
        ),
        202
    );
    assert_eq!(
        status(&ask(&service, "POST", &client, &json!({"command": "dance"})).await),
        400
    );
    assert_eq!(
        status(&ask(&service, "POST", &client, &json!({"command": "listen"})).await),
        400
    );

    let (head, body) = recv(&mut requests).await;
    assert!(
        head.starts_with("report / ") && head.contains("\r\nx-a: b\r\n"),
        "{head}"
    );
    assert_eq!(body, "hello");
    let expected = [
        json!({"kind": "open"}),
        json!({"kind": "comment", "comment": "hi"}),
        json!({"kind": "event", "event": {"type": "t", "data": "a", "id": "1"}}),
        json!({"kind": "error", "error": "the server ended the stream", "comment": ""}),
        json!({"kind": "open"}),
        json!({"kind": "event", "event": {"type": "message", "data": "b", "id": "1"}}),
    ];
    for (n, report) in expected.into_iter().enumerate() {
        assert_eq!(recv(&mut reports).await, (format!("/cb/{}", n + 1), report));
    }
    assert!(
        recv(&mut requests)
            .await
            .0
            .contains("\r\nlast-event-id: 1\r\n")
    );

    assert_eq!(
        status(&ask(&service, "POST", &client, &json!({"command": "restart"})).await),
        202
    );
    assert_eq!(
        recv(&mut reports).await,
        ("/cb/7".to_owned(), json!({"kind": "closed"})),
        "204, and no error of a restart"
    );
    assert_eq!(
        status(&ask(&service, "DELETE", &client, &Value::Null).await),
        204
    );
    assert_eq!(
        status(&ask(&service, "DELETE", &client, &Value::Null).await),
        404
    );
    assert_eq!(
        status(&ask(&service, "POST", &client, &json!({"command": "restart"})).await),
        404
    );

    assert_eq!(
        status(&ask(&service, "DELETE", "/", &Value::Null).await),
        204
    );
    timeout(Duration::from_secs(5), served)
        .await
        .expect("quits")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn eight_clients_at_once_and_bad_ones_refused() {
    let (service, _served) = start_service().await;
    let (stream, _requests) = streams(vec![(format!("{STREAM}data: a\n\n"), true); 8]).await;
    let mut callbacks_of = Vec::new();
    for _ in 0..8 {
        let (callback, reports) = callbacks().await;
        let body = json!({"streamUrl": format!("http://{stream}/"), "callbackUrl": callback});
        assert_eq!(status(&ask(&service, "POST", "/", &body).await), 201);
        callbacks_of.push(reports);
    }
    for reports in &mut callbacks_of {
        let (path, report) = recv(reports).await;
        assert_eq!(
            (path.as_str(), &report["event"]["data"]),
            ("/cb/1", &json!("a")),
            "no open unless extended"
        );
    }
    for body in [
        json!({}),
        json!({"streamUrl": "nonsense", "callbackUrl": "http://127.0.0.1:1/"}),
        json!([]),
    ] {
        assert_eq!(
            status(&ask(&service, "POST", "/", &body).await),
            400,
            "{body}"
        );
    }
    assert_eq!(
        status(&ask(&service, "GET", "/nowhere", &Value::Null).await),
        404
    );
}

#[tokio::test]
async fn a_final_failure_is_one_error() {
    let (service, _served) = start_service().await;
    let nowhere = "a redirect to \"\", which is no usable URL";
    for (head, error) in [
        ("301 Moved\r\n", "a redirect without a Location"),
        ("307 Moved\r\n", "a redirect without a Location"),
        ("301 Moved\r\nLocation:\r\n", nowhere),
        ("307 Moved\r\nLocation: \r\n", nowhere),
        (
            "500 No\r\n",
            "the server answered 500 Internal Server Error",
        ),
    ] {
        let answer = format!("HTTP/1.1 {head}Content-Length: 0\r\n\r\n");
        let (stream, _requests) = streams(vec![(answer, true)]).await;
        let (callback, mut reports) = callbacks().await;
        let body = json!({"streamUrl": format!("http://{stream}/"), "callbackUrl": callback});
        assert_eq!(status(&ask(&service, "POST", "/", &body).await), 201);
        assert_eq!(
            recv(&mut reports).await.1,
            json!({"kind": "error", "error": error, "comment": ""})
        );
        let more = timeout(Duration::from_millis(100), reports.recv()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

/// One client of a stream, and what it is told besides.
async fn started(
    service: &str,
    answers: Vec<(String, bool)>,
    more: &Value,
) -> (
    mpsc::UnboundedReceiver<(String, String)>,
    mpsc::UnboundedReceiver<(String, Value)>,
    String,
) {
    let (stream, requests) = streams(answers).await;
    let (callback, reports) = callbacks().await;
    let mut body = json!({
        "streamUrl": format!("http://{stream}/"), "callbackUrl": callback, "initialDelayMs": 0,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let started = ask(service, "POST", "/", &body).await;
    assert_eq!(status(&started), 201, "{started}");
    (requests, reports, location(&started).to_owned())
}

fn event(data: &str, id: &str) -> Value {
    json!({"kind": "event", "event": {"type": "message", "data": data, "id": id}})
}

#[tokio::test]
async fn silence_is_one_error_and_another_connection() {
    let (service, _served) = start_service().await;
    let answer = |data: &str| (format!("{STREAM}data: {data}\n\n"), true);
    let answers = vec![answer("a"), answer("b")];
    let (_requests, mut reports, _) =
        started(&service, answers, &json!({"readTimeoutMs": 700})).await;
    assert_eq!(recv(&mut reports).await.1, event("a", ""));
    let (_, error) = recv(&mut reports).await;
    assert_eq!(error["error"], "nothing was received for 700ms");
    assert_eq!(recv(&mut reports).await.1, event("b", ""));
}

#[tokio::test]
async fn a_broken_connection_is_gone_on_with() {
    let (service, _served) = start_service().await;
    let answers = vec![
        (
            format!("{STREAM}\u{feff}id: abc\ndata: €豆腐\n\ndata: b\n\nid: def\ndata: cut"),
            false,
        ),
        (format!("{STREAM}id:\ndata: c\n\n"), false),
        (format!("{STREAM}: Hello\n:World\n"), true),
    ];
    let more = json!({
        "lastEventId": "first", "method": "POST", "body": "{}",
        "headers": {"content-type": "application/json; charset=utf-8"},
    });
    let (mut requests, mut reports, client) = started(&service, answers, &more).await;
    for report in [event("€豆腐", "abc"), event("b", "abc")] {
        assert_eq!(recv(&mut reports).await.1, report);
    }
    assert_eq!(
        recv(&mut reports).await.1["kind"],
        "error",
        "one, though cut in an event"
    );
    assert_eq!(recv(&mut reports).await.1, event("c", ""));
    assert_eq!(recv(&mut reports).await.1["kind"], "error");
    for text in ["Hello", "World"] {
        let comment = json!({"kind": "comment", "comment": text});
        assert_eq!(recv(&mut reports).await.1, comment);
    }
    for id in [Some("first"), Some("abc"), None] {
        let (head, body) = recv(&mut requests).await;
        let sent = head
            .lines()
            .find_map(|line| line.strip_prefix("last-event-id: "));
        assert_eq!(sent, id);
        assert!(head.starts_with("post / "), "{head}");
        assert!(head.contains("\r\ncontent-type: application/json; charset=utf-8\r\n"));
        assert!(head.contains("\r\ncache-control: no-cache\r\n"), "{head}");
        assert_eq!(body, "{}");
    }
    assert_eq!(
        status(&ask(&service, "DELETE", &client, &Value::Null).await),
        204
    );
}
