//! Signed URLs at the door: a subscribe that carries its permission in its own address. What is signed and what it grants is
//! `tidewire-auth`'s; here it is found in a request, compared with who asks, and what is for one use is used up. `door` makes them.

mod door;

use http::header::{AUTHORIZATION, ORIGIN};
use http::request::Parts;
use tidewire_auth::signed_url::{Admitted, UrlError, UrlKey, UrlQuestion, verify};
use tidewire_auth::{Refusal, Role};
use tidewire_core::{Dialect, Grant};

use crate::ask::topic_of_path;
use crate::counters::Reason;
use crate::front::Front;
use crate::manner::Manner;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query::Pairs;
use crate::token::{is_safe, refused};

pub(crate) use door::{METHODS, create};

/// The parameter that makes a subscribe one by a signed URL, good or bad.
const SIGNATURE: &str = "signature";

/// What makes it good for one use.
const ONCE: &str = "once";

/// Whether a request may be one by a signed URL, before its query is read: then it matters where it comes from.
pub(crate) fn may_be_signed(front: &Front, request: &Parts) -> bool {
    let query = request.uri.query();
    front.access().url_key.is_some() && query.is_some_and(|query| query.contains(SIGNATURE))
}

/// Whether it is one by a signed URL.
pub(crate) fn is_signed(query: &Pairs) -> bool {
    query.first(SIGNATURE).is_some()
}

/// What a subscribe by a signed URL may do. Whoever lets it in has it spent ([`spend`]).
pub(crate) async fn grant(
    front: &Front,
    request: &Parts,
    manner: Manner,
    query: &Pairs,
) -> Result<Grant, Problem> {
    let granted = try_grant(front, request, query).await;
    granted.map_err(|problem| told(front, request, manner, problem))
}

fn told(front: &Front, request: &Parts, manner: Manner, problem: Problem) -> Problem {
    let dialect = manner.of_answer(Dialect::Modern);
    refused(front, request, Role::Subscriber, problem, dialect)
}

async fn try_grant(front: &Front, request: &Parts, query: &Pairs) -> Result<Grant, Problem> {
    // Which of the two would count is nobody's to guess. A cookie is sent unasked; it is not looked at.
    if request.headers.contains_key(AUTHORIZATION) {
        return Err(Problem::presented(
            "the URL is signed, and there is an Authorization header as well: send one of them",
        )
        .because(Reason::SignedUrl));
    }
    let Some(key) = &front.access().url_key else {
        return Err(Problem::no_url_key());
    };
    let admitted = verified(front, request, query, key)?;
    let now_ms = front.now_ms();
    front
        .revocations()
        .check(&admitted.grant, now_ms)
        .map_err(|refusal| Problem::refused(&refusal))?;
    Ok(admitted.grant)
}

fn verified(
    front: &Front,
    request: &Parts,
    query: &Pairs,
    key: &UrlKey,
) -> Result<Admitted, Problem> {
    let path = request.uri.path();
    let topic = match path.starts_with("/topics/") {
        true => Some(topic_of_path(path)?),
        false => None,
    };
    let parameters: Vec<(&str, &str)> = query.iter().collect();
    let origin = origin(front, request);
    let question = UrlQuestion {
        path,
        topic: topic.as_deref(),
        parameters: &parameters,
        origin: origin.as_deref(),
        address: Peer::ip_of(request),
        now_ms: front.now_ms(),
    };
    verify(&question, key, front.patterns()).map_err(|refusal| Problem::refused(&refusal))
}

/// Whose page asks, as browsers say it. With a GET of the hub's own pages they send no Origin, but that it is the same.
fn origin(front: &Front, request: &Parts) -> Option<String> {
    if let Some(origin) = request.headers.get(ORIGIN) {
        return origin.to_str().ok().map(str::to_owned);
    }
    let site = request.headers.get("sec-fetch-site")?;
    (site.as_bytes() == b"same-origin").then(|| front.place().origin(request))
}

/// Uses up what a request came with that is for one use: to be called once nothing else can refuse it, and before it is told
/// anything. Of those who come with the same at the same time one is let in. Does nothing where nothing is for one use.
pub(crate) async fn spend(
    front: &Front,
    request: &Parts,
    manner: Manner,
    query: &Pairs,
    grant: &Grant,
) -> Result<(), Problem> {
    if !is_signed(query) || !is_safe(request) {
        return Ok(());
    }
    // Its other terms were looked at when it was granted.
    let (Some(once), Some(until_ms)) = (query.first(ONCE), grant.expires_ms) else {
        return Ok(());
    };
    let spent = use_up(front, once, until_ms).await;
    spent.map_err(|problem| told(front, request, manner, problem))
}

async fn use_up(front: &Front, once: &str, until_ms: u64) -> Result<(), Problem> {
    let now_ms = front.now_ms();
    let nonce = format!("url {once}");
    let spent = front
        .revocations()
        .with_store(move |store| store.spend(nonce.as_bytes(), until_ms, now_ms))
        .await;
    match spent {
        Ok(true) => Ok(()),
        Ok(false) => Err(Problem::refused(&Refusal::from(UrlError::Used))),
        Err(error) => {
            tracing::error!(%error, "the use of a signed URL is not kept");
            Err(Problem::unavailable(
                "the URL is for one use, and that it is used now cannot be noted; try again later",
            ))
        }
    }
}
