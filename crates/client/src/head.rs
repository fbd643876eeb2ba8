//! What an answer's status and headers mean to an EventSource. Not here: what follows from it.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use url::Url;

use crate::RedirectError;
use crate::options::check_url;

/// How an answer's head is read.
#[derive(Debug, PartialEq)]
pub(crate) enum Meaning {
    Stream,
    NothingMore,
    Redirect(Redirect),
    BadRedirect(RedirectError),
    /// 401, 403: other headers may do.
    Unauthorized,
    Busy(Option<Duration>),
    Refused,
    OtherType(Option<String>),
    /// A stream in a coding that was not asked for.
    Encoded(String),
}

/// A redirect that can be followed.
#[derive(Debug, PartialEq)]
pub(crate) struct Redirect {
    pub(crate) status: StatusCode,
    pub(crate) to: Url,
    pub(crate) permanent: bool,
}

/// WHATWG HTML 9.2.2, the constructor's "process response": other than a 200 with `text/event-stream`, all fails the
/// connection for good. Gateways refuse for a while what they would serve later; those statuses are told apart, as a
/// browser does not.
pub(crate) fn read(status: StatusCode, headers: &HeaderMap, asked: &Url) -> Meaning {
    match status.as_u16() {
        200 if is_event_stream(headers) => match coding(headers) {
            None => Meaning::Stream,
            Some(coding) => Meaning::Encoded(coding),
        },
        200 => Meaning::OtherType(text(headers, CONTENT_TYPE.as_str()).map(str::to_owned)),
        // 9.2.1: "Clients will reconnect if the connection is closed; a client can be told to stop reconnecting using the
        // HTTP 204 No Content response code."
        204 => Meaning::NothingMore,
        301 | 302 | 303 | 307 | 308 => redirect(status, headers, asked),
        401 | 403 => Meaning::Unauthorized,
        429 | 502 | 503 | 504 => Meaning::Busy(retry_after(headers)),
        _ => Meaning::Refused,
    }
}

/// The type's essence decides; parameters such as `charset` are of no account, for event streams are UTF-8.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let essence = text(headers, CONTENT_TYPE.as_str()).and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// RFC 9110, section 8.4: what the bytes are wrapped in. Read as they are, they would be a stream without events.
fn coding(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_ENCODING)?;
    let value = String::from_utf8_lossy(value.as_bytes());
    let value = value.trim();
    let is_none = value.is_empty() || value.eq_ignore_ascii_case("identity");
    (!is_none).then(|| value.to_owned())
}

/// Fetch, "redirect status" and "location URL". A `Location` that is empty names no other URL: following it would be a loop.
fn redirect(status: StatusCode, headers: &HeaderMap, asked: &Url) -> Meaning {
    let Some(location) = headers.get(LOCATION) else {
        return Meaning::BadRedirect(RedirectError::NoLocation);
    };
    let location = String::from_utf8_lossy(location.as_bytes());
    let location = location.trim();
    let to = (!location.is_empty())
        .then(|| asked.join(location).ok())
        .flatten()
        .filter(|url| check_url(url).is_ok());
    match to {
        Some(to) => Meaning::Redirect(Redirect {
            status,
            to,
            permanent: matches!(status.as_u16(), 301 | 308),
        }),
        None => Meaning::BadRedirect(RedirectError::UnusableLocation(location.to_owned())),
    }
}

/// RFC 9110, 10.2.3: seconds or a date. A date is measured against the answer's own `Date`, for clocks differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, RETRY_AFTER.as_str())?;
    // "delay-seconds = 1*DIGIT"; more than a u64 holds is as good as its greatest value.
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(text(headers, DATE.as_str())?).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn head(status: u16, headers: &[(&'static str, &str)]) -> Meaning {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        read(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            &Url::parse("http://a/b/c?d").unwrap(),
        )
    }

    #[test]
    fn only_the_essence_of_the_type_counts() {
        let table = [
            ("text/event-stream", true),
            ("text/event-stream;charset=utf-8", true),
            ("Text/Event-Stream ; charset=latin1", true),
            (" text/event-stream", true),
            ("text/event-stream2", false),
            ("text/plain", false),
            ("application/json; x=text/event-stream", false),
            ("", false),
        ];
        for (value, stream) in table {
            assert_eq!(
                head(200, &[("content-type", value)]) == Meaning::Stream,
                stream,
                "{value:?}"
            );
        }
        assert_eq!(head(200, &[]), Meaning::OtherType(None));
        let encoded = |coding| {
            let stream = ("content-type", "text/event-stream");
            head(200, &[stream, ("content-encoding", coding)])
        };
        for coding in ["", "identity", " Identity "] {
            assert_eq!(encoded(coding), Meaning::Stream, "{coding:?}");
        }
        for coding in ["gzip", "br, gzip"] {
            assert_eq!(encoded(coding), Meaning::Encoded(coding.to_owned()));
        }
    }

    #[test]
    fn statuses_are_told_apart() {
        for status in [429, 502, 503, 504] {
            assert_eq!(head(status, &[]), Meaning::Busy(None), "{status}");
        }
        for status in [201, 205, 206, 300, 304, 400, 404, 410, 500, 501] {
            assert_eq!(
                head(status, &[("content-type", "text/event-stream")]),
                Meaning::Refused,
                "{status}"
            );
        }
        for status in [401, 403] {
            assert_eq!(head(status, &[]), Meaning::Unauthorized, "{status}");
        }
        assert_eq!(head(204, &[]), Meaning::NothingMore);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = ("date", "Sat, 21 Nov 2026 09:00:00 GMT");
        let seconds = |n| Some(Duration::from_secs(n));
        let table = [
            ("7", seconds(7)),
            ("0", seconds(0)),
            (" 3 ", seconds(3)),
            ("Sat, 21 Nov 2026 09:01:00 GMT", seconds(60)),
            ("Sat, 21 Nov 2026 08:00:00 GMT", seconds(0)),
            ("99999999999999999999", seconds(u64::MAX)),
            ("Saturday, 21-Nov-26 09:00:30 GMT", seconds(30)),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (value, after) in table {
            assert_eq!(
                head(503, &[date, ("retry-after", value)]),
                Meaning::Busy(after),
                "{value:?}"
            );
        }
        let without_date = head(503, &[("retry-after", "Sat, 21 Nov 2026 09:01:00 GMT")]);
        assert_eq!(
            without_date,
            Meaning::Busy(None),
            "no clock to measure it against"
        );
    }

    #[test]
    fn redirects_are_resolved_against_what_was_asked() {
        let table = [
            (301, "/x", Some(("http://a/x", true))),
            (302, "x?y", Some(("http://a/b/x?y", false))),
            (303, "//h:81/", Some(("http://h:81/", false))),
            (307, "https://h/", Some(("https://h/", false))),
            (308, "?z", Some(("http://a/b/c?z", true))),
            (307, "ftp://h/", None),
            (307, "http://u:p@h/", None),
            (307, "http://", None),
            (307, "", None),
            (307, " ", None),
        ];
        for (status, location, to) in table {
            let expected = match to {
                Some((to, permanent)) => Meaning::Redirect(Redirect {
                    status: StatusCode::from_u16(status).unwrap(),
                    to: Url::parse(to).unwrap(),
                    permanent,
                }),
                None => Meaning::BadRedirect(RedirectError::UnusableLocation(
                    location.trim().to_owned(),
                )),
            };
            assert_eq!(
                head(status, &[("location", location)]),
                expected,
                "{status} {location}"
            );
        }
        assert_eq!(
            head(307, &[]),
            Meaning::BadRedirect(RedirectError::NoLocation)
        );
    }
}
