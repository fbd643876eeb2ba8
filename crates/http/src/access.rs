//! Who is answered at all: the keyless rules, and which pages of other origins may read or publish.
//!
//! Not here: tokens and what they grant.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use tidewire_auth::signed_url::UrlKey;
use tidewire_auth::{Anonymous, Keys};
use url::Url;

use crate::counters::Reason;
use crate::problem::Problem;

/// Who may do what without further configuration.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Access {
    /// The keys that tokens are checked with.
    pub keys: Keys,
    /// What is open to requests without a token.
    pub anonymous: Anonymous,
    /// The keyless rules: answer only loopback Host names, requests that were not forwarded, and pages of a loopback origin.
    /// On when nobody configured keys or said who may do what.
    pub keyless: bool,
    /// The names that requests may be for; `None`: any. Health is answered under every name, for probes use addresses.
    pub allowed_hosts: Option<Hosts>,
    /// Origins whose pages may read answers, with their cookies; their own origin always may.
    pub cors_origins: Origins,
    /// Origins whose pages may publish; the hub's own always may.
    pub publish_origins: Origins,
    /// The cookie that may hold a token, in either dialect; `None`: each dialect's own, `mercureAuthorization` and
    /// `__Secure-mercure_access_token`.
    pub cookie_name: Option<String>,
    /// What URLs are signed with; `None`: none is good.
    pub url_key: Option<UrlKey>,
}

impl Access {
    /// A hub without keys on a loopback address: open to programs and pages of this machine, and to nobody else.
    #[must_use]
    pub fn keyless() -> Self {
        Self {
            anonymous: Anonymous::All,
            keyless: true,
            ..Self::default()
        }
    }

