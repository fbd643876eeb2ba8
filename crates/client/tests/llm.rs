//! The example that asks a language model, against servers that answer as such do.

#![cfg(feature = "tokio")]

// Its `main` is not called here.
#[allow(dead_code)]
#[path = "../examples/llm.rs"]
mod llm;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the example prints, and what it fails with, when the server answers this.
async fn asked(answer: &'static str) -> (String, Option<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}]}") && !request.ends_with(b"true}") {
            request.push(socket.read_u8().await.unwrap());
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
        drop(socket);
        // A second request would be refused a connection, and that would be told.
        String::from_utf8(request).unwrap()
    });
    let model = llm::Model {
        base_url: format!("http://{address}/v1"),
        key: "k".to_owned(),
        name: "m".to_owned(),
    };
    let mut out = Vec::new();
    let failed = llm::ask(&model, "Why?", &mut out).await.err();
    let request = server.await.unwrap();
    assert!(
        request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("\r\nauthorization: Bearer k\r\n"),
        "{request}"
    );
    (
        String::from_utf8(out).unwrap(),
        failed.map(|error| error.to_string()),
    )
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn an_answer_is_printed_and_each_way_to_fail_is_told() {
    let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"Sal\"}}]}\n\n";
    let table = [
        (
            "whole",
            "data: {\"choices\":[{\"delta\":{\"content\":\"t.\"}}]}\n\ndata: {\"choices\":[]}\n\ndata: [DONE]\n\n",
            ("Salt.\n", None),
        ),
        ("cut", "", ("Sal", Some("the stream ended before its end"))),
        (
            "an error within",
            "data: {\"error\":{\"message\":\"overloaded\"}}\n\n",
            ("Sal", Some("overloaded")),
        ),
    ];
    for (name, rest, (printed, failed)) in table {
        let answer = format!("{STREAM}{piece}{rest}").leak();
        let (out, error) = asked(answer).await;
        assert_eq!(
            (out.as_str(), error.as_deref()),
            (printed, failed),
            "{name}"
        );
    }
    let (out, error) = asked(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 38\r\n\r\n{\"error\": {\"message\": \"no such key\"}} ",
    )
    .await;
    assert_eq!(
        (out.as_str(), error.as_deref()),
        (
            "",
            Some(
                "the server answered 401 Unauthorized: {\"error\": {\"message\": \"no such key\"}}"
            )
        )
    );
}
