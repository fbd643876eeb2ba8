//! Settings: the order of flag, environment, file and default, and what is said of wrong ones.

use crate::support::{Hub, folder, run, run_with, tidewire, write};

/// The line of `config show` for a setting.
fn shown(key: &str, file: Option<&str>, environment: &[(&str, &str)], flags: &[&str]) -> String {
    let folder = folder();
    let mut command = tidewire();
    command
        .args(["config", "show"])
        .args(flags)
        .current_dir(folder.path());
    if let Some(text) = file {
        write(&folder.path().join("t.toml"), text);
        command.args(["--config", "t.toml"]);
    }
    let ran = crate::support::finish(
        {
            command.envs(environment.iter().copied());
            command
        },
        b"",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let starts = [format!("{key} = "), format!("# {key} =")];
    let line = ran
        .stdout
        .lines()
        .find(|line| starts.iter().any(|start| line.starts_with(start)));
    let line = line.unwrap_or_else(|| panic!("no {key} in {}", ran.stdout));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn flag_environment_file_default() {
    let file = Some(
        "heartbeat = '20s'\nlisten = ['127.0.0.1:1', '127.0.0.1:2']\npublisher-key-alg = 'HS512'",
    );
    let environment = [
        ("TIDEWIRE_HEARTBEAT", "30s"),
        ("TIDEWIRE_LISTEN", "127.0.0.1:3,127.0.0.1:4"),
    ];
    let flags = [
        "--heartbeat",
        "40s",
        "--listen",
        "127.0.0.1:5",
        "--listen",
        "127.0.0.1:6",
    ];
    let mercure = [("MERCURE_PUBLISHER_JWT_ALG", "HS384")];
    #[rustfmt::skip]
    let table: [(&str, Option<&str>, &[(&str, &str)], &[&str], &str); 19] = [
        ("heartbeat", None, &[], &[], "heartbeat = \"15s\" # default"),
        ("heartbeat", file, &[], &[], "heartbeat = \"20s\" # file t.toml"),
        ("heartbeat", file, &environment, &[], "heartbeat = \"30s\" # environment TIDEWIRE_HEARTBEAT"),
        ("heartbeat", file, &environment, &flags, "heartbeat = \"40s\" # flag"),
        ("heartbeat", None, &environment, &[], "heartbeat = \"30s\" # environment TIDEWIRE_HEARTBEAT"),
        ("listen", None, &[], &[], "listen = [\"127.0.0.1:8080\"] # default"),
        ("listen", file, &[], &[], "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"] # file t.toml"),
        ("listen", file, &environment, &[], "listen = [\"127.0.0.1:3\", \"127.0.0.1:4\"] # environment TIDEWIRE_LISTEN"),
        ("listen", file, &environment, &flags, "listen = [\"127.0.0.1:5\", \"127.0.0.1:6\"] # flag"),
        ("memory", None, &[("TIDEWIRE_MEMORY", "1")], &[], "memory = \"1\" # environment TIDEWIRE_MEMORY"),
        ("memory", Some("memory = true"), &[], &["--memory=off"], "memory = \"off\" # flag"),
        ("retention-bytes", None, &[], &[], "# retention-bytes = # default"),
        ("publisher-key-alg", file, &mercure, &[], "publisher-key-alg = \"HS384\" # environment MERCURE_PUBLISHER_JWT_ALG"),
        ("heartbeat", file, &[("MERCURE_EXTRA_DIRECTIVES", "anonymous\nheartbeat 25s")], &[],
            "heartbeat = \"25s\" # environment MERCURE_EXTRA_DIRECTIVES"),
        ("heartbeat", file, &[("MERCURE_EXTRA_DIRECTIVES", "heartbeat 25s"), ("TIDEWIRE_HEARTBEAT", "30s")], &[],
            "heartbeat = \"30s\" # environment TIDEWIRE_HEARTBEAT"),
        ("memory", None, &[("MERCURE_TRANSPORT_URL", "local://local")], &[], "memory = \"on\" # environment MERCURE_TRANSPORT_URL"),
        ("hub-path", None, &[("TIDEWIRE_HUB_PATH", "/live")], &[], "hub-path = \"/live\" # environment TIDEWIRE_HUB_PATH"),
        ("trusted-proxies", None, &[], &["--trusted-proxies", "::1"], "trusted-proxies = [\"::1\"] # flag"),
        ("retention-rule", None, &[("TIDEWIRE_RETENTION_RULE", "a=age:1m,count:5;b=count:1")], &[],
            "retention-rule = [\"a=age:1m,count:5\", \"b=count:1\"] # environment TIDEWIRE_RETENTION_RULE"),
    ];
    for (key, file, environment, flags, want) in table {
        assert_eq!(shown(key, file, environment, flags), want);
    }
}

#[test]
fn what_is_shown_can_be_used() {
    let folder = folder();
    let shown = run(&[
        "config",
        "show",
        "--retention-age",
        "1h30m",
        "--cors-origins",
        "https://a.example,https://b.example",
    ])
    .ok();
    let file = write(&folder.path().join("all.toml"), &shown);
    let again = run(&["config", "show", "--config", file.to_str().unwrap()]).ok();
    let settings = |text: &str| {
        text.lines()
            .map(|line| line.split(" #").next().unwrap().trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(settings(&again), settings(&shown));
    assert!(
        shown.contains("cors-origins = [\"https://a.example\", \"https://b.example\"]"),
        "{shown}"
    );
}

#[test]
fn wrong_settings_are_said_with_where_they_are() {
    let folder = folder();
    #[rustfmt::skip]
    let table: [(&str, &[(&str, &str)], &[&str], &[&str]); 13] = [
        ("", &[], &["--heartbeat", "soon"], &["--heartbeat", "write it as 500ms, 15s"]),
        ("", &[("TIDEWIRE_HEARTBEAT", "soon")], &[], &["TIDEWIRE_HEARTBEAT", "write it as 500ms, 15s"]),
        ("heartbeat = 'soon'", &[], &[], &["t.toml: heartbeat", "write it as 500ms, 15s"]),
        ("heart_beat = '1s'", &[], &[], &["no setting \"heart_beat\"", "did you mean `heartbeat`?"]),
        ("", &[], &["--heart", "1s"], &["--heart", "--heartbeat"]),
        ("", &[], &["--listen", "8080"], &["127.0.0.1:8080"]),
        ("cors-origins = 'example.com'", &[], &[], &["t.toml: cors-origins", "https://example.com"]),
        ("", &[("MERCURE_SUBSCRIBER_JWT_ALG", "XS256")], &[], &["MERCURE_SUBSCRIBER_JWT_ALG", "HS256"]),
        ("", &[("MERCURE_EXTRA_DIRECTIVES", "anonymous\nwelcome everybody")], &[], &["MERCURE_EXTRA_DIRECTIVES: welcome", "take the line out"]),
        ("", &[("MERCURE_TRANSPORT_URL", "redis://r")], &[], &["MERCURE_TRANSPORT_URL: redis", "--data-dir"]),
        ("", &[], &["--hub-path", "/topics/x"], &["--hub-path", "something else is there"]),
        ("", &[], &["--hub-url", "example.com"], &["--hub-url", "https://example.com/.well-known/mercure"]),
        ("", &[], &["--publisher-key-file", "/nowhere/key"], &["/nowhere/key", "check the path"]),
    ];
    for (file, environment, flags, words) in table {
        write(&folder.path().join("t.toml"), file);
        let mut command = tidewire();
        command
            .args(["config", "check", "--config", "t.toml"])
            .args(flags);
        command
            .envs(environment.iter().copied())
            .current_dir(folder.path());
        let ran = crate::support::finish(command, b"");
        let is_file = words[0].contains("/nowhere");
        assert_eq!(ran.code, if is_file { 1 } else { 2 }, "{ran:?}");
        for word in words {
            assert!(
                ran.stderr.contains(word),
                "{word:?} is not in {}",
                ran.stderr
            );
        }
    }
    write(&folder.path().join("t.toml"), "heartbeat = '1s'");
    let mut command = tidewire();
    command
        .args(["config", "check", "--config", "t.toml"])
        .current_dir(folder.path());
    assert_eq!(
        crate::support::finish(command, b"").ok(),
        "the settings are right\n"
    );
}

#[test]
fn keys_come_from_files_and_the_environment() {
    let folder = folder();
    let key = write(
        &folder.path().join("key"),
        "secret of some length, long enough\n",
    );
    let empty = write(&folder.path().join("empty"), "\n");
    let key = key.to_str().unwrap();
    #[rustfmt::skip]
    let table: [(&[(&str, &str)], &[&str], i32, &str); 6] = [
        (&[], &["--publisher-key-file", key], 0, ""),
        (&[("MERCURE_PUBLISHER_JWT_KEY", "x")], &[], 0, "# environment MERCURE_PUBLISHER_JWT_KEY"),
        (&[("TIDEWIRE_SUBSCRIBER_KEY", "x")], &[], 0, "# environment TIDEWIRE_SUBSCRIBER_KEY"),
        (&[("TIDEWIRE_PUBLISHER_KEY", "x"), ("TIDEWIRE_PUBLISHER_KEY_FILE", key)], &[], 2, "both set"),
        (&[("TIDEWIRE_PUBLISHER_KEY", "x")], &["--publisher-key-file", key], 0, ""),
        (&[], &["--publisher-key-file", empty.to_str().unwrap()], 2, "the key is empty"),
    ];
    for (environment, flags, code, words) in table {
        let mut command = tidewire();
        command
            .args(["config", "show"])
            .args(flags)
            .envs(environment.iter().copied());
        let ran = crate::support::finish(command, b"");
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(
            format!("{}{}", ran.stdout, ran.stderr).contains(words),
            "{words}: {ran:?}"
        );
        assert!(!ran.stdout.contains("secret of"), "keys are not shown");
    }
}

/// A public key is a key once its algorithm is said, and never a shared secret.
#[test]
fn a_key_may_be_a_public_one() {
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../auth/tests/keys");
    let (rsa, private) = (
        format!("{keys}/rsa.spki.pem"),
        format!("{keys}/rsa.pkcs8.pem"),
    );
    let weak = format!("{keys}/rsa1024.spki.pem");
    for (file, algorithm, code, word) in [
        (&rsa, "RS256", 0, "right"),
        (&rsa, "PS512", 0, "right"),
        (&rsa, "HS256", 2, "shared secret"),
        (&rsa, "ES256", 2, "another kind"),
        (&private, "RS256", 2, "private key"),
        (&weak, "RS256", 2, "1024 bits"),
    ] {
        let mut command = tidewire();
        command.args(["config", "check", "--publisher-key-file", file]);
        command.args(["--publisher-key-alg", algorithm]);
        let ran = crate::support::finish(command, b"");
        assert_eq!(ran.code, code, "{file} {algorithm} {ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
}

#[test]
fn a_hub_at_another_path_is_found() {
    let hub = Hub::with(&["--memory", "--hub-path", "/live"]);
    let there = ["--url", &hub.url, "--hub-path", "/live"];
    let command = |words: &[&'static str]| [words, &there[..]].concat();
    let ids = run_with(&command(&["pub", "a"]), b"one\ntwo\n").ok();
    assert_eq!(ids.lines().count(), 2, "{ids}");
    let got = run(&command(&[
        "sub", "a", "--since", "earliest", "--count", "2",
    ]))
    .ok();
    assert_eq!(got, "one\ntwo\n");
}