    /// Checks a request before anything else looks at it.
    pub(crate) fn admit(&self, request: &Parts) -> Result<(), Problem> {
        let host = host_of(request)?;
        // mercure.md, 2.72
        if let Some(allowed) = &self.allowed_hosts
            && !matches!(request.uri.path(), "/healthz" | "/readyz")
        {
            let name = host.as_ref().map_or("", Authority::host);
            if !allowed.have(name) {
                return Err(Problem::misdirected(name));
            }
        }
        if !self.keyless {
            return Ok(());
        }
        if let Some(host) = &host
            && !is_loopback(host.host())
        {
            // A page whose name was made to point here (DNS rebinding) shows that name in Host.
            return Err(Problem::forbidden(
                Reason::Host,
                format!(
                    "this hub has no keys, so it answers only loopback names, and this request is for {:?}; \
                 start it with --anonymous all to answer any name, or give it keys",
                    host.host()
                ),
            ));
        }
        if let Some(name) = request.headers.keys().find(|name| is_forwarding(name)) {
            return Err(Problem::forbidden(
                Reason::Forwarded,
                format!(
                    "this hub has no keys, so it does not answer requests that were forwarded (this one has `{name}`); \
                 start it with --anonymous all to answer them, or give it keys"
                ),
            ));
        }
        match self.origin(request) {
            Origin::Other(origin) => Err(Problem::forbidden(
                Reason::Origin,
                format!(
                    "this hub has no keys, so it answers only pages of its own or a loopback origin, not {origin}; \
                 start it with --anonymous all and --cors-origins {origin} to permit it"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Checks a request that changes something and says who it is by no Authorization header: a page of another origin must
    /// have been named, for a browser sends its cookies and reaches loopback (mercure.md, 0.13). The hub's own pages always may.
    ///
    /// A request of which nothing tells whose page sent it is no page's, unless it has its token in a cookie: then it may be that
    /// of a browser that was talked into saying nothing.
    pub(crate) fn admit_change(&self, request: &Parts, by_cookie: bool) -> Result<(), Problem> {
        match Sender::of(request) {
            Sender::Origin(origin) => match self.origin_of(&origin, request) {
                Origin::Own => Ok(()),
                Origin::Listed if self.keyless => Ok(()),
                _ if self.publish_origins.accepts(&origin) => Ok(()),
                _ => Err(Problem::forbidden(
                    Reason::Origin,
                    format!(
                        "a page of {origin} may not publish here; start the hub with --publish-origins {origin} to permit it"
                    ),
                )),
            },
            Sender::Own => Ok(()),
            Sender::Other => Err(Problem::forbidden(
                Reason::Origin,
                "a page of another site may not publish here; start the hub with --publish-origins and its origin to permit it",
            )),
            Sender::Untold if by_cookie => Err(Problem::forbidden(
                Reason::Origin,
                "it is by a cookie, and neither Origin nor Referer says whose page sent this; \
                 a program sends its token as `Authorization: Bearer`",
            )),
            Sender::Untold => Ok(()),
        }
    }

    /// Whose page sent this request.
    fn origin(&self, request: &Parts) -> Origin {
        let Some(value) = request.headers.get(header::ORIGIN) else {
            return Origin::None;
        };
        match value.to_str() {
            Ok(origin) => self.origin_of(origin, request),
            Err(_) => Origin::Other(String::from_utf8_lossy(value.as_bytes()).into_owned()),
        }
    }

    fn origin_of(&self, text: &str, request: &Parts) -> Origin {
        if is_own(text, request) {
            Origin::Own
        } else if self.cors_origins.accepts(text) || (self.keyless && is_loopback_origin(text)) {
            Origin::Listed
        } else {
            Origin::Other(text.to_owned())
        }
    }

    /// Adds what lets a page of another origin read the answer.
    pub(crate) fn cors(&self, request: &Parts, answer: &mut HeaderMap) {
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        let (Origin::Listed, Some(origin)) =
            (self.origin(request), request.headers.get(header::ORIGIN))
        else {
            return;
        };
        // mercure.md, 2.8: never `*`, nor any origin there is, together with credentials.
        if self.cors_origins.any {
            answer.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
        } else {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if !self.keyless {
                answer.insert(
                    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                    HeaderValue::from_static("true"),
                );
            }
        }
        answer.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "last-event-id, mercure-last-event-id, tidewire-gap, link, etag, retry-after, www-authenticate",
            ),
        );
    }

    /// Adds what a browser asks before it lets such a page send a request (the Fetch standard, CORS-preflight fetch).
    pub(crate) fn preflight(&self, request: &Parts, allow: &'static str, answer: &mut HeaderMap) {
        if !matches!(self.origin(request), Origin::Listed | Origin::Own) {
            return;
        }
        answer.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(allow),
        );
        answer.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "authorization, cache-control, content-type, idempotency-key, if-none-match, last-event-id",
            ),
        );
        answer.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("7200"),
        );
    }
}

/// Who sent a request that changes something, as far as it says.
enum Sender {
    /// A page of this origin.
    Origin(String),
    /// A page of the hub's own, or the user by hand.
    Own,
    /// A page of another site.
    Other,
    /// Nothing is said of it.
    Untold,
}

impl Sender {
    /// The header that browsers always send where it matters, then what stands in for it.
    fn of(request: &Parts) -> Self {
        let text = |name: HeaderName| {
            let value = request.headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        if let Some(origin) = text(header::ORIGIN) {
            return Self::Origin(origin);
        }
        match text(HeaderName::from_static("sec-fetch-site")).as_deref() {
            Some("same-origin" | "none") => return Self::Own,
            Some(_) => return Self::Other,
            None => {}
        }
        let Some(referer) = text(header::REFERER) else {
            return Self::Untold;
        };
        Self::Origin(match Url::parse(&referer) {
            Ok(url) => url.origin().ascii_serialization(),
            Err(_) => "null".to_owned(),
        })
    }
}

enum Origin {
    None,
    Own,
    Listed,
    Other(String),
}

/// The authority that the request is for. RFC 9112, section 3.2: HTTP/1.1 must name one Host; section 3.2.2: a target in
/// absolute form wins over it; HTTP/2 has it in the target.
pub(crate) fn host_of(request: &Parts) -> Result<Option<Authority>, Problem> {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Problem::bad_request("the request has more than one Host"));
    }
    if let Some(authority) = request.uri.authority() {
        return Ok(Some(authority.clone()));
    }
    match host {
        Some(host) => Authority::try_from(host.as_bytes())
            .map(Some)
            .map_err(|_| Problem::bad_request("the request's Host is no host name")),
        None if request.version == http::Version::HTTP_11 => {
            Err(Problem::bad_request("an HTTP/1.1 request needs a Host"))
        }
        None => Ok(None),
    }
}

