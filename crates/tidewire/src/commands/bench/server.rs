//! What processes use: CPU time and memory, from `/proc`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};

/// Some processes, each with all that descend from it.
#[derive(Clone, Debug)]
pub(super) struct Processes {
    roots: Vec<u32>,
}

/// What processes use at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// CPU time since they began.
    pub(super) cpu_s: f64,
    /// Resident memory.
    pub(super) rss_bytes: u64,
}

impl Processes {
    pub(super) fn new(roots: Vec<u32>) -> Self {
        Self { roots }
    }

    /// Those that listen at an address of this machine; `None` if there are none to be seen.
    pub(super) fn listening(address: SocketAddr) -> Option<Self> {
        if !address.ip().is_loopback() {
            return None;
        }
        let sockets: HashSet<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|table| listeners(&table, address))
            .collect();
        let roots: Vec<_> = all().filter(|&pid| holds_any(pid, &sockets)).collect();
        (!roots.is_empty()).then_some(Self { roots })
    }

    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for pid in self.family() {
            if let Some(stat) = Stat::read(pid) {
                usage.cpu_s += stat.ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
                usage.rss_bytes += stat.pages * rustix::param::page_size() as u64;
            }
        }
        usage
    }

    /// Whether any of them is still there.
    pub(super) fn are_alive(&self) -> bool {
        self.roots.iter().any(|&pid| Stat::read(pid).is_some())
    }

    fn family(&self) -> HashSet<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for pid in all() {
            if let Some(stat) = Stat::read(pid) {
                children.entry(stat.parent).or_default().push(pid);
            }
        }
        let mut family = HashSet::new();
        let mut rest = self.roots.clone();
        while let Some(pid) = rest.pop() {
            if family.insert(pid) {
                rest.extend(children.remove(&pid).unwrap_or_default());
            }
        }
        family
    }
}

/// Some of `/proc/PID/stat` (proc_pid_stat(5)).
struct Stat {
    parent: u32,
    /// User and system time of all threads.
    ticks: u64,
    pages: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything; the state, field 3, follows it.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        if matches!(fields.first(), Some(&("Z" | "X"))) {
            return None;
        }
        Some(Self {
            parent: u32::try_from(number(4)?).ok()?,
            ticks: number(14)? + number(15)?,
            pages: number(24)?,
        })
    }
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn holds_any(pid: u32, sockets: &HashSet<u64>) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| {
            link.to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse()
                .ok()
        })
        .any(|inode: u64| sockets.contains(&inode))
}

/// The inodes of the sockets in a table of `/proc/net` that listen at an address.
fn listeners(table: &str, address: SocketAddr) -> Vec<u64> {
    /// TCP_LISTEN of the kernel's tcp_states.h.
    const LISTEN: &str = "0A";
    let wanted = |local: &str| {
        let (ip, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (port == address.port() && takes(ip, address.ip())).then_some(())
    };
    let lines = table.lines().skip(1);
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            wanted(fields.get(1)?)?;
            (*fields.get(3)? == LISTEN).then(|| fields.get(9)?.parse().ok())?
        })
        .collect()
}

/// Whether a listener at this address (hexadecimal, each word in the machine's byte order) takes what goes to that one.
fn takes(listener: &str, ip: IpAddr) -> bool {
    let any = listener.bytes().all(|digit| digit == b'0');
    let words = |octets: &[u8]| -> String {
        let words = octets.chunks_exact(4);
        words
            .map(|word| {
                format!(
                    "{:08X}",
                    u32::from_ne_bytes([word[0], word[1], word[2], word[3]])
                )
            })
            .collect()
    };
    let exact = match ip {
        IpAddr::V4(ip) => words(&ip.octets()),
        IpAddr::V6(ip) => words(&ip.octets()),
    };
    let mapped = match ip {
        IpAddr::V4(ip) => words(&ip.to_ipv6_mapped().octets()),
        IpAddr::V6(_) => String::new(),
    };
    any || listener == exact || listener == mapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else {
                continue;
            };
            let mut local = listener.local_addr().unwrap();
            if local.ip().is_unspecified() {
                local.set_ip("127.0.0.1".parse().unwrap());
            }
            let found = Processes::listening(local).unwrap();
            assert_eq!(found.roots, [std::process::id()], "{address}");
        }
    }

    #[test]
    fn our_own_use_is_seen() {
        let ours = Processes::new(vec![std::process::id()]);
        let memory = vec![1_u8; 32 << 20];
        let mut sum = 0_u64;
        let before = ours.usage().cpu_s;
        while ours.usage().cpu_s < before + 0.03 {
            sum += memory.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        }
        assert!(sum > 0);
        assert!(ours.usage().rss_bytes > 32 << 20);
        assert!(ours.are_alive());
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) b (c) S 5 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 9 100 77 1";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!((stat.parent, stat.ticks, stat.pages), (5, 42, 77));
    }
}
