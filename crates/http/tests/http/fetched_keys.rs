//! Keys by URL and by issuer: fetched, rotated, kept when their source is down, and never asked for more often than the floor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidewire_auth::{Algorithm, Claims, Detail, Key, Role, TopicMatch, mint};
use tidewire_http::{Access, FetchedKeys, KeySource, KeysFrom, KeysOf, RemoteUrl, Roles};

use crate::backend::{Asked, Backend, NEVER, Reply};
use crate::server::{Answer, PATIENCE, Server, start_with, until};

/// Short, so that tests wait for it; long enough that a slow machine does not pass it by.
const FLOOR: Duration = Duration::from_millis(400);
const HOUR_MS: u64 = 3_600_000;

fn secret(name: &str) -> Vec<u8> {
    format!("the secret of the key {name}, which is long enough").into_bytes()
}

/// A JWK set of these keys.
fn jwks(names: &[&str]) -> String {
    let key = |name: &&str| {
        let k = URL_SAFE_NO_PAD.encode(secret(name));
        serde_json::json!({"kty": "oct", "kid": name, "k": k, "alg": "HS256", "use": "sig"})
    };
    serde_json::json!({"keys": names.iter().map(key).collect::<Vec<_>>()}).to_string()
}

fn key(name: &str) -> Key {
    let key = Key::hmac(&secret(name), Algorithm::Hs256).unwrap();
    key.with_id(name)
}

/// A legacy token by this key.
fn token(name: &str) -> String {
    let claims = Claims {
        publish: vec!["*".to_owned()],
        subscribe: vec!["*".to_owned()],
        ..Claims::default()
    };
    mint(&claims, &key(name)).unwrap()
}

/// A modern token of an issuer, by this key.
fn issued(issuer: &str, audience: &str, name: &str) -> String {
    let detail = Detail {
        publish: true,
        subscribe: true,
        topics: vec![TopicMatch::Exact("*".to_owned())],
        payload: None,
    };
    let claims = Claims {
        details: Some(vec![detail]),
        issuer: Some(issuer.to_owned()),
        audience: vec![audience.to_owned()],
        expires_ms: Some(now_ms() + HOUR_MS),
        ..Claims::default()
    };
    mint(&claims, &key(name)).unwrap()
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.unwrap().as_millis()).unwrap()
}

/// A hub that lets in whom these sources know.
fn hub(sources: Vec<KeySource>, change: impl FnOnce(&mut FetchedKeys)) -> Server {
    start_with(|settings| {
        settings.access = Access::default();
        settings.fetched_keys.sources = sources;
        settings.fetched_keys.refetch_floor = FLOOR;
        settings.fetched_keys.time_max = Duration::from_secs(2);
        change(&mut settings.fetched_keys);
    })
}

fn source(of: KeysOf, from: KeysFrom) -> KeySource {
    let mut source = KeySource::new(of, from);
    source.algorithms = Algorithm::Hs256.into();
    source
}

fn url(text: &str) -> RemoteUrl {
    RemoteUrl::parse(text, false).unwrap()
}

fn of_subscribers(backend: &Backend) -> Vec<KeySource> {
    let from = KeysFrom::Jwks(url(&backend.url("/keys")));
    vec![source(KeysOf::Role(Role::Subscriber), from)]
}

fn page(server: &Server, token: &str) -> Answer {
    let head = format!(
        "GET /topics/a HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nAuthorization: Bearer {token}"
    );
    server.ask(&head, "")
}

fn publish(server: &Server, token: &str) -> Answer {
    let head =
        format!("POST /topics/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}");
    server.ask(&head, "x")
}

fn keys_of(names: &'static [&'static str]) -> impl Fn(&Asked) -> Reply + Send + Sync {
    move |_: &Asked| Reply::ok(jwks(names))
}

