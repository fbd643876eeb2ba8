//! Problem documents (RFC 9457): every error that leaves this crate, with a sentence that says what to change.
//!
//! Not for what happens once a stream runs: that is told in the stream.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use serde_json::json;
use tidewire_auth::Refusal;
use tidewire_core::{Dialect, PatternError};
use tidewire_log::AppendError;

use crate::counters::Reason;
use crate::hook::HookRefusal;
use crate::keys::Unfetched;

/// How long a program should wait before it tries a temporary refusal again, in seconds.
pub(crate) const RETRY_AFTER_S: u32 = 2;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    extra: Extra,
    /// As it is counted.
    reason: Reason,
}

/// What goes into a header as well.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extra {
    None,
    RetryAfter(u32),
    Allow(&'static str),
    Challenge(Challenge),
}

/// What a client is told of tokens (RFC 6750, section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Challenge {
    /// Section 3.1: no error code for a request that held no token.
    error: Option<&'static str>,
    /// RFC 9728, section 5.1: where it is said which tokens are taken.
    metadata_url: Option<Box<str>>,
}

impl From<Option<&'static str>> for Challenge {
    fn from(error: Option<&'static str>) -> Self {
        Self {
            error,
            metadata_url: None,
        }
    }
}

impl Problem {
    fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            kind,
            title,
            detail: detail.into(),
            extra: Extra::None,
            reason: Reason::BadRequest,
        }
    }

    /// Says as what it is counted.
    #[must_use]
    pub(crate) fn because(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    pub(crate) fn bad_parameter(detail: impl Into<Cow<'static, str>>) -> Self {
        let title = "A parameter is wrong";
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", title, detail)
            .because(Reason::BadParameter)
    }

    pub(crate) fn bad_event(detail: impl Into<Cow<'static, str>>) -> Self {
        let title = "The event cannot be published";
        Self::new(StatusCode::BAD_REQUEST, "bad-event", title, detail).because(Reason::BadEvent)
    }

    pub(crate) fn head_too_large(bytes_max: usize) -> Self {
        let title = "The head is too large";
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head-too-large",
            title,
            format!(
                "the request's head has more than {bytes_max} bytes (head_bytes_max): send fewer or shorter header lines, and what a \
                 subscribe asks for in the body of a QUERY"
            ),
        )
        .because(Reason::TooLarge)
    }

    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        let title = "The request cannot be understood";
        Self::new(StatusCode::BAD_REQUEST, "bad-request", title, detail)
    }

    pub(crate) fn forbidden(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        let title = "Not allowed";
        Self::new(StatusCode::FORBIDDEN, "forbidden", title, detail).because(reason)
    }

    pub(crate) fn not_found(path: &str) -> Self {
        let detail =
            format!("nothing is at {path}; /openapi.json lists what is, and / is a page to try it");
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Nothing is here",
            detail,
        )
        .because(Reason::NotFound)
    }

    /// Something that was there, perhaps, and is not.
    pub(crate) fn gone(detail: &'static str) -> Self {
        let title = "Nothing is here";
        Self::new(StatusCode::NOT_FOUND, "not-found", title, detail).because(Reason::NotFound)
    }

    /// The hub's own listeners show no figures.
    pub(crate) fn metrics_elsewhere() -> Self {
        let detail = "metrics are on the admin listener alone: start the hub with --admin-listen 127.0.0.1:9090 and ask there";
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Metrics are not here",
            detail,
        )
        .because(Reason::NotFound)
    }

    pub(crate) fn not_on_admin() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Nothing is here",
            "this is the admin listener: it has /metrics, /revocations, /healthz and /readyz; the hub is on its own listeners",
        )
        .because(Reason::NotFound)
    }

    pub(crate) fn not_loopback_admin() -> Self {
        Self::forbidden(
            Reason::Host,
            "this admin listener has no token, so it answers only programs of this machine: a loopback Host, not forwarded, \
             no page of another origin; give it --admin-token-file to answer others",
        )
    }

    pub(crate) fn no_admin_token() -> Self {
        Self::forbidden(
            Reason::TokenNoKey,
            "this admin listener has no token, so nobody can show that they run the hub: give it --admin-token-file to revoke here",
        )
    }

    pub(crate) fn admin_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "not-authorized",
            "The admin token is needed",
            "send the token of --admin-token-file as `Authorization: Bearer`",
        )
        .because(Reason::TokenMissing)
    }

    pub(crate) fn method(method: &Method, allow: &'static str) -> Self {
        let detail = format!("{method} does nothing here; use one of {allow}");
        let title = "The method does not fit";
        Self {
            extra: Extra::Allow(allow),
            reason: Reason::Method,
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", title, detail)
        }
    }

    pub(crate) fn not_acceptable(detail: impl Into<Cow<'static, str>>) -> Self {
        let title = "No form of the answer is acceptable";
        Self::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", title, detail)
            .because(Reason::NotAcceptable)
    }

    pub(crate) fn content_type(detail: impl Into<Cow<'static, str>>) -> Self {
        let title = "The content type does not fit";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-type",
            title,
            detail,
        )
        .because(Reason::ContentType)
    }

    pub(crate) fn too_large(detail: impl Into<Cow<'static, str>>) -> Self {
        let title = "Too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title, detail)
            .because(Reason::TooLarge)
    }

    pub(crate) fn timeout(detail: impl Into<Cow<'static, str>>) -> Self {
        let title = "The request came too slowly";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", title, detail).because(Reason::Timeout)
    }

    /// A refusal that heals: trying again later helps.
    pub(crate) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        let title = "Not now";
        Self {
            extra: Extra::RetryAfter(RETRY_AFTER_S),
            reason: Reason::Unavailable,
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                title,
                detail,
            )
        }
    }

    /// RFC 6585, section 4: more than one may have. Trying again helps.
    pub(crate) fn too_many(
        reason: Reason,
        detail: impl Into<Cow<'static, str>>,
        retry_s: u32,
    ) -> Self {
        let title = "Too much at once";
        Self {
            extra: Extra::RetryAfter(retry_s),
            reason,
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", title, detail)
        }
    }

    /// RFC 9110, section 15.5.20 (mercure.md, 2.72).
    pub(crate) fn misdirected(host: &str) -> Self {
        let title = "Not for this hub";
        let detail = format!("this hub does not answer for the name {host:?}");
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            title,
            detail,
        )
        .because(Reason::Host)
    }

    /// RFC 6750, section 3: what is said of tokens. The sentence of a refusal holds no secret.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        if let Refusal::Pattern(error) = refusal
            && error.is_temporary()
        {
            return Self::unavailable(format!("{refusal}; try again later"));
        }
        let (status, title) = match refusal {
            Refusal::NotGranted(_) => (StatusCode::FORBIDDEN, "The token does not allow it"),
            Refusal::QueryModern => (
                StatusCode::BAD_REQUEST,
                "A token does not stand where it may",
            ),
            _ => (
                StatusCode::UNAUTHORIZED,
                "A token is needed that this hub trusts",
            ),
        };
        Self {
            extra: Extra::Challenge(refusal.error_code().into()),
            reason: Reason::from(refusal),
            ..Self::new(status, "not-authorized", title, refusal.to_string())
        }
    }

    /// What is wrong with a bad token is for the log: whoever tries tokens need not learn how far one came.
    #[must_use]
    pub(crate) fn for_strangers(self, id: &str) -> Self {
        let is_bad_token = matches!(&self.extra, Extra::Challenge(challenge) if challenge.error == Some("invalid_token"));
        // Of a signed URL nothing is said that its holder does not see in it, before its signature was found good.
        if !is_bad_token || self.reason == Reason::SignedUrl {
            return self;
        }
        let detail = format!(
            "this hub does not take the token: it may be over, for another hub, of a form that is not taken here, or signed with a key that \
             is not trusted; get a new one. The hub's log (TIDEWIRE_LOG=info) says why, under {id}, and so does `tidewire token inspect`"
        );
        Self {
            detail: detail.into(),
            ..self
        }
    }

    /// A token that does not stand where and as it should (mercure.md, 2.30).
    pub(crate) fn presented(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            extra: Extra::Challenge(Some("invalid_request").into()),
            ..Self::bad_request(detail)
        }
    }

    /// What is said of tokens, as a dialect says it. `metadata_url`: where it stands which tokens are taken, if it does.
    #[must_use]
    pub(crate) fn in_dialect(
        mut self,
        dialect: Dialect,
        metadata_url: impl FnOnce() -> Option<String>,
    ) -> Self {
        let Extra::Challenge(challenge) = &mut self.extra else {
            return self;
        };
        match dialect {
            // mercure.md, 1.7: clients of old know one status for all of it.
            Dialect::Legacy => {
                self.status = StatusCode::UNAUTHORIZED;
                challenge.error = None;
            }
            // mercure.md, 2.36
            Dialect::Modern => challenge.metadata_url = metadata_url().map(Into::into),
        }
        self
    }

    /// The keys that would say whether a token is good were never fetched: who holds a good one is not turned away for good.
    pub(crate) fn keys_unfetched(unfetched: &Unfetched) -> Self {
        let whose = match &unfetched.issuer {
            Some(name) => format!("the keys of {name}"),
            None => "the hub's keys".to_owned(),
        };
        let seconds = unfetched.again_after.as_secs_f64().ceil().max(1.0);
        Self {
            extra: Extra::RetryAfter(seconds as u32),
            ..Self::unavailable(format!(
                "{whose} cannot be fetched yet, so whether the token is good cannot be said; try again later"
            ))
        }
        .because(Reason::KeysUnfetched)
    }

    /// What the authorization hook says, or that it says nothing. `has_token`: the request showed one.
    pub(crate) fn hook(refusal: &HookRefusal, has_token: bool) -> Self {
        let denied = |status, code: Option<&'static str>, title, detail: &'static str| {
            Self {
                extra: Extra::Challenge(code.into()),
                ..Self::new(status, "not-authorized", title, detail)
            }
            .because(Reason::HookDenied)
        };
        match refusal {
            HookRefusal::Unknown => denied(
                StatusCode::UNAUTHORIZED,
                has_token.then_some("invalid_token"),
                "Who asks is not known",
                "the service that this hub asks does not know who sends this request; log in there",
            ),
            HookRefusal::Denied => denied(
                StatusCode::FORBIDDEN,
                Some("insufficient_scope"),
                "It is not allowed",
                "the service that this hub asks does not allow it",
            ),
            HookRefusal::Pattern(error) if !error.is_temporary() => Self::unavailable(
                "the service that this hub asks names a pattern that cannot be used; try again later",
            )
            .because(Reason::HookFailed),
            HookRefusal::Pattern(error) => Self::unavailable(format!("{error}; try again later")),
            HookRefusal::Failed | HookRefusal::Busy => Self::unavailable(
                "the service that this hub asks whether it may does not answer; try again later",
            )
            .because(Reason::HookFailed),
        }
    }

    /// A signed URL is asked for or shown, and there is no key to sign or check it with.
    pub(crate) fn no_url_key() -> Self {
        let detail = "this hub has no key for signed URLs: make one with `tidewire token keygen --out url.key`, \
                      and start the hub with --url-key-file url.key";
        Self {
            extra: Extra::Challenge(Some("invalid_token").into()),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "not-authorized",
                "Signed URLs are not taken here",
                detail,
            )
        }
        .because(Reason::SignedUrl)
    }

    /// A signed URL is asked for that would read more than its token.
    pub(crate) fn topic_not_readable(topic: &str) -> Self {
        Self::out_of_scope(format!(
            "the token does not allow to read private events of {:?}, so no URL can be made that does",
            shortened(topic)
        ))
    }

    /// A matcher that cannot be used; says of which parameter.
    pub(crate) fn pattern(parameter: &str, text: &str, error: &PatternError) -> Self {
        if error.is_temporary() {
            return Self::unavailable(format!("{error}; try again later"));
        }
        Self::bad_parameter(format!("`{parameter}={}`: {error}", shortened(text)))
    }

    /// A publish to a topic that the token does not name. Nothing of the event is stored (mercure.md, 0.11).
    pub(crate) fn topic_not_granted(topic: &str) -> Self {
        Self::out_of_scope(format!(
            "the token does not allow to publish to the topic {topic:?}"
        ))
    }

    fn out_of_scope(detail: String) -> Self {
        Self {
            extra: Extra::Challenge(Some("insufficient_scope").into()),
            reason: Reason::TopicNotGranted,
            ..Self::new(
                StatusCode::FORBIDDEN,
                "not-authorized",
                "The token does not allow it",
                detail,
            )
        }
    }

    pub(crate) fn append(error: &AppendError) -> Self {
        let problem = match error {
            AppendError::KeyReused { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "key-reused",
                "The idempotency key was used for something else",
                format!("{error}; take a new Idempotency-Key for a new publication"),
            ),
            AppendError::TooLarge { .. } => Self::too_large(error.to_string()),
            AppendError::Full(_) => Self {
                extra: Extra::RetryAfter(30),
                ..Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "log-full",
                    "The log has no room",
                    format!(
                        "{error}; nothing was stored. Give it room, or let retention take more"
                    ),
                )
            },
            AppendError::Stopped(_) => Self::unavailable(format!(
                "{error}; nothing was stored. The hub's log says why, and it must be started again"
            )),
            _ => Self::unavailable(format!("{error}; nothing was stored. Try again shortly")),
        };
        problem.because(Reason::from(error))
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Says of which event of several it speaks.
    #[must_use]
    pub(crate) fn of_event(mut self, index: usize) -> Self {
        self.detail = format!("event {index}: {}", self.detail).into();
        self
    }
}

