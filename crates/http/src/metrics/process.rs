//! What the system says of this process, under the names that Prometheus' own client libraries use. Linux only; elsewhere
//! there is nothing.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    #[cfg(target_os = "linux")]
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        linux::encode(&mut super::Page::new(encoder))
    }

    #[cfg(not(target_os = "linux"))]
    fn encode(&self, _: DescriptorEncoder<'_>) -> std::fmt::Result {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use prometheus_client::registry::Unit;

    use super::super::Page;

    /// A tick of `/proc/self/stat`, in seconds: USER_HZ is 100 on every Linux (`man 5 proc_pid_stat`, `man 7 time`).
    const TICK_S: f64 = 0.01;

    pub(super) fn encode(page: &mut Page<'_>) -> std::fmt::Result {
        if let Some(stat) = fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|text| Stat::parse(&text))
        {
            stat.encode(page)?;
        }
        if let Some(bytes) = fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|text| resident_bytes(&text))
        {
            let help = "Resident memory.";
            page.gauge("process_resident_memory", Some(Unit::Bytes), help, bytes)?;
        }
        if let Some(open) = open_files() {
            page.gauge("process_open_fds", None, "Open file descriptors.", open)?;
        }
        if let Some(max) = fs::read_to_string("/proc/self/limits")
            .ok()
            .and_then(|text| open_files_max(&text))
        {
            let help = "How many file descriptors may be open.";
            page.gauge("process_max_fds", None, help, max)?;
        }
        Ok(())
    }

    #[derive(Debug, PartialEq)]
    struct Stat {
        cpu_s: f64,
        threads: u64,
        virtual_bytes: u64,
        /// Since the machine was started.
        started_s: f64,
    }

    impl Stat {
        fn parse(text: &str) -> Option<Self> {
            // The second field is a name in brackets, in which anything may stand.
            let (_, rest) = text.rsplit_once(") ")?;
            let field = |number: usize| rest.split(' ').nth(number - 3)?.trim().parse::<u64>().ok();
            let ticks = field(14)? + field(15)?;
            Some(Self {
                cpu_s: ticks as f64 * TICK_S,
                threads: field(20)?,
                started_s: field(22)? as f64 * TICK_S,
                virtual_bytes: field(23)?,
            })
        }

        fn encode(&self, page: &mut Page<'_>) -> std::fmt::Result {
            page.counter(
                "process_cpu",
                Some(Unit::Seconds),
                "Processor time, of the user and of the system.",
                self.cpu_s,
            )?;
            page.gauge("process_threads", None, "Threads.", self.threads)?;
            page.gauge(
                "process_virtual_memory",
                Some(Unit::Bytes),
                "Virtual memory.",
                self.virtual_bytes,
            )?;
            let booted_s = fs::read_to_string("/proc/stat")
                .ok()
                .and_then(|text| booted_s(&text));
            match booted_s {
                Some(booted_s) => page.gauge(
                    "process_start_time",
                    Some(Unit::Seconds),
                    "When it was started, since 1970.",
                    booted_s as f64 + self.started_s,
                ),
                None => Ok(()),
            }
        }
    }

    fn booted_s(text: &str) -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse().ok()
    }

    fn resident_bytes(text: &str) -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }

    /// Since Linux 6.2 the directory's size is their number; counting a million takes a while.
    fn open_files() -> Option<u64> {
        let size = fs::metadata("/proc/self/fd").ok()?.len();
        if size > 0 {
            return Some(size);
        }
        Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64)
    }

    fn open_files_max(text: &str) -> Option<u64> {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_the_system_says_is_read() {
            let stat = "7 (tide ) wire) S 1 7 7 0 -1 4194560 900 0 0 0 123 45 0 0 20 0 9 0 5000 104857600 2560 1 2 3";
            let want = Stat {
                cpu_s: 1.68,
                threads: 9,
                virtual_bytes: 104_857_600,
                started_s: 50.0,
            };
            assert_eq!(Stat::parse(stat), Some(want));
            assert_eq!(Stat::parse("7 (tidewire"), None);
            assert_eq!(
                resident_bytes("VmSize:\t 9 kB\nVmRSS:\t    10240 kB\n"),
                Some(10_485_760)
            );
            assert_eq!(booted_s("cpu 1\nbtime 1700000000\n"), Some(1_700_000_000));
            let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
            assert_eq!(open_files_max(limits), Some(1024));
            assert!(open_files().is_some_and(|open| open > 2));
        }
    }
}
