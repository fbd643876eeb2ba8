//! Publishing: a request's body becomes events, and they an append. One event or several; the batch as it comes is `batch`.

mod batch;

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use http::header::CONTENT_TYPE;
use http::request::Parts;
use tidewire_auth::Role;
use tidewire_codec::EventId;
use tidewire_core::{Dialect, Grant, Topic};
use tidewire_log::{AppendError, Event};

use crate::ask::{Path, topic_of_path};
use crate::counters::{PublishKind, Reason};
use crate::event::{Producer, RawEvent, Rules};
use crate::front::Front;
use crate::limits::Limits;
use crate::manner::Manner;
use crate::problem::Problem;
use crate::query::Pairs;
use crate::rates::Who;
use crate::{body, token};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The media type of forms.
pub(crate) const FORM_TYPE: &str = "application/x-www-form-urlencoded";

/// `POST /.well-known/mercure`.
pub(crate) async fn mercure(State(front): State<Front>, request: Request) -> Response {
    let (request, body) = request.into_parts();
    let answer = match media_type(&request).as_deref() {
        Some(FORM_TYPE) => form(&front, &request, body).await,
        Some("application/json") => array(&front, &request, body).await,
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => {
            ndjson(&front, &request, body).await
        }
        other => Err(wrong_type(&front, &request, other).await),
    };
    or_refused(&front, answer)
}

/// `POST /topics/{topic}`.
pub(crate) async fn topic(State(front): State<Front>, request: Request) -> Response {
    let (request, body) = request.into_parts();
    let answer = raw(&front, &request, body).await;
    or_refused(&front, answer)
}

fn or_refused(front: &Front, answer: Result<Response, Problem>) -> Response {
    answer.unwrap_or_else(|problem| refused(front, problem))
}

fn refused(front: &Front, problem: Problem) -> Response {
    front.counting().publishes_refused.one();
    tracing::debug!(why = problem.detail(), "publish refused");
    problem.into_response()
}

/// RFC 9110, section 8.3.1: without parameters, in any case.
pub(crate) fn media_type(request: &Parts) -> Option<String> {
    let value = request.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let bare = value.split(';').next()?.trim();
    Some(bare.to_ascii_lowercase())
}

async fn wrong_type(front: &Front, request: &Parts, have: Option<&str>) -> Problem {
    let publisher = async {
        let query = Pairs::of(&request.uri)?;
        publisher(front, request, Manner::Ours, &query).await
    };
    if let Err(problem) = publisher.await {
        return problem;
    }
    let have = have.map_or("none".to_owned(), |have| format!("{have:?}"));
    Problem::content_type(format!(
        "the content type is {have}; publish as application/x-www-form-urlencoded, application/x-ndjson or application/json, \
         or send the data alone to /topics/{{topic}}"
    ))
}

/// Who publishes, and what it may.
#[derive(Clone)]
struct Publisher {
    grant: Grant,
    producer: Option<Producer>,
    /// The dialect in which it is answered.
    dialect: Dialect,
    /// By whom it is counted.
    who: Who,
}

/// In the extensions of a request that had begun before the hub began to end: it is answered like any other.
#[derive(Clone, Copy)]
pub(crate) struct Begun;

/// mercure.md, 0.20: whether somebody may publish is decided before the body is read.
async fn publisher(
    front: &Front,
    request: &Parts,
    manner: Manner,
    query: &Pairs,
) -> Result<Publisher, Problem> {
    let grant = token::grant(front, request, Role::Publisher, manner, query).await?;
    if front.is_draining() && request.extensions.get::<Begun>().is_none() {
        return Err(Problem::unavailable(
            "the hub is ending; nothing was stored. Try again in a moment",
        )
        .because(Reason::Draining));
    }
    let producer = match request.headers.get(IDEMPOTENCY_KEY) {
        Some(key) => Some(Producer::of(key.as_bytes(), &grant)?),
        None => None,
    };
    Ok(Publisher {
        dialect: manner.of_answer(grant.dialect),
        who: front.rates().publisher(request, &grant),
        grant,
        producer,
    })
}

/// Where an event stands in its publish, and when that is.
#[derive(Clone, Copy)]
struct Place<'a> {
    index: usize,
    /// In milliseconds since 1970.
    now_ms: u64,
    /// The topic of the event before it, which often is its own as well.
    before: Option<&'a Topic>,
}

impl Publisher {
    /// Checks an event of a publish, every part of it.
    fn event(&self, front: &Front, raw: RawEvent<'_>, place: Place<'_>) -> Result<Event, Problem> {
        // A batch may go on for longer than its publisher may publish.
        front.still_good(&self.grant)?;
        let mut event = raw.check(&Rules {
            limits: front.limits(),
            place: front.place(),
            granted: &self.grant.publish,
            dialect: self.dialect,
            now_ms: place.now_ms,
            before: place.before,
        })?;
        if event.private && !front.knows_readers() {
            // A private event is for whoever has a token that names its topic, and none can be good here.
            return Err(Problem::bad_event(
                "nobody could read this private event: no subscriber's token is good at this hub, for it has no subscriber key; \
                 publish it without `private`, or start the hub with --subscriber-key-file",
            ));
        }
        event.producer = self
            .producer
            .as_ref()
            .map(|producer| producer.key(place.index, &event));
        Ok(event)
    }
}

