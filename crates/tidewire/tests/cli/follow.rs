//! `pub --follow`: each line once, in order, whatever happens to the file, to the publisher, and to the hub.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Hub, Running, folder, until, write};

struct Scene {
    folder: TempDir,
    log: PathBuf,
    written: usize,
}

impl Scene {
    fn new() -> Self {
        let folder = folder();
        let log = folder.path().join("app.log");
        Self {
            folder,
            log,
            written: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Appends so many numbered lines to the log by its name.
    fn lines(&mut self, count: usize) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.log)
            .unwrap();
        self.lines_into(&mut file, count);
    }

    fn lines_into(&mut self, file: &mut File, count: usize) {
        for _ in 0..count {
            writeln!(file, "line {}", self.written).unwrap();
            self.written += 1;
        }
    }

    fn follow(&self, hub: &Hub, more: &[&str]) -> Running {
        let log = self.log.to_str().unwrap();
        let publisher = hub.start(&[&["pub", "t", "--follow", log], more].concat());
        publisher.says("following ");
        publisher
    }

    fn with_state(&self, hub: &Hub) -> Running {
        let state = self.path("state");
        self.follow(hub, &["--from-start", "--state", state.to_str().unwrap()])
    }

    /// Waits for all lines, and that each is there once and in order.
    fn check(&self, hub: &Hub) {
        let want: Vec<String> = (0..self.written).map(|n| format!("line {n}")).collect();
        until("every line is stored", || {
            hub.stored("t").len() >= want.len()
        });
        std::thread::sleep(Duration::from_millis(300));
        let stored = hub.stored("t");
        let first = stored
            .iter()
            .zip(&want)
            .position(|(have, want)| have != want);
        assert!(
            stored == want,
            "{} stored, {} written, first difference at {first:?}",
            stored.len(),
            want.len()
        );
    }
}

fn rotate(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

#[test]
fn from_the_end_or_from_the_start() {
    let hub = Hub::in_memory();
    let mut scene = Scene::new();
    write(&scene.log, "old\n");
    let publisher = scene.follow(&hub, &[]);
    std::thread::sleep(Duration::from_millis(300));
    scene.lines(3);
    scene.check(&hub);
    assert_eq!(publisher.rest_within(3), 3);
    assert_eq!(publisher.stop(), 0);
    let again = hub.start(&[
        "pub",
        "all",
        "--from-start",
        "--follow",
        scene.log.to_str().unwrap(),
    ]);
    until("all lines", || hub.stored("all").len() == 4);
    again.signal(rustix::process::Signal::INT);
    again.says("4 events acknowledged");
}

#[test]
fn a_line_is_published_once_it_is_whole() {
    let hub = Hub::in_memory();
    let scene = Scene::new();
    let _publisher = scene.follow(&hub, &["--from-start"]);
    let mut file = File::create(&scene.log).unwrap();
    file.write_all(b"half a ").unwrap();
    std::thread::sleep(Duration::from_millis(400));
    assert!(hub.stored("t").is_empty());
    file.write_all(b"line\r\n").unwrap();
    until("the line", || hub.stored("t") == ["half a line"]);
}

#[test]
fn rotation_and_truncation() {
    let hub = Hub::in_memory();
    let mut scene = Scene::new();
    scene.lines(10);
    let publisher = scene.follow(&hub, &["--from-start"]);
    scene.check(&hub);
    // Renamed, with a writer that goes on for a while, and a new file.
    let mut old = OpenOptions::new().append(true).open(&scene.log).unwrap();
    rotate(&scene.log, &scene.path("app.log.1"));
    scene.lines_into(&mut old, 5);
    old.write_all(b"").unwrap();
    scene.lines(5);
    scene.check(&hub);
    // Twice in a row, faster than anybody looks.
    rotate(&scene.path("app.log.1"), &scene.path("app.log.2"));
    rotate(&scene.log, &scene.path("app.log.1"));
    scene.lines(5);
    rotate(&scene.path("app.log.2"), &scene.path("app.log.3"));
    rotate(&scene.path("app.log.1"), &scene.path("app.log.2"));
    rotate(&scene.log, &scene.path("app.log.1"));
    scene.lines(5);
    scene.check(&hub);
    // Copied and truncated.
    scene.lines(5);
    scene.check(&hub);
    std::fs::copy(&scene.log, scene.path("app.log.4")).unwrap();
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&scene.log)
        .unwrap();
    scene.lines(30);
    scene.check(&hub);
    let said = publisher.errors();
    assert!(
        said.contains("rotated") && said.contains("truncated"),
        "{said}"
    );
    // Removed, and made anew after a while.
    std::fs::remove_file(&scene.log).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    scene.lines(3);
    scene.check(&hub);
    assert_eq!(publisher.stop(), 0);
}

#[test]
fn each_line_once_over_restarts_of_the_publisher() {
    let hub = Hub::in_memory();
    let mut scene = Scene::new();
    for round in 0..12 {
        let publisher = scene.with_state(&hub);
        scene.lines(700);
        std::thread::sleep(Duration::from_millis(20 * round));
        publisher.kill();
        scene.lines(50);
    }
    let publisher = scene.with_state(&hub);
    scene.check(&hub);
    assert_eq!(publisher.stop(), 0);
}

