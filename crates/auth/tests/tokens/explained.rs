//! Why a token is refused, every reason at once.

use serde_json::{Value, json};
use tidewire_auth::{Algorithm, Anonymous, Check, Key, Keys, Refusal, Role, decide, examine};
use tidewire_core::Patterns;

use crate::support::*;

fn key() -> Key {
    Key::hmac(SECRET, Algorithm::Hs256).unwrap()
}

/// Checks that fail, and whether the signature was one that could be checked.
fn failed(token: &str, keys: &Keys) -> Vec<Check> {
    let patterns = Patterns::default();
    let question = question(token, Role::Publisher);
    let findings = examine(&question, keys, &patterns);
    // The first reason is the one that the decision gives.
    let first = findings
        .iter()
        .find_map(|finding| finding.outcome.clone().err());
    let decided = decide(&question, keys, Anonymous::None, &patterns);
    assert_eq!(decided.err(), first, "{findings:?}");
    let wrong = findings.iter().filter(|finding| finding.outcome.is_err());
    wrong.map(|finding| finding.check).collect()
}

#[test]
fn every_reason_is_told_and_the_first_is_the_decisions() {
    use Check::{
        Audience, Claims, Critical, Form, Grant, Issuer, Key as KeyCheck, Signature, Time, Type,
    };
    type Change = fn(&mut Value, &mut Value);
    #[rustfmt::skip]
    let table: [(Change, &[Check]); 11] = [
        (|_, _| {}, &[]),
        (|header, _| header["typ"] = "JWT".into(), &[Type]),
        (|header, _| header["kid"] = 1.into(), &[KeyCheck]),
        (|header, _| header["alg"] = "RS256".into(), &[KeyCheck]),
        (|_, payload| payload["iss"] = "x".into(), &[Issuer]),
        (|_, payload| payload["exp"] = 1.into(), &[Time]),
        (|_, payload| payload["aud"] = "x".into(), &[Audience]),
        (|_, payload| payload["authorization_details"] = json!([]), &[Grant]),
        (|_, payload| payload["authorization_details"] = json!(1), &[Claims]),
        (
            |header, payload| {
                header["typ"] = "JWT".into();
                header["crit"] = json!(["x"]);
                payload["aud"] = "x".into();
                payload["exp"] = 1.into();
                payload["authorization_details"] = json!([]);
            },
            &[Critical, Type, Audience, Time, Grant],
        ),
        (
            |_, payload| {
                payload["iss"] = "x".into();
                payload["nbf"] = "soon".into();
            },
            &[Issuer, Claims],
        ),
    ];
    for (index, (change, want)) in table.into_iter().enumerate() {
        let (mut header, mut payload) = modern("HS256");
        change(&mut header, &mut payload);
        let token = hs256(&header, &payload);
        assert_eq!(failed(&token, &of_issuer(key())), want, "{index}");
    }
    let (header, payload) = modern("HS256");
    let token = hs256(&header, &payload);
    let foreign = Key::hmac(b"another secret, of somebody else", Algorithm::Hs256).unwrap();
    assert_eq!(failed(&token, &of_issuer(foreign)), [Signature]);
    assert_eq!(failed("a.b", &of_issuer(key())), [Form]);
}

#[test]
fn a_hub_without_keys_says_so_first() {
    let (header, payload) = modern("HS256");
    let token = hs256(&header, &payload);
    let findings = examine(
        &question(&token, Role::Publisher),
        &Keys::default(),
        &Patterns::default(),
    );
    let reasons: Vec<_> = findings
        .into_iter()
        .filter_map(|finding| finding.outcome.err())
        .collect();
    assert_eq!(reasons, [Refusal::NoKey(Role::Publisher)]);
}
