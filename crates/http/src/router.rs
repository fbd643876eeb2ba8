//! Which path does what, and what holds for every answer.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, patch, post};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};

use crate::access::Secure;
use crate::access_log::{Entry, Running};
use crate::ask::Path;
use crate::counters::Reason;
use crate::front::Front;
use crate::problem::Problem;
use crate::{files, presence, publish, revocations, signed, site, stream, streams};

const HUB_METHODS: &str = "GET, HEAD, QUERY, POST, OPTIONS";
const PAGE_METHODS: &str = "GET, HEAD, OPTIONS";

/// Everything that a hub answers, as a service to serve or to nest.
pub fn router(front: Front) -> Router {
    Router::new()
        .route(
            front.place().path(),
            all_else(get(stream::mercure).post(publish::mercure)),
        )
        .route(
            "/topics/{*topic}",
            all_else(get(stream::topic).post(publish::topic)),
        )
        .route(front.place().metadata_path(), all_else(get(site::metadata)))
        .route(
            &presence::path_of(front.place().path()),
            all_else(get(presence::subscriptions)),
        )
        .route(
            &format!("{}/{{*rest}}", presence::path_of(front.place().path())),
            all_else(get(presence::subscriptions)),
        )
        .route("/streams/{id}", all_else(patch(streams::patch)))
        .route(
            "/revocations",
            all_else(
                get(revocations::list)
                    .post(revocations::revoke)
                    .delete(revocations::forget),
            ),
        )
        .route("/signed-urls", all_else(post(signed::create)))
        .route("/healthz", all_else(get(site::healthz)))
        .route("/readyz", all_else(get(site::readyz)))
        .route("/openapi.json", all_else(get(site::openapi)))
        .fallback(page_or_nothing)
        .layer(from_fn_with_state(front.clone(), at_the_door))
        .with_state(front)
}

fn all_else(route: MethodRouter<Front>) -> MethodRouter<Front> {
    route.fallback(other_methods)
}

/// The methods that the framework has no name for, and those that are none of a path's.
async fn other_methods(State(front): State<Front>, request: Request) -> Response {
    let path = request.uri().path();
    let allow = methods(&front, path);
    if allow == Some(HUB_METHODS) && request.method().as_str() == "QUERY" {
        let path = match path == front.place().path() {
            true => Path::Mercure,
            false => Path::Topic,
        };
        return stream::query(&front, path, request).await;
    }
    match allow {
        Some(allow) => Problem::method(request.method(), allow).into_response(),
        None => Problem::not_found(path).into_response(),
    }
}

async fn page_or_nothing(State(front): State<Front>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let mut response = site::asset_or_not_found(&front, &request);
    if !response.status().is_client_error() && !matches!(request.method, Method::GET | Method::HEAD)
    {
        return Problem::method(&request.method, PAGE_METHODS).into_response();
    }
    if request.uri.path() == "/" {
        // mercure.md, 1.15 and 2.70
        let link = front.place().link();
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// The methods of a path; `None` if nothing is there.
fn methods(front: &Front, path: &str) -> Option<&'static str> {
    let place = front.place();
    match path {
        path if path == place.path() => Some(HUB_METHODS),
        path if path == place.metadata_path() => front.has_metadata().then_some(PAGE_METHODS),
        "/healthz" | "/readyz" | "/openapi.json" => Some(PAGE_METHODS),
        path if presence::has(front, path) => Some(PAGE_METHODS),
        "/revocations" => Some(revocations::METHODS),
        "/signed-urls" => Some(signed::METHODS),
        path if is_stream(path) => Some(streams::METHODS),
        path if path.len() > "/topics/".len() && path.starts_with("/topics/") => Some(HUB_METHODS),
        path => files::is_there(path).then_some(PAGE_METHODS),
    }
}

/// Whether a path is that of a stream, though there may be none of that id.
fn is_stream(path: &str) -> bool {
    path.strip_prefix("/streams/")
        .is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

/// The first to see a request and the last to see its answer.
async fn at_the_door(State(front): State<Front>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    front.settings().trusted_proxies.settle(&mut parts);
    let running = Running::new(Entry::of(&front, &mut parts));
    let seen = seen(&parts);
    let mut response = match enter(&front, &parts) {
        Err(refused) => refused,
        Ok(()) if parts.method == Method::OPTIONS => preflight(&front, &parts),
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
    };
    leave(&front, &seen, &mut response);
    running.answer(response)
}

/// Whether a request is let in at all; for [`crate::plain`] too, which does without the router.
#[expect(
    clippy::result_large_err,
    reason = "the answer is written at once, and made for refusals only"
)]
pub(crate) fn enter(front: &Front, request: &Parts) -> Result<(), Response> {
    let admitted = match head_bytes(request) > front.limits().head_bytes_max {
        true => Err(Problem::head_too_large(front.limits().head_bytes_max)),
        false => front.access().admit(request),
    };
    admitted.map_err(|problem| {
        front.counting().not_admitted.one();
        tracing::info!(why = problem.detail(), "refused");
        problem.into_response()
    })
}

/// How long a head is as HTTP/1.1 writes it. hyper's own bound is one of its buffer, which takes more if more comes at once.
fn head_bytes(request: &Parts) -> usize {
    let target = request
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let line = request.method.as_str().len() + target.len() + "  HTTP/1.1\r\n\r\n".len();
    let lines = request.headers.iter();
    let lines = lines.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + lines.sum::<usize>()
}

/// What is done with every answer.
pub(crate) fn leave(front: &Front, request: &Parts, response: &mut Response) {
    if let Some(reason) = response.extensions().get::<Reason>() {
        front.counting().refuse(*reason);
    }
    decorate(front, request, response.headers_mut());
}

/// What of a request decides on the headers of its answer.
fn seen(parts: &Parts) -> Parts {
    let mut request = Request::new(());
    *request.uri_mut() = parts.uri.clone();
    *request.version_mut() = parts.version;
    if let Some(secure) = parts.extensions.get::<Secure>() {
        request.extensions_mut().insert(*secure);
    }
    for name in [header::HOST, header::ORIGIN] {
        if let Some(value) = parts.headers.get(&name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    request.into_parts().0
}

fn preflight(front: &Front, request: &Parts) -> Response {
    let Some(allow) = methods(front, request.uri.path()) else {
        return Problem::not_found(request.uri.path()).into_response();
    };
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    if request
        .headers
        .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        front.access().preflight(request, allow, headers);
    }
    response
}

/// The headers of every answer: whose pages may read it, and what no page may do with it (mercure.md, 0.17).
pub(crate) fn decorate(front: &Front, request: &Parts, headers: &mut HeaderMap) {
    front.access().cors(request, headers);
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("content-security-policy"),
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in fixed {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}
