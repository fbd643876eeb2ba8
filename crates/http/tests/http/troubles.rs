//! What the log's troubles look like from outside.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use tidewire_core::{Cursor, Position};
use tidewire_log::{
    Append, AppendError, Bounds, Gap, GapReason, Locate, Log, Read, ReadAsk, Retention, Watcher,
};
use tower::Service;

use crate::server::{Server, memory_log, start_on};

/// A log that refuses appends for these reasons, one after another, and then takes them.
struct Moody {
    log: Arc<dyn Log>,
    moods: Mutex<VecDeque<AppendError>>,
}

impl Log for Moody {
    fn append(&self, append: Append) {
        let mood = self.moods.lock().unwrap().pop_front();
        match mood {
            Some(error) => (append.ack)(Err(error)),
            None => self.log.append(append),
        }
    }

    fn read(&self, ask: &ReadAsk<'_>, waker: &Waker) -> Read {
        self.log.read(ask, waker)
    }

    fn locate(&self, locate: Locate) {
        self.log.locate(locate);
    }

    fn cursor_at(&self, next: Position) -> Cursor {
        self.log.cursor_at(next)
    }

    fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.log.watch(watcher);
    }

    fn health(&self) -> Result<(), AppendError> {
        match self.moods.lock().unwrap().front() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn maintain(&self, now_ms: u64) {
        self.log.maintain(now_ms);
    }
}

pub(crate) fn server(moods: &[AppendError]) -> Server {
    let log = Moody {
        log: memory_log(Retention::default()),
        moods: Mutex::new(moods.iter().cloned().collect()),
    };
    start_on(Arc::new(log), |_| {})
}

/// A log that has one record a read, and of which the second to fourth are lost once the first was read.
struct Forgetting(Arc<dyn Log>);

impl Log for Forgetting {
    fn read(&self, ask: &ReadAsk<'_>, waker: &Waker) -> Read {
        let lost = Position(2)..Position(5);
        if lost.contains(&ask.from) {
            return Read::Gap(Gap {
                reason: GapReason::Expired,
                resume: lost.end,
            });
        }
        let records_max = 1;
        self.0.read(
            &ReadAsk {
                records_max,
                ..*ask
            },
            waker,
        )
    }

    fn append(&self, append: Append) {
        self.0.append(append);
    }

    fn locate(&self, locate: Locate) {
        self.0.locate(locate);
    }

    fn cursor_at(&self, next: Position) -> Cursor {
        self.0.cursor_at(next)
    }

    fn bounds(&self) -> Bounds {
        self.0.bounds()
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.0.watch(watcher);
    }

    fn health(&self) -> Result<(), AppendError> {
        self.0.health()
    }

    fn maintain(&self, now_ms: u64) {
        self.0.maintain(now_ms);
    }
}

#[test]
fn a_gap_in_the_middle_of_a_page_ends_it_and_is_told() {
    let log = Forgetting(memory_log(Retention::default()));
    let server = start_on(Arc::new(log), |_| {});
    for number in 1..=6 {
        server.publish("a", &format!("e{number}"));
    }
    let page = |from: &str| -> serde_json::Value {
        let head =
            format!("GET /topics/a?{from} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json");
        serde_json::from_str(&server.ask(&head, "").body).unwrap()
    };
    let data = |page: &serde_json::Value| -> Vec<String> {
        let events = page["events"].as_array().unwrap().iter();
        events
            .map(|event| event["data"].as_str().unwrap().to_owned())
            .collect()
    };
    // What comes after the gap is no part of this page: its reader would not know where the gap was.
    let first = page("since=earliest");
    assert_eq!(data(&first), ["e1"], "{first}");
    assert_eq!(first["gap"]["reason"], "expired", "{first}");
    assert_eq!(first["gap"]["asked"], "#5-1", "{first}");
    assert_eq!(first["gap"]["oldest"], first["next"], "{first}");
    let next = first["next"].as_str().unwrap().replace('#', "%23");
    let second = page(&format!("last_event_id={next}"));
    assert_eq!(data(&second), ["e5", "e6"], "{second}");
    assert!(second["gap"].is_null(), "{second}");
}

/// A log that takes its time: no append is answered.
struct Silent(Arc<dyn Log>, Mutex<Vec<Append>>);

impl Log for Silent {
    fn append(&self, append: Append) {
        self.1.lock().unwrap().push(append);
    }

    fn read(&self, ask: &ReadAsk<'_>, waker: &Waker) -> Read {
        self.0.read(ask, waker)
    }

    fn locate(&self, locate: Locate) {
        self.0.locate(locate);
    }

    fn cursor_at(&self, next: Position) -> Cursor {
        self.0.cursor_at(next)
    }

    fn bounds(&self) -> Bounds {
        self.0.bounds()
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.0.watch(watcher);
    }

    fn health(&self) -> Result<(), AppendError> {
        Ok(())
    }

    fn maintain(&self, now_ms: u64) {
        self.0.maintain(now_ms);
    }
}

