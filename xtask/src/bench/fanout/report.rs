//! Results to words: the lines of a run, and `docs/benchmarks.md` with its plots.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::cases::{self, Case};
use super::claims;
use super::columns::{self, Column, number};
use super::machine;
use super::peers::{LEFT_OUT, PEERS};
use super::plot::{self, Bar, Point, Series};
use super::results::{Measurement, Results};
use super::statistics::{Spread, Verdict};
use crate::Outcome;
use crate::process;

/// What each target is about, in the order of the report.
const TARGETS: &[(&str, &str)] = &[
    ("T1", "Events that come one by one"),
    ("T2", "As fast as possible"),
    ("T3", "Many topics, one subscriber each"),
    ("T4", "A publish does not look at those it does not concern"),
    ("T5", "Idle connections"),
    ("T6", "Durable publishing"),
    ("T7", "Reconnect storm"),
    ("T8", "Subscribers that never read"),
    ("T9", "From publish to socket"),
    ("T10", "How cost grows"),
];

/// The load average that the measurements themselves make: a server and a client.
const LOAD_MAX: f64 = 2.5;

pub(crate) fn results_folder() -> PathBuf {
    process::root().join("bench/results")
}

/// `cargo xtask bench report`.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    if !arguments.is_empty() {
        return Outcome::WrongUsage("`bench report` takes no arguments".into());
    }
    match write() {
        Ok(()) => Outcome::Done,
        Err(why) => {
            println!("FAILED: {why}");
            Outcome::Failed
        }
    }
}

fn write() -> Result<(), String> {
    let results = Results::read(&results_folder())?;
    if results.all().is_empty() {
        return Err("there are no results yet: `cargo xtask bench fanout` makes them".into());
    }
    let notes = fs::read_to_string(process::root().join("bench/notes.md")).unwrap_or_default();
    let versions: Vec<(String, String)> = PEERS
        .iter()
        .filter(|peer| results.all().iter().any(|m| m.server == peer.name))
        .map(|peer| (peer.title.to_owned(), (peer.version)()))
        .collect();
    let folder = process::root().join("docs/benchmarks");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let plots = plots(&results);
    for (name, svg) in &plots {
        keep(&folder.join(format!("{name}.svg")), svg)?;
    }
    let drawn: Vec<&str> = plots.iter().map(|(name, _)| name.as_str()).collect();
    let text = document(&results, &versions, &notes, &drawn);
    keep(&process::root().join("docs/benchmarks.md"), &text)
}

fn keep(path: &Path, text: &str) -> Result<(), String> {
    println!("wrote {}", path.display());
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A measurement as one line of a run.
pub(crate) fn line(measurement: &Measurement) -> String {
    let Measurement {
        case,
        server,
        round,
        ..
    } = measurement;
    let figures = match &measurement.outcome {
        Err(why) => format!("FAILED: {}", why.trim()),
        Ok(_) => columns::of(&measurement.target)
            .iter()
            .filter_map(|column| {
                let figure = measurement.figure(column.pointer)?;
                Some(format!(
                    "{} {}",
                    column.title,
                    number(figure * column.factor)
                ))
            })
            .collect::<Vec<_>>()
            .join(", "),
    };
    format!("{case} round {round} {server}: {figures}")
}

/// The claims of a target after a run.
pub(crate) fn claims_as_text(results: &Results, target: &str, quick: bool) -> String {
    let mut text = String::new();
    for claim in claims_of(target, quick) {
        let judged = claim.judge(results);
        let figure = judged
            .figure
            .map_or_else(|| "-".into(), |figure| columns::spread(figure, 1.0));
        let verdict = judged.verdict.word().replace('*', "");
        let _ = writeln!(
            text,
            "{target} {}: {figure}, wanted {}: {verdict}",
            claim.words, judged.demanded
        );
    }
    text
}

fn claims_of(target: &str, quick: bool) -> Vec<claims::Claim> {
    let mut claims = claims::all();
    claims.retain(|claim| claim.target == target && claim.words.starts_with("quick:") == quick);
    claims
}

fn document(
    results: &Results,
    versions: &[(String, String)],
    notes: &str,
    plots: &[&str],
) -> String {
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `cargo xtask bench report` from `bench/results/`; what stands under *Lessons* is in `bench/notes.md`.\n\n",
    );
    text += &summary(results);
    text += &method(results, versions);
    let cases = cases::full();
    for (target, title) in TARGETS {
        let of_target: Vec<&Case> = cases.iter().filter(|case| case.target == *target).collect();
        let _ = writeln!(text, "## {target}: {title}\n");
        text += &claims_table(results, target);
        for case in of_target {
            text += &case_table(results, case);
        }
        for plot in plots
            .iter()
            .filter(|plot| plot.starts_with(&format!("{}-", target.to_lowercase())))
        {
            let _ = writeln!(text, "![{title}](benchmarks/{plot}.svg)\n");
        }
    }
    if !notes.is_empty() {
        let _ = writeln!(text, "## Lessons\n\n{}", notes.trim());
    }
    text
}