async fn form(front: &Front, request: &Parts, body: Body) -> Result<Response, Problem> {
    front.counting().publish(PublishKind::Form);
    let query = Pairs::of(&request.uri)?;
    let publisher = publisher(front, request, Manner::Form, &query).await?;
    let limit = front.limits().form_bytes_max();
    let bytes = body::collect(front, body, limit, "form_bytes_max").await?;
    publish_one(
        front,
        request,
        &publisher,
        of_form(&bytes, front.limits(), publisher.dialect)?,
    )
    .await
    .map(answer_id)
}

async fn raw(front: &Front, request: &Parts, body: Body) -> Result<Response, Problem> {
    front.counting().publish(PublishKind::Raw);
    let query = Pairs::of(&request.uri)?;
    let publisher = publisher(front, request, Manner::Ours, &query).await?;
    let target = Target::of(request, query)?;
    let limit = front.limits().event_bytes_max;
    let bytes = body::collect(front, body, limit, "event_bytes_max").await?;
    publish_one(front, request, &publisher, target.with(bytes)?)
        .await
        .map(answer_id)
}

/// Publishes a plain request's event, for [`crate::plain`]; gives its id.
pub(crate) async fn one(
    front: &Front,
    path: Path,
    request: &Parts,
    body: Vec<u8>,
) -> Result<String, Response> {
    let limits = front.limits();
    let (kind, manner) = match path {
        Path::Mercure => (PublishKind::Form, Manner::Form),
        Path::Topic => (PublishKind::Raw, Manner::Ours),
    };
    front.counting().publish(kind);
    let id = async {
        let query = Pairs::of(&request.uri)?;
        let publisher = publisher(front, request, manner, &query).await?;
        let raw = match path {
            Path::Mercure => {
                body::check(&body, limits.form_bytes_max(), "form_bytes_max")?;
                of_form(&body, limits, publisher.dialect)?
            }
            Path::Topic => {
                let target = Target::of(request, query)?;
                body::check(&body, limits.event_bytes_max, "event_bytes_max")?;
                target.with(body)?
            }
        };
        publish_one(front, request, &publisher, raw).await
    };
    id.await.map_err(|problem| refused(front, problem))
}

/// mercure.md, 0.6: fields come from the body alone.
fn of_form(body: &[u8], limits: &Limits, dialect: Dialect) -> Result<RawEvent<'static>, Problem> {
    // As too many topics are refused, which these must be for the most part (mercure.md, 1.9 and 2.24).
    let beyond = |why: String| match dialect {
        Dialect::Legacy => Problem::bad_event(why),
        Dialect::Modern => Problem::too_large(why),
    };
    let fields = Pairs::of_body(body, limits.topics_per_event_max, beyond)?;
    Ok(RawEvent {
        topic: None,
        topics: Some(fields.all("topic").map(owned).collect()),
        data: fields.first("data").map(owned),
        event_type: fields.first("type").map(owned),
        id: fields.first("id").map(owned),
        // mercure.md, 0.7: that it is there is what counts.
        private: Some(fields.first("private").is_some()),
        retry: retry(fields.first("retry"))?,
    })
}

/// What the target of a publish to `/topics/` says.
struct Target {
    topic: String,
    query: Pairs,
}

impl Target {
    fn of(request: &Parts, query: Pairs) -> Result<Self, Problem> {
        Ok(Self {
            topic: topic_of_path(request.uri.path())?,
            query,
        })
    }

    fn with(self, body: Vec<u8>) -> Result<RawEvent<'static>, Problem> {
        let query = self.query;
        let data = String::from_utf8(body).map_err(|_| {
            Problem::bad_event(
                "the body is not valid UTF-8; encode binary data, as base64 for instance",
            )
        })?;
        Ok(RawEvent {
            topic: Some(self.topic.into()),
            topics: None,
            data: Some(data.into()),
            event_type: query.once("type")?.map(owned),
            id: query.once("id")?.map(owned),
            private: Some(private(query.once("private")?)?),
            retry: retry(query.once("retry")?)?,
        })
    }
}

fn owned(text: &str) -> Cow<'static, str> {
    text.to_owned().into()
}

/// WHATWG HTML 9.2.6: digits only. Empty is as if it were not there (mercure.md, 2.22).
fn retry(value: Option<&str>) -> Result<Option<u64>, Problem> {
    match value {
        None | Some("") => Ok(None),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map(Some).map_err(|_| {
                Problem::bad_event(format!(
                    "`retry={text}` is too large: it is in milliseconds"
                ))
            })
        }
        Some(text) => Err(Problem::bad_event(format!(
            "`retry={text}` is no number of milliseconds: use digits only"
        ))),
    }
}

