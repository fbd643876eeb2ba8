//! The crate's contract: who gets which grant, and why not.
#![cfg(feature = "verify")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tidewire_auth::{
    Algorithm, Anonymous, Carrier, Claims, Grant, Key, KeyError, Keys, Presented, Question,
    Refusal, Role, SELECTORS_MAX, TOKEN_BYTES_MAX, Weakness, inspect, keygen, mint,
};
use tidewire_core::{PatternError, Patterns};

const NOW_MS: u64 = 1_795_250_000_000;
const SECRET: &[u8] = b"!ChangeThisMercureHubJWTSecretKey!";

fn key(algorithm: Algorithm) -> Key {
    Key::hmac(SECRET, algorithm).unwrap()
}

fn keys() -> Keys {
    Keys {
        publisher: Some(key(Algorithm::Hs256).into()),
        subscriber: Some(key(Algorithm::Hs256).into()),
        ..Keys::default()
    }
}

/// A token with any header and payload, signed right.
fn token(header: &Value, payload: &Value) -> String {
    use jsonwebtoken::{EncodingKey, crypto};
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(payload));
    let algorithm = match header["alg"].as_str() {
        Some("HS512") => jsonwebtoken::Algorithm::HS512,
        _ => jsonwebtoken::Algorithm::HS256,
    };
    let signature = crypto::sign(
        signed.as_bytes(),
        &EncodingKey::from_secret(SECRET),
        algorithm,
    );
    format!("{signed}.{}", signature.unwrap())
}

fn decide(
    token: Option<&str>,
    role: Role,
    keys: &Keys,
    anonymous: Anonymous,
) -> Result<Grant, Refusal> {
    let from = Carrier::Header;
    let question = Question {
        presented: token.map(|token| Presented { token, from }),
        role,
        dialect: None,
        audience: "https://hub.example/.well-known/mercure",
        now_ms: NOW_MS,
    };
    tidewire_auth::decide(&question, keys, anonymous, &Patterns::default())
}

fn publisher(token: &str) -> Result<Grant, Refusal> {
    decide(Some(token), Role::Publisher, &keys(), Anonymous::All)
}

fn subscriber(token: &str) -> Result<Grant, Refusal> {
    decide(Some(token), Role::Subscriber, &keys(), Anonymous::All)
}

fn accepts(grant: &Grant, topics: &[&str]) -> Vec<bool> {
    topics
        .iter()
        .map(|topic| grant.publish.accepts(topic.as_bytes()))
        .collect()
}

#[test]
fn claims_decide_what_may_be_published() {
    let hs256 = json!({"alg": "HS256"});
    let many = "{a}".repeat(tidewire_core::TEMPLATE_EXPRESSIONS_MAX + 1);
    #[rustfmt::skip]
    let table = [
        (json!({"mercure": {"publish": ["*"]}}), Ok(vec![true, true])),
        (json!({"mercure": {"publish": ["{x}"]}}), Ok(vec![true, true])),
        (json!({"mercure": {"publish": ["b{/x}"]}}), Ok(vec![false, true])),
        (json!({"mercure": {"publish": ["a", "{x"]}}), Ok(vec![true, false])),
        (json!({"mercure": {"publish": ["a", many]}}), Err(Refusal::Pattern(PatternError::Expressions))),
        (json!({"mercure": {"publish": ["a", "x{y}"]}}), Ok(vec![true, false])),
        (json!({"mercure": {"publish": ["a"]}, "https://mercure.rocks/": {"publish": ["b"]}}), Ok(vec![false, true])),
        (json!({"mercure": {"publish": ["*"]}, "https://mercure.rocks/": {}}), Err(Refusal::NotGranted(Role::Publisher))),
        (json!({"https://mercure.rocks/": {"publish": ["a", "\n"]}}), Ok(vec![true, false])),
        (json!({"mercure": {"publish": []}}), Err(Refusal::NotGranted(Role::Publisher))),
        (json!({"mercure": {"publish": null}}), Err(Refusal::NotGranted(Role::Publisher))),
        (json!({"mercure": {"subscribe": ["*"]}}), Err(Refusal::NotGranted(Role::Publisher))),
        (json!({}), Err(Refusal::NotGranted(Role::Publisher))),
        (json!({"mercure": {"publish": "*"}}), Err(Refusal::Claim("publish"))),
        (json!({"mercure": {"publish": [1]}}), Err(Refusal::Claim("publish"))),
        (json!({"mercure": ["*"]}), Err(Refusal::Claim("mercure"))),
        (json!({"mercure": {"publish": vec!["a"; SELECTORS_MAX]}}), Ok(vec![true, false])),
        (json!({"mercure": {"publish": vec!["a"; SELECTORS_MAX + 1]}}), Err(Refusal::Claim("publish"))),
    ];
    for (payload, want) in table {
        let got = publisher(&token(&hs256, &payload)).map(|grant| accepts(&grant, &["a", "b"]));
        assert_eq!(got, want, "{payload}");
    }
}

