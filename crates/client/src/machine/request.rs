//! Where a request goes and what it carries. Not here: when one is made.

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_LOCATION, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION,
    TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderName, Method};
use url::Url;

use crate::Options;
use crate::head::Redirect;

const AGENT: &str = concat!("tidewire-client/", env!("CARGO_PKG_VERSION"));
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A request to send over a new connection.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The URL to ask; its fragment is not sent.
    pub url: Url,
    /// The method.
    pub method: Method,
    /// All headers but those that framing needs (`Host`, `Content-Length`).
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    url: Url,
    method: Method,
    body: Bytes,
    /// Redirects in a row.
    redirects: u32,
    /// All of them were permanent: later reconnects start at their end.
    permanent: bool,
    /// The way led over another origin: what authenticates stays behind.
    foreign: bool,
    /// A redirect made a GET of it: what describes a body stays behind with it.
    bodiless: bool,
}

impl Target {
    pub(super) fn first(options: &Options) -> Self {
        Self {
            url: options.url.clone(),
            method: options.method.clone(),
            body: options.body.clone(),
            redirects: 0,
            permanent: true,
            foreign: false,
            bodiless: false,
        }
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn redirects(&self) -> u32 {
        self.redirects
    }

    /// Fetch, "HTTP-redirect fetch".
    pub(super) fn follow(&mut self, redirect: Redirect) {
        let Redirect {
            mut to,
            permanent,
            status,
        } = redirect;
        self.redirects += 1;
        self.permanent &= permanent;
        // "If request's current URL's origin is not same origin with locationURL's origin", the headers that authenticate are
        // removed; they do not come back.
        self.foreign |= to.origin() != self.url.origin();
        // "internalResponse's status is 301 or 302 and request's method is `POST`", or "303 and request's method is not
        // `GET` or `HEAD`": the method becomes GET, the body null, and the request-body-headers are removed.
        let becomes_get = match status.as_u16() {
            301 | 302 => self.method == Method::POST,
            303 => self.method != Method::GET && self.method != Method::HEAD,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.bodiless = true;
        }
        // "Location URL": a location without a fragment inherits the request's. It is not sent, but told.
        if to.fragment().is_none() {
            to.set_fragment(self.url.fragment());
        }
        self.url = to;
    }

    /// Where later attempts start, if all redirects so far were permanent (RFC 9110, 15.4.2 and 15.4.9: "any future references to
    /// this resource ought to use one of the enclosed URIs").
    pub(super) fn permanent(&self) -> Option<Self> {
        self.permanent.then(|| Self {
            redirects: 0,
            ..self.clone()
        })
    }

    /// The request. `renewed` is what the callback gave last.
    pub(super) fn attempt(&self, options: &Options, renewed: &HeaderMap, id: &str) -> Attempt {
        let mut headers = options.headers.clone();
        // What a callback gives replaces what stood there, all values of a name at once.
        for name in renewed.keys() {
            headers.remove(name);
        }
        headers.extend(renewed.clone());
        if self.foreign {
            leave_secrets(&mut headers);
        }
        if self.bodiless {
            for name in [
                CONTENT_ENCODING,
                CONTENT_LANGUAGE,
                CONTENT_LOCATION,
                CONTENT_TYPE,
            ] {
                headers.remove(name);
            }
        }
        // Framing is the connection's.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        // 9.2.2, the constructor: (`Accept`, `text/event-stream`) is set in the request's header list.
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("text/event-stream"));
        // 9.2.2, the constructor: the cache mode is "no-store". Fetch, "HTTP-network-or-cache fetch": with that mode, a request
        // without a `Cache-Control` gets `no-cache`.
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-cache"));
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(AGENT));
        headers.remove(LAST_EVENT_ID);
        // 9.2.3, "reestablish the connection": "If the EventSource object's last event ID string is not the empty string",
        // it is sent "encoded as UTF-8". One with control characters fits in no header; it is left out.
        if let Ok(id) = HeaderValue::from_bytes(id.as_bytes())
            && !id.is_empty()
        {
            headers.insert(LAST_EVENT_ID, id);
        }
        Attempt {
            url: self.url.clone(),
            method: self.method.clone(),
            headers,
            body: self.body.clone(),
        }
    }
}

/// Another origin gets nothing that authenticates: what HTTP names for it, and what was marked sensitive, as all is that a callback gives.
/// Nor the name of the host that was meant to be asked.
fn leave_secrets(headers: &mut HeaderMap) {
    let secret = |name: &HeaderName, value: &HeaderValue| {
        [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST].contains(name) || value.is_sensitive()
    };
    let names: Vec<HeaderName> = headers
        .iter()
        .filter(|(name, value)| secret(name, value))
        .map(|(name, _)| name.clone())
        .collect();
    for name in names {
        headers.remove(name);
    }
}
