//! Tokens that somebody made up: each is refused, and for its own reason.

use proptest::prelude::*;
use serde_json::{Value, json};
use tidewire_auth::{Algorithm, Key, KeySet, Keys, Refusal, Role, TOKEN_BYTES_MAX};

use crate::support::*;

fn key() -> Key {
    Key::hmac(SECRET, Algorithm::Hs256).unwrap()
}

/// RFC 8725, section 2.1: a public key is known to everybody, and must never be the secret of an HMAC.
#[test]
fn a_public_key_is_no_secret() {
    for (kind, spki) in [
        ("rsa", &pem!("rsa.spki")[..]),
        ("p256", pem!("p256.spki")),
        ("p384", pem!("p384.spki")),
        ("p521", pem!("p521.spki")),
        ("ed", pem!("ed25519.spki")),
    ] {
        let der = unarmoured(spki);
        // The key itself stands at the end of its DER: a modulus and exponent, or a point with its mark or without.
        let (point, unmarked) = match kind {
            "rsa" => (modulus(), modulus()),
            "ed" => (
                der[der.len() - 32..].to_vec(),
                der[der.len() - 32..].to_vec(),
            ),
            _ => {
                let halves = 2 * [("p256", 32), ("p384", 48), ("p521", 66)]
                    .into_iter()
                    .find_map(|(name, bytes)| (name == kind).then_some(bytes))
                    .unwrap();
                let unmarked = der[der.len() - halves..].to_vec();
                ([&[4], &unmarked[..]].concat(), unmarked)
            }
        };
        for forged in [spki, spki.trim_ascii_end(), &der, &point, &unmarked] {
            is_no_secret(kind, forged);
        }
    }
    // The other way round: a hub with a shared secret is shown a token that says RS256, or another of a public key.
    for (name, kind) in [
        ("RS256", "rsa"),
        ("ES256", "p256"),
        ("ES512", "p521"),
        ("EdDSA", "ed"),
    ] {
        let token = signed(&json!({ "alg": name }), &json!({}), &pair(kind).0, name);
        let want = Refusal::Algorithm {
            token: name.into(),
            keys: Algorithm::Hs256.into(),
        };
        assert_eq!(decide(&token, &of_role(key())), Err(want));
    }
}

/// Tokens whose secret is a form of this public key.
fn is_no_secret(kind: &str, forged: &[u8]) {
    for name in ["HS256", "HS384", "HS512"] {
        let secret = Signer::secret(forged);
        let (header, payload) = modern(name);
        let modern = signed(&header, &payload, &secret, name);
        let legacy = signed(&json!({ "alg": name }), &json!({}), &secret, name);
        let keys = pair(kind).1;
        let want = Refusal::Algorithm {
            token: name.into(),
            keys: keys.algorithms(),
        };
        assert_eq!(decide(&modern, &of_issuer(keys.clone())), Err(want.clone()));
        assert_eq!(decide(&legacy, &of_role(keys)), Err(want));
    }
}

fn modulus() -> Vec<u8> {
    // The last 256 bytes but the exponent's five of a 2,048 bit key in PKCS#1 are its modulus.
    let der = unarmoured(pem!("rsa.pkcs1.pub"));
    der[der.len() - 261..der.len() - 5].to_vec()
}

#[test]
fn nothing_signed_is_nothing_good() {
    let (_, payload) = modern("none");
    for name in [
        "none", "None", "NONE", "nOnE", "none ", "", "HS256\0", "hs256", "HS 256",
    ] {
        for signature in ["", "AA", "e30"] {
            for header in [
                json!({ "alg": name }),
                json!({"alg": name, "typ": "at+jwt"}),
            ] {
                let keys = Keys {
                    issuers: of_issuer(key()).issuers,
                    ..of_role(key())
                };
                let legacy = json!({"mercure": {"publish": ["*"]}});
                let payload = if header["typ"] == "at+jwt" {
                    &payload
                } else {
                    &legacy
                };
                let signed = format!(
                    "{}.{}",
                    part(&header.to_string()),
                    part(&payload.to_string())
                );
                let got = decide(&format!("{signed}.{signature}"), &keys);
                let is_algorithm =
                    matches!(&got, Err(Refusal::Algorithm { token, .. }) if token == name);
                assert!(is_algorithm, "{name:?} {signature:?} {got:?}");
            }
        }
    }
    for alg in [json!(null), json!(0), json!(["HS256"]), json!({"HS256": 1})] {
        let token = hs256(&json!({ "alg": alg }), &json!({}));
        assert_eq!(
            decide(&token, &of_role(key())),
            Err(Refusal::Malformed("header"))
        );
    }
    assert_eq!(
        decide(&hs256(&json!({}), &json!({})), &of_role(key())),
        Err(Refusal::Malformed("header"))
    );
}

