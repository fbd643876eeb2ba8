//! The tools that need no hub: decode and encode, tokens, completions.

use crate::support::{folder, paste, run, run_with};

#[test]
fn decode_and_encode_are_each_others_inverse() {
    #[rustfmt::skip]
    let table: [(&[u8], &str); 6] = [
        (b"data: x\n\n", "{\"data\":\"x\",\"type\":\"message\"}\n"),
        (b"\xef\xbb\xbfid: 1\nevent: tick\ndata: a\r\ndata: b\r\n\r\n", "{\"data\":\"a\\nb\",\"id\":\"1\",\"type\":\"tick\"}\n"),
        (b"id: 7\n\ndata\n\n", "{\"data\":\"\",\"id\":\"7\",\"type\":\"message\"}\n"),
        (b": comment\n\nretry: 5\n\n", ""),
        (b"data: \xff\n\n", "{\"data\":\"\u{fffd}\",\"type\":\"message\"}\n"),
        (b"data: cut", ""),
    ];
    for (stream, lines) in table {
        let decoded = run_with(&["decode"], stream).ok();
        assert_eq!(decoded, lines, "{stream:?}");
        let encoded = run_with(&["encode"], decoded.as_bytes()).ok();
        assert_eq!(run_with(&["decode"], encoded.as_bytes()).ok(), decoded);
    }
    assert_eq!(
        run_with(&["decode", "--all"], b": c\nretry: 5\n\n").ok(),
        "{\"comment\":\"c\"}\n{\"retry\":5}\n"
    );
    assert_eq!(
        run_with(
            &["encode"],
            b"{\"event\":\"t\",\"id\":\"1\",\"retry\":5,\"data\":\"a\\r\\nb\",\"comment\":\"c\"}\n"
        )
        .ok(),
        ": c\n\nevent: t\nretry: 5\nid: 1\ndata: a\ndata: b\n\n"
    );
    for (line, words) in [
        (
            "{\"id\":\"a\\nb\"}",
            "line 1: the id must not contain a line feed",
        ),
        ("{\"data\":5}", "line 1:"),
        ("\nnot json", "line 2:"),
    ] {
        let ran = run_with(&["encode"], line.as_bytes());
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
}

#[test]
fn tokens_are_minted_and_looked_into() {
    let folder = folder();
    let program = env!("CARGO_BIN_EXE_tidewire");
    let sh = |line: &str| {
        paste(
            &line.replace("tidewire ", &format!("{program} ")),
            folder.path(),
        )
    };
    sh("tidewire token keygen --out k").ok();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(folder.path().join("k"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "nobody else reads a key");
    let again = sh("tidewire token keygen --out k");
    assert!(
        again.code == 1 && again.stderr.contains("exists, and is kept"),
        "{again:?}"
    );
    assert_eq!(sh("tidewire token keygen").ok().trim().len(), 64);
    let minted = sh(
        "tidewire token --key-file k --publish '*' --subscribe a --subject me --ttl 1h > t; cat t",
    );
    assert!(
        minted
            .stderr
            .contains("valid for 1h; may publish to *, and read private events of a"),
        "{minted:?}"
    );
    #[rustfmt::skip]
    let table = [
        ("tidewire token inspect < t", 0, "\"sub\": \"me\"", "was not checked"),
        ("tidewire token inspect --key-file k < t", 0, "\"alg\": \"HS256\"", "a hub with this key takes it"),
        ("tidewire token inspect --key-file k2 < t", 1, "", "signature does not fit"),
        ("tidewire token inspect nonsense", 1, "", "no signed JWT"),
        ("tidewire token inspect --key-file k \"$(tidewire token --key-file k --subscribe a --ttl 1ms -q; sleep 0.01)\"", 1, "", "has expired"),
        ("TIDEWIRE_SUBSCRIBER_KEY=x tidewire token --subscribe a -q", 0, ".", ""),
        ("TIDEWIRE_SUBSCRIBER_KEY=x tidewire token --publish a -q", 2, "", "no key to sign with"),
        ("tidewire token --key-file k", 2, "", "--publish TOPIC"),
        ("tidewire token --key-file k --publish a --ttl off", 0, ".", "valid without end"),
    ];
    sh("tidewire token keygen --out k2").ok();
    for (line, code, stdout, stderr) in table {
        let ran = sh(line);
        assert_eq!(ran.code, code, "{line}: {ran:?}");
        assert!(
            ran.stdout.contains(stdout) && ran.stderr.contains(stderr),
            "{line}: {ran:?}"
        );
    }
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).ok();
        assert!(
            script.contains("retention-bytes") && script.contains("keygen"),
            "{shell}"
        );
    }
}
