//! Batches: events that travel together, the key that they travel under, and what the hub answers.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::event::{Item, Template};
use super::place::{self, Opened, Pending, Place};
use crate::failure::{Failure, Outcome};

/// Some events and the key that they are sent under.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) key: String,
    pub(super) items: VecDeque<Item>,
    /// How many at the front are acknowledged and told. They are sent again all the same: the key goes with their indexes.
    pub(super) told: usize,
}

impl Batch {
    pub(super) fn body(&self) -> Bytes {
        let mut body = BytesMut::new();
        self.items
            .iter()
            .for_each(|item| body.extend_from_slice(&item.line));
        body.freeze()
    }

    pub(super) fn headers(&self) -> Outcome<HeaderMap> {
        let key = HeaderValue::from_str(&self.key).map_err(Failure::failed)?;
        Ok(HeaderMap::from_iter([
            (
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-ndjson"),
            ),
            (HeaderName::from_static("idempotency-key"), key),
        ]))
    }

    pub(super) fn place_of(&self, index: usize) -> Option<&Place> {
        self.items.get(index)?.place.as_ref()
    }
}

/// A batch of an earlier run that may or may not have arrived.
#[derive(Debug)]
pub(super) struct Again(pub(super) Batch);

impl Again {
    /// Reads the same bytes again.
    pub(super) fn read(
        opened: &Arc<Opened>,
        from: u64,
        pending: &Pending,
        template: &Template,
    ) -> Outcome<Self> {
        let mut bytes = vec![0; usize::try_from(pending.to.saturating_sub(from)).unwrap_or(0)];
        let read = place::read_at(&opened.file, &mut bytes, from)
            .map_err(|error| Failure::failed(format!("cannot read the followed file: {error}")))?;
        let mut items = VecDeque::new();
        let mut at = from;
        for line in bytes[..read].split_inclusive(|byte| *byte == b'\n') {
            let to = at + line.len() as u64;
            items.push_back(Item {
                line: template.event_of_line(line.strip_suffix(b"\n").unwrap_or(line)),
                place: Some(Place {
                    opened: Arc::clone(opened),
                    from: at,
                    to,
                }),
            });
            at = to;
        }
        let key = pending.key.clone();
        Ok(Self(Batch {
            key,
            items,
            told: 0,
        }))
    }
}

/// What the hub says about a batch, line by line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Acknowledged {
        from: usize,
        to: usize,
        #[serde(default)]
        ids: Vec<String>,
    },
    Refused {
        index: usize,
        error: String,
    },
}
