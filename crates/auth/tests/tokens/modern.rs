//! The modern dialect's rules, each by its line of shared/protocol/mercure.md.

use serde_json::{Value, json};
use tidewire_auth::{
    Algorithm, Carrier, DETAIL_MATCH_BYTES_MAX, DETAIL_TOPICS_MAX, DETAIL_TYPE, DETAILS_MAX,
    DetailError, Dialect, Grant, Issuer, Key, KeySet, Keys, Presented, Refusal, Role, dialect_of,
};
use tidewire_core::{PatternLimits, Patterns};

use crate::support::*;

fn key() -> Key {
    Key::hmac(SECRET, Algorithm::Hs256).unwrap()
}

/// What becomes of a good token with something changed.
fn with(change: impl FnOnce(&mut Value, &mut Value)) -> Result<Grant, Refusal> {
    let (mut header, mut payload) = modern("HS256");
    change(&mut header, &mut payload);
    decide(&hs256(&header, &payload), &of_issuer(key()))
}

// mercure.md, 2.31.
#[test]
fn the_type_is_that_of_an_access_token() {
    for (typ, want) in [
        (json!("at+jwt"), Ok(())),
        (json!("AT+JWT"), Ok(())),
        (json!("application/at+jwt"), Ok(())),
        (json!("Application/At+Jwt"), Ok(())),
        (json!("JWT"), Err(Refusal::NoType)),
        (json!("at+jwt "), Err(Refusal::NoType)),
        (json!("jwt+at"), Err(Refusal::NoType)),
        (json!("text/at+jwt"), Err(Refusal::NoType)),
        (json!(["at+jwt"]), Err(Refusal::NoType)),
        (json!(null), Err(Refusal::NoType)),
    ] {
        let got = with(|header, _| header["typ"] = typ.clone());
        assert_eq!(got.map(drop), want, "{typ}");
    }
}

// mercure.md, 2.32.
#[test]
fn the_issuer_is_one_that_is_trusted_and_its_keys_are_its_own() {
    let named = |name: &str| {
        Err(Refusal::Issuer {
            named: Some(name.to_owned()),
        })
    };
    for (iss, want) in [
        (json!(ISSUER), Ok(())),
        (
            json!("https://issuer.example/"),
            named("https://issuer.example/"),
        ),
        (
            json!("https://ISSUER.example"),
            named("https://ISSUER.example"),
        ),
        (json!(""), named("")),
        (json!("x".repeat(1000)), named(&"x".repeat(64))),
        (json!(null), Err(Refusal::Issuer { named: None })),
        (json!([ISSUER]), Err(Refusal::Issuer { named: None })),
    ] {
        let got = with(|_, payload| payload["iss"] = iss.clone());
        assert_eq!(got.map(drop), want, "{iss}");
    }

    // Two issuers, each with a key of its own; what one signs in the other's name is not taken. No pooling.
    let other = Key::hmac(b"another secret, of another issuer", Algorithm::Hs256).unwrap();
    let (a, b) = ("https://a.example", "https://b.example");
    let issuer = |name: &str, key: &Key| Issuer {
        name: name.into(),
        publisher: Some(key.clone().into()),
        subscriber: Some(key.clone().into()),
    };
    let keys = Keys {
        issuers: vec![issuer(a, &key()), issuer(b, &other)],
        ..Keys::default()
    };
    let (header, mut payload) = modern("HS256");
    for (iss, want) in [(a, Ok(())), (b, Err(Refusal::Signature))] {
        payload["iss"] = iss.into();
        assert_eq!(decide(&hs256(&header, &payload), &keys).map(drop), want);
    }
}

