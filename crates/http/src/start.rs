//! Where a subscriber starts: the last event id in its header, else in its query, else `since=`, else now.

use http::HeaderMap;
use tidewire_core::Cursor;
use tidewire_log::Start;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::problem::Problem;
use crate::query::Pairs;

/// The spellings of the last event id in a query, the most usual first (interfaces.md; mercure.md, 1.10).
pub(crate) const QUERY_NAMES: [&str; 4] = [
    "last_event_id",
    "lastEventID",
    "lastEventId",
    "Last-Event-ID",
];

/// Where a subscriber wants to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartAsk {
    /// For the log.
    pub(crate) start: Start,
    /// The last event id as the client spelled it; `Some` even if it is empty, for that wants an answer too (mercure.md, 2.50).
    pub(crate) last_event_id: Option<String>,
    /// As the client spelled it, for the gap that it may leave.
    pub(crate) asked: String,
}

impl StartAsk {
    /// Reads it. `now_ms` is in milliseconds since 1970.
    pub(crate) fn parse(headers: &HeaderMap, query: &Pairs, now_ms: u64) -> Result<Self, Problem> {
        // The URL keeps the old cursor when an EventSource reconnects, and the header has the new one: the header wins.
        let header = headers
            .get("last-event-id")
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let last_event_id = match header {
            Some(id) if !id.is_empty() => Some(id),
            empty => of_query(query).map(str::to_owned).or(empty),
        };
        if let Some(id) = last_event_id.as_deref().filter(|id| !id.is_empty()) {
            return Ok(Self {
                start: after(id),
                asked: id.to_owned(),
                last_event_id,
            });
        }
        let since = query.once("since")?.unwrap_or_default();
        Ok(Self {
            start: if since.is_empty() {
                Start::Tail
            } else {
                parse_since(since, now_ms)?
            },
            asked: since.to_owned(),
            last_event_id,
        })
    }
}

/// The first that says something, whatever its spelling: the pairs of a query stand before those of a body, and win
/// (mercure.md, 2.1).
fn of_query(query: &Pairs) -> Option<&str> {
    let mut ids = query
        .iter()
        .filter(|(name, _)| QUERY_NAMES.contains(name))
        .map(|(_, id)| id);
    let first = ids.next()?;
    match first {
        "" => ids.find(|id| !id.is_empty()).or(Some("")),
        id => Some(id),
    }
}

fn after(id: &str) -> Start {
    if id == "earliest" {
        return Start::Head;
    }
    match Cursor::parse(id) {
        Some(cursor) if id.starts_with('#') => Start::After(cursor),
        // Without its `#` it may also be a publisher's; the log looks for that first, then reads it as a cursor.
        _ => Start::AfterId(id.to_owned()),
    }
}

fn parse_since(since: &str, now_ms: u64) -> Result<Start, Problem> {
    if matches!(since, "earliest" | "all") {
        return Ok(Start::Head);
    }
    if let Some(count) = since.strip_prefix("last:") {
        return match digits(count) {
            Some(count) => Ok(Start::Last(count)),
            None => Err(wrong(since)),
        };
    }
    if let Some(seconds) = digits(since) {
        return Ok(Start::Since(seconds.saturating_mul(1000)));
    }
    if let Some(duration_ms) = parse_duration_ms(since) {
        return Ok(Start::Since(now_ms.saturating_sub(duration_ms)));
    }
    // A `+` in a query is a space; nobody means a space before an offset.
    match OffsetDateTime::parse(&since.replace(' ', "+"), &Rfc3339) {
        Ok(time) => Ok(Start::Since(
            u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0),
        )),
        Err(_) => Err(wrong(since)),
    }
}

fn wrong(since: &str) -> Problem {
    Problem::bad_parameter(format!(
        "`since={since}` is no start: use earliest, a duration such as 10m or 1h30m, last:20, or a time such as 2026-11-21T08:00:00Z"
    ))
}

/// `45s`, `10m`, `1h30m`, `2d` in milliseconds.
pub(crate) fn parse_duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number = digits(&rest[..end])?;
        let unit_end = rest[end..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |at| end + at);
        let unit: u64 = match &rest[end..unit_end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use tidewire_core::{Epoch, Position};

    use super::*;

    const NOW: u64 = 1_795_250_000_123;

    fn parsed(header: Option<&[u8]>, query: &str) -> Result<StartAsk, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(
                "last-event-id",
                http::HeaderValue::from_bytes(value).unwrap(),
            );
        }
        StartAsk::parse(&headers, &Pairs::parse(query.as_bytes()).unwrap(), NOW)
    }

    fn id(text: &str) -> Start {
        Start::AfterId(text.to_owned())
    }

    #[test]
    fn the_header_wins_over_the_query_over_since() {
        let cursor = |seen| Start::After(Cursor::new(Epoch(5), Position(seen)));
        #[rustfmt::skip]
        let table: [(Option<&str>, &str, Start); 19] = [
            (None, "", Start::Tail),
            (Some("#5-7"), "last_event_id=%235-9&since=10m", cursor(7)),
            (Some(""), "last_event_id=%235-9", cursor(9)),
            (None, "last_event_id=%235-9&since=10m", cursor(9)),
            (None, "lastEventID=%235-9", cursor(9)),
            (None, "lastEventId=%235-9", cursor(9)),
            (None, "Last-Event-ID=%235-9", cursor(9)),
            (None, "lastEventID=%235-8&last_event_id=%235-9", cursor(8)),
            (None, "lastEventID=&last_event_id=%235-9", cursor(9)),
            (None, "last_event_id=5-9", id("5-9")),
            (None, "last_event_id=urn:uuid:1", id("urn:uuid:1")),
            (Some("#nonsense"), "", id("#nonsense")),
            (Some("naïve-日"), "", id("naïve-日")),
            (Some("earliest"), "", Start::Head),
            (None, "last_event_id=&since=earliest", Start::Head),
            (None, "since=1h30m", Start::Since(NOW - 5_400_000)),
            (None, "since=last:20", Start::Last(20)),
            (None, "since=2026-11-21T08:33:20.123Z", Start::Since(NOW)),
            (None, "since=2026-11-21T10:33:20.123+02:00", Start::Since(NOW)),
        ];
        for (header, query, want) in table {
            let from = parsed(header.map(str::as_bytes), query).unwrap();
            assert_eq!(from.start, want, "{header:?} {query}");
        }
        assert_eq!(parsed(Some(b"\xff"), "").unwrap().start, id("\u{fffd}"));
        assert_eq!(
            parsed(Some(b""), "").unwrap().last_event_id.as_deref(),
            Some("")
        );
        assert_eq!(parsed(None, "").unwrap().last_event_id, None);
        for since in [
            "x",
            "10",
            "1h30",
            "last:",
            "last:-1",
            "2026-11-21",
            "10m&since=1h",
        ] {
            let query = format!("since={since}");
            let is_seconds = since == "10";
            assert_eq!(parsed(None, &query).is_ok(), is_seconds, "{since}");
        }
    }

    #[test]
    fn durations() {
        let table = [
            ("45s", Some(45_000)),
            ("10m", Some(600_000)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("250ms", Some(250)),
            ("", None),
            ("s", None),
            ("1x", None),
            ("1", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ];
        for (text, want) in table {
            assert_eq!(parse_duration_ms(text), want, "{text:?}");
        }
    }
}
