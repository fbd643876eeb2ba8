//! Manners: exit codes, closed pipes, what is said when something is in the way.

use std::io::Write;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Hub, Running, finish, folder, paste, run, run_with, tidewire, until, write};

/// An address where nothing listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn exit_codes() {
    let nowhere = nowhere();
    #[rustfmt::skip]
    let table: [(&[&str], i32, &str); 16] = [
        (&["--help"], 0, "Usage"),
        (&["--version"], 0, "tidewire"),
        (&[], 2, "Usage"),
        (&["sreve"], 2, "serve"),
        (&["pub"], 2, "TOPIC"),
        (&["sub"], 2, "TOPIC"),
        (&["pub", "t", "x", "--follow", "f"], 2, "cannot be used"),
        (&["pub", "t", "--state", "s"], 2, "--follow"),
        (&["pub", "t", "x", "--url", "ftp://x"], 2, "http://127.0.0.1:8080"),
        (&["pub", "t", "x", "--url", "https://x", "--ca-file", "/nowhere"], 1, "check the path"),
        (&["pub", "t", "x", "--token", ""], 2, "no token"),
        (&["pub", "t", "x", "--token-file", "/nowhere"], 1, "check the path"),
        (&["pub", "t", "x", "--url", &nowhere], 1, "serve --listen 127.0.0.1:"),
        (&["sub", "t", "--url", &nowhere], 1, "serve --listen 127.0.0.1:"),
        (&["token", "--publish", "x"], 2, "token keygen"),
        (&["completions", "sh"], 2, "bash"),
    ];
    for (arguments, code, words) in table {
        let ran = run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(
            format!("{}{}", ran.stdout, ran.stderr).contains(words),
            "{arguments:?}: {words:?} is not in {ran:?}"
        );
        assert!(
            code == 0 || ran.stdout.is_empty(),
            "errors go to standard error: {ran:?}"
        );
    }
}

#[test]
fn an_event_goes_in_and_comes_out() {
    let hub = Hub::in_memory();
    let id = hub
        .run(&[
            "pub",
            "t",
            "two\nlines",
            "--type",
            "tick",
            "--retry",
            "1500",
        ])
        .ok();
    assert!(id.starts_with('#') && id.ends_with('\n'), "{id}");
    assert_eq!(hub.run(&["pub", "t", "", "--id", "mine"]).ok(), "mine\n");
    assert_eq!(hub.run(&["pub", "t", "quiet", "--quiet"]).ok(), "");
    let json = hub
        .run(&["sub", "t", "--since", "earliest", "--count", "3", "--json"])
        .ok();
    let events: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        events[0],
        serde_json::json!({"type": "tick", "data": "two\nlines", "id": id.trim_end(), "topic": "t"})
    );
    assert_eq!(
        (events[1]["data"].as_str(), events[1]["id"].as_str()),
        (Some(""), Some("mine"))
    );
    assert_eq!(
        hub.run(&["sub", "t", "--last-event-id", id.trim(), "--count", "2"])
            .ok(),
        "\nquiet\n"
    );
    let without = id.trim().trim_start_matches('#');
    assert_eq!(
        hub.run(&["sub", "t", "--last-event-id", without, "--count", "1"])
            .ok(),
        "\n"
    );
}

#[test]
fn topics_of_any_spelling_work() {
    let hub = Hub::in_memory();
    for topic in [
        "a b",
        "a/b//c",
        "https://example.com/x?y=1#z",
        "ü/日本",
        "..",
        "a%2Fb",
        "x{y}",
        "-",
        "'\"$&",
    ] {
        assert_eq!(
            hub.run(&["pub", "--quiet", "--", topic, topic]).code,
            0,
            "{topic}"
        );
        let got = hub.run(&["sub", "--since", "earliest", "--count", "1", "--", topic]);
        assert_eq!(got.ok(), format!("{topic}\n"));
    }
    let all = hub
        .run(&["sub", "*", "--since", "earliest", "--count", "9", "--json"])
        .ok();
    assert!(
        !all.contains("\"topic\""),
        "which topic it was is not known"
    );
}

