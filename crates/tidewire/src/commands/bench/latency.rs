//! Latencies, as HDR histograms in microseconds, and on their way from process to process.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;

/// A histogram of microseconds, exact to a thousandth.
#[derive(Clone, Debug)]
pub(super) struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("bounds that are valid"))
    }
}

/// How often each latency was seen, in microseconds.
pub(super) type Counts = Vec<(u64, u64)>;

/// What people ask of a histogram, in microseconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

impl Latency {
    #[inline]
    pub(super) fn record_ns(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds / 1_000);
    }

    pub(super) fn counts(&self) -> Counts {
        let recorded = self.0.iter_recorded();
        recorded
            .map(|value| (value.value_iterated_to(), value.count_at_value()))
            .collect()
    }

    pub(super) fn add(&mut self, counts: &Counts) {
        for &(microseconds, times) in counts {
            self.0.saturating_record_n(microseconds, times);
        }
    }

    /// `None` if nothing was recorded.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.0.value_at_quantile(quantile);
        (!self.0.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_of_several_processes_make_one() {
        let mut one = Latency::default();
        assert_eq!(one.percentiles(), None);
        (1..=50).for_each(|ms| one.record_ns(ms * 1_000_000));
        let mut other = Latency::default();
        (51..=100).for_each(|ms| other.record_ns(ms * 1_000_000));
        one.add(&other.counts());
        let found = one.percentiles().unwrap();
        for (found, expected) in [
            (found.p50, 50_000),
            (found.p90, 90_000),
            (found.p99, 99_000),
            (found.max, 100_000),
        ] {
            assert!(
                found.abs_diff(expected) <= expected / 1_000,
                "{found} {expected}"
            );
        }
    }
}
