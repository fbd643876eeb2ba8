//! The token of a request: where it stands, and what it grants. What a token means is `tidewire-auth`'s.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use tidewire_auth::{Carrier, Presented, Question, Refusal, Role, dialect_of};
use tidewire_core::{Dialect, Grant};

use crate::front::{Front, random_u64};
use crate::hook::{self, Asked, HookRefusal};
use crate::keys::{Denied, Unfetched};
use crate::manner::Manner;
use crate::problem::Problem;
use crate::query::Pairs;
use crate::revocations::is_of_somebody;
use crate::signed;

/// The cookie that holds a legacy token (mercure.md, 1.4).
pub(crate) const LEGACY_COOKIE: &str = "mercureAuthorization";
/// The cookie that holds a modern token (mercure.md, 2.30). Browsers take a cookie of such a name over TLS alone.
pub(crate) const MODERN_COOKIE: &str = "__Secure-mercure_access_token";

/// The parameters by which a token is said in a URL: RFC 6750, section 2.3, and the legacy protocol's.
const URL_NAMES: [&str; 2] = ["access_token", LEGACY_QUERY];
const LEGACY_QUERY: &str = "authorization";

/// What the request may do in a role. Of what it says beside its token, nothing is asked. `query`: of its URL, and of a QUERY's body.
/// What is for one use is used up.
pub(crate) async fn grant(
    front: &Front,
    request: &Parts,
    role: Role,
    manner: Manner,
    query: &Pairs,
) -> Result<Grant, Problem> {
    let grant = grant_unspent(front, request, role, manner, query).await?;
    if role == Role::Subscriber {
        signed::spend(front, request, manner, query, &grant).await?;
    }
    Ok(grant)
}

/// The same, for who has what is for one use spent later ([`signed::spend`]).
pub(crate) async fn grant_unspent(
    front: &Front,
    request: &Parts,
    role: Role,
    manner: Manner,
    query: &Pairs,
) -> Result<Grant, Problem> {
    // What only reads; whatever changes something shows a token.
    if role == Role::Subscriber && signed::is_signed(query) && is_safe(request) {
        return signed::grant(front, request, manner, query).await;
    }
    let cookie_name = front.access().cookie_name.as_deref();
    let presented = presented(request, manner, query, cookie_name).map_err(|problem| {
        in_dialect(front, request, problem, manner.of_answer(Dialect::Modern))
    })?;
    admit_page(front, request, presented)?;
    // Only a modern token is for somebody.
    let audience = match presented.is_some() && front.keyring().has_issuers() {
        true => front.place().resource(request),
        false => Cow::Borrowed(""),
    };
    let question = Question {
        presented,
        role,
        dialect: manner.of_token(),
        audience: &audience,
        now_ms: front.now_ms(),
    };
    decided(front, request, &question, query)
        .await
        .and_then(|grant| in_force(front, &question, grant))
        .map_err(|no| {
            let (problem, dialect) = no.told(front, &question);
            refused(front, request, role, problem, manner.of_answer(dialect))
        })
}

/// mercure.md, 0.13: whose page sent what changes something. What only reads needs no such check; whoever may read the answer is the
/// browser's to see to.
fn admit_page(
    front: &Front,
    request: &Parts,
    presented: Option<Presented<'_>>,
) -> Result<(), Problem> {
    let is_from = |carrier| presented.is_some_and(|presented| presented.from == carrier);
    // Scripts of other origins cannot add this header without a preflight, which asks `cors_origins`. Anybody's form can have a
    // token in its URL, whatever it is worth, and the browser adds cookies, which a hook may look at.
    if is_safe(request) || is_from(Carrier::Header) {
        return Ok(());
    }
    // Any cookie may be what the hook knows somebody by.
    let by_any = front.hook().is_some() && request.headers.contains_key(COOKIE);
    let admitted = front
        .access()
        .admit_change(request, by_any || is_from(Carrier::Cookie));
    admitted.inspect_err(|_| front.counting().not_admitted.one())
}

/// What somebody is told who may not: counted, logged under an id, without what is not for strangers, in the dialect of the request.
pub(crate) fn refused(
    front: &Front,
    request: &Parts,
    role: Role,
    problem: Problem,
    dialect: Dialect,
) -> Problem {
    front.counting().not_authorized.one();
    let id = format!("{:08x}", random_u64() >> 32);
    tracing::info!(%role, refusal = problem.detail(), id, "refused");
    let problem = match front.settings().debug_refusals {
        true => problem,
        false => problem.for_strangers(&id),
    };
    in_dialect(front, request, problem, dialect)
}

/// Who says no.
enum No {
    Token(Refusal),
    Keys(Unfetched),
    Hook(HookRefusal),
    /// A page that may not.
    Page(Problem),
}