#[test]
fn a_flag_goes_before_a_variable() {
    let folder = folder();
    let good = run(&[
        "token",
        "--publish",
        "*",
        "--key-file",
        write(&folder.path().join("k"), "key").to_str().unwrap(),
        "-q",
    ])
    .ok();
    let file = write(&folder.path().join("token"), &good);
    let file = file.to_str().unwrap();
    let hub = Hub::with(&[
        "--memory",
        "--publisher-key-file",
        folder.path().join("k").to_str().unwrap(),
    ]);
    #[rustfmt::skip]
    let table: [(&[&str], &[(&str, &str)], i32); 7] = [
        (&[], &[], 1),
        (&[], &[("TIDEWIRE_TOKEN", &good)], 0),
        (&[], &[("TIDEWIRE_TOKEN_FILE", file)], 0),
        (&["--token-file", file], &[("TIDEWIRE_TOKEN", "bad")], 0),
        (&["--token", good.trim()], &[("TIDEWIRE_TOKEN_FILE", "/nowhere")], 0),
        (&[], &[("TIDEWIRE_TOKEN", &good), ("TIDEWIRE_TOKEN_FILE", file)], 2),
        (&["--token", good.trim(), "--token-file", file], &[], 2),
    ];
    for (flags, variables, code) in table {
        let mut command = hub.command(&[&["pub", "t", "-5"], flags].concat());
        command.envs(variables.iter().copied());
        assert_eq!(finish(command, b"").code, code, "{flags:?} {variables:?}");
    }
}

#[test]
fn lines_of_standard_input() {
    let hub = Hub::in_memory();
    let lines: String = (0..2500).map(|n| format!("line {n}\n")).collect();
    let ids = hub.run_with(&["pub", "t"], lines.as_bytes()).ok();
    assert_eq!(ids.lines().count(), 2500);
    // No line end at the end; CR LF; an empty line; bytes that are no UTF-8.
    assert_eq!(
        hub.run_with(&["pub", "t"], b"crlf\r\n\n\xff\nlast")
            .ok()
            .lines()
            .count(),
        4
    );
    let stored = hub.stored("t");
    assert_eq!(
        stored[..2500],
        (0..2500).map(|n| format!("line {n}")).collect::<Vec<_>>()
    );
    assert_eq!(stored[2500..], ["crlf", "", "\u{fffd}", "last"]);
}

#[test]
fn a_line_leaves_at_once() {
    let hub = Hub::in_memory();
    let mut publisher = hub.start(&["pub", "t"]);
    let mut input = publisher.child.stdin.take().unwrap();
    for _ in 0..3 {
        input.write_all(b"now\n").unwrap();
        assert!(publisher.line().starts_with('#'));
    }
    drop(input);
    assert_eq!(publisher.wait(), 0);
}

#[test]
fn whole_events() {
    let hub = Hub::in_memory();
    let events = br##"{"topic":"a","data":"1","type":"x"}

{"data":"2","id":"#1-7"}
{"topics":["t","b"],"data":"3","id":"own","private":false,"time":5}
"##;
    let ids = hub.run_with(&["pub", "t", "--ndjson"], events).ok();
    assert_eq!(ids.lines().count(), 3);
    assert!(ids.ends_with("own\n"), "{ids}");
    assert_eq!(hub.stored("t"), ["2", "3"]);
    let ran = hub.run_with(
        &["pub", "--ndjson"],
        b"{\"topic\":\"a\",\"data\":\"4\"}\nnot json\n",
    );
    assert_eq!(
        (ran.code, ran.stdout.lines().count()),
        (1, 1),
        "what came before stands: {ran:?}"
    );
    assert!(
        ran.stderr.contains("line 2:") && ran.stderr.contains("1 event acknowledged"),
        "{ran:?}"
    );
}

