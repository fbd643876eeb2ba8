//! Where the hub is: its path, its URL, and what follows from them: the topics that are its own, where its metadata lies, and
//! how answers name it.
//!
//! Not here: which path is served how (`router`), and what is published about subscriptions.

use std::borrow::Cow;
use std::fmt;

use http::HeaderValue;
use http::request::Parts;
use memchr::memmem::Finder;
use url::Url;

use crate::access::{Secure, host_of};

/// Where a hub is unless it is told otherwise (mercure.md, 0.1).
pub const HUB_PATH: &str = "/.well-known/mercure";

/// What metadata of a resource begins with (RFC 9728, section 3).
const METADATA_PREFIX: &str = "/.well-known/oauth-protected-resource";

/// Paths that are something else at this hub.
const TAKEN: &[&str] = &[
    "/topics",
    "/streams",
    "/revocations",
    "/signed-urls",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/console",
    METADATA_PREFIX,
];

/// A hub's place.
#[derive(Debug)]
pub(crate) struct Place {
    path: Box<str>,
    metadata_path: Box<str>,
    /// Its URL as clients write it, if that was said: as it was, and as it is read.
    url: Option<(Box<str>, Url)>,
    /// What relative topics resolve against.
    base: Url,
    /// The last segments of the paths that are the hub's: no topic lies there without naming one, or an escape.
    names: Vec<Finder<'static>>,
    link: HeaderValue,
}

/// Why a hub cannot be there. Whoever configured it is to change that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceError {
    /// A path that is none, or is not written plainly.
    Path(String),
    /// A path at which there is something else.
    Taken(String),
    /// A URL that is none of `http` or `https`, or has a query, a fragment or a name and password.
    Url(String),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(
                f,
                "{path:?} is no path for a hub: write it like {HUB_PATH}, of letters, digits and `-._~` between slashes, without one at its end"
            ),
            Self::Taken(path) => {
                write!(f, "the hub cannot be at {path:?}: something else is there")
            }
            Self::Url(url) => write!(
                f,
                "{url:?} is no URL for a hub: write it like https://example.com{HUB_PATH}"
            ),
        }
    }
}

impl std::error::Error for PlaceError {}

/// Whether a hub can be at this path, and be called by this URL.
///
/// # Errors
/// Says why not.
pub fn check_place(path: &str, url: Option<&str>) -> Result<(), PlaceError> {
    Place::new(path, url).map(|_| ())
}

impl Place {
    /// A hub at this path, and at this URL as clients see it.
    pub(crate) fn new(path: &str, url: Option<&str>) -> Result<Self, PlaceError> {
        check_path(path)?;
        let url = match url {
            Some(text) => Some((text.into(), read_url(text)?)),
            None => None,
        };
        let base = match &url {
            Some((_, url)) => url.clone(),
            // Nobody else names it, and of a topic's path the host says nothing.
            None => Url::parse(&format!("http://hub.invalid{path}"))
                .map_err(|_| PlaceError::Path(path.to_owned()))?,
        };
        let named = url.as_ref().map_or(path, |(_, url)| url.as_str());
        let link = HeaderValue::try_from(format!("<{named}>; rel=\"mercure\""))
            .map_err(|_| PlaceError::Url(named.to_owned()))?;
        let other = Some(base.path()).filter(|other| *other != path);
        let names = std::iter::once(path)
            .chain(other)
            .filter_map(|path| path.rsplit('/').next())
            .map(|name| Finder::new(name).into_owned())
            .collect();
        Ok(Self {
            path: path.into(),
            metadata_path: format!("{METADATA_PREFIX}{path}").into(),
            url,
            base,
            names,
            link,
        })
    }

    /// What relative topics and patterns resolve against (mercure.md, 2.11 and 2.21).
    pub(crate) fn base(&self) -> &str {
        self.base.as_str()
    }

    /// Where it is served.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Where its metadata is served (mercure.md, 2.40).
    pub(crate) fn metadata_path(&self) -> &str {
        &self.metadata_path
    }

    /// How answers name the hub (mercure.md, 1.15, 2.70).
    pub(crate) fn link(&self) -> HeaderValue {
        self.link.clone()
    }