// mercure.md, 2.32: and for the role.
#[test]
fn an_issuer_has_a_say_in_the_roles_that_it_has_keys_for() {
    let publisher = Key::hmac(b"a publisher's secret of its own", Algorithm::Hs256).unwrap();
    let keys = |publisher: Option<Key>, subscriber: Option<Key>| Keys {
        issuers: vec![Issuer {
            name: ISSUER.into(),
            publisher: publisher.map(KeySet::from),
            subscriber: subscriber.map(KeySet::from),
        }],
        ..Keys::default()
    };
    let (header, payload) = modern("HS256");
    let token = hs256(&header, &payload);
    let in_role = |role, keys: &Keys| ask(&question(&token, role), keys).map(drop);
    let both = keys(Some(publisher), Some(key()));
    assert_eq!(in_role(Role::Subscriber, &both), Ok(()));
    assert_eq!(in_role(Role::Publisher, &both), Err(Refusal::Signature));
    let one = keys(None, Some(key()));
    assert_eq!(in_role(Role::Subscriber, &one), Ok(()));
    assert_eq!(
        in_role(Role::Publisher, &one),
        Err(Refusal::NoKey(Role::Publisher))
    );
    assert!(!one.can_verify(Role::Publisher) && one.can_verify(Role::Subscriber));
    let two = Keys {
        publisher: Some(key().into()),
        ..one
    };
    let want = Refusal::IssuerRole {
        issuer: ISSUER.into(),
        role: Role::Publisher,
    };
    assert_eq!(in_role(Role::Publisher, &two), Err(want));
}

// mercure.md, section 3: a legacy key never verifies a modern token, nor the other way round.
#[test]
fn the_dialects_keys_are_apart() {
    let (header, payload) = modern("HS256");
    let access_token = hs256(&header, &payload);
    let details_alone = hs256(&json!({"alg": "HS256"}), &payload);
    let legacy = hs256(
        &json!({"alg": "HS256"}),
        &json!({"mercure": {"publish": ["*"]}}),
    );
    let none = Refusal::Issuer {
        named: Some(ISSUER.into()),
    };
    let (role, issuer) = (of_role(key()), of_issuer(key()));
    #[rustfmt::skip]
    let table = [
        (&access_token, &issuer, Ok(Dialect::Modern)),
        (&access_token, &role, Err(none)),
        (&details_alone, &issuer, Err(Refusal::NoType)),
        (&details_alone, &role, Err(Refusal::NoType)),
        (&legacy, &role, Ok(Dialect::Legacy)),
        (&legacy, &issuer, Err(Refusal::NoType)),
    ];
    for (token, keys, want) in table {
        assert_eq!(
            decide(token, keys).map(|grant| grant.dialect),
            want,
            "{token}"
        );
    }
    // A legacy token without `iss` at a hub that has both kinds of keys.
    let both = Keys {
        publisher: role.publisher,
        subscriber: role.subscriber,
        ..issuer
    };
    for (dialect, token, want) in [
        (Dialect::Legacy, &legacy, Ok(Dialect::Legacy)),
        (Dialect::Legacy, &access_token, Ok(Dialect::Modern)),
        (Dialect::Modern, &access_token, Ok(Dialect::Modern)),
        (Dialect::Modern, &legacy, Err(Refusal::DialectOfRequest)),
    ] {
        let got = decide_in(dialect, token, &both).map(|grant| grant.dialect);
        assert_eq!(got, want, "{dialect:?} {token}");
    }
}

// mercure.md, section 3: in which dialect a refusal is answered.
#[test]
fn a_refusal_is_answered_in_the_dialect_of_the_request() {
    let keys = of_role(key());
    let (header, payload) = modern("HS256");
    let legacy = hs256(&json!({"alg": "HS256"}), &json!({"exp": 1}));
    let foreign = Signer::secret(b"somebody else's secret, not ours");
    let foreign = signed(&json!({"alg": "HS256"}), &json!({}), &foreign, "HS256");
    let access_token = hs256(&header, &payload);
    for (dialect, token, want) in [
        (None, Some(&*legacy), Dialect::Legacy),
        (None, Some(&*foreign), Dialect::Modern),
        (None, Some(&*access_token), Dialect::Modern),
        (None, Some("no token"), Dialect::Modern),
        (None, None, Dialect::Modern),
        (Some(Dialect::Legacy), None, Dialect::Legacy),
        (Some(Dialect::Modern), Some(&*legacy), Dialect::Modern),
    ] {
        let mut question = question("", Role::Publisher);
        let from = Carrier::Header;
        question.presented = token.map(|token| Presented { token, from });
        question.dialect = dialect;
        assert_eq!(dialect_of(&question, &keys), want, "{dialect:?} {token:?}");
    }
}

