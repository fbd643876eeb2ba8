//! Which requests are plain: read whole, or not at all.
//!
//! A request is plain if it is one of the two that a hub lives by (a publish, a subscribe) and nothing about it needs a
//! decision: HTTP/1.1, a path of ours, a body of a length that is said once. Everything else is hyper's, with every byte of
//! it. What is plain is read by hyper's own parser (httparse) and its rules, so that the two never disagree about where a
//! request ends; a test compares them.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};

use crate::ask::Path;

/// The longest plain request, head and body, in bytes.
pub(super) const REQUEST_BYTES_MAX: usize = 64 << 10;
/// How many header lines a plain request has at most.
const HEADERS_MAX: usize = 48;

/// What bytes from a client are.
pub(super) enum Head {
    /// The beginning of what may become a plain request.
    Partial {
        /// The head is whole and its body is not.
        of_body: bool,
    },
    /// None of ours.
    Unusual,
    /// A plain request, with all of its body.
    Whole(Box<Plain>),
}

impl Head {
    /// How much of the bytes it was.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Whole(plain) => plain.bytes,
            Self::Partial { .. } | Self::Unusual => 0,
        }
    }
}

/// A plain request.
pub(super) struct Plain {
    pub(super) parts: Parts,
    pub(super) wants: Wants,
    pub(super) body: Vec<u8>,
    /// How many bytes all of it was.
    bytes: usize,
}

/// What it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// To publish one event: the body to the topic of the path, or a form.
    Publish(Path),
    /// To subscribe, for an endless answer.
    Subscribe(Path),
}

/// Looks at what has come of a connection to a hub at this path.
pub(super) fn read(bytes: &[u8], hub_path: &str) -> Head {
    if !begins_like_one(bytes) {
        return Head::Unusual;
    }
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(head_bytes)) => {
            whole(bytes, head_bytes, &request, hub_path).unwrap_or(Head::Unusual)
        }
        Ok(httparse::Status::Partial) if bytes.len() < REQUEST_BYTES_MAX => {
            Head::Partial { of_body: false }
        }
        _ => Head::Unusual,
    }
}

/// Spares the parser, and hands HTTP/2's preface over at its second byte.
fn begins_like_one(bytes: &[u8]) -> bool {
    [&b"POST /"[..], b"GET /"].iter().any(|start| {
        let both = start.len().min(bytes.len());
        bytes[..both] == start[..both]
    })
}

/// `None`: unusual.
fn whole(
    bytes: &[u8],
    head_bytes: usize,
    request: &httparse::Request<'_, '_>,
    hub_path: &str,
) -> Option<Head> {
    if request.version != Some(1) {
        return None;
    }
    let target = request.path?;
    let lines = Lines::read(request.headers)?;
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    let wants = lines.wants(request.method?, path, hub_path)?;
    let body_bytes = lines.content_length.unwrap_or(0);
    let end = head_bytes + body_bytes;
    if end > REQUEST_BYTES_MAX {
        return None;
    }
    let Some(body) = bytes.get(head_bytes..end) else {
        return Some(Head::Partial { of_body: true });
    };
    // One copy of the head, of which every part is a slice.
    let head = Bytes::copy_from_slice(&bytes[..head_bytes]);
    let part = |part: &[u8]| {
        let at = part.as_ptr() as usize - bytes.as_ptr() as usize;
        head.slice(at..at + part.len())
    };
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for line in request.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(part(line.value)).ok()?;
        headers.append(name, value);
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = match wants {
        Wants::Subscribe(_) => Method::GET,
        Wants::Publish(_) => Method::POST,
    };
    parts.uri = Uri::from_maybe_shared(part(target.as_bytes())).ok()?;
    parts.headers = headers;
    Some(Head::Whole(Box::new(Plain {
        parts,
        wants,
        body: body.to_vec(),
        bytes: end,
    })))
}

/// What of the header lines decides whether a request is plain.
#[derive(Default)]
struct Lines<'a> {
    content_length: Option<usize>,
    content_type: Option<&'a [u8]>,
    accept: Option<&'a [u8]>,
}

