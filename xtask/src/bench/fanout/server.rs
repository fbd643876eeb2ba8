//! A server under measurement: its processes, what to ask it, and its end. Whatever happens, [`Running`] stops what it
//! started, and nothing else.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::process;

/// How long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(20);
/// How long a server may take to end when asked, before it is killed.
const END_MAX: Duration = Duration::from_secs(4);

/// Which cores a server gets: one, or both with the client beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    One,
    Two,
}

impl Cores {
    fn list(self) -> &'static str {
        match self {
            Self::One => "0",
            Self::Two => "0,1",
        }
    }
}

/// What a case asks of a server besides serving.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) cores: Cores,
    pub(crate) topics: u32,
    /// Events a topic must remember, where the server asks to be told.
    pub(crate) history_events: u32,
    /// Flags for our own hub.
    pub(crate) ours: Vec<String>,
}

/// How to ask a server: templates with `{topic}` and `{data}`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints {
    pub(crate) subscribe_url: String,
    pub(crate) publish_url: String,
    /// `{data}` alone where there is nothing around it.
    pub(crate) publish_body: String,
    pub(crate) publish_type: Option<String>,
    pub(crate) publish_headers: Vec<String>,
}

impl Endpoints {
    /// `/topics/{topic}`, published to by the plain body: ours, and all that are written for this comparison.
    pub(crate) fn plain(base: &str) -> Self {
        Self {
            subscribe_url: format!("{base}/topics/{{topic}}"),
            publish_url: format!("{base}/topics/{{topic}}"),
            publish_body: "{data}".into(),
            ..Self::default()
        }
    }
}

/// Processes that serve. Dropped, they end.
pub(crate) struct Running {
    children: Vec<Child>,
    /// How many of them, the first ones, do not count.
    helpers: usize,
    /// Kept open: a server that logs to a closed pipe would end.
    outputs: Vec<Box<dyn BufRead>>,
    /// Processes to measure that are not our own children (nginx's worker).
    descendants: Vec<u32>,
    pub(crate) endpoints: Endpoints,
    /// Where this start's files are; emptied at the end.
    folder: PathBuf,
}

impl Running {
    /// A fresh folder and no process yet.
    pub(crate) fn prepare(name: &str) -> Result<Self, String> {
        let folder = process::target_dir().join(format!("bench/{name}-{}", std::process::id()));
        let fail = |error| format!("{}: {error}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(fail)?;
        }
        fs::create_dir_all(&folder).map_err(fail)?;
        Ok(Self {
            children: Vec::new(),
            helpers: 0,
            outputs: Vec::new(),
            descendants: Vec::new(),
            endpoints: Endpoints::default(),
            folder,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Starts a process on these cores; its stderr goes to a file.
    pub(crate) fn spawn(
        &mut self,
        cores: Cores,
        program: &Path,
        arguments: &[&str],
    ) -> Result<(), String> {
        let log = self.folder.join(format!("stderr-{}", self.children.len()));
        let log = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = process::command("taskset");
        command
            .args(["-c", cores.list()])
            .arg(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = start(&mut command)?;
        if let Some(output) = child.stdout.take() {
            self.outputs.push(Box::new(BufReader::new(output)));
        }
        self.children.push(child);
        Ok(())
    }

    /// The address in the line `listening http://…` of the process started last.
    pub(crate) fn listening(&mut self) -> Result<String, String> {
        let mut line = String::new();
        if let Some(output) = self.outputs.last_mut() {
            output
                .read_line(&mut line)
                .map_err(|error| error.to_string())?;
        }
        match line.trim().strip_prefix("listening ") {
            Some(base) => Ok(base.to_owned()),
            None => Err(format!("said `{}`; {}", line.trim(), self.complaints())),
        }
    }

    /// Waits until something accepts on this port.
    pub(crate) fn wait_for_port(&mut self, port: u16) -> Result<(), String> {
        let since = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = self
                .children
                .iter_mut()
                .any(|child| matches!(child.try_wait(), Ok(Some(_))));
            if ended || since.elapsed() > START_MAX {
                return Err(format!(
                    "nobody listens on port {port}; {}",
                    self.complaints()
                ));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until the process started last has this many children: a port may be open before its worker runs.
    pub(crate) fn wait_for_descendants(&mut self, count: usize) -> Result<(), String> {
        let since = Instant::now();
        loop {
            self.find_descendants();
            if self.descendants.len() >= count {
                return Ok(());
            }
            if since.elapsed() > START_MAX {
                return Err(format!(
                    "has {} children, not {count}; {}",
                    self.descendants.len(),
                    self.complaints()
                ));
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Looks for the children of our children again: they are measured and ended as well.
    fn find_descendants(&mut self) {
        let mut found: Vec<u32> = self.children.iter().map(Child::id).collect();
        let own = found.len();
        let mut next = 0;
        while let Some(&pid) = found.get(next) {
            next += 1;
            let path = format!("/proc/{pid}/task/{pid}/children");
            let text = fs::read_to_string(path).unwrap_or_default();
            found.extend(
                text.split_whitespace()
                    .filter_map(|word| word.parse::<u32>().ok()),
            );
        }
        self.descendants = found.split_off(own);
    }

    /// What was started so far only helps: its time and memory do not count.
    pub(crate) fn count_from_here(&mut self) {
        self.helpers = self.children.len();
    }

    /// The processes whose time and memory count.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let children = self.children[self.helpers..].iter().map(Child::id);
        children.chain(self.descendants.iter().copied()).collect()
    }

    /// What the processes said on stderr, shortened.
    fn complaints(&self) -> String {
        let mut said = String::new();
        for index in 0..self.children.len() {
            let path = self.folder.join(format!("stderr-{index}"));
            said += &fs::read_to_string(path).unwrap_or_default();
        }
        let from = said.len().saturating_sub(600);
        said.get(from..).unwrap_or(&said).to_owned()
    }

    fn all_ended(&mut self) -> bool {
        let children = self
            .children
            .iter_mut()
            .all(|child| !matches!(child.try_wait(), Ok(None)));
        children && self.descendants.iter().all(|pid| !is_alive(*pid))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.find_descendants();
        for pid in self.children.iter().rev().map(Child::id) {
            signal(pid, Signal::TERM);
        }
        let since = Instant::now();
        while !self.all_ended() && since.elapsed() < END_MAX {
            sleep(Duration::from_millis(10));
        }
        for child in &mut self.children {
            // Refused when it has ended: nothing to do then.
            let _ = child.kill();
            let _ = child.wait();
        }
        for pid in self.descendants.iter().filter(|pid| is_alive(**pid)) {
            signal(*pid, Signal::KILL);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn start(command: &mut Command) -> Result<Child, String> {
    command
        .spawn()
        .map_err(|error| format!("{command:?} did not start: {error}"))
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Refused when it has ended: nothing to do then.
        let _ = kill_process(pid, signal);
    }
}

fn is_alive(pid: u32) -> bool {
    let mut stat = String::new();
    let read =
        File::open(format!("/proc/{pid}/stat")).and_then(|mut f| f.read_to_string(&mut stat));
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next());
    read.is_ok() && state != Some('Z')
}

/// A port that nobody has at the moment, for servers that cannot choose one.
pub(crate) fn free_port() -> Result<u16, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}
