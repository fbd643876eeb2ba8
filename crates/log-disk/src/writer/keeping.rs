//! Retention on the writing thread: which segments go, and that their bytes are given back.

use tidewire_core::Position;
use tidewire_log::AppendError;

use super::Writer;
use crate::config::Notice;
use crate::format::GROUP_HEAD_BYTES;
use crate::keys;

impl Writer {
    pub(super) fn maintain(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.window.expire(self.now_ms);
        // A disk that was full is tried again, so that health does not wait for a publisher.
        let was_full = matches!(self.shared.health(), Err(AppendError::Full(_)));
        if self.stopped.is_none() && (was_full || self.active_is_old()) {
            match self.roll(0) {
                Ok(()) => self.shared.set_health(None),
                Err(error) => self.shared.set_health(Some(error)),
            }
        }
        self.drop_old();
    }

    /// Whether the growing segment holds what retention by age or count would give back.
    fn active_is_old(&self) -> bool {
        let segment = &self.active.segment;
        let Some(first_ms) = segment.first_ms() else {
            return false;
        };
        let all_below = segment.next() <= self.shared.view().head;
        let eighth_of_age = |age_ms: u64| first_ms.saturating_add(age_ms / 8) <= self.now_ms;
        all_below
            || self
                .shared
                .config
                .retention
                .age_ms
                .is_some_and(eighth_of_age)
    }

    /// Removes segments that lie below the head, and the oldest as long as there are too many bytes.
    pub(super) fn drop_old(&mut self) {
        let limit = self.shared.config.retention.bytes.unwrap_or(u64::MAX);
        let segments = self.shared.view().segments.clone();
        let Some((_, sealed)) = segments.split_last() else {
            return;
        };
        let head = self.shared.view().head;
        let mut bytes = self.active.promised;
        // From the newest back: what fits stays.
        let keep = sealed
            .iter()
            .rev()
            .take_while(|segment| {
                bytes += segment.data_end() + GROUP_HEAD_BYTES as u64;
                segment.next() > head && bytes <= limit
            })
            .count();
        let gone = sealed.len() - keep;
        if gone > 0 {
            self.save_keys(sealed[gone - 1].next());
            let mut view = self.shared.view_mut();
            view.raise_head(sealed[gone - 1].next());
            view.segments = segments[gone..].into();
            drop(view);
            self.doomed.extend_from_slice(&sealed[..gone]);
        }
        self.remove_doomed();
    }

    /// Saves the producer keys that are still known and whose records go.
    fn save_keys(&self, head: Position) {
        let shared = &self.shared;
        if let Err(error) = keys::save(&*shared.config.files, &shared.dir.keys, &self.window, head)
        {
            let file = shared.dir.keys.clone();
            let why = error.to_string();
            shared.notify(&Notice::KeysNotSaved { file, why });
        }
    }

    fn remove_doomed(&mut self) {
        let files = self.shared.config.files.clone();
        while let Some(segment) = self.doomed.first() {
            let removed = files
                .remove(&segment.path)
                .or_else(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                });
            if let Err(error) = removed {
                let file = segment.path.clone();
                let why = error.to_string();
                return self.shared.notify(&Notice::NotRemoved { file, why });
            }
            self.shared.drop_handle(&segment.path);
            self.shared.drop_handle(&segment.sidecar_path());
            // Missing if it was never written; swept up at the next opening if it cannot be removed now.
            let _ = files.remove(&segment.sidecar_path());
            // Oldest first, also after a crash: else there would be a hole between segments.
            let _ = files.sync_dir(&self.shared.dir.segments);
            self.doomed.remove(0);
        }
    }
}
