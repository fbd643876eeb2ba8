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

    /// Notes that the events from one index to another are acknowledged; their ids without those that were told before.
    pub(super) fn tell(&mut self, from: usize, to: usize, ids: Vec<String>) -> Vec<String> {
        let told_before = self.told.saturating_sub(from);
        self.told = self.told.max((to + 1).min(self.items.len()));
        ids.into_iter().skip(told_before).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch that was cut in the middle of its answer is sent again, and answered again from its first event.
    #[test]
    fn no_id_is_told_twice() {
        let item = || Item::of(Bytes::from_static(b"{}\n"));
        let mut batch = Batch {
            key: "k".to_owned(),
            items: (0..5).map(|_| item()).collect(),
            told: 0,
        };
        let ids = |from: usize, to: usize| (from..=to).map(|n| n.to_string()).collect::<Vec<_>>();
        #[rustfmt::skip]
        let table = [
            (0, 1, ids(0, 1), 2),
            (0, 2, ids(2, 2), 3), // again, in larger groups
            (0, 1, ids(0, 0)[..0].to_vec(), 3), // and again, in smaller ones
            (2, 3, ids(3, 3), 4),
            (4, 4, ids(4, 4), 5),
        ];
        for (from, to, told, after) in table {
            assert_eq!(batch.tell(from, to, ids(from, to)), told, "{from} to {to}");
            assert_eq!(batch.told, after);
        }
        assert!(
            batch.tell(0, 9, Vec::new()).is_empty(),
            "without ids there is nothing to tell"
        );
    }
}
