//! The engine, broken in known ways: a simulation that does not notice them would notice nothing.
//!
//! Each mutant replaces one piece of the engine's text, in a copy of this workspace under the target directory. A mutant
//! whose text is gone no longer applies and must be written anew: that is a failure too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One way to break the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mutant {
    /// A few words for it.
    pub(crate) name: &'static str,
    /// What it breaks.
    pub(crate) breaks: &'static str,
    /// The file, below `crates/engine/src`.
    pub(crate) file: &'static str,
    /// What stands there, once.
    pub(crate) from: &'static str,
    /// What stands there instead.
    pub(crate) to: &'static str,
}

/// Every mutant.
pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "twice for two topics",
        breaks: "invariant 8: a record that matches by two topics is delivered once",
        file: "deliver.rs",
        from: "scratch.matches.dedup();",
        to: "",
    },
    Mutant {
        name: "a full sink loses the rest",
        breaks: "invariant 4: a cursor moves past what its sink took, no further",
        file: "deliver.rs",
        from: "position(outcome.taken)",
        to: "end",
    },
    Mutant {
        name: "private to everybody",
        breaks: "private events need a grant",
        file: "deliver.rs",
        from: "!record.private() || self.feed.wants(subscriber)",
        to: "true || self.feed.wants(subscriber)",
    },
    Mutant {
        name: "private to whoever is asked alone",
        breaks: "private events need a grant, also where few enough want a topic to be asked one by one",
        file: "deliver.rs",
        from: "wants.accepts(record.topics(), record.private())",
        to: "wants.accepts(record.topics(), false)",
    },
    Mutant {
        name: "the grant must hit the first topic",
        breaks: "routing and grant may hit different topics",
        file: "filters.rs",
        from: "Self::Kept(filter) => topics.any(|topic| filter.private.accepts(topic)),",
        to: "Self::Kept(filter) => topics.next().is_some_and(|topic| filter.private.accepts(topic)),",
    },
    Mutant {
        name: "an untold gap",
        breaks: "invariant 6: a gap reaches the client",
        file: "step.rs",
        from: "self.tell_gap(index, asked, gap);",
        to: "let _ = asked;",
    },
    Mutant {
        name: "nobody is woken for a second topic",
        breaks: "no wake is lost",
        file: "interest.rs",
        from: "for topic in item.record().topics() {",
        to: "for topic in item.record().topics().take(1) {",
    },
    Mutant {
        name: "nobody is woken by a gram",
        breaks: "no wake is lost",
        file: "interest.rs",
        from: "shards.iter().for_each(|(shard, _)| with(*shard));",
        to: "let _ = (shards, &mut with);",
    },
    Mutant {
        name: "a topic's grams are those of another",
        breaks: "live and replay agree",
        file: "patterns.rs",
        from: "!walk.of.is_empty() && walk.of == topic.as_bytes()",
        to: "!walk.of.is_empty()",
    },
    Mutant {
        name: "a hot tail jumps ahead",
        breaks: "the tail skips only what nobody in the shard wants",
        file: "feed.rs",
        from: "if !tail.is_hot() {",
        to: "if true {",
    },
    Mutant {
        name: "loaded and never read",
        breaks: "Loading: what was loaded is asked for again",
        file: "step.rs",
        from: "self.cohorts.line_up(token);",
        to: "",
    },
    Mutant {
        name: "a checkpoint of the tail for everybody",
        breaks: "a checkpoint is never ahead of what was delivered",
        file: "kept.rs",
        from: "self.next.max(tail)\n        } else {\n            self.next\n",
        to: "self.next.max(tail)\n        } else {\n            self.next.max(tail)\n",
    },
    Mutant {
        name: "heartbeats without a checkpoint",
        breaks: "a rare topic's cursor does not age into a gap",
        file: "tell.rs",
        from: "subscriber.checkpoint() == Checkpoint::Off || !subscriber.is_ahead(cursor)",
        to: "subscriber.checkpoint() == Checkpoint::Off || cursor.0 > 0",
    },
    Mutant {
        name: "an id before a gap",
        breaks: "a client cut between an opening and its gap is told the gap when it comes back",
        file: "tell.rs",
        from: "(!tells.iter().any(gaps)).then_some(at)",
        to: "Some(at).filter(|_| tells.iter().any(gaps) || true)",
    },
    Mutant {
        name: "a stalled sink is kept",
        breaks: "the stall deadline",
        file: "kept.rs",
        from: "self.since.after(pace.stall).after(Ticks::ONE)",
        to: "self.dies_at(pace).after(pace.stall)",
    },
    Mutant {
        name: "new topics from now on only",
        breaks: "added topics count from the cursor that was answered",
        file: "revise.rs",
        from: "self.reroute(index, filter);\n            self.subscribers",
        to: "self.swap_filter(index, filter);\n            self.subscribers",
    },
    Mutant {
        name: "the rights of the grant that was",
        breaks: "rights are those of the present grant, live and replay alike",
        file: "revise.rs",
        from: "is_slow(&filter) {\n            self.swap_filter(index, filter);",
        to: "is_slow(&filter) {\n            drop(filter);",
    },
    Mutant {
        name: "the revoked stay",
        breaks: "a revoked grant ends its streams before anything else is delivered",
        file: "revise.rs",
        from: "self.ends.push((key, EndReason::Revoked));",
        to: "let _ = (key, EndReason::Revoked);",
    },
    Mutant {
        name: "anybody may renew",
        breaks: "a stream is its holder's",
        file: "revise.rs",
        from: "&& holder != revision.marks.holder()",
        to: "&& false",
    },
];