#[test]
fn a_refused_event_is_named() {
    let hub = Hub::with(&["--memory", "--event-bytes-max", "10"]);
    let ran = hub.run_with(&["pub", "t"], b"1\n2\nfar too long a line\n4\n");
    assert_eq!((ran.code, ran.stdout.lines().count()), (1, 2), "{ran:?}");
    assert!(
        ran.stderr.contains("event 3: the hub answered 413"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("2 events acknowledged"), "{ran:?}");
    assert_eq!(hub.stored("t"), ["1", "2"]);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let hub = Hub::in_memory();
    let bytes = "x\n".repeat(10_000);
    hub.run_with(&["pub", "t", "--quiet"], bytes.as_bytes())
        .ok();
    let program = env!("CARGO_BIN_EXE_tidewire");
    let url = &hub.url;
    for line in [
        format!("{program} sub t --since earliest --url {url}"),
        format!("yes | {program} pub u --url {url}"),
        format!("yes ': x' | {program} decode --all"),
        format!("yes '{{\"data\":\"x\"}}' | {program} encode"),
        format!("{program} config show"),
        format!("{program} completions bash"),
        format!("{program} serve --help"),
    ] {
        let folder = folder();
        let script = format!("{{ {line}; echo ${{PIPESTATUS[-1]}} > code; }} | head -1");
        let mut command = std::process::Command::new("bash");
        command.args(["-c", &script]).current_dir(folder.path());
        let ran = finish(command, b"");
        let code = std::fs::read_to_string(folder.path().join("code")).unwrap();
        assert_eq!((code.trim(), ran.stderr.as_str()), ("0", ""), "{line}");
    }
}

#[test]
fn an_interrupted_publisher_says_how_far_it_came() {
    let hub = Hub::in_memory();
    for signal in [Signal::INT, Signal::TERM] {
        let mut publisher = hub.start(&["pub", "t"]);
        let mut input = publisher.child.stdin.take().unwrap();
        input.write_all(b"1\n2\n3\n").unwrap();
        (0..3).for_each(|_| drop(publisher.line()));
        publisher.signal(signal);
        assert_eq!(publisher.wait(), 0, "nothing was left over");
        publisher.says("3 events acknowledged");
        drop(input);
    }
}

#[test]
fn a_subscriber_ends_when_asked() {
    let hub = Hub::in_memory();
    let mut subscriber = hub.start(&["sub", "t", "--control"]);
    subscriber.line();
    subscriber.signal(Signal::INT);
    assert_eq!(subscriber.wait(), 0);
}

#[test]
fn gaps_go_to_standard_error() {
    let hub = Hub::with(&["--memory", "--retention-count", "2"]);
    let first = hub.run(&["pub", "t", "1"]).ok();
    for n in 2..6 {
        hub.run(&["pub", "t", &n.to_string()]).ok();
    }
    let ran = hub.run(&["sub", "t", "--last-event-id", first.trim(), "--count", "2"]);
    assert_eq!(ran.stdout, "4\n5\n");
    assert!(
        ran.stderr.contains("gap: events after #") && ran.stderr.contains("no longer kept"),
        "{ran:?}"
    );
}

#[test]
fn a_command_gets_each_event() {
    let hub = Hub::in_memory();
    let nasty = "$(touch pwned); `touch pwned`\n'\"";
    hub.run(&["pub", "t", nasty, "--type", "a b"]).ok();
    hub.run(&["pub", "t", "fails"]).ok();
    hub.run(&["pub", "t", "third"]).ok();
    let folder = folder();
    let mut command = hub.command(&["sub", "t", "--since", "earliest", "--count", "3", "--exec"]);
    command.arg("cat; echo; printf '%s|%s|%s|%s\\n' \"$TIDEWIRE_TYPE\" \"$TIDEWIRE_TOPIC\" \"${TIDEWIRE_ID%%-*}\" \"$TIDEWIRE_DATA\"; test \"$TIDEWIRE_DATA\" != fails");
    command.current_dir(folder.path());
    let ran = finish(command, b"");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.starts_with(&format!("{nasty}\na b|t|#")),
        "{ran:?}"
    );
    assert!(
        ran.stdout.ends_with("|third\n"),
        "a command that fails does not end it: {ran:?}"
    );
    assert!(ran.stderr.contains("exit status: 1"), "{ran:?}");
    assert!(!folder.path().join("pwned").exists());
    // Larger than a variable may be.
    let big = "x".repeat(300_000);
    hub.run_with(&["pub", "big", "--quiet"], big.as_bytes())
        .ok();
    let ran = hub.run(&[
        "sub",
        "big",
        "--since",
        "earliest",
        "--count",
        "1",
        "--exec",
        "wc -c; echo ${TIDEWIRE_DATA-unset}",
    ]);
    assert_eq!(
        ran.stdout.split_whitespace().collect::<Vec<_>>(),
        ["300000", "unset"]
    );
}

