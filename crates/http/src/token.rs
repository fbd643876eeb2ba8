//! The token of a request: where it stands, and what it grants. What a token means is `tidewire-auth`'s.

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use tidewire_auth::{Carrier, Presented, Question, Role, decide};
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
    let question = Question {
        presented: presented
            .as_ref()
            .map(|(token, from)| Presented { token, from: *from }),
        role,
        dialect: None,
        // No issuer is configured yet, so no token comes as far as that.
        audience: "",
        now_ms: front.now_ms(),
    };
    decide(&question, &access.keys, access.anonymous, front.patterns()).map_err(|refusal| {
        front.counting().not_authorized.one();
        tracing::info!(%role, %refusal, "refused");
        Problem::refused(&refusal)
    })
}

/// mercure.md, 1.4: header, then query, then cookie. The first that is there counts; a bad one is an error, never a reason to
/// look further.
fn presented(request: &Parts) -> Result<Option<(String, Carrier)>, Problem> {
    let mut headers = request.headers.get_all(AUTHORIZATION).iter();
    if let Some(value) = headers.next() {
        let bearer = value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            let token = token.trim_start();
            // RFC 9110, section 11.1: the scheme's name in any case.
            (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
        });
        return match (bearer, headers.next()) {
            (Some(token), None) => Ok(Some((token, Carrier::Header))),
            _ => Err(Problem::bad_request(
                "send one Authorization header, and in it `Bearer` and the token",
            )),
        };
    }
    if let Some(token) = Pairs::of(&request.uri)?.once("authorization")? {
        return Ok(Some((token.to_owned(), Carrier::Query)));
    }
    Ok(cookie(request).map(|token| (token, Carrier::Cookie)))
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
    match (uri.path(), uri.query()) {
        ("", _) => "-".to_owned(),
        (path, None) => path.to_owned(),
        (path, Some(query)) => format!("{path}?{}", redacted_query(query)),
    }
}

/// Another page's address for the log, as `Referer` has it: without what of it may be a secret. Its fragment is none of ours.
pub(crate) fn redacted_url(url: &[u8]) -> Vec<u8> {
    let url = String::from_utf8_lossy(url);
    let url = url.split('#').next().unwrap_or_default();
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (url, None),
    };
    // RFC 3986, section 3.2.1: what stands before an `@` may be a password.
    let mut text = match address.rsplit_once('@') {
        Some((_, rest)) => format!("{REDACTED}@{rest}"),
        None => address.to_owned(),
    };
    if let Some(query) = query {
        text.push('?');
        text.push_str(&redacted_query(query));
    }
    text.into_bytes()
}

const REDACTED: &str = "REDACTED";

fn redacted_query(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match is_harmless(pair) {
        true => pair,
        false => REDACTED,
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Whether a pair of a query holds no secret. A name may be written with escapes, a whole URL may be somebody's value, and `;`
/// separates pairs elsewhere: what is not plainly harmless is not shown.
fn is_harmless(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    let is_plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let mut text = pair.to_owned();
    // Escapes of escapes: a few times is more than anybody means.
    for _ in 0..4 {
        text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
    }
    let text = text.to_ascii_lowercase();
    let names = text
        .split(['&', ';', '?'])
        .filter_map(|pair| pair.split('=').next());
    is_plain
        // A JWT begins with `{"` in base64url.
        && !text.contains("eyj")
        && !text.contains("authorization")
        && !names.into_iter().any(names_a_secret)
}

fn names_a_secret(name: &str) -> bool {
    let parts = [
        "token",
        "secret",
        "passw",
        "jwt",
        "signature",
        "apikey",
        "api_key",
        "api-key",
    ];
    matches!(name, "auth" | "key" | "sig") || parts.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn of(target: &str, lines: &[(&str, &str)]) -> Result<Option<(String, Carrier)>, ()> {
        let mut builder = Request::builder().uri(target);
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        presented(&builder.body(()).unwrap().into_parts().0).map_err(|_| ())
    }

    #[test]
    fn the_first_token_counts() {
        use Carrier::{Cookie, Header, Query};
        let some = |token: &str, from| Ok(Some((token.to_owned(), from)));
        let cookie = ("cookie", "a=b; mercureAuthorization=c");
        #[rustfmt::skip]
        let table: [(&str, &[(&str, &str)], Result<Option<(String, Carrier)>, ()>); 9] = [
            ("/", &[], Ok(None)),
            ("/", &[("authorization", "Bearer h")], some("h", Header)),
            ("/", &[("authorization", "bearer h")], some("h", Header)),
            ("/?authorization=q", &[("authorization", "Bearer h"), cookie], some("h", Header)),
            ("/?authorization=q", &[cookie], some("q", Query)),
            ("/", &[cookie], some("c", Cookie)),
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
            ("/a?topic=b&access_token=secret", "/a?topic=b&REDACTED"),
            ("/a?topic=b;authorization=secret", "/a?REDACTED"),
            ("/a?topic=b;token=secret", "/a?REDACTED"),
            ("/a?next=%2Fb%3F%61uthorization%3Dsecret", "/a?REDACTED"),
            ("/a?next=%252Fb%253Fjwt%253Dsecret", "/a?REDACTED"),
            ("/a?topic=eyJhbGciOiJIUzI1NiJ9.e30.c2VjcmV0", "/a?REDACTED"),
            (
                "/a?since=10m&last_event_id=%235-1",
                "/a?since=10m&last_event_id=%235-1",
            ),
            ("http://u:secret@h/a?topic=b", "/a?topic=b"),
            ("/a?&&topic", "/a?&&topic"),
        ];
        for (target, want) in table {
            assert_eq!(redacted(&target.parse().unwrap()), want, "{target}");
        }
    }

    #[test]
    fn addresses_of_pages_are_logged_without_secrets() {
        let table = [
            ("https://a.example/b?c=d", "https://a.example/b?c=d"),
            ("https://u:secret@a.example/b", "REDACTED@a.example/b"),
            (
                "https://a.example/?authorization=secret&c=d",
                "https://a.example/?REDACTED&c=d",
            ),
            (
                "https://a.example/#access_token=secret",
                "https://a.example/",
            ),
            (
                "https://a.example/?a#?authorization=secret",
                "https://a.example/?a",
            ),
        ];
        for (url, want) in table {
            let shown = String::from_utf8(redacted_url(url.as_bytes())).unwrap();
            assert_eq!(shown, want, "{url}");
        }
    }
}
