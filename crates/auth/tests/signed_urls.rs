//! Signed URLs: what they let in, and that nothing of them can be changed.
#![cfg(feature = "verify")]

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use tidewire_auth::signed_url::{
    Admitted, SIGNED_URL_BYTES_MAX, SignedUrl, URL_KEY_BYTES_MIN, UrlError, UrlKey, UrlQuestion,
    verify,
};
use tidewire_auth::{Algorithm, Dialect, Key, KeyError, Refusal, mint};
use tidewire_core::Patterns;

const NOW_MS: u64 = 1_795_250_000_000;
const PATH: &str = "/.well-known/mercure";

fn key() -> UrlKey {
    let secret: Vec<u8> = (0..32).collect();
    UrlKey::new(&secret).unwrap()
}

fn with(parameters: &[(&str, &str)]) -> SignedUrl {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    SignedUrl {
        path: PATH.into(),
        parameters: parameters.iter().map(owned).collect(),
        expires_ms: NOW_MS + 60_000,
        ..SignedUrl::default()
    }
}

/// Everything that a URL may say.
fn full() -> SignedUrl {
    SignedUrl {
        origin: Some("https://app.example".into()),
        address: Some("2001:db8::1".parse().unwrap()),
        once: Some("kq3-V_9~.x012345".into()),
        subject: Some("alice".into()),
        ..with(&[
            ("topic", "https://example.com/books/1"),
            ("topic", "bücher {id}"),
        ])
    }
}

/// Reads a URL as a server does.
fn decoded(url: &str) -> (&str, Vec<(String, String)>) {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let text = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    let pairs = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (text(name), text(value))
        });
    (path, pairs.collect())
}