#[test]
fn a_token_by_a_new_key_brings_the_new_keys() {
    let backend = Backend::start(keys_of(&["a"]));
    let server = hub(of_subscribers(&backend), |_| {});
    assert_eq!(page(&server, &token("a")).status, 200);
    backend.answer(keys_of(&["b"]));
    assert_eq!(page(&server, &token("a")).status, 200, "nobody has looked");
    std::thread::sleep(FLOOR);
    assert_eq!(page(&server, &token("b")).status, 200);
    assert_eq!(page(&server, &token("a")).status, 401, "it is gone");
    assert_eq!(backend.count("/keys"), 2);
    assert_eq!(
        server.metric("tidewire_key_fetches_total{outcome=\"ok\"}"),
        2.0
    );
    assert_eq!(
        server.metric("tidewire_key_set_keys{of=\"subscribers\"}"),
        1.0
    );
}

/// Strangers choose the names of keys in their tokens; they must not choose how often the source is asked.
#[test]
fn unknown_keys_do_not_hammer_the_source() {
    let backend = Backend::start(keys_of(&["a"]));
    let server = hub(of_subscribers(&backend), |_| {});
    assert_eq!(page(&server, &token("a")).status, 200);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for stranger in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..25 {
                    let answer = page(server, &token(&format!("{stranger}-{round}")));
                    assert_eq!(answer.status, 401);
                    assert_eq!(
                        page(server, &token("a")).status,
                        200,
                        "the others are served"
                    );
                }
            });
        }
    });
    let most = 2 + began.elapsed().as_millis() / FLOOR.as_millis();
    let fetches = backend.count("/keys") as u128;
    assert!(fetches <= most, "{fetches} fetches, at most {most}");
}

#[test]
fn all_who_wait_for_keys_wait_for_one_fetch() {
    let backend = Backend::start(|_| Reply::ok(jwks(&["a"])).after(Duration::from_millis(300)));
    let server = hub(of_subscribers(&backend), |_| {});
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(page(&server, &token("a")).status, 200));
        }
    });
    assert_eq!(backend.count("/keys"), 1);
}

#[test]
fn the_last_good_keys_hold_while_their_source_is_down() {
    let backend = Backend::start(keys_of(&["a"]));
    let server = hub(of_subscribers(&backend), |_| {});
    assert_eq!(page(&server, &token("a")).status, 200);
    for reply in [
        Reply::status(500),
        Reply::gone(),
        Reply::ok("{"),
        Reply::ok("<html>"),
    ] {
        let failures = server.metric("tidewire_key_set_failures{of=\"subscribers\"}");
        backend.answer(move |_| reply.clone());
        std::thread::sleep(FLOOR);
        assert_eq!(page(&server, &token("b")).status, 401);
        assert_eq!(page(&server, &token("a")).status, 200);
        let now = server.metric("tidewire_key_set_failures{of=\"subscribers\"}");
        assert!(now > failures, "{now}");
    }
    assert!(server.metric("tidewire_key_set_age_seconds{of=\"subscribers\"}") >= 1.0);
    backend.answer(keys_of(&["b"]));
    std::thread::sleep(FLOOR);
    assert_eq!(page(&server, &token("b")).status, 200);
    assert_eq!(
        server.metric("tidewire_key_set_failures{of=\"subscribers\"}"),
        0.0
    );
}

/// Whether a token is good cannot be said before its keys were fetched once: not now (503), rather than no (401).
#[test]
fn a_hub_starts_while_its_issuer_is_down() {
    let backend = Backend::start(|_| Reply::gone());
    let mut sources = of_subscribers(&backend);
    let from = KeysFrom::Jwks(url(&backend.url("/keys")));
    sources.push(source(KeysOf::Role(Role::Publisher), from));
    let server = hub(sources, |_| {});
    for answer in [page(&server, &token("a")), publish(&server, &token("a"))] {
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(
            answer.body.contains("cannot be fetched yet"),
            "{}",
            answer.body
        );
    }
    assert_eq!(server.get("/topics/a").status, 401, "no token is no token");
    assert_eq!(
        server.metric("tidewire_key_set_keys{of=\"subscribers\"}"),
        0.0
    );
    assert!(
        !server
            .front
            .metrics()
            .contains("tidewire_key_set_age_seconds{")
    );
    backend.answer(keys_of(&["a"]));
    until("the keys come by themselves", || {
        server
            .front
            .key_status()
            .iter()
            .all(|one| one.keys == Some(1))
    });
    assert_eq!(page(&server, &token("a")).status, 200);
    assert_eq!(publish(&server, &token("a")).status, 200);
}

