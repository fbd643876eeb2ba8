//! Subscribing: where a stream starts, in which form, and what its head says.

use tidewire_log::Retention;

use crate::server::{header, masked, memory_log, start, start_on};

fn ids(body: &str) -> Vec<&str> {
    body.split("\n\n")
        .filter(|block| block.contains("data: e"))
        .filter_map(|block| block.lines().find_map(|line| line.strip_prefix("id: ")))
        .collect()
}

#[test]
fn a_stream_byte_for_byte() {
    let server = start();
    server.publish("clock", "e1");
    let (head, body) = server.stream("/topics/clock?since=earliest", "", "data: e1\n\n");
    assert_eq!(
        masked(&head, "date: ", "\r\n"),
        "HTTP/1.1 200 OK\r\n\
         content-type: text/event-stream\r\n\
         cache-control: private, no-cache, no-store, no-transform, must-revalidate, max-age=0\r\n\
         x-accel-buffering: no\r\n\
         vary: Accept\r\n\
         vary: Origin\r\n\
         link: </.well-known/mercure>; rel=\"mercure\"\r\n\
         x-content-type-options: nosniff\r\n\
         x-frame-options: DENY\r\n\
         referrer-policy: no-referrer\r\n\
         content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n\
         transfer-encoding: chunked\r\n\
         connection: close\r\n\
         date: ...\r\n\r\n"
    );
    assert_eq!(
        masked(&body, "\"stream\":\"", "\""),
        ":\n\
         event: tidewire.open\nid: #5-0\ndata: {\"stream\":\"...\"}\n\n\
         id: #5-1\ndata: e1\n\n"
    );
}

#[test]
fn the_head_and_a_comment_come_at_once() {
    let server = start();
    for (target, first) in [
        ("/topics/quiet?checkpoint=off", ":\n".to_owned()),
        (
            "/topics/quiet?checkpoint=off&padding=10",
            format!(": {}\n:\n", " ".repeat(10)),
        ),
        (
            "/.well-known/mercure?topic=quiet",
            ":\nid: #5-0\n\n".to_owned(),
        ),
    ] {
        let (_, body) = server.stream(target, "", &first);
        assert_eq!(body, first, "{target}");
    }
}

#[test]
fn every_way_to_say_where_to_start() {
    #[rustfmt::skip]
    let table = [
        // query                                      header                          ids before the one published later
        ("",                                          "",                             &[] as &[&str]),
        ("?last_event_id=%235-1",                     "",                             &["#5-2", "#5-3"]),
        ("?lastEventID=%235-1",                       "",                             &["#5-2", "#5-3"]),
        ("?lastEventId=%235-1",                       "",                             &["#5-2", "#5-3"]),
        ("?Last-Event-ID=%235-1",                     "",                             &["#5-2", "#5-3"]),
        ("?last_event_id=5-2",                        "",                             &["#5-3"]),
        ("",                                          "Last-Event-ID: 5-2\r\n",       &["#5-3"]),
        ("?last_event_id=%235-1&since=earliest",      "Last-Event-ID: #5-2\r\n",      &["#5-3"]),
        ("?last_event_id=%235-2&since=earliest",      "",                             &["#5-3"]),
        ("?last_event_id=%235-2",                     "Last-Event-ID: \r\n",          &["#5-3"]),
        ("?last_event_id=earliest",                   "",                             &["#5-1", "#5-2", "#5-3"]),
        ("?since=earliest",                           "",                             &["#5-1", "#5-2", "#5-3"]),
        ("?since=last:2",                             "",                             &["#5-2", "#5-3"]),
        ("?since=1970-01-01T00:00:00Z",               "",                             &["#5-1", "#5-2", "#5-3"]),
        ("?since=10m",                                "",                             &[]),
    ];
    for (query, lines, want) in table {
        let server = start();
        for data in ["e1", "e2", "e3"] {
            server.publish("a", data);
        }
        let mut client = server.connect();
        client.send(&format!(
            "GET /topics/a{query} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
        ));
        client.head();
        let mut body = client.chunks_until("\"}\n\n");
        server.publish("a", "e4, live");
        body += &client.chunks_until("data: e4, live\n\n");
        let want = [want, &["#5-4"]].concat();
        assert_eq!(ids(&body), want, "{query} {lines}");
    }
}

