//! `tidewire log`: a data directory without its hub.

use std::fs;
use std::path::Path;

use crate::support::{Hub, folder, paste, run, run_with};

/// A directory with these events in topic `t`, its hub ended in order.
fn directory(path: &Path, count: usize) {
    let hub = Hub::on(path);
    let lines: String = (0..count).map(|n| format!("event {n}\n")).collect();
    hub.run_with(&["pub", "t", "--quiet"], lines.as_bytes())
        .ok();
    assert_eq!(hub.running.stop(), 0);
}

#[test]
fn out_and_in_again() {
    let folder = folder();
    let (old, new) = (folder.path().join("old data"), folder.path().join("new"));
    directory(&old, 1500);
    let program = env!("CARGO_BIN_EXE_tidewire");
    let sh = |line: &str| {
        paste(
            &line.replace("tidewire ", &format!("{program} ")),
            folder.path(),
        )
    };
    let stat = sh("tidewire log stat 'old data'").ok();
    assert!(
        stat.contains("events    1500")
            && stat.contains("positions 1 to 1500")
            && stat.contains("left      closed"),
        "{stat}"
    );
    assert_eq!(sh("tidewire log stat --data-dir 'old data'").ok(), stat);
    let both = sh("TIDEWIRE_DATA_DIR=x tidewire log stat 'old data' --data-dir x");
    assert_eq!(both.code, 2, "{}", both.stderr);
    let json: serde_json::Value =
        serde_json::from_str(&sh("TIDEWIRE_DATA_DIR='old data' tidewire log stat --json").ok())
            .unwrap();
    assert_eq!(
        (json["records"].as_u64(), json["next"].as_u64()),
        (Some(1500), Some(1501))
    );
    assert_eq!(
        sh("tidewire log verify 'old data'").ok(),
        "1500 events, all of them whole\n"
    );
    let exported = sh("tidewire log export 'old data' --out e.ndjson");
    assert_eq!(
        (exported.code, exported.stderr.as_str()),
        (0, "1500 events exported\n")
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("e.ndjson")).unwrap(),
        sh("tidewire log export 'old data'").ok()
    );
    assert!(
        sh("tidewire log export 'old data' --out e.ndjson")
            .stderr
            .contains("exists, and is kept")
    );
    assert!(
        sh("tidewire log import new e.ndjson")
            .stderr
            .contains("1500 events imported")
    );
    // What `pub` published carries keys: importing again stores nothing twice.
    let again = sh("tidewire log import new < e.ndjson");
    assert!(
        again
            .stderr
            .contains("0 events imported, 1500 were there already"),
        "{again:?}"
    );
    let hub = Hub::on(&new);
    assert_eq!(hub.stored("t").len(), 1500);
    assert_eq!(hub.stored("t")[1499], "event 1499");
}

#[test]
fn what_is_in_the_way_is_said() {
    let folder = folder();
    let data = folder.path().join("data");
    let hub = Hub::on(&data);
    let data = data.to_str().unwrap();
    let table: [(&[&str], &str, &[&str]); 5] = [
        (&["stat", data], "", &["in use by process", "stop the hub"]),
        (&["export", data], "", &["in use by process"]),
        (&["import", data], "", &["in use by process"]),
        (&["stat", "/nowhere"], "", &["/nowhere", "--data-dir"]),
        (
            &["import", "FOLDER"],
            "{\"topics\":[\"t\"],\"data\":\"x\"}\nnonsense\n",
            &["line 2", "1 events before that are stored", "log export"],
        ),
    ];
    let other = folder.path().join("other");
    for (arguments, stdin, words) in table {
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|&a| {
                if a == "FOLDER" {
                    other.to_str().unwrap()
                } else {
                    a
                }
            })
            .collect();
        let ran = run_with(&[&["log"], arguments.as_slice()].concat(), stdin.as_bytes());
        assert_eq!(ran.code, 1, "{ran:?}");
        for word in words {
            assert!(
                ran.stderr.contains(word),
                "{word:?} is not in {}",
                ran.stderr
            );
        }
    }
    drop(hub);
}

#[test]
fn damage_is_found_and_the_rest_is_saved() {
    let folder = folder();
    let data = folder.path().join("data");
    directory(&data, 1000);
    // The crash of a process leaves no seal behind: damage in the middle of the last segment is then still seen.
    let segments = data.join("segments");
    let segment = fs::read_dir(&segments)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let segment = segment
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .min()
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let text = bytes
        .windows(9)
        .position(|window| window == b"event 500")
        .unwrap();
    bytes[text] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let data = data.to_str().unwrap();
    let verified = run(&["log", "verify", data]);
    assert_eq!(
        (verified.code, verified.stdout.as_str()),
        (1, ""),
        "{verified:?}"
    );
    assert!(
        verified.stderr.contains(segment.to_str().unwrap()) && verified.stderr.contains("at byte"),
        "{verified:?}"
    );
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data]);
    assert!(
        refused.code == 1
            && refused.stderr.contains("log verify")
            && refused.stderr.contains("log export"),
        "{refused:?}"
    );
    let exported = run(&["log", "export", data]);
    assert_eq!(exported.code, 1, "not all of it is there");
    assert!(
        exported.stdout.contains("event 0\"") && !exported.stdout.contains("event 500\""),
        "{}",
        exported.stderr
    );
}
