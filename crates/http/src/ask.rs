//! What a subscriber asks for, read from its request: topics, start, form, checkpoints.

use std::time::Duration;

use http::request::Parts;
use percent_encoding::percent_decode_str;
use tidewire_core::{Form, Matcher, MatcherSet, PatternError, Patterns};
use tidewire_engine::Checkpoint;

use crate::accept::Answer;
use crate::limits::Limits;
use crate::manner::{Manner, is_match};
use crate::problem::Problem;
use crate::query::Pairs;
use crate::start::{StartAsk, parse_duration_ms};

/// The longest comment that a stream may be asked to open with, in bytes.
pub(crate) const PADDING_BYTES_MAX: usize = 16 << 10;

/// A subscribe as it stands in its request: read, but not judged beyond its dialect.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) path: Path,
    pub(crate) request: &'a Parts,
    /// Of the query, and then of the body.
    pub(crate) pairs: Pairs,
    pub(crate) manner: Manner,
}

impl<'a> Asked<'a> {
    /// Reads it; `body` is that of a QUERY (mercure.md, 2.1).
    pub(crate) fn read(
        path: Path,
        request: &'a Parts,
        body: Option<&[u8]>,
        limits: &Limits,
    ) -> Result<Self, Problem> {
        let mut pairs = Pairs::of(&request.uri)?;
        if let Some(body) = body {
            pairs = pairs.and(Pairs::of_body(
                body,
                limits.filters_per_stream_max,
                Problem::bad_parameter,
            )?);
        }
        Ok(Self {
            manner: Manner::of_subscribe(path, &pairs)?,
            path,
            request,
            pairs,
        })
    }
}

/// A subscribe.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) routing: MatcherSet,
    pub(crate) from: StartAsk,
    pub(crate) answer: Answer,
    pub(crate) form: Form,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) padding_bytes: usize,
    pub(crate) page: PageAsk,
}

/// What concerns one page only.
#[derive(Debug)]
pub(crate) struct PageAsk {
    pub(crate) wait: Duration,
    pub(crate) events_max: usize,
}

/// Which path was asked, and with it how topics are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// `/.well-known/mercure`: topics in the query.
    Mercure,
    /// `/topics/{topic}`.
    Topic,
}

impl Ask {
    /// Judges what was asked.
    pub(crate) fn parse(
        asked: &Asked<'_>,
        limits: &Limits,
        patterns: &Patterns,
        now_ms: u64,
    ) -> Result<Self, Problem> {
        let Asked {
            path,
            request,
            pairs: query,
            manner,
            ..
        } = asked;
        let path = *path;
        query.check_visible()?;
        let routing = match path {
            Path::Mercure => routing(query, limits, patterns)?,
            Path::Topic => {
                if let Some((name, _)) = query.iter().find(|(name, _)| names_topics(name)) {
                    return Err(Problem::bad_parameter(format!(
                        "`{name}` has no meaning on /topics/; subscribe to several topics with /.well-known/mercure?topic=a&topic=b"
                    )));
                }
                let topic = topic_of_path(request.uri.path())?;
                let matcher = Patterns::exact(&topic).map_err(|error| {
                    Problem::bad_parameter(format!("{topic:?} is no topic: {error}"))
                })?;
                MatcherSet::from_iter([matcher])
            }
        };
        // Presence is told in the dialect that was asked in.
        let is_legacy = *manner == Manner::Legacy;
        let checkpoint = checkpoint(path, query)?;
        Self::of(
            request, query, routing, checkpoint, is_legacy, limits, now_ms,
        )
    }

    /// Of a request to a path of an embedder's, who says which topics.
    pub(crate) fn of_embedder(
        request: &Parts,
        routing: MatcherSet,
        limits: &Limits,
        now_ms: u64,
    ) -> Result<Self, Problem> {
        let query = Pairs::of(&request.uri)?;
        let checkpoint = checkpoint(Path::Topic, &query)?;
        Self::of(request, &query, routing, checkpoint, false, limits, now_ms)
    }

    fn of(
        request: &Parts,
        query: &Pairs,
        routing: MatcherSet,
        checkpoint: Checkpoint,
        is_legacy: bool,
        limits: &Limits,
        now_ms: u64,
    ) -> Result<Self, Problem> {
        let answer = Answer::negotiate(&request.headers)?;
        let is_labelled = one_of(query, "label", &["topic"])?.is_some();
        Ok(Self {
            routing,
            from: StartAsk::parse(&request.headers, query, now_ms)?,
            answer,
            form: match answer {
                Answer::EventStream if is_labelled => Form::Labelled,
                Answer::EventStream if is_legacy => Form::Legacy,
                Answer::EventStream => Form::EventStream,
                Answer::Ndjson | Answer::Page => Form::Ndjson,
            },
            checkpoint,
            padding_bytes: number(query, "padding", PADDING_BYTES_MAX)?.unwrap_or(0),
            page: PageAsk {
                wait: wait(query, limits.wait_max)?,
                events_max: number(query, "limit", limits.page_events_max)?
                    .unwrap_or(limits.page_events_max)
                    .max(1),
            },
        })
    }
}

