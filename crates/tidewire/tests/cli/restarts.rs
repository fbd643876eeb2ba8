//! Publishers and subscribers through restarts of the hub and of themselves.

use std::io::Write;
use std::time::Duration;

use crate::support::{Hub, folder, until};

#[test]
fn a_subscriber_goes_on_where_it_was() {
    let folder = folder();
    let hub = Hub::on(&folder.path().join("data"));
    let state = folder.path().join("state");
    let state = state.to_str().unwrap();
    let subscriber = hub.start(&["sub", "t", "--state", state]);
    until("a place before the first event", || {
        std::fs::metadata(state).is_ok()
    });
    hub.run(&["pub", "t", "1"]).ok();
    assert_eq!(subscriber.line(), "1");
    let hub = hub.restart();
    hub.run(&["pub", "t", "2"]).ok();
    assert_eq!(subscriber.line(), "2");
    let hub = hub.crash_and_restart(Duration::from_millis(300));
    hub.run(&["pub", "t", "3"]).ok();
    assert_eq!(subscriber.line(), "3");
    let said = subscriber.errors();
    assert!(!said.contains("gap"), "{said}");
    assert_eq!(subscriber.stop(), 0);
    hub.run(&["pub", "t", "4"]).ok();
    let subscriber = hub.start(&["sub", "t", "--state", state]);
    assert_eq!(subscriber.line(), "4");
    assert_eq!(subscriber.stop(), 0);
    // A place that is known goes before --since.
    let subscriber = hub.start(&["sub", "t", "--state", state, "--since", "earliest"]);
    hub.run(&["pub", "t", "5"]).ok();
    assert_eq!(subscriber.line(), "5");
}

#[test]
fn a_pipe_survives_a_restart_of_the_hub() {
    let folder = folder();
    let hub = Hub::on(&folder.path().join("data"));
    let mut publisher = hub.start(&["pub", "t"]);
    let mut input = publisher.child.stdin.take().unwrap();
    input.write_all(b"1\n").unwrap();
    publisher.line();
    let hub = hub.restart();
    input.write_all(b"2\n").unwrap();
    publisher.line();
    let (address, arguments) = (
        hub.address().to_owned(),
        vec![
            "--data-dir".to_owned(),
            folder.path().join("data").display().to_string(),
        ],
    );
    hub.running.kill();
    input.write_all(b"3\n4\n").unwrap();
    publisher.says("trying again");
    let hub = Hub::again(&address, &arguments);
    assert!(publisher.line().starts_with('#') && publisher.line().starts_with('#'));
    publisher.says("the hub answers again");
    drop(input);
    assert_eq!(publisher.wait(), 0);
    assert_eq!(hub.stored("t"), ["1", "2", "3", "4"]);
}

#[test]
fn lines_under_load_are_stored_once_through_crashes() {
    let folder = folder();
    let mut hub = Hub::on(&folder.path().join("data"));
    let mut publisher = hub.start(&["pub", "t"]);
    let mut input = publisher.child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        for n in 0..20_000 {
            input.write_all(format!("{n}\n").as_bytes()).unwrap();
            if n % 100 == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(300));
        hub = hub.crash_and_restart(Duration::from_millis(50));
    }
    writer.join().unwrap();
    assert_eq!(publisher.wait(), 0);
    assert_eq!(publisher.rest().len(), 20_000);
    let stored = hub.stored("t");
    let want: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
    assert!(stored == want, "{} stored", stored.len());
}
