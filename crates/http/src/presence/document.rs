//! What the API answers, in the words of either dialect.

use serde::Serialize;
use tidewire_core::Dialect;

use super::registry::{Listed, Name};
use super::teller::told;

/// Beside the items of a collection.
pub(super) struct Around<'a> {
    /// The request's own path; in the legacy dialect with its query.
    pub(super) id: &'a str,
    pub(super) last_event_id: &'a str,
    /// How many there are in all, if that is said.
    pub(super) total: Option<usize>,
    /// Where the others are.
    pub(super) next: Option<&'a str>,
}

/// mercure.md, 1.14 and 2.64: a collection. What is not in either dialect, `total` and `next`, is there only when it is asked
/// for or needed.
#[derive(Serialize)]
struct Collection<'a, T> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    context: Option<&'static str>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "lastEventID", skip_serializing_if = "Option::is_none")]
    last_event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    #[serde(flatten)]
    items: Items<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Items<T> {
    Subscriptions(Vec<T>),
    Topics(Vec<T>),
}

#[derive(Serialize)]
struct Counted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    match_type: Option<&'static str>,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    subscribers: usize,
}

/// A collection of subscriptions.
pub(super) fn subscriptions(
    dialect: Dialect,
    hub_path: &str,
    around: &Around<'_>,
    listed: &[Listed],
) -> String {
    let items: Vec<_> = listed.iter().map(|listed| told(listed, true)).collect();
    match dialect {
        Dialect::Modern => {
            let items = items.iter().map(|item| item.modern(hub_path)).collect();
            written(dialect, around, Items::Subscriptions(items))
        }
        Dialect::Legacy => {
            let ids: Vec<_> = items.iter().map(|item| item.legacy_id(hub_path)).collect();
            let items = items.iter().zip(&ids);
            let items = items.map(|(item, id)| item.legacy(id, None)).collect();
            written(dialect, around, Items::Subscriptions(items))
        }
    }
}

/// How many subscribe with which matcher.
pub(super) fn counts(dialect: Dialect, around: &Around<'_>, counts: &[(Name, usize)]) -> String {
    let is_modern = dialect == Dialect::Modern;
    let items = counts.iter().map(|(name, count)| Counted {
        match_type: is_modern.then_some(name.match_type.as_str()),
        text: is_modern.then_some(&*name.text),
        topic: (!is_modern).then_some(&*name.text),
        subscribers: *count,
    });
    written(dialect, around, Items::Topics(items.collect()))
}

fn written<T: Serialize>(dialect: Dialect, around: &Around<'_>, items: Items<T>) -> String {
    let is_legacy = dialect == Dialect::Legacy;
    let collection = Collection {
        context: is_legacy.then_some(tidewire_log::PRESENCE_CONTEXT),
        id: around.id,
        kind: match dialect {
            Dialect::Legacy => "Subscriptions",
            Dialect::Modern => "subscriptions",
        },
        last_event_id: is_legacy.then_some(around.last_event_id),
        total: around.total,
        next: around.next,
        items,
    };
    serde_json::to_string(&collection).expect("strings and numbers")
}

/// One subscription.
pub(super) fn subscription(
    dialect: Dialect,
    hub_path: &str,
    listed: &Listed,
    last_event_id: &str,
) -> String {
    let told = told(listed, true);
    let written = match dialect {
        Dialect::Modern => serde_json::to_string(&told.modern(hub_path)),
        Dialect::Legacy => {
            let id = told.legacy_id(hub_path);
            serde_json::to_string(&told.legacy(&id, Some(last_event_id)))
        }
    };
    written.expect("strings and numbers")
}
