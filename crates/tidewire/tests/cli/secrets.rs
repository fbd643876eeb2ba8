//! Secrets are in no log, metric, panic or answer: requests with a marker wherever a secret may stand, at the log level that says most.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{PATIENCE, Running, tidewire};

const MARKER: &str = "eyJzZWNyZXRNYXJrZXI3MzUx";

/// One request on a connection of its own; whatever came back.
fn ask(address: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(250)))
        .unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = socket.read(&mut bytes) {
        answer.extend_from_slice(&bytes[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn secrets_are_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, format!("{MARKER}{MARKER}{MARKER}")).unwrap();
    for format in ["json", "combined"] {
        let mut command = tidewire();
        command.env("TIDEWIRE_LOG", "trace");
        command.args(["serve", "--memory", "--listen", "127.0.0.1:0"]);
        command.args(["--admin-listen", "127.0.0.1:0", "--access-log", format]);
        for flag in [
            "--publisher-key-file",
            "--subscriber-key-file",
            "--admin-token-file",
        ] {
            command.arg(flag).arg(&key);
        }
        let hub = Running::start(command);
        let at = |line: &str| {
            let (_, address) = line.split_once("http://").unwrap();
            address.split('/').next().unwrap().trim().to_owned()
        };
        let address = at(&hub.line());
        let told = hub.says("admin http://");
        let admin = at(told
            .lines()
            .find(|line| line.starts_with("admin "))
            .unwrap());
        let host = format!("Host: {address}\r\n");
        let jws = format!("{MARKER}.{MARKER}.{MARKER}");
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let body = format!("topic=a&data=x&authorization={MARKER}&access_token={MARKER}");
        let length = body.len();
        let doors = ["", "Expect: nothing\r\n"];
        let mut answers = Vec::new();
        for door in doors {
            #[rustfmt::skip]
            let requests = [
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Authorization: Bearer {jws}\r\n\r\n"),
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Authorization: Bearer {MARKER}\r\n\r\n"),
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Authorization: Basic {MARKER}\r\n\r\n"),
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Authorization: Bearer {MARKER}\r\nAuthorization: Bearer {MARKER}\r\n\r\n"),
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Proxy-Authorization: {MARKER}\r\nX-Api-Key: {MARKER}\r\n\r\n"),
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Cookie: mercureAuthorization={jws}; session={MARKER}\r\n\r\n"),
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Cookie: __Secure-mercure_access_token={jws}\r\n\r\n"),
                format!("GET /.well-known/mercure?topic=a&authorization={jws} HTTP/1.1\r\n{host}{door}\r\n"),
                format!("GET /.well-known/mercure?match=a&access_token={jws} HTTP/1.1\r\n{host}{door}\r\n"),
                format!("GET /.well-known/mercure?topic=a&%61uthorization={jws} HTTP/1.1\r\n{host}{door}\r\n"),
                format!("GET /topics/a?token={MARKER}&since=x HTTP/1.1\r\n{host}{door}\r\n"),
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Referer: https://u:{MARKER}@x/?access_token={MARKER}#{MARKER}\r\n\r\n"),
                format!("POST /topics/a HTTP/1.1\r\n{host}{door}Idempotency-Key: {MARKER}\r\nContent-Length: 1\r\n\r\nx"),
                format!("POST /topics/a HTTP/1.1\r\n{host}{door}Authorization: Bearer {jws}\r\nContent-Length: 24\r\n\r\n{MARKER}"),
                format!("POST /.well-known/mercure HTTP/1.1\r\n{host}{door}{form}Content-Length: {length}\r\n\r\n{body}"),
                format!("POST /.well-known/mercure HTTP/1.1\r\n{host}{door}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"),
                format!("POST /.well-known/mercure HTTP/1.1\r\n{host}{door}Content-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n{body}"),
                // Heads that are none.
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Authorization Bearer {MARKER}\r\n\r\n"),
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Authorization: Bearer {MARKER}\r\n"),
                format!("GET /topics/a HTTP/9.9\r\n{host}{door}Authorization: Bearer {MARKER}\r\n\r\n"),
                format!("GET /topics/a HTTP/1.1\r\n{host}{door}Authorization: Bearer \u{1}{MARKER}\r\n\r\n"),
                format!("GET /topics/a HTTP/1.1\r\nHost: u:{MARKER}@{address}\r\n{door}\r\n"),
                format!("GET http://u:{MARKER}@{address}/topics/a HTTP/1.1\r\n{host}{door}\r\n"),
                format!("PATCH /streams/{MARKER} HTTP/1.1\r\n{host}{door}Authorization: Bearer {jws}\r\nContent-Length: 0\r\n\r\n"),
                format!("POST /revocations HTTP/1.1\r\n{host}{door}Authorization: Bearer {jws}\r\nContent-Length: 24\r\n\r\n{MARKER}"),
            ];
            for request in requests {
                answers.push((ask(&address, &request), request));
            }
        }
        for header in [
            format!("Bearer {MARKER}"),
            format!("Bearer {jws}"),
            format!("Basic {MARKER}"),
        ] {
            let request = format!(
                "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nAuthorization: {header}\r\n\r\n"
            );
            answers.push((ask(&admin, &request), request));
        }
        let token = format!("{MARKER}{MARKER}{MARKER}");
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        let metrics = ask(&admin, &request);
        assert!(metrics.contains("tidewire_refusals_total"), "{metrics}");
        answers.push((metrics, request));
        let answered = answers.iter().filter(|(answer, _)| !answer.is_empty());
        assert!(
            answered.count() + 4 >= answers.len(),
            "nearly all are answered"
        );
        for (answer, request) in answers {
            assert!(!answer.contains(MARKER), "{request}\n{answer}");
        }
        std::thread::sleep(Duration::from_millis(300));
        hub.signal(rustix::process::Signal::TERM);
        let mut logged = hub.rest().join("\n");
        let until = std::time::Instant::now() + PATIENCE;
        while !logged.contains("refused") && std::time::Instant::now() < until {
            logged.push_str(&hub.errors());
            std::thread::sleep(Duration::from_millis(50));
        }
        logged.push_str(&hub.errors());
        assert!(logged.contains("refused"), "the log says much: {logged}");
        for line in logged.lines() {
            assert!(!line.contains(MARKER), "{line}");
        }
    }
}

#[test]
fn reasons_are_for_developers_on_one_machine() {
    let table = [
        (
            &["--listen", "0.0.0.0:0", "--anonymous", "all"][..],
            "other machines",
        ),
        (
            &["--listen", "127.0.0.1:0", "--trusted-proxies", "10.0.0.0/8"],
            "--trusted-proxies",
        ),
    ];
    for (arguments, why) in table {
        let mut command = tidewire();
        command.args(["serve", "--memory", "--debug-refusals"]);
        command.args(arguments);
        let ran = crate::support::finish(command, b"");
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    }
}
