//! `config check` names weak keys and open doors, and `serve` those that are severe.

use crate::support::{Hub, finish, folder, run, tidewire, write};

const GOOD: &str = "a-secret-of-some-length-long-enough-for-the-hash";

#[test]
fn weak_keys_and_open_doors_are_named() {
    let folder = folder();
    for (name, text) in [
        ("good", GOOD),
        ("short", "short"),
        ("known", "!ChangeThisMercureHubJWTSecretKey!"),
        (
            "url",
            "another-secret-of-some-length-long-enough-for-the-hash",
        ),
    ] {
        write(&folder.path().join(name), text);
    }
    let check = |arguments: &str| {
        let keys = "--publisher-key-file good --subscriber-key-file good";
        let arguments = arguments.replace("KEYS", keys);
        let arguments = arguments.replace("WIDE", "--listen 0.0.0.0:8080");
        let mut command = tidewire();
        command.args(["config", "check"]);
        command.args(arguments.split_whitespace());
        command.current_dir(folder.path());
        finish(command, b"")
    };
    #[rustfmt::skip]
    let table: [(&str, &[&str]); 26] = [
        ("", &[]),
        ("KEYS", &[]),
        ("KEYS WIDE --tls-self-signed", &[]),
        ("KEYS --cors-origins https://app.example,http://localhost:3000", &[]),
        ("--publisher-key-file short --subscriber-key-file good", &["the publisher key has 5 bytes"]),
        ("--publisher-key-file good --subscriber-key-file known", &["the subscriber key is one that stands in public documentation"]),
        ("--publisher-key-file good", &["no subscriber can get in"]),
        ("--publisher-key-file good --url-key-file url", &[]),
        ("KEYS --url-key-file good", &["the publisher key signs URLs too", "the subscriber key signs URLs too"]),
        ("WIDE --anonymous all", &["whoever does may publish and subscribe without a token (change: --anonymous none"]),
        ("KEYS WIDE --tls-self-signed --anonymous subscribe", &["may read every public event without a token"]),
        ("--anonymous all", &["through a proxy or a page too, and there are no keys"]),
        ("KEYS WIDE", &["speaks plain HTTP: tokens can be read on the way"]),
        ("KEYS --cors-origins *", &["pages of every origin may read"]),
        ("KEYS --publish-origins *", &["pages of every origin may publish"]),
        ("KEYS --publish-origins null", &["--publish-origins has `null`"]),
        ("KEYS --cors-origins http://app.example", &["--cors-origins has http://app.example: whoever is on the way"]),
        ("KEYS --admin-listen 0.0.0.0:9090 --admin-open", &["shows metrics to everybody"]),
        ("KEYS --admin-listen 0.0.0.0:9090 --admin-token-file good", &["the admin token can be read on the way"]),
        ("KEYS --debug-refusals", &["is told why a token was refused"]),
        ("KEYS --trusted-proxies 0.0.0.0/0", &["every client is believed about its own address"]),
        ("--issuer http://accounts.example --fetch-plain-http --hub-url https://h.example/m", &["the issuer http://accounts.example/ is asked over plain HTTP"]),
        ("--issuer https://accounts.example", &["say what this one is called with --hub-url"]),
        ("--auth-hook http://127.0.0.1:9000/may --fetch-plain-http", &["--fetch-plain-http is on, and nothing needs it"]),
        ("--auth-hook http://10.0.0.1:9000/may --fetch-plain-http", &["the authorization hook http://10.0.0.1:9000/may is asked over plain HTTP"]),
        ("WIDE --anonymous all --publish-origins *", &["0.0.0.0:8080 can be reached", "pages of every origin may publish"]),
    ];
    for (arguments, words) in table {
        let ran = check(arguments);
        assert_eq!(ran.code, 0, "{arguments:?} {ran:?}");
        let lines: Vec<&str> = ran.stderr.lines().collect();
        assert_eq!(lines.len(), words.len(), "{arguments:?} {ran:?}");
        for (line, words) in lines.iter().zip(words) {
            let is_whole = line.starts_with("warning: ") && line.ends_with(')');
            assert!(is_whole && line.contains(words), "{words} in {line}");
        }
        assert!(!ran.stderr.contains("ChangeThis"), "{ran:?}");
        let code = i32::from(!words.is_empty());
        let strict = check(&format!("{arguments} --strict"));
        assert_eq!(strict.code, code, "{arguments}");
    }
}

/// What `serve` would refuse, the check refuses, and says so as `serve` would.
#[test]
fn what_would_not_start_is_not_right() {
    let refused = run(&["config", "check", "--strict", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, 2);
    let serve = " serve --listen 0.0.0.0:0 --publisher-key-file ";
    assert!(refused.stderr.contains(serve), "{refused:?}");
    assert!(!refused.stderr.contains("--strict"), "{refused:?}");
    let admin = run(&["config", "check", "--admin-listen", "0.0.0.0:0"]);
    assert!(admin.code == 2 && admin.stderr.contains("--admin-token-file"));
}

#[test]
fn a_hub_says_what_is_severe_when_it_starts() {
    let folder = folder();
    let key = write(&folder.path().join("key"), "!ChangeMe!");
    let key = key.to_str().unwrap();
    let flags = [
        "--memory",
        "--publisher-key-file",
        key,
        "--cors-origins",
        "*",
    ];
    let hub = Hub::with(&flags);
    let said = hub.running.says("warning: no subscriber can get in");
    let key = "warning: the publisher key is one that stands in public";
    assert!(said.contains(key), "{said}");
    let said = said + &hub.running.errors();
    // Not worth a line each time.
    assert!(!said.contains("every origin"), "{said}");
    let mut check = tidewire();
    check.args(["config", "check"]).args(flags);
    assert!(finish(check, b"").stderr.contains("every origin"));
}

/// What was meant for the reference hub and means nothing here is told, and is no warning.
#[test]
fn what_is_not_taken_from_the_reference_hub_is_named() {
    let directives = [("MERCURE_EXTRA_DIRECTIVES", "anonymous\nheartbeat 25s\ndemo")];
    let note = "note: MERCURE_EXTRA_DIRECTIVES: demo is not needed";
    let mut check = tidewire();
    check.args(["config", "check", "--strict", "--anonymous", "none"]);
    check.envs(directives);
    let ran = finish(check, b"");
    assert!(ran.code == 0 && ran.stderr.starts_with(note), "{ran:?}");
}
