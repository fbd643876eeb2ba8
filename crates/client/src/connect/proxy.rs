//! Which requests go through which proxy. Not here: how a proxy is spoken to (`shell::tunnel`).

// The rules are there for whoever makes the connections; without the shell that is nobody here.
#![cfg_attr(not(feature = "tokio"), allow(dead_code))]

use core::net::IpAddr;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::ProxyFailure;
use crate::BuildError;

/// Through which proxies a client connects. HTTP proxies, reached by `http` or `https`; not SOCKS.
///
/// An `https` stream is asked for through a tunnel (CONNECT), of which the proxy sees the server's name alone; a plain one by its
/// whole URL, and the proxy sees all of it. The proxy's user name and password are those of its URL; they are never shown, and never sent to the server, nor
/// the server's token to the proxy of a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    http: Option<Rule>,
    https: Option<Rule>,
    exceptions: Vec<Exception>,
    spares_loopback: bool,
}

/// A proxy, or why there can be none: that is said when it would be used, not before.
type Rule = Result<Server, ProxyFailure>;

/// One proxy.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) url: Url,
    pub(crate) authorization: Option<HeaderValue>,
}

/// Without what it takes to get in.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
    }
}

/// Whom no proxy is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    whom: Whom,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    Everybody,
    /// A domain, and what is below it.
    Domain(String),
    /// The addresses that agree with this one in so many bits.
    Network(IpAddr, u8),
}

impl Proxy {
    /// No proxy.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// This proxy, for everything: `http://user:password@proxy.example:3128`.
    ///
    /// # Errors
    /// When it is no URL of an HTTP proxy.
    pub fn all(url: &str) -> Result<Self, BuildError> {
        let rule = Some(Ok(Server::parse(url).map_err(BuildError::Proxy)?));
        Ok(Self {
            http: rule.clone(),
            https: rule,
            ..Self::default()
        })
    }

    /// Besides those before: no proxy for these, separated by commas, as in `NO_PROXY`: domains with what is below them,
    /// addresses, networks (`10.0.0.0/8`), each with a `:port` or for all ports; `*` is everybody.
    #[must_use]
    pub fn except(mut self, list: &str) -> Self {
        let entries = list.split([',', ' ', '\t']).filter_map(Exception::parse);
        self.exceptions.extend(entries);
        self
    }

    /// What variables such as those of the environment say, by their names: `https_proxy`, `http_proxy`, `all_proxy` for those without,
    /// and `no_proxy`; lower case goes before upper case, and what is empty is not there.
    ///
    /// This machine (`localhost`, loopback addresses) is always asked directly. `HTTP_PROXY` is not read where `REQUEST_METHOD`
    /// is set: in a CGI program its value would be a request's header (CVE-2016-5385).
    #[must_use]
    pub fn from_variables(read: impl Fn(&str) -> Option<String>) -> Self {
        let read_one = |name: &str| read(name).filter(|value| !value.trim().is_empty());
        let read_both = |name: &str| read_one(name).or_else(|| read_one(&name.to_uppercase()));
        let all = read_both("all_proxy");
        let http = if read_one("REQUEST_METHOD").is_some() {
            read_one("http_proxy")
        } else {
            read_both("http_proxy")
        };
        let rule = |value: Option<String>| Some(Server::parse(&value.or_else(|| all.clone())?));
        let rules = Self {
            http: rule(http),
            https: rule(read_both("https_proxy")),
            exceptions: Vec::new(),
            spares_loopback: true,
        };
        rules.except(&read_both("no_proxy").unwrap_or_default())
    }

    /// What the environment says; see [`Proxy::from_variables`].
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The proxy for a URL.
    pub(crate) fn of(&self, url: &Url) -> Result<Option<&Server>, ProxyFailure> {
        let rule = match url.scheme() {
            "https" => &self.https,
            _ => &self.http,
        };
        match rule {
            Some(rule) if !self.spares(url) => rule.as_ref().map(Some).map_err(Clone::clone),
            _ => Ok(None),
        }
    }

    fn spares(&self, url: &Url) -> bool {
        let Some(host) = url.host() else { return true };
        let port = url.port_or_known_default();
        self.spares_loopback && is_loopback(&host)
            || self.exceptions.iter().any(|exception| {
                exception.whom.is(&host) && exception.port.is_none_or(|own| Some(own) == port)
            })
    }
}