#[test]
fn a_good_token_reads_public_events_and_what_it_names() {
    let hs256 = json!({"alg": "HS256"});
    for (payload, private) in [
        (json!({}), false),
        (json!({"mercure": {"publish": ["*"]}}), false),
        (json!({"mercure": {"subscribe": ["b"]}}), false),
        (json!({"mercure": {"subscribe": ["a"]}}), true),
        (json!({"mercure": {"subscribe": ["*"]}}), true),
    ] {
        let grant = subscriber(&token(&hs256, &payload)).unwrap();
        assert!(grant.subscribe && grant.publish.is_empty(), "{payload}");
        assert_eq!(grant.private.accepts(b"a"), private, "{payload}");
    }
}

#[test]
fn time_is_kept_to_the_millisecond() {
    let now = NOW_MS / 1000;
    let expired = |expires_ms| Err(Refusal::Expired { expires_ms });
    #[rustfmt::skip]
    let table = [
        (json!({"exp": now + 1}), Ok(Some(NOW_MS + 1000))),
        (json!({"exp": now}), expired(NOW_MS)),
        (json!({"exp": now as f64 + 0.5}), Ok(Some(NOW_MS + 500))),
        (json!({"exp": now as f64 - 0.5}), expired(NOW_MS - 500)),
        (json!({"exp": 0}), expired(0)),
        (json!({"exp": -5}), expired(0)),
        (json!({"exp": u64::MAX}), Ok(Some(u64::MAX))),
        (json!({"exp": 1e300}), Ok(Some(u64::MAX))),
        (json!({"exp": now.to_string()}), Err(Refusal::Claim("exp"))),
        (json!({"exp": null}), Err(Refusal::Claim("exp"))),
        (json!({"nbf": now}), Ok(None)),
        (json!({"nbf": now + 1}), Err(Refusal::NotYet { not_before_ms: NOW_MS + 1000 })),
        (json!({"nbf": "x"}), Err(Refusal::Claim("nbf"))),
    ];
    for (payload, want) in table {
        let got =
            subscriber(&token(&json!({"alg": "HS256"}), &payload)).map(|grant| grant.expires_ms);
        assert_eq!(got, want, "{payload}");
    }
}

