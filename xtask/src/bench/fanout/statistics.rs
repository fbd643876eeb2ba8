//! Medians and spreads of a few rounds, and whether they prove a claim.

/// The middle and the ends of some measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) count: usize,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self {
            median,
            min,
            max,
            count: sorted.len(),
        })
    }
}

/// Which side of its limit a figure must be on; the limit itself is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    AtMost,
    AtLeast,
}

/// What the rounds say about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every round is on the right side.
    Met,
    /// Every round is on the wrong side.
    Missed,
    /// The rounds are on both sides.
    Unproven,
    NotMeasured,
}

impl Verdict {
    /// Of several claims together: met if all are, not met if one is missed.
    pub(crate) fn of_all(verdicts: &[Self]) -> Self {
        let has = |verdict| verdicts.contains(&verdict);
        match () {
            () if has(Self::Missed) => Self::Missed,
            () if has(Self::Unproven) => Self::Unproven,
            () if has(Self::NotMeasured) || verdicts.is_empty() => Self::NotMeasured,
            () => Self::Met,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "**not met**",
            Self::Unproven => "unproven",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Relation {
    pub(crate) fn judge(self, spread: Option<Spread>, limit: f64) -> Verdict {
        let Some(spread) = spread else {
            return Verdict::NotMeasured;
        };
        let (best, worst) = match self {
            Self::AtMost => (spread.min, spread.max),
            Self::AtLeast => (spread.max, spread.min),
        };
        let holds = |value: f64| match self {
            Self::AtMost => value <= limit,
            Self::AtLeast => value >= limit,
        };
        match (holds(best), holds(worst)) {
            (_, true) => Verdict::Met,
            (true, false) => Verdict::Unproven,
            (false, false) => Verdict::Missed,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::AtMost => "at most",
            Self::AtLeast => "at least",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends() {
        for (values, expected) in [
            (&[][..], None),
            (&[f64::NAN], None),
            (&[3.0], Some((3.0, 3.0, 3.0, 1))),
            (&[9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0, 3))),
            (&[4.0, 1.0, 2.0, 9.0], Some((3.0, 1.0, 9.0, 4))),
        ] {
            let found = Spread::of(values).map(|s| (s.median, s.min, s.max, s.count));
            assert_eq!(found, expected, "{values:?}");
        }
    }

    #[test]
    fn a_target_is_met_when_all_of_it_is() {
        use Verdict::{Met, Missed, NotMeasured, Unproven};
        for (verdicts, expected) in [
            (&[][..], NotMeasured),
            (&[Met, Met], Met),
            (&[Met, NotMeasured], NotMeasured),
            (&[NotMeasured, Unproven, Met], Unproven),
            (&[Unproven, Missed, Met], Missed),
        ] {
            assert_eq!(Verdict::of_all(verdicts), expected, "{verdicts:?}");
        }
    }

    #[test]
    fn what_overlaps_the_limit_is_unproven() {
        use Relation::{AtLeast, AtMost};
        use Verdict::{Met, Missed, NotMeasured, Unproven};
        for (relation, values, limit, expected) in [
            (AtMost, &[0.9, 1.0, 1.1][..], 1.15, Met),
            (AtMost, &[0.9, 1.0, 1.2], 1.15, Unproven),
            (AtMost, &[1.1, 1.2, 1.3], 1.15, Unproven),
            (AtMost, &[1.2, 1.3], 1.15, Missed),
            (AtMost, &[1.15], 1.15, Met),
            (AtLeast, &[8.0, 9.0], 8.0, Met),
            (AtLeast, &[7.9, 9.0], 8.0, Unproven),
            (AtLeast, &[7.0, 7.9], 8.0, Missed),
            (AtLeast, &[], 8.0, NotMeasured),
        ] {
            let found = relation.judge(Spread::of(values), limit);
            assert_eq!(found, expected, "{relation:?} {limit} {values:?}");
        }
    }
}