// mercure.md, 2.30.
#[test]
fn an_access_token_never_stands_in_a_url() {
    let (header, payload) = modern("HS256");
    let keys = of_issuer(key());
    let token = hs256(&header, &payload);
    for (from, want) in [
        (Carrier::Header, Ok(())),
        (Carrier::Cookie, Ok(())),
        (Carrier::Query, Err(Refusal::QueryModern)),
    ] {
        let mut question = question("", Role::Subscriber);
        question.presented = Some(Presented {
            token: &token,
            from,
        });
        assert_eq!(ask(&question, &keys).map(drop), want, "{from:?}");
        assert!(
            !format!("{question:?}").contains(&token),
            "a token is not shown"
        );
    }
    assert_eq!(Refusal::QueryModern.error_code(), Some("invalid_request"));
}

// mercure.md, 2.33.
#[test]
fn the_audience_is_this_hub() {
    let other = Refusal::Audience { hub: HUB.into() };
    for (aud, want) in [
        (json!(HUB), Ok(())),
        (json!([HUB]), Ok(())),
        (json!(["https://other.example", HUB]), Ok(())),
        (json!("https://other.example"), Err(other.clone())),
        (json!(format!("{HUB}/")), Err(other.clone())),
        (json!([]), Err(other.clone())),
        (json!(null), Err(other)),
        (json!([HUB, 1]), Err(Refusal::Claim("aud"))),
        (json!({ "aud": HUB }), Err(Refusal::Claim("aud"))),
    ] {
        let got = with(|_, payload| payload["aud"] = aud.clone());
        assert_eq!(got.map(drop), want, "{aud}");
    }
}

// mercure.md, 2.34.
#[test]
fn it_has_an_end() {
    let now = NOW_MS / 1000;
    let expired = Refusal::Expired { expires_ms: NOW_MS };
    let not_yet = Refusal::NotYet {
        not_before_ms: NOW_MS + 1000,
    };
    let keys = of_issuer(key());
    let (header, good) = modern("HS256");
    #[rustfmt::skip]
    let table: [(Value, u64, Result<u64, Refusal>); 9] = [
        (json!({"exp": now + 1}), 0, Ok(NOW_MS + 1000)),
        (json!({"exp": now}), 0, Err(expired.clone())),
        (json!({"exp": null}), 0, Err(Refusal::Claim("exp"))),
        (json!({"exp": "9999999999"}), 0, Err(Refusal::Claim("exp"))),
        (json!({"nbf": now + 1}), 0, Err(not_yet.clone())),
        (json!({"nbf": now}), 0, Ok(NOW_MS + 60_000)),
        // With some leeway; what it leaves is the grant's too.
        (json!({"exp": now}), 1, Ok(NOW_MS + 1)),
        (json!({"nbf": now + 1}), 1000, Ok(NOW_MS + 61_000)),
        (json!({"nbf": now + 1}), 999, Err(not_yet)),
    ];
    for (claims, leeway_ms, want) in table {
        let mut payload = good.clone();
        payload
            .as_object_mut()
            .unwrap()
            .extend(claims.as_object().unwrap().clone());
        let keys = Keys {
            leeway_ms,
            ..keys.clone()
        };
        let got = decide(&hs256(&header, &payload), &keys).map(|grant| grant.expires_ms.unwrap());
        assert_eq!(got, want, "{claims} {leeway_ms}");
    }
    let got = with(|_, payload| drop(payload.as_object_mut().unwrap().remove("exp")));
    assert_eq!(got, Err(Refusal::NoExpiry));
}