    /// The hub's URL for this request: as it was configured, else as the request names it (mercure.md, 2.33). It is the
    /// resource's identifier, which a token's `aud` must hold.
    pub(crate) fn resource(&self, request: &Parts) -> Cow<'_, str> {
        match &self.url {
            Some((text, _)) => Cow::Borrowed(text),
            None => Cow::Owned(format!("{}{}", origin_of(request), self.path)),
        }
    }

    /// The origin of the hub's own pages, for this request.
    pub(crate) fn origin(&self, request: &Parts) -> String {
        match &self.url {
            Some((_, url)) => url.origin().ascii_serialization(),
            None => origin_of(request),
        }
    }

    /// A target at this hub as clients write it: a whole URL if it is known, else what resolves against the hub's.
    pub(crate) fn outward(&self, target: &str) -> String {
        let Some((_, url)) = &self.url else {
            return target.to_owned();
        };
        let origin = url.origin().ascii_serialization();
        match target.strip_prefix(&*self.path) {
            // What stands before the hub may have it at another path.
            Some(rest) if rest.starts_with('?') => format!("{origin}{}{rest}", url.path()),
            _ => format!("{origin}{target}"),
        }
    }

    /// The URL of its metadata: RFC 9728, section 3.1, puts the well-known part between host and path.
    pub(crate) fn metadata_url(&self, request: &Parts) -> String {
        match &self.url {
            Some((_, url)) => format!(
                "{}{METADATA_PREFIX}{}",
                url.origin().ascii_serialization(),
                url.path()
            ),
            None => format!("{}{}", origin_of(request), self.metadata_path),
        }
    }

    /// Whether a topic is the hub's own (mercure.md, 2.21): resolved against the hub's URL, without dot segments and needless
    /// escapes, is it the hub's path or below?
    pub(crate) fn is_reserved(&self, topic: &str) -> bool {
        if !self.may_be_reserved(topic) {
            return false;
        }
        self.base.join(topic).is_ok_and(|url| {
            let path = decode_unreserved(url.path());
            is_below(&path, &self.path) || is_below(&path, self.base.path())
        })
    }

    /// Most topics are spared the parser.
    fn may_be_reserved(&self, topic: &str) -> bool {
        let bytes = topic.as_bytes();
        if memchr::memchr(b'%', bytes).is_some()
            || self.names.iter().any(|name| name.find(bytes).is_some())
        {
            return true;
        }
        // A reference without a path is one to the hub itself: blank, `?x`, `#x`, and `http:?x` if that is the hub's scheme.
        let end = memchr::memchr2(b'?', b'#', bytes).unwrap_or(bytes.len());
        let path = bytes[..end].trim_ascii();
        path.is_empty() || path.ends_with(b":")
    }
}

fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Segments without escapes, and none of them empty: topics are compared with it as text.
fn is_plain_path(path: &str) -> bool {
    let is_plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    path.strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(is_plain))
}

fn check_path(path: &str) -> Result<(), PlaceError> {
    if !is_plain_path(path) {
        return Err(PlaceError::Path(path.to_owned()));
    }
    match TAKEN.iter().any(|taken| is_below(path, taken)) {
        true => Err(PlaceError::Taken(path.to_owned())),
        false => Ok(()),
    }
}

fn read_url(text: &str) -> Result<Url, PlaceError> {
    let wrong = || PlaceError::Url(text.to_owned());
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_fit = matches!(url.scheme(), "http" | "https")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && is_plain_path(url.path());
    match is_fit {
        true => Ok(url),
        false => Err(wrong()),
    }
}

/// The origin that a request is for, as far as it can be told: what ends TLS before us hides it, and then the URL has to be
/// configured.
fn origin_of(request: &Parts) -> String {
    let scheme = match request.extensions.get::<Secure>() {
        Some(_) => "https",
        None => "http",
    };
    let host = host_of(request).ok().flatten();
    let host = host.as_ref().map_or("localhost", |host| {
        host.as_str().rsplit('@').next().unwrap_or_default()
    });
    format!("{scheme}://{}", host.to_ascii_lowercase())
}

