//! What is not a stream: health, the description, the playground page.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::request::Parts;
use rust_embed::RustEmbed;

use crate::counters::Reason;
use crate::front::Front;
use crate::problem::Problem;

/// The page's files; `assets/index.html` is the page.
#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// The page loads nothing but its own files, and can be framed and based nowhere.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) const OPENAPI: &str = include_str!("openapi.json");

pub(crate) async fn healthz() -> Response {
    text("application/json", "{\"status\":\"ok\"}\n")
}

pub(crate) async fn readyz(State(front): State<Front>) -> Response {
    if front.is_draining() {
        return Problem::unavailable("the hub is ending")
            .because(Reason::Draining)
            .into_response();
    }
    match front.log().health() {
        Ok(()) => text("application/json", "{\"status\":\"ok\"}\n"),
        Err(error) => {
            Problem::unavailable(format!("events cannot be stored: {error}")).into_response()
        }
    }
}

pub(crate) async fn openapi() -> Response {
    text("application/json", OPENAPI)
}

fn text(content_type: &'static str, body: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A file of the page, if the path names one.
pub(crate) fn asset(path: &str) -> Option<Response> {
    let name = match path {
        "/" => "index.html",
        path => path.strip_prefix('/')?,
    };
    let file = Assets::get(name)?;
    let mut response = Response::new(Body::from(file.data.into_owned()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(PAGE_POLICY),
    );
    Some(response)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// The path's file, or a problem that says that nothing is there.
pub(crate) fn asset_or_not_found(request: &Parts) -> Response {
    asset(request.uri.path()).unwrap_or_else(|| nothing_at(request.uri.path()).into_response())
}

fn nothing_at(path: &str) -> Problem {
    match path {
        "/metrics" => Problem::metrics_elsewhere(),
        path => Problem::not_found(path),
    }
}
