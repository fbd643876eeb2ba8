//! How long something took, in a few counters: a histogram that takes no lock.

use std::time::Duration;

use super::Count;

/// The upper bounds of the buckets, in milliseconds; above the last there is one more.
pub(crate) const BOUNDS_MS: [f64; 16] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0,
    5_000.0, 10_000.0,
];

#[derive(Debug, Default)]
pub(crate) struct Latency {
    buckets: [Count; BOUNDS_MS.len() + 1],
    sum_ns: Count,
}

/// What was observed until now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Observed {
    /// By bucket, not cumulated.
    pub(crate) buckets: [u64; BOUNDS_MS.len() + 1],
    pub(crate) sum_s: f64,
}

impl Latency {
    pub(crate) fn observe(&self, took: Duration) {
        let took_ms = took.as_secs_f64() * 1e3;
        // Prometheus: a bucket's upper bound belongs to it.
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < took_ms);
        self.buckets[bucket].one();
        self.sum_ns
            .add(usize::try_from(took.as_nanos()).unwrap_or(usize::MAX));
    }

    pub(crate) fn observed(&self) -> Observed {
        Observed {
            buckets: self.buckets.each_ref().map(Count::now),
            sum_s: self.sum_ns.now() as f64 / 1e9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_into_the_first_bucket_that_holds_it() {
        let table = [
            (0, 0),
            (100, 0),
            (101, 1),
            (1_000, 3),
            (1_001, 4),
            (10_000_000, 15),
            (10_000_001, 16),
            (3_600_000_000, 16),
        ];
        for (us, bucket) in table {
            let latency = Latency::default();
            latency.observe(Duration::from_micros(us));
            let observed = latency.observed();
            let found = observed.buckets.iter().position(|count| *count == 1);
            assert_eq!(found, Some(bucket), "{us} us");
            assert!((observed.sum_s - us as f64 / 1e6).abs() < 1e-9, "{us} us");
        }
    }
}
