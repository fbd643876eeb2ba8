//! The admin listener: where it is, and who may see metrics there.

use std::net::SocketAddr;
use std::path::Path;

use tidewire_hub::{AdminAccess, AdminToken};
use tokio::net::TcpListener;

use super::listen;
use crate::failure::{Failure, Outcome};
use crate::quote;
use crate::settings::Settings;

/// An admin listener that is bound, and its rule.
pub(super) struct Admin {
    pub(super) listener: TcpListener,
    pub(super) access: AdminAccess,
}

/// Binds it, if one is wanted.
pub(super) async fn bind(settings: &Settings) -> Outcome<Option<Admin>> {
    let access = decide(settings)?;
    let Some(address) = settings.admin_listen else {
        return Ok(None);
    };
    let listener = listen::bind(&[address]).await?.pop();
    Ok(listener.map(|listener| Admin { listener, access }))
}

/// Safe by default: figures say much about whom a hub serves, so beyond this machine somebody must have said who may see them.
pub(super) fn decide(settings: &Settings) -> Outcome<AdminAccess> {
    match (&settings.admin_token_file, settings.admin_open.0) {
        (Some(_), true) => Err(Failure::usage(
            "--admin-token-file and --admin-open contradict each other",
        )
        .next("say one of them")),
        (Some(path), false) => read_token(path).map(AdminAccess::Token),
        (None, true) => Ok(AdminAccess::Open),
        (None, false) => match settings.admin_listen {
            Some(address) if !address.ip().is_loopback() => Err(refuse(address)),
            _ => Ok(AdminAccess::Loopback),
        },
    }
}

fn read_token(path: &Path) -> Outcome<AdminToken> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::file(path, "read the admin token", &error))?;
    AdminToken::new(text.trim_end_matches(['\r', '\n'])).map_err(|why| {
        Failure::usage(format!("{}: {why}", path.display())).next(format!(
            "make one with `{} token keygen --out admin.token`",
            quote::program()
        ))
    })
}

fn refuse(address: SocketAddr) -> Failure {
    Failure::usage(format!(
        "the admin address {address} can be reached from other machines, and nothing says who may see metrics there"
    ))
    .next(
        "give it --admin-token-file FILE, show them to everybody with --admin-open, or listen on 127.0.0.1 only",
    )
}