/// What becomes of a URL that somebody comes with: from where `full` allows it.
fn admit_with(url: &str, change: impl FnOnce(&mut UrlQuestion<'_>)) -> Result<Admitted, Refusal> {
    let (path, pairs) = decoded(url);
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let topic = path.strip_prefix("/topics/").map(|topic| {
        percent_decode_str(topic)
            .decode_utf8()
            .unwrap()
            .into_owned()
    });
    let mut question = UrlQuestion {
        path,
        topic: topic.as_deref(),
        parameters: &pairs,
        origin: Some("https://app.example"),
        address: "2001:db8::1".parse().ok(),
        now_ms: NOW_MS,
    };
    change(&mut question);
    verify(&question, &key(), &Patterns::default())
}

fn admit(url: &str) -> Result<Admitted, Refusal> {
    admit_with(url, |_| {})
}

fn refused(error: UrlError) -> Result<Admitted, Refusal> {
    Err(Refusal::SignedUrl(error))
}

/// The vectors of the module's page and of docs/reference.md, made with Python's hmac.
#[test]
fn another_language_gets_the_same() {
    let url = SignedUrl {
        once: Some("kq3-V_9~.x012345".into()),
        ..full()
    };
    let signed = url.sign(&key()).unwrap();
    assert_eq!(
        signed,
        "/.well-known/mercure?topic=https%3A%2F%2Fexample.com%2Fbooks%2F1&topic=b%C3%BCcher%20%7Bid%7D\
         &expires=1795250060&origin=https%3A%2F%2Fapp.example&address=2001%3Adb8%3A%3A1&once=kq3-V_9~.x012345\
         &subject=alice&signature=5HpPhckEAha7W1dcouNNPRGrbL2HKQt-k-NFbmgmNFY"
    );
    let path = SignedUrl {
        path: "/topics/orders%2f42/a b".into(),
        ..with(&[])
    };
    assert_eq!(
        path.sign(&key()).unwrap(),
        "/topics/orders%2F42/a%20b?expires=1795250060&signature=lZEmimYRmEe3yX0MVe5RheSpM7kmfkDACRgoPS8ov54"
    );
}

#[test]
fn it_grants_what_it_is_about() {
    let Admitted { grant, once } = admit(&full().sign(&key()).unwrap()).unwrap();
    assert!(grant.subscribe && grant.publish.is_empty());
    assert_eq!(grant.expires_ms, Some(NOW_MS + 60_000));
    assert_eq!(grant.subject.as_deref(), Some("alice"));
    assert_eq!(once.as_deref(), Some("kq3-V_9~.x012345"));
    assert_eq!((grant.token_id, grant.dialect), (once, Dialect::Legacy));
    for (topic, granted) in [
        ("https://example.com/books/1", true),
        ("bücher {id}", true),
        ("https://example.com/books/2", false),
    ] {
        assert_eq!(grant.private.accepts(topic.as_bytes()), granted, "{topic}");
    }
    #[rustfmt::skip]
    let table: [(&str, &str, &[(&str, &str)], &str, bool); 6] = [
        (PATH, "match", &[("match", "a{x}")], "a{x}", true),
        (PATH, "exact", &[("match_exact", "a{x}")], "ab", false),
        (PATH, "pattern", &[("match_urlpattern", "/books/:id")], "/books/1", true),
        (PATH, "any", &[("match", "*")], "whatever", true),
        ("/topics/a%2Fb", "path", &[], "a/b", true),
        ("/topics/a%2Fb", "path", &[], "a/c", false),
    ];
    for (path, case, parameters, topic, granted) in table {
        let url = SignedUrl {
            path: path.into(),
            ..with(parameters)
        };
        let grant = admit(&url.sign(&key()).unwrap()).unwrap().grant;
        assert_eq!(grant.private.accepts(topic.as_bytes()), granted, "{case}");
        assert_eq!(grant.dialect, Dialect::Modern, "{case}");
    }
}

#[test]
fn it_is_good_where_and_when_it_says() {
    let url = full().sign(&key()).unwrap();
    let expires_ms = NOW_MS + 60_000;
    let address = |text: &str| text.parse::<IpAddr>().ok();
    assert!(admit_with(&url, |ask| ask.now_ms = expires_ms - 1).is_ok());
    let late = admit_with(&url, |ask| ask.now_ms = expires_ms);
    assert_eq!(late, refused(UrlError::Expired { expires_ms }));
    for origin in [
        None,
        Some("https://evil.example"),
        Some("null"),
        Some("https://app.example:8443"),
    ] {
        let got = admit_with(&url, |ask| ask.origin = origin);
        assert_eq!(got, refused(UrlError::Origin), "{origin:?}");
    }
    for from in [None, address("2001:db8::2"), address("192.0.2.1")] {
        let got = admit_with(&url, |ask| ask.address = from);
        assert_eq!(got, refused(UrlError::Address), "{from:?}");
    }
    let old = SignedUrl {
        address: address("192.0.2.1"),
        ..with(&[("topic", "a")])
    };
    let old = old.sign(&key()).unwrap();
    assert!(admit_with(&old, |ask| ask.address = address("::ffff:192.0.2.1")).is_ok());
    // Without conditions it is good for everybody.
    let open = with(&[("topic", "a")]).sign(&key()).unwrap();
    let from_anywhere = admit_with(&open, |ask| (ask.origin, ask.address) = (None, None));
    assert_eq!(from_anywhere.unwrap().once, None);
}

#[test]
fn what_is_signed_cannot_be_changed() {
    let url = SignedUrl {
        token_id: Some("7".into()),
        ..full()
    };
    let url = url.sign(&key()).unwrap();
    assert_eq!(admit(&url).unwrap().grant.token_id.as_deref(), Some("7"));
    let swapped = url.replacen(
        "topic=https%3A%2F%2Fexample.com%2Fbooks%2F1&topic=b%C3%BCcher%20%7Bid%7D",
        "topic=b%C3%BCcher%20%7Bid%7D&topic=https%3A%2F%2Fexample.com%2Fbooks%2F1",
        1,
    );
    assert_ne!(swapped, url);
    for changed in [
        swapped,
        url.replace("books%2F1", "books%2F2"),
        url.replace("expires=1795250060", "expires=1795250061"),
        url.replace("&subject=alice", "&subject=bob"),
        url.replace("&subject=alice", ""),
        url.replace("&token_id=7", "&token_id=8"),
        url.replace("&token_id=7", ""),
        url.replace("&once=kq3-V_9~.x012345", ""),
        url.replace("&origin=https%3A%2F%2Fapp.example", ""),
        url.replace("/.well-known/mercure?", "/.well-known/mercurf?"),
        url.replace("topic=b", "match=b"),
        format!("{url}&topic=*"),
        url.replace("signature=", "signature=A"),
        url[..url.len() - 1].to_owned(),
    ] {
        assert_eq!(admit(&changed), refused(UrlError::Signature), "{changed}");
    }
    let (_, foreign) = url.split_once("signature=").unwrap();
    let other = with(&[("topic", "a")]).sign(&key()).unwrap();
    let (head, _) = other.split_once("signature=").unwrap();
    assert_eq!(
        admit(&format!("{head}signature={foreign}")),
        refused(UrlError::Signature)
    );
}

#[test]
fn what_is_not_signed_may_change() {
    let url = with(&[("topic", "a b/ü"), ("checkpoint", "off")])
        .sign(&key())
        .unwrap();
    for same in [
        url.clone(),
        url.replace("&checkpoint=off", ""),
        url.replace(
            "checkpoint=off",
            "checkpoint=event&label=topic&padding=2048&wait=30s&limit=5",
        ),
        format!(
            "{url}&last_event_id=%235-1&lastEventID=x&lastEventId=y&Last-Event-ID=earliest&since=10m"
        ),
        // Other spellings of the same.
        url.replace("a%20b", "a+b"),
        url.replace("%C3%BC", "%c3%bc"),
        url.replace("topic=a", "t%6fpic=%61"),
        url.replace("mercure", "m%65rcur%65"),
    ] {
        assert!(admit(&same).is_ok(), "{same}");
    }
}

#[test]
fn what_means_nothing_is_refused() {
    let url = with(&[("topic", "a")]).sign(&key()).unwrap();
    let unknown = |name: &str| UrlError::Unknown(name.into());
    let wrong = UrlError::Parameter;
    #[rustfmt::skip]
    let table = [
        (format!("{url}&authorization=x"), unknown("authorization")),
        (format!("{url}&Expires=1"), unknown("Expires")),
        (format!("{url}&matchRegexp=a"), unknown("matchRegexp")),
        (format!("{url}&expires=1795250060"), wrong("expires")),
        (format!("{url}&signature=x"), wrong("signature")),
        (url.replace("&signature=", "&last_event_id="), wrong("signature")),
        (url.replace("&expires=1795250060", ""), wrong("expires")),
        (url.replace("1795250060", "-1"), wrong("expires")),
        (url.replace("1795250060", "%2B1795250060"), wrong("expires")),
        (url.replace("1795250060", "1795250060.5"), wrong("expires")),
        (url.replace("1795250060", "99999999999999999999"), wrong("expires")),
        (url.replace("1795250060", "18446744073709551615"), wrong("expires")),
        (format!("{url}&address=localhost"), wrong("address")),
        (format!("{url}&once=short"), wrong("once")),
        (format!("{url}&once={}", "x".repeat(65)), wrong("once")),
        (format!("{url}&once=has%20a%20space%20within"), wrong("once")),
        (format!("{url}&subject="), wrong("subject")),
        (format!("{url}&last_event_id={}", "x".repeat(SIGNED_URL_BYTES_MAX)), UrlError::TooLong),
    ];
    for (url, want) in table {
        assert_eq!(admit(&url), refused(want), "{url:.200}");
    }
    // What the hub itself would sign by mistake.
    let nothing = with(&[]).sign(&key()).unwrap();
    assert_eq!(admit(&nothing), refused(UrlError::NoTopic));
    let twice = SignedUrl {
        path: "/topics/a".into(),
        ..with(&[("topic", "b")])
    };
    assert_eq!(admit(&twice.sign(&key()).unwrap()), refused(wrong("topic")));
    for parameters in [[("expires", "1")], [("evil", "1")], [("origin", "a")]] {
        let both = SignedUrl {
            origin: Some("b".into()),
            ..with(&parameters)
        };
        assert!(both.sign(&key()).is_err(), "{parameters:?}");
    }
    assert!(
        with(&[("topic", &"x".repeat(SIGNED_URL_BYTES_MAX))])
            .sign(&key())
            .is_err()
    );
}

#[test]
fn its_key_is_its_own() {
    let short = KeyError::Short {
        bytes: 31,
        bytes_min: URL_KEY_BYTES_MIN,
    };
    assert_eq!(UrlKey::new(&[7; 31]), Err(short));
    assert_eq!(format!("{:?}", UrlKey::new(&[7; 32]).unwrap()), "UrlKey");
    let other = with(&[("topic", "a")])
        .sign(&UrlKey::new(&[7; 32]).unwrap())
        .unwrap();
    assert_eq!(admit(&other), refused(UrlError::Signature));
    // One secret for both: the signature of a token is none of a URL.
    let secret: Vec<u8> = (0..32).collect();
    let token = mint(
        &Default::default(),
        &Key::hmac(&secret, Algorithm::Hs256).unwrap(),
    )
    .unwrap();
    let (_, signature) = token.rsplit_once('.').unwrap();
    let url = with(&[("topic", "a")]).sign(&key()).unwrap();
    let (head, _) = url.split_once("signature=").unwrap();
    assert_eq!(
        admit(&format!("{head}signature={signature}")),
        refused(UrlError::Signature)
    );
}

proptest! {
    /// Whatever a topic and a path hold, what was signed is taken, and means what was meant; with one byte changed it is not.
    #[test]
    fn any_topic_goes_there_and_back(topic in "\\PC{1,40}", at in any::<prop::sample::Index>(), with_byte in 0x21..0x7f_u8) {
        let url = with(&[("match", &topic)]).sign(&key()).unwrap();
        match admit(&url) {
            Ok(admitted) => prop_assert!(admitted.grant.private.accepts(topic.as_bytes())),
            // No topic at all, and so none that anybody could have been granted.
            Err(error) => prop_assert!(matches!(error, Refusal::Pattern(_)), "{error}"),
        }
        let mut bytes = url.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = with_byte;
        let changed = String::from_utf8(bytes).unwrap();
        let (before, after) = (decoded(&url), std::panic::catch_unwind(|| decoded(&changed).1));
        if let Ok(after) = after
            && (decoded(&changed).0, &after) != (before.0, &before.1)
        {
            let got = std::panic::catch_unwind(|| admit_with(&changed, |_| {}).is_ok());
            prop_assert!(!got.unwrap_or(false), "{changed}");
        }
    }
}
