//! The subscription API: who subscribes now (mercure.md, 1.14 and 2.64), and, beside what the protocol knows, pages, totals and
//! counts, for hubs with many.
//!
//! ```text
//! …/subscriptions                                     all: in the words of the token's dialect, else of the modern one
//! …/subscriptions/{topic}                             legacy
//! …/subscriptions/{topic}/{subscriber}                legacy, unless the first names a kind of matcher
//! …/subscriptions/{match_type}/{match}                modern
//! …/subscriptions/{match_type}/{match}/{subscriber}   modern
//! ```

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use tidewire_auth::{Refusal, Role};
use tidewire_core::{Dialect, Grant};
use tidewire_log::MatchType;

use super::document::{self, Around};
use super::registry::{Listed, Name, Page, Place, SubscriberId};
use super::{Presence, Version, path_of};
use crate::front::Front;
use crate::manner::Manner;
use crate::problem::Problem;
use crate::query::Pairs;
use crate::token;

/// The most subscriptions of one answer; where there are more, it says where they are.
const PAGE_SUBSCRIPTIONS_MAX: usize = 10_000;
/// So many are looked up at once, before whoever begins or ends has a turn.
const LOOK_SUBSCRIPTIONS: usize = 500;

const CACHE_CONTROL: &str = "private, no-cache";

/// Answers a request for subscriptions.
pub(crate) async fn subscriptions(State(front): State<Front>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    answer(&front, &request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

/// Whether this path is one of the API's, and there is an API.
pub(crate) fn has(front: &Front, path: &str) -> bool {
    let rest = front.presence().and_then(|presence| presence.below(path));
    rest.is_some()
}

async fn answer(front: &Front, request: &Parts) -> Result<Response, Problem> {
    let path = request.uri.path();
    let missing = || Problem::not_found(path);
    let presence = front.presence().ok_or_else(missing)?;
    let target = Target::parse(presence.below(path).ok_or_else(missing)?).ok_or_else(missing)??;
    let query = Pairs::of(&request.uri)?;
    let dialect = authorize(front, presence, request, &query, &target).await?;
    let ask = Ask::parse(&query)?;
    let asked = Asked {
        presence,
        request,
        target: &target,
        dialect,
    };
    let (version, document) = asked.document(&ask)?;
    asked.respond(front, &version, document)
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    /// What the path says of the dialect.
    dialect: Option<Dialect>,
    /// Of this matcher.
    matcher: Option<(String, Option<MatchType>)>,
    /// Of this subscriber.
    subscriber: Option<String>,
}

impl Target {
    /// Reads what follows `subscriptions`; `None` where nothing can be.
    fn parse(rest: &str) -> Option<Result<Self, Problem>> {
        let encoded: Vec<&str> = match rest.strip_prefix('/') {
            Some(rest) => rest.split('/').collect(),
            None => Vec::new(),
        };
        if encoded.iter().any(|part| part.is_empty()) || encoded.len() > 3 {
            return None;
        }
        Some(Self::of(&encoded))
    }

    fn of(encoded: &[&str]) -> Result<Self, Problem> {
        let mut parts = Vec::new();
        for part in encoded {
            let decoded = percent_decode_str(part).decode_utf8().map_err(|_| {
                Problem::bad_parameter("the path is not valid UTF-8 once percent-decoded")
            })?;
            // They mean another path to whoever resolves them, and so to a grant.
            if matches!(*part, "." | "..") {
                return Err(Problem::bad_parameter("the path holds dot segments"));
            }
            parts.push(decoded.into_owned());
        }
        let mut parts = parts.into_iter();
        let legacy = |topic, subscriber| Self {
            dialect: Some(Dialect::Legacy),
            matcher: Some((topic, None)),
            subscriber,
        };
        Ok(match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => Self {
                dialect: None,
                matcher: None,
                subscriber: None,
            },
            (Some(topic), None, _) => legacy(topic, None),
            (Some(first), Some(second), third) => match (first.parse(), third) {
                (Ok(match_type), subscriber) => Self {
                    dialect: Some(Dialect::Modern),
                    matcher: Some((second, Some(match_type))),
                    subscriber,
                },
                (Err(_), None) => legacy(first, Some(second)),
                // mercure.md, 2.64: an unknown kind of matcher.
                (Err(unknown), Some(_)) => {
                    return Err(Problem::bad_parameter(format!(
                        "{first:?} is no kind of matcher: {unknown}"
                    )));
                }
            },
        })
    }

    /// The path of it, as it is spelled in topics.
    fn canonical(&self, presence: &Presence) -> String {
        let mut path = path_of(&presence.hub_path);
        let mut push = |part: &str| {
            path.push('/');
            path.push_str(&tidewire_log::presence_path_segment(part));
        };
        if let Some((text, match_type)) = &self.matcher {
            if let Some(match_type) = match_type {
                push(match_type.as_str());
            }
            push(text);
        }
        if let Some(subscriber) = &self.subscriber {
            push(subscriber);
        }
        path
    }
}

/// Whether the request may see it, and in whose words it is told.
async fn authorize(
    front: &Front,
    presence: &Presence,
    request: &Parts,
    query: &Pairs,
    target: &Target,
) -> Result<Dialect, Problem> {
    let manner = match target.dialect {
        Some(Dialect::Legacy) => Manner::Legacy,
        Some(Dialect::Modern) => Manner::Modern,
        // As of a publish, the token says.
        None => Manner::Form,
    };
    let grant = token::grant(front, request, Role::Subscriber, manner, query).await?;
    let dialect = target.dialect.unwrap_or(grant.dialect);
    if is_granted(front, presence, request, target, dialect, &grant) {
        return Ok(dialect);
    }
    // mercure.md, 2.64: 403 without a grant, 401 without a token; 1.14: 401 in either case.
    let refusal = match token::is_presented(front, request, manner, query) {
        true => Refusal::NotGranted(Role::Subscriber),
        false => Refusal::Missing(Role::Subscriber),
    };
    let problem = Problem::refused(&refusal);
    let role = Role::Subscriber;
    Err(token::refused(front, request, role, problem, dialect))
}

fn is_granted(
    front: &Front,
    presence: &Presence,
    request: &Parts,
    target: &Target,
    dialect: Dialect,
    grant: &Grant,
) -> bool {
    let path = request.uri.path();
    let accepts = |topic: &str| grant.private.accepts(topic.as_bytes());
    front.shows_presence_to_all()
        || accepts(path)
        || accepts(&target.canonical(presence))
        // mercure.md, 1.14: the legacy dialect's grants name path and query.
        || (dialect == Dialect::Legacy
            && request
                .uri
                .path_and_query()
                .is_some_and(|uri| accepts(uri.as_str())))
}

/// What concerns the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ask {
    limit: Option<usize>,
    after: Option<String>,
    counts: bool,
}