#[test]
fn keys_are_fetched_again_without_being_asked_for() {
    let backend = Backend::start(|_| Reply::ok(jwks(&["a"])).header("Cache-Control: max-age=0"));
    let server = hub(of_subscribers(&backend), |keys| {
        keys.refresh_min = Duration::from_millis(450);
    });
    assert_eq!(page(&server, &token("a")).status, 200);
    backend.answer(keys_of(&["b"]));
    until("the old key is refused", || {
        page(&server, &token("a")).status == 401
    });
    assert_eq!(page(&server, &token("b")).status, 200);
}

/// Nor is a source that has just failed left alone until its keys would have been due.
#[test]
fn a_source_that_fails_meanwhile_is_asked_again_sooner() {
    let backend = Backend::start(keys_of(&["a"]));
    let server = hub(of_subscribers(&backend), |keys| {
        keys.refresh_min = Duration::from_secs(3600);
    });
    assert_eq!(page(&server, &token("a")).status, 200);
    backend.answer(|_| Reply::gone());
    let failures = || server.metric("tidewire_key_set_failures{of=\"subscribers\"}");
    until("an unknown key has it asked", || {
        assert_eq!(page(&server, &token("b")).status, 401);
        failures() >= 1.0
    });
    backend.answer(keys_of(&["b"]));
    // Without anybody's asking.
    until("its keys come", || failures() == 0.0);
    assert_eq!(page(&server, &token("b")).status, 200);
}

/// OpenID Connect Discovery 1.0 and RFC 8414, by the issuer's URL alone.
#[test]
fn an_issuers_url_says_where_its_keys_are() {
    for (path, place) in [
        ("", "/.well-known/openid-configuration"),
        ("/tenant", "/tenant/.well-known/openid-configuration"),
        ("", "/.well-known/oauth-authorization-server"),
        ("/tenant", "/.well-known/oauth-authorization-server/tenant"),
    ] {
        let backend = Arc::new(Backend::start(|_| Reply::status(404)));
        let issuer = backend.url(path);
        let metadata = serde_json::json!({"issuer": issuer, "jwks_uri": backend.url("/keys")});
        backend.answer(move |asked| match asked.path.as_str() {
            "/keys" => Reply::ok(jwks(&["a"])),
            path if path == place => Reply::ok(metadata.to_string()),
            _ => Reply::status(404),
        });
        let server = issuing_hub(&issuer, Roles::Both);
        let token = issued(&issuer, "http://localhost/.well-known/mercure", "a");
        assert_eq!(page(&server, &token).status, 200, "{place}");
        assert_eq!(publish(&server, &token).status, 200, "{place}");
        // mercure.md, 2.32: exactly the configured issuer, by its own keys.
        let foreign = issued(
            &format!("{issuer}/"),
            "http://localhost/.well-known/mercure",
            "a",
        );
        assert_eq!(page(&server, &foreign).status, 401);
        let legacy = page(&server, &crate::fetched_keys::token("a"));
        assert_eq!(legacy.status, 401, "its keys are for modern tokens alone");
    }
}

fn issuing_hub(issuer: &str, roles: Roles) -> Server {
    let of = KeysOf::Issuer {
        name: issuer.to_owned(),
        roles,
    };
    hub(vec![source(of, KeysFrom::Discovery(url(issuer)))], |_| {})
}

/// An HTTPS server with a certificate for `localhost` by an authority of its own: `/keys` has keys, `/hops/3` leads there in four
/// steps, `/plain` to `http`. Gives its port and the authority's certificate.
fn secure_backend(plain: &Backend) -> (u16, String) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = plain.url("/keys");
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, socket);
            // Who does not trust it goes away.
            let _ = answer_securely(&mut stream, &plain);
        }
    });
    (port, authority_pem)
}

