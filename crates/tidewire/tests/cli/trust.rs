//! Whom a hub trusts, as its settings say it: issuers of the file and the environment, and the hook.

use tidewire_auth::{Algorithm, Claims, Detail, Key, TopicMatch, mint};

use crate::support::{Ran, Running, finish, folder, tidewire, write};

const KEY: &str = "a key of the test's own, of thirty-two bytes or more";
/// Nothing is there.
const ISSUER: &str = "http://127.0.0.1:1";

fn check(file: &str, flags: &[&str]) -> Ran {
    let folder = folder();
    write(&folder.path().join("t.toml"), file);
    write(&folder.path().join("ci.key"), KEY);
    let keys = r#"{"keys":[{"kty":"oct","alg":"HS256","kid":"1","k":"YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcywgYXQgbGVhc3Q"}]}"#;
    write(&folder.path().join("keys.json"), keys);
    let mut command = tidewire();
    command.args(["config", "check", "--config", "t.toml"]);
    finish(
        {
            command.args(flags).current_dir(folder.path());
            command
        },
        b"",
    )
}

#[test]
fn issuers_and_hooks_are_checked() {
    #[rustfmt::skip]
    let table: [(&str, &[&str], &str); 16] = [
        ("[[issuers]]\nname = 'https://a.example'", &[], ""),
        ("[[issuers]]\nname = 'ci'\npublisher-key-file = 'ci.key'", &[], ""),
        ("[[issuers]]\nname = 'ci'\npublisher_key_file = 'ci.key'\nroles = ['publisher']\nalgorithms = ['HS512']", &[], ""),
        ("[[issuers]]\nname = 'ci'\njwks-url = 'keys.json'", &[], ""),
        ("issuer = ['https://a.example', 'https://b.example']", &[], ""),
        ("", &["--publisher-jwks-url", "file://keys.json"], ""),
        ("", &["--auth-hook", "http://127.0.0.1:3000/", "--auth-hook-cache", "off"], ""),
        ("", &["--auth-hook", "http://backend.internal/", "--fetch-plain-http"], ""),
        ("", &["--auth-hook", "http://backend.internal/"], "--fetch-plain-http"),
        ("", &["--issuer", "http://accounts.example"], "--fetch-plain-http"),
        ("", &["--issuer", "accounts"], "no URL"),
        ("[[issuers]]\nname = 'https://a.example'\nrole = 'publisher'", &[], "unknown field `role`"),
        ("[[issuers]]\nname = 'ci'\npublisher-key-file = 'no.key'", &[], "no.key"),
        ("", &["--publisher-key-file", "ci.key", "--publisher-jwks-url", "https://a.example/k"], "not pooled"),
        ("", &["--fetch-ca-file", "ci.key"], "ci.key: there is no PEM in it"),
        ("", &["--auth-hook", "https://u:p@a.example/"], "name or a password"),
    ];
    for (file, flags, words) in table {
        let ran = check(file, flags);
        let is_right = ran.code == 0;
        assert_eq!(is_right, words.is_empty(), "{file} {flags:?}: {ran:?}");
        assert!(
            ran.stderr.contains(words),
            "{file} {flags:?}: {}",
            ran.stderr
        );
    }
}

fn started(environment: &[(&str, &str)], arguments: &[&str]) -> (Running, String) {
    let mut command = tidewire();
    command.args(["serve", "--memory", "--listen", "127.0.0.1:0"]);
    command.args(arguments).envs(environment.iter().copied());
    let running = Running::start(command);
    let line = running.line();
    let address = line.strip_prefix("listening http://").unwrap().to_owned();
    (running, address)
}

/// The status of a publish with this token.
fn publish(address: &str, token: &str) -> u16 {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /topics/a HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: 1\r\n\r\nx"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn tokens(address: &str) -> [String; 2] {
    let key = Key::hmac(KEY.as_bytes(), Algorithm::Hs256).unwrap();
    let legacy = Claims {
        publish: vec!["*".to_owned()],
        ..Claims::default()
    };
    let modern = Claims {
        details: Some(vec![Detail {
            publish: true,
            topics: vec![TopicMatch::Exact("*".to_owned())],
            ..Detail::default()
        }]),
        issuer: Some(ISSUER.to_owned()),
        audience: vec![format!("http://{address}/.well-known/mercure")],
        // In 2100.
        expires_ms: Some(4_102_444_800_000),
        ..Claims::default()
    };
    [legacy, modern].map(|claims| mint(&claims, &key).unwrap())
}

/// The reference hub's variables mean what they mean there: whose keys the keys are.
#[test]
fn the_reference_hubs_issuers_sign_with_its_keys() {
    let key = ("MERCURE_PUBLISHER_JWT_KEY", KEY);
    let issuers = ("MERCURE_TRUSTED_ISSUERS", ISSUER);
    let own = ("TIDEWIRE_PUBLISHER_KEY", KEY);
    #[rustfmt::skip]
    let table: [(&[(&str, &str)], [u16; 2]); 3] = [
        // with these variables: the status for a legacy token, and for an access token
        (&[key], [200, 401]),
        (&[key, issuers], [401, 200]),
        // The issuer's keys are to be fetched, and nothing is there.
        (&[own, issuers], [200, 503]),
    ];
    for (environment, want) in table {
        let (running, address) = started(environment, &["--keys-fetch-timeout", "2s"]);
        let got = tokens(&address).map(|token| publish(&address, &token));
        assert_eq!(got, want, "{environment:?}");
        running.kill();
    }
}

/// A hub whose issuer is down starts, says so, and refuses its tokens for now.
#[test]
fn a_hub_starts_without_its_issuer() {
    let arguments = &["--issuer", ISSUER];
    let (running, address) = started(&[], arguments);
    running.says("tokens are refused until they are");
    assert_eq!(publish(&address, &tokens(&address)[1]), 503);
    running.kill();
}