#[test]
fn the_key_says_which_algorithm() {
    let payload = json!({"mercure": {"publish": ["*"]}});
    let refused = |token: &str| {
        Err(Refusal::Algorithm {
            token: token.into(),
            keys: Algorithm::Hs256.into(),
        })
    };
    for (header, want) in [
        (json!({"alg": "HS256"}), Ok(())),
        (json!({"alg": "HS256", "typ": "anything"}), Ok(())),
        (json!({"alg": "HS512"}), refused("HS512")),
        (json!({"alg": "none"}), refused("none")),
        (json!({"alg": "None"}), refused("None")),
        (json!({"alg": "hs256"}), refused("hs256")),
        (json!({"alg": "RS256"}), refused("RS256")),
        (json!({"alg": "x".repeat(100)}), refused(&"x".repeat(64))),
        (json!({"alg": null}), Err(Refusal::Malformed("header"))),
        (json!({}), Err(Refusal::Malformed("header"))),
        (
            json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
            Err(Refusal::Critical),
        ),
    ] {
        assert_eq!(
            publisher(&token(&header, &payload)).map(drop),
            want,
            "{header}"
        );
    }
    let keys = Keys {
        publisher: Some(key(Algorithm::Hs512).into()),
        ..Keys::default()
    };
    let hs512 = token(&json!({"alg": "HS512"}), &payload);
    assert!(decide(Some(&hs512), Role::Publisher, &keys, Anonymous::None).is_ok());
}

#[test]
fn what_is_no_token_is_refused_even_where_none_is_needed() {
    let good = token(
        &json!({"alg": "HS256"}),
        &json!({"mercure": {"publish": ["*"]}}),
    );
    assert!(publisher(&good).is_ok());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let (longest, long) = ("x".repeat(TOKEN_BYTES_MAX), "x".repeat(TOKEN_BYTES_MAX + 1));
    let alg = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let list = URL_SAFE_NO_PAD.encode("[]");
    #[rustfmt::skip]
    let table = [
        (String::new(), Refusal::Malformed("three parts")),
        ("a.b".into(), Refusal::Malformed("three parts")),
        (format!("{good}.x"), Refusal::Malformed("three parts")),
        (format!("{signed}.{first}{}", &signature[1..]), Refusal::Signature),
        (format!("{signed}."), Refusal::Signature),
        (format!("{signed}.{signature}="), Refusal::Malformed("signature")),
        (format!("{alg}.{list}.{signature}"), Refusal::Malformed("payload")),
        (format!("{list}.{alg}.{signature}"), Refusal::Malformed("header")),
        (format!(" {good}"), Refusal::Malformed("header")),
        (longest, Refusal::Malformed("three parts")),
        (long.clone(), Refusal::TooLong { bytes: long.len() }),
    ];
    for (token, want) in table {
        assert_eq!(publisher(&token), Err(want), "{token:.80}");
    }
}

#[test]
fn anonymous_requests_get_what_is_open() {
    use Role::{Publisher, Subscriber};
    for (mode, role, allowed) in [
        ("none", Publisher, false),
        ("none", Subscriber, false),
        ("subscribe", Publisher, false),
        ("subscribe", Subscriber, true),
        ("all", Publisher, true),
        ("all", Subscriber, true),
    ] {
        let anonymous: Anonymous = mode.parse().unwrap();
        assert_eq!(anonymous.to_string(), mode);
        let got = decide(None, role, &keys(), anonymous);
        assert_eq!(got.is_ok(), allowed, "{mode} {role}");
        match got {
            Ok(grant) => {
                assert_eq!(grant.publish.accepts(b"x"), role == Publisher);
                assert_eq!(grant.subscribe, role == Subscriber);
                assert!(grant.private.is_empty(), "private events are never open");
            }
            Err(refusal) => assert_eq!(refusal, Refusal::Missing(role)),
        }
    }
    assert!("ALL".parse::<Anonymous>().is_err());
}

#[test]
fn roles_are_apart() {
    let good = token(
        &json!({"alg": "HS256"}),
        &json!({"mercure": {"publish": ["*"]}}),
    );
    let keys = Keys {
        publisher: Some(Key::hmac(b"another", Algorithm::Hs256).unwrap().into()),
        subscriber: Some(key(Algorithm::Hs256).into()),
        ..Keys::default()
    };
    let ask = |role, keys: &Keys| decide(Some(&good), role, keys, Anonymous::All).map(drop);
    assert_eq!(ask(Role::Publisher, &keys), Err(Refusal::Signature));
    assert_eq!(ask(Role::Subscriber, &keys), Ok(()));
    let none = Keys::default();
    assert_eq!(
        ask(Role::Publisher, &none),
        Err(Refusal::NoKey(Role::Publisher))
    );
}