impl No {
    /// In words, and in which dialect they are if the request shows none.
    fn told(self, front: &Front, question: &Question<'_>) -> (Problem, Dialect) {
        match self {
            Self::Token(refusal) => {
                let dialect = dialect_of(question, &front.keys());
                (Problem::refused(&refusal), dialect)
            }
            Self::Keys(unfetched) => (Problem::keys_unfetched(&unfetched), Dialect::Modern),
            Self::Hook(refusal) => {
                let problem = Problem::hook(&refusal, question.presented.is_some());
                (problem, Dialect::Modern)
            }
            Self::Page(problem) => (problem, Dialect::Modern),
        }
    }
}

/// Whoever said yes: nobody has taken it back since.
fn in_force(front: &Front, question: &Question<'_>, grant: Grant) -> Result<Grant, No> {
    // Without a token too, if the hook knows somebody by a cookie.
    if question.presented.is_some() || is_of_somebody(&grant) {
        let checked = front.revocations().check(&grant, question.now_ms);
        checked.map_err(No::Token)?;
    }
    Ok(grant)
}

/// By a key of the hub, if one verifies the token; else by the hook, if there is one.
async fn decided(
    front: &Front,
    request: &Parts,
    question: &Question<'_>,
    query: &Pairs,
) -> Result<Grant, No> {
    let anonymous = front.access().anonymous;
    let patterns = front.patterns();
    let keyring = front.keyring();
    let decided = keyring.decide(question, anonymous, patterns).await;
    match front.hook() {
        Some(hook) if hook::is_asked(&decided, request, question) => {
            // A page that may read may send any header. What it makes up as a token must not spare it the question whose page it is,
            // where a cookie may be what decides.
            if !is_safe(request) && request.headers.contains_key(COOKIE) {
                let admitted = front.access().admit_change(request, false);
                admitted.map_err(No::Page)?;
            }
            let asked = Asked::new(question, request, query);
            let granted = hook.ask(&asked, patterns, question.now_ms).await;
            granted.map_err(No::Hook)
        }
        _ => decided.map_err(|denied| match denied {
            Denied::Refused(refusal) => No::Token(refusal),
            Denied::Unfetched(unfetched) => No::Keys(unfetched),
        }),
    }
}

/// A problem as a dialect says it, to this request.
pub(crate) fn in_dialect(
    front: &Front,
    request: &Parts,
    problem: Problem,
    dialect: Dialect,
) -> Problem {
    problem.in_dialect(dialect, || {
        front
            .has_metadata()
            .then(|| front.place().metadata_url(request))
    })
}

/// RFC 9110, section 9.2.1; QUERY is safe as well.
pub(crate) fn is_safe(request: &Parts) -> bool {
    request.method.is_safe() || request.method.as_str() == "QUERY"
}

/// The token of a request, and where it stands. The first that is there counts (mercure.md, 1.4 and 2.30); a bad one is an error,
/// never a reason to look further.
fn presented<'a>(
    request: &'a Parts,
    manner: Manner,
    query: &'a Pairs,
    cookie_name: Option<&str>,
) -> Result<Option<Presented<'a>>, Problem> {
    let in_url = |name: &&&str| query.first(name).is_some();
    let is_legacy = manner == Manner::Legacy;
    let refused = match manner {
        // What the legacy protocol does not know, it does not look at.
        Manner::Legacy => &[],
        Manner::Modern => &URL_NAMES[..],
        Manner::Form | Manner::Ours => &URL_NAMES[..1],
    };
    if let Some(name) = refused.iter().find(in_url) {
        return Err(Problem::presented(format!(
            "a token must not stand in the URL (`{name}`), from where it gets into logs and histories: \
             send it as `Authorization: Bearer`, or in a cookie"
        )));
    }
    if let Some(token) = of_header(request)? {
        let from = Carrier::Header;
        return Ok(Some(Presented { token, from }));
    }
    if let Some(token) = query
        .once(LEGACY_QUERY)
        .map_err(|_| Problem::presented("`authorization` was given more than once"))?
    {
        let from = Carrier::Query;
        return Ok(Some(Presented { token, from }));
    }
    let names = match (cookie_name, manner) {
        (Some(name), _) => [Some(name), None],
        (None, _) if is_legacy => [Some(LEGACY_COOKIE), None],
        (None, Manner::Modern) => [Some(MODERN_COOKIE), None],
        (None, _) => [Some(MODERN_COOKIE), Some(LEGACY_COOKIE)],
    };
    let token = names
        .into_iter()
        .flatten()
        .find_map(|name| cookie(request, name));
    let from = Carrier::Cookie;
    Ok(token.map(|token| Presented { token, from }))
}

