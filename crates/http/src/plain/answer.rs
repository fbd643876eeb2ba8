//! An answer's bytes, in the order in which hyper and the router write them.

use std::io::Write;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::date::http_date;

/// Writes an answer with a body that is known.
pub(super) fn encode(status: StatusCode, headers: &HeaderMap, body: &[u8], now_ms: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + body.len());
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    end(&mut out, now_ms);
    out.extend_from_slice(body);
    out
}

/// Says how long the body is.
pub(super) fn set_length(headers: &mut HeaderMap, bytes: usize) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
}

fn end(out: &mut Vec<u8>, now_ms: u64) {
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(&http_date(now_ms));
    out.extend_from_slice(b"\r\n\r\n");
}

/// The head of one answer that is given over and over, to bodies of whatever length.
pub(super) struct Ready {
    /// All before the number that is the body's length.
    before: Box<[u8]>,
    /// All after it, but for the date.
    after: Box<[u8]>,
}

impl Ready {
    /// Of these headers, which do not say the length.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let mut headers = headers.clone();
        set_length(&mut headers, 0);
        let head = encode(StatusCode::OK, &headers, &[], 0);
        let mut ended = Vec::new();
        end(&mut ended, 0);
        let head = head.strip_suffix(&*ended).expect("it ends so");
        let line = b"content-length: 0\r\n";
        let at = head
            .windows(line.len())
            .position(|window| window == line)
            .expect("it was set")
            + line.len()
            - b"0\r\n".len();
        Self {
            before: head[..at].into(),
            after: head[at + 1..].into(),
        }
    }

    pub(super) fn encode(&self, body: &[u8], now_ms: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.before.len() + self.after.len() + 64 + body.len());
        out.extend_from_slice(&self.before);
        let _ = write!(out, "{}", body.len());
        out.extend_from_slice(&self.after);
        end(&mut out, now_ms);
        out.extend_from_slice(body);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_head_is_the_head() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        headers.append("vary", HeaderValue::from_static("Origin"));
        let ready = Ready::new(&headers);
        for bytes in [0, 9, 10, 12_345] {
            let body = vec![b'x'; bytes];
            set_length(&mut headers, bytes);
            let want = encode(StatusCode::OK, &headers, &body, 784_111_777_000);
            assert_eq!(ready.encode(&body, 784_111_777_000), want, "{bytes}");
        }
    }
}