#[test]
fn an_id_is_answered_and_a_gap_is_told() {
    let retention = Retention {
        count: Some(2),
        ..Retention::default()
    };
    let server = start_on(memory_log(retention), |_| {});
    for number in 1..=5 {
        server.publish("a", &format!("e{number}"));
    }
    let head = server.front.log().bounds().head;
    assert!(head.0 > 1, "retention took something");
    let oldest = format!("#5-{}", head.0 - 1);
    let table = [
        ("", None, None),
        ("#5-4", Some("#5-4"), None),
        ("earliest", Some("earliest"), None),
        ("#5-0", Some("earliest"), Some("expired")),
        ("#5-99", Some("earliest"), Some("beyond")),
        ("#4-1", Some("earliest"), Some("epoch")),
        ("urn:uuid:nobody", Some("earliest"), Some("unknown")),
        ("größe-日", Some("earliest"), Some("unknown")),
    ];
    for (id, answered, gap) in table {
        let line = match id {
            "" => String::new(),
            id => format!("Last-Event-ID: {id}\r\n"),
        };
        let mut client = server.connect();
        client.send(&format!(
            "GET /topics/a HTTP/1.1\r\nHost: localhost\r\n{line}\r\n"
        ));
        let head = client.head();
        assert_eq!(header(&head, "tidewire-gap"), gap, "{id}");
        assert_eq!(header(&head, "last-event-id"), answered, "{id}");
        assert_eq!(header(&head, "mercure-last-event-id"), answered, "{id}");
        if let Some(reason) = gap {
            let body = client.chunks_until(&format!("\"reason\":\"{reason}\"}}\n\n"));
            let want = format!("event: tidewire.gap\ndata: {{\"asked\":\"{id}\",");
            assert!(body.contains(&want), "{body}");
            if reason == "expired" {
                assert!(body.contains(&format!("\"oldest\":\"{oldest}\"")), "{body}");
            }
        }
    }
}

#[test]
fn four_forms_by_accept() {
    let server = start();
    server.publish("a b", "e1");
    let open = "{\"data\":{\"stream\":\"...\"},\"id\":\"#5-0\",\"type\":\"tidewire.open\"}\n";
    let line = "{\"data\":\"e1\",\"id\":\"#5-1\",\"private\":false,\"time\":\"1970-01-01T00:00:01Z\",\
                \"topics\":[\"a b\"],\"type\":\"message\"}";
    let target = "/topics/a%20b?since=earliest";
    let (head, body) = server.stream(target, "Accept: application/x-ndjson\r\n", "\"message\"}\n");
    assert_eq!(header(&head, "content-type"), Some("application/x-ndjson"));
    assert_eq!(
        masked(&body, "\"stream\":\"", "\""),
        format!("{open}{line}\n")
    );

    let page = server.ask(
        &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json"),
        "",
    );
    assert_eq!(page.header("content-type"), Some("application/json"));
    assert_eq!(
        page.body,
        format!("{{\"events\":[{line}],\"next\":\"#5-1\"}}\n")
    );

    let own = server.ask(
        "POST /topics/c?id=urn:2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0",
        "",
    );
    assert_eq!((own.status, own.body.as_str()), (200, "urn:2"));
    let page = server.ask(
        "GET /topics/c?since=earliest HTTP/1.1\r\nHost: localhost\r\nAccept: application/json",
        "",
    );
    let told = "\"id\":\"urn:2\",\"position\":2,";
    assert!(page.body.contains(told), "{}", page.body);

    let (_, body) = server.stream(
        &format!("{target}&label=topic"),
        "Accept: */*\r\n",
        "e1\n\n",
    );
    assert!(
        body.ends_with("event: a b\nid: #5-1\ndata: e1\n\n"),
        "{body}"
    );

    let refused = server.ask(
        &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: image/png"),
        "",
    );
    assert_eq!(refused.status, 406);
}

#[test]
fn topics_are_exact_or_all() {
    let server = start();
    for topic in ["a", "b", "https://example.com/books/1?x=1#y", "größe/日"] {
        server.publish(topic, "e");
    }
    let table: [(&str, &[&str]); 7] = [
        ("/topics/a", &["#5-1"]),
        ("/topics/*", &["#5-1", "#5-2", "#5-3", "#5-4"]),
        ("/topics/gr%C3%B6%C3%9Fe/%E6%97%A5", &["#5-4"]),
        ("/.well-known/mercure?topic=a&topic=b", &["#5-1", "#5-2"]),
        ("/.well-known/mercure?match=a", &["#5-1"]),
        (
            "/.well-known/mercure?match_exact=https%3A%2F%2Fexample.com%2Fbooks%2F1%3Fx%3D1%23y",
            &["#5-3"],
        ),
        (
            "/.well-known/mercure?topic=*",
            &["#5-1", "#5-2", "#5-3", "#5-4"],
        ),
    ];
    for (target, want) in table {
        let sign = if target.contains('?') { '&' } else { '?' };
        let target = format!("{target}{sign}since=earliest&checkpoint=off");
        let last = format!("id: {}\ndata: e\n\n", want[want.len() - 1]);
        let (_, body) = server.stream(&target, "", &last);
        assert_eq!(ids(&body), want, "{target}");
    }
}
