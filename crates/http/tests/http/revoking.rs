//! `/revocations`: streams ended and tokens refused, on every kind of connection, over restarts.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tidewire_auth::signed_url::UrlKey;
use tidewire_auth::{Anonymous, Claims, Revocation, RevokedBy};
use tidewire_http::{HubStore, MemoryStore, Settings, StoreError};

use crate::kinds::{BEGIN_MS, KINDS, Kind, Stream, ask, ask_for, claims, hub, signed};
use crate::publishing::use_keys;
use crate::server::{Server, start_with, until};

/// It may publish to every topic, and no revocation by topic concerns that.
fn admin() -> String {
    signed(&claims(&["*"], &[]))
}

/// Somebody's token for private events of `private`.
fn reader(subject: &str, token_id: &str, private: &str, issued_ms: u64) -> String {
    signed(&Claims {
        subject: Some(subject.to_owned()),
        token_id: Some(token_id.to_owned()),
        issued_ms: Some(BEGIN_MS + issued_ms),
        ..claims(&[], &[private])
    })
}

fn revoke(server: &Server, body: &Value) -> Value {
    let answer = ask(server, "POST /revocations", &admin(), &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn connect(server: &Server, token: &str) -> (u16, String) {
    // A page ends by itself.
    let line = "GET /topics/a?limit=1";
    let answer = ask_for(server, line, token, "application/json");
    (answer.status, answer.head)
}

/// A problem's status and sentence.
fn refused(server: &Server, line: &str, token: &str) -> (u16, String) {
    let answer = ask(server, line, token, "");
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
    (answer.status, detail)
}

#[test]
fn revoked_streams_end_and_their_tokens_are_refused() {
    for kind in KINDS {
        let by = [
            (json!({ "subject": "ada" }), "fresh"),
            (json!({ "token_id": "1" }), "another"),
            (json!({ "topic": "secret" }), "fresh"),
        ];
        for (body, then) in by {
            let server = hub(kind, |_| {});
            let ada = reader("ada", "1", "secret", 0);
            let eve = reader("eve", "2", "other", 0);
            let mut hers = Stream::open(&server, kind, "/topics/a", &ada);
            let mut others = Stream::open(&server, kind, "/topics/a", &eve);
            hers.id();
            others.id();
            let answer = revoke(&server, &body);
            assert_eq!(answer["ended"], 1, "{kind:?} {answer}");
            // From the answer on she reads nothing.
            server.publish("a", "too late for her");
            let text = hers.rest();
            assert!(!text.contains("too late"), "{kind:?} {text}");
            let last = "event: tidewire.closing\ndata: {\"reason\":\"revoked\"}\n\n";
            assert!(text.ends_with(last), "{kind:?} {body} {text}");
            server.publish("a", "goes on");
            let text = others.until("data: goes on\n\n");
            assert!(text.contains("data: too late for her\n\n"), "{text}");
            // Her next connect, with the same token and with another.
            let (status, head) = connect(&server, &ada);
            assert_eq!(status, 401, "{kind:?} {body} {head}");
            assert!(head.contains("invalid_token"), "{head}");
            let (status, why) = refused(&server, "GET /topics/a", &ada);
            assert_eq!(status, 401);
            assert!(why.contains("revoked"), "{why}");
            assert_eq!(connect(&server, &eve).0, 200, "{kind:?} {body}");
            let again = match then {
                "fresh" => reader("ada", "1", "secret", 5_000),
                _ => reader("ada", "3", "secret", 0),
            };
            assert_eq!(connect(&server, &again).0, 200, "{kind:?} {body}");
            let metrics = server.front.metrics();
            let ended = metrics.lines().filter(|line| {
                line.starts_with("tidewire_streams_ended_total")
                    && line.contains("reason=\"revoked\"")
                    && line.ends_with(" 1")
            });
            assert_eq!(ended.count(), 1, "{kind:?} {metrics}");
        }
    }
}

#[test]
fn who_may_revoke_and_what_is_answered() {
    let server = hub(Kind::Shard, |_| {});
    let admin = admin();
    let some = signed(&claims(&["a", "b"], &["*"]));
    let post = "POST /revocations";
    #[rustfmt::skip]
    let table = [
        (post, "", r#"{"subject":"x"}"#, 401),
        (post, "x.y.z", r#"{"subject":"x"}"#, 401),
        (post, &*some, r#"{"subject":"x"}"#, 403),
        ("GET /revocations", &some, "", 403),
        ("GET /revocations", "", "", 401),
        ("DELETE /revocations?subject=x", &some, "", 403),
        (post, &admin, "", 415),
        (post, &admin, "{}", 400),
        (post, &admin, r#"{"subject":""}"#, 400),
        (post, &admin, r#"{"subject":"x","until":5}"#, 400),
        (post, &admin, r#"{"subject":"x"}"#, 200),
        (post, &admin, r#"{"subject":"x","issuer":"https://i.example","until":"2100-01-01T00:00:00Z"}"#, 200),
        (post, &admin, r#"{"topic":"a/b"}"#, 200),
        ("PUT /revocations", &admin, "", 405),
        ("DELETE /revocations", &admin, "", 400),
        ("DELETE /revocations?subject=y", &admin, "", 404),
        ("DELETE /revocations?topic=a%2Fb", &admin, "", 204),
        ("DELETE /revocations?topic=a%2Fb", &admin, "", 404),
    ];
    for (line, token, body, status) in table {
        let answer = ask(&server, line, token, body);
        assert_eq!(answer.status, status, "{line} {body} {}", answer.body);
    }
    let answer = ask(&server, "GET /revocations", &admin, "");
    let mut list: Value = serde_json::from_str(&answer.body).unwrap();
    for one in list["revocations"].as_array_mut().unwrap() {
        let revoked = one["revoked"].take();
        assert!(revoked.as_str().unwrap().starts_with("2001-09-09T01:46:4"));
    }
    assert_eq!(
        list["revocations"],
        json!([
            { "revoked": null, "subject": "x" },
            { "revoked": null, "subject": "x", "issuer": "https://i.example", "until": "2100-01-01T00:00:00Z" },
        ])
    );
    // The same again is the same once.
    revoke(&server, &json!({ "subject": "x" }));
    let answer = ask(&server, "GET /revocations", &admin, "");
    assert_eq!(answer.body.matches("\"subject\"").count(), 2);
}

/// Where anybody may publish to every topic, that is not the right to end others' streams.
#[test]
fn a_token_is_needed_to_revoke() {
    let body = r#"{"subject":"x"}"#;
    let keyless = start_with(|_| {});
    let answer = ask(&keyless, "POST /revocations", "", body);
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("--publisher-key-file"));
    let open = start_with(|settings| use_keys(settings, Anonymous::All));
    let answer = ask(&open, "POST /revocations", "", body);
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert_eq!(ask(&open, "POST /revocations", &admin(), body).status, 200);
}

#[test]
fn what_is_given_back_is_good_again() {
    let server = hub(Kind::Shard, |_| {});
    let ada = reader("ada", "1", "a", 0);
    revoke(&server, &json!({ "subject": "ada" }));
    assert_eq!(connect(&server, &ada).0, 401);
    let answer = ask(&server, "DELETE /revocations?subject=ada", &admin(), "");
    assert_eq!(answer.status, 204);
    assert_eq!(connect(&server, &ada).0, 200);
}

/// Who waits, or publishes line after line, is no better off than a stream.
#[test]
fn long_polls_and_batches_end_as_well() {
    let server = hub(Kind::Shard, |_| {});
    let ada = reader("ada", "1", "a", 0);
    let mut poll = server.connect();
    poll.send(&format!(
        "GET /topics/a?wait=30s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nAuthorization: Bearer {ada}\r\n\r\n"
    ));
    let publisher = signed(&Claims {
        subject: Some("ada".to_owned()),
        ..claims(&["a"], &[])
    });
    let mut batch = server.connect();
    batch.send(&format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer {publisher}\r\n\r\n"
    ));
    let line = "{\"topic\":\"b\",\"data\":\"x\"}\n".replace("\"b\"", "\"a\"");
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    batch.send(&chunk);
    batch.head();
    batch.chunks_until("\n");
    // Its own event answers the poll; ask again.
    assert_eq!(poll.answer().status, 200);
    poll.send(&format!(
        "GET /topics/b?wait=30s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nAuthorization: Bearer {ada}\r\n\r\n"
    ));
    until("she waits", || server.front.subscribers() == 1);
    revoke(&server, &json!({ "subject": "ada" }));
    // Half a minute before it would have ended by itself.
    assert_eq!(poll.answer().status, 401);
    batch.send(&chunk);
    let last = batch.chunks_until("\n");
    assert!(last.contains("\"error\"") && last.contains("401"), "{last}");
}

/// Streams that are on their way while they are revoked end all the same.
#[test]
fn nobody_slips_in_while_a_token_is_revoked() {
    for kind in [Kind::Shard, Kind::Solo, Kind::Http2] {
        let server = hub(kind, |_| {});
        let ada = reader("ada", "1", "a", 0);
        let (revoked, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        let late = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut kept = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        let mut client = server.connect();
                        client.send(&format!(
                            "GET /topics/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ada}\r\n\r\n"
                        ));
                        late.fetch_add(revoked.load(Ordering::SeqCst).into(), Ordering::SeqCst);
                        kept.push(client);
                        if kept.len() > 200 {
                            kept.clear();
                        }
                    }
                    // Their clients stay: it is for the hub to end them.
                    until("all are ended", || server.front.subscribers() == 0);
                });
            }
            until("some are in", || server.front.subscribers() > 10);
            revoke(&server, &json!({ "token_id": "1" }));
            revoked.store(true, Ordering::SeqCst);
            until("some come too late", || late.load(Ordering::SeqCst) > 50);
            stop.store(true, Ordering::SeqCst);
        });
    }
}

/// A token is looked at before the body comes, and that may take its time.
#[test]
fn nobody_waits_with_a_body_until_a_token_is_revoked() {
    let urls = |settings: &mut Settings| {
        let key = UrlKey::new(b"a key for URLs that is long enough, 32 bytes");
        settings.access.url_key = Some(key.unwrap());
    };
    let server = hub(Kind::Shard, urls);
    // A stream of nobody's: any token renews it.
    let nobody = signed(&claims(&[], &["b"]));
    let mut stream = Stream::open(&server, Kind::Shard, "/topics/a", &nobody);
    let id = stream.id();
    let ada = reader("ada", "1", "a", 0);
    let her_own = signed(&Claims {
        token_id: Some("2".to_owned()),
        ..claims(&["*"], &[])
    });
    let table = [
        (
            format!("PATCH /streams/{id}"),
            &ada,
            json!({ "topics": ["a"] }),
        ),
        (
            "POST /signed-urls".to_owned(),
            &ada,
            json!({ "topics": ["a"] }),
        ),
        (
            "POST /revocations".to_owned(),
            &her_own,
            json!({ "subject": "eve" }),
        ),
    ];
    let waiting: Vec<_> = table
        .iter()
        .map(|(line, token, body)| {
            let mut client = server.connect();
            let body = body.to_string();
            client.send(&format!(
                "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Authorization: Bearer {token}\r\nExpect: 100-continue\r\n\r\n",
                body.len()
            ));
            // RFC 9110, section 10.1.1: it has looked at the head, and wants the body.
            assert!(client.head().starts_with("HTTP/1.1 100 "), "{line}");
            (client, body)
        })
        .collect();
    revoke(&server, &json!({ "token_id": "1" }));
    revoke(&server, &json!({ "token_id": "2" }));
    for ((mut client, body), (line, ..)) in waiting.into_iter().zip(&table) {
        client.send(&body);
        let answer = client.answer();
        assert_eq!(answer.status, 401, "{line} {}", answer.body);
    }
    server.publish("a", "it is as it was");
    stream.until("data: it is as it was\n\n");
}

/// `until` is the token's `exp`, and a hub with some leeway takes the token for longer than that.
#[test]
fn a_revocation_lasts_for_as_long_as_its_token() {
    let now_ms = Arc::new(AtomicU64::new(BEGIN_MS));
    let server = hub(Kind::Shard, |settings| {
        settings.access.keys.leeway_ms = 60_000;
        let now_ms = Arc::clone(&now_ms);
        settings.clock = Arc::new(move || now_ms.load(Ordering::SeqCst));
    });
    let ada = signed(&Claims {
        token_id: Some("1".to_owned()),
        expires_ms: Some(BEGIN_MS + 2_000),
        ..claims(&[], &["a"])
    });
    let body = json!({ "token_id": "1", "until": BEGIN_MS / 1000 + 2 });
    revoke(&server, &body);
    now_ms.fetch_add(2_100, Ordering::SeqCst);
    assert_eq!(connect(&server, &ada).0, 401);
    let another = signed(&Claims {
        expires_ms: Some(BEGIN_MS + 2_000),
        ..claims(&[], &["a"])
    });
    assert_eq!(connect(&server, &another).0, 200, "the leeway");
}

/// A batch that is slowed down has time to outlive its token.
#[test]
fn what_waits_for_its_rate_is_not_published_after_the_grant() {
    let server = hub(Kind::Shard, |settings| {
        settings.limits.publish_rate_max = Some(10);
        settings.limits.publish_burst = Duration::from_secs(1);
    });
    let token = signed(&Claims {
        subject: Some("ada".to_owned()),
        expires_ms: Some(BEGIN_MS + 1_000),
        ..claims(&["a"], &[])
    });
    let lines = "{\"topic\":\"a\",\"data\":\"x\"}\n".repeat(30);
    let head = format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nAuthorization: Bearer {token}"
    );
    let answer = server.ask(&head, &lines);
    assert!(answer.body.contains("\"status\":401"), "{}", answer.body);
    assert!(!answer.body.contains("\"to\":29"), "{}", answer.body);
}

/// Keeps what it is told, and can be made to fail.
#[derive(Default)]
struct TestStore {
    kept: Mutex<Vec<Revocation>>,
    fails: AtomicBool,
    memory: MemoryStore,
}

impl TestStore {
    fn check(&self) -> Result<(), StoreError> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(StoreError::Failed("the disk is full".to_owned())),
            false => Ok(()),
        }
    }
}

