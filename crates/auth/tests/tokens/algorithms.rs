//! Signatures of every algorithm, and none where another is meant.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tidewire_auth::{Algorithm, Algorithms, Key, KeySet, Refusal, Role};

use crate::support::*;

const ALL: [(&str, &str); 13] = [
    ("HS256", "hs"),
    ("HS384", "hs"),
    ("HS512", "hs"),
    ("RS256", "rsa"),
    ("RS384", "rsa"),
    ("RS512", "rsa"),
    ("PS256", "rsa"),
    ("PS384", "rsa"),
    ("PS512", "rsa"),
    ("ES256", "p256"),
    ("ES384", "p384"),
    ("ES512", "p521"),
    ("EdDSA", "ed"),
];

/// A key of a kind for the algorithm of this name.
fn key(kind: &str, name: &str) -> Key {
    match kind {
        "hs" => Key::hmac(SECRET, name.parse().unwrap()).unwrap(),
        kind => pair(kind).1,
    }
}

// mercure.md, 1.5 and 2.31.
#[test]
fn every_algorithm_is_taken_with_its_kind_of_key() {
    for (name, kind) in ALL {
        let algorithm: Algorithm = name.parse().unwrap();
        let (private, _) = pair(kind);
        let legacy = signed(&json!({ "alg": name }), &json!({}), &private, name);
        let (header, payload) = modern(name);
        let modern = signed(&header, &payload, &private, name);
        let keys = key(kind, name);
        assert!(keys.algorithms().contains(algorithm));
        assert!(decide(&legacy, &of_role(keys.clone())).is_ok(), "{name}");
        assert!(decide(&modern, &of_issuer(keys)).is_ok(), "{name}");
    }
}

#[test]
fn no_algorithm_is_taken_for_another() {
    for (signed_with, kind) in ALL {
        let (private, _) = pair(kind);
        for (claimed, claimed_kind) in ALL {
            let token = signed(
                &json!({ "alg": claimed }),
                &json!({}),
                &private,
                signed_with,
            );
            for kind_of_key in KINDS {
                let keys = of_role(key(
                    kind_of_key,
                    if kind_of_key == "hs" { "HS256" } else { "" },
                ));
                let fits = keys.publisher.as_ref().unwrap().algorithms();
                let got = decide(&token, &keys);
                let want = match claimed.parse().is_ok_and(|claimed| fits.contains(claimed)) {
                    false => Err(Refusal::Algorithm {
                        token: claimed.into(),
                        keys: fits,
                    }),
                    true if claimed == signed_with => Ok(()),
                    true => Err(Refusal::Signature),
                };
                let case = format!("{signed_with} as {claimed} ({claimed_kind}) for {kind_of_key}");
                assert_eq!(got.map(drop), want, "{case}");
            }
        }
    }
}

#[test]
fn a_set_may_allow_fewer_algorithms_than_its_keys_can() {
    let (private, public) = pair("rsa");
    let only: Algorithms = [Algorithm::Ps256, Algorithm::EdDsa].into_iter().collect();
    let set = KeySet::from(public).allowing(only);
    let keys = of_issuer(set);
    for (name, good) in [("PS256", true), ("RS256", false), ("PS512", false)] {
        let (header, payload) = modern(name);
        let got = decide(&signed(&header, &payload, &private, name), &keys);
        assert_eq!(got.is_ok(), good, "{name}");
    }
    let none = KeySet::from(pair("ed").1).allowing(Algorithm::Es256.into());
    assert_eq!((none.len(), none.skipped()), (0, 1));
}

