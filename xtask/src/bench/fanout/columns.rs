//! Which figures of a measurement a table shows, and how a figure is written.

use super::statistics::Spread;

/// A column: what it is called, where it is in the JSON, and what to multiply it by.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) pointer: &'static str,
    pub(crate) factor: f64,
}

const fn column(title: &'static str, pointer: &'static str, factor: f64) -> Column {
    Column {
        title,
        pointer,
        factor,
    }
}

const CPU_DELIVERY: Column = column("CPU us a delivery", "/server/cpu_us_per_delivery", 1.0);
const CPU_PUBLISH: Column = column("CPU us a publish", "/server/cpu_us_per_publish", 1.0);
const DELIVERIES: Column = column("deliveries/s", "/deliveries_per_s", 1.0);
const PUBLISHES: Column = column("publishes/s", "/publishes_per_s", 1.0);
const CPU_PERCENT: Column = column("CPU %", "/server/cpu_percent", 1.0);
const P50: Column = column("p50 ms", "/latency_us/p50", 1e-3);
const P99: Column = column("p99 ms", "/latency_us/p99", 1e-3);
const PUBLISH_P50: Column = column("publish p50 ms", "/publish_latency_us/p50", 1e-3);
const PUBLISH_P99: Column = column("publish p99 ms", "/publish_latency_us/p99", 1e-3);
const FSYNC_P99: Column = column("bare fsync p99 ms", "/fsync_latency_us/p99", 1e-3);
const RSS: Column = column(
    "resident bytes a connection",
    "/server/rss_per_connection",
    1.0,
);
const CAUGHT_UP: Column = column("caught up s", "/caught_up_s", 1.0);
/// Near 1 where events leave alone; more where a server was behind and coalesced.
const TOGETHER: Column = column("events a read", "/events_per_read", 1.0);
const LOST: Column = column("lost", "/lost", 1.0);
const DISORDERED: Column = column("out of order", "/out_of_order", 1.0);
const REACHED: Column = column("one event to all, s", "/reached_all_s", 1.0);
const RSS_MAX: Column = column(
    "most resident MiB",
    "/server/rss_max",
    1.0 / (1024.0 * 1024.0),
);

const CONNECTED: Column = column("connected in s", "/connect_s", 1.0);
const EVENT_CPU: Column = column("CPU s for it", "/event_cpu_s", 1.0);
const MEMORY_SPREAD: Column = column("most over least memory", "/memory/most_over_least", 1.0);
const MEMORY_SLOPE: Column = column(
    "memory MiB a minute",
    "/memory/slope_bytes_per_min",
    1.0 / (1024.0 * 1024.0),
);
const CUT: Column = column("stalled: cut", "/stalled/cut", 1.0);
const WHOLE: Column = column("went on, whole", "/stalled/whole", 1.0);
const TOLD: Column = column("gap told", "/stalled/told", 1.0);
const UNTOLD: Column = column("gap untold", "/stalled/untold", 1.0);

pub(crate) fn of(target: &str) -> &'static [Column] {
    match target {
        "T1" => &[CPU_DELIVERY, P50, P99, CPU_PERCENT, TOGETHER],
        "T2" => &[
            CPU_DELIVERY,
            DELIVERIES,
            P50,
            P99,
            TOGETHER,
            LOST,
            DISORDERED,
        ],
        "T3" => &[PUBLISHES, CPU_PUBLISH, P50, P99, LOST],
        "T4" => &[PUBLISHES, CPU_PUBLISH, P99],
        "T5" => &[RSS, CPU_PERCENT, REACHED, EVENT_CPU, CONNECTED],
        "T6" => &[PUBLISHES, PUBLISH_P50, PUBLISH_P99, FSYNC_P99],
        "T7" => &[CAUGHT_UP, CPU_DELIVERY, LOST],
        "T8" => &[
            P50,
            P99,
            RSS_MAX,
            MEMORY_SPREAD,
            MEMORY_SLOPE,
            LOST,
            CUT,
            WHOLE,
            TOLD,
            UNTOLD,
        ],
        "T9" => &[P50, P99, LOST],
        _ => &[CPU_DELIVERY, DELIVERIES, CPU_PUBLISH, PUBLISHES],
    }
}

/// The median, and the ends where there are several rounds.
pub(crate) fn spread(spread: Spread, factor: f64) -> String {
    let median = number(spread.median * factor);
    let (min, max) = (number(spread.min * factor), number(spread.max * factor));
    if spread.count == 1 || min == max {
        median
    } else {
        format!("{median} ({min} to {max})")
    }
}

/// Three digits that matter, thousands grouped.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e7 {
        return format!("{:.1}M", value / 1e6);
    }
    if size >= 1000.0 {
        return grouped(value);
    }
    let decimals = match size {
        0.0 => 0,
        _ if size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 0.1 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

fn grouped(value: f64) -> String {
    let rounded = value.round();
    let sign = if rounded < 0.0 { "-" } else { "" };
    format!("{sign}{}", super::cases::grouped(rounded.abs() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written() {
        for (value, expected) in [
            (0.0, "0"),
            (0.0351, "0.035"),
            (0.351, "0.35"),
            (5.0, "5.00"),
            (13.52, "13.5"),
            (317.4, "317"),
            (1234.5, "1,235"),
            (239_000.0, "239,000"),
            (2_300_000.0, "2,300,000"),
            (23_000_000.0, "23.0M"),
            (-1500.0, "-1,500"),
        ] {
            assert_eq!(number(value), expected, "{value}");
        }
    }

    #[test]
    fn a_spread_is_shown_where_there_is_one() {
        for (values, expected) in [
            (&[2.0][..], "2.00"),
            (&[2.0, 1.0, 4.0], "2.00 (1.00 to 4.00)"),
            (&[0.0, 0.0], "0"),
        ] {
            let found = Spread::of(values).map(|s| spread(s, 1.0));
            assert_eq!(found.as_deref(), Some(expected), "{values:?}");
        }
    }
}
