//! What is not a stream: health, the description, and what stands at no path of its own.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde_json::json;

use crate::body;
use crate::counters::Reason;
use crate::files;
use crate::front::Front;
use crate::place::HUB_PATH;
use crate::problem::Problem;
use crate::token::MODERN_COOKIE;

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

/// The path's file, or a problem that says that nothing is there.
pub(crate) fn asset_or_not_found(front: &Front, request: &Parts) -> Response {
    files::answer(front, request).unwrap_or_else(|| nothing_at(request.uri.path()).into_response())
}

fn nothing_at(path: &str) -> Problem {
    match path {
        "/metrics" => Problem::metrics_elsewhere(),
        path => Problem::not_found(path),
    }
}
