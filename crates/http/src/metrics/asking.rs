//! Metrics of the hub's own requests: for keys, and to the authorization hook.

use prometheus_client::registry::Unit;

use super::page::Page;
use crate::front::Front;
use crate::hook::Hook;

/// Nothing where nothing is fetched.
pub(super) fn keys(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    let status = front.key_status();
    if status.is_empty() {
        return Ok(());
    }
    let ring = front.keyring();
    let outcomes = ring.fetched().into_iter();
    page.counters(
        "tidewire_key_fetches",
        None,
        "Fetches of keys, by what came of them; ok: a set that was taken.",
        outcomes.map(|(outcome, count)| ([("outcome", outcome)], count)),
    )?;
    page.histogram(
        "tidewire_key_fetch_duration",
        "How long fetches of keys took.",
        &ring.took(),
    )?;
    page.named_gauges(
        "tidewire_key_set_keys",
        None,
        "Keys that the hub can use, by whose tokens they are for.",
        status
            .iter()
            .map(|one| (one.of.as_str(), one.keys.unwrap_or(0) as u64)),
    )?;
    page.named_gauges(
        "tidewire_key_set_age",
        Some(Unit::Seconds),
        "How long ago keys were fetched; missing: never yet.",
        status
            .iter()
            .filter_map(|one| Some((one.of.as_str(), one.age?.as_secs()))),
    )?;
    page.named_gauges(
        "tidewire_key_set_failures",
        None,
        "How often fetching has failed since it last worked.",
        status
            .iter()
            .map(|one| (one.of.as_str(), u64::from(one.failures))),
    )
}

/// Nothing where there is no hook.
pub(super) fn hook(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    front.hook().map_or(Ok(()), |hook| of_hook(hook, page))
}

fn of_hook(hook: &Hook, page: &mut Page<'_>) -> std::fmt::Result {
    let counting = hook.counting();
    let answered = [
        ("allowed", counting.allowed.now()),
        ("denied", counting.denied.now()),
        ("busy", counting.busy.now()),
    ];
    page.counters(
        "tidewire_auth_hook_calls",
        None,
        "Calls to the authorization hook, by what came of them; busy: refused without a call.",
        answered
            .into_iter()
            .chain(counting.failed.now())
            .map(|(outcome, count)| ([("outcome", outcome)], count)),
    )?;
    let spared = [
        ("kept", counting.hits.now()),
        ("joined", counting.joined.now()),
    ];
    page.counters(
        "tidewire_auth_hook_spared",
        None,
        "Requests that needed no call; kept: an answer was kept, joined: a call for the same ran.",
        spared.map(|(by, count)| ([("by", by)], count)),
    )?;
    page.histogram(
        "tidewire_auth_hook_duration",
        "How long calls to the authorization hook took.",
        &counting.took.observed(),
    )?;
    let (answers, bytes) = hook.kept();
    page.gauge(
        "tidewire_auth_hook_kept_answers",
        None,
        "Answers that are kept.",
        answers as u64,
    )?;
    page.gauge(
        "tidewire_auth_hook_kept",
        Some(Unit::Bytes),
        "What they take in memory, roughly.",
        bytes as u64,
    )
}
