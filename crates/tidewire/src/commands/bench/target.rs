//! The server under load: its addresses, and the requests it gets.

use std::net::{SocketAddr, ToSocketAddrs};

use serde::{Deserialize, Serialize};
use url::Url;

use super::options::{self, ServerArgs};
use super::template::{self, Fill, Template, Writing};
use crate::failure::{Failure, Outcome};

/// A header's name and value.
pub(super) type Header = (String, String);

/// A URL with holes, resolved.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    /// As in the Host field.
    pub(super) authority: String,
    pub(super) is_tls: bool,
    /// Path and query.
    pub(super) path: Template,
}

/// The server under load.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) subscribe: Option<(Place, Vec<Header>)>,
    pub(super) publish: Option<Publishing>,
}

/// Where and how events are published.
#[derive(Clone, Debug)]
pub(super) struct Publishing {
    pub(super) place: Place,
    pub(super) headers: Vec<Header>,
    body: Template,
    writing: Writing,
}

impl Place {
    pub(super) fn parse(url: &str, flag: &str) -> Outcome<Self> {
        let wrong = |why: &str| {
            Failure::usage(format!("{flag} {url:?}: {why}"))
                .next("write it as http://127.0.0.1:8080/path")
        };
        let parsed = Url::parse(url).map_err(|why| wrong(&why.to_string()))?;
        let is_tls = match parsed.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("this is no http:// URL")),
        };
        let host = parsed.host_str().ok_or_else(|| wrong("there is no host"))?;
        let port = parsed.port_or_known_default().unwrap_or(80);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let mut addresses = (bare, port)
            .to_socket_addrs()
            .map_err(|error| Failure::failed(format!("{flag} {url:?}: {error}")))?;
        let address = addresses
            .next()
            .ok_or_else(|| wrong("the host has no address"))?;
        let authority = match parsed.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self {
            address,
            authority,
            is_tls,
            path: Template::parse(path(url)),
        })
    }

    /// Writes a request's line and Host field.
    pub(super) fn write_request(&self, method: &str, fill: Fill<'_>, into: &mut Vec<u8>) {
        into.extend_from_slice(method.as_bytes());
        into.push(b' ');
        self.write_target(fill, into);
        into.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        into.extend_from_slice(self.authority.as_bytes());
        into.extend_from_slice(b"\r\n");
    }
}

impl Place {
    /// The same server at another path.
    pub(super) fn at(&self, path: &str) -> Self {
        Self {
            path: Template::parse(path),
            ..self.clone()
        }
    }

    /// Writes path and query, with one more parameter if there is one.
    pub(super) fn write_target(&self, fill: Fill<'_>, into: &mut Vec<u8>) {
        let start = into.len();
        self.path.write(fill, Writing::Percent, into);
        if let Some((name, value)) = fill.parameter {
            let has_query = into[start..].contains(&b'?');
            into.push(if has_query { b'&' } else { b'?' });
            into.extend_from_slice(name.as_bytes());
            into.push(b'=');
            template::encode(value.as_bytes(), Writing::Percent, into);
        }
    }
}

/// The path and query of a URL as they were written: the parser would encode braces.
fn path(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or_default();
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    url[after_scheme..]
        .find('/')
        .map_or("/", |at| &url[after_scheme + at..])
}

impl Target {
    pub(super) fn new(args: &ServerArgs) -> Outcome<Self> {
        let of_hub = args
            .url
            .as_deref()
            .map(|url| format!("{}/topics/{{topic}}", url.trim_end_matches('/')));
        let shared = shared_headers(args)?;
        let headers = |own: &[String]| -> Outcome<Vec<Header>> {
            let own = own.iter().map(|text| options::header(text));
            own.chain(shared.iter().cloned().map(Ok)).collect()
        };
        let subscribe = match args.subscribe_url.as_ref().or(of_hub.as_ref()) {
            Some(url) => Some((
                Place::parse(url, "--subscribe-url")?,
                headers(&args.subscribe_header)?,
            )),
            None => None,
        };
        let publish = match args.publish_url.as_ref().or(of_hub.as_ref()) {
            Some(url) => {
                let place = Place::parse(url, "--publish-url")?;
                Some(Publishing::new(
                    place,
                    headers(&args.publish_header)?,
                    args,
                )?)
            }
            None => None,
        };
        Ok(Self { subscribe, publish })
    }

