//! A little HTTP server beside the hub: what it is asked is written down, and what it answers a test may change at any time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// For a reply that nobody waits for: whoever did would fail by [`crate::server::PATIENCE`].
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: String,
    body: Vec<u8>,
    after: Duration,
    /// The connection ends without an answer.
    is_gone: bool,
    /// Without a length, in chunks.
    is_chunked: bool,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            headers: String::new(),
            body: body.into().into_bytes(),
            after: Duration::ZERO,
            is_gone: false,
            is_chunked: false,
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::ok("")
        }
    }

    pub(crate) fn gone() -> Self {
        Self {
            is_gone: true,
            ..Self::ok("")
        }
    }

    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers += &format!("{line}\r\n");
        self
    }

    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub(crate) fn chunked(self) -> Self {
        Self {
            is_chunked: true,
            ..self
        }
    }
}

type Answering = Arc<Mutex<Arc<dyn Fn(&Asked) -> Reply + Send + Sync>>>;

pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    answering: Answering,
}

impl Backend {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let backend = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            answering: Arc::new(Mutex::new(Arc::new(answer))),
        };
        let (asked, answering) = (backend.asked.clone(), backend.answering.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (asked, answering) = (asked.clone(), answering.clone());
                std::thread::spawn(move || serve(socket, &asked, &answering));
            }
        });
        backend
    }

    /// Answers otherwise from now on.
    pub(crate) fn answer(&self, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.answering.lock().unwrap() = Arc::new(answer);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All that was asked until now.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often this path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked()
            .iter()
            .filter(|asked| asked.path == path)
            .count()
    }
}

fn serve(mut socket: TcpStream, asked: &Mutex<Vec<Asked>>, answering: &Answering) {
    let mut unread = Vec::new();
    while let Some(one) = read(&mut socket, &mut unread) {
        asked.lock().unwrap().push(one.clone());
        let answer = answering.lock().unwrap().clone();
        let reply = answer(&one);
        std::thread::sleep(reply.after);
        if reply.is_gone || write(&mut socket, &reply).is_err() {
            return;
        }
    }
}

fn write(socket: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    let mut bytes = format!("HTTP/1.1 {} Answer\r\n{}", reply.status, reply.headers).into_bytes();
    if reply.is_chunked {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in reply.body.chunks(1024) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    } else {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", reply.body.len()).as_bytes());
        bytes.extend_from_slice(&reply.body);
    }
    socket.write_all(&bytes)
}

fn read(socket: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Asked> {
    let end = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let head_bytes = loop {
        match end(unread) {
            Some(at) => break at + 4,
            None => more(socket, unread)?,
        }
    };
    let head = String::from_utf8_lossy(&unread[..head_bytes]).into_owned();
    let length = super::server::header(&head, "content-length");
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while unread.len() < head_bytes + length {
        more(socket, unread)?;
    }
    let body = String::from_utf8_lossy(&unread[head_bytes..head_bytes + length]).into_owned();
    unread.drain(..head_bytes + length);
    Some(Asked {
        path: head.split(' ').nth(1)?.to_owned(),
        head,
        body,
    })
}

fn more(socket: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    match socket.read(&mut piece) {
        Ok(count) if count > 0 => {
            unread.extend_from_slice(&piece[..count]);
            Some(())
        }
        _ => None,
    }
}