fn answer_securely(
    stream: &mut (impl std::io::Read + std::io::Write),
    plain: &str,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let reply = match path.strip_prefix("/hops/").map(str::parse::<u32>) {
        Some(Ok(0)) => "HTTP/1.1 302 Found\r\nLocation: /keys\r\n".to_owned(),
        Some(Ok(hops)) => format!("HTTP/1.1 302 Found\r\nLocation: /hops/{}\r\n", hops - 1),
        _ if path == "/plain" => format!("HTTP/1.1 302 Found\r\nLocation: {plain}\r\n"),
        _ => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let body = jwks(&["a"]);
    let rest = format!(
        "Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all((reply + &rest).as_bytes())?;
    stream.flush()
}

#[test]
fn certificates_are_checked_and_redirects_stay_secure() {
    let plain = Backend::start(keys_of(&["a"]));
    let (port, authority) = secure_backend(&plain);
    let table = [
        ("localhost", "/keys", true, "ok"),
        ("localhost", "/hops/2", true, "ok"),
        ("localhost", "/hops/3", true, "redirect"),
        ("localhost", "/plain", true, "redirect"),
        ("localhost", "/keys", false, "tls"),
        ("127.0.0.1", "/keys", true, "tls"),
    ];
    for (host, path, is_trusted, outcome) in table {
        let from = KeysFrom::Jwks(url(&format!("https://{host}:{port}{path}")));
        let source = source(KeysOf::Role(Role::Subscriber), from);
        let server = start_with(|settings| {
            settings.access = Access::default();
            settings.fetched_keys.sources = vec![source];
            if is_trusted {
                settings.fetch.authorities = authority.clone().into_bytes();
            }
        });
        let want = if outcome == "ok" { 200 } else { 503 };
        assert_eq!(
            page(&server, &token("a")).status,
            want,
            "{host} {path} {outcome}"
        );
        let name = format!("tidewire_key_fetches_total{{outcome=\"{outcome}\"}}");
        assert!(
            server.metric(&name) >= 1.0,
            "{host} {path}: {}",
            server.front.metrics()
        );
    }
    assert_eq!(plain.asked().len(), 0);
}

#[test]
fn an_issuer_is_trusted_in_its_roles_alone() {
    let backend = Arc::new(Backend::start(|_| Reply::status(404)));
    let issuer = backend.url("");
    let metadata = serde_json::json!({"issuer": issuer, "jwks_uri": backend.url("/keys")});
    backend.answer(move |asked| match asked.path.as_str() {
        "/keys" => Reply::ok(jwks(&["a"])),
        _ => Reply::ok(metadata.to_string()),
    });
    let server = issuing_hub(&issuer, Roles::Only(Role::Subscriber));
    let token = issued(&issuer, "http://localhost/.well-known/mercure", "a");
    assert_eq!(page(&server, &token).status, 200);
    assert_eq!(publish(&server, &token).status, 401);
}

/// Whatever is wrong with what comes, nobody is let in by it, and the metric says what it was.
#[test]
fn what_is_no_good_answer_lets_nobody_in() {
    let keys = || jwks(&["a"]);
    let large = |bytes: usize| {
        let keys = jwks(&["a"]);
        let padding = " ".repeat(bytes - keys.len());
        keys + &padding
    };
    const BYTES_MAX: usize = 4096;
    let right = |backend: &Backend| serde_json::json!({"issuer": backend.url(""), "jwks_uri": backend.url("/keys")});
    type Metadata = fn(&Backend) -> serde_json::Value;
    #[rustfmt::skip]
    let table: Vec<(&str, Metadata, Reply, u16)> = vec![
        ("ok", right, Reply::ok(keys()), 200),
        ("ok", right, Reply::ok(large(BYTES_MAX)), 200),
        ("ok", right, Reply::ok(large(BYTES_MAX)).chunked(), 200),
        ("too_large", right, Reply::ok(large(BYTES_MAX + 1)), 503),
        ("too_large", right, Reply::ok(large(BYTES_MAX + 1)).chunked(), 503),
        ("timeout", right, Reply::ok(keys()).after(NEVER), 503),
        ("status", right, Reply::status(500), 503),
        ("status", right, Reply::status(404), 503),
        ("broken", right, Reply::gone(), 503),
        ("content", right, Reply::ok("not JSON"), 503),
        ("redirect", right, Reply::status(302).header("Location: http://127.0.0.1:1/keys"), 503),
        ("redirect", right, Reply::status(302).header("Location: /elsewhere"), 503),
        ("redirect", right, Reply::status(301), 503),
        ("content", |b| serde_json::json!({"issuer": b.url("/"), "jwks_uri": b.url("/keys")}), Reply::ok(keys()), 503),
        ("content", |b| serde_json::json!({"issuer": "https://accounts.example", "jwks_uri": b.url("/keys")}), Reply::ok(keys()), 503),
        ("content", |b| serde_json::json!({"issuer": b.url("")}), Reply::ok(keys()), 503),
        ("url", |b| serde_json::json!({"issuer": b.url(""), "jwks_uri": "http://192.0.2.1/keys"}), Reply::ok(keys()), 503),
        ("url", |b| serde_json::json!({"issuer": b.url(""), "jwks_uri": "file:///etc/passwd"}), Reply::ok(keys()), 503),
        ("connect", |b| serde_json::json!({"issuer": b.url(""), "jwks_uri": "http://127.0.0.1:1/keys"}), Reply::ok(keys()), 503),
    ];
    for (index, (outcome, metadata, reply, status)) in table.into_iter().enumerate() {
        let backend = Backend::start(|_| Reply::status(404));
        let metadata = metadata(&backend);
        backend.answer(move |asked| match asked.path.as_str() {
            "/keys" => reply.clone(),
            _ => Reply::ok(metadata.to_string()),
        });
        let issuer = backend.url("");
        let of = KeysOf::Issuer {
            name: issuer.clone(),
            roles: Roles::Both,
        };
        let server = hub(
            vec![source(of, KeysFrom::Discovery(url(&issuer)))],
            |keys| {
                keys.document_bytes_max = BYTES_MAX;
                keys.time_max = match outcome {
                    "timeout" => Duration::from_millis(300),
                    _ => PATIENCE / 2,
                };
            },
        );
        let token = issued(&issuer, "http://localhost/.well-known/mercure", "a");
        let answer = page(&server, &token);
        assert_eq!(answer.status, status, "{index}: {}", answer.body);
        let name = format!("tidewire_key_fetches_total{{outcome=\"{outcome}\"}}");
        assert!(
            server.metric(&name) >= 1.0,
            "{index}: {outcome}\n{}",
            server.front.metrics()
        );
    }
}

/// Neither document takes longer than may be, but both do.
#[test]
fn the_limit_is_for_both_documents_together() {
    let backend = Backend::start(|_| Reply::status(404));
    let issuer = backend.url("");
    let metadata = serde_json::json!({"issuer": issuer, "jwks_uri": backend.url("/keys")});
    backend.answer(move |asked| {
        let document = match asked.path.as_str() {
            "/keys" => jwks(&["a"]),
            _ => metadata.to_string(),
        };
        Reply::ok(document).after(Duration::from_millis(600))
    });
    let of = KeysOf::Issuer {
        name: issuer.clone(),
        roles: Roles::Both,
    };
    let from = KeysFrom::Discovery(url(&issuer));
    let server = hub(vec![source(of, from)], |keys| {
        keys.time_max = Duration::from_secs(1);
    });
    let token = issued(&issuer, "http://localhost/.well-known/mercure", "a");
    assert_eq!(page(&server, &token).status, 503);
    let name = "tidewire_key_fetches_total{outcome=\"timeout\"}";
    assert!(server.metric(name) >= 1.0);
}

/// Whoever can read a shared secret can sign with it: a set that anybody may fetch must not hold one.
#[test]
fn shared_secrets_are_not_fetched_unless_they_are_named() {
    let backend = Backend::start(keys_of(&["a"]));
    let from = KeysFrom::Jwks(url(&backend.url("/keys")));
    let sources = vec![KeySource::new(KeysOf::Role(Role::Subscriber), from)];
    let server = hub(sources, |_| {});
    assert_eq!(page(&server, &token("a")).status, 401);
    assert_eq!(
        server.metric("tidewire_key_set_keys{of=\"subscribers\"}"),
        0.0
    );
}

#[test]
fn keys_of_two_places_are_not_pooled() {
    let backend = Backend::start(keys_of(&["a"]));
    let twice = [of_subscribers(&backend), of_subscribers(&backend)].concat();
    let log = crate::server::memory_log(Default::default());
    let mut settings = tidewire_http::Settings::default();
    settings.fetched_keys.sources = twice;
    settings.shards = 0;
    let error = tidewire_http::Front::new(log, settings)
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().contains("configured twice"), "{error}");
}
