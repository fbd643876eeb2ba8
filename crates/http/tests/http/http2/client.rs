//! A client by the h2 crate, which keeps to the protocol and reads no more than it is told to.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::server::{PATIENCE, Server};

pub(crate) struct Client {
    pub(crate) runtime: Runtime,
    sender: SendRequest<Bytes>,
    authority: String,
    /// How the connection ended.
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

/// How much the client lets the hub send.
pub(crate) struct Windows {
    pub(crate) stream: u32,
    pub(crate) connection: u32,
}

pub(crate) fn connect(server: &Server) -> Client {
    connect_with(
        server,
        &Windows {
            stream: 1 << 20,
            connection: 16 << 20,
        },
    )
}

pub(crate) fn connect_with(server: &Server, windows: &Windows) -> Client {
    let runtime = Runtime::new().unwrap();
    let mut builder = Builder::new();
    builder
        // h2 takes many small frames that are not read yet for an attack; here streams wait on purpose, and share small windows.
        .data_frame_budget(1 << 30)
        .initial_window_size(windows.stream)
        .initial_connection_window_size(windows.connection);
    let (sender, connection) = runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        socket.set_nodelay(true).unwrap();
        builder.handshake(socket).await.unwrap()
    });
    Client {
        connection: runtime.spawn(connection),
        runtime,
        sender,
        authority: server.address.to_string(),
    }
}

/// What nothing here takes as long as.
pub(crate) async fn patiently<T>(what: &str, act: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, act)
        .await
        .unwrap_or_else(|_| panic!("{what} takes too long"))
}

impl Client {
    pub(crate) fn request(&self, method: Method, target: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{target}", self.authority))
    }

    /// Sends a request with its body to come.
    pub(crate) fn begin(&mut self, request: Request<()>) -> (Answer, SendStream<Bytes>) {
        let ready = patiently("a free stream", self.sender.clone().ready());
        let mut sender = self.runtime.block_on(ready).unwrap();
        let (answer, body) = sender.send_request(request, false).unwrap();
        (Answer(answer), body)
    }

    pub(crate) fn ask(&mut self, request: Request<()>) -> Response<RecvStream> {
        let (answer, mut body) = self.begin(request);
        // Fails where the answer was faster.
        let _ = body.send_data(Bytes::new(), true);
        self.wait_for(answer).unwrap()
    }

    pub(crate) fn wait_for(&self, answer: Answer) -> Result<Response<RecvStream>, h2::Error> {
        self.runtime.block_on(patiently("an answer", answer.0))
    }

    pub(crate) fn get(&mut self, target: &str) -> Response<RecvStream> {
        let request = self.request(Method::GET, target).body(()).unwrap();
        self.ask(request)
    }

    /// Subscribes, and reads the comment that comes at once.
    pub(crate) fn subscribe(&mut self, target: &str) -> RecvStream {
        let answer = self.get(target);
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        assert_eq!(self.read_until(&mut body, ":\n"), ":\n");
        body
    }

    /// Publishes, and gives status and answer.
    pub(crate) fn post(&mut self, target: &str, data: &[u8]) -> (u16, String) {
        let request = self.request(Method::POST, target).body(()).unwrap();
        let (answer, mut body) = self.begin(request);
        body.send_data(Bytes::copy_from_slice(data), true).unwrap();
        let answer = self.wait_for(answer).unwrap();
        let status = answer.status().as_u16();
        (status, self.read_to_end(&mut answer.into_body()))
    }

    /// Reads until the text ends so.
    pub(crate) fn read_until(&self, body: &mut RecvStream, last: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(last) {
            match self.piece(body) {
                Some(Ok(piece)) => text += &piece,
                other => panic!("{other:?} before {last:?}: {text:?}"),
            }
        }
        text
    }

    pub(crate) fn read_to_end(&self, body: &mut RecvStream) -> String {
        let (text, end) = self.read_all(body);
        assert_eq!(end, None, "after {text:?}");
        text
    }

    /// Reads to the end, and says with what it was reset, if it was.
    pub(crate) fn read_all(&self, body: &mut RecvStream) -> (String, Option<Reason>) {
        let mut text = String::new();
        loop {
            match self.piece(body) {
                Some(Ok(piece)) => text += &piece,
                Some(Err(error)) => return (text, error.reason()),
                None => return (text, None),
            }
        }
    }

    pub(crate) fn piece(&self, body: &mut RecvStream) -> Option<Result<String, h2::Error>> {
        let data = patiently("data", body.data());
        self.runtime.block_on(data).map(|data| {
            let data = data?;
            body.flow_control().release_capacity(data.len()).unwrap();
            Ok(String::from_utf8(data.into()).unwrap())
        })
    }

    /// Waits until something holds.
    pub(crate) fn await_that(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        self.runtime.block_on(patiently(what, wait));
    }
}

/// An answer to come.
pub(crate) struct Answer(h2::client::ResponseFuture);
