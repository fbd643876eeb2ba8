//! The floor over real sockets: what a subscriber gets for publishes that come pipelined.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

type Anything = Box<dyn std::error::Error>;

struct Floor {
    process: Child,
    address: String,
}

impl Floor {
    fn start(frames_per_write: &str) -> Result<Self, Anything> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_bench-floor"))
            .args(["--frames-per-write", frames_per_write])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line
            .trim()
            .trim_start_matches("listening http://")
            .to_owned();
        Ok(Self { process, address })
    }

    fn send(&self, bytes: &[u8]) -> Result<TcpStream, Anything> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(bytes)?;
        Ok(stream)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads until the text holds this many of these words.
fn read_until(stream: &mut TcpStream, words: &str, count: usize) -> Result<String, Anything> {
    let (mut read, mut buffer) = (String::new(), [0; 4096]);
    while read.matches(words).count() < count {
        let bytes = stream.read(&mut buffer)?;
        if bytes == 0 {
            return Err(format!("ended after {read}").into());
        }
        read += std::str::from_utf8(&buffer[..bytes])?;
    }
    Ok(read)
}

#[test]
fn pipelined_publishes_reach_each_subscriber_of_the_topic() -> Result<(), Anything> {
    for frames_per_write in ["1", "2", "10"] {
        let floor = Floor::start(frames_per_write)?;
        let mut subscribers = Vec::new();
        for topic in ["a", "a", "b"] {
            let request = format!("GET /topics/{topic} HTTP/1.1\r\nHost: x\r\n\r\n");
            let mut subscriber = floor.send(request.as_bytes())?;
            read_until(&mut subscriber, "\r\n\r\n", 1)?;
            subscribers.push(subscriber);
        }
        let post = |topic: &str, data: &str| {
            format!(
                "POST /topics/{topic} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{data}",
                data.len()
            )
        };
        let pipelined =
            post("a", "one") + &post("b", "other") + &post("a", "two") + &post("a", "three");
        let mut publisher = floor.send(pipelined.as_bytes())?;
        read_until(&mut publisher, "200 OK", 4)?;
        // A subscriber that has gone does not stop the others.
        drop(subscribers.remove(0));
        for (subscriber, expected) in subscribers
            .iter_mut()
            .zip([&["one", "two", "three"][..], &["other"]])
        {
            let text = read_until(subscriber, "data: ", expected.len())?;
            let found: Vec<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .collect();
            assert_eq!(found, expected, "{frames_per_write} frames a write");
        }
    }
    Ok(())
}
