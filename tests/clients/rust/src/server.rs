//! A server that misbehaves as it is told: connection by connection, exactly these bytes. Not here: what is asked of a client.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;

/// What a connection is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Sent one by one, with a pause after each but the last. `{here}` and `{there}` stand for the URLs of the two servers.
    pub chunks: Vec<Vec<u8>>,
    /// Then the connection is held until the client drops it; otherwise it is closed.
    pub hold: bool,
}

/// What a server has seen.
#[derive(Clone, Debug)]
pub enum Note {
    Request(Request),
    /// A held connection was dropped by the client.
    Dropped,
}

#[derive(Clone)]
pub struct Request {
    /// It reached the second server.
    pub is_there: bool,
    /// The head, as it came.
    pub head: Vec<u8>,
    pub body: String,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.is_there { "there" } else { "here" };
        let head = String::from_utf8_lossy(&self.head);
        write!(f, "{place}: {head:?} {:?}", self.body)
    }
}

impl Request {
    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.head.split(|byte| *byte == b'\n').skip(1);
        lines
            .filter_map(|line| {
                let colon = line.iter().position(|byte| *byte == b':')?;
                let is_it = line[..colon].eq_ignore_ascii_case(name.as_bytes());
                is_it.then(|| line[colon + 1..].trim_ascii())
            })
            .collect()
    }

    pub fn method(&self) -> &str {
        let end = self.head.iter().position(|byte| *byte == b' ');
        str::from_utf8(&self.head[..end.unwrap_or(0)]).unwrap_or("")
    }
}

/// Both servers; their tasks end with `notes`.
pub async fn start(
    here: Vec<Reply>,
    there: Vec<Reply>,
    notes: &UnboundedSender<Note>,
) -> std::io::Result<String> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0").await?,
        TcpListener::bind("127.0.0.1:0").await?,
    ];
    let urls = [url(&listeners[0])?, url(&listeners[1])?];
    let here_url = urls[0].clone();
    for (number, (listener, replies)) in listeners.into_iter().zip([here, there]).enumerate() {
        let (urls, notes) = (urls.clone(), notes.clone());
        tokio::spawn(async move {
            // What is asked beyond the script is taken note of and left without an answer.
            let rest = std::iter::repeat(Reply {
                chunks: Vec::new(),
                hold: true,
            });
            for reply in replies.into_iter().chain(rest) {
                let Ok((socket, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(serve(
                    socket,
                    reply,
                    urls.clone(),
                    number == 1,
                    notes.clone(),
                ));
            }
        });
    }
    Ok(here_url)
}

fn url(listener: &TcpListener) -> std::io::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

async fn serve(
    mut socket: TcpStream,
    reply: Reply,
    urls: [String; 2],
    is_there: bool,
    notes: UnboundedSender<Note>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let mut request = Request {
        is_there,
        head,
        body: String::new(),
    };
    let len = request.header("content-length").first().copied();
    let len = len.and_then(|len| str::from_utf8(len).ok()?.parse().ok());
    let mut body = vec![0; len.unwrap_or(0)];
    socket.read_exact(&mut body).await.ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    notes.send(Note::Request(request)).ok()?;
    let last = reply.chunks.len().saturating_sub(1);
    for (number, chunk) in reply.chunks.into_iter().enumerate() {
        socket.write_all(&filled(chunk, &urls)).await.ok()?;
        if number < last {
            // So that they do not come in one read; nothing hangs on it.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    if reply.hold {
        let _ = socket.read_to_end(&mut Vec::new()).await;
        notes.send(Note::Dropped).ok()?;
    } else {
        // Read what may still come, or the close would be a reset that takes the answer along.
        socket.shutdown().await.ok()?;
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
    Some(())
}

fn filled(chunk: Vec<u8>, urls: &[String; 2]) -> Vec<u8> {
    match str::from_utf8(&chunk) {
        Ok(text) if text.contains("{here}") || text.contains("{there}") => text
            .replace("{here}", &urls[0])
            .replace("{there}", &urls[1])
            .into_bytes(),
        _ => chunk,
    }
}
