//! Plain requests without hyper: a small publish or a subscribe that came whole, over HTTP/1.1.
//!
//! A hub lives by these two, and hyper with the router's futures around it cost as much as all that is done for a publish.
//! What a request means is decided by the very functions that the router calls. Anything unusual is hyper's: the connection
//! goes to it with every byte that is not answered, and stays there.
//!
//! ```text
//! bytes -> a plain request -> the door -> publish   -> answer in one write -> bytes
//!       |                              -> subscribe -> the stream below is left to a shard
//!       +> unusual: hyper
//! ```
//!
//! Not here: HTTP/2, HTTP/1.0, chunked bodies, pages, batches, files: whatever [`head`] does not know.

mod answer;
mod head;
mod hold;

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker, ready};

use axum::response::Response;
use http::header::{CONNECTION, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::access_log::{Entry, Running};
use crate::front::Front;
use crate::peer::Peer;
use crate::publish::{self, Begun};
use crate::takeover::Adoption;
use crate::{router, signed, stream};
use answer::Ready;
use head::{Head, Plain, Wants};
use hold::Holding;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 16 << 10;
/// In how many pieces a plain request may come. It is looked at from its start each time, so one that trickles in is hyper's.
const PIECES_MAX: usize = 8;

thread_local! {
    /// What is read lands here, so that a connection that waits needs no memory for it.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Heads of answers that are given over and over.
#[derive(Default)]
pub(crate) struct ReadyHeads {
    published: OnceLock<Ready>,
}

/// How it ended with a connection.
pub(crate) enum End<S> {
    /// It is over: the stream below may be dropped.
    Closed,
    /// A request subscribed: the stream below is left to whoever serves streams.
    Subscribed(S, Box<Adoption>),
    /// What came is not plain. These bytes are not answered yet.
    Unusual(S, Vec<u8>),
}

/// Serves plain requests until something else comes.
pub(crate) async fn serve<S>(front: &Front, socket: S, peer: Peer) -> End<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection {
        front,
        socket,
        peer,
        unread: Vec::new(),
        holding: Holding::default(),
    };
    let mut patience = Patience {
        front,
        late: pin!(sleep_until(Instant::now() + front.limits().head_time_max)),
        drained: pin!(front.drained()),
        since: Instant::now(),
        told: None,
    };
    loop {
        patience.since = Instant::now();
        match connection.request(&mut patience).await {
            Came::Plain(plain) => match connection.answer(*plain).await {
                Next::Request => {}
                Next::End => return End::Closed,
                Next::Stream(adoption) => return End::Subscribed(connection.socket, adoption),
            },
            Came::Unusual => return End::Unusual(connection.socket, connection.unread),
            Came::Nothing => return End::Closed,
        }
    }
}

/// What a connection's client sent.
enum Came {
    Plain(Box<Plain>),
    Unusual,
    /// It has gone, or says nothing, or the hub ends.
    Nothing,
}

/// What comes after an answer.
enum Next {
    Request,
    End,
    Stream(Box<Adoption>),
}

struct Connection<'a, S> {
    front: &'a Front,
    socket: S,
    peer: Peer,
    /// What was read and is no part of a request that was answered. Mostly empty, and then without memory.
    unread: Vec<u8>,
    holding: Holding,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    /// Waits for a request.
    async fn request<D: Future<Output = ()>>(&mut self, patience: &mut Patience<'_, D>) -> Came {
        let front = self.front;
        let mut pieces = 0;
        // A publish of which the head was here before the hub began to end is answered, if its body comes in time.
        let mut begun = false;
        let mut head = self.take(&[]);
        poll_fn(|cx| {
            self.holding.turn_begins();
            loop {
                match std::mem::replace(&mut head, Head::Unusual) {
                    Head::Whole(mut plain) => {
                        if begun {
                            plain.parts.extensions.insert(Begun);
                        }
                        return Poll::Ready(Came::Plain(plain));
                    }
                    Head::Partial { .. } if pieces == PIECES_MAX => {
                        return Poll::Ready(Came::Unusual);
                    }
                    Head::Unusual => return Poll::Ready(Came::Unusual),
                    waiting => head = waiting,
                }
                begun |= matches!(head, Head::Partial { of_body: true }) && !front.is_draining();
                match self.poll_read(cx) {
                    Poll::Ready(Some(read)) => head = read,
                    // What it answers to a request that breaks off is hyper's to know.
                    Poll::Ready(None) if self.unread.is_empty() => {
                        return Poll::Ready(Came::Nothing);
                    }
                    Poll::Ready(None) => return Poll::Ready(Came::Unusual),
                    Poll::Pending => {
                        self.holding.turn_ends(cx);
                        ready!(patience.poll_over(cx, begun));
                        // Of a publisher that stalls, hyper knows how long.
                        return Poll::Ready(match head {
                            Head::Partial { of_body: true } => Came::Unusual,
                            _ => Came::Nothing,
                        });
                    }
                }
                pieces += 1;
            }
        })
        .await
    }

    /// Reads once; `None` if nothing will come any more.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Head>> {
        READ.with_borrow_mut(|read| {
            let mut read = ReadBuf::new(read);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => Poll::Ready(Some(self.take(read.filled()))),
                _ => Poll::Ready(None),
            }
        })
    }

    /// Takes the next request out of what is unread and what has come.
    fn take(&mut self, read: &[u8]) -> Head {
        if self.unread.is_empty() {
            // Nearly always it is one request, neither more nor less: then nothing of it is kept.
            let head = head::read(read, self.front.place().path());
            self.unread.extend_from_slice(&read[head.bytes()..]);
            return head;
        }
        self.unread.extend_from_slice(read);
        let head = head::read(&self.unread, self.front.place().path());
        self.unread.drain(..head.bytes());
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        head
    }

    async fn answer(&mut self, mut plain: Plain) -> Next {
        let front = self.front;
        let running = self.note(&mut plain.parts);
        let parts = &plain.parts;
        let response = match router::enter(front, parts) {
            Err(refused) => refused,
            Ok(()) => match plain.wants {
                Wants::Subscribe(path) => match stream::adopt(front, path, parts).await {
                    Ok(adoption) => return Next::Stream(Box::new(adoption)),
                    Err(response) => response,
                },
                Wants::Publish(path) => match self
                    .holding
                    .publish(publish::one(front, path, parts, plain.body))
                    .await
                {
                    Ok(id) if !parts.headers.contains_key(ORIGIN) && !front.is_draining() => {
                        return self.answer_id(parts, &id, running).await;
                    }
                    Ok(id) => publish::answer_id(id),
                    Err(response) => response,
                },
            },
        };
        self.respond(parts, response, running).await
    }

    /// Notes a request for the access log, and whose it is if that matters. Else nothing of it is kept: a request's extensions are memory
    /// of their own.
    fn note(&self, request: &mut Parts) -> Running {
        let is_logged = self.front.settings().access_log.is_some();
        let is_asked = self.front.needs_addresses() || signed::may_be_signed(self.front, request);
        if !is_logged && !is_asked {
            return Running::new(None);
        }
        request.extensions.insert(self.peer);
        self.front.settings().trusted_proxies.settle(request);
        Running::new(Entry::of(self.front, request))
    }

    /// The answer to a publish that no page sent, of which all but the id is always the same.
    async fn answer_id(&mut self, request: &Parts, id: &str, running: Running) -> Next {
        let front = self.front;
        let ready = front.ready_heads().published.get_or_init(|| {
            let mut response = publish::answer_id(String::new());
            router::leave(front, request, &mut response);
            Ready::new(response.headers())
        });
        let bytes = ready.encode(id.as_bytes(), front.now_ms());
        let next = self.write(&bytes).await;
        running.answered(StatusCode::OK, id.len());
        next
    }

    async fn respond(&mut self, request: &Parts, mut response: Response, running: Running) -> Next {
        router::leave(self.front, request, &mut response);
        if self.front.is_draining() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        let (mut head, body) = response.into_parts();
        // What is answered here lies in memory: nothing is waited for, and nothing fails.
        let body = body.collect().await.unwrap_or_default().to_bytes();
        answer::set_length(&mut head.headers, body.len());
        let bytes = answer::encode(head.status, &head.headers, &body, self.front.now_ms());
        let next = self.write(&bytes).await;
        running.answered(head.status, body.len());
        match next {
            Next::Request if head.headers.contains_key(CONNECTION) => {
                let _ = self.socket.shutdown().await;
                Next::End
            }
            next => next,
        }
    }

    /// In one write, as a rule.
    async fn write(&mut self, bytes: &[u8]) -> Next {
        // A client that takes it at once needs no timer.
        let mut once = |cx: &mut Context<'_>| Pin::new(&mut self.socket).poll_write(cx, bytes);
        let taken = match poll_fn(|cx| Poll::Ready(once(cx))).await {
            Poll::Ready(Ok(taken)) => taken,
            Poll::Ready(Err(_)) => return Next::End,
            Poll::Pending => 0,
        };
        if taken == bytes.len() {
            return Next::Request;
        }
        self.holding.release();
        let rest = async {
            self.socket.write_all(&bytes[taken..]).await?;
            self.socket.flush().await
        };
        match timeout(self.front.limits().publish_stall_max, rest).await {
            Ok(Ok(())) => Next::Request,
            _ => Next::End,
        }
    }
}

/// How long a client may say nothing, and whether the hub goes on.
struct Patience<'a, D> {
    front: &'a Front,
    /// From when on nothing has come. The timer is set again when it is due, not at each request.
    since: Instant,
    late: Pin<&'a mut Sleep>,
    drained: Pin<&'a mut D>,
    /// Whom both of them wake.
    told: Option<Waker>,
}

impl<D: Future<Output = ()>> Patience<'_, D> {
    /// Ready when nothing is to be waited for any more. The hub's end does not end what has begun.
    fn poll_over(&mut self, cx: &mut Context<'_>, begun: bool) -> Poll<()> {
        if !begun && self.front.is_draining() {
            return Poll::Ready(());
        }
        let is_told = |told: &Waker| told.will_wake(cx.waker());
        if self.told.as_ref().is_some_and(is_told) && !self.late.is_elapsed() {
            return Poll::Pending;
        }
        if !begun && self.drained.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while self.late.as_mut().poll(cx).is_ready() {
            let until = self.since + self.front.limits().head_time_max;
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            self.late.as_mut().reset(until);
        }
        self.told = (!begun).then(|| cx.waker().clone());
        Poll::Pending
    }
}
