//! The hub in somebody else's program: no flags, any log, with and without HTTP.

use std::sync::Arc;

use http_body_util::BodyExt;
use tidewire_hub::{
    Access, Checkpoint, Event, Filter, Form, Hub, Matcher, MatcherSet, Start, Subscribe,
    SubscribeError, Topic,
};
use tidewire_log::{MemoryConfig, MemoryLog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

fn hub() -> Hub {
    let log = Arc::new(MemoryLog::new(MemoryConfig::default()));
    let builder = Hub::builder(log).access(Access::keyless()).shards(1);
    builder
        .limit(|limits| limits.subscribers_max = 1)
        .build()
        .unwrap()
}

fn everything_of(name: &str, form: Form) -> Subscribe {
    Subscribe {
        filter: Filter {
            routing: MatcherSet::from_iter([Matcher::Exact(topic(name))]),
            private: MatcherSet::any(),
        },
        start: Start::Head,
        form,
        checkpoint: Checkpoint::Off,
    }
}

#[tokio::test]
async fn publish_and_subscribe_without_http() {
    let hub = hub();
    let first = hub.publish(Event::new(topic("a"), "one", 0)).await.unwrap();
    assert_eq!(first.to_string(), "#1-1");
    let mut body = hub
        .subscribe(everything_of("a", Form::EventStream))
        .await
        .unwrap();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame, "id: #1-1\ndata: one\n\n");
    let mut live = Event::new(topic("a"), "two", 0);
    live.private = true;
    hub.publish(live).await.unwrap();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame, "id: #1-2\ndata: two\n\n");
    let second = hub.subscribe(everything_of("a", Form::Ndjson)).await;
    assert_eq!(second.err(), Some(SubscribeError::Subscribers));
    drop(body);
    assert_eq!((hub.subscribers(), hub.counters().events), (0, 2));
}

#[tokio::test]
async fn served_on_a_listener_of_the_embedders() {
    let hub = hub();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = hub.clone();
    let served = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        serving.serve([listener], shutdown).await;
    });
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
    stop.send(()).unwrap();
    served.await.unwrap();
    let after = hub.subscribe(everything_of("a", Form::EventStream)).await;
    assert_eq!(after.err(), Some(SubscribeError::Draining));
}

/// Nested below a path of another router; streams are bodies then.
#[tokio::test]
async fn nested_in_a_router_of_the_embedders() {
    let hub = hub();
    hub.publish(Event::new(topic("a/b"), "one", 0))
        .await
        .unwrap();
    let app = tidewire_hub::Router::new().nest("/events", hub.service());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut client = TcpStream::connect(address).await.unwrap();
    let request =
        "GET /events/topics/a/b?since=earliest&checkpoint=off HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("data: one\n\n") {
        let mut piece = [0; 1024];
        let count = client.read(&mut piece).await.unwrap();
        assert!(count > 0, "{text}");
        text += std::str::from_utf8(&piece[..count]).unwrap();
    }
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert_eq!(hub.counters().taken_over, 0);
}
