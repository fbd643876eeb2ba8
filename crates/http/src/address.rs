//! The client's address behind proxies: what trusted hops say of whom they serve (RFC 7239, and `X-Forwarded-*` before it).
//!
//! Nothing of it is believed unless the connection comes from a trusted hop; and from the right, where that hop wrote, only as far as
//! trusted hops go. What a client wrote itself stands to the left of that.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Uri};

use crate::access::Secure;
use crate::peer::Peer;

/// Hops whose word about their clients is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    nets: Vec<Net>,
    header: ForwardedHeader,
}

/// Which header the trusted hops write. The other is not looked at: a hop that writes one lets the other through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto` and `X-Forwarded-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl FromStr for ForwardedHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "x-forwarded-for" => Ok(Self::XForwarded),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err(format!("{text:?} is neither x-forwarded-for nor forwarded")),
        }
    }
}

impl fmt::Display for ForwardedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::XForwarded => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        })
    }
}

/// Addresses with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    address: IpAddr,
    bits: u32,
}

impl Net {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        (bits <= all).then_some(Self { address, bits })
    }

    fn has(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let differs = net.to_bits() ^ address.to_bits();
                differs.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let differs = net.to_bits() ^ address.to_bits();
                differs.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl TrustedProxies {
    /// Addresses and networks such as `10.0.0.0/8` and `::1`.
    ///
    /// # Errors
    /// If one is neither.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        header: ForwardedHeader,
    ) -> Result<Self, String> {
        let parse = |text: &str| {
            Net::parse(text).ok_or_else(|| {
                format!("{text:?} is no address or network: write it like 10.0.0.0/8 or ::1")
            })
        };
        let nets = texts.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { nets, header })
    }

    /// Whether it trusts nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.nets.iter().any(|net| net.has(address))
    }

    /// Puts what trusted hops say in the place of what the connection shows: the far end's address, the Host and whether it is secure.
    /// From here on nobody needs to know that there are hops.
    pub(crate) fn settle(&self, request: &mut Parts) {
        let Some(&Peer {
            address: Some(peer),
            is_tls,
        }) = request.extensions.get::<Peer>()
        else {
            return;
        };
        let said = self.client(peer.ip().to_canonical(), &request.headers);
        let Some(said) = said else {
            return;
        };
        if said.address != peer.ip().to_canonical() {
            request.extensions.insert(Peer {
                address: Some(SocketAddr::new(said.address, 0)),
                is_tls,
            });
        }
        match said.scheme.as_deref() {
            Some("https") => {
                request.extensions.insert(Secure);
            }
            Some("http") => {
                request.extensions.remove::<Secure>();
            }
            _ => {}
        }
        if let Some(host) = said.host {
            set_host(request, &host);
        }
    }

    /// What is said of the client; `None` if the connection comes from nobody who is trusted.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Said> {
        if !self.trusts(peer) {
            return None;
        }
        let hops = match self.header {
            ForwardedHeader::XForwarded => x_forwarded(headers),
            ForwardedHeader::Forwarded => forwarded(headers),
        };
        let mut said = Said {
            address: peer,
            scheme: None,
            host: None,
        };
        let mut taken = 0;
        for hop in hops.iter().rev() {
            if !self.trusts(said.address) {
                break;
            }
            taken += 1;
            said.scheme.clone_from(&hop.scheme);
            said.host.clone_from(&hop.host);
            match hop.client {
                Some(client) => said.address = client,
                // Hidden, or nonsense: the hop that said so is the last that is known.
                None => break,
            }
        }
        if self.header == ForwardedHeader::XForwarded {
            // A hop that overwrites leaves one value, one that appends a value a hop.
            let of = |name: &'static str| {
                let values = list(headers, &HeaderName::from_static(name));
                let at = values
                    .len()
                    .checked_sub(taken.clamp(1, values.len().max(1)))?;
                values.into_iter().nth(at)
            };
            said.scheme = of("x-forwarded-proto").map(|scheme| scheme.to_ascii_lowercase());
            said.host = of("x-forwarded-host");
        }
        Some(said)
    }
}

/// What is known of a client.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    address: IpAddr,
    scheme: Option<String>,
    host: Option<String>,
}

/// What one hop said of whom it served.
#[derive(Debug, Default)]
struct Hop {
    client: Option<IpAddr>,
    scheme: Option<String>,
    host: Option<String>,
}

/// RFC 9110, section 5.3: several lines of one name are one list.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter();
    let lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
    lines
        .flat_map(|line| split(&line, ','))
        .filter(|value| !value.is_empty())
        .collect()
}

