//! What a `PATCH /streams/{id}` asks for: nothing but the new grant, a stream's topics in all, or changes of them. Topics are
//! named, read and bounded as in a subscribe.

use serde_json::{Map, Value};
use tidewire_core::{MatcherSet, Patterns};
use tidewire_engine::Topics;

use crate::ask::{self, Path};
use crate::limits::Limits;
use crate::manner::Manner;
use crate::problem::Problem;
use crate::query::Pairs;

/// What the members of a JSON body name, and the parameters of a subscribe that do.
const MEMBERS: [(&str, &str); 5] = [
    ("topics", "match"),
    ("match", "match"),
    ("match_exact", "match_exact"),
    ("match_urlpattern", "match_urlpattern"),
    ("topic", "topic"),
];

/// How the body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Form,
    Json,
}

/// Reads a body.
pub(super) struct Reading<'a> {
    pub(super) limits: &'a Limits,
    pub(super) patterns: &'a Patterns,
}

impl Reading<'_> {
    pub(super) fn topics(&self, kind: Kind, body: &[u8]) -> Result<Topics, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(Topics::Same);
        }
        match kind {
            Kind::Form => self.form(&Pairs::of_body(
                body,
                self.limits.filters_per_stream_max,
                Problem::bad_parameter,
            )?),
            Kind::Json => self.json(body),
        }
    }

    fn form(&self, pairs: &Pairs) -> Result<Topics, Problem> {
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !ask::names_topics(name)) {
            return Err(Problem::bad_parameter(format!(
                "`{name}` has no meaning here: name the stream's topics with `topic` or `match`, or send JSON with `add` and `remove`"
            )));
        }
        self.set(pairs).map(Topics::Set)
    }

    fn json(&self, body: &[u8]) -> Result<Topics, Problem> {
        let members: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
            Problem::bad_parameter(format!(
                "the body is no JSON object: {error}; write {{\"topics\": [\"a\", \"b\"]}}, or {{\"add\": {{\"topics\": [\"c\"]}}}}"
            ))
        })?;
        if members.is_empty() {
            return Ok(Topics::Same);
        }
        let changes = |name: &String| name == "add" || name == "remove";
        if !members.keys().any(changes) {
            return self.set(&pairs("", members)?).map(Topics::Set);
        }
        if let Some(name) = members.keys().find(|name| !changes(name)) {
            return Err(Problem::bad_parameter(format!(
                "`{name}` beside `add` and `remove` contradicts them: say all topics, or the changes"
            )));
        }
        let mut members = members;
        let mut set = |name: &str| match members.remove(name) {
            None => Ok(MatcherSet::default()),
            Some(Value::Object(members)) => self.set(&pairs(name, members)?),
            Some(_) => Err(Problem::bad_parameter(format!(
                "`{name}` is no object: write {{\"{name}\": {{\"topics\": [\"a\"]}}}}"
            ))),
        };
        Ok(Topics::Change {
            add: set("add")?,
            remove: set("remove")?,
        })
    }

    fn set(&self, pairs: &Pairs) -> Result<MatcherSet, Problem> {
        pairs.check_visible()?;
        // That no two dialects are mixed.
        Manner::of_subscribe(Path::Mercure, pairs)?;
        ask::routing(pairs, self.limits, self.patterns)
    }
}

/// A JSON object's members as the pairs of a subscribe.
fn pairs(within: &str, members: Map<String, Value>) -> Result<Pairs, Problem> {
    let wrong = |name: &str| {
        let dot = if within.is_empty() { "" } else { "." };
        Problem::bad_parameter(format!(
            "`{within}{dot}{name}` is not what is expected: `topics`, `match_urlpattern` (and `topic`, for URI templates) are lists of strings"
        ))
    };
    let mut pairs = Vec::new();
    for (name, value) in members {
        let known = MEMBERS.iter().find(|(member, _)| *member == name);
        let (Some((_, parameter)), Value::Array(values)) = (known, value) else {
            return Err(wrong(&name));
        };
        for value in values {
            let Value::String(text) = value else {
                return Err(wrong(&name));
            };
            pairs.push(((*parameter).to_owned(), text));
        }
    }
    Ok(pairs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::answer::names;

    fn read(kind: Kind, body: &str) -> Result<Topics, Problem> {
        let limits = Limits {
            filters_per_stream_max: 3,
            ..Limits::default()
        };
        let patterns = Patterns::new(limits.patterns());
        let reading = Reading {
            limits: &limits,
            patterns: &patterns,
        };
        reading.topics(kind, body.as_bytes())
    }

    fn said(topics: &Topics) -> String {
        match topics {
            Topics::Same => "same".to_owned(),
            Topics::Set(all) => names(all).to_string(),
            Topics::Change { add, remove } => format!("+{} -{}", names(add), names(remove)),
        }
    }

    #[test]
    fn bodies_say_what_changes() {
        #[rustfmt::skip]
        let table = [
            (Kind::Form, "", Some("same")),
            (Kind::Json, " \n", Some("same")),
            (Kind::Json, "{}", Some("same")),
            (Kind::Form, "topic=a&topic=b%7Bid%7D", Some(r#"{"topic":["b{id}"],"topics":["a"]}"#)),
            (Kind::Form, "match=a&match_urlpattern=/b/:id", Some(r#"{"match_urlpattern":["/b/:id"],"topics":["a"]}"#)),
            (Kind::Form, "topic=a&match=b", None),
            (Kind::Form, "topic=a&x=b", None),
            (Kind::Form, "topic=a&topic=b&topic=c&topic=d", None),
            (Kind::Json, r#"{"topics":["a","b"]}"#, Some(r#"{"topics":["a","b"]}"#)),
            (Kind::Json, r#"{"topics":["*"]}"#, Some(r#"{"topics":["*"]}"#)),
            (Kind::Json, r#"{"topics":["a{id}"]}"#, Some(r#"{"topics":["a{id}"]}"#)),
            (Kind::Json, r#"{"topic":["a{id}"]}"#, Some(r#"{"topic":["a{id}"]}"#)),
            (Kind::Json, r#"{"topics":["a"],"match_urlpattern":["/b/:id"]}"#,
             Some(r#"{"match_urlpattern":["/b/:id"],"topics":["a"]}"#)),
            (Kind::Json, r#"{"add":{"topics":["a"]}}"#, Some(r#"+{"topics":["a"]} -{}"#)),
            (Kind::Json, r#"{"add":{"match_urlpattern":["/b/:id"]},"remove":{"topics":["a"]}}"#,
             Some(r#"+{"match_urlpattern":["/b/:id"]} -{"topics":["a"]}"#)),
            (Kind::Json, r#"{"add":["a"]}"#, None),
            (Kind::Json, r#"{"add":{"topics":["a"]},"topics":["b"]}"#, None),
            (Kind::Json, r#"{"add":{}}"#, None),
            (Kind::Json, r#"{"topics":[]}"#, None),
            (Kind::Json, r#"{"topics":"a"}"#, None),
            (Kind::Json, r#"{"topics":[1]}"#, None),
            (Kind::Json, r#"{"topics":["a\u200b"]}"#, None),
            (Kind::Json, r#"{"topics":["a"],"topic":["b"]}"#, None),
            (Kind::Json, r#"{"topics":["a","b","c","d"]}"#, None),
            (Kind::Json, r#"{"matchx":["a"]}"#, None),
            (Kind::Json, r#"["a"]"#, None),
            (Kind::Json, "x", None),
        ];
        for (kind, body, want) in table {
            let got = read(kind, body).ok().map(|topics| said(&topics));
            assert_eq!(got.as_deref(), want, "{body}");
        }
    }
}
