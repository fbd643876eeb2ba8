//! What came back, held against what a step wants. Sending and reading are not here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Answer, Runner};
use crate::conformance::stream::Seen;
use crate::conformance::suite::{Event, Step};
use crate::conformance::text::{fits, json_fits};
use crate::conformance::wire::Head;

impl Runner<'_> {
    /// The statuses that will do, the usual one first.
    pub(super) fn statuses(&self, step: &Step) -> Result<Vec<u16>, String> {
        let one = |value: &toml::Value| {
            let written = match value {
                toml::Value::String(text) => self.fill(text)?,
                other => other.to_string(),
            };
            written
                .parse()
                .map_err(|_| format!("`{written}` is no status"))
        };
        match &step.status {
            None => Ok(vec![200]),
            Some(toml::Value::Array(several)) => several.iter().map(one).collect(),
            Some(value) => Ok(vec![one(value)?]),
        }
    }

    pub(super) fn check(&mut self, step: &Step, answer: &Answer) -> Result<(), String> {
        let wanted = self.statuses(step)?;
        if !wanted.contains(&answer.head.status) {
            let wanted: Vec<String> = wanted.iter().map(u16::to_string).collect();
            return Err(format!(
                "status {}, expected {}; body: {}",
                answer.head.status,
                wanted.join(" or "),
                shortened(&answer.text)
            ));
        }
        self.check_headers(step, &answer.head)?;
        if let Some(text) = &step.text
            && !fits(text, &answer.text, &self.variables)?
        {
            let seen = shortened(&answer.text);
            return Err(format!("body {seen}, expected {text:?}"));
        }
        if step.json.is_some() || !step.json_absent.is_empty() {
            let json = self.check_json(step.json.as_ref(), &step.json_absent, &answer.text)?;
            self.save_json(&step.save, &json);
        }
        self.save(&step.save, &answer.head, &answer.text)
    }

    pub(super) fn check_headers(&self, step: &Step, head: &Head) -> Result<(), String> {
        for (name, wanted) in &step.expect {
            let Some(seen) = head.header(name) else {
                return Err(format!("no header {name}, expected {wanted:?}"));
            };
            if !fits(wanted, &seen, &self.variables)? {
                return Err(format!("{name}: {seen:?}, expected {wanted:?}"));
            }
        }
        match step.absent.iter().find(|name| head.header(name).is_some()) {
            Some(name) => Err(format!(
                "{name}: {:?}, expected none",
                head.header(name).unwrap_or_default()
            )),
            None => Ok(()),
        }
    }

    fn check_json(
        &self,
        wanted: Option<&toml::Value>,
        absent: &[String],
        text: &str,
    ) -> Result<Value, String> {
        let seen: Value = serde_json::from_str(text)
            .map_err(|error| format!("{} is no JSON: {error}", shortened(text)))?;
        if let Some(wanted) = wanted {
            json_fits(wanted, &seen, &self.variables)?;
        }
        match absent.iter().find(|name| seen.get(name.as_str()).is_some()) {
            Some(name) => Err(format!("the member `{name}` is there: {}", shortened(text))),
            None => Ok(seen),
        }
    }

    /// `{ name = "body" }`, `{ name = "header:Link" }`, `{ name = "json:member" }`.
    pub(super) fn save(
        &mut self,
        save: &BTreeMap<String, String>,
        head: &Head,
        text: &str,
    ) -> Result<(), String> {
        for (name, from) in save {
            let value = match from.strip_prefix("header:") {
                Some(header) => head
                    .header(header)
                    .ok_or_else(|| format!("no header {header} to keep"))?,
                None if from == "body" => text.to_owned(),
                None => continue,
            };
            self.variables.insert(name.clone(), value);
        }
        Ok(())
    }

    fn save_json(&mut self, save: &BTreeMap<String, String>, json: &Value) {
        for (name, from) in save {
            if let Some(member) = from.strip_prefix("json:")
                && let Some(text) = json[member].as_str()
            {
                self.variables.insert(name.clone(), text.to_owned());
            }
        }
    }

    pub(super) fn check_event(&mut self, wanted: &Event, seen: &Seen) -> Result<(), String> {
        let of = |text: &Option<String>| text.clone().unwrap_or_default();
        let parts = [
            ("data", &wanted.data, seen.data.clone()),
            ("type", &wanted.event_type, of(&seen.event_type)),
            ("id", &wanted.id, of(&seen.id)),
            ("retry", &wanted.retry, of(&seen.retry)),
            ("the event", &wanted.raw, seen.raw.clone()),
        ];
        for (what, wanted, seen) in parts {
            if let Some(wanted) = wanted
                && !fits(wanted, &seen, &self.variables)?
            {
                let wanted = self.fill(wanted)?;
                return Err(format!("{what}: {seen:?}, expected {wanted:?}"));
            }
        }
        if wanted.json.is_some() || !wanted.json_absent.is_empty() {
            let json = self.check_json(wanted.json.as_ref(), &wanted.json_absent, &seen.data)?;
            self.save_json(&wanted.save, &json);
        }
        for (name, from) in &wanted.save {
            let value = match from.as_str() {
                "id" => of(&seen.id),
                "data" => seen.data.clone(),
                _ => continue,
            };
            self.variables.insert(name.clone(), value);
        }
        Ok(())
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(160).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    format!("{short:?}")
}
