//! What each dialect of the Mercure protocol says on the wire. Each test names the lines of shared/protocol/mercure.md that it holds.

mod asking;

use http::Method;
use tidewire_auth::{Algorithm, Anonymous, Claims, Detail, Issuer, Key, TopicMatch, mint};
use tidewire_http::{Origins, Settings};

use crate::http2::client;
use crate::publishing::{FORM, token, with_keys};
use crate::server::{Answer, Server, header, request, start, start_with};

const HUB: &str = "/.well-known/mercure";
const METADATA: &str = "resource_metadata=\"http://localhost/.well-known/oauth-protected-resource/.well-known/mercure\"";

/// Has no meaning for the hub; no plain request has it, so that hyper serves it.
const NOT_PLAIN: &str = "\r\nTE: trailers";

/// The head of an answer, from the plain door and from the router's, which must agree.
fn head(server: &Server, line: &str, lines: &str, body: &str) -> String {
    let heads = ["", NOT_PLAIN].map(|more| {
        let mut client = server.connect();
        let head = format!("{line} HTTP/1.1\r\nHost: localhost{lines}{more}");
        client.send(&request(&head, body));
        crate::server::masked(&client.head(), "date: ", "\r\n")
    });
    assert_eq!(heads[0], heads[1], "{line} {lines}: the doors differ");
    let [head, _] = heads;
    head
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn post(server: &Server, lines: &str, body: &str) -> Answer {
    let line = format!("POST {HUB} HTTP/1.1\r\nHost: localhost{FORM}{lines}");
    server.ask(&line, body)
}

/// mercure.md, section 3, 1.4, 1.7, 1.8, 2.30, 2.36: each request is answered in its own dialect.
#[test]
fn a_token_that_does_not_do_is_told_in_the_dialect_of_its_request() {
    let server = with_keys(Anonymous::None);
    let reader = token(&[], &["a"], None);
    let bearer = |token: &str| format!("\r\nAuthorization: Bearer {token}");
    let twice = format!("{}{}", bearer(&reader), bearer(&reader));
    let basic = "\r\nAuthorization: Basic eDp5".to_owned();
    let none = String::new();
    let bad = bearer("x.y.z");
    let in_url = format!("&authorization={reader}");
    let as_access_token = format!("&access_token={reader}");
    let modern = |error: &str| match error {
        "" => format!("Bearer {METADATA}"),
        error => format!("Bearer error=\"{error}\", {METADATA}"),
    };
    let old = || "Bearer".to_owned();
    #[rustfmt::skip]
    let table = [
        (format!("HEAD {HUB}?topic=a"),                  &none,            401, old()),
        (format!("HEAD {HUB}?match=a"),                  &none,            401, modern("")),
        (format!("HEAD {HUB}"),                          &none,            401, modern("")),
        ("HEAD /topics/a".to_owned(),                    &none,            401, modern("")),
        (format!("GET {HUB}?topic=a"),                   &bad,             401, old()),
        (format!("GET {HUB}?match=a"),                   &bad,             401, modern("invalid_token")),
        ("GET /topics/a".to_owned(),                     &bad,             401, modern("invalid_token")),
        (format!("GET {HUB}?topic=a"),                   &basic,           401, old()),
        (format!("GET {HUB}?match=a"),                   &basic,           400, modern("invalid_request")),
        ("GET /topics/a".to_owned(),                     &basic,           400, modern("invalid_request")),
        (format!("GET {HUB}?topic=a"),                   &twice,           401, old()),
        (format!("GET {HUB}?match=a"),                   &twice,           400, modern("invalid_request")),
        (format!("HEAD {HUB}?topic=a"),                  &bearer(&reader), 200, none.clone()),
        (format!("HEAD {HUB}?topic=a{in_url}"),          &none,            200, none.clone()),
        (format!("HEAD {HUB}?topic=a{in_url}{in_url}"),  &none,            401, old()),
        (format!("HEAD {HUB}?match=a{in_url}"),          &none,            400, modern("invalid_request")),
        (format!("HEAD {HUB}?match=a{as_access_token}"), &none,            400, modern("invalid_request")),
        (format!("HEAD {HUB}?topic=a{as_access_token}"), &none,            401, old()),
        (format!("HEAD /topics/a?x{in_url}"),            &none,            200, none.clone()),
        (format!("HEAD /topics/a?x{as_access_token}"),   &none,            400, modern("invalid_request")),
        // A token of the legacy keys is no modern token.
        (format!("GET {HUB}?match=a"),                   &bearer(&reader), 401, modern("invalid_token")),
    ];
    for (line, lines, want, challenge) in table {
        let head = head(&server, &line, lines, "");
        assert_eq!(status(&head), want, "{line} {lines}");
        let got = header(&head, "www-authenticate").unwrap_or_default();
        assert_eq!(got, challenge, "{line} {lines}");
        assert!(!head.contains(&reader));
        if want != 200 {
            assert_eq!(header(&head, "cache-control"), Some("no-store"), "{line}");
        }
    }
    // mercure.md, 1.8: a bad token is none, even where none is needed.
    let open = with_keys(Anonymous::Subscribe);
    for (line, want) in [("topic=a", 200), ("match=a", 200)] {
        let line = format!("HEAD {HUB}?{line}");
        assert_eq!(status(&head(&open, &line, "", "")), want);
        assert_eq!(status(&head(&open, &line, &bad, "")), 401);
    }
}

/// mercure.md, section 3, 1.7, 1.9, 2.21, 2.24, 2.26: a form is answered in the dialect of its token.
#[test]
fn a_publish_is_answered_in_the_dialect_of_its_token() {
    let legacy = with_keys(Anonymous::None);
    let open = start();
    let bearer = |publish: &[&str]| {
        let token = token(publish, &["a"], None);
        format!("\r\nAuthorization: Bearer {token}")
    };
    let many = format!("topic=a{}", "&topic=b".repeat(1000));
    #[rustfmt::skip]
    let table = [
        (&legacy, String::new(),                "topic=a",                       401, format!("Bearer {METADATA}")),
        (&legacy, bearer(&["a"]),               "topic=b",                       401, "Bearer".to_owned()),
        (&legacy, bearer(&["a"]),               "topic=a&topic=b",               401, "Bearer".to_owned()),
        (&legacy, bearer(&[]),                  "topic=a",                       401, "Bearer".to_owned()),
        (&legacy, bearer(&["*"]),               "topic=a",                       200, String::new()),
        (&legacy, bearer(&["*"]),               "topic=/.well-known/mercure/x",  403, String::new()),
        (&legacy, bearer(&["*"]),               &many,                           400, String::new()),
        (&legacy, bearer(&["*"]),               "topic=*",                       400, String::new()),
        (&legacy, bearer(&["*"]),               "data=x",                        400, String::new()),
        // The substring alone reserves nothing: mercure.md, 1.9 is what one hub did, 2.21 the rule.
        (&legacy, bearer(&["*"]),               "topic=/foo/.well-known/mercure/x", 200, String::new()),
        (&open,   String::new(),                "topic=/.well-known/mercure/x",  400, String::new()),
        (&open,   String::new(),                &many,                           413, String::new()),
        (&open,   String::new(),                "topic=*",                       400, String::new()),
        (&open,   String::new(),                "data=x",                        400, String::new()),
    ];
    for (server, lines, body, want, challenge) in table {
        let line = format!("POST {HUB}");
        let head = head(server, &line, &format!("{FORM}{lines}"), body);
        let shown = &body[..body.len().min(40)];
        assert_eq!(status(&head), want, "{shown} {lines}");
        let got = header(&head, "www-authenticate").unwrap_or_default();
        assert_eq!(got, challenge, "{shown} {lines}");
    }
    // What is ours answers as the modern dialect does.
    let answer = legacy.ask(
        &format!(
            "POST /topics/b HTTP/1.1\r\nHost: localhost{}",
            bearer(&["a"])
        ),
        "x",
    );
    assert_eq!(answer.status, 403);
}

/// mercure.md, 0.13: only what needs a preflight spares a page the question where it is from. A token in the URL does not: a form
/// sends it too, with cookies that a hook may look at.
#[test]
fn only_a_header_spares_a_page_its_origin() {
    let server = with_keys(Anonymous::None);
    let publisher = token(&["a"], &[], None);
    let foreign = "\r\nOrigin: https://evil.example\r\nSec-Fetch-Site: cross-site";
    let in_url = format!("POST {HUB}?authorization={publisher}");
    let bearer = format!("\r\nAuthorization: Bearer {publisher}");
    let line = format!("POST {HUB}");
    #[rustfmt::skip]
    let table = [
        (&in_url, String::new(),                  200),
        (&in_url, foreign.to_owned(),             403),
        (&line,   format!("{bearer}{foreign}"),   200),
        (&line,   foreign.to_owned(),             403),
    ];
    for (line, lines, want) in table {
        let head = head(&server, line, &format!("{FORM}{lines}"), "topic=a");
        assert_eq!(status(&head), want, "{lines}");
    }
}

/// mercure.md, 0.13, 1.4, 2.30: a cookie counts in its own dialect, and changes nothing unless a page of a good origin sent it.
#[test]
fn cookies() {
    let server = with_keys(Anonymous::None);
    let reader = token(&["a"], &["a"], None);
    let cookie = |name: &str| format!("\r\nCookie: x=y; {name}={reader}");
    let (legacy, modern) = (
        cookie("mercureAuthorization"),
        cookie("__Secure-mercure_access_token"),
    );
    #[rustfmt::skip]
    let table = [
        ("HEAD /.well-known/mercure?topic=a", &legacy, "",                                      200),
        ("HEAD /.well-known/mercure?match=a", &legacy, "",                                      401),
        ("HEAD /.well-known/mercure?topic=a", &modern, "",                                      401),
        ("HEAD /topics/a",                    &legacy, "",                                      200),
        // Reading is not changing: whether the page may see it is the browser's to say.
        ("HEAD /.well-known/mercure?topic=a", &legacy, "\r\nOrigin: https://evil.example",      200),
        ("POST /topics/a",                    &legacy, "",                                      403),
        ("POST /topics/a",                    &legacy, "\r\nOrigin: http://localhost",          200),
        ("POST /topics/a",                    &legacy, "\r\nOrigin: https://evil.example",      403),
        ("POST /topics/a",                    &legacy, "\r\nOrigin: null",                      403),
        ("POST /topics/a",                    &legacy, "\r\nReferer: http://localhost/page",    200),
        ("POST /topics/a",                    &legacy, "\r\nReferer: https://evil.example/",    403),
        ("POST /topics/a",                    &legacy, "\r\nSec-Fetch-Site: same-origin",       200),
        ("POST /topics/a",                    &legacy, "\r\nSec-Fetch-Site: same-site",         403),
    ];
    for (line, cookie, lines, want) in table {
        let body = if line.starts_with("POST") { "x" } else { "" };
        let head = head(&server, line, &format!("{cookie}{lines}"), body);
        assert_eq!(status(&head), want, "{line} {lines}");
        // mercure.md, 2.8: the answer is not for that page, nor for anybody's cache.
        assert_eq!(header(&head, "access-control-allow-origin"), None);
        assert!(head.contains("vary: Origin"), "{head}");
        let cached = header(&head, "cache-control").unwrap();
        assert!(cached.contains("no-store"), "{cached}");
    }
    let named = start_with(|settings| {
        crate::publishing::use_keys(settings, Anonymous::None);
        settings.access.cookie_name = Some("mine".to_owned());
    });
    for (cookie, want) in [(cookie("mine"), 200), (legacy, 401)] {
        let head = head(&named, &format!("HEAD {HUB}?topic=a"), &cookie, "");
        assert_eq!(status(&head), want, "{cookie}");
    }
}

/// mercure.md, 0.16, 2.8: pages of listed origins read the ids, and may send what they need.
#[test]
fn a_page_of_a_listed_origin_can_read_the_last_event_id() {
    let app = "https://app.example";
    let settings = |settings: &mut Settings| {
        crate::publishing::use_keys(settings, Anonymous::Subscribe);
        settings.access.cors_origins = Origins::parse([app]).unwrap();
    };
    let server = start_with(settings);
    server.publish("a", "e1");
    for target in [
        "/.well-known/mercure?topic=a",
        "/.well-known/mercure?match=a",
        "/topics/a",
    ] {
        let lines = format!("\r\nOrigin: {app}\r\nLast-Event-ID: #5-1");
        let head = head(&server, &format!("HEAD {target}"), &lines, "");
        assert_eq!(header(&head, "access-control-allow-origin"), Some(app));
        assert_eq!(
            header(&head, "access-control-allow-credentials"),
            Some("true")
        );
        let exposed = header(&head, "access-control-expose-headers").unwrap();
        for name in [
            "last-event-id",
            "mercure-last-event-id",
            "link",
            "tidewire-gap",
            "retry-after",
            "etag",
        ] {
            assert!(exposed.split(", ").any(|have| have == name), "{exposed}");
        }
        assert_eq!(header(&head, "last-event-id"), Some("#5-1"));
        let preflight = server.ask(
            &format!("OPTIONS {target} HTTP/1.1\r\nHost: localhost\r\nOrigin: {app}\r\nAccess-Control-Request-Method: QUERY"),
            "",
        );
        let methods = preflight.header("access-control-allow-methods").unwrap();
        for method in ["GET", "HEAD", "QUERY", "POST"] {
            assert!(methods.contains(method), "{methods}");
        }
        let headers = preflight.header("access-control-allow-headers").unwrap();
        for name in ["authorization", "cache-control", "last-event-id"] {
            assert!(headers.contains(name), "{headers}");
        }
    }
}

/// mercure.md, 2.40
#[test]
fn metadata_says_which_tokens_are_taken() {
    let path = "/.well-known/oauth-protected-resource/.well-known/mercure";
    assert_eq!(start().get(path).status, 404, "it takes none");
    assert_eq!(
        start()
            .ask(&format!("OPTIONS {path} HTTP/1.1\r\nHost: localhost"), "")
            .status,
        404
    );
    let server = with_keys(Anonymous::None);
    let answer = server.get(path);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(document["resource"], "http://localhost/.well-known/mercure");
    assert_eq!(
        document["bearer_methods_supported"],
        serde_json::json!(["header"])
    );
    assert_eq!(document["mercure_cookie"], "__Secure-mercure_access_token");
    assert_eq!(
        document["authorization_details_types_supported"],
        serde_json::json!(["https://mercure.rocks/authorization-detail"])
    );
    assert_eq!(
        document["mercure_matcher_types_supported"],
        serde_json::json!(["exact", "urlpattern"])
    );
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost");
    assert_eq!(server.ask(&head, "x").status, 405);
}

/// mercure.md, 2.71, 1.15, 2.70: everything follows the hub to where it is.
#[test]
fn a_hub_at_another_path() {
    let server = start_with(|settings| {
        crate::publishing::use_keys(settings, Anonymous::All);
        settings.hub_path = "/live/hub".to_owned();
        settings.hub_url = Some("https://hub.example/behind/a/proxy".to_owned());
    });
    let form = |topic: &str| {
        head(
            &server,
            "POST /live/hub",
            FORM,
            &format!("topic={topic}&data=x"),
        )
    };
    #[rustfmt::skip]
    let table = [
        ("a", 200),
        ("/.well-known/mercure/x", 200),
        ("/live/hub/x", 400),
        ("https://hub.example/behind/a/proxy/subscriptions", 400),
    ];
    for (topic, want) in table {
        assert_eq!(status(&form(topic)), want, "{topic}");
    }
    assert_eq!(
        status(&head(&server, &format!("POST {HUB}"), FORM, "topic=a")),
        404
    );
    assert_eq!(
        status(&head(&server, &format!("GET {HUB}?topic=a"), "", "")),
        404
    );
    assert_eq!(
        status(&head(&server, "HEAD /live/hub?topic=a", "", "")),
        200
    );
    let (_, body) = server.stream("/live/hub?match=a&since=earliest", "", "data: x\n\n");
    assert!(body.contains("data: x"));
    let link = "<https://hub.example/behind/a/proxy>; rel=\"mercure\"";
    for target in ["/", "/topics/a"] {
        let head = head(&server, &format!("HEAD {target}"), "", "");
        assert_eq!(header(&head, "link"), Some(link), "{target}");
    }
    let metadata = server.get("/.well-known/oauth-protected-resource/live/hub");
    let document: serde_json::Value = serde_json::from_str(&metadata.body).unwrap();
    assert_eq!(document["resource"], "https://hub.example/behind/a/proxy");
    let refused = head(
        &server,
        "GET /live/hub?match=a",
        "\r\nAuthorization: Bearer x.y.z",
        "",
    );
    assert_eq!(
        header(&refused, "www-authenticate"),
        Some(
            "Bearer error=\"invalid_token\", resource_metadata=\"https://hub.example/.well-known/oauth-protected-resource/behind/a/proxy\""
        )
    );
    let description: serde_json::Value =
        serde_json::from_str(&server.get("/openapi.json").body).unwrap();
    assert!(description["paths"]["/live/hub"].is_object());
    assert!(server.get("/addresses.js").body.contains("\"/live/hub"));
}

/// mercure.md, 0.6 to 0.8, 0.20, 1.9, 2.20 to 2.24
#[test]
fn what_a_publish_may_hold() {
    let server = start();
    #[rustfmt::skip]
    let table = [
        ("topic=a&private=&data=x",                 400), // nobody could read it: this hub has no subscriber key
        ("topic=a&unknown=x",                       200),
        ("topic=a&retry=",                          200),
        ("topic=a&retry=18446744073709551615",      200),
        ("topic=a&retry=18446744073709551616",      400),
        ("topic=a&retry=-1",                        400),
        ("topic=a&retry=%D9%A1",                    400),
        ("topic=a&id=earliest",                     400),
        ("topic=a&id=%23x",                         400),
        ("topic=a&id=x%E2%80%8By",                  400),
        ("topic=a&id=x%C2%85y",                     400),
        ("topic=a&type=mercure",                    400),
        ("topic=a&type=Mercure",                    200),
        ("topic=a&type=x%E2%80%AEy",                400),
        ("topic=a&type=x%7F",                       400),
        ("topic=a&data=%FF",                        400),
        ("topic=a%E2%80%8B",                        400),
        ("topic=a%C2%85",                           400),
        ("topic=",                                  400),
        ("topic=%20",                               400),
        ("topic=?x",                                400),
        ("topic=mercure/subscriptions/a",           400),
        ("topic=%256Dercure",                       400),
        ("topic=subscriptions/a",                   200),
    ];
    for (body, want) in table {
        let answer = post(&server, "", body);
        assert_eq!(answer.status, want, "{body}: {}", answer.body);
        if want == 200 {
            assert_eq!(
                answer.header("content-type"),
                Some("text/plain; charset=utf-8")
            );
        }
    }
}

const ISSUER: &str = "https://issuer.example";
const ISSUER_SECRET: &[u8] = b"another secret, of an issuer's, long enough";

/// Legacy keys for both roles, and an issuer's.
fn with_issuer() -> Server {
    start_with(|settings| {
        crate::publishing::use_keys(settings, Anonymous::None);
        let key = || Key::hmac(ISSUER_SECRET, Algorithm::Hs256).unwrap().into();
        settings.access.keys.issuers.push(Issuer {
            name: ISSUER.to_owned(),
            publisher: Some(key()),
            subscriber: Some(key()),
        });
        settings.access.cors_origins = Origins::parse(["https://app.example"]).unwrap();
    })
}

/// An access token to publish to some topics, and to read them.
fn access_token(publish: &[&str], subscribe: &[&str], audience: &str) -> String {
    let topics = |list: &[&str]| {
        list.iter()
            .map(|one| TopicMatch::Exact((*one).to_owned()))
            .collect()
    };
    let detail = |is_publish, list| Detail {
        publish: is_publish,
        subscribe: !is_publish,
        topics: topics(list),
        payload: None,
    };
    let details = [(true, publish), (false, subscribe)].into_iter();
    let details = details.filter(|(_, list)| !list.is_empty());
    let claims = Claims {
        details: Some(
            details
                .map(|(is_publish, list)| detail(is_publish, list))
                .collect(),
        ),
        audience: vec![audience.to_owned()],
        issuer: Some(ISSUER.to_owned()),
        expires_ms: Some(2_000_000),
        ..Claims::default()
    };
    mint(
        &claims,
        &Key::hmac(ISSUER_SECRET, Algorithm::Hs256).unwrap(),
    )
    .unwrap()
}

/// mercure.md, section 3, 2.23, 2.26, 2.30, 2.33, 2.36, 2.40
#[test]
fn access_tokens_at_the_door() {
    let server = with_issuer();
    let own = "http://localhost/.well-known/mercure";
    let good = access_token(&["a", "/.well-known/mercure/x"], &["a"], own);
    let reader = access_token(&[], &["a"], own);
    let foreign = access_token(&["a"], &["a"], "http://other/.well-known/mercure");
    let bearer = |token: &str| format!("\r\nAuthorization: Bearer {token}");
    let modern = format!("\r\nCookie: __Secure-mercure_access_token={good}");
    let legacy = format!("\r\nCookie: mercureAuthorization={good}");
    let none = String::new();
    let many = format!("topic=a{}", "&topic=a".repeat(1000));
    #[rustfmt::skip]
    let table = [
        (format!("HEAD {HUB}?match=a"),                        bearer(&good),    "", 200, ""),
        (format!("HEAD {HUB}?topic=a"),                        bearer(&good),    "", 200, ""),
        ("HEAD /topics/a".to_owned(),                          bearer(&good),    "", 200, ""),
        (format!("HEAD {HUB}?match=a"),                        modern.clone(),   "", 200, ""),
        (format!("HEAD {HUB}?match=a"),                        legacy.clone(),   "", 401, "-"),
        (format!("HEAD {HUB}?topic=a"),                        modern.clone(),   "", 401, "legacy"),
        (format!("HEAD {HUB}?topic=a"),                        legacy.clone(),   "", 200, ""),
        ("HEAD /topics/a".to_owned(),                          modern.clone(),   "", 200, ""),
        // 2.30: never in a URL, whatever the request is.
        (format!("HEAD {HUB}?match=a&authorization={good}"),   none.clone(),     "", 400, "invalid_request"),
        (format!("HEAD {HUB}?match=a&authorization={good}"),   bearer(&good),    "", 400, "invalid_request"),
        (format!("HEAD {HUB}?topic=a&authorization={good}"),   none.clone(),     "", 401, "legacy"),
        (format!("HEAD /topics/a?authorization={good}"),       none.clone(),     "", 400, "invalid_request"),
        // 2.30: a header that is there is what counts.
        (format!("HEAD {HUB}?match=a"),                        format!("{}{modern}", bearer("x.y.z")), "", 401, "invalid_token"),
        // 2.33
        (format!("HEAD {HUB}?match=a"),                        bearer(&foreign), "", 401, "invalid_token"),
        (format!("POST {HUB}"),                                bearer(&foreign), "topic=a", 401, "invalid_token"),
        (format!("POST {HUB}"),                                bearer(&good),    "topic=a", 200, ""),
        (format!("POST {HUB}"),                                bearer(&good),    "topic=b", 403, "insufficient_scope"),
        (format!("POST {HUB}"),                                bearer(&good),    "topic=a&topic=b", 403, "insufficient_scope"),
        (format!("POST {HUB}"),                                bearer(&reader),  "topic=a", 403, "insufficient_scope"),
        (format!("POST {HUB}"),                                none.clone(),     "topic=a", 401, "-"),
        (format!("POST {HUB}"),                                bearer(&good),    "topic=/.well-known/mercure/x", 400, ""),
        (format!("POST {HUB}"),                                bearer(&good),    &many, 413, ""),
        (format!("POST {HUB}"),                                format!("{modern}\r\nOrigin: http://localhost"), "topic=a", 200, ""),
        (format!("POST {HUB}"),                                modern.clone(),   "topic=a", 403, ""),
    ];
    for (line, lines, body, want, error) in table {
        let form = if body.is_empty() { "" } else { FORM };
        let head = head(&server, &line, &format!("{form}{lines}"), body);
        let shown = line.replace(&good, "...");
        assert_eq!(
            status(&head),
            want,
            "{shown} {lines} {}",
            &body[..body.len().min(40)]
        );
        let challenge = match error {
            "" => String::new(),
            "-" => format!("Bearer {METADATA}"),
            "legacy" => "Bearer".to_owned(),
            error => format!("Bearer error=\"{error}\", {METADATA}"),
        };
        let got = header(&head, "www-authenticate").unwrap_or_default();
        assert_eq!(got, challenge, "{shown} {lines}");
    }
    let metadata = server.get("/.well-known/oauth-protected-resource/.well-known/mercure");
    let document: serde_json::Value = serde_json::from_str(&metadata.body).unwrap();
    assert_eq!(
        document["authorization_servers"],
        serde_json::json!([ISSUER])
    );
}

/// The same over HTTP/2, which says its authority in another way.
#[test]
fn each_dialect_over_http2() {
    let server = with_issuer();
    let own = format!("http://{}{HUB}", server.address);
    let good = access_token(&["a"], &["a"], &own);
    let legacy = token(&["a"], &["a"], None);
    let metadata = format!(
        "resource_metadata=\"http://{}/.well-known/oauth-protected-resource{HUB}\"",
        server.address
    );
    let invalid = format!("Bearer error=\"invalid_token\", {metadata}");
    let presented = format!("Bearer error=\"invalid_request\", {metadata}");
    #[rustfmt::skip]
    let table = [
        (format!("{HUB}?match=a"),                          Some(&good),   200, String::new()),
        (format!("{HUB}?topic=a"),                          Some(&legacy), 200, String::new()),
        (format!("{HUB}?match=a"),                          Some(&legacy), 401, invalid),
        (format!("{HUB}?match=a"),                          None,          401, format!("Bearer {metadata}")),
        (format!("{HUB}?topic=a"),                          None,          401, "Bearer".to_owned()),
        (format!("{HUB}?match=a&authorization={legacy}"),   None,          400, presented),
        (format!("{HUB}?topic=a&authorization={legacy}"),   None,          200, String::new()),
        (format!("{HUB}?topic=a&match=a"),                  Some(&good),   400, String::new()),
    ];
    let mut client = client::connect(&server);
    for (target, token, want, challenge) in table {
        let mut request = client.request(Method::HEAD, &target);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = client.ask(request.body(()).unwrap());
        assert_eq!(answer.status(), want, "{target}");
        let got = answer.headers().get("www-authenticate");
        let got = got.map_or("", |value| value.to_str().unwrap());
        assert_eq!(got, challenge, "{target}");
    }
}

/// What a cache may hold, or a proxy may have made up, decides nothing and comes back nowhere.
#[test]
fn headers_that_poison_caches_decide_nothing() {
    let server = with_keys(Anonymous::None);
    #[rustfmt::skip]
    let lines = [
        "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: evil", "X-Forwarded-Prefix: /evil", "X-Forwarded-Server: evil.example",
        "Forwarded: host=evil.example;proto=evil", "X-Host: evil.example", "X-Original-URL: /evil", "X-Rewrite-URL: /evil",
        "X-HTTP-Method-Override: EVIL", "X-Original-Host: evil.example",
    ];
    let targets = [
        "/",
        "/openapi.json",
        "/topics/a",
        "/.well-known/mercure?match=a",
        "/.well-known/mercure?topic=a",
        "/.well-known/oauth-protected-resource/.well-known/mercure",
        "/nothing",
    ];
    for target in targets {
        let masked = |answer: Answer| {
            let head = crate::server::masked(&answer.head, "date: ", "\r\n");
            (answer.status, head, answer.body)
        };
        let plain = masked(server.get(target));
        assert!(plain.1.contains("vary: Origin"), "{target}");
        for line in lines {
            let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{line}");
            assert_eq!(masked(server.ask(&head, "")), plain, "{target} {line}");
        }
        // Whatever Host says, what tells it is kept by nobody.
        let head = format!("GET {target} HTTP/1.1\r\nHost: evil.example");
        let answer = server.ask(&head, "");
        let cached = answer.header("cache-control").unwrap();
        let told = answer.head.contains("evil") || answer.body.contains("evil.example");
        assert!(!told || cached == "no-store", "{target}: {}", answer.head);
    }
}

/// docs/mercure.md has a row for each line of the protocol.
#[test]
fn the_reference_page_has_every_line() {
    let page = include_str!("../../../../docs/mercure.md");
    let lines = include_str!("../../../../spec/hub/lines.toml");
    let key = |number: &str| {
        let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap());
        (parts.next().unwrap(), parts.next())
    };
    let mut rows = Vec::new();
    for row in page.lines().filter_map(|line| line.strip_prefix("| ")) {
        let cell = row.split(" |").next().unwrap();
        if !cell.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        match cell.split_once(" to ") {
            Some((from, to)) => rows.push((key(from), key(to))),
            None => rows.extend(cell.split(", ").map(|one| (key(one), key(one)))),
        }
    }
    let numbers = lines
        .lines()
        .filter_map(|line| line.strip_prefix("number = "));
    let mut count = 0;
    for number in numbers.map(|number| key(number.trim_matches('"'))) {
        let holds =
            |(from, to): &((u32, Option<u32>), (u32, Option<u32>))| (*from..=*to).contains(&number);
        assert_eq!(
            rows.iter().filter(|row| holds(row)).count(),
            1,
            "{number:?}"
        );
        count += 1;
    }
    assert!(count > 70, "{count}");
}