fn detail(actions: Value, topics: Value) -> Value {
    let mut detail = json!({ "type": DETAIL_TYPE });
    detail["actions"] = actions;
    detail["topics"] = topics;
    detail
}

// mercure.md, 2.35 and 2.6.
#[test]
fn details_grant_what_they_name() {
    let (p, s) = (json!(["publish"]), json!(["subscribe"]));
    let both = json!(["subscribe", "fly", "publish"]);
    let exact = |text: &str| json!([{ "match": text }]);
    let typed = |text: &str, kind: &str| json!([{ "match": text, "match_type": kind }]);
    let books = "https://example.com/books/:id";
    #[rustfmt::skip]
    let table: [(Value, &str, bool, bool); 17] = [
        // details, topic, may publish, may read
        (json!([detail(p.clone(), exact("a"))]), "a", true, false),
        (json!([detail(s.clone(), exact("a"))]), "a", false, true),
        (json!([detail(both, exact("a"))]), "a", true, true),
        (json!([detail(s.clone(), exact("a"))]), "b", false, false),
        (json!([detail(s.clone(), exact("*"))]), "b", false, true),
        (json!([detail(s.clone(), typed("*", "urlpattern"))]), "b", false, true),
        (json!([detail(s.clone(), typed("*", "exact"))]), "b", false, true),
        // Not a template, and a pattern only where it says so.
        (json!([detail(s.clone(), exact("{x}"))]), "b", false, false),
        (json!([detail(s.clone(), exact(books))]), "https://example.com/books/1", false, false),
        (json!([detail(s.clone(), typed(books, "urlpattern"))]), "https://example.com/books/1", false, true),
        (json!([detail(s.clone(), typed(books, "urlpattern"))]), "https://example.com/films/1", false, false),
        (json!([detail(p.clone(), exact("a")), detail(s.clone(), exact("b"))]), "b", false, true),
        // Others' details, whatever their shape.
        (json!([1, null, "x", {}, {"type": "payment", "actions": 7}, detail(s.clone(), exact("a"))]), "a", false, true),
        (json!([{"type": "HTTPS://mercure.rocks/authorization-detail", "actions": s, "topics": exact("a")}]), "a", false, false),
        (json!([]), "a", false, false),
        // Unknown actions alone grant nothing, and unknown members say nothing.
        (json!([detail(json!(["fly"]), exact("a"))]), "a", false, false),
        (json!([{"type": DETAIL_TYPE, "actions": s, "topics": [{"match": "a", "x": 1}], "y": 2}]), "a", false, true),
    ];
    for (details, topic, publishes, reads) in table {
        let (header, mut payload) = modern("HS256");
        payload["authorization_details"] = details.clone();
        let token = hs256(&header, &payload);
        let keys = of_issuer(key());
        let read = decide(&token, &keys).unwrap();
        assert!(read.subscribe && read.publish.is_empty());
        assert_eq!(
            read.private.accepts(topic.as_bytes()),
            reads,
            "{details} {topic}"
        );
        let write = ask(&question(&token, Role::Publisher), &keys);
        let may = write.is_ok_and(|grant| grant.publish.accepts(topic.as_bytes()));
        assert_eq!(may, publishes, "{details} {topic}");
    }
}

