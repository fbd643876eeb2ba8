//! Keys from files of every form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidewire_auth::{
    Algorithm, Claims, Detail, JWKS_BYTES_MAX, KEY_ID_BYTES_MAX, KEYS_PER_SET_MAX, Key, KeyError,
    KeySet, TopicMatch, keygen_pair, mint,
};

use crate::support::*;

#[test]
fn public_keys_are_read_in_every_armour() {
    use Algorithm::{EdDsa, Es256, Es384, Es512, Ps512, Rs256};
    let rsa = Key::public_pem(pem!("rsa.spki")).unwrap();
    let p256 = Key::public_pem(pem!("p256.spki")).unwrap();
    for (text, same) in [
        (&pem!("rsa.pkcs1.pub")[..], &rsa),
        (pem!("rsa.cert"), &rsa),
        (pem!("p256.cert"), &p256),
        (
            &[b"# a comment\n\n", &pem!("p256.spki")[..], b"\n\n"].concat(),
            &p256,
        ),
    ] {
        assert_eq!(&Key::public_pem(text).unwrap(), same);
    }
    for (key, fits) in [
        (&rsa, Rs256),
        (&rsa, Ps512),
        (&p256, Es256),
        (&Key::public_pem(pem!("p384.spki")).unwrap(), Es384),
        (&Key::public_pem(pem!("p521.spki")).unwrap(), Es512),
        (&Key::public_pem(pem!("ed25519.spki")).unwrap(), EdDsa),
    ] {
        assert!(key.algorithms().contains(fits) && !key.algorithms().contains(Algorithm::Hs256));
        assert!(key.weakness().is_none());
    }
}

#[test]
fn what_is_no_public_key_is_named() {
    let broken = |text: &[u8]| {
        let mut text = text.to_vec();
        let middle = text.len() / 2;
        text[middle] = if text[middle] == b'A' { b'B' } else { b'A' };
        text
    };
    #[rustfmt::skip]
    let table: [(Vec<u8>, Result<(), KeyError>); 13] = [
        (pem!("rsa1024.spki").to_vec(), Err(KeyError::Bits(1024))),
        (pem!("k256.spki").to_vec(), Err(KeyError::Kind("curve"))),
        (broken(pem!("p521.spki")), Err(KeyError::Malformed("value"))),
        (pem!("rsa.pkcs8").to_vec(), Err(KeyError::Private)),
        (pem!("rsa.pkcs1").to_vec(), Err(KeyError::Private)),
        (pem!("p256.sec1").to_vec(), Err(KeyError::Private)),
        (pem!("p256.encrypted").to_vec(), Err(KeyError::Encrypted)),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n".to_vec(), Err(KeyError::Malformed("PEM"))),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".to_vec(), Err(KeyError::Malformed("public key"))),
        (b"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----".to_vec(), Err(KeyError::Malformed("PEM"))),
        (b"no key".to_vec(), Err(KeyError::Malformed("PEM"))),
        (broken(pem!("p256.spki")), Err(KeyError::Malformed("value"))),
        (vec![b'-'; 70_000], Err(KeyError::TooLong(70_000))),
    ];
    for (text, want) in table {
        let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
        assert_eq!(Key::public_pem(&text).map(drop), want, "{shown}");
    }
}

fn jwk(change: impl FnOnce(&mut Value)) -> Result<Key, KeyError> {
    let pair = keygen_pair(Algorithm::Es256).unwrap();
    let mut jwk = pair.jwk;
    change(&mut jwk);
    Key::jwk(jwk.to_string().as_bytes())
}

