//! A block as a ring holds it: with what finds its records.

use std::sync::Arc;

use super::index::{Index, Terms};
use crate::Block;

/// A block and its terms.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) block: Arc<Block>,
    /// Its newest record's time; times do not fall within a log.
    pub(super) time_last_ms: u64,
    pub(super) topics: Terms,
    pub(super) ids: Terms,
}

impl Held {
    pub(super) fn new(block: Arc<Block>, topic_index: &Index, id_index: &Index) -> Self {
        let mut topics = Vec::with_capacity(block.len());
        let mut ids = Vec::new();
        for (index, number) in (0..block.len()).zip(0..) {
            let record = block.record(index);
            topics.extend(
                record
                    .topics()
                    .map(|topic| (topic_index.hash(topic), number)),
            );
            if let Some(id) = record.publisher_id() {
                ids.push((id_index.hash(id.as_bytes()), number));
            }
        }
        Self {
            time_last_ms: block.record(block.len() - 1).time_ms(),
            block,
            topics: Terms::new(topics),
            ids: Terms::new(ids),
        }
    }

    /// What its records take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.block.record_bytes_total()
    }
}
