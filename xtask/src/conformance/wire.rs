//! HTTP/1.1 as bytes: a request is written as it is given, an answer is read by its framing alone. Not a client for anything
//! else: no redirects, no retries, no reuse.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The longest head and the longest body that are read.
const HEAD_BYTES_MAX: usize = 256 << 10;
const BODY_BYTES_MAX: usize = 16 << 20;

/// Where a hub listens.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// `host:port`, as it stands in `Host`.
    pub(super) authority: String,
    pub(super) connect: String,
    pub(super) tls: Option<super::tls::Trust>,
}

/// A connection, plain or TLS.
pub(super) trait Pipe: Read + Write + Send {
    fn wait_at_most(&self, time: Duration) -> std::io::Result<()>;
}

impl Pipe for TcpStream {
    fn wait_at_most(&self, time: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

/// A connection and what was read of it and not yet used.
pub(super) struct Connection {
    pipe: Box<dyn Pipe>,
    unread: Vec<u8>,
    has_ended: bool,
}

/// A request, word by word.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
}

/// How the end of a body is known (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length(usize),
    Chunked,
    Close,
}

/// A body that is being read.
pub(super) struct Body {
    connection: Connection,
    framing: Framing,
    /// Of the chunk or the whole length, what is still to come.
    left: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Ended as its framing says.
    Ended,
    /// The connection ended before that.
    Broken,
}

impl Head {
    /// The values of a header, joined as RFC 9110, section 5.3, allows.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(one, _)| one.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

impl Connection {
    pub(super) fn open(address: &Address, patience: Duration) -> Result<Self, String> {
        let fail = |error: std::io::Error| format!("{}: {error}", address.connect);
        let stream = TcpStream::connect(&address.connect).map_err(fail)?;
        stream.set_nodelay(true).map_err(fail)?;
        stream.set_read_timeout(Some(patience)).map_err(fail)?;
        stream.set_write_timeout(Some(patience)).map_err(fail)?;
        let pipe: Box<dyn Pipe> = match &address.tls {
            None => Box::new(stream),
            Some(trust) => trust.connect(stream)?,
        };
        Ok(Self {
            pipe,
            unread: Vec::new(),
            has_ended: false,
        })
    }

    pub(super) fn send(&mut self, request: &Request) -> Result<(), String> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.target).into_bytes();
        for (name, value) in &request.headers {
            bytes.extend(name.as_bytes());
            bytes.extend(b": ");
            bytes.extend(value.as_bytes());
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(&request.body);
        match self.pipe.write_all(&bytes).and_then(|()| self.pipe.flush()) {
            // A refusal may come, and the connection be closed, before all of a large body was taken.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                Ok(())
            }
            done => done.map_err(|error| format!("the request could not be sent: {error}")),
        }
    }

    /// Reads more; `false` at the end.
    fn fill(&mut self, deadline: Instant) -> Result<bool, String> {
        if self.has_ended {
            return Ok(false);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("nothing more came in time".into());
        }
        self.pipe
            .wait_at_most(left)
            .map_err(|error| error.to_string())?;
        let mut buffer = [0; 16 << 10];
        match self.pipe.read(&mut buffer) {
            Ok(0) => self.has_ended = true,
            Ok(count) => self.unread.extend(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err("nothing more came in time".into());
            }
            Err(_) => self.has_ended = true,
        }
        Ok(!self.has_ended)
    }

    pub(super) fn head(&mut self, deadline: Instant) -> Result<Head, String> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                let head = parse_head(&head[..end])?;
                if (100..200).contains(&head.status) {
                    continue;
                }
                return Ok(head);
            }
            if self.unread.len() > HEAD_BYTES_MAX {
                return Err("the answer's head does not end".into());
            }
            if !self
                .fill(deadline)
                .map_err(|why| format!("no answer: {why}"))?
            {
                return Err("the connection was closed without an answer".into());
            }
        }
    }

    /// The answer's body. `method` is the request's: HEAD has none whatever the head says.
    pub(super) fn body(self, method: &str, head: &Head) -> Body {
        let framing = framing(method, head);
        Body {
            connection: self,
            framing,
            left: match framing {
                Framing::Length(length) => length,
                _ => 0,
            },
            state: match framing {
                Framing::None | Framing::Length(0) => State::Ended,
                _ => State::Open,
            },
        }
    }
}

