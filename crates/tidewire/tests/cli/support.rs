//! The real binary, as a test runs it: hubs on free ports, commands, folders that vanish.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a test waits for something that should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary, with an environment that holds no setting.
pub(crate) fn tidewire() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
    let settings = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        let is_proxy = name.to_lowercase().ends_with("_proxy");
        is_proxy || name.starts_with("TIDEWIRE_") || name.starts_with("MERCURE_")
    });
    settings.for_each(|(name, _)| {
        command.env_remove(name);
    });
    command
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }
}

pub(crate) fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, b"")
}

/// Runs a command with this standard input.
pub(crate) fn run_with(arguments: &[&str], stdin: &[u8]) -> Ran {
    let mut command = tidewire();
    command.args(arguments);
    finish(command, stdin)
}

pub(crate) fn finish(mut command: Command, stdin: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = input.write_all(&bytes);
    });
    // One that should end but does not is ended, and then has no exit code that a test wants.
    let pid = rustix::process::Pid::from_child(&child);
    let (done, waited) = channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if waited.recv_timeout(PATIENCE * 2) == Err(RecvTimeoutError::Timeout) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watchdog.join().unwrap();
    writer.join().unwrap();
    Ran::of(output)
}

/// Runs a line through sh, as if it had been pasted.
pub(crate) fn paste(line: &str, folder: &Path) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder);
    finish(command, b"")
}

/// A program that runs beside the test, and ends with it.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines(child.stdout.take().unwrap());
        let errors = lines_of_errors(child.stderr.take().unwrap());
        Self {
            child,
            lines,
            errors,
        }
    }

    /// The next line of standard output.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(why) => panic!("no line: {why}; errors: {:?}", self.errors()),
        }
    }

    pub(crate) fn line_within(&self, wait: Duration) -> Option<String> {
        self.lines.recv_timeout(wait).ok()
    }

    /// Every line of standard output until it closes.
    pub(crate) fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.lines.recv_timeout(PATIENCE).ok()).collect()
    }

    /// How many of so many lines of standard output come.
    pub(crate) fn rest_within(&self, count: usize) -> usize {
        (0..count).map_while(|_| self.line_within(PATIENCE)).count()
    }

    /// What standard error has said so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.try_iter().collect::<Vec<_>>().join("\n")
    }

    /// Waits until standard error says something.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        while let Ok(line) = self
            .errors
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            all.push(line);
            if all.last().unwrap().contains(words) {
                return all.join("\n");
            }
        }
        panic!("{words:?} was not said, but {all:#?}");
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// Asks it to end, and says how it did.
    #[track_caller]
    pub(crate) fn stop(mut self) -> i32 {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "it does not end: {}", self.errors());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it without asking.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn lines_of_errors(source: impl Read + Send + 'static) -> Receiver<String> {
    lines(source)
}

/// A hub on a free port.
pub(crate) struct Hub {
    pub(crate) running: Running,
    pub(crate) url: String,
    arguments: Vec<String>,
}

impl Hub {
    pub(crate) fn in_memory() -> Self {
        Self::with(&["--memory"])
    }

    pub(crate) fn on(folder: &Path) -> Self {
        Self::with(&["--data-dir", folder.to_str().unwrap()])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::listen("127.0.0.1:0", arguments)
    }

    fn listen(address: &str, arguments: &[&str]) -> Self {
        let mut command = tidewire();
        command.args(["serve", "--listen", address]).args(arguments);
        Self::of(command, arguments)
    }

    /// The hub of a line for a shell, which listens on a port of its own choice.
    pub(crate) fn of_line(line: &str, folder: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(folder);
        Self::of(command, &[])
    }

    fn of(command: Command, arguments: &[&str]) -> Self {
        let running = Running::start(command);
        let line = running.line();
        let url = line.strip_prefix("listening ").expect(&line).to_owned();
        Self {
            running,
            url,
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
        }
    }

    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// The same hub once more, on the same port.
    pub(crate) fn again(address: &str, arguments: &[String]) -> Self {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Self::listen(address, &arguments)
    }

    /// Ends without warning and starts again.
    pub(crate) fn crash_and_restart(self, pause: Duration) -> Self {
        let (address, arguments) = (self.address().to_owned(), self.arguments.clone());
        self.running.kill();
        std::thread::sleep(pause);
        Self::again(&address, &arguments)
    }

    /// Ends in order and starts again.
    pub(crate) fn restart(self) -> Self {
        let (address, arguments) = (self.address().to_owned(), self.arguments.clone());
        assert_eq!(self.running.stop(), 0);
        Self::again(&address, &arguments)
    }

    /// A client command for this hub.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tidewire();
        command
            .arg(arguments[0])
            .args(["--url", &self.url])
            .args(&arguments[1..]);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments), b"")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], stdin: &[u8]) -> Ran {
        finish(self.command(arguments), stdin)
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    /// The data of every event of a topic, oldest first.
    pub(crate) fn stored(&self, topic: &str) -> Vec<String> {
        let mut all = Vec::new();
        let mut cursor = "since=earliest".to_owned();
        loop {
            let page = self.json(&format!("/topics/{topic}?{cursor}"));
            let events = page["events"]
                .as_array()
                .unwrap_or_else(|| panic!("{page}"))
                .clone();
            if events.is_empty() {
                return all;
            }
            all.extend(
                events
                    .iter()
                    .map(|event| event["data"].as_str().unwrap().to_owned()),
            );
            let last = page["next"].as_str().unwrap_or_else(|| panic!("{page}"));
            cursor = format!("last_event_id={}", last.trim_start_matches('#'));
        }
    }

    /// One page of JSON.
    pub(crate) fn json(&self, target: &str) -> Value {
        let answer = http(
            self.address(),
            &format!("GET {target} HTTP/1.1\r\nAccept: application/json\r\n"),
            "",
        );
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// One request over a connection of its own. The head lacks its end.
#[track_caller]
pub(crate) fn http(address: &str, head: &str, body: &str) -> Answer {
    try_http(address, head, body).unwrap()
}

pub(crate) fn try_http(address: &str, head: &str, body: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{head}Host: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or(0);
    let is_chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    Ok(Answer {
        status,
        body: if is_chunked {
            dechunk(body)
        } else {
            body.to_owned()
        },
    })
}

fn dechunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}

/// A folder of a test's own.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn write(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).unwrap();
    path.to_owned()
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what} does not come true");
        std::thread::sleep(Duration::from_millis(20));
    }
}