/// A `kid` chooses among the trusted keys and does nothing else.
#[test]
fn a_kid_is_a_hint_and_no_more() {
    let set = set_of(&[
        ("mine", SECRET),
        ("other", b"the other key's secret, of no use"),
    ]);
    let legacy = of_role(set.clone());
    let long = "k".repeat(10_000);
    let unknown = |kid: &str| {
        Err(Refusal::UnknownKey {
            issuer: None,
            kid: Some(kid.chars().take(64).collect()),
        })
    };
    #[rustfmt::skip]
    let table: [(Value, Result<(), Refusal>); 14] = [
        (json!("mine"), Ok(())),
        (json!("other"), Err(Refusal::Signature)),
        (json!("Mine"), unknown("Mine")),
        (json!("mine\0"), unknown("mine\0")),
        (json!(""), unknown("")),
        (json!("../../../../dev/null"), unknown("../../../../dev/null")),
        (json!("/proc/self/environ"), unknown("/proc/self/environ")),
        (json!("x' UNION SELECT 'secret'--"), unknown("x' UNION SELECT 'secret'--")),
        (json!("https://evil.example/key"), unknown("https://evil.example/key")),
        (json!(long), unknown(&long)),
        (json!(null), Err(Refusal::Malformed("header"))),
        (json!(0), Err(Refusal::Malformed("header"))),
        (json!(["mine"]), Err(Refusal::Malformed("header"))),
        (json!({"mine": true}), Err(Refusal::Malformed("header"))),
    ];
    for (kid, want) in table {
        let token = hs256(&json!({"alg": "HS256", "kid": kid}), &json!({}));
        assert_eq!(decide(&token, &legacy).map(drop), want, "{kid:.80}");
    }
    // Whose keys to look for again, where they are fetched; also before they have been.
    let (mut header, payload) = modern("HS256");
    header["kid"] = "new".into();
    for (keys, kid) in [
        (of_issuer(set), Some("new")),
        (of_issuer(KeySet::default()), Some("new")),
    ] {
        let want = Refusal::UnknownKey {
            issuer: Some(ISSUER.into()),
            kid: kid.map(Into::into),
        };
        assert_eq!(decide(&hs256(&header, &payload), &keys), Err(want));
    }
    // A key without a name stands for any.
    let token = hs256(&json!({"alg": "HS256", "kid": "whatever"}), &json!({}));
    assert!(decide(&token, &of_role(key())).is_ok());
}

/// Keys that a token brings along, or says where to find, are nobody's business (mercure.md, 2.31).
#[test]
fn a_token_brings_no_key_of_its_own() {
    let foreign = tidewire_auth::keygen_pair(Algorithm::Es256).unwrap();
    let private = Signer::ec(&unarmoured(foreign.private_pem.as_bytes()));
    let (_, trusted) = pair("p256");
    for (name, value) in [
        ("jwk", foreign.jwk.clone()),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["AAAA"])),
        ("x5t", json!("AAAA")),
        ("zip", json!("DEF")),
    ] {
        let (mut header, payload) = modern("ES256");
        header[name] = value;
        let token = signed(&header, &payload, &private, "ES256");
        let got = decide(&token, &of_issuer(trusted.clone()));
        assert_eq!(got, Err(Refusal::Signature), "{name}");
        header["kid"] = foreign.jwk["kid"].clone();
        let token = signed(&header, &payload, &private, "ES256");
        let got = decide(&token, &of_issuer(trusted.clone().with_id("trusted")));
        assert!(matches!(got, Err(Refusal::UnknownKey { .. })), "{name}");
    }
    for crit in [json!(["exp"]), json!([]), json!(["b64"]), json!(null)] {
        let header = json!({"alg": "HS256", "crit": crit, "exp": 0});
        assert_eq!(
            decide(&hs256(&header, &json!({})), &of_role(key())),
            Err(Refusal::Critical)
        );
    }
}