impl<'a> Lines<'a> {
    /// `None` if one of them asks for what only hyper does, or two say what one may.
    fn read(lines: &[httparse::Header<'a>]) -> Option<Self> {
        let mut read = Self::default();
        for line in lines {
            let (name, value) = (line.name, line.value);
            let is = |other: HeaderName| name.eq_ignore_ascii_case(other.as_str());
            if is(header::CONTENT_LENGTH) {
                once(&mut read.content_length, digits(value)?)?;
            } else if is(header::CONTENT_TYPE) {
                once(&mut read.content_type, value)?;
            } else if is(header::ACCEPT) {
                once(&mut read.accept, value)?;
            } else if is(header::CONNECTION) {
                if !value.eq_ignore_ascii_case(b"keep-alive") {
                    return None;
                }
            } else if is(header::TRANSFER_ENCODING)
                || is(header::EXPECT)
                || is(header::UPGRADE)
                || is(header::TE)
                || is(header::TRAILER)
            {
                return None;
            }
        }
        Some(read)
    }

    /// `None` if it is nothing plain.
    fn wants(&self, method: &str, path: &str, hub_path: &str) -> Option<Wants> {
        let is_topic = path
            .strip_prefix("/topics/")
            .is_some_and(|topic| !topic.is_empty());
        let path = match path {
            path if path == hub_path => Path::Mercure,
            _ if is_topic => Path::Topic,
            _ => return None,
        };
        match (method, path) {
            ("GET", path) => (self.content_length.is_none() && self.accepts_a_stream())
                .then_some(Wants::Subscribe(path)),
            ("POST", _) if self.content_length.is_none() => None,
            ("POST", Path::Mercure)
                if self.content_type != Some(b"application/x-www-form-urlencoded") =>
            {
                None
            }
            ("POST", path) => Some(Wants::Publish(path)),
            _ => None,
        }
    }

    /// A page may have to wait, and its client go away meanwhile: hyper watches for that.
    fn accepts_a_stream(&self) -> bool {
        matches!(
            self.accept,
            None | Some(b"*/*" | b"text/event-stream" | b"application/x-ndjson")
        )
    }
}

/// `None` if it was there before.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// RFC 9110, section 8.6: digits and nothing else. Longer than any plain body: unusual.
fn digits(value: &[u8]) -> Option<usize> {
    let plain = (1..=6).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    plain.then(|| {
        value
            .iter()
            .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http_body_util::{BodyExt, Empty};
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::place::HUB_PATH;

    /// What a reader makes of a request: all that anybody could come to differ about.
    type Seen = (Method, Uri, HeaderMap, Vec<u8>);

    fn plain(mut bytes: &[u8]) -> (Vec<Seen>, &'static str) {
        let mut seen = Vec::new();
        loop {
            match read(bytes, HUB_PATH) {
                Head::Whole(plain) => {
                    assert_eq!(plain.parts.version, http::Version::HTTP_11);
                    bytes = &bytes[plain.bytes..];
                    let parts = plain.parts;
                    seen.push((parts.method, parts.uri, parts.headers, plain.body));
                }
                Head::Unusual => return (seen, "unusual"),
                Head::Partial { of_body: true } => return (seen, "body"),
                Head::Partial { of_body: false } => return (seen, "head"),
            }
        }
    }

    async fn hyper(bytes: &[u8]) -> Vec<Seen> {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let noted = Arc::clone(&noted);
            async move {
                let (parts, body) = request.into_parts();
                if let Ok(body) = body.collect().await {
                    let body = body.to_bytes().to_vec();
                    let seen = (parts.method, parts.uri, parts.headers, body);
                    noted.lock().unwrap().push(seen);
                }
                Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
            }
        });
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let connection = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        let mut answers = Vec::new();
        let _ = tokio::join!(connection, client.read_to_end(&mut answers));
        std::mem::take(&mut *seen.lock().unwrap())
    }

    /// Whether a plain request ends where it ends for hyper, and says the same: also in bytes that were made to confuse.
    #[test]
    fn hyper_reads_what_is_plain_alike() {
        #[rustfmt::skip]
        let pieces: [&[&str]; 6] = [
            &["POST ", "POST ", "POST ", "GET ", "GET ", "PUT ", "post ", "POST  ", " POST "],
            &["/topics/a", "/topics/a", "/topics/a%20b?id=1", "/.well-known/mercure", "/topics/", "/topics/a?", "/topics/a#b", "*",
              "http://h/topics/a", "//topics/a", "/topics/\u{e9}", "/topics/a b"],
            &[" HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0", " HTTP/1.1 ", ""],
            &["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n\r\n"],
            &["Host: h", "host:h", "Content-Length: 3", "Content-Length: 3", "content-length:3 ", "Content-Length: 0", "Content-Length: 03",
              "Content-Length: +3", "Content-Length: 3, 3", "Content-Length: 3x", "Content-Length:", "Content-Length: 30",
              "Content-Length : 3", " Content-Length: 3", "X: y\r\n Content-Length: 3", "Transfer-Encoding: chunked", "transfer-encoding:identity",
              "Transfer-Encoding: xchunked", "Connection: keep-alive", "Connection: close", "Connection: upgrade", "Upgrade: h2c",
              "Expect: 100-continue", "TE: trailers", "Accept: text/event-stream", "Accept: application/json",
              "Content-Type: application/x-www-form-urlencoded", "X: \u{e9}", "X:", "X: a\tb", "X\u{b}: a", "Content-Length\t: 3", "X: a\0b", "X"],
            &["abc", "abc", "abcGET /topics/a HTTP/1.1\r\n", "", "ab", "0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "topic=a"],
        ];
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut state = 0_u64;
        let mut pick = |from: &[&'static str]| {
            // SplitMix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            from[usize::try_from((mixed ^ (mixed >> 31)) % from.len() as u64).unwrap()]
        };
        let tame = "POST /topics/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
        let (mut whole, mut following) = (0, 0);
        for _ in 0..20_000 {
            let mut text = String::new();
            while pick(&["more", "more", "enough"]) == "more" {
                if pick(&["tame", "wild"]) == "tame" {
                    text += tame;
                    continue;
                }
                for piece in &pieces[..4] {
                    text += pick(piece);
                }
                while pick(&["more", "enough"]) == "more" {
                    text += pick(pieces[4]);
                    text += pick(pieces[3]);
                }
                text += pick(&["\r\n", "\r\n", "\r\n", "\n", ""]);
                text += pick(pieces[5]);
            }
            let (plain, _) = plain(text.as_bytes());
            if plain.is_empty() {
                continue;
            }
            whole += 1;
            following += usize::from(plain.len() > 1);
            let hyper = runtime.block_on(hyper(text.as_bytes()));
            assert!(hyper.len() >= plain.len(), "{text:?}: {plain:?}, {hyper:?}");
            assert_eq!(plain, hyper[..plain.len()], "{text:?}");
        }
        assert!(whole > 5_000 && following > 2_000, "{whole} {following}");
    }

    #[test]
    fn what_is_plain() {
        let long = "x".repeat(REQUEST_BYTES_MAX);
        let long_head = format!("GET /topics/{long} HTTP/1.1\r\n");
        let long_body = format!(
            "POST /topics/a HTTP/1.1\r\nContent-Length: {}\r\n\r\n{long}",
            long.len()
        );
        let many = format!(
            "GET /topics/a HTTP/1.1\r\n{}\r\n",
            "X: y\r\n".repeat(HEADERS_MAX + 1)
        );
        #[rustfmt::skip]
        let table = [
            ("", 0, "head"),
            ("P", 0, "head"),
            ("PR", 0, "unusual"),
            ("PUT", 0, "unusual"),
            ("GET /topics/a HTTP/1.1\r\nHost: h\r\n", 0, "head"),
            ("GET /topics/a HTTP/1.1\r\nHost: h\r\n\r\n", 1, "head"),
            ("GET /topics/a HTTP/1.1\r\n\r\nGET /topics/b HTTP/1.1\r\n\r\nP", 2, "head"),
            ("GET /topics/a?since=earliest HTTP/1.1\r\naccept: */*\r\n\r\n", 1, "head"),
            ("GET /.well-known/mercure?topic=a HTTP/1.1\r\n\r\n", 1, "head"),
            ("GET /topics/a HTTP/1.1\r\nAccept: application/json\r\n\r\n", 0, "unusual"),
            ("GET /topics/a HTTP/1.1\r\nAccept: */*\r\nAccept: */*\r\n\r\n", 0, "unusual"),
            ("GET /topics/a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 0, "unusual"),
            ("GET /topics/a HTTP/1.0\r\n\r\n", 0, "unusual"),
            ("GET /topics/ HTTP/1.1\r\n\r\n", 0, "unusual"),
            ("GET / HTTP/1.1\r\n\r\n", 0, "unusual"),
            ("GET /healthz HTTP/1.1\r\n\r\n", 0, "unusual"),
            ("HEAD /topics/a HTTP/1.1\r\n\r\n", 0, "unusual"),
            ("QUERY /.well-known/mercure HTTP/1.1\r\n\r\n", 0, "unusual"),
            ("POST /topics/a HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", 0, "body"),
            ("POST /topics/a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 1, "head"),
            ("POST /topics/a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 1, "head"),
            ("POST /topics/a HTTP/1.1\r\n\r\n", 0, "unusual"),
            ("POST /topics/a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 0, "unusual"),
            ("POST /topics/a HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 0, "unusual"),
            ("POST /topics/a HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", 0, "unusual"),
            ("POST /topics/a HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", 0, "unusual"),
            ("POST /topics/a HTTP/1.1\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\nabc", 1, "head"),
            ("POST /.well-known/mercure HTTP/1.1\r\nContent-Length: 7\r\n\r\ntopic=a", 0, "unusual"),
            ("POST /.well-known/mercure HTTP/1.1\r\nContent-Length: 7\r\nContent-Type: application/x-ndjson\r\n\r\ntopic=a", 0, "unusual"),
            ("POST /.well-known/mercure HTTP/1.1\r\nContent-Length: 7\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\ntopic=a", 1, "head"),
            (&*long_head, 0, "unusual"),
            (&*long_body, 0, "unusual"),
            (&*many, 0, "unusual"),
        ];
        for (text, count, rest) in table {
            let (seen, left) = plain(text.as_bytes());
            let shown = &text[..text.len().min(120)];
            assert_eq!((seen.len(), left), (count, rest), "{shown:?}");
        }
    }
}
