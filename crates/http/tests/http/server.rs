//! A hub to try, and a client that shows every byte.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidewire_core::Topic;
use tidewire_http::{Access, Front, Settings};
use tidewire_log::{Event, Log, MemoryConfig, MemoryLog, Retention};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Longer than anything takes here, so that a test that fails does so.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until something holds; a test in which it never does fails.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running hub; epoch 5, so that its first event is `#5-1`.
pub(crate) struct Server {
    pub(crate) front: Front,
    pub(crate) address: SocketAddr,
    pub(crate) runtime: Runtime,
    shutdown: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

pub(crate) fn start() -> Server {
    start_with(|_| {})
}

/// A keyless hub, changed as the test wants it.
pub(crate) fn start_with(change: impl FnOnce(&mut Settings)) -> Server {
    start_on(memory_log(Retention::default()), change)
}

pub(crate) fn memory_log(retention: Retention) -> Arc<dyn Log> {
    Arc::new(MemoryLog::new(MemoryConfig {
        epoch: tidewire_core::Epoch(5),
        retention,
        ..MemoryConfig::default()
    }))
}

pub(crate) fn start_on(log: Arc<dyn Log>, change: impl FnOnce(&mut Settings)) -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut settings = Settings::default();
    settings.access = Access::keyless();
    settings.shards = 1;
    // The tests name reasons; what strangers are told is in `limits`.
    settings.debug_refusals = true;
    settings.drain = Duration::from_secs(5);
    change(&mut settings);
    let front = Front::new(log, settings).unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, told) = oneshot::channel::<()>();
    let served = {
        let front = front.clone();
        runtime.spawn(async move {
            tidewire_http::serve(&front, vec![listener], async {
                let _ = told.await;
            })
            .await;
        })
    };
    Server {
        front,
        address,
        runtime,
        shutdown: Some(shutdown),
        served: Some(served),
    }
}

impl Server {
    pub(crate) fn connect(&self) -> Client {
        Client::new(self.socket())
    }

    pub(crate) fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }

    /// Puts an event into the log, past HTTP.
    pub(crate) fn publish(&self, topic: &str, data: &str) {
        self.publish_event(Event::new(Topic::parse(topic).unwrap(), data, 1_000));
    }

    /// As [`Server::publish`], inside a runtime.
    pub(crate) async fn publish_later(&self, topic: &str, data: &str) {
        let event = Event::new(Topic::parse(topic).unwrap(), data, 1_000);
        self.front.append(vec![event]).await.unwrap();
    }

    pub(crate) fn publish_event(&self, event: Event) {
        self.runtime
            .block_on(self.front.append(vec![event]))
            .unwrap();
    }

    /// One request on a connection of its own, and its whole answer.
    pub(crate) fn ask(&self, head: &str, body: &str) -> Answer {
        let mut client = self.connect();
        client.send(&request(head, body));
        client.answer()
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: localhost"), "")
    }

    /// A subscribe, read up to and including `last`; the body with its chunks taken away.
    pub(crate) fn stream(&self, target: &str, lines: &str, last: &str) -> (String, String) {
        let mut client = self.connect();
        client.send(&format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
        ));
        let head = client.head();
        (head, client.chunks_until(last))
    }

    /// The value of a metric, by its name with labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.front.metrics();
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} is not in\n{page}"))
            .trim()
            .parse()
            .unwrap()
    }

    /// Tells it to end, as a signal would.
    pub(crate) fn begin_shutdown(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    pub(crate) fn wait_for_end(&mut self) {
        let served = self.served.take().unwrap();
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, served).await })
            .expect("it ends in time")
            .unwrap();
    }
}

/// A request with its Content-Length.
pub(crate) fn request(head: &str, body: &str) -> String {
    let mut text = format!("{head}\r\n");
    if !body.is_empty() {
        let _ = write!(text, "Content-Length: {}\r\n", body.len());
    }
    text + "\r\n" + body
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header; the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// The value of a header in a head; the name in lower case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(have, _)| have.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// A client on a socket, or on what is above one.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) socket: S,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.socket.write_all(bytes.as_bytes()).unwrap();
    }

    /// Reads more; false at the end.
    fn more(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        match self.socket.read(&mut piece) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                true
            }
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.buffer)),
        }
    }

    fn take_through(&mut self, last: &[u8]) -> Option<String> {
        let at = self
            .buffer
            .windows(last.len())
            .position(|window| window == last)?;
        let rest = self.buffer.split_off(at + last.len());
        Some(String::from_utf8(std::mem::replace(&mut self.buffer, rest)).unwrap())
    }

    /// Everything up to and including `last`, as it came.
    pub(crate) fn raw_until(&mut self, last: &str) -> String {
        loop {
            if let Some(text) = self.take_through(last.as_bytes()) {
                return text;
            }
            assert!(
                self.more(),
                "ended before {last:?}: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// Everything to the end.
    pub(crate) fn raw_to_end(&mut self) -> String {
        while self.more() {}
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }

    pub(crate) fn head(&mut self) -> String {
        self.raw_until("\r\n\r\n")
    }

    pub(crate) fn exactly(&mut self, count: usize) -> String {
        while self.buffer.len() < count {
            assert!(self.more(), "ended early");
        }
        let rest = self.buffer.split_off(count);
        String::from_utf8(std::mem::replace(&mut self.buffer, rest)).unwrap()
    }

    /// One chunk's content; `None` for the last one.
    pub(crate) fn chunk(&mut self) -> Option<String> {
        let size = self.raw_until("\r\n");
        let size = usize::from_str_radix(size.trim_end(), 16)
            .unwrap_or_else(|_| panic!("{size:?} is no chunk head"));
        let content = self.exactly(size);
        assert_eq!(self.exactly(2), "\r\n");
        (size > 0).then_some(content)
    }

    /// Contents of chunks up to one that ends with `last`.
    pub(crate) fn chunks_until(&mut self, last: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(last) {
            match self.chunk() {
                Some(content) => text += &content,
                None => panic!("ended before {last:?}: {text:?}"),
            }
        }
        text
    }

    /// Contents of chunks to the last one.
    pub(crate) fn chunks_to_end(&mut self) -> String {
        let mut text = String::new();
        while let Some(content) = self.chunk() {
            text += &content;
        }
        text
    }

    /// A whole answer that is not a stream.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = match header(&head, "content-length") {
            Some(length) => self.exactly(length.parse().unwrap()),
            None if header(&head, "transfer-encoding").is_some() => self.chunks_to_end(),
            None => String::new(),
        };
        Answer { status, head, body }
    }
}

/// A text with the one part between two marks replaced by `...`, for what is random.
pub(crate) fn masked(text: &str, from: &str, to: &str) -> String {
    let Some((before, rest)) = text.split_once(from) else {
        return text.to_owned();
    };
    let (_, after) = rest.split_once(to).unwrap();
    format!("{before}{from}...{to}{after}")
}