/// serde_json and others keep the last of two members, some the first: one would check what the other does not use.
#[test]
fn a_member_is_there_once() {
    let secret = Signer::secret(SECRET);
    let good = r#"{"alg":"HS256"}"#;
    #[rustfmt::skip]
    let table = [
        (good, r#"{"exp":1,"exp":99999999999}"#, Refusal::Duplicate("payload")),
        (good, r#"{"exp":99999999999,"exp":99999999999}"#, Refusal::Duplicate("payload")),
        (good, r#"{"mercure":{"publish":["a"],"publish":["*"]}}"#, Refusal::Duplicate("payload")),
        (good, r#"{"sub":"alice","s\u0075b":"bob"}"#, Refusal::Duplicate("payload")),
        (r#"{"alg":"none","alg":"HS256"}"#, "{}", Refusal::Duplicate("header")),
        (r#"{"alg":"HS256","kid":"a","kid":"b"}"#, "{}", Refusal::Duplicate("header")),
        (r#"{"alg":"HS256"}x"#, "{}", Refusal::Malformed("header")),
        (good, r#"{"sub":"a"}{}"#, Refusal::Malformed("payload")),
        (good, "", Refusal::Malformed("payload")),
        (good, "\u{feff}{}", Refusal::Malformed("payload")),
    ];
    for (header, payload, want) in table {
        let token = signed_text(header, payload, &secret, "HS256");
        assert_eq!(
            decide(&token, &of_role(key())),
            Err(want),
            "{header} {payload}"
        );
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    for (header, payload, part) in [(good, &*deep, "payload"), (&*deep, "{}", "header")] {
        let token = signed_text(header, payload, &secret, "HS256");
        assert_eq!(decide(&token, &of_role(key())), Err(Refusal::TooDeep(part)));
    }
}

#[test]
fn a_token_has_an_end_in_length() {
    let of_length = |bytes: usize| {
        let room = |text: usize| hs256(&json!({"alg": "HS256"}), &json!({"sub": "x".repeat(text)}));
        let token = (0..)
            .map(|less| room(bytes * 3 / 4 - 40 - less))
            .find(|token| token.len() <= bytes);
        token.unwrap()
    };
    let fits = of_length(TOKEN_BYTES_MAX);
    assert!(fits.len() > TOKEN_BYTES_MAX - 3);
    assert!(decide(&fits, &of_role(key())).is_ok());
    let long = of_length(TOKEN_BYTES_MAX + 4);
    assert_eq!(
        decide(&long, &of_role(key())),
        Err(Refusal::TooLong { bytes: long.len() })
    );
}

#[test]
fn a_publishers_key_makes_no_subscribers() {
    let publisher =
        Key::hmac(b"the publisher's secret, not for readers", Algorithm::Hs256).unwrap();
    let keys = Keys {
        publisher: Some(publisher.into()),
        subscriber: Some(key().into()),
        ..Keys::default()
    };
    let token = hs256(
        &json!({"alg": "HS256"}),
        &json!({"mercure": {"publish": ["*"], "subscribe": ["*"]}}),
    );
    assert!(ask(&question(&token, Role::Subscriber), &keys).is_ok());
    assert_eq!(
        ask(&question(&token, Role::Publisher), &keys),
        Err(Refusal::Signature)
    );
}

/// No refusal tells what is secret, whatever the token made of it: neither the secret nor the token itself.
#[test]
fn refusals_tell_no_secret() {
    let (header, payload) = modern("HS256");
    let good = hs256(&header, &payload);
    let broken = format!("{good}AA");
    for keys in [of_issuer(pair("rsa").1), of_role(key()), of_issuer(key())] {
        for token in [&good, &broken] {
            if let Err(refusal) = decide(token, &keys) {
                let shown = format!("{refusal} {refusal:?}");
                assert!(
                    !shown.contains("forty-eight") && !shown.contains(&token[..20]),
                    "{shown}"
                );
                assert!(!refusal.to_string().is_empty());
            }
        }
    }
}

/// Good tokens of several kinds, and the hubs that take them.
fn good(kind: usize) -> (String, Keys) {
    let (name, private) = [
        ("HS256", "hs"),
        ("ES256", "p256"),
        ("ES512", "p521"),
        ("EdDSA", "ed"),
        ("PS256", "rsa"),
    ][kind];
    let (private, public) = pair(private);
    let (header, payload) = modern(name);
    (signed(&header, &payload, &private, name), of_issuer(public))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever is done to a good token's text, it is good no more.
    #[test]
    fn no_change_of_a_token_is_taken(
        kind in 0..5_usize,
        changes in prop::collection::vec((0..3_u8, any::<prop::sample::Index>(), 0..66_usize), 1..4),
    ) {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
        let (token, keys) = good(kind);
        let mut changed = token.clone().into_bytes();
        for (what, place, with) in changes {
            let (at, byte) = (place.index(changed.len()), ALPHABET[with]);
            match what {
                0 => changed[at] = byte,
                1 => changed.insert(at, byte),
                _ => drop(changed.remove(at)),
            }
        }
        let changed = String::from_utf8(changed).unwrap();
        prop_assert!(decide(&token, &keys).is_ok());
        if changed != token {
            prop_assert!(decide(&changed, &keys).is_err(), "{changed}");
        }
    }

    /// Bytes that nobody meant for a token bring nothing down.
    #[test]
    fn nonsense_is_refused(text in "\\PC{0,200}", header in "\\PC{0,60}", payload in "\\PC{0,60}") {
        let keys = of_role(key());
        prop_assert!(decide(&text, &keys).is_err());
        let token = format!("{}.{}.{}", part(&header), part(&payload), part(&text));
        prop_assert!(decide(&token, &keys).is_err());
    }
}
