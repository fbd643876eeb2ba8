//! What is answered to a `PATCH /streams/{id}`: how the stream is from now on, and from where on that holds.

use serde_json::{Map, Value, json};
use tidewire_core::{Matcher, MatcherSet, PatternKind};
use tidewire_engine::Revised;

/// A set of matchers, named as they are asked for.
pub(super) fn names(set: &MatcherSet) -> Value {
    let mut members = Map::new();
    for matcher in set.iter() {
        let member = match matcher {
            Matcher::Pattern(pattern) if pattern.kind() == PatternKind::Template => "topic",
            Matcher::Pattern(_) => "match_urlpattern",
            _ => "topics",
        };
        let list = members.entry(member).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(matcher.as_str().into());
        }
    }
    members.into()
}

/// The answer. What the stream tells after `from` is decided by these topics and the new grant, all before it by those it had.
pub(super) fn of(revised: &Revised, expires_ms: Option<u64>) -> Value {
    let Changes { added, removed } = Changes::of(revised);
    let mut answer = names(&revised.after);
    answer["from"] = revised.at.to_string().into();
    answer["expires_ms"] = expires_ms.into();
    answer["added"] = names(&added);
    answer["removed"] = names(&removed);
    answer
}

/// What a stream's topics have gained and lost.
pub(super) struct Changes {
    pub(super) added: MatcherSet,
    pub(super) removed: MatcherSet,
}

impl Changes {
    pub(super) fn of(revised: &Revised) -> Self {
        let without = |set: &MatcherSet, other: &MatcherSet| {
            let is_new = |matcher: &&Matcher| other.iter().all(|known| known != *matcher);
            set.iter().filter(is_new).cloned().collect()
        };
        Self {
            added: without(&revised.after, &revised.before),
            removed: without(&revised.before, &revised.after),
        }
    }
}