/// Splits at a character outside of quoted strings (RFC 9110, section 5.6.4).
fn split(text: &str, at: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in text.chars() {
        if c == at && !is_quoted {
            parts.push(String::new());
            continue;
        }
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && is_quoted && !is_escaped;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

fn x_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let values = list(headers, &HeaderName::from_static("x-forwarded-for"));
    let hop = |value: String| Hop {
        client: node(&value),
        ..Hop::default()
    };
    values.into_iter().map(hop).collect()
}

/// RFC 7239, section 4.
fn forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let elements = list(headers, &header::FORWARDED);
    let hop = |element: String| {
        let mut hop = Hop::default();
        for pair in split(&element, ';') {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let value = unquoted(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => hop.client = node(&value),
                "proto" => hop.scheme = Some(value.to_ascii_lowercase()),
                "host" => hop.host = Some(value),
                _ => {}
            }
        }
        hop
    };
    elements.into_iter().map(hop).collect()
}

fn unquoted(text: &str) -> String {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let Some(inner) = inner else {
        return text.to_owned();
    };
    let mut chars = inner.chars();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// RFC 7239, section 6: an address, perhaps in brackets, perhaps with a port. `unknown` and obfuscated names are none.
fn node(text: &str) -> Option<IpAddr> {
    let text = unquoted(text.trim());
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (six, port) = rest.split_once(']')?;
        if !(port.is_empty() || is_port(port.strip_prefix(':')?)) {
            return None;
        }
        IpAddr::V6(six.parse::<Ipv6Addr>().ok()?)
    } else if let Ok(bare) = text.parse::<IpAddr>() {
        bare
    } else {
        let (four, port) = text.rsplit_once(':')?;
        if !is_port(port) {
            return None;
        }
        IpAddr::V4(four.parse().ok()?)
    };
    Some(address.to_canonical())
}

/// RFC 7239, section 6.2: digits, or an obfuscated one.
fn is_port(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(is_name),
        None => text.parse::<u16>().is_ok(),
    }
}

/// What is no host name changes nothing.
fn set_host(request: &mut Parts, host: &str) {
    let (Ok(_), Ok(value)) = (Authority::try_from(host), HeaderValue::try_from(host)) else {
        return;
    };
    request.headers.insert(header::HOST, value);
    if request.uri.authority().is_some() {
        // It would win over the Host.
        let path = request.uri.path_and_query().cloned();
        request.uri = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    }
}