/// Whether a parameter names a topic, in any dialect.
pub(crate) fn names_topics(name: &str) -> bool {
    name == "topic" || is_match(name)
}

/// Topics in the query, in either dialect: `topic=` is the legacy one (mercure.md, 1.2), `match=`, `match_exact=` and
/// `match_urlpattern=` are the modern one (2.2).
pub(crate) fn routing(
    query: &Pairs,
    limits: &Limits,
    patterns: &Patterns,
) -> Result<MatcherSet, Problem> {
    let asked: Vec<_> = query
        .iter()
        .filter(|(name, _)| names_topics(name))
        .collect();
    // mercure.md, 1.1 and 2.2
    if asked.is_empty() {
        return Err(Problem::bad_parameter(
            "say what to subscribe to: topic=news, or topic=* for every topic",
        ));
    }
    // Before any of them is compiled.
    if asked.len() > limits.filters_per_stream_max {
        return Err(Problem::bad_parameter(format!(
            "{} topics are asked for; one stream takes at most {} (filters_per_stream_max)",
            asked.len(),
            limits.filters_per_stream_max
        )));
    }
    let matcher = |(name, value)| matcher(name, value, patterns);
    asked.into_iter().map(matcher).collect()
}

fn matcher(name: &str, value: &str, patterns: &Patterns) -> Result<Matcher, Problem> {
    let matcher = match name {
        "topic" => patterns.selector(value),
        "match" | "match_exact" => Patterns::exact(value),
        "match_urlpattern" => patterns.url_pattern(value),
        // mercure.md, 2.3: the other names that begin so are kept for what is to come.
        _ => {
            return Err(Problem::bad_parameter(format!(
                "`{name}` is not supported: use `match` or `match_exact` with one topic, `match_urlpattern` with a URL pattern, \
                 or `*` for every topic"
            )));
        }
    };
    matcher.map_err(|error| match error {
        PatternError::Topic(error) => {
            Problem::bad_parameter(format!("{value:?} is no topic: {error}"))
        }
        error => Problem::pattern(name, value, &error),
    })
}

/// The topic in `/topics/{topic}`, decoded; slashes are part of it.
pub(crate) fn topic_of_path(path: &str) -> Result<String, Problem> {
    let encoded = path.strip_prefix("/topics/").unwrap_or_default();
    percent_decode_str(encoded)
        .decode_utf8()
        .map(|topic| topic.into_owned())
        .map_err(|_| {
            Problem::bad_parameter("the topic in the path is not valid UTF-8 once percent-decoded")
        })
}

fn checkpoint(path: Path, query: &Pairs) -> Result<Checkpoint, Problem> {
    let asked = one_of(query, "checkpoint", &["event", "id", "off"])?;
    Ok(match (asked, path) {
        (Some("event"), _) | (None, Path::Topic) => Checkpoint::Event,
        (Some("off"), _) => Checkpoint::Off,
        _ => Checkpoint::Id,
    })
}

fn one_of<'a>(query: &'a Pairs, name: &str, values: &[&str]) -> Result<Option<&'a str>, Problem> {
    match query.once(name)? {
        Some(value) if !values.contains(&value) => Err(Problem::bad_parameter(format!(
            "`{name}={value}` means nothing: use one of {}",
            values.join(", ")
        ))),
        value => Ok(value),
    }
}

fn number(query: &Pairs, name: &str, max: usize) -> Result<Option<usize>, Problem> {
    let Some(value) = query.once(name)? else {
        return Ok(None);
    };
    match value.parse() {
        Ok(number) if number <= max && !value.starts_with('+') => Ok(Some(number)),
        _ => Err(Problem::bad_parameter(format!(
            "`{name}={value}` is no number from 0 to {max}"
        ))),
    }
}

