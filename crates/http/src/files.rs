//! The files of the playground page and the browser SDK: which there are, in which encoding they are sent, and whether a browser
//! has them already.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::front::Front;
use crate::place::HUB_PATH;

/// `assets/index.html` is the page. What ends in `.gz` is another file's compressed form and has no path of its own.
#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// The page loads nothing but its own files, and can be framed and based nowhere.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The scripts that name the hub's path.
const NAME_THE_HUB: [&str; 3] = ["addresses.js", "sdk/tidewire.js", "sdk/tidewire-old.js"];

/// Whether a path names a file.
pub(crate) fn is_there(path: &str) -> bool {
    find(path).is_some()
}

fn find(path: &str) -> Option<(&str, EmbeddedFile)> {
    let name = match path {
        "/" => "index.html",
        path => path.strip_prefix('/')?,
    };
    match name.ends_with(".gz") {
        true => None,
        false => Some((name, Assets::get(name)?)),
    }
}

/// The file that the request's path names, if any.
pub(crate) fn answer(front: &Front, request: &Parts) -> Option<Response> {
    let (name, file) = find(request.uri.path())?;
    let hub_path = front.place().path();
    let names_another_hub = hub_path != HUB_PATH && NAME_THE_HUB.contains(&name);
    let compressed = match takes_gzip(&request.headers) && !names_another_hub {
        true => Assets::get(&format!("{name}.gz")),
        false => None,
    };
    let is_compressed = compressed.is_some();
    let file = compressed.unwrap_or(file);
    let hash = file.metadata.sha256_hash();
    let digest = u64::from_be_bytes(std::array::from_fn(|at| hash[at]));
    let tag = match names_another_hub {
        true => format!("\"{digest:016x}{hub_path}\""),
        false => format!("\"{digest:016x}\""),
    };
    let is_known = is_known(&request.headers, &tag);
    let body = match (is_known, names_another_hub) {
        (true, _) => Body::empty(),
        (false, false) => Body::from(file.data.into_owned()),
        (false, true) => {
            let text = String::from_utf8_lossy(&file.data);
            Body::from(text.replace(HUB_PATH, hub_path))
        }
    };
    let mut response = Response::new(body);
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    let mut say = |name: HeaderName, value| headers.append(name, HeaderValue::from_static(value));
    say(CONTENT_TYPE, content_type(name));
    say(CACHE_CONTROL, "no-cache");
    say(CONTENT_SECURITY_POLICY, PAGE_POLICY);
    say(VARY, "Accept-Encoding");
    if is_compressed {
        say(CONTENT_ENCODING, "gzip");
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    Some(response)
}

/// RFC 9110, section 12.5.3. A weight of 0 means never.
fn takes_gzip(headers: &HeaderMap) -> bool {
    items(headers, &ACCEPT_ENCODING).any(|item| {
        let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        coding.trim().eq_ignore_ascii_case("gzip") && weight.parse().is_ok_and(|q: f32| q > 0.0)
    })
}

/// RFC 9110, section 13.1.2: weak comparison.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    items(headers, &IF_NONE_MATCH)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// The members of a header that is a list.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