/// One group is being committed, a second one gathers, and then nothing more is read.
#[test]
fn a_batch_that_waits_for_its_log_reads_no_more_than_a_group() {
    const MIB: usize = 1 << 20;
    let log = Silent(memory_log(Retention::default()), Mutex::default());
    let log = Arc::new(log);
    let server = start_on(Arc::clone(&log) as Arc<dyn Log>, |_| {});
    let socket = server.socket();
    // What the sockets hold shall not hide what the hub does.
    socket2::SockRef::from(&socket)
        .set_send_buffer_size(64 << 10)
        .unwrap();
    socket
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut socket = &socket;
    let head = "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/x-ndjson\r\nContent-Length: 999999999\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    let line = format!(
        "{{\"topic\":\"a\",\"data\":\"{}\"}}\n",
        "x".repeat(60 << 10)
    );
    let mut sent = 0;
    while socket.write_all(line.as_bytes()).is_ok() {
        sent += line.len();
        assert!(sent < 40 * MIB, "it reads on and on");
    }
    let appended = log.1.lock().unwrap();
    assert_eq!(appended.len(), 1, "the second group waits for the first");
    let bytes: usize = appended[0]
        .events
        .iter()
        .map(|event| event.data.len())
        .sum();
    assert!(bytes < 6 * MIB, "{bytes} bytes in a group");
    assert!(sent > 4 * MIB, "{sent} bytes were read");
}

#[test]
fn each_trouble_has_its_status() {
    let too_large = AppendError::TooLarge {
        index: 0,
        bytes: 9,
        bytes_max: 8,
    };
    let table = [
        (AppendError::Busy, 503, true),
        (AppendError::Full("the disk has no space".into()), 507, true),
        (AppendError::Stopped("fsync failed".into()), 503, true),
        (AppendError::KeyReused { index: 0 }, 422, false),
        (too_large, 413, false),
    ];
    for (error, status, heals) in table {
        let server = server(std::slice::from_ref(&error));
        if matches!(error, AppendError::Stopped(_) | AppendError::Full(_)) {
            let ready = server.get("/readyz");
            assert_eq!(ready.status, 503, "{error}");
            assert!(ready.body.contains(&error.to_string()), "{}", ready.body);
            assert_eq!(server.get("/healthz").status, 200);
        }
        let answer = server.ask("POST /topics/a HTTP/1.1\r\nHost: localhost", "x");
        assert_eq!(answer.status, status, "{error}");
        assert_eq!(answer.header("retry-after").is_some(), heals, "{error}");
        let answer = server.ask("POST /topics/a HTTP/1.1\r\nHost: localhost", "x");
        assert_eq!((answer.status, &*answer.body), (200, "#5-1"), "{error}");
    }
}

#[test]
fn a_batch_waits_for_a_busy_log_and_ends_at_a_full_one() {
    let post = "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson";
    let events = "{\"topic\":\"a\"}\n{\"topic\":\"b\"}\n";
    let busy = server(&[AppendError::Busy, AppendError::Busy]);
    let answer = busy.ask(post, events);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        "{\"first_id\":\"#5-1\",\"from\":0,\"last_id\":\"#5-2\",\"to\":1}\n"
    );

    let full = server(&[AppendError::Full("the disk has no space".into())]);
    let answer = full.ask(post, events);
    assert_eq!(answer.status, 507);
    assert!(answer.body.starts_with("{\"error\":"), "{}", answer.body);
    assert!(answer.body.contains("\"index\":0"), "{}", answer.body);
    assert_eq!(full.front.counters().events, 0);

    // The second event is to blame: the first one stands.
    let reused = server(&[AppendError::KeyReused { index: 1 }]);
    let answer = reused.ask(post, events);
    let lines: Vec<&str> = answer.body.lines().collect();
    assert_eq!(lines.len(), 2, "{}", answer.body);
    assert!(lines[0].contains("\"to\":0"), "{}", lines[0]);
    assert!(lines[1].contains("\"index\":1"), "{}", lines[1]);
    assert_eq!(reused.front.counters().events, 1);
}

/// On connections that are still there, and in somebody else's server: a hub that is ending begins nothing.
#[test]
fn an_ending_hub_begins_nothing() {
    let server = server(&[]);
    server.runtime.block_on(server.front.drain());
    let mut router = tidewire_http::router(server.front.clone());
    let table = [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 503),
        ("GET", "/topics/a", 503),
        ("HEAD", "/topics/a", 503),
        ("POST", "/topics/a", 503),
    ];
    for (method, target, status) in table {
        let request = http::Request::builder()
            .method(method)
            .uri(target)
            .header("host", "localhost")
            .body(String::new())
            .unwrap();
        let answer = server.runtime.block_on(router.call(request)).unwrap();
        assert_eq!(answer.status(), status, "{method} {target}");
        assert_eq!(answer.headers().contains_key("retry-after"), status == 503);
    }
    assert_eq!(server.front.log().bounds().records, 0);
}