#[test]
fn a_jwk_is_taken_for_what_it_says_and_nothing_else() {
    let es256 = Algorithm::Es256.into();
    type Change = fn(&mut Value);
    #[rustfmt::skip]
    let table: [(Change, Option<KeyError>); 19] = [
        (|_| {}, None),
        (|jwk| jwk["use"] = "enc".into(), Some(KeyError::Kind("use"))),
        (|jwk| jwk["key_ops"] = json!(["verify"]), None),
        (|jwk| jwk["key_ops"] = json!(["encrypt"]), Some(KeyError::Kind("use"))),
        (|jwk| jwk["key_ops"] = json!("verify"), Some(KeyError::Kind("use"))),
        (|jwk| { jwk.as_object_mut().unwrap().remove("alg"); }, None),
        (|jwk| jwk["alg"] = "ES384".into(), Some(KeyError::Kind("algorithm"))),
        (|jwk| jwk["alg"] = "HS256".into(), Some(KeyError::Kind("algorithm"))),
        (|jwk| jwk["alg"] = "none".into(), Some(KeyError::Kind("algorithm"))),
        (|jwk| jwk["alg"] = 1.into(), Some(KeyError::Malformed("`alg`"))),
        (|jwk| jwk["kid"] = 1.into(), Some(KeyError::Malformed("`kid`"))),
        (|jwk| jwk["kid"] = "x".repeat(KEY_ID_BYTES_MAX + 1).into(), Some(KeyError::Malformed("`kid`"))),
        (|jwk| jwk["crv"] = "P-384".into(), Some(KeyError::Malformed("point"))),
        (|jwk| jwk["crv"] = "P-521".into(), Some(KeyError::Malformed("point"))),
        (|jwk| jwk["alg"] = "ES512".into(), Some(KeyError::Kind("algorithm"))),
        (|jwk| jwk["crv"] = "secp256k1".into(), Some(KeyError::Kind("curve"))),
        (|jwk| jwk["kty"] = "AKP".into(), Some(KeyError::Kind("kind"))),
        (|jwk| jwk["x"] = "====".into(), Some(KeyError::Malformed("x"))),
        // Off the curve.
        (|jwk| jwk["y"] = jwk["x"].clone(), Some(KeyError::Malformed("value"))),
    ];
    for (index, (change, want)) in table.into_iter().enumerate() {
        let got = jwk(change);
        assert_eq!(got.as_ref().err(), want.as_ref(), "{index}");
        if let Ok(key) = got {
            assert_eq!(key.algorithms(), es256);
        }
    }
    let twice = br#"{"kty":"oct","k":"AAAA","k":"AAAB"}"#;
    assert_eq!(Key::jwk(twice), Err(KeyError::Malformed("JSON")));
    assert_eq!(Key::jwk(br#"{"kty":"oct","k":""}"#), Err(KeyError::Empty));
    let n = "AQAB".repeat(40);
    let weak = json!({"kty": "RSA", "n": n, "e": "AQAB"}).to_string();
    assert_eq!(Key::jwk(weak.as_bytes()), Err(KeyError::Bits(953)));
    let long = vec![b' '; JWKS_BYTES_MAX + 1];
    assert_eq!(Key::jwk(&long), Err(KeyError::TooLong(long.len())));
}

#[test]
fn a_set_keeps_what_it_can_use_and_counts_the_rest() {
    let good = keygen_pair(Algorithm::EdDsa).unwrap();
    let set = json!({"keys": [
        good.jwk,
        {"kty": "oct", "k": "c2VjcmV0", "kid": "s"},
        {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "unheard of"},
        {},
    ], "other": 1});
    let set = KeySet::parse_jwks(set.to_string()).unwrap();
    assert_eq!((set.len(), set.skipped()), (2, 4));
    assert_eq!(set.iter().next().unwrap().id(), good.key.id());
    // A set that others can read must not hold what signs.
    let public = set.allowing(Algorithm::EdDsa.into());
    assert_eq!((public.len(), public.skipped()), (1, 5));

    let of = |count: usize| {
        let key = json!({"kty": "oct", "k": "c2VjcmV0"});
        KeySet::parse_jwks(json!({"keys": vec![key; count]}).to_string())
    };
    assert_eq!(of(KEYS_PER_SET_MAX).unwrap().len(), KEYS_PER_SET_MAX);
    assert_eq!(of(KEYS_PER_SET_MAX + 1), Err(KeyError::Keys));
    assert!(of(0).unwrap().is_empty());
    for broken in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[1]}"#,
        r#"{"keys":[],"keys":[]}"#,
    ] {
        assert!(KeySet::parse_jwks(broken).is_err(), "{broken}");
    }
}

