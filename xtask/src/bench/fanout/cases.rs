//! What is measured: each case is one `tidewire bench` command and the servers that it is put to, in turn.

use super::server::Cores;

/// Rounds of a full run, where a case does not say otherwise.
pub(crate) const ROUNDS: u32 = 7;

const PINNED: &[&str] = &["floor", "tidewire", "nchan", "axum1"];
const COALESCING: &[&str] = &["floor", "floor10", "tidewire", "nchan", "axum1"];
const ALL: &[&str] = &[
    "floor",
    "tidewire",
    "nchan",
    "axum1",
    "better-sse",
    "pushpin",
    "mercure",
];
const OURS: &[&str] = &["tidewire"];

/// One command, and who it is put to.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// `T1` to `T10`, as the issue numbers them.
    pub(crate) target: &'static str,
    /// The key in the results.
    pub(crate) name: String,
    pub(crate) title: String,
    /// The subcommand of `tidewire bench` and its arguments; `chromium` is a script of `bench/chromium` instead.
    pub(crate) bench: String,
    pub(crate) servers: Vec<&'static str>,
    pub(crate) cores: Cores,
    pub(crate) topics: u32,
    pub(crate) history_events: u32,
    /// Flags for our own hub.
    pub(crate) ours: String,
    /// `None`: as many as the run says.
    pub(crate) rounds: Option<u32>,
    /// Where the case stands on the axis of a plot.
    pub(crate) x: u32,
}

