//! The client commands over https, against the hub's own TLS: whom they trust, and through which proxy they go.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tidewire_client::connect::Http;
use tidewire_client::{EventSource, Item};

use crate::support::{Hub, PATIENCE, Running, finish, folder, run, tidewire};

/// A hub with a certificate of its own, and where that is.
fn secure(folder: &Path, arguments: &[&str]) -> (Hub, String) {
    let data = folder.join("data");
    let always = ["--tls-self-signed", "--data-dir", data.to_str().unwrap()];
    let hub = Hub::with(&[&always, arguments].concat());
    assert!(hub.url.starts_with("https://127.0.0.1:"), "{}", hub.url);
    let certificate = data.join("tls-self-signed.crt");
    (hub, certificate.to_str().unwrap().to_owned())
}

#[test]
fn a_hubs_own_certificate_is_trusted_when_it_is_named() {
    let folder = folder();
    let (hub, certificate) = secure(folder.path(), &[]);
    let named = ["--ca-file", certificate.as_str()];
    let publish = |data: &str, trust: &[&str]| hub.run(&[&["pub", "t", data], trust].concat());
    assert!(publish("one", &named).ok().starts_with('#'));
    assert!(publish("two", &["--insecure"]).ok().starts_with('#'));
    let mut command = hub.command(&["pub", "t", "three"]);
    command.env("TIDEWIRE_CA_FILE", &certificate);
    finish(command, b"").ok();
    let mut command = hub.command(&["pub", "elsewhere", "x", "--insecure"]);
    command.env("TIDEWIRE_CA_FILE", "/nowhere");
    finish(command, b"").ok();
    // Whom the system trusts.
    let mut command = hub.command(&["pub", "elsewhere", "x"]);
    command.env("SSL_CERT_FILE", &certificate);
    finish(command, b"").ok();
    let localhost = hub.url.replace("127.0.0.1", "localhost");
    let by_name = ["pub", "t", "four", "--url", &localhost];
    run(&[&by_name[..], &named].concat()).ok();
    let all = ["sub", "t", "--since", "earliest", "--count", "4"];
    let data = hub.run(&[&all[..], &named].concat()).ok();
    assert_eq!(data, "one\ntwo\nthree\nfour\n");
    // Many lines over one connection.
    let lines: String = (0..3000).map(|at| format!("{at}\n")).collect();
    let many = [&["pub", "many"], &named[..]].concat();
    assert_eq!(
        hub.run_with(&many, lines.as_bytes()).ok().lines().count(),
        3000
    );
    let all = ["sub", "many", "--since", "earliest", "--count", "3000"];
    assert_eq!(hub.run(&[&all[..], &named].concat()).ok(), lines);
}