/// In a URL somebody may well write `private=false`; publishing that as private, or worse the other way, would surprise.
fn private(value: Option<&str>) -> Result<bool, Problem> {
    match value {
        None | Some("0" | "false" | "off" | "no") => Ok(false),
        Some("" | "1" | "true" | "on" | "yes") => Ok(true),
        Some(other) => Err(Problem::bad_event(format!(
            "`private={other}` means nothing: use true or false"
        ))),
    }
}

/// Gives the id that subscribers see.
async fn publish_one(
    front: &Front,
    request: &Parts,
    publisher: &Publisher,
    raw: RawEvent<'_>,
) -> Result<String, Problem> {
    let place = Place {
        index: 0,
        now_ms: front.now_ms(),
        before: None,
    };
    let event = publisher
        .event(front, raw, place)
        .map_err(|problem| token::in_dialect(front, request, problem, publisher.dialect))?;
    front.rates().admit(publisher.who, 1, event.data.len())?;
    let own = event.id.as_ref().map(|id| id.as_str().to_owned());
    let appended = front
        .append(vec![event])
        .await
        .map_err(|error| Problem::append(&error))?;
    let of_hub = || {
        appended
            .first()
            .map_or_else(String::new, |one| one.cursor.to_string())
    };
    Ok(own.unwrap_or_else(of_hub))
}

/// mercure.md, 0.8: the id exactly, without a line end.
pub(crate) fn answer_id(id: String) -> Response {
    body::unkept("text/plain; charset=utf-8", Body::from(id))
}

/// All or nothing, answered by the ids.
async fn array(front: &Front, request: &Parts, body: Body) -> Result<Response, Problem> {
    front.counting().publish(PublishKind::Array);
    let query = Pairs::of(&request.uri)?;
    let publisher = publisher(front, request, Manner::Ours, &query).await?;
    let limit = front.limits().array_bytes_max;
    let bytes = body::collect(front, body, limit, "array_bytes_max").await?;
    let raws: Vec<RawEvent<'_>> = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_event(format!(
            "the body is no JSON array of events such as [{{\"topic\":\"news\",\"data\":\"hello\"}}]: {error}"
        ))
    })?;
    let now_ms = front.now_ms();
    let events: Vec<Event> = raws
        .into_iter()
        .enumerate()
        .map(|(index, raw)| {
            let place = Place {
                index,
                now_ms,
                before: None,
            };
            publisher.event(front, raw, place).map_err(|problem| {
                token::in_dialect(front, request, problem, publisher.dialect).of_event(index)
            })
        })
        .collect::<Result<_, _>>()?;
    let data_bytes = events.iter().map(|event| event.data.len()).sum();
    front
        .rates()
        .admit(publisher.who, events.len(), data_bytes)?;
    let ids = match events.is_empty() {
        true => Vec::new(),
        false => append(front, events, |_| true)
            .await
            .map_err(|error| Problem::append(&error))?,
    };
    let body = serde_json::to_string(&ids).unwrap_or_default();
    Ok(body::unkept("application/json", Body::from(body + "\n")))
}

async fn ndjson(front: &Front, request: &Parts, body: Body) -> Result<Response, Problem> {
    front.counting().publish(PublishKind::Batch);
    let query = Pairs::of(&request.uri)?;
    let publisher = publisher(front, request, Manner::Ours, &query).await?;
    let all_ids = match query.once("ids")? {
        None => false,
        Some("all") => true,
        Some(other) => {
            return Err(Problem::bad_parameter(format!(
                "`ids={other}` means nothing: use ids=all"
            )));
        }
    };
    let cut = request.extensions.get().cloned();
    let (status, body) = batch::run(front.clone(), publisher, body, all_ids, cut).await;
    let mut response = body::unkept("application/x-ndjson", body);
    *response.status_mut() = status;
    Ok(response)
}

/// Appends, and gives the ids that subscribers see, of the events at the indexes that are asked for.
async fn append(
    front: &Front,
    events: Vec<Event>,
    is_asked: impl Fn(usize) -> bool,
) -> Result<Vec<String>, AppendError> {
    let asked: Vec<usize> = (0..events.len()).filter(|index| is_asked(*index)).collect();
    let own: Vec<Option<EventId>> = asked.iter().map(|at| events[*at].id.clone()).collect();
    let appended = front.append(events).await?;
    let ids = asked.into_iter().zip(own).map(|(at, own)| match own {
        Some(id) => id.as_str().to_owned(),
        None => appended[at].cursor.to_string(),
    });
    Ok(ids.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_marks() {
        let table = [
            (None, Some(None)),
            (Some(""), Some(None)),
            (Some("300"), Some(Some(300))),
            (Some("+300"), None),
            (Some("3s"), None),
            (Some("99999999999999999999"), None),
        ];
        for (text, want) in table {
            assert_eq!(retry(text).ok(), want, "{text:?}");
        }
        let table = [
            (None, Some(false)),
            (Some("false"), Some(false)),
            (Some(""), Some(true)),
            (Some("on"), Some(true)),
            (Some("maybe"), None),
        ];
        for (text, want) in table {
            assert_eq!(private(text).ok(), want, "{text:?}");
        }
    }
}
