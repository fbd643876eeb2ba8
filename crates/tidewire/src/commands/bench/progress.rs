//! Progress bars, where somebody watches.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::wire::Progress;
use crate::output;

/// Drawing costs time that belongs to the load.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// One phase of a bench.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    what: What,
    began: Instant,
    drawn: Cell<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Connections,
    Time,
}

impl Bar {
    /// Towards so many connections.
    pub(super) fn connections(name: &'static str, count: usize) -> Self {
        Self::new(name, What::Connections, count as u64)
    }

    /// Over a time.
    pub(super) fn time(name: &'static str, length: Duration) -> Self {
        Self::new(
            name,
            What::Time,
            u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
        )
    }

    fn new(name: &'static str, what: What, length: u64) -> Self {
        let bar = match output::is_watched() {
            true => ProgressBar::new(length),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{prefix:>11} {bar:30} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(name);
        let now = Instant::now();
        Self {
            bar,
            what,
            began: now,
            drawn: Cell::new(now),
        }
    }

    pub(super) fn show(&self, progress: Progress) {
        if self.bar.is_hidden() || self.drawn.get().elapsed() < DRAW_EVERY {
            return;
        }
        self.drawn.set(Instant::now());
        match self.what {
            What::Connections => {
                self.bar.set_position(progress.connected as u64);
                self.bar
                    .set_message(format!("{} connections", progress.connected));
            }
            What::Time => {
                let elapsed = self.began.elapsed().as_millis();
                self.bar
                    .set_position(u64::try_from(elapsed).unwrap_or(u64::MAX));
                self.bar
                    .set_message(format!("{} events arrived", progress.events));
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
