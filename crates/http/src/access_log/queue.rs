//! From whoever has a line to the thread that writes it: bounded in bytes, never waited for. A log that cannot be written as
//! fast as lines come loses some, counts them, and says so in its own place.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::line;
use super::{AccessLogCounters, AccessLogFormat};

/// So many bytes of lines wait to be written at most.
pub(super) const WAITING_BYTES_MAX: usize = 4 << 20;

pub(super) struct Queue {
    /// Held to copy a line in or to swap the buffer, never while anything is written.
    state: Mutex<State>,
    /// Told when the writer has something to do.
    work: Condvar,
    /// Told when it has nothing more to do.
    done: Condvar,
    written: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    lines: u64,
    /// Lines that were dropped since the log last said so.
    lost: u64,
    /// The writer waits to be told.
    is_idle: bool,
    is_closed: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.lost == 0
    }
}

impl Queue {
    pub(super) fn start(
        format: AccessLogFormat,
        writer: impl io::Write + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || of_thread.run(format, writer))?;
        Ok(queue)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with this lock")
    }

    /// Adds a line, or drops it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.bytes.len() + line.len() > WAITING_BYTES_MAX {
            state.lost += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes.extend_from_slice(line);
        state.lines += 1;
        // Telling costs a system call; a writer that is at work looks again by itself.
        if std::mem::take(&mut state.is_idle) {
            self.work.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.work.notify_one();
    }

    pub(super) fn flush(&self, patience: Duration) -> bool {
        let busy = |state: &mut State| !(state.is_empty() && state.is_idle);
        let waited = self.done.wait_timeout_while(self.state(), patience, busy);
        !waited.expect("nobody panics with this lock").1.timed_out()
    }

    pub(super) fn counters(&self) -> AccessLogCounters {
        AccessLogCounters {
            written: self.written.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    fn run(&self, format: AccessLogFormat, mut writer: impl io::Write) {
        let mut bytes = Vec::new();
        while let Some((lines, lost)) = self.take(&mut bytes) {
            if lost > 0 {
                // They would have come after what is here.
                bytes.extend_from_slice(&line::dropped(format, now_ms(), lost));
            }
            match writer.write_all(&bytes).and_then(|()| writer.flush()) {
                Ok(()) => self.written.fetch_add(lines, Ordering::Relaxed),
                // Nobody is left to tell but the metrics.
                Err(_) => self.dropped.fetch_add(lines, Ordering::Relaxed),
            };
            bytes.clear();
        }
    }

    /// Waits for lines and takes them all: how many, and how many were lost after them. `None` once it is closed.
    fn take(&self, bytes: &mut Vec<u8>) -> Option<(u64, u64)> {
        let mut state = self.state();
        while state.is_empty() {
            state.is_idle = true;
            self.done.notify_all();
            if state.is_closed {
                return None;
            }
            state = self.work.wait(state).expect("nobody panics with this lock");
        }
        state.is_idle = false;
        std::mem::swap(&mut state.bytes, bytes);
        Some((
            std::mem::take(&mut state.lines),
            std::mem::take(&mut state.lost),
        ))
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Writes when it is allowed to.
    struct Gate {
        open: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl io::Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().map_err(io::Error::other)?;
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>, Arc<Queue>) {
        let (open, opened) = mpsc::channel();
        let written = Arc::default();
        let gate = Gate {
            open: opened,
            written: Arc::clone(&written),
        };
        let queue = Queue::start(AccessLogFormat::Json, gate).unwrap();
        (open, written, queue)
    }

    #[test]
    fn a_slow_writer_holds_nobody_up_and_says_what_it_lost() {
        let (open, written, queue) = gate();
        queue.push(b"first\n");
        // Until the writer has it, and is stuck with it.
        while queue.state().lines > 0 {
            std::thread::yield_now();
        }
        let line = [b'x'; 1023]
            .iter()
            .chain(b"\n")
            .copied()
            .collect::<Vec<_>>();
        let fit = (WAITING_BYTES_MAX / line.len()) as u64;
        for _ in 0..fit + 3 {
            queue.push(&line);
        }
        assert!(!queue.flush(Duration::from_millis(10)));
        assert_eq!(queue.counters().dropped, 3);
        (0..2).for_each(|_| open.send(()).unwrap());
        assert!(queue.flush(PATIENCE));
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len() as u64, 1 + fit + 1);
        assert_eq!(lines[0], "first");
        let last = lines.last().unwrap();
        assert!(last.contains("\"event\":\"dropped\",\"lines\":3"), "{last}");
        assert_eq!(queue.counters().written, 1 + fit);
        // It goes on.
        queue.push(b"after\n");
        open.send(()).unwrap();
        assert!(queue.flush(PATIENCE));
        assert!(written.lock().unwrap().ends_with(b"after\n"));
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let (open, written, queue) = gate();
        drop(open);
        queue.push(b"a\n");
        queue.push(b"b\n");
        assert!(queue.flush(PATIENCE));
        let counters = queue.counters();
        assert_eq!((counters.written, counters.dropped), (0, 2));
        assert!(written.lock().unwrap().is_empty());
    }

    #[test]
    fn closing_writes_the_rest() {
        let (open, written, queue) = gate();
        queue.push(b"a\n");
        queue.push(b"b\n");
        queue.close();
        for _ in 0..2 {
            let _ = open.send(());
        }
        assert!(queue.flush(PATIENCE));
        assert_eq!(*written.lock().unwrap(), b"a\nb\n");
    }
}