fn of_header(request: &Parts) -> Result<Option<&str>, Problem> {
    let mut headers = request.headers.get_all(AUTHORIZATION).iter();
    let Some(value) = headers.next() else {
        return Ok(None);
    };
    let bearer = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        let token = token.trim_start();
        // RFC 6750, section 2.1: one word.
        let is_word = !token.is_empty() && !token.contains([' ', '\t']);
        // RFC 9110, section 11.1: the scheme's name in any case.
        (scheme.eq_ignore_ascii_case("bearer") && is_word).then_some(token)
    });
    match (bearer, headers.next()) {
        (Some(token), None) => Ok(Some(token)),
        _ => Err(Problem::presented(
            "send one Authorization header, and in it `Bearer` and the token",
        )),
    }
}

/// Whether a cookie can be called so (RFC 6265, section 4.1.1: a token of HTTP).
#[must_use]
pub fn is_cookie_name(name: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_of_token)
}

/// Whether it carries a token at all.
pub(crate) fn is_presented(front: &Front, request: &Parts, manner: Manner, query: &Pairs) -> bool {
    let cookie_name = front.access().cookie_name.as_deref();
    !matches!(presented(request, manner, query, cookie_name), Ok(None))
}

/// RFC 6265, section 4.2: pairs separated by semicolons.
fn cookie<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    request
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(have, _)| *have == name)
        .map(|(_, token)| token.trim_matches('"'))
}

/// A request's target for the log: without the token that its query may hold.
pub(crate) fn redacted(uri: &http::Uri) -> String {
    let path = match uri.path() {
        "" => return "-".to_owned(),
        // Who knows a stream's id may change the stream.
        path if path.starts_with("/streams/") => format!("/streams/{REDACTED}"),
        path => path.to_owned(),
    };
    match uri.query() {
        None => path,
        Some(query) => format!("{path}?{}", redacted_query(query)),
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

    fn of(manner: Manner, target: &str, lines: &[(&str, &str)], name: Option<&str>) -> String {
        let mut builder = Request::builder().uri(target);
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(()).unwrap().into_parts().0;
        let query = Pairs::of(&request.uri).unwrap();
        match presented(&request, manner, &query, name) {
            Ok(None) => "none".to_owned(),
            Ok(Some(Presented { token, from })) => format!("{from:?} {token}"),
            Err(problem) => problem.status().as_u16().to_string(),
        }
    }

    /// mercure.md, 1.4 and 2.30
    #[test]
    fn the_first_token_counts_where_its_dialect_has_it() {
        let cookie = (
            "cookie",
            "a=b; mercureAuthorization=l; __Secure-mercure_access_token=\"m\"",
        );
        let legacy = ("cookie", "mercureAuthorization=l");
        let bearer = ("authorization", "Bearer h");
        #[rustfmt::skip]
        let table: [(&str, &[(&str, &str)], [&str; 3]); 14] = [
            // target, headers                                         legacy      modern      ours
            ("/", &[],                                                 ["none",     "none",     "none"]),
            ("/", &[bearer],                                           ["Header h", "Header h", "Header h"]),
            ("/", &[("authorization", "bEARER h")],                    ["Header h", "Header h", "Header h"]),
            ("/", &[bearer, cookie],                                   ["Header h", "Header h", "Header h"]),
            ("/", &[cookie],                                           ["Cookie l", "Cookie m", "Cookie m"]),
            ("/", &[legacy],                                           ["Cookie l", "none",     "Cookie l"]),
            ("/?authorization=q", &[bearer, cookie],                   ["Header h", "400",      "Header h"]),
            ("/?authorization=q", &[cookie],                           ["Query q",  "400",      "Query q"]),
            ("/?access_token=q", &[legacy],                            ["Cookie l", "400",      "400"]),
            ("/?authorization=a&authorization=b", &[],                 ["400",      "400",      "400"]),
            ("/?authorization=q", &[("authorization", "Basic h")],     ["400",      "400",      "400"]),
            ("/", &[("authorization", "Bearer")],                      ["400",      "400",      "400"]),
            ("/", &[("authorization", "Bearer ")],                     ["400",      "400",      "400"]),
            ("/", &[bearer, ("authorization", "Bearer i"), cookie],    ["400",      "400",      "400"]),
        ];
        for (target, lines, [legacy, modern, ours]) in table {
            let of = |manner| of(manner, target, lines, None);
            assert_eq!(of(Manner::Legacy), legacy, "{target} {lines:?}");
            assert_eq!(of(Manner::Modern), modern, "{target} {lines:?}");
            assert_eq!(of(Manner::Ours), ours, "{target} {lines:?}");
            assert_eq!(of(Manner::Form), ours, "{target} {lines:?}");
        }
        let named = [("cookie", "mercureAuthorization=l; mine=n")];
        for manner in [Manner::Legacy, Manner::Modern, Manner::Ours, Manner::Form] {
            assert_eq!(of(manner, "/", &named, Some("mine")), "Cookie n");
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
            ("/streams/7e87b45a", "/streams/REDACTED"),
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
