//! What is printed to be pasted works pasted.

use std::io::Write;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::support::{Running, finish, folder, paste, tidewire};

/// The lines of a message that are indented: those to paste.
fn lines_to_paste(message: &str) -> Vec<String> {
    let lines = message.lines().filter_map(|line| line.strip_prefix("  "));
    lines.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_hub_that_refuses_to_start_says_how_it_would() {
    let folder = folder();
    // A data directory that needs quoting, in arguments that must come back as they were.
    let mut command = tidewire();
    command
        .args([
            "serve",
            "--listen",
            "0.0.0.0:0",
            "--data-dir",
            "it's $HOME; here",
        ])
        .current_dir(folder.path());
    let refused = finish(command, b"");
    assert_eq!(refused.code, 2, "{refused:?}");
    let lines = lines_to_paste(&refused.stderr);
    let [keygen, serve, token, open] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(paste(keygen, folder.path()).code, 0);
    let hub = start(&format!("exec {serve}"), &folder);
    let line = hub.line();
    let port = line.rsplit(':').next().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    assert!(folder.path().join("it's $HOME; here").is_dir());
    let minted = paste(token, folder.path()).ok();
    let minted = minted.trim();
    let publish = |token: &[&str]| {
        let mut command = tidewire();
        command
            .args(["pub", "t", "x", "--private", "--url", &url])
            .args(token);
        finish(command, b"")
    };
    let without = publish(&[]);
    assert_eq!(without.code, 1, "{without:?}");
    assert!(
        without.stderr.contains("401") && without.stderr.contains("--token-file"),
        "{without:?}"
    );
    publish(&["--token", minted]).ok();
    let mut command = tidewire();
    command
        .args([
            "sub", "t", "--since", "earliest", "--count", "1", "--url", &url,
        ])
        .env("TIDEWIRE_TOKEN", minted);
    assert_eq!(finish(command, b"").ok(), "x\n");
    assert_eq!(hub.stop(), 0);
    // Asked again, it names a key file that is not taken.
    let mut command = tidewire();
    command
        .args(["serve", "--listen", "0.0.0.0:0"])
        .current_dir(folder.path());
    assert!(finish(command, b"").stderr.contains("--out tidewire-2.key"));
    let hub = start(&format!("exec {open}"), &folder);
    assert!(hub.line().starts_with("listening http://0.0.0.0:"));
    assert_eq!(hub.stop(), 0);
}

#[test]
fn an_unreachable_hub_is_named_with_a_line_that_starts_it() {
    let folder = folder();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://localhost:{port}");
    let mut command = tidewire();
    command.args(["pub", "t", "x", "--url", &url]);
    let ran = finish(command, b"");
    let line = ran
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("start one: "))
        .expect(&ran.stderr);
    let hub = start(&format!("exec {line}"), &folder);
    assert_eq!(hub.line(), format!("listening http://127.0.0.1:{port}"));
    let mut command = tidewire();
    command.args(["pub", "t", "x", "--url", &url]);
    finish(command, b"").ok();
    assert_eq!(hub.stop(), 0);
}

#[test]
fn a_followed_file_says_how_to_watch_it() {
    let folder = folder();
    let hub = crate::support::Hub::in_memory();
    let file = crate::support::write(&folder.path().join("a log"), "");
    let publisher = hub.start(&[
        "pub",
        "the topic's name",
        "--follow",
        file.to_str().unwrap(),
    ]);
    let said = publisher.says("to watch them: ");
    let line = said
        .lines()
        .last()
        .unwrap()
        .trim_start_matches("to watch them: ");
    let subscriber = start(&format!("exec {line}"), &folder);
    let url = said
        .split("its lines are at ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let mut curl = std::process::Command::new("sh");
    curl.args(["-c", &format!("curl -sN {url}")]);
    let curl = Running::start(curl);
    // Another line until both are connected, which nothing tells but a line that they show.
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let growing = std::thread::spawn(move || {
        let mut file = std::fs::File::options().append(true).open(file).unwrap();
        while is_done.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
            file.write_all(b"hello\n").unwrap();
        }
    });
    assert_eq!(subscriber.line(), "hello");
    while curl.line() != "data: hello" {}
    drop(done);
    growing.join().unwrap();
}

fn start(line: &str, folder: &tempfile::TempDir) -> Running {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", line]).current_dir(folder.path());
    Running::start(command)
}

/// What was typed need not be text; a line to paste that says it roughly is better than none.
#[cfg(unix)]
#[test]
fn a_hub_that_refuses_to_start_takes_any_argument() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = tidewire();
    command.args(["serve", "--listen", "0.0.0.0:0", "--data-dir"]);
    command.arg(std::ffi::OsStr::from_bytes(b"d\xff"));
    let refused = finish(command, b"");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("--publisher-key-file"),
        "{refused:?}"
    );
}
