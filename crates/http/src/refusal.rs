//! Refusing a subscribe for now. A program gets a status and Retry-After; a browser's own EventSource gives up for good on any
//! status but 200 (all three engines, protocol/event-stream.md), so it gets a stream that only says when to come back.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Version};

use crate::front::{Front, random_u64};
use crate::problem::Problem;

/// When an EventSource is to come back: between these, in milliseconds, so that not all come at once.
const RETRY_MS: (u64, u64) = (2_000, 10_000);

pub(crate) fn for_now(front: &Front, request: &Parts, problem: Problem) -> Response {
    if !front.settings().refuse_softly || !looks_like_event_source(request) {
        front.counting().refused.one();
        return close_after(request, problem.into_response());
    }
    front.counting().refused_softly.one();
    tracing::debug!(why = problem.detail(), "refused softly");
    let (from, to) = RETRY_MS;
    let retry_ms = from + random_u64() % (to - from);
    let mut response = Response::new(Body::from(format!(
        "retry: {retry_ms}\n: {}\n\n",
        problem.detail()
    )));
    response.extensions_mut().insert(problem.reason());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    close_after(request, response)
}

/// Whoever is refused for want of descriptors must not hold one until its connection is idle for long enough.
fn close_after(request: &Parts, mut response: Response) -> Response {
    if request.version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// An EventSource accepts exactly this and cannot send a token; a browser says what it is.
fn looks_like_event_source(request: &Parts) -> bool {
    let is = |name, value: &str| {
        request
            .headers
            .get(name)
            .is_some_and(|have| have.as_bytes() == value.as_bytes())
    };
    let browser = request
        .headers
        .get(USER_AGENT)
        .is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"));
    is(ACCEPT, "text/event-stream")
        && !request.headers.contains_key(AUTHORIZATION)
        && (browser || request.headers.contains_key("sec-fetch-mode"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn what_looks_like_an_event_source() {
        let stream = ("accept", "text/event-stream");
        let firefox = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
        #[rustfmt::skip]
        let table: [(&[(&str, &str)], bool); 6] = [
            (&[stream, firefox], true),
            (&[stream, ("sec-fetch-mode", "cors")], true),
            (&[stream, firefox, ("authorization", "Bearer x")], false),
            (&[stream, ("user-agent", "curl/8")], false),
            (&[("accept", "*/*"), firefox], false),
            (&[firefox], false),
        ];
        for (lines, want) in table {
            let mut builder = Request::builder();
            for (name, value) in lines {
                builder = builder.header(*name, *value);
            }
            let request = builder.body(()).unwrap().into_parts().0;
            assert_eq!(looks_like_event_source(&request), want, "{lines:?}");
        }
    }
}
