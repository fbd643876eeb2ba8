//! `/revocations`: for who may publish to every topic, and for whoever runs the hub. Takes tokens back, says which are taken back, and
//! gives them back.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};
use tidewire_auth::{Refusal, Revocation, RevocationError, Role};
use tidewire_core::{Dialect, Grant};

use super::HubStore;
use super::body::{Named, Until};
use crate::body::{self, collect};
use crate::counters::Reason;
use crate::date::rfc3339;
use crate::front::Front;
use crate::manner::Manner;
use crate::problem::Problem;
use crate::publish::media_type;
use crate::query::Pairs;
use crate::token;

/// The methods of `/revocations`.
pub(crate) const METHODS: &str = "GET, HEAD, POST, DELETE, OPTIONS";

/// A revocation is no longer than this, in bytes.
const BODY_BYTES_MAX: usize = 8 << 10;

/// `POST`: takes tokens back.
pub(crate) async fn revoke(State(front): State<Front>, request: Request) -> Response {
    let (request, body) = request.into_parts();
    let revoked = async {
        let grant = authorize(&front, &request, &Pairs::of(&request.uri)?).await?;
        try_revoke(&front, &request, body, Some(&grant)).await
    };
    or_refused(revoked.await)
}

/// `GET`: which are taken back.
pub(crate) async fn list(State(front): State<Front>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let listed = async {
        authorize(&front, &request, &Pairs::of(&request.uri)?).await?;
        Ok(all(&front))
    };
    or_refused(listed.await)
}

/// `DELETE`: gives some back, named in the query as they were in the body.
pub(crate) async fn forget(State(front): State<Front>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let forgotten = async {
        authorize(&front, &request, &Pairs::of(&request.uri)?).await?;
        try_forget(&front, &request).await
    };
    or_refused(forgotten.await)
}

/// The same for whoever the admin listener has let in: it is for who runs the hub.
pub(crate) fn of_admin() -> MethodRouter<Front> {
    let list = async |State(front): State<Front>| all(&front);
    let revoke = async |State(front): State<Front>, request: Request| {
        let (request, body) = request.into_parts();
        or_refused(try_revoke(&front, &request, body, None).await)
    };
    let forget = async |State(front): State<Front>, request: Request| {
        let (request, _) = request.into_parts();
        or_refused(try_forget(&front, &request).await)
    };
    get(list).post(revoke).delete(forget)
}

fn or_refused(answer: Result<Response, Problem>) -> Response {
    answer.unwrap_or_else(|problem| {
        tracing::debug!(why = problem.detail(), "revocation refused");
        problem.into_response()
    })
}

/// Whoever may publish to every topic may do all that a publisher's token allows anyhow. A hub that asks nobody for a token
/// must not let anybody end others' streams.
async fn authorize(front: &Front, request: &Parts, query: &Pairs) -> Result<Grant, Problem> {
    if !front.keyring().knows_anybody() && front.hook().is_none() {
        return Err(Problem::forbidden(
            Reason::TokenNoKey,
            "this hub has no keys, so nobody can show that it may revoke: start it with --publisher-key-file, \
             and send a token that may publish to `*` (`tidewire token --publish '*'`)",
        ));
    }
    let grant = token::grant(front, request, Role::Publisher, Manner::Ours, query).await?;
    if !token::is_presented(front, request, Manner::Ours, query) {
        let problem = Problem::refused(&Refusal::Missing(Role::Publisher));
        let dialect = Manner::Ours.of_answer(Dialect::Modern);
        return Err(token::refused(
            front,
            request,
            Role::Publisher,
            problem,
            dialect,
        ));
    }
    match grant.publish.is_any() {
        true => Ok(grant),
        false => Err(Problem::topic_not_granted("*")),
    }
}