/// How long one mutant may take: one that makes the engine turn for ever is noticed by this.
const RUN_MAX: Duration = Duration::from_secs(300);

/// Breaks the engine in every way and says whether each was noticed within so many seeds.
#[must_use]
pub(crate) fn run(seeds: u64) -> bool {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match Bench::new(&workspace).and_then(|bench| bench.run_all(seeds)) {
        Ok(fine) => fine,
        Err(error) => {
            println!("mutants: {error}");
            false
        }
    }
}

/// A copy of the workspace in which things are broken.
struct Bench {
    tree: PathBuf,
    build: PathBuf,
}

/// What became of a broken engine.
enum Fate {
    Noticed(String),
    Hung,
    Survived,
}

impl Bench {
    fn new(workspace: &Path) -> io::Result<Self> {
        let workspace = workspace.canonicalize()?;
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| workspace.join("target"), |dir| workspace.join(dir));
        let bench = Self {
            tree: target.join("mutants/tree"),
            build: target.join("mutants/build"),
        };
        let _ = fs::remove_dir_all(&bench.tree);
        fs::create_dir_all(&bench.tree)?;
        for part in [
            "Cargo.toml",
            "Cargo.lock",
            "rust-toolchain.toml",
            "crates",
            "examples",
            "bench/floor",
            "bench/axum-sse",
            "xtask",
        ] {
            copy(&workspace.join(part), &bench.tree.join(part))?;
        }
        Ok(bench)
    }

    fn run_all(&self, seeds: u64) -> io::Result<bool> {
        if !matches!(self.try_seeds(seeds)?, Fate::Survived) {
            println!("the engine fails without being broken: run the seeds first");
            return Ok(false);
        }
        let mut fine = true;
        for mutant in MUTANTS {
            let fate = self.try_mutant(mutant, seeds)?;
            let (noticed, how) = match fate {
                Some(Fate::Noticed(how)) => (true, how),
                Some(Fate::Hung) => (true, "it never came to an end".to_owned()),
                Some(Fate::Survived) => (false, format!("SURVIVED {seeds} seeds")),
                None => (false, "NO LONGER APPLIES: write it anew".to_owned()),
            };
            fine &= noticed;
            println!("{}: {how}\n    ({})", mutant.name, mutant.breaks);
        }
        Ok(fine)
    }

    fn try_mutant(&self, mutant: &Mutant, seeds: u64) -> io::Result<Option<Fate>> {
        let path = self.tree.join("crates/engine/src").join(mutant.file);
        let whole = fs::read_to_string(&path)?;
        if whole.matches(mutant.from).count() != 1 {
            return Ok(None);
        }
        fs::write(&path, whole.replace(mutant.from, mutant.to))?;
        let fate = self.try_seeds(seeds);
        fs::write(&path, whole)?;
        fate.map(Some)
    }

    fn try_seeds(&self, seeds: u64) -> io::Result<Fate> {
        let built = Command::new(env!("CARGO"))
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.build)
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .args([
                "build",
                "--quiet",
                "--release",
                "--offline",
                "-p",
                "tidewire-sim",
            ])
            .stderr(Stdio::null())
            .status()?;
        if !built.success() {
            return Err(io::Error::other(
                "a mutant does not compile, or is refused: see its text",
            ));
        }
        let binary = self.build.join("release/tidewire-sim");
        let mut child = Command::new(binary)
            .args(["--seeds", &seeds.to_string(), "--brief", "1"])
            .stdout(Stdio::piped())
            .spawn()?;
        let start = Instant::now();
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None if start.elapsed() > RUN_MAX => {
                    child.kill()?;
                    child.wait()?;
                    return Ok(Fate::Hung);
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let said = io::read_to_string(child.stdout.take().expect("it was piped"))?;
        // Not merely something that never happened: a seed must have failed.
        let seed = said.lines().find(|line| line.starts_with("seed "));
        Ok(match seed {
            Some(line) if !status.success() => Fate::Noticed(line.to_owned()),
            _ => Fate::Survived,
        })
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_name() != "target" {
                copy(&entry.path(), &to.join(entry.file_name()))?;
            }
        }
        Ok(())
    } else {
        fs::copy(from, to).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_still_applies() {
        let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/src");
        for mutant in MUTANTS {
            let text = fs::read_to_string(engine.join(mutant.file)).unwrap();
            let count = text.matches(mutant.from).count();
            assert_eq!(count, 1, "{}: {} has its text", mutant.name, mutant.file);
        }
    }
}
