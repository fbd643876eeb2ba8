//! The suite that every log must pass: on real files, on files in memory that lose power, and with everything cold.

mod fixture;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fixture::sim_files::SimFiles;
use tempfile::TempDir;
use tidewire_core::MatcherSet;
use tidewire_log::conformance::{After, Factory, Profile, Reopen, Rng, Settings, Subject};
use tidewire_log::{Log, Start};
use tidewire_log_disk::files::{Files, RealFiles};
use tidewire_log_disk::{DiskConfig, DiskLog, Durability};

/// Disk logs of one shape.
struct Disk {
    on: On,
    durability: Durability,
    segment_bytes: u64,
    recent_bytes_max: usize,
    cold_bytes_max: usize,
}

#[derive(Clone, Copy)]
enum On {
    RealFiles,
    /// Files in memory; a crash is a power failure.
    SimFiles,
}

enum Place {
    Real(TempDir),
    Sim(SimFiles, Rng),
}

struct Opened {
    place: Place,
    config: DiskConfig,
    log: Arc<DiskLog>,
}

impl Place {
    fn files(&self) -> (PathBuf, Arc<dyn Files>) {
        match self {
            Self::Real(dir) => (dir.path().to_owned(), Arc::new(RealFiles)),
            Self::Sim(files, _) => ("/log".into(), Arc::new(files.clone())),
        }
    }

    /// Goes on with what a crash leaves.
    fn crash(&mut self) {
        match self {
            Self::Real(dir) => {
                let copy = tempfile::tempdir().unwrap();
                std::fs::create_dir(copy.path().join("segments")).unwrap();
                for part in ["", "segments"] {
                    for entry in std::fs::read_dir(dir.path().join(part)).unwrap() {
                        let entry = entry.unwrap();
                        if entry.file_type().unwrap().is_file() {
                            let to = copy.path().join(part).join(entry.file_name());
                            // A segment may be on its way out.
                            let _ = std::fs::copy(entry.path(), to);
                        }
                    }
                }
                *dir = copy;
            }
            Self::Sim(files, rng) => *files = files.without_power(rng),
        }
    }
}

impl Factory for Disk {
    fn profile(&self) -> Profile {
        let durable = self.durability == Durability::Sync;
        let (seeds, steps) = match self.on {
            On::RealFiles => (4, 150),
            On::SimFiles => (25, 300),
        };
        Profile {
            slack_records: 0,
            slack_bytes: 2 * self.segment_bytes,
            clean: After::All,
            crash: Some(if durable { After::All } else { After::Some }),
            seeds,
            steps,
        }
    }

    fn open(&self, settings: &Settings) -> Box<dyn Subject> {
        let place = match self.on {
            On::RealFiles => Place::Real(tempfile::tempdir().unwrap()),
            On::SimFiles => Place::Sim(SimFiles::default(), Rng::new(settings.now_ms)),
        };
        let mut config = DiskConfig::new(settings.now_ms, [3, 4]);
        config.durability = self.durability;
        config.retention = settings.retention.clone();
        config.producers = settings.producers;
        config.record_bytes_max = settings.record_bytes_max;
        config.segment_bytes = Some(self.segment_bytes);
        config.recent_bytes_max = self.recent_bytes_max;
        config.cold_bytes_max = self.cold_bytes_max;
        config.readers = 1;
        let (dir, files) = place.files();
        config.files = files;
        let log = Arc::new(DiskLog::open(dir, config.clone()).unwrap());
        Box::new(Opened { place, config, log })
    }
}

impl Subject for Opened {
    fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    fn settle(&self) {
        for _ in 0..3 {
            // Both go through the same queues as the log's own work: behind them it is done.
            fixture::append(&*self.log, Vec::new()).unwrap();
            fixture::locate(&*self.log, Start::Since(0), MatcherSet::any());
        }
    }

    fn reopen(&mut self, how: Reopen, now_ms: u64) {
        match how {
            Reopen::Clean => self.log.close().unwrap(),
            Reopen::Crash => self.place.crash(),
        }
        let (dir, files) = self.place.files();
        self.config.files = files;
        self.config.now_ms = now_ms;
        self.config.seed[0] += 1;
        self.log = Arc::new(DiskLog::open(dir, self.config.clone()).unwrap());
    }
}

mod real {
    use super::*;

    tidewire_log::conformance_tests!(Disk {
        on: On::RealFiles,
        durability: Durability::Sync,
        segment_bytes: 64 * 1024,
        recent_bytes_max: 1 << 20,
        cold_bytes_max: 1 << 20,
    });
}

/// Every read comes from the files.
mod cold {
    use super::*;

    tidewire_log::conformance_tests!(Disk {
        on: On::SimFiles,
        durability: Durability::Sync,
        segment_bytes: 8 * 1024,
        recent_bytes_max: 0,
        cold_bytes_max: 16 * 1024,
    });
}

mod interval {
    use super::*;

    tidewire_log::conformance_tests!(Disk {
        on: On::SimFiles,
        durability: Durability::Interval(Duration::from_millis(5)),
        segment_bytes: 16 * 1024,
        recent_bytes_max: 16 * 1024,
        cold_bytes_max: 64 * 1024,
    });
}

mod memory {
    use super::*;

    tidewire_log::conformance_tests!(Disk {
        on: On::SimFiles,
        durability: Durability::Memory,
        segment_bytes: 16 * 1024,
        recent_bytes_max: 16 * 1024,
        cold_bytes_max: 64 * 1024,
    });
}
