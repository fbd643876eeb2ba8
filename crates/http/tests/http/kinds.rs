//! Streams on every kind of connection, to a hub with keys whose clock runs.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use tidewire_auth::{Algorithm, Anonymous, Claims, Key, mint};
use tidewire_http::Settings;
use tower::Service;

use crate::http2::client;
use crate::publishing::use_keys;
use crate::server::{Answer, Client, PATIENCE, Server, request, start_with};
use crate::tls;

pub(crate) const SECRET: &[u8] = crate::publishing::SECRET;

/// When every hub's clock begins, in milliseconds since 1970.
pub(crate) const BEGIN_MS: u64 = 1_000_000_000_000;

/// What steps a stream, and writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A shard's thread.
    Shard,
    /// A task over a plain socket, as where there are no such threads.
    Solo,
    Tls,
    Http2,
    /// Whoever polls the answer's body.
    Pull,
}

pub(crate) const KINDS: [Kind; 5] = [Kind::Shard, Kind::Solo, Kind::Tls, Kind::Http2, Kind::Pull];

/// A hub with keys; nothing but what a test does happens to its streams.
pub(crate) fn hub(kind: Kind, change: impl FnOnce(&mut Settings)) -> Server {
    let keyed = |settings: &mut Settings| {
        use_keys(settings, Anonymous::None);
        let begun = Instant::now();
        settings.clock = Arc::new(move || BEGIN_MS + begun.elapsed().as_millis() as u64);
        settings.streams.heartbeat_ms = 0;
        if kind == Kind::Solo {
            settings.shards = 0;
        }
        change(settings);
    };
    match kind {
        Kind::Tls => tls::start_tls(keyed),
        _ => start_with(keyed),
    }
}

pub(crate) fn claims(publish: &[&str], subscribe: &[&str]) -> Claims {
    let strings = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    Claims {
        publish: strings(publish),
        subscribe: strings(subscribe),
        ..Claims::default()
    }
}

pub(crate) fn signed(claims: &Claims) -> String {
    mint(claims, &Key::hmac(SECRET, Algorithm::Hs256).unwrap()).unwrap()
}

/// A token of somebody's, good for so long from the clock's beginning; in whole seconds, as tokens are.
pub(crate) fn token_of(subject: &str, private: &[&str], for_ms: u64) -> String {
    signed(&Claims {
        subject: Some(subject.to_owned()),
        expires_ms: Some(BEGIN_MS + for_ms),
        ..claims(&[], private)
    })
}

/// One request with a token, and its answer, whatever the hub speaks.
pub(crate) fn ask(server: &Server, line: &str, token: &str, body: &str) -> Answer {
    let lines = match body {
        "" => "",
        _ => "\r\nContent-Type: application/json",
    };
    send(server, line, lines, token, body)
}

/// One request for a form of the answer.
pub(crate) fn ask_for(server: &Server, line: &str, token: &str, accept: &str) -> Answer {
    send(server, line, &format!("\r\nAccept: {accept}"), token, "")
}

fn send(server: &Server, line: &str, lines: &str, token: &str, body: &str) -> Answer {
    let token = match token {
        "" => String::new(),
        token => format!("\r\nAuthorization: Bearer {token}"),
    };
    let text = request(
        &format!("{line} HTTP/1.1\r\nHost: localhost{lines}{token}"),
        body,
    );
    if server.front.settings().tls.is_some() {
        let mut client = tls::connect(server);
        client.send(&text);
        return client.answer();
    }
    let mut client = server.connect();
    client.send(&text);
    client.answer()
}

/// What came next; `None` at the end.
type More = Box<dyn FnMut() -> Option<String>>;

/// A running stream.
pub(crate) struct Stream {
    more: More,
    text: String,
}

impl Stream {
    /// `token` may be none.
    pub(crate) fn open(server: &Server, kind: Kind, target: &str, token: &str) -> Self {
        let more: More = match kind {
            Kind::Shard | Kind::Solo => http1(server.connect(), target, token),
            Kind::Tls => http1(tls::connect(server), target, token),
            Kind::Http2 => http2(server, target, token),
            Kind::Pull => pull(server, target, token),
        };
        Self {
            more,
            text: String::new(),
        }
    }

    /// Everything up to and including `last`.
    pub(crate) fn until(&mut self, last: &str) -> String {
        loop {
            if let Some(at) = self.text.find(last) {
                let rest = self.text.split_off(at + last.len());
                return std::mem::replace(&mut self.text, rest);
            }
            match (self.more)() {
                Some(more) => self.text += &more,
                None => panic!("ended before {last:?}: {:?}", self.text),
            }
        }
    }

    /// The opening; the stream's id.
    pub(crate) fn id(&mut self) -> String {
        let opening = self.until("\"}\n\n");
        let (_, rest) = opening.split_once("{\"stream\":\"").expect("an opening");
        rest.trim_end_matches("\"}\n\n").to_owned()
    }

    pub(crate) fn rest(mut self) -> String {
        while let Some(more) = (self.more)() {
            self.text += &more;
        }
        self.text
    }
}

fn http1<S: std::io::Read + std::io::Write + 'static>(
    mut client: Client<S>,
    target: &str,
    token: &str,
) -> More {
    let token = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    client.send(&format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\n{token}\r\n"
    ));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}{}", {
        let length = crate::server::header(&head, "content-length");
        length.map_or_else(String::new, |length| {
            client.exactly(length.parse().unwrap())
        })
    });
    Box::new(move || client.chunk())
}

fn http2(server: &Server, target: &str, token: &str) -> More {
    let mut client = client::connect(server);
    let mut request = client.request(Method::GET, target);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = client.ask(request.body(()).unwrap());
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    Box::new(move || client.piece(&mut body).map(Result::unwrap))
}

fn pull(server: &Server, target: &str, token: &str) -> More {
    let runtime = server.runtime.handle().clone();
    let mut router = tidewire_http::router(server.front.clone());
    let mut request = Request::get(target).header("host", "localhost");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).unwrap();
    let answer = runtime.block_on(router.call(request)).unwrap();
    assert_eq!(answer.status(), 200);
    // Polled all the time, as a server does.
    let (sender, pieces) = std::sync::mpsc::channel();
    let mut body = answer.into_body();
    runtime.spawn(async move {
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            if sender
                .send(String::from_utf8(data.into()).unwrap())
                .is_err()
            {
                break;
            }
        }
    });
    Box::new(move || match pieces.recv_timeout(PATIENCE) {
        Ok(piece) => Some(piece),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
        Err(error) => panic!("{error}"),
    })
}
