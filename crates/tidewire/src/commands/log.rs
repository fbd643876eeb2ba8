//! `tidewire log`: a look into a data directory that no hub has open. What is in it is `tidewire-log-disk`'s.

mod watch;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidewire_log_disk::offline::{self, ExportError, ImportFailure, Left, Stat};
use tidewire_log_disk::{Damage, DiskConfig};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::failure::{Failure, Outcome};
use crate::settings::{self, ByteSize};
use crate::{clock, log_dir, output, quote};
use watch::Watch;

/// Look into a data directory, offline: what it holds, whether it is whole, its events out and in
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tidewire log stat\n  tidewire log verify ./tidewire-data\n  tidewire log export ./tidewire-data --out events.ndjson\n  tidewire log import ./new-data events.ndjson"
)]
pub(crate) struct Log {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what a data directory holds
    #[command(
        after_help = "Examples:\n  tidewire log stat\n  tidewire log stat ./tidewire-data --json"
    )]
    Stat {
        #[command(flatten)]
        dir: Dir,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Read everything, and say what is damaged and where; exit 1 if something is
    #[command(after_help = "Example:\n  tidewire log verify ./tidewire-data")]
    Verify {
        #[command(flatten)]
        dir: Dir,
    },
    /// Write every event as a line of JSON, the oldest first
    #[command(
        after_help = "Examples:\n  tidewire log export ./tidewire-data | gzip > events.ndjson.gz\n  tidewire log export ./tidewire-data --out events.ndjson"
    )]
    Export {
        #[command(flatten)]
        dir: Dir,
        /// Write to this new file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Append events from lines that `export` wrote, to a new log or an old one
    #[command(
        after_help = "Examples:\n  tidewire log import ./new-data events.ndjson\n  gunzip -c events.ndjson.gz | tidewire log import ./new-data"
    )]
    Import {
        #[command(flatten)]
        dir: Dir,
        /// The lines; standard input if there is none
        file: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
struct Dir {
    /// The data directory; without it $TIDEWIRE_DATA_DIR, or else ./tidewire-data
    #[arg(conflicts_with = "log_dir")]
    dir: Option<PathBuf>,
    /// The same, named as `serve` names it
    #[arg(long = "data-dir", value_name = "DIR")]
    log_dir: Option<PathBuf>,
}

impl Dir {
    // Not clap's own look at the variable: it would take part in the conflict.
    fn path(&self) -> PathBuf {
        let named = self.dir.clone().or_else(|| self.log_dir.clone());
        named
            .or_else(|| settings::variable("TIDEWIRE_DATA_DIR").map(PathBuf::from))
            .unwrap_or_else(|| "./tidewire-data".into())
    }
}

impl Log {
    pub(crate) fn run(self) -> Outcome {
        match self.action {
            Action::Stat { dir, json } => stat(&dir.path(), json),
            Action::Verify { dir } => verify(&dir.path()),
            Action::Export { dir, out } => export(&dir.path(), out.as_deref()),
            Action::Import { dir, file } => import(&dir.path(), file.as_deref()),
        }
    }
}

fn stat(dir: &Path, is_json: bool) -> Outcome {
    let mut watch = Watch::begin("reading");
    let verified = offline::verify(dir, &mut |progress| watch.at(progress));
    watch.end();
    let verified = verified.map_err(|error| log_dir::failure(dir, &error))?;
    if is_json {
        return output::result(as_json(&verified.stat));
    }
    output::result(as_text(&verified.stat))?;
    if !verified.is_whole() {
        output::say(format_args!(
            "some of it is damaged; `{} log verify {}` says where",
            quote::program(),
            quote::shell(&dir.to_string_lossy())
        ));
    }
    Ok(())
}

fn as_json(stat: &Stat) -> Value {
    let segment = |segment: &offline::SegmentStat| {
        json!({
            "file": segment.file.to_string_lossy(),
            "first": segment.first.0,
            "next": segment.next.0,
            "records": segment.records,
            "bytes": segment.bytes,
            "oldest_ms": segment.time_ms.map(|(oldest, _)| oldest),
            "newest_ms": segment.time_ms.map(|(_, newest)| newest),
            "sealed": segment.sealed,
        })
    };
    let life = |life: &tidewire_log::Life| json!({ "epoch": life.epoch.0, "first": life.first.0 });
    json!({
        "records": stat.records,
        "bytes": stat.bytes,
        "first": stat.first.0,
        "next": stat.next.0,
        "left": left(stat.left),
        "lives": stat.lives.iter().map(life).collect::<Vec<_>>(),
        "segments": stat.segments.iter().map(segment).collect::<Vec<_>>(),
    })
}

fn as_text(stat: &Stat) -> String {
    let times: Vec<_> = stat
        .segments
        .iter()
        .filter_map(|segment| segment.time_ms)
        .collect();
    let mut lines = vec![
        ("events", stat.records.to_string()),
        ("size", ByteSize(stat.bytes).to_string()),
    ];
    if let (Some((oldest, _)), Some((_, newest))) = (times.first(), times.last()) {
        lines.push((
            "positions",
            format!("{} to {}", stat.first, stat.next.before()),
        ));
        lines.push(("oldest", time_of(*oldest)));
        lines.push(("newest", time_of(*newest)));
    }
    lines.push(("segments", stat.segments.len().to_string()));
    if let Some(life) = stat.lives.last() {
        lines.push((
            "epoch",
            format!("{}, the {}. life", life.epoch, stat.lives.len()),
        ));
    }
    lines.push(("left", left(stat.left).to_owned()));
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name:<10}{value}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn left(left: Left) -> &'static str {
    match left {
        Left::Closed => "closed",
        Left::Crashed => "crashed",
        _ => "unknown",
    }
}