impl Server {
    fn parse(text: &str) -> Result<Self, ProxyFailure> {
        let text = text.trim();
        let unusable = |why: &str| ProxyFailure::Unusable(why.to_owned());
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let mut url =
            Url::parse(&with_scheme).map_err(|error| ProxyFailure::Unusable(error.to_string()))?;
        match url.scheme() {
            "http" | "https" => {}
            scheme => return Err(unusable(&format!("{scheme} is no kind of HTTP proxy"))),
        }
        let authorization = credentials(&url)?;
        // Neither fails for a URL with a host, which every http URL has.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_path("");
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self { url, authorization })
    }
}

/// RFC 7617: the bytes of the user name and the password, which a URL writes with percent signs.
fn credentials(url: &Url) -> Result<Option<HeaderValue>, ProxyFailure> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    if pair.contains(&b':') {
        let why = "its user name contains a colon";
        return Err(ProxyFailure::Unusable(why.to_owned()));
    }
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)));
    // Base64 can stand in a header.
    Ok(value.ok().map(|mut value| {
        value.set_sensitive(true);
        value
    }))
}

impl Exception {
    /// `None` for what is nothing that can be asked for.
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim();
        if entry.is_empty() {
            return None;
        }
        if let Some(whom) = Whom::parse(entry) {
            return Some(Self { whom, port: None });
        }
        let (host, port) = entry.rsplit_once(':')?;
        Some(Self {
            whom: Whom::parse(host)?,
            port: Some(port.parse().ok()?),
        })
    }
}

impl Whom {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everybody);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address = address.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = address.parse::<IpAddr>() {
            let all = if address.is_ipv4() { 32 } else { 128 };
            return Some(Self::Network(address, bits.unwrap_or(all).min(all)));
        }
        let domain = text.strip_prefix('*').unwrap_or(text);
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        let is_domain = !domain.is_empty() && !domain.contains([':', '/', '*', '[']);
        is_domain.then_some(Self::Domain(domain))
    }

    fn is(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::Everybody, _) => true,
            (Self::Domain(domain), Host::Domain(name)) => is_within(name, domain),
            (Self::Network(network, bits), Host::Ipv4(address)) => {
                agree(*network, IpAddr::V4(*address), *bits)
            }
            (Self::Network(network, bits), Host::Ipv6(address)) => {
                agree(*network, IpAddr::V6(*address), *bits)
            }
            _ => false,
        }
    }
}