impl Body {
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Some more bytes of the body; nothing at its end.
    pub(super) fn some(&mut self, deadline: Instant) -> Result<Vec<u8>, String> {
        loop {
            if self.state != State::Open {
                return Ok(Vec::new());
            }
            let bytes = self.take()?;
            if !bytes.is_empty() || self.state != State::Open {
                return Ok(bytes);
            }
            if !self.connection.fill(deadline)? && self.connection.unread.is_empty() {
                self.state = match self.framing {
                    Framing::Close => State::Ended,
                    _ => State::Broken,
                };
            }
        }
    }

    /// The rest of the body.
    pub(super) fn all(&mut self, deadline: Instant) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        while self.state == State::Open {
            all.extend(self.some(deadline)?);
            if all.len() > BODY_BYTES_MAX {
                return Err("the answer's body does not end".into());
            }
        }
        match self.state {
            State::Broken => Err("the connection ended before the answer's body".into()),
            _ => Ok(all),
        }
    }

    /// What has arrived and belongs to the body.
    fn take(&mut self) -> Result<Vec<u8>, String> {
        let unread = &mut self.connection.unread;
        match self.framing {
            Framing::None => Ok(Vec::new()),
            Framing::Close => Ok(std::mem::take(unread)),
            Framing::Length(_) => {
                let count = unread.len().min(self.left);
                self.left -= count;
                if self.left == 0 {
                    self.state = State::Ended;
                }
                Ok(unread.drain(..count).collect())
            }
            Framing::Chunked => self.take_chunks(),
        }
    }

    /// RFC 9112, section 7.1.
    fn take_chunks(&mut self) -> Result<Vec<u8>, String> {
        let unread = &mut self.connection.unread;
        let mut out = Vec::new();
        loop {
            if self.left > 2 {
                let count = unread.len().min(self.left - 2);
                out.extend(unread.drain(..count));
                self.left -= count;
            }
            if self.left > 2 || (self.left > 0 && unread.len() < 2) {
                return Ok(out);
            }
            if self.left > 0 {
                if !unread.starts_with(b"\r\n") {
                    return Err("a chunk does not end with CR LF".into());
                }
                unread.drain(..2);
                self.left = 0;
            }
            let Some(end) = find(unread, b"\r\n") else {
                return Ok(out);
            };
            let line = String::from_utf8_lossy(&unread[..end]).into_owned();
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| format!("{line:?} is no chunk size"))?;
            if size == 0 {
                // Trailers are never sent to us; the last line may still be on its way.
                unread.clear();
                self.state = State::Ended;
                return Ok(out);
            }
            unread.drain(..end + 2);
            self.left = size + 2;
        }
    }

    /// After an answer without a body: the connection, for one more request.
    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }
}

fn framing(method: &str, head: &Head) -> Framing {
    if method == "HEAD" || matches!(head.status, 204 | 304) {
        return Framing::None;
    }
    let chunked = head
        .header("transfer-encoding")
        .is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"));
    if chunked {
        return Framing::Chunked;
    }
    match head.header("content-length").map(|value| value.parse()) {
        Some(Ok(length)) => Framing::Length(length),
        _ => Framing::Close,
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| format!("{first:?} is no status line of HTTP/1.1"))?;
    let headers = lines
        .map(|line| {
            line.split_once(':')
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .ok_or_else(|| format!("{line:?} is no header"))
        })
        .collect::<Result<_, _>>()?;
    Ok(Head { status, headers })
}

pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
