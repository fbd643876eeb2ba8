//! Streams that end, over real sockets.

use tidewire_client::FiniteStream;

use super::*;

#[tokio::test]
async fn an_answer_is_asked_for_once_and_read_to_its_end() {
    let mut server = Server::start(vec![
        answer(
            format!("{CHUNKED}23\r\ndata: {{\"a\":1}}\n\ndata: {{\"error\":{{}}}}\n\n\r\ne\r\ndata: [DONE]\n\n\r\n"),
            Then::Hold,
        ),
        answer(format!("{CHUNKED}9\r\ndata: 1\n\n\r\n"), Then::Close),
    ])
    .await;
    let mut whole = FiniteStream::post(&server.url)
        .bearer_token("k")
        .json("{}")
        .ends_at_data("[DONE]")
        .send()
        .await
        .unwrap();
    let request = server.request().await;
    assert!(request.starts_with("post /s?x=1 http/1.1\r\n"), "{request}");
    assert!(
        request.contains("\r\ncontent-type: application/json\r\n"),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\n{}"), "{request}");
    assert_eq!(whole.headers()["transfer-encoding"], "chunked");
    for data in ["{\"a\":1}", "{\"error\":{}}"] {
        assert_eq!(whole.next_event().await.unwrap().unwrap().data, data);
    }
    assert_eq!(whole.next_event().await, Ok(None));
    assert_eq!(whole.next_event().await, Ok(None));
    timeout(Duration::from_secs(10), server.dropped.recv())
        .await
        .expect("its connection goes at the mark, before the answer is dropped")
        .unwrap();

    let mut cut = FiniteStream::post(&server.url).send().await.unwrap();
    assert_eq!(cut.next_event().await.unwrap().unwrap().data, "1");
    assert!(matches!(cut.next_event().await, Err(Error::Cut(_))));
    assert_eq!(cut.next_event().await, Ok(None));
    server.request().await;
    assert!(
        server.requests.try_recv().is_err(),
        "never a second request"
    );
}

#[tokio::test]
async fn an_answer_that_does_not_come_says_why() {
    let reply = |status: &str, kind: &str, body: &str| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nRetry-After: 7\r\n");
        answer(
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
            Then::Hold,
        )
    };
    let json = "application/json";
    let server = Server::start(vec![
        reply("401 No", json, "{\"error\": \"bad key\"}"),
        reply("429 Slow", json, "{\"error\": \"slow down\"}"),
        reply("200 OK", json, "{\"choices\": []}"),
        answer("HTTP/1.1 204 No Content\r\n\r\n", Then::Close),
    ])
    .await;
    // status, temporary, retry after, message
    let table = [
        (
            Some(401),
            false,
            None,
            "the server answered 401 Unauthorized: {\"error\": \"bad key\"}",
        ),
        (
            Some(429),
            true,
            Some(Duration::from_secs(7)),
            "the server answered 429 Too Many Requests and asks to wait 7 s: {\"error\": \"slow down\"}",
        ),
        (
            Some(200),
            false,
            None,
            "the answer is application/json, not text/event-stream: {\"choices\": []}",
        ),
        (None, false, None, "the server has nothing to send (204)"),
    ];
    for (status, temporary, retry_after, message) in table {
        let error = FiniteStream::post(&server.url)
            .send()
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.status().map(|status| status.as_u16()), status);
        assert_eq!(error.is_temporary(), temporary, "{message}");
        assert_eq!(error.retry_after(), retry_after, "{message}");
        assert_eq!(error.to_string(), message);
    }
    let error = FiniteStream::post("nonsense")
        .send()
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(error, Error::Build(BuildError::Url(_))),
        "{error:?}"
    );
}
