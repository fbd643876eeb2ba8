//! Who is answered, and with which errors.

use crate::server::{header, start, start_with, until};

#[test]
fn paths_and_methods() {
    let server = start();
    #[rustfmt::skip]
    let table = [
        ("GET /nothing", 404, ""),
        ("GET /topics", 404, ""),
        ("GET /topics/", 404, ""),
        ("PUT /topics/a", 405, "GET, HEAD, QUERY, POST, OPTIONS"),
        ("DELETE /.well-known/mercure", 405, "GET, HEAD, QUERY, POST, OPTIONS"),
        ("POST /healthz", 405, "GET, HEAD, OPTIONS"),
        ("POST /", 405, "GET, HEAD, OPTIONS"),
        ("GET /healthz", 200, ""),
        ("GET /readyz", 200, ""),
        ("GET /openapi.json", 200, ""),
        ("GET /", 200, ""),
        ("GET /playground.js", 200, ""),
        ("OPTIONS /topics/a", 204, "GET, HEAD, QUERY, POST, OPTIONS"),
        ("OPTIONS /nothing", 404, ""),
        ("GET /.well-known/mercure", 400, ""),
        ("GET /.well-known/mercure?match_urlpattern=(", 400, ""),
        ("GET /topics/a%00", 400, ""),
        ("GET /topics/a?since=yesterday", 400, ""),
    ];
    for (line, status, allow) in table {
        let answer = server.ask(&format!("{line} HTTP/1.1\r\nHost: localhost"), "");
        assert_eq!(answer.status, status, "{line}: {}", answer.body);
        assert_eq!(answer.header("allow").unwrap_or_default(), allow, "{line}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{line}"
        );
        if status >= 400 {
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json"),
                "{line}"
            );
            let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(problem["status"], status);
            for member in ["type", "title", "detail"] {
                assert!(
                    problem[member]
                        .as_str()
                        .is_some_and(|text| !text.is_empty()),
                    "{line} {member}"
                );
            }
        }
    }
}

#[test]
fn the_page_loads_nothing_but_its_own() {
    let server = start();
    let page = server.get("/");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    for (path, content_type) in [
        ("/playground.js", "text/javascript; charset=utf-8"),
        ("/playground.css", "text/css; charset=utf-8"),
    ] {
        assert_eq!(server.get(path).header("content-type"), Some(content_type));
    }
}

#[test]
fn files_are_sent_compressed_to_who_takes_that_and_not_twice() {
    let server = start();
    let ask = |path: &str, lines: &str| {
        let mut client = server.connect();
        client.send(&format!(
            "HEAD {path} HTTP/1.1\r\nHost: localhost{lines}\r\n\r\n"
        ));
        client.head()
    };
    const SDK: &str = "/sdk/tidewire.js";
    let table = [
        (SDK, "", None),
        (SDK, "\r\nAccept-Encoding: gzip", Some("gzip")),
        (SDK, "\r\nAccept-Encoding: br, GZIP;q=0.5", Some("gzip")),
        (
            SDK,
            "\r\nAccept-Encoding: br\r\nAccept-Encoding: gzip",
            Some("gzip"),
        ),
        (SDK, "\r\nAccept-Encoding: gzip;q=0", None),
        (SDK, "\r\nAccept-Encoding: gzipped, identity", None),
        (
            "/sdk/tidewire-old.js",
            "\r\nAccept-Encoding: gzip",
            Some("gzip"),
        ),
        ("/playground.js", "\r\nAccept-Encoding: gzip", None),
    ];
    let mut tags = Vec::new();
    for (path, lines, encoding) in table {
        let answer = ask(path, lines);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}{lines}");
        assert_eq!(
            header(&answer, "content-encoding"),
            encoding,
            "{path}{lines}"
        );
        assert_eq!(
            header(&answer, "content-type"),
            Some("text/javascript; charset=utf-8")
        );
        assert_eq!(header(&answer, "vary"), Some("Accept-Encoding"));
        let bytes: usize = header(&answer, "content-length").unwrap().parse().unwrap();
        assert!(
            encoding.is_none() || bytes < 8_192,
            "{path} has {bytes} bytes"
        );
        let tag = header(&answer, "etag").unwrap().to_owned();
        for (known, status) in [
            (tag.clone(), "304"),
            (format!("\"x\", W/{tag}"), "304"),
            ("*".to_owned(), "304"),
            ("\"x\"".to_owned(), "200"),
        ] {
            let line = format!("{lines}\r\nIf-None-Match: {known}");
            let again = ask(path, &line);
            assert_eq!(again.split(' ').nth(1), Some(status), "{path}{line}");
            assert_eq!(header(&again, "etag"), Some(&*tag));
        }
        tags.push((path, encoding, tag));
    }
    // Each file has a tag of its own in each encoding.
    tags.sort();
    tags.dedup();
    let mut alone: Vec<_> = tags.iter().map(|(_, _, tag)| tag).collect();
    alone.sort();
    alone.dedup();
    assert_eq!(alone.len(), 4, "{tags:?}");
    assert_eq!(server.get("/sdk/tidewire.js.gz").status, 404);
    assert_eq!(
        server
            .ask(
                "POST /sdk/tidewire.js HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *",
                "x"
            )
            .status,
        405
    );
}