/// One door for whatever a file holds, through which no public key and no JSON gets in as a secret.
#[test]
fn a_file_is_told_by_what_is_in_it() {
    let hs = || Some([Algorithm::Hs256, Algorithm::Hs512].into_iter().collect());
    let rs = || Some(Algorithm::Rs256.into());
    let jwk = keygen_pair(Algorithm::EdDsa).unwrap().jwk;
    let (one, set) = (jwk.to_string(), json!({"keys": [jwk]}).to_string());
    let rsa = &pem!("rsa.spki")[..];
    let len = |bytes: &[u8], algorithms| KeySet::parse(bytes, algorithms).map(|set| set.len());
    assert_eq!(len(b"secret", None), Ok(1));
    assert_eq!(len(b"secret", hs()), Ok(1));
    assert_eq!(
        len(b"secret", rs()),
        Err(KeyError::Algorithm(Algorithm::Rs256))
    );
    assert_eq!(len(b"{secret}", None), Ok(1));
    assert_eq!(len(rsa, None), Ok(1));
    assert_eq!(len(rsa, rs()), Ok(1));
    assert_eq!(len(rsa, hs()), Err(KeyError::Pem));
    assert_eq!(
        len(rsa, Some(Algorithm::EdDsa.into())),
        Err(KeyError::Algorithm(Algorithm::EdDsa))
    );
    assert_eq!(len(pem!("rsa.pkcs8"), None), Err(KeyError::Private));
    assert_eq!(len(one.as_bytes(), None), Ok(1));
    assert_eq!(
        len(one.as_bytes(), hs()),
        Err(KeyError::Algorithm(Algorithm::Hs256))
    );
    assert_eq!(len(set.as_bytes(), None), Ok(1));
    assert_eq!(
        len(set.as_bytes(), hs()),
        Err(KeyError::Algorithm(Algorithm::Hs256))
    );
    assert_eq!(len(b"", None), Err(KeyError::Empty));
    // What is broken, cut off or too large is no secret either.
    let large = format!("{}{}", set, " ".repeat(JWKS_BYTES_MAX));
    let broken = [
        set.replace("]}", ",]}"),
        set.replace('{', "{\"kty\":\"RSA\",\"kty\":\"RSA\",")
            .replace('}', ""),
        format!("{set} x"),
        format!("\u{feff}{set}"),
        format!("\n {one}}}"),
        large,
    ];
    for broken in broken {
        for algorithms in [None, hs()] {
            assert!(len(broken.as_bytes(), algorithms).is_err(), "{broken:.80}");
        }
        assert!(Key::hmac(broken.as_bytes(), Algorithm::Hs256).is_err());
        assert!(Key::signing(broken.as_bytes(), None).is_err());
    }
    let der = |pem: &[u8]| {
        let lines = std::str::from_utf8(pem).unwrap().lines();
        let text: String = lines.filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(text).unwrap()
    };
    for pem in [rsa, pem!("rsa.cert")] {
        assert_eq!(len(&der(pem), None), Err(KeyError::Der));
    }
    for secret in [rsa, pem!("rsa.cert"), one.as_bytes(), set.as_bytes()] {
        assert!(Key::hmac(secret, Algorithm::Hs256).is_err());
    }
}

