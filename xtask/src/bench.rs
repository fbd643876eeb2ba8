//! `cargo xtask bench`: every benchmark of the workspace, and their figures in one table.

use crate::Outcome;
use crate::process;
use crate::workspace::Workspace;

/// One figure of a benchmark, as criterion prints it.
#[derive(Default, Debug, PartialEq, Eq)]
struct Figure {
    name: String,
    time: String,
    throughput: String,
}

pub(crate) fn run(name_part: &str) -> Outcome {
    let workspace = match Workspace::read() {
        Ok(workspace) => workspace,
        Err(why) => {
            println!("FAILED: {why}");
            return Outcome::Failed;
        }
    };
    let benches: Vec<(&str, &str)> = workspace
        .members()
        .flat_map(|package| {
            package
                .targets
                .iter()
                .map(|target| (package.name.as_str(), target))
        })
        .filter(|(_, target)| target.kinds.iter().any(|kind| kind == "bench"))
        .map(|(package, target)| (package, target.name.as_str()))
        .filter(|(package, bench)| package.contains(name_part) || bench.contains(name_part))
        .collect();
    if benches.is_empty() {
        println!("there is no benchmark whose package or name contains `{name_part}`");
        return Outcome::Failed;
    }
    let mut are_done = true;
    let mut table = Vec::new();
    for (package, bench) in benches {
        let mut lines = Vec::new();
        let mut command = process::cargo();
        command.args(["bench", "--quiet", "-p", package, "--bench", bench]);
        are_done &= process::pass_through_and(&mut command, |line| lines.push(line.to_owned()));
        table.extend(figures(&lines).into_iter().map(|figure| (package, figure)));
    }
    print_table(&table);
    Outcome::of(are_done)
}

fn print_table(table: &[(&str, Figure)]) {
    println!("\n| package | benchmark | time | throughput |\n|---|---|---|---|");
    for (
        package,
        Figure {
            name,
            time,
            throughput,
        },
    ) in table
    {
        println!("| {package} | {name} | {time} | {throughput} |");
    }
}

/// Criterion's middle estimates: `name   time:   [low mid high]`, the name on a line of its own when it is long, and
/// `thrpt:  [low mid high]` below.
fn figures(lines: &[String]) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    let mut previous = "";
    // Beside an earlier run criterion prints changes in the same form, in percent.
    for line in lines.iter().filter(|line| !line.contains('%')) {
        if let Some((before, estimates)) = line.split_once("time:   [") {
            let name = if before.trim().is_empty() {
                previous
            } else {
                before
            };
            figures.push(Figure {
                name: name.trim().into(),
                time: middle(estimates),
                throughput: String::new(),
            });
        } else if let Some((_, estimates)) = line.split_once("thrpt:  [")
            && let Some(figure) = figures.last_mut()
        {
            figure.throughput = middle(estimates);
        }
        previous = line;
    }
    figures
}

/// `1.0 us 1.1 us 1.2 us]` as `1.1 us`.
fn middle(estimates: &str) -> String {
    let words: Vec<&str> = estimates.trim_end_matches(']').split_whitespace().collect();
    words
        .get(2..4)
        .map_or_else(String::new, |middle| middle.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criterion_output() {
        let lines = [
            "decode/small           time:   [1.0 us 1.1 us 1.2 us]",
            "                       thrpt:  [1.0 GiB/s 1.1 GiB/s 1.2 GiB/s]",
            "                       time:   [-1.0% +0.1% +1.2%] (p = 0.1 > 0.05)",
            "decode/a very long name of a benchmark",
            "                        time:   [2.0 ms 2.1 ms 2.2 ms]",
        ]
        .map(String::from);
        let names: Vec<_> = figures(&lines)
            .into_iter()
            .map(|figure| (figure.name, figure.time, figure.throughput))
            .collect();
        let expected = [
            ("decode/small", "1.1 us", "1.1 GiB/s"),
            ("decode/a very long name of a benchmark", "2.1 ms", ""),
        ];
        let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(names, expected);
    }
}
