//! The memory log against the suite, as it is and with holes between positions.

use std::sync::Arc;

use tidewire_core::Epoch;
use tidewire_log::conformance::{After, Factory, Profile, Reopen, Settings, Subject};
use tidewire_log::ring::RingConfig;
use tidewire_log::{Log, MemoryConfig, MemoryLog};

/// Memory logs of one shape.
struct Memory {
    position_step: u64,
    ring: RingConfig,
}

struct Opened {
    config: MemoryConfig,
    log: Arc<MemoryLog>,
}

impl Factory for Memory {
    fn profile(&self) -> Profile {
        Profile {
            slack_records: 0,
            slack_bytes: 0,
            clean: After::Nothing,
            crash: Some(After::Nothing),
            seeds: 30,
            steps: 400,
        }
    }

    fn open(&self, settings: &Settings) -> Box<dyn Subject> {
        let config = MemoryConfig {
            epoch: Epoch(settings.now_ms),
            retention: settings.retention.clone(),
            producers: settings.producers,
            record_bytes_max: settings.record_bytes_max,
            position_step: self.position_step,
            ring: self.ring,
        };
        let log = Arc::new(MemoryLog::new(config.clone()));
        Box::new(Opened { config, log })
    }
}

impl Subject for Opened {
    fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    fn reopen(&mut self, _: Reopen, now_ms: u64) {
        // Nothing remembers the last life's name but this test: a clock that stands still names the next one anew.
        self.config.epoch = Epoch(now_ms.max(self.config.epoch.0 + 1));
        self.log = Arc::new(MemoryLog::new(self.config.clone()));
    }
}

mod plain {
    tidewire_log::conformance_tests!(super::Memory {
        position_step: 1,
        ring: super::RingConfig::default(),
    });
}

/// Holes between positions, and blocks that are merged after a few records.
mod holes {
    tidewire_log::conformance_tests!(super::Memory {
        position_step: 3,
        ring: super::RingConfig {
            merge_bytes: 4096,
            merge_records: 5,
            seed: 9,
        },
    });
}