/// RFC 7515, appendices A.1 to A.3: the same payload, signed by the standard's authors.
#[test]
fn the_standards_own_tokens_are_taken() {
    const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let table = [
        (
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}),
        ),
        (
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
            json!({"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}),
        ),
        (
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
            json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
        ),
    ];
    for (header, signature, jwk) in table {
        let token = format!("{header}.{PAYLOAD}.{signature}");
        let keys = of_role(Key::jwk(jwk.to_string().as_bytes()).unwrap());
        let mut question = question(&token, Role::Subscriber);
        question.now_ms = 1_300_819_379_999;
        let grant = ask(&question, &keys).unwrap();
        assert_eq!(grant.issuer.as_deref(), Some("joe"));
        question.now_ms += 1;
        let expires_ms = 1_300_819_380_000;
        assert_eq!(ask(&question, &keys), Err(Refusal::Expired { expires_ms }));
    }
}

/// An ECDSA signature in a token is two numbers of the curve's length, one after the other (RFC 7518, section 3.4).
#[test]
fn ecdsa_signatures_have_one_form() {
    for (name, kind, half) in [
        ("ES256", "p256", 32),
        ("ES384", "p384", 48),
        ("ES512", "p521", 66),
    ] {
        let (private, public) = pair(kind);
        let token = signed(&json!({ "alg": name }), &json!({}), &private, name);
        let keys = of_role(public);
        assert!(decide(&token, &keys).is_ok());
        let (head, signature) = token.rsplit_once('.').unwrap();
        let fixed = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert_eq!(fixed.len(), 2 * half);
        let zeros = vec![0; 2 * half];
        for wrong in [
            der_form(&fixed),
            // Both numbers nought, or the order's neighbours: what Java once took from anybody (CVE-2022-21449).
            zeros.clone(),
            [&zeros[..half], &fixed[half..]].concat(),
            [&fixed[..half], &zeros[half..]].concat(),
            vec![0xff; 2 * half],
            // Longer and shorter ones of the same value.
            [&fixed[..], &[0]].concat(),
            [&[0], &fixed[..]].concat(),
            [&[0], &fixed[..half], &[0], &fixed[half..]].concat(),
            fixed[..2 * half - 1].to_vec(),
            fixed[1..].to_vec(),
            fixed[..half].to_vec(),
            Vec::new(),
        ] {
            let token = format!("{head}.{}", URL_SAFE_NO_PAD.encode(&wrong));
            assert_eq!(
                decide(&token, &keys),
                Err(Refusal::Signature),
                "{name} {wrong:?}"
            );
        }
    }
}

/// As X.509 writes it (RFC 3279, section 2.2.3).
fn der_form(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let integer = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let mut number = number[zeros..].to_vec();
        if number.first().is_some_and(|first| *first >= 0x80) {
            number.insert(0, 0);
        }
        [vec![2, number.len() as u8], number].concat()
    };
    let pair = [integer(r), integer(s)].concat();
    let length = match pair.len() {
        0..0x80 => vec![pair.len() as u8],
        _ => vec![0x81, pair.len() as u8],
    };
    [vec![0x30], length, pair].concat()
}

/// A token that names no key is tried with those that fit, and not with more of them than [`tidewire_auth::KEYS_TRIED_MAX`].
#[test]
fn only_so_many_keys_are_tried() {
    let others: Vec<String> = (0..9).map(|index| format!("other {index}")).collect();
    for (count, good) in [(0, true), (7, true), (8, false)] {
        let others = others[..count].iter().map(|secret| ("", secret.as_bytes()));
        let secrets: Vec<_> = others.chain([("mine", SECRET)]).collect();
        let keys = of_role(set_of(&secrets));
        let nameless = hs256(&json!({"alg": "HS256"}), &json!({}));
        assert_eq!(decide(&nameless, &keys).is_ok(), good, "{count}");
    }
    let named = |secret: &'_ String| (secret.split_at("other ".len()).1.to_owned(), secret.clone());
    let named: Vec<_> = others.iter().map(named).collect();
    let named: Vec<_> = named
        .iter()
        .map(|(name, secret)| (&**name, secret.as_bytes()))
        .collect();
    let set = set_of(&named);
    let last = Signer::secret(b"other 8");
    let named = signed(
        &json!({"alg": "HS256", "kid": "8"}),
        &json!({}),
        &last,
        "HS256",
    );
    assert!(decide(&named, &of_role(set)).is_ok());
}
