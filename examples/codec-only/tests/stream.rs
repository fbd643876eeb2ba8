//! The program as it is run: its stream read by the codec's own decoder, from the start, after a cut, and when all is done.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tidewire_codec::{Decoder, ItemRef};

struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codec-only"));
        let mut child = command
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("open http://").unwrap();
        Self {
            address: address.trim_end_matches('/').to_owned(),
            child,
        }
    }

    fn ask(&self, path: &str, headers: &str) -> BufReader<TcpStream> {
        let mut client = TcpStream::connect(&self.address).unwrap();
        write!(
            client,
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            self.address
        )
        .unwrap();
        BufReader::new(client)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn head(client: &mut impl BufRead) -> String {
    let mut head = String::new();
    while client.read_line(&mut head).unwrap() > 2 {}
    head
}

/// Events until there are so many, or the stream ends: type and id.
fn events(client: &mut impl Read, count: usize) -> Vec<(String, u32)> {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    let mut piece = [0; 512];
    loop {
        while let Some(item) = decoder.next_item().unwrap() {
            let ItemRef::Event(event) = item else {
                continue;
            };
            let done: u32 = event.last_event_id.parse().unwrap();
            assert_eq!(event.data, format!("{{\"done\":{done},\"of\":100}}"));
            events.push((event.event_type.to_owned(), done));
            if events.len() == count {
                return events;
            }
        }
        match client.read(&mut piece).unwrap() {
            0 => return events,
            read => decoder.feed(&piece[..read]),
        }
    }
}

#[test]
fn a_reader_is_told_every_step_goes_on_after_a_cut_and_is_told_the_end() {
    let program = Program::start();
    let mut client = program.ask("/progress", "");
    assert!(head(&mut client).contains("Content-Type: text/event-stream\r\n"));
    let first = events(&mut client, 3);
    assert!(
        first.iter().is_sorted_by_key(|(_, done)| *done),
        "{first:?}"
    );
    drop(client);
    let seen = first[2].1;
    let mut client = program.ask("/progress", &format!("Last-Event-ID: {seen}\r\n"));
    head(&mut client);
    let rest = events(&mut client, usize::MAX);
    assert!(rest[0].1 > seen, "{seen} {rest:?}");
    assert!(rest.iter().is_sorted_by(|a, b| a.1 < b.1), "{rest:?}");
    let (last, progress) = rest.split_last().unwrap();
    assert_eq!(*last, ("done".to_owned(), 100));
    assert!(progress.iter().all(|(kind, _)| kind == "progress"));
    // Who comes back has seen it all; who comes new is told the end at once.
    let mut client = program.ask("/progress", "Last-Event-ID: 100\r\n");
    assert!(head(&mut client).starts_with("HTTP/1.1 204 "));
    let mut client = program.ask("/progress", "");
    head(&mut client);
    assert_eq!(events(&mut client, usize::MAX), [("done".to_owned(), 100)]);
}

#[test]
fn an_id_of_another_run_hides_nothing() {
    let program = Program::start();
    let mut client = program.ask("/progress", "last-event-id: 100\r\n");
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
    assert!(!events(&mut client, 1).is_empty());
    let mut page = String::new();
    program.ask("/", "").read_to_string(&mut page).unwrap();
    assert!(page.contains("new EventSource(\"/progress\")"), "{page}");
}
