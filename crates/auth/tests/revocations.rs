//! Which tokens a revocation takes back, and for how long.

use tidewire_auth::{
    Grant, REVOCATION_TEXT_BYTES_MAX, Revocation, RevocationError, Revocations, RevokedBy,
};
use tidewire_core::{Matcher, MatcherSet, Patterns, Topic};

const AT_MS: u64 = 1_795_250_000_500;

fn by_id(issuer: Option<&str>, id: &str) -> RevokedBy {
    RevokedBy::TokenId {
        issuer: issuer.map(Into::into),
        id: id.into(),
    }
}

fn by_subject(issuer: Option<&str>, subject: &str) -> RevokedBy {
    RevokedBy::Subject {
        issuer: issuer.map(Into::into),
        subject: subject.into(),
    }
}

fn by_topic(name: &str) -> RevokedBy {
    RevokedBy::Topic(Topic::parse(name).unwrap())
}

fn revoked(what: RevokedBy, until_ms: Option<u64>) -> Revocation {
    Revocation {
        what,
        revoked_ms: AT_MS,
        until_ms,
    }
}

fn topics(selectors: &[&str]) -> MatcherSet {
    let patterns = Patterns::default();
    let matcher = |text: &&str| -> Matcher { patterns.selector(text).unwrap() };
    selectors.iter().map(matcher).collect()
}

/// Who holds a token, and when it was made.
fn alice(issued_ms: Option<u64>) -> Grant {
    Grant {
        issuer: Some("https://a.example".into()),
        subject: Some("alice".into()),
        token_id: Some("7".into()),
        private: topics(&["orders/1", "users/{id}"]),
        issued_ms,
        ..Grant::default()
    }
}

#[test]
fn a_revocation_takes_back_what_it_names() {
    let (before, same, after) = (Some(AT_MS - 1), Some(AT_MS), Some(AT_MS + 1));
    let (a, b) = (Some("https://a.example"), Some("https://b.example"));
    #[rustfmt::skip]
    let table = [
        // By id: that token, whenever it was made.
        (by_id(None, "7"), before, true),
        (by_id(None, "7"), after, true),
        (by_id(a, "7"), before, true),
        (by_id(b, "7"), before, false),
        (by_id(None, "8"), before, false),
        (by_id(None, "alice"), before, false),
        // By subject: those made until then; a fresh one is good.
        (by_subject(None, "alice"), before, true),
        (by_subject(None, "alice"), same, true),
        (by_subject(None, "alice"), after, false),
        (by_subject(None, "alice"), None, true),
        (by_subject(a, "alice"), before, true),
        (by_subject(b, "alice"), before, false),
        (by_subject(None, "bob"), before, false),
        (by_subject(None, "7"), before, false),
        // By topic: whatever covers it.
        (by_topic("orders/1"), before, true),
        (by_topic("orders/1"), after, false),
        (by_topic("users/9"), before, true),
        (by_topic("users/9"), None, true),
        (by_topic("orders/2"), before, false),
    ];
    for (what, issued_ms, want) in table {
        let revocation = revoked(what, None);
        let grant = alice(issued_ms);
        assert_eq!(revocation.applies_to(&grant), want, "{revocation:?}");
        let mut all = Revocations::default();
        // Others on both sides, so that something has to be found.
        for other in ["0", "5", "alicf", "users", "z"] {
            for what in [by_id(None, other), by_subject(b, other), by_topic(other)] {
                all.insert(revoked(what, None)).unwrap();
            }
        }
        all.insert(revocation.clone()).unwrap();
        let found = all.check(&grant, AT_MS);
        assert_eq!(found, want.then_some(&revocation));
    }
}

#[test]
fn whoever_publishes_to_a_topic_is_not_concerned_by_it() {
    let table = [
        (&["a"] as &[&str], true),
        (&["*"], true),
        (&["{x}"], true),
        (&["b"], false),
        (&[], false),
    ];
    let mut all = Revocations::default();
    all.insert(revoked(by_topic("a"), None)).unwrap();
    for (covering, want) in table {
        let publisher = Grant {
            publish: topics(covering),
            ..Grant::default()
        };
        assert_eq!(all.check(&publisher, AT_MS), None, "{covering:?}");
        let reader = Grant {
            private: topics(covering),
            ..Grant::default()
        };
        assert_eq!(all.check(&reader, AT_MS).is_some(), want, "{covering:?}");
    }
}

#[test]
fn it_ends_when_the_tokens_have_ended() {
    let mut all = Revocations::default();
    all.insert(revoked(by_subject(None, "alice"), Some(AT_MS + 10)))
        .unwrap();
    let grant = alice(None);
    assert!(all.check(&grant, AT_MS + 9).is_some());
    assert!(all.check(&grant, AT_MS + 10).is_none());
    assert_eq!((all.expire(AT_MS + 9), all.len()), (0, 1));
    assert_eq!((all.expire(AT_MS + 10), all.len()), (1, 0));

    // The later time and the later end count; no end is later than any.
    for (ends, want) in [
        ([Some(10), Some(30), Some(20)], Some(30)),
        ([Some(10), None, Some(20)], None),
    ] {
        let mut all = Revocations::default();
        for (index, until_ms) in ends.into_iter().enumerate() {
            let what = by_id(Some("i"), "7");
            let revoked_ms = [5, 9, 7][index];
            all.insert(Revocation {
                what,
                revoked_ms,
                until_ms,
            })
            .unwrap();
        }
        let only: Vec<_> = all.iter().collect();
        assert_eq!(
            (only.len(), only[0].revoked_ms, only[0].until_ms),
            (1, 9, want)
        );
    }
}

#[test]
fn there_is_a_limit() {
    let mut all = Revocations::new(2);
    all.insert(revoked(by_id(None, "1"), Some(AT_MS))).unwrap();
    all.insert(revoked(by_subject(None, "1"), None)).unwrap();
    let full = Err(RevocationError::Full { entries_max: 2 });
    assert_eq!(all.insert(revoked(by_topic("1"), None)), full);
    assert_eq!(all.insert(revoked(by_id(Some("i"), "1"), None)), full);
    // What is there already takes no room.
    assert_eq!(all.insert(revoked(by_id(None, "1"), Some(AT_MS))), Ok(()));
    assert_eq!((all.len(), all.iter().count()), (2, 2));
    assert_eq!(all.expire(AT_MS), 1);
    assert_eq!(all.insert(revoked(by_topic("1"), None)), Ok(()));

    let long = "x".repeat(REVOCATION_TEXT_BYTES_MAX);
    let mut all = Revocations::default();
    assert_eq!(all.insert(revoked(by_id(Some(&long), &long), None)), Ok(()));
    for what in [
        by_id(None, &format!("{long}x")),
        by_subject(Some(&format!("{long}x")), "a"),
        by_subject(None, ""),
        by_id(Some(""), "a"),
    ] {
        assert_eq!(all.insert(revoked(what, None)), Err(RevocationError::Text));
    }
}