// mercure.md, 2.35: any defect spoils the token, in either role.
#[test]
fn a_defect_in_one_detail_spoils_the_token() {
    use DetailError::{Details, MatchType, Shape, TooLong, Topics};
    let s = || json!(["subscribe"]);
    let topic = |text: &str| json!({ "match": text });
    let of_type = |kind: Value| detail(s(), json!([{ "match": "a", "match_type": kind }]));
    let topics = |count: usize| detail(s(), json!(vec![topic("a"); count]));
    let fits = "x".repeat(DETAIL_MATCH_BYTES_MAX);
    let long = format!("{fits}x");
    let good = detail(s(), json!([topic("a")]));
    #[rustfmt::skip]
    let table: [(Value, Option<DetailError>); 30] = [
        (detail(json!([]), json!([topic("a")])), Some(Shape("actions"))),
        (detail(json!("subscribe"), json!([topic("a")])), Some(Shape("actions"))),
        (detail(json!(["subscribe", 1]), json!([topic("a")])), Some(Shape("actions"))),
        (detail(json!(null), json!([topic("a")])), Some(Shape("actions"))),
        (json!({"type": DETAIL_TYPE, "topics": [topic("a")]}), Some(Shape("actions"))),
        (json!({"type": DETAIL_TYPE, "actions": s()}), Some(Shape("topics"))),
        (detail(s(), json!([])), Some(Shape("topics"))),
        (detail(s(), topic("a")), Some(Shape("topics"))),
        (detail(s(), json!(["a"])), Some(Shape("topics"))),
        (detail(s(), json!([null])), Some(Shape("topics"))),
        (detail(s(), json!([{}])), Some(Shape("match"))),
        (detail(s(), json!([{"match": ""}])), Some(Shape("match"))),
        (detail(s(), json!([{"match": ["a"]}])), Some(Shape("match"))),
        (detail(s(), json!([topic("a"), {"match": 1}])), Some(Shape("match"))),
        (of_type(json!("exact")), None),
        (of_type(json!("urlpattern")), None),
        (of_type(json!("Exact")), Some(MatchType)),
        (of_type(json!("URLPattern")), Some(MatchType)),
        (of_type(json!("template")), Some(MatchType)),
        (of_type(json!("")), Some(MatchType)),
        (of_type(json!(null)), Some(MatchType)),
        (of_type(json!(["exact"])), Some(MatchType)),
        (topics(DETAIL_TOPICS_MAX), None),
        (topics(DETAIL_TOPICS_MAX + 1), Some(Topics)),
        (detail(s(), json!([topic(&fits)])), None),
        (detail(s(), json!([topic(&long)])), Some(TooLong)),
        (json!({"type": DETAIL_TYPE, "actions": s(), "topics": [topic("a")], "payload": "any"}), None),
        (detail(json!(["fly"]), json!([{}])), Some(Shape("match"))),
        (detail(json!(["publish"]), json!(["a"])), Some(Shape("topics"))),
        (good.clone(), None),
    ];
    let keys = of_issuer(key());
    for (entry, defect) in table {
        let (header, mut payload) = modern("HS256");
        payload["authorization_details"] = json!([1, entry]);
        let token = hs256(&header, &payload);
        let want = match defect.clone() {
            None => Ok(()),
            Some(why) => Err(Refusal::Detail { index: 1, why }),
        };
        assert_eq!(decide(&token, &keys).map(drop), want, "{entry:.200}");
        if defect.is_some() {
            let written = ask(&question(&token, Role::Publisher), &keys).map(drop);
            assert_eq!(written, want, "{entry:.200}");
        }
    }
    // Limits over all of them, and what is no list.
    let half = topics(DETAIL_TOPICS_MAX / 2 + 1);
    for (details, want) in [
        (
            json!([half, half]),
            Refusal::Detail {
                index: 1,
                why: Topics,
            },
        ),
        (json!({}), Refusal::Claim("authorization_details")),
        (json!(null), Refusal::Claim("authorization_details")),
    ] {
        let got = with(|_, payload| payload["authorization_details"] = details.clone());
        assert_eq!(got.map(drop), Err(want));
    }
    for (count, want) in [(DETAILS_MAX, Ok(())), (DETAILS_MAX + 1, Err(()))] {
        let got = with(|_, payload| payload["authorization_details"] = json!(vec![&good; count]));
        let fails = |refusal| {
            matches!(
                refusal,
                Refusal::Detail {
                    why: Details | Topics,
                    ..
                }
            )
        };
        assert_eq!(
            got.map(drop).map_err(|refusal| assert!(fails(refusal))),
            want
        );
    }
}

