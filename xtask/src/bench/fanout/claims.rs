//! What must come out: the targets' numbers, as ratios within a round or as plain limits.

use super::cases::grouped;
use super::results::Results;
use super::statistics::{Relation, Spread, Verdict};

const CPU_DELIVERY: &str = "/server/cpu_us_per_delivery";
const CPU_PUBLISH: &str = "/server/cpu_us_per_publish";
const DELIVERIES: &str = "/deliveries_per_s";
const PUBLISHES: &str = "/publishes_per_s";
const P99: &str = "/latency_us/p99";

/// Memory that goes no further apart than this counts as flat: an allocator breathes.
const FLAT: f64 = 1.1;

/// One figure of one server in one case.
#[derive(Clone, Debug)]
struct Side {
    case: String,
    server: &'static str,
    pointer: &'static str,
}

/// A sentence that the rounds prove, miss, or leave open.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) target: &'static str,
    pub(crate) words: String,
    left: Side,
    /// The figure is the ratio to it, round by round; else the left one itself.
    right: Option<Side>,
    relation: Relation,
    limit: f64,
}

/// A claim, measured.
pub(crate) struct Judged {
    pub(crate) figure: Option<Spread>,
    pub(crate) verdict: Verdict,
    pub(crate) demanded: String,
}

impl Claim {
    pub(crate) fn judge(&self, results: &Results) -> Judged {
        let figure = Spread::of(&self.figures(results));
        let unit = if self.right.is_some() { "x" } else { "" };
        Judged {
            figure,
            verdict: self.relation.judge(figure, self.limit),
            demanded: format!("{} {}{unit}", self.relation.words(), self.limit),
        }
    }

    /// Whom it is about, for a test that they exist.
    #[cfg(test)]
    pub(super) fn sides(&self) -> Vec<(&str, &'static str)> {
        let sides = std::iter::once(&self.left).chain(&self.right);
        sides
            .map(|side| (side.case.as_str(), side.server))
            .collect()
    }

    fn figures(&self, results: &Results) -> Vec<f64> {
        let rounds = |side: &Side| results.rounds(&side.case, side.server, side.pointer);
        let left = rounds(&self.left);
        let Some(right) = &self.right else {
            return left.into_iter().map(|(_, figure)| figure).collect();
        };
        let right = rounds(right);
        let ratio = |(round, figure): &(u32, f64)| {
            let other = right.iter().find(|(other, _)| other == round)?.1;
            (other != 0.0).then(|| figure / other)
        };
        left.iter().filter_map(ratio).collect()
    }
}

/// All claims, in the order of the targets.
pub(crate) fn all() -> Vec<Claim> {
    let groups = [t1(), t2(), t3(), t4(), t5(), t6(), t7(), t8(), t9(), t10()];
    groups.into_iter().flatten().collect()
}

fn side(case: &str, server: &'static str, pointer: &'static str) -> Side {
    Side {
        case: case.into(),
        server,
        pointer,
    }
}

/// Ours against a server of the same case.
fn beside(
    target: &'static str,
    words: &str,
    case: &str,
    (server, pointer): (&'static str, &'static str),
    (relation, limit): (Relation, f64),
) -> Claim {
    between(
        target,
        words,
        side(case, "tidewire", pointer),
        side(case, server, pointer),
        (relation, limit),
    )
}

fn between(
    target: &'static str,
    words: &str,
    left: Side,
    right: Side,
    (relation, limit): (Relation, f64),
) -> Claim {
    Claim {
        target,
        words: words.into(),
        left,
        right: Some(right),
        relation,
        limit,
    }
}

fn plain(
    target: &'static str,
    words: &str,
    left: Side,
    (relation, limit): (Relation, f64),
) -> Claim {
    Claim {
        target,
        words: words.into(),
        left,
        right: None,
        relation,
        limit,
    }
}

use Relation::{AtLeast, AtMost};

fn t1() -> Vec<Claim> {
    let mut claims = Vec::new();
    for subscribers in [10_000, 1000] {
        let case = format!("t1-{subscribers}");
        let words = |other: &str| {
            format!(
                "{} subscribers: CPU a delivery, beside {other}",
                grouped(subscribers)
            )
        };
        claims.push(beside(
            "T1",
            &words("the floor"),
            &case,
            ("floor", CPU_DELIVERY),
            (AtMost, 1.15),
        ));
        claims.push(beside(
            "T1",
            &words("Nchan"),
            &case,
            ("nchan", CPU_DELIVERY),
            (AtMost, 0.8),
        ));
    }
    claims.push(beside(
        "T1",
        "quick: CPU a delivery, beside the floor",
        "quick-t1",
        ("floor", CPU_DELIVERY),
        (AtMost, 1.15),
    ));
    claims.push(beside(
        "T1",
        "quick: CPU a delivery, beside Nchan",
        "quick-t1",
        ("nchan", CPU_DELIVERY),
        (AtMost, 0.8),
    ));
    claims
}

