//! Readers of an application's own login: what they get, what ends their streams, and what those cost that nobody reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::request::Parts;
use http_body_util::BodyExt;
use tidewire_hub::{Event, Hub, Response, Topic, now_ms};

fn hub() -> Hub {
    Hub::in_memory().shards(0).build().unwrap()
}

fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

fn request(target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::get(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// Reads until the text is there, or all of it.
async fn read(response: Response, until: &str) -> String {
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        text += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
        if !until.is_empty() && text.contains(until) {
            break;
        }
    }
    text
}

async fn publish(hub: &Hub, topics: &[&str], private: bool, data: &str) -> String {
    let event = Event {
        topics: topics.iter().map(|name| topic(name)).collect(),
        private,
        ..Event::public(topic(topics[0]), data)
    };
    hub.publish(event).await.unwrap().to_string()
}

#[tokio::test]
async fn a_reader_gets_what_its_application_says_and_nothing_that_its_request_does() {
    let hub = hub();
    for (name, private, data) in [
        ("news", false, "of all"),
        ("news", true, "of the desk"),
        ("users/ada", true, "of ada"),
        ("users/ben", true, "of ben"),
        ("users/ben", false, "shown by ben"),
        ("rooms/1", true, "of a room"),
        ("end", false, "the end"),
    ] {
        publish(&hub, &[name], private, data).await;
    }
    let rooms = hub.front().patterns().selector("rooms/{id}").unwrap();
    let table = [
        (hub.reader(), ""),
        (hub.reader().topic(topic("users/ben")), "shown by ben"),
        (
            hub.reader().private_topic(topic("news")),
            "of all,of the desk",
        ),
        (
            hub.reader()
                .private_topic(topic("users/ada"))
                .topic(topic("users/ben")),
            "of ada,shown by ben",
        ),
        (hub.reader().matching(rooms.clone()), ""),
        (hub.reader().private_matching(rooms), "of a room"),
        // Braces of a user's name match nothing but themselves.
        (hub.reader().private_topic(topic("users/{name}")), ""),
    ];
    for (reader, want) in table {
        let asked = request("/mine?topic=*&match=*&since=earliest&authorization=x", &[]);
        let response = hub.answer(&asked, reader.topic(topic("end"))).await;
        assert_eq!(response.status(), 200);
        let text = read(response, "data: the end\n").await;
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let data: Vec<_> = data
            .filter(|data| !data.is_empty() && !data.starts_with('{'))
            .collect();
        let mut want: Vec<_> = want.split(',').filter(|data| !data.is_empty()).collect();
        want.push("the end");
        assert_eq!(data, want);
    }
}

#[tokio::test]
async fn requests_choose_start_and_form_as_on_the_hubs_own_paths() {
    let hub = hub();
    let first = publish(&hub, &["a"], false, "one").await;
    publish(&hub, &["a"], false, "two").await;
    let answer = async |target: &str, headers: &[(&str, &str)]| {
        let reader = hub.reader().topic(topic("a"));
        hub.answer(&request(target, headers), reader).await
    };
    for (target, header) in [
        ("/x", ("last-event-id", &*first)),
        ("/x?last_event_id=earliest&mine=1", ("x", "y")),
    ] {
        let response = answer(target, &[header]).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = read(response, "data: two\n").await;
        assert_eq!(text.contains("data: one\n"), target != "/x", "{text}");
    }
    let page = answer(
        "/x?since=earliest&limit=1",
        &[("accept", "application/json")],
    )
    .await;
    let page = read(page, "").await;
    assert!(
        page.starts_with("{\"events\":[{") && page.contains("\"one\"") && !page.contains("\"two\""),
        "{page}"
    );
    let ndjson = answer("/x?since=last:1", &[("accept", "application/x-ndjson")]).await;
    assert!(read(ndjson, "\n").await.contains("\"data\":\"two\""));
    // Another life of the log: the reader is told, and a page's EventSource goes on.
    let lost = answer("/x", &[("last-event-id", "#1-1")]).await;
    assert_eq!(lost.headers()["tidewire-gap"], "epoch");
    assert!(
        read(lost, "data: two\n")
            .await
            .contains("event: tidewire.gap\n")
    );
    for (target, accept, status) in [("/x?since=x", "*/*", 400), ("/x", "image/png", 406)] {
        let refused = answer(target, &[("accept", accept)]).await;
        assert_eq!(refused.status(), status);
        assert_eq!(
            refused.headers()["content-type"],
            "application/problem+json"
        );
    }
    let mut head = request("/x", &[]);
    head.method = http::Method::HEAD;
    let head = hub.answer(&head, hub.reader().topic(topic("a"))).await;
    assert_eq!(
        (head.status().as_u16(), read(head, "").await.as_str()),
        (200, "")
    );
}

#[tokio::test]
async fn streams_end_with_their_user_their_session_their_time_and_the_hub() {
    let clock = Arc::new(AtomicU64::new(now_ms()));
    let time = Arc::clone(&clock);
    let clock = Arc::new(move || time.load(Ordering::SeqCst));
    let hub = Hub::in_memory().shards(0).clock(clock).build().unwrap();
    let asked = request("/x", &[]);
    let open = async |user: &str, session: &str| {
        let reader = hub.reader().user(user).session(session).topic(topic("a"));
        hub.answer(&asked, reader).await
    };
    let (mine, tab, phone) = (
        open("ada", "1").await,
        open("ada", "1").await,
        open("ada", "2").await,
    );
    let bens = open("ben", "3").await;
    // On its way while its session ends, looked up before that.
    let late = hub.reader().user("ada").session("1").topic(topic("a"));
    hub.end_session("1");
    let late = hub.answer(&asked, late).await;
    for ended in [mine, tab, late] {
        read(ended, "").await;
    }
    assert_eq!(hub.subscribers(), 2);
    // A new login is another matter.
    let again = open("ada", "4").await;
    hub.end_user("ada");
    for ended in [phone, again] {
        read(ended, "").await;
    }
    hub.end_user("nobody");
    let soon = hub.reader().topic(topic("a")).until_ms(now_ms() + 1);
    read(hub.answer(&asked, soon).await, "").await;
    assert_eq!(hub.subscribers(), 1);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let tended = tokio::spawn(hub.tend(async {
        let _ = stopped.await;
    }));
    stop.send(()).unwrap();
    read(bens, "").await;
    tended.await.unwrap();
    assert_eq!(open("ben", "3").await.status(), 503);
    // What runs beside the streams may still tell others.
    publish(&hub, &["a"], false, "goodbye").await;
}

#[tokio::test]
async fn a_page_that_waits_ends_with_its_session() {
    let hub = hub();
    let poll = async |hub: Hub, session: &str, target: &str| {
        let reader = hub.reader().session(session).private_topic(topic("a"));
        hub.end_session("left while it was looked up");
        let asked = request(target, &[("accept", "application/json")]);
        let response = hub.answer(&asked, reader).await;
        (response.status().as_u16(), read(response, "").await)
    };
    let (gone, stays) = (hub.clone(), hub.clone());
    let gone = tokio::spawn(async move { poll(gone, "1", "/x?wait=60s").await });
    let stays = tokio::spawn(async move { poll(stays, "2", "/x?wait=60s").await });
    while hub.subscribers() < 2 {
        tokio::task::yield_now().await;
    }
    hub.end_session("1");
    publish(&hub, &["a"], true, "after the logout").await;
    let (status, text) = gone.await.unwrap();
    assert_eq!(status, 401, "{text}");
    let (status, text) = stays.await.unwrap();
    assert!(status == 200 && text.contains("after the logout"), "{text}");
    let left = poll(
        hub.clone(),
        "left while it was looked up",
        "/x?since=earliest",
    )
    .await;
    assert_eq!(left.0, 401, "{}", left.1);
}

#[tokio::test]
async fn a_user_has_no_more_streams_than_may_be() {
    let hub = Hub::in_memory()
        .shards(0)
        .limit(|limits| limits.streams_per_subject_max = Some(2));
    let hub = hub.build().unwrap();
    let mut open = Vec::new();
    for (user, status) in [("ada", 200), ("ada", 200), ("ada", 429), ("ben", 200)] {
        let reader = hub.reader().user(user).topic(topic("a"));
        let response = hub.answer(&request("/x", &[]), reader).await;
        assert_eq!(response.status(), status, "{user}");
        open.push(response);
    }
}

/// A queue of its own for each, of shared events even, would be a gigabyte and more.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thousand_readers_who_do_not_read_cost_no_queue() {
    const READERS: usize = 1000;
    const EVENTS: usize = 100_000;
    const GROWTH_BYTES_MAX: u64 = 64 << 20;
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    };
    let hub = hub();
    let mut bodies = Vec::new();
    for _ in 0..READERS {
        let reader = hub.reader().private_topic(topic("a"));
        let response = hub.answer(&request("/x?checkpoint=off", &[]), reader).await;
        let mut body = response.into_body();
        // Polled once, as a server does that finds the socket full afterwards.
        body.frame().await.unwrap().unwrap();
        bodies.push(body);
    }
    let before = resident();
    for from in (0..EVENTS).step_by(1000) {
        let events = (from..from + 1000).map(|at| Event::private(topic("a"), at.to_string()));
        hub.publish_all(events.collect()).await.unwrap();
    }
    let grown = resident().saturating_sub(before);
    assert!(
        grown < GROWTH_BYTES_MAX,
        "{} MiB for {READERS} readers",
        grown >> 20
    );
    // And nobody has missed anything.
    for body in bodies.iter_mut().step_by(250) {
        let (mut text, mut next) = (String::new(), 0);
        while next < EVENTS {
            let bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
            text += std::str::from_utf8(&bytes).unwrap();
            while let Some(end) = text.find("\n\n") {
                let frame: String = text.drain(..end + 2).collect();
                let data = frame.lines().find_map(|line| line.strip_prefix("data: "));
                if let Some(data) = data {
                    assert_eq!(data, next.to_string());
                    next += 1;
                }
            }
        }
    }
}