/// `grant`: whose asks, if it is not for the admin listener to say.
async fn try_revoke(
    front: &Front,
    request: &Parts,
    body: Body,
    grant: Option<&Grant>,
) -> Result<Response, Problem> {
    if media_type(request).as_deref() != Some("application/json") {
        return Err(Problem::content_type(
            "a revocation is sent as application/json: {\"token_id\": \"...\"}, {\"subject\": \"...\"} or {\"topic\": \"...\"}",
        ));
    }
    let bytes = collect(front, body, BODY_BYTES_MAX, "a revocation").await?;
    // However slowly the body came.
    grant.map_or(Ok(()), |grant| front.still_good(grant))?;
    let named = Named::read(&bytes)?;
    let now_ms = front.now_ms();
    let revocation = Revocation {
        what: named.what()?,
        revoked_ms: now_ms,
        // Tokens are good for a little longer than they say, where clocks may differ.
        until_ms: named
            .until_ms(now_ms)?
            .map(|until_ms| until_ms.saturating_add(front.keys().leeway_ms)),
    };
    let (kept, ended) = add(front, revocation).await?;
    let mut document = document(&kept);
    document["ended"] = ended.into();
    Ok(body::json(&document))
}

/// In force first, then kept, then answered: what fails in between has refused somebody too early, never too late.
async fn add(front: &Front, revocation: Revocation) -> Result<(Revocation, usize), Problem> {
    let revoked = front.revocations();
    let writing = revoked.write().await;
    let target = front.target_of(&revocation.what);
    revoked
        .add(revocation.clone(), target.clone(), front.now_ms())
        .map_err(|error| refused(&error))?;
    let ending = front.streams().end(target);
    // As it is with what was revoked of the same before.
    let kept = {
        let all = revoked.kept();
        let same = all.set.iter().find(|known| known.what == revocation.what);
        same.cloned().unwrap_or(revocation)
    };
    let keep = kept.clone();
    let keep = move |store: &dyn HubStore| {
        let _writing = writing;
        store.keep(&keep)
    };
    let stored = revoked.with_store(keep).await;
    let ended = ending.await;
    tracing::info!(what = ?kept.what, ended, "revoked");
    stored.map_err(|error| {
        tracing::error!(%error, "a revocation is not kept");
        Problem::unavailable(format!(
            "it is in force, and {ended} streams have ended, but it is not kept, and would be lost with the hub's next start: {error}. Try again"
        ))
    })?;
    Ok((kept, ended))
}

fn refused(error: &RevocationError) -> Problem {
    match error {
        RevocationError::Full { .. } => Problem::unavailable(format!(
            "{error}; let some end by saying `until`, or take some back with DELETE"
        )),
        error => Problem::bad_parameter(error.to_string()),
    }
}

fn all(front: &Front) -> Response {
    let now_ms = front.now_ms();
    let all: Vec<Value> = {
        let kept = front.revocations().kept();
        let in_force = |one: &&Revocation| one.until_ms.is_none_or(|until| until > now_ms);
        kept.set.iter().filter(in_force).map(document).collect()
    };
    body::json(&json!({ "revocations": all }))
}

async fn try_forget(front: &Front, request: &Parts) -> Result<Response, Problem> {
    let query = Pairs::of(&request.uri)?;
    let what = Named {
        token_id: query.once("token_id")?.map(str::to_owned),
        subject: query.once("subject")?.map(str::to_owned),
        topic: query.once("topic")?.map(str::to_owned),
        issuer: query.once("issuer")?.map(str::to_owned),
        until: None::<Until>,
    }
    .what()?;
    let revoked = front.revocations();
    let writing = revoked.write().await;
    if !revoked.kept().set.iter().any(|known| known.what == what) {
        return Err(Problem::gone(
            "no such tokens are revoked; GET /revocations lists what is",
        ));
    }
    // Stored first: what fails in between refuses somebody for too long, never too short.
    let gone = what.clone();
    let forget = move |store: &dyn HubStore| store.forget(&[gone]).map(|()| writing);
    let _writing = revoked
        .with_store(forget)
        .await
        .map_err(|error| Problem::unavailable(format!("it stays in force: {error}; try again")))?;
    let mut kept = revoked.change();
    kept.set.remove(&what);
    revoked
        .is_empty
        .store(kept.set.is_empty(), Ordering::SeqCst);
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn document(revocation: &Revocation) -> Value {
    let mut document = json!(Named::of(revocation));
    document["revoked"] = rfc3339(revocation.revoked_ms).into();
    document
}
