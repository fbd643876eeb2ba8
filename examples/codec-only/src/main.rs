//! One event stream by hand: how far a long job is, told to whoever opens the page. The codec writes the frames; the rest is the standard
//! library, a thread a connection. `cargo run -p codec-only [ADDRESS]`.
//!
//! The id of an event is how much was done, so a page that was cut goes on from there, or is told at once what it missed. Once the job is
//! done the stream says so and ends; who comes back is answered 204, which ends an EventSource for good.
//!
//! Not here: many topics, a log, logins. That is what the hub is for.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tidewire_codec::{EventId, EventType, Fields, encode_comment, encode_event};

/// Silence after which a comment shows that the connection is there, to both ends and to proxies between.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client may take for its request, and to take what is written.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest request head that is read, in bytes.
const HEAD_BYTES_MAX: u64 = 16 << 10;
/// The parts of the job.
const PARTS: u32 = 100;

const PAGE: &str = include_str!("page.html");
const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
                           X-Accel-Buffering: no\r\nConnection: close\r\n\r\n";
const NO_MORE: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8000"))?;
    say(&format!("open http://{}/", listener.local_addr()?));
    let job = Arc::new(Job::default());
    let working = Arc::clone(&job);
    thread::spawn(move || work(&working));
    for client in listener.incoming() {
        let job = Arc::clone(&job);
        // A client that went away is nobody's trouble but its own.
        thread::spawn(move || client.and_then(|client| serve(client, &job)));
    }
    Ok(())
}

/// The job itself: something that takes a while.
fn work(job: &Job) {
    for _ in 0..PARTS {
        thread::sleep(Duration::from_millis(50));
        job.advance();
    }
}

/// How far it is.
#[derive(Default)]
struct Job {
    done: Mutex<u32>,
    advanced: Condvar,
}

impl Job {
    fn advance(&self) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.advanced.notify_all();
    }

    fn done(&self) -> u32 {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until more is done than was seen; `None` if that takes long.
    fn after(&self, seen: Option<u32>) -> Option<u32> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let no_more = |done: &mut u32| seen.is_some_and(|seen| *done <= seen);
        let waited = self.advanced.wait_timeout_while(done, HEARTBEAT, no_more);
        let (done, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        (!waited.timed_out()).then_some(*done)
    }
}

fn serve(mut client: TcpStream, job: &Job) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    client.set_nodelay(true)?;
    let request = Request::read(&client)?;
    // An id of another run of this program says nothing.
    let seen = request.seen.filter(|seen| *seen <= job.done());
    match request.path.as_str() {
        "/" => answer(&mut client, "200 OK", "text/html; charset=utf-8", PAGE),
        "/progress" if seen == Some(PARTS) => client.write_all(NO_MORE.as_bytes()),
        "/progress" => stream(&mut client, job, seen),
        _ => answer(&mut client, "404 Not Found", "text/plain", "no such page\n"),
    }
}

/// The stream: an event for each step, from where this client was.
fn stream(client: &mut TcpStream, job: &Job, mut seen: Option<u32>) -> io::Result<()> {
    client.write_all(STREAM_HEAD.as_bytes())?;
    let mut frame = Vec::new();
    while seen != Some(PARTS) {
        frame.clear();
        match job.after(seen) {
            Some(done) => {
                write_progress(&mut frame, done);
                seen = Some(done);
            }
            None => encode_comment(&mut frame, ""),
        }
        // One write a frame, so that no client sees half of one for long.
        client.write_all(&frame)?;
    }
    Ok(())
}

fn write_progress(frame: &mut Vec<u8>, done: u32) {
    let name = if done == PARTS { "done" } else { "progress" };
    let event_type = EventType::parse(name).expect("it has no line break");
    let id = EventId::parse(&done.to_string()).expect("a number is an id");
    let data = format!("{{\"done\":{done},\"of\":{PARTS}}}");
    let fields = Fields {
        event_type: Some(&event_type),
        id: Some(&id),
        data: Some(&data),
        ..Fields::default()
    };
    encode_event(frame, &fields);
}

/// What matters of a request.
struct Request {
    path: String,
    /// `Last-Event-ID`, if it is a number.
    seen: Option<u32>,
}

impl Request {
    fn read(client: &TcpStream) -> io::Result<Self> {
        let mut lines = BufReader::new(client.take(HEAD_BYTES_MAX)).lines();
        let first = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut seen = None;
        for line in lines {
            let line = line?;
            match line.split_once(':') {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("last-event-id") => {
                    seen = value.trim().parse().ok();
                }
                Some(_) => {}
            }
        }
        Ok(Self { path, seen })
    }
}

fn answer(client: &mut TcpStream, status: &str, media_type: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(format!("{head}{body}").as_bytes())
}

#[expect(clippy::print_stdout, reason = "a program may say where it is")]
fn say(line: &str) {
    println!("{line}");
}