/// Whether somebody else was working: then the figures are worth less, and the page says so.
fn load(results: &Results) -> String {
    let loads: Vec<f64> = results.all().iter().map(|m| m.load).collect();
    Spread::of(&loads).map_or_else(String::new, |load| {
        let verdict = if load.median > LOAD_MAX {
            ": **the machine was not quiet, measure again before you believe a figure**"
        } else {
            ""
        };
        let load = columns::spread(load, 1.0);
        format!("Load average when each measurement began: {load}{verdict}.\n\n")
    })
}

/// How many claims hold, and which do not.
fn summary(results: &Results) -> String {
    let mut text = String::from(
        "## In short\n\n| target | verdict | met | unproven | not met | not measured |\n|---|---|---|---|---|---|\n",
    );
    for (target, title) in TARGETS {
        let claims = claims_of(target, false);
        let verdicts: Vec<Verdict> = claims
            .iter()
            .map(|claim| claim.judge(results).verdict)
            .collect();
        let count = |wanted| {
            verdicts
                .iter()
                .filter(|verdict| **verdict == wanted)
                .count()
        };
        let _ = writeln!(
            text,
            "| {target}: {title} | {} | {} | {} | {} | {} |",
            Verdict::of_all(&verdicts).word(),
            count(Verdict::Met),
            count(Verdict::Unproven),
            count(Verdict::Missed),
            count(Verdict::NotMeasured),
        );
    }
    text.push('\n');
    text
}

