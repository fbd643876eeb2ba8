//! A page of metrics in the making, and the older text format made of it.

#![expect(
    clippy::needless_pass_by_value,
    reason = "calls are the rows of a table: values, without a mark on each"
)]

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::counters::{BOUNDS_MS, Observed};

/// A label's name and its value.
pub(super) type Label = (&'static str, &'static str);

/// Writes metrics one after another.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// Its name gets the unit and `_total`.
    pub(super) fn counter(
        &mut self,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        values: impl IntoIterator<Item = ([Label; N], u64)>,
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in values {
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?
            .encode_gauge(&value)
    }

    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        values: impl IntoIterator<Item = ([Label; N], u64)>,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A value for each of what was configured, by its name in the label `of`: never for what a client named.
    pub(super) fn named_gauges<'n>(
        &mut self,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        values: impl IntoIterator<Item = (&'n str, u64)>,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (of, value) in values {
            family.encode_family(&[("of", of)])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Its name gets `_info`.
    pub(super) fn info<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: &[Label; N],
    ) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Info)?
            .encode_info(labels)
    }

    /// In seconds.
    pub(super) fn histogram(&mut self, name: &str, help: &str, seen: &Observed) -> fmt::Result {
        let bounds = BOUNDS_MS.iter().map(|ms| ms / 1e3).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(seen.buckets).collect();
        let count = seen.buckets.iter().sum();
        self.0
            .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(seen.sum_s, count, &buckets, None)
    }
}

/// OpenMetrics text as Prometheus text, version 0.0.4: there a counter's descriptor has the whole name of its samples, an info is
/// a gauge, and neither units nor an end are told.
pub(super) fn as_prometheus_text(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    // Its suffix is known with the type, on the line after it.
    let mut help = None;
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((_, help)) = help.take() {
                text += &format!("# HELP {name}{suffix} {help}\n");
            }
            text += &format!("# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_is_made_of_the_newer() {
        let open = "# HELP a_bytes What a is.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total 7\n\
                    # HELP b What b is.\n# TYPE b info\nb_info{v=\"# 1\"} 1\n\
                    # HELP c What c is.\n# TYPE c gauge\nc{d=\"e\"} 2\n# EOF\n";
        let text = "# HELP a_bytes_total What a is.\n# TYPE a_bytes_total counter\na_bytes_total 7\n\
                    # HELP b_info What b is.\n# TYPE b_info gauge\nb_info{v=\"# 1\"} 1\n\
                    # HELP c What c is.\n# TYPE c gauge\nc{d=\"e\"} 2\n";
        assert_eq!(as_prometheus_text(open), text);
    }
}