#[test]
fn what_is_in_the_way_of_a_hub_is_said() {
    let folder = folder();
    let data = folder.path().join("data");
    let hub = Hub::on(&data);
    let data = data.to_str().unwrap();
    let file = write(&folder.path().join("file"), "x");
    let table: [(&[&str], i32, &[&str]); 6] = [
        (
            &["--listen", hub.address(), "--memory"],
            1,
            &[
                "another program listens there",
                "serve --listen 127.0.0.1:0",
            ],
        ),
        (
            &["--listen", "127.0.0.1:0", "--data-dir", data],
            1,
            &["in use by process", "--memory"],
        ),
        (
            &["--listen", "192.0.2.1:0", "--memory", "--anonymous", "all"],
            1,
            &["no such address"],
        ),
        (
            &["--listen", "0.0.0.0:0", "--memory"],
            2,
            &[
                "reached from other machines",
                "token keygen",
                "--anonymous all",
            ],
        ),
        (
            &["--listen", "127.0.0.1:0", "--memory", "--data-dir", data],
            2,
            &["contradict"],
        ),
        (
            &[
                "--listen",
                "127.0.0.1:0",
                "--data-dir",
                file.to_str().unwrap(),
            ],
            1,
            &["--data-dir DIR"],
        ),
    ];
    for (arguments, code, words) in table {
        let ran = run(&[&["serve"], arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?} {ran:?}");
        for word in words {
            assert!(
                ran.stderr.contains(word),
                "{word:?} is not in {}",
                ran.stderr
            );
        }
        assert_eq!(ran.stdout, "", "a hub that does not run is not ready");
    }
}

#[test]
fn a_hub_says_what_holds() {
    let folder = folder();
    let data = folder.path().join("data");
    let hub = Hub::on(&data);
    hub.run(&["pub", "t", "x"]).ok();
    let hub = hub.restart();
    let said = hub.running.says("subscribers");
    for words in [
        "data",
        "1 event, ",
        "sync: acknowledged",
        "up to ",
        "this machine",
        "open files",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let hub = Hub::with(&[
        "--memory",
        "--anonymous",
        "subscribe",
        "--retention-age",
        "90m",
        "--retention-rule",
        "a=count:1",
    ]);
    let said = hub.running.says("subscribers");
    for words in [
        "in memory",
        "256MiB, 1h30m; less for the topics of one rule",
        "nobody: there is no publisher key",
        "subscribe   anybody",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}

#[test]
fn a_hub_ends_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = folder();
        let mut hub = Hub::on(&folder.path().join("data"));
        let subscriber = hub.start(&["sub", "t", "--control"]);
        subscriber.line();
        hub.running.signal(signal);
        assert_eq!(hub.running.wait(), 0);
        let closing = subscriber.line();
        assert!(subscriber.says("").len() < 200, "{closing}");
    }
}

#[test]
fn a_second_signal_ends_a_hub_at_once() {
    let mut hub = Hub::with(&["--memory", "--drain", "60s"]);
    // A publish that never ends keeps the hub from ending in order.
    let mut publish = std::net::TcpStream::connect(hub.address()).unwrap();
    let head = "POST /topics/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf";
    publish.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    hub.running.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        hub.running.child.try_wait().unwrap().is_none(),
        "the publish gets its time"
    );
    hub.running.signal(Signal::TERM);
    assert_eq!(hub.running.wait(), 1);
}

#[test]
fn several_listeners() {
    let mut command = tidewire();
    command.args([
        "serve",
        "--memory",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "[::1]:0",
    ]);
    let hub = Running::start(command);
    for start in ["listening http://127.0.0.1:", "listening http://[::1]:"] {
        let line = hub.line();
        assert!(line.starts_with(start), "{line}");
        let url = line.trim_start_matches("listening ").to_owned();
        run(&["pub", "t", "x", "--url", &url]).ok();
    }
    assert_eq!(hub.stop(), 0);
}

#[test]
fn the_first_feed_of_the_readme() {
    let hub = Hub::in_memory();
    let program = env!("CARGO_BIN_EXE_tidewire");
    let feed = format!(
        "for i in 1 2 3; do date; sleep 0.2; done | {program} pub clock --url {}",
        hub.url
    );
    let ids = paste(&feed, std::path::Path::new("/"));
    assert_eq!((ids.code, ids.stdout.lines().count()), (0, 3), "{ids:?}");
    assert_eq!(hub.stored("clock").len(), 3);
    until("three events", || hub.stored("clock").len() == 3);
    std::thread::sleep(Duration::from_millis(1));
    assert_eq!(
        run_with(&["decode"], b"data: x\n\n").ok(),
        "{\"data\":\"x\",\"type\":\"message\"}\n"
    );
}