impl Case {
    fn new(
        target: &'static str,
        name: &str,
        title: &str,
        servers: &[&'static str],
        bench: &str,
    ) -> Self {
        Self {
            target,
            name: name.into(),
            title: title.into(),
            bench: bench.into(),
            servers: servers.to_vec(),
            cores: Cores::One,
            topics: 1,
            history_events: 10,
            ours: String::new(),
            rounds: None,
            x: 0,
        }
    }

    fn topics(mut self, topics: u32) -> Self {
        self.topics = topics;
        self
    }

    fn beside(mut self, server: &'static str) -> Self {
        self.servers.push(server);
        self
    }

    fn history(mut self, events: u32) -> Self {
        self.history_events = events;
        self
    }

    fn two_cores(mut self) -> Self {
        self.cores = Cores::Two;
        self
    }

    fn ours(mut self, flags: &str) -> Self {
        self.ours = flags.into();
        self
    }

    fn rounds(mut self, rounds: u32) -> Self {
        self.rounds = Some(rounds);
        self
    }

    fn at(mut self, x: u32) -> Self {
        self.x = x;
        self
    }
}

/// Everything, in the order of the targets.
pub(crate) fn full() -> Vec<Case> {
    let groups = [
        paced(),
        as_fast_as_possible(),
        many_topics(),
        first_publish(),
        idle(),
        durable(),
        storm(),
        stalled(),
        latency(),
        growth(),
    ];
    groups.into_iter().flatten().collect()
}

/// The first three targets, small, and twenty seconds of what never reads: what a change may have cost, in under three minutes.
pub(crate) fn quick() -> Vec<Case> {
    let servers = &["floor", "tidewire", "nchan"];
    vec![
        Case::new(
            "T1",
            "quick-t1",
            "5,000 subscribers, one topic, 10 events/s",
            servers,
            "fanout --subscribers 5000 --topics 1 --rate 10 --duration 2s --warmup 500ms --payload 200",
        ),
        Case::new(
            "T2",
            "quick-t2",
            "1,000 subscribers, one topic, as fast as possible",
            &["floor", "floor10", "tidewire", "nchan"],
            "fanout --subscribers 1000 --topics 1 --rate max --window 1000 --duration 2s --warmup 500ms --payload 200 --check count",
        )
        .history(2000),
        Case::new(
            "T3",
            "quick-t3",
            "2,000 topics, one subscriber each, as fast as possible",
            servers,
            "topics --subscribers 2000 --topics 2000 --rate max --duration 2s --warmup 500ms --payload 200",
        )
        .topics(2000),
        Case::new(
            "T8",
            "quick-t8",
            "20 s as fast as possible, 200 that never read, a log of 4 MiB; in the end they read again",
            OURS,
            "fanout --subscribers 500 --topics 1 --rate max --window 1000 --duration 20s --warmup 5s --check sampled --payload 200 \
             --stalled 200 --stalled-backlog 8388608 --stalled-url {origin}/topics/{topic}?since=earliest --stalled-return --patience 5s",
        )
        .ours("--retention-bytes 4MiB --stall-deadline 1h")
        .rounds(1),
    ]
}

fn paced() -> Vec<Case> {
    [(10_000, 10), (1000, 100)]
        .map(|(subscribers, rate)| {
            Case::new(
                "T1",
                &format!("t1-{subscribers}"),
                &format!("{} subscribers, one topic, {rate} events/s", grouped(subscribers)),
                PINNED,
                &format!("fanout --subscribers {subscribers} --topics 1 --rate {rate} --duration 4s --warmup 1s --payload 200"),
            )
        })
        .into()
}

fn as_fast_as_possible() -> Vec<Case> {
    let mut cases = Vec::new();
    for subscribers in [1000, 10_000] {
        let words = format!(
            "{} subscribers, one topic, as fast as possible",
            grouped(subscribers)
        );
        let bench = format!(
            "fanout --subscribers {subscribers} --topics 1 --rate max --warmup 1s --payload 200"
        );
        let case = |name: &str, title: &str, servers: &[&'static str], more: &str| {
            Case::new(
                "T2",
                &format!("t2-{name}-{subscribers}"),
                title,
                servers,
                &format!("{bench} {more}"),
            )
            .history(2000)
        };
        let counted = "--duration 3s --check count --window 1000";
        cases.push(case(
            "one",
            &format!("{words}, one core"),
            COALESCING,
            counted,
        ));
        let both = format!("{words}, two cores shared with the client");
        cases.push(
            case(
                "two",
                &both,
                &["tidewire", "axum2"],
                "--duration 3s --check sampled --window 1000",
            )
            .two_cores(),
        );
        // With a thousand under way, half of the time is the window's; axum on two threads has some sixty under way by itself.
        let near = format!("{words}, at most 100 not yet delivered, two cores");
        cases.push(
            case(
                "near",
                &near,
                &["tidewire", "axum2"],
                "--duration 3s --check sampled --window 100",
            )
            .two_cores(),
        );
        let checked = format!("{words}, every event checked");
        cases.push(
            case(
                "checked",
                &checked,
                OURS,
                "--duration 4s --check full --window 1000",
            )
            .rounds(2),
        );
    }
    cases
}

fn many_topics() -> Vec<Case> {
    vec![
        Case::new(
            "T3",
            "t3",
            "10,000 topics, one subscriber each, as fast as possible",
            ALL,
            "topics --subscribers 10000 --topics 10000 --rate max --duration 3s --warmup 1s --payload 200",
        )
        .topics(10_000),
    ]
}

fn first_publish() -> Vec<Case> {
    let mut cases = Vec::new();
    for subscribers in [200, 19_000] {
        let words = format!("{} subscribers, 19,000 topics", grouped(subscribers));
        let bench = format!(
            "topics --subscribers {subscribers} --topics 19000 --rate max --warmup 500ms --payload 200"
        );
        let case = |name: &str, title: &str, more: &str| {
            Case::new(
                "T4",
                &format!("t4-{name}-{subscribers}"),
                title,
                OURS,
                &format!("{bench} {more}"),
            )
            .topics(19_000)
        };
        let again = case(
            "again",
            &format!("{words}, each publish to another topic"),
            "--duration 3s",
        );
        cases.push(again.beside("floor"));
        cases.push(case(
            "first",
            &format!("{words}, the first publish on each"),
            "--once",
        ));
    }
    // Of publishes to 19,000 topics, 200 subscribers get one in a hundred: the rest costs no delivery. Here they get each.
    let each_delivered = Case::new(
        "T4",
        "t4-same-200",
        "200 subscribers, 200 topics, each publish to another topic",
        &["floor", "tidewire"],
        "topics --subscribers 200 --topics 200 --rate max --warmup 500ms --payload 200 --duration 3s",
    );
    cases.push(each_delivered.topics(200));
    let with_patterns = Case::new(
        "T4",
        "t4-patterns-18000",
        "18,000 subscribers, 18,000 topics, and 1,000 distinct patterns, the first publish on each",
        OURS,
        "topics --subscribers 18000 --topics 18000 --rate max --warmup 500ms --payload 200 --once \
         --extra-pattern-subscribers 1000 --pattern-url {origin}/.well-known/mercure?topic=https://example.com/{n}/%7Bid%7D",
    );
    cases.push(with_patterns.topics(18_000));
    let mercure = Case::new(
        "T4",
        "t4-mercure-19000",
        "19,000 subscribers, 19,000 topics, Mercure, first publishes",
        &["mercure"],
        "topics --subscribers 19000 --topics 19000 --rate max --warmup 0s --payload 200 --duration 10s",
    );
    cases.push(mercure.topics(19_000).rounds(2));
    cases
}

fn idle() -> Vec<Case> {
    let case = |name: &str, title: &str, servers: &[&'static str], more: &str| {
        let bench = format!("idle --topics 1 --duration 60s {more}");
        Case::new("T5", name, title, servers, &bench).rounds(1)
    };
    vec![
        case(
            "t5-plain",
            "19,000 plain connections",
            &["floor", "tidewire", "nchan"],
            "--subscribers 19000",
        ),
        case(
            "t5-tls",
            "19,000 TLS connections",
            OURS,
            "--subscribers 19000 --insecure",
        )
        .ours("--tls-self-signed"),
        case(
            "t5-http2",
            "1,000 HTTP/2 connections of 1,000 streams each, without TLS",
            OURS,
            "--subscribers 1000000 --http2 --streams 1000 --patience 20s",
        ),
    ]
}

fn durable() -> Vec<Case> {
    let fsync = "--bare-fsync {folder}";
    vec![
        Case::new(
            "T6",
            "t6-one",
            "durable publish, one publisher, one by one",
            &["tidewire-sync", "mercure-bolt"],
            &format!("publish --publishers 1 --duration 3s --warmup 500ms --payload 200 {fsync}"),
        ),
        Case::new(
            "T6",
            "t6-many",
            "durable publish, 64 publishers, one by one each",
            &["tidewire-sync", "mercure-bolt"],
            "publish --publishers 64 --duration 3s --warmup 500ms --payload 200",
        ),
        Case::new(
            "T6",
            "t6-batches",
            "durable publish, NDJSON batches of 1,000, 4 publishers",
            &["tidewire-sync"],
            "publish --mode ndjson --batch 1000 --publishers 4 --duration 3s --warmup 500ms --payload 200",
        )
        .two_cores(),
    ]
}

fn storm() -> Vec<Case> {
    [10, 100]
        .map(|behind| {
            Case::new(
                "T7",
                &format!("t7-{behind}"),
                &format!("10,000 clients return {behind} events behind"),
                &["tidewire", "nchan"],
                &format!("storm --subscribers 10000 --topics 1 --behind {behind} --payload 200"),
            )
            .history(2000)
        })
        .into()
}

/// What the stalled ask for fills their connections at once: they stand still before anything is measured.
const STALLED: &str =
    "--stalled 1000 --stalled-backlog 8388608 --stalled-url {origin}/topics/{topic}?since=earliest";

fn stalled() -> Vec<Case> {
    let case = |name: &str, title: &str, pace: &str, more: &str| {
        let bench = format!("fanout --subscribers 9000 --topics 1 {pace} --payload 200 {more}");
        Case::new("T8", name, title, OURS, bench.trim_end())
    };
    // The stalled take gigabytes until they stand still: nothing is measured before that.
    let paced = "--rate 10 --duration 5s --warmup 1s --settle 8s";
    vec![
        case(
            "t8-healthy",
            "9,000 subscribers that read, 10 events/s",
            paced,
            "",
        ),
        case(
            "t8-stalled",
            "the same, and 1,000 that never read",
            paced,
            STALLED,
        ),
        case(
            "t8-cut",
            "the same with a stall deadline of 5 s",
            "--rate 10 --duration 12s --warmup 1s --settle 8s",
            &format!("{STALLED} --stalled-return"),
        )
        .ours("--stall-deadline 5s")
        .rounds(1),
        case(
            "t8-return",
            "the stalled read again in the end, nothing has left the log",
            paced,
            &format!("{STALLED} --stalled-return --patience 8s"),
        )
        .rounds(1),
        case(
            "t8-memory",
            "five minutes as fast as possible, 1,000 that never read, a log of 4 MiB; in the end they read again",
            "--rate max --window 1000 --duration 300s --warmup 30s --check sampled",
            &format!("{STALLED} --stalled-return --patience 8s"),
        )
        .ours("--retention-bytes 4MiB --stall-deadline 1h")
        .rounds(1),
    ]
}

fn latency() -> Vec<Case> {
    let mut cases: Vec<Case> = [(100, 50), (1000, 50), (10_000, 10)]
        .map(|(subscribers, rate)| {
            Case::new(
                "T9",
                &format!("t9-{subscribers}"),
                &format!("publish to socket, {} subscribers, {rate} events/s", grouped(subscribers)),
                &["floor", "tidewire", "tidewire-sync", "nchan", "axum1", "mercure", "mercure-bolt"],
                &format!("fanout --subscribers {subscribers} --topics 1 --rate {rate} --duration 3s --warmup 1s --payload 200"),
            )
            .rounds(3)
        })
        .into();
    for (name, protocol, flags) in [
        ("http1", "HTTP/1.1", ""),
        ("http2", "HTTP/2 over TLS", "--tls-self-signed"),
    ] {
        let case = Case::new(
            "T9",
            &format!("t9-chromium-{name}"),
            &format!(
                "publish to the callback of an EventSource in Chromium, {protocol}, 1,000 subscribers, 50 events/s"
            ),
            &["tidewire", "tidewire-sync"],
            "chromium --subscribers 1000 --rate 50 --seconds 10",
        );
        cases.push(case.ours(flags).rounds(3));
    }
    cases
}

fn growth() -> Vec<Case> {
    let mut cases = Vec::new();
    // 19,000 times a thousand events do not fit the memory that Linux gives all sockets here (`net.ipv4.tcp_mem`).
    for subscribers in [10, 30, 100, 300, 1000, 3000, 10_000, 19_000] {
        let case = Case::new(
            "T10",
            &format!("t10-subscribers-{subscribers}"),
            &format!(
                "{} subscribers, one topic, as fast as possible",
                grouped(subscribers)
            ),
            OURS,
            &format!(
                "fanout --subscribers {subscribers} --topics 1 --rate max --window 200 --duration 2s --warmup 1s --payload 200 --check count"
            ),
        );
        cases.push(case.rounds(3).at(subscribers));
    }
    for topics in [1, 10, 100, 1000, 10_000, 19_000, 100_000] {
        let subscribers = topics.min(19_000);
        let case = Case::new(
            "T10",
            &format!("t10-topics-{topics}"),
            &format!(
                "{} topics, {} subscribers, as fast as possible",
                grouped(topics),
                grouped(subscribers)
            ),
            OURS,
            &format!(
                "topics --subscribers {subscribers} --topics {topics} --rate max --duration 2s --warmup 1s --payload 200"
            ),
        );
        cases.push(case.rounds(3).topics(topics).at(topics));
    }
    cases
}

/// 19000 as 19,000.
pub(crate) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