#[test]
fn private_keys_sign_whatever_their_armour() {
    let rsa = Key::public_pem(pem!("rsa.spki")).unwrap();
    let p256 = Key::public_pem(pem!("p256.spki")).unwrap();
    for (text, public) in [
        (&pem!("rsa.pkcs8")[..], &rsa),
        (pem!("rsa.pkcs1"), &rsa),
        (pem!("p256.pkcs8"), &p256),
        (pem!("p256.sec1"), &p256),
        (
            pem!("p384.pkcs8"),
            &Key::public_pem(pem!("p384.spki")).unwrap(),
        ),
        (
            pem!("p521.pkcs8"),
            &Key::public_pem(pem!("p521.spki")).unwrap(),
        ),
        (
            pem!("p521.sec1"),
            &Key::public_pem(pem!("p521.spki")).unwrap(),
        ),
        (
            pem!("ed25519.pkcs8"),
            &Key::public_pem(pem!("ed25519.spki")).unwrap(),
        ),
    ] {
        let key = Key::private(text).unwrap();
        assert_eq!(&key.clone().into_public(), public);
        let token = mint(&Claims::default(), &key).unwrap();
        assert!(decide(&token, &of_role(public.clone())).is_ok());
        assert!(
            mint(&Claims::default(), public).is_err(),
            "a public key signs nothing"
        );
    }
    assert_eq!(Key::private(pem!("rsa.spki")), Err(KeyError::Public));
    assert_eq!(
        Key::private(pem!("p256.encrypted")),
        Err(KeyError::Encrypted)
    );
    // RFC 8037, appendix A.1; its thumbprint is in A.3.
    let jwk = br#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let key = Key::private(jwk).unwrap();
    assert_eq!(
        key.thumbprint().unwrap(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    assert!(decide(&mint(&Claims::default(), &key).unwrap(), &of_role(key)).is_ok());
}

/// One door for whatever signs.
#[test]
fn a_signing_file_is_told_by_what_is_in_it() {
    use Algorithm::{EdDsa, Es256, Hs256, Hs512, Ps256, Rs256};
    let ed = br#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let rsa = &pem!("rsa.pkcs8")[..];
    let first = |bytes: &[u8], algorithm| {
        Key::signing(bytes, algorithm).map(|key| key.algorithms().iter().next().unwrap())
    };
    assert_eq!(first(b"secret", None), Ok(Hs256));
    assert_eq!(first(b"secret", Some(Hs512)), Ok(Hs512));
    assert_eq!(
        first(b"secret", Some(Rs256)),
        Err(KeyError::Algorithm(Rs256))
    );
    assert_eq!(first(rsa, None), Ok(Rs256));
    assert_eq!(first(rsa, Some(Ps256)), Ok(Ps256));
    assert_eq!(first(rsa, Some(Hs256)), Err(KeyError::Algorithm(Hs256)));
    assert_eq!(first(ed, None), Ok(EdDsa));
    assert_eq!(first(ed, Some(Es256)), Err(KeyError::Algorithm(Es256)));
    assert_eq!(first(pem!("rsa.spki"), None), Err(KeyError::Public));
    let public =
        br#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    assert_eq!(first(public, None), Err(KeyError::Public));
    let half = String::from_utf8(ed.to_vec())
        .unwrap()
        .replace("nWGx", "AAAA");
    assert!(
        Key::private(half.as_bytes()).is_err(),
        "two halves of different keys"
    );
    // RFC 7515, appendices A.2 and A.3: their private keys, and tokens signed with them taken by their public ones.
    for jwk in [
        r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB","d":"Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ","p":"4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc","q":"uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc","dp":"BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0","dq":"h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU","qi":"IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#,
    ] {
        let key = Key::private(jwk.as_bytes()).unwrap();
        let public = Key::jwk(jwk.as_bytes()).unwrap();
        assert!(mint(&Claims::default(), &public).is_err());
        let token = mint(&Claims::default(), &key).unwrap();
        assert!(decide(&token, &of_role(public)).is_ok());
    }
}

/// What no hub would take is not made.
#[test]
fn only_good_tokens_are_minted() {
    let key = Key::hmac(SECRET, Algorithm::Hs256).unwrap();
    let detail = Detail {
        publish: true,
        topics: vec![TopicMatch::Exact("a".into())],
        ..Detail::default()
    };
    let good = Claims {
        issuer: Some(ISSUER.into()),
        audience: vec![HUB.into(), "https://other.example".into()],
        expires_ms: Some(NOW_MS + 1000),
        details: Some(vec![detail]),
        ..Claims::default()
    };
    type Change = fn(&mut Claims);
    let table: [(Change, bool); 9] = [
        (|_| {}, true),
        (|claims| claims.issuer = None, false),
        (|claims| claims.audience.clear(), false),
        (|claims| claims.expires_ms = None, false),
        (|claims| claims.details = Some(Vec::new()), true),
        (
            |claims| claims.details.as_mut().unwrap()[0].topics.clear(),
            false,
        ),
        (
            |claims| claims.details.as_mut().unwrap()[0].publish = false,
            false,
        ),
        (
            |claims| {
                let long = TopicMatch::Exact("x".repeat(4097));
                claims.details.as_mut().unwrap()[0].topics[0] = long;
            },
            false,
        ),
        (
            |claims| {
                let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
                claims.details.as_mut().unwrap()[0].payload = Some(deep);
            },
            false,
        ),
    ];
    for (index, (change, want)) in table.into_iter().enumerate() {
        let mut claims = good.clone();
        change(&mut claims);
        let token = mint(&claims, &key);
        assert_eq!(token.is_ok(), want, "{index} {token:?}");
        if let Ok(token) = token {
            assert!(decide(&token, &of_issuer(key.clone())).is_ok(), "{index}");
        }
    }
}

#[test]
fn new_keys_are_good_in_every_form() {
    for algorithm in [
        Algorithm::EdDsa,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::Rs256,
    ] {
        let pair = keygen_pair(algorithm).unwrap();
        let claims = Claims {
            issuer: Some(ISSUER.into()),
            audience: vec![HUB.into()],
            expires_ms: Some(NOW_MS + 1000),
            issued_ms: Some(NOW_MS),
            client_id: Some("client".into()),
            details: Some(vec![Detail {
                subscribe: true,
                topics: vec![TopicMatch::UrlPattern("/books/:id".into())],
                payload: Some(json!({"name": "Alice"})),
                ..Detail::default()
            }]),
            ..Claims::default()
        };
        let token = mint(&claims, &pair.key).unwrap();
        let again = mint(&claims, &Key::private(pair.private_pem.as_bytes()).unwrap()).unwrap();
        let jwks = json!({"keys": [pair.jwk]}).to_string();
        for set in [
            KeySet::from(pair.key.clone()),
            Key::public_pem(pair.public_pem.as_bytes()).unwrap().into(),
            KeySet::parse_jwks(jwks).unwrap(),
        ] {
            let keys = of_issuer(set);
            let grant = decide(&token, &keys).unwrap();
            assert!(grant.private.accepts(b"/books/1") && !grant.private.accepts(b"/films/1"));
            assert_eq!(&*grant.payloads[0].json, r#"{"name":"Alice"}"#);
            assert!(decide(&again, &keys).is_ok());
        }
        assert_eq!(pair.jwk["kid"], pair.key.thumbprint().unwrap());
        assert!(!format!("{pair:?}").contains("PRIVATE"));
    }
    assert!(keygen_pair(Algorithm::Hs256).is_err());
    // RFC 7638, section 3.1.
    let jwk = br#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    let key = Key::jwk(jwk).unwrap();
    assert_eq!(
        key.thumbprint().unwrap(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    assert_eq!(key.algorithms(), Algorithm::Rs256.into());
}
