//! Counters: what a shard did, for metrics and for tests that must know that something happened at all.

use tidewire_log::{GapReason, Read};

use crate::EndReason;

/// What one shard did since it was made. All but [`Counters::subscribers`] only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Subscribers at the moment.
    pub subscribers: u64,
    /// Subscribers that ever joined.
    pub joined: u64,
    /// Steps taken.
    pub steps: u64,
    /// Events' frames that sinks took.
    pub deliveries: u64,
    /// Bytes of all frames that sinks took, chunk heads included.
    pub bytes: u64,
    /// Calls of [`crate::Sink::offer`].
    pub offers: u64,
    /// Offers answered [`crate::Offer::Full`].
    pub offers_full: u64,
    /// Reads answered `Batch`.
    pub reads_batch: u64,
    /// Reads answered `AtTail`.
    pub reads_at_tail: u64,
    /// Reads answered `Loading`.
    pub reads_loading: u64,
    /// Reads answered `Gap`.
    pub reads_gap: u64,
    /// Heartbeats sent as a comment.
    pub heartbeats: u64,
    /// Checkpoints sent, at openings, with heartbeats and after gaps.
    pub checkpoints: u64,
    /// Subscribers taken out by [`crate::Shard::leave`].
    pub left: u64,
    gaps: [u64; GapReason::ALL.len()],
    ended: [u64; EndReason::ALL.len()],
}

impl Counters {
    /// Gaps told, for one reason.
    #[must_use]
    pub fn gaps(&self, reason: GapReason) -> u64 {
        slot(&GapReason::ALL, &reason).map_or(0, |slot| self.gaps[slot])
    }

    /// Subscribers ended, for one reason.
    #[must_use]
    pub fn ended(&self, reason: EndReason) -> u64 {
        slot(&EndReason::ALL, &reason).map_or(0, |slot| self.ended[slot])
    }

    pub(crate) fn count_read(&mut self, read: &Read) {
        *match read {
            Read::Batch(_) => &mut self.reads_batch,
            Read::AtTail => &mut self.reads_at_tail,
            Read::Loading => &mut self.reads_loading,
            Read::Gap(_) => &mut self.reads_gap,
        } += 1;
    }

    pub(crate) fn count_gap(&mut self, reason: GapReason) {
        if let Some(slot) = slot(&GapReason::ALL, &reason) {
            self.gaps[slot] += 1;
        }
    }

    pub(crate) fn count_ended(&mut self, reason: EndReason) {
        if let Some(slot) = slot(&EndReason::ALL, &reason) {
            self.ended[slot] += 1;
        }
    }

    /// Adds another shard's counters.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.subscribers, other.subscribers),
            (&mut self.joined, other.joined),
            (&mut self.steps, other.steps),
            (&mut self.deliveries, other.deliveries),
            (&mut self.bytes, other.bytes),
            (&mut self.offers, other.offers),
            (&mut self.offers_full, other.offers_full),
            (&mut self.reads_batch, other.reads_batch),
            (&mut self.reads_at_tail, other.reads_at_tail),
            (&mut self.reads_loading, other.reads_loading),
            (&mut self.reads_gap, other.reads_gap),
            (&mut self.heartbeats, other.heartbeats),
            (&mut self.checkpoints, other.checkpoints),
            (&mut self.left, other.left),
        ];
        let gaps = self.gaps.iter_mut().zip(other.gaps);
        let ended = self.ended.iter_mut().zip(other.ended);
        for (mine, theirs) in pairs.into_iter().chain(gaps).chain(ended) {
            *mine += theirs;
        }
    }
}

fn slot<T: PartialEq>(all: &[T], one: &T) -> Option<usize> {
    all.iter().position(|each| each == one)
}