/// A page whose name was made to resolve to 127.0.0.1 is of its own origin in the browser's eyes; its name gives it away.
#[test]
fn dns_rebinding_is_refused() {
    let server = start();
    for (line, body) in [
        ("GET /topics/a", ""),
        ("POST /topics/a", "x"),
        ("GET /", ""),
        ("GET /healthz", ""),
    ] {
        for host in ["evil.example:8080", "127.0.0.1.evil.example", "192.168.0.2"] {
            let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}");
            let answer = server.ask(&head, body);
            assert_eq!(answer.status, 403, "{line} {host}");
            assert!(answer.body.contains("--anonymous all"), "{}", answer.body);
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    assert_eq!(server.front.counters().events, 0);
}

/// A form needs no script and no preflight, so the answer being unreadable does not help.
#[test]
fn a_form_post_from_another_site_is_refused() {
    let keyless = start();
    let open = start_with(|settings| settings.access.keyless = false);
    #[rustfmt::skip]
    let table = [
        ("", 200),
        ("\r\nOrigin: http://localhost", 200),
        ("\r\nOrigin: https://evil.example\r\nSec-Fetch-Site: cross-site", 403),
        ("\r\nOrigin: null\r\nSec-Fetch-Site: cross-site", 403),
        ("\r\nSec-Fetch-Site: cross-site", 403),
        ("\r\nSec-Fetch-Site: same-site", 403),
    ];
    for server in [&keyless, &open] {
        for (target, content_type, body) in [
            (
                "/.well-known/mercure",
                "application/x-www-form-urlencoded",
                "topic=a&data=x",
            ),
            ("/topics/a", "text/plain", "x"),
        ] {
            for (lines, want) in table {
                let head = format!(
                    "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}{lines}"
                );
                let answer = server.ask(&head, body);
                assert_eq!(answer.status, want, "{target} {lines}: {}", answer.body);
            }
        }
    }
}

#[test]
fn forwarded_requests_are_refused_without_keys() {
    let server = start();
    for line in [
        "Forwarded: for=1.2.3.4",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Proto: https",
        "Via: 1.1 nginx",
    ] {
        let answer = server.ask(
            &format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{line}"),
            "",
        );
        assert_eq!(answer.status, 403, "{line}");
        assert!(answer.body.contains("--anonymous all"), "{}", answer.body);
    }
}

#[test]
fn a_page_on_a_development_server_works() {
    let server = start();
    let origin = "Origin: http://localhost:5173";
    let preflight = server.ask(
        &format!(
            "OPTIONS /.well-known/mercure HTTP/1.1\r\nHost: localhost\r\n{origin}\r\n\
             Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: last-event-id"
        ),
        "",
    );
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        Some("http://localhost:5173")
    );
    let allowed = preflight.header("access-control-allow-headers").unwrap();
    for name in [
        "authorization",
        "cache-control",
        "content-type",
        "idempotency-key",
        "last-event-id",
    ] {
        assert!(allowed.contains(name), "{allowed}");
    }
    assert!(
        preflight
            .header("access-control-allow-methods")
            .unwrap()
            .contains("POST")
    );
    assert!(preflight.header("access-control-max-age").is_some());

    let (head, _) = server.stream("/topics/a", &format!("{origin}\r\n"), "\n\n");
    assert_eq!(
        header(&head, "access-control-allow-origin"),
        Some("http://localhost:5173")
    );
    let exposed = header(&head, "access-control-expose-headers").unwrap();
    assert!(exposed.contains("tidewire-gap"), "{exposed}");

    let foreign = server.ask(
        "OPTIONS /topics/a HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\
         Access-Control-Request-Method: POST",
        "",
    );
    assert_eq!(foreign.status, 403);
    assert_eq!(foreign.header("access-control-allow-methods"), None);
}

