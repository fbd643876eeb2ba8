//! `tidewire bench` against a server that loses, swaps, repeats or spoils events: each fault is noticed, and nothing else is.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What the server does to the tenth event of each subscriber.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Lose,
    Swap,
    Repeat,
    Spoil,
}

/// A server of one topic, with a thread a connection.
fn serve(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let subscribers: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    std::thread::spawn(move || {
        let mut seen = 0;
        let held = Arc::new(Mutex::new((0_u64, Vec::<u8>::new())));
        for stream in listener.incoming().map_while(Result::ok) {
            seen += 1;
            let (subscribers, held) = (Arc::clone(&subscribers), Arc::clone(&held));
            let _ = std::thread::Builder::new()
                .name(format!("connection-{seen}"))
                .spawn(move || answer(stream, fault, &subscribers, &held));
        }
    });
    url
}

fn answer(
    stream: TcpStream,
    fault: Fault,
    subscribers: &Mutex<Vec<TcpStream>>,
    held: &Mutex<(u64, Vec<u8>)>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        if head.starts_with("GET") {
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
            writer.write_all(answer.as_bytes()).unwrap();
            subscribers
                .lock()
                .unwrap()
                .push(writer.try_clone().unwrap());
            continue;
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let mut data = vec![0; length.unwrap().parse().unwrap()];
        reader.read_exact(&mut data).unwrap();
        let mut held = held.lock().unwrap();
        held.0 += 1;
        let frame = |data: &[u8]| [b"data: ", data, b"\n\n"].concat();
        let frames = match (fault, held.0) {
            (Fault::Lose, 10) => Vec::new(),
            (Fault::Repeat, 10) => [frame(&data), frame(&data)].concat(),
            (Fault::Spoil, 10) => frame(&[&data[..100], &data[101..]].concat()),
            (Fault::Swap, 10) => {
                held.1 = frame(&data);
                Vec::new()
            }
            _ => [frame(&data), std::mem::take(&mut held.1)].concat(),
        };
        for subscriber in subscribers.lock().unwrap().iter_mut() {
            let _ = subscriber.write_all(&frames);
        }
        let _ = writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}

fn bench(url: &str, more: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidewire"))
        .args([
            "bench",
            "fanout",
            "--url",
            url,
            "--subscribers",
            "3",
            "--rate",
            "50",
        ])
        .args([
            "--duration",
            "1s",
            "--warmup",
            "0s",
            "--settle",
            "200ms",
            "--patience",
            "1s",
            "--json",
        ])
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout);
    (
        output.status.code().unwrap_or(-1),
        report.unwrap_or_else(|_| panic!("{said}")),
    )
}

#[test]
fn every_fault_of_a_server_is_noticed() {
    for (fault, expected) in [
        (Fault::None, [0, 0, 0, 0]),
        (Fault::Lose, [3, 0, 0, 0]),
        (Fault::Swap, [0, 3, 0, 0]),
        (Fault::Repeat, [0, 0, 3, 0]),
        // What is spoilt is lost besides.
        (Fault::Spoil, [3, 0, 0, 3]),
    ] {
        let (code, report) = bench(&serve(fault), &[]);
        let found = ["lost", "out_of_order", "duplicates", "damaged"]
            .map(|name| report[name].as_u64().unwrap());
        assert_eq!(found, expected, "{fault:?}: {report}");
        assert_eq!(code, i32::from(expected != [0; 4]), "{fault:?}");
        assert!(report["checked"].as_u64().unwrap() > 100, "{report}");
    }
}

#[test]
fn loss_may_be_allowed() {
    let (code, report) = bench(&serve(Fault::Lose), &["--allow-loss"]);
    assert_eq!((code, report["lost"].as_u64()), (0, Some(3)));
}
