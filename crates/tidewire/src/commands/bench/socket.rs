//! Non-blocking TCP sockets and the clock, as thin as the system gives them.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// What became of a read or a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Moved {
    Bytes(usize),
    /// Not now.
    Blocked,
    /// The other side is gone.
    Closed,
}

/// The ports that are given to outgoing connections, as Linux has them by default.
const PORTS: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// An address to connect from, and its ports in turn.
///
/// The kernel does not choose them: for a bound address it looks at one port after another until one is free, by which thousands
/// of connections took a whole core for ten seconds and more, and a storm looked like the server's work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    address: IpAddr,
    next: u16,
}

impl Source {
    pub(super) fn new(address: IpAddr) -> Self {
        Self {
            address,
            next: *PORTS.start(),
        }
    }

    fn bind(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        for _ in PORTS {
            let port = self.next;
            self.next = match port == *PORTS.end() {
                true => *PORTS.start(),
                false => port + 1,
            };
            match rustix::net::bind(socket, &SocketAddr::new(self.address, port)) {
                // Another program's, on all addresses.
                Err(Errno::ADDRINUSE) => {}
                bound => return bound,
            }
        }
        Err(Errno::ADDRINUSE)
    }
}

/// Begins a connection; it is there when the socket can be written.
pub(super) fn connect(address: SocketAddr, source: Option<&mut Source>) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Small requests one after another: waiting to fill packets would only delay them.
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(source) = source {
        // The port's last connection may still be closing.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        source.bind(&socket)?;
    }
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// Why a connection that was begun did not come about.
pub(super) fn error(socket: &OwnedFd) -> Option<Errno> {
    match sockopt::socket_error(socket) {
        Ok(Ok(())) => None,
        Ok(Err(errno)) | Err(errno) => Some(errno),
    }
}

#[inline]
pub(super) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Moved {
    loop {
        return match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => Moved::Closed,
            Ok((_, bytes)) => Moved::Bytes(bytes),
            Err(Errno::AGAIN) => Moved::Blocked,
            Err(Errno::INTR) => continue,
            Err(_) => Moved::Closed,
        };
    }
}

pub(super) fn send(socket: &OwnedFd, bytes: &[u8]) -> Moved {
    loop {
        return match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(bytes) => Moved::Bytes(bytes),
            Err(Errno::AGAIN | Errno::NOTCONN) => Moved::Blocked,
            Err(Errno::INTR) => continue,
            Err(_) => Moved::Closed,
        };
    }
}

/// Nanoseconds of the machine's monotonic clock, which all its processes share.
#[inline]
pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// A time to wait.
pub(super) fn wait_ns(nanoseconds: u64) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(nanoseconds % 1_000_000_000).unwrap_or(0),
    }
}
