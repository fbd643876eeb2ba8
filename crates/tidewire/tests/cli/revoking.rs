//! Tokens taken back: at once, at the next connect, and after the hub was killed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Hub, Ran, finish, folder, http, run, tidewire};

/// A keyed hub in a folder, with the token that may do everything beside it.
fn hub(folder: &Path, arguments: &[&str]) -> Hub {
    let key = folder.join("tidewire.key");
    run(&["token", "keygen", "--out", key.to_str().unwrap()]).ok();
    let key = key.to_str().unwrap();
    let keys = ["--publisher-key-file", key, "--subscriber-key-file", key];
    Hub::with(&[arguments, &keys].concat())
}

/// Mints a token into a file.
fn mint(folder: &Path, name: &str, arguments: &[&str]) -> String {
    let key = folder.join("tidewire.key");
    let all = [
        &["token", "--quiet", "--key-file", key.to_str().unwrap()],
        arguments,
    ];
    let token = run(&all.concat()).ok();
    std::fs::write(folder.join(name), &token).unwrap();
    token.trim().to_owned()
}

fn revoke(hub: &Hub, folder: &Path, arguments: &[&str], stdin: &str) -> Ran {
    let mut command: Command = tidewire();
    command
        .args([
            "token",
            "revoke",
            "--url",
            &hub.url,
            "--token-file",
            "admin",
        ])
        .args(arguments)
        .current_dir(folder);
    finish(command, stdin.as_bytes())
}

fn status(hub: &Hub, token: &str) -> u16 {
    let head = format!(
        "GET /topics/a HTTP/1.1\r\nAccept: application/json\r\nAuthorization: Bearer {token}\r\n"
    );
    http(hub.address(), &head, "").status
}

#[test]
fn a_revoked_token_stays_refused_when_the_hub_was_killed() {
    let folder = folder();
    let folder = folder.path();
    let data = folder.join("data");
    let mut hub = hub(folder, &["--data-dir", data.to_str().unwrap()]);
    mint(folder, "admin", &["--publish", "*"]);
    let ada = mint(folder, "ada", &["--subscribe", "a", "--subject", "ada"]);
    let eve = mint(folder, "eve", &["--subscribe", "a", "--subject", "eve"]);
    let zoe = mint(folder, "zoe", &["--subscribe", "z", "--subject", "zoe"]);
    let mut command = hub.command(&["sub", "a", "--quiet", "--token-file"]);
    command.arg(folder.join("ada"));
    let mut reader = crate::support::Running::start(command);
    let begun = Instant::now();
    loop {
        let told = revoke(&hub, folder, &["--subject", "nobody"], "").ok();
        assert_eq!(told, "revoked subject \"nobody\"; 0 streams ended\n");
        // Until the reader is there.
        let told = revoke(&hub, folder, &["ada"], "").ok();
        assert!(told.starts_with("revoked token_id \""), "{told}");
        assert!(told.contains(" until 20"), "{told}");
        if told.ends_with("; 1 stream ended\n") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{told}");
        // It was refused before it came; let it in again.
        let head = format!(
            "DELETE /revocations?token_id={} HTTP/1.1\r\nAuthorization: Bearer {}\r\n",
            told.split('"').nth(1).unwrap(),
            std::fs::read_to_string(folder.join("admin"))
                .unwrap()
                .trim()
        );
        assert_eq!(http(hub.address(), &head, "").status, 204);
        std::thread::sleep(Duration::from_millis(200));
    }
    // It comes back with the same token, is refused, and gives up.
    assert_eq!(reader.child.wait().unwrap().code(), Some(1));
    revoke(&hub, folder, &["-"], &eve).ok();
    revoke(&hub, folder, &["--topic", "z"], "").ok();
    for _ in 0..2 {
        assert_eq!(
            [&ada, &eve, &zoe].map(|token| status(&hub, token)),
            [401; 3]
        );
        hub = hub.crash_and_restart(Duration::ZERO);
    }
    let fresh = mint(folder, "fresh", &["--subscribe", "a", "--subject", "eve"]);
    assert_eq!(status(&hub, &fresh), 200);
}

#[test]
fn a_reader_goes_on_with_the_token_that_its_file_has_by_then() {
    let folder = folder();
    let folder = folder.path();
    let hub = hub(folder, &["--memory"]);
    mint(folder, "admin", &["--publish", "*"]);
    let old = mint(folder, "old", &["--subscribe", "a", "--subject", "ada"]);
    let file = folder.join("ada");
    std::fs::write(&file, &old).unwrap();
    let publish = |data: &str| {
        let mut command = hub.command(&["pub", "a", data, "--token-file"]);
        command.arg(folder.join("admin"));
        finish(command, b"").ok();
    };
    publish("before");
    let mut command = hub.command(&["sub", "a", "--since", "earliest", "--token-file"]);
    command.arg(&file);
    let reader = crate::support::Running::start(command);
    assert_eq!(reader.line(), "before");
    mint(
        folder,
        "ada",
        &["--subscribe", "a", "--subject", "ada again"],
    );
    let told = revoke(&hub, folder, &["old"], "").ok();
    assert!(told.ends_with("; 1 stream ended\n"), "{told}");
    publish("after");
    assert_eq!(reader.line(), "after");
}

#[test]
fn what_cannot_be_revoked_is_said() {
    let folder = folder();
    let folder = folder.path();
    let hub = hub(folder, &["--memory"]);
    mint(folder, "admin", &["--publish", "a"]);
    let ran = revoke(&hub, folder, &["--subject", "x"], "");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("403"), "{ran:?}");
    let ran = revoke(&hub, folder, &["-"], "not a token");
    assert_eq!(ran.code, 1, "{ran:?}");
    for usage in [
        &[][..],
        &["--subject", "x", "--topic", "y"],
        &["f", "--subject", "x"],
    ] {
        assert_eq!(revoke(&hub, folder, usage, "").code, 2, "{usage:?}");
    }
    let keyless = Hub::in_memory();
    let ran = revoke(&keyless, folder, &["--subject", "x"], "");
    assert!(ran.stderr.contains("--publisher-key-file"), "{ran:?}");
}
