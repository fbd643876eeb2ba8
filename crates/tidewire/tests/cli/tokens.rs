//! Tokens of both dialects, keys of every kind and signed URLs, from the command that makes them to the hub that takes them.

use std::path::Path;

use crate::support::{Hub, Ran, finish, folder, http, paste, run, tidewire, write};

/// What is said after a line of `keygen`, by what it begins with.
fn line<'a>(said: &'a str, part: &str) -> &'a str {
    said.lines()
        .filter_map(|line| line.strip_prefix("  "))
        .find(|line| line.contains(part))
        .unwrap_or_else(|| panic!("{part} in {said}"))
}

fn run_in(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = tidewire();
    command.args(arguments).current_dir(folder);
    finish(command, b"")
}

fn mode(path: &Path) -> u32 {
    let permissions = std::fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777
}

/// Publishes a private event with a token.
fn publish(hub: &Hub, token: &str) -> u16 {
    let head = format!("POST /topics/t?private=on HTTP/1.1\r\nAuthorization: Bearer {token}\r\n");
    http(hub.address(), &head, "secret").status
}

fn page(hub: &Hub, target: &str, lines: &str) -> (u16, String) {
    let head = format!("GET {target} HTTP/1.1\r\nAccept: application/json\r\n{lines}");
    let answer = http(hub.address(), &head, "");
    (answer.status, answer.body)
}

#[test]
fn keys_of_every_kind_work_as_their_lines_are_pasted() {
    for alg in ["HS256", "HS512", "ES256", "EdDSA", "PS256"] {
        let folder = folder();
        let made = run_in(
            folder.path(),
            &["token", "keygen", "--alg", alg, "--out", "my key.pem"],
        );
        assert_eq!(made.code, 0, "{made:?}");
        assert_eq!(mode(&folder.path().join("my key.pem")), 0o600);
        let is_pair = !alg.starts_with("HS");
        assert_eq!(folder.path().join("my key.pub.pem").exists(), is_pair);
        assert_eq!(folder.path().join("my key.jwks.json").exists(), is_pair);
        assert!(!made.stderr.contains("PRIVATE"), "{made:?}");

        // The older dialect.
        let serve = line(&made.stderr, " serve ");
        let hub = hub_of(serve, &folder);
        let legacy = line(&made.stderr, "--publish '*' --subscribe '*'");
        let token = paste(&format!("{legacy} --quiet"), folder.path()).ok();
        assert_eq!(publish(&hub, token.trim()), 200, "{alg}");
        assert_eq!(hub.running.stop(), 0);

        // Access tokens.
        let start = made.stderr.find("  hub-url = ").unwrap();
        let end = made.stderr[start..].find(env!("CARGO_BIN_EXE_tidewire"));
        let file = made.stderr[start..start + end.unwrap()].lines();
        let file: String = file.map(|line| format!("{}\n", line.trim())).collect();
        write(&folder.path().join("tidewire.toml"), &file);
        let serve = format!(
            "{} serve --config tidewire.toml",
            env!("CARGO_BIN_EXE_tidewire")
        );
        let hub = hub_of(&serve, &folder);
        let modern = line(&made.stderr, "--issuer https://backend.example");
        let token = paste(&format!("{modern} --quiet"), folder.path()).ok();
        assert_eq!(publish(&hub, token.trim()), 200, "{alg}");
        assert_eq!(hub.running.stop(), 0);

        // Signed URLs, of a shared secret.
        if !is_pair {
            let hub = hub_of(line(&made.stderr, "--url-key-file"), &folder);
            let url = paste(line(&made.stderr, " token url "), folder.path()).ok();
            let path = url.trim().strip_prefix("http://127.0.0.1:8080").unwrap();
            assert_eq!(page(&hub, path, "").0, 200, "{alg} {url}");
            assert_eq!(hub.running.stop(), 0);
        }
        assert_eq!(made.stderr.contains("--url-key-file"), !is_pair);

        // The public half checks, and the private one too; it signs, and the public one does not.
        write(&folder.path().join("t"), &token);
        let inspect = |arguments: &str| {
            let line = format!(
                "{} token inspect --alg {alg} {arguments} < t",
                env!("CARGO_BIN_EXE_tidewire")
            );
            paste(&line, folder.path())
        };
        let said = inspect(
            "--key-file 'my key.pem' --issuer https://backend.example --audience https://example.com/.well-known/mercure",
        );
        assert_eq!(said.code, 0, "{alg} {said:?}");
        for check in [
            "signature",
            "audience",
            "time",
            "grant (publisher)",
            "grant (subscriber)",
        ] {
            assert!(
                said.stderr.contains(&format!("  ok      {check}")),
                "{said:?}"
            );
        }
        if is_pair {
            assert_eq!(inspect("--key-file 'my key.pub.pem'").code, 0);
            assert_eq!(inspect("--key-file 'my key.jwks.json'").code, 0);
            let signed = run_in(
                folder.path(),
                &["token", "--key-file", "my key.pub.pem", "--publish", "a"],
            );
            assert!(
                signed.code == 2 && signed.stderr.contains("public key"),
                "{signed:?}"
            );
        }
        let elsewhere = inspect(
            "--key-file 'my key.pem' --issuer https://other.example --audience https://other.example/",
        );
        assert_eq!(elsewhere.code, 1);
        for refused in [
            "issuer: this hub does not trust",
            "audience: the token is not for this hub",
        ] {
            assert!(
                elsewhere.stderr.contains(&format!("  REFUSED {refused}")),
                "{elsewhere:?}"
            );
        }
        let again = run_in(
            folder.path(),
            &["token", "keygen", "--alg", alg, "--out", "my key.pem"],
        );
        assert!(again.code == 1 && again.stderr.contains("exists, and is kept"));
    }
}