#[test]
fn subscribers_beyond_the_limit_are_refused_in_a_way_that_heals() {
    let server = start_with(|settings| settings.limits.subscribers_max = 1);
    let mut first = server.connect();
    first.send("GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    first.head();

    let program = server.ask(
        "GET /topics/a HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream",
        "",
    );
    assert_eq!(program.status, 503);
    assert!(program.header("retry-after").is_some());
    assert_eq!(
        program.header("connection"),
        Some("close"),
        "its descriptor is wanted back"
    );

    let browser = server.ask(
        "GET /topics/a HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nSec-Fetch-Mode: cors",
        "",
    );
    assert_eq!(
        (browser.status, browser.header("content-type")),
        (200, Some("text/event-stream"))
    );
    let retry = browser
        .body
        .strip_prefix("retry: ")
        .and_then(|rest| rest.split('\n').next());
    assert!(
        (2_000..=10_000).contains(&retry.unwrap().parse::<u64>().unwrap()),
        "{}",
        browser.body
    );

    // Publishing and health go on.
    assert_eq!(
        server
            .ask("POST /topics/a HTTP/1.1\r\nHost: localhost", "x")
            .status,
        200
    );
    assert_eq!(server.get("/healthz").status, 200);

    let counters = server.front.counters();
    assert_eq!((counters.refused, counters.refused_softly), (1, 1));

    drop(first);
    until("its end is noticed", || server.front.subscribers() == 0);
    let (head, _) = server.stream("/topics/a", "", "\n\n");
    assert!(head.starts_with("HTTP/1.1 200"), "a place is free again");
}

/// The description names what exists, and nothing else: each path answers, with the methods it lists.
#[test]
fn the_description_is_true() {
    let server = start_with(|settings| {
        crate::publishing::use_keys(settings, tidewire_auth::Anonymous::All);
        settings.subscriptions = true;
    });
    let description: serde_json::Value =
        serde_json::from_str(&server.get("/openapi.json").body).unwrap();
    let paths = description["paths"].as_object().unwrap();
    for (path, operations) in paths {
        let target = path.replace("{topic}", "a").replace("{id}", "a");
        let target = target
            .replace("{match_type}/{match}", "exact/a")
            .replace("{subscriber}", "a");
        let allowed = server.ask(&format!("OPTIONS {target} HTTP/1.1\r\nHost: localhost"), "");
        let allowed = allowed.header("allow").unwrap_or_default().to_lowercase();
        for method in operations.as_object().unwrap().keys() {
            let known = allowed.split(", ").any(|have| have == method);
            assert!(
                known || method == "parameters",
                "{method} {path}: {allowed}"
            );
        }
        assert_eq!(
            allowed.contains("post"),
            operations["post"].is_object(),
            "{path}"
        );
    }
    let text = description.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(description.pointer(pointer).is_some(), "{pointer}");
    }
}
