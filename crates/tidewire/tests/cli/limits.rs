//! The file limit: streams beyond it get a refusal that heals, and publishing goes on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::support::{PATIENCE, Running, http, run, until};

struct Stream(TcpStream);

impl Stream {
    /// Subscribes as a browser would or as a program would; the status and what came with it.
    fn open(address: &str, is_browser: bool) -> (Self, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let agent = if is_browser {
            "User-Agent: Mozilla/5.0\r\nSec-Fetch-Mode: cors\r\n"
        } else {
            ""
        };
        let request = format!(
            "GET /topics/t HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{agent}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut bytes = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains("\r\n\r\n") {
            let read = stream.read(&mut bytes).unwrap();
            answer.extend_from_slice(&bytes[..read]);
            if read == 0 {
                break;
            }
        }
        (Self(stream), String::from_utf8_lossy(&answer).into_owned())
    }
}

#[test]
fn streams_beyond_the_file_limit_are_refused_and_heal() {
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_tidewire");
    // Of 256, 32 are the hub's own and 32 are for publishing and health; each core takes some more.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let limit = 256 + 3 * cores;
    command.args([
        "-c",
        &format!("ulimit -n {limit}; exec {program} serve --memory --listen 127.0.0.1:0"),
    ]);
    let hub = Running::start(command);
    let url = hub.line().trim_start_matches("listening ").to_owned();
    let address = url.trim_start_matches("http://").to_owned();
    hub.says(&format!(
        "up to 192, as the limit of {limit} open files allows"
    ));
    let mut streams: Vec<Stream> = Vec::new();
    let mut refusals = Vec::new();
    for n in 0..230 {
        let (stream, answer) = Stream::open(&address, n % 2 == 0);
        if answer.starts_with("HTTP/1.1 200") && !answer.contains("retry: ") {
            streams.push(stream);
        } else {
            refusals.push(answer);
        }
    }
    assert_eq!(streams.len(), 192);
    for answer in &refusals {
        let soft = answer.starts_with("HTTP/1.1 200") && answer.contains("retry: ");
        let hard = answer.starts_with("HTTP/1.1 503")
            && answer.to_ascii_lowercase().contains("retry-after:");
        assert!(soft || hard, "{answer}");
    }
    assert!(
        refusals
            .iter()
            .any(|answer| answer.starts_with("HTTP/1.1 200")),
        "a browser is refused softly"
    );
    // Publishing and health go on.
    run(&["pub", "t", "x", "--url", &url]).ok();
    assert_eq!(http(&address, "GET /readyz HTTP/1.1\r\n", "").status, 200);
    let mut got = [0; 4096];
    let read = streams[191].0.read(&mut got).unwrap();
    assert!(read > 0, "and those that are connected are served");
    // Every descriptor that is left is taken: connections that say nothing.
    let idle: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    drop(idle);
    streams.truncate(100);
    until("a refusal heals", || {
        Stream::open(&address, true).1.starts_with("HTTP/1.1 200")
    });
    let (_stream, answer) = Stream::open(&address, false);
    assert!(
        answer.starts_with("HTTP/1.1 200") && !answer.contains("retry: "),
        "{answer}"
    );
    run(&["pub", "t", "y", "--url", &url]).ok();
    assert_eq!(hub.stop(), 0);
}