/// Whether a name is a domain or below it.
fn is_within(name: &str, domain: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether two addresses agree in their first bits.
fn agree(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let (one, other, width) = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (u128::from(one.to_bits()), u128::from(other.to_bits()), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
        _ => return false,
    };
    (one ^ other)
        .checked_shr(width - u32::from(bits))
        .unwrap_or(0)
        == 0
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => is_within(name, "localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(*address).to_canonical().is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(proxy: &Proxy, url: &str) -> Result<Option<String>, ProxyFailure> {
        let url = Url::parse(url).unwrap();
        let server = proxy.of(&url)?;
        Ok(server.map(|server| server.url.to_string()))
    }

    fn variables(set: &[(&str, &str)]) -> Proxy {
        Proxy::from_variables(|name| {
            let found = set.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_say_which_proxy_asks_for_what() {
        let (plain, tls) = ("http://h/", "https://h/");
        let table: [(&[(&str, &str)], Option<&str>, Option<&str>); 9] = [
            (&[], None, None),
            (&[("http_proxy", "p:1")], Some("http://p:1/"), None),
            (&[("HTTPS_PROXY", "https://p")], None, Some("https://p/")),
            (
                &[("https_proxy", "a:1"), ("HTTPS_PROXY", "b:1")],
                None,
                Some("http://a:1/"),
            ),
            (
                &[("ALL_PROXY", "p:1"), ("http_proxy", "q:2")],
                Some("http://q:2/"),
                Some("http://p:1/"),
            ),
            (&[("HTTP_PROXY", " "), ("http_proxy", "")], None, None),
            (
                &[("HTTP_PROXY", "p:1"), ("REQUEST_METHOD", "GET")],
                None,
                None,
            ),
            (
                &[("http_proxy", "p:1"), ("REQUEST_METHOD", "GET")],
                Some("http://p:1/"),
                None,
            ),
            (&[("all_proxy", "p:1"), ("no_proxy", "h")], None, None),
        ];
        for (set, want_plain, want_tls) in table {
            let proxy = variables(set);
            let want = |want: Option<&str>| Ok(want.map(str::to_owned));
            assert_eq!(chosen(&proxy, plain), want(want_plain), "{set:?}");
            assert_eq!(chosen(&proxy, tls), want(want_tls), "{set:?}");
        }
    }

    #[test]
    fn this_machine_is_asked_directly_unless_a_proxy_is_named_in_the_program() {
        let environment = variables(&[("all_proxy", "p:1")]);
        let program = Proxy::all("p:1").unwrap();
        for url in [
            "http://localhost:8080/",
            "https://a.localhost./",
            "http://127.0.0.9/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert_eq!(chosen(&environment, url), Ok(None), "{url}");
            assert!(chosen(&program, url).unwrap().is_some(), "{url}");
        }
        assert!(
            chosen(&environment, "http://notlocalhost/")
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn exceptions_are_domains_addresses_and_networks() {
        let table = [
            ("*", "http://h/", true),
            ("h.example", "http://h.example/", true),
            ("H.example", "http://h.EXAMPLE./", true),
            ("h.example", "http://a.h.example/", true),
            (".h.example", "http://a.h.example/", true),
            (".h.example", "http://h.example/", true),
            ("*.h.example", "http://a.h.example/", true),
            ("h.example", "http://xh.example/", false),
            ("h.example", "http://h.example.com/", false),
            ("h.example:81", "http://h.example:81/", true),
            ("h.example:80", "http://h.example/", true),
            ("h.example:81", "http://h.example/", false),
            ("a, b\tc,,d", "http://c/", true),
            ("10.1.2.3", "http://10.1.2.3/", true),
            ("10.1.2.3", "http://10.1.2.4/", false),
            ("10.1.2.3:8080", "http://10.1.2.3:8080/", true),
            ("10.1.2.3:8080", "http://10.1.2.3/", false),
            ("10.0.0.0/8", "http://10.200.0.1/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("0.0.0.0/0", "http://11.0.0.1/", true),
            ("10.0.0.0/99", "http://10.0.0.1/", false),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("fd00::/8", "http://[fe80::1]/", false),
            ("::/0", "http://[fe80::1]/", true),
            ("::/0", "http://10.0.0.1/", false),
            ("::1", "http://[::1]/", true),
            ("[::2]:81", "http://[::2]:81/", true),
            ("[::2]:81", "http://[::2]/", false),
            ("2.3", "http://1.2.3.4/", false),
            ("h:port", "http://h/", false),
            ("/", "http://h/", false),
        ];
        for (list, url, is_spared) in table {
            let proxy = Proxy::all("http://p").unwrap().except(list);
            assert_eq!(
                chosen(&proxy, url).unwrap().is_none(),
                is_spared,
                "{list} {url}"
            );
        }
    }

    #[test]
    fn passwords_are_sent_and_never_shown() {
        let proxy = Proxy::all("http://us%65r:p%40ss@p.example:3128/x?y").unwrap();
        let url = Url::parse("http://h/").unwrap();
        let server = proxy.of(&url).unwrap().unwrap();
        let value = server.authorization.as_ref().unwrap();
        // user:p@ss
        assert_eq!(value.to_str().unwrap(), "Basic dXNlcjpwQHNz");
        assert_eq!(server.url.as_str(), "http://p.example:3128/");
        let shown = format!("{proxy:?} {value:?}");
        for secret in ["us%65r", "user", "p%40ss", "p@ss", "dXNl"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let none = Proxy::all("http://p.example").unwrap();
        assert_eq!(none.of(&url).unwrap().unwrap().authorization, None);
    }

    #[test]
    fn what_is_no_http_proxy_is_said_where_it_would_be_used() {
        for text in [
            "socks5://s3cret:pw@h:1",
            "http://",
            "http://a%3Ab:s3cret@h",
            "h:port",
        ] {
            let error = Proxy::all(text).unwrap_err();
            assert!(matches!(error, BuildError::Proxy(_)), "{text}: {error:?}");
            assert!(
                !format!("{error:?} {error}").contains("s3cret"),
                "{error:?}"
            );
            let proxy = variables(&[("all_proxy", text)]);
            assert!(chosen(&proxy, "http://h/").is_err(), "{text}");
            assert_eq!(chosen(&proxy, "http://127.0.0.1/"), Ok(None), "{text}");
        }
    }
}
