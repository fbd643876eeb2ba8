//! Events on standard output, for people and for programs.

use std::io::IsTerminal;

use serde_json::{Map, Value};
use tidewire_client::Event;

use crate::failure::Outcome;
use crate::output;

/// How events are printed.
#[derive(Debug)]
pub(super) struct Printer {
    topic: Option<String>,
    is_json: bool,
    is_terminal: bool,
    takes_colour: bool,
}

impl Printer {
    pub(super) fn new(topic: Option<String>, is_json: bool) -> Self {
        Self {
            topic,
            is_json,
            is_terminal: std::io::stdout().is_terminal(),
            takes_colour: output::takes_colour(),
        }
    }

    /// The topic, if there is only one.
    pub(super) fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    pub(super) fn print(&self, event: &Event) -> Outcome {
        if self.is_json {
            return output::result(self.json(event));
        }
        let data = if self.is_terminal {
            harmless(&event.data)
        } else {
            event.data.clone()
        };
        // A program reads data alone; a person also wants to know what kind of event it is.
        if self.is_terminal && event.event_type != "message" {
            let event_type = harmless(&event.event_type);
            let (dim, plain) = if self.takes_colour {
                ("\x1b[2m", "\x1b[0m")
            } else {
                ("", "")
            };
            return output::result(format_args!("{dim}{event_type}{plain} {data}"));
        }
        output::result(data)
    }

    fn json(&self, event: &Event) -> Value {
        let mut object = Map::new();
        object.insert("type".to_owned(), event.event_type.as_str().into());
        object.insert("data".to_owned(), event.data.as_str().into());
        object.insert("id".to_owned(), event.last_event_id.as_str().into());
        if let Some(topic) = &self.topic {
            object.insert("topic".to_owned(), topic.as_str().into());
        }
        Value::Object(object)
    }
}

/// Text that a terminal shows and does not obey: an event must not move the cursor or rename the window.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// A gap in a sentence.
pub(super) fn gap(data: &str) -> String {
    let gap: Value = serde_json::from_str(data).unwrap_or_default();
    let member = |name: &str| {
        gap.get(name)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let why = match member("reason").as_str() {
        "expired" => "they are no longer kept".to_owned(),
        "beyond" => {
            "the hub has nothing so new; it has lost events, or it is another hub".to_owned()
        }
        "epoch" => {
            "they are of an earlier life of the log, which a crash or a new start ended".to_owned()
        }
        "unknown" => "the hub does not know that id".to_owned(),
        reason => reason.to_owned(),
    };
    format!(
        "gap: events after {} may be missing: {why}; going on after {}",
        harmless(&member("asked")),
        member("oldest")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_obeyed() {
        for (text, shown) in [
            ("a\tb\nc", "a\tb\nc"),
            ("\x1b[2Jx", "\u{fffd}[2Jx"),
            ("a\rb\x07", "a\u{fffd}b\u{fffd}"),
            ("\u{9b}31m", "\u{fffd}31m"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn gaps_are_told_in_words() {
        let told = gap(r##"{"asked":"#1-2","oldest":"#1-9","newest":"#1-20","reason":"expired"}"##);
        assert_eq!(
            told,
            "gap: events after #1-2 may be missing: they are no longer kept; going on after #1-9"
        );
    }
}
