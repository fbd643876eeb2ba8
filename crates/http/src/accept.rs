//! Content negotiation (RFC 9110, section 12.5.1): in which form a subscriber reads.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::problem::Problem;

/// The forms of a subscribe's answer, in the order in which we prefer them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `text/event-stream`, endless.
    EventStream,
    /// `application/x-ndjson`, endless.
    Ndjson,
    /// `application/json`, one page.
    Page,
}

impl Answer {
    const ALL: [Self; 3] = [Self::EventStream, Self::Ndjson, Self::Page];

    /// Its media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::EventStream => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
            Self::Page => "application/json",
        }
    }

    /// The form that the request likes best; an event stream if it does not say.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Result<Self, Problem> {
        let ranges: Vec<Range> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(Range::parse)
            .collect();
        if ranges.is_empty() {
            return Ok(Self::EventStream);
        }
        let mut best = (Self::EventStream, 0);
        for answer in Self::ALL {
            let quality = quality(&ranges, answer.media_type());
            if quality > best.1 {
                best = (answer, quality);
            }
        }
        if best.1 > 0 {
            return Ok(best.0);
        }
        Err(Problem::not_acceptable(
            "accept one of text/event-stream, application/x-ndjson, application/json",
        ))
    }
}

/// One media range of an Accept header; its quality in thousandths.
struct Range {
    kind: String,
    subtype: String,
    quality: u16,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let weight = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        Some(Self {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            quality: weight.map_or(1000, thousandths),
        })
    }

    /// 0 does not match, then the more specific the higher.
    fn specificity(&self, kind: &str, subtype: &str) -> u8 {
        match (&*self.kind, &*self.subtype) {
            ("*", "*") => 1,
            (have, "*") if have == kind => 2,
            (have, sub) if have == kind && sub == subtype => 3,
            _ => 0,
        }
    }
}

/// A weight that cannot be read counts as full: better an answer than none.
fn thousandths(weight: &str) -> u16 {
    match weight.parse::<f32>() {
        // The cast is exact: 0 to 1000.
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0).round() as u16,
        _ => 1000,
    }
}

/// RFC 9110, section 12.5.1: the most specific range that matches decides.
fn quality(ranges: &[Range], media_type: &str) -> u16 {
    let (kind, subtype) = media_type.split_once('/').unwrap_or_default();
    ranges
        .iter()
        .map(|range| (range.specificity(kind, subtype), range.quality))
        .filter(|(specificity, _)| *specificity > 0)
        .max_by_key(|(specificity, _)| *specificity)
        .map_or(0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_negotiated_by_quality() {
        use Answer::{EventStream, Ndjson, Page};
        let table: [(&[&str], Option<Answer>); 14] = [
            (&[], Some(EventStream)),
            (&["*/*"], Some(EventStream)),
            (&["text/event-stream"], Some(EventStream)),
            (&["text/event-stream; charset=utf-8"], Some(EventStream)),
            (&["TEXT/Event-Stream"], Some(EventStream)),
            (&["application/json"], Some(Page)),
            (&["application/*"], Some(Ndjson)),
            (
                &["application/json, application/x-ndjson;q=0.5"],
                Some(Page),
            ),
            (
                &["application/json;q=0.2", "application/x-ndjson"],
                Some(Ndjson),
            ),
            (
                &["text/html,application/xhtml+xml,*/*;q=0.8"],
                Some(EventStream),
            ),
            (&["*/*, text/event-stream;q=0"], Some(Ndjson)),
            (&["text/html"], None),
            (&["*/*;q=0"], None),
            (&["garbage"], Some(EventStream)),
        ];
        for (values, want) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(ACCEPT, value.parse().unwrap());
            }
            assert_eq!(Answer::negotiate(&headers).ok(), want, "{values:?}");
        }
    }
}