fn time_of(ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{ms} ms after 1970"))
}

fn verify(dir: &Path) -> Outcome {
    let mut watch = Watch::begin("verifying");
    let verified = offline::verify(dir, &mut |progress| watch.at(progress));
    watch.end();
    let verified = verified.map_err(|error| log_dir::failure(dir, &error))?;
    for index in &verified.indexes {
        output::say(format_args!(
            "{}: the index is missing or damaged; it is built again when a hub starts, and nothing is lost",
            index.display()
        ));
    }
    if verified.torn_bytes > 0 {
        output::say(format_args!(
            "{} bytes at the end are of a write that a crash cut; nobody had been told of it, and a hub cuts it off",
            verified.torn_bytes
        ));
    }
    if verified.is_whole() {
        return output::result(format_args!(
            "{}, all of them whole",
            events(verified.stat.records)
        ));
    }
    say_damage(&verified.damage);
    Err(Failure::failed(format!(
        "{} can be read, {} cannot",
        events(verified.stat.records),
        places(&verified.damage)
    ))
    .next(format!(
        "save what can be read: {} log export {} --out events.ndjson",
        quote::program(),
        quote::shell(&dir.to_string_lossy())
    )))
}

fn say_damage(damage: &[Damage]) {
    for damage in damage {
        output::say(damage);
    }
}

fn events(count: u64) -> String {
    output::count(count, "event")
}

fn places(damage: &[Damage]) -> String {
    output::count(damage.len() as u64, "place")
}

fn export(dir: &Path, out: Option<&Path>) -> Outcome {
    let file = out.map(|path| {
        File::create_new(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::failed(format!("{} exists, and is kept", path.display()))
                    .next("choose another name")
            }
            _ => Failure::file(path, "write the export", &error),
        })
    });
    let file = file.transpose()?;
    let mut writer: Box<dyn Write> = match &file {
        Some(file) => Box::new(BufWriter::with_capacity(1 << 20, file)),
        None => Box::new(BufWriter::with_capacity(1 << 16, io::stdout().lock())),
    };
    let mut watch = Watch::begin("exporting");
    let exported = offline::export(dir, &mut writer, &mut |progress| watch.at(progress));
    watch.end();
    let exported = exported.map_err(|error| match (error, out) {
        (ExportError::Open(error), _) => log_dir::failure(dir, &error),
        (ExportError::Write(error), Some(path)) => Failure::file(path, "write the export", &error),
        (ExportError::Write(error), None) => Failure::stdout(&error),
        (error, _) => Failure::failed(error),
    })?;
    drop(writer);
    if let (Some(file), Some(path)) = (&file, out) {
        file.sync_all()
            .map_err(|error| Failure::file(path, "write the export", &error))?;
    }
    if exported.damage.is_empty() {
        output::say(format_args!("{} exported", events(exported.records)));
        return Ok(());
    }
    say_damage(&exported.damage);
    Err(Failure::failed(format!(
        "{} exported; {} could not be read, and what was there is not among them",
        events(exported.records),
        places(&exported.damage)
    )))
}

fn import(dir: &Path, file: Option<&Path>) -> Outcome {
    let mut reader: Box<dyn BufRead> = match file {
        Some(path) => {
            let file =
                File::open(path).map_err(|error| Failure::file(path, "read the events", &error))?;
            Box::new(BufReader::with_capacity(1 << 20, file))
        }
        None => Box::new(BufReader::with_capacity(1 << 16, io::stdin())),
    };
    let mut seed = [0; 16];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::failed(format!("the system gives no random bytes: {error}")))?;
    let seed = u128::from_le_bytes(seed);
    let config = DiskConfig::new(clock::now_ms(), [seed as u64, (seed >> 64) as u64]);
    let bytes_total = file
        .and_then(|path| std::fs::metadata(path).ok())
        .map(|file| file.len());
    let mut watch = Watch::begin("importing");
    let imported = offline::import(dir, config, &mut reader, &mut |mut progress| {
        progress.bytes_total = progress.bytes_total.or(bytes_total);
        watch.at(progress);
    });
    watch.end();
    let imported = imported.map_err(|error| match &error.why {
        ImportFailure::Open(why) => log_dir::failure(dir, why),
        ImportFailure::Line { .. } => {
            Failure::failed(&error).next("its lines must be as `tidewire log export` writes them")
        }
        _ => Failure::failed(&error),
    })?;
    let duplicates = match imported.duplicates {
        0 => String::new(),
        duplicates => format!(", {duplicates} were there already"),
    };
    output::say(format_args!(
        "{} imported{duplicates}",
        events(imported.records)
    ));
    Ok(())
}