#[test]
fn a_pattern_that_is_none_spoils_the_token_and_one_too_many_does_not() {
    let typed = |text: &str| json!([{ "match": text, "match_type": "urlpattern" }]);
    for (text, kind) in [
        ("https://[/", "urlpattern"),
        ("a\nb", "urlpattern"),
        ("a\u{200b}b", "exact"),
    ] {
        let topics = json!([{ "match": text, "match_type": kind }]);
        // In the other role's detail as well.
        for action in ["subscribe", "publish"] {
            let entry = detail(json!([action]), topics.clone());
            let got = with(|_, payload| payload["authorization_details"] = json!([entry]));
            let is_detail = matches!(
                got,
                Err(Refusal::Detail {
                    index: 0,
                    why: DetailError::Pattern(_)
                })
            );
            assert!(is_detail, "{text:?} {got:?}");
        }
    }
    // The hub's patterns are full: the token is good, and trying again helps.
    let (header, mut payload) = modern("HS256");
    payload["authorization_details"] = json!([detail(json!(["subscribe"]), typed("/books/:id"))]);
    let token = hs256(&header, &payload);
    let mut limits = PatternLimits::default();
    limits.patterns_bytes_max = 0;
    let refusal = tidewire_auth::decide(
        &question(&token, Role::Subscriber),
        &of_issuer(key()),
        tidewire_auth::Anonymous::None,
        &Patterns::new(limits),
    );
    assert!(matches!(refusal, Err(Refusal::Pattern(error)) if error.is_temporary()));
}

// mercure.md, 2.63 and 1.6: what others are shown of a subscriber.
#[test]
fn payloads_are_shown_in_the_tokens_order() {
    let with_payload = |action: &str, topic: &str, payload: Value| {
        json!({
            "type": DETAIL_TYPE, "actions": [action], "topics": [{ "match": topic }], "payload": payload,
        })
    };
    let details = json!([
        with_payload("publish", "a", json!("a publisher's")),
        with_payload("subscribe", "a", json!({"n": 1})),
        detail(json!(["subscribe"]), json!([{ "match": "b" }])),
        with_payload("subscribe", "*", json!({"n": 2})),
    ]);
    let grant = with(|_, payload| payload["authorization_details"] = details).unwrap();
    let shown: Vec<_> = grant
        .payloads
        .iter()
        .map(|payload| &*payload.json)
        .collect();
    assert_eq!(shown, [r#"{"n":1}"#, r#"{"n":2}"#]);
    assert!(grant.payloads[0].topics.accepts(b"a") && !grant.payloads[0].topics.accepts(b"b"));
    assert!(grant.payloads[1].topics.is_any());

    let legacy = |payload: Value| {
        let claims = json!({"mercure": {"subscribe": ["a"], "payload": payload}});
        decide(&hs256(&json!({"alg": "HS256"}), &claims), &of_role(key()))
            .unwrap()
            .payloads
    };
    let one = legacy(json!({"name": "Alice"}));
    assert_eq!(
        (one.len(), &*one[0].json, one[0].topics.is_any()),
        (1, r#"{"name":"Alice"}"#, true)
    );
    assert!(legacy(json!(null)).is_empty());
}

// mercure.md, 2.36: what a challenge says.
#[test]
fn refusals_have_their_codes_and_say_no_secret() {
    let scope = Refusal::NotGranted(Role::Publisher);
    assert_eq!(scope.error_code(), Some("insufficient_scope"));
    assert_eq!(Refusal::Missing(Role::Publisher).error_code(), None);
    let (header, mut payload) = modern("HS256");
    payload["authorization_details"] = json!([]);
    let token = hs256(&header, &payload);
    let got = ask(&question(&token, Role::Publisher), &of_issuer(key()));
    assert_eq!(got, Err(scope));
    for refusal in [
        Refusal::Signature,
        Refusal::NoType,
        Refusal::NoExpiry,
        Refusal::Revoked,
    ] {
        assert_eq!(refusal.error_code(), Some("invalid_token"));
    }
}
