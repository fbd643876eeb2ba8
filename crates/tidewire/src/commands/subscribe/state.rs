//! Where a subscription came to, kept over runs: the last event id, which names a place in the hub's log whatever the topics.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};
use crate::files;

const VERSION: u8 = 1;

#[derive(Deserialize, Serialize)]
struct Saved {
    version: u8,
    last_event_id: String,
}

/// The place, and the file that keeps it if one was named.
#[derive(Debug)]
pub(super) struct State {
    path: Option<PathBuf>,
    last_event_id: String,
    is_saved: bool,
}

impl State {
    pub(super) fn open(path: Option<PathBuf>) -> Outcome<Self> {
        let last_event_id = match &path {
            Some(path) => load(path)?,
            None => String::new(),
        };
        Ok(Self {
            path,
            last_event_id,
            is_saved: true,
        })
    }

    /// Where to go on, if that is known.
    pub(super) fn last_event_id(&self) -> Option<&str> {
        (!self.last_event_id.is_empty()).then_some(&self.last_event_id)
    }

    /// Notes where the stream is; true if that is to be saved.
    pub(super) fn note(&mut self, last_event_id: &str) -> bool {
        if self.path.is_some() && !last_event_id.is_empty() && self.last_event_id != last_event_id {
            last_event_id.clone_into(&mut self.last_event_id);
            self.is_saved = false;
        }
        !self.is_saved
    }

    pub(super) fn save(&mut self) -> Outcome {
        if let (Some(path), false) = (&self.path, self.is_saved) {
            let saved = Saved {
                version: VERSION,
                last_event_id: self.last_event_id.clone(),
            };
            let text = serde_json::to_string(&saved).map_err(Failure::failed)? + "\n";
            files::replace(path, text.as_bytes())
                .map_err(|error| Failure::file(path, "write the state", &error))?;
            self.is_saved = true;
        }
        Ok(())
    }
}

fn load(path: &std::path::Path) -> Outcome<String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(Failure::file(path, "read the state", &error)),
    };
    match serde_json::from_slice::<Saved>(&text) {
        Ok(saved) if saved.version == VERSION => Ok(saved.last_event_id),
        _ => Err(Failure::failed(format!(
            "{}: this is no state of `tidewire sub`",
            path.display()
        ))
        .next("name another file with --state, or remove this one to begin again")),
    }
}
