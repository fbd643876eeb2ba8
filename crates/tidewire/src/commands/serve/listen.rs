//! Listening: addresses to sockets, and what is in the way.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use crate::failure::{Failure, Outcome};
use crate::quote;

/// How many connections may wait to be accepted; the system lowers it to its own limit.
const BACKLOG: u32 = 4096;

/// Listens on all of the addresses, or none.
pub(super) async fn bind(addresses: &[SocketAddr]) -> Outcome<Vec<TcpListener>> {
    let bound = addresses
        .iter()
        .map(|address| listen(*address).map_err(|error| refused(*address, &error)));
    bound.collect()
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A hub that restarts must not wait for the last one's closed connections. On Windows it would allow two hubs on a port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    let failure = |what: &str| Failure::failed(format!("{address}: {what}"));
    let another = || {
        let program = quote::program();
        let address = SocketAddr::new(address.ip(), 0).to_string();
        format!(
            "stop what listens there, or take a free port: {program} serve --listen {}",
            quote::shell(&address)
        )
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => failure("another program listens there").next(another()),
        io::ErrorKind::PermissionDenied => failure("the system does not allow to listen there")
            .next("ports below 1024 need a privilege; take a higher one"),
        io::ErrorKind::AddrNotAvailable => failure("this machine has no such address")
            .next("`ip address` lists its addresses; 127.0.0.1 is always there"),
        _ => failure(&format!("cannot listen: {error}")),
    }
}
