//! A whole body, bounded in bytes and in time; and answers whose bodies nobody keeps.

use std::ops::ControlFlow;

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::front::Front;
use crate::problem::Problem;

/// How much of a body that is too large is read and dropped, so that a client which writes before it reads sees the answer
/// and not a reset, in bytes.
const DROPPED_BYTES_MAX: usize = 8 << 20;

/// An answer that no cache keeps.
pub(crate) fn unkept(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A document that no cache keeps.
pub(crate) fn json(document: &Value) -> Response {
    unkept("application/json", format!("{document}\n"))
}

/// Reads it. `limit` names the setting that bounds it.
pub(crate) async fn collect(
    front: &Front,
    mut body: Body,
    bytes_max: usize,
    limit: &str,
) -> Result<Vec<u8>, Problem> {
    let mut collected = Collected {
        bytes: Vec::new(),
        bytes_max,
        seen: 0,
    };
    loop {
        let frame = tokio::time::timeout(front.limits().publish_stall_max, body.frame());
        let frame = match frame.await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(Problem::bad_request(format!(
                    "the body ended early: {error}"
                )));
            }
            Err(_) => {
                return Err(Problem::timeout(format!(
                    "nothing of the body came for {} s (publish_stall_max)",
                    front.limits().publish_stall_max.as_secs()
                )));
            }
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if collected.add(&data).is_break() {
            break;
        }
    }
    if collected.seen > bytes_max {
        return Err(too_large(bytes_max, limit));
    }
    Ok(collected.bytes)
}

/// What has come of a body. Of one that is too large nothing is kept.
struct Collected {
    bytes: Vec<u8>,
    bytes_max: usize,
    seen: usize,
}

impl Collected {
    /// Breaks once no more is to be read.
    fn add(&mut self, data: &[u8]) -> ControlFlow<()> {
        self.seen += data.len();
        if self.seen <= self.bytes_max {
            self.bytes.extend_from_slice(data);
            return ControlFlow::Continue(());
        }
        self.bytes = Vec::new();
        match self.seen > self.bytes_max.saturating_add(DROPPED_BYTES_MAX) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Checks a body that is here already.
pub(crate) fn check(body: &[u8], bytes_max: usize, limit: &str) -> Result<(), Problem> {
    match body.len() > bytes_max {
        true => Err(too_large(bytes_max, limit)),
        false => Ok(()),
    }
}

fn too_large(bytes_max: usize, limit: &str) -> Problem {
    Problem::too_large(format!(
        "the body is larger than {bytes_max} bytes ({limit}); send several smaller events"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_no_more_memory_than_it_may() {
        let mut collected = Collected {
            bytes: Vec::new(),
            bytes_max: 3000,
            seen: 0,
        };
        let piece = [b'x'; 1000];
        for held in [1000, 2000, 3000] {
            assert!(collected.add(&piece).is_continue());
            assert_eq!(collected.bytes.len(), held);
        }
        let mut read = 3000;
        while collected.add(&piece).is_continue() {
            read += piece.len();
            assert_eq!(collected.bytes.capacity(), 0, "after {read} bytes");
            assert!(read <= 3000 + DROPPED_BYTES_MAX, "it reads on and on");
        }
        // Those that a client may well have sent before it looks are read.
        assert!(read + piece.len() > DROPPED_BYTES_MAX);
    }
}