/// A hub of a line that was printed.
fn hub_of(line: &str, folder: &tempfile::TempDir) -> Hub {
    Hub::of_line(
        &format!("exec {line} --memory --listen 127.0.0.1:0"),
        folder.path(),
    )
}

#[test]
fn a_token_is_of_the_dialect_that_its_options_are_of() {
    let folder = folder();
    run_in(folder.path(), &["token", "keygen", "--out", "k"]).ok();
    let program = env!("CARGO_BIN_EXE_tidewire");
    let modern = "--issuer https://i.example --audience https://h.example/m";
    #[rustfmt::skip]
    let table = [
        ("--publish a", "\"typ\": \"JWT\"", ""),
        ("--publish a --issuer x", "\"typ\": \"JWT\"", ""),
        ("--publish a --subject me --token-id 7 --kid k1 --payload '{\"n\":1}'", "\"kid\": \"k1\"", ""),
        ("--subscribe a --payload '{\"n\":1}'", "\"payload\": {", ""),
        (&format!("--publish a {modern}"), "\"typ\": \"at+jwt\"", ""),
        (&format!("--publish a {modern} --dialect legacy"), "\"typ\": \"JWT\"", ""),
        (&format!("--subscribe-urlpattern '/o/:id' {modern} --client-id app"), "\"match_type\": \"urlpattern\"", ""),
        (&format!("--publish-urlpattern '*' {modern}"), "\"publish\"", ""),
        ("--publish a --dialect modern", "", "`iss`"),
        ("--publish a --audience x", "", "say --issuer"),
        ("--publish a --dialect modern --issuer x", "", "say --audience"),
        (&format!("--publish a {modern} --ttl off"), "", "say --ttl"),
        ("--subscribe-urlpattern '/o/:id' --dialect legacy", "", "no URL patterns"),
        ("--publish a --payload nonsense", "", "no JSON"),
        ("--publish a --dialect new", "", "neither legacy nor modern"),
        ("--subject me", "", "--publish TOPIC"),
    ];
    for (options, shown, error) in table {
        let line =
            format!("{program} token --key-file k -q {options} > t && {program} token inspect < t");
        let ran = paste(&line, folder.path());
        match error {
            "" => assert!(
                ran.code == 0 && ran.stdout.contains(shown),
                "{options} {ran:?}"
            ),
            error => assert!(
                ran.code == 2 && ran.stderr.contains(error),
                "{options} {ran:?}"
            ),
        }
    }
}

#[test]
fn every_defect_of_a_token_is_named_with_what_to_change() {
    let folder = folder();
    let program = env!("CARGO_BIN_EXE_tidewire");
    run_in(folder.path(), &["token", "keygen", "--out", "k"]).ok();
    run_in(folder.path(), &["token", "keygen", "--out", "k2"]).ok();
    let line = format!(
        "{program} token --key-file k --publish a --issuer https://i.example --audience https://h.example/m --ttl 1ms -q > t; sleep 0.01; \
         {program} token inspect --key-file k2 --issuer https://j.example --audience https://h.example/n < t"
    );
    let ran = paste(&line, folder.path());
    assert_eq!(ran.code, 1, "{ran:?}");
    for words in [
        "  ok      form",
        "  ok      type",
        "  REFUSED issuer",
        "start the hub with --issuer",
        "  REFUSED audience",
        "start the hub with the --hub-url that it names",
        "  REFUSED time",
        "mint a new one",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {ran:?}");
    }
    let secret = std::fs::read_to_string(folder.path().join("k2")).unwrap();
    let token = std::fs::read_to_string(folder.path().join("t")).unwrap();
    let signature = token.trim().rsplit('.').next().unwrap();
    let said = ran.stdout + &ran.stderr;
    assert!(!said.contains(secret.trim()) && !said.contains(signature));
}

