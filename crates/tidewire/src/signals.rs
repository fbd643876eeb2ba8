//! Being asked to stop.

use std::future::Future;

use crate::failure::{Failure, Outcome};

/// Resolves when the user or the system asks to stop (SIGINT, SIGTERM). From the first call on, they no longer kill the process.
#[cfg(unix)]
pub(crate) fn interrupted() -> Outcome<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves when the user asks to stop (Ctrl-C).
#[cfg(not(unix))]
pub(crate) fn interrupted() -> Outcome<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