/// Enough of a text to know it by.
fn shortened(text: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 200;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = json!({
            "type": format!("urn:tidewire:problem:{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = Response::new(Body::from(format!("{document}\n")));
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self.reason);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.extra {
            Extra::None => {}
            Extra::RetryAfter(seconds) => {
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
            Extra::Allow(methods) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(methods));
            }
            Extra::Challenge(challenge) => {
                headers.insert(header::WWW_AUTHENTICATE, challenge.into_header());
            }
        }
        response
    }
}

impl Challenge {
    fn into_header(self) -> HeaderValue {
        let error = self.error.map(|error| format!("error=\"{error}\""));
        let metadata_url = self
            .metadata_url
            // It holds the request's Host, of which no character but these would end the quotation.
            .filter(|url| !url.contains(['"', '\\']))
            .map(|url| format!("resource_metadata=\"{url}\""));
        let parameters: Vec<String> = error.into_iter().chain(metadata_url).collect();
        let text = format!("Bearer {}", parameters.join(", "));
        HeaderValue::try_from(text.trim_end()).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

#[cfg(test)]
mod tests {
    use tidewire_auth::Role;

    use super::*;

    #[test]
    fn temporary_and_lasting_problems_are_told_apart() {
        let table = [
            (Problem::append(&AppendError::Busy), 503, "retry-after"),
            (
                Problem::append(&AppendError::Full("x".into())),
                507,
                "retry-after",
            ),
            (
                Problem::append(&AppendError::Stopped("x".into())),
                503,
                "retry-after",
            ),
            (
                Problem::append(&AppendError::KeyReused { index: 0 }),
                422,
                "",
            ),
            (Problem::method(&Method::PUT, "GET, HEAD"), 405, "allow"),
            (
                Problem::refused(&Refusal::Missing(Role::Publisher)),
                401,
                "www-authenticate",
            ),
            (
                Problem::refused(&Refusal::NotGranted(Role::Publisher)),
                403,
                "www-authenticate",
            ),
            (Problem::not_found("/x"), 404, ""),
        ];
        for (problem, status, name) in table {
            let response = problem.clone().into_response();
            assert_eq!(response.status(), status, "{problem:?}");
            let lacks = ["retry-after", "allow", "www-authenticate"]
                .into_iter()
                .filter(|have| response.headers().contains_key(*have));
            assert_eq!(
                lacks.collect::<Vec<_>>(),
                (!name.is_empty())
                    .then_some(name)
                    .into_iter()
                    .collect::<Vec<_>>()
            );
        }
    }

    /// mercure.md, 1.7 and 2.36
    #[test]
    fn each_dialect_says_in_its_way_what_is_wrong_with_a_token() {
        let metadata = || Some("https://h/m".to_owned());
        #[rustfmt::skip]
        let table = [
            (Problem::refused(&Refusal::Missing(Role::Publisher)), 401, "Bearer resource_metadata=\"https://h/m\""),
            (Problem::refused(&Refusal::Signature), 401, "Bearer error=\"invalid_token\", resource_metadata=\"https://h/m\""),
            (Problem::refused(&Refusal::NotGranted(Role::Publisher)), 403,
             "Bearer error=\"insufficient_scope\", resource_metadata=\"https://h/m\""),
            (Problem::topic_not_granted("a"), 403, "Bearer error=\"insufficient_scope\", resource_metadata=\"https://h/m\""),
            (Problem::presented("x"), 400, "Bearer error=\"invalid_request\", resource_metadata=\"https://h/m\""),
        ];
        for (problem, status, challenge) in table {
            let said = |dialect| {
                let response = problem
                    .clone()
                    .in_dialect(dialect, metadata)
                    .into_response();
                let challenge = response.headers()["www-authenticate"].to_str().unwrap();
                (response.status().as_u16(), challenge.to_owned())
            };
            assert_eq!(said(Dialect::Modern), (status, challenge.to_owned()));
            assert_eq!(said(Dialect::Legacy), (401, "Bearer".to_owned()));
        }
        let other = Problem::bad_event("x");
        assert_eq!(other.clone().in_dialect(Dialect::Legacy, metadata), other);
    }
}