#[test]
fn who_is_not_trusted_is_named_with_what_to_do() {
    let folder = folder();
    let (hub, certificate) = secure(folder.path(), &[]);
    let other = folder.path().join("other.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    std::fs::write(&other, pem + &key.serialize_pem()).unwrap();
    let other = other.to_str().unwrap();
    let text = folder.path().join("text.pem");
    std::fs::write(&text, "hello").unwrap();
    let text = text.to_str().unwrap();
    let plain = Hub::in_memory();
    let not_tls = plain.url.replace("http://", "https://");
    #[rustfmt::skip]
    let table: [(&[&str], i32, &str); 8] = [
        (&[], 1, "signed by nobody who is trusted here\n--ca-file FILE"),
        (&["--ca-file", other], 1, "signed by nobody"),
        (&["--ca-file", text], 2, "text.pem: there is no certificate in it"),
        (&["--ca-file", "/nowhere"], 1, "check the path"),
        (&["--ca-file", &certificate, "--insecure"], 2, "contradicts"),
        (&["--client-key", other], 2, "--client-cert"),
        (&["--ca-file", &certificate, "--client-cert", &certificate], 2, "our certificate"),
        (&["--insecure", "--url", &not_tls], 1, "does not speak TLS on this port\nis it an http:// URL?"),
    ];
    for (arguments, code, words) in table {
        for command in [&["pub", "t", "x"][..], &["sub", "t"]] {
            let url = ["--url", &hub.url];
            let url: &[&str] = if arguments.contains(&"--url") {
                &[]
            } else {
                &url
            };
            let ran = run(&[command, url, arguments].concat());
            assert_eq!(ran.code, code, "{command:?} {arguments:?}: {ran:?}");
            let is_said = ran.stderr.contains(words);
            assert!(is_said, "{words:?}: {command:?} {arguments:?}: {ran:?}");
        }
    }
    // A client certificate is shown to who asks; this hub does not.
    let own = ["--ca-file", &certificate, "--client-cert", other];
    hub.run(&[&["pub", "t", "x"], &own[..]].concat()).ok();
}

#[test]
fn a_reader_goes_on_when_the_hub_starts_again() {
    let folder = folder();
    let (hub, certificate) = secure(folder.path(), &[]);
    let address = hub.url.strip_prefix("https://").unwrap().to_owned();
    let mut command = hub.command(&["sub", "t", "--ca-file", &certificate]);
    let state = folder.path().join("state");
    command.arg("--state").arg(&state);
    let publish = |hub: &Hub, data: &str| {
        hub.run(&["pub", "t", data, "--ca-file", &certificate]).ok();
    };
    publish(&hub, "before it came");
    command.args(["--since", "earliest"]);
    let reader = Running::start(command);
    assert_eq!(reader.line(), "before it came");
    publish(&hub, "one");
    assert_eq!(reader.line(), "one");
    assert_eq!(hub.running.stop(), 0);
    let data = folder.path().join("data");
    let arguments = ["--tls-self-signed", "--data-dir", data.to_str().unwrap()];
    let hub = Hub::again(&address, &arguments.map(str::to_owned));
    publish(&hub, "two");
    assert_eq!(reader.line(), "two");
}

/// The client's own versions of HTTP; the commands take the one that is negotiated.
#[test]
fn the_client_reads_a_hub_over_tls_in_either_version_and_through_its_restart() {
    let folder = folder();
    let (hub, certificate) = secure(folder.path(), &[]);
    let address = hub.url.strip_prefix("https://").unwrap().to_owned();
    let pem = std::fs::read(&certificate).unwrap();
    let trust = ["--ca-file", certificate.as_str()];
    let publish = |hub: &Hub, data: &str| hub.run(&[&["pub", "t", data], &trust[..]].concat()).ok();
    let mut sources = [Http::Http1, Http::Http2, Http::Negotiated].map(|http| {
        let builder = EventSource::builder(&format!("{}/topics/t", hub.url)).http(http);
        let builder = builder.trust_only(&pem).retry(Duration::from_millis(50));
        builder
            .backoff_max(Duration::from_millis(200))
            .build()
            .unwrap()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut each = |is_wanted: &dyn Fn(&Item) -> bool| {
        for source in &mut sources {
            runtime.block_on(async {
                loop {
                    let item = tokio::time::timeout(PATIENCE, source.next()).await;
                    let item = item.unwrap().unwrap();
                    assert!(!matches!(item, Item::Closed(_)), "{item:?}");
                    if is_wanted(&item) {
                        break;
                    }
                }
            });
        }
    };
    let is_event =
        |item: &Item, data: &str| matches!(item, Item::Event(event) if event.data == data);
    // The hub's first word: without it a client that is cut has nothing to go on from.
    each(&|item| matches!(item, Item::Event(event) if event.event_type == "tidewire.open"));
    publish(&hub, "one");
    each(&|item| is_event(item, "one"));
    assert_eq!(hub.running.stop(), 0);
    let data = folder.path().join("data");
    let arguments = ["--tls-self-signed", "--data-dir", data.to_str().unwrap()];
    let hub = Hub::again(&address, &arguments.map(str::to_owned));
    publish(&hub, "two");
    each(&|item| is_event(item, "two"));
    drop(sources);
    assert_eq!(hub.running.stop(), 0);
}

#[test]
fn tokens_are_taken_back_over_https() {
    let folder = folder();
    let key = folder.path().join("tidewire.key");
    let key = key.to_str().unwrap();
    run(&["token", "keygen", "--out", key]).ok();
    let keys = ["--publisher-key-file", key, "--subscriber-key-file", key];
    let (hub, certificate) = secure(folder.path(), &keys);
    let token = run(&["token", "--quiet", "--key-file", key, "--publish", "*"]).ok();
    let mut command = tidewire();
    command
        .args(["token", "revoke", "--subject", "eve", "--url", &hub.url])
        .args(["--ca-file", &certificate])
        .env("TIDEWIRE_TOKEN", token.trim());
    let told = finish(command, b"").ok();
    assert_eq!(told, "revoked subject \"eve\"; 0 streams ended\n");
    // A hub behind https is named as such in a URL that is signed.
    let url_key = folder.path().join("url.key");
    let url_key = url_key.to_str().unwrap();
    run(&["token", "keygen", "--out", url_key]).ok();
    let hub_url = format!("{}/.well-known/mercure", hub.url);
    let signed = run(&[
        "token",
        "url",
        "t",
        "--ttl",
        "10m",
        "--url-key-file",
        url_key,
        "--hub-url",
        &hub_url,
    ]);
    assert!(signed.ok().starts_with(&hub_url));
}

/// A proxy that connects any name with this machine; the heads that it was given.
fn proxy() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let tell = tell.clone();
            std::thread::spawn(move || relay(client, |head| drop(tell.send(head))));
        }
    });
    (port, told)
}