impl HubStore for TestStore {
    fn revocations(&self) -> Result<Vec<Revocation>, StoreError> {
        self.check()?;
        Ok(self.kept.lock().unwrap().clone())
    }

    fn keep(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.check()?;
        let mut kept = self.kept.lock().unwrap();
        kept.retain(|one| one.what != revocation.what);
        kept.push(revocation.clone());
        Ok(())
    }

    fn forget(&self, revocations: &[RevokedBy]) -> Result<(), StoreError> {
        self.check()?;
        let mut kept = self.kept.lock().unwrap();
        kept.retain(|one| !revocations.contains(&one.what));
        Ok(())
    }

    fn spend(&self, nonce: &[u8], until_ms: u64, now_ms: u64) -> Result<bool, StoreError> {
        self.memory.spend(nonce, until_ms, now_ms)
    }
}

#[test]
fn revocations_outlive_the_hub_and_not_their_tokens() {
    let store = Arc::new(TestStore::default());
    let with_store = |server_store: &Arc<TestStore>| {
        let server_store = Arc::clone(server_store);
        hub(Kind::Shard, move |settings| settings.store = server_store)
    };
    let ada = reader("ada", "1", "a", 0);
    let eve = reader("eve", "2", "a", 0);
    {
        let server = with_store(&store);
        revoke(&server, &json!({ "subject": "ada" }));
        let until = BEGIN_MS / 1000 + 3600;
        revoke(&server, &json!({ "token_id": "2", "until": until }));
        assert_eq!(connect(&server, &ada).0, 401);
    }
    {
        let server = with_store(&store);
        assert_eq!(connect(&server, &ada).0, 401);
        assert_eq!(connect(&server, &eve).0, 401);
        assert_eq!(store.kept.lock().unwrap().len(), 2);
    }
    // Two hours later the second is over, and let go of.
    let server = hub(Kind::Shard, |settings| {
        settings.store = Arc::clone(&store) as _;
        settings.clock = Arc::new(|| BEGIN_MS + 7_200_000);
    });
    assert_eq!(connect(&server, &ada).0, 401);
    assert_eq!(connect(&server, &eve).0, 200);
    assert_eq!(store.kept.lock().unwrap().len(), 1);
}

#[test]
fn what_is_not_kept_is_said_and_in_force() {
    let store = Arc::new(TestStore::default());
    let server = hub(Kind::Shard, |settings| {
        settings.store = Arc::clone(&store) as _;
    });
    let ada = reader("ada", "1", "a", 0);
    let mut stream = Stream::open(&server, Kind::Shard, "/topics/a", &ada);
    stream.id();
    store.fails.store(true, Ordering::SeqCst);
    let body = json!({ "subject": "ada" }).to_string();
    let answer = ask(&server, "POST /revocations", &admin(), &body);
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("the disk is full"), "{}", answer.body);
    assert!(answer.header("retry-after").is_some());
    assert!(stream.rest().contains("revoked"));
    assert_eq!(connect(&server, &ada).0, 401);
    store.fails.store(false, Ordering::SeqCst);
    let answer = ask(&server, "POST /revocations", &admin(), &body);
    assert_eq!(answer.status, 200);
    assert_eq!(store.kept.lock().unwrap().len(), 1);
}
