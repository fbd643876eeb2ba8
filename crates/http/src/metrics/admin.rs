//! The admin listener: metrics, health and, for whoever has its token, revocations: for who runs the hub. It answers nothing else of
//! the hub's own, and the hub's listeners answer nothing of this.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::Service;

use super::page::as_prometheus_text;
use crate::access::Access;
use crate::front::Front;
use crate::problem::Problem;
use crate::{revocations, site};

/// So many connections are served at once; the next one waits. A scraper holds one.
const CONNECTIONS_MAX: usize = 32;
/// How long a request's head may take, and how long an idle connection is kept.
const HEAD_TIME_MAX: Duration = Duration::from_secs(90);
/// How long accepting rests when the system has no descriptor or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const REVOCATIONS: &str = "/revocations";

const OPENMETRICS: &str = "application/openmetrics-text";

/// Who may see metrics. Health is for everybody who reaches the listener; revoking is for whoever has a token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AdminAccess {
    /// Programs of this machine: only loopback Host names, and no request that was forwarded or that a page of another origin
    /// sent. For a listener on a loopback address.
    Loopback,
    /// Whoever has the token, sent as `Authorization: Bearer`.
    Token(AdminToken),
    /// Everybody who reaches the listener.
    Open,
}

/// The token of an admin listener. Only its hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken([u8; 32]);

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminTokenError {
    /// Shorter than [`AdminToken::BYTES_MIN`]: it could be guessed.
    TooShort,
    /// Holds what no header can hold: blanks, control characters, or anything beyond ASCII.
    NotAscii,
}

impl fmt::Display for AdminTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => {
                write!(
                    f,
                    "the token is shorter than {} characters",
                    AdminToken::BYTES_MIN
                )
            }
            Self::NotAscii => {
                f.write_str("the token is not made of printable ASCII characters alone")
            }
        }
    }
}

impl std::error::Error for AdminTokenError {}

impl AdminToken {
    /// How long a token is at least, in bytes.
    pub const BYTES_MIN: usize = 16;

    /// A token.
    ///
    /// # Errors
    /// If it is too short, or cannot be sent in a header.
    pub fn new(token: &str) -> Result<Self, AdminTokenError> {
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AdminTokenError::NotAscii);
        }
        if token.len() < Self::BYTES_MIN {
            return Err(AdminTokenError::TooShort);
        }
        Ok(Self(Sha256::digest(token).into()))
    }

    /// Hashes are compared: how long that takes says nothing of the token.
    fn is(&self, presented: &[u8]) -> bool {
        self.0 == <[u8; 32]>::from(Sha256::digest(presented))
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

/// What the admin listener answers: `/metrics`, `/revocations`, `/healthz`, `/readyz`, and the reference hub's paths for the last two.
pub fn admin_router(front: Front, access: AdminAccess) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route(REVOCATIONS, revocations::of_admin())
        .route("/healthz", get(site::healthz))
        .route("/readyz", get(site::readyz))
        .route("/mercure/health/{probe}", get(site::health))
        .route("/mercure/health/{name}/{probe}", get(site::health_of))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            let allow = match uri.path() {
                REVOCATIONS => "GET, HEAD, POST, DELETE",
                _ => "GET, HEAD",
            };
            Problem::method(&method, allow)
        })
        .fallback(nothing)
        .layer(from_fn_with_state(access, at_the_door))
        .with_state(front)
}

async fn nothing() -> Problem {
    Problem::not_on_admin()
}

async fn at_the_door(State(access): State<AdminAccess>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match admit(&access, &parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(response) => *response,
    }
}

