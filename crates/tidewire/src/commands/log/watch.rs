//! Progress for whoever watches: a bar on a terminal, nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidewire_log_disk::offline::Progress;

use crate::output;

/// A long look at a log, watched.
pub(super) struct Watch(ProgressBar);

impl Watch {
    pub(super) fn begin(what: &'static str) -> Self {
        let target = if output::is_watched() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_message(what);
        Self(bar)
    }

    pub(super) fn at(&mut self, progress: Progress) {
        if self.0.length().is_none()
            && let Some(total) = progress.bytes_total
        {
            self.0.set_length(total);
            let style = ProgressStyle::with_template(
                "{msg} {wide_bar} {bytes} of {total_bytes}, {prefix} events, {eta} left",
            );
            self.0
                .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        self.0.set_prefix(progress.records.to_string());
        self.0.set_position(progress.bytes);
    }

    pub(super) fn end(self) {
        self.0.finish_and_clear();
    }
}
