//! `cargo xtask bench`: every benchmark of the workspace, one after the other, each printing its own table; or the fan-out
//! comparison with other servers.

mod fanout;

use crate::Outcome;
use crate::process;
use crate::workspace::Workspace;

pub(crate) fn run(name_part: &str, arguments: &[&str]) -> Outcome {
    match name_part {
        "peers" => fanout::peers(arguments),
        "fanout" => fanout::run(arguments),
        "report" => fanout::report(arguments),
        _ => criterion(name_part, arguments),
    }
}

fn criterion(name_part: &str, arguments: &[&str]) -> Outcome {
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
    let mut failed = Vec::new();
    for (package, bench) in benches {
        println!("\n== {package}, {bench}");
        let mut command = process::cargo();
        command
            .args(["bench", "--quiet", "-p", package, "--bench", bench, "--"])
            .args(arguments);
        if !process::pass_through(&mut command) {
            failed.push(format!("{package}, {bench}"));
        }
    }
    for failure in &failed {
        println!("FAILED: {failure}");
    }
    Outcome::of(failed.is_empty())
}
