//! What is said when the hub is ready: to people on standard error, to programs on standard output.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::access::Decided;
use super::descriptors::Descriptors;
use super::store::Store;
use super::tls::Secured;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::settings::{self, Settings};

/// Says what holds.
pub(super) fn say(
    settings: &Settings,
    access: &Decided,
    descriptors: &Descriptors,
    secured: Option<&Secured>,
    store: &Store,
) {
    let subscribers = match descriptors.limit {
        Some(limit) => format!(
            "up to {}, as the limit of {limit} open files allows",
            descriptors.subscribers_max
        ),
        None => "as many as the machine takes".to_owned(),
    };
    let lines = [
        ("log", store.place()),
        ("stored", store.range()),
        ("durability", store.durability(settings)),
        ("retention", store.retention()),
        ("publish", access.publish.clone()),
        ("subscribe", access.subscribe.clone()),
        ("subscribers", subscribers),
    ];
    output::say(format_args!("tidewire {}", env!("CARGO_PKG_VERSION")));
    for (name, value) in lines {
        output::say(format_args!("  {name:<12}{value}"));
    }
    let told = secured.into_iter().flat_map(|secured| &secured.told);
    for (index, line) in told.enumerate() {
        let name = if index == 0 { "tls" } else { "" };
        output::say(format_args!("  {name:<12}{line}"));
    }
    for warning in &access.warnings {
        output::say(format_args!("warning: {warning}"));
    }
    for note in settings::mercure_notes() {
        output::say(format_args!("note: {note}"));
    }
}

/// Where the admin listener is. Not a result: programs read one line a listener of the hub itself.
pub(super) fn say_admin(listener: &TcpListener) -> Outcome {
    let address = listener
        .local_addr()
        .map_err(|error| Failure::failed(format!("cannot tell an address: {error}")))?;
    output::say(format_args!("admin http://{address}"));
    Ok(())
}

/// One line a listener, for whoever waits for the hub to be ready. That nobody does is no reason to end.
pub(super) fn announce(listening: &[SocketAddr], is_secure: bool) {
    let scheme = if is_secure { "https" } else { "http" };
    for address in listening {
        let _ = output::result(format_args!("listening {scheme}://{address}"));
    }
}
