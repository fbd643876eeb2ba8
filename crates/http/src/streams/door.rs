//! `PATCH /streams/{id}`: a running stream gets another grant, and other topics if it asks for them.
//!
//! Whoever knows the id, which nobody guesses, may renew the stream with any token of its holder's, or, if nobody holds it,
//! with any at all. What the token does not grant the stream has no more, live and replay alike.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use tidewire_auth::Role;
use tidewire_core::Grant;
use tidewire_engine::{Order, ReviseError, Revised, Revision};
use tokio::sync::oneshot;

use super::answer;
use super::body::{Kind, Reading};
use crate::ask;
use crate::body::{self, collect};
use crate::counters::Reason;
use crate::front::Front;
use crate::manner::Manner;
use crate::problem::Problem;
use crate::publish::{FORM_TYPE, media_type};
use crate::query::Pairs;
use crate::rates::Claim;
use crate::stream::ends_ms;
use crate::token;

/// The methods of a stream.
pub(crate) const METHODS: &str = "PATCH, OPTIONS";

const PREFIX: &str = "/streams/";

pub(crate) async fn patch(State(front): State<Front>, request: Request) -> Response {
    let (request, body) = request.into_parts();
    match revise(&front, &request, body).await {
        Ok(response) => response,
        Err(problem) => {
            tracing::debug!(why = problem.detail(), "renewal refused");
            problem.into_response()
        }
    }
}

async fn revise(front: &Front, request: &Parts, body: Body) -> Result<Response, Problem> {
    let query = Pairs::of(&request.uri)?;
    let grant = token::grant(front, request, Role::Subscriber, Manner::Ours, &query).await?;
    if let Some((name, _)) = query.iter().find(|(name, _)| ask::names_topics(name)) {
        return Err(Problem::bad_parameter(format!(
            "`{name}` has no meaning in this URL: topics that a stream is to have stand in the body"
        )));
    }
    let revision = revision(front, request, body, &grant).await?;
    let id = request.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let admitted = front.revocations().admit();
    // However slowly the body came.
    front.still_good(&grant)?;
    // Taken beforehand, for whether the stream is nobody's only its shard knows.
    let (claim, full) = match front.rates().claim(&grant) {
        Ok(claim) => (Some(claim), None),
        Err(full) => (None, Some(full)),
    };
    let answer = order(front, id, revision, &grant, claim)?;
    // Nothing is waited for in between, for whoever asked may go away: what was revoked since the look above is told to the stream's
    // shard after the order.
    front.catch_up(admitted);
    let topics_max = front.limits().filters_per_stream_max;
    let revised = match (answered(front, answer).await?, full) {
        (Ok(revised), _) => revised,
        (Err(ReviseError::Full), Some(full)) => return Err(front.rates().refuse_stream(full)),
        (Err(error), _) => return Err(refused(error, topics_max)),
    };
    let mut document = answer::of(&revised, grant.expires_ms);
    document["stream"] = id.into();
    Ok(body::json(&document))
}

async fn revision(
    front: &Front,
    request: &Parts,
    body: Body,
    grant: &Grant,
) -> Result<Revision, Problem> {
    let limits = front.limits();
    let bytes = collect(front, body, limits.query_bytes_max, "query_bytes_max").await?;
    let kind = match media_type(request).as_deref() {
        Some("application/json" | "application/merge-patch+json") => Kind::Json,
        Some(FORM_TYPE) => Kind::Form,
        None if bytes.is_empty() => Kind::Form,
        have => {
            let have = have.map_or("none".to_owned(), |have| format!("{have:?}"));
            return Err(Problem::content_type(format!(
                "the content type is {have}; say the stream's topics as application/json or {FORM_TYPE}, or send no body to renew its grant alone"
            )));
        }
    };
    let reading = Reading {
        limits,
        patterns: front.patterns(),
    };
    Ok(Revision {
        may_claim: true,
        topics: reading.topics(kind, &bytes)?,
        topics_max: limits.filters_per_stream_max,
        private: front.readable(grant),
        ends_ms: ends_ms(front, grant),
        marks: front.streams().marks_of(grant),
    })
}

type Answer = oneshot::Receiver<Result<Revised, ReviseError>>;

/// Has the stream's shard revise it.
fn order(
    front: &Front,
    id: &str,
    mut revision: Revision,
    grant: &Grant,
    claim: Option<Claim>,
) -> Result<Answer, Problem> {
    let (sender, answer) = oneshot::channel();
    revision.may_claim = claim.is_some();
    let seen = front.presence().map(|p| (Arc::clone(p), grant.clone()));
    let is_there = front.streams().order(id, |key| Order::Revise {
        key,
        revision: Box::new(revision),
        done: Box::new(move |revised| {
            // Here, for the stream's shard does one thing after the other, and others see them in that order.
            if let (Some((presence, grant)), Ok(revised)) = (seen, &revised) {
                presence.revise(revised.seen_as, &revised.after, &grant);
            }
            if let (Some(claim), Ok(revised)) = (claim, &revised)
                && revised.claimed
            {
                claim.keep(revised.seen_as);
            }
            // Whoever asked may have gone.
            let _ = sender.send(revised);
        }),
    });
    match is_there {
        true => Ok(answer),
        false => Err(gone()),
    }
}

/// What its shard says.
async fn answered(front: &Front, answer: Answer) -> Result<Result<Revised, ReviseError>, Problem> {
    match tokio::time::timeout(front.limits().commit_time_max, answer).await {
        Ok(Ok(revised)) => Ok(revised),
        // Its shard went with it.
        Ok(Err(_)) => Err(gone()),
        // A task that nobody polls, for its client reads nothing: it will be done before anything else is.
        Err(_) => Err(Problem::unavailable(
            "the stream stands still, for its client does not read; try again in a moment",
        )),
    }
}

fn gone() -> Problem {
    Problem::gone(
        "no such stream is running: it has ended, or another hub has it. Subscribe again, from its last event id",
    )
}

fn refused(error: ReviseError, topics_max: usize) -> Problem {
    match error {
        ReviseError::Holder => Problem::forbidden(
            Reason::StreamHolder,
            "the stream runs on the grant of another subject or issuer; renew it with a token of its own holder's",
        ),
        ReviseError::NoTopic => Problem::bad_parameter(
            "no topic would be left to the stream; to end it, close its connection",
        ),
        ReviseError::TooMany { count } => Problem::bad_parameter(format!(
            "the stream would have {count} topics; one takes at most {topics_max} (filters_per_stream_max)"
        )),
        _ => gone(),
    }
}