impl Ask {
    fn parse(query: &Pairs) -> Result<Self, Problem> {
        let limit = match query.once("limit")? {
            None => None,
            Some(text) => match text.parse() {
                Ok(limit) if limit <= PAGE_SUBSCRIPTIONS_MAX && !text.starts_with('+') => {
                    Some(limit)
                }
                _ => {
                    return Err(Problem::bad_parameter(format!(
                        "`limit={text}` is no number from 0 to {PAGE_SUBSCRIPTIONS_MAX}"
                    )));
                }
            },
        };
        let counts = match query.once("counts")? {
            None | Some("false") => false,
            Some("true" | "") => true,
            Some(text) => {
                return Err(Problem::bad_parameter(format!(
                    "`counts={text}` means nothing: use true or false"
                )));
            }
        };
        Ok(Self {
            limit,
            after: query.once("after")?.map(str::to_owned),
            counts,
        })
    }

    fn max(&self) -> usize {
        self.limit.unwrap_or(PAGE_SUBSCRIPTIONS_MAX)
    }

    /// Whether anything is asked for that the protocol does not know.
    fn is_ours(&self) -> bool {
        self.limit.is_some() || self.after.is_some() || self.counts
    }

    /// Where the next page is.
    fn next(&self, path: &str, after: &str) -> String {
        let after = tidewire_log::presence_path_segment(after);
        let counts = if self.counts { "counts=true&" } else { "" };
        match self.limit {
            Some(limit) => format!("{path}?{counts}limit={limit}&after={after}"),
            None => format!("{path}?{counts}after={after}"),
        }
    }
}