fn is_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "forwarded" || name == "via" || name.starts_with("x-forwarded-")
}

/// Whether a host, as a URL or a `Host` header has it, is this machine by its name alone: `localhost`, names below it, 127.0.0.0/8
/// and `[::1]`.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return true;
    }
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match bare {
        Some(six) => six.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => matches!(name.parse::<IpAddr>(), Ok(IpAddr::V4(ip)) if ip.is_loopback()),
    }
}

/// `scheme://host:port` of an origin, the port always said; `None` for `null` and what is none.
fn origin_parts(origin: &str) -> Option<(String, String, u16)> {
    let url = Url::parse(origin).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https");
    let port = url.port_or_known_default()?;
    is_web.then(|| {
        (
            url.scheme().into(),
            url.host_str().unwrap_or_default().into(),
            port,
        )
    })
}

fn is_loopback_origin(origin: &str) -> bool {
    origin_parts(origin).is_some_and(|(_, host, _)| is_loopback(&host))
}

/// In the extensions of each request that came over our own TLS.
#[derive(Clone, Copy)]
pub(crate) struct Secure;

/// Whether the origin is the hub's own: the host and port that the request is for. Over our own TLS the scheme must be https,
/// for a page of http may be anybody's on the way; else it is not compared, for whoever ends TLS before us hides it.
fn is_own(origin: &str, request: &Parts) -> bool {
    let (Some((scheme, host, port)), Ok(Some(own))) = (origin_parts(origin), host_of(request))
    else {
        return false;
    };
    if scheme != "https" && request.extensions.get::<Secure>().is_some() {
        return false;
    }
    let default = if scheme == "https" { 443 } else { 80 };
    host.eq_ignore_ascii_case(own.host()) && port == own.port_u16().unwrap_or(default)
}

/// Names that a hub is called by: `example.com`, `*.example.com` for all names below, `192.0.2.1`, `[2001:db8::1]`. Ports do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Reads names.
    ///
    /// # Errors
    /// If one is none.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let parse = |text: &str| {
            let name = text.strip_prefix("*.").unwrap_or(text);
            let is_host = !name.contains(['*', '@'])
                && Authority::try_from(name)
                    .is_ok_and(|authority| authority.host() == name && !name.is_empty());
            match is_host {
                true => Ok(text.trim_end_matches('.').to_ascii_lowercase()),
                false => Err(format!(
                    "{text:?} is no host name: write it like example.com or *.example.com, without scheme and port"
                )),
            }
        };
        texts
            .into_iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn have(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.0
            .iter()
            .any(|allowed| match allowed.strip_prefix('*') {
                Some(below) => name.len() > below.len() && name.ends_with(below),
                None => *allowed == name,
            })
    }
}

/// Origins of pages: `https://example.com`, `https://*.example.com`, `null`, or `*` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    null: bool,
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    scheme: String,
    host: String,
    port: u16,
    below: bool,
}

/// An origin as browsers send it (WHATWG URL, section 4.5: no path, no usual port, small letters), from a text that may be in capitals.
#[must_use]
pub fn origin_as_sent(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let written = url.origin().ascii_serialization();
    let is_one = matches!(url.scheme(), "http" | "https") && text.eq_ignore_ascii_case(&written);
    is_one.then_some(written)
}

