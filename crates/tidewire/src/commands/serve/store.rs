//! The log that the hub runs on: the only place of the hub that names a backend.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidewire_core::{Cursor, Epoch};
use tidewire_hub::Log;
use tidewire_log::{MemoryConfig, MemoryLog, ProducerLimits, Retention, Rule};
use tidewire_log_disk::{DiskConfig, DiskLog};

use crate::failure::{Failure, Outcome};
use crate::settings::{self, ByteSize, Lasting, Limit, Settings, Sources};
use crate::{clock, log_dir, output};

/// How long after its acknowledgement an event is synced at durability `interval`.
const SYNC_EVERY: Duration = Duration::from_secs(1);
const DISK_BYTES_DEFAULT: u64 = 10 << 30;
const MEMORY_BYTES_DEFAULT: u64 = 256 << 20;

/// A log that is open.
pub(super) enum Store {
    Memory(Arc<MemoryLog>, Retention),
    Disk(Arc<DiskLog>, Retention, PathBuf),
}

/// Opens the log that the settings name.
pub(super) fn open(
    settings: &Settings,
    sources: &Sources,
    files_open_max: usize,
) -> Outcome<Store> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::failed(format!("the system gives no random bytes: {error}")))?;
    let seed = u128::from_le_bytes(random);
    let seed = [seed as u64, (seed >> 64) as u64];
    if in_memory(settings, sources)? {
        let retention = retention(settings, MEMORY_BYTES_DEFAULT);
        let config = MemoryConfig {
            epoch: Epoch(clock::now_ms()),
            retention: retention.clone(),
            producers: producers(settings),
            record_bytes_max: record_bytes_max(settings)?,
            ring: tidewire_log::ring::RingConfig {
                seed: seed[0],
                ..Default::default()
            },
            ..MemoryConfig::default()
        };
        return Ok(Store::Memory(Arc::new(MemoryLog::new(config)), retention));
    }
    let dir = &settings.data_dir;
    let retention = retention(settings, tenth_of_free(dir).min(DISK_BYTES_DEFAULT));
    let mut config = DiskConfig::new(clock::now_ms(), seed);
    config.durability = match settings.durability {
        settings::Durability::Sync => tidewire_log_disk::Durability::Sync,
        settings::Durability::Interval => tidewire_log_disk::Durability::Interval(SYNC_EVERY),
        settings::Durability::Memory => tidewire_log_disk::Durability::Memory,
    };
    config.retention = retention.clone();
    config.files_open_max = files_open_max;
    config.producers = producers(settings);
    config.record_bytes_max = record_bytes_max(settings)?;
    config.waiting_bytes_max = config
        .waiting_bytes_max
        .max(config.record_bytes_max.saturating_mul(2));
    config.notify = Arc::new(|notice| output::say(format_args!("log: {notice}")));
    let log = DiskLog::open(dir, config).map_err(|error| log_dir::failure(dir, &error))?;
    Ok(Store::Disk(Arc::new(log), retention, dir.clone()))
}

/// `--memory` against `--data-dir`: the one that was said more plainly holds; both as plainly is a contradiction.
/// Whether the settings want no data directory.
pub(super) fn in_memory(settings: &Settings, sources: &Sources) -> Outcome<bool> {
    let (memory, data_dir) = (sources.origin("memory"), sources.origin("data-dir"));
    if !settings.memory.0 || data_dir.outranks(memory) {
        return Ok(false);
    }
    if *data_dir != settings::Origin::Default && !memory.outranks(data_dir) {
        return Err(
            Failure::usage("--memory and --data-dir contradict each other").next("say one of them"),
        );
    }
    Ok(true)
}

fn retention(settings: &Settings, bytes_default: u64) -> Retention {
    let rule = |rule: &settings::Rule| Rule {
        prefix: rule.prefix.as_str().into(),
        age_ms: rule.age.map(|age| age.ms),
        count: rule.count,
    };
    let bytes = settings
        .retention_bytes
        .unwrap_or(Limit::At(ByteSize(bytes_default)));
    Retention {
        bytes: bytes.at().map(|bytes| bytes.0),
        count: settings.retention_count.at(),
        age_ms: settings.retention_age.at().map(|age| age.ms),
        rules: settings.retention_rule.iter().map(rule).collect(),
    }
}