/// RFC 3986, section 6.2.2.2: escapes of unreserved characters say nothing.
fn decode_unreserved(path: &str) -> String {
    let mut parts = path.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.map(char::from) {
            Some(c) if c.is_ascii_alphanumeric() || "-._~".contains(c) => {
                out.push(c);
                out.push_str(&part[2..]);
            }
            _ => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_hubs_own_topics() {
        // mercure.md, 2.21
        #[rustfmt::skip]
        let reserved = [
            "https://example.com/.well-known/mercure", "http://other/.well-known/mercure/x",
            "/.well-known/mercure/subscriptions/foo", "mercure/subscriptions/foo", "mercure", "%6Dercure",
            "/.well-known/%6dercure/x", "https:\\\\example.com\\.well-known\\mercure", "/a/../.well-known/mercure",
            "/%2ewell-known/mercure", "", " ", "?x", "#x", "http:", "http:?x", "mercure?x#y", "/.well-known/./mercure/",
            "%2e/mercure", "//other/.well-known/mercure", "/.well-known//../mercure/x",
        ];
        #[rustfmt::skip]
        let free = [
            "https://example.com/.well-known/mercureXXX", "https://example.com/foo/.well-known/mercure/bar",
            "subscriptions/foo", "bar", "../mercure/x", "urn:example:mercure", "100%", "MERCURE", "http://[/mercure",
            "/.well-known/mercure%2Fx", "https://example.com/?x", "urn:x?y", "a:", "https://example.com", ".", "..",
        ];
        let place = Place::new(HUB_PATH, None).unwrap();
        for topic in reserved {
            assert!(place.is_reserved(topic), "{topic:?}");
        }
        for topic in free {
            assert!(!place.is_reserved(topic), "{topic:?}");
        }
    }

    /// mercure.md, 2.71: what is reserved follows the hub.
    #[test]
    fn a_hub_elsewhere() {
        let elsewhere = Place::new("/a/hub", None).unwrap();
        let behind = Place::new("/hub", Some("https://e.x/deep/live")).unwrap();
        #[rustfmt::skip]
        let table = [
            ("/a/hub", true, false),
            ("/a/hub/x", true, false),
            ("hub", true, false),
            ("/.well-known/mercure", false, false),
            ("/hub/x", false, true),
            ("https://other/deep/live", false, true),
            ("live/x", false, true),
            ("https:", false, true),
        ];
        for (topic, at_elsewhere, at_behind) in table {
            assert_eq!(elsewhere.is_reserved(topic), at_elsewhere, "{topic}");
            assert_eq!(behind.is_reserved(topic), at_behind, "{topic}");
        }
        assert_eq!(
            elsewhere.metadata_path(),
            "/.well-known/oauth-protected-resource/a/hub"
        );
        assert_eq!(behind.link(), "<https://e.x/deep/live>; rel=\"mercure\"");
    }

    #[test]
    fn paths_and_urls_that_are_none() {
        #[rustfmt::skip]
        let paths = [
            "", "/", "hub", "/hub/", "//hub", "/a b", "/a%20b", "/{hub}", "/a?b", "/..", "/a/../b", "/topics", "/topics/a", "/healthz",
            "/\u{e9}",
        ];
        for path in paths {
            assert!(Place::new(path, None).is_err(), "{path}");
        }
        assert!(Place::new("/topicsx", None).is_ok());
        for url in [
            "",
            "hub",
            "ftp://h/x",
            "https://h",
            "https://h/x?y",
            "https://h/x#y",
            "https://u@h/x",
            "https://h/x/",
            "https://h/x%65/y",
        ] {
            assert!(Place::new(HUB_PATH, Some(url)).is_err(), "{url}");
        }
    }

    #[test]
    fn the_hubs_url_is_as_configured_or_as_asked_for() {
        let request = |target: &str, host: &str, is_secure: bool| {
            let request = Request::builder().uri(target).header("host", host);
            let mut parts = request.body(()).unwrap().into_parts().0;
            if is_secure {
                parts.extensions.insert(Secure);
            }
            parts
        };
        let derived = Place::new("/hub", None).unwrap();
        #[rustfmt::skip]
        let table = [
            (request("/", "Hub.Example", true), "https://hub.example/hub", "https://hub.example/.well-known/oauth-protected-resource/hub"),
            (request("/", "localhost:8080", false), "http://localhost:8080/hub", "http://localhost:8080/.well-known/oauth-protected-resource/hub"),
            // RFC 9112, section 3.2.2: a target in absolute form wins.
            (request("http://a.example/", "b.example", false), "http://a.example/hub", "http://a.example/.well-known/oauth-protected-resource/hub"),
        ];
        for (request, resource, metadata) in table {
            assert_eq!(derived.resource(&request), resource);
            assert_eq!(derived.metadata_url(&request), metadata);
        }
        let pinned = Place::new("/hub", Some("https://e.x:8443/live")).unwrap();
        let request = request("/", "evil.example", false);
        assert_eq!(pinned.resource(&request), "https://e.x:8443/live");
        assert_eq!(
            pinned.metadata_url(&request),
            "https://e.x:8443/.well-known/oauth-protected-resource/live"
        );
    }
}