fn t2() -> Vec<Claim> {
    let mut claims = Vec::new();
    for subscribers in [1000, 10_000] {
        let words = |what: &str| format!("{} subscribers: {what}", grouped(subscribers));
        let case = |name: &str| format!("t2-{name}-{subscribers}");
        let (one, two, near) = (case("one"), case("two"), case("near"));
        let checked = case("checked");
        let ours = |case: &str, pointer| side(case, "tidewire", pointer);
        claims.push(plain(
            "T2",
            &words("one core, CPU us a delivery"),
            ours(&one, CPU_DELIVERY),
            (AtMost, 0.6),
        ));
        claims.push(beside(
            "T2",
            &words("one core, deliveries/s beside Nchan"),
            &one,
            ("nchan", DELIVERIES),
            (AtLeast, 8.0),
        ));
        claims.push(beside(
            "T2",
            &words("two cores, deliveries/s beside axum on two threads"),
            &two,
            ("axum2", DELIVERIES),
            (AtLeast, 1.0),
        ));
        claims.push(beside(
            "T2",
            &words("two cores, p50 beside axum on two threads"),
            &two,
            ("axum2", "/latency_us/p50"),
            (AtMost, 0.25),
        ));
        claims.push(beside(
            "T2",
            &words("the same with at most 100 not yet delivered"),
            &near,
            ("axum2", "/latency_us/p50"),
            (AtMost, 0.25),
        ));
        claims.push(plain(
            "T2",
            &words("events lost"),
            ours(&checked, "/lost"),
            (AtMost, 0.0),
        ));
        claims.push(plain(
            "T2",
            &words("events out of order"),
            ours(&checked, "/out_of_order"),
            (AtMost, 0.0),
        ));
    }
    claims.push(plain(
        "T2",
        "quick: CPU us a delivery",
        side("quick-t2", "tidewire", CPU_DELIVERY),
        (AtMost, 0.6),
    ));
    claims.push(beside(
        "T2",
        "quick: deliveries/s beside Nchan",
        "quick-t2",
        ("nchan", DELIVERIES),
        (AtLeast, 8.0),
    ));
    claims
}

fn t3() -> Vec<Claim> {
    let mut claims: Vec<Claim> = ["nchan", "axum1", "better-sse", "pushpin", "mercure"]
        .map(|peer| {
            beside(
                "T3",
                &format!("publishes/s beside {peer}"),
                "t3",
                (peer, PUBLISHES),
                (AtLeast, 1.0),
            )
        })
        .into();
    claims.push(beside(
        "T3",
        "CPU a publish beside the floor",
        "t3",
        ("floor", CPU_PUBLISH),
        (AtMost, 1.25),
    ));
    claims.push(beside(
        "T3",
        "quick: publishes/s beside Nchan",
        "quick-t3",
        ("nchan", PUBLISHES),
        (AtLeast, 1.0),
    ));
    claims.push(beside(
        "T3",
        "quick: CPU a publish beside the floor",
        "quick-t3",
        ("floor", CPU_PUBLISH),
        (AtMost, 1.25),
    ));
    claims
}

fn t4() -> Vec<Claim> {
    let publishes = |case: &str, server| side(case, server, PUBLISHES);
    let mut claims = vec![between(
        "T4",
        "first publishes/s beside Mercure",
        publishes("t4-first-19000", "tidewire"),
        publishes("t4-mercure-19000", "mercure"),
        (AtLeast, 100.0),
    )];
    for (words, many, few) in [
        ("", "t4-again-19000", "t4-same-200"),
        (
            ", the first publish on each",
            "t4-first-19000",
            "t4-same-200",
        ),
        (
            ", and 1,000 patterns besides",
            "t4-patterns-18000",
            "t4-same-200",
        ),
        (
            ", of which one publish in a hundred reaches one",
            "t4-again-19000",
            "t4-again-200",
        ),
    ] {
        claims.push(between(
            "T4",
            &format!("publishes/s with 19,000 subscribers beside 200{words}"),
            publishes(many, "tidewire"),
            publishes(few, "tidewire"),
            (AtLeast, 0.8),
        ));
    }
    claims
}

fn t5() -> Vec<Claim> {
    let ours = |case: &str, pointer| side(case, "tidewire", pointer);
    let bytes = |words: &str, case: &str, limit| {
        plain(
            "T5",
            &format!("resident bytes {words}"),
            ours(case, "/server/rss_per_connection"),
            (AtMost, limit),
        )
    };
    vec![
        bytes("a plain connection", "t5-plain", 128.0),
        bytes(
            "a stream, a million of them on 1,000 HTTP/2 connections",
            "t5-http2",
            1024.0,
        ),
        bytes("a TLS connection", "t5-tls", 12_288.0),
        plain(
            "T5",
            "CPU per cent of a core with heartbeats, 19,000 connections",
            ours("t5-plain", "/server/cpu_percent"),
            (AtMost, 1.5),
        ),
    ]
}