/// A text is no origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError(String);

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no origin: write https://example.com, https://example.com:8443, https://*.example.com, null, or * for all",
            self.0
        )
    }
}

impl std::error::Error for OriginError {}

impl Origins {
    /// Reads a list of them.
    ///
    /// # Errors
    /// Names the first that is none.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginError> {
        let mut origins = Self::default();
        for text in texts {
            match text {
                "*" => origins.any = true,
                "null" => origins.null = true,
                _ => origins.patterns.push(text.parse()?),
            }
        }
        Ok(origins)
    }

    /// Whether an origin is among them.
    #[must_use]
    pub fn accepts(&self, origin: &str) -> bool {
        if self.any || (self.null && origin == "null") {
            return true;
        }
        origin_parts(origin).is_some_and(|(scheme, host, port)| {
            self.patterns.iter().any(|pattern| {
                let fits = match host.strip_suffix(&pattern.host) {
                    Some("") => !pattern.below,
                    Some(rest) => pattern.below && rest.ends_with('.') && rest.len() > 1,
                    None => false,
                };
                fits && pattern.scheme == scheme && pattern.port == port
            })
        })
    }
}

impl FromStr for Pattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let error = || OriginError(text.to_owned());
        let plain = text.replacen("://*.", "://", 1);
        let url = Url::parse(&plain).map_err(|_| error())?;
        let is_bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty();
        let (scheme, host, port) = origin_parts(&plain).ok_or_else(error)?;
        if !is_bare || host.contains('*') {
            return Err(error());
        }
        Ok(Self {
            below: plain != text,
            scheme,
            host,
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Version};

    use super::*;

    fn request(lines: &[(&str, &str)]) -> Parts {
        let mut builder = Request::builder().uri("/topics/a");
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for (text, sent) in [
            ("https://App.example", Some("https://app.example")),
            ("http://h:8080", Some("http://h:8080")),
            ("https://h:443", None),
            ("https://h/", None),
            ("https://h/path", None),
            ("https://u@h", None),
            ("ftp://h", None),
            ("null", None),
            ("*", None),
        ] {
            assert_eq!(origin_as_sent(text).as_deref(), sent, "{text}");
        }
    }

    #[test]
    fn keyless_hubs_answer_this_machine_alone() {
        let access = Access::keyless();
        let host = ("host", "localhost:8080");
        #[rustfmt::skip]
        let table: [(&[(&str, &str)], u16); 24] = [
            (&[host], 200),
            (&[("host", "LOCALHOST")], 200),
            (&[("host", "app.localhost:3000")], 200),
            (&[("host", "127.0.0.1:1")], 200),
            (&[("host", "127.8.9.1")], 200),
            (&[("host", "[::1]:8080")], 200),
            (&[("host", "evil.example")], 403),
            (&[("host", "localhost.evil.example")], 403),
            (&[("host", "evillocalhost")], 403),
            (&[("host", "192.168.1.7:8080")], 403),
            (&[("host", "0.0.0.0:8080")], 403),
            (&[("host", "[::]:8080")], 403),
            (&[("host", "127.0.0.1.nip.io")], 403),
            (&[("host", "a"), ("host", "b")], 400),
            (&[], 400),
            (&[host, ("x-forwarded-for", "1.2.3.4")], 403),
            (&[host, ("X-Forwarded-Anything", "")], 403),
            (&[host, ("forwarded", "for=1.2.3.4")], 403),
            (&[host, ("via", "1.1 nginx")], 403),
            (&[host, ("origin", "http://localhost:8080")], 200),
            (&[host, ("origin", "http://127.0.0.1:5173")], 200),
            (&[host, ("origin", "https://evil.example")], 403),
            (&[host, ("origin", "http://localhost.evil.example")], 403),
            (&[host, ("origin", "null")], 403),
        ];
        for (lines, want) in table {
            let got = access.admit(&request(lines)).err();
            let status = got.map_or(200, |problem| problem.status().as_u16());
            assert_eq!(status, want, "{lines:?}");
        }
        let mut old = request(&[]);
        old.version = Version::HTTP_10;
        assert_eq!(access.admit(&old), Ok(()));
        let mut absolute = request(&[host]);
        absolute.uri = "http://evil.example/topics/a".parse().unwrap();
        assert!(access.admit(&absolute).is_err());
    }

    #[test]
    fn pages_of_other_origins_may_not_publish() {
        let open = Access {
            anonymous: Anonymous::All,
            cors_origins: Origins::parse(["https://reader.example"]).unwrap(),
            publish_origins: Origins::parse(["https://app.example"]).unwrap(),
            ..Access::default()
        };
        let host = ("host", "hub.example");
        let foreign = ("referer", "https://evil.example/page?x=1");
        let own = ("referer", "https://hub.example/page?x=1");
        // mercure.md, 0.13: without a cookie, and with a token in one.
        #[rustfmt::skip]
        let table: [(&[(&str, &str)], bool, bool); 18] = [
            (&[host], true, false),
            (&[host, ("origin", "https://reader.example")], false, false),
            (&[host, ("origin", "https://hub.example")], true, true),
            (&[host, ("origin", "http://hub.example:80")], true, true),
            (&[host, ("origin", "http://hub.example:81")], false, false),
            (&[host, ("origin", "https://app.example")], true, true),
            (&[host, ("origin", "https://evil.example")], false, false),
            (&[host, ("origin", "null")], false, false),
            (&[host, ("origin", "https://app.example"), foreign], true, true),
            (&[host, ("origin", "https://evil.example"), own], false, false),
            (&[host, ("sec-fetch-site", "cross-site")], false, false),
            (&[host, ("sec-fetch-site", "same-site")], false, false),
            (&[host, ("sec-fetch-site", "same-origin")], true, true),
            (&[host, ("sec-fetch-site", "cross-site"), own], false, false),
            (&[host, foreign], false, false),
            (&[host, own], true, true),
            (&[host, ("referer", "https://app.example")], true, true),
            (&[host, ("referer", "nonsense")], false, false),
        ];
        for (lines, without, with) in table {
            let got = |by_cookie| open.admit_change(&request(lines), by_cookie).is_ok();
            assert_eq!((got(false), got(true)), (without, with), "{lines:?}");
        }
    }

    #[test]
    fn answers_are_readable_where_it_was_permitted() {
        let listed = |any: &str| Access {
            cors_origins: Origins::parse([any]).unwrap(),
            ..Access::default()
        };
        let table = [
            (
                Access::keyless(),
                "http://localhost:5173",
                Some("http://localhost:5173"),
                false,
            ),
            (
                listed("https://*.a.example"),
                "https://x.a.example",
                Some("https://x.a.example"),
                true,
            ),
            (
                listed("https://*.a.example"),
                "https://a.example",
                None,
                false,
            ),
            (
                listed("https://a.example"),
                "https://xa.example",
                None,
                false,
            ),
            (listed("https://a.example"), "http://a.example", None, false),
            (
                listed("https://a.example"),
                "https://a.example:444",
                None,
                false,
            ),
            (listed("*"), "https://any.example", Some("*"), false),
            (listed("null"), "null", Some("null"), true),
            (Access::default(), "https://a.example", None, false),
        ];
        for (access, origin, allowed, credentials) in table {
            let mut answer = HeaderMap::new();
            access.cors(
                &request(&[("host", "hub.example"), ("origin", origin)]),
                &mut answer,
            );
            let got = answer.get("access-control-allow-origin");
            assert_eq!(
                got.map(|value| value.to_str().unwrap()),
                allowed,
                "{origin}"
            );
            let with = answer.contains_key("access-control-allow-credentials");
            assert_eq!(with, credentials, "{origin}");
        }
        for text in [
            "example.com",
            "https://a.example/path",
            "ftp://a",
            "https://a.*.b",
            "",
        ] {
            assert!(Origins::parse([text]).is_err(), "{text}");
        }
    }
}