#[test]
fn what_is_minted_is_granted() {
    let claims = Claims {
        publish: vec!["a".into(), "ü/\"1".into()],
        subscribe: vec!["*".into()],
        expires_ms: Some(NOW_MS + 60_000),
        not_before_ms: Some(NOW_MS),
        subject: Some("alice".into()),
        issuer: Some("https://issuer".into()),
        token_id: Some("7".into()),
        payload: Some(json!({"name": "Alice"})),
        issued_ms: Some(NOW_MS),
        ..Claims::default()
    };
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let secret = keygen(&[7; tidewire_auth::KEY_BYTES]);
        let key = Key::hmac(secret.as_bytes(), algorithm).unwrap();
        assert_eq!(key.weakness(), None);
        let token = mint(&claims, &key).unwrap();
        assert_eq!(inspect(&token).unwrap().claims, Ok(claims.clone()));
        let keys = Keys {
            publisher: Some(key.into()),
            ..Keys::default()
        };
        let grant = decide(Some(&token), Role::Publisher, &keys, Anonymous::None).unwrap();
        assert_eq!(grant.issued_ms, claims.issued_ms);
        assert_eq!(accepts(&grant, &["a", "ü/\"1", "b"]), [true, true, false]);
        let who = (
            grant.subject.as_deref(),
            grant.issuer.as_deref(),
            grant.token_id.as_deref(),
        );
        assert_eq!(who, (Some("alice"), Some("https://issuer"), Some("7")));
        assert_eq!(grant.expires_ms, claims.expires_ms);
    }
    let many = Claims {
        publish: vec!["a".into(); SELECTORS_MAX + 1],
        ..Claims::default()
    };
    assert!(mint(&many, &key(Algorithm::Hs256)).is_err());
}

/// What was made later is spared by revocations: a maker that counts in milliseconds makes nothing in the year 58,000.
#[test]
fn a_token_is_not_made_tomorrow() {
    let now_s = NOW_MS / 1000;
    let table = [
        (now_s, Some(NOW_MS)),
        (now_s + 60, Some(NOW_MS + 60_000)),
        (now_s + 61, None),
        (NOW_MS, None),
        (u64::MAX, None),
    ];
    for (iat, want) in table {
        let payload = json!({"iat": iat, "mercure": {"subscribe": ["a"]}});
        let grant = subscriber(&token(&json!({"alg": "HS256"}), &payload)).unwrap();
        assert_eq!(grant.issued_ms, want, "{iat}");
    }
}

#[test]
fn keys_are_checked_and_kept_secret() {
    assert_eq!(Key::hmac(b"", Algorithm::Hs256), Err(KeyError::Empty));
    let pem = b"\n-----BEGIN PUBLIC KEY-----\n";
    assert_eq!(Key::hmac(pem, Algorithm::Hs256), Err(KeyError::Pem));
    let shown = format!("{:?}", keys());
    assert!(
        !shown.contains("Change") && !shown.contains("67"),
        "{shown}"
    );
    let weakness = |secret: &[u8], algorithm| Key::hmac(secret, algorithm).unwrap().weakness();
    let short = |bytes, bytes_min| Some(Weakness::Short { bytes, bytes_min });
    assert_eq!(weakness(&[7; 31], Algorithm::Hs256), short(31, 32));
    assert_eq!(weakness(&[7; 32], Algorithm::Hs256), None);
    assert_eq!(weakness(&[7; 63], Algorithm::Hs512), short(63, 64));
    assert_eq!(
        weakness(SECRET, Algorithm::Hs256),
        Some(Weakness::WellKnown)
    );
    assert_eq!(
        Key::hmac(&[7; 32], Algorithm::Es256),
        Err(KeyError::Algorithm(Algorithm::Es256))
    );
}