    pub(super) fn subscribing(&self) -> Outcome<&(Place, Vec<Header>)> {
        self.subscribe.as_ref().ok_or_else(|| {
            Failure::usage("nobody knows where the streams are")
                .next("give --subscribe-url or --url")
        })
    }

    pub(super) fn publishing(&self) -> Outcome<&Publishing> {
        self.publish.as_ref().ok_or_else(|| {
            Failure::usage("nobody knows where to publish").next("give --publish-url or --url")
        })
    }
}

impl Publishing {
    fn new(place: Place, mut headers: Vec<Header>, args: &ServerArgs) -> Outcome<Self> {
        let body = Template::parse(&args.publish_body);
        if !body.has_data() {
            return Err(Failure::usage("--publish-body has no {data}")
                .next("write {data} where the event's data belongs"));
        }
        let media = args
            .publish_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        let writing = match media.to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => Writing::Percent,
            json if json == "application/json" || json.ends_with("+json") => Writing::Json,
            _ => Writing::Plain,
        };
        headers.insert(0, ("Content-Type".to_owned(), args.publish_type.clone()));
        Ok(Self {
            place,
            headers,
            body,
            writing,
        })
    }

    /// The same server's NDJSON batches, at another URL.
    pub(super) fn batches(&self, place: Place) -> Self {
        let is_type = |name: &str| name.eq_ignore_ascii_case("content-type");
        let others = self.headers.iter().filter(|(name, _)| !is_type(name));
        let ndjson = ("Content-Type".to_owned(), "application/x-ndjson".to_owned());
        Self {
            place,
            headers: std::iter::once(ndjson).chain(others.cloned()).collect(),
            body: Template::parse("{\"topic\":\"{topic}\",\"data\":\"{data}\"}\n"),
            writing: Writing::Json,
        }
    }

    /// Writes an event as it is in a body.
    pub(super) fn write_event(&self, fill: Fill<'_>, body: &mut Vec<u8>) {
        self.body.write(fill, self.writing, body);
    }

    /// Writes a request with this body.
    pub(super) fn write_request(&self, fill: Fill<'_>, body: &[u8], into: &mut Vec<u8>) {
        self.place.write_request("POST", fill, into);
        write_headers(&self.headers, into);
        into.extend_from_slice(b"Content-Length: ");
        write_number(body.len(), into);
        into.extend_from_slice(b"\r\n\r\n");
        into.extend_from_slice(body);
    }
}

/// Writes header fields.
pub(super) fn write_headers(headers: &[Header], into: &mut Vec<u8>) {
    for (name, value) in headers {
        for part in [name.as_str(), ": ", value, "\r\n"] {
            into.extend_from_slice(part.as_bytes());
        }
    }
}

fn write_number(number: usize, into: &mut Vec<u8>) {
    use std::io::Write;
    let _ = write!(into, "{number}");
}

/// The headers of files, which every request gets.
fn shared_headers(args: &ServerArgs) -> Outcome<Vec<Header>> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path).map_err(|error| Failure::file(path, "read it", &error))
    };
    let mut headers = Vec::new();
    if let Some(path) = &args.token_file {
        let token = read(path)?;
        headers.push(options::header(&format!(
            "Authorization: Bearer {}",
            token.trim()
        ))?);
    }
    if let Some(path) = &args.header_file {
        let lines = read(path)?;
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        for line in lines {
            headers.push(options::header(line)?);
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_its_holes() {
        for (url, authority, request) in [
            (
                "http://127.0.0.1:1/s/{topic}?x=%20",
                "127.0.0.1:1",
                "GET /s/a%20b?x=%20 HTTP/1.1\r\n",
            ),
            ("http://127.0.0.1", "127.0.0.1", "GET / HTTP/1.1\r\n"),
            ("https://[::1]:9/#x", "[::1]:9", "GET / HTTP/1.1\r\n"),
        ] {
            let place = Place::parse(url, "--url").unwrap();
            assert_eq!(place.authority, authority);
            assert_eq!(place.is_tls, url.starts_with("https"));
            let mut written = Vec::new();
            let fill = Fill {
                topic: "a b",
                ..Fill::default()
            };
            place.write_request("GET", fill, &mut written);
            assert_eq!(
                String::from_utf8(written).unwrap(),
                format!("{request}Host: {authority}\r\n")
            );
        }
        for url in ["", "127.0.0.1:80", "ftp://127.0.0.1/"] {
            assert!(Place::parse(url, "--url").is_err(), "{url}");
        }
    }
}