fn t6() -> Vec<Claim> {
    let ours = |case: &str, pointer| side(case, "tidewire-sync", pointer);
    let bolt = side("t6-many", "mercure-bolt", PUBLISHES);
    vec![
        between(
            "T6",
            "p99 of a single publish beside the p99 of a bare fsync",
            ours("t6-one", "/publish_latency_us/p99"),
            ours("t6-one", "/fsync_latency_us/p99"),
            (AtMost, 2.0),
        ),
        between(
            "T6",
            "64 publishers, publishes/s beside Mercure's bolt",
            ours("t6-many", PUBLISHES),
            bolt,
            (AtLeast, 20.0),
        ),
        plain(
            "T6",
            "events/s acknowledged in NDJSON batches",
            ours("t6-batches", PUBLISHES),
            (AtLeast, 300_000.0),
        ),
    ]
}

fn t7() -> Vec<Claim> {
    let caught = |behind: u32, server| side(&format!("t7-{behind}"), server, "/caught_up_s");
    vec![
        between(
            "T7",
            "10 behind: Nchan's time to catch up beside ours",
            caught(10, "nchan"),
            caught(10, "tidewire"),
            (AtLeast, 3.0),
        ),
        between(
            "T7",
            "time to catch up, 100 behind beside 10 behind",
            caught(100, "tidewire"),
            caught(10, "tidewire"),
            (AtMost, 1.5),
        ),
    ]
}

fn t8() -> Vec<Claim> {
    let ours = |case: &str, pointer| side(case, "tidewire", pointer);
    let flat = |words: &str, case: &str| {
        let memory = ours(case, "/memory/most_over_least");
        plain("T8", words, memory, (AtMost, FLAT))
    };
    let of_stalled = |words: &str, case: &str, what, limit| {
        let words = format!("of the stalled {words}");
        plain("T8", &words, ours(case, what), limit)
    };
    vec![
        between(
            "T8",
            "p99 of the healthy, with 1,000 stalled beside without",
            ours("t8-stalled", P99),
            ours("t8-healthy", P99),
            (AtMost, 1.2),
        ),
        flat(
            "most over least resident memory in five minutes of fast publishing",
            "t8-memory",
        ),
        of_stalled(
            "1,000, cut after the deadline",
            "t8-cut",
            "/stalled/cut",
            (AtLeast, 1000.0),
        ),
        of_stalled(
            "1,000, those that went on and missed nothing that was kept",
            "t8-return",
            "/stalled/whole",
            (AtLeast, 1000.0),
        ),
        of_stalled(
            "1,000, those that retention passed and who were told",
            "t8-memory",
            "/stalled/told",
            (AtLeast, 1000.0),
        ),
        of_stalled(
            "those that missed something and were not told",
            "t8-memory",
            "/stalled/untold",
            (AtMost, 0.0),
        ),
        flat(
            "quick: most over least resident memory in 20 s of fast publishing",
            "quick-t8",
        ),
        plain(
            "T8",
            "quick: of the stalled 200, those that retention passed and who were told",
            ours("quick-t8", "/stalled/told"),
            (AtLeast, 200.0),
        ),
    ]
}

fn t9() -> Vec<Claim> {
    let mut claims = Vec::new();
    for (case, protocol) in [
        ("t9-chromium-http1", "HTTP/1.1"),
        ("t9-chromium-http2", "HTTP/2"),
    ] {
        for (server, log) in [("tidewire", "in memory"), ("tidewire-sync", "durable")] {
            claims.push(plain(
                "T9",
                &format!("p99 in us to the callback in Chromium, {protocol}, {log}"),
                side(case, server, P99),
                (AtMost, 50_000.0),
            ));
        }
    }
    claims
}

/// Growth: what the next larger point costs beside the one before.
fn t10() -> Vec<Claim> {
    let mut claims = Vec::new();
    let steps = [
        (
            "subscribers",
            CPU_DELIVERY,
            &[10, 30, 100, 300, 1000, 3000, 10_000, 19_000][..],
        ),
        (
            "topics",
            CPU_PUBLISH,
            &[1, 10, 100, 1000, 10_000, 19_000, 100_000][..],
        ),
    ];
    for (kind, pointer, points) in steps {
        let ours = |point: u32| side(&format!("t10-{kind}-{point}"), "tidewire", pointer);
        for pair in points.windows(2) {
            let words = format!(
                "{} {kind} beside {}: CPU a {}",
                grouped(pair[1]),
                grouped(pair[0]),
                if pointer == CPU_DELIVERY {
                    "delivery"
                } else {
                    "publish"
                }
            );
            claims.push(between(
                "T10",
                &words,
                ours(pair[1]),
                ours(pair[0]),
                (AtMost, 1.3),
            ));
        }
    }
    claims
}
