//! Measurements as they are kept: one JSON object a line, a file a target. Lines are only ever appended.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// One run of one case against one server.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    pub(crate) target: String,
    pub(crate) case: String,
    pub(crate) server: String,
    pub(crate) round: u32,
    /// When the whole run began, in seconds since 1970: rounds of one run are comparable.
    pub(crate) run: u64,
    pub(crate) commit: String,
    pub(crate) machine: Value,
    pub(crate) command: String,
    /// Processes that wanted the processor when it began: above one, somebody else was working.
    pub(crate) load: f64,
    /// What `tidewire bench --json` said, or why it said nothing.
    pub(crate) outcome: Result<Value, String>,
}

impl Measurement {
    fn to_json(&self) -> Value {
        let mut line = json!({
            "target": self.target,
            "case": self.case,
            "server": self.server,
            "round": self.round,
            "run": self.run,
            "commit": self.commit,
            "machine": self.machine,
            "command": self.command,
            "load": self.load,
        });
        match &self.outcome {
            Ok(result) => line["result"] = result.clone(),
            Err(why) => line["failed"] = json!(why),
        }
        line
    }

    fn of_json(line: &Value) -> Option<Self> {
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        let outcome = match &line["result"] {
            Value::Null => Err(text("failed")?),
            result => Ok(result.clone()),
        };
        Some(Self {
            target: text("target")?,
            case: text("case")?,
            server: text("server")?,
            round: line["round"].as_u64()?.try_into().ok()?,
            run: line["run"].as_u64()?,
            commit: text("commit")?,
            machine: line["machine"].clone(),
            command: text("command")?,
            load: line["load"].as_f64().unwrap_or(0.0),
            outcome,
        })
    }

    /// A figure of the result by its JSON pointer.
    pub(crate) fn figure(&self, pointer: &str) -> Option<f64> {
        self.outcome.as_ref().ok()?.pointer(pointer)?.as_f64()
    }
}

/// All measurements of a folder, of each case those of its newest run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    measurements: Vec<Measurement>,
}

impl Results {
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Ok(Self::default());
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
        paths.sort();
        let mut text = String::new();
        for path in paths {
            text += &fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Self::parse(&text)
    }

    pub(crate) fn parse(lines: &str) -> Result<Self, String> {
        let mut measurements = Vec::new();
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let value: Value =
                serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
            let measurement = Measurement::of_json(&value);
            measurements.push(measurement.ok_or_else(|| format!("not a measurement: {line}"))?);
        }
        let newest = |case: &str| {
            let runs = measurements
                .iter()
                .filter(|m| m.case == case)
                .map(|m| m.run);
            runs.max().unwrap_or_default()
        };
        let kept = measurements.iter().filter(|m| m.run == newest(&m.case));
        Ok(Self {
            measurements: kept.cloned().collect(),
        })
    }

    pub(crate) fn append(&mut self, folder: &Path, measurement: Measurement) -> Result<(), String> {
        let path = folder.join(format!("{}.jsonl", measurement.target));
        let fail = |error| format!("{}: {error}", path.display());
        fs::create_dir_all(folder).map_err(fail)?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        writeln!(file.map_err(fail)?, "{}", measurement.to_json()).map_err(fail)?;
        // A case measured anew replaces its earlier run.
        self.measurements
            .retain(|m| m.case != measurement.case || m.run == measurement.run);
        self.measurements.push(measurement);
        Ok(())
    }

    pub(crate) fn all(&self) -> &[Measurement] {
        &self.measurements
    }

    pub(crate) fn of<'a>(
        &'a self,
        case: &'a str,
        server: &'a str,
    ) -> impl Iterator<Item = &'a Measurement> {
        let measurements = self.measurements.iter();
        measurements.filter(move |m| m.case == case && m.server == server)
    }

    /// The newest run that any measurement belongs to.
    pub(crate) fn newest_run(&self) -> Option<u64> {
        self.measurements.iter().map(|m| m.run).max()
    }

    pub(crate) fn has(&self, run: u64, case: &str, server: &str, round: u32) -> bool {
        self.of(case, server)
            .any(|m| m.run == run && m.round == round && m.outcome.is_ok())
    }

    /// The figure of each round.
    pub(crate) fn rounds(&self, case: &str, server: &str, pointer: &str) -> Vec<(u32, f64)> {
        self.of(case, server)
            .filter_map(|m| Some((m.round, m.figure(pointer)?)))
            .collect()
    }

    pub(crate) fn figures(&self, case: &str, server: &str, pointer: &str) -> Vec<f64> {
        let rounds = self.rounds(case, server, pointer);
        rounds.into_iter().map(|(_, figure)| figure).collect()
    }
}