fn producers(settings: &Settings) -> ProducerLimits {
    ProducerLimits {
        window_ms: settings.idempotency_window.ms,
        ..ProducerLimits::default()
    }
}

/// An event of line ends alone takes seven bytes for each as a frame, and its topics come on top.
fn record_bytes_max(settings: &Settings) -> Outcome<usize> {
    let bytes = settings
        .event_bytes_max
        .0
        .saturating_mul(8)
        .saturating_add(8 << 20);
    match u32::try_from(bytes) {
        Ok(bytes) => Ok(bytes as usize),
        Err(_) => Err(Failure::usage("--event-bytes-max is too large").next("at most 500MiB")),
    }
}

/// A tenth of the disk's free space, at least a little.
fn tenth_of_free(dir: &Path) -> u64 {
    // The directory may not be there yet; the disk is that of the nearest one that is.
    let nearest = dir.ancestors().find(|folder| folder.exists());
    let nearest = nearest.filter(|folder| !folder.as_os_str().is_empty());
    let free = free_bytes(nearest.unwrap_or(Path::new(".")));
    // In whole MiB, as people read it.
    free.map_or(DISK_BYTES_DEFAULT, |free| ((free / 10) >> 20).max(1) << 20)
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

impl Store {
    pub(super) fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Memory(log, _) => Arc::clone(log) as Arc<dyn Log>,
            Self::Disk(log, ..) => Arc::clone(log) as Arc<dyn Log>,
        }
    }

    /// Writes what is to be written, and lets the next hub have the directory.
    pub(super) fn close(self) -> Outcome {
        match self {
            Self::Memory(..) => Ok(()),
            Self::Disk(log, ..) => log.close().map_err(Failure::failed),
        }
    }

    /// The data directory, if there is one.
    pub(super) fn dir(&self) -> Option<&Path> {
        match self {
            Self::Memory(..) => None,
            Self::Disk(_, _, dir) => Some(dir),
        }
    }

    /// Where it lives.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Memory(..) => {
                "in memory: nothing survives this hub, revocations included".to_owned()
            }
            Self::Disk(_, _, dir) => dir.display().to_string(),
        }
    }

    /// What it holds.
    pub(super) fn range(&self) -> String {
        let bounds = self.log().bounds();
        if bounds.records == 0 {
            return "nothing yet".to_owned();
        }
        let newest = Cursor::new(bounds.epoch, bounds.tail.before());
        format!(
            "{}, {}, positions {} to {} (newest {newest})",
            output::count(bounds.records, "event"),
            ByteSize(bounds.bytes),
            bounds.head,
            bounds.tail.before()
        )
    }

    pub(super) fn durability(&self, settings: &Settings) -> String {
        match (self, settings.durability) {
            (Self::Memory(..), _) => "none".to_owned(),
            (_, settings::Durability::Sync) => {
                "sync: acknowledged and delivered after an fsync".to_owned()
            }
            (_, settings::Durability::Interval) => format!(
                "interval: a crash of the machine may lose the last {}",
                Lasting {
                    ms: SYNC_EVERY.as_millis() as u64
                }
            ),
            (_, settings::Durability::Memory) => {
                "memory: a crash of the machine may lose what the system has not written".to_owned()
            }
        }
    }

    pub(super) fn retention(&self) -> String {
        let (Self::Memory(_, retention) | Self::Disk(_, retention, _)) = self;
        let bytes = retention.bytes.map(|bytes| ByteSize(bytes).to_string());
        let age = retention.age_ms.map(|ms| Lasting { ms }.to_string());
        let count = retention.count.map(|count| format!("{count} events"));
        let limits: Vec<_> = [bytes, age, count].into_iter().flatten().collect();
        let limits = if limits.is_empty() {
            "everything is kept".to_owned()
        } else {
            format!("up to {}", limits.join(", "))
        };
        match retention.rules.len() {
            0 => limits,
            1 => format!("{limits}; less for the topics of one rule"),
            rules => format!("{limits}; less for the topics of {rules} rules"),
        }
    }
}
