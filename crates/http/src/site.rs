//! What is not a stream: health, the description, the playground page.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use rust_embed::RustEmbed;
use serde_json::json;

use crate::body;
use crate::counters::Reason;
use crate::front::Front;
use crate::place::HUB_PATH;
use crate::problem::Problem;
use crate::token::MODERN_COOKIE;

/// The page's files; `assets/index.html` is the page.
#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// The page loads nothing but its own files, and can be framed and based nowhere.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) const OPENAPI: &str = include_str!("openapi.json");

pub(crate) async fn healthz() -> Response {
    body::unkept("application/json", "{\"status\":\"ok\"}\n")
}

pub(crate) async fn readyz(State(front): State<Front>) -> Response {
    if front.is_draining() {
        return Problem::unavailable("the hub is ending")
            .because(Reason::Draining)
            .into_response();
    }
    match front.log().health() {
        Ok(()) => body::unkept("application/json", "{\"status\":\"ok\"}\n"),
        Err(error) => {
            Problem::unavailable(format!("events cannot be stored: {error}")).into_response()
        }
    }
}

/// As the reference hub tells its health (mercure.md, C).
pub(crate) async fn health(State(front): State<Front>, Path(probe): Path<String>) -> Response {
    let answer = match &*probe {
        "live" => Ok(()),
        "ready" if front.is_draining() => Err("the hub is ending".to_owned()),
        "ready" => front
            .log()
            .health()
            .map_err(|error| format!("events cannot be stored: {error}")),
        _ => return Problem::not_on_admin().into_response(),
    };
    let Err(error) = answer else {
        return body::unkept("application/json", "{\"status\":\"ok\"}\n");
    };
    let document = json!({ "status": "error", "error": error });
    let mut response = body::unkept("application/json", format!("{document}\n"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// The same of a hub by its name: there is one here, whatever it is called.
pub(crate) async fn health_of(
    front: State<Front>,
    Path((_, probe)): Path<(String, String)>,
) -> Response {
    health(front, Path(probe)).await
}

pub(crate) async fn openapi(State(front): State<Front>) -> Response {
    match front.place().path() {
        HUB_PATH => body::unkept("application/json", OPENAPI),
        path => body::unkept("application/json", OPENAPI.replace(HUB_PATH, path)),
    }
}

/// Which tokens this hub takes and what it does (RFC 9728; mercure.md, 2.40).
pub(crate) async fn metadata(State(front): State<Front>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    if !front.has_metadata() {
        return Problem::not_found(request.uri.path()).into_response();
    }
    let cookie_name = front.access().cookie_name.as_deref();
    let mut document = json!({
        "resource": front.place().resource(&request),
        "authorization_details_types_supported": ["https://mercure.rocks/authorization-detail"],
        "bearer_methods_supported": ["header"],
        "mercure_cookie": cookie_name.unwrap_or(MODERN_COOKIE),
        "mercure_matcher_types_supported": ["exact", "urlpattern"],
    });
    let keys = front.keys();
    let servers: Vec<&str> = front.keyring().authorization_servers(&keys).collect();
    if !servers.is_empty() {
        document["authorization_servers"] = servers.into();
    }
    if front.presence().is_some() {
        document["mercure_subscriptions"] = true.into();
    }
    body::unkept("application/json", format!("{document}\n"))
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
pub(crate) fn asset_or_not_found(front: &Front, request: &Parts) -> Response {
    let path = request.uri.path();
    let hub_path = front.place().path();
    match asset(path) {
        // The page and the SDK have to know where the hub is.
        Some(mut script) if hub_path != HUB_PATH && NAME_THE_HUB.contains(&path) => {
            let text = Assets::get(&path[1..]).map(|file| file.data.into_owned());
            let text = String::from_utf8(text.unwrap_or_default()).unwrap_or_default();
            *script.body_mut() = Body::from(text.replace(HUB_PATH, hub_path));
            script
        }
        Some(response) => response,
        None => nothing_at(path).into_response(),
    }
}

/// The scripts that name the hub's path.
const NAME_THE_HUB: [&str; 3] = ["/addresses.js", "/sdk/tidewire.js", "/sdk/tidewire-old.js"];

fn nothing_at(path: &str) -> Problem {
    match path {
        "/metrics" => Problem::metrics_elsewhere(),
        path => Problem::not_found(path),
    }
}