fn method(results: &Results, versions: &[(String, String)]) -> String {
    let mut text = String::from("## Machine, servers, method\n\n");
    if let Some(last) = results.all().iter().max_by_key(|m| m.run) {
        let of = |key: &str| match &last.machine[key] {
            serde_json::Value::String(words) => words.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(
            text,
            "{}: {} ({} cores), {} MiB, Linux {}, {}; commits {}.\n",
            machine::day(last.run),
            of("cpu"),
            of("cores"),
            of("memory_mib"),
            of("kernel"),
            of("rustc"),
            commits(results),
        );
    }
    text += &load(results);
    text += "Each round puts a case to each server in turn, another one first each time; a server is started anew for each measurement, pinned to core 0, \
             the client (`tidewire bench`) to core 1, unless both cores are named. Figures are medians of the rounds, with the least and the most; \
             comparisons are ratios of the same round. *Met* and *not met* are said where every round agrees; else *unproven*. A target is met when all that it asks is. \
             Latencies are corrected for coordinated omission. To measure again:\n\n\
             ```\ncargo xtask bench peers            # installs and tries the peers\ncargo xtask bench fanout           # everything, about an hour\n\
             cargo xtask bench fanout --only T8,T9  # some targets\n\
             cargo xtask bench fanout --quick   # T1 to T3 and T8 small, under three minutes\ncargo xtask bench report           # writes this page\n```\n\n";
    text += "| server | version | settings |\n|---|---|---|\n";
    for peer in PEERS {
        if let Some((title, version)) = versions.iter().find(|(title, _)| title == peer.title) {
            let _ = writeln!(text, "| {title} | {version} | {} |", peer.settings);
        }
    }
    for (name, why) in LEFT_OUT {
        let _ = writeln!(text, "\nLeft out: {name}. {why}");
    }
    text.push('\n');
    text
}

fn commits(results: &Results) -> String {
    let mut commits: Vec<&str> = results.all().iter().map(|m| m.commit.as_str()).collect();
    commits.sort_unstable();
    commits.dedup();
    commits.join(", ")
}

fn claims_table(results: &Results, target: &str) -> String {
    let claims = claims_of(target, false);
    if claims.is_empty() {
        return String::new();
    }
    let mut text = String::from("| what | measured | wanted | |\n|---|---|---|---|\n");
    for claim in claims {
        let judged = claim.judge(results);
        let figure = judged
            .figure
            .map_or_else(String::new, |figure| columns::spread(figure, 1.0));
        let _ = writeln!(
            text,
            "| {} | {figure} | {} | {} |",
            claim.words,
            judged.demanded,
            judged.verdict.word()
        );
    }
    text.push('\n');
    text
}

fn case_table(results: &Results, case: &Case) -> String {
    let measured: Vec<&Measurement> = results
        .all()
        .iter()
        .filter(|m| m.case == case.name)
        .collect();
    let Some(first) = measured.iter().find(|m| !m.command.is_empty()) else {
        return String::new();
    };
    let has_figure = |column: &&Column| measured.iter().any(|m| m.figure(column.pointer).is_some());
    let columns: Vec<&Column> = columns::of(case.target).iter().filter(has_figure).collect();
    let mut text = format!("**{}**\n\n`{}`\n\n| server |", case.title, first.command);
    for column in &columns {
        let _ = write!(text, " {} |", column.title);
    }
    let _ = writeln!(text, " rounds |\n|---|{}---|", "---|".repeat(columns.len()));
    for peer in PEERS {
        let of_peer: Vec<&&Measurement> =
            measured.iter().filter(|m| m.server == peer.name).collect();
        if of_peer.is_empty() {
            continue;
        }
        let _ = write!(text, "| {} |", peer.title);
        for column in &columns {
            let figures = results.figures(&case.name, peer.name, column.pointer);
            let cell = Spread::of(&figures).map(|spread| columns::spread(spread, column.factor));
            let _ = write!(text, " {} |", cell.unwrap_or_default());
        }
        let failed = of_peer.iter().filter(|m| m.outcome.is_err()).count();
        let rounds = of_peer.len() - failed;
        let failures = if failed > 0 {
            format!(", {failed} failed")
        } else {
            String::new()
        };
        let _ = writeln!(text, " {rounds}{failures} |");
    }
    text + "\n"
}

/// Names and pictures.
fn plots(results: &Results) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    for subscribers in [1000, 10_000] {
        let title = format!(
            "As fast as possible, {} subscribers, one core",
            cases::grouped(subscribers)
        );
        let case = format!("t2-one-{subscribers}");
        for (name, unit, pointer) in [
            (
                "deliveries",
                "deliveries a second, more is better",
                "/deliveries_per_s",
            ),
            (
                "cpu",
                "server CPU, us a delivery, less is better",
                "/server/cpu_us_per_delivery",
            ),
        ] {
            let svg = plot::bars(&title, unit, &bars(results, &case, pointer));
            plots.extend(svg.map(|svg| (format!("t2-{name}-{subscribers}"), svg)));
        }
    }
    for (name, title, y_title, pointers) in [
        (
            "t10-deliveries",
            "Deliveries a second as it grows",
            "deliveries/s",
            ["/deliveries_per_s", "/deliveries_per_s"],
        ),
        (
            "t10-cpu",
            "Server CPU as it grows",
            "CPU us a delivery; of many topics, a publish",
            ["/server/cpu_us_per_delivery", "/server/cpu_us_per_publish"],
        ),
    ] {
        let series = growth(results, pointers);
        let svg = plot::lines(title, "subscribers, or topics", y_title, &series);
        plots.extend(svg.map(|svg| (name.to_owned(), svg)));
    }
    plots
}

fn bars(results: &Results, case: &str, pointer: &str) -> Vec<Bar> {
    let bar = |(name, title): (&str, &str)| {
        let spread = Spread::of(&results.figures(case, name, pointer))?;
        Some(Bar {
            name: title.into(),
            median: spread.median,
            min: spread.min,
            max: spread.max,
        })
    };
    let peers = PEERS.iter().map(|peer| (peer.name, peer.title));
    peers.filter_map(bar).collect()
}