#[test]
fn each_line_once_when_the_file_rotates_while_nobody_follows() {
    let hub = Hub::in_memory();
    let mut scene = Scene::new();
    scene.lines(10);
    let publisher = scene.with_state(&hub);
    scene.check(&hub);
    assert_eq!(publisher.stop(), 0);
    scene.lines(10);
    rotate(&scene.log, &scene.path("app.log.1"));
    std::thread::sleep(Duration::from_millis(20));
    scene.lines(10);
    rotate(&scene.path("app.log.1"), &scene.path("app.log.2"));
    rotate(&scene.log, &scene.path("app.log.1"));
    std::thread::sleep(Duration::from_millis(20));
    scene.lines(10);
    write(&scene.path("app.log.1.gz"), "not a log");
    write(&scene.path("app.log.bak"), "line 3\n");
    let publisher = scene.with_state(&hub);
    scene.check(&hub);
    assert_eq!(publisher.stop(), 0);
    // Copied and truncated meanwhile.
    scene.lines(10);
    std::fs::copy(&scene.log, scene.path("app.log.3")).unwrap();
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&scene.log)
        .unwrap();
    std::thread::sleep(Duration::from_millis(20));
    scene.lines(10);
    let publisher = scene.with_state(&hub);
    scene.check(&hub);
    assert_eq!(publisher.stop(), 0);
}

#[test]
fn each_line_once_over_crashes_of_the_hub() {
    let mut scene = Scene::new();
    let mut hub = Hub::on(&scene.path("data"));
    let mut publisher = scene.with_state(&hub);
    for round in 0..6_u64 {
        scene.lines(400);
        std::thread::sleep(Duration::from_millis(15 * round));
        if round % 2 == 0 {
            hub = hub.crash_and_restart(Duration::from_millis(100));
        } else {
            publisher.kill();
            hub = hub.crash_and_restart(Duration::from_millis(10));
            publisher = scene.with_state(&hub);
        }
        scene.lines(400);
    }
    scene.check(&hub);
    assert_eq!(publisher.stop(), 0);
}

#[test]
fn a_batch_that_is_no_longer_in_the_file_is_not_sent_again() {
    let hub = Hub::in_memory();
    let mut scene = Scene::new();
    scene.lines(3);
    let publisher = scene.with_state(&hub);
    scene.check(&hub);
    assert_eq!(publisher.stop(), 0);
    // As a run leaves it that ended before the answer to a batch came.
    let state = scene.path("state");
    let mut saved: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    let to = saved["offset"].as_u64().unwrap() + 100;
    saved["pending"] = serde_json::json!({"to": to, "key": "k"});
    write(&state, &saved.to_string());
    scene.lines(1);
    let publisher = scene.with_state(&hub);
    scene.check(&hub);
    scene.lines(20);
    scene.check(&hub);
    assert_eq!(publisher.stop(), 0);
}

#[test]
fn a_hub_that_is_not_there_is_waited_for() {
    let mut scene = Scene::new();
    let hub = Hub::on(&scene.path("data"));
    let (address, arguments) = (
        hub.address().to_owned(),
        vec![
            "--data-dir".to_owned(),
            scene.path("data").display().to_string(),
        ],
    );
    scene.lines(3);
    let mut command = hub.command(&[
        "pub",
        "t",
        "--from-start",
        "--follow",
        scene.log.to_str().unwrap(),
    ]);
    command.args(["--state", scene.path("state").to_str().unwrap()]);
    assert_eq!(hub.running.stop(), 0);
    let publisher = Running::start(command);
    let said = publisher.says("start one: ");
    assert!(
        said.contains("cannot reach the hub") && said.contains("trying again"),
        "{said}"
    );
    let hub = Hub::again(&address, &arguments);
    scene.check(&hub);
    assert_eq!(publisher.stop(), 0);
}

#[test]
fn a_line_that_no_hub_takes_is_left_out_and_said() {
    let hub = Hub::with(&["--memory", "--event-bytes-max", "20"]);
    let scene = Scene::new();
    write(
        &scene.log,
        &format!("1\n2\n{}\n3\n{}\n4\n", "x".repeat(30), "y".repeat(30)),
    );
    let publisher = scene.with_state(&hub);
    until("the others", || hub.stored("t") == ["1", "2", "3", "4"]);
    publisher.says("the line at byte 4 was refused and is left out");
    publisher.says("the line at byte 37 was refused and is left out");
    publisher.signal(rustix::process::Signal::TERM);
    publisher.says("4 events acknowledged, 2 left out");
}

#[test]
fn a_state_of_something_else_is_refused() {
    let hub = Hub::in_memory();
    let scene = Scene::new();
    write(&scene.log, "1\n");
    let publisher = scene.with_state(&hub);
    until("the line", || hub.stored("t").len() == 1);
    assert_eq!(publisher.stop(), 0);
    let state = scene.path("state");
    let follow = [
        "--follow",
        scene.log.to_str().unwrap(),
        "--state",
        state.to_str().unwrap(),
    ];
    let other = hub.run(&[&["pub", "other"], follow.as_slice()].concat());
    assert_eq!(other.code, 1);
    assert!(
        other
            .stderr
            .contains("this state is of a run that published"),
        "{other:?}"
    );
    write(&state, "junk");
    let junk = hub.run(&[&["pub", "t"], follow.as_slice()].concat());
    assert!(
        junk.code == 1 && junk.stderr.contains("no state of"),
        "{junk:?}"
    );
}
