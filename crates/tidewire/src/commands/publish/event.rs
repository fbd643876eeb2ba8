//! Events as they are sent: lines of NDJSON.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::place::Place;

/// What all events of a run have in common.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) topic: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) private: bool,
    pub(super) retry: Option<u64>,
}

/// One event on its way.
#[derive(Debug)]
pub(super) struct Item {
    /// One line of JSON with its line end.
    pub(super) line: Bytes,
    /// Where the followed file stands after it.
    pub(super) place: Option<Place>,
}

impl Item {
    pub(super) fn of(line: Bytes) -> Self {
        Self { line, place: None }
    }
}

impl Template {
    /// An event with this data.
    pub(super) fn event(&self, data: &str, id: Option<&str>) -> Bytes {
        let mut event = self.members();
        event.insert("data".to_owned(), data.into());
        if let Some(id) = id {
            event.insert("id".to_owned(), id.into());
        }
        line(event)
    }

    /// An event from a line of text. Bytes that are no UTF-8 become U+FFFD: the event stream cannot carry them.
    pub(super) fn event_of_line(&self, text: &[u8]) -> Bytes {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        self.event(&String::from_utf8_lossy(text), None)
    }

    /// A whole event, checked as far as our part in it goes: the hub decides on the rest.
    pub(super) fn whole_event(&self, text: &[u8]) -> Result<Bytes, String> {
        let event: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let Value::Object(mut event) = event else {
            return Err("it is no JSON object".to_owned());
        };
        if !event.contains_key("topic") && !event.contains_key("topics") {
            let topic = self.topic.as_deref();
            let topic = topic.ok_or("it names no topic, and none was given as an argument")?;
            event.insert("topic".to_owned(), topic.into());
        }
        // What a subscriber printed may be published again, and the id that a hub made is then not ours to give.
        if event
            .get("id")
            .and_then(Value::as_str)
            .is_some_and(|id| id.starts_with('#'))
        {
            event.remove("id");
        }
        Ok(line(event))
    }

    /// What this run does with a line, as text: a place in a file is only good for the same.
    pub(super) fn name(&self) -> String {
        Value::Object(self.members()).to_string()
    }

    fn members(&self) -> Map<String, Value> {
        let mut event = Map::new();
        if let Some(topic) = &self.topic {
            event.insert("topic".to_owned(), topic.as_str().into());
        }
        if let Some(event_type) = &self.event_type {
            event.insert("type".to_owned(), event_type.as_str().into());
        }
        if self.private {
            event.insert("private".to_owned(), true.into());
        }
        if let Some(retry) = self.retry {
            event.insert("retry".to_owned(), retry.into());
        }
        event
    }
}

fn line(event: Map<String, Value>) -> Bytes {
    let mut line = Value::Object(event).to_string();
    line.push('\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_events() {
        let template = Template {
            topic: Some("a\"b".into()),
            event_type: Some("t".into()),
            private: true,
            retry: Some(5),
        };
        for (text, data) in [
            (&b"x"[..], "x"),
            (b"x\r", "x"),
            (b"", ""),
            (b"\xff", "\u{fffd}"),
            (b"a\tb", "a\tb"),
        ] {
            let line = template.event_of_line(text);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let event: Value = serde_json::from_slice(&line).unwrap();
            let want = serde_json::json!({"topic": "a\"b", "type": "t", "private": true, "retry": 5, "data": data});
            assert_eq!(event, want);
        }
    }

    #[test]
    fn whole_events_get_a_topic_if_they_have_none() {
        let template = |topic: Option<&str>| Template {
            topic: topic.map(str::to_owned),
            event_type: None,
            private: false,
            retry: None,
        };
        #[rustfmt::skip]
        let table = [
            (None, r#"{"topic":"x"}"#, Ok(r#"{"topic":"x"}"#)),
            (Some("d"), r#"{"topics":["x"],"id":"7"}"#, Ok(r#"{"id":"7","topics":["x"]}"#)),
            (Some("d"), r#"{"data":"x"}"#, Ok(r#"{"data":"x","topic":"d"}"#)),
            (Some("d"), r##"{"id":"#1-2"}"##, Ok(r#"{"topic":"d"}"#)),
            (None, r#"{"data":"x"}"#, Err("names no topic")),
            (None, r#"["x"]"#, Err("no JSON object")),
            (None, "{", Err("EOF")),
        ];
        for (topic, text, want) in table {
            let got = template(topic).whole_event(text.as_bytes());
            match want {
                Ok(line) => assert_eq!(got.unwrap(), format!("{line}\n")),
                Err(words) => assert!(got.unwrap_err().contains(words), "{text}"),
            }
        }
    }
}
