//! Streams that are revised and revoked while they run, on every kind of connection.

use serde_json::{Value, json};
use tidewire_auth::Claims;

use super::{brief, wait_for_told};
use crate::kinds::{KINDS, Stream, ask, claims, hub, signed, token_of};

#[test]
fn a_stream_that_takes_other_topics_tells_the_difference() {
    for kind in KINDS {
        let server = hub(kind, |settings| settings.subscriptions = true);
        let token = token_of("ada", &[], 3_600_000);
        let mut other = Stream::open(&server, kind, "/topics/a", &token);
        other.id();
        let mut stream = Stream::open(&server, kind, "/topics/a", &token);
        let id = stream.id();
        let begun = wait_for_told(&server, 2);
        let patch = |body: &str| {
            let answer = ask(&server, &format!("PATCH /streams/{id}"), &token, body);
            assert_eq!(answer.status, 200, "{kind:?} {}", answer.body);
        };
        patch(r#"{"add":{"topics":["b"],"match_urlpattern":["https://x.example/:id"]}}"#);
        let told = wait_for_told(&server, 4);
        let added = [(true, "b"), (true, "https://x.example/:id")];
        assert_eq!(brief(&told[2..]), added, "{kind:?}");
        assert_eq!(told[3]["match_type"], "urlpattern");
        assert!(
            told[2..]
                .iter()
                .all(|event| event["subscriber"] == begun[1]["subscriber"])
        );
        // A new grant alone is nobody's business.
        patch("");
        patch(r#"{"topics":["b","c"]}"#);
        let told = wait_for_told(&server, 7);
        let changed = [(false, "a"), (false, "https://x.example/:id"), (true, "c")];
        assert_eq!(brief(&told[4..]), changed, "{kind:?}");
        drop(stream);
        // Whoever polls a body sees with the next event that nobody wants it.
        server.publish("b", "x");
        let told = wait_for_told(&server, 9);
        assert_eq!(brief(&told[7..]), [(false, "b"), (false, "c")], "{kind:?}");
    }
}

#[test]
fn the_end_of_a_revoked_stream_is_told() {
    for kind in KINDS {
        let server = hub(kind, |settings| settings.subscriptions = true);
        let token = token_of("ada", &[], 3_600_000);
        let mut stream = Stream::open(&server, kind, "/topics/a", &token);
        stream.id();
        wait_for_told(&server, 1);
        let admin = signed(&Claims {
            subject: Some("root".to_owned()),
            ..claims(&["*"], &[])
        });
        let body = json!({"subject": "ada"}).to_string();
        let answer = ask(&server, "POST /revocations", &admin, &body);
        assert_eq!(answer.status, 200, "{kind:?} {}", answer.body);
        let _: Value = serde_json::from_str(&answer.body).unwrap();
        stream.rest();
        let told = wait_for_told(&server, 2);
        assert_eq!(brief(&told), [(true, "a"), (false, "a")], "{kind:?}");
    }
}