fn relay(mut client: TcpStream, tell: impl FnOnce(String)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let port = head
        .split_once("hub.test:")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|port| port.parse::<u16>().ok());
    let mut server = TcpStream::connect(("127.0.0.1", port.unwrap())).unwrap();
    if head.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    } else {
        server.write_all(head.as_bytes()).unwrap();
    }
    tell(head);
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn proxies_of_the_environment_are_gone_through() {
    let folder = folder();
    let (secure, _) = secure(
        folder.path(),
        &[
            "--allowed-hosts",
            "hub.test,127.0.0.1",
            "--anonymous",
            "all",
        ],
    );
    let plain = Hub::with(&[
        "--memory",
        "--allowed-hosts",
        "hub.test,127.0.0.1",
        "--anonymous",
        "all",
    ]);
    let (port, asked) = proxy();
    let at_proxy = format!("http://user:p%40ss@127.0.0.1:{port}");
    for (hub, variable, is_tunnel) in [
        (&secure, "HTTPS_PROXY", true),
        (&plain, "http_proxy", false),
    ] {
        let named = hub.url.replace("127.0.0.1", "hub.test");
        let authority = named.split("://").nth(1).unwrap();
        let with = |arguments: &[&str], variable: &str| -> Command {
            let mut command = tidewire();
            command
                .args(arguments)
                .args(["--insecure", "--url", &named])
                .env(variable, &at_proxy);
            command
        };
        let head_of = |arguments: &[&str], output: &str| {
            let ran = finish(with(arguments, variable), b"").ok();
            assert!(ran.ends_with(output), "{ran}");
            asked.recv_timeout(PATIENCE).unwrap()
        };
        let sub = ["sub", "t", "--since", "earliest", "--count", "1"];
        for (arguments, output, method) in
            [(&["pub", "t", "x"][..], "\n", "POST"), (&sub, "x\n", "GET")]
        {
            let head = head_of(arguments, output);
            let first = match is_tunnel {
                true => format!("CONNECT {authority} HTTP/1.1\r\n"),
                false => format!("{method} {named}/"),
            };
            assert!(head.starts_with(&first), "{head}");
            let said = head.to_lowercase();
            assert!(
                said.contains("proxy-authorization: basic dxnlcjpwqhnz\r\n"),
                "{head}"
            );
        }
        // What is not for the proxy does not go there: the name cannot be found then.
        let mut command = with(&["pub", "t", "x"], variable);
        command.env("NO_PROXY", "other.test,.test");
        let ran = finish(command, b"");
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("cannot reach the hub"), "{ran:?}");
        // This machine is asked directly.
        let mut command = hub.command(&["pub", "t", "y", "--insecure"]);
        command.env("all_proxy", &at_proxy);
        finish(command, b"").ok();
        assert!(asked.try_recv().is_err());
        // One that cannot be used is named, and its password is not.
        let mut command = with(&["sub", "t"], "nothing");
        command.env("ALL_PROXY", "socks5://user:s3cret@127.0.0.1:1");
        let ran = finish(command, b"");
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.stderr.contains("socks5") && !ran.stderr.contains("s3cret"),
            "{ran:?}"
        );
    }
}