fn wait(query: &Pairs, max: Duration) -> Result<Duration, Problem> {
    let Some(value) = query.once("wait")? else {
        return Ok(Duration::ZERO);
    };
    match parse_duration_ms(value) {
        Some(ms) => Ok(Duration::from_millis(ms).min(max)),
        None => Err(Problem::bad_parameter(format!(
            "`wait={value}` is no duration: write 30s, or at most {}s",
            max.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parsed(target: &str) -> Result<Ask, Problem> {
        let path = if target.starts_with("/topics/") {
            Path::Topic
        } else {
            Path::Mercure
        };
        let request = Request::builder().uri(target).body(()).unwrap();
        let limits = Limits {
            filters_per_stream_max: 3,
            ..Limits::default()
        };
        let patterns = Patterns::with_base(Default::default(), "https://h.x/m").unwrap();
        let (request, ()) = request.into_parts();
        let asked = Asked::read(path, &request, None, &limits)?;
        Ask::parse(&asked, &limits, &patterns, 0)
    }

    #[test]
    fn topics_in_both_dialects() {
        let table: [(&str, Option<&[&str]>); 46] = [
            ("/m?topic=a", Some(&["a"])),
            ("/m?topic=a&topic=b&topic=a", Some(&["a", "b"])),
            ("/m?topic=*", Some(&["*"])),
            ("/m?match=a&match_exact=b%7B", Some(&["a", "b{"])),
            (
                "/m?match=https%3A%2F%2Fe.x%2F1%3Fq%3D1",
                Some(&["https://e.x/1?q=1"]),
            ),
            ("/m?topic=a&topic=b&topic=c", Some(&["a", "b", "c"])),
            ("/m?topic=a&topic=b&topic=c&topic=d", None),
            ("/m", None),
            ("/m?topic=", None),
            ("/m?topic=a%7Bid%7D", Some(&["Template a{id}"])),
            ("/m?topic=a%7B", Some(&["a{"])),
            (
                "/m?topic=%7Ba%7D&topic=b&topic=*",
                Some(&["*", "b", "Template {a}"]),
            ),
            ("/m?match=a%7Bid%7D", Some(&["a{id}"])),
            ("/m?topic=a&match=b", None),
            ("/m?match_urlpattern=a/:b&match=c", Some(&["c", "Url a/:b"])),
            ("/m?match_urlpattern=*", Some(&["*"])),
            ("/m?match_urlpattern=", None),
            ("/m?match_urlpattern=(", None),
            ("/m?matchurlpattern=a", None),
            ("/m?match_uritemplate=a", None),
            ("/m?MATCH=a", None),
            ("/m?matchRegexp=a", None),
            ("/m?topic=a%0A", None),
            ("/m?topic=%FF", None),
            // mercure.md, 2.4
            ("/m?match=a%00", None),
            ("/m?match=a%0A", None),
            ("/m?match=a%7F", None),
            ("/m?match=a%C2%85", None),
            ("/m?match=a%FF", None),
            ("/m?match=a%E2%80%AE", None),
            ("/m?match=a%E2%80%8B", None),
            ("/m?match=%EF%BB%BFa", None),
            ("/m?match_urlpattern=/a%0A", None),
            ("/m?match=a&last_event_id=%00", None),
            ("/m?match=a&x=%E2%80%8B", None),
            ("/m?match", None),
            // mercure.md, 2.6
            ("/m?match=*&match_exact=*", Some(&["*"])),
            ("/m?match_other=*", None),
            ("/topics/a", Some(&["a"])),
            ("/topics/orders/42/lines", Some(&["orders/42/lines"])),
            ("/topics/https%3A%2F%2Fe.x%2F1", Some(&["https://e.x/1"])),
            ("/topics/a+b%20c", Some(&["a+b c"])),
            ("/topics/*", Some(&["*"])),
            ("/topics/a%7Bid%7D", Some(&["a{id}"])),
            ("/topics/%FF", None),
            ("/topics/a?topic=b", None),
        ];
        for (target, want) in table {
            let got = parsed(target).ok().map(|ask| {
                let name = |matcher: &Matcher| match matcher {
                    Matcher::Exact(topic) => topic.to_string(),
                    Matcher::Pattern(pattern) => {
                        format!("{:?} {}", pattern.kind(), pattern.as_str())
                    }
                    _ => "*".to_owned(),
                };
                ask.routing.iter().map(name).collect::<Vec<_>>()
            });
            let want = want.map(|names| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
            assert_eq!(got, want, "{target}");
        }
    }

    #[test]
    fn other_parameters() {
        let ask = parsed("/topics/a").unwrap();
        assert_eq!(
            (ask.checkpoint, ask.form),
            (Checkpoint::Event, Form::EventStream)
        );
        assert_eq!(parsed("/m?topic=a").unwrap().checkpoint, Checkpoint::Id);
        let ask = parsed("/m?topic=a&checkpoint=event&label=topic&padding=2048&wait=30s&limit=5")
            .unwrap();
        assert_eq!(
            (ask.checkpoint, ask.form),
            (Checkpoint::Event, Form::Labelled)
        );
        assert_eq!((ask.padding_bytes, ask.page.events_max), (2048, 5));
        assert_eq!(ask.page.wait, Duration::from_secs(30));
        assert_eq!(
            parsed("/m?topic=a&wait=9h").unwrap().page.wait,
            Duration::from_secs(60)
        );
        for query in [
            "checkpoint=x",
            "label=x",
            "padding=16385",
            "padding=x",
            "wait=x",
            "limit=1001",
            "since=x",
            "limit=1&limit=2",
        ] {
            assert!(parsed(&format!("/m?topic=a&{query}")).is_err(), "{query}");
        }
    }
}