#[test]
fn signed_urls_are_made_offline_and_taken_by_the_hub() {
    let folder = folder();
    for key in ["k", "url.key"] {
        run_in(folder.path(), &["token", "keygen", "--out", key]).ok();
    }
    let data = folder.path().join("data");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let hub = Hub::with(&[
        "--data-dir",
        data.to_str().unwrap(),
        "--publisher-key-file",
        &path("k"),
        "--subscriber-key-file",
        &path("k"),
        "--url-key-file",
        &path("url.key"),
    ]);
    let token = run_in(
        folder.path(),
        &["token", "--key-file", "k", "--publish", "*", "-q"],
    );
    assert_eq!(publish(&hub, token.ok().trim()), 200);
    let sign = |options: &[&str]| {
        let mut arguments = vec!["token", "url", "--url-key-file", "url.key"];
        arguments.extend(options);
        let made = run_in(folder.path(), &arguments);
        let url = made.stdout.trim().to_owned();
        assert_eq!(made.code, 0, "{made:?}");
        url.strip_prefix("http://127.0.0.1:8080")
            .unwrap_or(&url)
            .to_owned()
            + "&since=earliest"
    };
    #[rustfmt::skip]
    let table: [(&[&str], &str, u16); 7] = [
        (&["t"], "", 200),
        (&["--urlpattern", "*"], "", 200),
        (&["{x}", "--dialect", "legacy"], "", 200),
        (&["t", "--origin", "https://app.example"], "Origin: https://app.example\r\n", 200),
        (&["t", "--origin", "https://app.example"], "Origin: https://other.example\r\n", 401),
        (&["t", "--address", "127.0.0.1"], "", 200),
        (&["t", "--address", "192.0.2.1"], "", 401),
    ];
    for (options, lines, status) in table {
        let (got, body) = page(&hub, &sign(options), lines);
        assert_eq!(got, status, "{options:?} {body}");
        assert_eq!(body.contains("secret"), status == 200, "{options:?} {body}");
    }
    // One use, also beyond a crash.
    let once = sign(&["t", "--once"]);
    assert_eq!(page(&hub, &once, "").0, 200);
    assert_eq!(page(&hub, &once, "").0, 401);
    let hub = hub.crash_and_restart(std::time::Duration::ZERO);
    let (status, body) = page(&hub, &once, "");
    assert!(status == 401 && body.contains("has been used"), "{body}");
    assert_eq!(page(&hub, &sign(&["t", "--once"]), "").0, 200);
    // Another hub's.
    let elsewhere = run_in(
        folder.path(),
        &[
            "token",
            "url",
            "t",
            "--url-key-file",
            "url.key",
            "--hub-url",
            "https://h.example/hub",
            "-q",
        ],
    );
    assert!(
        elsewhere
            .ok()
            .starts_with("https://h.example/hub?match=t&expires=")
    );
    let without = run_in(folder.path(), &["token", "url", "t"]);
    assert!(
        without.code == 2 && without.stderr.contains("--url-key-file"),
        "{without:?}"
    );
    write(&folder.path().join("short"), "too short");
    let short = run_in(
        folder.path(),
        &["token", "url", "t", "--url-key-file", "short"],
    );
    assert!(
        short.code == 2 && short.stderr.contains("32 or more"),
        "{short:?}"
    );
}

/// A flag goes before the variables, two variables are one too many, and a hub's URL is one.
#[test]
fn the_key_of_urls_and_the_hubs_url_are_read_as_the_hub_reads_them() {
    let folder = folder();
    for key in ["a.key", "b.key"] {
        run_in(folder.path(), &["token", "keygen", "--out", key]).ok();
    }
    let text = std::fs::read_to_string(folder.path().join("b.key")).unwrap();
    let (file, key) = (
        ("TIDEWIRE_URL_KEY_FILE", "a.key"),
        ("TIDEWIRE_URL_KEY", text.trim()),
    );
    let sign = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = tidewire();
        command.args(["token", "url", "t", "-q"]).args(arguments);
        command.envs(variables.iter().copied());
        command.current_dir(folder.path());
        finish(command, b"")
    };
    for (arguments, variables, words) in [
        (&[][..], &[file][..], ""),
        (&[], &[key], ""),
        (&["--url-key-file", "a.key"], &[file, key], ""),
        (&[], &[file, key], "are both set"),
        (&[], &[("TIDEWIRE_URL_KEY_FILE", "")], "no key to sign with"),
        (
            &["--hub-url", "https://h.example/m?x"],
            &[file],
            "--hub-url",
        ),
        (&["--hub-url", "h.example"], &[file], "--hub-url"),
    ] {
        let ran = sign(arguments, variables);
        let code = if words.is_empty() { 0 } else { 2 };
        assert_eq!(ran.code, code, "{arguments:?} {variables:?} {ran:?}");
        assert!(ran.stderr.contains(words), "{arguments:?} {ran:?}");
    }
    let pub_elsewhere = run(&["pub", "t", "x", "--hub-path", "no path"]);
    assert_eq!(pub_elsewhere.code, 2, "{pub_elsewhere:?}");
    assert!(
        pub_elsewhere.stderr.contains("--hub-path"),
        "{pub_elsewhere:?}"
    );
}