fn admit(access: &AdminAccess, request: &Parts) -> Result<(), Box<Response>> {
    let has_token = matches!(access, AdminAccess::Token(_));
    // Whoever may run a program on this machine may see metrics; that does not make them who runs the hub.
    if request.uri.path() == REVOCATIONS && !has_token {
        return Err(Box::new(Problem::no_admin_token().into_response()));
    }
    match access {
        AdminAccess::Open => Ok(()),
        AdminAccess::Loopback => Access::keyless()
            .admit(request)
            .map_err(|_| Box::new(Problem::not_loopback_admin().into_response())),
        AdminAccess::Token(token) => match request.uri.path() {
            "/healthz" | "/readyz" => Ok(()),
            path if path.starts_with("/mercure/health/") => Ok(()),
            _ if presents(request, token) => Ok(()),
            _ => Err(Box::new(unauthorized())),
        },
    }
}

fn presents(request: &Parts, token: &AdminToken) -> bool {
    let mut headers = request.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (headers.next(), headers.next()) else {
        return false;
    };
    let Some((scheme, presented)) = value.to_str().ok().and_then(|text| text.split_once(' '))
    else {
        return false;
    };
    // RFC 9110, section 11.1: the scheme's name in any case.
    scheme.eq_ignore_ascii_case("bearer") && token.is(presented.trim().as_bytes())
}

fn unauthorized() -> Response {
    let mut response = Problem::admin_token().into_response();
    let challenge = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

async fn metrics(State(front): State<Front>, request: Request) -> Response {
    let is_open = wants_openmetrics(&request);
    // It looks into /proc.
    let text = tokio::task::spawn_blocking(move || {
        let open = front.metrics();
        match is_open {
            true => open,
            false => as_prometheus_text(&open),
        }
    });
    let Ok(text) = text.await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let content_type = match is_open {
        true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        false => "text/plain; version=0.0.4; charset=utf-8",
    };
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whoever knows OpenMetrics names it. Its weight need not be looked at: who names both reads both.
fn wants_openmetrics(request: &Request) -> bool {
    let accepted = request.headers().get_all(ACCEPT).iter();
    let mut ranges = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.any(|range| {
        let name = range.split(';').next().unwrap_or_default().trim();
        let refused = range.replace(' ', "").to_ascii_lowercase();
        name.eq_ignore_ascii_case(OPENMETRICS)
            && !refused
                .split(';')
                .any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// Serves the admin listener until this is dropped.
pub async fn serve_admin(front: Front, access: AdminAccess, listener: TcpListener) {
    let router = admin_router(front, access);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((socket, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    connection(router, socket).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "the admin listener accepts no connection for now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(router: Router, socket: TcpStream) {
    let service = service_fn(move |request: http::Request<Incoming>| router.clone().call(request));
    let ended = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(socket), service);
    if let Err(error) = ended.await {
        tracing::debug!(%error, "admin connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_whoever_names_it() {
        let table = [
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text;q=0", false),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                true,
            ),
        ];
        for (accept, want) in table {
            let request = Request::builder().header(ACCEPT, accept);
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(wants_openmetrics(&request), want, "{accept}");
        }
    }

    #[test]
    fn tokens() {
        assert_eq!(AdminToken::new("short"), Err(AdminTokenError::TooShort));
        assert_eq!(
            AdminToken::new("0123456789 abcdef"),
            Err(AdminTokenError::NotAscii)
        );
        let token = AdminToken::new("0123456789abcdef").unwrap();
        assert_eq!(format!("{token:?}"), "AdminToken");
        #[rustfmt::skip]
        let table: [(&[&str], bool); 7] = [
            (&[], false),
            (&["Bearer 0123456789abcdef"], true),
            (&["bearer  0123456789abcdef"], true),
            (&["Bearer 0123456789abcdeF"], false),
            (&["Bearer"], false),
            (&["Basic 0123456789abcdef"], false),
            (&["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"], false),
        ];
        for (values, want) in table {
            let mut request = http::Request::builder();
            for value in values {
                request = request.header(AUTHORIZATION, *value);
            }
            let request = request.body(()).unwrap().into_parts().0;
            assert_eq!(presents(&request, &token), want, "{values:?}");
        }
    }
}