/// A request that may be answered.
struct Asked<'a> {
    presence: &'a Presence,
    request: &'a Parts,
    target: &'a Target,
    dialect: Dialect,
}

struct Document {
    text: String,
    next: Option<String>,
}

impl Asked<'_> {
    fn document(&self, ask: &Ask) -> Result<(Version, Document), Problem> {
        match (&self.target.matcher, &self.target.subscriber) {
            (Some((text, match_type)), Some(subscriber)) => self.one(text, *match_type, subscriber),
            (None, None) if ask.counts => self.counts(ask),
            (Some((text, match_type)), None) if ask.counts => Ok(self.count_of(text, *match_type)),
            _ => self.many(ask),
        }
    }

    fn one(
        &self,
        text: &str,
        match_type: Option<MatchType>,
        subscriber: &str,
    ) -> Result<(Version, Document), Problem> {
        let state = self.presence.state();
        let id: Option<SubscriberId> = subscriber.parse().ok();
        let found = id.and_then(|id| state.registry.find(text, match_type, id));
        let version = self.presence.version(&state);
        drop(state);
        // mercure.md, 2.64: gone.
        let listed = found.ok_or_else(|| Problem::not_found(self.request.uri.path()))?;
        let hub_path = &self.presence.hub_path;
        let text = document::subscription(self.dialect, hub_path, &listed, &version.last_event_id);
        Ok((version, Document { text, next: None }))
    }

    fn counts(&self, ask: &Ask) -> Result<(Version, Document), Problem> {
        let after = ask.after.as_deref().map(name_of).transpose()?;
        let state = self.presence.state();
        let page = state.registry.counts(after.as_ref(), ask.max());
        let total = state.registry.total();
        let version = self.presence.version(&state);
        drop(state);
        let next = page.next.map(|name| place_of(&name));
        Ok(self.counted(ask, version, &page.items, total, next.as_deref()))
    }

    fn count_of(&self, text: &str, match_type: Option<MatchType>) -> (Version, Document) {
        let state = self.presence.state();
        let counts = state.registry.counts_of(text, match_type);
        let version = self.presence.version(&state);
        drop(state);
        let total = counts.iter().map(|(_, count)| count).sum();
        let ask = Ask {
            limit: None,
            after: None,
            counts: true,
        };
        self.counted(&ask, version, &counts, total, None)
    }

    fn counted(
        &self,
        ask: &Ask,
        version: Version,
        counts: &[(Name, usize)],
        total: usize,
        after: Option<&str>,
    ) -> (Version, Document) {
        let next = after.map(|after| ask.next(self.request.uri.path(), after));
        let around = self.around(&version, Some(total), next.as_deref());
        let text = document::counts(self.dialect, &around, counts);
        (version, Document { text, next })
    }

    fn many(&self, ask: &Ask) -> Result<(Version, Document), Problem> {
        let after = ask.after.as_deref().map(parse_place).transpose()?;
        let (version, total, page) = self.look(after, ask.max());
        let path = self.request.uri.path();
        let next = page.next.map(|place| ask.next(path, &place.to_string()));
        let is_told = ask.is_ours() || next.is_some();
        let around = self.around(&version, is_told.then_some(total), next.as_deref());
        let hub_path = &self.presence.hub_path;
        let text = document::subscriptions(self.dialect, hub_path, &around, &page.items);
        Ok((version, Document { text, next }))
    }

    /// Gathers a page, a few at a time. What changes meanwhile is told by events after the version's, which was read first.
    fn look(&self, mut after: Option<Place>, max: usize) -> (Version, usize, Page<Listed, Place>) {
        let mut first = None;
        let mut items = Vec::new();
        loop {
            let state = self.presence.state();
            let (version, total) = match first.take() {
                Some(known) => known,
                None => (self.presence.version(&state), self.total(&state.registry)),
            };
            let room = (max - items.len()).min(LOOK_SUBSCRIPTIONS);
            let page = match &self.target.matcher {
                None => state.registry.page(after, room),
                Some((text, kind)) => state.registry.page_of(text, *kind, after, room),
            };
            drop(state);
            items.extend(page.items);
            if page.next.is_none() || items.len() >= max {
                let next = page.next;
                return (version, total, Page { items, next });
            }
            after = page.next;
            first = Some((version, total));
        }
    }

    fn total(&self, registry: &super::registry::Registry) -> usize {
        match &self.target.matcher {
            None => registry.total(),
            Some((text, match_type)) => {
                let counts = registry.counts_of(text, *match_type);
                counts.iter().map(|(_, count)| count).sum()
            }
        }
    }

    fn around<'b>(
        &'b self,
        version: &'b Version,
        total: Option<usize>,
        next: Option<&'b str>,
    ) -> Around<'b> {
        let uri = &self.request.uri;
        Around {
            id: match (self.dialect, uri.path_and_query()) {
                // Without the token that it may hold.
                (Dialect::Legacy, Some(uri)) if !uri.as_str().contains("authorization") => {
                    uri.as_str()
                }
                _ => uri.path(),
            },
            last_event_id: &version.last_event_id,
            total,
            next,
        }
    }

    fn respond(
        &self,
        front: &Front,
        version: &Version,
        document: Document,
    ) -> Result<Response, Problem> {
        // mercure.md, 1.14: raw in the legacy dialect; 2.64: quoted in the modern one.
        let tag = match self.dialect {
            Dialect::Legacy => version.tag.clone(),
            Dialect::Modern => format!("\"{}\"", version.tag),
        };
        let is_known = self.knows(&version.tag);
        let mut response = match is_known {
            true => Response::new(Body::empty()),
            false => Response::new(Body::from(document.text)),
        };
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let media_type = match self.dialect {
            Dialect::Legacy => "application/ld+json",
            Dialect::Modern => "application/json",
        };
        let broken = |_| Problem::bad_request("the path holds what no header can");
        let headers = response.headers_mut();
        headers.insert(header::ETAG, HeaderValue::try_from(tag).map_err(broken)?);
        let cache_control = HeaderValue::from_static(CACHE_CONTROL);
        headers.insert(header::CACHE_CONTROL, cache_control);
        headers.append(
            header::VARY,
            HeaderValue::from_static("Authorization, Cookie"),
        );
        if !is_known {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        let link = link(front, version, media_type);
        headers.append(header::LINK, HeaderValue::try_from(link).map_err(broken)?);
        if let Some(next) = document.next {
            let link = format!("<{next}>; rel=\"next\"");
            headers.append(header::LINK, HeaderValue::try_from(link).map_err(broken)?);
        }
        Ok(response)
    }

    /// RFC 9110, section 13.1.2; the legacy dialect writes tags without quotes.
    fn knows(&self, tag: &str) -> bool {
        let values = self.request.headers.get_all(header::IF_NONE_MATCH);
        let texts = values.iter().filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(',')).any(|known| {
            let known = known.trim();
            let known = known.strip_prefix("W/").unwrap_or(known);
            known == "*" || known.trim_matches('"') == tag
        })
    }
}

/// mercure.md, 2.64: from which event on a listener hears of everything that is not in this answer.
fn link(front: &Front, version: &Version, media_type: &str) -> String {
    let hub = front.place().link();
    format!(
        "{}; last-event-id=\"{}\"; type=\"mercure\"; content-type=\"{media_type}\"",
        hub.to_str().unwrap_or_default(),
        version.last_event_id
    )
}

fn parse_place(text: &str) -> Result<Place, Problem> {
    text.parse().map_err(|_| bad_place(text))
}

fn bad_place(text: &str) -> Problem {
    Problem::bad_parameter(format!(
        "`after={text}` is no place of ours: take it from the `next` of the page before"
    ))
}

/// A matcher as the place after which counts go on.
fn place_of(name: &Name) -> String {
    format!("{}:{}", name.match_type, name.text)
}

fn name_of(place: &str) -> Result<Name, Problem> {
    let name = place.split_once(':').and_then(|(match_type, text)| {
        Some(Name {
            text: text.into(),
            match_type: match_type.parse().ok()?,
        })
    });
    name.ok_or_else(|| bad_place(place))
}
