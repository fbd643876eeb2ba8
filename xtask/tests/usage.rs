//! Wrong usage ends with 2 and says what is possible; help ends with 0.

use std::process::Command;

#[test]
fn usage() {
    for (arguments, code, stderr) in [
        (&[][..], 2, "no command was given"),
        (&["fly"], 2, "there is no command `fly`"),
        (&["check", "speling"], 2, "`check` has no step `speling`"),
        (&["test", "--fast"], 2, "only --no-install"),
        (&["fuzz"], 2, "a number of seconds"),
        (&["fuzz", "-1"], 2, "`-1` is not a number of seconds"),
        (&["crash", "many"], 2, "`many` is not a number of rounds"),
        (
            &["conformance", "--url"],
            2,
            "`--url` is unknown or has no value",
        ),
        (&["conformance", "--url", "http://h"], 2, "needs `--key`"),
        (
            &["conformance", "--key", "k"],
            2,
            "belong to a hub by `--url`",
        ),
        (&["--help"], 0, ""),
        (&["check", "--help"], 0, ""),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(arguments)
            .output()
            .expect("xtask starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(stderr), "{arguments:?}: {said}");
        let usage = if code == 0 {
            &output.stdout
        } else {
            &output.stderr
        };
        assert!(
            String::from_utf8_lossy(usage).contains("usage: cargo xtask"),
            "{arguments:?}"
        );
    }
}