/// By what a client is known among others: an IPv4 address, or the 64 bits that a site shares (RFC 4291, section 2.5.4).
pub(crate) fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn settled(header: ForwardedHeader, peer: &str, lines: &[(&str, &str)]) -> String {
        let proxies = TrustedProxies::parse(["10.0.0.0/8", "fd00::/8"], header).unwrap();
        let mut builder = Request::builder().uri("/x").header("host", "hub");
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        let mut request = builder.body(()).unwrap().into_parts().0;
        request.extensions.insert(Peer {
            address: Some(SocketAddr::new(peer.parse().unwrap(), 1)),
            is_tls: false,
        });
        proxies.settle(&mut request);
        let peer = request.extensions.get::<Peer>().unwrap().address.unwrap();
        let secure = request.extensions.get::<Secure>().map_or("", |_| "s");
        let host = request.headers["host"].to_str().unwrap();
        format!("{} http{secure}://{host}", peer.ip())
    }

    #[test]
    fn the_client_is_the_last_address_that_nobody_trusts() {
        const FOR: &str = "x-forwarded-for";
        #[rustfmt::skip]
        let table: [(&str, &[(&str, &str)], &str); 17] = [
            ("1.1.1.1",        &[(FOR, "2.2.2.2"), ("x-forwarded-host", "evil"), ("x-forwarded-proto", "https")], "1.1.1.1 http://hub"),
            ("10.0.0.1",       &[],                                                  "10.0.0.1 http://hub"),
            ("10.0.0.1",       &[(FOR, "2.2.2.2")],                                  "2.2.2.2 http://hub"),
            ("::ffff:10.0.0.1", &[(FOR, "2.2.2.2")],                                 "2.2.2.2 http://hub"),
            ("10.0.0.1",       &[(FOR, "9.9.9.9, 2.2.2.2")],                         "2.2.2.2 http://hub"),
            ("10.0.0.1",       &[(FOR, "9.9.9.9"), (FOR, "2.2.2.2")],                "2.2.2.2 http://hub"),
            ("10.0.0.1",       &[(FOR, "9.9.9.9, 2.2.2.2, 10.9.9.9, fd00::1")],      "2.2.2.2 http://hub"),
            ("10.0.0.1",       &[(FOR, "10.1.1.1, 10.2.2.2")],                       "10.1.1.1 http://hub"),
            ("10.0.0.1",       &[(FOR, "9.9.9.9, unknown")],                         "10.0.0.1 http://hub"),
            ("10.0.0.1",       &[(FOR, "9.9.9.9, _hidden, 10.2.2.2")],               "10.2.2.2 http://hub"),
            ("10.0.0.1",       &[(FOR, "2.2.2.2:443")],                              "2.2.2.2 http://hub"),
            ("fd00::2",        &[(FOR, "[2001:db8::1]:443")],                        "2001:db8::1 http://hub"),
            ("fd00::2",        &[(FOR, "2001:db8::1")],                              "2001:db8::1 http://hub"),
            ("10.0.0.1",       &[(FOR, "2.2.2.2 3.3.3.3")],                          "10.0.0.1 http://hub"),
            ("10.0.0.1",       &[(FOR, "2.2.2.2"), ("forwarded", "for=3.3.3.3")],    "2.2.2.2 http://hub"),
            ("10.0.0.1",       &[(FOR, "2.2.2.2"), ("x-forwarded-host", "a.example:8443"), ("x-forwarded-proto", "HTTPS")], "2.2.2.2 https://a.example:8443"),
            // The client wrote the first of each.
            ("10.0.0.1",       &[(FOR, "9.9.9.9, 2.2.2.2"), ("x-forwarded-host", "evil, a.example"), ("x-forwarded-proto", "https, http")], "2.2.2.2 http://a.example"),
        ];
        for (peer, lines, want) in table {
            let got = settled(ForwardedHeader::XForwarded, peer, lines);
            assert_eq!(got, want, "{peer} {lines:?}");
        }
    }

    #[test]
    fn the_standard_header_says_the_same() {
        #[rustfmt::skip]
        let table = [
            ("for=2.2.2.2",                                               "2.2.2.2 http://hub"),
            ("For=\"[2001:db8::1]:4711\";proto=https;host=a.example",     "2001:db8::1 https://a.example"),
            ("for=9.9.9.9;host=evil, for=2.2.2.2;proto=http;host=\"b:1\"", "2.2.2.2 http://b:1"),
            ("for=9.9.9.9, for=2.2.2.2;proto=https;host=a, for=10.0.0.9;proto=http;host=inner", "2.2.2.2 https://a"),
            ("for=9.9.9.9, for=_secret",                                  "10.0.0.1 http://hub"),
            ("for=unknown",                                               "10.0.0.1 http://hub"),
            ("for=\"2.2.2.2:_port\"",                                     "2.2.2.2 http://hub"),
            ("for=\"2.2.2.2, for=3.3.3.3\"",                              "10.0.0.1 http://hub"),
            ("by=1.1.1.1",                                                "10.0.0.1 http://hub"),
            ("for=2.2.2.2;host=\"a b\"",                                  "2.2.2.2 http://hub"),
        ];
        for (value, want) in table {
            let lines = [("forwarded", value), ("x-forwarded-for", "7.7.7.7")];
            let got = settled(ForwardedHeader::Forwarded, "10.0.0.1", &lines);
            assert_eq!(got, want, "{value}");
        }
    }

    #[test]
    fn networks_are_read_and_compared() {
        #[rustfmt::skip]
        let table = [
            ("10.0.0.0/8", "10.255.0.1", Some(true)),
            ("10.0.0.0/8", "11.0.0.1",   Some(false)),
            ("0.0.0.0/0",  "11.0.0.1",   Some(true)),
            ("0.0.0.0/0",  "::1",        Some(false)),
            ("1.2.3.4",    "1.2.3.4",    Some(true)),
            ("1.2.3.4/32", "1.2.3.5",    Some(false)),
            ("::/0",       "::1",        Some(true)),
            ("2001:db8::/33", "2001:db8:8000::1", Some(false)),
            ("2001:db8::/33", "2001:db8:7fff::1", Some(true)),
            ("1.2.3.4/33", "1.2.3.4",    None),
            ("1.2.3/8",    "1.2.3.4",    None),
            ("hub",        "1.2.3.4",    None),
            ("",           "1.2.3.4",    None),
        ];
        for (net, address, want) in table {
            let proxies = TrustedProxies::parse([net], ForwardedHeader::default());
            let got = proxies.map(|proxies| proxies.trusts(address.parse().unwrap()));
            assert_eq!(got.ok(), want, "{net} {address}");
        }
        let site = |text: &str| site(text.parse().unwrap()).to_string();
        assert_eq!(site("2001:db8:1:2:3::4"), "2001:db8:1:2::");
        assert_eq!(site("::ffff:1.2.3.4"), "1.2.3.4");
    }
}
