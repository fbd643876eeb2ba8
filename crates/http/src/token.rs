//! The token of a request: where it stands, and what it grants. What a token means is `tidewire-auth`'s.

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use tidewire_auth::{Role, decide};
use tidewire_core::Grant;

use crate::front::Front;
use crate::problem::Problem;
use crate::query::Pairs;

/// The cookie that holds a token (mercure.md, 1.4).
const COOKIE_NAME: &str = "mercureAuthorization";

/// What the request may do in a role.
pub(crate) fn grant(front: &Front, request: &Parts, role: Role) -> Result<Grant, Problem> {
    let presented = presented(request)?;
    let access = front.access();
    decide(
        presented.as_deref(),
        role,
        &access.keys,
        access.anonymous,
        front.patterns(),
        front.now_ms(),
    )
    .map_err(|refusal| {
        front.counting().not_authorized.one();
        tracing::info!(%role, %refusal, "refused");
        Problem::refused(&refusal)
    })
}

/// mercure.md, 1.4: header, then query, then cookie. The first that is there counts; a bad one is an error, never a reason to
/// look further.
fn presented(request: &Parts) -> Result<Option<String>, Problem> {
    let mut headers = request.headers.get_all(AUTHORIZATION).iter();
    if let Some(value) = headers.next() {
        let bearer = value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            let token = token.trim_start();
            // RFC 9110, section 11.1: the scheme's name in any case.
            (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
        });
        return match (bearer, headers.next()) {
            (Some(token), None) => Ok(Some(token)),
            _ => Err(Problem::bad_request(
                "send one Authorization header, and in it `Bearer` and the token",
            )),
        };
    }
    if let Some(token) = Pairs::of(&request.uri)?.once("authorization")? {
        return Ok(Some(token.to_owned()));
    }
    Ok(cookie(request))
}

/// RFC 6265, section 4.2: pairs separated by semicolons.
fn cookie(request: &Parts) -> Option<String> {
    request
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, token)| token.trim_matches('"').to_owned())
}

/// A request's target for the log: without the token that its query may hold.
pub(crate) fn redacted(uri: &http::Uri) -> String {
    let Some(query) = uri.query() else {
        return uri.path().to_owned();
    };
    let pairs = query.split('&').map(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        // `authorization` may be written with escapes; what is not plainly another name is not shown.
        let is_plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if is_plain && !name.eq_ignore_ascii_case("authorization") {
            pair.to_owned()
        } else {
            "REDACTED".to_owned()
        }
    });
    format!("{}?{}", uri.path(), pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn of(target: &str, lines: &[(&str, &str)]) -> Result<Option<String>, ()> {
        let mut builder = Request::builder().uri(target);
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        presented(&builder.body(()).unwrap().into_parts().0).map_err(|_| ())
    }

    #[test]
    fn the_first_token_counts() {
        let some = |token: &str| Ok(Some(token.to_owned()));
        let cookie = ("cookie", "a=b; mercureAuthorization=c");
        #[rustfmt::skip]
        let table: [(&str, &[(&str, &str)], Result<Option<String>, ()>); 9] = [
            ("/", &[], Ok(None)),
            ("/", &[("authorization", "Bearer h")], some("h")),
            ("/", &[("authorization", "bearer h")], some("h")),
            ("/?authorization=q", &[("authorization", "Bearer h"), cookie], some("h")),
            ("/?authorization=q", &[cookie], some("q")),
            ("/", &[cookie], some("c")),
            ("/?authorization=q", &[("authorization", "Basic h")], Err(())),
            ("/", &[("authorization", "Bearer a"), ("authorization", "Bearer b")], Err(())),
            ("/?authorization=a&authorization=b", &[], Err(())),
        ];
        for (target, lines, want) in table {
            assert_eq!(of(target, lines), want, "{target} {lines:?}");
        }
    }

    #[test]
    fn targets_are_logged_without_tokens() {
        let table = [
            ("/a", "/a"),
            ("/a?topic=b", "/a?topic=b"),
            ("/a?authorization=secret&topic=b", "/a?REDACTED&topic=b"),
            ("/a?Authorization=secret", "/a?REDACTED"),
            ("/a?%61uthorization=secret", "/a?REDACTED"),
        ];
        for (target, want) in table {
            assert_eq!(redacted(&target.parse().unwrap()), want);
        }
    }
}
