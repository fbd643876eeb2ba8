//! What a program does to a client that runs: headers on demand, handlers, closing, dropping.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidewire_client::{Dispatcher, FiniteStream, RenewError, Renewal, bearer};

use super::*;

#[tokio::test]
async fn headers_are_asked_for_and_a_refusal_asks_again() {
    let mut server = Server::start(vec![
        answer("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", Then::Hold),
        answer(format!("{STREAM}data: 1\n\n"), Then::Close),
        answer(format!("{STREAM}data: 2\n\n"), Then::Hold),
    ])
    .await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let mut source = server
        .source()
        .renew(move |why| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                match (number, why) {
                    (0, Renewal::Connect) => Err(RenewError::temporary("not yet")),
                    (1, Renewal::Connect) => bearer("old"),
                    (2, Renewal::Refused(status)) if status == 401 => bearer("new"),
                    (3, Renewal::Connect) => bearer("newer"),
                    other => panic!("{other:?}"),
                }
            }
        })
        .build()
        .unwrap();
    assert!(matches!(
        next(&mut source).await,
        Item::Reconnecting {
            error: Error::Renew(_),
            ..
        }
    ));
    opened(&mut source).await;
    assert!(server.request().await.contains("bearer old\r\n"));
    assert!(server.request().await.contains("bearer new\r\n"));
    assert_eq!(data(&mut source).await, "1");
    assert!(matches!(next(&mut source).await, Item::Reconnecting { .. }));
    opened(&mut source).await;
    assert!(server.request().await.contains("bearer newer\r\n"));
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_question_for_headers_is_dropped_with_its_client() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let asking = || {
        let guard = Arc::clone(&dropped);
        let mut source = EventSource::builder("http://127.0.0.1:1/")
            .renew(move |_| {
                let guard = Dropped(Arc::clone(&guard));
                async move {
                    std::future::pending::<()>().await;
                    drop(guard);
                    bearer("t")
                }
            })
            .build()
            .unwrap();
        let closer = source.closer();
        (source, closer)
    };
    let (mut source, _) = asking();
    assert!(
        timeout(Duration::from_millis(10), source.next())
            .await
            .is_err()
    );
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    drop(source);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);

    let (mut source, closer) = asking();
    let closed = tokio::spawn(async move {
        let item = source.next().await;
        (item, source)
    });
    tokio::task::yield_now().await;
    closer.close();
    let (item, _source) = timeout(Duration::from_secs(10), closed)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(item, Some(Item::Closed(CloseReason::Asked)));
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn it_is_closed_from_elsewhere_wherever_it_is() {
    let stream = || answer(format!("{STREAM}data: 1\n\ndata: 2\n\n"), Then::Hold);
    let mut server = Server::start(vec![stream(), stream()]).await;
    // While it waits for bytes.
    let mut source = server.source().build().unwrap();
    let closer = source.closer();
    let task = tokio::spawn(async move {
        let mut items = Vec::new();
        while let Some(item) = source.next().await {
            items.push(item);
        }
        items
    });
    server.request().await;
    closer.clone().close();
    let items = timeout(Duration::from_secs(10), task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(items.last(), Some(&Item::Closed(CloseReason::Asked)));
    server.dropped.recv().await.unwrap();

    // In a handler: the event after it is not given any more.
    let mut source = server.source().build().unwrap();
    let closer = source.closer();
    let mut seen = Vec::new();
    let mut dispatcher = Dispatcher::new().on("message", |event| {
        seen.push(event.data.clone());
        closer.close();
    });
    let reason = timeout(Duration::from_secs(10), source.run(&mut dispatcher));
    assert_eq!(reason.await.unwrap(), CloseReason::Asked);
    drop(dispatcher);
    assert_eq!(seen, ["1"]);
    assert_eq!(source.state(), State::Closed);
}

#[tokio::test]
async fn handlers_are_called_by_type() {
    let server = Server::start(vec![
        answer(
            format!("{STREAM}data: m\n\nevent: a\ndata: 1\n\nevent: b\ndata: 2\n\nevent: error\ndata: 3\n\n"),
            Then::Close,
        ),
        answer("HTTP/1.1 204 No Content\r\n\r\n", Then::Close),
    ])
    .await;
    let mut source = server.source().build().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let note = |name: &str, text: &str| seen.lock().unwrap().push(format!("{name} {text}"));
    let mut dispatcher = Dispatcher::new()
        .on("a", |event| note("first", &event.data))
        .on("a", |event| note("second", &event.data))
        .on("message", |event| note("message", &event.data))
        .on("open", |_| panic!("no event of the stream"))
        .otherwise(|event| note("other", &event.data))
        .on_open(|_| note("open", ""))
        .on_reconnecting(|error, _| note("lost", &error.to_string()));
    let reason = timeout(Duration::from_secs(10), source.run(&mut dispatcher));
    assert_eq!(reason.await.unwrap(), CloseReason::Ended);
    drop(dispatcher);
    assert_eq!(
        seen.into_inner().unwrap(),
        [
            "open ",
            "message m",
            "first 1",
            "second 1",
            "other 2",
            "other 3",
            "lost the server ended the stream"
        ]
    );
}

/// Nothing is spawned: whatever a client is doing, it is done with the client.
#[tokio::test]
async fn no_task_outlives_a_client() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let server = Server::start(vec![
        answer(format!("{STREAM}data: 1\n\n"), Then::Hold),
        answer("", Then::Hold),
        answer(format!("{STREAM}data: 1\n\n"), Then::Hold),
    ])
    .await;
    let before = metrics.num_alive_tasks();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut source = server.source().build().unwrap();
        let _ = timeout(Duration::from_millis(100), async {
            while !matches!(source.next().await, Some(Item::Event(_))) {}
        })
        .await;
        clients.push(source);
    }
    let answer = FiniteStream::get(&server.url).send().await.unwrap();
    // The server has a task for each connection.
    assert_eq!(metrics.num_alive_tasks(), before + 2);
    drop((clients, answer));
    let gone = timeout(Duration::from_secs(10), async {
        while metrics.num_alive_tasks() > before - 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    gone.await.expect("no task is left");
}