fn growth(results: &Results, pointers: [&str; 2]) -> Vec<Series> {
    let cases = cases::full();
    let kinds = [
        ("t10-subscribers-", "one topic, more subscribers"),
        (
            "t10-topics-",
            "more topics, one subscriber each (at most 19,000)",
        ),
    ];
    let series = |((prefix, name), pointer): ((&str, &str), &str)| {
        let points = cases.iter().filter(|case| case.name.starts_with(prefix));
        let points: Vec<Point> = points
            .filter_map(|case| {
                let spread = Spread::of(&results.figures(&case.name, "tidewire", pointer))?;
                Some(Point {
                    x: f64::from(case.x),
                    median: spread.median,
                    min: spread.min,
                    max: spread.max,
                })
            })
            .collect();
        Series {
            name: name.into(),
            points,
        }
    };
    kinds.into_iter().zip(pointers).map(series).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Canned results of three rounds: what `tidewire bench --json` says, shortened.
    const FIXTURE: &str = include_str!("fixture.jsonl");

    fn fixture() -> Results {
        Results::parse(FIXTURE).unwrap_or_default()
    }

    fn fixture_document() -> String {
        let versions = [("Tidewire".to_owned(), "1".to_owned())];
        document(&fixture(), &versions, "What was learned.", &["t2-cpu-1000"])
    }

    #[test]
    fn the_report_says_what_the_results_say() {
        let text = fixture_document();
        for wanted in [
            "2026-11-21: A CPU (2 cores), 24105 MiB, Linux 6.1, rustc 1.90; commits abc1234.",
            "Load average when each measurement began: 0.50.",
            "| Tidewire | 1 | `serve --memory`, all defaults |",
            // Of the newest run alone; the older one said 99.
            "| Tidewire | 5.00 (4.80 to 5.20) | 2.00 |",
            "| Nchan | 8.05 (7.90 to 8.20) | 4.00 | 2, 1 failed |",
            "| 10,000 subscribers: CPU a delivery, beside the floor | 1.00 (0.96 to 1.04) | at most 1.15x | met |",
            "| 10,000 subscribers: CPU a delivery, beside Nchan | 0.62 (0.61 to 0.63) | at most 0.8x | met |",
            "| 1,000 subscribers: CPU a delivery, beside Nchan |  | at most 0.8x | not measured |",
            "![As fast as possible](benchmarks/t2-cpu-1000.svg)",
            "`tidewire bench fanout --subscribers 10000`",
            "What was learned.",
        ] {
            assert!(text.contains(wanted), "`{wanted}` is not in\n{text}");
        }
        assert!(!text.contains("99.0"), "{text}");
    }

    #[test]
    fn a_line_shows_figures_or_the_failure() {
        let results = fixture();
        let lines: Vec<String> = results.all().iter().map(line).collect();
        for wanted in [
            "t1-10000 round 1 tidewire: CPU us a delivery 4.80, p50 ms 2.00",
            "t1-10000 round 3 nchan: FAILED: it did not start",
        ] {
            assert!(
                lines.iter().any(|line| line == wanted),
                "`{wanted}` is not in {lines:?}"
            );
        }
    }

    #[test]
    fn plots_are_drawn_of_what_there_is() {
        let names: Vec<String> = plots(&fixture())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            [
                "t2-deliveries-1000",
                "t2-cpu-1000",
                "t10-deliveries",
                "t10-cpu"
            ]
        );
    }

    #[test]
    fn every_claim_is_about_a_case_and_a_server_that_exist() {
        let mut cases = cases::full();
        cases.extend(cases::quick());
        for claim in claims::all() {
            for (case, server) in claim.sides() {
                let found = cases.iter().find(|other| other.name == case);
                let servers = found.map(|case| case.servers.clone()).unwrap_or_default();
                assert!(
                    servers.contains(&server),
                    "{}: {case}, {server}",
                    claim.words
                );
            }
        }
    }

    #[test]
    fn every_case_names_servers_that_exist() {
        for case in cases::full().iter().chain(&cases::quick()) {
            for server in &case.servers {
                assert!(
                    super::super::peers::find(server).is_some(),
                    "{}: {server}",
                    case.name
                );
            }
            assert!(
                TARGETS.iter().any(|(target, _)| *target == case.target),
                "{}",
                case.name
            );
        }
    }
}
